//! The readings of one round, for one cutover. Absence of data is itself an observation, never a default.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::around::AroundReading;
use super::evidence::reading::Readings;
use super::jobs::{HalfId, HalfReading};
use super::plan::PlanSource;
use super::record::RecordSet;
use super::units::{AlarmId, ChangeId, ControllerId, CutoverName, WriteId, ZoneId};

/// The input of a decision besides plan, state and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The process that reads; only the owner of an intended write may act on it before its deadline.
    pub me: ControllerId,
    /// The plan's groups, in the plan's order.
    pub groups: Vec<GroupReading>,
    /// The surroundings of the groups, in the plan's order; read before the start only. Empty in a process that reads none.
    pub around: Vec<AroundReading>,
    /// The alarms that were asked for.
    pub alarms: BTreeMap<AlarmId, AlarmReading>,
    /// The times at which alarms that may have flapped entered ALARM; only for those that were asked for.
    pub histories: BTreeMap<AlarmId, HistoryReading>,
    /// The series that the metric gates need.
    pub series: Readings,
    /// The status of the changes that are not known to be in sync.
    pub changes: BTreeMap<ChangeId, ChangeReading>,
    /// The plan file as it is now.
    pub file: FileReading,
    /// True if a write of this process for this cutover is queued or on the wire.
    pub in_flight: bool,
    /// The last reading of this process at which all gates passed, if the reading before this one did.
    pub passed_at: Option<Timestamp>,
    /// The time since then by this process's monotonic clock as of the decision: a wall clock may be set.
    pub passed_for: Option<SignedDuration>,
    /// The time at which this process last read the groups before this round.
    pub groups_read_at: Option<Timestamp>,
    /// AWS's clock minus ours, as of the decision.
    pub clock_skew: Option<SignedDuration>,
    /// Why the break-glass files could not be written, if they could not.
    pub break_glass_error: Option<String>,
    /// Groups that another unfinished cutover of this journal already moves: the group's index and that cutover.
    pub claimed: Vec<(usize, CutoverName)>,
    /// `run --baseline-as-is`, with its reason: start although the new side already has a share.
    pub baseline_as_is: Option<String>,
    /// The jobs and hooks.
    pub beside: Beside,
}

/// The readings and effects other than weights: jobs and hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The plan's jobs as last read by this process.
    pub jobs: BTreeMap<HalfId, HalfReading>,
    /// The changes of jobs and calls of hooks that this process is performing.
    pub under_way: BTreeSet<WriteId>,
    /// True while the journal is down: nothing may be begun that it does not have (semantics F2).
    pub hushed: bool,
}

/// The reading of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupReading {
    /// Not asked for in this round.
    NotRead,
    /// All record sets with the group's name and type, in the order returned.
    Read {
        /// The zone they were read in.
        zone: ZoneId,
        /// The record sets; images that cannot be represented carry `unsupported`.
        members: Vec<RecordSet>,
        /// The time of the reading.
        at: Timestamp,
    },
    /// Route 53 did not answer, or refused.
    Unreadable {
        /// Its message.
        message: String,
        /// True if trying again cannot help (no such zone, access denied).
        permanent: bool,
        /// The time since which this group could not be read.
        since: Timestamp,
        /// The action that was denied, if one was.
        denied: Option<String>,
    },
}

/// The reading of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmReading {
    /// CloudWatch has the alarm.
    Found {
        /// Its state.
        state: AlarmState,
        /// The last change of its state: `StateTransitionedTimestamp`, or else `StateUpdatedTimestamp`.
        transitioned_at: Option<Timestamp>,
        /// `EvaluationState` if it is set, for example `PARTIAL_DATA`.
        evaluation: Option<String>,
    },
    /// CloudWatch answered, and does not know the alarm.
    Missing,
    /// CloudWatch did not answer, or refused.
    Unreadable(String),
    /// The credentials may not read alarms, or are not valid.
    Denied(String),
}

/// The three states of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// Green.
    Ok,
    /// Red.
    Alarm,
    /// Not enough data to tell.
    InsufficientData,
}

/// The reading of an alarm's history since the attempt's first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryReading {
    /// The times at which it entered ALARM, oldest first.
    EnteredAlarm(Vec<Timestamp>),
    /// CloudWatch did not answer, or refused.
    Unreadable(String),
    /// The credentials may not read the history, or are not valid.
    Denied(String),
}

/// A submitted change as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeReading {
    /// Not yet on all of Route 53's servers.
    Pending,
    /// On all of them.
    InSync,
    /// Route 53 does not know the change: it was lost in a failover of the control plane.
    Unknown,
    /// Route 53 did not answer, or refused.
    Unreadable(String),
    /// The credentials may not ask, or are not valid.
    Denied(String),
}

/// The plan file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReading {
    /// This process does not read the file (for example `rollback`).
    NotWatched,
    /// It holds this plan; shared, because every round has one of every cutover.
    Plan(Arc<PlanSource>),
    /// It is gone.
    Removed,
    /// It cannot be read or does not hold a valid plan.
    Unreadable(String),
}
