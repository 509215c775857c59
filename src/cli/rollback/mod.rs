//! `cutover rollback`: sends the traffic back to where it was before the cutover (semantics J).

mod aftermath;
mod calls;
mod damaged;
mod from_files;
mod journaled;
mod progress;
mod recreated;
mod request;
mod standing;
pub mod stored;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::args::{Rollback, SHORTENED};
use crate::cli::break_glass::BreakGlassBeside;
use crate::cli::context::{Context, block_on};
use crate::cli::error::Expected;
use crate::cli::exit::Exit;
use crate::cli::names::{Named, has_labels, resolve};
use crate::cli::operate::{CommandOrder, Desk, say, write, write_all};
use crate::cli::outcome;
use crate::cli::output::Output;
use crate::cli::run::{outside, settings};
use crate::cli::signals::Stopping;
use crate::engine::lists;
use aftermath::Aftermath;
use calls::{Calls, counted, groups_shown};
use damaged::DamagedCutovers;
use progress::Progress;
use request::{mode, need};
use standing::CutoverStanding;

use crate::controller::{Controller, Scope, Settings};
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::Event;
use crate::engine::record::GroupName;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{BreakGlass, Clock, JournalError};
use crate::report::holds::hold_in;

/// The default directory of break-glass files.
const BREAK_GLASS: &str = ".cutover/break-glass";

/// The note about the calls that `--no-commands` did not make.
const LEFT_OUT: &str = "`--no-commands`: the jobs, hooks and channels of the plan were not called; the next controller calls them. Start \
                        none until you trust the journal, then run `cutover rollback NAME`";

/// The remedy if the journal cannot be used.
const WITHOUT_JOURNAL: &str = "without the journal: `cutover rollback --from .cutover/break-glass/*.json` writes the stored records back";

/// Longest wait for the findings of the last reading to be appended to the journal.
const NOTE_WITHIN: Duration = Duration::from_secs(2);

/// The time between two rounds of a rollback.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Asks for confirmation, journals the requests, and sends the traffic back.
///
/// # Errors
/// No cutover is named or has the name, nobody confirms, a completed cutover is named without `--include-completed`,
/// another cutover moves the same records now, or the journal cannot be read.
pub fn run(context: &mut Context<'_>, args: &Rollback, output: &Output) -> Result<Exit> {
    if !args.from.is_empty() {
        return from_files::run(context, args);
    }
    if args.names.is_empty() && args.selector.is_empty() && !args.all {
        let hint = "`cutover rollback NAME…`, `--all` or `-l KEY=VALUE`; without the journal `--from FILE…`";
        return Err(Expected::usage("no cutover named", Some(hint)).into());
    }
    block_on(async {
        let within = args.timeout.try_into().unwrap_or_default();
        let mut desk = open_within(context, within).await?;
        if let Some(reason) = &args.reason
            && reason.ends_with(SHORTENED)
        {
            context.note("the reason is longer than 2 KiB; only its beginning is kept")?;
        }
        let mut named = wanted(&desk, args)?;
        let damaged = damaged::meant(&desk, args, &mut named)?;
        let mut sorted = sort(context, &desk, args, &named)?;
        refuse_completed(context, &desk, args, &mut sorted).await?;
        if sorted.going.is_empty() && damaged.is_empty() {
            return look_only(context, &mut desk, args, sorted).await;
        }
        for (_, error) in sorted.over {
            context.note(&format!("passed over: {error}"))?;
        }
        let (going, ended) = (sorted.going, sorted.ended);
        let states = going.iter().map(|(name, _)| desk.books.state(name));
        let states = states.collect::<Result<Vec<State>>>()?;
        let mut calls = if states.is_empty() {
            String::new()
        } else {
            Calls::of_states(&states, mode(args)).shown()
        };
        calls.push_str(&recreated::recreated(&states, args.force));
        let force = if args.force {
            ", over whatever is there"
        } else {
            ""
        };
        let groups = groups_shown(&states);
        let stored = damaged.question();
        let question = format!("{groups}{calls}{stored}send the traffic back{force}?");
        context.confirm("rollback", args.yes, &question)?;
        if args.yes {
            context.note_lines(format!("{calls}{stored}").trim_end())?;
        }
        let until = Instant::now() + within;
        let dns = outside(context, Arc::clone(&desk.journal)).await.dns;
        let clock = context.clock;
        // Damaged cutovers and the others do not wait for each other.
        let (gone, ()) = tokio::join!(
            go(
                context,
                &mut desk,
                args,
                (&going, &ended, &damaged),
                until,
                output
            ),
            damaged.write(Arc::clone(&dns), &clock, until),
        );
        let told = damaged.tell(context, &desk, args, dns.as_ref()).await?;
        Ok(gone?.max(told))
    })
}

/// Opens and reads the journal. If that fails, names the way back that needs none.
///
/// # Errors
/// It does not exist, cannot be read, or does not answer in time.
async fn open_within(context: &mut Context<'_>, within: Duration) -> Result<Desk> {
    let desk = match tokio::time::timeout(within, Desk::open(context)).await {
        Ok(desk) => desk,
        Err(_) => Err(JournalError::Down("it was not read within `--timeout`".to_owned()).into()),
    };
    if desk.is_err() {
        context.note(WITHOUT_JOURNAL)?;
    }
    desk
}

/// Journals the requests of cutovers whose streams are not damaged, and sends their traffic back.
async fn go(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    (going, ended, damaged): (&[(CutoverName, bool)], &[CutoverName], &DamagedCutovers),
    until: Instant,
    output: &Output,
) -> Result<Exit> {
    if going.is_empty() {
        let states = ended.iter().map(|name| desk.books.state(name));
        let states = states.collect::<Result<Vec<State>>>()?;
        let standings = read_now(context, desk, &states).await;
        note_strays(context, desk, &standings).await;
        return tell(context, &standings, damaged);
    }
    let asking = request(context, desk, args, going);
    let asked = tokio::time::timeout_at(until, asking).await;
    let Ok(asked) = asked else {
        context.note(
            "the journal did not accept all requests in time; any controller goes on with the accepted ones: run this again",
        )?;
        return Ok(Exit::RevertUnfinished);
    };
    asked?;
    // Do not wait for a cutover that completed in the meantime.
    let mut names: Vec<CutoverName> = Vec::new();
    for (name, _) in going {
        if let Ok(state) = desk.books.state(name)
            && need(args, &state).is_ok()
        {
            names.push(name.clone());
        }
    }
    if let (true, Some((name, _))) = (names.is_empty(), going.first()) {
        need(args, &desk.books.state(name)?)?;
    }
    take_back(context, desk, args, (&names, ended, damaged), until, output).await
}

/// Returns the named cutovers, or all unfinished ones if none is named. In both cases, only those with the labels.
fn wanted(desk: &Desk, args: &Rollback) -> Result<Vec<Named>, Expected> {
    if !args.names.is_empty() {
        let mut named = resolve(&args.names, &desk.books.names())?;
        named.retain(|named| match desk.books.last_good(&named.name) {
            Some(state) => has_labels(state.plan(), &args.selector),
            None => true,
        });
        return Ok(named);
    }
    let mut named = Vec::new();
    for state in desk.books.whole() {
        let is_asked_for =
            !state.phase.is_final() || (args.include_completed && state.phase == Phase::Completed);
        if is_asked_for && has_labels(state.plan(), &args.selector) {
            named.push(Named {
                name: state.name.clone(),
                by_pattern: true,
            });
        }
    }
    Ok(named)
}

/// The cutovers of a rollback, sorted by what is done with each.
#[derive(Default)]
struct Sorted {
    /// Cutovers that go back. The flag is true if the request must be journaled first.
    going: Vec<(CutoverName, bool)>,
    /// Cutovers that have ended. Only a reading of Route 53 tells whether they are back.
    ended: Vec<CutoverName>,
    /// Cutovers that have completed and were named without a pattern, while `--include-completed` was not given.
    completed: Vec<(CutoverName, Expected)>,
    /// Cutovers to which the rollback does not apply and that only a pattern named. They are passed over.
    over: Vec<(CutoverName, Expected)>,
}

fn sort(
    context: &mut Context<'_>,
    desk: &Desk,
    args: &Rollback,
    named: &[Named],
) -> Result<Sorted, anyhow::Error> {
    let mut sorted = Sorted::default();
    for named in named {
        let state = desk.books.state(&named.name)?;
        let name = named.name.clone();
        match need(args, &state) {
            Ok(RollbackNeed::Request(_)) => {
                overlap(desk, &state)?;
                sorted.going.push((name, true));
            }
            Ok(RollbackNeed::UnderWay) => sorted.going.push((name, false)),
            Ok(RollbackNeed::Ended) => {
                let ended = if state.phase == Phase::Abandoned {
                    "was abandoned"
                } else {
                    "is reverted already"
                };
                context.note(&format!("{name} {ended}; reading its records"))?;
                sorted.ended.push(name);
            }
            Err(error) if named.by_pattern => sorted.over.push((name, error)),
            Err(error) if state.phase == Phase::Completed => sorted.completed.push((name, error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sorted)
}

/// Refuses to write over the records of a reverted cutover if another cutover moves them now.
fn overlap(desk: &Desk, state: &State) -> Result<(), Expected> {
    if state.phase != Phase::Reverted {
        return Ok(());
    }
    let groups: BTreeSet<(&ZoneId, &GroupName)> = owned(state).collect();
    for other in desk.books.whole() {
        let moves = other.has_started() && !other.phase.is_final() && other.name != state.name;
        if moves && owned(other).any(|group| groups.contains(&group)) {
            return Err(Expected::DoesNotApply {
                command: "rollback",
                name: state.name.to_string(),
                reason: format!(
                    "{other} moves the same records now; roll that one back: `cutover rollback {other}`",
                    other = other.name
                ),
            });
        }
    }
    Ok(())
}

/// Returns the groups of a cutover with their zones, which only the baseline knows; empty without a baseline.
fn owned(state: &State) -> impl Iterator<Item = (&ZoneId, &GroupName)> {
    let baseline = state.baseline.iter().flatten();
    let groups = baseline.zip(&state.plan().records);
    groups.map(|(image, group)| (&image.zone, &group.name))
}

/// Refuses the whole rollback, before anything is written, if a completed cutover was named without a pattern and is
/// not at its baseline; prints what was found (semantics L6). Completed cutovers at their baseline count as ended.
async fn refuse_completed(
    context: &mut Context<'_>,
    desk: &Desk,
    args: &Rollback,
    sorted: &mut Sorted,
) -> Result<()> {
    if sorted.completed.is_empty() {
        return Ok(());
    }
    let names = sorted.completed.iter().map(|(name, _)| name);
    let states = names.map(|name| desk.books.state(name));
    let states = states.collect::<Result<Vec<State>>>()?;
    let standings = read_now(context, desk, &states).await;
    for standing in standings {
        if !standing.is_back() {
            for line in standing.found() {
                context.note(&line)?;
            }
            need(args, &standing.state)?;
        }
    }
    let back = std::mem::take(&mut sorted.completed);
    sorted.ended.extend(back.into_iter().map(|(name, _)| name));
    Ok(())
}

async fn read_now(context: &Context<'_>, desk: &Desk, states: &[State]) -> Vec<CutoverStanding> {
    let outside = outside(context, Arc::clone(&desk.journal)).await;
    standing::read(outside.dns.as_ref(), states).await
}

/// Prints where the named cutovers are, as just read. Used if none of them goes back.
async fn look_only(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    sorted: Sorted,
) -> Result<Exit> {
    let nothing = sorted.ended.is_empty() && sorted.over.is_empty();
    if nothing {
        let note = if args.selector.is_empty() {
            "no cutover is unfinished"
        } else {
            "no unfinished cutover has these labels"
        };
        context.note(note)?;
        if context.json() {
            context.print_json(&json!([]))?;
        }
        return Ok(Exit::Done);
    }
    let mut standings = Vec::new();
    let over: Vec<CutoverName> = sorted.over.iter().map(|(name, _)| name.clone()).collect();
    let names = sorted.ended.iter().chain(&over);
    let states = names.map(|name| desk.books.state(name));
    let states = states.collect::<Result<Vec<State>>>()?;
    for standing in read_now(context, desk, &states).await {
        if over.contains(&standing.state.name) && !standing.is_back() {
            for line in standing.found() {
                context.note(&line)?;
            }
        } else {
            standings.push(standing);
        }
    }
    for (name, error) in sorted.over {
        if standings.iter().any(|standing| standing.state.name == name) {
            continue;
        }
        if standings.is_empty() {
            // The pattern matched only completed cutovers, so the command does not apply.
            return Err(error.into());
        }
        context.note(&format!("passed over: {error}"))?;
    }
    note_strays(context, desk, &standings).await;
    tell(context, &standings, &DamagedCutovers::default())
}

/// Journals the requests. From then on, any controller sends the traffic back, even if this process ends.
async fn request(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    going: &[(CutoverName, bool)],
) -> Result<()> {
    let orders = going.iter().filter(|(_, journal)| *journal);
    let orders: Vec<CommandOrder<'_>> = orders
        .map(|(name, _)| CommandOrder {
            named: Named {
                name: name.clone(),
                // A cutover that ended in the meantime must not stop the others.
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
                    // Somebody else requested it in the meantime, or the cutover has ended.
                    RollbackNeed::UnderWay | RollbackNeed::Ended => Ok(None),
                }
            }),
        })
        .collect();
    let written = write(context, desk, "rollback", &orders).await?;
    if context.json() {
        // For programs, a single result is printed at the end.
        return Ok(());
    }
    say(context, &written)
}

/// Returns the images to read after the end, and the number of groups that go back.
fn what_goes_back(desk: &Desk, names: &[CutoverName]) -> Result<(Aftermath, usize)> {
    let (mut aftermath, mut groups) = (Aftermath::default(), 0);
    for name in names {
        let state = desk.books.state(name)?;
        let way_back = state.way_back();
        groups += way_back.len();
        aftermath.add(way_back);
        aftermath.add_ttls(&state.alias_ttls);
    }
    Ok((aftermath, groups))
}

/// Sends the traffic back from this process: runs the controller for the named cutovers until each is back or needs a person,
/// or `args.timeout` has passed.
///
/// # Errors
/// The journal or signals cannot be used, or the output cannot be written.
async fn take_back(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    (names, ended, damaged): (&[CutoverName], &[CutoverName], &DamagedCutovers),
    until: Instant,
    output: &Output,
) -> Result<Exit> {
    let mut outside = outside(context, Arc::clone(&desk.journal)).await;
    outside.break_glass = break_glass(context, args)
        .map(|directory| -> Arc<dyn BreakGlass> { Arc::new(BreakGlassBeside::new(directory)) });
    let (mut aftermath, groups) = what_goes_back(desk, names)?;
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
            calls_nothing: args.no_commands,
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
    let mut states: Vec<State> = controller.states().into_iter().cloned().collect();
    for name in ended {
        states.push(desk.books.state(name)?);
    }
    let standings = standing::read(dns.as_ref(), &states).await;
    for standing in &standings {
        for line in standing.found() {
            context.note(&line)?;
        }
    }
    if groups > 0 {
        context.note(&read_back(&standings))?;
    }
    let accepted = progress.accepted();
    // If the rollback was stopped or its time is over, Route 53 is asked about its changes only once more.
    let is_unfinished = standings
        .iter()
        .any(|standing| standing.exit() == Exit::RevertUnfinished);
    let until = if is_unfinished { Instant::now() } else { until };
    if groups > 0
        && (standings.iter().any(CutoverStanding::has_a_part_back) || !accepted.is_empty())
    {
        aftermath
            .drain(context, dns.as_ref(), &accepted, until)
            .await?;
    }
    note_strays(context, desk, &standings).await;
    if args.no_commands && states_wait(&standings) {
        context.note(LEFT_OUT)?;
    }
    let broke = outcome::of_damaged(controller.damaged());
    let told = say_standings(context, &standings, damaged, args.no_commands)?;
    Ok(told.max(broke))
}

/// Returns true if at least one of the cutovers has not ended.
fn states_wait(standings: &[CutoverStanding]) -> bool {
    standings
        .iter()
        .any(|standing| !standing.state.phase.is_final())
}

/// Returns the note on how many groups were read at their baseline.
fn read_back(standings: &[CutoverStanding]) -> String {
    let counts = standings.iter().map(CutoverStanding::back);
    let (good, all) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let all = counted(all, "group");
    format!("read back: {good} of {all} at the baseline")
}

/// Journals, for reverted cutovers, the members outside the baseline that hold weight, if they changed: `status` shows
/// them. A failure is ignored, because the journal may be down.
async fn note_strays(context: &mut Context<'_>, desk: &mut Desk, standings: &[CutoverStanding]) {
    let mut orders: Vec<CommandOrder<'_>> = Vec::new();
    for standing in standings {
        let Some(strays) = standing.known_strays() else {
            continue;
        };
        if standing.state.phase != Phase::Reverted || standing.state.strays == strays {
            continue;
        }
        let members = strays.to_vec();
        orders.push(CommandOrder {
            named: Named {
                name: standing.state.name.clone(),
                by_pattern: true,
            },
            decide: Box::new(move |state: &State| {
                if state.phase != Phase::Reverted || state.strays == members {
                    return Ok(None);
                }
                let members = members.clone();
                Ok(Some(Event::StrayWeightsFound { members }))
            }),
        });
    }
    let mut written = Vec::new();
    let writing = write_all(context, desk, "rollback", &orders, &mut written);
    let _best_effort = tokio::time::timeout(NOTE_WITHIN, writing).await;
}

/// Returns the directory of this journal's break-glass files: the one of `--break-glass`, or the default one if it
/// exists and is in the directory of the journal. Otherwise `None`, because the files of another journal must not be
/// touched.
fn break_glass(context: &Context<'_>, args: &Rollback) -> Option<PathBuf> {
    if let Some(directory) = &args.break_glass {
        return Some(directory.clone());
    }
    let directory = Path::new(BREAK_GLASS);
    let journal = context.global.journal.strip_prefix("sqlite:")?;
    let is_beside = folder(Path::new(journal))? == folder(directory)?;
    if is_beside && directory.is_dir() {
        return Some(directory.to_owned());
    }
    None
}

fn folder(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    Some(path.parent()?.to_owned())
}

/// Prints what was found in each group that is not back, and then where each cutover is. Returns the exit code.
fn tell(
    context: &mut Context<'_>,
    standings: &[CutoverStanding],
    damaged: &DamagedCutovers,
) -> Result<Exit> {
    for standing in standings {
        for line in standing.found() {
            context.note(&line)?;
        }
    }
    say_standings(context, standings, damaged, false)
}

/// Prints where each cutover is, and returns the exit code. Both come from one reading (semantics L6).
fn say_standings(
    context: &mut Context<'_>,
    standings: &[CutoverStanding],
    damaged: &DamagedCutovers,
    calls_nothing: bool,
) -> Result<Exit> {
    let mut exit = Exit::Done;
    let mut waits = false;
    for standing in standings {
        let state = &standing.state;
        if calls_nothing && standing.lacks_only_calls() {
            let name = &state.name;
            context.note(&format!(
                "{name}: its weights are at the baseline, read back"
            ))?;
            continue;
        }
        exit = exit.max(standing.exit());
        if state.phase.is_final() {
            continue;
        }
        waits = true;
        let baseline = state.baseline.iter().flatten();
        let zones: BTreeSet<ZoneId> = baseline.map(|image| image.zone.clone()).collect();
        let reasons: Vec<String> = state
            .held
            .iter()
            .map(|reason| hold_in(&zones, reason, &state.name, context.clock.now()))
            .collect();
        let why = lists::some(&reasons, "; ");
        context.note(&format!("{}: not back yet: {why}", state.name))?;
    }
    if waits && exit == Exit::RevertUnfinished {
        context.note("the request stays in the journal, and any controller goes on with it")?;
    }
    if context.json() {
        let shown = standings.iter().map(CutoverStanding::to_json);
        let shown = shown.chain(damaged.rows()).collect();
        context.print_json(&shown)?;
        return Ok(exit);
    }
    for line in standings.iter().filter_map(CutoverStanding::line) {
        context.print_line(&line)?;
    }
    Ok(exit)
}
