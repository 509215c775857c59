//! The scenario's faults with their times, which are set as they become known.

use jiff::{SignedDuration, Timestamp};

use crate::scenario::{Fault, Side, What, When};
use crate::traffic::MINUTE;
use crate::traffic::cluster::Strain;
use cutover_engine::units::CutoverName;

/// The part of a push's spike that is left after a minute.
const FADE: f64 = 0.55;

/// A spike below this is over.
const FADED: f64 = 0.05;

/// One fault, and when it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTrouble {
    /// The fault as the scenario has it.
    pub fault: Fault,
    /// When it begins; none while that is not known.
    pub from: Option<Timestamp>,
    /// When it ends; none if it stays.
    pub until: Option<Timestamp>,
}

impl StageTrouble {
    /// A fault of a rehearsal that begins at `start`. Its times are known unless they depend on a step.
    pub fn new(fault: Fault, start: Timestamp) -> Self {
        let mut trouble = Self {
            fault,
            from: None,
            until: None,
        };
        match trouble.fault.when {
            None => trouble.arm(start),
            Some(When::After(after)) => trouble.arm(later(start, after)),
            Some(When::At(at)) => trouble.arm(at.max(start)),
            Some(When::Step { .. }) => {}
        }
        trouble
    }

    /// Sets the fault's times if it begins after this step of this cutover. Returns true if it did.
    pub fn step_verified(&mut self, name: &CutoverName, step: u16, at: Timestamp) -> bool {
        let Some(When::Step { number, plus }) = self.fault.when else {
            return false;
        };
        let mine = number == step && self.concerns(name);
        if self.from.is_some() || !mine {
            return false;
        }
        self.arm(later(at, plus));
        true
    }

    /// Sets the fault's times.
    fn arm(&mut self, from: Timestamp) {
        self.from = Some(from);
        self.until = self.fault.lasts.map(|lasts| later(from, lasts));
    }

    /// Returns true if it concerns this cutover.
    pub fn concerns(&self, name: &CutoverName) -> bool {
        self.fault.cutover.as_ref().is_none_or(|only| only == name)
    }

    /// Returns true if it is in force.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.from.is_some_and(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Returns true if it is in force during a part of the minute that begins at `from` (seconds since 1970).
    fn holds_in(&self, from: i64) -> bool {
        self.from
            .is_some_and(|begins| begins.as_second() < from + MINUTE)
            && self.until.is_none_or(|until| until.as_second() > from)
    }

    /// Adds its effect on the clusters and the requests in the minute that begins at `from`.
    pub fn strain(&self, from: i64, strains: &mut [Strain; 2], push: &mut f64) {
        if !self.holds_in(from) {
            return;
        }
        match self.fault.what {
            What::Errors { side, share } => {
                let strain = &mut strains[index_of(side)];
                strain.errors = 1.0 - (1.0 - strain.errors) * (1.0 - share);
            }
            What::Latency { side, factor } => {
                let strain = &mut strains[index_of(side)];
                strain.slower = (1.0 + strain.slower) * factor - 1.0;
            }
            What::Leak { side, bites_after } => {
                let minutes = bites_after.as_secs_f64() / 60.0;
                strains[index_of(side)].leak_bites_after = Some(minutes);
            }
            What::Outage { side } => strains[index_of(side)].outage = true,
            What::SlowStart { side } => strains[index_of(side)].slow_start = true,
            What::Capacity { side, per_minute } => {
                strains[index_of(side)].capacity = Some(per_minute);
            }
            What::Unhealthy { side } => strains[index_of(side)].unhealthy = true,
            What::Push { factor } => {
                let begun = self.from.map_or(from, Timestamp::as_second);
                let minutes = i32::try_from((from - begun).max(0) / MINUTE).unwrap_or(i32::MAX);
                let spike = (factor - 1.0) * FADE.powi(minutes);
                if spike.abs() > FADED {
                    *push += spike;
                }
            }
            What::CallersPinned
            | What::CloudWatchDown
            | What::Route53Down
            | What::Route53Throttled
            | What::ControllerKilled
            | What::ForeignWrite { .. }
            | What::AlarmRed { .. }
            | What::AlarmMissing { .. }
            | What::AlarmNoData { .. }
            | What::AlarmUnclear { .. }
            | What::Route53Busy
            | What::Route53LosesReplies
            | What::JournalDown
            | What::JobsDown
            | What::HooksFail
            | What::Pause
            | What::Resume
            | What::Rollback
            | What::RollbackForced
            | What::ApproveAfter(_) => {}
        }
    }

    /// The alarm whose state or presence it changes; none if it changes none.
    pub(super) fn alarm(&self) -> Option<&str> {
        match &self.fault.what {
            What::AlarmRed { alarm }
            | What::AlarmMissing { alarm }
            | What::AlarmNoData { alarm }
            | What::AlarmUnclear { alarm } => Some(alarm),
            What::Errors { .. }
            | What::Latency { .. }
            | What::Leak { .. }
            | What::Outage { .. }
            | What::SlowStart { .. }
            | What::Capacity { .. }
            | What::Unhealthy { .. }
            | What::CallersPinned
            | What::CloudWatchDown
            | What::Route53Down
            | What::Route53Throttled
            | What::ControllerKilled
            | What::ForeignWrite { .. }
            | What::Route53Busy
            | What::Route53LosesReplies
            | What::JournalDown
            | What::JobsDown
            | What::HooksFail
            | What::Push { .. }
            | What::Pause
            | What::Resume
            | What::Rollback
            | What::RollbackForced
            | What::ApproveAfter(_) => None,
        }
    }

    /// Returns true if it keeps the controller from reading or acting.
    pub(super) fn blinds(&self) -> bool {
        matches!(
            self.fault.what,
            What::CloudWatchDown
                | What::Route53Down
                | What::Route53Throttled
                | What::Route53Busy
                | What::Route53LosesReplies
                | What::JournalDown
                | What::JobsDown
                | What::HooksFail
                | What::AlarmMissing { .. }
                | What::AlarmNoData { .. }
                | What::AlarmUnclear { .. }
        )
    }

    /// Returns true if all requests stay on the old side in the minute that begins at `from`.
    pub fn pins(&self, from: i64) -> bool {
        self.fault.what == What::CallersPinned && self.holds_in(from)
    }

    /// Returns true if it is something that a person does.
    pub fn is_of_people(&self) -> bool {
        matches!(
            self.fault.what,
            What::Pause
                | What::Resume
                | What::Rollback
                | What::RollbackForced
                | What::ApproveAfter(_)
        )
    }

    /// Returns true if it makes a cluster worse, so that a revert may follow.
    pub fn is_of_cluster(&self) -> bool {
        matches!(
            self.fault.what,
            What::Errors { .. }
                | What::Latency { .. }
                | What::Leak { .. }
                | What::Outage { .. }
                | What::SlowStart { .. }
                | What::Capacity { .. }
                | What::Unhealthy { .. }
                | What::AlarmRed { .. }
                | What::Push { .. }
        )
    }
}

/// The position of a side in pairs: new, then old.
fn index_of(side: Side) -> usize {
    match side {
        Side::New => 0,
        Side::Old => 1,
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
