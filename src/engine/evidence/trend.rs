//! Does something on the new side climb without end? A leak is seen in what is left after each collection, so the lows of
//! equal parts of the time are compared, and not the readings themselves.

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
const LOOKED_AT_MIN: SignedDuration = SignedDuration::from_hours(2);

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
    let from = (since + WARMS_UP_FOR).max(*until - TREND_OVER);
    let looked_at = until.duration_since(from);
    let seen = points.range(from..(*until).max(from)).next().is_some();
    if !seen && looked_at >= BLIND_AFTER {
        return Said::only(Verdict::Unknown(Unknown::NoData));
    }
    if looked_at < LOOKED_AT_MIN {
        return Said::only(Verdict::Pass);
    }
    let Some((value, per_hour)) = climb(gate, points, from, looked_at) else {
        return Said::only(Verdict::Pass);
    };
    let whole_day = looked_at >= TREND_OVER - SignedDuration::from_mins(30);
    let with_load = gate.requests.is_empty() || rises(&gate.requests, readings, from, looked_at);
    if with_load && !whole_day {
        return Said::only(Verdict::Pass);
    }
    reaches(gate, value, per_hour, *until)
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
    let clear = climbed >= CLIMB_MIN * gate.limit.value() && *last < gate.limit.value();
    let hours = (part * (count - 1)).as_secs_f64() / 3600.0;
    (clear && rising + 1 >= lows.len() - 1).then(|| (*last, climbed / hours))
}

/// When the climb ends, and whether that is soon enough to matter.
fn reaches(gate: &TrendGate, value: f64, per_hour: f64, until: Timestamp) -> Said {
    let hours = (gate.limit.value() - value) / per_hour;
    let left = SignedDuration::try_from_secs_f64(hours * 3600.0).ok();
    let left = left.filter(|left| *left <= gate.within);
    let told = left.and_then(|left| {
        let reaches_at = super::reading::floor(until.checked_add(left).ok()?, TREND_PERIOD_MINS);
        Some(HoldReason::Climbing {
            gate: gate.id(),
            value: Number::rounded(value)?,
            per_hour: Number::rounded(per_hour)?,
            limit: gate.limit,
            unit: gate.unit,
            reaches_at,
        })
    });
    Said::only(told.map_or(Verdict::Pass, Verdict::NotJudged))
}
