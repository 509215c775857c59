//! Metrics with bounds: M of the last N datapoints beyond, and the gate fails.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::gate::{Beyond, Bound};
use super::judge::{Said, unread};
use super::number::Number;
use super::plan::{Measure, MetricGate, Query};
use super::reading::{Readings, SeriesReading};
use super::tally::{Latest, sums, total};
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::state::State;
use crate::engine::verdict::{Unknown, Verdict};

/// What the gate says, and what it read.
pub(super) fn judge(state: &State, readings: &Readings, gate: &MetricGate) -> Said {
    let latest = |new, old| Latest {
        name: gate.name.clone(),
        unit: gate.unit,
        new,
        old,
    };
    let queries = gate.new.queries().chain(&gate.requests);
    if let Some(why) = unread(queries, readings) {
        return Said::only(Verdict::Unknown(why));
    }
    let Some(range) = window(&gate.new, readings, gate) else {
        let why = "it was not read".to_owned();
        return Said::only(Verdict::Unknown(Unknown::Other(why)));
    };
    let new = datapoints(&gate.new, readings, range);
    let old = gate.old.as_ref();
    let old = old.filter(|old| unread(old.queries(), readings).is_none());
    let old = old.map(|old| datapoints(old, readings, range));
    let newest = |points: &BTreeMap<Timestamp, Number>| points.values().next_back().copied();
    let latest = latest(newest(&new), old.as_ref().and_then(newest));
    if new.is_empty() {
        let verdict = nothing(state, readings, gate, range);
        return Said::with(verdict, latest);
    }
    let old_worst = old.as_ref().and_then(|old| worst(gate.bound, old));
    let Some(beyond) = beyond(gate, &new, old_worst) else {
        return Said::with(Verdict::Pass, latest);
    };
    let old_too = old.is_some_and(|old| crossed(gate.bound, &old) >= usize::from(gate.points));
    let gate = gate.id();
    let cause = RevertCause::MeasureBeyond { gate, beyond };
    Said {
        old_too,
        ..Said::with(Verdict::Fail(cause), latest)
    }
}

/// The datapoints that are looked at: the N before the end of what was read.
fn window(
    measure: &Measure,
    readings: &Readings,
    gate: &MetricGate,
) -> Option<(Timestamp, Timestamp)> {
    let ends = measure.queries().map(|query| match readings.get(query) {
        Some(SeriesReading::Read { until, .. }) => Some(*until),
        Some(SeriesReading::Unreadable(_)) | None => None,
    });
    let until = ends.min().flatten()?;
    Some((until.checked_sub(gate.window()).ok()?, until))
}

/// The measure's datapoints in `[from, until)`.
fn datapoints(
    measure: &Measure,
    readings: &Readings,
    range: (Timestamp, Timestamp),
) -> BTreeMap<Timestamp, Number> {
    match measure {
        Measure::Series { query, times } => {
            let all = sums(std::slice::from_ref(query), readings, range);
            let scaled = |(at, value): (Timestamp, Number)| {
                Some((at, Number::rounded(value.value() * times.value())?))
            };
            all.into_iter().filter_map(scaled).collect()
        }
        Measure::Rate { errors, requests } => {
            let errors = sums(errors, readings, range);
            let requests = sums(requests, readings, range);
            let rate = |(at, all): (Timestamp, Number)| {
                // Where requests were seen, errors that were not are none.
                let wrong = errors.get(&at).copied().unwrap_or(Number::ZERO);
                let rate = Number::rounded(100.0 * wrong.value() / all.value())?;
                (all > Number::ZERO).then_some((at, rate))
            };
            requests.into_iter().filter_map(rate).collect()
        }
    }
}

/// No datapoint at all: too little to judge where nobody asked, and blindness where somebody did.
fn nothing(
    state: &State,
    readings: &Readings,
    gate: &MetricGate,
    range: (Timestamp, Timestamp),
) -> Verdict {
    // A step that is being written or settles has not been asked for anything yet.
    if state.measured.step_from.is_none() || gate.no_data_passes {
        return Verdict::Pass;
    }
    let known: &[Query] = match &gate.new {
        Measure::Rate { requests, .. } => requests,
        Measure::Series { .. } => &gate.requests,
    };
    let asked = total(known, readings, range);
    if known.is_empty() || asked > 0 {
        return Verdict::Unknown(Unknown::NoData);
    }
    Verdict::NotJudged(HoldReason::TooFewRequests {
        gate: gate.id(),
        requests: 0,
        needed: None,
    })
}

/// How the datapoints cross the bound, if enough of them do.
fn beyond(
    gate: &MetricGate,
    points: &BTreeMap<Timestamp, Number>,
    old: Option<Number>,
) -> Option<Beyond> {
    let crossed = crossed(gate.bound, points);
    if crossed < usize::from(gate.points) {
        return None;
    }
    Some(Beyond {
        value: worst(gate.bound, points)?,
        bound: gate.bound,
        unit: gate.unit,
        points: u32::try_from(crossed).unwrap_or(u32::MAX),
        of: u32::try_from(points.len()).unwrap_or(u32::MAX),
        old,
    })
}

fn crossed(bound: Bound, points: &BTreeMap<Timestamp, Number>) -> usize {
    let broken = |value: &&Number| bound.is_broken_by(**value);
    points.values().filter(broken).count()
}

fn worst(bound: Bound, points: &BTreeMap<Timestamp, Number>) -> Option<Number> {
    let worse = |one: Number, other: Number| bound.worse(one, other);
    points.values().copied().reduce(worse)
}
