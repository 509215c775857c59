//! `cutover journal verify`: reads all of a journal, and checks what can be checked.

use anyhow::Result;
use serde_json::json;

use super::open::open_url;
use crate::cli::args::JournalVerify;
use crate::cli::books::{Books, expected};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::journal::Open;
use crate::ports::StorageReport;

/// Checks a journal.
///
/// # Errors
/// It cannot be opened or read, or is damaged as a whole.
pub(super) async fn run(context: &mut Context<'_>, args: &JournalVerify) -> Result<Exit> {
    let url = args.url.as_ref().unwrap_or(&context.global.journal).clone();
    let opened = open_url(&url, Open::ReadOnly).await;
    let journal = opened.map_err(|error| expected(error, &url))?;
    let storage = journal.verify().await?;
    let books = Books::read(journal.as_ref()).await?;
    let mut entries = books.fleet_entries.len();
    for stream in books.entries.values() {
        entries += stream.len();
    }
    let cutovers = books.entries.len();
    let mut damaged = Vec::new();
    for (name, damage) in books.damaged() {
        damaged.push((name.to_string(), damage.entry, damage.why.clone()));
    }
    let spoiled_packs: &[u64] = match &storage {
        StorageReport::Table { spoiled_packs, .. } => spoiled_packs,
        StorageReport::Unchecked | StorageReport::File => &[],
    };
    let is_whole = damaged.is_empty() && spoiled_packs.is_empty();
    if context.json() {
        let mut streams = Vec::new();
        for (name, entry, why) in &damaged {
            streams.push(json!({ "name": name, "entry": entry, "why": why }));
        }
        context.print_json(&json!({
            "journal": url,
            "entries": entries,
            "cutovers": cutovers,
            "cursors": books.cursors.len(),
            "whole": is_whole,
            "damaged": streams,
            "spoiled_packs": spoiled_packs,
        }))?;
    } else {
        let line = format!("{url}: {entries} entries of {cutovers} cutovers were read and folded");
        context.print_line(&line)?;
        context.print_line(&storage_line(&storage))?;
        for (name, entry, why) in &damaged {
            context.print_line(&format!(
                "{name} is damaged: entry {entry} cannot be used: {why}"
            ))?;
        }
        for first in spoiled_packs {
            context.print_line(&format!(
                "the pack of appends that begins at {first} does not hold what the log holds; it is not used"
            ))?;
        }
    }
    if is_whole {
        Ok(Exit::Done)
    } else {
        Ok(Exit::Halted)
    }
}

/// What was checked of the storage, in words.
fn storage_line(storage: &StorageReport) -> String {
    match storage {
        StorageReport::Unchecked => "the storage itself cannot be checked".to_owned(),
        StorageReport::File => "the file is whole (SQLite's integrity check)".to_owned(),
        StorageReport::Table { appends, packs, .. } => format!(
            "the hashes of all {appends} appends follow from each other, and {packs} packs hold the same"
        ),
    }
}
