//! One entry of a window: `Mon-Fri 10:00-17:00`, `2026-12-28..2027-01-04`, `Fri 15:00-24:00`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Minutes of a civil day. Civil days have 24 hours, whatever the clocks do.
pub(super) const DAY: i32 = 24 * 60;

/// Days, and a time of day on each of them: half-open, `[from, to)`.
///
/// Written and journaled as text. A range over midnight (`22:00-02:00`) belongs to its first day. A range of dates
/// includes both its days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Entry {
    days: Days,
    times: Times,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    Every,
    /// Monday first.
    Week([bool; 7]),
    Dates {
        first: Date,
        last: Date,
    },
}

/// Minutes since the midnight at which the entry's day begins. `to` is greater than `from`, and greater than [`DAY`] if
/// the range runs over midnight.
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

/// The days of the week as they are written, Monday first.
pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The reason why a text is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// Neither days nor a time of day.
    #[error("{0} is neither a weekday, nor a date, nor a time of day")]
    NotDays(String),
    /// A time of day that no clock shows, or that is not written `HH:MM`.
    #[error("{0} is not a time of day")]
    NotATime(String),
    /// A date that no calendar has, or that is not written `YYYY-MM-DD`.
    #[error("{0} is not a date")]
    NotADate(String),
    /// A range of times that ends when it begins.
    #[error("it begins and ends at {0}")]
    NoTime(String),
    /// A range of dates that ends before it begins.
    #[error("{last} is before {first}")]
    Reversed {
        /// As written first.
        first: Date,
        /// As written last.
        last: Date,
    },
    /// There is more after the time of day.
    #[error("{0} is too much: an entry has days and a time of day")]
    Extra(String),
}

impl Entry {
    /// Returns true if this is one of the entry's days. A range over midnight belongs to the day on which it begins.
    fn has_day(&self, date: Date) -> bool {
        match &self.days {
            Days::Every => true,
            Days::Week(days) => days[index(date.weekday())],
            Days::Dates { first, last } => *first <= date && date <= *last,
        }
    }

    fn has_day_before(&self, date: Date) -> bool {
        date.yesterday().is_ok_and(|before| self.has_day(before))
    }

    /// The minutes of a civil day that it covers: its own, and those that run over from the day before.
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

    /// Returns true if it covers this minute of a civil day.
    pub(super) fn covers(&self, date: Date, minute: i32) -> bool {
        if self.has_day(date) && self.times.has(minute) {
            return true;
        }
        self.times.has(minute + DAY) && self.has_day_before(date)
    }

    /// The dates at which it differs from the same weekday before: none for entries of weekdays.
    pub(super) fn turns(&self) -> Vec<Date> {
        let (first, last) = match &self.days {
            Days::Every | Days::Week(_) => return Vec::new(),
            Days::Dates { first, last } => (*first, *last),
        };
        let mut turns = vec![first];
        // A range over midnight reaches into the day after the last.
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

    /// Returns true if it is about dates, and not about weekdays.
    pub fn has_dates(&self) -> bool {
        matches!(self.days, Days::Dates { .. })
    }

    /// The length of the range of times in minutes, if it runs over midnight.
    pub fn over_midnight(&self) -> Option<i32> {
        let Times { from, to } = self.times;
        if to <= DAY {
            return None;
        }
        Some(to - from)
    }
}

/// Monday is 0.
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

/// `Mon` is 0.
fn weekday(text: &str) -> Result<usize, EntryError> {
    let known = WEEKDAYS.iter().position(|day| *day == text);
    known.ok_or_else(|| EntryError::NotDays(text.to_owned()))
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
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

/// Returns true if a text is this many digits, and nothing else.
fn has_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2026-12-31`.
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

/// `2026-12-31`, `2026-12-28..2027-01-04`.
fn dates(text: &str) -> Result<Days, EntryError> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (date(first)?, date(last)?);
    if last < first {
        return Err(EntryError::Reversed { first, last });
    }
    Ok(Days::Dates { first, last })
}

/// `10:00-17:00`; `24:00` only as the end.
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

/// Minutes since midnight, at most `most`.
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

/// A minute of a day as `HH:MM`.
fn clock(minute: i32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The days in their order, neighbours as a range.
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
