//! The holds while the jobs move, and the readings that the switch waits for.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::looks::{FRESH, LOOK_MOVING, still_running, unread};
use crate::decide::decision::Decision;
use crate::decide::view::View;
use crate::hold::HoldReason;
use crate::jobs::{HalfId, HalfLook, JobSide, JobSwitch};
use crate::state::Phase;

/// The time beyond the plan's `wait` for which both sides may be off before a person is paged. It is also the longest
/// time that a revert waits so that the old side does not repeat a run which the new side did.
pub(super) const GAP_GRACE: SignedDuration = SignedDuration::from_mins(5);

/// Returns the holds while the jobs move: how far they have come, and what they wait for.
pub(super) fn moving(view: &View<'_>) -> Decision {
    let jobs = &view.state.jobs;
    let to = jobs.goal.unwrap_or(JobSide::New);
    let off_since = jobs.both_off_since();
    let mut hold = Decision::hold(HoldReason::JobsMoving { to, off_since });
    hold.because.extend(gap(view));
    hold.because.extend(running(view, to.other()));
    hold.wake_at = Some(view.now + LOOK_MOVING);
    hold
}

/// Returns a hold if jobs of this side still ran when they were last read. `None` if none did, or if the side was never
/// switched on.
pub(super) fn running(view: &View<'_>, side: JobSide) -> Option<HoldReason> {
    let (jobs, switch) = (&view.state.jobs, view.state.plan().jobs.as_ref()?);
    let since = jobs.both_off_since()?;
    let (running, names) = still_running(view, switch, side);
    let ran = side == JobSide::Old || jobs.has_turned(side);
    if !ran || running == 0 {
        return None;
    }
    Some(HoldReason::JobsRunning {
        side,
        running,
        jobs: names,
        since,
        overdue: view.now.duration_since(since) >= switch.drain,
    })
}

/// Returns a hold if both sides have been off for longer than the switch itself takes. `None` otherwise.
pub(super) fn gap(view: &View<'_>) -> Option<HoldReason> {
    let (jobs, switch) = (&view.state.jobs, view.state.plan().jobs.as_ref()?);
    let since = jobs.both_off_since()?;
    let to = jobs.goal?;
    let standing = view.state.phase == Phase::Halted;
    let allowed = if running(view, to.other()).is_some() {
        switch.wait.max(switch.drain)
    } else {
        switch.wait
    };
    let late = view.now.duration_since(since) >= allowed + GAP_GRACE;
    if standing || late {
        Some(HoldReason::JobsBothOff { to, since })
    } else {
        None
    }
}

/// Returns all halves of a side by the job's index, from readings that began at `since` or later.
///
/// # Errors
/// The hold to wait with, if one of the halves has no such reading or cannot be read.
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
