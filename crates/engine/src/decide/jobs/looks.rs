//! Readings of jobs: when they are needed, and the holds without them. A job that was not read is never taken to be
//! well.

use jiff::{SignedDuration, Timestamp};

use crate::decide::limits::JOB_WITHIN;
use crate::decide::view::View;
use crate::hold::HoldReason;
use crate::jobs::{HalfId, HalfLook, JobSide, JobSwitch, JobTurn};
use crate::state::{Phase, State};

/// The largest age of a reading by which something is decided, counted from its beginning. The reading itself may take
/// [`JOB_WITHIN`].
pub(super) const FRESH: SignedDuration = SignedDuration::from_secs(JOB_WITHIN.as_secs() + 10);

/// The interval at which jobs are read while they move.
pub(super) const LOOK_MOVING: SignedDuration = SignedDuration::from_secs(5);
/// The interval at which jobs are read while they do not move.
const LOOK_RESTING: SignedDuration = SignedDuration::from_secs(60);

/// Returns true if this process must read the jobs now. `looked_at` is the time at which its last reading of them
/// began.
pub(in crate::decide) fn wants_look(
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
    let moves_soon = jobs.rest_on() != Some(JobSide::New) && state.jobs_are_due(now);
    let resting = jobs.rest_on().is_some() && !moves_soon && !going_back;
    let every = if resting { LOOK_RESTING } else { LOOK_MOVING };
    now.duration_since(looked_at) >= every
}

/// Returns a hold if a half that was read is not as `wanted`: true for on, false for off. `None` if all are.
pub(super) fn drift(
    view: &View<'_>,
    switch: &JobSwitch,
    wanted: impl Fn(HalfId) -> bool,
) -> Option<HoldReason> {
    let (mut jobs, mut both_on) = (Vec::new(), Vec::new());
    for (index, job) in switch.jobs.iter().enumerate() {
        let (mut foreign, mut all_on) = (false, true);
        for side in [JobSide::Old, JobSide::New] {
            let half = HalfId::new(index, side);
            let on = seen(view, half).map(|look| look.on);
            foreign |= on.is_some_and(|on| on != wanted(half));
            all_on &= on == Some(true);
        }
        if foreign {
            jobs.push(job.name.clone());
            if all_on {
                both_on.push(job.name.clone());
            }
        }
    }
    if jobs.is_empty() {
        return None;
    }
    Some(HoldReason::JobsDrift { jobs, both_on })
}

/// Returns the holds of jobs that could not be read, or must not be switched.
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
                    let over = if view.state.has_started() {
                        None
                    } else {
                        look.over.as_ref()
                    };
                    for message in look.unfit.iter().chain(over) {
                        reasons.push(HoldReason::JobsStuck {
                            job: job.name.clone(),
                            side,
                            message: message.clone(),
                        });
                    }
                }
            }
        }
    }
    reasons.sort();
    reasons.dedup();
    reasons
}

/// Returns the hold of a half that cannot be read. Before the start and during a revert a person is paged at once,
/// otherwise after the plan's `unknown_for`, as for an alarm.
pub(super) fn unread(view: &View<'_>, job: &str, side: JobSide, message: &str) -> HoldReason {
    let since = held_since(view, |reason| {
        let (_, since) = unread_half(reason, job, side)?;
        Some(since)
    });
    let state = view.state;
    let urgent = !state.has_started() || state.jobs_go_back();
    HoldReason::JobsUnread {
        job: job.to_owned(),
        side,
        message: message.to_owned(),
        since,
        overdue: urgent || view.now.duration_since(since) >= state.plan().gates.unknown_for,
    }
}

/// Returns the hold of a half that this process has not read yet. If the journal says that it could not be read, that
/// hold goes on.
fn unread_before(view: &View<'_>, name: &str, on: JobSide) -> HoldReason {
    let mut held = view.state.held.iter();
    let message = held.find_map(|reason| Some(unread_half(reason, name, on)?.0));
    match message {
        Some(message) => unread(view, name, on, message),
        None => HoldReason::JobsUnseen {},
    }
}

/// Returns the message of this half's hold and the time since which it cannot be read. `None` if the reason is about
/// something else.
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
    if job == name && *side == on {
        Some((message, *since))
    } else {
        None
    }
}

/// Returns the time since which a reason has held by the journal, or `now` if it has not. `mine` returns that time for
/// the wanted reason.
pub(super) fn held_since(
    view: &View<'_>,
    mine: impl Fn(&HoldReason) -> Option<Timestamp>,
) -> Timestamp {
    let known = view.state.held.iter().find_map(mine);
    known.unwrap_or(view.now).min(view.now)
}

/// Returns the number of runs that are known to be under way on a side, and the names of their jobs.
pub(super) fn still_running(
    view: &View<'_>,
    switch: &JobSwitch,
    side: JobSide,
) -> (u32, Vec<String>) {
    let (mut all, mut names) = (0_u32, Vec::new());
    for (index, job) in switch.jobs.iter().enumerate() {
        let look = seen(view, HalfId::new(index, side));
        let running = look.and_then(|look| look.running).unwrap_or(0);
        if running > 0 {
            all = all.saturating_add(running);
            names.push(job.name.clone());
        }
    }
    (all, names)
}

/// Returns the last reading of a half by this process. `None` if it was not read, or could not be.
pub(super) fn seen<'a>(view: &View<'a>, half: HalfId) -> Option<&'a HalfLook> {
    view.observation.beside.jobs.get(&half)?.look.as_ref().ok()
}
