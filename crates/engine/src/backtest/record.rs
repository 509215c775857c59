//! Records of the past: all changes of state of some alarms, and the datapoints of some series. A record can be stored
//! in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::evidence::number::Number;
use crate::evidence::plan::Query;
use crate::evidence::reading::{SeriesReading, floor};
use crate::evidence::wanted::Minutes;
use crate::observation::{AlarmReading, AlarmState};
use crate::plan::Account;
use crate::units::AlarmId;

/// The format version of the records that this program writes. It reads this version and all earlier ones.
pub const RECORD_VERSION: u32 = 1;

/// The past of some alarms and series between two times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record's format; see [`RECORD_VERSION`].
    pub version: u32,
    /// The time at which the record begins.
    pub since: Timestamp,
    /// The time at which the record ends.
    pub until: Timestamp,
    /// The alarms that were asked for, each with its past.
    pub alarms: Vec<AlarmRecord>,
    /// The series that were asked for, each with its past.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<SeriesRecord>,
}

/// The longest record, in days. `CloudWatch` keeps metrics for 455 days.
const LENGTH_MAX_DAYS: i64 = 1_000;

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A newer program wrote the record, in this version.
    #[error("it has version {0}, and this program knows versions up to {RECORD_VERSION}")]
    Newer(u32),
    /// The record has version 0, which no program writes.
    #[error("it has version 0, which no program wrote; versions begin at 1")]
    Zero,
    /// A time in the record cannot be right.
    #[error("{what} {at}, which is not between 1970 and 2200")]
    Absurd {
        /// The subject and verb of the message, for example `it begins at`.
        what: String,
        /// The time that cannot be right.
        at: Timestamp,
    },
    /// The record is longer than allowed; its length in days.
    #[error("it is {0} days long; {LENGTH_MAX_DAYS} are the most")]
    TooLong(i64),
    /// The changes of an alarm are not sorted by time.
    #[error("the changes of alarm {alarm} are not sorted by time: {at} comes after a later one")]
    Unsorted {
        /// The alarm whose changes are not sorted.
        alarm: AlarmId,
        /// The time of the first change that comes after a later one.
        at: Timestamp,
    },
    /// The record does not end after it begins.
    #[error("it ends at {until}, but begins at {since}")]
    Backwards {
        /// The time at which it begins.
        since: Timestamp,
        /// The time at which it ends.
        until: Timestamp,
    },
}

/// One alarm with its past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// The account that the alarm was read in.
    #[serde(default, skip_serializing_if = "Account::is_ambient")]
    pub account: Account,
    /// The name and region of the alarm.
    #[serde(flatten)]
    pub id: AlarmId,
    /// The alarm's past.
    pub past: Past,
}

/// One series with its past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesRecord {
    /// The account that the series was read in.
    #[serde(default, skip_serializing_if = "Account::is_ambient")]
    pub account: Account,
    /// The series that was read.
    pub query: Query,
    /// The series' past.
    pub past: SeriesPast,
}

/// The past of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesPast {
    /// The series was read.
    Known {
        /// The time at which the first period begins.
        from: Timestamp,
        /// The value of each period from there on, without gaps. `None` for a period without a datapoint.
        values: Vec<Option<Number>>,
    },
    /// The series could not be read, for this reason.
    Unreadable(String),
}

/// The past of an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Past {
    /// The alarm was read.
    Known {
        /// Its state at the beginning of the record.
        before: AlarmState,
        /// Its changes, oldest first.
        changes: Vec<AlarmChange>,
    },
    /// `CloudWatch` does not know the alarm.
    Missing,
    /// The alarm could not be read, for this reason.
    Unreadable(String),
}

/// One change of an alarm's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmChange {
    /// The time of the change, by AWS's clock.
    pub at: Timestamp,
    /// The state before the change. `None` if the history does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AlarmState>,
    /// The state after the change.
    pub to: AlarmState,
}

/// A time in which a gate had one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The state of the gate.
    pub state: AlarmState,
    /// The time at which it began.
    pub from: Timestamp,
    /// The time at which it ended.
    pub until: Timestamp,
}

impl Stretch {
    /// Returns the length of the time in this state.
    pub fn length(&self) -> SignedDuration {
        self.until.duration_since(self.from)
    }
}

impl Record {
    /// Returns an empty record of the time between these two.
    pub fn between(since: Timestamp, until: Timestamp) -> Self {
        Self {
            version: RECORD_VERSION,
            since,
            until,
            alarms: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Checks that this program can use the record.
    ///
    /// # Errors
    /// The record has a newer version, or is not valid.
    pub fn check(&self) -> Result<(), RecordError> {
        if self.version > RECORD_VERSION {
            return Err(RecordError::Newer(self.version));
        }
        if self.version == 0 {
            return Err(RecordError::Zero);
        }
        sensible("it begins at", self.since)?;
        sensible("it ends at", self.until)?;
        if self.until <= self.since {
            let (since, until) = (self.since, self.until);
            return Err(RecordError::Backwards { since, until });
        }
        let days = self.until.duration_since(self.since).as_hours() / 24;
        if days > LENGTH_MAX_DAYS {
            return Err(RecordError::TooLong(days));
        }
        for alarm in &self.alarms {
            alarm.check()?;
        }
        for series in &self.series {
            if let SeriesPast::Known { from, values } = &series.past {
                sensible("a series begins at", *from)?;
                let count = i32::try_from(values.len()).unwrap_or(i32::MAX);
                let end = from.checked_add(series.query.period() * count);
                sensible("a series ends at", end.unwrap_or(Timestamp::MAX))?;
            }
        }
        Ok(())
    }

    /// Returns the past of an alarm in an account. `None` if the record does not have it.
    pub fn past(&self, account: &Account, alarm: &AlarmId) -> Option<&Past> {
        for record in &self.alarms {
            if record.account == *account && record.id == *alarm {
                return Some(&record.past);
            }
        }
        None
    }

    /// Returns the past of a series in an account. `None` if the record does not have it.
    pub fn series(&self, account: &Account, query: &Query) -> Option<&SeriesPast> {
        for record in &self.series {
            if record.account == *account && record.query == *query {
                return Some(&record.past);
            }
        }
        None
    }
}

impl AlarmRecord {
    /// Checks that all changes have possible times and are sorted.
    fn check(&self) -> Result<(), RecordError> {
        let mut last = Timestamp::MIN;
        for change in self.past.changes() {
            sensible(&format!("alarm {} changes at", self.id), change.at)?;
            if change.at < last {
                let (alarm, at) = (self.id.clone(), change.at);
                return Err(RecordError::Unsorted { alarm, at });
            }
            last = change.at;
        }
        Ok(())
    }
}

/// Checks that a time can have been recorded, and is far from the ends of the calendar. `what` is its subject and verb,
/// for the message.
fn sensible(what: &str, at: Timestamp) -> Result<(), RecordError> {
    // The years 1970 to 2200. Even some years before or after them are still valid times.
    let years = Timestamp::UNIX_EPOCH.as_second()..7_258_118_400;
    if years.contains(&at.as_second()) {
        return Ok(());
    }
    Err(RecordError::Absurd {
        what: what.to_owned(),
        at,
    })
}

impl SeriesPast {
    /// Returns the past of a series with these datapoints, by the time at which their periods begin.
    pub fn of(points: &BTreeMap<Timestamp, Number>, period_mins: u16) -> Self {
        let period = SignedDuration::from_mins(i64::from(period_mins.max(1)));
        let first = points.keys().next().copied();
        let from = floor(first.unwrap_or(Timestamp::UNIX_EPOCH), period_mins);
        let mut values = Vec::with_capacity(points.len());
        let mut next = from;
        for (at, value) in points {
            while next + period <= *at {
                values.push(None);
                next += period;
            }
            values.push(Some(*value));
            next += period;
        }
        Self::Known { from, values }
    }

    /// Returns true if the series has at least one datapoint.
    pub fn has_data(&self) -> bool {
        match self {
            Self::Known { values, .. } => values.iter().any(Option::is_some),
            Self::Unreadable(_) => false,
        }
    }

    /// Returns the reading that a read of these minutes would have returned at that time.
    pub fn reading(&self, query: &Query, minutes: Minutes) -> SeriesReading {
        let (from, values) = match self {
            Self::Known { from, values } => (*from, values),
            Self::Unreadable(message) => return SeriesReading::Unreadable(message.clone()),
        };
        let period = query.period();
        let skipped = minutes.from.duration_since(from).as_secs();
        let first = usize::try_from(skipped.div_euclid(period.as_secs().max(60))).unwrap_or(0);
        let mut points = BTreeMap::new();
        let past = period * i32::try_from(first).unwrap_or(i32::MAX);
        let Ok(mut at) = from.checked_add(past) else {
            return SeriesReading::Unreadable("the record ends before these minutes".to_owned());
        };
        for value in values.iter().skip(first) {
            if at >= minutes.until {
                break;
            }
            if let Some(value) = value
                && at >= minutes.from
            {
                points.insert(at, *value);
            }
            at += period;
        }
        SeriesReading::Read {
            from: minutes.from,
            until: minutes.until,
            points: Arc::new(points),
        }
    }
}

impl Past {
    /// The past of an alarm by its state now and its history, with a state for every moment since `since`. If the
    /// history no longer reaches back to the last change, the alarm counts as without data before it.
    pub fn of(now: &AlarmReading, mut changes: Vec<AlarmChange>, since: Timestamp) -> Self {
        let (state, transitioned_at) = match now {
            AlarmReading::Missing => return Self::Missing,
            AlarmReading::Unreadable(message) | AlarmReading::Denied(message) => {
                return Self::Unreadable(message.clone());
            }
            AlarmReading::Found {
                state,
                transitioned_at,
                ..
            } => (*state, *transitioned_at),
        };
        changes.sort_by_key(|change| change.at);
        let before = match changes.first() {
            Some(first) => first.from.unwrap_or(AlarmState::InsufficientData),
            None if transitioned_at.is_some_and(|at| at > since) => AlarmState::InsufficientData,
            None => state,
        };
        if changes.is_empty()
            && before != state
            && let Some(at) = transitioned_at
        {
            changes.push(AlarmChange {
                at,
                from: None,
                to: state,
            });
        }
        Self::Known { before, changes }
    }

    /// Returns the reading that a read of the alarm at this time would have returned.
    pub fn reading_at(&self, at: Timestamp) -> AlarmReading {
        let (before, changes) = match self {
            Self::Known { before, changes } => (*before, changes),
            Self::Missing => return AlarmReading::Missing,
            Self::Unreadable(message) => return AlarmReading::Unreadable(message.clone()),
        };
        let until_then = changes.partition_point(|change| change.at <= at);
        let last = until_then.checked_sub(1).and_then(|last| changes.get(last));
        AlarmReading::Found {
            state: last.map_or(before, |change| change.to),
            transitioned_at: last.map(|change| change.at),
            evaluation: None,
        }
    }

    /// Returns the times at which the alarm entered ALARM, up to `until`.
    pub fn entered(&self, until: Timestamp) -> Vec<Timestamp> {
        let mut entered = Vec::new();
        for change in self.changes() {
            if change.at <= until && change.to == AlarmState::Alarm {
                entered.push(change.at);
            }
        }
        entered
    }

    /// Returns the time of the first change after `after`. `None` if there is none.
    pub fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let changes = self.changes();
        let next = changes.partition_point(|change| change.at <= after);
        changes.get(next).map(|change| change.at)
    }

    /// Returns all states of the alarm between two times, in order and without gaps. Empty if the alarm was not read.
    pub fn stretches(&self, since: Timestamp, until: Timestamp) -> Vec<Stretch> {
        let Self::Known { before, changes } = self else {
            return Vec::new();
        };
        let mut stretches: Vec<Stretch> = Vec::new();
        let ends = changes.iter().map(|change| (change.at, change.to));
        let (mut state, mut from) = (*before, since);
        for (at, next) in ends.chain([(until, AlarmState::InsufficientData)]) {
            let at = at.clamp(since, until);
            if at > from {
                match stretches.last_mut() {
                    Some(last) if last.state == state => last.until = at,
                    Some(_) | None => stretches.push(Stretch {
                        state,
                        from,
                        until: at,
                    }),
                }
            }
            (state, from) = (next, from.max(at));
        }
        stretches
    }

    fn changes(&self) -> &[AlarmChange] {
        match self {
            Self::Known { changes, .. } => changes,
            Self::Missing | Self::Unreadable(_) => &[],
        }
    }
}
