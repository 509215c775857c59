//! Metrics with bounds: the gate fails if M of the last N datapoints are beyond the bound.
//!
//! A datapoint that is missing, or that has too few requests, might have been beyond the bound too. If the datapoints
//! beyond the bound and those that might be are M together, the gate does not pass.
//!
//! Datapoints come late, and change. The windows that ended within the last minutes ([`READ_AGAIN`]) are judged again
//! in each round. So the gate also fails if M of N datapoints are found beyond the bound afterwards.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::counting::{covered, sum, sums, total};
use super::gate::{Beyond, Bound};
use super::least::errors_that_show;
use super::number::Number;
use super::plan::{Measure, MetricGate, Query};
use super::reading::{READ_AGAIN, Readings, ceil, floor};
use super::sequential::fixed::float;
use super::tally::Latest;
use super::verdict::{GateResult, Unknown, Verdict, unread};
use crate::hold::{HoldReason, RevertCause};
use crate::state::State;

/// The datapoints of one side in a window, counted by kind.
#[derive(Default)]
struct Window {
    /// The datapoints by the start of their periods.
    points: BTreeMap<Timestamp, Number>,
    /// The number of datapoints beyond the bound that have enough requests.
    crossed: u16,
    /// The number of datapoints beyond the bound that have too few requests.
    faint: u16,
    /// The rate of the whole window. `None` unless it is beyond the bound and the window has enough requests or errors.
    pooled: Option<Number>,
    /// The number of watched periods without a datapoint although there were requests, or although requests are not
    /// counted.
    lost: u16,
    /// The number of watched periods without a datapoint because there were no requests.
    idle: u16,
}

impl Window {
    /// Returns true if enough datapoints are beyond the bound. Those with too few requests count only if the whole
    /// window is beyond it too.
    fn fails(&self, gate: &MetricGate) -> bool {
        let faint = if self.pooled.is_some() { self.faint } else { 0 };
        self.crossed + faint >= gate.points
    }

    /// Returns the newest datapoint. `None` if there is none.
    fn newest(&self) -> Option<Number> {
        self.points.values().next_back().copied()
    }
}

/// Judges one metric with a bound.
pub(super) fn judge(state: &State, readings: &Readings, gate: &MetricGate) -> GateResult {
    let queries = gate.new.queries().chain(&gate.requests);
    if let Some(why) = unread(queries, readings) {
        return GateResult::only(Verdict::Unknown(why));
    }
    let Some(end) = judged_until(&gate.new, readings, gate) else {
        let why = "it was not read".to_owned();
        return GateResult::only(Verdict::Unknown(Unknown::Other(why)));
    };
    let newest_range = (end - gate.window(), end);
    // A failure now says more than one some minutes ago.
    let range = failed_before(state, readings, gate, end).unwrap_or(newest_range);
    let watched_from = state.measured.step_from;
    let new = look(gate, &gate.new, readings, range, watched_from);
    let old = match &gate.old {
        Some(old) if unread(old.queries(), readings).is_none() => {
            Some(look(gate, old, readings, range, None))
        }
        Some(_) | None => None,
    };
    let latest = Latest {
        name: gate.name.clone(),
        unit: gate.unit,
        new: new.newest(),
        old: old.as_ref().and_then(Window::newest),
    };
    if new.points.is_empty() {
        let verdict = nothing(state, readings, gate, range);
        return GateResult::with(verdict, latest);
    }
    let old_worst = old.as_ref().and_then(|old| worst(gate.bound, &old.points));
    let Some(beyond) = beyond(gate, &new, old_worst) else {
        // A step that is being written or settles has not shown anything yet.
        let doubt = if watched_from.is_some() {
            doubtful(readings, gate, &new, range)
        } else {
            None
        };
        return GateResult {
            near: near(gate, &new, old_worst),
            ..GateResult::with(doubt.unwrap_or(Verdict::Pass), latest)
        };
    };
    // An old side without weight has only late requests, which prove nothing about it.
    let old_too = !state.old_is_idle() && old.is_some_and(|old| old.fails(gate));
    let gate = gate.id();
    let cause = RevertCause::MeasureBeyond { gate, beyond };
    GateResult {
        old_too,
        ..GateResult::with(Verdict::Fail(cause), latest)
    }
}

/// Returns the end of the datapoints that are judged: the end of the reading, minus the gate's delay. `None` if the
/// series was not read.
fn judged_until(measure: &Measure, readings: &Readings, gate: &MetricGate) -> Option<Timestamp> {
    let until = covered(measure.queries(), readings)?;
    let until = until.checked_sub(gate.delay()).ok()?;
    Some(floor(until, gate.every_mins))
}

/// Returns an earlier window of this attempt that fails, unless the newest window fails. Only windows that are read
/// again are considered. Their datapoints came late or changed, or no controller was running. `None` if there is no
/// such window.
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
    let all_range = (since - gate.window(), newest);
    let all = look(gate, &gate.new, readings, all_range, None);
    if all.crossed + all.faint < gate.points {
        return None;
    }
    let newest_range = (newest - gate.window(), newest);
    if look(gate, &gate.new, readings, newest_range, None).fails(gate) {
        return None;
    }
    let mut end = newest - gate.period();
    while end > since {
        let range = (end - gate.window(), end);
        if look(gate, &gate.new, readings, range, None).fails(gate) {
            return Some(range);
        }
        end -= gate.period();
    }
    None
}

/// Returns a hold if some datapoints are beyond the bound, but too few for the gate to fail. No further step is taken
/// then.
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

/// Counts the datapoints of one side in a window. Periods that began before `watched_from` may lack a datapoint,
/// because they had no traffic yet.
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
    // A range that does not begin with one of the gate's periods begins with a part of one.
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

/// Returns the rate over the whole window, if it is beyond the bound. It must have enough requests, or so many errors
/// that it would be beyond the bound even with enough requests. `None` otherwise, and for a measure that is not a rate.
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

/// Returns the series that count the requests of a measure. Empty if there are none.
fn requests<'g>(gate: &'g MetricGate, measure: &'g Measure) -> &'g [Query] {
    match measure {
        Measure::Rate { requests, .. } => requests,
        Measure::Series { .. } if *measure == gate.new => &gate.requests,
        Measure::Series { .. } => &[],
    }
}

/// Returns the measure's datapoints in `range`, in the gate's unit.
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
                // A count without a datapoint is zero if there were requests.
                for (at, requests) in sums(requests(gate, measure), readings, range) {
                    if requests > Number::ZERO {
                        all.entry(at).or_insert(Number::ZERO);
                    }
                }
            }
            let mut scaled = BTreeMap::new();
            for (at, value) in all {
                if let Some(value) = Number::rounded(value.value() * times.value()) {
                    scaled.insert(at, value);
                }
            }
            scaled
        }
        Measure::Rate { errors, requests } => {
            let errors = sums(errors, readings, range);
            let mut rates = BTreeMap::new();
            for (at, all) in sums(requests, readings, range) {
                // If there were requests, errors without a datapoint are zero.
                let wrong = errors.get(&at).copied().unwrap_or(Number::ZERO);
                // Without requests the rate is not a number.
                if let Some(rate) = Number::rounded(100.0 * wrong.value() / all.value()) {
                    rates.insert(at, rate);
                }
            }
            rates
        }
    }
}

/// Returns true if a series is a sum, for which no datapoint means zero.
fn is_count(query: &Query) -> bool {
    let mut inputs = query.inputs.values();
    query.expression.is_none() && inputs.all(|metric| metric.stat == "Sum")
}

/// Returns the verdict if there is no datapoint at all: not judged without requests, Unknown with requests.
fn nothing(
    state: &State,
    readings: &Readings,
    gate: &MetricGate,
    range: (Timestamp, Timestamp),
) -> Verdict {
    // A step that is being written or settles has had no requests yet.
    if state.measured.step_from.is_none() || gate.no_data_passes {
        return Verdict::Pass;
    }
    let known = requests(gate, &gate.new);
    if known.is_empty() || total(known, readings, range) > 0 {
        return Verdict::Unknown(Unknown::NoData);
    }
    Verdict::NotJudged(too_few(gate, 0))
}

/// Returns the verdict if missing datapoints, or those with too few requests, could make the gate fail. `None` if they
/// could not.
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

/// Returns the hold for too few requests in the window.
fn too_few(gate: &MetricGate, requests: u64) -> HoldReason {
    let needed = gate.min_requests * u64::from(gate.of);
    HoldReason::TooFewRequests {
        gate: gate.id(),
        requests,
        needed: (needed > requests).then_some(needed),
        over_mins: Some(u32::from(gate.of.max(1)) * u32::from(gate.every_mins.max(1))),
        // Waiting brings no more requests into a window, because the window moves on.
        judged_at: None,
    }
}

/// Returns the datapoints beyond the bound, if there are enough of them to fail. `None` otherwise. `old` is the old
/// side's worst datapoint.
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

/// Returns the worst datapoint. `None` if there is none.
fn worst(bound: Bound, points: &BTreeMap<Timestamp, Number>) -> Option<Number> {
    let values = points.values().copied();
    values.reduce(|one, other| bound.worse(one, other))
}
