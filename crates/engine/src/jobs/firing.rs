//! The times at which jobs run, from the cron expressions of EventBridge and of Kubernetes. A switch keeps away from
//! them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::window::Zone;

/// The number of days that are searched for the next or the last run. A leap day is at most eight years away.
const DAYS_MAX: i64 = 8 * 366;

/// The times at which a job runs, as the job's owner wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The expression: `cron(0 3 * * ? *)`, `at(2026-12-01T03:00:00)`, or five fields as in a crontab.
    pub expression: String,
    /// The IANA name of the expression's time zone. `None` means UTC.
    pub zone: Option<String>,
    /// The longest delay of a run after its time (`FlexibleTimeWindow` of EventBridge Scheduler). Zero if runs are
    /// punctual.
    pub spread: SignedDuration,
    /// How long after its time a missed run is still made up for when the job is switched on (`startingDeadlineSeconds`
    /// of Kubernetes). `None` if missed runs are not made up for.
    pub catch_up: Option<SignedDuration>,
}

/// A run at about now, from which a switch must keep away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// The end of the time in which no switch may begin.
    pub until: Timestamp,
    /// The whole length of that time.
    pub lasts: SignedDuration,
}

impl Firing {
    /// Returns the time of the first run after `now`. `None` if it is not known or never comes.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.search(now, true)
    }

    /// Returns the time of the last run at or before `now`. `None` if it is not known or there was none.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        self.search(now, false)
    }

    /// Returns the time in which no switch may begin, because it must keep `away` from every run. `None` if a switch
    /// may begin now. A job that makes up for missed runs is switched on only when the last run is too old for that,
    /// because the side that is left has done it. A switch does not wait for a job that runs so often that there is no
    /// such time.
    pub fn busy(&self, now: Timestamp, away: SignedDuration) -> Option<Busy> {
        let (last, next) = (self.last(now), self.next(now));
        let apart = last.zip(next).map(|(last, next)| next.duration_since(last));
        let makes_up = self.catch_up.unwrap_or_default().max(away);
        let before = away.saturating_add(self.spread);
        let after = [makes_up, away]
            .into_iter()
            .find(|after| apart.is_none_or(|apart| apart > before.saturating_add(*after)))?;
        let rest = self.spread.saturating_add(after);
        let lasts = before.saturating_add(after);
        if let Some(next) = next
            && next.duration_since(now) < away
        {
            let until = next.checked_add(rest).ok()?;
            return Some(Busy { until, lasts });
        }
        let until = last?.checked_add(rest).ok()?;
        if until <= now {
            return None;
        }
        Some(Busy { until, lasts })
    }

    /// Returns the time until which the job, if switched on, would at once repeat a run that the other side did before
    /// it went off at `off_at`. `None` if it would not. A run that neither side did is rightly made up for, so the
    /// result is never later than the next run.
    pub fn makes_up_until(&self, now: Timestamp, off_at: Timestamp) -> Option<Timestamp> {
        let last = self.last(now)?;
        if last > off_at {
            return None;
        }
        let until = last.checked_add(self.catch_up?).ok()?;
        if until < now {
            return None;
        }
        Some(until + SignedDuration::from_secs(1))
    }

    /// Returns true if the job never runs again, because its single time is past or its last year is over. An
    /// expression that cannot be read may run.
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

    /// Returns the first run after `now`, or if `forward` is false the last one at or before `now`.
    fn search(&self, now: Timestamp, forward: bool) -> Option<Timestamp> {
        let rules = self.rules()?;
        if let Some(once) = self.once(&rules) {
            return if forward == (once > now) {
                Some(once)
            } else {
                None
            };
        }
        let cron = Cron::parse(&self.expression)?;
        let mut date = rules.to_datetime(now).date();
        for _ in 0..DAYS_MAX {
            if cron.fires_on(date)
                && let Some(found) = cron.search_day(date, &rules, now, forward)
            {
                return Some(found);
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

    /// Returns the rules of the time zone. `None` if there is no such zone.
    fn rules(&self) -> Option<TimeZone> {
        let Some(name) = &self.zone else {
            return Some(TimeZone::UTC);
        };
        let zone: Zone = name.parse().ok()?;
        Some(zone.rules().clone())
    }

    /// Returns the time in `at(2026-12-01T03:00:00)`. `None` for any other expression.
    fn once(&self, rules: &TimeZone) -> Option<Timestamp> {
        let text = self.expression.trim();
        let wall = text.strip_prefix("at(")?.strip_suffix(')')?;
        let wall: jiff::civil::DateTime = wall.trim().parse().ok()?;
        rules.to_timestamp(wall).ok()
    }
}

/// A cron expression as the values that each field allows. `None` for a field means that it allows every value.
struct Cron {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: MonthDays,
    months: Vec<i8>,
    weekdays: Option<Vec<i8>>,
    years: Option<Vec<i16>>,
}

/// The days of a month that a cron expression allows.
enum MonthDays {
    Any,
    These(Vec<i8>),
    Last,
}

/// The names of the months in cron expressions, January first.
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
/// The names of the weekdays in cron expressions, Sunday first.
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    /// Parses a cron expression. `None` if the text is not one, or if it uses `W` or `#`, which are not supported.
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
        // EventBridge counts weekdays from 1. Crontabs count from 0, and 7 means Sunday too.
        let first = i16::from(amazon);
        let weekdays = field(weekday, first, 7, &WEEKDAYS, first)?;
        let years = match year {
            Some(year) => field(year, 1970, 2199, &[], 0)?,
            None => None,
        };
        Some(Self {
            minutes: narrow(field(minute, 0, 59, &[], 0)?).unwrap_or_else(|| (0..=59).collect()),
            hours: narrow(field(hour, 0, 23, &[], 0)?).unwrap_or_else(|| (0..=23).collect()),
            days: match day {
                "L" => MonthDays::Last,
                day => match narrow(field(day, 1, 31, &[], 0)?) {
                    Some(days) => MonthDays::These(days),
                    None => MonthDays::Any,
                },
            },
            months: narrow(field(month, 1, 12, &MONTHS, 1)?).unwrap_or_else(|| (1..=12).collect()),
            weekdays: weekdays.map(|days| from_zero(&days, first)),
            years,
        })
    }

    /// Returns the first run of a day after `now`, or if `forward` is false the last one at or before `now`.
    fn search_day(
        &self,
        date: Date,
        rules: &TimeZone,
        now: Timestamp,
        forward: bool,
    ) -> Option<Timestamp> {
        let mut last = None;
        for hour in &self.hours {
            for minute in &self.minutes {
                let Ok(at) = rules.to_timestamp(date.at(*hour, *minute, 0, 0)) else {
                    continue;
                };
                if forward && at > now {
                    return Some(at);
                }
                if !forward && at <= now {
                    last = Some(at);
                }
            }
        }
        last
    }

    /// Returns true if the job runs on this day, at any time.
    fn fires_on(&self, date: Date) -> bool {
        if let Some(years) = &self.years
            && !years.contains(&date.year())
        {
            return false;
        }
        if !self.months.contains(&date.month()) {
            return false;
        }
        let of_month = match &self.days {
            MonthDays::Any => None,
            MonthDays::These(days) => Some(days.contains(&date.day())),
            MonthDays::Last => Some(date.day() == date.days_in_month()),
        };
        let weekday = date.weekday().to_sunday_zero_offset();
        let of_week = self.weekdays.as_ref().map(|days| days.contains(&weekday));
        match (of_month, of_week) {
            (None, None) => true,
            (Some(fires), None) | (None, Some(fires)) => fires,
            // As in every crontab, one of the two is enough if both are given. EventBridge allows only one of them.
            (Some(month), Some(week)) => month || week,
        }
    }
}

/// Converts the values of a field to small numbers. `None` means that the field allows every value.
fn narrow(values: Option<Vec<i16>>) -> Option<Vec<i8>> {
    let values = values?.into_iter();
    values.map(|value| i8::try_from(value).ok()).collect()
}

/// Converts weekdays that are counted from `first` to weekdays that are counted from 0.
fn from_zero(days: &[i16], first: i16) -> Vec<i8> {
    let mut weekdays = Vec::new();
    for day in days {
        weekdays.push(i8::try_from((day - first).rem_euclid(7)).unwrap_or(0));
    }
    weekdays
}

/// Returns the five fields that a shorthand of crontabs stands for. Any other text is returned as it is.
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

/// Returns the values that a field allows, ascending. `Some(None)` if it allows every value, `None` if it cannot be
/// parsed.
#[expect(
    clippy::option_option,
    reason = "not understood, everything, and some are three answers"
)]
fn field(text: &str, from: i16, to: i16, names: &[&str], base: i16) -> Option<Option<Vec<i16>>> {
    if text == "*" || text == "?" {
        return Some(None);
    }
    let mut allowed: Vec<i16> = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok()?),
            None => (part, 1),
        };
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (number(low, names, base)?, number(high, names, base)?),
            None if range == "*" => (from, to),
            None if step > 1 => (number(range, names, base)?, to),
            None => (number(range, names, base)?, number(range, names, base)?),
        };
        if step == 0 || low < from || high > to || low > high {
            return None;
        }
        allowed.extend((low..=high).step_by(step));
    }
    allowed.sort_unstable();
    allowed.dedup();
    Some(Some(allowed))
}

/// Parses a number of a field, or one of `names`, which count from `base`. `None` if the text is neither.
fn number(text: &str, names: &[&str], base: i16) -> Option<i16> {
    let named = names
        .iter()
        .position(|name| text.eq_ignore_ascii_case(name));
    match named {
        Some(index) => Some(base + i16::try_from(index).ok()?),
        None => text.parse().ok(),
    }
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
        // A day leaves no room before the next run, so the switch keeps away from that run alone.
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
        // Neither side did that run, so it is rightly made up for.
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
        // A leap day is eight years away if a century has none.
        let leap = firing("0 0 29 2 *", None);
        let next = leap.next(at("2096-02-29T00:00:00Z"));
        assert_eq!(next, Some(at("2104-02-29T00:00:00Z")));
        let last = leap.last(at("2104-02-28T23:59:59Z"));
        assert_eq!(last, Some(at("2096-02-29T00:00:00Z")));
    }

    #[test]
    fn fields_are_lists_ranges_steps_and_names() {
        // The date is a Wednesday.
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
            // A run that is further away than any leap day is not searched for.
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
        // From 10 minutes before the run: these, 5 minutes of spread, and 30 minutes in which the run is made up for.
        let all = Some((at("2026-03-05T03:35:00Z"), 45));
        assert_eq!(busy("2026-03-05T02:50:00Z"), None);
        assert_eq!(busy("2026-03-05T02:50:01Z"), all);
        assert_eq!(busy("2026-03-05T03:34:59Z"), all);
        assert_eq!(busy("2026-03-05T03:35:00Z"), None);
        // If a run is made up for during less time than `away`, the switch keeps `away`.
        let mut often = firing("0 * * * *", None);
        often.catch_up = Some(SignedDuration::from_mins(1));
        let busy = often.busy(at("2026-03-05T03:05:00Z"), away).unwrap();
        assert_eq!(
            (busy.until, busy.lasts.as_mins()),
            (at("2026-03-05T03:10:00Z"), 20)
        );
        // An hour has room for 59 minutes of that, but not for 60.
        let away = |mins| SignedDuration::from_mins(mins);
        assert!(often.busy(at("2026-03-05T03:05:00Z"), away(29)).is_some());
        assert_eq!(often.busy(at("2026-03-05T03:05:00Z"), away(30)), None);
    }
}
