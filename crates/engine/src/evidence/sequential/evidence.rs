//! The evidence of the comparison: the sums over all counted minutes, in a bounded number of integers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dispersion::{Dispersion, SideCounts};
use super::fixed::{float, rounded};

/// The alternatives that are tested: the new side fails this many times as often as `at_most` allows.
pub const ALTERNATIVES: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// One minute of traffic on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficMinute {
    /// The start of the minute. Seconds are cut off.
    pub minute: Timestamp,
    /// The number of requests to the new side.
    pub new_requests: u64,
    /// The number of requests to the new side that failed.
    pub new_errors: u64,
    /// The number of requests to the old side.
    pub old_requests: u64,
    /// The number of requests to the old side that failed.
    pub old_errors: u64,
}

/// The sums over all minutes so far. [`super::Test::evidence`] creates it, and [`Evidence::with`] adds a minute. It
/// stays below 8 KiB as JSON, however long the attempt.
///
/// Minutes may be added in any order within six hours, and in any batches: the result is the same to the last digit. A
/// minute counts once. A minute that is added more than six hours after a newer one does not count.
/// [`Evidence::with_all`] sorts a batch first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The ratio that the evidence is for, in thousandths: how many times as often the new side may fail.
    at_most: u32,
    /// The half-hours of the old side to which minutes may still be added, oldest first.
    recent: Vec<HalfHour>,
    /// The dispersion of the errors in all older half-hours.
    dispersion: Dispersion,
    /// The hours in which both sides had requests, in spans, oldest first.
    spans: Vec<HourSpan>,
    /// The first minute in which both sides had requests, in minutes since 1970. `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<i64>,
}

/// Two neighbouring quarters of an hour of the old side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HalfHour {
    /// The number of half-hours since 1970.
    index: i64,
    /// One bit for each minute that was counted, also if only one side had requests.
    seen: u32,
    /// The old side's requests in each quarter.
    quarters: [SideCounts; 2],
}

/// One or more hours in which both sides had requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HourSpan {
    /// The first hour of the span, in hours since 1970.
    pub(super) hour: i64,
    /// The new side's requests in the minutes in which both sides had some.
    pub(super) new: SideCounts,
    /// The old side's requests in the same minutes.
    pub(super) old: SideCounts,
    /// For each alternative, the number to subtract from the logarithm of its odds, in millionths (see `mod.rs`).
    pub(super) costs: [i64; ALTERNATIVES.len()],
}

/// The number of half-hours, counted from the newest, to which minutes may still be added.
const RECENT_HALF_HOURS: i64 = 12;

/// How old a span is when it is merged with its neighbour into one twice as long, in lengths of the longer span. So two
/// weeks have about 20 spans.
const SPANS_A_SIZE: i64 = 2;

/// How often the length of a span can double: 2¹² hours are about half a year.
const DOUBLINGS_MAX: u32 = 12;

/// The largest number of requests that count in a minute. No service has more, and no sum overflows within a century.
const REQUESTS_MAX: u64 = 1_000_000_000;

impl Evidence {
    /// Returns empty evidence for a ratio in thousandths.
    pub(super) fn new(at_most: u32) -> Self {
        Self {
            at_most,
            recent: Vec::new(),
            dispersion: Dispersion::default(),
            spans: Vec::new(),
            first: None,
        }
    }

    /// Returns the evidence with one more minute. It is unchanged if that minute was counted before.
    #[must_use]
    pub fn with(&self, look: &TrafficMinute) -> Self {
        let mut evidence = self.clone();
        evidence.add(look);
        evidence
    }

    /// Returns the evidence with many more minutes, in any order.
    #[must_use]
    pub fn with_all(&self, looks: &[TrafficMinute]) -> Self {
        let mut sorted = looks.to_vec();
        sorted.sort_by_key(|look| look.minute);
        let mut evidence = self.clone();
        for look in &sorted {
            evidence.add(look);
        }
        evidence
    }

    /// Adds a minute. If a minute is added twice, the first time counts.
    pub fn add(&mut self, look: &TrafficMinute) {
        let minute = look.minute.as_second().div_euclid(60);
        let new = side(look.new_requests, look.new_errors);
        let old = side(look.old_requests, look.old_errors);
        if !self.open(minute.div_euclid(30)) || !self.count_minute(minute, old) {
            return;
        }
        if new.requests > 0 && old.requests > 0 {
            self.first = Some(self.first.map_or(minute, |first| first.min(minute)));
            self.compare(minute.div_euclid(60), new, old);
        }
    }

    /// Returns the ratio that the evidence is for, in thousandths.
    pub(super) fn at_most(&self) -> u32 {
        self.at_most
    }

    /// Returns the first minute in which both sides had requests. `None` if there is none.
    pub(super) fn first(&self) -> Option<Timestamp> {
        let second = self.first?.checked_mul(60)?;
        Timestamp::from_second(second).ok()
    }

    /// Returns the hours in which both sides had requests, in spans.
    pub(super) fn spans(&self) -> &[HourSpan] {
        &self.spans
    }

    /// Returns the number of errors that count as one ([`Dispersion::assumed`]).
    pub(super) fn dispersion(&self) -> f64 {
        let mut all = self.dispersion;
        for half_hour in &self.recent {
            let [first, second] = half_hour.quarters;
            all.add_pair(first, second);
        }
        all.assumed()
    }

    /// Opens a half-hour for minutes, and closes those that are now too old. Returns false if the half-hour is too old
    /// itself.
    fn open(&mut self, index: i64) -> bool {
        let newest = self
            .recent
            .last()
            .map_or(index, |last| last.index.max(index));
        let oldest = newest.saturating_sub(RECENT_HALF_HOURS);
        if index <= oldest {
            return false;
        }
        let closed = self.recent.partition_point(|half| half.index <= oldest);
        for half_hour in self.recent.drain(..closed) {
            let [first, second] = half_hour.quarters;
            self.dispersion.add_pair(first, second);
        }
        if let Err(place) = self.recent.binary_search_by_key(&index, |half| half.index) {
            let half_hour = HalfHour {
                index,
                seen: 0,
                quarters: [SideCounts::default(); 2],
            };
            self.recent.insert(place, half_hour);
        }
        true
    }

    /// Counts a minute of the old side. Returns false if the minute was counted before.
    fn count_minute(&mut self, minute: i64, old: SideCounts) -> bool {
        let index = minute.div_euclid(30);
        let Ok(place) = self.recent.binary_search_by_key(&index, |half| half.index) else {
            return false;
        };
        let half_hour = &mut self.recent[place];
        let within = minute.rem_euclid(30);
        let bit = 1_u32 << within;
        if half_hour.seen & bit != 0 {
            return false;
        }
        half_hour.seen |= bit;
        half_hour.quarters[usize::from(within >= 15)].add(old);
        true
    }

    /// Adds a minute in which both sides had requests.
    fn compare(&mut self, hour: i64, new: SideCounts, old: SideCounts) {
        let newest = self.spans.last().map(|last| last.hour);
        if newest.is_none_or(|newest| newest < hour) {
            self.merge_spans(hour);
        }
        let hour = first_hour(hour, newest.unwrap_or(hour).max(hour));
        let span = HourSpan {
            hour,
            new,
            old,
            costs: costs(self.at_most, new, old),
        };
        match self.spans.binary_search_by_key(&hour, |span| span.hour) {
            Ok(place) => self.spans[place].add(&span),
            Err(place) => self.spans.insert(place, span),
        }
    }

    /// Merges spans that belong together, as soon as the hour `newest` has come.
    fn merge_spans(&mut self, newest: i64) {
        let mut merged: Vec<HourSpan> = Vec::with_capacity(self.spans.len() + 1);
        for mut span in self.spans.drain(..) {
            span.hour = first_hour(span.hour, newest);
            match merged.last_mut() {
                Some(last) if last.hour == span.hour => last.add(&span),
                Some(_) | None => merged.push(span),
            }
        }
        self.spans = merged;
    }
}

impl HourSpan {
    /// Adds the counts of another span.
    pub(super) fn add(&mut self, other: &Self) {
        self.new.add(other.new);
        self.old.add(other.old);
        for (cost, more) in self.costs.iter_mut().zip(other.costs) {
            *cost = cost.saturating_add(more);
        }
    }
}

/// Returns the counts of a side in a minute. If there are more errors than requests, all requests failed: a load
/// balancer leaves requests that it rejects itself out of `RequestCount`.
fn side(requests: u64, errors: u64) -> SideCounts {
    let errors = errors.min(REQUESTS_MAX);
    SideCounts {
        requests: requests.min(REQUESTS_MAX).max(errors),
        errors,
    }
}

/// Returns the first hour of the span that an hour belongs to, as soon as the hour `newest` has come. It depends on
/// nothing else, and spans are only merged and never split. So the order of minutes makes no difference.
fn first_hour(hour: i64, newest: i64) -> i64 {
    let mut first = hour;
    for doubling in 1..=DOUBLINGS_MAX {
        let size = 1_i64 << doubling;
        let start = hour.div_euclid(size).saturating_mul(size);
        if start.saturating_add(size) > newest.saturating_sub(SPANS_A_SIZE * size) {
            break;
        }
        first = start;
    }
    first
}

/// Returns the cost of a minute's errors for each alternative (see `mod.rs`).
fn costs(at_most: u32, new: SideCounts, old: SideCounts) -> [i64; ALTERNATIVES.len()] {
    let at_most = f64::from(at_most) / 1_000.0;
    let errors = float(new.errors + old.errors);
    let (to_new, to_old) = (float(new.requests), float(old.requests));
    let just = at_most * to_new + to_old;
    ALTERNATIVES.map(|times| {
        let worse = times * at_most * to_new + to_old;
        rounded(errors * (worse / just).ln() * 1_000_000.0)
    })
}
