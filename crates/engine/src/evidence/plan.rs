//! The metric gates of a plan. `plan_file` resolves presets and shares of a side: here every gate names the series that
//! it needs.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::gate::{Bound, GateId, GateKind, Unit};
use super::number::Number;
use super::sequential::Test;
use crate::account::Account;
use crate::shared::Shared;

/// All gates besides alarms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Metrics with bounds. A metric beyond its bound reverts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricGate>,
    /// Checks that the traffic moved, and that there is enough of it. Holds the next step, and never reverts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficGate>,
    /// Compares the new side with the old one. Reverts if the new side is worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<RegressionGate>,
    /// Metrics that must not climb toward a limit. Holds the next step, and never reverts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trends: Vec<TrendGate>,
}

impl Measures {
    /// The number of metrics requested in a day, which is what `CloudWatch` charges for.
    pub fn reads_a_day(&self) -> u64 {
        /// A metric, its account and region, and its period.
        type MetricRead<'a> = (Option<&'a Account>, Option<&'a String>, &'a Metric, u16);
        let mut reads: BTreeMap<MetricRead<'_>, u64> = BTreeMap::new();
        for (query, every_mins) in self.queries() {
            let mine = 24 * 60 / u64::from(every_mins.max(1));
            // `CloudWatch` charges for the inputs of an expression, not for the expression itself.
            for metric in query.inputs.values() {
                let place = (query.account.as_ref(), query.region.as_ref());
                let key = (place.0, place.1, metric, query.period_mins);
                let known = reads.entry(key).or_default();
                *known = mine.max(*known);
            }
        }
        reads.values().sum()
    }

    /// All gates, in the order in which they are judged and shown.
    pub fn gates(&self) -> Vec<MeasuredGate<'_>> {
        let mut gates = Vec::new();
        gates.extend(self.metrics.iter().map(MeasuredGate::Metric));
        gates.extend(self.regression.iter().map(MeasuredGate::Regression));
        gates.extend(self.traffic.iter().map(MeasuredGate::Traffic));
        gates.extend(self.trends.iter().map(MeasuredGate::Trend));
        gates
    }

    /// Removes the gates for which `keep` returns false.
    pub fn retain(&mut self, keep: impl Fn(&GateId) -> bool) {
        self.metrics.retain(|gate| keep(&gate.id()));
        if !keep(&RegressionGate::id()) {
            self.regression = None;
        }
        if !keep(&TrafficGate::id()) {
            self.traffic = None;
        }
        self.trends.retain(|gate| keep(&gate.id()));
    }

    /// The lengths of time that the plan gives to gates.
    pub fn lengths(&self) -> Vec<SignedDuration> {
        self.trends.iter().map(|gate| gate.within).collect()
    }

    /// All series that are read, each with the minutes between two reads.
    pub fn queries(&self) -> Vec<(&Query, u16)> {
        let mut queries = Vec::new();
        for gate in self.gates() {
            let (new, old) = gate.sides();
            for query in new.into_iter().chain(old) {
                queries.push((query, gate.every_mins()));
            }
        }
        queries
    }

    /// Returns true if only alarms are watched.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One gate besides alarms. Code that treats all gates alike asks this type, so that a new kind has its answers here and in
/// `kinds`, and nowhere else.
#[derive(Debug, Clone, Copy)]
pub enum MeasuredGate<'plan> {
    /// A metric with a bound.
    Metric(&'plan MetricGate),
    /// The comparison of the new side with the old one.
    Regression(&'plan RegressionGate),
    /// The check that the traffic moved.
    Traffic(&'plan TrafficGate),
    /// The check that a metric does not climb toward its limit.
    Trend(&'plan TrendGate),
}

impl<'plan> MeasuredGate<'plan> {
    /// The gate's name among all gates.
    pub fn id(self) -> GateId {
        match self {
            Self::Metric(gate) => gate.id(),
            Self::Regression(_) => RegressionGate::id(),
            Self::Traffic(_) => TrafficGate::id(),
            Self::Trend(gate) => gate.id(),
        }
    }

    /// The minutes between two reads.
    pub fn every_mins(self) -> u16 {
        match self {
            Self::Metric(gate) => gate.every_mins,
            Self::Regression(gate) => gate.every_mins,
            Self::Traffic(gate) => gate.every_mins,
            Self::Trend(_) => TREND_PERIOD_MINS,
        }
    }

    /// The series of the new side, and those of the old one.
    pub fn sides(self) -> (Vec<&'plan Query>, Vec<&'plan Query>) {
        match self {
            Self::Metric(gate) => {
                let new = gate.new.queries().chain(&gate.requests);
                let old = gate.old.iter().flat_map(Measure::queries);
                (new.collect(), old.collect())
            }
            Self::Regression(gate) => (gate.new.queries(), gate.old.queries()),
            Self::Traffic(gate) => (gate.new.iter().collect(), gate.old.iter().collect()),
            Self::Trend(gate) => {
                let new = std::iter::once(&gate.query).chain(&gate.requests);
                (new.collect(), Vec::new())
            }
        }
    }
}

/// A statistic of a metric.
///
/// Source: `CloudWatch` API Reference, `Metric` and `MetricStat`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Metric {
    /// The namespace, for example `AWS/ApplicationELB`.
    pub namespace: String,
    /// The metric's name.
    pub metric: String,
    /// All of its dimensions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// The statistic: `Sum`, `Average`, `p99`, `TC(0.8:)`, …
    pub stat: String,
}

/// A series that is read. It is a key in every round, so its copies are shared.
pub type Query = Shared<Series>;

/// One series: a statistic of a metric, or metric math over several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Series {
    /// The region; `None` means the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account that it is read in; `None` means the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Metric math over the inputs; `None` means the only input itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The metrics, by their names in the expression; at least one.
    pub inputs: BTreeMap<String, Metric>,
    /// The length of a datapoint, in whole minutes, 1 to 60.
    pub period_mins: u16,
}

impl Series {
    /// A datapoint's length.
    pub fn period(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.period_mins.max(1)))
    }
}

/// A measurement of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A series as it is.
    Series {
        /// The series.
        query: Query,
        /// Multiplies each datapoint: response times come in seconds.
        times: Number,
    },
    /// Failed requests in percent of all requests. Both are sums over their series; a count without a datapoint is
    /// zero, and a period without requests has no rate.
    Rate {
        /// The failed requests.
        errors: Vec<Query>,
        /// All requests, also the failed ones.
        requests: Vec<Query>,
    },
}

impl Measure {
    /// The series that it is made of.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        let (one, errors, requests) = match self {
            Self::Series { query, .. } => (Some(query), &[][..], &[][..]),
            Self::Rate { errors, requests } => (None, errors.as_slice(), requests.as_slice()),
        };
        one.into_iter().chain(errors).chain(requests)
    }
}

/// A metric with a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricGate {
    /// Its name in the plan.
    pub name: String,
    /// The new side.
    pub new: Measure,
    /// The same of the old side, if it is measured: a value that is as bad there is not caused by the new side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Measure>,
    /// The new side's requests, if they are counted: without any there is nothing to judge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Query>,
    /// The bound that must not be crossed.
    pub bound: Bound,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// The number of datapoints beyond the bound that make it fail (M), at least 1.
    pub points: u16,
    /// The number of datapoints that are looked at (N), M to 60.
    pub of: u16,
    /// The length of a datapoint, and the time between two reads, in minutes, 1 to 60.
    pub every_mins: u16,
    /// A rate with fewer requests than this proves nothing by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_requests: u64,
    /// The gate passes if there is no data at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_data_passes: bool,
    /// The minutes by which its datapoints arrive late, 0 to 60: the window ends that much earlier.
    #[serde(default, skip_serializing_if = "is_no_delay")]
    pub delay_mins: u16,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_no_delay(minutes: &u16) -> bool {
    *minutes == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl MetricGate {
    /// The gate's name among all gates.
    pub fn id(&self) -> GateId {
        GateId::of(GateKind::Metric, &self.name)
    }

    /// The time by which its datapoints arrive late.
    pub fn delay(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.delay_mins))
    }

    /// The length of a datapoint.
    pub fn period(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.every_mins.max(1)))
    }

    /// The length of its window.
    pub fn window(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.of.max(1)) * i64::from(self.every_mins.max(1)))
    }
}

/// One side's requests, and its failed requests, each as a sum over series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// All requests.
    pub requests: Vec<Query>,
    /// The failed ones.
    pub errors: Vec<Query>,
}

impl Counted {
    /// The series of both counts.
    pub fn queries(&self) -> Vec<&Query> {
        self.requests.iter().chain(&self.errors).collect()
    }
}

/// Checks that the traffic moved, and that there is enough of it to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficGate {
    /// The new side's requests.
    pub new: Vec<Query>,
    /// The old side's.
    pub old: Vec<Query>,
    /// The requests that the new side must have had in a step before the step's bake counts.
    pub min_requests: u64,
    /// How far the observed share may be from the intended one, in percent of it.
    pub share_within: Number,
    /// The minutes between two reads.
    pub every_mins: u16,
}

/// The name of the traffic gate.
pub const TRAFFIC: &str = "traffic";
/// The name of the comparison of both sides.
pub const REGRESSION: &str = "regression";

impl TrafficGate {
    /// The gate's name among all gates.
    pub fn id() -> GateId {
        GateId::of(GateKind::Traffic, TRAFFIC)
    }
}

/// Compares the new side with the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegressionGate {
    /// The new side.
    pub new: Counted,
    /// The old side.
    pub old: Counted,
    /// How many times as often the new side may fail, and how rarely a healthy one may be reverted.
    pub test: Test,
    /// The milliseconds above which an answer counts as failed too; `None` if slow answers do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over_ms: Option<Number>,
    /// The minutes between two reads.
    pub every_mins: u16,
}

impl RegressionGate {
    /// The gate's name among all gates.
    pub fn id() -> GateId {
        GateId::of(GateKind::Regression, REGRESSION)
    }
}

/// Checks that a metric of the new side does not climb toward its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendGate {
    /// Its name in the plan.
    pub name: String,
    /// The series; its datapoints are [`TREND_PERIOD_MINS`] long.
    pub query: Query,
    /// Multiplies each datapoint.
    pub times: Number,
    /// The new side's requests, if they are counted: a metric that climbs with them does not climb forever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Query>,
    /// The value that it must not reach, for example a full memory or queue.
    pub limit: Number,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// A climb that reaches the limit later than this is ignored.
    pub within: SignedDuration,
}

/// The length of a datapoint of a trend, and the time between two reads of trends, in minutes.
pub const TREND_PERIOD_MINS: u16 = 5;

impl TrendGate {
    /// The gate's name among all gates.
    pub fn id(&self) -> GateId {
        GateId::of(GateKind::Trend, &self.name)
    }
}
