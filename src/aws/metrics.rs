//! Packs series into calls of `GetMetricData`: as many as fit, and each metric once, however many expressions use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::Metric as SdkMetric;
use aws_sdk_cloudwatch::types::{Dimension, MetricDataQuery, MetricStat, StatusCode};
use jiff::Timestamp;

use crate::engine::event::FailureClass;
use crate::engine::evidence::math::{self, Piece};
use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::{Metric, Query};
use crate::engine::evidence::reading::{Readings, SeriesReading, floor};
use crate::engine::evidence::wanted::Minutes;
use crate::engine::lists;
use crate::ports::CallError;

/// The most queries of a call. Source: `CloudWatch` API Reference, `GetMetricData`.
pub(super) const QUERIES_PER_CALL: usize = 500;
/// The most datapoints of a call. The API allows 100,800; the difference leaves room for points that two pages share.
const POINTS_PER_CALL: i64 = 90_000;

/// One call while it is put together: its queries, and the ID of the result of each series.
#[derive(Debug, Default)]
pub(super) struct DataCall {
    /// The period of the datapoints, in minutes.
    period_mins: u16,
    /// Each metric with its period, once: its query ID, and true if its series is part of the reply.
    metrics: BTreeMap<(Metric, u16), (String, bool)>,
    /// The query IDs and texts of expressions over the metrics.
    expressions: Vec<(String, String)>,
    /// The ID of the result of each wanted series, and the wanted range.
    answers: BTreeMap<Query, (String, Minutes)>,
    /// The number of datapoints that the call asks for.
    points: i64,
    /// The range of the call. `None` while it has no series.
    minutes: Option<Minutes>,
}

/// Returns why a series must not be sent: its expression could read other series of the same call. `None` if it may be
/// sent. Such plans are refused when they are read, so this matters only for plans that were journaled earlier.
pub(super) fn refusal(query: &Query) -> Option<String> {
    let expression = query.expression.as_deref()?;
    let mistake = math::mistake(expression, |word| query.inputs.contains_key(word))?;
    Some(mistake.to_string())
}

/// Packs series into as few calls as possible. An expression and its inputs stay in one call, and a call has one
/// period. Its range begins at the start of a period, because `CloudWatch` would align the datapoints differently
/// otherwise.
pub(super) fn pack(wanted: &BTreeMap<Query, Minutes>) -> Vec<DataCall> {
    // Series with similar ranges are packed together: a call has one range, and its length decides how many datapoints
    // there are.
    let mut sorted: Vec<(&Query, Minutes)> = wanted
        .iter()
        .map(|(query, minutes)| (query, from_whole_period(*minutes, query.period_mins)))
        .collect();
    sorted.sort_by_key(|(query, minutes)| (query.period_mins, std::cmp::Reverse(minutes.from)));
    let mut calls: Vec<DataCall> = Vec::new();
    for (query, minutes) in sorted {
        let fits = calls.last().is_some_and(|call| call.fits(query, minutes));
        if !fits {
            calls.push(DataCall::of_period(query.period_mins));
        }
        if let Some(call) = calls.last_mut() {
            call.add(query, minutes);
        }
    }
    calls
}

impl DataCall {
    /// Creates an empty call with this period.
    fn of_period(period_mins: u16) -> Self {
        Self {
            period_mins,
            ..Self::default()
        }
    }

    /// Returns the number of datapoints of this number of series over this range.
    fn datapoints(&self, series: usize, range: Minutes) -> i64 {
        let series = i64::try_from(series).unwrap_or(i64::MAX);
        let secs = range.until.duration_since(range.from).as_secs();
        series.saturating_mul(secs / (60 * i64::from(self.period_mins.max(1))))
    }

    /// Returns the number of queries.
    fn size(&self) -> usize {
        self.metrics.len() + self.expressions.len()
    }

    /// Returns true if a series fits into the call: the same period, and neither too many queries nor too many
    /// datapoints.
    fn fits(&self, query: &Query, minutes: Minutes) -> bool {
        let new = query.inputs.values().filter(|metric| {
            let key = ((*metric).clone(), query.period_mins);
            !self.metrics.contains_key(&key)
        });
        let more = new.count() + usize::from(query.expression.is_some());
        let range = self.minutes.map_or(minutes, |all| together(all, minutes));
        let points = self.datapoints(self.answers.len() + 1, range);
        query.period_mins == self.period_mins
            && self.size() + more <= QUERIES_PER_CALL
            && points.max(self.points) <= POINTS_PER_CALL
    }

    /// Adds a series. Metrics and inputs of expressions get query IDs that are unique in the call.
    fn add(&mut self, query: &Query, minutes: Minutes) {
        let mut renamed: BTreeMap<&str, String> = BTreeMap::new();
        for (name, metric) in &query.inputs {
            let next = format!("m{}", self.metrics.len());
            let key = (metric.clone(), query.period_mins);
            let (id, returned) = self.metrics.entry(key).or_insert((next, false));
            *returned |= query.expression.is_none();
            renamed.insert(name, id.clone());
        }
        let id = match &query.expression {
            Some(expression) => {
                let id = format!("e{}", self.expressions.len());
                let text = with_names(expression, &renamed);
                self.expressions.push((id.clone(), text));
                Some(id)
            }
            None => renamed.into_values().next(),
        };
        let range = self.minutes.map_or(minutes, |all| together(all, minutes));
        self.minutes = Some(range);
        if let Some(id) = id {
            self.answers.insert(query.clone(), (id, minutes));
        }
        self.points = self.datapoints(self.answers.len(), range);
    }

    /// Divides a call that was refused as a whole into two halves. Empty if the call has only one series.
    pub(super) fn halves(&self) -> Vec<Self> {
        let count = self.answers.len();
        if count < 2 {
            return Vec::new();
        }
        let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
        for (index, (query, (_, minutes))) in self.answers.iter().enumerate() {
            let half = if index < count / 2 {
                &mut first
            } else {
                &mut second
            };
            half.insert(query.clone(), *minutes);
        }
        let mut halves = pack(&first);
        halves.extend(pack(&second));
        halves
    }

    /// Returns the readings of a call that failed: each series is unreadable or denied.
    pub(super) fn unread(&self, error: &CallError) -> Readings {
        let why = error.to_string();
        let reading = if error.class == FailureClass::Denied {
            SeriesReading::Denied(why)
        } else {
            SeriesReading::Unreadable(why)
        };
        let queries = self.answers.keys();
        queries
            .map(|query| (query.clone(), reading.clone()))
            .collect()
    }

    /// Returns the range of the call. `None` if it has no series.
    pub(super) fn minutes(&self) -> Option<Minutes> {
        self.minutes
    }

    /// Returns the queries of the call.
    pub(super) fn queries(&self) -> Vec<MetricDataQuery> {
        let metrics = self
            .metrics
            .iter()
            .map(|((metric, period), (id, returned))| {
                let stat = MetricStat::builder()
                    .metric(sdk_metric(metric))
                    .period(i32::from(*period) * 60)
                    .stat(&metric.stat)
                    .build();
                MetricDataQuery::builder()
                    .id(id)
                    .metric_stat(stat)
                    .return_data(*returned)
                    .build()
            });
        let expressions = self.expressions.iter().map(|(id, text)| {
            MetricDataQuery::builder()
                .id(id)
                .expression(text)
                .return_data(true)
                .build()
        });
        metrics.chain(expressions).collect()
    }

    /// Returns the reading of each series from the whole reply.
    pub(super) fn readings(&self, answer: &SeriesAnswer) -> Readings {
        let mut readings = Readings::new();
        for (query, (id, minutes)) in &self.answers {
            readings.insert(query.clone(), answer.reading(id, *minutes));
        }
        readings
    }
}

/// The reply of a call, put together from its pages.
#[derive(Debug, Default)]
pub(super) struct SeriesAnswer {
    /// The datapoints of each result, by query ID.
    points: BTreeMap<String, BTreeMap<Timestamp, Number>>,
    /// The last status of each result, by query ID.
    statuses: BTreeMap<String, Option<StatusCode>>,
    /// AWS's messages, about single results and the whole call.
    messages: BTreeSet<String>,
}

impl SeriesAnswer {
    /// Adds a page of the reply. For each result, the status of the last page counts.
    pub(super) fn take(&mut self, page: &GetMetricDataOutput) {
        for message in page.messages() {
            self.messages.extend(message.value().map(str::to_owned));
        }
        for result in page.metric_data_results() {
            let Some(id) = result.id() else {
                continue;
            };
            for message in result.messages() {
                self.messages.extend(message.value().map(str::to_owned));
            }
            let points = self.points.entry(id.to_owned()).or_default();
            for (at, value) in result.timestamps().iter().zip(result.values()) {
                let at = super::sdk_times::our_time(at);
                points.extend(at.zip(Number::new(*value)));
            }
            self.statuses
                .insert(id.to_owned(), result.status_code().cloned());
        }
    }

    /// Returns the reading of one result. It is unreadable unless its status is `Complete`.
    fn reading(&self, id: &str, minutes: Minutes) -> SeriesReading {
        let why = match self.statuses.get(id) {
            None => "CloudWatch returned nothing for it",
            Some(Some(StatusCode::Complete)) => return self.complete(id, minutes),
            Some(Some(StatusCode::InternalError)) => {
                "CloudWatch could not compute it (InternalError)"
            }
            Some(Some(StatusCode::PartialData)) => {
                "CloudWatch returned only a part of it (PartialData)"
            }
            Some(Some(StatusCode::Forbidden)) => "it may not be read (Forbidden)",
            Some(_) => "CloudWatch returned an unknown status for it",
        };
        let said: Vec<&str> = self.messages.iter().map(String::as_str).collect();
        let more = if said.is_empty() {
            String::new()
        } else {
            format!(": {}", lists::some(&said, "; "))
        };
        SeriesReading::Unreadable(format!("{why}{more}"))
    }

    /// Returns the reading of a complete result: its datapoints within the range.
    fn complete(&self, id: &str, minutes: Minutes) -> SeriesReading {
        let mut points = BTreeMap::new();
        for (at, value) in self.points.get(id).into_iter().flatten() {
            if *at >= minutes.from && *at < minutes.until {
                points.insert(*at, *value);
            }
        }
        SeriesReading::Read {
            from: minutes.from,
            until: minutes.until,
            points: Arc::new(points),
        }
    }
}

/// Returns the range that contains both ranges.
fn together(one: Minutes, other: Minutes) -> Minutes {
    Minutes {
        from: one.from.min(other.from),
        until: one.until.max(other.until),
    }
}

/// Extends a range backwards to the start of a period.
fn from_whole_period(minutes: Minutes, period_mins: u16) -> Minutes {
    Minutes {
        from: floor(minutes.from, period_mins),
        ..minutes
    }
}

fn sdk_metric(metric: &Metric) -> SdkMetric {
    let mut dimensions = Vec::new();
    for (name, value) in &metric.dimensions {
        dimensions.push(Dimension::builder().name(name).value(value).build());
    }
    SdkMetric::builder()
        .namespace(&metric.namespace)
        .metric_name(&metric.metric)
        .set_dimensions(Some(dimensions))
        .build()
}

/// Replaces the names of the inputs in an expression by their query IDs.
fn with_names(expression: &str, names: &BTreeMap<&str, String>) -> String {
    let mut renamed = String::new();
    for piece in math::pieces(expression) {
        renamed.push_str(match piece {
            Piece::Word(word) => names.get(word).map_or(word, String::as_str),
            Piece::Quoted(text) | Piece::Other(text) => text,
        });
    }
    renamed
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::engine::evidence::plan::Series;

    fn metric(name: &str) -> Metric {
        Metric {
            namespace: "Test".to_owned(),
            metric: name.to_owned(),
            dimensions: BTreeMap::new(),
            stat: "Sum".to_owned(),
        }
    }

    fn query(expression: Option<&str>, inputs: &[(&str, &str)]) -> Query {
        let mut metrics = BTreeMap::new();
        for (name, of) in inputs {
            metrics.insert((*name).to_owned(), metric(of));
        }
        Query::from(Series {
            region: None,
            account: None,
            expression: expression.map(str::to_owned),
            inputs: metrics,
            period_mins: 1,
        })
    }

    fn minutes(count: i64) -> Minutes {
        let until = Timestamp::from_second(1_800_000_000).unwrap();
        Minutes {
            from: until - SignedDuration::from_mins(count),
            until,
        }
    }

    #[test]
    fn inputs_are_sent_once_and_expressions_use_their_new_names() {
        let wanted = BTreeMap::from([
            (query(None, &[("m", "requests")]), minutes(5)),
            (query(None, &[("m", "errors")]), minutes(5)),
            (
                query(
                    Some("100 * FILL(e, 0) / r"),
                    &[("e", "errors"), ("r", "requests")],
                ),
                minutes(5),
            ),
        ]);
        let calls = pack(&wanted);
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].metrics.len(), calls[0].expressions.len()), (2, 1));
        let (_, text) = &calls[0].expressions[0];
        let id = |name: &str| calls[0].metrics[&(metric(name), 1)].0.clone();
        assert_eq!(
            *text,
            format!("100 * FILL({}, 0) / {}", id("errors"), id("requests"))
        );
    }

    #[test]
    fn no_call_has_more_than_500_queries_and_no_expression_is_torn() {
        let all = (0..400).map(|number| {
            let (one, other) = (format!("a{number}"), format!("b{number}"));
            let inputs = [("a", one.as_str()), ("b", other.as_str())];
            (query(Some("a / b"), &inputs), minutes(5))
        });
        let calls = pack(&all.collect());
        // Each expression takes three queries, so 166 expressions fit into a call.
        assert_eq!(calls.len(), 3);
        for call in &calls {
            assert!(call.size() <= QUERIES_PER_CALL);
            assert_eq!(call.queries().len(), call.size());
            assert_eq!(call.metrics.len(), 2 * call.expressions.len());
        }
    }

    #[test]
    fn long_ranges_do_not_share_a_call_with_too_many_others() {
        let all = (0..500).map(|number| {
            let name = format!("a{number}");
            let back = if number < 10 { 1_500 } else { 5 };
            (query(None, &[("m", name.as_str())]), minutes(back))
        });
        let calls = pack(&all.collect());
        assert_eq!(calls.len(), 2);
        for call in calls {
            assert!(call.points <= POINTS_PER_CALL);
        }
    }
}
