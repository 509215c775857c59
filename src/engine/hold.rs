//! Why nothing happens: the reasons, with their numbers. The wording is `report`'s.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::GroupName;
use super::units::{AlarmId, ChangeId, CutoverName, ZoneId};

/// Why a cutover does not move now. The same value goes to the terminal, JSON and journal.
///
/// `kind` in JSON is the variant in snake case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HoldReason {
    /// A revert cannot be finished yet.
    RevertBlocked {
        /// What stands in the way.
        message: String,
    },
    /// Halted: a person must settle it.
    Halted {
        /// Why it was halted.
        reason: HaltReason,
    },
    /// Somebody else changed these groups.
    Drift {
        /// The groups.
        groups: Vec<GroupName>,
    },
    /// Somebody put the weights back to the baseline.
    AlreadyAtBaseline {},
    /// An alarm is red before the start.
    AlarmRed {
        /// The alarm.
        alarm: AlarmId,
    },
    /// A fallback alarm is red: the old cluster may not be able to take the traffic back.
    FallbackRed {
        /// The alarm.
        alarm: AlarmId,
    },
    /// A fallback alarm cannot be judged.
    FallbackUnknown {
        /// The alarm.
        alarm: AlarmId,
        /// Why.
        message: String,
    },
    /// CloudWatch does not know the alarm.
    AlarmMissing {
        /// The alarm.
        alarm: AlarmId,
        /// Whether it is a fallback alarm.
        fallback: bool,
        /// Since when; none before the first write.
        since: Option<Timestamp>,
    },
    /// The alarm has too little data to judge.
    NoData {
        /// The alarm.
        alarm: AlarmId,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// The gate cannot be judged for another reason.
    Unknown {
        /// The alarm.
        alarm: AlarmId,
        /// Why.
        message: String,
        /// Since when; none before the first write.
        since: Option<Timestamp>,
    },
    /// A gate has been Unknown for longer than the plan allows.
    UnknownTooLong {
        /// The alarm.
        alarm: AlarmId,
        /// Since when.
        since: Timestamp,
    },
    /// Route 53 cannot be read.
    Route53Unreadable {
        /// The group.
        group: GroupName,
        /// What it said.
        message: String,
    },
    /// The start is refused.
    Preflight {
        /// The group that it is about, if one.
        group: Option<GroupName>,
        /// Why, and what to do about it.
        message: String,
    },
    /// Another unfinished cutover moves this group.
    Claimed {
        /// The group.
        group: GroupName,
        /// That cutover.
        by: CutoverName,
    },
    /// Our clock and AWS's differ, or ours went back.
    Clock {
        /// What was seen.
        message: String,
    },
    /// The plan file is no longer what the journal has.
    PlanChanged {
        /// The file.
        path: String,
    },
    /// The plan file is gone or cannot be read.
    PlanUnreadable {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// The journal cannot be written.
    JournalDown {
        /// Why.
        message: String,
    },
    /// The break-glass files cannot be written.
    BreakGlass {
        /// Why.
        message: String,
    },
    /// A person paused the cutover.
    Paused {
        /// Why.
        reason: Option<String>,
    },
    /// A step waits for approval.
    Approval {
        /// The step.
        step: u16,
    },
    /// The weights are being written and read back.
    Shifting {
        /// The step.
        step: u16,
        /// The last failure, if there was one.
        message: Option<String>,
    },
    /// Route 53 is distributing the change, for longer than usual.
    InSyncLate {
        /// The change.
        change_id: ChangeId,
        /// Its zone.
        zone: ZoneId,
    },
    /// Resolvers are given time to see the change.
    Settling {
        /// The step.
        step: u16,
        /// Until when; none while the change is not INSYNC.
        until: Option<Timestamp>,
    },
    /// The step is watched.
    Baking {
        /// The step.
        step: u16,
        /// Until when, if all gates go on passing; none while the clock stands.
        until: Option<Timestamp>,
        /// How much of the bake has been counted, in seconds.
        counted_secs: i64,
    },
    /// The weights are being taken back.
    Reverting {
        /// How many groups are back.
        back: usize,
        /// Of how many.
        groups: usize,
    },
}

/// Why a cutover is halted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "halt", rename_all = "snake_case")]
pub enum HaltReason {
    /// A gate and a fallback alarm are red at once.
    BothRed {
        /// The gate.
        gate: AlarmId,
        /// The fallback alarm.
        fallback: AlarmId,
    },
    /// Somebody else changed these groups, and a revert would overwrite it.
    Drift {
        /// The groups.
        groups: Vec<GroupName>,
    },
    /// A step failed and a red fallback alarm forbids taking it back.
    StepFailed {
        /// What failed.
        message: String,
    },
    /// An invariant of this program does not hold.
    Invariant {
        /// Which, and how.
        message: String,
    },
}

/// Why the traffic is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum RevertCause {
    /// An alarm is red.
    AlarmRed {
        /// The alarm.
        alarm: AlarmId,
    },
    /// An alarm was red between two readings.
    AlarmFlapped {
        /// The alarm.
        alarm: AlarmId,
        /// When it entered ALARM (AWS's clock).
        at: Timestamp,
    },
    /// A gate was Unknown for longer than the plan allows, and the plan says revert.
    UnknownTooLong {
        /// The alarm.
        alarm: AlarmId,
        /// Since when.
        since: Timestamp,
    },
    /// The step could not be written, or not in time.
    StepFailed {
        /// What failed.
        message: String,
    },
    /// A person asked.
    Operator {
        /// Who.
        actor: String,
        /// Why.
        reason: Option<String>,
    },
    /// A write of ours landed after the revert had ended.
    LateWrite {},
}

/// A hold that comes back within this time after it ended is the same hold: it pages nobody again, and is not journaled
/// oftener than numbers are. Twice what numbers take, so that two controllers that see different things agree.
pub const SAME_HOLD_WITHIN: SignedDuration = SignedDuration::from_secs(20 * 60);

impl HoldReason {
    /// Whether a person must do something before this hold can end, so that somebody is woken.
    pub fn pages(&self) -> bool {
        match self {
            Self::RevertBlocked { .. }
            | Self::Halted { .. }
            | Self::Drift { .. }
            | Self::AlreadyAtBaseline {}
            | Self::FallbackRed { .. }
            | Self::UnknownTooLong { .. }
            | Self::Route53Unreadable { .. }
            | Self::Clock { .. }
            | Self::PlanChanged { .. }
            | Self::PlanUnreadable { .. }
            | Self::JournalDown { .. }
            | Self::Preflight { .. }
            | Self::Claimed { .. }
            | Self::BreakGlass { .. }
            | Self::Approval { .. }
            | Self::AlarmRed { .. }
            | Self::AlarmMissing { .. }
            | Self::InSyncLate { .. } => true,
            Self::FallbackUnknown { .. }
            | Self::NoData { .. }
            | Self::Unknown { .. }
            | Self::Paused { .. }
            | Self::Shifting { .. }
            | Self::Settling { .. }
            | Self::Baking { .. }
            | Self::Reverting { .. } => false,
        }
    }

    /// The same reason without its numbers: two holds differ when their subjects do.
    #[must_use]
    pub fn subject(&self) -> Self {
        let mut subject = self.clone();
        match &mut subject {
            Self::AlarmMissing { since, .. } | Self::NoData { since, .. } => *since = None,
            Self::Unknown { message, since, .. } => (*message, *since) = (String::new(), None),
            Self::UnknownTooLong { since, .. } => *since = Timestamp::UNIX_EPOCH,
            Self::Baking {
                until,
                counted_secs,
                ..
            } => (*until, *counted_secs) = (None, 0),
            Self::Settling { until, .. } => *until = None,
            Self::Reverting { back, .. } => *back = 0,
            Self::RevertBlocked { message }
            | Self::Route53Unreadable { message, .. }
            | Self::FallbackUnknown { message, .. }
            | Self::JournalDown { message }
            | Self::BreakGlass { message }
            | Self::Clock { message } => *message = String::new(),
            Self::Shifting { message, .. } => *message = None,
            Self::Halted { .. }
            | Self::Drift { .. }
            | Self::AlreadyAtBaseline {}
            | Self::AlarmRed { .. }
            | Self::FallbackRed { .. }
            | Self::Preflight { .. }
            | Self::Claimed { .. }
            | Self::PlanChanged { .. }
            | Self::PlanUnreadable { .. }
            | Self::Paused { .. }
            | Self::Approval { .. }
            | Self::InSyncLate { .. } => {}
        }
        subject
    }
}
