//! `cutover adopt-drift`: accept what somebody else changed, and go on from it (semantics B5).

use anyhow::Result;

use super::args::AdoptDrift;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::resolve;
use super::operate::{CommandOrder, Desk, check, give};
use crate::engine::commands;
use crate::engine::foreign_text::one_line;
use crate::engine::state::State;

/// Shows the drift, asks for confirmation, and adopts it.
///
/// # Errors
/// No cutover has one of the names, nothing drifted, the drift cannot be adopted, nobody confirms, or the journal
/// cannot be read or written.
pub fn run(context: &mut Context<'_>, args: &AdoptDrift) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let mut orders: Vec<CommandOrder<'_>> = Vec::new();
        for named in resolve(&args.names, &desk.books.names())? {
            orders.push(CommandOrder::new(named, |state: &State| {
                commands::adopt_drift(state, &args.reason)
            }));
        }
        // If the command does not apply, the user learns it before the question.
        let orders = check(context, &desk, "adopt-drift", orders)?;
        let mut question = String::new();
        for order in &orders {
            question.push_str(&drift_shown(&desk.books.state(&order.named.name)?));
        }
        question.push_str("go on from these records as they are now?");
        context.confirm("adopt-drift", args.yes, &question)?;
        give(context, desk, "adopt-drift", orders).await
    })
}

/// Returns one line for each group that drifted, with its weights before and now.
fn drift_shown(state: &State) -> String {
    let mut shown = String::new();
    for (index, image) in state.drift.iter().flatten() {
        let Some(group) = state.plan().records.get(*index) else {
            continue;
        };
        let Some(image) = image else {
            continue;
        };
        let verified = state.verified.as_ref();
        let change = match verified.and_then(|images| images.get(*index)) {
            None => format!("weights {}", image.pair()),
            Some(before) if before.same_but_pair(image) => {
                format!("weights {} → {}", before.pair(), image.pair())
            }
            Some(before) => {
                let (before, now) = (before.pair(), image.pair());
                format!("weights {before} → {now}, other fields changed too")
            }
        };
        shown.push_str(&one_line(&format!(
            "{}: {}: {change}",
            state.name, group.name
        )));
        shown.push('\n');
    }
    shown
}
