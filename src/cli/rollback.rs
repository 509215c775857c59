//! `cutover rollback`: everything back to where it was before the cutover (RULES J).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::args::Rollback;
use super::context::{Context, runtime};
use super::error::Expected;
use super::exit::Exit;
use super::names::{Named, has_labels, resolve};
use super::operate::{Desk, Order, say, write};
use super::outcome;
use super::run::{outside, settings, stop_signal};
use crate::controller::{Controller, Scope, Settings};
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::RevertMode;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;
use crate::ports::Clock;
use crate::report::holds::hold;

/// How often a rollback looks while nothing else wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Asks, journals the requests, and takes the traffic back.
///
/// # Errors
/// No such cutover, nobody confirms, it has completed; or the journal cannot be read.
pub fn run(context: &mut Context<'_>, args: &Rollback) -> Result<Exit> {
    runtime()?.block_on(async {
        let desk = Desk::open(context).await?;
        let named = wanted(&desk, args)?;
        let going = needs(context, &desk, args, &named)?;
        if going.is_empty() {
            let note = if named.is_empty() && !args.selector.is_empty() {
                "no unfinished cutover has these labels"
            } else if named.is_empty() {
                "no cutover is unfinished"
            } else {
                "everything that was named is at its baseline already"
            };
            context.note(note)?;
            let states = named.iter().map(|named| desk.books.state(&named.name));
            let states = states.collect::<Result<Vec<State>>>()?;
            print_phases(context, states.iter())?;
            return Ok(Exit::Done);
        }
        let mut question = String::new();
        for (name, _) in &going {
            question.push_str(&shown(&desk.books.state(name)?));
        }
        let force = if args.force {
            ", over whatever is there"
        } else {
            ""
        };
        let question = format!("{question}take the traffic back{force}?");
        context.confirm("rollback", args.yes, &question)?;
        request(context, &desk, args, &going).await?;
        let names: Vec<CutoverName> = going.into_iter().map(|(name, _)| name).collect();
        take_back(context, &desk, args, &names).await
    })
}

/// The cutovers that are named, or all unfinished ones.
fn wanted(desk: &Desk, args: &Rollback) -> Result<Vec<Named>, Expected> {
    let labelled = |state: &State| has_labels(state.plan(), &args.selector);
    if !args.names.is_empty() {
        let mut named = resolve(&args.names, &desk.books.names())?;
        let left_out = |named: &Named| {
            let mut states = desk.books.whole();
            let state = states.find(|state| state.name == named.name);
            state.is_some_and(|state| !labelled(state))
        };
        named.retain(|named| !left_out(named));
        return Ok(named);
    }
    let unfinished = |state: &&State| {
        !state.phase.is_final() || (args.include_completed && state.phase == Phase::Completed)
    };
    let all = desk.books.whole().filter(unfinished);
    let named = all.filter(|state| labelled(state)).map(|state| Named {
        name: state.name.clone(),
        by_pattern: true,
    });
    Ok(named.collect())
}

fn mode(args: &Rollback) -> RevertMode {
    if args.force {
        RevertMode::Force
    } else {
        RevertMode::Swap
    }
}

fn need(args: &Rollback, state: &State) -> Result<RollbackNeed, Expected> {
    let reason = args.reason.as_deref();
    rollback(state, mode(args), args.include_completed, reason).map_err(|reason| {
        Expected::DoesNotApply {
            command: "rollback",
            name: state.name.to_string(),
            reason: reason.to_string(),
        }
    })
}

/// The cutovers that are to go back, and whether that must be journaled first. Those that only a pattern named and that
/// have completed are passed over.
fn needs(
    context: &mut Context<'_>,
    desk: &Desk,
    args: &Rollback,
    named: &[Named],
) -> Result<Vec<(CutoverName, bool)>> {
    let (mut going, mut back, mut over) = (Vec::new(), 0_usize, None);
    for named in named {
        match need(args, &desk.books.state(&named.name)?) {
            Ok(RollbackNeed::Request(_)) => going.push((named.name.clone(), true)),
            Ok(RollbackNeed::UnderWay) => going.push((named.name.clone(), false)),
            Ok(RollbackNeed::AlreadyBack) => {
                back += 1;
                context.note(&format!("{} is at its baseline already", named.name))?;
            }
            Err(error) if named.by_pattern => {
                context.note(&format!("passed over: {error}"))?;
                over = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match over {
        // A pattern that names only what has completed asks for something that does not apply.
        Some(error) if going.is_empty() && back == 0 => Err(error.into()),
        _ => Ok(going),
    }
}

/// What goes back, a line a group.
fn shown(state: &State) -> String {
    let Some(baseline) = &state.baseline else {
        return format!("{}: not started; it is cancelled\n", state.name);
    };
    let groups = state.plan().records.iter().zip(baseline).enumerate();
    let lines: Vec<String> = groups
        .map(|(index, (group, baseline))| {
            let now = state.intended_pair(index).unwrap_or(baseline.pair());
            let back = baseline.pair();
            format!("{}: {}: weights {now} → {back}\n", state.name, group.name)
        })
        .collect();
    lines.concat()
}

/// Journals the requests. From here on any controller takes the traffic back, whatever becomes of this process.
async fn request(
    context: &mut Context<'_>,
    desk: &Desk,
    args: &Rollback,
    going: &[(CutoverName, bool)],
) -> Result<()> {
    let orders = going.iter().filter(|(_, journal)| *journal);
    let orders: Vec<Order<'_>> = orders
        .map(|(name, _)| Order {
            named: Named {
                name: name.clone(),
                by_pattern: false,
            },
            decide: Box::new(|state: &State| {
                match rollback(
                    state,
                    mode(args),
                    args.include_completed,
                    args.reason.as_deref(),
                )? {
                    RollbackNeed::Request(event) => Ok(Some(*event)),
                    // Somebody else asked for it in the meantime.
                    RollbackNeed::UnderWay | RollbackNeed::AlreadyBack => Ok(None),
                }
            }),
        })
        .collect();
    let written = write(context, desk, "rollback", &orders).await?;
    if context.json() {
        // The one result for programs is where everything stands at the end.
        return Ok(());
    }
    say(context, &written)
}

/// Takes the traffic back from this process: the controller over the named cutovers, until
/// [`super::outcome::of_rollback`] has an answer or `args.timeout` has passed.
///
/// # Errors
/// The journal cannot be used.
async fn take_back(
    context: &mut Context<'_>,
    desk: &Desk,
    args: &Rollback,
    names: &[CutoverName],
) -> Result<Exit> {
    let outside = outside(context, Arc::clone(&desk.journal)).await;
    let scope = Scope::Rollback(names.iter().cloned().collect());
    let mut controller = Controller::new(
        outside,
        Settings {
            interval: LOOK_EVERY,
            ..settings(scope)
        },
    );
    let stop = stop_signal()?;
    let timeout = tokio::time::sleep(args.timeout.try_into().unwrap_or_default());
    controller
        .run(async {
            tokio::select! { () = stop => {}, () = timeout => {} }
        })
        .await?;
    let exit = outcome::of_rollback(controller.states()).unwrap_or(Exit::RevertUnfinished);
    tell(context, &controller.states(), exit)?;
    Ok(exit)
}

/// What is back, and what is not.
fn tell(context: &mut Context<'_>, states: &[&State], exit: Exit) -> Result<()> {
    for state in states.iter().filter(|state| state.phase != Phase::Reverted) {
        let reasons: Vec<String> = state
            .held
            .iter()
            .map(|reason| hold(reason, &state.name, context.clock.now()))
            .collect();
        context.note(&format!(
            "{} is not back: {}",
            state.name,
            reasons.join("; ")
        ))?;
    }
    if exit == Exit::RevertUnfinished {
        context.note("the request stays in the journal: any controller goes on with it")?;
    }
    if context.json() {
        return print_phases(context, states.iter().copied());
    }
    for state in states.iter().filter(|state| state.phase == Phase::Reverted) {
        let how = if state.baseline.is_some() {
            "at the baseline, read back"
        } else {
            "cancelled; it had not started, and nothing was written to Route 53"
        };
        context.print(&format!("{}: {how}\n", state.name))?;
    }
    Ok(())
}

/// The result for programs: where everything that was named stands.
fn print_phases<'s>(
    context: &mut Context<'_>,
    states: impl Iterator<Item = &'s State>,
) -> Result<()> {
    if !context.json() {
        return Ok(());
    }
    let phase = |state: &State| json!({ "name": state.name, "phase": state.phase.label() });
    context.print_json(&states.map(phase).collect())
}
