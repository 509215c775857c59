//! `cutover history`: every journal entry of one cutover.

use anyhow::Result;

use super::args::History;
use super::books::{Books, open_journal};
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names;
use crate::engine::fleet::is_fleet;
use crate::engine::units::CutoverName;
use crate::journal::Open;
use crate::report::history::{to_json, to_text};

/// Prints all entries of one cutover, or of `@fleet`, oldest first.
///
/// # Errors
/// There is no such cutover or journal, or the journal cannot be read.
pub fn run(context: &mut Context<'_>, args: &History) -> Result<Exit> {
    let books = block_on(async {
        let journal = open_journal(context, Open::ReadOnly).await?;
        Ok(Books::read(journal.as_ref()).await?)
    })?;
    let name = CutoverName::from(args.name.as_str());
    let entries = if is_fleet(&name) {
        &books.fleet_entries
    } else if let Some(entries) = books.entries.get(&name) {
        entries
    } else {
        return Err(names::unknown(&args.name, &books.names()).into());
    };
    if context.json() {
        context.print_json(&to_json(entries))?;
    } else {
        let shown = to_text(entries, context.terminal.width);
        context.print(&shown)?;
    }
    Ok(Exit::Done)
}
