//! The input of a decision, and questions to it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::limits::SKEW_MAX;
use crate::event::Event;
use crate::fleet::Fleet;
use crate::observation::{GroupReading, Observation};
use crate::preflight;
use crate::record::{GroupImage, RecordSet};
use crate::state::State;
use crate::units::WriteId;

/// How far this machine's clock may be behind the one that wrote the last entry (semantics D3).
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// The input of a decision: the state, the fleet, the readings and the time.
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) fleet: &'a Fleet,
    pub(super) observation: &'a Observation,
    /// The time of the decision: the later of this machine's clock and the last entry's time.
    pub(super) now: Timestamp,
    /// The time by this machine's clock.
    pub(super) clock: Timestamp,
}

impl View<'_> {
    /// Returns true if this machine's clock is behind the last entry's time by more than [`CLOCK_TOLERANCE`].
    pub(super) fn clock_went_back(&self) -> bool {
        self.state.last_at.duration_since(self.clock) > CLOCK_TOLERANCE
    }

    /// Returns true if this machine's wall clock was set since the last reading at which all gates passed: it moved on
    /// by another time than the monotonic clock. No bake is measured by it then, even if AWS's clock agrees.
    pub(super) fn clock_was_set(&self) -> bool {
        let (Some(at), Some(really)) = (self.observation.passed_at, self.observation.passed_for)
        else {
            return false;
        };
        let by_wall = self.clock.duration_since(at);
        (by_wall - really).abs() > CLOCK_TOLERANCE
    }

    /// Returns the time by AWS's clock, or `now` if the difference between the clocks is not known.
    pub(super) fn aws_now(&self) -> Timestamp {
        match self.observation.clock_skew {
            Some(skew) => self.clock.checked_add(skew).unwrap_or(self.now),
            None => self.now,
        }
    }

    /// Returns AWS's clock minus this machine's, if the difference is too large to measure a bake. `None` if it is
    /// small enough, or not known.
    pub(super) fn skew(&self) -> Option<SignedDuration> {
        self.observation
            .clock_skew
            .filter(|skew| skew.abs() > SKEW_MAX)
    }

    /// Returns the ID for the write, change of jobs or call that the next entry intends. It is unique, because the
    /// append is conditional on `seq`.
    pub(super) fn next_write_id(&self) -> WriteId {
        let State { attempt, seq, .. } = self.state;
        WriteId::from(format!("{attempt}-{}-{}", seq + 1, self.observation.me))
    }

    /// Returns the time since `since`, to decide if something takes too long. It is measured by this machine's clock.
    /// If AWS's clock or the journal contradicts that clock, the result is at most the time by AWS's clock. So a jump
    /// of the clock does not count.
    pub(super) fn elapsed(&self, since: Timestamp) -> SignedDuration {
        let by_ours = self.now.duration_since(since);
        if !self.clock_went_back() && self.skew().is_none() {
            return by_ours;
        }
        let by_aws = self.aws_now().duration_since(since);
        // Only a wrong clock can have written a `since` that is so far ahead of AWS's clock. So only a wrong clock can
        // measure from it.
        if by_aws < -SKEW_MAX * 2 {
            by_ours
        } else {
            by_aws.min(by_ours)
        }
    }

    /// Returns the image of a group as read in this round. `None` if the group was not read, or if a member is missing.
    pub(super) fn image(&self, index: usize) -> Option<GroupImage> {
        let group = self.state.plan().records.get(index)?;
        preflight::read_image(group, self.observation.groups.get(index)?).ok()
    }

    /// Returns true if a group was read in this round, whatever was found.
    pub(super) fn was_read(&self, index: usize) -> bool {
        matches!(
            self.observation.groups.get(index),
            Some(GroupReading::Read { .. })
        )
    }

    /// Returns true if all groups were read in this round and are as last verified.
    pub(super) fn all_as_verified(&self) -> bool {
        let Some(verified) = &self.state.verified else {
            return false;
        };
        verified
            .iter()
            .enumerate()
            .all(|(index, image)| self.image(index).as_ref() == Some(image))
    }

    /// Returns the event for groups that somebody else changed. It has all records of those groups that lack a member.
    pub(super) fn drift_detected(&self, groups: BTreeMap<usize, Option<GroupImage>>) -> Event {
        let mut members = BTreeMap::new();
        for (index, image) in &groups {
            if image.is_none()
                && let Some(found) = self.members(*index)
            {
                members.insert(*index, found.to_vec());
            }
        }
        Event::DriftDetected { groups, members }
    }

    /// Returns all records of a group's name and type: as read in this round, or else as last journaled. `None` if they
    /// are not known.
    pub(super) fn members(&self, index: usize) -> Option<&[RecordSet]> {
        if let Some(GroupReading::Read { members, .. }) = self.observation.groups.get(index) {
            return Some(members);
        }
        self.state.found.get(&index).map(Vec::as_slice)
    }

    /// Returns the number of groups of the plan.
    pub(super) fn groups(&self) -> usize {
        self.state.plan().records.len()
    }
}
