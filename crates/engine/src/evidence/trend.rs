//! Trends: metrics of the new side that climb toward a limit. A leak shows in the memory that is left after each
//! garbage collection. So the observed time is divided into equal parts, and the lowest values of the parts are
//! compared.
//!
//! A metric that climbs with the requests does not climb forever. If requests are counted and do not rise, two hours
//! are enough to judge. If they are not counted, it takes [`LOAD_UNKNOWN_MIN`], because the steep part of a day's curve
//! is not longer than that. If they rise, it takes a whole day. A hold for a climb that was only the day's curve ends
//! by itself when the curve falls.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::counting::sum;
use super::number::Number;
use super::plan::{Query, TREND_PERIOD_MINS, TrendGate};
use super::reading::{Readings, SeriesReading};
use super::verdict::{GateResult, Unknown, Verdict, unread};
use crate::hold::HoldReason;
use crate::state::State;

/// The time over which a trend is observed: a whole day, with its ups and downs.
pub(super) const TREND_OVER: SignedDuration = SignedDuration::from_hours(24);

/// The number of parts into which the observed time is divided.
const PARTS: usize = 8;

/// The shortest time that can show a trend. A cache that fills in less time is not one.
pub(super) const LOOKED_AT_MIN: SignedDuration = SignedDuration::from_hours(2);

/// The shortest time if requests are not counted. A shorter climb may be the morning's traffic.
pub(super) const LOAD_UNKNOWN_MIN: SignedDuration = SignedDuration::from_hours(6);

/// The time after the beginning of the bake in which metrics climb because of the new traffic. It is not observed.
const WARMS_UP_FOR: SignedDuration = SignedDuration::from_mins(15);

/// The smallest climb over the whole time that counts, as a fraction of the limit.
const CLIMB_MIN: f64 = 0.02;

/// The factor above which requests count as rising. Then every metric rises, and only a whole day is conclusive.
const LOAD_RISES: f64 = 1.2;

/// The time without a datapoint after which the gate is Unknown.
const BLIND_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// Judges one trend.
pub(super) fn judge(state: &State, readings: &Readings, gate: &TrendGate) -> GateResult {
    let queries = std::iter::once(&gate.query).chain(&gate.requests);
    if let Some(why) = unread(queries, readings) {
        return GateResult::only(Verdict::Unknown(why));
    }
    let (Some(SeriesReading::Read { until, points, .. }), Some(since)) =
        (readings.get(&gate.query), state.measured.step_from)
    else {
        return GateResult::only(Verdict::Pass);
    };
    let lately = since.max(*until - BLIND_AFTER);
    let newest = points.range(lately..(*until).max(lately));
    let lowest = newest.map(|(_, value)| *value).min();
    if lowest.is_none() && until.duration_since(since + WARMS_UP_FOR) >= BLIND_AFTER {
        return GateResult::only(Verdict::Unknown(Unknown::NoData));
    }
    let from = (since + WARMS_UP_FOR).max(*until - TREND_OVER);
    let looked_at = until.duration_since(from);
    let climb = if looked_at >= LOOKED_AT_MIN {
        climb(gate, points, from, looked_at)
    } else {
        None
    };
    let lowest = lowest.map(|lowest| lowest.value() * gate.times.value());
    if let Some(value) = lowest
        && value >= gate.limit.value()
    {
        let per_hour = climb.map_or(0.0, |(_, per_hour)| per_hour);
        return climbing(gate, value, per_hour, *until);
    }
    let Some((value, per_hour)) = climb else {
        return GateResult::only(Verdict::Pass);
    };
    let needed = if gate.requests.is_empty() {
        LOAD_UNKNOWN_MIN
    } else if rises(&gate.requests, readings, from, looked_at) {
        TREND_OVER - SignedDuration::from_mins(30)
    } else {
        LOOKED_AT_MIN
    };
    if looked_at < needed {
        return GateResult::only(Verdict::Pass);
    }
    let hours = (gate.limit.value() - value).max(0.0) / per_hour;
    if let Ok(left) = SignedDuration::try_from_secs_f64(hours * 3600.0)
        && left <= gate.within
        && let Ok(reaches_at) = until.checked_add(left)
    {
        return climbing(gate, value, per_hour, reaches_at);
    }
    GateResult::only(Verdict::Pass)
}

/// Returns true if the requests of the last third of the time are clearly more than those of the first third.
fn rises(
    requests: &[Query],
    readings: &Readings,
    from: Timestamp,
    looked_at: SignedDuration,
) -> bool {
    let third = looked_at / 3;
    let first = sum(requests, readings, (from, from + third));
    let last = sum(requests, readings, (from + third * 2, from + looked_at));
    last > first * LOAD_RISES
}

/// Returns the lowest value of the last part and the climb in an hour. `None` unless all lowest values but at most one
/// are above the one before, and the climb is large enough.
fn climb(
    gate: &TrendGate,
    points: &BTreeMap<Timestamp, Number>,
    from: Timestamp,
    looked_at: SignedDuration,
) -> Option<(f64, f64)> {
    let count = i32::try_from(PARTS).ok()?;
    let part = looked_at / count;
    let mut lows: Vec<f64> = Vec::new();
    for index in 0..count {
        let begin = from + part * index;
        let values = points.range(begin..begin + part).map(|(_, value)| *value);
        lows.push(values.min()?.value() * gate.times.value());
    }
    let rising = lows.windows(2).filter(|pair| pair[1] > pair[0]).count();
    let (first, last) = (lows.first()?, lows.last()?);
    let climbed = last - first;
    let clear = climbed >= CLIMB_MIN * gate.limit.value();
    let hours = (part * (count - 1)).as_secs_f64() / 3600.0;
    if !clear || rising + 1 < lows.len() - 1 {
        return None;
    }
    Some((*last, climbed / hours))
}

/// Returns the result for a metric that is at its limit, or will reach it.
fn climbing(gate: &TrendGate, value: f64, per_hour: f64, reaches_at: Timestamp) -> GateResult {
    GateResult::only(Verdict::NotJudged(HoldReason::Climbing {
        gate: gate.id(),
        value: Number::rounded(value).unwrap_or(gate.limit),
        per_hour: Number::rounded(per_hour).unwrap_or(gate.limit),
        limit: gate.limit,
        unit: gate.unit,
        reaches_at: super::reading::floor(reaches_at, TREND_PERIOD_MINS),
    }))
}
