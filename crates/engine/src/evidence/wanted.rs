//! The series that a cutover needs now, and the minutes of each.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::counting;
use super::plan::Query;
use super::reading::{complete_until, floor};
use crate::state::State;

/// The longest time that is counted afterwards if no controller was running. Older minutes are left out.
const CATCH_UP_MAX: SignedDuration = SignedDuration::from_hours(36);

/// The minutes `[from, until)` that are read of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes {
    /// The first minute.
    pub from: Timestamp,
    /// The end of the last minute.
    pub until: Timestamp,
}

impl Minutes {
    /// Returns the shortest range that contains both ranges.
    fn and(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }
}

/// Returns the series that the cutover's gates need at `now`, with the minutes of each. Empty for a plan that watches
/// only alarms. `until` changes only as often as the plan's `every`, so a series that was read need not be read again
/// before that.
pub fn wanted(state: &State, now: Timestamp) -> BTreeMap<Query, Minutes> {
    let mut wanted = SeriesWanted::default();
    let from = counting::count_from(state);
    for gate in state.plan().gates.measures.gates() {
        let until = complete_until(now, gate.every_mins());
        let least = if state.has_started() {
            gate.looks_back()
        } else {
            gate.glances_back()
        };
        let minutes = if gate.id().gate.counts_from_start() {
            counted(from, until, least)
        } else {
            back(until, least)
        };
        let (new, old) = gate.sides();
        wanted.add(new.into_iter().chain(old), minutes);
    }
    wanted.series
}

/// Collects the series that the gates need.
#[derive(Default)]
struct SeriesWanted {
    series: BTreeMap<Query, Minutes>,
}

impl SeriesWanted {
    /// Adds these minutes of several series. The result covers all minutes that were added for a series.
    fn add<'q>(&mut self, queries: impl Iterator<Item = &'q Query>, minutes: Minutes) {
        for query in queries {
            let known = self.series.entry(query.clone()).or_insert(minutes);
            *known = known.and(minutes);
        }
    }
}

/// Returns the minutes up to `until` whose requests are counted: from `from` on, but at least the last `least` and at
/// most [`CATCH_UP_MAX`].
fn counted(from: Option<Timestamp>, until: Timestamp, least: SignedDuration) -> Minutes {
    let least = back(until, least);
    let oldest = until - CATCH_UP_MAX;
    let from = from.unwrap_or(least.from).min(least.from).max(oldest);
    Minutes { from, until }
}

/// Returns the minutes of the time `over` up to `until`.
fn back(until: Timestamp, over: SignedDuration) -> Minutes {
    let from = until.checked_sub(over).unwrap_or(until);
    Minutes {
        from: floor(from, 1),
        until,
    }
}
