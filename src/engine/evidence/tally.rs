//! What the minutes add up to that no window holds: the requests of a step, and the comparison of a whole run.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::gate::{BeforeAfter, Unit};
use super::number::Number;
use super::plan::{Counted, Measures, Query};
use super::reading::{READ_AGAIN, Readings, SeriesReading, ceil, floor};
use super::sequential::fixed::{float, natural};
use super::sequential::{Evidence, Look};
use crate::engine::fold::FIRST_WRITE_SLACK;
use crate::engine::state::State;

/// How often the tally is journaled while nothing else happens. The minutes since then are read again, which costs
/// nothing more: `CloudWatch` charges by the metric, however long the range. An entry with a comparison has some 4 KiB.
pub const COUNT_EVERY: SignedDuration = SignedDuration::from_mins(30);

/// The comparison begins with the old side's last day before the start, for its bursts.
const BEFORE_START: SignedDuration = SignedDuration::from_hours(24);

/// What was counted up to a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All minutes before this one are counted.
    pub until: Timestamp,
    /// The new side's requests since the step's bake began.
    #[serde(default)]
    pub new_requests: u64,
    /// The old side's.
    #[serde(default)]
    pub old_requests: u64,
    /// The comparison of the run so far; none where the plan asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Evidence>,
    /// What the metrics read last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Latest>,
}

/// How many requests come is taken from so long a time.
const RATE_OVER: SignedDuration = SignedDuration::from_hours(1);

/// What would come later than this is not foreseen.
const FORESEEN_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What a metric read last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// The metric gate.
    pub name: String,
    /// What is counted.
    #[serde(default)]
    pub unit: Unit,
    /// The new side; none where there was nothing to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Number>,
    /// The old side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Number>,
}

/// What the journal keeps of all this for one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// As last journaled.
    pub tally: Option<Tally>,
    /// From which minute on the current step's requests count: its bake has begun.
    pub step_from: Option<Timestamp>,
    /// What the metrics read when the current step was taken.
    pub before: Vec<Latest>,
    /// Violations that ended before this were answered: a person let the cutover go on after a halt.
    pub violations_from: Option<Timestamp>,
}

impl Measured {
    /// A step is about to be taken: what is read now is what was before it.
    pub fn step_taken(&mut self) {
        if let Some(tally) = &self.tally {
            self.before.clone_from(&tally.readings);
        }
    }

    /// The step's weights are there; its bake has not begun.
    pub fn step_verified(&mut self) {
        self.step_from = None;
    }

    /// A step's bake has begun.
    pub fn bake_started(&mut self, at: Timestamp) {
        self.step_from = Some(ceil(at, 1));
        if let Some(tally) = &mut self.tally {
            (tally.new_requests, tally.old_requests) = (0, 0);
        }
    }

    /// Another comparison than before is asked for: what was gathered for that one proves nothing.
    pub fn amended(&mut self, measures: &Measures, before: &Measures) {
        let compared = |measures: &Measures| {
            let gate = measures.regression.as_ref()?;
            Some((gate.new.clone(), gate.old.clone(), gate.test.at_most()))
        };
        if compared(measures) != compared(before)
            && let Some(tally) = &mut self.tally
        {
            tally.run = None;
        }
    }
}

/// From which minute on the readings of counts must begin; none before the first write.
pub fn count_from(state: &State) -> Option<Timestamp> {
    let first_write = state.first_write?;
    let tally = state.measured.tally.as_ref();
    let begins = || match &state.plan().gates.measures.regression {
        Some(_) => floor(first_write - BEFORE_START, 1),
        None => floor(first_write, 1),
    };
    Some(tally.map_or_else(begins, |tally| tally.until))
}

/// Everything that is counted in the plan's measures.
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

/// What was counted, as it is judged by and as it is journaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpToDate {
    /// Every minute that was read.
    pub all: Tally,
    /// The minutes that change no more ([`READ_AGAIN`]); later ones are read again, and count as they are then.
    pub settled: Tally,
}

/// The tally with every minute that was read since it was journaled; as it is where not everything was. None before the
/// first write, and where nothing is counted.
///
/// A minute counts once whatever the readings were cut like: only minutes from the tally's end on are taken, in order.
pub fn up_to_date(state: &State, readings: &Readings) -> Option<UpToDate> {
    let measures = &state.plan().gates.measures;
    let from = count_from(state)?;
    let begins = || Tally {
        until: from,
        new_requests: 0,
        old_requests: 0,
        run: None,
        readings: Vec::new(),
    };
    let mut tally = state.measured.tally.clone().unwrap_or_else(begins);
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

/// Adds the minutes from the tally's end to `until`, if there are any.
fn count(mut tally: Tally, state: &State, readings: &Readings, until: Timestamp) -> Tally {
    let measures = &state.plan().gates.measures;
    let range = (tally.until, until.max(tally.until));
    if let (Some(gate), Some(since)) = (&measures.traffic, state.measured.step_from) {
        let step = (range.0.max(since), range.1);
        let of = |queries: &[Query]| total(queries, readings, step);
        tally.new_requests = tally.new_requests.saturating_add(of(&gate.new));
        tally.old_requests = tally.old_requests.saturating_add(of(&gate.old));
    }
    if let (Some(gate), Some(run)) = (&measures.regression, &mut tally.run) {
        let started = state.first_write.map(|at| ceil(at + FIRST_WRITE_SLACK, 1));
        let idle_from = state.step_began_at.filter(|_| state.old_is_idle());
        for mut look in looks(&gate.new, &gate.old, readings, range) {
            // Without a weight the old side has stragglers, which prove nothing about it.
            if idle_from.is_some_and(|from| look.minute >= from) {
                continue;
            }
            // Whoever called the new side before the start was no part of the traffic: a test, a probe.
            if started.is_none_or(|started| look.minute < started) {
                (look.new_requests, look.new_errors) = (0, 0);
            }
            run.add(&look);
        }
    }
    tally.until = range.1;
    tally
}

/// The end of what was read of all these series; none where one of them was not, or where there are none.
fn covered<'q>(queries: impl Iterator<Item = &'q Query>, readings: &Readings) -> Option<Timestamp> {
    let mut ends = queries.map(|query| match readings.get(query) {
        Some(SeriesReading::Read { until, .. }) => Some(*until),
        Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => None,
    });
    let first = ends.next()??;
    ends.try_fold(first, |least, end| Some(least.min(end?)))
}

/// The minutes of both sides in `[from, until)`, in order.
pub(super) fn looks(
    new: &Counted,
    old: &Counted,
    readings: &Readings,
    range: (Timestamp, Timestamp),
) -> Vec<Look> {
    let of = |queries: &[Query]| sums(queries, readings, range);
    let sides = [
        of(&new.requests),
        of(&new.errors),
        of(&old.requests),
        of(&old.errors),
    ];
    let mut minutes: Vec<Timestamp> = sides.iter().flat_map(BTreeMap::keys).copied().collect();
    minutes.sort_unstable();
    minutes.dedup();
    let at = |side: usize, minute: &Timestamp| {
        let number = sides[side].get(minute).copied();
        number.unwrap_or(Number::ZERO).whole()
    };
    minutes
        .iter()
        .map(|minute| Look {
            minute: *minute,
            new_requests: at(0, minute),
            new_errors: at(1, minute),
            old_requests: at(2, minute),
            old_errors: at(3, minute),
        })
        .collect()
}

/// The sums over several series in `[from, until)`; a series without a datapoint counts nothing there.
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
    let numbers = sums
        .into_iter()
        .filter_map(|(at, sum)| Some((at, Number::new(sum)?)));
    numbers.collect()
}

/// All datapoints of several series in `[from, until)` together.
pub(super) fn sum(
    queries: &[Query],
    readings: &Readings,
    (from, until): (Timestamp, Timestamp),
) -> f64 {
    let points = queries
        .iter()
        .filter_map(|query| match readings.get(query) {
            Some(SeriesReading::Read { points, .. }) => Some(points),
            Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => None,
        });
    points
        .flat_map(|points| points.range(from..until.max(from)))
        .map(|(_, value)| value.value())
        .sum()
}

/// As [`sum`], as a whole number.
pub(super) fn total(queries: &[Query], readings: &Readings, range: (Timestamp, Timestamp)) -> u64 {
    natural(sum(queries, readings, range))
}

/// About when so many more requests will have come, if they come as in the last [`RATE_OVER`] (and since `since`); none where nothing
/// comes, or not within [`FORESEEN_MAX`].
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

/// The minutes that all of these series were read over; none where one was not.
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

/// Whether it is time to journal the tally although nothing else happens: when the old side's last day is in it, and from
/// time to time.
pub fn is_due(state: &State, tally: &Tally) -> bool {
    let from = count_from(state);
    let first = state.measured.tally.is_none();
    from.is_some_and(|from| {
        let new = tally.until.duration_since(from);
        new >= COUNT_EVERY || (first && new > SignedDuration::ZERO)
    })
}

/// What each metric read when the step was taken, and what it reads now.
pub fn before_and_after(state: &State, now: &[Latest]) -> Vec<BeforeAfter> {
    let before = |name: &str| {
        let mut all = state.measured.before.iter();
        all.find(|latest| latest.name == name)
            .and_then(|latest| latest.new)
    };
    now.iter()
        .map(|latest| BeforeAfter {
            name: latest.name.clone(),
            unit: latest.unit,
            before: before(&latest.name),
            after: latest.new,
            old: latest.old,
        })
        .collect()
}
