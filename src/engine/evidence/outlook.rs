//! When each gate could first judge each step, if as many requests come as before the start.

use jiff::{SignedDuration, Timestamp};

use super::gate::GateId;
use super::least::errors_within;
use super::number::Number;
use super::plan::{Measure, Measures, MetricGate, Query, RegressionGate, TrafficGate};
use super::reading::{COMPLETE_AFTER, Readings};
use super::sequential::Side;
use super::sequential::fixed::{float, natural};
use super::tally::{looks, read_over, sum};
use super::trend::{LOAD_UNKNOWN_MIN, LOOKED_AT_MIN};
use crate::engine::plan::Plan;

/// What later than this is to come is not foreseen.
const FORESEEN_MAX_MINS: f64 = 90.0 * 24.0 * 60.0;

/// What is to be expected of a plan's gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The requests of both sides in a minute, on average over the time that was read.
    pub a_minute: Number,
    /// Each gate of each step, in the plan's order.
    pub gates: Vec<GateOutlook>,
}

/// When one gate could first judge one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateOutlook {
    /// The step, from 1.
    pub step: u16,
    /// The gate.
    pub gate: GateId,
    /// How many requests of the new side it needs; none where it counts none.
    pub needed: Option<u64>,
    /// In how many minutes it needs them; none: however long that takes.
    pub over_mins: Option<u32>,
    /// How many come in that time; none where it takes as long as it takes.
    pub expected: Option<u64>,
    /// More errors than this take the traffic back although there are too few requests; none where nothing does.
    pub errors_show: Option<u64>,
    /// How long after the beginning of the bake it can judge; none: at this step's share it cannot.
    pub after: Option<SignedDuration>,
}

impl GateOutlook {
    /// Whether the bake is over before the gate can judge, if it ever can.
    pub fn is_too_late(&self, plan: &Plan) -> bool {
        let Some(step) = plan.step(self.step) else {
            return false;
        };
        self.after.is_none_or(|after| after > step.bake)
    }
}

/// What is to be expected of the gates, from what was read of both sides before the start. None where nothing counts the
/// requests of the old side, or none came.
pub fn outlook(plan: &Plan, readings: &Readings) -> Option<Outlook> {
    let measures = &plan.gates.measures;
    let counted = counted(measures)?;
    let range = read_over(&counted, readings)?;
    let mins = range.1.duration_since(range.0).as_secs_f64() / 60.0;
    let a_minute = sum(&counted, readings, range) / mins;
    if !(a_minute > 0.0 && a_minute.is_finite()) {
        return None;
    }
    let mut gates = Vec::new();
    for (number, step) in (1_u16..).zip(&plan.steps) {
        let share = step.pair.share().unwrap_or(step.share).as_percent() / 100.0;
        let of_new = a_minute * share;
        let of_metrics = measures.metrics.iter();
        gates.extend(of_metrics.map(|gate| of_metric(gate, number, of_new)));
        if let Some(gate) = &measures.regression {
            gates.extend(of_regression(
                gate,
                (number, share),
                of_new,
                (readings, range),
            ));
        }
        if let Some(gate) = &measures.traffic {
            gates.push(of_traffic(gate, number, of_new));
        }
        gates.extend(measures.trends.iter().map(|gate| {
            let counts = !gate.requests.is_empty();
            let after = if counts {
                LOOKED_AT_MIN
            } else {
                LOAD_UNKNOWN_MIN
            };
            at_once(number, gate.id(), after)
        }));
    }
    Some(Outlook {
        a_minute: Number::rounded(a_minute)?,
        gates,
    })
}

/// What counts the requests of both sides; none where nothing counts those of the old one.
fn counted(measures: &Measures) -> Option<Vec<Query>> {
    let both = |new: &[Query], old: &[Query]| Some(new.iter().chain(old).cloned().collect());
    if let Some(gate) = &measures.traffic {
        return both(&gate.new, &gate.old);
    }
    if let Some(gate) = &measures.regression {
        return both(&gate.new.requests, &gate.old.requests);
    }
    measures
        .metrics
        .iter()
        .find_map(|gate| match (&gate.new, &gate.old) {
            (Measure::Rate { requests: new, .. }, Some(Measure::Rate { requests: old, .. })) => {
                both(new, old)
            }
            (Measure::Rate { .. } | Measure::Series { .. }, _) => None,
        })
}

/// A gate that needs no requests.
fn at_once(step: u16, gate: GateId, after: SignedDuration) -> GateOutlook {
    GateOutlook {
        step,
        gate,
        needed: None,
        over_mins: None,
        expected: None,
        errors_show: None,
        after: Some(after + COMPLETE_AFTER),
    }
}

/// A window of enough requests, or of datapoints alone.
fn of_metric(gate: &MetricGate, step: u16, of_new: f64) -> GateOutlook {
    let window = gate.window() + gate.delay();
    let all = at_once(step, gate.id(), window);
    match &gate.new {
        Measure::Rate { .. } if gate.min_requests > 0 => {
            let mins = u32::from(gate.of.max(1)) * u32::from(gate.every_mins.max(1));
            let expected = natural(of_new * f64::from(mins));
            GateOutlook {
                needed: Some(gate.min_requests),
                over_mins: Some(mins),
                expected: Some(expected),
                errors_show: Some(errors_within(gate.every_mins)),
                after: all.after.filter(|_| expected >= gate.min_requests),
                ..all
            }
        }
        Measure::Rate { .. } | Measure::Series { .. } => all,
    }
}

/// So many requests since the bake began.
fn of_traffic(gate: &TrafficGate, step: u16, of_new: f64) -> GateOutlook {
    GateOutlook {
        needed: Some(gate.min_requests),
        after: takes(gate.min_requests, of_new),
        ..at_once(step, TrafficGate::id(), SignedDuration::ZERO)
    }
}

/// So many requests since the cutover began. No step is taken before, so that it is the first step that waits.
fn of_regression(
    gate: &RegressionGate,
    (step, share): (u16, f64),
    of_new: f64,
    (readings, range): (&Readings, (Timestamp, Timestamp)),
) -> Option<GateOutlook> {
    if step > 1 {
        return None;
    }
    let looks = looks(&gate.new, &gate.old, readings, range);
    let mut old = Side::default();
    for look in &looks {
        old.requests = old.requests.saturating_add(look.old_requests);
        old.errors = old.errors.saturating_add(look.old_errors);
    }
    let evidence = gate.test.evidence().with_all(&looks);
    let needed = gate.test.requests_needed(&evidence, share, old);
    Some(GateOutlook {
        needed,
        after: needed.and_then(|needed| takes(needed, of_new)),
        ..at_once(step, RegressionGate::id(), SignedDuration::ZERO)
    })
}

/// How long so many requests take, and until they can be read.
fn takes(requests: u64, a_minute: f64) -> Option<SignedDuration> {
    let mins = float(requests) / a_minute;
    if mins > FORESEEN_MAX_MINS || !mins.is_finite() {
        return None;
    }
    let mins = i64::try_from(natural(mins.ceil())).ok()?;
    Some(SignedDuration::from_mins(mins) + COMPLETE_AFTER)
}
