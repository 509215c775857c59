//! One entry of a window, such as `Mon-Fri 10:00-17:00`, `2026-12-28..2027-01-04` or `Fri 15:00-24:00`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number of minutes of a civil day: always 24 hours, even if the clock changes.
pub(super) const DAY: i32 = 24 * 60;

/// Some days, and a time of day on each of them: half-open, `[from, to)`.
///
/// Entries are written and journaled as text. A time of day over midnight (`22:00-02:00`) belongs to the day on which
/// it begins. A range of dates includes its first and last day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Entry {
    days: Days,
    times: Times,
}

/// The days of an entry: every day, some weekdays, or the dates from `first` to `last`, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    /// Every day.
    Every,
    /// True for each weekday that is included, Monday first.
    Week([bool; 7]),
    Dates {
        first: Date,
        last: Date,
    },
}

/// A time of day, in minutes since the midnight at which the entry's day begins. `to` is greater than `from`. It is
/// greater than [`DAY`] if the time runs over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    from: i32,
    to: i32,
}

impl Times {
    fn has(self, minute: i32) -> bool {
        self.from <= minute && minute < self.to
    }
}

const WHOLE_DAY: Times = Times { from: 0, to: DAY };

/// The names of the weekdays as they are written in plans, Monday first.
pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Why a text is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// A word is neither a weekday, nor a date, nor a time of day.
    #[error("{0} is neither a weekday, nor a date, nor a time of day")]
    NotDays(String),
    /// A word is not a time of day on a clock, or is not written `HH:MM`.
    #[error("{0} is not a time of day")]
    NotATime(String),
    /// A word is not a date in the calendar, or is not written `YYYY-MM-DD`.
    #[error("{0} is not a date")]
    NotADate(String),
    /// A time of day ends when it begins.
    #[error("it begins and ends at {0}")]
    NoTime(String),
    /// A range of dates ends before it begins.
    #[error("{last} is before {first}")]
    Reversed {
        /// The date that is written first.
        first: Date,
        /// The date that is written last.
        last: Date,
    },
    /// There is another word after the time of day.
    #[error("{0} is too much: an entry has days and a time of day")]
    Extra(String),
}

impl Entry {
    /// Returns true if this is one of the entry's days.
    fn has_day(&self, date: Date) -> bool {
        match &self.days {
            Days::Every => true,
            Days::Week(days) => days[index(date.weekday())],
            Days::Dates { first, last } => *first <= date && date <= *last,
        }
    }

    /// Returns true if the day before this one is one of the entry's days.
    fn has_day_before(&self, date: Date) -> bool {
        date.yesterday().is_ok_and(|before| self.has_day(before))
    }

    /// Returns the minutes of a civil day that the entry covers as half-open ranges: those of the day itself, and those
    /// that run over from the day before.
    pub(super) fn minutes_of(&self, date: Date) -> impl Iterator<Item = (i32, i32)> {
        let Times { from, to } = self.times;
        let own = if self.has_day(date) {
            Some((from, to.min(DAY)))
        } else {
            None
        };
        let over = if to > DAY && self.has_day_before(date) {
            Some((0, to - DAY))
        } else {
            None
        };
        own.into_iter().chain(over)
    }

    /// Returns true if the entry covers this minute of a civil day.
    pub(super) fn covers(&self, date: Date, minute: i32) -> bool {
        if self.has_day(date) && self.times.has(minute) {
            return true;
        }
        self.times.has(minute + DAY) && self.has_day_before(date)
    }

    /// Returns the dates at which the entry's coverage differs from that of the same weekday a week earlier. Empty for
    /// entries of weekdays.
    pub(super) fn turns(&self) -> Vec<Date> {
        let (first, last) = match &self.days {
            Days::Every | Days::Week(_) => return Vec::new(),
            Days::Dates { first, last } => (*first, *last),
        };
        let mut turns = vec![first];
        // A time over midnight reaches into the day after the last.
        let mut day = last;
        for _ in 0..2 {
            let Ok(next) = day.tomorrow() else {
                break;
            };
            turns.push(next);
            day = next;
        }
        turns
    }

    /// Returns true if the entry names dates, not weekdays.
    pub fn has_dates(&self) -> bool {
        matches!(self.days, Days::Dates { .. })
    }

    /// Returns the length of the time of day in minutes if it runs over midnight. `None` if it does not.
    pub fn over_midnight(&self) -> Option<i32> {
        let Times { from, to } = self.times;
        if to <= DAY {
            return None;
        }
        Some(to - from)
    }
}

/// Returns the index of a weekday: 0 for Monday.
fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let mut words = text.split_whitespace();
        let first = words.next().ok_or(EntryError::Empty)?;
        if first.contains(':') {
            let times = times(first)?;
            no_more(words.next())?;
            let days = Days::Every;
            return Ok(Self { days, times });
        }
        let days = if first.starts_with(|c: char| c.is_ascii_digit()) {
            dates(first)?
        } else {
            weekdays(first)?
        };
        let times = match words.next() {
            Some(word) => times(word)?,
            None => WHOLE_DAY,
        };
        no_more(words.next())?;
        Ok(Self { days, times })
    }
}

fn no_more(word: Option<&str>) -> Result<(), EntryError> {
    match word {
        Some(word) => Err(EntryError::Extra(word.to_owned())),
        None => Ok(()),
    }
}

/// Parses the name of a weekday to its index: 0 for `Mon`.
fn weekday(text: &str) -> Result<usize, EntryError> {
    let known = WEEKDAYS.iter().position(|day| *day == text);
    known.ok_or_else(|| EntryError::NotDays(text.to_owned()))
}

/// Parses weekdays, such as `Mon-Fri`, `Sat,Sun` or `Fri-Mon`.
fn weekdays(text: &str) -> Result<Days, EntryError> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (weekday(first)?, weekday(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Ok(Days::Week(days))
}

/// Returns true if a text consists of exactly `count` digits.
fn has_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses a date, such as `2026-12-31`.
fn date(text: &str) -> Result<Date, EntryError> {
    let parts: Vec<&str> = text.split('-').collect();
    if let [year, month, day] = parts.as_slice()
        && has_digits(year, 4)
        && has_digits(month, 2)
        && has_digits(day, 2)
        && let Ok(date) = text.parse()
    {
        return Ok(date);
    }
    Err(EntryError::NotADate(text.to_owned()))
}

/// Parses a date or a range of dates, such as `2026-12-31` or `2026-12-28..2027-01-04`.
fn dates(text: &str) -> Result<Days, EntryError> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (date(first)?, date(last)?);
    if last < first {
        return Err(EntryError::Reversed { first, last });
    }
    Ok(Days::Dates { first, last })
}

/// Parses a time of day, such as `10:00-17:00`. `24:00` is allowed only as its end.
fn times(text: &str) -> Result<Times, EntryError> {
    let (from, to) = text
        .split_once('-')
        .ok_or_else(|| EntryError::NotATime(text.to_owned()))?;
    let (from, end) = (minute(from, DAY - 1)?, minute(to, DAY)?);
    if end == from {
        return Err(EntryError::NoTime(to.to_owned()));
    }
    let to = if end > from { end } else { end + DAY };
    Ok(Times { from, to })
}

/// Parses `HH:MM` to minutes since midnight, at most `most`.
fn minute(text: &str, most: i32) -> Result<i32, EntryError> {
    if let Some((hours, minutes)) = text.split_once(':')
        && let (Some(hours), Some(minutes)) = (two_digits(hours), two_digits(minutes))
        && minutes < 60
        && hours * 60 + minutes <= most
    {
        return Ok(hours * 60 + minutes);
    }
    Err(EntryError::NotATime(text.to_owned()))
}

fn two_digits(text: &str) -> Option<i32> {
    if !has_digits(text, 2) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.days {
            Days::Every => {}
            Days::Week(days) => f.write_str(&runs(*days))?,
            Days::Dates { first, last } if first == last => write!(f, "{first}")?,
            Days::Dates { first, last } => write!(f, "{first}..{last}")?,
        }
        if self.times == WHOLE_DAY && self.days != Days::Every {
            return Ok(());
        }
        let space = if self.days == Days::Every { "" } else { " " };
        let Times { from, to } = self.times;
        let to = if to > DAY { to - DAY } else { to };
        write!(f, "{space}{}-{}", clock(from), clock(to))
    }
}

/// Returns a minute of a day as `HH:MM`.
fn clock(minute: i32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Returns the weekdays as they are written in plans, with neighbours as a range.
fn runs(days: [bool; 7]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut at = 0;
    while at < days.len() {
        let run = days[at..].iter().take_while(|day| **day).count();
        match run {
            0 => {}
            1 => parts.push(WEEKDAYS[at].to_owned()),
            run => parts.push(format!("{}-{}", WEEKDAYS[at], WEEKDAYS[at + run - 1])),
        }
        at += run + 1;
    }
    parts.join(",")
}

impl From<Entry> for String {
    fn from(entry: Entry) -> Self {
        entry.to_string()
    }
}

impl TryFrom<String> for Entry {
    type Error = EntryError;

    fn try_from(text: String) -> Result<Self, EntryError> {
        text.parse()
    }
}
