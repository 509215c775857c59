//! The metrics of a rehearsed service, recorded in the simulated `CloudWatch` for the plan's gates.
//!
//! The name of a metric decides what it measures. The metrics of load balancers and of Container Insights are known.
//! For other metrics, words in the name decide.

use std::collections::BTreeSet;

use crate::cloudwatch::CloudWatch;
use crate::cloudwatch::metrics::MetricKey;
use crate::cloudwatch::statistic::Samples;
use crate::traffic::{MINUTE, Sample};
use crate::world::DEFAULT_REGION;
use cutover_engine::evidence::plan::{Metric, Query};
use cutover_engine::plan::Plan;

/// The quantity that a metric measures on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Quantity {
    Requests,
    /// Failed requests; no datapoint if there are none.
    Errors,
    /// Response times. `per_second` units are a second: 1 for seconds, 1,000 for milliseconds.
    Latency {
        per_second: u32,
    },
    /// Memory in percent.
    Memory,
    /// Use of the processor in percent.
    Cpu,
    /// The same number in each minute.
    Constant(u32),
    /// No datapoints.
    Nothing,
}

/// One metric of one side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FedMetric {
    region: String,
    key: MetricKey,
    quantity: Quantity,
    /// The index of the side: 0 is new, 1 is old.
    side: usize,
}

/// All metrics that one cutover's gates read.
#[derive(Debug, Clone, Default)]
pub(super) struct Feed {
    metrics: BTreeSet<FedMetric>,
}

/// The median of each tenth of a normal distribution, as `z` values. Response times are sampled there.
const TENTHS: [f64; 10] = [
    -1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645,
];
/// The standard deviation of the logarithm of response times.
const SPREAD: f64 = 0.5;
/// The `z` value of the 99th percentile of a normal distribution.
const Z99: f64 = 2.326;

impl Feed {
    /// Returns the metrics that a plan's gates read.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut feed = Self::default();
        for gate in plan.gates.measures.gates() {
            let (new, old) = gate.sides();
            feed.queries(new, 0);
            feed.queries(old, 1);
        }
        feed
    }

    /// Adds the metrics of several queries.
    fn queries<'a>(&mut self, queries: impl IntoIterator<Item = &'a Query>, side: usize) {
        for query in queries {
            self.query(query, side);
        }
    }

    /// Adds the metrics of one query.
    fn query(&mut self, query: &Query, side: usize) {
        for metric in query.inputs.values() {
            let key = MetricKey {
                namespace: metric.namespace.clone(),
                name: metric.metric.clone(),
                dimensions: metric.dimensions.clone(),
            };
            // A metric that both sides name belongs to the side that is added first.
            let known = self.metrics.iter().any(|known| known.key == key);
            if !known {
                self.metrics.insert(FedMetric {
                    region: query.region.as_deref().unwrap_or(DEFAULT_REGION).to_owned(),
                    key,
                    quantity: quantity_of(metric),
                    side,
                });
            }
        }
    }

    /// Records the metrics of one minute in `CloudWatch`.
    pub(super) fn record(&self, model: &mut CloudWatch, sample: &Sample) {
        let Ok(now) = jiff::Timestamp::from_second(sample.from + MINUTE) else {
            return;
        };
        for metric in &self.metrics {
            if let Some(samples) = samples_of(metric, sample) {
                let region = model.region(&metric.region, now);
                region.record(&metric.key, sample.from, &samples);
            }
        }
    }
}

/// Returns a metric's samples of one minute. `None` if the minute has no datapoint.
fn samples_of(metric: &FedMetric, sample: &Sample) -> Option<Samples> {
    let (metrics, bearing) = (&sample.metrics[metric.side], &sample.sides[metric.side]);
    let mut samples = Samples::default();
    match metric.quantity {
        Quantity::Requests if metrics.requests > 0.0 => samples.add(metrics.requests, 1.0),
        Quantity::Errors if metrics.failed > 0.0 => samples.add(metrics.failed, 1.0),
        Quantity::Latency { per_second } if metrics.requests > 0.0 => {
            let p99 = metrics.p99_ms / 1000.0 * f64::from(per_second);
            let median = p99 / (Z99 * SPREAD).exp();
            for z in TENTHS {
                samples.add(median * (z * SPREAD).exp(), metrics.requests * 0.098);
            }
            samples.add(p99, metrics.requests * 0.015);
            samples.add(p99 * 1.3, metrics.requests * 0.005);
        }
        Quantity::Memory => samples.add(100.0 * bearing.memory, 1.0),
        Quantity::Cpu => samples.add(35.0, 1.0),
        Quantity::Constant(value) => samples.add(f64::from(value), 1.0),
        Quantity::Requests | Quantity::Errors | Quantity::Latency { .. } | Quantity::Nothing => {
            return None;
        }
    }
    Some(samples)
}

/// Returns the quantity that a metric measures, by the metric's name.
fn quantity_of(metric: &Metric) -> Quantity {
    match metric.metric.as_str() {
        "RequestCount" | "NewFlowCount" => return Quantity::Requests,
        "HTTPCode_Target_5XX_Count" | "TCP_Target_Reset_Count" => return Quantity::Errors,
        // The simulated load balancer itself never fails. Only the cluster behind it fails.
        "HTTPCode_ELB_5XX_Count" | "TCP_ELB_Reset_Count" => return Quantity::Nothing,
        "TargetResponseTime" => return Quantity::Latency { per_second: 1 },
        "MemoryReserved" | "CpuReserved" => return Quantity::Constant(100),
        _ => {}
    }
    let name = metric.metric.to_lowercase();
    if has_any(&name, &["memory"]) {
        Quantity::Memory
    } else if has_any(&name, &["cpu"]) {
        Quantity::Cpu
    } else if has_any(&name, &["restart"]) {
        Quantity::Constant(0)
    } else if has_any(&name, &["running", "healthy"]) {
        Quantity::Constant(4)
    } else if has_any(&name, &["5xx", "error", "fail", "fault", "reset"]) {
        Quantity::Errors
    } else if has_any(
        &name,
        &["latency", "duration", "responsetime", "response_time"],
    ) {
        Quantity::Latency { per_second: 1000 }
    } else {
        Quantity::Requests
    }
}

/// Returns true if the name contains one of the words.
fn has_any(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.contains(word))
}
