//! The scenario's faults with their times. The time of a fault that depends on a step is set when the step is taken.

use jiff::{SignedDuration, Timestamp};

use crate::scenario::{ClusterTrouble, FaultKind, FaultStart, ScenarioFault, Side, Touched};
use crate::traffic::MINUTE;
use crate::traffic::cluster::Strain;
use cutover_engine::units::CutoverName;

/// The part of a push notification's spike that is left after each further minute.
const FADE: f64 = 0.55;

/// A spike below this multiple of the usual requests is over.
const FADED: f64 = 0.05;

/// One fault of the scenario, with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTrouble {
    /// The fault as the scenario has it.
    pub fault: ScenarioFault,
    /// The time at which the fault begins. `None` if it is not known yet.
    pub from: Option<Timestamp>,
    /// The time at which the fault ends. `None` if it does not end, or `from` is not known.
    pub until: Option<Timestamp>,
}

impl StageTrouble {
    /// A fault of a rehearsal that begins at `start`. Its times are known unless they depend on a step.
    pub fn new(fault: ScenarioFault, start: Timestamp) -> Self {
        let mut trouble = Self {
            fault,
            from: None,
            until: None,
        };
        match trouble.fault.start {
            None => trouble.arm(start),
            Some(FaultStart::After(after)) => trouble.arm(later(start, after)),
            Some(FaultStart::At(at)) => trouble.arm(at.max(start)),
            Some(FaultStart::Step { .. }) => {}
        }
        trouble
    }

    /// Sets the fault's times if they depend on this step of this cutover, which was read back at `at`. Returns true if
    /// they did.
    pub fn step_verified(&mut self, name: &CutoverName, step: u16, at: Timestamp) -> bool {
        let Some(FaultStart::Step { number, plus }) = self.fault.start else {
            return false;
        };
        let mine = number == step && self.concerns(name);
        if self.from.is_some() || !mine {
            return false;
        }
        self.arm(later(at, plus));
        true
    }

    /// Sets the fault's times, given its beginning.
    fn arm(&mut self, from: Timestamp) {
        self.from = Some(from);
        self.until = self.fault.lasts.map(|lasts| later(from, lasts));
    }

    /// Returns true if the fault affects this cutover.
    pub fn concerns(&self, name: &CutoverName) -> bool {
        self.fault.cutover.as_ref().is_none_or(|only| only == name)
    }

    /// Returns true if the fault is active at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.from.is_some_and(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Returns true if the fault is active during a part of the minute that begins at `from` (seconds since 1970).
    fn holds_in(&self, from: i64) -> bool {
        self.from
            .is_some_and(|begins| begins.as_second() < from + MINUTE)
            && self.until.is_none_or(|until| until.as_second() > from)
    }

    /// Adds the fault's effect on the clusters (new, old) and on the number of requests in the minute that begins at
    /// `from`.
    pub fn strain(&self, from: i64, strains: &mut [Strain; 2], push: &mut f64) {
        if !self.holds_in(from) {
            return;
        }
        match self.fault.kind {
            FaultKind::Cluster { side, trouble } => {
                let strain = match side {
                    Side::New => &mut strains[0],
                    Side::Old => &mut strains[1],
                };
                add_strain(strain, trouble);
            }
            FaultKind::Push { factor } => {
                let begun = self.from.map_or(from, Timestamp::as_second);
                let minutes = i32::try_from((from - begun).max(0) / MINUTE).unwrap_or(i32::MAX);
                let spike = (factor - 1.0) * FADE.powi(minutes);
                if spike.abs() > FADED {
                    *push += spike;
                }
            }
            FaultKind::CallersPinned
            | FaultKind::Alarm { .. }
            | FaultKind::CloudWatchDown
            | FaultKind::Route53(_)
            | FaultKind::ForeignWrite { .. }
            | FaultKind::ControllerKilled
            | FaultKind::JournalDown
            | FaultKind::JobsDown
            | FaultKind::HooksFail
            | FaultKind::Person(_) => {}
        }
    }

    /// Returns the alarm whose state or presence the fault changes. `None` if it changes none.
    pub(super) fn alarm(&self) -> Option<&str> {
        self.fault.kind.alarm().map(|(name, _)| name)
    }

    /// Returns true if it keeps the controller from reading or acting.
    pub(super) fn blinds(&self) -> bool {
        self.fault.kind.touches() == Touched::Controller
    }

    /// Returns true if all requests stay on the old side in the minute that begins at `from`.
    pub fn pins(&self, from: i64) -> bool {
        self.fault.kind == FaultKind::CallersPinned && self.holds_in(from)
    }

    /// Returns true if it is something that a person does.
    pub fn is_of_people(&self) -> bool {
        self.fault.kind.touches() == Touched::Nobody
    }

    /// Returns true if it makes a cluster worse, so that a revert may follow.
    pub fn is_of_cluster(&self) -> bool {
        self.fault.kind.touches() == Touched::Cluster
    }
}

/// Adds the effect of a cluster's trouble on the cluster.
fn add_strain(strain: &mut Strain, trouble: ClusterTrouble) {
    match trouble {
        ClusterTrouble::Errors { share } => {
            strain.errors = 1.0 - (1.0 - strain.errors) * (1.0 - share);
        }
        ClusterTrouble::Latency { factor } => {
            strain.slower = (1.0 + strain.slower) * factor - 1.0;
        }
        ClusterTrouble::Leak { bites_after } => {
            strain.leak_bites_after = Some(bites_after.as_secs_f64() / 60.0);
        }
        ClusterTrouble::Outage => strain.outage = true,
        ClusterTrouble::SlowStart => strain.slow_start = true,
        ClusterTrouble::Capacity { per_minute } => strain.capacity = Some(per_minute),
        ClusterTrouble::Unhealthy => strain.unhealthy = true,
    }
}

/// Adds a duration. Times that cannot be represented become the last possible one.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
