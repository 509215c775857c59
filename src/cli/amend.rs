//! `cutover amend`: apply changed plan files to unfinished cutovers (semantics H2).

use std::collections::BTreeSet;

use anyhow::Result;

use super::args::Amend;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::{Named, unknown};
use super::operate::{CommandOrder, Desk, give};
use super::plans;
use crate::engine::commands;
use crate::engine::units::CutoverName;

/// Applies each plan to the cutover with the same name.
///
/// # Errors
/// A plan is not valid, the journal has no cutover with its name, the change is not allowed, or the journal cannot be
/// read or written.
pub fn run(context: &mut Context<'_>, args: &Amend) -> Result<Exit> {
    let reason = args.reason.as_deref();
    block_on(async {
        let desk = Desk::open(context).await?;
        let known = desk.books.names();
        let names: BTreeSet<CutoverName> = known.iter().cloned().collect();
        let sources = plans::find_beside(&args.paths, &names).require_valid(context)?;
        let mut orders = Vec::new();
        for source in &sources {
            let name = source.plan.name.clone();
            if !known.contains(&name) {
                return Err(unknown(name.as_str(), &known).into());
            }
            let named = Named {
                name,
                by_pattern: false,
            };
            orders.push(CommandOrder::new(named, move |state| {
                commands::amend(state, source, reason)
            }));
        }
        give(context, desk, "amend", orders).await
    })
}
