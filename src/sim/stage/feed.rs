//! What `CloudWatch` is told of a rehearsed service, for the series that the plan's gates ask for.
//!
//! A metric is told by its name what it measures: those of load balancers and of Container Insights are known, others are
//! taken for what they sound like.

use std::collections::BTreeSet;

use crate::engine::evidence::plan::{Counted, Measure, Metric, Query};
use crate::engine::plan::Plan;
use crate::sim::cloudwatch::CloudWatch;
use crate::sim::cloudwatch::metrics::{MetricKey, Samples};
use crate::sim::traffic::{MINUTE, Sample};
use crate::sim::world::DEFAULT_REGION;

/// What a metric tells of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tells {
    Requests,
    /// Told only where there are some.
    Errors,
    /// Response times, in so many parts of a second.
    Latency {
        per_second: u32,
    },
    /// Memory in percent.
    Memory,
    /// Processor in percent.
    Cpu,
    /// Always the same.
    Constant(u32),
    /// Never anything.
    Nothing,
}

/// One metric of one side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    region: String,
    key: MetricKey,
    tells: Tells,
    /// New is 0, old is 1.
    side: usize,
}

/// All metrics of one cutover.
#[derive(Debug, Clone, Default)]
pub(super) struct Feed {
    told: BTreeSet<Told>,
}

/// The share of the samples at each tenth of a distribution of response times: `z` of a normal one, and how much of all.
const TENTHS: [f64; 10] = [
    -1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645,
];
/// How response times spread: the logarithm's standard deviation.
const SPREAD: f64 = 0.5;
/// The 99th percentile of a normal distribution.
const Z99: f64 = 2.326;

impl Feed {
    /// The metrics that a plan's gates ask for.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut feed = Self::default();
        let measures = &plan.gates.measures;
        for gate in &measures.metrics {
            feed.measure(&gate.new, 0);
            gate.old.iter().for_each(|old| feed.measure(old, 1));
            gate.requests.iter().for_each(|query| feed.query(query, 0));
        }
        if let Some(gate) = &measures.traffic {
            gate.new.iter().for_each(|query| feed.query(query, 0));
            gate.old.iter().for_each(|query| feed.query(query, 1));
        }
        if let Some(gate) = &measures.regression {
            feed.counted(&gate.new, 0);
            feed.counted(&gate.old, 1);
        }
        for gate in &measures.trends {
            feed.query(&gate.query, 0);
            gate.requests.iter().for_each(|query| feed.query(query, 0));
        }
        feed
    }

    fn measure(&mut self, measure: &Measure, side: usize) {
        measure.queries().for_each(|query| self.query(query, side));
    }

    fn counted(&mut self, counted: &Counted, side: usize) {
        let queries = counted.requests.iter().chain(&counted.errors);
        queries.for_each(|query| self.query(query, side));
    }

    fn query(&mut self, query: &Query, side: usize) {
        for metric in query.inputs.values() {
            let key = MetricKey {
                namespace: metric.namespace.clone(),
                name: metric.metric.clone(),
                dimensions: metric.dimensions.clone(),
            };
            let known = self.told.iter().any(|told| told.key == key);
            if !known {
                self.told.insert(Told {
                    region: query.region.as_deref().unwrap_or(DEFAULT_REGION).to_owned(),
                    key,
                    tells: tells(metric),
                    side,
                });
            }
        }
    }

    /// Tells of one minute.
    pub(super) fn tell(&self, model: &mut CloudWatch, sample: &Sample) {
        let Ok(now) = jiff::Timestamp::from_second(sample.from + MINUTE) else {
            return;
        };
        for told in &self.told {
            if let Some(samples) = samples(told, sample) {
                let region = model.region(&told.region, now);
                region.record(&told.key, sample.from, &samples);
            }
        }
    }
}

fn samples(told: &Told, sample: &Sample) -> Option<Samples> {
    let (metrics, bearing) = (&sample.metrics[told.side], &sample.sides[told.side]);
    let mut samples = Samples::default();
    match told.tells {
        Tells::Requests if metrics.requests > 0.0 => samples.add(metrics.requests, 1.0),
        Tells::Errors if metrics.failed > 0.0 => samples.add(metrics.failed, 1.0),
        Tells::Latency { per_second } if metrics.requests > 0.0 => {
            let p99 = metrics.p99_ms / 1000.0 * f64::from(per_second);
            let median = p99 / (Z99 * SPREAD).exp();
            for z in TENTHS {
                samples.add(median * (z * SPREAD).exp(), metrics.requests * 0.098);
            }
            samples.add(p99, metrics.requests * 0.015);
            samples.add(p99 * 1.3, metrics.requests * 0.005);
        }
        Tells::Memory => samples.add(100.0 * bearing.memory, 1.0),
        Tells::Cpu => samples.add(35.0, 1.0),
        Tells::Constant(value) => samples.add(f64::from(value), 1.0),
        Tells::Requests | Tells::Errors | Tells::Latency { .. } | Tells::Nothing => return None,
    }
    Some(samples)
}

/// What a metric tells, by its name.
fn tells(metric: &Metric) -> Tells {
    match metric.metric.as_str() {
        "RequestCount" | "NewFlowCount" => return Tells::Requests,
        "HTTPCode_Target_5XX_Count" | "TCP_Target_Reset_Count" => return Tells::Errors,
        // The cluster fails, and never the load balancer before it.
        "HTTPCode_ELB_5XX_Count" | "TCP_ELB_Reset_Count" => return Tells::Nothing,
        "TargetResponseTime" => return Tells::Latency { per_second: 1 },
        "MemoryReserved" | "CpuReserved" => return Tells::Constant(100),
        _ => {}
    }
    let name = metric.metric.to_lowercase();
    let sounds = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if sounds(&["memory"]) {
        Tells::Memory
    } else if sounds(&["cpu"]) {
        Tells::Cpu
    } else if sounds(&["restart"]) {
        Tells::Constant(0)
    } else if sounds(&["running", "healthy"]) {
        Tells::Constant(4)
    } else if sounds(&["5xx", "error", "fail", "fault", "reset"]) {
        Tells::Errors
    } else if sounds(&["latency", "duration", "responsetime", "response_time"]) {
        Tells::Latency { per_second: 1000 }
    } else {
        Tells::Requests
    }
}
