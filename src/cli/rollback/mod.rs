//! `cutover rollback`: everything back to where it was before the cutover (semantics J).

mod aftermath;
mod calls;
mod damaged;
mod from_files;
mod journaled;
mod progress;
mod recreated;
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
use crate::cli::operate::{Desk, Order, say, write, write_all};
use crate::cli::outcome;
use crate::cli::output::Output;
use crate::cli::run::{outside, settings};
use crate::cli::signals::Stopping;
use crate::engine::lists;
use aftermath::Aftermath;
use calls::{Calls, counted, groups_shown};
use damaged::Damaged;
use progress::Progress;
use standing::Standing;

use crate::controller::{Controller, Scope, Settings};
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::{Event, RevertMode};
use crate::engine::record::GroupName;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{BreakGlass, Clock};
use crate::report::holds::hold_in;

/// Where `run` keeps the break-glass files if nothing else is said.
const BREAK_GLASS: &str = ".cutover/break-glass";

/// What `--no-commands` leaves to others.
const LEFT_OUT: &str = "`--no-commands`: the jobs, hooks and channels of the plan were not called; the next controller calls them, or \
                        `cutover rollback NAME` by somebody who trusts the journal. Start no controller until then";

/// What to do where the journal is of no use.
const WITHOUT_JOURNAL: &str = "without the journal: `cutover rollback --from .cutover/break-glass/*.json` writes the stored records back";

/// How long the journal may take for what was found at the end.
const NOTE_WITHIN: Duration = Duration::from_secs(2);

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
        if let Some(reason) = &args.reason
            && reason.ends_with(SHORTENED)
        {
            context.note("the reason is longer than 2 KiB; its beginning is kept")?;
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
        let question = format!("{groups}{calls}{stored}take the traffic back{force}?");
        context.confirm("rollback", args.yes, &question)?;
        if args.yes {
            context.note_lines(format!("{calls}{stored}").trim_end())?;
        }
        let until = Instant::now() + args.timeout.try_into().unwrap_or_default();
        let dns = outside(context, Arc::clone(&desk.journal)).await.dns;
        let clock = context.clock;
        // Neither waits for the other.
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

/// Journals the requests of those whose streams are whole, and takes them back.
async fn go(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    (going, ended, damaged): (&[(CutoverName, bool)], &[CutoverName], &Damaged),
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
    take_back(context, desk, args, (&names, ended, damaged), until, output).await
}

/// The cutovers that are named, or all unfinished ones.
fn wanted(desk: &Desk, args: &Rollback) -> Result<Vec<Named>, Expected> {
    let labelled = |state: &State| has_labels(state.plan(), &args.selector);
    if !args.names.is_empty() {
        let mut named = resolve(&args.names, &desk.books.names())?;
        let left_out = |named: &Named| {
            let state = desk.books.last_good(&named.name);
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

/// The cutovers that were named, by what a rollback means for each.
#[derive(Default)]
struct Sorted {
    /// They go back; whether that must be journaled first.
    going: Vec<(CutoverName, bool)>,
    /// They are over: only Route 53 can tell whether they are back.
    ended: Vec<CutoverName>,
    /// They have completed, were named outright, and that they too should go back was not said.
    completed: Vec<(CutoverName, Expected)>,
    /// The same, of those that only a pattern named: they are passed over.
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
                context.note(&format!("{name} is reverted already; its records are read"))?;
                sorted.ended.push(name);
            }
            Err(error) if named.by_pattern => sorted.over.push((name, error)),
            Err(error) if state.phase == Phase::Completed => sorted.completed.push((name, error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sorted)
}

/// What has ended is not written over where another cutover moves the same records now.
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
                    "{other} moves the same records now; take that one back: `cutover rollback {other}`",
                    other = other.name
                ),
            });
        }
    }
    Ok(())
}

/// The groups of a cutover and their zones, as far as a baseline tells them.
fn owned(state: &State) -> impl Iterator<Item = (&ZoneId, &GroupName)> {
    let baseline = state.baseline.iter().flatten();
    let groups = baseline.zip(&state.plan().records);
    groups.map(|(image, group)| (&image.zone, &group.name))
}

/// Of those that have completed and were named outright, one that is not at its baseline stops everything, before
/// anything is written, with what was found (semantics L6). The others need nothing more.
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

async fn read_now(context: &Context<'_>, desk: &Desk, states: &[State]) -> Vec<Standing> {
    let outside = outside(context, Arc::clone(&desk.journal)).await;
    standing::read(outside.dns.as_ref(), states).await
}

/// Nothing is to go back: where everything that was named stands, as read now.
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
            // A pattern that names only what has completed asks for something that does not apply.
            return Err(error.into());
        }
        context.note(&format!("passed over: {error}"))?;
    }
    note_strays(context, desk, &standings).await;
    tell(context, &standings, &Damaged::default())
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
                    RollbackNeed::UnderWay | RollbackNeed::Ended => Ok(None),
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

/// What is to be read after the end, and how many groups that is.
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

/// Takes the traffic back from this process: the controller over the named cutovers, until
/// every one is back or cannot be without a person, or `args.timeout` has passed.
///
/// # Errors
/// The journal cannot be used.
async fn take_back(
    context: &mut Context<'_>,
    desk: &mut Desk,
    args: &Rollback,
    (names, ended, damaged): (&[CutoverName], &[CutoverName], &Damaged),
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
    // Where somebody stopped it, or its time is over, it is asked once.
    let unfinished = |standing: &Standing| standing.exit() == Exit::RevertUnfinished;
    let until = if standings.iter().any(unfinished) {
        Instant::now()
    } else {
        until
    };
    if groups > 0 && (standings.iter().any(Standing::has_a_part_back) || !accepted.is_empty()) {
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

/// Whether one of them is not over.
fn states_wait(standings: &[Standing]) -> bool {
    standings
        .iter()
        .any(|standing| !standing.state.phase.is_final())
}

/// How many groups were found at their baseline.
fn read_back(standings: &[Standing]) -> String {
    let counts = standings.iter().map(Standing::back);
    let (good, all) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let all = counted(all, "group");
    format!("read back: {good} of {all} at the baseline")
}

/// Writes down who holds weight beside the baseline of what has ended, where that is news: `status` shows it. The journal
/// may be down; that changes nothing about what was found.
async fn note_strays(context: &mut Context<'_>, desk: &mut Desk, standings: &[Standing]) {
    let mut orders: Vec<Order<'_>> = Vec::new();
    for standing in standings {
        let Some(strays) = standing.known_strays() else {
            continue;
        };
        if standing.state.phase != Phase::Reverted || standing.state.strays == strays {
            continue;
        }
        let members = strays.to_vec();
        orders.push(Order {
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

/// What was found, line by line, and where everything that was named stands.
fn tell(context: &mut Context<'_>, standings: &[Standing], damaged: &Damaged) -> Result<Exit> {
    for standing in standings {
        for line in standing.found() {
            context.note(&line)?;
        }
    }
    say_standings(context, standings, damaged, false)
}

/// Where everything that was named stands: all of it by one reading.
fn say_standings(
    context: &mut Context<'_>,
    standings: &[Standing],
    damaged: &Damaged,
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
        context.note(&format!("{}: it is not back: {why}", state.name))?;
    }
    if waits && exit == Exit::RevertUnfinished {
        context.note("the request stays in the journal: any controller goes on with it")?;
    }
    if context.json() {
        let shown = standings.iter().map(Standing::to_json);
        let shown = shown.chain(damaged.rows()).collect();
        context.print_json(&shown)?;
        return Ok(exit);
    }
    for line in standings.iter().filter_map(Standing::line) {
        context.print_line(&line)?;
    }
    Ok(exit)
}
