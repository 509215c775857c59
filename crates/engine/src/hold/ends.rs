//! The reasons of halts and the causes of reverts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::drifted::Astray;
use crate::evidence::gate::{Beyond, GateId};
use crate::evidence::sequential::Judgement;
use crate::hooks::HookId;
use crate::record::GroupName;
use crate::units::AlarmId;

/// The reason why a cutover is halted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantNames)]
#[serde(tag = "halt", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HaltReason {
    /// A gate and a fallback alarm are red at once.
    BothRed {
        /// The gate.
        gate: GateId,
        /// The fallback alarm, or the same gate if it fails on the old side too.
        fallback: GateId,
    },
    /// Somebody else changed these groups, and a revert would overwrite that.
    Drift {
        /// The groups.
        groups: Vec<GroupName>,
        /// For each, the weights that were expected and the records that were found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Astray>,
    },
    /// A step failed and a red fallback alarm forbids the revert.
    StepFailed {
        /// The failure.
        message: String,
        /// True if a step of this attempt was verified, from which `retry` can go on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        verified: bool,
    },
    /// An invariant of this program does not hold.
    Invariant {
        /// The invariant and the way in which it is broken.
        message: String,
    },
}

/// The cause of a revert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantNames)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
        /// The time at which it entered ALARM (AWS's clock).
        at: Timestamp,
    },
    /// A gate was Unknown for longer than the plan allows, and the plan says revert.
    UnknownTooLong {
        /// The gate.
        alarm: GateId,
        /// The time at which that began.
        since: Timestamp,
    },
    /// A metric is beyond its bound.
    MeasureBeyond {
        /// The gate.
        gate: GateId,
        /// The datapoints beyond the bound.
        beyond: Beyond,
    },
    /// The new side is worse than the old one.
    Worse {
        /// The gate.
        gate: GateId,
        /// The result of the comparison, with its numbers.
        judgement: Box<Judgement>,
    },
    /// The step could not be written, or not in time.
    StepFailed {
        /// The failure.
        message: String,
    },
    /// Nobody approved a step in time, and the plan says revert.
    ApprovalTimeout {
        /// The step.
        step: u16,
        /// When the wait started.
        since: Timestamp,
    },
    /// A hook failed, and the plan says revert.
    HookFailed {
        /// The hook.
        hook: HookId,
        /// The message of the failure.
        message: String,
    },
    /// A person requested it.
    Operator {
        /// The person.
        actor: String,
        /// The reason given.
        reason: Option<String>,
    },
    /// A write of ours landed after the revert had ended.
    LateWrite {},
}
