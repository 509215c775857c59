//! The gates of metrics as the invariants see them: derived anew from the readings, without asking who judged them.

use jiff::Timestamp;

use super::decision::Look;
use crate::engine::evidence::gate::Bound;
use crate::engine::evidence::least::errors_that_show;
use crate::engine::evidence::plan::{Measure, MetricGate, Query, TrafficGate};
use crate::engine::evidence::reading::{Readings, SeriesReading};
use crate::engine::state::State;

/// How a metric looks, and whether it looks as bad on the old side.
pub(super) fn metric(state: &State, readings: &Readings, gate: &MetricGate) -> (Look, bool) {
    let needed = gate.new.queries().chain(&gate.requests);
    if !all_read(needed, readings) {
        return (Look::Blind, false);
    }
    let watched_from = state.measured.step_from;
    let looks_at = |ago| count(readings, gate, &gate.new, &gate.requests, watched_from, ago);
    // The newest window that is bad, also if it ended some minutes ago; else the newest.
    let earlier = earlier_windows(state, readings, gate);
    let ago = (0..=earlier).find(|ago| looks_at(*ago).is_bad(gate));
    let ago = ago.unwrap_or(0);
    let new = looks_at(ago);
    let old = gate
        .old
        .as_ref()
        .filter(|old| all_read(old.queries(), readings));
    let old = old.map(|old| count(readings, gate, old, &[], None, ago));
    let old_bad = old.is_some_and(|old| old.is_bad(gate)) && !old_has_no_weight(state);
    let doubt = new.bad + new.faint + if gate.no_data_passes { 0 } else { new.missing };
    let nothing = new.present == 0 && !gate.no_data_passes;
    let look = if new.is_bad(gate) {
        Look::Red
    } else if watched_from.is_some() && (nothing || doubt >= usize::from(gate.points)) {
        Look::Blind
    } else {
        Look::Green
    };
    (look, old_bad)
}

fn old_has_no_weight(state: &State) -> bool {
    let mut images = state.verified.iter().flatten().peekable();
    images.peek().is_some() && images.all(|image| image.old.weight.0 == 0)
}

/// Whether everything that the plan measures was read, but for the old sides of metrics.
pub(super) fn all_seen(state: &State, readings: &Readings) -> bool {
    let measures = &state.plan().gates.measures;
    let counted = measures.regression.iter().flat_map(|gate| {
        let sides = [&gate.new, &gate.old].into_iter();
        sides.flat_map(|side| side.requests.iter().chain(&side.errors))
    });
    let trends = measures.trends.iter().map(|gate| &gate.query);
    let traffic = measures.traffic.iter();
    let traffic = traffic.flat_map(|gate| gate.new.iter().chain(&gate.old));
    all_read(counted.chain(trends).chain(traffic), readings)
}

/// Whether the new side had its requests since the step's bake began.
pub(super) fn enough_requests(state: &State, readings: &Readings, gate: &TrafficGate) -> bool {
    let Some(since) = state.measured.step_from else {
        return true;
    };
    let tally = state.measured.tally.as_ref();
    let (before, from) = tally.map_or((0, since), |tally| {
        (tally.new_requests, tally.until.max(since))
    });
    let more: u64 = gate
        .new
        .iter()
        .flat_map(|query| points(readings, query))
        .filter(|(at, _)| *at >= from)
        .map(|(_, value)| format!("{value:.0}").parse().unwrap_or(0))
        .sum();
    before + more >= gate.min_requests
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

/// The last N datapoints of one side.
#[derive(Default)]
struct Counts {
    present: usize,
    bad: usize,
    /// Beyond the bound, but of too few requests.
    faint: usize,
    missing: usize,
    /// All of them together, as errors and requests.
    all: (f64, f64),
}

impl Counts {
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

/// What was rounded for the journal may differ in the seventh digit.
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

/// The second at which the newest window ends: with a datapoint, and the gate's delay before what was read.
fn end(readings: &Readings, gate: &MetricGate, measure: &Measure) -> Option<i64> {
    let ends = measure
        .queries()
        .filter_map(|query| match readings.get(query) {
            Some(SeriesReading::Read { until, .. }) => Some(until.as_second()),
            Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => None,
        });
    let end = ends.min()? - 60 * i64::from(gate.delay_mins);
    Some(end - end.rem_euclid(period(gate)))
}

/// How many windows before the newest one count: those of the last quarter of an hour that ended after the first write,
/// and after a person let the cutover go on.
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
) -> Counts {
    let mut counts = Counts::default();
    let Some(end) = end(readings, gate, measure) else {
        return counts;
    };
    let period = period(gate);
    for back in 1..=i64::from(gate.of) {
        let Ok(at) = Timestamp::from_second(end - (ago + back) * period) else {
            continue;
        };
        let at_point = |query: &Query| match readings.get(query) {
            Some(SeriesReading::Read { points, .. }) => points.get(&at).map(|it| it.value()),
            Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => None,
        };
        let sum = |queries: &[Query]| -> f64 { queries.iter().filter_map(at_point).sum() };
        let mut requests = f64::INFINITY;
        let value = match measure {
            Measure::Series { query, times } => {
                let sums = query.inputs.values().all(|metric| metric.stat == "Sum");
                let counts = query.expression.is_none() && sums;
                let none = counts && matches!(gate.bound, Bound::Max(_)) && sum(known) > 0.0;
                let value = at_point(query).or(none.then_some(0.0));
                value.map(|value| value * times.value())
            }
            Measure::Rate {
                errors,
                requests: all,
            } => {
                requests = sum(all);
                counts.all.0 += sum(errors);
                counts.all.1 += requests;
                (requests > 0.0).then(|| 100.0 * sum(errors) / requests)
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
