//! `cutover rollback`: everything back to where it was before the cutover (RULES J).

mod aftermath;
mod calls;
mod from_files;
mod progress;
mod stored;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::args::Rollback;
use crate::cli::break_glass::BreakGlassBeside;
use crate::cli::context::{Context, block_on};
use crate::cli::error::Expected;
use crate::cli::exit::Exit;
use crate::cli::names::{Named, has_labels, resolve};
use crate::cli::operate::{Desk, Order, say, write};
use crate::cli::outcome;
use crate::cli::output::Output;
use crate::cli::run::{outside, settings};
use crate::cli::signals::Stopping;
use aftermath::Aftermath;
use calls::{Calls, groups_shown};
use progress::Progress;

use crate::controller::{Controller, Scope, Settings};
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::RevertMode;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{BreakGlass, Clock};
use crate::report::holds::hold_in;

/// Where `run` keeps the break-glass files if nothing else is said.
const BREAK_GLASS: &str = ".cutover/break-glass";

/// What to do where the journal is of no use.
const WITHOUT_JOURNAL: &str = "without the journal: `cutover rollback --from .cutover/break-glass/*.json` writes the stored records back";

/// How often a rollback looks while nothing else wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Asks, journals the requests, and takes the traffic back.
///
/// # Errors
/// No such cutover, nobody confirms, it has completed; or the journal cannot be read.
pub fn run(context: &mut Context<'_>, args: &Rollback, output: &Output) -> Result<Exit> {
    if !args.from.is_empty() {
        return from_files::run(context, args);
    }
    if args.names.is_empty() && args.selector.is_empty() && !args.all {
        let hint = "`cutover rollback NAME…`, `--all`, `-l KEY=VALUE`, or without the journal `--from FILE…`";
        return Err(Expected::usage("it is not said what is to go back", Some(hint)).into());
    }
    block_on(async {
        let desk = Desk::open(context).await;
        if desk.is_err() {
            context.note(WITHOUT_JOURNAL)?;
        }
        let mut desk = desk?;
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
            return passed_by(context, &desk, args.names.is_empty(), Exit::Done);
        }
        let states = going.iter().map(|(name, _)| desk.books.state(name));
        let states = states.collect::<Result<Vec<State>>>()?;
        let calls = Calls::of_states(&states, mode(args)).shown();
        let force = if args.force {
            ", over whatever is there"
        } else {
            ""
        };
        let groups = groups_shown(&states);
        let question = format!("{groups}{calls}take the traffic back{force}?");
        context.confirm("rollback", args.yes, &question)?;
        if args.yes {
            context.note(calls.trim_end())?;
        }
        let until = Instant::now() + args.timeout.try_into().unwrap_or_default();
        let asking = request(context, &mut desk, args, &going);
        let asked = tokio::time::timeout_at(until, asking).await;
        let Ok(asked) = asked else {
            context.note(
                "the journal did not take all requests in time; what it took any controller goes on with: run this again",
            )?;
            return Ok(Exit::RevertUnfinished);
        };
        asked?;
        // Whatever completed while this was being asked for is nothing to wait for.
        let goes = |name: &CutoverName| {
            let state = desk.books.state(name);
            state.is_ok_and(|state| need(args, &state).is_ok())
        };
        let names = going.iter().map(|(name, _)| name);
        let names: Vec<CutoverName> = names.filter(|name| goes(name)).cloned().collect();
        if let (true, Some((name, _))) = (names.is_empty(), going.first()) {
            need(args, &desk.books.state(name)?)?;
        }
        let exit = take_back(context, &desk, args, &names, until, output).await?;
        let all = args.names.is_empty();
        passed_by(context, &desk, all, exit)
    })
}

/// Where all were meant, those whose part of the journal is damaged were not taken back: says so.
fn passed_by(context: &mut Context<'_>, desk: &Desk, all: bool, exit: Exit) -> Result<Exit> {
    let damaged: Vec<_> = desk.books.damaged().filter(|_| all).collect();
    if damaged.is_empty() {
        return Ok(exit);
    }
    for error in damaged {
        context.note(&format!(
            "not taken back, its journal does not make sense: {error}"
        ))?;
    }
    context.note(WITHOUT_JOURNAL)?;
    Ok(exit.max(Exit::RevertUnfinished))
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

/// Journals the requests. From here on any controller takes the traffic back, whatever becomes of this process.
async fn request(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    going: &[(CutoverName, bool)],
) -> Result<()> {
    let orders = going.iter().filter(|(_, journal)| *journal);
    let orders: Vec<Order<'_>> = orders
        .map(|(name, _)| Order {
            named: Named {
                name: name.clone(),
                // One that ended while others were asked for must not stop the rest.
                by_pattern: true,
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
    until: Instant,
    output: &Output,
) -> Result<Exit> {
    let mut outside = outside(context, Arc::clone(&desk.journal)).await;
    outside.break_glass = break_glass(context, args)
        .map(|directory| -> Arc<dyn BreakGlass> { Arc::new(BreakGlassBeside::new(directory)) });
    let states = names.iter().map(|name| desk.books.state(name));
    let (mut aftermath, mut groups) = (Aftermath::default(), 0);
    for state in states {
        let state = state?;
        let baseline = state.baseline.iter().flatten();
        groups += baseline.clone().count();
        aftermath.add(&state.plan().aws.account, baseline.cloned());
    }
    let progress = Progress::of(groups);
    let (watching, narrate) = (progress.clone(), Arc::clone(&outside.narrate));
    outside.narrate = Arc::new(move |entry| {
        watching.see(entry);
        narrate(entry)
    });
    let dns = Arc::clone(&outside.dns);
    let scope = Scope::Rollback(names.iter().cloned().collect());
    let mut controller = Controller::new(
        outside,
        Settings {
            interval: LOOK_EVERY,
            ..settings(scope)
        },
    );
    let stopping = Stopping {
        on_hangup: false,
        hung: Exit::RevertUnfinished,
        output: output.clone(),
    };
    let stop = stopping.signal()?;
    let stop = async {
        tokio::select! { () = stop => {}, () = tokio::time::sleep_until(until) => {} }
    };
    tokio::select! {
        ended = controller.run(stop) => drop(ended?),
        told = progress.tell(context) => told?,
    }
    let mut exit = outcome::of_rollback(controller.states()).unwrap_or(Exit::RevertUnfinished);
    let found = aftermath.read_back(context, dns.as_ref()).await?;
    if exit == Exit::Done && found.astray > 0 {
        // What cannot be read now was read at its baseline before, or the journal would not say that it is back.
        exit = Exit::RevertUnfinished;
    }
    let accepted = progress.accepted();
    // Where somebody stopped it, or its time is over, it is asked once.
    let until = if exit == Exit::RevertUnfinished {
        Instant::now()
    } else {
        until
    };
    if found.good > 0 || !accepted.is_empty() {
        aftermath
            .drain(context, dns.as_ref(), &accepted, until)
            .await?;
    }
    tell(context, &controller.states(), exit)?;
    Ok(exit)
}

/// The directory of break-glass files that this journal's controllers keep: the one that is named, or the default one,
/// if it is there and lies beside the journal. Another journal's files must not be touched.
fn break_glass(context: &Context<'_>, args: &Rollback) -> Option<PathBuf> {
    if let Some(directory) = &args.break_glass {
        return Some(directory.clone());
    }
    let directory = Path::new(BREAK_GLASS);
    let journal = context.global.journal.strip_prefix("sqlite:")?;
    let folder = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        Some(path.parent()?.to_owned())
    };
    let beside = folder(Path::new(journal))? == folder(directory)?;
    (beside && directory.is_dir()).then(|| directory.to_owned())
}

/// What is back, and what is not.
fn tell(context: &mut Context<'_>, states: &[&State], exit: Exit) -> Result<()> {
    for state in states.iter().filter(|state| state.phase != Phase::Reverted) {
        let baseline = state.baseline.iter().flatten();
        let zones: BTreeSet<ZoneId> = baseline.map(|image| image.zone.clone()).collect();
        let reasons: Vec<String> = state
            .held
            .iter()
            .map(|reason| hold_in(&zones, reason, &state.name, context.clock.now()))
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
