//! Requests that create or change an alarm, and the checks that turn them into a definition.

use jiff::{SignedDuration, Timestamp};

use super::alarm::{AlarmSource, Comparison, MetricDefinition, MissingData};
use super::error::{ApiError, check_count, check_length, check_period};
use super::metrics::{MetricKey, MetricStat};
use super::query::{DataQuery, QuerySource, RawQuery};
use super::statistic::{Statistic, parse_statistic};

/// A day in seconds: the longest time that N periods may span. If the period is an hour or more, seven days are
/// allowed. Source: `PutMetricAlarm`.
const DAY_SECS: i64 = 86_400;
/// The most queries of one alarm, metrics and expressions together. Source: `PutMetricAlarm`.
const ALARM_QUERIES_MAX: usize = 20;
/// The most actions of each kind. Source: `PutMetricAlarm`.
const ACTIONS_MAX: usize = 5;

/// The time between two evaluations of an alarm whose period is at least a minute. Source: `CloudWatch` User Guide.
const EVERY: SignedDuration = SignedDuration::from_secs(60);
/// The time between two evaluations of an alarm whose period is shorter than a minute. Source: `CloudWatch` User Guide.
const EVERY_SHORT: SignedDuration = SignedDuration::from_secs(10);

/// The fields that metric and composite alarms have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlarmHead {
    /// The alarm's name, 1 to 255 characters.
    pub name: String,
    /// The description for people, at most 1,024 characters. `None` means no description.
    pub description: Option<String>,
    /// True if the alarm's actions are enabled. `None` means true.
    pub actions_enabled: Option<bool>,
    /// The actions on OK, as ARNs; at most 5.
    pub ok_actions: Vec<String>,
    /// The actions on ALARM, as ARNs; at most 5.
    pub alarm_actions: Vec<String>,
    /// The actions on `INSUFFICIENT_DATA`, as ARNs; at most 5.
    pub insufficient_data_actions: Vec<String>,
}

/// A `PutMetricAlarm` request as it was sent, not yet checked. A parameter that was not sent is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PutMetricAlarm {
    /// Name, description and actions.
    pub head: AlarmHead,
    /// `Namespace`, `MetricName` and `Dimensions`, for an alarm on one metric.
    pub metric: Option<MetricKey>,
    /// `Statistic`, for example `Sum`. Excludes `ExtendedStatistic`.
    pub statistic: Option<String>,
    /// `ExtendedStatistic`, for example `p99`. Excludes `Statistic`.
    pub extended_statistic: Option<String>,
    /// `Period`, in seconds, for an alarm on one metric.
    pub period_secs: Option<i64>,
    /// `Unit`. It is stored, but not used to select data.
    pub unit: Option<String>,
    /// `Metrics`: queries instead of one metric, at most 20.
    pub queries: Vec<RawQuery>,
    /// `EvaluationPeriods`: N, at least 1.
    pub evaluation_periods: Option<i64>,
    /// `DatapointsToAlarm`: M, 1 to N.
    pub datapoints_to_alarm: Option<i64>,
    /// `Threshold`, in the metric's unit.
    pub threshold: Option<f64>,
    /// `ComparisonOperator`, for example `GreaterThanThreshold`.
    pub comparison: String,
    /// `TreatMissingData`: `missing`, `breaching`, `notBreaching` or `ignore`.
    pub treat_missing: Option<String>,
    /// `EvaluateLowSampleCountPercentile`. It is stored, but has no effect.
    pub low_sample: Option<String>,
}

impl AlarmHead {
    /// Refuses names, descriptions and lists of actions whose size is out of range.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        check_length("alarmName", &self.name, 1..=255)?;
        if let Some(description) = &self.description {
            check_length("alarmDescription", description, 0..=1024)?;
        }
        check_count("oKActions", self.ok_actions.len(), ACTIONS_MAX)?;
        check_count("alarmActions", self.alarm_actions.len(), ACTIONS_MAX)?;
        let actions = self.insufficient_data_actions.len();
        check_count("insufficientDataActions", actions, ACTIONS_MAX)
    }
}

impl PutMetricAlarm {
    /// Returns the definition that the request asks for.
    ///
    /// # Errors
    /// A parameter is missing, out of range or not modelled, or two parameters exclude each other. Source: `CloudWatch`
    /// API Reference, `PutMetricAlarm`.
    pub(super) fn definition(&self) -> Result<MetricDefinition, ApiError> {
        self.head.check()?;
        let comparison = Comparison::parse(&self.comparison).ok_or_else(|| {
            ApiError::validation(format!(
                "Value '{}' at 'comparisonOperator' failed to satisfy constraint: unknown, or not modelled",
                self.comparison
            ))
        })?;
        let treat_missing = match self.treat_missing.as_deref() {
            None => None,
            Some(text) => Some(MissingData::parse(text).ok_or_else(|| {
                ApiError::validation(format!(
                    "The value {text} is not supported for TreatMissingData parameter. Supported \
                     values are [breaching, notBreaching, ignore, missing]."
                ))
            })?),
        };
        let watched = self.watched()?;
        let (evaluation_periods, datapoints_to_alarm) = self.periods(&watched)?;
        let threshold = self
            .threshold
            .ok_or_else(|| ApiError::missing_parameter("Threshold"))?;
        Ok(MetricDefinition {
            watched,
            evaluation_periods,
            datapoints_to_alarm,
            threshold,
            comparison,
            treat_missing,
            low_sample: self.low_sample.clone(),
        })
    }

    /// Returns the source of the datapoints, or an error if the request names none or both kinds.
    fn watched(&self) -> Result<AlarmSource, ApiError> {
        if !self.queries.is_empty() {
            let single = self.metric.is_some()
                || self.statistic.is_some()
                || self.extended_statistic.is_some()
                || self.period_secs.is_some();
            if single {
                return Err(ApiError::validation(
                    "Metrics list and a single metric must not both be specified.",
                ));
            }
            return alarm_queries(&self.queries).map(AlarmSource::Math);
        }
        let metric = self
            .metric
            .clone()
            .ok_or_else(|| ApiError::missing_parameter("MetricName"))?;
        check_length("namespace", &metric.namespace, 1..=255)?;
        check_length("metricName", &metric.name, 1..=255)?;
        let period_secs = self
            .period_secs
            .ok_or_else(|| ApiError::missing_parameter("Period"))?;
        check_period(period_secs)?;
        let ((Some(text), None) | (None, Some(text))) = (&self.statistic, &self.extended_statistic)
        else {
            return Err(ApiError::validation(
                "Exactly one of Statistic and ExtendedStatistic must be specified.",
            ));
        };
        Ok(AlarmSource::Metric(MetricStat {
            metric,
            period_secs,
            statistic: parse_statistic(text)?,
            statistic_text: text.clone(),
            unit: self.unit.clone(),
        }))
    }

    /// Returns N and M, or an error if one is out of range or N periods are too long.
    fn periods(&self, watched: &AlarmSource) -> Result<(u32, Option<u32>), ApiError> {
        let periods = self
            .evaluation_periods
            .ok_or_else(|| ApiError::missing_parameter("EvaluationPeriods"))?;
        let evaluation_periods = at_least_one("evaluationPeriods", periods)?;
        let datapoints = match self.datapoints_to_alarm {
            Some(number) => Some(at_least_one("datapointsToAlarm", number)?),
            None => None,
        };
        if datapoints.is_some_and(|datapoints| datapoints > evaluation_periods) {
            return Err(ApiError::validation(
                "DatapointsToAlarm must be less than or equal to EvaluationPeriods.",
            ));
        }
        let period = watched.period_secs();
        let longest = if period >= 3_600 {
            7 * DAY_SECS
        } else {
            DAY_SECS
        };
        if period.saturating_mul(periods) > longest {
            return Err(ApiError::validation(format!(
                "Metrics cannot be checked across more than {longest} seconds \
                 (EvaluationPeriods * Period must be <= {longest})."
            )));
        }
        Ok((evaluation_periods, datapoints))
    }
}

impl MetricDefinition {
    /// Returns the definition of an alarm whose metric never gets data, and which keeps its state without data.
    pub(super) fn quiet(name: &str) -> Self {
        let metric = MetricKey {
            namespace: "Simulation".to_owned(),
            name: name.to_owned(),
            ..MetricKey::default()
        };
        Self {
            watched: AlarmSource::Metric(MetricStat {
                metric,
                period_secs: 60,
                statistic: Statistic::Sum,
                statistic_text: "Sum".to_owned(),
                unit: None,
            }),
            evaluation_periods: 1,
            datapoints_to_alarm: None,
            threshold: 0.0,
            comparison: Comparison::Above,
            treat_missing: Some(MissingData::Ignore),
            low_sample: None,
        }
    }
}

impl AlarmSource {
    /// Returns the length of a period in seconds. If the queries have several, returns the longest one.
    pub fn period_secs(&self) -> i64 {
        match self {
            Self::Metric(stat) => stat.period_secs,
            Self::Math(queries) => queries
                .iter()
                .filter_map(|query| match &query.source {
                    QuerySource::Stat(stat) => Some(stat.period_secs),
                    QuerySource::Expression(_) => query.period_secs,
                })
                .max()
                .unwrap_or(60),
        }
    }

    /// Returns the time of the next evaluation of an alarm that is put, set or evaluated now.
    pub(super) fn next_evaluation(&self, now: Timestamp) -> Timestamp {
        let every = if self.period_secs() < 60 {
            EVERY_SHORT
        } else {
            EVERY
        };
        now.checked_add(every).unwrap_or(Timestamp::MAX)
    }

    /// Returns the metrics that the source reads.
    pub fn metrics(&self) -> Vec<&MetricKey> {
        match self {
            Self::Metric(stat) => vec![&stat.metric],
            Self::Math(queries) => queries
                .iter()
                .filter_map(|query| match &query.source {
                    QuerySource::Stat(stat) => Some(&stat.metric),
                    QuerySource::Expression(_) => None,
                })
                .collect(),
        }
    }
}

/// Checks the queries of an alarm. Exactly one of them must return data.
fn alarm_queries(raw: &[RawQuery]) -> Result<Vec<DataQuery>, ApiError> {
    if raw.len() > ALARM_QUERIES_MAX {
        return Err(ApiError::validation(format!(
            "The collection Metrics must not have a size greater than {ALARM_QUERIES_MAX}."
        )));
    }
    let queries = DataQuery::check(raw)?;
    let returned = queries.iter().filter(|query| query.returns_data).count();
    if returned == 1 {
        Ok(queries)
    } else {
        Err(ApiError::validation(
            "Exactly one element of the metrics list should return data.",
        ))
    }
}

/// Converts a number, or refuses it if it is below 1 or does not fit.
fn at_least_one(name: &str, number: i64) -> Result<u32, ApiError> {
    match u32::try_from(number) {
        Ok(number) if number >= 1 => Ok(number),
        Ok(_) | Err(_) => Err(ApiError::validation(format!(
            "1 validation error detected: Value '{number}' at '{name}' failed to satisfy \
             constraint: Member must have value greater than or equal to 1"
        ))),
    }
}
