//! Why a cutover is halted, and why it goes back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::is_false;
use crate::engine::drifted::Astray;
use crate::engine::evidence::gate::{Beyond, GateId};
use crate::engine::evidence::sequential::Judgement;
use crate::engine::hooks::HookId;
use crate::engine::record::GroupName;
use crate::engine::units::AlarmId;

/// Why a cutover is halted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "halt", rename_all = "snake_case")]
pub enum HaltReason {
    /// A gate and a fallback alarm are red at once.
    BothRed {
        /// The gate.
        gate: GateId,
        /// The fallback alarm, or the same gate where it fails on the old side too.
        fallback: GateId,
    },
    /// Somebody else changed these groups, and a revert would overwrite it.
    Drift {
        /// The groups.
        groups: Vec<GroupName>,
        /// What was expected of each, and what is there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Astray>,
    },
    /// A step failed and a red fallback alarm forbids taking it back.
    StepFailed {
        /// What failed.
        message: String,
        /// Whether a step of this attempt was read back, which `retry` can go on from.
        #[serde(default, skip_serializing_if = "is_false")]
        verified: bool,
    },
    /// An invariant of this program does not hold.
    Invariant {
        /// Which, and how.
        message: String,
    },
}

/// Why the traffic is taken back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        /// The gate.
        alarm: GateId,
        /// Since when.
        since: Timestamp,
    },
    /// A metric is beyond its bound.
    MeasureBeyond {
        /// The gate.
        gate: GateId,
        /// By how much.
        beyond: Beyond,
    },
    /// The new side is worse than the old one.
    Worse {
        /// The gate.
        gate: GateId,
        /// What the comparison says, with its numbers.
        judgement: Box<Judgement>,
    },
    /// The step could not be written, or not in time.
    StepFailed {
        /// What failed.
        message: String,
    },
    /// Nobody approved a step in time, and the plan says revert.
    ApprovalTimeout {
        /// The step.
        step: u16,
        /// Since when it waited.
        since: Timestamp,
    },
    /// A hook failed, and the plan says revert.
    HookFailed {
        /// Which.
        hook: HookId,
        /// What was said.
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
