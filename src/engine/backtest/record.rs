//! What was recorded: every change of state of some alarms over some time, and some series. It can be kept in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::SeriesReading;
use crate::engine::evidence::reading::floor;
use crate::engine::evidence::wanted::Minutes;
use crate::engine::observation::AlarmReading;
use crate::engine::observation::AlarmState;
use crate::engine::plan::Account;
use crate::engine::units::AlarmId;

/// The version of the records that this program writes. It reads this one and all before it.
pub const RECORD_VERSION: u32 = 1;

/// The past, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form that it is written in.
    pub version: u32,
    /// The past begins here.
    pub since: Timestamp,
    /// The past ends here.
    pub until: Timestamp,
    /// The alarms that were asked for.
    pub alarms: Vec<AlarmRecord>,
    /// The series that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<SeriesRecord>,
}

/// The longest record, in days. `CloudWatch` keeps metrics for 455.
const LENGTH_MAX_DAYS: i64 = 1_000;

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A newer program wrote it.
    #[error("it has version {0}, and this program knows versions up to {RECORD_VERSION}")]
    Newer(u32),
    /// No program wrote it.
    #[error("it has version 0, which no program wrote; versions begin at 1")]
    Zero,
    /// A time that nobody can have recorded.
    #[error("{what} {at}, which is not between 1970 and 2200")]
    Absurd {
        /// What is at that time, with its verb.
        what: String,
        /// When.
        at: Timestamp,
    },
    /// It is longer than anybody keeps.
    #[error("it is {0} days long; {LENGTH_MAX_DAYS} are the most")]
    TooLong(i64),
    /// The changes of an alarm are not in order.
    #[error(
        "the changes of alarm {alarm} are not in the order of their times: {at} comes after a later one"
    )]
    Unsorted {
        /// Which alarm.
        alarm: AlarmId,
        /// The first that is too late in the list.
        at: Timestamp,
    },
    /// It has no length.
    #[error("it ends at {until}, before it begins at {since}")]
    Backwards {
        /// Where it begins.
        since: Timestamp,
        /// Where it ends.
        until: Timestamp,
    },
}

/// One alarm's past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// As whom it was read.
    #[serde(default, skip_serializing_if = "Account::is_ambient")]
    pub account: Account,
    /// Which alarm.
    #[serde(flatten)]
    pub id: AlarmId,
    /// What is known of it.
    pub past: Past,
}

/// One series' past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesRecord {
    /// As whom it was read.
    #[serde(default, skip_serializing_if = "Account::is_ambient")]
    pub account: Account,
    /// Which series.
    pub query: Query,
    /// What is known of it.
    pub past: SeriesPast,
}

/// What is known of a series' past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesPast {
    /// Its datapoints.
    Known {
        /// When the first period begins.
        from: Timestamp,
        /// A value for each period from there on; none where there was no datapoint.
        values: Vec<Option<Number>>,
    },
    /// It could not be read, and why.
    Unreadable(String),
}

/// What is known of an alarm's past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Past {
    /// Its states.
    Known {
        /// The state at the beginning.
        before: AlarmState,
        /// What it became, oldest first.
        changes: Vec<Change>,
    },
    /// `CloudWatch` does not know the alarm.
    Missing,
    /// It could not be read, and why.
    Unreadable(String),
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When (AWS's clock).
    pub at: Timestamp,
    /// The state before; none where the history does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AlarmState>,
    /// The state after.
    pub to: AlarmState,
}

/// Some time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The state.
    pub state: AlarmState,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Stretch {
    /// How long.
    pub fn length(&self) -> SignedDuration {
        self.until.duration_since(self.from)
    }
}

impl Record {
    /// A record of this time with nothing in it yet.
    pub fn between(since: Timestamp, until: Timestamp) -> Self {
        Self {
            version: RECORD_VERSION,
            since,
            until,
            alarms: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Whether this program can use it.
    ///
    /// # Errors
    /// It is newer, or makes no sense.
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

    /// What is known of an alarm; none if nobody asked for it.
    pub fn past(&self, account: &Account, alarm: &AlarmId) -> Option<&Past> {
        let same = |record: &&AlarmRecord| record.account == *account && record.id == *alarm;
        self.alarms.iter().find(same).map(|record| &record.past)
    }

    /// What is known of a series; none if nobody asked for it.
    pub fn series(&self, account: &Account, query: &Query) -> Option<&SeriesPast> {
        let same = |record: &&SeriesRecord| record.account == *account && record.query == *query;
        self.series.iter().find(same).map(|record| &record.past)
    }
}

impl AlarmRecord {
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

/// Whether a time is one at which there may have been something, far from where calendars end.
fn sensible(what: &str, at: Timestamp) -> Result<(), RecordError> {
    // 1970 to 2200: a day or a year before or after it is a time as well.
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
    /// Datapoints by the starts of their periods.
    pub fn of(points: &BTreeMap<Timestamp, Number>, period_mins: u16) -> Self {
        let period = SignedDuration::from_mins(i64::from(period_mins.max(1)));
        let first = points
            .keys()
            .next()
            .copied()
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let from = floor(first, period_mins);
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

    /// Whether it has any datapoint.
    pub fn has_data(&self) -> bool {
        match self {
            Self::Known { values, .. } => values.iter().any(Option::is_some),
            Self::Unreadable(_) => false,
        }
    }

    /// What a reading of these minutes would have got.
    pub fn reading(&self, query: &Query, minutes: Minutes) -> SeriesReading {
        let (from, values) = match self {
            Self::Known { from, values } => (*from, values),
            Self::Unreadable(message) => return SeriesReading::Unreadable(message.clone()),
        };
        let period = query.period();
        let index = |at: Timestamp| {
            let periods = at
                .duration_since(from)
                .as_secs()
                .div_euclid(period.as_secs().max(60));
            usize::try_from(periods).unwrap_or(0)
        };
        let first = index(minutes.from);
        let mut points = BTreeMap::new();
        let past = period * i32::try_from(first).unwrap_or(i32::MAX);
        let Ok(mut at) = from.checked_add(past) else {
            return SeriesReading::Unreadable("the record does not reach so far".to_owned());
        };
        for value in values.iter().skip(first) {
            if at >= minutes.until {
                break;
            }
            if let Some(value) = value.filter(|_| at >= minutes.from) {
                points.insert(at, value);
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
    /// Puts together what an alarm is now and what its history says, so that every moment since has a state. Where the
    /// history no longer reaches back to the last change, the alarm had no data that anybody could tell of.
    pub fn of(now: &AlarmReading, mut changes: Vec<Change>, since: Timestamp) -> Self {
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
        if let (true, Some(at)) = (changes.is_empty() && before != state, transitioned_at) {
            changes.push(Change {
                at,
                from: None,
                to: state,
            });
        }
        Self::Known { before, changes }
    }

    /// What a look at this moment would have read.
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

    /// When it entered ALARM, up to a moment.
    pub fn entered(&self, until: Timestamp) -> Vec<Timestamp> {
        let entered = self.changes().iter();
        let entered = entered.filter(|change| change.at <= until && change.to == AlarmState::Alarm);
        entered.map(|change| change.at).collect()
    }

    /// The first change after a moment.
    pub fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let changes = self.changes();
        let next = changes.partition_point(|change| change.at <= after);
        changes.get(next).map(|change| change.at)
    }

    /// All of its states between two moments, without gaps; none where nothing is known.
    pub fn stretches(&self, since: Timestamp, until: Timestamp) -> Vec<Stretch> {
        let Self::Known { before, changes } = self else {
            return Vec::new();
        };
        let mut stretches: Vec<Stretch> = Vec::new();
        let ends = changes.iter().map(|change| (change.at, change.to));
        let (mut state, mut from) = (*before, since);
        for (at, next) in ends.chain([(until, AlarmState::InsufficientData)]) {
            let at = at.clamp(since, until);
            match stretches.last_mut() {
                _ if at <= from => {}
                Some(last) if last.state == state => last.until = at,
                _ => stretches.push(Stretch {
                    state,
                    from,
                    until: at,
                }),
            }
            (state, from) = (next, from.max(at));
        }
        stretches
    }

    fn changes(&self) -> &[Change] {
        match self {
            Self::Known { changes, .. } => changes,
            Self::Missing | Self::Unreadable(_) => &[],
        }
    }
}
