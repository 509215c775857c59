//! When a step may be taken: windows in the time of one place (RULES I).
//!
//! A window is open while the clock on the wall of its time zone shows a time that `allow` covers (no `allow` covers all)
//! and `deny` does not. That settles the days on which clocks are changed too. A time that the wall skips does not exist:
//! where 02:00 is followed by 03:00, a window from 02:15 to 02:45 does not open that day. A time that the wall shows twice
//! counts both times. So what is denied is denied in both passes.
//!
//! The questions are answered by arithmetic on days, a day at a time between two changes of the clock. A calendar is
//! weekly but for the dates that it names, so looking at some weeks after each of these dates is looking at everything:
//! "never" is a definite answer.
//!
//! The zones are those that are compiled in: every machine that runs the same version sees the same windows.

mod entry;
mod zone;

pub use entry::{Entry, EntryError, WEEKDAYS};
pub use zone::{UnknownZone, Zone};

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use entry::DAY;

/// When steps may be taken. Reverts, settling and baking ignore it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// Whose clock on the wall counts.
    pub time_zone: Zone,
    /// When it is open; always, where nothing is listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Entry>,
    /// When it is shut all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Entry>,
    /// Whether a step is taken only if the window stays open until its bake is over.
    #[serde(default)]
    pub whole_bake: bool,
}

/// The days after the last named date within which a weekly calendar shows all it has. A change of the clock can swallow
/// the same hour of one week, not of four.
const WEEKLY: i32 = 28;

/// The same for the length of what is open, which a yearly change of the clock may stretch by an hour.
const YEARLY: i32 = 400;

/// Before a named date, a stretch that reaches it can have begun this many days earlier at most: one that is longer in a
/// weekly calendar has no beginning.
const STRETCH: i32 = 8;

impl Windows {
    /// Whether a step may be taken at this instant, its bake aside.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let wall = self.time_zone.wall(at);
        let minute = i32::from(wall.hour()) * 60 + i32::from(wall.minute());
        let covers = |entry: &Entry| entry.covers(wall.date(), minute);
        (self.allow.is_empty() || self.allow.iter().any(covers)) && !self.deny.iter().any(covers)
    }

    /// When it opens next: `at` itself while it is open, none if never.
    pub fn opens_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.first(true, at)
    }

    /// When it shuts next: `at` itself while it is shut, none if never.
    pub fn closes_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.first(false, at)
    }

    /// Whether it is open at `at` and for so long afterwards.
    pub fn stays_open(&self, at: Timestamp, length: SignedDuration) -> bool {
        let closes_at = self.closes_at(at);
        self.is_open(at) && closes_at.is_none_or(|close| close.duration_since(at) >= length)
    }

    /// The first instant from `at` on at which a step can be taken that settles and bakes for `watched` in all; none if
    /// there is none.
    pub fn next(&self, at: Timestamp, watched: SignedDuration) -> Option<Timestamp> {
        let mut open_at = self.first(true, at)?;
        if !self.whole_bake {
            return Some(open_at);
        }
        let mut scan = Scan::new(self, at, YEARLY);
        // Ends: each turn goes on to another stretch, and the scan gives up after the last named date.
        loop {
            let Some(close_at) = self.first(false, open_at) else {
                return Some(open_at);
            };
            if close_at.duration_since(open_at) >= watched {
                return Some(open_at);
            }
            open_at = self.first(true, scan.go_on(close_at)?)?;
        }
    }

    /// Whether a step can ever be taken that is watched for so long, at whatever time one begins to wait.
    pub fn can_open(&self, watched: SignedDuration) -> bool {
        let turns = self.turns();
        let first = turns.first().copied().unwrap_or(Date::constant(2026, 1, 1));
        let before = first.checked_sub(jiff::Span::new().days(WEEKLY));
        let before = before
            .unwrap_or(Date::MIN)
            .to_datetime(jiff::civil::Time::midnight());
        self.next(self.time_zone.instant(before), watched).is_some()
    }

    /// The first instant from `at` on that is open, or that is not.
    fn first(&self, open: bool, at: Timestamp) -> Option<Timestamp> {
        let mut scan = Scan::new(self, at, WEEKLY);
        let mut at = at;
        // Ends: each turn goes on to another day or change of the clock, and the scan gives up after the last named date.
        loop {
            let (offset, changes_at) = self.time_zone.until_change(at);
            let wall = offset.to_datetime(at);
            let tomorrow = wall.date().tomorrow().ok()?;
            let midnight = offset.to_timestamp(tomorrow.to_datetime(jiff::civil::Time::midnight()));
            let end = midnight.ok()?.min(changes_at);
            if let Some(minute) = self.minute(open, wall) {
                let since_midnight = SignedDuration::from_mins(i64::from(minute));
                let day = wall.date().to_datetime(jiff::civil::Time::midnight());
                let found = offset.to_timestamp(day).ok()? + since_midnight;
                let found = found.max(at);
                if found < end {
                    return Some(found);
                }
            }
            at = scan.go_on(end)?;
        }
    }

    /// The first minute of the wall's day, from what the wall shows on, that is open, or that is not.
    fn minute(&self, open: bool, wall: DateTime) -> Option<i32> {
        let now = i32::from(wall.hour()) * 60 + i32::from(wall.minute());
        let allowed = if self.allow.is_empty() {
            vec![(0, DAY)]
        } else {
            merged(&self.allow, wall.date())
        };
        let denied = merged(&self.deny, wall.date());
        let within = |stretches: &[(i32, i32)], minute: i32| {
            let mut stretches = stretches.iter();
            stretches.any(|(from, to)| *from <= minute && minute < *to)
        };
        let bounds = allowed
            .iter()
            .chain(&denied)
            .flat_map(|(from, to)| [*from, *to]);
        let mut candidates: Vec<i32> = bounds.filter(|minute| *minute > now).collect();
        candidates.push(now);
        candidates.sort_unstable();
        candidates.into_iter().find(|minute| {
            let is_open = within(&allowed, *minute) && !within(&denied, *minute);
            *minute < DAY && is_open == open
        })
    }

    /// The dates from which on the weekly calendar is another one, in their order.
    fn turns(&self) -> Vec<Date> {
        let entries = self.allow.iter().chain(&self.deny);
        let mut turns: Vec<Date> = entries.flat_map(Entry::turns).collect();
        turns.sort_unstable();
        turns.dedup();
        turns
    }
}

/// What the entries cover of a day, in order and without overlaps.
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

/// How far a search has come, and when it is futile.
struct Scan<'a> {
    zone: &'a Zone,
    /// The named dates that lie ahead, the next one last.
    ahead: Vec<Date>,
    /// Since this day the calendar is weekly.
    weekly_since: Date,
    /// How many days of a weekly calendar are looked at.
    days: i32,
}

impl<'a> Scan<'a> {
    fn new(windows: &'a Windows, at: Timestamp, days: i32) -> Self {
        let mut ahead = windows.turns();
        ahead.reverse();
        Self {
            zone: &windows.time_zone,
            ahead,
            weekly_since: windows.time_zone.wall(at).date(),
            days,
        }
    }

    /// Where to go on looking after everything up to `at` was looked at: there, or at the next named date where nothing
    /// new is to be seen before; none after the last one.
    fn go_on(&mut self, at: Timestamp) -> Option<Timestamp> {
        let today = self.zone.wall(at).date();
        while let Some(turn) = self.ahead.pop_if(|turn| *turn <= today) {
            self.weekly_since = self.weekly_since.max(turn);
        }
        let looked_at = today.duration_since(self.weekly_since);
        if looked_at < SignedDuration::from_hours(24 * i64::from(self.days)) {
            return Some(at);
        }
        let next = self.ahead.last()?;
        let shortly_before = next.checked_sub(jiff::Span::new().days(STRETCH)).ok()?;
        let there = shortly_before.to_datetime(jiff::civil::Time::midnight());
        Some(self.zone.instant(there).max(at))
    }
}

#[cfg(test)]
mod tests;
