//! Windows over ten years of calendars, in zones whose clocks change, beside a slow walk from minute to minute that
//! only reads what the wall shows.

use cutover_engine::window::{Windows, Zone};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

/// No change; an hour, in both halves of the world; half an hour; a skipped day (2011); two changes around Ramadan; a
/// winter time that is the exception; quarters of an hour.
const ZONES: [&str; 10] = [
    "UTC",
    "Asia/Tokyo",
    "America/New_York",
    "Europe/Berlin",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Pacific/Chatham",
];

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Days and minutes, and the text that says them.
#[derive(Debug, Clone)]
struct Drawn {
    /// Monday first.
    week: Option<[bool; 7]>,
    dates: Option<(jiff::civil::Date, jiff::civil::Date)>,
    times: Option<(i16, i16)>,
}

impl Drawn {
    fn text(&self) -> String {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let mut words = Vec::new();
        if let Some(week) = &self.week {
            let days = DAYS.iter().zip(week).filter(|(_, on)| **on);
            let days: Vec<&str> = days.map(|(day, _)| *day).collect();
            words.push(days.join(","));
        }
        if let Some((first, last)) = self.dates {
            words.push(format!("{first}..{last}"));
        }
        let clock = |minute: i16| format!("{:02}:{:02}", minute / 60, minute % 60);
        if let Some((from, to)) = self.times {
            words.push(format!("{}-{}", clock(from), clock(to)));
        }
        words.join(" ")
    }

    /// Whether the wall's day is one of the entry's.
    fn on(&self, date: jiff::civil::Date) -> bool {
        let day = usize::try_from(date.weekday().to_monday_zero_offset()).expect("0 to 6");
        self.week.is_none_or(|week| week[day])
            && self
                .dates
                .is_none_or(|(first, last)| first <= date && date <= last)
    }

    /// Whether the wall shows a time of it: the meaning of an entry, written once more.
    fn shows(&self, wall: jiff::civil::DateTime) -> bool {
        let minute = i16::from(wall.hour()) * 60 + i16::from(wall.minute());
        let (from, to) = self.times.unwrap_or((0, 1440));
        let yesterday = wall.date().yesterday().expect("a date");
        if from < to {
            self.on(wall.date()) && from <= minute && minute < to
        } else {
            (self.on(wall.date()) && from <= minute) || (self.on(yesterday) && minute < to)
        }
    }
}

/// A plan's windows, and what they were drawn from.
#[derive(Debug, Clone)]
struct Case {
    windows: Windows,
    allow: Vec<Drawn>,
    deny: Vec<Drawn>,
}

impl Case {
    fn shows_open(&self, wall: jiff::civil::DateTime) -> bool {
        let shows = |entry: &Drawn| entry.shows(wall);
        (self.allow.is_empty() || self.allow.iter().any(shows)) && !self.deny.iter().any(shows)
    }
}

fn entry() -> impl Strategy<Value = Drawn> {
    let week =
        prop::array::uniform7(any::<bool>()).prop_filter("a day", |week| week.contains(&true));
    let dates = (0_i32..3_650, 0_i32..40).prop_map(|(from, length)| {
        let begin = jiff::civil::date(2009, 1, 1);
        let first = begin.checked_add(from.days()).expect("a date");
        (first, first.checked_add(length.days()).expect("a date"))
    });
    // Around the hours at which clocks are changed, and any others.
    let minute = prop_oneof![(0_i16..16).prop_map(|quarter| quarter * 15), 0_i16..1440];
    let times = (minute.clone(), prop_oneof![minute, Just(1440)])
        .prop_filter("not empty", |(from, to)| from != to);
    let days = prop_oneof![
        3 => week.prop_map(|week| (Some(week), None)),
        2 => dates.prop_map(|dates| (None, Some(dates))),
    ];
    prop_oneof![
        4 => (days.clone(), times.clone()).prop_map(|((week, dates), times)| Drawn {
            week, dates, times: Some(times),
        }),
        2 => days.prop_map(|(week, dates)| Drawn { week, dates, times: None }),
        1 => times.prop_map(|times| Drawn { week: None, dates: None, times: Some(times) }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let entries = |most| prop::collection::vec(entry(), 0..most);
    (0..ZONES.len(), entries(4), entries(4), any::<bool>()).prop_map(
        |(zone, allow, deny, whole_bake)| {
            let parse = |drawn: &[Drawn]| {
                let entries = drawn.iter().map(|entry| entry.text().parse());
                entries.collect::<Result<_, _>>().expect("entries")
            };
            let windows = Windows {
                time_zone: ZONES[zone].parse().expect("a zone"),
                allow: parse(&allow),
                deny: parse(&deny),
                whole_bake,
            };
            Case {
                windows,
                allow,
                deny,
            }
        },
    )
}

/// The first stretch that is long enough, looked for stretch by stretch for longer than any date is drawn.
fn by_stretches(windows: &Windows, at: Timestamp, length: SignedDuration) -> Option<Timestamp> {
    let until = at + SignedDuration::from_hours(24 * 365 * 14);
    let mut open = windows.opens_at(at)?;
    while open < until {
        let close = windows.closes_at(open);
        if close.is_none_or(|close| close.duration_since(open) >= length) {
            return Some(open);
        }
        open = windows.opens_at(close?)?;
    }
    None
}

/// Any time of ten years, half of them near a change of the clock or the skipped day.
fn instant(zone: &Zone, secs: i64, near: bool) -> Timestamp {
    let begin: Timestamp = "2009-01-01T00:00:00Z".parse().expect("a timestamp");
    let at = begin + SignedDuration::from_secs(secs);
    if !near {
        return at;
    }
    let change = zone.rules().following(at).next();
    let near = change.map_or(at, |change| change.timestamp());
    near - SignedDuration::from_secs(secs % (36 * 3_600))
}

/// The first minute from `at` on that is open, or that is not, looked for day by day for `days`.
fn walk(case: &Case, rules: &TimeZone, open: bool, at: Timestamp, days: i64) -> Option<Timestamp> {
    let mut look = at;
    let until = at + SignedDuration::from_hours(24 * days);
    while look < until {
        if case.shows_open(rules.to_datetime(look)) == open {
            return Some(look);
        }
        let into = look.as_second().rem_euclid(60);
        look = look + MINUTE - SignedDuration::from_secs(into);
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn openings_and_closings_are_those_of_a_walk_from_minute_to_minute(
        case in case(), secs in 0_i64..315_360_000, near in any::<bool>(),
    ) {
        let windows = &case.windows;
        let rules = windows.time_zone.rules().clone();
        let at = instant(&windows.time_zone, secs, near);
        prop_assert_eq!(windows.is_open(at), case.shows_open(rules.to_datetime(at)));
        for open in [true, false] {
            let answer = if open { windows.opens_at(at) } else { windows.closes_at(at) };
            let walked = walk(&case, &rules, open, at, 20);
            match (walked, answer) {
                (Some(walked), answer) => prop_assert_eq!(answer, Some(walked)),
                (None, Some(answer)) => {
                    prop_assert!(answer.duration_since(at) >= SignedDuration::from_hours(24 * 20));
                    prop_assert_eq!(case.shows_open(rules.to_datetime(answer)), open);
                    let before = answer - SignedDuration::from_nanos(1);
                    prop_assert_eq!(case.shows_open(rules.to_datetime(before)), !open);
                }
                (None, None) => {}
            }
        }
    }

    #[test]
    fn never_is_never_in_all_the_years_that_follow(case in case(), secs in 0_i64..315_360_000) {
        let rules = case.windows.time_zone.rules().clone();
        let at = instant(&case.windows.time_zone, secs, false);
        if case.windows.opens_at(at).is_none() {
            // A quarter of an hour is as fine as a change of the clock; other minutes are looked at in the other property.
            let mut look = at;
            let until: Timestamp = "2021-01-01T00:00:00Z".parse().expect("a timestamp");
            while look < until {
                prop_assert!(!case.shows_open(rules.to_datetime(look)), "open at {}", look);
                look += SignedDuration::from_mins(7);
            }
        }
    }

    #[test]
    fn no_step_is_taken_outside_its_window_and_with_whole_bake_none_outlasts_it(
        case in case(), secs in 0_i64..315_360_000, near in any::<bool>(), hours in 1_i64..60,
    ) {
        let windows = &case.windows;
        let rules = windows.time_zone.rules().clone();
        let mut at = instant(&windows.time_zone, secs, near);
        let watched = SignedDuration::from_hours(hours);
        if windows.whole_bake {
            prop_assert_eq!(windows.next(at, watched), by_stretches(windows, at, watched));
        }
        // A ladder of steps, each as early as it can be.
        for _ in 0..5 {
            let Some(taken) = windows.next(at, watched) else { break };
            prop_assert!(taken >= at);
            prop_assert!(case.shows_open(rules.to_datetime(taken)), "taken at {}", taken);
            prop_assert_eq!(windows.next(taken, watched), Some(taken), "it is open then");
            if windows.whole_bake {
                prop_assert!(windows.is_open(taken));
                let closes_at = windows.closes_at(taken);
                prop_assert!(closes_at.is_none_or(|shut| shut.duration_since(taken) >= watched));
                let shut = walk(&case, &rules, false, taken, 3);
                prop_assert!(shut.is_none_or(|shut| shut.duration_since(taken) >= watched));
            } else {
                prop_assert_eq!(windows.opens_at(at), Some(taken));
            }
            at = taken + watched;
        }
    }
}

/// The promise itself: ten years of a plan that always goes on as early as it may, minute by minute, in each zone.
#[test]
fn ten_years_of_office_hours_have_no_step_outside_them() {
    for zone in ZONES {
        let windows = Windows {
            time_zone: zone.parse().expect("a zone"),
            allow: vec!["Mon-Fri 10:00-17:00".parse().expect("an entry")],
            deny: vec![
                "2012-12-24..2013-01-06".parse().expect("an entry"),
                "Fri 15:00-24:00".parse().expect("an entry"),
            ],
            whole_bake: false,
        };
        let mut at: Timestamp = "2009-01-01T00:00:00Z".parse().expect("a timestamp");
        let end: Timestamp = "2019-01-01T00:00:00Z".parse().expect("a timestamp");
        let mut steps = 0;
        while at < end {
            let taken = windows
                .next(at, SignedDuration::ZERO)
                .expect("it opens every week");
            let wall = windows.time_zone.wall(taken);
            let weekday = wall.date().weekday().to_monday_one_offset();
            let last = if weekday == 5 { 15 } else { 17 };
            assert!(
                weekday <= 5 && (10..last).contains(&wall.hour()),
                "{zone} {wall}"
            );
            assert!(
                taken.duration_since(at) <= SignedDuration::from_hours(24 * 20),
                "{zone} {wall}"
            );
            steps += 1;
            at = taken + SignedDuration::from_mins(187);
        }
        assert!(steps > 5_000, "{zone}: {steps}");
    }
}
