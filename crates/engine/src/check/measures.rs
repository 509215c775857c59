//! The metric gates as the invariants see them: judged anew from the readings, without the code that decides by them.

use jiff::Timestamp;

use crate::evidence::gate::Bound;
use crate::evidence::least::errors_that_show;
use crate::evidence::plan::{Measure, MeasuredGate, MetricGate, Query, TrafficGate};
use crate::evidence::reading::{Readings, SeriesReading};
use crate::state::State;

/// The reading of one gate in this round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GateLook {
    Green,
    Red,
    Blind,
}

/// Reads a metric gate. The second value is true if it is as bad on the old side.
pub(super) fn metric(state: &State, readings: &Readings, gate: &MetricGate) -> (GateLook, bool) {
    let needed = gate.new.queries().chain(&gate.requests);
    if !all_read(needed, readings) {
        return (GateLook::Blind, false);
    }
    let watched_from = state.measured.step_from;
    // The newest window that is bad, also if it ended some minutes ago; else the newest.
    let mut ago = 0;
    let mut new = count(readings, gate, &gate.new, &gate.requests, watched_from, 0);
    for earlier in 1..=earlier_windows(state, readings, gate) {
        if new.is_bad(gate) {
            break;
        }
        let window = count(
            readings,
            gate,
            &gate.new,
            &gate.requests,
            watched_from,
            earlier,
        );
        if window.is_bad(gate) {
            (ago, new) = (earlier, window);
        }
    }
    let mut old_bad = false;
    if let Some(old) = &gate.old
        && all_read(old.queries(), readings)
    {
        let old = count(readings, gate, old, &[], None, ago);
        old_bad = old.is_bad(gate) && !old_has_no_weight(state);
    }
    let doubt = new.bad + new.faint + if gate.no_data_passes { 0 } else { new.missing };
    let nothing = new.present == 0 && !gate.no_data_passes;
    let look = if new.is_bad(gate) {
        GateLook::Red
    } else if watched_from.is_some() && (nothing || doubt >= usize::from(gate.points)) {
        GateLook::Blind
    } else {
        GateLook::Green
    };
    (look, old_bad)
}

fn old_has_no_weight(state: &State) -> bool {
    let mut images = state.verified.iter().flatten().peekable();
    images.peek().is_some() && images.all(|image| image.old.weight.0 == 0)
}

/// Returns true if all series of the plan were read, except those of metrics, which [`metric`] judges one by one.
pub(super) fn all_seen(state: &State, readings: &Readings) -> bool {
    for gate in state.plan().gates.measures.gates() {
        let (new, old) = gate.sides();
        let judged_alone = matches!(gate, MeasuredGate::Metric(_));
        if !judged_alone && !all_read(new.into_iter().chain(old), readings) {
            return false;
        }
    }
    true
}

/// Returns true if the new side had its requests since the step's bake began.
pub(super) fn enough_requests(state: &State, readings: &Readings, gate: &TrafficGate) -> bool {
    let Some(since) = state.measured.step_from else {
        return true;
    };
    let (mut requests, from) = match &state.measured.tally {
        Some(tally) => (tally.new_requests, tally.until.max(since)),
        None => (0, since),
    };
    for query in &gate.new {
        for (at, value) in points(readings, query) {
            if at >= from {
                requests += format!("{value:.0}").parse().unwrap_or(0);
            }
        }
    }
    requests >= gate.min_requests
}

fn all_read<'q>(queries: impl Iterator<Item = &'q Query>, readings: &Readings) -> bool {
    let mut queries = queries;
    queries.all(|query| matches!(readings.get(query), Some(SeriesReading::Read { .. })))
}

fn points(readings: &Readings, query: &Query) -> Vec<(Timestamp, f64)> {
    match readings.get(query) {
        Some(SeriesReading::Read { points, .. }) => {
            let bare = points.iter().map(|(at, value)| (*at, value.value()));
            bare.collect()
        }
        Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => Vec::new(),
    }
}

fn point(readings: &Readings, query: &Query, at: Timestamp) -> Option<f64> {
    match readings.get(query) {
        Some(SeriesReading::Read { points, .. }) => points.get(&at).map(|it| it.value()),
        Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => None,
    }
}

fn sum(readings: &Readings, queries: &[Query], at: Timestamp) -> f64 {
    let mut sum = 0.0;
    for query in queries {
        sum += point(readings, query, at).unwrap_or(0.0);
    }
    sum
}

/// The last N datapoints of one side.
#[derive(Default)]
struct SideDatapoints {
    present: usize,
    bad: usize,
    /// Beyond the bound, but from too few requests.
    faint: usize,
    missing: usize,
    /// The errors and requests of all datapoints together.
    all: (f64, f64),
}

impl SideDatapoints {
    fn is_bad(&self, gate: &MetricGate) -> bool {
        let (errors, requests) = self.all;
        // Without any requests there is no rate, and none of it is faint.
        let crossed = crosses(gate.bound, 100.0 * errors / requests);
        let together = crossed
            && (requests >= least(gate)
                || errors_that_show(gate).is_some_and(|most| errors > most));
        let faint = if together { self.faint } else { 0 };
        self.bad + faint >= usize::from(gate.points)
    }
}

fn least(gate: &MetricGate) -> f64 {
    let least = u32::try_from(gate.min_requests).unwrap_or(u32::MAX);
    f64::from(least)
}

/// Returns true if a value is beyond a bound. Values that were rounded for the journal may differ in the seventh digit.
fn crosses(bound: Bound, value: f64) -> bool {
    let slack = 1e-5 * value.abs();
    match bound {
        Bound::Max(most) => value > most.value() + slack,
        Bound::Min(least) => value < least.value() - slack,
    }
}

fn period(gate: &MetricGate) -> i64 {
    60 * i64::from(gate.every_mins.max(1))
}

/// The second at which the newest window ends: at the end of a datapoint, the gate's delay before the end of the reading.
fn end(readings: &Readings, gate: &MetricGate, measure: &Measure) -> Option<i64> {
    let mut ends = Vec::new();
    for query in measure.queries() {
        if let Some(SeriesReading::Read { until, .. }) = readings.get(query) {
            ends.push(until.as_second());
        }
    }
    let end = ends.into_iter().min()? - 60 * i64::from(gate.delay_mins);
    Some(end - end.rem_euclid(period(gate)))
}

/// The number of windows before the newest one that count: those of the last quarter of an hour that ended after the first
/// write, and after a person let the cutover go on.
fn earlier_windows(state: &State, readings: &Readings, gate: &MetricGate) -> i64 {
    let Some(end) = end(readings, gate, &gate.new) else {
        return 0;
    };
    let Some(since) = state.first_write.max(state.measured.violations_from) else {
        return 0;
    };
    if state.first_write.is_none() {
        return 0;
    }
    let since = since.as_second().max(end - 15 * 60);
    ((end - since - 1) / period(gate)).max(0)
}

fn count(
    readings: &Readings,
    gate: &MetricGate,
    measure: &Measure,
    known: &[Query],
    watched_from: Option<Timestamp>,
    ago: i64,
) -> SideDatapoints {
    let mut counts = SideDatapoints::default();
    let Some(end) = end(readings, gate, measure) else {
        return counts;
    };
    let period = period(gate);
    for back in 1..=i64::from(gate.of) {
        let Ok(at) = Timestamp::from_second(end - (ago + back) * period) else {
            continue;
        };
        let mut requests = f64::INFINITY;
        let value = match measure {
            Measure::Series { query, times } => {
                let sums = query.inputs.values().all(|metric| metric.stat == "Sum");
                let counts = query.expression.is_none() && sums;
                let bounded_above = matches!(gate.bound, Bound::Max(_));
                // A count without a datapoint is zero, if requests are known to have come.
                let none = counts && bounded_above && sum(readings, known, at) > 0.0;
                let value = match point(readings, query, at) {
                    Some(value) => Some(value),
                    None if none => Some(0.0),
                    None => None,
                };
                value.map(|value| value * times.value())
            }
            Measure::Rate {
                errors,
                requests: all,
            } => {
                requests = sum(readings, all, at);
                let errors = sum(readings, errors, at);
                counts.all.0 += errors;
                counts.all.1 += requests;
                if requests > 0.0 {
                    Some(100.0 * errors / requests)
                } else {
                    None
                }
            }
        };
        match value {
            Some(value) => {
                counts.present += 1;
                let crossed = crosses(gate.bound, value);
                let enough = requests >= least(gate);
                counts.bad += usize::from(crossed && enough);
                counts.faint += usize::from(crossed && !enough);
            }
            None if watched_from.is_some_and(|from| at >= from) => counts.missing += 1,
            None => {}
        }
    }
    counts
}
