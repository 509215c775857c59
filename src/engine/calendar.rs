//! When each coming step can happen at the earliest: if all goes well, and approvals are given at once.

use jiff::{SignedDuration, Timestamp};

use super::decide::settle_time;
use super::plan::Plan;
use super::state::{Phase, State};

/// The steps to come, and the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The steps that are not taken yet, in their order.
    pub steps: Vec<Coming>,
    /// When the last bake is over; none where a window never opens, or beyond the end of the calendar.
    pub ends_at: Option<Timestamp>,
}

/// A step that is not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// Its number, from 1.
    pub number: u16,
    /// When it can be taken; none if never.
    pub taken_at: Option<Timestamp>,
    /// How much of the time before that is spent waiting for the window.
    pub waits: SignedDuration,
    /// When its bake is over.
    pub over_at: Option<Timestamp>,
}

impl Calendar {
    /// All steps of a plan that begins at `from`, each settling for `settle`.
    pub fn of_plan(plan: &Plan, settle: SignedDuration, from: Timestamp) -> Self {
        Self::from_step(plan, 1, settle, Some(from))
    }

    /// What is still to come of a cutover; none where it is over, going back or halted.
    pub fn of_state(state: &State, now: Timestamp) -> Option<Self> {
        let (plan, settle) = (state.plan(), settle_time(state));
        let bake = |number| {
            plan.step(number)
                .map_or(SignedDuration::ZERO, |step| step.bake)
        };
        let after = |left: SignedDuration| now.checked_add(left.max(SignedDuration::ZERO)).ok();
        let (next, ready_at) = match state.phase {
            Phase::Waiting => (1, Some(now)),
            Phase::Shifting => (state.step + 1, after(settle + bake(state.step))),
            Phase::Settling => {
                let arrived = state.changes.values().map(|change| change.in_sync_at);
                let arrived: Option<Vec<Timestamp>> = arrived.collect();
                let settled = arrived.and_then(|at| at.into_iter().max()).unwrap_or(now) + settle;
                let left = settled.max(now).duration_since(now);
                (state.step + 1, after(left + bake(state.step)))
            }
            Phase::Baking => {
                let step = state.verified_step;
                let left = bake(step) - state.bake.counted_at(now);
                let ready_at = if state.bake.over {
                    Some(now)
                } else {
                    after(left)
                };
                (step + 1, ready_at)
            }
            Phase::Completed
            | Phase::Reverting
            | Phase::Reverted
            | Phase::Halted
            | Phase::Abandoned => return None,
        };
        Some(Self::from_step(plan, next, settle, ready_at))
    }

    fn from_step(
        plan: &Plan,
        first: u16,
        settle: SignedDuration,
        ready_at: Option<Timestamp>,
    ) -> Self {
        let mut ready_at = ready_at;
        let steps = (first..=plan.step_count()).filter_map(|number| {
            let step = plan.step(number)?;
            let watched = settle.saturating_add(step.bake);
            let taken_at = ready_at.and_then(|at| match &plan.windows {
                Some(windows) => windows.next(at, watched),
                None => Some(at),
            });
            let waits = taken_at.zip(ready_at);
            let waits = waits.map(|(taken_at, ready_at)| taken_at.duration_since(ready_at));
            ready_at = taken_at.and_then(|at| at.checked_add(watched).ok());
            Some(Coming {
                number,
                taken_at,
                waits: waits.unwrap_or_default(),
                over_at: ready_at,
            })
        });
        let steps = steps.collect();
        Self {
            steps,
            ends_at: ready_at,
        }
    }
}
