//! Makes a [`Film`], from which the report of a rehearsal is drawn, from what the simulated world recorded.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::engine::event::{Envelope, Event};
use crate::engine::hold::RevertCause;
use crate::engine::plan::Plan;
use crate::engine::state::{Phase, State};
use crate::engine::units::AlarmId;
use crate::report::rehearsal::film;
use crate::report::rehearsal::film::{Film, Frame, Meaning, Reaction, Reel, Tally};
use crate::scenario::Side;
use crate::sim::stage::doors::StageJournal;
use crate::sim::stage::record::{Recording, Scene};
use crate::sim::stage::watch::{AlarmWatch, Measured};
use crate::sim::stage::{SharedStage, Stage, lock};
use crate::sim::world::World;

/// Makes the film of a finished rehearsal: what happened to each plan, the faults, and the calls to AWS.
///
/// # Errors
/// The journal cannot be read, which does not happen to a journal in memory.
pub(super) async fn develop(
    world: &World,
    stage: &SharedStage,
    journal: &StageJournal,
    plans: &[Plan],
    (seed, start, end): (u64, Timestamp, Timestamp),
) -> Result<Film> {
    let entries = entries(journal).await?;
    let stage = lock(stage);
    let mut named: BTreeSet<&AlarmId> = BTreeSet::new();
    for plan in plans {
        named.extend(plan.alarms().map(|gate| &gate.id));
    }
    let assumed = stage
        .watches()
        .filter(|watch| named.contains(&watch.id))
        .map(|watch| (watch.id.clone(), meaning(watch)))
        .collect();
    let reels = plans
        .iter()
        .map(|plan| reel(world, &stage, plan, &entries, start))
        .collect();
    let (mut faults, mut never) = (Vec::new(), Vec::new());
    for trouble in stage.troubles() {
        match trouble.from {
            // The actions of people are in the journal, so they are not listed as faults.
            Some(from) if from <= end && trouble.is_of_people() => {}
            Some(from) if from <= end => faults.push(film::Trouble {
                what: trouble.fault.text.clone(),
                from,
                until: trouble.until,
            }),
            Some(_) | None => never.push(trouble.fault.text.clone()),
        }
    }
    let calls = world.dns.calls().into_iter().chain(world.signals.calls());
    let calls: BTreeMap<String, u64> = calls
        .map(|(operation, count)| (operation.to_owned(), count))
        .collect();
    Ok(Film {
        seed,
        start,
        end,
        assumed,
        faults,
        never,
        reels,
        calls,
    })
}

fn meaning(watch: &AlarmWatch) -> Meaning {
    let old_side = watch.side == Side::Old;
    match watch.measured {
        Measured::Errors(above) => Meaning::Errors { above, old_side },
        Measured::Latency(above_ms) => Meaning::Latency { above_ms, old_side },
    }
}

fn reel(world: &World, stage: &Stage, plan: &Plan, entries: &[Envelope], start: Timestamp) -> Reel {
    let mine = entries.iter().filter(|entry| entry.cutover == plan.name);
    let entries: Vec<Envelope> = mine.cloned().collect();
    let state: Option<&State> = stage.states().find(|state| state.name == plan.name);
    let recording = stage.recording(&plan.name).cloned().unwrap_or_default();
    Reel {
        name: plan.name.clone(),
        plan: plan.clone(),
        phase: state.map_or(Phase::Waiting, |state| state.phase),
        phase_since: state.map_or(start, |state| state.phase_since),
        frames: recording.scenes().filter_map(frame).collect(),
        near: near(&recording, &entries),
        tally: Tally {
            requests: recording.requests,
            failed: recording.failed,
            failed_by_cutover: recording.failed - recording.failed_untouched,
            failed_without_revert: recording.failed_unreverted,
        },
        reaction: reaction(world, stage, &recording, &entries),
        entries,
    }
}

/// Returns the minutes around the revert; empty if there was none.
fn near(recording: &Recording, entries: &[Envelope]) -> Vec<Frame> {
    if !entries.iter().any(|entry| cause_of(&entry.event).is_some()) {
        return Vec::new();
    }
    recording.near.iter().filter_map(frame).collect()
}

fn frame(scene: &Scene) -> Option<Frame> {
    Some(Frame {
        at: Timestamp::from_second(scene.until).ok()?,
        requests: scene.requests,
        intended: scene.intended,
        observed: scene.observed,
        new: side(scene, 0),
        old: side(scene, 1),
        red: scene.red.clone(),
    })
}

/// Returns the figures of a side: 0 is the new one, 1 the old one.
fn side(scene: &Scene, index: usize) -> film::Side {
    film::Side {
        errors: scene.errors[index],
        p99_ms: scene.p99_ms[index],
    }
}

/// Longest time between two bad datapoints that belong to the same trouble.
const LED_TO_IT: SignedDuration = SignedDuration::from_mins(10);

/// Returns when each stage between the fault and the drained traffic was reached; `None` if there was no revert.
fn reaction(
    world: &World,
    stage: &Stage,
    recording: &Recording,
    entries: &[Envelope],
) -> Option<Reaction> {
    let decided = entries
        .iter()
        .position(|entry| cause_of(&entry.event).is_some())?;
    let (decided, after) = entries.get(decided..)?.split_first()?;
    let mut decided_at = decided.at;
    if let Event::RevertPerformedUnjournaled { decided_at: at, .. } = &decided.event {
        decided_at = *at;
    }
    let cause = cause_of(&decided.event)?;
    let mut fault_at: Option<Timestamp> = None;
    for trouble in stage.troubles() {
        if trouble.is_of_cluster()
            && trouble.concerns(&decided.cutover)
            && let Some(from) = trouble.from
            && from <= decided_at
        {
            fault_at = fault_at.max(Some(from));
        }
    }
    let mut red = recording.turned_red.iter().rev();
    let red = red.find(|(at, id)| *at <= decided_at && is_culprit(cause, id));
    let alarm_at = red.map(|(at, _)| *at);
    let bad = recording.bad.iter().rev().filter(|(at, id)| {
        *at <= decided_at && is_culprit(cause, id) && fault_at.is_none_or(|fault| *at > fault)
    });
    let metric_at = first_of_the_last(bad.map(|(at, _)| *at));
    let mut written = None;
    for entry in after {
        if let Event::WeightChangeSubmitted { change_id, .. } = &entry.event {
            written = Some((entry.at, change_id));
            break;
        }
    }
    let in_sync_at = written.and_then(|(_, change)| world.dns.model().in_sync_at(change));
    Some(Reaction {
        fault_at,
        metric_at,
        alarm_at,
        decided_at: Some(decided_at),
        written_at: written.map(|(at, _)| at),
        in_sync_at,
        drained_at: recording.drained_at,
    })
}

/// Returns true if this alarm caused the revert.
fn is_culprit(cause: &RevertCause, id: &AlarmId) -> bool {
    match cause {
        RevertCause::AlarmRed { alarm } | RevertCause::AlarmFlapped { alarm, .. } => alarm == id,
        RevertCause::UnknownTooLong { alarm, .. } => *alarm == *id,
        RevertCause::MeasureBeyond { .. }
        | RevertCause::Worse { .. }
        | RevertCause::StepFailed { .. }
        | RevertCause::ApprovalTimeout { .. }
        | RevertCause::HookFailed { .. }
        | RevertCause::Operator { .. }
        | RevertCause::LateWrite {} => false,
    }
}

/// Returns the first of the bad datapoints that led to the alarm; `None` if there are none. `latest_first` holds all
/// bad datapoints; those before a gap of more than [`LED_TO_IT`] are noise.
fn first_of_the_last(latest_first: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    let mut first: Option<Timestamp> = None;
    for at in latest_first {
        match first {
            Some(later) if later.duration_since(at) > LED_TO_IT => {}
            Some(_) | None => first = Some(at),
        }
    }
    first
}

/// Returns the cause of the revert if the event is the decision to revert; otherwise `None`.
fn cause_of(event: &Event) -> Option<&RevertCause> {
    if let Event::RevertIntended { cause, .. } | Event::RevertPerformedUnjournaled { cause, .. } =
        event
    {
        return Some(cause);
    }
    None
}

/// Returns all entries of the journal, in order.
///
/// # Errors
/// The journal cannot be read, which does not happen to a journal in memory.
pub(super) async fn entries(journal: &StageJournal) -> Result<Vec<Envelope>> {
    let (entries, _) = journal
        .journal
        .read_after(crate::ports::Position::default())
        .await?;
    Ok(entries)
}
