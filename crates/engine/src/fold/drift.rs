//! The fold of events about drift: groups that somebody else changed, until they are restored, adopted or written
//! again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Taken, require};
use crate::record::GroupImage;
use crate::state::{Bake, FIRST_WRITE_SLACK, Phase, State};

impl State {
    /// Records the drifted groups. In a waiting cutover that has sent a write before, the attempt begins by this.
    pub(super) fn drift_detected(
        &mut self,
        groups: &BTreeMap<usize, Option<GroupImage>>,
        at: Timestamp,
    ) -> Taken {
        if self.phase == Phase::Waiting {
            self.begin_by_drift(at)?;
        }
        self.drift = Some(groups.clone());
        Ok(())
    }

    /// Begins the attempt because of drift: after its write was abandoned, a group has a share that nobody verified.
    /// From now on its gates are armed (invariant I14).
    fn begin_by_drift(&mut self, at: Timestamp) -> Taken {
        require(!self.intended.is_empty(), "nothing was ever written")?;
        self.verified.clone_from(&self.baseline);
        self.first_write = Some(at - FIRST_WRITE_SLACK);
        self.step = 1;
        self.step_began_at = Some(at);
        self.enter(Phase::Shifting, at);
        Ok(())
    }

    /// Clears the drift. If no group has the step's weights, the step is decided afresh.
    pub(super) fn drift_cleared(&mut self, at: Timestamp) {
        self.drift = None;
        let undecided = self.phase == Phase::Shifting && self.write.is_none();
        if undecided && !self.has_moved_in_step() {
            self.step_back(at);
        }
    }

    /// Accepts the drifted images as verified. The baseline gets their fields, but keeps its weights.
    pub(super) fn drift_adopted(
        &mut self,
        images: &BTreeMap<usize, GroupImage>,
        at: Timestamp,
    ) -> Taken {
        require(self.drift.is_some(), "nothing has drifted")?;
        for (index, image) in images {
            if let Some(verified) = self.verified.as_mut().and_then(|all| all.get_mut(*index)) {
                *verified = image.clone();
            }
            if let Some(baseline) = self.baseline.as_mut().and_then(|all| all.get_mut(*index)) {
                *baseline = image.with_pair(baseline.pair());
            }
        }
        self.drift = None;
        if self.phase == Phase::Shifting {
            self.step_began_at = Some(at);
        }
        Ok(())
    }

    /// Reopens the last verified step: its weights are written again, and its bake begins anew (semantics L5).
    pub(super) fn step_reopened(&mut self, step: u16, at: Timestamp) -> Taken {
        let watched = matches!(self.phase, Phase::Settling | Phase::Baking);
        require(
            watched && step == self.verified_step,
            "that step is not watched",
        )?;
        require(self.write.is_none(), "another write is unresolved")?;
        self.step = step;
        self.writing_again = true;
        self.step_began_at = Some(at);
        self.abandoned_at = None;
        self.skip_requested = None;
        self.changes.clear();
        self.resubmission = None;
        self.bake = Bake::default();
        self.enter(Phase::Shifting, at);
        Ok(())
    }
}
