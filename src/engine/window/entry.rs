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

/// Minutes since the midnight at which the entry's day begins. `to` is beyond `from`, and beyond [`DAY`] where the range
/// runs over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    from: i32,
    to: i32,
}

const WHOLE_DAY: Times = Times { from: 0, to: DAY };

/// The days of the week as they are written, Monday first.
pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Why a text is no entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Nothing is written.
    #[error("nothing is written")]
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
    /// A range of times that ends where it begins.
    #[error("it ends at {0}, where it begins")]
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
    #[error("{0} is more than days and a time of day")]
    Extra(String),
}

impl Entry {
    /// Whether the entry speaks of the day on which it begins, at any time of it.
    fn has_day(&self, date: Date) -> bool {
        match &self.days {
            Days::Every => true,
            Days::Week(days) => days[index(date.weekday())],
            Days::Dates { first, last } => *first <= date && date <= *last,
        }
    }

    /// The minutes of a civil day that it covers: its own, and what hangs over from the day before.
    pub(super) fn minutes_of(&self, date: Date) -> impl Iterator<Item = (i32, i32)> {
        let Times { from, to } = self.times;
        let own = self.has_day(date).then_some((from, to.min(DAY)));
        let over = to > DAY && date.yesterday().is_ok_and(|before| self.has_day(before));
        own.into_iter().chain(over.then_some((0, to - DAY)))
    }

    /// Whether the wall shows a day and time of it.
    pub(super) fn covers(&self, date: Date, minute: i32) -> bool {
        let within = |minute: i32| self.times.from <= minute && minute < self.times.to;
        let from_before = || date.yesterday().is_ok_and(|before| self.has_day(before));
        (self.has_day(date) && within(minute)) || (within(minute + DAY) && from_before())
    }

    /// The dates from which on it speaks otherwise than on the same weekday before: none for entries of weekdays.
    pub(super) fn turns(&self) -> impl Iterator<Item = Date> {
        let dates = match &self.days {
            Days::Every | Days::Week(_) => None,
            Days::Dates { first, last } => Some((*first, *last)),
        };
        dates.into_iter().flat_map(|(first, last)| {
            let after = last.tomorrow().ok();
            // A range over midnight reaches into the day after the last.
            [
                Some(first),
                after,
                after.and_then(|day| day.tomorrow().ok()),
            ]
            .into_iter()
            .flatten()
        })
    }

    /// Whether it is about dates, and not about days of every week.
    pub fn has_dates(&self) -> bool {
        matches!(self.days, Days::Dates { .. })
    }

    /// How long the range of times is, in minutes, if it runs over midnight.
    pub fn over_midnight(&self) -> Option<i32> {
        let Times { from, to } = self.times;
        (to > DAY).then_some(to - from)
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
            let days = Days::Every;
            return no_more(words.next()).map(|()| Self { days, times });
        }
        let days = if first.starts_with(|c: char| c.is_ascii_digit()) {
            dates(first)?
        } else {
            weekdays(first)?
        };
        let times = words.next().map_or(Ok(WHOLE_DAY), times)?;
        no_more(words.next()).map(|()| Self { days, times })
    }
}

fn no_more(word: Option<&str>) -> Result<(), EntryError> {
    word.map_or(Ok(()), |word| Err(EntryError::Extra(word.to_owned())))
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
fn weekdays(text: &str) -> Result<Days, EntryError> {
    let day = |text: &str| {
        let known = WEEKDAYS.iter().position(|day| *day == text);
        known.ok_or_else(|| EntryError::NotDays(text.to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Ok(Days::Week(days))
}

/// `2026-12-31`, `2026-12-28..2027-01-04`.
fn dates(text: &str) -> Result<Days, EntryError> {
    let date = |text: &str| {
        let digits = |part: &str, count| {
            part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let shape = [4, 2, 2];
        let shaped = text.split('-').count() == 3
            && text
                .split('-')
                .zip(shape)
                .all(|(part, count)| digits(part, count));
        let date = shaped.then(|| text.parse::<Date>().ok()).flatten();
        date.ok_or_else(|| EntryError::NotADate(text.to_owned()))
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (date(first)?, date(last)?);
    if last < first {
        return Err(EntryError::Reversed { first, last });
    }
    Ok(Days::Dates { first, last })
}

/// `10:00-17:00`; `24:00` is an end.
fn times(text: &str) -> Result<Times, EntryError> {
    let (from, to) = text
        .split_once('-')
        .ok_or_else(|| EntryError::NotATime(text.to_owned()))?;
    let (from, end) = (minute(from, DAY - 1)?, minute(to, DAY)?);
    match end {
        end if end > from => Ok(Times { from, to: end }),
        end if end == from => Err(EntryError::NoTime(to.to_owned())),
        end => Ok(Times {
            from,
            to: end + DAY,
        }),
    }
}

/// Minutes since midnight.
fn minute(text: &str, most: i32) -> Result<i32, EntryError> {
    let wrong = || EntryError::NotATime(text.to_owned());
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or_else(wrong)?;
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= most)
        .then_some(minute)
        .ok_or_else(wrong)
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
        let clock = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let Times { from, to } = self.times;
        let to = if to > DAY { to - DAY } else { to };
        write!(f, "{space}{}-{}", clock(from), clock(to))
    }
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
