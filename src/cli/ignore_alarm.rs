//! `cutover ignore-alarm`: allow a start although an alarm is red (semantics C5).

use anyhow::Result;

use super::args::IgnoreAlarm;
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::names::{closest, resolve};
use super::operate::{CommandOrder, Desk, give};
use crate::engine::state::State;
use crate::engine::units::AlarmId;
use crate::engine::{commands, lists};

/// Ignores one alarm of every cutover that the name or pattern matches.
///
/// # Errors
/// No cutover matches, a plan has no such alarm or several of them, the command does not apply, or the journal cannot
/// be read or written.
pub fn run(context: &mut Context<'_>, args: &IgnoreAlarm) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let named = resolve(std::slice::from_ref(&args.name), &desk.books.names())?;
        let mut orders = Vec::new();
        for named in named {
            // The plan before the damage is enough to find the alarm. `give` refuses a damaged cutover.
            let alarm = match desk.books.last_good(&named.name) {
                Some(state) => find(state, &args.alarm)?,
                None => find(&desk.books.state(&named.name)?, &args.alarm)?,
            };
            orders.push(CommandOrder::new(named, move |state: &State| {
                commands::ignore_alarm(state, &alarm, &args.reason)
            }));
        }
        give(context, desk, "ignore-alarm", orders).await
    })
}

/// Returns the alarm of the plan that `asked` names, as `NAME` or as `NAME (REGION)`.
fn find(state: &State, asked: &str) -> Result<AlarmId, Expected> {
    let all: Vec<&AlarmId> = state.plan().alarms().map(|gate| &gate.id).collect();
    let mut fitting = all.clone();
    fitting.retain(|alarm| is_named(alarm, asked));
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let known = shown(&all);
            let hint = match closest(asked, &known) {
                Some(alarm) => format!("did you mean `{alarm}`?"),
                None => format!("its alarms are {}", lists::some(&known, ", ")),
            };
            let message = format!("the plan of {} has no alarm `{asked}`", state.name);
            Err(Expected::usage(message, Some(&hint)))
        }
        several => {
            let message = format!("the plan of {} has several alarms `{asked}`", state.name);
            let hint = format!(
                "name one of them: `{}`",
                lists::some(&shown(several), "`, `")
            );
            Err(Expected::usage(message, Some(&hint)))
        }
    }
}

fn is_named(alarm: &AlarmId, asked: &str) -> bool {
    alarm.bare_name() == asked || alarm.name == asked || alarm.to_string() == asked
}

fn shown(alarms: &[&AlarmId]) -> Vec<String> {
    alarms.iter().map(ToString::to_string).collect()
}
