//! Jobs: one switch, old or new, never both. Off → read back → what still runs is waited for → on → read back.
//!
//! Traffic never waits for it: a revert's weights are written first, and the jobs go back beside them (I4). Between the
//! halves neither side runs; whoever finds that goes on from there, and it is said loudly where it lasts.

use jiff::{SignedDuration, Timestamp};

mod looks;

use super::watching;
use super::{Decision, Errand, LATE, PERFORM_WITHIN, TurnOrder, View};
use crate::engine::event::{Event, RevertMode};
use crate::engine::hold::{HaltReason, HoldReason};
use crate::engine::jobs::{Busy, HalfId, JobSide, JobSwitch, SwitchAt};
use crate::engine::state::{Phase, State};

pub(super) use looks::wants_look;
use looks::{FRESH, LOOK_MOVING, drift, held_since, looked, still_running, unseen};

/// How long a change of a job, or a look at it, may take: a command of ours is ended then.
pub const JOB_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// How much longer than the plan's `wait` both sides may be off before somebody is woken. For so long the way back waits
/// until nothing is made up for that has run already, and no longer.
const GAP_GRACE: SignedDuration = SignedDuration::from_mins(5);

/// How long the switch is put off at least, where firing times of many jobs leave no gap between them.
const FIRING_PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// The longest wait between two tries, in seconds.
const BACKOFF_MAX_SECS: i64 = 60;

/// How many changes in a row must not have come about before somebody is woken.
const FAILURES_TOLD: u32 = 3;

/// Whether the plan's moment for the switch has come, gates and windows aside.
fn is_due(state: &State, now: Timestamp) -> bool {
    let Some(switch) = &state.plan().jobs else {
        return false;
    };
    match switch.at {
        SwitchAt::Step(share) => {
            let step = state.plan().step_of(share);
            let taken = step.is_some_and(|step| state.verified_step >= step);
            let settled = match state.phase {
                Phase::Settling => watching::settled_at(state).is_some_and(|at| at <= now),
                Phase::Baking => true,
                Phase::Waiting
                | Phase::Shifting
                | Phase::Completed
                | Phase::Reverting
                | Phase::Reverted
                | Phase::Halted
                | Phase::Abandoned => false,
            };
            taken && settled
        }
        SwitchAt::Complete => {
            let last = state.verified_step == state.plan().step_count();
            state.phase == Phase::Baking && last && state.bake.over
        }
    }
}

/// Whether the cutover must not go on before the jobs have moved.
pub(super) fn pending(view: &View<'_>) -> bool {
    is_due(view.state, view.now) && view.state.jobs.rest_on() != Some(JobSide::New)
}

/// What keeps steps from being taken: jobs that somebody else switched, or that cannot be seen.
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

/// That the jobs move, and how far they have come.
fn moving(view: &View<'_>) -> Decision {
    let jobs = &view.state.jobs;
    let to = jobs.goal.unwrap_or(JobSide::New);
    let off_since = jobs.off_at.filter(|_| !jobs.moved);
    let mut hold = Decision::hold(HoldReason::JobsMoving { to, off_since });
    hold.because.extend(gap(view));
    hold.because.extend(running(view, to.other()));
    hold.wake_at = Some(view.now + LOOK_MOVING);
    hold
}

/// That something of the side that is left still runs, as last seen. Where that side never was switched on, nothing can.
fn running(view: &View<'_>, side: JobSide) -> Option<HoldReason> {
    let (jobs, switch) = (&view.state.jobs, view.state.plan().jobs.as_ref()?);
    let since = jobs.off_at.filter(|_| !jobs.moved)?;
    let running = still_running(view, switch, side);
    let ran = side == JobSide::Old || jobs.has_turned(side);
    (ran && running > 0).then(|| HoldReason::JobsRunning {
        side,
        running,
        since,
        overdue: view.now.duration_since(since) >= switch.drain,
    })
}

/// That both sides are off for longer than the switch takes by itself.
fn gap(view: &View<'_>) -> Option<HoldReason> {
    let (jobs, switch) = (&view.state.jobs, view.state.plan().jobs.as_ref()?);
    let since = jobs.off_at.filter(|_| !jobs.moved)?;
    let to = jobs.goal?;
    let standing = view.state.phase == Phase::Halted;
    let allowed = if running(view, to.other()).is_some() {
        switch.wait.max(switch.drain)
    } else {
        switch.wait
    };
    let late = view.now.duration_since(since) >= allowed + GAP_GRACE;
    (standing || late).then_some(HoldReason::JobsBothOff { to, since })
}

/// Moves the jobs forward when their moment has come; none where nothing is to be said about them.
pub(super) fn forward(view: &View<'_>, blockers: &[HoldReason]) -> Option<Decision> {
    let switch = view.state.plan().jobs.as_ref()?;
    let begun = view.state.jobs.goal == Some(JobSide::New);
    match view.state.phase {
        Phase::Settling | Phase::Baking if pending(view) => {}
        // What was begun is finished, also where the step that it belongs to was amended.
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

/// Takes the jobs back, beside a revert; none where they are back, or never moved.
pub(super) fn back(view: &View<'_>) -> Option<Decision> {
    let switch = view.state.plan().jobs.as_ref()?;
    if view.state.jobs.are_back() {
        return None;
    }
    if view.observation.beside.hushed {
        return Some(moving(view));
    }
    if let Some(decision) = unresolved(view) {
        return Some(decision);
    }
    if view.state.jobs.goal == Some(JobSide::New) {
        return Some(Decision::of(Event::JobSwitchIntended { to: JobSide::Old }));
    }
    Some(drive(view, switch, JobSide::Old))
}

/// What keeps a revert from being over although its jobs were taken back: nobody has looked at them lately, or they are
/// not as we left them. A change of ours that outlived its controller would be seen here.
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
    let is_on = |half: &HalfId| looks::seen(view, *half).is_some_and(|look| look.on);
    let ours = |half: HalfId| {
        if turned.contains(&half) {
            half.side == JobSide::Old
        } else {
            is_on(&half)
        }
    };
    drift(view, switch, ours).map(Decision::hold)
}

/// Whether this is the way back of a cutover, so that its jobs go back too.
pub(super) fn goes_back(state: &State) -> bool {
    let halted = matches!(state.halt, Some(HaltReason::Drift { .. })) && state.revert.is_some();
    state.phase == Phase::Reverting || (state.phase == Phase::Halted && halted)
}

/// A change that is not read back yet: nothing else is begun before.
fn unresolved(view: &View<'_>) -> Option<Decision> {
    let turn = view.state.jobs.turn.as_ref()?;
    let switch = view.state.plan().jobs.as_ref()?;
    let settled_at = turn.settled_at();
    let ours = view.observation.beside.under_way.contains(&turn.turn_id);
    if ours || view.now < settled_at || view.observation.beside.hushed {
        let mut hold = moving(view);
        hold.wake_at = Some(settled_at).filter(|at| !ours && *at > view.now);
        return Some(hold);
    }
    let looks = match looked(view, switch, turn.side, settled_at) {
        Ok(looks) => looks,
        Err(hold) => return Some(*hold),
    };
    let is_on = |job: &usize| looks.get(job).is_some_and(|look| look.on);
    Some(Decision::of(Event::JobTurnResolved {
        turn_id: turn.turn_id.clone(),
        on: turn.jobs.iter().copied().filter(is_on).collect(),
    }))
}

/// Begins the way forward: nothing holds, everything is where it belongs, and nothing fires about now.
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

/// A switch of its own asks the plan's window; one that belongs to a step was let in with it.
fn window_shut(view: &View<'_>) -> Option<HoldReason> {
    let windows = view.state.plan().windows.as_ref()?;
    let opens_at = windows.next(view.now, SignedDuration::ZERO);
    (opens_at != Some(view.now)).then(|| HoldReason::WindowShut {
        step: view.state.verified_step,
        opens_at,
        time_zone: windows.time_zone.clone(),
        whole_bake: false,
    })
}

/// That a firing is too near, on either side: what fires between the halves fires nowhere. Where the firing times of many
/// jobs leave no gap, the switch is put off for twice as long as any of them alone could, and then begun.
fn fires_now(view: &View<'_>, switch: &JobSwitch) -> Option<HoldReason> {
    let away = switch.away.max(switch.wait);
    let halves = view.observation.beside.jobs.values();
    let looks = halves.filter_map(|reading| reading.look.as_ref().ok());
    let busy = looks.filter_map(|look| look.firing.as_ref()?.busy(view.now, away));
    let busy: Vec<Busy> = busy.collect();
    let until = busy.iter().map(|busy| busy.until).max()?;
    let longest = busy.iter().map(|busy| busy.lasts).max()?;
    let patience = FIRING_PATIENCE.max(longest.saturating_add(longest));
    let since = held_since(view, |reason| {
        let HoldReason::JobsFiring { since, .. } = reason else {
            return None;
        };
        *since
    });
    let waits = view.now.duration_since(since) < patience;
    let since = Some(since);
    waits.then_some(HoldReason::JobsFiring { until, since })
}

/// Goes on with what was begun.
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

/// After a change that did not come about: 1, 2, 4 … seconds, and somebody is woken at last.
fn backs_off(view: &View<'_>, switch: &JobSwitch, to: JobSide) -> Option<Decision> {
    let jobs = &view.state.jobs;
    let doublings = jobs.failures.saturating_sub(1).min(6);
    let wait = SignedDuration::from_secs((1_i64 << doublings).min(BACKOFF_MAX_SECS));
    let again_at = jobs.failed_at? + wait;
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
        let stuck = |half: &&HalfId| half.side == side;
        let off_target = |half: &&HalfId| jobs.known.get(half) != Some(&(side == to));
        let half = jobs.turned.iter().filter(stuck).find(off_target);
        let job = half.and_then(|half| switch.jobs.get(half.job));
        hold.because.push(HoldReason::JobsStuck {
            job: job.map_or_else(String::new, |job| job.name.clone()),
            side,
            message: jobs
                .trouble
                .clone()
                .unwrap_or_else(|| "it does not do what it is told".to_owned()),
        });
    }
    Some(hold)
}

/// The side that is left: each of its jobs is switched off and read off.
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

/// The side that is left has been off for `wait`, and nothing of it runs any more; then the side that is to be on is
/// switched on and read on.
fn arrive(view: &View<'_>, switch: &JobSwitch, to: JobSide, off_at: Timestamp) -> Decision {
    let (jobs, left) = (&view.state.jobs, to.other());
    // Where that side never was switched on, nothing of it can run.
    let ran = to == JobSide::New || jobs.has_turned(left);
    let waited_at = if ran { off_at + switch.wait } else { off_at };
    // What was switched off may still have started something meanwhile: only a look after that tells.
    let since = Some(waited_at).filter(|at| *at <= view.now);
    let looks = match looked(view, switch, left, since.unwrap_or(off_at)) {
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
        // Never both: what came on again is somebody else's doing.
        if is_forced(view) {
            return order(view, switch, left, false, on);
        }
        return foreign_hold(view, switch, left);
    }
    if running(view, left).is_some() {
        return moving(view);
    }
    if since.is_none() {
        let mut hold = moving(view);
        hold.wake_at = Some(waited_at);
        return hold;
    }
    if !jobs.drained {
        return Decision::of(Event::JobsDrained { side: left });
    }
    switch_on(view, switch, to, off_at)
}

/// The last part: the other side was off for long enough, and is drained.
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
        // On the way back only what we switched off is switched on again.
        let ours = to == JobSide::New || jobs.turned.contains(&half);
        let known = jobs
            .known
            .get(&half)
            .filter(|_| jobs.turned.contains(&half));
        match (look.on, known) {
            // What was not on when it was last read may be on now: what we sent may have landed late.
            (true, known) => foreign |= known.is_none() && to == JobSide::New,
            (false, Some(true)) => foreign = true,
            (false, _) if ours => {
                turn.push(*index);
                let firing = look.firing.as_ref();
                let until = firing.and_then(|firing| firing.makes_up_until(view.now, off_at));
                makes_up_until = makes_up_until.max(until);
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
    let patient_until = (to == JobSide::Old).then_some(off_at + GAP_GRACE);
    let until = makes_up_until.map(|until| patient_until.map_or(until, |most| until.min(most)));
    if let Some(until) = until.filter(|until| ran && view.now < *until) {
        let mut hold = moving(view);
        hold.because
            .push(HoldReason::JobsFiring { until, since: None });
        hold.wake_at = Some(until);
        return hold;
    }
    order(view, switch, to, true, turn)
}

/// Somebody else switched jobs of this side: nothing is written over it, and a person is woken.
fn foreign_hold(view: &View<'_>, switch: &JobSwitch, side: JobSide) -> Decision {
    let jobs = &view.state.jobs;
    let mut hold = moving(view);
    let on_before = |half: HalfId| side == JobSide::Old && half.side == JobSide::Old;
    let known = |half: HalfId| jobs.known.get(&half).copied();
    let wanted = |half: HalfId| known(half).unwrap_or_else(|| on_before(half));
    let drifted = drift(view, switch, wanted);
    hold.because.push(drifted.unwrap_or(HoldReason::JobsDrift {
        jobs: Vec::new(),
        both_on: Vec::new(),
    }));
    hold
}

/// Only a person's force writes over somebody else's change (I8); never so that both are on.
fn is_forced(view: &View<'_>) -> bool {
    let revert = view.state.revert.as_ref();
    let forced = revert.is_some_and(|revert| revert.mode == RevertMode::Force);
    forced && view.state.jobs.goal == Some(JobSide::Old)
}

fn order(
    view: &View<'_>,
    switch: &JobSwitch,
    side: JobSide,
    on: bool,
    jobs: Vec<usize>,
) -> Decision {
    if view.observation.beside.hushed {
        return moving(view);
    }
    let turn_id = view.next_write_id();
    let perform_by = view.now + PERFORM_WITHIN;
    let half = |index: &usize| {
        let job = switch.jobs.get(*index)?;
        Some((*index, job.half(side)?.clone()))
    };
    let turn = TurnOrder {
        turn_id: turn_id.clone(),
        on,
        halves: jobs.iter().filter_map(half).collect(),
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
        }],
        errands: vec![Errand::Turn(turn)],
        ..Decision::default()
    }
}
