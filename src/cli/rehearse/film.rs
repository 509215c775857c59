//! What the stage recorded → a [`Film`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::play::entries;
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
use crate::sim::stage::trouble::Trouble;
use crate::sim::stage::watch::{Measured, Watch};
use crate::sim::stage::{SharedStage, Stage, lock};
use crate::sim::world::World;

/// Makes the film of what was played.
///
/// # Errors
/// None of a journal in memory.
pub(super) async fn develop(
    world: &World,
    stage: &SharedStage,
    journal: &StageJournal,
    plans: &[Plan],
    (seed, start, end): (u64, Timestamp, Timestamp),
) -> Result<Film> {
    let entries = entries(journal).await?;
    let stage = lock(stage);
    let named: BTreeSet<&AlarmId> = plans
        .iter()
        .flat_map(|plan| plan.alarms().map(|gate| &gate.id))
        .collect();
    let assumed = stage
        .watches()
        .filter(|watch| named.contains(&watch.id))
        .map(|watch| (watch.id.clone(), meaning(watch)))
        .collect();
    let reels = plans
        .iter()
        .map(|plan| reel(world, &stage, plan, &entries, start))
        .collect();
    let comes_late = |trouble: &&Trouble| trouble.from.is_none_or(|from| from > end);
    let never = stage.troubles().iter().filter(comes_late);
    let never: Vec<String> = never.map(|trouble| trouble.fault.text.clone()).collect();
    let faults = stage.troubles().iter();
    // What people do is in the journal.
    let faults = faults.filter(|trouble| !trouble.is_of_people());
    let faults = faults.filter(|trouble| trouble.from.is_some_and(|from| from <= end));
    let calls = world.dns.calls().into_iter().chain(world.signals.calls());
    let calls: BTreeMap<String, u64> = calls
        .map(|(operation, count)| (operation.to_owned(), count))
        .collect();
    Ok(Film {
        seed,
        start,
        end,
        assumed,
        faults: faults.filter_map(trouble).collect(),
        never,
        reels,
        calls,
    })
}

fn trouble(trouble: &Trouble) -> Option<film::Trouble> {
    Some(film::Trouble {
        what: trouble.fault.text.clone(),
        from: trouble.from?,
        until: trouble.until,
    })
}

fn meaning(watch: &Watch) -> Meaning {
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

/// The minutes around a revert.
fn near(recording: &Recording, entries: &[Envelope]) -> Vec<Frame> {
    if !entries.iter().any(|entry| cause_of(&entry.event).is_some()) {
        return Vec::new();
    }
    recording.near.iter().filter_map(frame).collect()
}

fn frame(scene: &Scene) -> Option<Frame> {
    let side = |index: usize| film::Side {
        errors: scene.errors[index],
        p99_ms: scene.p99_ms[index],
    };
    Some(Frame {
        at: Timestamp::from_second(scene.until).ok()?,
        requests: scene.requests,
        intended: scene.intended,
        observed: scene.observed,
        new: side(0),
        old: side(1),
        red: scene.red.clone(),
    })
}

/// Bad datapoints further apart than this are not one trouble.
const LED_TO_IT: SignedDuration = SignedDuration::from_mins(10);

/// The moments from the fault to the traffic being back, if there was a revert.
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
    let decided_at = match &decided.event {
        Event::RevertPerformedUnjournaled { decided_at, .. } => *decided_at,
        _ => decided.at,
    };
    let cause = cause_of(&decided.event)?;
    let culprit = |id: &AlarmId| match cause {
        RevertCause::AlarmRed { alarm } | RevertCause::AlarmFlapped { alarm, .. } => alarm == id,
        RevertCause::UnknownTooLong { alarm, .. } => *alarm == *id,
        RevertCause::MeasureBeyond { .. }
        | RevertCause::Worse { .. }
        | RevertCause::StepFailed { .. }
        | RevertCause::ApprovalTimeout { .. }
        | RevertCause::HookFailed { .. }
        | RevertCause::Operator { .. }
        | RevertCause::LateWrite {} => false,
    };
    let troubles = stage.troubles().iter();
    let troubles = troubles.filter(|it| it.is_of_cluster() && it.concerns(&decided.cutover));
    let fault_at = troubles
        .filter_map(|trouble| trouble.from)
        .filter(|from| *from <= decided_at)
        .max();
    let alarm_at = recording.turned_red.iter().rev();
    let mut alarm_at = alarm_at.filter(|(at, id)| *at <= decided_at && culprit(id));
    let alarm_at = alarm_at.next().map(|(at, _)| *at);
    let bad = recording.bad.iter().rev().filter(|(at, id)| {
        *at <= decided_at && culprit(id) && fault_at.is_none_or(|fault| *at > fault)
    });
    // Of those that led to the alarm: a single bad one hours before is noise.
    let metric_at = bad.map(|(at, _)| *at).fold(None, |first, at| match first {
        Some(first) if Timestamp::duration_since(first, at) > LED_TO_IT => Some(first),
        _ => Some(at),
    });
    let written = after.iter().find_map(|entry| match &entry.event {
        Event::WeightChangeSubmitted { change_id, .. } => Some((entry.at, change_id)),
        _ => None,
    });
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

/// Why the traffic is taken back, where that is what the event says.
fn cause_of(event: &Event) -> Option<&RevertCause> {
    match event {
        Event::RevertIntended { cause, .. } | Event::RevertPerformedUnjournaled { cause, .. } => {
            Some(cause)
        }
        _ => None,
    }
}
