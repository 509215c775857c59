//! Readings of series, and the minutes that they cover.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::number::Number;
use super::plan::Query;

/// The reading of one series in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesReading {
    /// `CloudWatch` returned all minutes that were asked for.
    Read {
        /// The first minute that was asked for.
        from: Timestamp,
        /// The end of the last minute that was asked for.
        until: Timestamp,
        /// The datapoints by the start of their periods, which lie in `[from, until)`. A period without data has no
        /// datapoint. The map is shared, because every round copies it.
        points: Arc<BTreeMap<Timestamp, Number>>,
    },
    /// `CloudWatch` did not answer, returned a part only, or refused, with this message.
    Unreadable(String),
    /// The credentials may not read metrics, or are not valid, with this message.
    Denied(String),
}

/// The readings of the series that one cutover needs.
pub type Readings = BTreeMap<Query, SeriesReading>;

/// The time after the end of a minute from which the minute counts as complete. `CloudWatch` has only a part of the
/// data of the newest minutes.
///
/// Source: measured by others for load balancers (Netflix Atlas reads them two minutes late).
pub const COMPLETE_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// The time for which a datapoint may still change. The last datapoints of this length are read and judged again in
/// each round (semantics L13).
pub const READ_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// Returns the end of the last period that is complete at `now`, for periods of `period_mins` minutes.
pub fn complete_until(now: Timestamp, period_mins: u16) -> Timestamp {
    let complete = now.checked_sub(COMPLETE_AFTER).unwrap_or(now);
    floor(complete, period_mins)
}

/// Returns the start of the period that contains `at`. Periods are counted from 1970, as in `CloudWatch`.
pub fn floor(at: Timestamp, period_mins: u16) -> Timestamp {
    let period = 60 * i64::from(period_mins.max(1));
    let second = at.as_second().div_euclid(period) * period;
    Timestamp::from_second(second).unwrap_or(at)
}

/// Returns the start of the first period that begins at or after `at`.
pub fn ceil(at: Timestamp, period_mins: u16) -> Timestamp {
    let floor = floor(at, period_mins);
    let period = SignedDuration::from_mins(i64::from(period_mins.max(1)));
    if floor < at { floor + period } else { floor }
}
