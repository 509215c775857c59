//! When a job fires: the cron expressions of EventBridge and of Kubernetes, as far as a switch must keep away from them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::engine::window::Zone;

/// How many days are looked through for the next or the last firing: a leap day is at most eight years away.
const DAYS_MAX: i64 = 8 * 366;

/// When something fires, as its owner wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The expression: `cron(0 3 * * ? *)`, `at(2026-12-01T03:00:00)`, or five fields as in a crontab.
    pub expression: String,
    /// Whose clock it means; none means UTC.
    pub zone: Option<String>,
    /// How much later than its time it may start (Scheduler: `FlexibleTimeWindow`); zero where it is punctual.
    pub spread: SignedDuration,
    /// How long after a firing that was missed it is still made up for when it is switched on (Kubernetes:
    /// `startingDeadlineSeconds`); none where missed firings are not made up for.
    pub catch_up: Option<SignedDuration>,
}

/// That something fires about now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// Until when a switch keeps away from it.
    pub until: Timestamp,
    /// How long that is, from its beginning.
    pub lasts: SignedDuration,
}

impl Firing {
    /// The first firing after `now`; none where that cannot be known, or never comes.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.search(now, true)
    }

    /// The last firing at or before `now`; none where that cannot be known, or never was.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        self.search(now, false)
    }

    /// Whether a switch must wait, to be `away` from every firing; none if it need not. Before what makes up for a missed
    /// firing is switched on, that firing must be so long ago: it ran on the side that is left. What fires so often that
    /// this leaves no room keeps no switch away.
    pub fn busy(&self, now: Timestamp, away: SignedDuration) -> Option<Busy> {
        let (last, next) = (self.last(now), self.next(now));
        let makes_up = self.catch_up.unwrap_or_default().max(away);
        let lasts = |after| away.saturating_add(self.spread).saturating_add(after);
        let has_room = |after: &SignedDuration| {
            let apart = last.zip(next).map(|(last, next)| next.duration_since(last));
            apart.is_none_or(|apart| apart > lasts(*after))
        };
        let after = [makes_up, away].into_iter().find(has_room)?;
        let over = |firing: Timestamp| firing.checked_add(self.spread.saturating_add(after)).ok();
        let ahead = next.filter(|next| next.duration_since(now) < away);
        let until = match ahead {
            Some(next) => over(next)?,
            None => over(last?).filter(|until| *until > now)?,
        };
        let lasts = lasts(after);
        Some(Busy { until, lasts })
    }

    /// Until when switching it on would make it fire at once, for a firing that it missed while it was off, and which the
    /// other side ran: that has been off since `off_at`. What nobody ran is rightly made up for, so that this ends with the
    /// next firing at the latest.
    pub fn makes_up_until(&self, now: Timestamp, off_at: Timestamp) -> Option<Timestamp> {
        let last = self.last(now).filter(|last| *last <= off_at)?;
        let until = last.checked_add(self.catch_up?).ok()?;
        (until >= now).then(|| until + SignedDuration::from_secs(1))
    }

    /// Returns true if it never fires again: a single time that is past, or a last year that is over. An expression that
    /// cannot be read may fire.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let Some(rules) = self.rules() else {
            return false;
        };
        if let Some(once) = self.once(&rules) {
            let last = once.checked_add(self.spread).unwrap_or(once);
            return last <= now;
        }
        let years = Cron::parse(&self.expression).and_then(|cron| cron.years);
        let Some(last) = years.and_then(|years| years.into_iter().max()) else {
            return false;
        };
        let this_year = rules.to_datetime(now).year();
        last < this_year || (last == this_year && self.search(now, true).is_none())
    }

    fn search(&self, now: Timestamp, forward: bool) -> Option<Timestamp> {
        let rules = self.rules()?;
        if let Some(once) = self.once(&rules) {
            return (if forward { once > now } else { once <= now }).then_some(once);
        }
        let cron = Cron::parse(&self.expression)?;
        let mut date = rules.to_datetime(now).date();
        for _ in 0..DAYS_MAX {
            let mut times = cron.times_on(date, &rules);
            let found = if forward {
                times.find(|at| *at > now)
            } else {
                times.filter(|at| *at <= now).last()
            };
            if found.is_some() {
                return found;
            }
            let neighbour = if forward {
                date.tomorrow()
            } else {
                date.yesterday()
            };
            date = neighbour.ok()?;
        }
        None
    }

    fn rules(&self) -> Option<TimeZone> {
        let Some(name) = &self.zone else {
            return Some(TimeZone::UTC);
        };
        let zone: Zone = name.parse().ok()?;
        Some(zone.rules().clone())
    }

    /// `at(2026-12-01T03:00:00)`.
    fn once(&self, rules: &TimeZone) -> Option<Timestamp> {
        let text = self.expression.trim();
        let wall = text.strip_prefix("at(")?.strip_suffix(')')?;
        let wall: jiff::civil::DateTime = wall.trim().parse().ok()?;
        rules.to_timestamp(wall).ok()
    }
}

/// A cron expression, each field as what it allows.
struct Cron {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Days,
    months: Vec<i8>,
    weekdays: Option<Vec<i8>>,
    years: Option<Vec<i16>>,
}

/// Which days of a month.
enum Days {
    Any,
    These(Vec<i8>),
    Last,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    /// None where it is no cron expression, or one with `W` or `#`, which is not understood here.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (fields, amazon) = match text.strip_prefix("cron(") {
            Some(inner) => (inner.strip_suffix(')')?, true),
            None => (expanded(text), false),
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let (minute, hour, day, month, weekday, year) = match (amazon, fields.as_slice()) {
            (true, [minute, hour, day, month, weekday, year]) => {
                (*minute, *hour, *day, *month, *weekday, Some(*year))
            }
            (false, [minute, hour, day, month, weekday]) => {
                (*minute, *hour, *day, *month, *weekday, None)
            }
            _ => return None,
        };
        // EventBridge counts weekdays from 1, crontabs from 0 and take 7 for Sunday too.
        let first = i16::from(amazon);
        let weekdays = field(weekday, first, 7, &WEEKDAYS, first)?;
        let years = match year {
            Some(year) => field(year, 1970, 2199, &[], 0)?,
            None => None,
        };
        let narrow = |numbers: Option<Vec<i16>>| -> Option<Vec<i8>> {
            let numbers = numbers?.into_iter();
            numbers.map(|number| i8::try_from(number).ok()).collect()
        };
        let all = |from: i8, to: i8| (from..=to).collect::<Vec<i8>>();
        Some(Self {
            minutes: narrow(field(minute, 0, 59, &[], 0)?).unwrap_or_else(|| all(0, 59)),
            hours: narrow(field(hour, 0, 23, &[], 0)?).unwrap_or_else(|| all(0, 23)),
            days: match day {
                "L" => Days::Last,
                day => match narrow(field(day, 1, 31, &[], 0)?) {
                    Some(days) => Days::These(days),
                    None => Days::Any,
                },
            },
            months: narrow(field(month, 1, 12, &MONTHS, 1)?).unwrap_or_else(|| all(1, 12)),
            weekdays: weekdays.map(|days| {
                let day = |day: i16| i8::try_from((day - first).rem_euclid(7)).unwrap_or(0);
                days.into_iter().map(day).collect()
            }),
            years,
        })
    }

    fn times_on<'a>(
        &'a self,
        date: Date,
        rules: &'a TimeZone,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let hours = self.hours.iter().filter(move |_| self.fires_on(date));
        let times = hours.flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
        times.filter_map(move |(hour, minute)| rules.to_timestamp(date.at(hour, minute, 0, 0)).ok())
    }

    fn fires_on(&self, date: Date) -> bool {
        let year = self.years.as_ref();
        if year.is_some_and(|years| !years.contains(&date.year()))
            || !self.months.contains(&date.month())
        {
            return false;
        }
        let of_month = match &self.days {
            Days::Any => None,
            Days::These(days) => Some(days.contains(&date.day())),
            Days::Last => Some(date.day() == date.days_in_month()),
        };
        let weekday = date.weekday().to_sunday_zero_offset();
        let of_week = self.weekdays.as_ref().map(|days| days.contains(&weekday));
        match (of_month, of_week) {
            (None, None) => true,
            (Some(fires), None) | (None, Some(fires)) => fires,
            // As in every crontab: where both are given, either is enough. EventBridge allows only one of them.
            (Some(month), Some(week)) => month || week,
        }
    }
}

/// The shorthands of crontabs.
fn expanded(text: &str) -> &str {
    match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    }
}

/// What a field allows, ascending; `Some(None)` where it allows everything, none where it is not understood.
#[expect(
    clippy::option_option,
    reason = "not understood, everything, and some are three answers"
)]
fn field(text: &str, from: i16, to: i16, names: &[&str], base: i16) -> Option<Option<Vec<i16>>> {
    if text == "*" || text == "?" {
        return Some(None);
    }
    let number = |text: &str| -> Option<i16> {
        let named = names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        let number = match named {
            Some(index) => base + i16::try_from(index).ok()?,
            None => text.parse().ok()?,
        };
        (from..=to).contains(&number).then_some(number)
    };
    let mut allowed: Vec<i16> = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None if range == "*" => (from, to),
            None if step > 1 => (number(range)?, to),
            None => (number(range)?, number(range)?),
        };
        if low > high {
            return None;
        }
        allowed.extend((low..=high).step_by(step));
    }
    allowed.sort_unstable();
    allowed.dedup();
    Some(Some(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn firing(expression: &str, zone: Option<&str>) -> Firing {
        Firing {
            expression: expression.to_owned(),
            zone: zone.map(str::to_owned),
            spread: SignedDuration::ZERO,
            catch_up: None,
        }
    }

    fn busy(firing: &Firing, now: &str, away_mins: i64) -> Option<Timestamp> {
        let busy = firing.busy(at(now), SignedDuration::from_mins(away_mins));
        busy.map(|busy| busy.until)
    }

    #[test]
    fn expressions_fire_when_their_owners_say() {
        let now = at("2026-03-04T10:30:00Z");
        let cases = [
            ("cron(0 3 * * ? *)", None, Some("2026-03-05T03:00:00Z")),
            (
                "cron(0 3 ? * MON-FRI *)",
                None,
                Some("2026-03-05T03:00:00Z"),
            ),
            ("cron(0/15 * * * ? *)", None, Some("2026-03-04T10:45:00Z")),
            ("cron(0 0 L * ? *)", None, Some("2026-03-31T00:00:00Z")),
            ("cron(0 0 ? * 1 *)", None, Some("2026-03-08T00:00:00Z")),
            ("cron(0 0 1 JAN ? 2027)", None, Some("2027-01-01T00:00:00Z")),
            ("cron(0 0 1 JAN ? 2020)", None, None),
            ("cron(0 0 ? * 2#1 *)", None, None),
            (
                "0 3 * * *",
                Some("Asia/Tokyo"),
                Some("2026-03-04T18:00:00Z"),
            ),
            ("*/20 * * * *", None, Some("2026-03-04T10:40:00Z")),
            ("0 0 * * 0", None, Some("2026-03-08T00:00:00Z")),
            ("0 0 * * 7", None, Some("2026-03-08T00:00:00Z")),
            ("0 0 13 * FRI", None, Some("2026-03-06T00:00:00Z")),
            ("@hourly", None, Some("2026-03-04T11:00:00Z")),
            ("0 0 29 2 *", None, Some("2028-02-29T00:00:00Z")),
            (
                "at(2026-03-04T12:00:00)",
                None,
                Some("2026-03-04T12:00:00Z"),
            ),
            ("at(2026-03-04T09:00:00)", None, None),
            ("rate(5 minutes)", None, None),
            ("0 0 * *", None, None),
            ("61 0 * * *", None, None),
            ("0 3 * * *", Some("Mars/Olympus"), None),
        ];
        for (expression, zone, next) in cases {
            let firing = firing(expression, zone);
            assert_eq!(firing.next(now), next.map(at), "{expression}");
        }
    }

    #[test]
    fn a_switch_keeps_away_before_and_after_a_firing() {
        let nightly = firing("cron(0 3 * * ? *)", None);
        let busy = |text: &str| busy(&nightly, text, 10);
        let over = Some(at("2026-03-05T03:10:00Z"));
        assert_eq!(busy("2026-03-05T02:50:00Z"), None);
        assert_eq!(busy("2026-03-05T02:50:01Z"), over);
        assert_eq!(busy("2026-03-05T03:00:00Z"), over);
        assert_eq!(busy("2026-03-05T03:09:59Z"), over);
        assert_eq!(busy("2026-03-05T03:10:00Z"), None);
    }

    #[test]
    fn a_flexible_window_belongs_to_the_firing() {
        let mut nightly = firing("cron(0 3 * * ? *)", None);
        nightly.spread = SignedDuration::from_mins(30);
        let over = Some(at("2026-03-05T03:40:00Z"));
        assert_eq!(busy(&nightly, "2026-03-05T02:49:00Z", 10), None);
        assert_eq!(busy(&nightly, "2026-03-05T02:51:00Z", 10), over);
        assert_eq!(busy(&nightly, "2026-03-05T03:39:00Z", 10), over);
        assert_eq!(busy(&nightly, "2026-03-05T03:40:00Z", 10), None);
    }

    #[test]
    fn a_switch_is_not_begun_while_the_other_side_would_make_up_for_what_was_run() {
        let mut nightly = firing("0 3 * * *", None);
        nightly.catch_up = Some(SignedDuration::from_hours(1));
        let over = Some(at("2026-03-05T04:00:00Z"));
        assert_eq!(busy(&nightly, "2026-03-05T03:30:00Z", 10), over);
        assert_eq!(busy(&nightly, "2026-03-05T04:00:00Z", 10), None);
        // A day leaves no room before the next firing: it is kept away from that alone.
        nightly.catch_up = Some(SignedDuration::from_hours(24));
        assert_eq!(busy(&nightly, "2026-03-05T03:30:00Z", 10), None);
        assert!(busy(&nightly, "2026-03-05T02:55:00Z", 10).is_some());
    }

    #[test]
    fn what_fires_all_the_time_cannot_be_kept_away_from() {
        let mut often = firing("*/5 * * * *", None);
        assert_eq!(busy(&often, "2026-03-05T02:59:00Z", 10), None);
        often.catch_up = Some(SignedDuration::from_mins(10));
        let over = Some(at("2026-03-05T03:01:00Z"));
        assert_eq!(busy(&often, "2026-03-05T02:59:01Z", 1), over);
        assert_eq!(busy(&often, "2026-03-05T02:57:00Z", 1), None);
    }

    #[test]
    fn a_firing_that_the_other_side_ran_is_made_up_for_until_its_deadline() {
        let mut nightly = firing("0 3 * * *", None);
        let (now, off_at) = (at("2026-03-05T03:04:00Z"), at("2026-03-05T03:01:00Z"));
        assert_eq!(nightly.makes_up_until(now, off_at), None);
        nightly.catch_up = Some(SignedDuration::from_mins(5));
        let until = Some(at("2026-03-05T03:05:01Z"));
        assert_eq!(nightly.makes_up_until(now, off_at), until);
        let last = at("2026-03-05T03:05:00Z");
        assert_eq!(nightly.makes_up_until(last, off_at), until);
        let just = at("2026-03-05T03:00:00Z");
        assert_eq!(
            nightly.makes_up_until(now, just),
            until,
            "it ran as it went off"
        );
        let later = at("2026-03-05T03:05:01Z");
        assert_eq!(nightly.makes_up_until(later, off_at), None);
        // Nobody ran it: it is rightly made up for.
        let earlier = at("2026-03-05T02:59:00Z");
        assert_eq!(nightly.makes_up_until(now, earlier), None);
    }

    #[test]
    fn what_fires_oftener_than_its_deadline_is_made_up_for_until_its_next_firing_only() {
        let mut often = firing("* * * * *", None);
        often.catch_up = Some(SignedDuration::from_secs(200));
        let off_at = at("2026-03-05T03:00:30Z");
        let soon = often.makes_up_until(at("2026-03-05T03:00:50Z"), off_at);
        assert!(soon.is_some());
        assert_eq!(
            often.makes_up_until(at("2026-03-05T03:01:00Z"), off_at),
            None
        );
    }

    #[test]
    fn the_last_firing_is_the_one_at_this_moment_or_before_it() {
        let now = at("2026-03-04T10:30:00Z");
        for (expression, last) in [
            ("cron(30 10 * * ? *)", Some("2026-03-04T10:30:00Z")),
            ("cron(31 10 * * ? *)", Some("2026-03-03T10:31:00Z")),
            ("*/20 * * * *", Some("2026-03-04T10:20:00Z")),
            ("0 0 29 2 *", Some("2024-02-29T00:00:00Z")),
            ("0 0 31 12 *", Some("2025-12-31T00:00:00Z")),
            ("cron(0 0 1 1 ? 2027)", None),
            ("at(2026-03-04T10:30:00)", Some("2026-03-04T10:30:00Z")),
            ("at(2026-03-04T10:30:01)", None),
        ] {
            let firing = firing(expression, None);
            assert_eq!(firing.last(now), last.map(at), "{expression}");
        }
        // A leap day is eight years away where the century has none.
        let leap = firing("0 0 29 2 *", None);
        let next = leap.next(at("2096-02-29T00:00:00Z"));
        assert_eq!(next, Some(at("2104-02-29T00:00:00Z")));
        let last = leap.last(at("2104-02-28T23:59:59Z"));
        assert_eq!(last, Some(at("2096-02-29T00:00:00Z")));
    }

    #[test]
    fn fields_are_lists_ranges_steps_and_names() {
        // A Wednesday.
        let now = at("2026-03-04T10:30:00Z");
        let next = |expression: &str| firing(expression, None).next(now);
        for (expression, fires) in [
            ("5,50 10 * * *", "2026-03-04T10:50:00Z"),
            ("50,5 10 * * *", "2026-03-04T10:50:00Z"),
            ("0-10 * * * *", "2026-03-04T11:00:00Z"),
            ("10-59/25 10 * * *", "2026-03-04T10:35:00Z"),
            ("40/10 10 * * *", "2026-03-04T10:40:00Z"),
            ("0 */6 * * *", "2026-03-04T12:00:00Z"),
            ("0 0 * apr *", "2026-04-01T00:00:00Z"),
            ("0 0 * 12 *", "2026-12-01T00:00:00Z"),
            ("0 0 * * sat", "2026-03-07T00:00:00Z"),
            ("0 0 * * 4-5", "2026-03-05T00:00:00Z"),
            ("0 0 31 * *", "2026-03-31T00:00:00Z"),
            ("0 23 4 3 *", "2026-03-04T23:00:00Z"),
            ("cron(0 0 ? * 7 *)", "2026-03-07T00:00:00Z"),
            ("cron(0 0 ? * SUN *)", "2026-03-08T00:00:00Z"),
            ("cron(0 0 1 1 ? 2028-2030)", "2028-01-01T00:00:00Z"),
            ("cron(0 0 1 1 ? 2199)", "2199-01-01T00:00:00Z"),
            ("@daily", "2026-03-05T00:00:00Z"),
            ("@midnight", "2026-03-05T00:00:00Z"),
            ("@weekly", "2026-03-08T00:00:00Z"),
            ("@monthly", "2026-04-01T00:00:00Z"),
            ("@yearly", "2027-01-01T00:00:00Z"),
            ("@annually", "2027-01-01T00:00:00Z"),
        ] {
            // What is further away than any leap day is not looked for.
            let found = (!expression.contains("2199")).then(|| at(fires));
            assert_eq!(next(expression), found, "{expression}");
        }
        for wrong in [
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 0 *",
            "* * * 13 *",
            "* * * * 8",
            "cron(* * ? * 0 *)",
            "cron(* * ? * 8 *)",
            "cron(0 0 1 1 ? 1969)",
            "cron(0 3 * * ? *",
            "cron(0 3 * * ?)",
            "10-5 * * * *",
            "*/0 * * * *",
            "*/x * * * *",
            "15W * * * *",
            "@never",
        ] {
            assert_eq!(next(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_a_firing_that_is_near_it_is_told_how_long_a_switch_keeps_away() {
        let mut nightly = firing("0 3 * * *", None);
        nightly.spread = SignedDuration::from_mins(5);
        nightly.catch_up = Some(SignedDuration::from_mins(30));
        let away = SignedDuration::from_mins(10);
        let busy = |now: &str| {
            let busy = nightly.busy(at(now), away)?;
            Some((busy.until, busy.lasts.as_mins()))
        };
        // From ten minutes before it: itself, five minutes of spread, thirty in which it is made up for.
        let all = Some((at("2026-03-05T03:35:00Z"), 45));
        assert_eq!(busy("2026-03-05T02:50:00Z"), None);
        assert_eq!(busy("2026-03-05T02:50:01Z"), all);
        assert_eq!(busy("2026-03-05T03:34:59Z"), all);
        assert_eq!(busy("2026-03-05T03:35:00Z"), None);
        // What is made up for for less than `away` keeps away for that.
        let mut often = firing("0 * * * *", None);
        often.catch_up = Some(SignedDuration::from_mins(1));
        let busy = often.busy(at("2026-03-05T03:05:00Z"), away).unwrap();
        assert_eq!(
            (busy.until, busy.lasts.as_mins()),
            (at("2026-03-05T03:10:00Z"), 20)
        );
        // An hour has room for 59 minutes of it, and not for 60.
        let away = |mins| SignedDuration::from_mins(mins);
        assert!(often.busy(at("2026-03-05T03:05:00Z"), away(29)).is_some());
        assert_eq!(often.busy(at("2026-03-05T03:05:00Z"), away(30)), None);
    }
}
