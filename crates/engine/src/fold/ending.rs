//! The fold of events about reverts, halts and ends.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Taken, require};
use crate::event::RevertMode;
use crate::hold::{HaltReason, RevertCause};
use crate::record::GroupImage;
use crate::state::{ForeignSeen, Phase, Revert, State, Write};
use crate::strays::Stray;
use crate::units::WriteId;

impl State {
    /// Begins a revert. The halt, the drift and the requested rollback are removed.
    pub(super) fn begin_revert(
        &mut self,
        write_id: &WriteId,
        cause: &RevertCause,
        mode: RevertMode,
        at: Timestamp,
    ) -> Taken {
        require(self.baseline.is_some(), "nothing was ever written")?;
        self.revert = Some(Revert {
            write_id: write_id.clone(),
            cause: cause.clone(),
            mode,
            at,
            step: self.step_taken_back(cause),
            baseline_seen: None,
            foreign: None,
            submitted: BTreeMap::new(),
            trouble: None,
            failed_class: None,
            failures: 0,
            failed_at: None,
        });
        self.rollback = None;
        self.strays = Vec::new();
        self.halt = None;
        self.drift = None;
        self.resubmission = None;
        self.enter(Phase::Reverting, at);
        Ok(())
    }

    /// Returns the number of the step whose weights a revert takes back. A late write takes effect after the revert of
    /// its step, when the current step is 0 already.
    fn step_taken_back(&self, cause: &RevertCause) -> u16 {
        match (cause, &self.write, &self.revert) {
            (RevertCause::LateWrite {}, Some(write), _) => write.step,
            // A forced revert continues the plain revert before it.
            (_, _, Some(before)) if self.phase == Phase::Reverting => before.step,
            _ => self.step,
        }
    }

    /// Records when all groups were first read at the baseline.
    pub(super) fn baseline_seen(&mut self, at: Option<Timestamp>) -> Taken {
        require(self.phase == Phase::Reverting, "nothing is reverting")?;
        if let Some(revert) = &mut self.revert {
            revert.baseline_seen = at;
        }
        Ok(())
    }

    /// Records weights of somebody else, or that they are gone if `groups` is empty.
    pub(super) fn foreign_weights_seen(
        &mut self,
        groups: &BTreeMap<usize, Option<GroupImage>>,
        read_at: Timestamp,
    ) -> Taken {
        require(self.phase == Phase::Reverting, "nothing is reverting")?;
        let revert = self.revert.as_mut().ok_or("nothing is reverting")?;
        revert.foreign = if groups.is_empty() {
            None
        } else {
            Some(ForeignSeen {
                groups: groups.clone(),
                read_at,
            })
        };
        Ok(())
    }

    /// Records members that hold weight although the baseline did not have it.
    pub(super) fn stray_weights_found(&mut self, members: &[Stray]) -> Taken {
        let back = matches!(self.phase, Phase::Reverting | Phase::Reverted);
        require(back, "nothing went back")?;
        self.strays = members.to_vec();
        Ok(())
    }

    /// Ends a revert, or cancels a start before its first write.
    pub(super) fn reverted(&mut self, cancelled: bool, at: Timestamp) -> Taken {
        let legal = if cancelled {
            !self.has_started()
        } else {
            self.phase == Phase::Reverting
        };
        require(legal, "nothing is reverting")?;
        require(self.jobs.are_back(), "the jobs are not back")?;
        // A write whose replies are all known can no longer take effect. Any other is watched for a while longer
        // (semantics A4).
        if self.write.as_ref().is_some_and(Write::is_answered) {
            self.write = None;
        }
        self.step = 0;
        self.rollback = None;
        self.drift = None;
        self.clear_holds(at);
        self.enter(Phase::Reverted, at);
        Ok(())
    }

    /// Halts an unfinished cutover.
    pub(super) fn halted(&mut self, reason: &HaltReason, at: Timestamp) -> Taken {
        require(!self.phase.is_final(), "the cutover is over")?;
        self.halt = Some(reason.clone());
        self.rollback = None;
        self.enter(Phase::Halted, at);
        Ok(())
    }

    /// Completes the cutover after the bake of its last step.
    pub(super) fn completed(&mut self, at: Timestamp) -> Taken {
        let last = self.verified_step == self.plan().step_count();
        let over = self.phase == Phase::Baking && last && self.bake.over;
        require(over, "the last bake is not over")?;
        self.clear_holds(at);
        self.enter(Phase::Completed, at);
        Ok(())
    }

    /// Completes the cutover because a person accepted the records found in the last step as the end. The old side is
    /// gone, so there is no revert.
    pub(super) fn completed_as_found(&mut self, at: Timestamp) -> Taken {
        let last = self.verified_step == self.plan().step_count();
        let under_way = match self.phase {
            Phase::Settling | Phase::Baking | Phase::Halted => true,
            Phase::Waiting
            | Phase::Shifting
            | Phase::Completed
            | Phase::Reverting
            | Phase::Reverted
            | Phase::Abandoned => false,
        };
        require(last && under_way, "it is not in its last step")?;
        require(self.write.is_none(), "a write is unresolved")?;
        self.baseline = None;
        self.end(Phase::Completed, at);
        Ok(())
    }

    /// Ends the cutover without a revert.
    pub(super) fn abandoned(&mut self, at: Timestamp) -> Taken {
        require(!self.phase.is_final(), "the cutover is over")?;
        self.write = None;
        self.end(Phase::Abandoned, at);
        Ok(())
    }

    /// Ends the cutover as it is. Removes requests, the halt, the drift and all holds.
    fn end(&mut self, phase: Phase, at: Timestamp) {
        self.rollback = None;
        self.halt = None;
        self.drift = None;
        self.clear_holds(at);
        self.enter(phase, at);
    }

    /// Removes all holds, because a finished cutover has none.
    fn clear_holds(&mut self, at: Timestamp) {
        self.held.clear();
        self.ended_holds.clear();
        self.held_at = Some(at);
        self.unknown.clear();
        self.skip_requested = None;
        self.paused = None;
    }
}
