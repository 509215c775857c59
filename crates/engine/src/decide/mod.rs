//! The decision: a pure function of the state (which carries the plan), the fleet, the readings and the time.
//!
//! One call decides one thing. The round appends its events, folds them, and decides again until there are no more
//! events. So a drift that clears and the step that it held back happen in the same round.

mod active;
mod advance;
mod automatic;
mod decision;
mod denied;
mod holds;
mod hooks;
mod jobs;
pub(crate) mod limits;
mod reverting;
mod shifting;
mod turn;
mod view;
mod watching;

pub use decision::{Decision, Errand, HookCall, How, Order, Part, Purpose, TurnOrder};
pub use denied::{ALARM_HISTORY, DESCRIBE_ALARMS, GET_CHANGE, METRIC_DATA, hold as denied_hold};
pub use limits::{
    BLIND_REVERT_AFTER, DRIFT_CHECK_EVERY, FENCE, JOB_WITHIN, LATE, PERFORM_WITHIN, RESIDUE,
    STEP_WITHIN,
};
pub use turn::watched;

use jiff::Timestamp;

use super::fleet::Fleet;
use super::hold::HoldReason;
use super::observation::{FileReading, Observation};
use super::state::{Phase, State};
use view::View;

/// Decides the next thing about a cutover.
///
/// If [`Decision::takes_a_step`] is true, the caller appends the decision on the condition that `@fleet` is still at
/// `fleet.seq`. A start also depends on the streams of the cutovers that it waits for. No other decision has these
/// conditions.
pub fn decide(state: &State, fleet: &Fleet, observation: &Observation, now: Timestamp) -> Decision {
    if let Some(damage) = fleet.damage(&state.name) {
        // The state is only the last good one, and a controller of a newer version may be at work (invariant I15).
        return Decision {
            because: vec![damage.hold()],
            ..Decision::default()
        };
    }
    let at = now.max(state.last_at);
    let view = View {
        state,
        fleet,
        observation,
        now: at,
        clock: now,
    };
    let mut decision = match state.phase {
        Phase::Completed | Phase::Reverted => {
            reverting::asked_again(&view).unwrap_or_else(|| reverting::late_write(&view))
        }
        Phase::Reverting => reverting::decide(&view),
        // Nothing is ever written for an abandoned cutover.
        Phase::Abandoned => Decision::default(),
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => {
            active::decide(&view)
        }
    };
    // Weights come first. Jobs and hooks follow only if there is nothing to decide about the weights.
    if state.jobs_go_back() && decision.events.is_empty() && decision.order.is_none() {
        beside_a_revert(&view, &mut decision);
    }
    if state.phase == Phase::Reverting {
        decision.because.extend(denied::holds(&view));
    }
    if let (Phase::Reverting, Some(fate)) = (state.phase, fleet.shared_fate_of(&state.name)) {
        decision.because.push(HoldReason::SharedFate {
            services: fate.services,
            named: fate.named,
            since: fate.since,
        });
    }
    decision.because.extend(name_used(state, &observation.file));
    decision.because.sort();
    decision.because.dedup();
    if decision.events.is_empty() && !state.phase.is_final() {
        decision
            .events
            .extend(holds::journal(state, &decision.because, at));
    }
    decision
}

/// Returns a hold if the plan file has the name of this finished cutover but holds another plan (semantics L9). `None`
/// otherwise.
pub fn name_used(state: &State, file: &FileReading) -> Option<HoldReason> {
    let FileReading::Plan(source) = file else {
        return None;
    };
    if !state.phase.is_final()
        || source.plan.name != state.name
        || source.digest == state.source.digest
    {
        return None;
    }
    Some(HoldReason::NameUsed {
        path: source.path.clone(),
        phase: state.phase,
        unresolved: state.write.is_some(),
    })
}

/// Adds what jobs and hooks need during a revert: they go back, and are called.
fn beside_a_revert(view: &View<'_>, decision: &mut Decision) {
    for more in [hooks::before_revert(view), jobs::back(view)] {
        if let Some(more) = more {
            decision.add(more);
        }
        if !decision.events.is_empty() {
            return;
        }
    }
}

/// Returns true if this process must read the plan's jobs now. `looked_at` is the time at which its last reading of
/// them began.
pub fn wants_jobs(state: &State, looked_at: Option<Timestamp>, now: Timestamp) -> bool {
    jobs::wants_look(state, looked_at, now.max(state.last_at))
}

/// Returns true if the groups must be read before this cutover can be decided, be it only for the regular drift check.
/// `observation` need not have readings of groups yet.
pub fn wants_groups(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    let at = now.max(state.last_at);
    let due = observation
        .groups_read_at
        .is_none_or(|read_at| at.duration_since(read_at) >= DRIFT_CHECK_EVERY);
    wants_groups_if(due, state, fleet, observation, now)
}

/// Returns true if the groups must be read before this cutover can be decided. The regular drift check is not
/// considered.
pub fn wants_groups_at_once(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    wants_groups_if(false, state, fleet, observation, now)
}

/// Returns true if the groups must be read. `due` is true if it is time for the regular drift check.
fn wants_groups_if(
    due: bool,
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    if fleet.damage(&state.name).is_some() {
        return due; // Nothing is decided: the reading is only shown to people.
    }
    let now = now.max(state.last_at);
    match state.phase {
        Phase::Completed | Phase::Abandoned => false,
        Phase::Reverted => {
            state.write.is_some() && now.duration_since(state.phase_since) <= RESIDUE
        }
        Phase::Reverting | Phase::Shifting => !observation.in_flight,
        // If a write was intended earlier, it may have taken effect after all (invariant I14).
        Phase::Waiting if state.intended.is_empty() && !fleet.holds(state, now).is_empty() => false,
        Phase::Waiting | Phase::Settling | Phase::Baking | Phase::Halted => {
            let view = View {
                state,
                fleet,
                observation,
                now,
                clock: now,
            };
            due || state.drift.is_some() || active::wants_groups(&view)
        }
    }
}
