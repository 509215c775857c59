//! The switch of jobs, followed over entries and effects: old or new, never both by our hand (I13).

use std::collections::{BTreeMap, BTreeSet};

use cutover_engine::check::Invariant;
use cutover_engine::event::{Envelope, Event};
use cutover_engine::jobs::{HalfId, JobSide};
use cutover_engine::state::{Phase, State};
use jiff::Timestamp;

use super::violations::{Violations, one, violation};

/// The jobs of one cutover, followed over entries and effects.
#[derive(Debug, Clone, Default)]
pub(super) struct FollowedJobs {
    /// The side whose jobs were all read off since one of them was last to be switched on.
    off: Option<(JobSide, Timestamp)>,
    /// The change that is not read back.
    turn: Option<(JobSide, bool)>,
    /// The sides of which we ever switched a job on.
    ran: BTreeSet<JobSide>,
    /// The real state of each half: true if it is on.
    world: BTreeMap<HalfId, bool>,
    /// The halves that somebody else switched last; the checker does not answer for them.
    foreign: BTreeSet<HalfId>,
}

impl FollowedJobs {
    /// Returns the invariants that an entry breaks, given the state before it.
    pub(super) fn entry(&mut self, state: &State, entry: &Envelope) -> Violations {
        match &entry.event {
            Event::JobTurnIntended { side, on, .. } => self.intended(state, *side, *on, entry.at),
            Event::JobTurnResolved { .. } => {
                self.turn = None;
                Vec::new()
            }
            Event::JobsOff { .. } if self.turn.is_some() => one(
                Invariant::I13,
                "a side was taken to be off while a change was under way",
            ),
            Event::JobsOff { side } => {
                self.off = Some((*side, entry.at));
                Vec::new()
            }
            Event::JobsMoved { to } => {
                let untouched = *to == JobSide::Old && state.jobs.turned.is_empty();
                let off = self.off.is_some_and(|(side, _)| side == to.other());
                if off || untouched {
                    Vec::new()
                } else {
                    one(Invariant::I13, "a switch ended without its other side off")
                }
            }
            Event::Completed { .. }
                if state.plan().jobs.is_some() && state.jobs.rest_on() != Some(JobSide::New) =>
            {
                one(
                    Invariant::I13,
                    "it has completed, but its jobs have not moved",
                )
            }
            Event::Reverted { .. } if !state.jobs.are_back() => {
                one(Invariant::I13, "it has reverted, but its jobs are not back")
            }
            Event::RetryRequested { .. } if state.phase == Phase::Reverted => {
                let (world, foreign) = (self.world.clone(), self.foreign.clone());
                *self = Self {
                    world,
                    foreign,
                    ..Self::default()
                };
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn intended(&mut self, state: &State, side: JobSide, on: bool, at: Timestamp) -> Violations {
        let mut claims = vec![(self.turn.is_none(), "during another change")];
        if on {
            let other = self.off.filter(|(off, _)| *off == side.other());
            claims.push((other.is_some(), "on before the other side's were read off"));
            let ran = side == JobSide::New || self.ran.contains(&JobSide::New);
            let waited = match (other, &state.plan().jobs) {
                (Some((_, since)), Some(jobs)) => at.duration_since(since) >= jobs.wait,
                (Some(_) | None, Some(_) | None) => false,
            };
            claims.push((waited || !ran, "on before the plan's `wait` was over"));
            self.ran.insert(side);
            self.off = self.off.filter(|(off, _)| *off != side);
        }
        self.turn = Some((side, on));
        let mut broken = Vec::new();
        for (holds, message) in claims {
            if !holds {
                let message = format!("the {side} side's jobs were to be switched {message}");
                broken.push(violation(Invariant::I13, message));
            }
        }
        broken
    }

    /// Takes a change of ours that took effect.
    pub(super) fn turned(&mut self, half: HalfId, on: bool) -> Violations {
        self.world.insert(half, on);
        self.foreign.remove(&half);
        if !on {
            return Vec::new();
        }
        // Any job of the other side, and not only its own other half: eight rules may have become one.
        for (other, runs) in &self.world {
            if other.side != half.side && *runs && !self.foreign.contains(other) {
                let message = format!(
                    "job {} was switched on while job {} was on on the other side",
                    half.job, other.job
                );
                return vec![violation(Invariant::I13, message)];
            }
        }
        Vec::new()
    }

    /// Takes the state of a half at the beginning.
    pub(super) fn found(&mut self, half: HalfId, on: bool) {
        self.world.insert(half, on);
    }

    /// Takes a change by somebody else.
    pub(super) fn changed_by_others(&mut self, half: HalfId, on: bool) {
        self.world.insert(half, on);
        self.foreign.insert(half);
    }

    /// Checks the jobs of a finished cutover, except those that somebody else switched.
    pub(super) fn finished(&self, state: &State) -> Violations {
        let moved = state.jobs.rest_on();
        let wanted = match state.phase {
            Phase::Completed => moved,
            Phase::Reverted => Some(JobSide::Old),
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted
            // `abandon` says where it leaves them.
            | Phase::Abandoned => return Vec::new(),
        };
        let Some(wanted) = wanted else {
            return one(
                Invariant::I13,
                "it is over, but its jobs are on neither side",
            );
        };
        let mut broken = Vec::new();
        for (half, on) in &self.world {
            if self.foreign.contains(half) || (half.side == wanted) == *on {
                continue;
            }
            let state = if *on { "on" } else { "off" };
            let message = format!(
                "it is over, but job {} is {state} on the {} side",
                half.job, half.side
            );
            broken.push(violation(Invariant::I13, message));
        }
        broken
    }
}
