//! What goes wrong when: the scenario's faults, armed as their moments become known.

use jiff::{SignedDuration, Timestamp};

use crate::engine::units::CutoverName;
use crate::scenario::{Fault, Side, What, When};
use crate::sim::traffic::MINUTE;
use crate::sim::traffic::cluster::Strain;

/// What is left of a push's spike after a minute.
const FADE: f64 = 0.55;

/// A spike below this is over.
const FADED: f64 = 0.05;

/// One fault, and when it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// As the scenario says it.
    pub fault: Fault,
    /// From when; none while its moment is not known.
    pub from: Option<Timestamp>,
    /// Until when; none if it stays.
    pub until: Option<Timestamp>,
}

impl Trouble {
    /// A fault whose moment is known already if it depends on no step.
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

    /// Arms the fault if its moment is `plus` after this step of this cutover. Whether it did.
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

    fn arm(&mut self, from: Timestamp) {
        self.from = Some(from);
        self.until = self.fault.lasts.map(|lasts| later(from, lasts));
    }

    /// Whether it is about this cutover.
    pub fn concerns(&self, name: &CutoverName) -> bool {
        self.fault.cutover.as_ref().is_none_or(|only| only == name)
    }

    /// Whether it is in force.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.from.is_some_and(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Whether it is in force during some of the minute that begins at `from` (seconds since 1970).
    fn holds_in(&self, from: i64) -> bool {
        self.from
            .is_some_and(|begins| begins.as_second() < from + MINUTE)
            && self.until.is_none_or(|until| until.as_second() > from)
    }

    /// What it does to the clusters and the requests in the minute that begins at `from`.
    pub fn strain(&self, from: i64, strains: &mut [Strain; 2], push: &mut f64) {
        if !self.holds_in(from) {
            return;
        }
        let index = |side: Side| match side {
            Side::New => 0,
            Side::Old => 1,
        };
        match self.fault.what {
            What::Errors { side, share } => {
                let strain = &mut strains[index(side)];
                strain.errors = 1.0 - (1.0 - strain.errors) * (1.0 - share);
            }
            What::Latency { side, factor } => {
                let strain = &mut strains[index(side)];
                strain.slower = (1.0 + strain.slower) * factor - 1.0;
            }
            What::Leak { side, bites_after } => {
                let minutes = bites_after.as_secs_f64() / 60.0;
                strains[index(side)].leak_bites_after = Some(minutes);
            }
            What::Outage { side } => strains[index(side)].outage = true,
            What::SlowStart { side } => strains[index(side)].slow_start = true,
            What::Capacity { side, per_minute } => {
                strains[index(side)].capacity = Some(per_minute);
            }
            What::Unhealthy { side } => strains[index(side)].unhealthy = true,
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

    /// Whether it keeps the requests where they were in the minute that begins at `from`.
    pub fn pins(&self, from: i64) -> bool {
        self.fault.what == What::CallersPinned && self.holds_in(from)
    }

    /// Whether it is something that a person does.
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

    /// Whether it makes a cluster worse, so that a revert may follow.
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

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
