//! Converts requests from CBOR or JSON to the model's types. A member of the wrong type is a `SerializationException`.

use std::collections::BTreeMap;

use aws_smithy_types::DateTime;
use cutover::sim::cloudwatch::definition::{AlarmHead, PutMetricAlarm};
use cutover::sim::cloudwatch::describe::{DescribeAlarms, DescribeHistory};
use cutover::sim::cloudwatch::error::ApiError;
use cutover::sim::cloudwatch::metrics::{Datum, MetricKey};
use cutover::sim::cloudwatch::query::{RawQuery, RawStat};
use jiff::Timestamp;

use super::cbor::Cbor;

/// A structure in a request.
#[derive(Clone, Copy)]
pub(super) struct Input<'a>(pub(super) &'a Cbor);

type Read<T> = Result<T, ApiError>;

fn wrong_type(name: &str) -> ApiError {
    ApiError {
        shape: "SerializationException",
        code: "SerializationException",
        message: format!("{name} has the wrong type"),
    }
}

impl<'a> Input<'a> {
    fn read<T>(self, name: &str, read: impl Fn(&'a Cbor) -> Option<T>) -> Read<Option<T>> {
        match self.0.member(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| wrong_type(name)),
        }
    }

    pub(super) fn text(self, name: &str) -> Read<Option<String>> {
        self.read(name, |value| match value {
            Cbor::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Reads a required text. An empty one is accepted here; the model may refuse it.
    pub(super) fn required_text(self, name: &str) -> Read<String> {
        self.text(name)?
            .ok_or_else(|| ApiError::missing_parameter(name))
    }

    pub(super) fn integer(self, name: &str) -> Read<Option<i64>> {
        self.read(name, |value| match value {
            Cbor::Int(number) => Some(*number),
            _ => None,
        })
    }

    fn number(self, name: &str) -> Read<Option<f64>> {
        self.read(name, number)
    }

    fn required_number(self, name: &str) -> Read<f64> {
        self.number(name)?
            .ok_or_else(|| ApiError::missing_parameter(name))
    }

    fn boolean(self, name: &str) -> Read<Option<bool>> {
        self.read(name, |value| match value {
            Cbor::Bool(value) => Some(*value),
            _ => None,
        })
    }

    fn time(self, name: &str) -> Read<Option<Timestamp>> {
        self.read(name, |value| match value {
            Cbor::Time(time) => Some(*time),
            // In JSON, times are numbers.
            Cbor::Int(seconds) => Timestamp::from_second(*seconds).ok(),
            Cbor::Float(seconds) => {
                let time = DateTime::from_secs_f64(*seconds);
                Timestamp::from_nanosecond(time.as_nanos()).ok()
            }
            _ => None,
        })
    }

    fn required_time(self, name: &str) -> Read<Timestamp> {
        self.time(name)?
            .ok_or_else(|| ApiError::missing_parameter(name))
    }

    fn list(self, name: &str) -> Read<&'a [Cbor]> {
        let list = self.read(name, |value| match value {
            Cbor::List(items) => Some(items.as_slice()),
            _ => None,
        })?;
        Ok(list.unwrap_or(&[]))
    }

    pub(super) fn texts(self, name: &str) -> Read<Vec<String>> {
        let mut texts = Vec::new();
        for item in self.list(name)? {
            let Cbor::Text(text) = item else {
                return Err(wrong_type(name));
            };
            texts.push(text.clone());
        }
        Ok(texts)
    }

    fn numbers(self, name: &str) -> Read<Vec<f64>> {
        let items = self.list(name)?.iter();
        items
            .map(|item| number(item).ok_or_else(|| wrong_type(name)))
            .collect()
    }

    fn inner(self, name: &str) -> Option<Self> {
        self.0.member(name).map(Input)
    }

    pub(super) fn describe_alarms(self) -> Read<DescribeAlarms> {
        Ok(DescribeAlarms {
            names: self.texts("AlarmNames")?,
            prefix: self.text("AlarmNamePrefix")?,
            types: self.texts("AlarmTypes")?,
            state: self.text("StateValue")?,
            action_prefix: self.text("ActionPrefix")?,
            max_records: self.integer("MaxRecords")?,
            next_token: self.text("NextToken")?,
        })
    }

    pub(super) fn describe_history(self) -> Read<DescribeHistory> {
        Ok(DescribeHistory {
            name: self.text("AlarmName")?,
            types: self.texts("AlarmTypes")?,
            kind: self.text("HistoryItemType")?,
            start: self.time("StartDate")?,
            end: self.time("EndDate")?,
            max_records: self.integer("MaxRecords")?,
            next_token: self.text("NextToken")?,
            ascending: self.ascending()?,
        })
    }

    /// Returns true if `ScanBy` asks for the oldest items first.
    pub(super) fn ascending(self) -> Read<bool> {
        match self.text("ScanBy")?.as_deref() {
            None | Some("TimestampDescending") => Ok(false),
            Some("TimestampAscending") => Ok(true),
            Some(other) => Err(ApiError::validation(format!("Value '{other}' at 'scanBy'"))),
        }
    }

    pub(super) fn head(self) -> Read<AlarmHead> {
        Ok(AlarmHead {
            name: self.required_text("AlarmName")?,
            description: self.text("AlarmDescription")?,
            actions_enabled: self.boolean("ActionsEnabled")?,
            ok_actions: self.texts("OKActions")?,
            alarm_actions: self.texts("AlarmActions")?,
            insufficient_data_actions: self.texts("InsufficientDataActions")?,
        })
    }

    pub(super) fn metric_alarm(self) -> Read<PutMetricAlarm> {
        let single = self.0.member("MetricName").is_some() || self.0.member("Namespace").is_some();
        Ok(PutMetricAlarm {
            head: self.head()?,
            metric: if single { Some(self.metric()?) } else { None },
            statistic: self.text("Statistic")?,
            extended_statistic: self.text("ExtendedStatistic")?,
            period_secs: self.integer("Period")?,
            unit: self.text("Unit")?,
            queries: self.queries("Metrics")?,
            evaluation_periods: self.integer("EvaluationPeriods")?,
            datapoints_to_alarm: self.integer("DatapointsToAlarm")?,
            threshold: self.number("Threshold")?,
            comparison: self.required_text("ComparisonOperator")?,
            treat_missing: self.text("TreatMissingData")?,
            low_sample: self.text("EvaluateLowSampleCountPercentile")?,
        })
    }

    /// Reads the metric in `Namespace`, `MetricName` and `Dimensions`.
    pub(super) fn metric(self) -> Read<MetricKey> {
        Ok(MetricKey {
            namespace: self.required_text("Namespace")?,
            name: self.required_text("MetricName")?,
            dimensions: self.dimensions()?.into_iter().collect::<BTreeMap<_, _>>(),
        })
    }

    fn dimensions(self) -> Read<Vec<(String, String)>> {
        let mut dimensions = Vec::new();
        for item in self.list("Dimensions")? {
            let item = Input(item);
            dimensions.push((item.required_text("Name")?, item.required_text("Value")?));
        }
        Ok(dimensions)
    }

    /// Reads the dimensions of `ListMetrics`, which may have no value.
    pub(super) fn dimension_filters(self) -> Read<Vec<(String, Option<String>)>> {
        let mut filters = Vec::new();
        for item in self.list("Dimensions")? {
            let item = Input(item);
            filters.push((item.required_text("Name")?, item.text("Value")?));
        }
        Ok(filters)
    }

    pub(super) fn queries(self, name: &str) -> Read<Vec<RawQuery>> {
        let items = self.list(name)?.iter();
        items.map(|item| Input(item).query()).collect()
    }

    fn query(self) -> Read<RawQuery> {
        let stat = match self.inner("MetricStat") {
            None => None,
            Some(stat) => Some(stat.metric_stat()?),
        };
        Ok(RawQuery {
            id: self.required_text("Id")?,
            expression: self.text("Expression")?,
            stat,
            label: self.text("Label")?,
            returns_data: self.boolean("ReturnData")?,
            period_secs: self.integer("Period")?,
        })
    }

    fn metric_stat(self) -> Read<RawStat> {
        let metric = self
            .inner("Metric")
            .ok_or_else(|| ApiError::missing_parameter("Metric"))?;
        Ok(RawStat {
            metric: metric.metric()?,
            period_secs: self
                .integer("Period")?
                .ok_or_else(|| ApiError::missing_parameter("Period"))?,
            statistic: self.required_text("Stat")?,
            unit: self.text("Unit")?,
        })
    }

    /// Reads the range in `StartTime` and `EndTime`.
    pub(super) fn range(self) -> Read<(Timestamp, Timestamp)> {
        Ok((
            self.required_time("StartTime")?,
            self.required_time("EndTime")?,
        ))
    }

    /// Reads the data in `MetricData` of `PutMetricData`.
    pub(super) fn data(self) -> Read<Vec<Datum>> {
        let items = self.list("MetricData")?.iter();
        items.map(|item| Input(item).datum()).collect()
    }

    fn datum(self) -> Read<Datum> {
        let mut values = self.numbers("Values")?;
        let mut counts = self.numbers("Counts")?;
        values.extend(self.number("Value")?);
        counts.resize(values.len().max(counts.len()), 1.0);
        if counts.len() != values.len() {
            return Err(ApiError::validation(
                "Values and Counts must be of the same length.",
            ));
        }
        let set = match self.inner("StatisticValues") {
            None => None,
            Some(set) => Some((
                set.required_number("SampleCount")?,
                set.required_number("Sum")?,
                set.required_number("Minimum")?,
                set.required_number("Maximum")?,
            )),
        };
        Ok(Datum {
            name: self.required_text("MetricName")?,
            dimensions: self.dimensions()?,
            at: self.time("Timestamp")?,
            values: values.into_iter().zip(counts).collect(),
            set,
            high_resolution: self.integer("StorageResolution")? == Some(1),
        })
    }
}

/// Reads a number. Clients send whole numbers as integers.
fn number(value: &Cbor) -> Option<f64> {
    match value {
        Cbor::Float(number) => Some(*number),
        Cbor::Int(number) => i32::try_from(*number).ok().map(f64::from),
        _ => None,
    }
}
