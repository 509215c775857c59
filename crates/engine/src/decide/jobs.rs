//! Jobs move as one switch from one side to the other, and never run on both: switch off, read back, wait until running
//! jobs have ended, switch on, read back.
//!
//! Traffic never waits for jobs: a revert's weights are written first, and the jobs follow (invariant I4). Between the
//! two parts neither side runs. Any controller that finds this goes on from there. A person is paged if it lasts too
//! long.

use jiff::{SignedDuration, Timestamp};

mod looks;
mod moving;

use super::decision::{Decision, Errand, TurnOrder};
use super::limits::{JOB_WITHIN, LATE, PERFORM_WITHIN};
use super::view::View;
use crate::backoff::Backoff;
use crate::event::{Event, RevertMode};
use crate::hold::HoldReason;
use crate::jobs::{Busy, HalfId, JobSide, JobSwitch, SwitchAt};
use crate::state::Phase;

pub(super) use looks::wants_look;
use looks::{FRESH, LOOK_MOVING, drift, held_since, unseen};
use moving::{GAP_GRACE, gap, looked, moving, running};

/// The shortest time for which the switch waits if the many runs of jobs leave no gap.
const FIRING_PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// The number of failed changes of jobs in a row after which a person is paged.
const FAILURES_TOLD: u32 = 3;

/// Returns true if the cutover must not go on before the jobs have moved.
pub(super) fn pending(view: &View<'_>) -> bool {
    view.state.jobs_are_due(view.now) && view.state.jobs.rest_on() != Some(JobSide::New)
}

/// Returns the holds on steps because of jobs that somebody else switched, or that cannot be read.
pub(super) fn blockers(view: &View<'_>) -> Vec<HoldReason> {
    let Some(switch) = &view.state.plan().jobs else {
        return Vec::new();
    };
    let mut reasons: Vec<HoldReason> = Vec::new();
    if let Some(rest) = view.state.jobs.rest_on() {
        reasons.extend(drift(view, switch, |half| half.side == rest));
    }
    reasons.extend(unseen(view, switch));
    reasons
}

/// Moves the jobs forward once the plan's time for it has come. `None` if there is nothing to do about them. `blockers`
/// are the holds on the next step.
pub(super) fn forward(view: &View<'_>, blockers: &[HoldReason]) -> Option<Decision> {
    let switch = view.state.plan().jobs.as_ref()?;
    let begun = view.state.jobs.goal == Some(JobSide::New);
    match view.state.phase {
        Phase::Settling | Phase::Baking if pending(view) => {}
        // A switch that has begun is finished, even if an amended plan has another step for it.
        Phase::Settling | Phase::Baking if begun => {}
        Phase::Halted => return gap(view).map(Decision::hold),
        Phase::Waiting
        | Phase::Shifting
        | Phase::Settling
        | Phase::Baking
        | Phase::Completed
        | Phase::Reverting
        | Phase::Reverted
        | Phase::Abandoned => return None,
    }
    if let Some(decision) = unresolved(view) {
        return Some(decision);
    }
    if begun {
        return Some(drive(view, switch, JobSide::New));
    }
    Some(begin(view, switch, blockers))
}

/// Moves the jobs back to the old side during a revert. `None` if they are there, or never moved.
pub(super) fn back(view: &View<'_>) -> Option<Decision> {
    let switch = view.state.plan().jobs.as_ref()?;
    if view.state.jobs.are_back() {
        return None;
    }
    if view.observation.beside.hushed {
        return Some(Decision::hold(HoldReason::CallsWait {}));
    }
    if let Some(decision) = unresolved(view) {
        return Some(decision);
    }
    if view.state.jobs.goal == Some(JobSide::New) {
        return Some(Decision::of(Event::JobSwitchIntended { to: JobSide::Old }));
    }
    Some(drive(view, switch, JobSide::Old))
}

/// Returns a hold on the end of a revert if jobs that were moved back were not read lately, or are not as this attempt
/// left them. This finds a change of jobs that took effect after its controller died. `None` if all is well.
pub(super) fn astray(view: &View<'_>) -> Option<Decision> {
    let switch = view.state.plan().jobs.as_ref()?;
    let turned = &view.state.jobs.turned;
    if turned.is_empty() {
        return None;
    }
    for side in [JobSide::Old, JobSide::New] {
        if let Err(wait) = looked(view, switch, side, view.now - FRESH) {
            return Some(*wait);
        }
    }
    let drifted = drift(view, switch, |half| {
        if turned.contains(&half) {
            half.side == JobSide::Old
        } else {
            // A half that this attempt never switched may be on or off.
            looks::seen(view, half).is_some_and(|look| look.on)
        }
    });
    drifted.map(Decision::hold)
}

/// Resolves the change of jobs that is not read back yet. Nothing else is begun before. `None` if there is no such
/// change.
fn unresolved(view: &View<'_>) -> Option<Decision> {
    let turn = view.state.jobs.turn.as_ref()?;
    let switch = view.state.plan().jobs.as_ref()?;
    let settled_at = turn.settled_at();
    let ours = view.observation.beside.under_way.contains(&turn.turn_id);
    if ours || view.now < settled_at || view.observation.beside.hushed {
        let mut hold = moving(view);
        hold.wake_at = if !ours && settled_at > view.now {
            Some(settled_at)
        } else {
            None
        };
        return Some(hold);
    }
    let looks = match looked(view, switch, turn.side, settled_at) {
        Ok(looks) => looks,
        Err(hold) => return Some(*hold),
    };
    let mut on = Vec::new();
    for job in &turn.jobs {
        if looks.get(job).is_some_and(|look| look.on) {
            on.push(*job);
        }
    }
    Some(Decision::of(Event::JobTurnResolved {
        turn_id: turn.turn_id.clone(),
        on,
    }))
}

/// Begins the switch forward, if nothing holds it: every job is on its old side, and none runs at about this time.
fn begin(view: &View<'_>, switch: &JobSwitch, blockers: &[HoldReason]) -> Decision {
    let mut hold = Decision {
        wake_at: Some(view.now + LOOK_MOVING),
        ..Decision::default()
    };
    let since = view.now - FRESH;
    for side in [JobSide::Old, JobSide::New] {
        if let Err(wait) = looked(view, switch, side, since) {
            return *wait;
        }
    }
    hold.because.extend(unseen(view, switch));
    hold.because
        .extend(drift(view, switch, |half| half.side == JobSide::Old));
    hold.because.extend(fires_now(view, switch));
    if switch.at == SwitchAt::Complete {
        hold.because.extend(window_shut(view));
    }
    if hold.because.is_empty() && blockers.is_empty() && !view.observation.beside.hushed {
        return Decision::of(Event::JobSwitchIntended { to: JobSide::New });
    }
    if hold.because.is_empty() {
        hold.because.push(HoldReason::JobsMoving {
            to: JobSide::New,
            off_since: None,
        });
    }
    hold
}

/// Returns a hold if the plan's window is shut. Only for a switch after the last bake: the window of a step has let its
/// switch in already.
fn window_shut(view: &View<'_>) -> Option<HoldReason> {
    let windows = view.state.plan().windows.as_ref()?;
    let opens_at = windows.next(view.now, SignedDuration::ZERO);
    if opens_at == Some(view.now) {
        return None;
    }
    Some(HoldReason::WindowShut {
        step: view.state.verified_step,
        opens_at,
        time_zone: windows.time_zone.clone(),
        whole_bake: false,
    })
}

/// Returns a hold if a job runs too soon on either side, because a run between the two parts of a switch would be lost.
/// If the runs of many jobs leave no gap, the switch waits twice as long as for any single job, and then begins anyway.
fn fires_now(view: &View<'_>, switch: &JobSwitch) -> Option<HoldReason> {
    let away = switch.away.max(switch.wait);
    let mut busy: Vec<Busy> = Vec::new();
    for reading in view.observation.beside.jobs.values() {
        if let Ok(look) = &reading.look
            && let Some(firing) = &look.firing
        {
            busy.extend(firing.busy(view.now, away));
        }
    }
    let until = busy.iter().map(|busy| busy.until).max()?;
    let longest = busy.iter().map(|busy| busy.lasts).max()?;
    let patience = FIRING_PATIENCE.max(longest.saturating_add(longest));
    let since = held_since(view, |reason| {
        let HoldReason::JobsFiring { since, .. } = reason else {
            return None;
        };
        *since
    });
    if view.now.duration_since(since) >= patience {
        return None;
    }
    let since = Some(since);
    Some(HoldReason::JobsFiring { until, since })
}

/// Goes on with a switch that has begun.
fn drive(view: &View<'_>, switch: &JobSwitch, to: JobSide) -> Decision {
    let jobs = &view.state.jobs;
    if jobs.moved {
        return Decision::default();
    }
    if let Some(wait) = backs_off(view, switch, to) {
        return wait;
    }
    match jobs.off_at {
        None => leave(view, switch, to),
        Some(off_at) => arrive(view, switch, to, off_at),
    }
}

/// Returns a hold while a failed change of jobs is not tried again: 1, 2, 4 … seconds. After [`FAILURES_TOLD`] failures
/// in a row the hold pages. `None` if the wait is over.
fn backs_off(view: &View<'_>, switch: &JobSwitch, to: JobSide) -> Option<Decision> {
    let jobs = &view.state.jobs;
    let again_at = jobs.failed_at? + Backoff::TRIES.after(jobs.failures);
    if view.now >= again_at {
        return None;
    }
    let mut hold = moving(view);
    hold.wake_at = Some(again_at);
    if jobs.failures >= FAILURES_TOLD {
        let side = if jobs.off_at.is_some() {
            to
        } else {
            to.other()
        };
        let half = jobs
            .turned
            .iter()
            .find(|half| half.side == side && jobs.known.get(half) != Some(&(side == to)));
        let job = half.and_then(|half| switch.jobs.get(half.job));
        hold.because.push(HoldReason::JobsStuck {
            job: job.map_or_else(String::new, |job| job.name.clone()),
            side,
            message: jobs
                .trouble
                .clone()
                .unwrap_or_else(|| "the job did not change state after it was switched".to_owned()),
        });
    }
    Some(hold)
}

/// Switches off each job of the side that is left, until all are read off.
fn leave(view: &View<'_>, switch: &JobSwitch, to: JobSide) -> Decision {
    let (jobs, side) = (&view.state.jobs, to.other());
    let none_turned = to == JobSide::Old && jobs.turned.is_empty();
    if none_turned {
        return Decision::of(Event::JobsMoved { to });
    }
    let since = jobs.since.max(jobs.failed_at).unwrap_or(view.now);
    let looks = match looked(view, switch, side, since) {
        Ok(looks) => looks,
        Err(hold) => return *hold,
    };
    let (mut turn, mut foreign) = (Vec::new(), false);
    for (index, look) in &looks {
        let half = HalfId::new(*index, side);
        if look.on {
            let expected = match to {
                JobSide::New => jobs.known.get(&half) != Some(&false),
                JobSide::Old => {
                    jobs.turned.contains(&half) && jobs.known.get(&half) != Some(&false)
                }
            };
            foreign |= !expected;
            turn.push(*index);
        } else {
            foreign |= to == JobSide::New && !jobs.turned.contains(&half);
        }
    }
    if foreign && !is_forced(view) {
        return foreign_hold(view, switch, side);
    }
    if turn.is_empty() {
        return Decision::of(Event::JobsOff { side });
    }
    order(view, switch, side, false, turn)
}

/// Waits until the side that is left has been off for the plan's `wait` and none of its jobs still runs. Then switches
/// the other side on.
fn arrive(view: &View<'_>, switch: &JobSwitch, to: JobSide, off_at: Timestamp) -> Decision {
    let (jobs, left) = (&view.state.jobs, to.other());
    // If that side was never switched on, none of its jobs can run.
    let ran = to == JobSide::New || jobs.has_turned(left);
    let waited_at = if ran { off_at + switch.wait } else { off_at };
    let waited = waited_at <= view.now;
    // A job may have started just before it was switched off. Only a reading after the wait shows that.
    let since = if waited { waited_at } else { off_at };
    let looks = match looked(view, switch, left, since) {
        Ok(looks) => looks,
        Err(hold) => return *hold,
    };
    let mut on = Vec::new();
    for (index, look) in &looks {
        if look.on {
            on.push(*index);
        }
    }
    if !on.is_empty() {
        // Somebody else switched these on again. The jobs must never run on both sides.
        if is_forced(view) {
            return order(view, switch, left, false, on);
        }
        return foreign_hold(view, switch, left);
    }
    if running(view, left).is_some() {
        return moving(view);
    }
    if !waited {
        let mut hold = moving(view);
        hold.wake_at = Some(waited_at);
        return hold;
    }
    if !jobs.drained {
        return Decision::of(Event::JobsDrained { side: left });
    }
    switch_on(view, switch, to, off_at)
}

/// Switches on the side `to`, once the other side has been off for long enough and none of its jobs still runs.
fn switch_on(view: &View<'_>, switch: &JobSwitch, to: JobSide, off_at: Timestamp) -> Decision {
    let jobs = &view.state.jobs;
    let since = jobs.failed_at.max(Some(off_at)).unwrap_or(off_at);
    let looks = match looked(view, switch, to, since) {
        Ok(looks) => looks,
        Err(hold) => return *hold,
    };
    let (mut turn, mut foreign, mut makes_up_until) = (Vec::new(), false, None);
    for (index, look) in &looks {
        let half = HalfId::new(*index, to);
        let turned = jobs.turned.contains(&half);
        // During a revert only jobs that this attempt switched off are switched on again.
        let ours = to == JobSide::New || turned;
        let known = if turned { jobs.known.get(&half) } else { None };
        match (look.on, known) {
            // A half that was last read off may be on now, because a change by this attempt may have taken effect late.
            (true, known) => foreign |= known.is_none() && to == JobSide::New,
            (false, Some(true)) => foreign = true,
            (false, _) if ours => {
                turn.push(*index);
                if let Some(firing) = &look.firing {
                    makes_up_until = makes_up_until.max(firing.makes_up_until(view.now, off_at));
                }
            }
            (false, _) => {}
        }
    }
    if foreign && !is_forced(view) {
        return foreign_hold(view, switch, to);
    }
    if turn.is_empty() {
        return Decision::of(Event::JobsMoved { to });
    }
    let ran = to == JobSide::New || jobs.has_turned(to.other());
    if ran && let Some(mut until) = makes_up_until {
        if to == JobSide::Old {
            until = until.min(off_at + GAP_GRACE);
        }
        if view.now < until {
            let mut hold = moving(view);
            hold.because
                .push(HoldReason::JobsFiring { until, since: None });
            hold.wake_at = Some(until);
            return hold;
        }
    }
    order(view, switch, to, true, turn)
}

/// Holds because somebody else switched jobs. Their change is not overwritten, and a person is paged.
fn foreign_hold(view: &View<'_>, switch: &JobSwitch, side: JobSide) -> Decision {
    let jobs = &view.state.jobs;
    let mut hold = moving(view);
    let drifted = drift(view, switch, |half| match jobs.known.get(&half) {
        Some(on) => *on,
        None => side == JobSide::Old && half.side == JobSide::Old,
    });
    hold.because.push(drifted.unwrap_or(HoldReason::JobsDrift {
        jobs: Vec::new(),
        both_on: Vec::new(),
    }));
    hold
}

/// Returns true if a person asked for force. Only that overrides a change by somebody else (invariant I8), and never so
/// that both sides are on.
fn is_forced(view: &View<'_>) -> bool {
    let revert = view.state.revert.as_ref();
    let forced = revert.is_some_and(|revert| revert.mode == RevertMode::Force);
    forced && view.state.jobs.goal == Some(JobSide::Old)
}

/// Returns the decision to switch these jobs of one side on or off.
fn order(
    view: &View<'_>,
    switch: &JobSwitch,
    side: JobSide,
    on: bool,
    jobs: Vec<usize>,
) -> Decision {
    if view.observation.beside.hushed {
        return Decision::hold(HoldReason::CallsWait {});
    }
    let turn_id = view.next_write_id();
    let perform_by = view.now + PERFORM_WITHIN;
    let (mut names, mut halves) = (Vec::new(), Vec::new());
    for index in &jobs {
        let Some(job) = switch.jobs.get(*index) else {
            continue;
        };
        names.push(job.name.clone());
        if let Some(half) = job.half(side) {
            halves.push((*index, half.clone()));
        }
    }
    let turn = TurnOrder {
        turn_id: turn_id.clone(),
        on,
        halves,
        side,
        send_by: perform_by,
    };
    Decision {
        events: vec![Event::JobTurnIntended {
            turn_id,
            owner: view.observation.me.clone(),
            perform_by,
            lands_by: perform_by + JOB_WITHIN + LATE,
            side,
            on,
            jobs,
            names,
        }],
        errands: vec![Errand::Turn(turn)],
        ..Decision::default()
    }
}
