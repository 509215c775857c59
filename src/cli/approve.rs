//! `cutover approve`: show what a person approves, and journal who approved it.

use std::sync::Arc;

use anyhow::Result;

use super::args::Approve;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::{Named, resolve};
use super::operate::{CommandOrder, Desk, check, give};
use crate::aws::{Options, caller_arn};
use crate::engine::commands::{self, NotApplicable};
use crate::engine::event::Event;
use crate::engine::state::State;
use crate::ports::Clock;
use crate::report::approval::ApprovalEvidence;

/// Shows the evidence for the step, and then approves it.
///
/// # Errors
/// No cutover has one of the names, the command does not apply, or the journal cannot be read or written.
pub fn run(context: &mut Context<'_>, args: &Approve) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let named = resolve(&args.names, &desk.books.names())?;
        // If the command does not apply, the user learns it before anything is shown and before AWS is called.
        let fit = check(context, &desk, "approve", orders(&named, args, None))?;
        for order in &fit {
            show(context, &desk.books.state(&order.named.name)?, args)?;
        }
        let caller = caller_arn(Options::from_environment(Arc::new(context.clock))).await;
        let orders = orders(&named, args, caller.as_ref());
        give(context, desk, "approve", orders).await
    })
}

/// Returns one order per cutover. `caller` is the ARN of the AWS credentials; `None` if it is not known.
fn orders<'a>(
    named: &[Named],
    args: &'a Approve,
    caller: Option<&'a String>,
) -> Vec<CommandOrder<'a>> {
    let mut orders = Vec::new();
    for named in named {
        orders.push(CommandOrder::new(named.clone(), move |state: &State| {
            approve(state, args, caller)
        }));
    }
    orders
}

fn approve(state: &State, args: &Approve, caller: Option<&String>) -> Result<Event, NotApplicable> {
    let mut event = commands::approve(state, args.step, &args.reason)?;
    if let Event::StepApproved { caller_arn, .. } = &mut event {
        *caller_arn = caller.cloned();
    }
    Ok(event)
}

/// Prints the evidence for the step on standard error. Standard output is for the result, which is the journal entry.
fn show(context: &mut Context<'_>, state: &State, args: &Approve) -> Result<()> {
    let now = context.clock.now();
    let Ok(Event::StepApproved { step, .. }) = approve(state, args, None) else {
        return Ok(());
    };
    if let Some(evidence) = ApprovalEvidence::of(state, step, now) {
        for line in evidence.lines(now) {
            context.note(&format!("{}: {line}", state.name))?;
        }
    }
    Ok(())
}
