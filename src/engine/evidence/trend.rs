//! Does something on the new side climb without end? A leak is seen in what is left after each collection, so the lows of
//! equal parts of the time are compared, and not the readings themselves.
//!
//! What climbs with the requests does not climb without end. Where requests are counted, and do not rise themselves, two
//! hours tell. Where nobody counts them it takes [`LOAD_UNKNOWN_MIN`]: the steep part of a day's curve is no longer than
//! that. Where they rise it takes a whole day. A hold for a climb that was the day's own ends by itself when the curve turns.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::judge::{Said, unread};
use super::number::Number;
use super::plan::{Query, TREND_PERIOD_MINS, TrendGate};
use super::reading::{Readings, SeriesReading};
use super::tally::sum;
use super::wanted::TREND_OVER;
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::verdict::{Unknown, Verdict};

/// The time is cut into so many parts.
const PARTS: usize = 8;

/// Shorter than this nothing is a trend: a cache that fills is none.
pub(super) const LOOKED_AT_MIN: SignedDuration = SignedDuration::from_hours(2);

/// Where nobody counts requests, a shorter climb may be the morning's.
pub(super) const LOAD_UNKNOWN_MIN: SignedDuration = SignedDuration::from_hours(6);

/// So long after the bake began the climb to more traffic is over.
const WARMS_UP_FOR: SignedDuration = SignedDuration::from_mins(15);

/// A climb of less than this part of the limit over the whole time is none.
const CLIMB_MIN: f64 = 0.02;

/// Requests that rise by more than this make everything rise; then only a whole day tells.
const LOAD_RISES: f64 = 1.2;

/// Without a datapoint for so long the gate is blind.
const BLIND_AFTER: SignedDuration = SignedDuration::from_mins(30);

pub(super) fn judge(state: &State, readings: &Readings, gate: &TrendGate) -> Said {
    let queries = std::iter::once(&gate.query).chain(&gate.requests);
    if let Some(why) = unread(queries, readings) {
        return Said::only(Verdict::Unknown(why));
    }
    let (Some(SeriesReading::Read { until, points, .. }), Some(since)) =
        (readings.get(&gate.query), state.measured.step_from)
    else {
        return Said::only(Verdict::Pass);
    };
    let lately = since.max(*until - BLIND_AFTER);
    let newest = points.range(lately..(*until).max(lately));
    let lowest = newest.map(|(_, value)| *value).min();
    if lowest.is_none() && until.duration_since(since + WARMS_UP_FOR) >= BLIND_AFTER {
        return Said::only(Verdict::Unknown(Unknown::NoData));
    }
    let from = (since + WARMS_UP_FOR).max(*until - TREND_OVER);
    let looked_at = until.duration_since(from);
    let climb = (looked_at >= LOOKED_AT_MIN)
        .then(|| climb(gate, points, from, looked_at))
        .flatten();
    let lowest = lowest.map(|lowest| lowest.value() * gate.times.value());
    if let Some(value) = lowest.filter(|value| *value >= gate.limit.value()) {
        let per_hour = climb.map_or(0.0, |(_, per_hour)| per_hour);
        return climbing(gate, value, per_hour, *until);
    }
    let Some((value, per_hour)) = climb else {
        return Said::only(Verdict::Pass);
    };
    let needed = if gate.requests.is_empty() {
        LOAD_UNKNOWN_MIN
    } else if rises(&gate.requests, readings, from, looked_at) {
        TREND_OVER - SignedDuration::from_mins(30)
    } else {
        LOOKED_AT_MIN
    };
    if looked_at < needed {
        return Said::only(Verdict::Pass);
    }
    let hours = (gate.limit.value() - value).max(0.0) / per_hour;
    let left = SignedDuration::try_from_secs_f64(hours * 3600.0).ok();
    let reaches_at = left
        .filter(|left| *left <= gate.within)
        .and_then(|left| until.checked_add(left).ok());
    reaches_at.map_or(Said::only(Verdict::Pass), |at| {
        climbing(gate, value, per_hour, at)
    })
}

/// Whether the requests of the last third are clearly more than those of the first.
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

/// The last low and the climb an hour, if every low but one at most is above the one before.
fn climb(
    gate: &TrendGate,
    points: &BTreeMap<Timestamp, Number>,
    from: Timestamp,
    looked_at: SignedDuration,
) -> Option<(f64, f64)> {
    let count = i32::try_from(PARTS).ok()?;
    let part = looked_at / count;
    let low = |index: i32| {
        let begin = from + part * index;
        let values = points.range(begin..begin + part).map(|(_, value)| *value);
        values.min()
    };
    let lows: Option<Vec<Number>> = (0..count).map(low).collect();
    let lows: Vec<f64> = lows?
        .iter()
        .map(|low| low.value() * gate.times.value())
        .collect();
    let rising = lows.windows(2).filter(|pair| pair[1] > pair[0]).count();
    let (first, last) = (lows.first()?, lows.last()?);
    let climbed = last - first;
    let clear = climbed >= CLIMB_MIN * gate.limit.value();
    let hours = (part * (count - 1)).as_secs_f64() / 3600.0;
    (clear && rising + 1 >= lows.len() - 1).then(|| (*last, climbed / hours))
}

/// It is at its limit, or will be.
fn climbing(gate: &TrendGate, value: f64, per_hour: f64, reaches_at: Timestamp) -> Said {
    let rounded = |number| Number::rounded(number).unwrap_or(gate.limit);
    Said::only(Verdict::NotJudged(HoldReason::Climbing {
        gate: gate.id(),
        value: rounded(value),
        per_hour: rounded(per_hour),
        limit: gate.limit,
        unit: gate.unit,
        reaches_at: super::reading::floor(reaches_at, TREND_PERIOD_MINS),
    }))
}
