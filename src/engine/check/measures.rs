//! The gates of metrics as the invariants see them: derived anew from the readings, without asking who judged them.

use jiff::Timestamp;

use super::decision::Look;
use crate::engine::evidence::gate::Bound;
use crate::engine::evidence::plan::{Measure, MetricGate, Query, TrafficGate};
use crate::engine::evidence::reading::{Readings, SeriesReading};
use crate::engine::state::State;

/// How a metric looks, and whether it looks as bad on the old side.
pub(super) fn metric(state: &State, readings: &Readings, gate: &MetricGate) -> (Look, bool) {
    let needed = gate.new.queries().chain(&gate.requests);
    if !all_read(needed, readings) {
        return (Look::Blind, false);
    }
    let (bad, points) = count(readings, gate, &gate.new);
    let old_bad = gate
        .old
        .as_ref()
        .filter(|old| all_read(old.queries(), readings));
    let old_bad = old_bad.map_or(0, |old| count(readings, gate, old).0);
    let enough = usize::from(gate.points);
    let look = if bad >= enough {
        Look::Red
    } else if points == 0 && state.measured.step_from.is_some() && !gate.no_data_passes {
        Look::Blind
    } else {
        Look::Green
    };
    (look, old_bad >= enough)
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
        Some(SeriesReading::Unreadable(_)) | None => Vec::new(),
    }
}

/// How many of the last N datapoints are beyond the bound, and how many there are.
fn count(readings: &Readings, gate: &MetricGate, measure: &Measure) -> (usize, usize) {
    let ends = measure
        .queries()
        .filter_map(|query| match readings.get(query) {
            Some(SeriesReading::Read { until, .. }) => Some(*until),
            Some(SeriesReading::Unreadable(_)) | None => None,
        });
    let Some(end) = ends.min() else {
        return (0, 0);
    };
    let period = 60 * i64::from(gate.every_mins);
    let (mut bad, mut present) = (0, 0);
    for back in 1..=i64::from(gate.of) {
        let Ok(at) = Timestamp::from_second(end.as_second() - back * period) else {
            continue;
        };
        let at_point = |query: &Query| match readings.get(query) {
            Some(SeriesReading::Read { points, .. }) => points.get(&at).map(|it| it.value()),
            Some(SeriesReading::Unreadable(_)) | None => None,
        };
        let value = match measure {
            Measure::Series { query, times } => at_point(query).map(|value| value * times.value()),
            Measure::Rate { errors, requests } => {
                let sum = |queries: &[Query]| -> f64 { queries.iter().filter_map(at_point).sum() };
                let all = sum(requests);
                (all > 0.0).then(|| 100.0 * sum(errors) / all)
            }
        };
        let Some(value) = value else {
            continue;
        };
        present += 1;
        // What was rounded for the journal may differ in the seventh digit.
        let slack = 1e-5 * value.abs();
        let crossed = match gate.bound {
            Bound::Max(most) => value > most.value() + slack,
            Bound::Min(least) => value < least.value() - slack,
        };
        bad += usize::from(crossed);
    }
    (bad, present)
}
