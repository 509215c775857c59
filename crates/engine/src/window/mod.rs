//! Windows: the times at which a step may be taken, in the local time of one time zone (semantics I3).
//!
//! A window is open while `allow` covers the local time and `deny` does not. An empty `allow` covers all times. This
//! rule also decides the days on which clocks change. A local time that is skipped does not exist: if 03:00 follows
//! 02:00, a window from 02:15 to 02:45 does not open on that day. A local time that occurs twice counts both times, so
//! a denied time is denied both times.
//!
//! The answers are computed by arithmetic on days. Each day, and each change of the clock within it, is computed
//! separately. Apart from the dates that it names, a calendar repeats every week. So it is enough to search some weeks
//! after each of these dates, and "never" is a definite answer.
//!
//! The time zones are compiled in, so every machine that runs the same version sees the same windows.

mod entry;
mod zone;

pub use entry::{Entry, EntryError, WEEKDAYS};
pub use zone::{UnknownZone, Zone};

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use entry::DAY;

/// The times at which steps may be taken. They do not apply to reverts, settling and baking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// The time zone of all entries.
    pub time_zone: Zone,
    /// The times at which the window is open. If the list is empty, always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Entry>,
    /// The times at which the window is shut even if `allow` covers them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Entry>,
    /// True if a step may be taken only if the window stays open until its bake is over.
    #[serde(default)]
    pub whole_bake: bool,
}

/// The number of days after a named date within which a weekly calendar shows all of its openings. A change of the
/// clock can remove the same hour of one week, but not of four.
const WEEKLY: i32 = 28;

/// The number of days after the last named date within which every kind of change of the clock occurs. A change may
/// lengthen an open stretch by an hour.
const YEARLY: i32 = 400;

/// The largest number of changes of the clock that are considered. A thousand cover some centuries.
const CHANGES_MAX: usize = 1_000;

/// The number of days before a named date that are searched for the beginning of a stretch which reaches that date. In
/// a weekly calendar a longer stretch has no beginning.
const STRETCH: i32 = 8;

impl Windows {
    /// Returns true if a step may be taken at this instant. Its bake is not considered.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let wall = self.time_zone.wall(at);
        let (date, minute) = (
            wall.date(),
            i32::from(wall.hour()) * 60 + i32::from(wall.minute()),
        );
        let allowed = self.allow.is_empty() || covered(&self.allow, date, minute);
        allowed && !covered(&self.deny, date, minute)
    }

    /// Returns the next time at which the window opens: `at` itself if it is open then, `None` if it never opens.
    pub fn opens_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.first(true, at)
    }

    /// Returns the next time at which the window shuts: `at` itself if it is shut then, `None` if it never shuts.
    pub fn closes_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.first(false, at)
    }

    /// Returns the first time from `at` on at which a step can be taken that settles and bakes for `watched` in all.
    /// `None` if there is none.
    pub fn next(&self, at: Timestamp, watched: SignedDuration) -> Option<Timestamp> {
        if self.whole_bake {
            self.first_stretch(at, watched)
        } else {
            self.first(true, at)
        }
    }

    /// Returns true if a step that settles and bakes for `watched` can ever be taken, whenever its wait begins.
    pub fn can_open(&self, watched: SignedDuration) -> bool {
        let turns = self.turns();
        let first = turns.first().copied().unwrap_or(Date::constant(2026, 1, 1));
        let before = first.checked_sub(jiff::Span::new().days(WEEKLY));
        let before = before.unwrap_or(Date::MIN).to_datetime(Time::midnight());
        self.next(self.time_zone.instant(before), watched).is_some()
    }

    /// Returns the first instant from `at` on at which the window is open, or shut if `open` is false. `None` if there
    /// is none.
    fn first(&self, open: bool, at: Timestamp) -> Option<Timestamp> {
        let mut scan = DayScan::new(self, at);
        let mut at = at;
        // This loop ends: each pass goes on to another day or change of the clock, and the scan ends after the last
        // named date.
        loop {
            let (pieces, end) = self.pieces(at)?;
            if open {
                if let Some((from, _)) = pieces.first() {
                    return Some(*from);
                }
            } else {
                let mut shut_at = at;
                for (from, to) in pieces {
                    if shut_at < from {
                        break;
                    }
                    shut_at = to;
                }
                if shut_at < end {
                    return Some(shut_at);
                }
            }
            at = scan.go_on(end)?;
        }
    }

    /// Returns the first instant from `at` on from which the window stays open for `length`. `None` if there is none.
    fn first_stretch(&self, at: Timestamp, length: SignedDuration) -> Option<Timestamp> {
        let mut scan = DayScan::new(self, at);
        scan.notice_changes(at);
        let (mut at, mut stretch) = (at, None::<(Timestamp, Timestamp)>);
        // This loop ends for the same reasons as the one in `first`.
        loop {
            let (pieces, end) = self.pieces(at)?;
            for (from, to) in pieces {
                let since = match stretch {
                    Some((since, open_to)) if open_to == from => since,
                    Some(_) | None => from,
                };
                if to.duration_since(since) >= length {
                    return Some(since);
                }
                stretch = Some((since, to));
            }
            stretch = stretch.filter(|(_, open_to)| *open_to == end);
            // In a weekly calendar, a stretch that covers a whole week lasts until the next named date, or forever.
            let long = SignedDuration::from_hours(24 * i64::from(STRETCH));
            let endless = stretch.filter(|(since, _)| end.duration_since(*since) >= long);
            let Some(next) = scan.go_on(end) else {
                return endless.map(|(since, _)| since);
            };
            if next > end {
                stretch = endless.map(|(since, _)| (since, next));
            }
            at = next;
        }
    }

    /// Returns the open stretches from `at` until the next local midnight or the next change of the clock, and the time
    /// of that. `None` at the end of the calendar.
    fn pieces(&self, at: Timestamp) -> Option<(Vec<(Timestamp, Timestamp)>, Timestamp)> {
        let (offset, changes_at) = self.time_zone.until_change(at);
        let date = offset.to_datetime(at).date();
        let end = midnight(offset, date.tomorrow().ok()?)?.min(changes_at);
        let begin = midnight(offset, date)?;
        let mut pieces = Vec::new();
        for (from, to) in self.minutes_of(date) {
            let from = begin + SignedDuration::from_mins(i64::from(from));
            let to = begin + SignedDuration::from_mins(i64::from(to));
            let (from, to) = (from.max(at), to.min(end));
            if from < to {
                pieces.push((from, to));
            }
        }
        Some((pieces, end))
    }

    /// Returns the open minutes of a civil day as half-open ranges, in order. A range that does not end after it begins
    /// is empty.
    fn minutes_of(&self, date: Date) -> Vec<(i32, i32)> {
        let allowed = if self.allow.is_empty() {
            vec![(0, DAY)]
        } else {
            merged(&self.allow, date)
        };
        let denied = merged(&self.deny, date);
        let mut open = Vec::new();
        for (from, to) in allowed {
            let mut at = from;
            for (shut, again) in &denied {
                open.push((at, to.min(*shut)));
                at = at.max(*again);
            }
            open.push((at, to));
        }
        open
    }

    /// Returns the dates at which the weekly calendar changes, in order.
    fn turns(&self) -> Vec<Date> {
        let entries = self.allow.iter().chain(&self.deny);
        let mut turns: Vec<Date> = entries.flat_map(Entry::turns).collect();
        turns.sort_unstable();
        turns.dedup();
        turns
    }
}

/// Returns true if an entry covers this minute of a civil day.
fn covered(entries: &[Entry], date: Date, minute: i32) -> bool {
    entries.iter().any(|entry| entry.covers(date, minute))
}

/// Returns the instant of a day's midnight at this offset. `None` at the ends of the calendar.
fn midnight(offset: Offset, date: Date) -> Option<Timestamp> {
    offset.to_timestamp(date.to_datetime(Time::midnight())).ok()
}

/// Returns the minutes of a day that the entries cover as half-open ranges, in order and without overlaps.
fn merged(entries: &[Entry], date: Date) -> Vec<(i32, i32)> {
    let mut pieces: Vec<(i32, i32)> = entries
        .iter()
        .flat_map(|entry| entry.minutes_of(date))
        .collect();
    pieces.sort_unstable();
    let mut merged: Vec<(i32, i32)> = Vec::new();
    for (from, to) in pieces {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => merged.push((from, to)),
        }
    }
    merged
}

/// The progress of a search from day to day, which ends when nothing new can come.
struct DayScan<'a> {
    zone: &'a Zone,
    /// The named dates that are still ahead, the next one last.
    ahead: Vec<Date>,
    /// The date since which the calendar has repeated every week.
    weekly_since: Date,
}

impl<'a> DayScan<'a> {
    fn new(windows: &'a Windows, at: Timestamp) -> Self {
        let mut ahead = windows.turns();
        ahead.reverse();
        Self {
            zone: &windows.time_zone,
            ahead,
            weekly_since: windows.time_zone.wall(at).date(),
        }
    }

    /// Adds the dates of the changes of the clock to the named dates.
    fn notice_changes(&mut self, at: Timestamp) {
        let last = self.ahead.first().copied().unwrap_or(self.weekly_since);
        let last = last.max(self.weekly_since);
        let until = last.checked_add(jiff::Span::new().days(YEARLY));
        let until = until.unwrap_or(Date::MAX);
        let changes = self.zone.rules().following(at).take(CHANGES_MAX);
        let changes = changes.map(|change| self.zone.wall(change.timestamp()).date());
        self.ahead.extend(changes.take_while(|date| *date <= until));
        self.ahead.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Returns the instant at which to go on after everything up to `at` was searched. It is `at`, or shortly before
    /// the next named date if nothing new can come before that. `None` if nothing new can come at all.
    fn go_on(&mut self, at: Timestamp) -> Option<Timestamp> {
        let today = self.zone.wall(at).date();
        while let Some(turn) = self.ahead.pop_if(|turn| *turn <= today) {
            self.weekly_since = self.weekly_since.max(turn);
        }
        let looked_at = today.duration_since(self.weekly_since);
        if looked_at < SignedDuration::from_hours(24 * i64::from(WEEKLY)) {
            return Some(at);
        }
        let next = self.ahead.last()?;
        let shortly_before = next.checked_sub(jiff::Span::new().days(STRETCH)).ok()?;
        let there = shortly_before.to_datetime(Time::midnight());
        Some(self.zone.instant(there).max(at))
    }
}

#[cfg(test)]
mod tests;
