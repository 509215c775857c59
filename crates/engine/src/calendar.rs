//! The earliest time of each coming step, if all gates pass and approvals are given at once.

use jiff::{SignedDuration, Timestamp};

use super::plan::Plan;
use super::state::{Phase, State};

/// The steps that are not taken yet, and the time of the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The steps that are not taken yet, in their order.
    pub steps: Vec<Coming>,
    /// The end of the last bake. `None` if a window never opens, or if the end lies beyond the year 9999.
    pub ends_at: Option<Timestamp>,
}

/// A step that is not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// The number of the step, from 1.
    pub number: u16,
    /// The earliest time at which it can be taken. `None` if never.
    pub taken_at: Option<Timestamp>,
    /// How long the step then waits for its window.
    pub waits: SignedDuration,
    /// The end of its bake. `None` if it can never be taken.
    pub over_at: Option<Timestamp>,
}

impl Calendar {
    /// Returns all steps of a plan whose first step is due at `from`. Each step settles for `settle`.
    pub fn of_plan(plan: &Plan, settle: SignedDuration, from: Timestamp) -> Self {
        Self::from_step(plan, 1, settle, Some(from))
    }

    /// Returns the coming steps of a cutover as of `now`. `None` if it is over, reverting or halted.
    pub fn of_state(state: &State, now: Timestamp) -> Option<Self> {
        let (plan, settle) = (state.plan(), state.settle_time());
        let (next, left) = match state.phase {
            Phase::Waiting => (1, SignedDuration::ZERO),
            Phase::Shifting => (state.step + 1, settle + bake(plan, state.step)),
            Phase::Settling => {
                let settled = state.changes_in_sync_at().unwrap_or(now) + settle;
                let left = settled.max(now).duration_since(now);
                (state.step + 1, left + bake(plan, state.step))
            }
            Phase::Baking if state.bake.over => (state.verified_step + 1, SignedDuration::ZERO),
            Phase::Baking => {
                let step = state.verified_step;
                (step + 1, bake(plan, step) - state.bake.counted_at(now))
            }
            Phase::Completed
            | Phase::Reverting
            | Phase::Reverted
            | Phase::Halted
            | Phase::Abandoned => return None,
        };
        let ready_at = now.checked_add(left.max(SignedDuration::ZERO)).ok();
        Some(Self::from_step(plan, next, settle, ready_at))
    }

    /// Returns the steps from number `first` on. `ready_at` is the time at which that step is due, windows aside.
    fn from_step(
        plan: &Plan,
        first: u16,
        settle: SignedDuration,
        ready_at: Option<Timestamp>,
    ) -> Self {
        let mut ready_at = ready_at;
        let mut steps = Vec::new();
        for number in first..=plan.step_count() {
            let Some(step) = plan.step(number) else {
                continue;
            };
            let watched = settle.saturating_add(step.bake);
            let taken_at = match (ready_at, &plan.windows) {
                (Some(at), Some(windows)) => windows.next(at, watched),
                (ready_at, _) => ready_at,
            };
            let waits = match (taken_at, ready_at) {
                (Some(taken_at), Some(ready_at)) => taken_at.duration_since(ready_at),
                (Some(_) | None, Some(_) | None) => SignedDuration::ZERO,
            };
            ready_at = taken_at.and_then(|at| at.checked_add(watched).ok());
            steps.push(Coming {
                number,
                taken_at,
                waits,
                over_at: ready_at,
            });
        }
        Self {
            steps,
            ends_at: ready_at,
        }
    }
}

/// Returns the bake of a step; zero for a step that the plan does not have.
fn bake(plan: &Plan, number: u16) -> SignedDuration {
    plan.step(number)
        .map_or(SignedDuration::ZERO, |step| step.bake)
}
