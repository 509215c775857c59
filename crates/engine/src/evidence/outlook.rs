//! The outlook: when each gate can first be judged at each step, if as many requests come as before the start.

use jiff::{SignedDuration, Timestamp};

use super::counting::{looks, read_over, sum};
use super::gate::GateId;
use super::kinds::Needs;
use super::least::errors_within;
use super::number::Number;
use super::plan::{Measure, Measures, Query, RegressionGate};
use super::reading::{COMPLETE_AFTER, Readings};
use super::sequential::SideCounts;
use super::sequential::fixed::{float, natural};
use crate::plan::Plan;

/// The longest time that is predicted, in minutes.
const FORESEEN_MAX_MINS: f64 = 90.0 * 24.0 * 60.0;

/// The outlook for all metric gates of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The requests of both sides together in a minute, on average over the time that was read.
    pub a_minute: Number,
    /// Each gate at each step, in the plan's order.
    pub gates: Vec<GateOutlook>,
}

/// The outlook for one gate at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateOutlook {
    /// The number of the step, from 1.
    pub step: u16,
    /// The gate that the outlook is about.
    pub gate: GateId,
    /// The number of the new side's requests that the gate needs. `None` if it does not need requests, or if that is
    /// not known.
    pub needed: Option<u64>,
    /// The number of minutes within which the gate needs them. `None` if there is no limit.
    pub over_mins: Option<u32>,
    /// The number of requests expected in that time. `None` if there is no limit.
    pub expected: Option<u64>,
    /// The number of errors above which the gate fails even with too few requests. `None` if no number of errors is
    /// enough.
    pub errors_show: Option<u64>,
    /// The time from the beginning of the bake until the gate can be judged. `None` if it cannot be judged at this
    /// step's share.
    pub after: Option<SignedDuration>,
}

impl GateOutlook {
    /// Returns true if the bake ends before the gate can be judged, or if it can never be judged at this step.
    pub fn is_too_late(&self, plan: &Plan) -> bool {
        let Some(step) = plan.step(self.step) else {
            return false;
        };
        self.after.is_none_or(|after| after > step.bake)
    }
}

/// Returns the outlook, from readings of both sides before the start. `None` if the requests of the old side are not
/// counted, or if there were none.
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
        for gate in measures.gates() {
            let all = at_once(number, gate.id(), SignedDuration::ZERO);
            match gate.needs() {
                Needs::Time(after) => gates.push(at_once(number, gate.id(), after)),
                Needs::RequestsWithin {
                    requests,
                    mins,
                    every_mins,
                    after,
                } => {
                    let all = at_once(number, gate.id(), after);
                    gates.push(of_requests_within(
                        all,
                        requests,
                        (mins, every_mins),
                        of_new,
                    ));
                }
                Needs::RequestsInStep(requests) => gates.push(GateOutlook {
                    needed: Some(requests),
                    after: takes(requests, of_new),
                    ..all
                }),
                Needs::Comparison(gate) => {
                    // It counts from the start of the cutover, and no step is taken before, so the first step waits.
                    if number == 1 {
                        gates.push(of_comparison(gate, all, (share, of_new), (readings, range)));
                    }
                }
            }
        }
    }
    Some(Outlook {
        a_minute: Number::rounded(a_minute)?,
        gates,
    })
}

/// Returns the series that count the requests of both sides. `None` if those of the old side are not counted.
fn counted(measures: &Measures) -> Option<Vec<Query>> {
    if let Some(gate) = &measures.traffic {
        return Some(both(&gate.new, &gate.old));
    }
    if let Some(gate) = &measures.regression {
        return Some(both(&gate.new.requests, &gate.old.requests));
    }
    for gate in &measures.metrics {
        if let Measure::Rate { requests: new, .. } = &gate.new
            && let Some(Measure::Rate { requests: old, .. }) = &gate.old
        {
            return Some(both(new, old));
        }
    }
    None
}

/// Returns the series of both sides together.
fn both(new: &[Query], old: &[Query]) -> Vec<Query> {
    new.iter().chain(old).cloned().collect()
}

/// Returns the outlook for a gate that needs no requests, but `after` this time of a bake.
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

/// A rate needs enough requests in its window.
fn of_requests_within(
    all: GateOutlook,
    requests: u64,
    (mins, every_mins): (u32, u16),
    of_new: f64,
) -> GateOutlook {
    let expected = natural(of_new * f64::from(mins));
    let after = if expected >= requests {
        all.after
    } else {
        None
    };
    GateOutlook {
        needed: Some(requests),
        over_mins: Some(mins),
        expected: Some(expected),
        errors_show: Some(errors_within(every_mins)),
        after,
        ..all
    }
}

/// The comparison needs a number of requests since the cutover began.
fn of_comparison(
    gate: &RegressionGate,
    all: GateOutlook,
    (share, of_new): (f64, f64),
    (readings, range): (&Readings, (Timestamp, Timestamp)),
) -> GateOutlook {
    let looks = looks(&gate.new, &gate.old, readings, range);
    let mut old = SideCounts::default();
    for look in &looks {
        old.requests = old.requests.saturating_add(look.old_requests);
        old.errors = old.errors.saturating_add(look.old_errors);
    }
    let evidence = gate.test.evidence().with_all(&looks);
    let needed = gate.test.requests_needed(&evidence, share, old);
    GateOutlook {
        needed,
        after: needed.and_then(|needed| takes(needed, of_new)),
        ..all
    }
}

/// Returns the time until this number of requests has come and can be read. `None` if it is longer than
/// [`FORESEEN_MAX_MINS`].
fn takes(requests: u64, a_minute: f64) -> Option<SignedDuration> {
    let mins = float(requests) / a_minute;
    if mins > FORESEEN_MAX_MINS || !mins.is_finite() {
        return None;
    }
    let mins = i64::try_from(natural(mins.ceil())).ok()?;
    Some(SignedDuration::from_mins(mins) + COMPLETE_AFTER)
}
