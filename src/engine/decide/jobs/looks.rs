//! Looks at jobs: when they are taken, and what is not known without them. Not seen is not well.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{JOB_WITHIN, is_due, moving};
use crate::engine::decide::{Decision, View};
use crate::engine::hold::HoldReason;
use crate::engine::jobs::{HalfId, HalfLook, JobSide, JobSwitch, JobTurn};
use crate::engine::state::{Phase, State};

/// A look may have begun this long ago where something is decided by it: it may itself take [`JOB_WITHIN`].
pub(super) const FRESH: SignedDuration = SignedDuration::from_secs(JOB_WITHIN.as_secs() + 10);

/// How often jobs are looked at while they move, and while they rest.
pub(super) const LOOK_MOVING: SignedDuration = SignedDuration::from_secs(5);
const LOOK_RESTING: SignedDuration = SignedDuration::from_secs(60);

/// Whether the jobs are to be looked at now, by a process that last began to at `looked_at`.
pub(in crate::engine::decide) fn wants_look(
    state: &State,
    looked_at: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    if state.plan().jobs.is_none() || state.phase.is_final() {
        return false;
    }
    let Some(looked_at) = looked_at else {
        return true;
    };
    let jobs = &state.jobs;
    let settled_at = jobs.turn.as_ref().map(JobTurn::settled_at);
    if settled_at.is_some_and(|at| at <= now && looked_at < at) {
        return true;
    }
    let going_back = state.phase == Phase::Reverting && jobs.goal.is_some();
    let moves_soon = jobs.rest_on() != Some(JobSide::New) && is_due(state, now);
    let resting = jobs.rest_on().is_some() && !moves_soon && !going_back;
    let every = if resting { LOOK_RESTING } else { LOOK_MOVING };
    now.duration_since(looked_at) >= every
}

/// The jobs that are not as `wanted`, as far as they could be seen.
pub(super) fn drift(
    view: &View<'_>,
    switch: &JobSwitch,
    wanted: impl Fn(HalfId) -> bool,
) -> Option<HoldReason> {
    let (mut jobs, mut both_on) = (Vec::new(), Vec::new());
    for (index, job) in switch.jobs.iter().enumerate() {
        let halves = [JobSide::Old, JobSide::New].map(|side| HalfId::new(index, side));
        let is_on = |half: &HalfId| seen(view, *half).map(|look| look.on);
        let foreign = halves
            .iter()
            .any(|half| is_on(half).is_some_and(|on| on != wanted(*half)));
        if foreign {
            jobs.push(job.name.clone());
            if halves.iter().all(|half| is_on(half) == Some(true)) {
                both_on.push(job.name.clone());
            }
        }
    }
    (!jobs.is_empty()).then_some(HoldReason::JobsDrift { jobs, both_on })
}

/// The jobs that could not be looked at, or must not be switched.
pub(super) fn unseen(view: &View<'_>, switch: &JobSwitch) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    for (index, job) in switch.jobs.iter().enumerate() {
        for side in [JobSide::Old, JobSide::New] {
            if job.half(side).is_none() {
                continue;
            }
            let reading = view.observation.beside.jobs.get(&HalfId::new(index, side));
            match reading.map(|reading| &reading.look) {
                None => reasons.push(unread_before(view, &job.name, side)),
                Some(Err(message)) => reasons.push(unread(view, &job.name, side, message)),
                Some(Ok(look)) => {
                    let stuck = |message: &String| HoldReason::JobsStuck {
                        job: job.name.clone(),
                        side,
                        message: message.clone(),
                    };
                    reasons.extend(look.unfit.as_ref().map(stuck));
                    if !view.state.has_started() {
                        reasons.extend(look.over.as_ref().map(stuck));
                    }
                }
            }
        }
    }
    reasons.sort();
    reasons.dedup();
    reasons
}

/// That a half cannot be looked at. Before the start, and where it is to go back, somebody is woken at once; on the way
/// after the plan's `unknown_for`, as for an alarm.
fn unread(view: &View<'_>, job: &str, side: JobSide, message: &str) -> HoldReason {
    let since = held_since(view, |reason| {
        let (_, since) = unread_half(reason, job, side)?;
        Some(since)
    });
    let state = view.state;
    let urgent = !state.has_started() || super::goes_back(state);
    HoldReason::JobsUnread {
        job: job.to_owned(),
        side,
        message: message.to_owned(),
        since,
        overdue: urgent || view.now.duration_since(since) >= state.plan().gates.unknown_for,
    }
}

/// What is known of a half at which this process has not looked yet: that the last one could not, if so.
fn unread_before(view: &View<'_>, name: &str, on: JobSide) -> HoldReason {
    let mut held = view.state.held.iter();
    let message = held.find_map(|reason| Some(unread_half(reason, name, on)?.0));
    match message {
        Some(message) => unread(view, name, on, message),
        None => HoldReason::JobsUnseen {},
    }
}

/// What was said when this half could not be looked at, and since when, if the reason says so.
fn unread_half<'a>(
    reason: &'a HoldReason,
    name: &str,
    on: JobSide,
) -> Option<(&'a String, Timestamp)> {
    let HoldReason::JobsUnread {
        job,
        side,
        message,
        since,
        ..
    } = reason
    else {
        return None;
    };
    (job == name && *side == on).then_some((message, *since))
}

/// Since when a reason has been holding, by the journal; since now where it has not.
pub(super) fn held_since(
    view: &View<'_>,
    mine: impl Fn(&HoldReason) -> Option<Timestamp>,
) -> Timestamp {
    let known = view.state.held.iter().find_map(mine);
    known.unwrap_or(view.now).min(view.now)
}

/// How many of a side are known to run.
pub(super) fn still_running(view: &View<'_>, switch: &JobSwitch, side: JobSide) -> u32 {
    let halves = (0..switch.jobs.len()).map(|job| HalfId::new(job, side));
    let running = halves.filter_map(|half| seen(view, half)?.running);
    running.fold(0, u32::saturating_add)
}

/// A half as last seen, whenever that was.
pub(super) fn seen<'a>(view: &View<'a>, half: HalfId) -> Option<&'a HalfLook> {
    view.observation.beside.jobs.get(&half)?.look.as_ref().ok()
}

/// All halves of a side by job, as seen by a look that began at `since` or later; or what is waited for.
pub(super) fn looked(
    view: &View<'_>,
    switch: &JobSwitch,
    side: JobSide,
    since: Timestamp,
) -> Result<BTreeMap<usize, HalfLook>, Box<Decision>> {
    let since = since.max(view.now - FRESH);
    let mut looks = BTreeMap::new();
    for (index, job) in switch.jobs.iter().enumerate() {
        if job.half(side).is_none() {
            continue;
        }
        let reading = view.observation.beside.jobs.get(&HalfId::new(index, side));
        let Some(reading) = reading.filter(|reading| reading.asked_at >= since) else {
            return Err(Box::new(moving(view)));
        };
        match &reading.look {
            Ok(look) => {
                looks.insert(index, look.clone());
            }
            Err(message) => {
                let mut hold = moving(view);
                hold.because.push(unread(view, &job.name, side, message));
                return Err(Box::new(hold));
            }
        }
    }
    Ok(looks)
}
