//! `cutover status`: where everything stands, and why, from the journal and the controllers' heartbeats.

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
use crate::engine::fleet::NAMED_MAX;
use crate::engine::fleet::is_fleet;
use crate::engine::hold::HoldReason;
use crate::engine::notify::{Notify, channel_shown};
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, Share, WeightPair, ZoneId};
use crate::journal::Open;
use crate::ports::{Clock, Cursor, Glance, Heartbeat, Journal};
use crate::report;
use crate::report::approval::Evidence;
use crate::report::calendar::Clocks;
use crate::report::holds;
use crate::report::notice::{self, Failing, PassedOver};
use crate::report::status::{Coming, RecordRow, Row, Watch, to_json, to_text};
use crate::report::text;

/// How often `--watch` looks again.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// A heartbeat is fresh for at least this long, however short the interval (semantics G3).
const FRESH_SECS_MIN: u64 = 60;

/// Shows the status, once or until Ctrl-C.
///
/// # Errors
/// A name that is not in the journal, or a journal that cannot be read. A missing journal is none (semantics G2).
pub fn run(context: &mut Context<'_>, args: &Status) -> Result<Exit> {
    let journal = match open_journal(context, Open::ReadOnly) {
        Ok(journal) => journal,
        Err(error) => match error.downcast_ref::<Expected>() {
            Some(Expected::JournalMissing { place }) => {
                context.note(&format!(
                    "no journal at {place}, so that no cutover is known; name another with `--journal URL` or \
                     CUTOVER_JOURNAL, or begin with `cutover run PATH…`, which makes one"
                ))?;
                // In either format, as the rule has it; brackets tell a person on a terminal nothing.
                if context.json() || !context.terminal.out {
                    context.print("[]\n")?;
                } else {
                    context.print("no cutover to show\n")?;
                }
                return Ok(Exit::Done);
            }
            _ => return Err(error),
        },
    };
    block_on(async {
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

/// One look.
struct Seen {
    rows: Vec<Row>,
    watch: Watch,
    /// What is to be said about all of them, and about files that are refused.
    fleet: Vec<String>,
    now: Timestamp,
}

impl Seen {
    /// What counts as a change where nobody sees the screen: not the times that pass by themselves.
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

async fn look(context: &mut Context<'_>, journal: &dyn Journal, args: &Status) -> Result<Seen> {
    let books = Books::read(journal).await?;
    let now = context.clock.now();
    let wanted: Option<BTreeSet<CutoverName>> = if args.names.is_empty() {
        None
    } else {
        let named = resolve(&args.names, &books.names())?;
        Some(named.into_iter().map(|named| named.name).collect())
    };
    let glances = Glances::of(&books.heartbeats);
    let asked = |state: &&State| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&state.name))
            && (args.phase.is_empty() || args.phase.contains(&state.phase))
            && has_labels(state.plan(), &args.selector)
    };
    let shown: Vec<&State> = books.states().filter(asked).collect();
    say_blank(context, &books, wanted.as_ref())?;
    let unfinished = shown.iter().filter(|state| !state.phase.is_final()).count();
    let detailed = !args.names.is_empty() || unfinished == 1;
    let failing = failing(&books, now);
    let passed_over = passed_over(&books, now);
    let foreseen = |state: &State| Row {
        coming: coming(&books, state, now, detailed),
        failing: of_stream(&failing, &state.name),
        passed_over: passed_over
            .iter()
            .filter(|one| one.stream == state.name)
            .cloned()
            .collect(),
        ..row(&books, state, &glances, now)
    };
    let rows = shown
        .into_iter()
        .map(foreseen)
        .filter(|row| !args.needs_person || row.needs_person());
    let rows = rows.collect();
    let watch = watched(&books, now);
    let mut fleet = fleet_lines(&books, now);
    fleet.extend(notice::failing(&failing));
    fleet.extend(passed_over.iter().map(PassedOver::line));
    Ok(Seen {
        rows,
        watch,
        fleet,
        now,
    })
}

fn show(context: &mut Context<'_>, seen: &Seen) -> Result<()> {
    if context.json() {
        // The documented shape has no place for it, and a program's log should have it all the same.
        for note in words(seen.watch, seen.now).iter().chain(&seen.fleet) {
            context.note(note)?;
        }
        return context.print_json(&to_json(&seen.rows, seen.now));
    }
    let width = context.terminal.width;
    let shown = to_text(&seen.rows, &seen.fleet, seen.watch, seen.now, width);
    context.print(&shown)
}

/// Looks again and again: on a terminal the screen is drawn anew, elsewhere only what changed is written.
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

/// Whether a heartbeat is recent enough to be believed.
fn is_fresh(heartbeat: &Heartbeat, now: Timestamp) -> bool {
    let limit = heartbeat
        .interval_secs
        .saturating_mul(3)
        .max(FRESH_SECS_MIN);
    let limit = SignedDuration::from_secs(i64::try_from(limit).unwrap_or(i64::MAX));
    now.duration_since(heartbeat.at) <= limit
}

/// Whether anybody watches what is unfinished.
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
    // Heartbeats are kept for a day; what a controller wrote is kept for ever.
    let wrote = books
        .entries
        .values()
        .flatten()
        .filter(|entry| entry.actor.starts_with("controller "))
        .map(|entry| entry.at)
        .max();
    newest.max(wrote).map_or(Watch::Never, Watch::Stale)
}

/// What to say where something is unfinished and nobody watches.
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

/// What was last seen of each cutover, and by which controller.
struct Glances<'a>(BTreeMap<&'a CutoverName, (&'a Heartbeat, &'a Glance)>);

impl<'a> Glances<'a> {
    /// `heartbeats` are newest first.
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

/// What is to be said about the fleet as a whole, and about files that a controller cannot use.
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

/// Whether a plan, or for the fleet any of them, has the channel of a cursor now.
fn is_told(books: &Books, cursor: &Cursor) -> bool {
    let has = |notify: Option<&Notify>| {
        let mut channels = notify.into_iter().flat_map(|notify| &notify.channels);
        channels.any(|channel| channel.id() == cursor.channel)
    };
    let mut plans = books.whole();
    if is_fleet(&cursor.stream) {
        // What the fleet tells in its plans' stead is told to their channels too.
        let fleets = books.fleet().settings.notify.as_ref();
        return has(fleets) || plans.any(|state| has(state.plan().notify.as_ref()));
    }
    plans.any(|state| state.name == cursor.stream && has(state.plan().notify.as_ref()))
}

/// The channels that cannot be told, of those that the plans have now.
fn failing(books: &Books, now: Timestamp) -> Vec<Failing> {
    let mut failing = Vec::new();
    for cursor in &books.cursors {
        if let Some(trouble) = &cursor.trouble
            && is_told(books, cursor)
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

/// Whether a controller runs that tells channels of a stream.
fn is_attended(books: &Books, stream: &CutoverName, now: Timestamp) -> bool {
    books.heartbeats.iter().any(|heartbeat| {
        let its = is_fleet(stream) || heartbeat.cutovers.contains_key(stream);
        its && !heartbeat.ended && is_fresh(heartbeat, now)
    })
}

/// How long it is said that a channel never took an entry.
const PASSED_OVER_SHOWN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The channels that never took some entries lately, of those that the plans have now.
fn passed_over(books: &Books, now: Timestamp) -> Vec<PassedOver> {
    let mut all = Vec::new();
    for cursor in &books.cursors {
        let Some(last) = cursor.skipped.last() else {
            continue;
        };
        if now.duration_since(last.at) > PASSED_OVER_SHOWN || !is_told(books, cursor) {
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

fn of_stream(failing: &[Failing], stream: &CutoverName) -> Vec<Failing> {
    let own = failing.iter().filter(|one| one.stream == *stream);
    own.cloned().collect()
}

/// When what is to come of it can happen, for whoever reads this here.
fn coming(books: &Books, state: &State, now: Timestamp, shown: bool) -> Option<Coming> {
    if books.fleet().damage(&state.name).is_some() {
        return None;
    }
    let calendar = Calendar::of_state(state, now)?;
    let plan = state.plan().clone();
    Some(Coming {
        clocks: Clocks::of(&plan, &here()),
        calendar,
        plan,
        shown,
    })
}

/// Says of which cutovers there is nothing to show, because the first entry of their stream cannot be used.
fn say_blank(
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

/// One cutover's row; of a damaged one what it was last known to be (semantics J, L4).
fn row(books: &Books, state: &State, glances: &Glances<'_>, now: Timestamp) -> Row {
    let plan = state.plan();
    let known = glances.0.get(&state.name).copied();
    // A look from before the phase began says nothing about it.
    let current = known
        .filter(|(heartbeat, _)| heartbeat.at >= state.phase_since)
        .map(|(heartbeat, glance)| (is_fresh(heartbeat, now), glance));
    let fresh = current
        .filter(|(fresh, _)| *fresh)
        .map(|(_, glance)| glance);
    let glance = current.map(|(_, glance)| glance);
    let damage = books.fleet().damage(&state.name);
    let because = match damage {
        Some(damage) => vec![damage.hold()],
        None => because(state, fresh),
    };
    let asked = because.iter().find_map(HoldReason::asks_approval);
    Row {
        approval: asked.and_then(|step| Evidence::of(state, step, now)),
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
        next_at: fresh
            .filter(|_| !state.phase.is_final())
            .and_then(|glance| glance.next_at),
        observed_at: known.and_then(|(_, glance)| glance.observed_at),
        observed_share: fresh
            .filter(|_| !state.phase.is_final())
            .and_then(|glance| glance.observed_share),
    }
}

/// The largest share that any group was last meant to give the new side; before the first write, none.
fn intended_share(state: &State) -> Share {
    let shares = (0..state.plan().records.len())
        .filter_map(|index| state.intended_pair(index))
        .filter_map(WeightPair::share);
    shares.max().unwrap_or(Share::ZERO)
}

/// The groups with the weights that were last read: by a controller's look, or by what the journal says was read.
fn records(state: &State, glance: Option<&Glance>) -> Vec<RecordRow> {
    let groups = state.plan().records.iter().enumerate();
    groups
        .map(|(index, group)| {
            let looked = glance.and_then(|glance| glance.weights.get(index).copied().flatten());
            RecordRow {
                zone: group.zone.zone.clone(),
                name: group.name.name.to_string(),
                record_type: group.name.record_type.clone(),
                weights: looked.or_else(|| journaled(state, index)),
            }
        })
        .collect()
}

/// The zones of the groups, once the baseline tells them.
fn zones(state: &State) -> BTreeSet<ZoneId> {
    let baseline = state.baseline.iter().flatten();
    baseline.map(|image| image.zone.clone()).collect()
}

fn journaled(state: &State, index: usize) -> Option<WeightPair> {
    let pair = |images: &Option<Vec<GroupImage>>| {
        images
            .as_ref()
            .and_then(|images| images.get(index))
            .map(GroupImage::pair)
    };
    match state.phase {
        // A revert ends only when the baseline was read.
        Phase::Reverted => pair(&state.baseline),
        _ => pair(&state.verified).or_else(|| pair(&state.baseline)),
    }
}

/// Why nothing moves: from a fresh look, else from the journal; without what commands have settled since.
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
        let said = because
            .iter()
            .any(|reason| matches!(reason, HoldReason::Paused { .. }));
        if !said {
            because.push(HoldReason::Paused {
                reason: pause.reason.clone(),
            });
            because.sort();
        }
    }
    because
}

/// What is over holds for nothing, but traffic may still go where it was not before.
fn after_the_end(state: &State) -> Option<HoldReason> {
    if state.strays.is_empty() {
        return None;
    }
    let members = state.strays.clone();
    Some(HoldReason::OthersHoldWeight { members })
}

/// Why a cutover went back, if it did.
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

/// What the phase itself says, where nobody has said more.
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
