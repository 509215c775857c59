//! `cutover ignore-alarm`: start although an alarm is red (semantics C5).

use anyhow::Result;

use super::args::IgnoreAlarm;
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::names::{closest, resolve};
use super::operate::{Desk, Order, give};
use crate::engine::commands;
use crate::engine::lists;
use crate::engine::state::State;
use crate::engine::units::AlarmId;

/// Ignores one alarm of the cutovers that are named.
///
/// # Errors
/// The plan has no such alarm, or it has several; the cutover has started.
pub fn run(context: &mut Context<'_>, args: &IgnoreAlarm) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let named = resolve(std::slice::from_ref(&args.name), &desk.books.names())?;
        let mut orders = Vec::new();
        for named in named {
            // Whether anything may be written about a damaged one is asked later.
            let alarm = match desk.books.last_good(&named.name) {
                Some(state) => find(state, &args.alarm)?,
                None => find(&desk.books.state(&named.name)?, &args.alarm)?,
            };
            orders.push(Order::new(named, move |state: &State| {
                commands::ignore_alarm(state, &alarm, &args.reason)
            }));
        }
        give(context, desk, "ignore-alarm", orders).await
    })
}

/// The alarm of the plan that is meant, by its name or as `NAME (REGION)`.
fn find(state: &State, asked: &str) -> Result<AlarmId, Expected> {
    let all: Vec<&AlarmId> = state.plan().alarms().map(|gate| &gate.id).collect();
    let fits = |alarm: &&&AlarmId| {
        alarm.bare_name() == asked || alarm.name == asked || alarm.to_string() == asked
    };
    let fitting: Vec<&&AlarmId> = all.iter().filter(fits).collect();
    let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
    match fitting.as_slice() {
        [one] => Ok((**one).clone()),
        [] => {
            let hint = closest(asked, &shown).map_or_else(
                || format!("its alarms are {}", lists::some(&shown, ", ")),
                |alarm| format!("did you mean `{alarm}`?"),
            );
            let message = format!("the plan of {} has no alarm `{asked}`", state.name);
            Err(Expected::usage(message, Some(&hint)))
        }
        several => {
            let shown: Vec<String> = several.iter().map(ToString::to_string).collect();
            let message = format!("the plan of {} has several alarms `{asked}`", state.name);
            let hint = format!("name one of them: `{}`", lists::some(&shown, "`, `"));
            Err(Expected::usage(message, Some(&hint)))
        }
    }
}
