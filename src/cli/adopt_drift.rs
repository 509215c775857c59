//! `cutover adopt-drift`: accept what somebody else changed (semantics B5).

use anyhow::Result;

use super::args::AdoptDrift;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::names::resolve;
use super::operate::{Desk, Order, check, give};
use crate::engine::commands;
use crate::engine::foreign_text::one_line;
use crate::engine::state::State;

/// Shows what drifted, asks, and adopts it.
///
/// # Errors
/// Nothing drifted, it cannot be adopted, or nobody confirms.
pub fn run(context: &mut Context<'_>, args: &AdoptDrift) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let named = resolve(&args.names, &desk.books.names())?;
        let adopt = |state: &State| commands::adopt_drift(state, &args.reason);
        let orders: Vec<Order<'_>> = named
            .into_iter()
            .map(|named| Order::new(named, adopt))
            .collect();
        // What cannot be done is said before anybody is asked.
        let orders = check(context, &desk, "adopt-drift", orders)?;
        let mut question = String::new();
        for order in &orders {
            question.push_str(&drift_shown(&desk.books.state(&order.named.name)?));
        }
        question.push_str("take these records for the verified ones?");
        context.confirm("adopt-drift", args.yes, &question)?;
        give(context, desk, "adopt-drift", orders).await
    })
}

/// What changed, a line a group.
fn drift_shown(state: &State) -> String {
    let mut shown: Vec<String> = Vec::new();
    for (index, image) in state.drift.iter().flatten() {
        let name = state.plan().records.get(*index).map(|group| &group.name);
        let before = state
            .verified
            .as_ref()
            .and_then(|images| images.get(*index));
        let (Some(name), Some(image)) = (name, image) else {
            continue;
        };
        let weights = before.map_or_else(
            || format!("weights {}", image.pair()),
            |before| format!("weights {} → {}", before.pair(), image.pair()),
        );
        let fields = match before {
            Some(before) if !before.same_but_pair(image) => ", other fields changed too",
            _ => "",
        };
        let line = format!("{}: {name}: {weights}{fields}", state.name);
        shown.push(one_line(&line) + "\n");
    }
    shown.concat()
}
