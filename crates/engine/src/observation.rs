//! The readings of one round, for one cutover. Missing data is a reading of its own, and never counts as good data.

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

/// The input of a decision besides the plan, the state and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// This process. Before its deadline, only the owner of an intended write may resolve it.
    pub me: ControllerId,
    /// The reading of each of the plan's groups, in the plan's order.
    pub groups: Vec<GroupReading>,
    /// The records around each group, in the plan's order. They are read before the start only. Empty in a process that
    /// never starts cutovers.
    pub around: Vec<AroundReading>,
    /// The readings of the plan's alarms. An alarm that is missing here was not read.
    pub alarms: BTreeMap<AlarmId, AlarmReading>,
    /// The times at which alarms entered ALARM. Read only for alarms that may have been red between two readings.
    pub histories: BTreeMap<AlarmId, HistoryReading>,
    /// The readings of the series that the metric gates need.
    pub series: Readings,
    /// The status of each change that is not yet known to be in sync.
    pub changes: BTreeMap<ChangeId, ChangeReading>,
    /// The plan file as it is now.
    pub file: FileReading,
    /// True if a write of this process for this cutover is queued or has been sent without a reply.
    pub in_flight: bool,
    /// The time of the reading before this one, if all gates passed then. `None` otherwise, or after a restart.
    pub passed_at: Option<Timestamp>,
    /// The time from `passed_at` to the decision, by this process's monotonic clock, because the wall clock may be set
    /// meanwhile. `None` if it is not known.
    pub passed_for: Option<SignedDuration>,
    /// The time at which this process last read the groups, before this round. `None` if it never did.
    pub groups_read_at: Option<Timestamp>,
    /// AWS's clock minus this machine's, as of the decision. `None` before the first reply.
    pub clock_skew: Option<SignedDuration>,
    /// Why the break-glass files could not be written. `None` if they were written.
    pub break_glass_error: Option<String>,
    /// Groups that another unfinished cutover of this journal moves: the group's index in the plan, and that cutover.
    pub claimed: Vec<(usize, CutoverName)>,
    /// The reason given with `run --baseline-as-is`, which allows a start although the new side already has a share.
    /// `None` without that option.
    pub baseline_as_is: Option<String>,
    /// The readings of jobs, and the jobs and hooks that are under way.
    pub beside: Beside,
}

/// The readings of jobs, and the changes of jobs and calls of hooks that are under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The plan's jobs, each on each side, as last read by this process.
    pub jobs: BTreeMap<HalfId, HalfReading>,
    /// The IDs of the changes of jobs and calls of hooks that this process is carrying out.
    pub under_way: BTreeSet<WriteId>,
    /// True if no call of a hook and no change of jobs may begin: the journal is down and could not record it
    /// (semantics F2), or `--no-commands` was given.
    pub hushed: bool,
}

/// The reading of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupReading {
    /// The group was not read in this round.
    NotRead,
    /// The group was read: these are all record sets with its name and type, in the order returned.
    Read {
        /// The hosted zone that they were read in.
        zone: ZoneId,
        /// The record sets. One that this program cannot write back says so in `unsupported`.
        members: Vec<RecordSet>,
        /// The time of the reading, by this machine's clock.
        at: Timestamp,
    },
    /// Route 53 did not answer, or refused.
    Unreadable {
        /// Route 53's message, or the reason why there is none.
        message: String,
        /// True if another try cannot help, for example because the zone does not exist or access is denied.
        permanent: bool,
        /// The time since which this group could not be read.
        since: Timestamp,
        /// The IAM action that was denied. `None` if none was.
        denied: Option<String>,
    },
}

/// The reading of one alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlarmReading {
    /// CloudWatch has the alarm.
    Found {
        /// The alarm's state.
        state: AlarmState,
        /// The time of its last change of state: `StateTransitionedTimestamp`, or else `StateUpdatedTimestamp`. `None`
        /// if CloudWatch returned neither.
        transitioned_at: Option<Timestamp>,
        /// `EvaluationState`, for example `PARTIAL_DATA`. `None` if it is not set.
        evaluation: Option<String>,
    },
    /// CloudWatch answered, and does not know the alarm.
    Missing,
    /// CloudWatch did not answer, or refused, with this message.
    Unreadable(String),
    /// The credentials may not read alarms, or are not valid, with this message.
    Denied(String),
}

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// OK: the alarm is green.
    Ok,
    /// ALARM: the alarm is red.
    Alarm,
    /// INSUFFICIENT_DATA: the alarm has too little data.
    InsufficientData,
}

/// The reading of an alarm's history since the attempt's first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryReading {
    /// The times at which the alarm entered ALARM, oldest first. Empty if it never did.
    EnteredAlarm(Vec<Timestamp>),
    /// CloudWatch did not answer, or refused, with this message.
    Unreadable(String),
    /// The credentials may not read the history, or are not valid, with this message.
    Denied(String),
}

/// The status of a change, as read with `GetChange`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeReading {
    /// The change is not yet on all of Route 53's servers.
    Pending,
    /// The change is on all of Route 53's servers.
    InSync,
    /// Route 53 does not know the change, for example because its control plane lost it in a failover.
    Unknown,
    /// Route 53 did not answer, or refused, with this message.
    Unreadable(String),
    /// The credentials may not read changes, or are not valid, with this message.
    Denied(String),
}

/// The plan file of a cutover, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReading {
    /// This process does not read the file. `rollback` does not, for example.
    NotWatched,
    /// The file holds this plan. The plan is shared, because every round has one for every cutover.
    Plan(Arc<PlanSource>),
    /// The file no longer exists.
    Removed,
    /// The file cannot be read, or does not hold a valid plan, for this reason.
    Unreadable(String),
}
