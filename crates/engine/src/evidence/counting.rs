//! Counts the requests of a step and of a whole attempt, from the readings since the last journaled [`Tally`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::gate::BeforeAfter;
use super::number::Number;
use super::plan::{Counted, Measures, Query};
use super::reading::{READ_AGAIN, Readings, SeriesReading, ceil, floor};
use super::sequential::TrafficMinute;
use super::sequential::fixed::{float, natural};
use super::tally::{Latest, Tally};
use crate::state::{FIRST_WRITE_SLACK, State};

/// The interval at which the tally is journaled while nothing else happens. Reading the minutes since then again costs
/// nothing, because `CloudWatch` charges by the metric, however long the range. An entry with a comparison has about 4
/// KiB.
pub const COUNT_EVERY: SignedDuration = SignedDuration::from_mins(30);

/// The time before the start from which the old side's errors are counted, to learn how they come in bursts.
const BEFORE_START: SignedDuration = SignedDuration::from_hours(24);

/// The time over which the present rate of requests is measured.
const RATE_OVER: SignedDuration = SignedDuration::from_hours(1);

/// The longest time that is predicted.
const FORESEEN_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Returns the minute at which readings of counts must begin. `None` before the first write.
pub fn count_from(state: &State) -> Option<Timestamp> {
    let first_write = state.first_write?;
    if let Some(tally) = &state.measured.tally {
        return Some(tally.until);
    }
    Some(match &state.plan().gates.measures.regression {
        Some(_) => floor(first_write - BEFORE_START, 1),
        None => floor(first_write, 1),
    })
}

/// Returns all series that are counted.
fn counts(measures: &Measures) -> impl Iterator<Item = &Query> {
    let traffic = measures
        .traffic
        .iter()
        .flat_map(|gate| gate.new.iter().chain(&gate.old));
    let compared = measures.regression.iter().flat_map(|gate| {
        let both = [&gate.new, &gate.old];
        both.into_iter()
            .flat_map(|side| side.requests.iter().chain(&side.errors))
    });
    traffic.chain(compared)
}

/// The counts up to now: all, and those that no longer change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpToDate {
    /// The counts of every minute that was read.
    pub all: Tally,
    /// The counts of the minutes that no longer change ([`READ_AGAIN`]). Later minutes are read again, and count as
    /// they are then.
    pub settled: Tally,
}

/// Returns the journaled counts with every minute that was read since then. If a series could not be read, no minute is
/// added. `None` before the first write.
///
/// Each minute counts once, however the minutes were divided into readings: only minutes after the journaled ones are
/// added, in order.
pub fn up_to_date(state: &State, readings: &Readings) -> Option<UpToDate> {
    let measures = &state.plan().gates.measures;
    let from = count_from(state)?;
    let mut tally = match &state.measured.tally {
        Some(tally) => tally.clone(),
        None => Tally {
            until: from,
            new_requests: 0,
            old_requests: 0,
            run: None,
            readings: Vec::new(),
        },
    };
    if let Some(gate) = &measures.regression {
        tally.run.get_or_insert_with(|| gate.test.evidence());
    }
    let until = covered(counts(measures), readings).map_or(from, |until| until.max(from));
    let settled = count(tally, state, readings, until - READ_AGAIN);
    Some(UpToDate {
        all: count(settled.clone(), state, readings, until),
        settled,
    })
}

/// Adds the minutes from the end of `tally` to `until`, if there are any.
fn count(mut tally: Tally, state: &State, readings: &Readings, until: Timestamp) -> Tally {
    let measures = &state.plan().gates.measures;
    let range = (tally.until, until.max(tally.until));
    if let (Some(gate), Some(since)) = (&measures.traffic, state.measured.step_from) {
        let step = (range.0.max(since), range.1);
        let (new, old) = (
            total(&gate.new, readings, step),
            total(&gate.old, readings, step),
        );
        tally.new_requests = tally.new_requests.saturating_add(new);
        tally.old_requests = tally.old_requests.saturating_add(old);
    }
    if let (Some(gate), Some(run)) = (&measures.regression, &mut tally.run) {
        let started = state.first_write.map(|at| ceil(at + FIRST_WRITE_SLACK, 1));
        let idle_from = if state.old_is_idle() {
            state.step_began_at
        } else {
            None
        };
        for mut look in looks(&gate.new, &gate.old, readings, range) {
            // An old side without weight has only late requests, which prove nothing about it.
            if idle_from.is_some_and(|from| look.minute >= from) {
                continue;
            }
            // Requests to the new side before the start were tests or probes, and not traffic.
            if started.is_none_or(|started| look.minute < started) {
                (look.new_requests, look.new_errors) = (0, 0);
            }
            run.add(&look);
        }
    }
    tally.until = range.1;
    tally
}

/// Returns the end of the minutes that were read of all these series. `None` if one of them was not read, or if there
/// are none.
pub(super) fn covered<'q>(
    queries: impl Iterator<Item = &'q Query>,
    readings: &Readings,
) -> Option<Timestamp> {
    let mut covered: Option<Timestamp> = None;
    for query in queries {
        let SeriesReading::Read { until, .. } = readings.get(query)? else {
            return None;
        };
        covered = Some(covered.map_or(*until, |covered| covered.min(*until)));
    }
    covered
}

/// Returns the requests of both sides in each minute of `range`, in order. Minutes without a datapoint are left out.
pub(super) fn looks(
    new: &Counted,
    old: &Counted,
    readings: &Readings,
    range: (Timestamp, Timestamp),
) -> Vec<TrafficMinute> {
    let sums = [
        sums(&new.requests, readings, range),
        sums(&new.errors, readings, range),
        sums(&old.requests, readings, range),
        sums(&old.errors, readings, range),
    ];
    let mut minutes: Vec<Timestamp> = sums.iter().flat_map(BTreeMap::keys).copied().collect();
    minutes.sort_unstable();
    minutes.dedup();
    let mut looks = Vec::with_capacity(minutes.len());
    for minute in minutes {
        let [new_requests, new_errors, old_requests, old_errors] =
            sums.each_ref().map(|counts| at(counts, minute));
        looks.push(TrafficMinute {
            minute,
            new_requests,
            new_errors,
            old_requests,
            old_errors,
        });
    }
    looks
}

/// Returns the count of a minute as a whole number; 0 without a datapoint.
fn at(counts: &BTreeMap<Timestamp, Number>, minute: Timestamp) -> u64 {
    let number = counts.get(&minute).copied();
    number.unwrap_or(Number::ZERO).whole()
}

/// Returns the sum of several series for each period in `[from, until)`. A series without a datapoint counts as zero
/// there.
pub(super) fn sums(
    queries: &[Query],
    readings: &Readings,
    (from, until): (Timestamp, Timestamp),
) -> BTreeMap<Timestamp, Number> {
    let mut sums: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for query in queries {
        let Some(SeriesReading::Read { points, .. }) = readings.get(query) else {
            continue;
        };
        for (at, value) in points.range(from..until.max(from)) {
            *sums.entry(*at).or_default() += value.value();
        }
    }
    let mut numbers = BTreeMap::new();
    for (at, sum) in sums {
        if let Some(number) = Number::new(sum) {
            numbers.insert(at, number);
        }
    }
    numbers
}

/// Returns the sum of all datapoints of several series in `[from, until)`.
pub(super) fn sum(
    queries: &[Query],
    readings: &Readings,
    (from, until): (Timestamp, Timestamp),
) -> f64 {
    let mut sum = 0.0;
    for query in queries {
        let Some(SeriesReading::Read { points, .. }) = readings.get(query) else {
            continue;
        };
        for (_, value) in points.range(from..until.max(from)) {
            sum += value.value();
        }
    }
    sum
}

/// Returns the same as [`sum`], as a whole number.
pub(super) fn total(queries: &[Query], readings: &Readings, range: (Timestamp, Timestamp)) -> u64 {
    natural(sum(queries, readings, range))
}

/// Returns about when `missing` more requests will have come, at the rate of the last [`RATE_OVER`], or since `since`
/// if that is later. `None` if no requests come, or if it takes longer than [`FORESEEN_MAX`].
pub(super) fn came_at(
    queries: &[Query],
    readings: &Readings,
    since: Timestamp,
    missing: u64,
) -> Option<Timestamp> {
    let (from, until) = read_over(queries, readings)?;
    let from = from.max(since).max(until.checked_sub(RATE_OVER).ok()?);
    let came = sum(queries, readings, (from, until));
    let mins = until.duration_since(from).as_secs_f64() / 60.0;
    if came <= 0.0 || mins <= 0.0 {
        return None;
    }
    let more = float(missing) * mins / came;
    if more > FORESEEN_MAX.as_secs_f64() / 60.0 {
        return None;
    }
    let more = i64::try_from(natural(more.ceil())).ok()?;
    until.checked_add(SignedDuration::from_mins(more)).ok()
}

/// Returns the beginning and the end of the minutes that were read of all these series. `None` if one was not read, or
/// if there are none.
pub(super) fn read_over(queries: &[Query], readings: &Readings) -> Option<(Timestamp, Timestamp)> {
    let mut over: Option<(Timestamp, Timestamp)> = None;
    for query in queries {
        let SeriesReading::Read { from, until, .. } = readings.get(query)? else {
            return None;
        };
        over = Some(match over {
            None => (*from, *until),
            Some((first, last)) => (first.max(*from), last.min(*until)),
        });
    }
    over
}

/// Returns true if the tally must be journaled although nothing else happens: as soon as it has its first minutes, and
/// then every [`COUNT_EVERY`].
pub fn is_due(state: &State, tally: &Tally) -> bool {
    let Some(from) = count_from(state) else {
        return false;
    };
    let new = tally.until.duration_since(from);
    let first = state.measured.tally.is_none();
    new >= COUNT_EVERY || (first && new > SignedDuration::ZERO)
}

/// Returns the values of each metric when the step was taken, and now.
pub fn before_and_after(state: &State, now: &[Latest]) -> Vec<BeforeAfter> {
    let mut all = Vec::new();
    for latest in now {
        let mut before = state.measured.before.iter();
        let before = before.find(|before| before.name == latest.name);
        all.push(BeforeAfter {
            name: latest.name.clone(),
            unit: latest.unit,
            before: before.and_then(|before| before.new),
            after: latest.new,
            old: latest.old,
        });
    }
    all
}
