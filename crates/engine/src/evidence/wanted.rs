//! The series that a cutover needs now, and the minutes of each.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::counting;
use super::plan::{Measure, Query, TREND_PERIOD_MINS};
use super::reading::{READ_AGAIN, complete_until, floor};
use crate::state::State;

/// The time over which the share is observed: resolvers keep answers for minutes, so a shorter time tells little.
pub const SHARE_OVER: SignedDuration = SignedDuration::from_hours(1);

/// The time over which a trend is observed: a whole day, with its ups and downs.
pub const TREND_OVER: SignedDuration = SignedDuration::from_hours(24);

/// The time that is read before the start, only to check that a series can be read.
const GLANCE: SignedDuration = SignedDuration::from_mins(5);

/// The longest time that is counted afterwards if no controller was running: older minutes are left out.
const CATCH_UP_MAX: SignedDuration = SignedDuration::from_hours(36);

/// The minutes `[from, until)` of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes {
    /// The first one.
    pub from: Timestamp,
    /// The end of the last one.
    pub until: Timestamp,
}

impl Minutes {
    /// The minutes that contain both.
    fn and(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }
}

/// The series that the cutover's gates need at `now`; empty for plans that watch only alarms. `until` moves on only as
/// often as the plan's `every`, so a series that was read need not be read again before that.
pub fn wanted(state: &State, now: Timestamp) -> BTreeMap<Query, Minutes> {
    let measures = &state.plan().gates.measures;
    let mut wanted = SeriesWanted::default();
    for gate in &measures.metrics {
        let until = complete_until(now, gate.every_mins);
        let again = if state.has_started() {
            READ_AGAIN
        } else {
            SignedDuration::ZERO
        };
        // The window ends with a datapoint, so its end may be up to a period before the delay.
        let late = if gate.delay_mins == 0 {
            SignedDuration::ZERO
        } else {
            gate.delay() + gate.period()
        };
        let minutes = back(until, gate.window() + again + late);
        let old = gate.old.iter().flat_map(Measure::queries);
        wanted.add(gate.new.queries().chain(old).chain(&gate.requests), minutes);
    }
    let from = counting::count_from(state);
    if let Some(gate) = &measures.traffic {
        let least = if state.has_started() {
            SHARE_OVER
        } else {
            GLANCE
        };
        let until = complete_until(now, gate.every_mins);
        let minutes = counted(from, until, least);
        wanted.add(gate.new.iter().chain(&gate.old), minutes);
    }
    if let Some(gate) = &measures.regression {
        let until = complete_until(now, gate.every_mins);
        let minutes = counted(from, until, GLANCE);
        for side in [&gate.new, &gate.old] {
            wanted.add(side.requests.iter().chain(&side.errors), minutes);
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
        wanted.add(std::iter::once(&gate.query).chain(&gate.requests), minutes);
    }
    wanted.series
}

/// The series that were found to be needed so far.
#[derive(Default)]
struct SeriesWanted {
    series: BTreeMap<Query, Minutes>,
}

impl SeriesWanted {
    fn add<'q>(&mut self, queries: impl Iterator<Item = &'q Query>, minutes: Minutes) {
        for query in queries {
            let known = self.series.entry(query.clone()).or_insert(minutes);
            *known = known.and(minutes);
        }
    }
}

/// The minutes up to `until` from which counts are taken: from `from` on, and at least the last `least`.
fn counted(from: Option<Timestamp>, until: Timestamp, least: SignedDuration) -> Minutes {
    let least = back(until, least);
    let oldest = until - CATCH_UP_MAX;
    let from = from.unwrap_or(least.from).min(least.from).max(oldest);
    Minutes { from, until }
}

/// The minutes of this length up to `until`.
fn back(until: Timestamp, over: SignedDuration) -> Minutes {
    let from = until.checked_sub(over).unwrap_or(until);
    Minutes {
        from: floor(from, 1),
        until,
    }
}
