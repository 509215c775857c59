//! Readings of series, and the minutes that they cover.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::number::Number;
use super::plan::Query;

/// The result of reading a series in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesReading {
    /// `CloudWatch` answered completely.
    Read {
        /// The first minute that was asked for.
        from: Timestamp,
        /// The end of the last one.
        until: Timestamp,
        /// Datapoints by the start of their periods, all in `[from, until)`. A period without data has none.
        /// Shared, because every round passes them on.
        points: Arc<BTreeMap<Timestamp, Number>>,
    },
    /// `CloudWatch` did not answer, answered in part, or refused.
    Unreadable(String),
    /// The credentials may not read metrics, or are not valid.
    Denied(String),
}

/// The readings of one cutover.
pub type Readings = BTreeMap<Query, SeriesReading>;

/// The time after the end of a minute when it counts as complete: `CloudWatch` has the newest minutes only in part.
///
/// Source: measured by others for load balancers (Netflix Atlas reads them two minutes late).
pub const COMPLETE_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// How long a datapoint may still change: this much of each series is read and judged again at each look.
pub const READ_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// The end of the last period that is complete at `now`, for periods of this many minutes.
pub fn complete_until(now: Timestamp, period_mins: u16) -> Timestamp {
    let complete = now.checked_sub(COMPLETE_AFTER).unwrap_or(now);
    floor(complete, period_mins)
}

/// The start of the period that contains a moment. Periods are aligned to the epoch, as in `CloudWatch`.
pub fn floor(at: Timestamp, period_mins: u16) -> Timestamp {
    let period = 60 * i64::from(period_mins.max(1));
    let second = at.as_second().div_euclid(period) * period;
    Timestamp::from_second(second).unwrap_or(at)
}

/// The first period that begins at or after a moment.
pub fn ceil(at: Timestamp, period_mins: u16) -> Timestamp {
    let floor = floor(at, period_mins);
    let period = SignedDuration::from_mins(i64::from(period_mins.max(1)));
    if floor < at { floor + period } else { floor }
}
