//! `cutover abandon`: end a cutover as it is, without writing anything to Route 53 (semantics L8).

use anyhow::Result;

use super::args::Abandon;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::resolve;
use super::operate::{CommandOrder, Desk, check, give};
use crate::engine::commands;
use crate::engine::foreign_text::one_line;
use crate::engine::state::State;
use crate::report;

/// Shows what each cutover leaves behind, asks, and ends the cutovers.
///
/// # Errors
/// No cutover has one of the names, one has already ended, nobody confirms, or the journal cannot be read or written.
pub fn run(context: &mut Context<'_>, args: &Abandon) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let mut orders: Vec<CommandOrder<'_>> = Vec::new();
        for named in resolve(&args.names, &desk.books.names())? {
            orders.push(CommandOrder::new(named, |state: &State| {
                commands::abandon(state, &args.reason)
            }));
        }
        // If the command does not apply, the user learns it before the question.
        let orders = check(context, &desk, "abandon", orders)?;
        let mut question = String::new();
        for order in &orders {
            let state = desk.books.state(&order.named.name)?;
            if let Ok(event) = commands::abandon(&state, &args.reason) {
                let line = format!(
                    "{}: this would be journaled: {}",
                    state.name,
                    report::event(&event)
                );
                question.push_str(&one_line(&line));
                question.push('\n');
            }
        }
        question
            .push_str("gates are no longer watched; end it as it is, without writing to Route 53?");
        context.confirm("abandon", args.yes, &question)?;
        give(context, desk, "abandon", orders).await
    })
}
