//! Converts replies from the model's types to CBOR.

use cutover::sim::cloudwatch::alarm::{
    AlarmDefinition, AlarmSource, HistoryItem, MetricDefinition, MissingData, StoredAlarm,
};
use cutover::sim::cloudwatch::metrics::{MetricKey, MetricStat};
use cutover::sim::cloudwatch::query::{DataQuery, DataResult, Datapoint, QuerySource};
use cutover::sim::cloudwatch::state::state_text;
use cutover::sim::cloudwatch::statistic::Statistic;
use jiff::Timestamp;

use super::cbor::Cbor;

/// A structure in a reply, while it is put together. Members without a value are left out.
#[derive(Default)]
pub(super) struct Output(Vec<(String, Cbor)>);

impl Output {
    pub(super) fn with(mut self, name: &str, value: Cbor) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }

    pub(super) fn text(self, name: &str, text: &str) -> Self {
        self.with(name, Cbor::Text(text.to_owned()))
    }

    pub(super) fn maybe(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    pub(super) fn time(self, name: &str, at: Timestamp) -> Self {
        self.with(name, Cbor::Time(at))
    }

    pub(super) fn list(self, name: &str, items: impl Iterator<Item = Cbor>) -> Self {
        self.with(name, Cbor::List(items.collect()))
    }

    fn texts(self, name: &str, texts: &[String]) -> Self {
        self.list(name, texts.iter().map(|text| Cbor::Text(text.clone())))
    }

    pub(super) fn done(self) -> Cbor {
        Cbor::Map(self.0)
    }
}

/// Returns a `MetricAlarm` or a `CompositeAlarm`.
pub(super) fn alarm(alarm: &StoredAlarm) -> Cbor {
    let output = Output::default()
        .text("AlarmName", &alarm.name)
        .text("AlarmArn", &alarm.arn)
        .maybe("AlarmDescription", alarm.description.as_deref())
        .time("AlarmConfigurationUpdatedTimestamp", alarm.configured_at)
        .with("ActionsEnabled", Cbor::Bool(alarm.actions_enabled))
        .texts("OKActions", &alarm.ok_actions)
        .texts("AlarmActions", &alarm.alarm_actions)
        .texts("InsufficientDataActions", &alarm.insufficient_data_actions)
        .text("StateValue", state_text(alarm.state))
        .text("StateReason", &alarm.reason)
        .maybe("StateReasonData", alarm.reason_data.as_deref())
        .time("StateUpdatedTimestamp", alarm.updated_at)
        .time("StateTransitionedTimestamp", alarm.transitioned_at);
    match &alarm.definition {
        AlarmDefinition::Composite(rule) => output.text("AlarmRule", &rule.text).done(),
        AlarmDefinition::Metric(definition) => metric_definition(output, definition)
            .maybe("EvaluationState", alarm.evaluation.as_deref())
            .done(),
    }
}

fn metric_definition(output: Output, definition: &MetricDefinition) -> Output {
    let mut output = output
        .with(
            "EvaluationPeriods",
            Cbor::Int(i64::from(definition.evaluation_periods)),
        )
        .with("Threshold", Cbor::Float(definition.threshold))
        .text("ComparisonOperator", definition.comparison.text())
        .maybe(
            "TreatMissingData",
            definition.treat_missing.map(MissingData::text),
        )
        .maybe(
            "EvaluateLowSampleCountPercentile",
            definition.low_sample.as_deref(),
        );
    if let Some(datapoints) = definition.datapoints_to_alarm {
        output = output.with("DatapointsToAlarm", Cbor::Int(i64::from(datapoints)));
    }
    match &definition.watched {
        AlarmSource::Metric(stat) => {
            let extended = matches!(
                stat.statistic,
                Statistic::Percentile(_) | Statistic::Ranged(..)
            );
            let member = if extended {
                "ExtendedStatistic"
            } else {
                "Statistic"
            };
            output
                .text("MetricName", &stat.metric.name)
                .text("Namespace", &stat.metric.namespace)
                .list("Dimensions", dimensions(&stat.metric))
                .with("Period", Cbor::Int(stat.period_secs))
                .text(member, &stat.statistic_text)
                .maybe("Unit", stat.unit.as_deref())
        }
        AlarmSource::Math(queries) => output.list("Metrics", queries.iter().map(query)),
    }
}

fn dimensions(metric: &MetricKey) -> impl Iterator<Item = Cbor> {
    metric.dimensions.iter().map(|(name, value)| {
        let output = Output::default().text("Name", name);
        output.text("Value", value).done()
    })
}

/// Returns a `Metric`.
pub(super) fn metric(metric: &MetricKey) -> Cbor {
    Output::default()
        .text("Namespace", &metric.namespace)
        .text("MetricName", &metric.name)
        .list("Dimensions", dimensions(metric))
        .done()
}

fn query(query: &DataQuery) -> Cbor {
    let mut output = Output::default()
        .text("Id", &query.id)
        .maybe("Label", query.label.as_deref())
        .maybe("Expression", query.expression_text())
        .with("ReturnData", Cbor::Bool(query.returns_data));
    if let Some(period) = query.period_secs {
        output = output.with("Period", Cbor::Int(period));
    }
    if let QuerySource::Stat(stat) = &query.source {
        output = output.with("MetricStat", metric_stat(stat));
    }
    output.done()
}

fn metric_stat(stat: &MetricStat) -> Cbor {
    Output::default()
        .with("Metric", metric(&stat.metric))
        .with("Period", Cbor::Int(stat.period_secs))
        .text("Stat", &stat.statistic_text)
        .maybe("Unit", stat.unit.as_deref())
        .done()
}

/// Returns an `AlarmHistoryItem`.
pub(super) fn history_item(item: &HistoryItem) -> Cbor {
    let kind = if item.composite {
        "CompositeAlarm"
    } else {
        "MetricAlarm"
    };
    Output::default()
        .text("AlarmName", &item.alarm)
        .text("AlarmType", kind)
        .time("Timestamp", item.at)
        .text("HistoryItemType", item.kind.text())
        .text("HistorySummary", &item.summary)
        .text("HistoryData", &item.data)
        .done()
}

/// Returns a `MetricDataResult`. Its datapoints are oldest first if `ascending` is true.
pub(super) fn data_result(result: &DataResult, ascending: bool) -> Cbor {
    let mut points = result.points.clone();
    if !ascending {
        points.reverse();
    }
    Output::default()
        .text("Id", &result.id)
        .text("Label", &result.label)
        .list("Timestamps", points.iter().map(|(at, _)| Cbor::Time(*at)))
        .list(
            "Values",
            points.iter().map(|(_, value)| Cbor::Float(*value)),
        )
        .text("StatusCode", result.status.text())
        .done()
}

/// Returns a `Datapoint`. The statistics in `extended` are in `ExtendedStatistics`.
pub(super) fn datapoint((at, values): &Datapoint, extended: &[String]) -> Cbor {
    let mut output = Output::default().time("Timestamp", *at);
    let mut others = Output::default();
    for (name, value) in values {
        if extended.contains(name) {
            others = others.with(name, Cbor::Float(*value));
        } else {
            output = output.with(name, Cbor::Float(*value));
        }
    }
    if !extended.is_empty() {
        output = output.with("ExtendedStatistics", others.done());
    }
    output.text("Unit", "None").done()
}
