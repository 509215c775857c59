//! The gates of a plan that are judged from metrics. Presets and shares of a side are resolved by `plan_file`: here every
//! gate names the series that it needs.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::gate::{Bound, GateId, GateKind, Unit};
use super::number::Number;
use super::sequential::Test;
use crate::engine::account::Account;
use crate::engine::shared::Shared;

/// Everything that is watched besides alarms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// Metrics with bounds. Beyond: revert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricGate>,
    /// Did the traffic move, and is there enough of it? Never a revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficGate>,
    /// Is the new side worse than the old one? Worse: revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<RegressionGate>,
    /// Does something climb without end? Holds the next step, never a revert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trends: Vec<TrendGate>,
}

impl Measures {
    /// How many metrics are asked for in a day, each time counted: what `CloudWatch` charges by.
    pub fn reads_a_day(&self) -> u64 {
        /// A metric, where it is read, and its period.
        type Read<'a> = (Option<&'a Account>, Option<&'a String>, &'a Metric, u16);
        let mut reads: BTreeMap<Read<'_>, u64> = BTreeMap::new();
        for (query, every_mins) in self.queries() {
            let mine = 24 * 60 / u64::from(every_mins.max(1));
            // The inputs of an expression are charged for, the expression itself is not.
            for metric in query.inputs.values() {
                let place = (query.account.as_ref(), query.region.as_ref());
                let key = (place.0, place.1, metric, query.period_mins);
                let known = reads.entry(key).or_default();
                *known = mine.max(*known);
            }
        }
        reads.values().sum()
    }

    /// Every series that is asked for, and how often in minutes.
    pub fn queries(&self) -> impl Iterator<Item = (&Query, u16)> {
        let metrics = self.metrics.iter().flat_map(|gate| {
            let old = gate.old.iter().flat_map(Measure::queries);
            let all = gate.new.queries().chain(old).chain(&gate.requests);
            all.map(|query| (query, gate.every_mins))
        });
        let traffic = self.traffic.iter().flat_map(|gate| {
            let all = gate.new.iter().chain(&gate.old);
            all.map(|query| (query, gate.every_mins))
        });
        let compared = self.regression.iter().flat_map(|gate| {
            let sides = [&gate.new, &gate.old].into_iter();
            let all = sides.flat_map(|side| side.requests.iter().chain(&side.errors));
            all.map(|query| (query, gate.every_mins))
        });
        let trends = self.trends.iter().flat_map(|gate| {
            let all = std::iter::once(&gate.query).chain(&gate.requests);
            all.map(|query| (query, TREND_PERIOD_MINS))
        });
        metrics.chain(traffic).chain(compared).chain(trends)
    }

    /// Whether only alarms are watched.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
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

/// A series that is asked for. The same one is a key in every round, so that its copies are shared.
pub type Query = Shared<Series>;

/// One series: a statistic of a metric, or metric math over several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Series {
    /// The region; none means the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account that it is read in; none means the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Metric math over the inputs; none: the only input itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The metrics, by what the expression calls them; at least one.
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

/// What is measured of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A series as it is.
    Series {
        /// Which.
        query: Query,
        /// Multiplies each datapoint: response times come in seconds.
        times: Number,
    },
    /// Wrong requests in percent of all of them. Both are sums over their series; where a count has no datapoint it is
    /// zero, and a period without requests has no rate.
    Rate {
        /// The wrong ones.
        errors: Vec<Query>,
        /// All of them, the wrong ones included.
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
    /// What people call it.
    pub name: String,
    /// The new side.
    pub new: Measure,
    /// The same of the old side, where it is known: what is as bad there is not the new side's doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Measure>,
    /// The new side's requests, where they are known: without any there is nothing to judge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Query>,
    /// What must not be crossed.
    pub bound: Bound,
    /// What is counted.
    #[serde(default)]
    pub unit: Unit,
    /// How many datapoints beyond the bound make it fail (M), at least 1.
    pub points: u16,
    /// Out of how many (N), M to 60.
    pub of: u16,
    /// How long a datapoint is, and so how often it is read, in minutes, 1 to 60.
    pub every_mins: u16,
    /// A rate of fewer requests than this says nothing by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_requests: u64,
    /// Whether having no data at all is as good as being within the bound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_data_passes: bool,
    /// How many minutes late its datapoints arrive, 0 to 60: what is looked back over ends that much earlier.
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

    /// How late its datapoints arrive.
    pub fn delay(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.delay_mins))
    }

    /// The length of a datapoint.
    pub fn period(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.every_mins.max(1)))
    }

    /// What it looks back over.
    pub fn window(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.of.max(1)) * i64::from(self.every_mins.max(1)))
    }
}

/// One side's requests, and those of them that went wrong, each as a sum over series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// All requests.
    pub requests: Vec<Query>,
    /// The wrong ones.
    pub errors: Vec<Query>,
}

/// Did the traffic move, and is there enough of it to judge by?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficGate {
    /// The new side's requests.
    pub new: Vec<Query>,
    /// The old side's.
    pub old: Vec<Query>,
    /// How many requests the new side must have had in a step before the step's bake counts.
    pub min_requests: u64,
    /// How far the observed share may be from the intended one, in percent of it.
    pub share_within: Number,
    /// How often it is read, in minutes.
    pub every_mins: u16,
}

/// What the traffic gate is called.
pub const TRAFFIC: &str = "traffic";
/// What the comparison of both sides is called.
pub const REGRESSION: &str = "regression";

impl TrafficGate {
    /// The gate's name among all gates.
    pub fn id() -> GateId {
        GateId::of(GateKind::Traffic, TRAFFIC)
    }
}

/// Is the new side worse than the old one?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegressionGate {
    /// The new side.
    pub new: Counted,
    /// The old side.
    pub old: Counted,
    /// How many times as often the new side may fail, and how seldom a healthy one may be taken back.
    pub test: Test,
    /// Above how many milliseconds an answer counts as wrong too; none: however slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over_ms: Option<Number>,
    /// How often it is read, in minutes.
    pub every_mins: u16,
}

impl RegressionGate {
    /// The gate's name among all gates.
    pub fn id() -> GateId {
        GateId::of(GateKind::Regression, REGRESSION)
    }
}

/// Does something on the new side climb without end?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendGate {
    /// What people call it.
    pub name: String,
    /// What is measured; its datapoints are [`TREND_PERIOD_MINS`] long.
    pub query: Query,
    /// Multiplies each datapoint.
    pub times: Number,
    /// The new side's requests, where they are known: what climbs with them climbs not without end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Query>,
    /// Where it ends: memory is full, a queue is.
    pub limit: Number,
    /// What is counted.
    #[serde(default)]
    pub unit: Unit,
    /// A climb that reaches the limit later than this is let be.
    pub within: SignedDuration,
}

/// How long a datapoint of a trend is, in minutes, and how often trends are read.
pub const TREND_PERIOD_MINS: u16 = 5;

impl TrendGate {
    /// The gate's name among all gates.
    pub fn id(&self) -> GateId {
        GateId::of(GateKind::Trend, &self.name)
    }
}
