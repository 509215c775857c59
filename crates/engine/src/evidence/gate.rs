//! The names of gates of all kinds, and the numbers behind their verdicts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::Number;
use crate::units::{AlarmId, Share, shown_alarm};

/// Identifies one gate of a plan. In JSON an alarm's ID is the same as its `AlarmId`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GateId {
    /// The kind of gate. Left out of JSON for an alarm.
    #[serde(default, skip_serializing_if = "is_alarm")]
    pub gate: GateKind,
    /// The alarm's region. `None` means the plan's region, or else the environment's. Always `None` for other gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The name of the alarm or metric; `traffic` or `regression` for the gates of these kinds.
    pub name: String,
}

/// The kind of a gate.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// An alarm of CloudWatch.
    #[default]
    Alarm,
    /// A metric with a bound.
    Metric,
    /// The comparison of the new side with the old one.
    Regression,
    /// A check that the traffic follows the weights, and that there is enough of it.
    Traffic,
    /// A check that a metric does not climb toward its limit.
    Trend,
}

impl GateKind {
    fn is_alarm(self) -> bool {
        self == Self::Alarm
    }

    /// Returns true if gates of this kind count from the first write on, so that they have no state of their own at a moment.
    pub fn counts_from_start(self) -> bool {
        match self {
            Self::Regression | Self::Traffic => true,
            Self::Alarm | Self::Metric | Self::Trend => false,
        }
    }

    /// How much it tells that such a gate has too few requests: the gate with the highest number is reported. The traffic
    /// gate speaks of the step, the comparison of the whole cutover, and the others only of themselves.
    pub fn tells_of_requests(self) -> u8 {
        match self {
            Self::Traffic => 2,
            Self::Regression => 1,
            Self::Alarm | Self::Metric | Self::Trend => 0,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_alarm(kind: &GateKind) -> bool {
    kind.is_alarm()
}

impl GateId {
    /// Returns the ID of a gate that is not an alarm.
    pub fn of(gate: GateKind, name: &str) -> Self {
        Self {
            gate,
            region: None,
            name: name.to_owned(),
        }
    }
}

impl From<AlarmId> for GateId {
    fn from(alarm: AlarmId) -> Self {
        Self {
            gate: GateKind::Alarm,
            region: alarm.region,
            name: alarm.name,
        }
    }
}

impl From<&AlarmId> for GateId {
    fn from(alarm: &AlarmId) -> Self {
        alarm.clone().into()
    }
}

impl PartialEq<AlarmId> for GateId {
    fn eq(&self, alarm: &AlarmId) -> bool {
        self.gate.is_alarm() && self.region == alarm.region && self.name == alarm.name
    }
}

impl fmt::Display for GateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_alarm(&self.name, self.region.as_deref()))
    }
}

/// The unit of a measured number.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The metric's own unit.
    #[default]
    Plain,
    /// Percent.
    Percent,
    /// Milliseconds.
    Millis,
}

/// A bound that the values of a metric must not cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Values above this number are beyond the bound.
    Max(Number),
    /// Values below this number are beyond the bound.
    Min(Number),
}

impl Bound {
    /// Returns true if a value is beyond the bound.
    pub fn is_broken_by(self, value: Number) -> bool {
        match self {
            Self::Max(most) => value > most,
            Self::Min(least) => value < least,
        }
    }

    /// Returns the worse of two values: the larger for a maximum, the smaller for a minimum.
    pub fn worse(self, one: Number, other: Number) -> Number {
        match self {
            Self::Max(_) => one.max(other),
            Self::Min(_) => one.min(other),
        }
    }
}

/// The datapoints of a metric that are beyond its bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Beyond {
    /// The worst datapoint, in `unit`.
    pub value: Number,
    /// The bound that the datapoints crossed.
    pub bound: Bound,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// The number of datapoints beyond the bound.
    pub points: u32,
    /// The number of datapoints in the window that was judged.
    pub of: u32,
    /// The old side's worst datapoint in that window. `None` if the old side is not measured or has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Number>,
}

/// The gate, shares and values at the moment of a revert. They explain the revert's entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attribution {
    /// The gate that failed. `None` if the cause was not a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateId>,
    /// The number of the step that was watched, from 1.
    pub step: u16,
    /// The new side's share by the weights.
    pub intended: Share,
    /// The new side's share of the requests in the last hour, in percent. `None` if requests are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Number>,
    /// The values of each metric when the step was taken, and now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<BeforeAfter>,
    /// True if the gate fails on the old side too. `None` if the old side is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_too: Option<bool>,
}

/// The values of one metric before a step and after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BeforeAfter {
    /// The name of the metric gate.
    pub name: String,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// The new side's value when the step was taken. `None` if there was no datapoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Number>,
    /// The new side's value now. `None` if there is no datapoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Number>,
    /// The old side's value now. `None` if there is no datapoint or the old side is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Number>,
}
