//! `cutover abandon`: end a cutover as it stands, without writing anything (semantics L8).

use anyhow::Result;

use super::args::Abandon;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::resolve;
use super::operate::{Desk, Order, check, give};
use crate::engine::commands;
use crate::engine::foreign_text::one_line;
use crate::engine::state::State;
use crate::report;

/// Shows what would be left, asks, and ends the cutovers.
///
/// # Errors
/// One is over, or nobody confirms.
pub fn run(context: &mut Context<'_>, args: &Abandon) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let named = resolve(&args.names, &desk.books.names())?;
        let abandon = |state: &State| commands::abandon(state, &args.reason);
        let orders: Vec<Order<'_>> = named
            .into_iter()
            .map(|named| Order::new(named, abandon))
            .collect();
        // What cannot be done is said before anybody is asked.
        let orders = check(context, &desk, "abandon", orders)?;
        let mut question = String::new();
        for order in &orders {
            let state = desk.books.state(&order.named.name)?;
            if let Ok(event) = abandon(&state) {
                let line = format!("{}: {}", state.name, report::event(&event));
                question.push_str(&one_line(&line));
                question.push('\n');
            }
        }
        question.push_str("end it as it stands, without writing anything?");
        context.confirm("abandon", args.yes, &question)?;
        give(context, desk, "abandon", orders).await
    })
}
