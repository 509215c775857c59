//! `cutover approve`: show what a person approves, and write down who did.

use std::sync::Arc;

use anyhow::Result;

use super::args::Approve;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::resolve;
use super::operate::{Desk, Order, check, give};
use crate::aws::{Options, caller_arn};
use crate::engine::commands::{self, NotApplicable};
use crate::engine::event::Event;
use crate::engine::state::State;
use crate::ports::Clock;
use crate::report::approval::Evidence;

/// Shows the evidence, then approves.
///
/// # Errors
/// The command does not apply, or the journal cannot be read or written.
pub fn run(context: &mut Context<'_>, args: &Approve) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let named = resolve(&args.names, &desk.books.names())?;
        let orders = |caller_arn: Option<String>| {
            let approve = move |state: &State| approve(state, args, caller_arn.as_ref());
            let named = named.iter().cloned();
            named
                .map(move |named| Order::new(named, approve.clone()))
                .collect()
        };
        // What does not apply is said before anything is shown or AWS is asked.
        let fit: Vec<Order<'_>> = check(context, &desk, "approve", orders(None))?;
        for order in &fit {
            show(context, &desk.books.state(&order.named.name)?, args)?;
        }
        let caller = caller_arn(Options::from_environment(Arc::new(context.clock))).await;
        give(context, desk, "approve", orders(caller)).await
    })
}

fn approve(state: &State, args: &Approve, caller: Option<&String>) -> Result<Event, NotApplicable> {
    let mut event = commands::approve(state, args.step, &args.reason)?;
    if let Event::StepApproved { caller_arn, .. } = &mut event {
        *caller_arn = caller.cloned();
    }
    Ok(event)
}

/// What is being approved, on standard error: the result of the command is what it wrote.
fn show(context: &mut Context<'_>, state: &State, args: &Approve) -> Result<()> {
    let now = context.clock.now();
    let Ok(Event::StepApproved { step, .. }) = approve(state, args, None) else {
        return Ok(());
    };
    for line in Evidence::of(state, step, now)
        .iter()
        .flat_map(|seen| seen.lines(now))
    {
        context.note(&format!("{}: {line}", state.name))?;
    }
    Ok(())
}
