//! The metric gates of a plan. `plan_file` has resolved presets and what several gates share, so every gate here names
//! all series that it needs.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::gate::{Bound, GateId, GateKind, Unit};
use super::number::Number;
use super::sequential::Test;
use crate::account::Account;
use crate::shared::Shared;

/// All gates of a plan other than alarms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Metrics with bounds. A metric beyond its bound reverts the cutover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricGate>,
    /// The check that the traffic follows the weights, and that there is enough of it. It holds the next step, and
    /// never reverts. `None` if the plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficGate>,
    /// The comparison of the new side with the old one. It reverts the cutover if the new side is worse. `None` if the
    /// plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<RegressionGate>,
    /// Metrics that must not climb toward a limit. They hold the next step, and never revert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trends: Vec<TrendGate>,
}

impl Measures {
    /// Returns the number of metrics that are requested in a day, which is what `CloudWatch` charges for.
    pub fn reads_a_day(&self) -> u64 {
        /// A metric with its account and region, and its period in minutes.
        type MetricRead<'a> = (Option<&'a Account>, Option<&'a String>, &'a Metric, u16);
        let mut reads: BTreeMap<MetricRead<'_>, u64> = BTreeMap::new();
        for (query, every_mins) in self.queries() {
            let mine = 24 * 60 / u64::from(every_mins.max(1));
            // `CloudWatch` charges for the inputs of an expression, and not for the expression itself.
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

    /// Returns true if the plan watches only alarms.
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
    /// The metric's name, for example `RequestCount`.
    pub metric: String,
    /// All dimensions of the metric, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// The statistic, for example `Sum`, `Average`, `p99` or `TC(0.8:)`.
    pub stat: String,
}

/// A series that is read. Clones share it, because it is a key in every round.
pub type Query = Shared<Series>;

/// One series: a statistic of a metric, or metric math over several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Series {
    /// The region that the series is read in. `None` means the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account that the series is read in. `None` means the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The metric math over the inputs. `None` means the only input itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The metrics, by their names in the expression. At least one.
    pub inputs: BTreeMap<String, Metric>,
    /// The length of a datapoint, in whole minutes, 1 to 60.
    pub period_mins: u16,
}

impl Series {
    /// Returns the length of a datapoint.
    pub fn period(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.period_mins.max(1)))
    }
}

/// How one side is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Each datapoint of one series, multiplied by a factor.
    Series {
        /// The series whose datapoints are multiplied.
        query: Query,
        /// The factor for each datapoint, for example 1,000 for response times that come in seconds.
        times: Number,
    },
    /// Failed requests in percent of all requests. Both are sums over several series. A count without a datapoint is
    /// zero, and a period without requests has no rate.
    Rate {
        /// The series that count failed requests.
        errors: Vec<Query>,
        /// The series that count all requests, including the failed ones.
        requests: Vec<Query>,
    },
}

impl Measure {
    /// Returns all series that this measurement needs.
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
    /// The gate's name in the plan.
    pub name: String,
    /// How the new side is measured.
    pub new: Measure,
    /// How the old side is measured, to find values that the new side does not cause because they are as bad there.
    /// `None` if it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Measure>,
    /// The series that count the new side's requests. Without requests there is nothing to judge. Empty if they are not
    /// counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Query>,
    /// The bound that the values must not cross.
    pub bound: Bound,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// The number of datapoints beyond the bound that make the gate fail (M), at least 1.
    pub points: u16,
    /// The number of last datapoints that are judged together (N), M to 60.
    pub of: u16,
    /// The length of a datapoint in minutes, 1 to 60. Also the time between two reads.
    pub every_mins: u16,
    /// The number of requests that a datapoint of a rate must have to prove something by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_requests: u64,
    /// True if the gate passes when there is no data at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_data_passes: bool,
    /// The number of minutes by which datapoints arrive late, 0 to 60. The window ends that much earlier.
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
    /// Returns the gate's ID.
    pub fn id(&self) -> GateId {
        GateId::of(GateKind::Metric, &self.name)
    }

    /// Returns the time by which datapoints arrive late.
    pub fn delay(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.delay_mins))
    }

    /// Returns the length of a datapoint.
    pub fn period(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.every_mins.max(1)))
    }

    /// Returns the length of the window: N datapoints.
    pub fn window(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.of.max(1)) * i64::from(self.every_mins.max(1)))
    }
}

/// The series that count one side's requests and failed requests. Each count is a sum over several series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The series that count all requests.
    pub requests: Vec<Query>,
    /// The series that count failed requests.
    pub errors: Vec<Query>,
}

impl Counted {
    /// The series of both counts.
    pub fn queries(&self) -> Vec<&Query> {
        self.requests.iter().chain(&self.errors).collect()
    }
}

/// The check that the traffic follows the weights, and that there is enough of it to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficGate {
    /// The series that count the new side's requests.
    pub new: Vec<Query>,
    /// The series that count the old side's requests.
    pub old: Vec<Query>,
    /// The number of requests that the new side must have had since the step's bake began before the gate passes.
    pub min_requests: u64,
    /// How far the observed share may be from the intended one, in percent of the intended one.
    pub share_within: Number,
    /// The number of minutes between two reads.
    pub every_mins: u16,
}

/// The name of the traffic gate.
pub const TRAFFIC: &str = "traffic";
/// The name of the gate that compares both sides.
pub const REGRESSION: &str = "regression";

impl TrafficGate {
    /// Returns the ID of the traffic gate.
    pub fn id() -> GateId {
        GateId::of(GateKind::Traffic, TRAFFIC)
    }
}

/// The comparison of the new side with the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegressionGate {
    /// How the new side's requests are counted.
    pub new: Counted,
    /// How the old side's requests are counted.
    pub old: Counted,
    /// The statistical test: how many times as often the new side may fail, and how rarely a healthy one may be
    /// reverted.
    pub test: Test,
    /// The response time above which a request counts as failed too, in milliseconds. `None` if slow requests do not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over_ms: Option<Number>,
    /// The number of minutes between two reads.
    pub every_mins: u16,
}

impl RegressionGate {
    /// Returns the ID of the gate that compares both sides.
    pub fn id() -> GateId {
        GateId::of(GateKind::Regression, REGRESSION)
    }
}

/// The check that a metric of the new side does not climb toward its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendGate {
    /// The gate's name in the plan.
    pub name: String,
    /// The series. Its datapoints are [`TREND_PERIOD_MINS`] long.
    pub query: Query,
    /// The factor by which each datapoint is multiplied.
    pub times: Number,
    /// The series that count the new side's requests. A metric that climbs with the requests does not climb forever.
    /// Empty if they are not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Query>,
    /// The value that the metric must not reach, for example a full memory or queue.
    pub limit: Number,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// The time within which the limit must be reached for a climb to count.
    pub within: SignedDuration,
}

/// The length of a datapoint of a trend, in minutes. Also the time between two reads.
pub const TREND_PERIOD_MINS: u16 = 5;

impl TrendGate {
    /// Returns the gate's ID.
    pub fn id(&self) -> GateId {
        GateId::of(GateKind::Trend, &self.name)
    }
}
