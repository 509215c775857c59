//! The fold of reverts, halts and ends.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Taken, require};
use crate::engine::event::RevertMode;
use crate::engine::hold::{HaltReason, RevertCause};
use crate::engine::state::{Phase, Revert, State, Write};
use crate::engine::units::WriteId;

impl State {
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
            baseline_seen: None,
            submitted: BTreeMap::new(),
            trouble: None,
            failed_class: None,
            failures: 0,
            failed_at: None,
        });
        self.rollback = None;
        self.halt = None;
        self.drift = None;
        self.resubmission = None;
        self.enter(Phase::Reverting, at);
        Ok(())
    }

    pub(super) fn baseline_seen(&mut self, at: Option<Timestamp>) -> Taken {
        require(self.phase == Phase::Reverting, "nothing is reverting")?;
        if let Some(revert) = &mut self.revert {
            revert.baseline_seen = at;
        }
        Ok(())
    }

    pub(super) fn reverted(&mut self, cancelled: bool, at: Timestamp) -> Taken {
        let legal = if cancelled {
            !self.has_started()
        } else {
            self.phase == Phase::Reverting
        };
        require(legal, "nothing is reverting")?;
        require(self.jobs.are_back(), "the jobs are not back")?;
        // A write with all its answers cannot land any more; another one is looked for a while longer (RULES A4).
        if self.write.as_ref().is_some_and(Write::is_answered) {
            self.write = None;
        }
        self.step = 0;
        self.rollback = None;
        self.drift = None;
        self.settle_holds(at);
        self.enter(Phase::Reverted, at);
        Ok(())
    }

    pub(super) fn halted(&mut self, reason: &HaltReason, at: Timestamp) -> Taken {
        require(!self.phase.is_final(), "the cutover is over")?;
        self.halt = Some(reason.clone());
        self.rollback = None;
        self.enter(Phase::Halted, at);
        Ok(())
    }

    pub(super) fn completed(&mut self, at: Timestamp) -> Taken {
        let last = self.verified_step == self.plan().step_count();
        let over = self.phase == Phase::Baking && last && self.bake.over;
        require(over, "the last bake is not over")?;
        self.settle_holds(at);
        self.enter(Phase::Completed, at);
        Ok(())
    }

    /// A finished cutover holds for nothing.
    fn settle_holds(&mut self, at: Timestamp) {
        self.held.clear();
        self.ended_holds.clear();
        self.held_at = Some(at);
        self.unknown.clear();
        self.skip_requested = None;
        self.paused = None;
    }
}
