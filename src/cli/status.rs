//! `cutover status`: where every cutover is, and why, from the journal and the heartbeats of the controllers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::args::Status;
use super::books::{Books, open_journal};
use super::clock::here;
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::names::{has_labels, resolve};
use crate::engine::calendar::Calendar;
use crate::engine::fleet::{NAMED_MAX, is_fleet};
use crate::engine::hold::HoldReason;
use crate::engine::notify::{Notify, channel_shown};
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, Share, WeightPair, ZoneId};
use crate::journal::Open;
use crate::ports::{Clock, Cursor, Glance, Heartbeat, Journal};
use crate::report::approval::ApprovalEvidence;
use crate::report::calendar::Clocks;
use crate::report::notice::{self, Failing, PassedOver};
use crate::report::status::{ComingSteps, RecordRow, Row, Watch, to_json, to_text};
use crate::report::{self, holds, text};

/// Time between two readings of the journal by `status --watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Shortest time for which a heartbeat is fresh, in seconds, however short the interval of the rounds is (semantics
/// G3).
const FRESH_SECS_MIN: u64 = 60;

/// Prints the status, once or until Ctrl-C.
///
/// # Errors
/// A name is not in the journal, or the journal cannot be read. A missing journal is no error (semantics G2).
pub fn run(context: &mut Context<'_>, args: &Status) -> Result<Exit> {
    block_on(async {
        let journal = match open_journal(context, Open::ReadOnly).await {
            Ok(journal) => journal,
            Err(error) => return without_journal(context, error),
        };
        if args.watch {
            tokio::select! {
                shown = watch(context, journal.as_ref(), args) => shown,
                _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
            }
        } else {
            let seen = look(context, journal.as_ref(), args).await?;
            show(context, &seen)?;
            Ok(Exit::Done)
        }
    })
}

/// Prints that there is no cutover, if `error` says that there is no journal.
///
/// # Errors
/// Returns any other error.
fn without_journal(context: &mut Context<'_>, error: anyhow::Error) -> Result<Exit> {
    let Some(Expected::JournalMissing { place, in_table }) = error.downcast_ref::<Expected>()
    else {
        return Err(error);
    };
    let beginning = if *in_table {
        "start with `cutover journal create URL`, which makes a table with one"
    } else {
        "start with `cutover run PATH…`, which creates one"
    };
    context.note(&format!(
        "no journal at {place}, so there are no cutovers; name another with `--journal URL` or CUTOVER_JOURNAL, or \
         {beginning}"
    ))?;
    // A program gets an empty array in both formats (semantics G2); a person on a terminal gets words.
    if context.json() || !context.terminal.out {
        context.print("[]\n")?;
    } else {
        context.print("no cutover to show\n")?;
    }
    Ok(Exit::Done)
}

/// The result of reading the journal once.
struct Snapshot {
    rows: Vec<Row>,
    watch: Watch,
    /// Lines about the fleet, about refused files, and about channels that fail.
    fleet: Vec<String>,
    now: Timestamp,
}

impl Snapshot {
    /// Returns what counts as a change if the output is not a terminal: everything but times, which differ in each
    /// reading.
    fn essence(&self) -> (Vec<Row>, bool, Vec<String>) {
        let rows = self.rows.iter().map(|row| Row {
            because: row.because.iter().map(HoldReason::subject).collect(),
            next_at: None,
            observed_at: None,
            approval: None,
            coming: None,
            failing: Vec::new(),
            passed_over: Vec::new(),
            ..row.clone()
        });
        let fresh = self.watch == Watch::Fresh;
        (rows.collect(), fresh, self.fleet.clone())
    }
}

async fn look(context: &mut Context<'_>, journal: &dyn Journal, args: &Status) -> Result<Snapshot> {
    let books = Books::read(journal).await?;
    let now = context.clock.now();
    let wanted: Option<BTreeSet<CutoverName>> = if args.names.is_empty() {
        None
    } else {
        let named = resolve(&args.names, &books.names())?;
        Some(named.into_iter().map(|named| named.name).collect())
    };
    let glances = Glances::of(&books.heartbeats);
    let mut shown = Vec::new();
    for state in books.states() {
        if is_wanted(state, wanted.as_ref(), args) {
            shown.push(state);
        }
    }
    note_blank(context, &books, wanted.as_ref())?;
    let unfinished = shown.iter().filter(|state| !state.phase.is_final()).count();
    let detailed = !args.names.is_empty() || unfinished == 1;
    let failing = failing(&books, now);
    let passed_over = passed_over(&books, now);
    let mut rows = Vec::new();
    for state in shown {
        let own_failing = failing.iter().filter(|one| one.stream == state.name);
        let own_passed_over = passed_over.iter().filter(|one| one.stream == state.name);
        let row = Row {
            coming: coming(&books, state, now, detailed),
            failing: own_failing.cloned().collect(),
            passed_over: own_passed_over.cloned().collect(),
            ..row(&books, state, &glances, now)
        };
        if !args.needs_person || row.needs_person() {
            rows.push(row);
        }
    }
    let watch = watched(&books, now);
    let mut fleet = fleet_lines(&books, now);
    fleet.extend(notice::failing(&failing));
    fleet.extend(passed_over.iter().map(PassedOver::line));
    Ok(Snapshot {
        rows,
        watch,
        fleet,
        now,
    })
}

/// Returns true if the command line asks for this cutover. `wanted` has the names; `None` means all cutovers.
fn is_wanted(state: &State, wanted: Option<&BTreeSet<CutoverName>>, args: &Status) -> bool {
    wanted.is_none_or(|wanted| wanted.contains(&state.name))
        && (args.phase.is_empty() || args.phase.contains(&state.phase))
        && has_labels(state.plan(), &args.selector)
}

fn show(context: &mut Context<'_>, seen: &Snapshot) -> Result<()> {
    if context.json() {
        // The documented JSON array cannot hold these lines, so they go to standard error.
        for note in words(seen.watch, seen.now).iter().chain(&seen.fleet) {
            context.note(note)?;
        }
        return context.print_json(&to_json(&seen.rows, seen.now));
    }
    let width = context.terminal.width;
    let shown = to_text(&seen.rows, &seen.fleet, seen.watch, seen.now, width);
    context.print(&shown)
}

/// Reads the journal every [`WATCH_INTERVAL`]. On a terminal the screen is redrawn; elsewhere the status is printed
/// only if something changed.
async fn watch(context: &mut Context<'_>, journal: &dyn Journal, args: &Status) -> Result<Exit> {
    let mut last = None;
    loop {
        let seen = look(context, journal, args).await?;
        if context.terminal.out && !context.json() {
            context.wipe()?;
            show(context, &seen)?;
            let footer = format!("\n{}, every 2s; Ctrl-C ends\n", text::second(seen.now));
            context.print(&text::styled(text::FAINT, &footer))?;
        } else if last.as_ref() != Some(&seen.essence()) {
            show(context, &seen)?;
            last = Some(seen.essence());
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// Returns true if a heartbeat is recent enough: the controller is assumed to be alive (semantics G3).
pub(super) fn is_fresh(heartbeat: &Heartbeat, now: Timestamp) -> bool {
    let limit = heartbeat
        .interval_secs
        .saturating_mul(3)
        .max(FRESH_SECS_MIN);
    let limit = SignedDuration::from_secs(i64::try_from(limit).unwrap_or(i64::MAX));
    now.duration_since(heartbeat.at) <= limit
}

/// Returns whether a controller watches the unfinished cutovers.
fn watched(books: &Books, now: Timestamp) -> Watch {
    let unfinished = books.states().any(|state| !state.phase.is_final());
    let unfinished = unfinished || books.damaged().next().is_some();
    let newest = books.heartbeats.iter().map(|heartbeat| heartbeat.at).max();
    let fresh = books
        .heartbeats
        .iter()
        .any(|heartbeat| is_fresh(heartbeat, now));
    if !unfinished || fresh {
        return Watch::Fresh;
    }
    // Heartbeats are kept for a day, entries forever.
    let wrote = books
        .entries
        .values()
        .flatten()
        .filter(|entry| entry.actor.starts_with("controller "))
        .map(|entry| entry.at)
        .max();
    newest.max(wrote).map_or(Watch::Never, Watch::Stale)
}

/// Returns a warning if a cutover is unfinished and no controller watches; otherwise `None`.
pub fn unwatched(books: &Books, now: Timestamp) -> Option<String> {
    words(watched(books, now), now)
}

fn words(watch: Watch, now: Timestamp) -> Option<String> {
    match watch {
        Watch::Fresh => None,
        Watch::Stale(since) => Some(format!(
            "no controller has looked since {}",
            text::when(since, now)
        )),
        Watch::Never => Some("no controller has looked yet".to_owned()),
    }
}

/// The newest [`Glance`] of a controller at each cutover, with the heartbeat that has it.
struct Glances<'a>(BTreeMap<&'a CutoverName, (&'a Heartbeat, &'a Glance)>);

impl<'a> Glances<'a> {
    /// Collects the glances. `heartbeats` must be newest first.
    fn of(heartbeats: &'a [Heartbeat]) -> Self {
        let mut glances = BTreeMap::new();
        for heartbeat in heartbeats {
            for (name, glance) in &heartbeat.cutovers {
                glances.entry(name).or_insert((heartbeat, glance));
            }
        }
        Self(glances)
    }
}

/// Returns lines about the fleet as a whole, and about files that a controller refused.
fn fleet_lines(books: &Books, now: Timestamp) -> Vec<String> {
    let mut lines = report::fleet::lines(books.fleet(), now);
    let fresh = books
        .heartbeats
        .iter()
        .filter(|heartbeat| is_fresh(heartbeat, now));
    let refused: BTreeMap<&String, &String> =
        fresh.flat_map(|heartbeat| &heartbeat.refused).collect();
    let mut by_reason: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
    for (path, why) in refused {
        by_reason.entry(why).or_default().push(path);
    }
    for (why, paths) in by_reason {
        let named = paths[..paths.len().min(NAMED_MAX)].join(", ");
        let more = match paths.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!(
            "refused: {named}{more}: {why}; see `cutover check`"
        ));
    }
    lines
}

/// Returns true if the channel of a cursor is still in use: in the plan of its cutover, or, for the fleet's stream, in the
/// fleet's file or in any plan.
fn is_in_use(books: &Books, cursor: &Cursor) -> bool {
    // The fleet's entry about a damaged cutover goes to the channels of its plan.
    let of_fleet = is_fleet(&cursor.stream);
    if of_fleet && has_channel(books.fleet().settings.notify.as_ref(), &cursor.channel) {
        return true;
    }
    books.whole().any(|state| {
        (of_fleet || state.name == cursor.stream)
            && has_channel(state.plan().notify.as_ref(), &cursor.channel)
    })
}

fn has_channel(notify: Option<&Notify>, id: &str) -> bool {
    let Some(notify) = notify else {
        return false;
    };
    notify.all().iter().any(|channel| channel.id() == id)
}

/// Returns the channels in use that fail to deliver.
fn failing(books: &Books, now: Timestamp) -> Vec<Failing> {
    let mut failing = Vec::new();
    for cursor in &books.cursors {
        if let Some(trouble) = &cursor.trouble
            && is_in_use(books, cursor)
        {
            failing.push(Failing {
                stream: cursor.stream.clone(),
                channel: channel_shown(&cursor.channel),
                since: trouble.since,
                tries: trouble.tries,
                why: trouble.why.clone(),
                again_at: trouble.again_at,
                attended: is_attended(books, &cursor.stream, now),
            });
        }
    }
    failing
}

/// Returns true if a running controller delivers the entries of a stream.
fn is_attended(books: &Books, stream: &CutoverName, now: Timestamp) -> bool {
    books.heartbeats.iter().any(|heartbeat| {
        let its = is_fleet(stream) || heartbeat.cutovers.contains_key(stream);
        its && !heartbeat.ended && is_fresh(heartbeat, now)
    })
}

/// How long `status` shows that an entry was not delivered to a channel.
const PASSED_OVER_SHOWN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Returns the channels in use to which an entry was not delivered in the last [`PASSED_OVER_SHOWN`].
fn passed_over(books: &Books, now: Timestamp) -> Vec<PassedOver> {
    let mut all = Vec::new();
    for cursor in &books.cursors {
        let Some(last) = cursor.skipped.last() else {
            continue;
        };
        if now.duration_since(last.at) > PASSED_OVER_SHOWN || !is_in_use(books, cursor) {
            continue;
        }
        all.push(PassedOver {
            stream: cursor.stream.clone(),
            channel: channel_shown(&cursor.channel),
            entries: cursor.skipped.iter().map(|one| one.seq).collect(),
            page: cursor.skipped.iter().any(|one| one.page),
            at: last.at,
            why: last.why.clone(),
        });
    }
    all
}

/// Returns when the next steps can happen, in the time zones of the plan and of this machine; `None` if the stream is
/// damaged or no step is to come. If `shown`, they are printed in detail.
fn coming(books: &Books, state: &State, now: Timestamp, shown: bool) -> Option<ComingSteps> {
    if books.fleet().damage(&state.name).is_some() {
        return None;
    }
    let calendar = Calendar::of_state(state, now)?;
    let plan = state.plan().clone();
    Some(ComingSteps {
        clocks: Clocks::of(&plan, &here()),
        calendar,
        plan,
        shown,
    })
}

/// Prints a note for each cutover that cannot be shown because the first entry of its stream cannot be used.
fn note_blank(
    context: &mut Context<'_>,
    books: &Books,
    wanted: Option<&BTreeSet<CutoverName>>,
) -> Result<()> {
    for (name, damage) in books.damaged() {
        let asked = wanted.is_none_or(|wanted| wanted.contains(name));
        if asked && books.last_good(name).is_none() {
            let reason = holds::hold(&damage.hold(), name, context.clock.now());
            context.note(&format!("{name}: {reason}"))?;
        }
    }
    Ok(())
}

/// Returns the row of a cutover. If its stream is damaged, the row is about the state before the damage (semantics J,
/// L4).
fn row(books: &Books, state: &State, glances: &Glances<'_>, now: Timestamp) -> Row {
    let plan = state.plan();
    let known = glances.0.get(&state.name).copied();
    let (mut glance, mut fresh) = (None, None);
    // A round from before the phase began says nothing about the phase.
    if let Some((heartbeat, seen)) = known
        && heartbeat.at >= state.phase_since
    {
        glance = Some(seen);
        if is_fresh(heartbeat, now) {
            fresh = Some(seen);
        }
    }
    // An ended cutover has no next decision and no share to observe.
    let ongoing = if state.phase.is_final() { None } else { fresh };
    let damage = books.fleet().damage(&state.name);
    let because = match damage {
        Some(damage) => vec![damage.hold()],
        None => because(state, fresh),
    };
    let asked = because.iter().find_map(HoldReason::asks_approval);
    Row {
        approval: asked.and_then(|step| ApprovalEvidence::of(state, step, now)),
        coming: None,
        failing: Vec::new(),
        passed_over: Vec::new(),
        name: state.name.clone(),
        labels: plan.labels.clone(),
        attempt: state.attempt,
        phase: state.phase.label(),
        paused: state.paused.is_some(),
        step: match state.phase {
            Phase::Completed => plan.step_count(),
            Phase::Reverted => 0,
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted
            | Phase::Abandoned => state.step,
        },
        steps: plan.step_count(),
        intended_share: intended_share(state),
        records: records(state, glance),
        zones: zones(state),
        because,
        since: state.phase_since,
        next_at: ongoing.and_then(|glance| glance.next_at),
        observed_at: known.and_then(|(_, glance)| glance.observed_at),
        observed_share: ongoing.and_then(|glance| glance.observed_share),
    }
}

/// Returns the largest share of the new side that was last intended for any group; zero before the first write.
fn intended_share(state: &State) -> Share {
    let shares = (0..state.plan().records.len())
        .filter_map(|index| state.intended_pair(index))
        .filter_map(WeightPair::share);
    shares.max().unwrap_or(Share::ZERO)
}

/// Returns the groups with the weights that were last read: in a controller's last round, or as journaled.
fn records(state: &State, glance: Option<&Glance>) -> Vec<RecordRow> {
    let mut rows = Vec::new();
    for (index, group) in state.plan().records.iter().enumerate() {
        let looked = glance.and_then(|glance| glance.weights.get(index).copied().flatten());
        rows.push(RecordRow {
            zone: group.zone.zone.clone(),
            name: group.name.name.to_string(),
            record_type: group.name.record_type.clone(),
            weights: looked.or_else(|| journaled(state, index)),
        });
    }
    rows
}

/// Returns the zones of the groups; empty before there is a baseline.
fn zones(state: &State) -> BTreeSet<ZoneId> {
    let baseline = state.baseline.iter().flatten();
    baseline.map(|image| image.zone.clone()).collect()
}

/// Returns the weights of a group that were last read according to the journal; `None` if it has none.
fn journaled(state: &State, index: usize) -> Option<WeightPair> {
    let baseline = pair_of(state.baseline.as_ref(), index);
    if state.phase == Phase::Reverted {
        // A revert ends only after the baseline was read back.
        return baseline;
    }
    pair_of(state.verified.as_ref(), index).or(baseline)
}

fn pair_of(images: Option<&Vec<GroupImage>>, index: usize) -> Option<WeightPair> {
    images?.get(index).map(GroupImage::pair)
}

/// Returns why no step is taken: as a controller's fresh heartbeat says, otherwise as the journal says. Leaves out
/// pauses and approvals that a command has ended or given since.
fn because(state: &State, fresh: Option<&Glance>) -> Vec<HoldReason> {
    if state.phase.is_final() {
        let mut because: Vec<HoldReason> = reverted(state).into_iter().collect();
        because.extend(after_the_end(state));
        let seen = fresh.iter().flat_map(|glance| &glance.because);
        because.extend(seen.cloned());
        because.sort();
        because.dedup();
        return because;
    }
    let held_now = state.held_at.is_some_and(|at| at >= state.phase_since);
    let mut because = match fresh {
        Some(glance) => glance.because.clone(),
        None if held_now => state.held.clone(),
        None => phase_hold(state).into_iter().collect(),
    };
    because.retain(|reason| match reason {
        HoldReason::Paused { .. } => state.paused.is_some(),
        reason => reason
            .asks_approval()
            .is_none_or(|step| !state.is_approved(step)),
    });
    if let Some(pause) = &state.paused {
        let has_pause = because
            .iter()
            .any(|reason| matches!(reason, HoldReason::Paused { .. }));
        if !has_pause {
            because.push(HoldReason::Paused {
                reason: pause.reason.clone(),
            });
            because.sort();
        }
    }
    because
}

/// Returns the hold that names the members outside the baseline that hold weight although the cutover has ended; `None`
/// if there are none.
fn after_the_end(state: &State) -> Option<HoldReason> {
    if state.strays.is_empty() {
        return None;
    }
    let members = state.strays.clone();
    Some(HoldReason::OthersHoldWeight { members })
}

/// Returns why a cutover was reverted; `None` if it was not.
fn reverted(state: &State) -> Option<HoldReason> {
    if state.phase != Phase::Reverted {
        return None;
    }
    let revert = state.revert.as_ref();
    let step = revert.and_then(|revert| state.plan().step(revert.step));
    let share = step.and_then(|step| step.pair.share());
    Some(HoldReason::Reverted {
        cause: revert.map(|revert| Box::new(revert.cause.clone())),
        share: share.unwrap_or(Share::ZERO),
        at: state.phase_since,
        unresolved: state.write.is_some(),
    })
}

/// Returns the hold that follows from the phase alone, used if no controller has given another one. `None` if the phase
/// says nothing.
fn phase_hold(state: &State) -> Option<HoldReason> {
    let step = state.step;
    match state.phase {
        Phase::Waiting | Phase::Completed | Phase::Reverted | Phase::Abandoned => None,
        Phase::Shifting => Some(HoldReason::Shifting {
            step,
            message: state
                .write
                .as_ref()
                .and_then(|write| write.trouble())
                .map(str::to_owned),
        }),
        Phase::Settling => Some(HoldReason::Settling { step, until: None }),
        Phase::Baking => Some(HoldReason::Baking {
            step,
            until: None,
            counted_secs: state.bake.counted.as_secs(),
        }),
        Phase::Reverting => Some(HoldReason::Reverting {
            back: 0,
            groups: state.plan().records.len(),
        }),
        Phase::Halted => state
            .halt
            .clone()
            .map(|reason| HoldReason::Halted { reason }),
    }
}
