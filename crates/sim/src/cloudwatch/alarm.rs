//! Alarms as the model stores them: definition, state with its two timestamps, and history.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::metrics::MetricStat;
use super::query::DataQuery;
use super::rule::Rule;
use super::state::state_text;
use cutover_engine::observation::AlarmState;

/// An alarm of one region.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAlarm {
    /// Its name, case-sensitive and unique in the region over both kinds.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Free text.
    pub description: Option<String>,
    /// True if it runs its actions. It is evaluated in any case.
    pub actions_enabled: bool,
    /// The actions on OK.
    pub ok_actions: Vec<String>,
    /// The actions on ALARM.
    pub alarm_actions: Vec<String>,
    /// The actions on `INSUFFICIENT_DATA`.
    pub insufficient_data_actions: Vec<String>,
    /// When it was last put.
    pub configured_at: Timestamp,
    /// Its state.
    pub state: AlarmState,
    /// Why it is in that state.
    pub reason: String,
    /// The reason as JSON.
    pub reason_data: Option<String>,
    /// `StateUpdatedTimestamp`: when the state or the evaluation state was last set, even to the same value.
    pub updated_at: Timestamp,
    /// `StateTransitionedTimestamp`: when the state last became a different one.
    pub transitioned_at: Timestamp,
    /// `EvaluationState`, for example `PARTIAL_DATA`; none if the evaluation was complete. Metric alarms only.
    pub evaluation: Option<String>,
    /// The metric or the alarms that it watches.
    pub definition: AlarmDefinition,
    /// When it is evaluated next; none if only a call can change it.
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
    /// Where its datapoints come from.
    pub watched: AlarmSource,
    /// N: the number of periods that are evaluated.
    pub evaluation_periods: u32,
    /// M: the number of them that must breach; none means N.
    pub datapoints_to_alarm: Option<u32>,
    /// The threshold, in the metric's unit.
    pub threshold: f64,
    /// How a datapoint is compared with it.
    pub comparison: Comparison,
    /// The meaning of a missing datapoint; none means [`MissingData::Missing`].
    pub treat_missing: Option<MissingData>,
    /// `evaluate` or `ignore`; stored, but without effect.
    pub low_sample: Option<String>,
}

/// Where the datapoints of a metric alarm come from.
#[derive(Debug, Clone, PartialEq)]
pub enum AlarmSource {
    /// One statistic of one metric.
    Metric(MetricStat),
    /// Queries, exactly one of which returns data.
    Math(Vec<DataQuery>),
}

/// How a datapoint is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// At least the threshold.
    AtLeast,
    /// More than the threshold.
    Above,
    /// Less than the threshold.
    Below,
    /// At most the threshold.
    AtMost,
}

/// The meaning of a missing datapoint to an alarm (`TreatMissingData`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingData {
    /// It is not considered.
    Missing,
    /// It is outside the threshold.
    Breaching,
    /// It is within the threshold.
    NotBreaching,
    /// It leaves the state as it is.
    Ignore,
}

/// The time for which history is kept: two weeks. Source: `CloudWatch` User Guide.
pub(super) const HISTORY_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// One item of an alarm's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryItem {
    /// The alarm, which may be deleted.
    pub alarm: String,
    /// True if the alarm is or was a composite one.
    pub composite: bool,
    /// When.
    pub at: Timestamp,
    /// `StateUpdate` or `ConfigurationUpdate`.
    pub kind: HistoryKind,
    /// A text for people.
    pub summary: String,
    /// The details as JSON.
    pub data: String,
    /// The state that was entered, if this is a `StateUpdate`.
    pub entered: Option<AlarmState>,
}

/// The kind of a history item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// The alarm was put or deleted.
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
    /// The text of the API.
    pub fn text(self) -> &'static str {
        match self {
            Self::ConfigurationUpdate => "ConfigurationUpdate",
            Self::StateUpdate => "StateUpdate",
        }
    }
}

impl Comparison {
    /// All comparisons, with their texts in the API.
    const TEXTS: [(Self, &'static str); 4] = [
        (Self::AtLeast, "GreaterThanOrEqualToThreshold"),
        (Self::Above, "GreaterThanThreshold"),
        (Self::Below, "LessThanThreshold"),
        (Self::AtMost, "LessThanOrEqualToThreshold"),
    ];

    /// Reads the text of the API. Operators of anomaly detection are not modelled.
    pub fn parse(text: &str) -> Option<Self> {
        let found = Self::TEXTS.iter().find(|(_, known)| *known == text);
        found.map(|(comparison, _)| *comparison)
    }

    /// The text of the API.
    pub fn text(self) -> &'static str {
        let found = Self::TEXTS.iter().find(|(known, _)| *known == self);
        found.map_or("", |(_, text)| text)
    }

    /// Returns true if a datapoint breaches.
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
    /// Reads the text of the API.
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

    /// The text of the API.
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

    /// Sets the state, and returns the history item if the state changed.
    ///
    /// `StateUpdatedTimestamp` moves in any case, `StateTransitionedTimestamp` only when the value changes. Source:
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

    /// The state as a history item shows it.
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
