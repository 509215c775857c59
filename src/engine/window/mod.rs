//! When a step may be taken: windows in the time of one place (semantics I).
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

use jiff::civil::{Date, Time};
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

/// The days after a named date within which a weekly calendar shows all it has. A change of the clock can swallow the same
/// hour of one week, not of four.
const WEEKLY: i32 = 28;

/// The days after the last named date within which clocks are changed in every way in which they ever will be: a change
/// may stretch what is open by an hour.
const YEARLY: i32 = 400;

/// The most changes of the clock that are looked at: a thousand are some centuries.
const CHANGES_MAX: usize = 1_000;

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
        if self.whole_bake {
            self.first_stretch(at, watched)
        } else {
            self.first(true, at)
        }
    }

    /// Whether a step can ever be taken that is watched for so long, at whatever time one begins to wait.
    pub fn can_open(&self, watched: SignedDuration) -> bool {
        let turns = self.turns();
        let first = turns.first().copied().unwrap_or(Date::constant(2026, 1, 1));
        let before = first.checked_sub(jiff::Span::new().days(WEEKLY));
        let before = before.unwrap_or(Date::MIN).to_datetime(Time::midnight());
        self.next(self.time_zone.instant(before), watched).is_some()
    }

    /// The first instant from `at` on that is open, or that is not.
    fn first(&self, open: bool, at: Timestamp) -> Option<Timestamp> {
        let mut scan = Scan::new(self, at);
        let mut at = at;
        // Ends: each turn goes on to another day or change of the clock, and the scan gives up after the last named date.
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

    /// The first instant from `at` on from which it stays open for so long.
    fn first_stretch(&self, at: Timestamp, length: SignedDuration) -> Option<Timestamp> {
        let mut scan = Scan::new(self, at);
        scan.notice_changes(at);
        let (mut at, mut stretch) = (at, None::<(Timestamp, Timestamp)>);
        // Ends as `first` does.
        loop {
            let (pieces, end) = self.pieces(at)?;
            for (from, to) in pieces {
                let since = stretch.filter(|(_, open_to)| *open_to == from);
                let since = since.map_or(from, |(since, _)| since);
                if to.duration_since(since) >= length {
                    return Some(since);
                }
                stretch = Some((since, to));
            }
            stretch = stretch.filter(|(_, open_to)| *open_to == end);
            // What is open all through a week of a weekly calendar is open until the next named date, or for ever.
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

    /// What is open from `at` on until the wall's midnight or the next change of its clock, and when that is.
    fn pieces(&self, at: Timestamp) -> Option<(Vec<(Timestamp, Timestamp)>, Timestamp)> {
        let (offset, changes_at) = self.time_zone.until_change(at);
        let date = offset.to_datetime(at).date();
        let midnight = |date: Date| offset.to_timestamp(date.to_datetime(Time::midnight())).ok();
        let end = midnight(date.tomorrow().ok()?)?.min(changes_at);
        let begin = midnight(date)?;
        let instant = |minute: i32| begin + SignedDuration::from_mins(i64::from(minute));
        let clipped = |(from, to): (i32, i32)| (instant(from).max(at), instant(to).min(end));
        let pieces = self.minutes_of(date).into_iter().map(clipped);
        Some((pieces.filter(|(from, to)| from < to).collect(), end))
    }

    /// The minutes of a civil day that are open, in order. What ends where it begins, or before, is nothing.
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
}

impl<'a> Scan<'a> {
    fn new(windows: &'a Windows, at: Timestamp) -> Self {
        let mut ahead = windows.turns();
        ahead.reverse();
        Self {
            zone: &windows.time_zone,
            ahead,
            weekly_since: windows.time_zone.wall(at).date(),
        }
    }

    /// Looks around changes of the clock too, as around named dates.
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

    /// Where to go on looking after everything up to `at` was looked at: there, or at the next named date where nothing
    /// new is to be seen before; none after the last one.
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
