//! Questions about the settling of a step, and about the jobs that move after it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Phase, State};
use crate::around;
use crate::hold::HaltReason;
use crate::jobs::SwitchAt;

impl State {
    /// Returns the time that resolvers are given: the plan's `settle`, or else the largest effective TTL of the groups.
    pub fn settle_time(&self) -> SignedDuration {
        if let Some(settle) = self.plan().settle {
            return settle;
        }
        let images = self.verified.iter().flatten();
        let longest = images
            .map(|image| around::group_ttl_secs(image, &self.alias_ttls))
            .max();
        SignedDuration::from_secs(i64::from(longest.unwrap_or(around::AWS_ALIAS_TTL_SECS)))
    }

    /// Returns the time at which the last change was in sync. `None` if one is not in sync, or if a group is part of no
    /// change.
    pub(crate) fn all_in_sync_at(&self) -> Option<Timestamp> {
        if !self.groups_without_change().is_empty() {
            return None;
        }
        self.changes_in_sync_at()
    }

    /// Returns the end of the current settling. `None` while a change is not in sync, or if a group has drifted.
    pub(crate) fn settled_at(&self) -> Option<Timestamp> {
        if self.drift.is_some() {
            return None;
        }
        Some(self.all_in_sync_at()? + self.settle_time())
    }

    /// Returns the groups that are part of no known change, so that no change can be awaited for them.
    pub(crate) fn groups_without_change(&self) -> BTreeSet<usize> {
        let covered: BTreeSet<usize> = self
            .changes
            .values()
            .flat_map(|change| change.groups.iter().copied())
            .collect();
        (0..self.plan().records.len())
            .filter(|index| !covered.contains(index))
            .collect()
    }

    /// Returns true if the plan's time for the switch of the jobs has come. Gates and windows are not considered.
    pub(crate) fn jobs_are_due(&self, now: Timestamp) -> bool {
        let Some(switch) = &self.plan().jobs else {
            return false;
        };
        match switch.at {
            SwitchAt::Step(share) => {
                let step = self.plan().step_of(share);
                let taken = step.is_some_and(|step| self.verified_step >= step);
                let settled = match self.phase {
                    Phase::Settling => self.settled_at().is_some_and(|at| at <= now),
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
                let last = self.verified_step == self.plan().step_count();
                self.phase == Phase::Baking && last && self.bake.over
            }
        }
    }

    /// Returns true if the jobs must go back to the old side: the cutover reverts, or drift has halted its revert.
    pub(crate) fn jobs_go_back(&self) -> bool {
        let halted = matches!(self.halt, Some(HaltReason::Drift { .. })) && self.revert.is_some();
        self.phase == Phase::Reverting || (self.phase == Phase::Halted && halted)
    }
}
