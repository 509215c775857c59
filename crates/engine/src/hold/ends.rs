//! The reasons why a cutover is halted or reverted.

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
    /// A gate is red on both sides, or a gate and a fallback alarm are red at the same time.
    BothRed {
        /// The gate that is red on the new side.
        gate: GateId,
        /// The fallback alarm that is red, or the same gate if it fails on the old side too.
        fallback: GateId,
    },
    /// Somebody else changed groups, and a revert would overwrite these changes.
    Drift {
        /// The groups that were changed.
        groups: Vec<GroupName>,
        /// For each of these groups, the weights that were expected and the records that were found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Astray>,
    },
    /// A step failed, and a red fallback alarm prevents the revert.
    StepFailed {
        /// Why the step failed, for people.
        message: String,
        /// True if `retry` can go on, because a step of this attempt was verified.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        verified: bool,
    },
    /// The controller found that an invariant of this program is broken.
    Invariant {
        /// Which invariant is broken, and how, for people.
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
        /// The alarm that is red.
        alarm: AlarmId,
    },
    /// An alarm was red between two readings (semantics C3).
    AlarmFlapped {
        /// The alarm that was red.
        alarm: AlarmId,
        /// The time at which it entered ALARM, by AWS's clock.
        at: Timestamp,
    },
    /// A gate was Unknown for longer than the plan allows, and the plan says `on_unknown: revert`.
    UnknownTooLong {
        /// The gate, of any kind.
        alarm: GateId,
        /// The time since which it was Unknown.
        since: Timestamp,
    },
    /// A metric is beyond its bound.
    MeasureBeyond {
        /// The gate of the metric.
        gate: GateId,
        /// The datapoints beyond the bound.
        beyond: Beyond,
    },
    /// The new side fails more often than the old one, and not by chance.
    Worse {
        /// The gate that compares both sides.
        gate: GateId,
        /// The result of the comparison, with its numbers.
        judgement: Box<Judgement>,
    },
    /// A step's weights could not be written, or were not verified in time (semantics A7).
    StepFailed {
        /// Why the step failed, for people.
        message: String,
    },
    /// Nobody approved a step in time, and the plan says `on_timeout: revert`.
    ApprovalTimeout {
        /// The step's number, from 1.
        step: u16,
        /// The time at which the wait began.
        since: Timestamp,
    },
    /// All tries of a hook failed, and the plan says `on_failure: revert`.
    HookFailed {
        /// The hook and the point at which it was called.
        hook: HookId,
        /// The message of the last failure.
        message: String,
    },
    /// A person asked for the revert.
    Operator {
        /// The person who asked.
        actor: String,
        /// The reason that the person gave. `None` if no reason was given.
        reason: Option<String>,
    },
    /// A late write of this attempt took effect after the revert had ended (semantics A4).
    LateWrite {},
}
