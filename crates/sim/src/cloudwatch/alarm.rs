//! Alarms as the model stores them: the definition, the state with its two timestamps, and the history.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::metrics::MetricStat;
use super::query::DataQuery;
use super::rule::Rule;
use super::state::state_text;
use cutover_engine::observation::AlarmState;

/// An alarm of one region, metric or composite.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAlarm {
    /// The name. It is case-sensitive and unique in the region, among both kinds of alarm.
    pub name: String,
    /// The ARN of the alarm.
    pub arn: String,
    /// The description for people. `None` if none was given.
    pub description: Option<String>,
    /// True if the alarm's actions are enabled. The alarm is evaluated in either case, and the model runs no actions.
    pub actions_enabled: bool,
    /// The actions on OK, as ARNs.
    pub ok_actions: Vec<String>,
    /// The actions on ALARM, as ARNs.
    pub alarm_actions: Vec<String>,
    /// The actions on `INSUFFICIENT_DATA`, as ARNs.
    pub insufficient_data_actions: Vec<String>,
    /// The time of the last `PutMetricAlarm` or `PutCompositeAlarm`.
    pub configured_at: Timestamp,
    /// The current state.
    pub state: AlarmState,
    /// Why the alarm is in this state, as text.
    pub reason: String,
    /// The reason as JSON. `None` if the state was set without any.
    pub reason_data: Option<String>,
    /// `StateUpdatedTimestamp`: the last time at which the state or the evaluation state was set, even to the same
    /// value.
    pub updated_at: Timestamp,
    /// `StateTransitionedTimestamp`: the last time at which the state became a different one.
    pub transitioned_at: Timestamp,
    /// `EvaluationState`, for example `PARTIAL_DATA`. `None` if the evaluation was complete. Only for metric alarms.
    pub evaluation: Option<String>,
    /// The metric or the alarms that the alarm watches.
    pub definition: AlarmDefinition,
    /// The time of the next evaluation. `None` if only a call or new data can change the state.
    pub(super) due: Option<Timestamp>,
}

/// The metric or the alarms that an alarm watches.
#[derive(Debug, Clone, PartialEq)]
pub enum AlarmDefinition {
    /// A metric, or an expression over metrics.
    Metric(MetricDefinition),
    /// Other alarms.
    Composite(Rule),
}

/// The rule of a metric alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricDefinition {
    /// The source of the datapoints.
    pub watched: AlarmSource,
    /// N: the number of periods that are evaluated, at least 1.
    pub evaluation_periods: u32,
    /// M: the number of these periods that must breach. `None` means N.
    pub datapoints_to_alarm: Option<u32>,
    /// The threshold, in the metric's unit.
    pub threshold: f64,
    /// How a datapoint is compared with the threshold.
    pub comparison: Comparison,
    /// How a missing datapoint counts. `None` means [`MissingData::Missing`].
    pub treat_missing: Option<MissingData>,
    /// `EvaluateLowSampleCountPercentile`: `evaluate` or `ignore`. It is stored, but has no effect in the model.
    pub low_sample: Option<String>,
}

/// The source of a metric alarm's datapoints.
#[derive(Debug, Clone, PartialEq)]
pub enum AlarmSource {
    /// One statistic of one metric.
    Metric(MetricStat),
    /// Queries of which exactly one returns data: the one that is compared with the threshold.
    Math(Vec<DataQuery>),
}

/// The comparison that makes a datapoint breach the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Breaches at or above the threshold.
    AtLeast,
    /// Breaches above the threshold.
    Above,
    /// Breaches below the threshold.
    Below,
    /// Breaches at or below the threshold.
    AtMost,
}

/// How a missing datapoint counts (`TreatMissingData`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingData {
    /// The datapoint is left out. Without any datapoints the state is `INSUFFICIENT_DATA`.
    Missing,
    /// The datapoint counts as breaching.
    Breaching,
    /// The datapoint counts as not breaching.
    NotBreaching,
    /// The alarm keeps its state.
    Ignore,
}

/// How long history is kept: two weeks. Source: `CloudWatch` User Guide.
pub(super) const HISTORY_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// One item of an alarm's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryItem {
    /// The name of the alarm, which may be deleted by now.
    pub alarm: String,
    /// True if the alarm is or was a composite one.
    pub composite: bool,
    /// The time of the change.
    pub at: Timestamp,
    /// `StateUpdate` or `ConfigurationUpdate`.
    pub kind: HistoryKind,
    /// A summary for people.
    pub summary: String,
    /// The details as JSON.
    pub data: String,
    /// The state that was entered. `None` unless the item is a `StateUpdate`.
    pub entered: Option<AlarmState>,
}

/// The kind of a history item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// The alarm was created, changed or deleted.
    ConfigurationUpdate,
    /// The state changed.
    StateUpdate,
}

impl HistoryItem {
    /// Returns true if this item is a change into ALARM.
    pub fn entered_alarm(&self) -> bool {
        self.entered == Some(AlarmState::Alarm)
    }
}

impl HistoryKind {
    /// Returns the name that the API uses.
    pub fn text(self) -> &'static str {
        match self {
            Self::ConfigurationUpdate => "ConfigurationUpdate",
            Self::StateUpdate => "StateUpdate",
        }
    }
}

impl Comparison {
    /// All comparisons, with their names in the API.
    const TEXTS: [(Self, &'static str); 4] = [
        (Self::AtLeast, "GreaterThanOrEqualToThreshold"),
        (Self::Above, "GreaterThanThreshold"),
        (Self::Below, "LessThanThreshold"),
        (Self::AtMost, "LessThanOrEqualToThreshold"),
    ];

    /// Reads the API's name of a comparison. `None` if it is unknown, or is for anomaly detection, which is not
    /// modelled.
    pub fn parse(text: &str) -> Option<Self> {
        let found = Self::TEXTS.iter().find(|(_, known)| *known == text);
        found.map(|(comparison, _)| *comparison)
    }

    /// Returns the name that the API uses.
    pub fn text(self) -> &'static str {
        let found = Self::TEXTS.iter().find(|(known, _)| *known == self);
        found.map_or("", |(_, text)| text)
    }

    /// Returns true if this value breaches the threshold.
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => value >= threshold,
            Self::Above => value > threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }
}

impl MissingData {
    /// Reads the API's name of a treatment. `None` if it is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Missing,
            Self::Breaching,
            Self::NotBreaching,
            Self::Ignore,
        ]
        .into_iter()
        .find(|known| known.text() == text)
    }

    /// Returns the name that the API uses.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Breaching => "breaching",
            Self::NotBreaching => "notBreaching",
            Self::Ignore => "ignore",
        }
    }
}

impl StoredAlarm {
    /// Returns true if this is a composite alarm.
    pub fn is_composite(&self) -> bool {
        matches!(self.definition, AlarmDefinition::Composite(_))
    }

    /// Sets the state, and returns a history item if the new state differs from the old one.
    ///
    /// `StateUpdatedTimestamp` changes in either case, `StateTransitionedTimestamp` only if the state differs. Source:
    /// `CloudWatch` API Reference, `MetricAlarm`.
    pub(super) fn enter(
        &mut self,
        state: AlarmState,
        reason: String,
        reason_data: Option<String>,
        now: Timestamp,
    ) -> Option<HistoryItem> {
        let old = (self.state, self.state_json());
        self.state = state;
        self.reason = reason;
        self.reason_data = reason_data;
        self.updated_at = now;
        if old.0 == state {
            return None;
        }
        self.transitioned_at = now;
        let data = json!({ "version": "1.0", "oldState": old.1, "newState": self.state_json() });
        let (from, to) = (state_text(old.0), state_text(state));
        Some(HistoryItem {
            alarm: self.name.clone(),
            composite: self.is_composite(),
            at: now,
            kind: HistoryKind::StateUpdate,
            summary: format!("Alarm updated from {from} to {to}"),
            data: data.to_string(),
            entered: Some(state),
        })
    }

    /// Returns the state in the JSON form of a history item.
    fn state_json(&self) -> Value {
        let mut state = json!({
            "stateValue": state_text(self.state),
            "stateReason": self.reason,
        });
        let data = self
            .reason_data
            .as_deref()
            .map(serde_json::from_str::<Value>);
        if let Some(Ok(data)) = data {
            state["stateReasonData"] = data;
        }
        state
    }
}
