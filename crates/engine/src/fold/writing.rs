//! The fold of events about a step's write.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Taken, require};
use crate::event::{FailureClass, SendOutcome};
use crate::record::GroupImage;
use crate::state::{
    Bake, FIRST_WRITE_SLACK, Phase, Resubmission, Revert, State, SubmittedChange, Write,
};
use crate::units::{ChangeId, WriteId};

/// The time after an abandoned write within which the same step counts as the same try, so that its 10 minutes
/// (semantics A7) go on.
const SAME_TRY: SignedDuration = SignedDuration::from_secs(120);

impl State {
    /// Records a step's write that is about to be sent, with the baseline if there is none yet.
    pub(super) fn weight_change_intended(
        &mut self,
        write: Write,
        baseline: Option<&Vec<GroupImage>>,
        at: Timestamp,
    ) -> Taken {
        require(self.write.is_none(), "another write is unresolved")?;
        let follows = match self.phase {
            Phase::Waiting => write.step == 1,
            Phase::Baking => write.step == self.verified_step + 1 && self.bake.over,
            Phase::Shifting => write.step == self.step,
            Phase::Settling
            | Phase::Completed
            | Phase::Reverting
            | Phase::Reverted
            | Phase::Halted
            | Phase::Abandoned => false,
        };
        require(follows, "the step cannot be taken in this phase")?;
        require(
            self.baseline.is_some() || baseline.is_some(),
            "there is no baseline",
        )?;
        if self.baseline.is_none() {
            self.baseline = baseline.cloned();
        }
        if self.verified.is_none() {
            self.verified = Some(
                write
                    .targets
                    .iter()
                    .map(|target| target.from.clone())
                    .collect(),
            );
        }
        for target in &write.targets {
            self.intended
                .entry(target.group)
                .or_default()
                .insert(target.to);
        }
        if self.phase != Phase::Shifting || !self.has_moved_in_step() {
            self.measured.step_taken();
            self.changes.clear();
            self.resubmission = None;
            let same_try = self
                .abandoned_at
                .is_some_and(|since| at.duration_since(since) <= SAME_TRY);
            if !same_try {
                self.step_began_at = Some(at);
            }
        }
        self.first_write = self.first_write.or(Some(at - FIRST_WRITE_SLACK));
        self.step = write.step;
        self.write = Some(write);
        self.enter(Phase::Shifting, at);
        Ok(())
    }

    /// Records that Route 53 accepted a batch of a step, a resubmission or a revert.
    pub(super) fn weight_change_submitted(
        &mut self,
        write_id: &WriteId,
        change_id: &ChangeId,
        change: SubmittedChange,
        date: Timestamp,
    ) {
        let (groups, at) = (change.groups.clone(), change.submitted_at);
        if self.answer(write_id, &groups, &SendOutcome::Accepted) {
            if self.verified_step == 0 {
                let first = date - FIRST_WRITE_SLACK;
                self.first_write = match self.first_write {
                    Some(earlier) if !self.changes.is_empty() => Some(earlier.min(first)),
                    Some(_) | None => Some(first),
                };
            }
            self.changes.insert(change_id.clone(), change);
        } else if self.is_resubmission(write_id) {
            self.changes.insert(change_id.clone(), change);
        } else if let Some(revert) = self.revert_of(write_id) {
            for group in groups {
                revert.submitted.insert(group, at);
            }
            (revert.failures, revert.failed_at, revert.trouble) = (0, None, None);
        }
    }

    /// Records that a batch of a step or a revert was refused, or that its reply was lost.
    pub(super) fn weight_change_failed(
        &mut self,
        write_id: &WriteId,
        groups: &[usize],
        class: FailureClass,
        message: &str,
        at: Timestamp,
    ) {
        let answer = match class {
            FailureClass::Transient => SendOutcome::Lost(message.to_owned()),
            FailureClass::Throttled
            | FailureClass::Denied
            | FailureClass::Conflict
            | FailureClass::Permanent
            | FailureClass::NotSent => SendOutcome::Refused(class, message.to_owned()),
        };
        if self.answer(write_id, groups, &answer) {
            if let (SendOutcome::Lost(_), Some(write)) = (&answer, &mut self.write) {
                write.losses = write.losses.saturating_add(1);
                write.lost_at = Some(at);
            }
            return;
        }
        // A failed resubmission is kept. Its other zones may still reply, and the next one must not follow at once.
        if let Some(revert) = self.revert_of(write_id) {
            revert.trouble = Some(message.to_owned());
            revert.failed_class = Some(class);
            revert.failures = revert.failures.saturating_add(1);
            revert.failed_at = Some(at);
        }
    }

    /// Records that a write can no longer take effect. The step goes back to the phase in which it was decided, unless
    /// it has begun.
    pub(super) fn weight_change_abandoned(
        &mut self,
        write_id: &WriteId,
        moved: &BTreeMap<usize, GroupImage>,
        landed: &[usize],
        at: Timestamp,
    ) -> Taken {
        self.require_write(write_id)?;
        self.expect_landed(landed);
        // If there is no reply at all, the owner died, and Route 53 was probably never asked.
        let tried = match &self.write {
            Some(write) => !write.answers.is_empty(),
            None => false,
        };
        if let Some(verified) = &mut self.verified {
            for (index, image) in moved {
                if let Some(slot) = verified.get_mut(*index) {
                    *slot = image.clone();
                }
            }
        }
        let trouble = self.write.as_ref().and_then(Write::trouble);
        self.abandoned_for = trouble.map(str::to_owned);
        self.write = None;
        self.abandoned_at = if tried { Some(at) } else { None };
        // A first step that has drifted counts as begun: its gates stay armed (invariant I14).
        let begun = self.has_moved_in_step() || (self.verified_step == 0 && self.drift.is_some());
        if self.phase == Phase::Shifting && !begun {
            self.step_back(at);
        }
        Ok(())
    }

    /// Sets the step's weights as the verified ones of these groups. Route 53 accepted them, so they took effect.
    fn expect_landed(&mut self, landed: &[usize]) {
        let (Some(write), Some(verified)) = (&self.write, &mut self.verified) else {
            return;
        };
        for target in &write.targets {
            if landed.contains(&target.group)
                && let Some(slot) = verified.get_mut(target.group)
            {
                *slot = target.from.with_pair(target.to);
            }
        }
    }

    /// Records that all groups were read at the step's weights, and begins to settle.
    pub(super) fn weights_verified(
        &mut self,
        write_id: &WriteId,
        step: u16,
        images: &[GroupImage],
        at: Timestamp,
    ) -> Taken {
        self.require_write(write_id)?;
        require(self.phase == Phase::Shifting, "nothing is shifting")?;
        self.write = None;
        (self.abandoned_at, self.abandoned_for) = (None, None);
        self.verified_step = step;
        self.writing_again = false;
        self.verified = Some(images.to_vec());
        self.measured.step_verified();
        self.bake = Bake::default();
        self.enter(Phase::Settling, at);
        Ok(())
    }

    /// Records a resubmission in place of a change that can no longer be followed.
    pub(super) fn change_lost(
        &mut self,
        change_id: Option<&ChangeId>,
        resubmission: Resubmission,
    ) -> Taken {
        require(self.phase == Phase::Settling, "nothing is settling")?;
        if let Some(change_id) = change_id {
            self.changes.remove(change_id);
        }
        self.resubmission = Some(resubmission);
        Ok(())
    }

    /// Returns to the phase in which the step was decided, so that it is decided afresh.
    pub(super) fn step_back(&mut self, at: Timestamp) {
        self.step = self.verified_step;
        if self.verified_step == 0 {
            self.first_write = None;
            self.verified = None;
            self.unknown.clear();
            self.enter(Phase::Waiting, at);
        } else if !self.writing_again {
            self.enter(Phase::Baking, at);
        }
    }

    /// Records the reply to a step's write. Returns false if `write_id` is not that write.
    fn answer(&mut self, write_id: &WriteId, groups: &[usize], answer: &SendOutcome) -> bool {
        let Some(write) = &mut self.write else {
            return false;
        };
        if write.write_id != *write_id {
            return false;
        }
        for group in groups {
            let known = write.answers.get(group);
            // If the reply to a first send was lost, that send may take effect even though a second one was refused.
            let doubtful =
                matches!(known, Some(SendOutcome::Lost(_))) && *answer != SendOutcome::Accepted;
            if !doubtful {
                write.answers.insert(*group, answer.clone());
            }
        }
        true
    }

    fn is_resubmission(&self, write_id: &WriteId) -> bool {
        self.resubmission
            .as_ref()
            .is_some_and(|resubmission| resubmission.write_id == *write_id)
    }

    /// Returns the revert that this write belongs to.
    fn revert_of(&mut self, write_id: &WriteId) -> Option<&mut Revert> {
        self.revert
            .as_mut()
            .filter(|revert| revert.write_id == *write_id)
    }

    /// Returns an error unless this is the unresolved write.
    fn require_write(&self, write_id: &WriteId) -> Taken {
        let is_it = self
            .write
            .as_ref()
            .is_some_and(|write| write.write_id == *write_id);
        require(is_it, "that write is not the unresolved one")
    }
}
