//! Metrics with bounds: M of the last N datapoints beyond, and the gate fails.
//!
//! A datapoint that is missing, or that too few requests make, could have been beyond as well. Where those that are beyond
//! and those that may have been are M together, the gate does not pass.
//!
//! Datapoints come late, and change. The windows that ended in the last minutes ([`READ_AGAIN`]) are judged anew at each
//! look, so that M of N that are found beyond the bound afterwards fail the gate too.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::gate::{Beyond, Bound};
use super::judge::{Said, unread};
use super::least::errors_that_show;
use super::number::Number;
use super::plan::{Measure, MetricGate, Query};
use super::reading::{READ_AGAIN, Readings, SeriesReading, ceil, floor};
use super::sequential::fixed::float;
use super::tally::{Latest, sum, sums, total};
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::state::State;
use crate::engine::verdict::{Unknown, Verdict};

/// One side in the window.
#[derive(Default)]
struct Window {
    /// The datapoints there are.
    points: BTreeMap<Timestamp, Number>,
    /// How many of them are beyond the bound, and of enough requests.
    crossed: u16,
    /// How many are beyond the bound, but of too few requests to tell.
    faint: u16,
    /// All of it as one datapoint, where that is beyond the bound, and of enough requests or errors.
    pooled: Option<Number>,
    /// How many periods that were watched have none, although requests were seen, or nobody counts requests.
    lost: u16,
    /// How many have none because there were no requests.
    idle: u16,
}

impl Window {
    /// Whether so many of them are beyond the bound as make the gate fail. Those that are too faint count where all of the
    /// window is beyond it too.
    fn fails(&self, gate: &MetricGate) -> bool {
        let faint = self.pooled.map_or(0, |_| self.faint);
        self.crossed + faint >= gate.points
    }
}

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
    let Some(end) = judged_until(&gate.new, readings, gate) else {
        let why = "it was not read".to_owned();
        return Said::only(Verdict::Unknown(Unknown::Other(why)));
    };
    let newest_range = (end - gate.window(), end);
    // What fails now says more than what failed minutes ago.
    let range = failed_before(state, readings, gate, end).unwrap_or(newest_range);
    let watched_from = state.measured.step_from;
    let new = look(gate, &gate.new, readings, range, watched_from);
    let old = gate.old.as_ref();
    let old = old.filter(|old| unread(old.queries(), readings).is_none());
    let old = old.map(|old| look(gate, old, readings, range, None));
    let newest = |window: &Window| window.points.values().next_back().copied();
    let latest = latest(newest(&new), old.as_ref().and_then(newest));
    if new.points.is_empty() {
        let verdict = nothing(state, readings, gate, range);
        return Said::with(verdict, latest);
    }
    let old_worst = old.as_ref().and_then(|old| worst(gate.bound, &old.points));
    let Some(beyond) = beyond(gate, &new, old_worst) else {
        // A step that is being written or settles has not shown anything yet.
        let doubt = watched_from.and_then(|_| doubtful(readings, gate, &new, range));
        return Said {
            near: near(gate, &new, old_worst),
            ..Said::with(doubt.unwrap_or(Verdict::Pass), latest)
        };
    };
    // Without a weight the old side has stragglers, which prove nothing about it.
    let old_too = !state.old_is_idle() && old.is_some_and(|old| old.fails(gate));
    let gate = gate.id();
    let cause = RevertCause::MeasureBeyond { gate, beyond };
    Said {
        old_too,
        ..Said::with(Verdict::Fail(cause), latest)
    }
}

/// The end of the datapoints that are looked at: of what was read, less the gate's delay.
fn judged_until(measure: &Measure, readings: &Readings, gate: &MetricGate) -> Option<Timestamp> {
    let ends = measure.queries().map(|query| match readings.get(query) {
        Some(SeriesReading::Read { until, .. }) => Some(*until),
        Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => None,
    });
    let until = ends.min().flatten()?;
    Some(floor(
        until.checked_sub(gate.delay()).ok()?,
        gate.every_mins,
    ))
}

/// An earlier window of this attempt that fails, among those that are read again, unless the newest one fails: its
/// datapoints came late or changed, or nobody looked then.
fn failed_before(
    state: &State,
    readings: &Readings,
    gate: &MetricGate,
    newest: Timestamp,
) -> Option<(Timestamp, Timestamp)> {
    if !state.has_started() {
        return None;
    }
    let since = state.first_write.max(state.measured.violations_from)?;
    let since = since.max(newest - READ_AGAIN);
    let fails = |range| look(gate, &gate.new, readings, range, None).fails(gate);
    let all = look(
        gate,
        &gate.new,
        readings,
        (since - gate.window(), newest),
        None,
    );
    if all.crossed + all.faint < gate.points || fails((newest - gate.window(), newest)) {
        return None;
    }
    let mut end = newest - gate.period();
    while end > since {
        let range = (end - gate.window(), end);
        if fails(range) {
            return Some(range);
        }
        end -= gate.period();
    }
    None
}

/// Datapoints are beyond the bound, but not so many yet that the gate fails: no step is taken on top of that.
fn near(gate: &MetricGate, window: &Window, old: Option<Number>) -> Option<HoldReason> {
    if window.crossed == 0 {
        return None;
    }
    let beyond = Beyond {
        value: worst(gate.bound, &window.points)?,
        bound: gate.bound,
        unit: gate.unit,
        points: u32::from(window.crossed),
        of: u32::from(gate.of),
        old,
    };
    Some(HoldReason::MeasureNear {
        gate: gate.id(),
        beyond: Box::new(beyond),
        needed: u32::from(gate.points),
        every_mins: gate.every_mins,
    })
}

/// One side in the window. Periods that began before `watched_from` may lack a datapoint: nobody was sent there yet.
fn look(
    gate: &MetricGate,
    measure: &Measure,
    readings: &Readings,
    range: (Timestamp, Timestamp),
    watched_from: Option<Timestamp>,
) -> Window {
    let requests = requests(gate, measure);
    let asked = sums(requests, readings, range);
    let mut window = Window {
        points: datapoints(gate, measure, readings, range),
        pooled: pooled(gate, measure, readings, range),
        ..Window::default()
    };
    let counted = !requests.is_empty();
    let period = gate.period();
    // Ranges that do not end with a period of the gate begin with a part of one.
    let mut at = ceil(range.0, gate.every_mins);
    while at < range.1 {
        let here = asked.get(&at).copied().unwrap_or(Number::ZERO);
        match window.points.get(&at) {
            Some(value) if !gate.bound.is_broken_by(*value) => {}
            Some(_) if here.value() < float(gate.min_requests) => window.faint += 1,
            Some(_) => window.crossed += 1,
            None if watched_from.is_none_or(|from| at < from) => {}
            None if counted && here <= Number::ZERO => window.idle += 1,
            None => window.lost += 1,
        }
        at += period;
    }
    window
}

/// The rate over all of the window, where that is beyond the bound, and of enough requests or of so many errors that it would
/// be beyond the bound with enough requests too.
fn pooled(
    gate: &MetricGate,
    measure: &Measure,
    readings: &Readings,
    range: (Timestamp, Timestamp),
) -> Option<Number> {
    let Measure::Rate { errors, requests } = measure else {
        return None;
    };
    let (wrong, all) = (sum(errors, readings, range), sum(requests, readings, range));
    let rate = Number::rounded(100.0 * wrong / all)?;
    if !gate.bound.is_broken_by(rate) {
        return None;
    }
    if all < float(gate.min_requests) && errors_that_show(gate).is_none_or(|most| wrong <= most) {
        return None;
    }
    Some(rate)
}

/// What counts the requests of a measure; empty where nothing does.
fn requests<'g>(gate: &'g MetricGate, measure: &'g Measure) -> &'g [Query] {
    match measure {
        Measure::Rate { requests, .. } => requests,
        Measure::Series { .. } if *measure == gate.new => &gate.requests,
        Measure::Series { .. } => &[],
    }
}

/// The measure's datapoints in `[from, until)`.
fn datapoints(
    gate: &MetricGate,
    measure: &Measure,
    readings: &Readings,
    range: (Timestamp, Timestamp),
) -> BTreeMap<Timestamp, Number> {
    match measure {
        Measure::Series { query, times } => {
            let mut all = sums(std::slice::from_ref(query), readings, range);
            if is_count(query) && matches!(gate.bound, Bound::Max(_)) {
                // A count that is not told is zero where requests were seen.
                let asked = sums(requests(gate, measure), readings, range);
                let seen = asked.into_iter().filter(|(_, all)| *all > Number::ZERO);
                for (at, _) in seen {
                    all.entry(at).or_insert(Number::ZERO);
                }
            }
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
                // Where none were, the rate is no number.
                Some((at, Number::rounded(100.0 * wrong.value() / all.value())?))
            };
            requests.into_iter().filter_map(rate).collect()
        }
    }
}

/// Whether a series is a sum, of which nothing is zero.
fn is_count(query: &Query) -> bool {
    let mut inputs = query.inputs.values();
    query.expression.is_none() && inputs.all(|metric| metric.stat == "Sum")
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
    let known = requests(gate, &gate.new);
    if known.is_empty() || total(known, readings, range) > 0 {
        return Verdict::Unknown(Unknown::NoData);
    }
    Verdict::NotJudged(too_few(gate, 0))
}

/// Why the gate does not pass although it does not fail: datapoints that are missing or too faint could make it fail.
fn doubtful(
    readings: &Readings,
    gate: &MetricGate,
    new: &Window,
    range: (Timestamp, Timestamp),
) -> Option<Verdict> {
    let missing = if gate.no_data_passes {
        (0, 0)
    } else {
        (new.lost, new.idle)
    };
    let seen = new.crossed + new.faint;
    if seen + missing.0 + missing.1 < gate.points {
        return None;
    }
    if seen + missing.1 < gate.points {
        let points = new.points.len();
        let why = format!("only {points} of its last {} datapoints are there", gate.of);
        return Some(Verdict::Unknown(Unknown::Other(why)));
    }
    let asked = total(requests(gate, &gate.new), readings, range);
    Some(Verdict::NotJudged(too_few(gate, asked)))
}

fn too_few(gate: &MetricGate, requests: u64) -> HoldReason {
    let needed = gate.min_requests * u64::from(gate.of);
    HoldReason::TooFewRequests {
        gate: gate.id(),
        requests,
        needed: (needed > requests).then_some(needed),
        over_mins: Some(u32::from(gate.of.max(1)) * u32::from(gate.every_mins.max(1))),
        // More do not come by waiting: the window moves on.
        judged_at: None,
    }
}

/// How the datapoints cross the bound, if enough of them do.
fn beyond(gate: &MetricGate, window: &Window, old: Option<Number>) -> Option<Beyond> {
    if !window.fails(gate) {
        return None;
    }
    Some(Beyond {
        value: worst(gate.bound, &window.points)?,
        bound: gate.bound,
        unit: gate.unit,
        points: u32::from(window.crossed + window.faint),
        of: u32::try_from(window.points.len()).unwrap_or(u32::MAX),
        old,
    })
}

fn worst(bound: Bound, points: &BTreeMap<Timestamp, Number>) -> Option<Number> {
    let worse = |one: Number, other: Number| bound.worse(one, other);
    points.values().copied().reduce(worse)
}
