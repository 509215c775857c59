//! Which series a cutover wants read now, and over which minutes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::plan::{Measure, Query, TREND_PERIOD_MINS};
use super::reading::{READ_AGAIN, complete_until, floor};
use super::tally;
use crate::engine::state::State;

/// The observed share is that of the last hour: resolvers keep answers for minutes, so that a shorter time says little.
pub const SHARE_OVER: SignedDuration = SignedDuration::from_hours(1);

/// A trend is of the last day, so that a day's ups and downs are in it.
pub const TREND_OVER: SignedDuration = SignedDuration::from_hours(24);

/// Before the start it is only asked whether a series can be read.
const GLANCE: SignedDuration = SignedDuration::from_mins(5);

/// The longest time that is caught up with after nobody looked: what is older is left out of the counts.
const CATCH_UP_MAX: SignedDuration = SignedDuration::from_hours(36);

/// The minutes `[from, until)` of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes {
    /// The first one.
    pub from: Timestamp,
    /// The first one that is not wanted any more.
    pub until: Timestamp,
}

impl Minutes {
    fn and(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }
}

/// The series that the cutover's gates need at `now`; nothing for plans that watch only alarms. `until` moves on only as
/// often as the plan says `every`, so whoever has read it already need not ask again before that.
pub fn wanted(state: &State, now: Timestamp) -> BTreeMap<Query, Minutes> {
    let measures = &state.plan().gates.measures;
    let mut wanted = BTreeMap::new();
    let mut want = |query: &Query, minutes: Minutes| {
        wanted
            .entry(query.clone())
            .and_modify(|before: &mut Minutes| *before = before.and(minutes))
            .or_insert(minutes);
    };
    for gate in &measures.metrics {
        let until = complete_until(now, gate.every_mins);
        let again = if state.has_started() {
            READ_AGAIN
        } else {
            SignedDuration::ZERO
        };
        // The window's end may lie up to a period before the delay, for it ends with a datapoint.
        let late = if gate.delay_mins == 0 {
            SignedDuration::ZERO
        } else {
            gate.delay() + gate.period()
        };
        let minutes = back(until, gate.window() + again + late);
        let old = gate.old.iter().flat_map(Measure::queries);
        let queries = gate.new.queries().chain(old).chain(&gate.requests);
        queries.for_each(|query| want(query, minutes));
    }
    let from = tally::count_from(state);
    let counted = |every_mins: u16, least: SignedDuration| {
        let until = complete_until(now, every_mins);
        let least = back(until, least);
        let oldest = until - CATCH_UP_MAX;
        let from = from.unwrap_or(least.from).min(least.from).max(oldest);
        Minutes { from, until }
    };
    if let Some(gate) = &measures.traffic {
        let least = if state.has_started() {
            SHARE_OVER
        } else {
            GLANCE
        };
        let minutes = counted(gate.every_mins, least);
        gate.new
            .iter()
            .chain(&gate.old)
            .for_each(|query| want(query, minutes));
    }
    if let Some(gate) = &measures.regression {
        let minutes = counted(gate.every_mins, GLANCE);
        for side in [&gate.new, &gate.old] {
            let queries = side.requests.iter().chain(&side.errors);
            queries.for_each(|query| want(query, minutes));
        }
    }
    for gate in &measures.trends {
        let until = complete_until(now, TREND_PERIOD_MINS);
        let over = if state.has_started() {
            TREND_OVER
        } else {
            GLANCE
        };
        let minutes = back(until, over);
        want(&gate.query, minutes);
        gate.requests.iter().for_each(|query| want(query, minutes));
    }
    wanted
}

fn back(until: Timestamp, over: SignedDuration) -> Minutes {
    let from = until.checked_sub(over).unwrap_or(until);
    Minutes {
        from: floor(from, 1),
        until,
    }
}
