use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn windows(zone: &str, allow: &[&str], deny: &[&str]) -> Windows {
    Windows {
        time_zone: zone.parse().unwrap(),
        allow: entries(allow),
        deny: entries(deny),
        whole_bake: false,
    }
}

fn entries(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[test]
fn office_hours_open_on_the_next_working_day() {
    let tokyo = windows("Asia/Tokyo", &["Mon-Fri 10:00-17:00"], &["Fri 15:00-24:00"]);
    // The time is a Monday, 10:00 in Tokyo.
    assert!(!tokyo.is_open(at("2026-12-07T00:59:59.999Z")));
    assert!(tokyo.is_open(at("2026-12-07T01:00:00Z")));
    assert!(!tokyo.is_open(at("2026-12-07T08:00:00Z")), "half-open");
    let noon = at("2026-12-07T03:00:00Z");
    assert_eq!(tokyo.opens_at(noon), Some(noon));
    assert_eq!(tokyo.closes_at(noon), Some(at("2026-12-07T08:00:00Z")));
    // A step on Friday afternoon waits for Monday.
    let friday = at("2026-12-11T06:00:00Z");
    assert_eq!(tokyo.closes_at(friday), Some(friday));
    assert_eq!(tokyo.opens_at(friday), Some(at("2026-12-14T01:00:00Z")));
}

#[test]
fn dates_include_both_days_and_deny_wins() {
    let holidays = windows("Asia/Tokyo", &[], &["2026-12-28..2027-01-04"]);
    let eve = at("2026-12-27T14:59:59Z");
    assert!(holidays.is_open(eve));
    assert_eq!(holidays.closes_at(eve), Some(at("2026-12-27T15:00:00Z")));
    assert_eq!(
        holidays.opens_at(at("2026-12-30T00:00:00Z")),
        Some(at("2027-01-04T15:00:00Z"))
    );
    assert_eq!(holidays.closes_at(at("2027-02-01T00:00:00Z")), None);
    let both = windows("UTC", &["2026-12-31"], &["2026-12-31 12:00-24:00"]);
    assert_eq!(
        both.closes_at(at("2026-12-31T00:00:00Z")),
        Some(at("2026-12-31T12:00:00Z"))
    );
}

#[test]
fn a_range_over_midnight_belongs_to_its_first_day() {
    let night = windows("UTC", &["Fri 22:00-02:00"], &[]);
    assert!(
        !night.is_open(at("2026-12-11T01:00:00Z")),
        "Friday's early morning"
    );
    assert!(night.is_open(at("2026-12-12T01:59:00Z")), "Saturday's");
    assert_eq!(
        night.closes_at(at("2026-12-11T23:00:00Z")),
        Some(at("2026-12-12T02:00:00Z"))
    );
    let last = windows("UTC", &["2026-12-31 22:00-02:00"], &[]);
    assert!(last.is_open(at("2027-01-01T01:00:00Z")));
}

#[test]
fn what_lies_in_the_past_or_is_denied_wholly_never_opens() {
    let past = windows("UTC", &["2026-03-01"], &[]);
    assert_eq!(past.opens_at(at("2026-03-02T00:00:00Z")), None);
    assert!(past.can_open(SignedDuration::ZERO), "it could have");
    let denied = windows("UTC", &["Mon-Fri 10:00-12:00"], &["09:00-13:00"]);
    assert_eq!(denied.opens_at(at("2026-03-02T00:00:00Z")), None);
    assert!(!denied.can_open(SignedDuration::ZERO));
    let far = windows("UTC", &["9000-02-28 10:00-12:00"], &[]);
    assert_eq!(
        far.opens_at(at("2026-03-02T00:00:00Z")),
        Some(at("9000-02-28T10:00:00Z"))
    );
}

#[test]
fn a_time_that_the_wall_skips_does_not_exist() {
    let newyork = windows("America/New_York", &["02:15-02:45"], &[]);
    // On 8 March 2026, 03:00 follows 02:00.
    assert_eq!(
        newyork.opens_at(at("2026-03-07T08:00:00Z")),
        Some(at("2026-03-09T06:15:00Z"))
    );
    let across = windows("America/New_York", &["01:30-03:30"], &[]);
    let open = at("2026-03-08T06:30:00Z");
    assert_eq!(across.opens_at(at("2026-03-08T00:00:00Z")), Some(open));
    let close = across.closes_at(open).unwrap();
    assert_eq!(close.duration_since(open), hours(1));
}

#[test]
fn a_time_that_the_wall_shows_twice_counts_both_times() {
    // On 1 November 2026, 01:00 follows 02:00.
    let night = windows("America/New_York", &["01:15-01:45"], &[]);
    let first = at("2026-11-01T05:15:00Z");
    assert_eq!(night.opens_at(at("2026-11-01T00:00:00Z")), Some(first));
    assert_eq!(night.closes_at(first), Some(at("2026-11-01T05:45:00Z")));
    assert_eq!(
        night.opens_at(at("2026-11-01T05:45:00Z")),
        Some(at("2026-11-01T06:15:00Z"))
    );
    let across = windows("America/New_York", &["00:00-03:00"], &[]);
    let midnight = at("2026-11-01T04:00:00Z");
    let close = across.closes_at(midnight).unwrap();
    assert_eq!(close.duration_since(midnight), hours(4));
}

#[test]
fn a_day_that_is_skipped_has_no_windows() {
    // In 2011 Apia skipped 30 December.
    let apia = windows("Pacific/Apia", &["2011-12-30", "2012-02-01"], &[]);
    assert_eq!(
        apia.opens_at(at("2011-12-29T00:00:00Z")),
        Some(at("2012-01-31T10:00:00Z"))
    );
}

#[test]
fn with_whole_bake_a_window_must_be_long_enough() {
    let mut office = windows(
        "Europe/Berlin",
        &["Mon-Fri 10:00-17:00"],
        &["Wed 12:00-24:00"],
    );
    office.whole_bake = true;
    let wednesday = at("2026-12-09T09:00:00Z");
    assert_eq!(office.next(wednesday, hours(2)), Some(wednesday));
    assert_eq!(
        office.next(wednesday, hours(3)),
        Some(at("2026-12-10T09:00:00Z"))
    );
    assert_eq!(office.next(wednesday, hours(8)), None);
    assert!(!office.can_open(hours(8)));
    let always = Windows {
        whole_bake: true,
        ..windows("UTC", &[], &["2026-12-25"])
    };
    let eve = at("2026-12-24T12:00:00Z");
    assert_eq!(
        always.next(eve, hours(24)),
        Some(at("2026-12-26T00:00:00Z"))
    );
    assert_eq!(
        always.next(at("2027-01-01T00:00:00Z"), hours(24 * 90)),
        Some(at("2027-01-01T00:00:00Z"))
    );
}

#[test]
fn a_window_that_only_a_change_of_the_clock_makes_long_enough_is_found() {
    let night = Windows {
        whole_bake: true,
        ..windows("America/New_York", &["Sun 00:00-03:00"], &[])
    };
    assert_eq!(
        night.next(at("2026-01-01T00:00:00Z"), SignedDuration::from_mins(200)),
        Some(at("2026-11-01T04:00:00Z"))
    );
}

#[test]
fn entries_read_back_as_they_are_shown() {
    for text in [
        "Mon-Fri 10:00-17:00",
        "Sat-Sun",
        "Mon,Wed,Fri 09:30-24:00",
        "2026-12-28..2027-01-04",
        "2026-12-31 12:00-24:00",
        "10:00-17:00",
        "22:00-02:00",
    ] {
        let entry: Entry = text.parse().unwrap();
        assert_eq!(entry.to_string(), text);
    }
    let wraps: Entry = "Fri-Mon".parse().unwrap();
    assert_eq!(wraps.to_string(), "Mon,Fri-Sun");
    assert_eq!("Sat,Sun".parse::<Entry>().unwrap().to_string(), "Sat-Sun");
}

#[test]
fn what_is_no_entry_says_why() {
    fn error(text: &str) -> EntryError {
        text.parse::<Entry>().unwrap_err()
    }
    assert_eq!(error(" "), EntryError::Empty);
    assert_eq!(
        error("25:00-26:00"),
        EntryError::NotATime("25:00".to_owned())
    );
    assert_eq!(
        error("24:00-02:00"),
        EntryError::NotATime("24:00".to_owned())
    );
    assert_eq!(error("10:00"), EntryError::NotATime("10:00".to_owned()));
    assert_eq!(error("9:00-10:00"), EntryError::NotATime("9:00".to_owned()));
    assert_eq!(error("Mon-Fry"), EntryError::NotDays("Fry".to_owned()));
    assert_eq!(
        error("2026-02-29"),
        EntryError::NotADate("2026-02-29".to_owned())
    );
    assert_eq!(error("10:00-10:00"), EntryError::NoTime("10:00".to_owned()));
    assert_eq!(
        error("Mon 10:00-11:00 x"),
        EntryError::Extra("x".to_owned())
    );
    assert!(matches!(
        error("2027-01-04..2026-12-28"),
        EntryError::Reversed { .. }
    ));
}

#[test]
fn windows_are_journaled_as_they_are_written() {
    let windows = windows("Asia/Tokyo", &["Mon-Fri 10:00-17:00"], &["2026-12-31"]);
    let json = serde_json::to_value(&windows).unwrap();
    assert_eq!(json["time_zone"], "Asia/Tokyo");
    assert_eq!(json["allow"][0], "Mon-Fri 10:00-17:00");
    assert_eq!(serde_json::from_value::<Windows>(json).unwrap(), windows);
    assert!("Asia/Tokio".parse::<Zone>().is_err());
}

#[test]
fn a_zone_is_known_by_its_name_as_the_database_writes_it() {
    fn zone(name: &str) -> Result<Zone, UnknownZone> {
        name.parse()
    }
    let tokyo = zone("asia/tokyo").unwrap();
    assert_eq!(tokyo.name(), "Asia/Tokyo");
    assert_eq!((tokyo.to_string(), format!("{tokyo:?}")), {
        let (name, debug) = ("Asia/Tokyo", "Zone(Asia/Tokyo)");
        (name.to_owned(), debug.to_owned())
    });
    let berlin = zone("Europe/Berlin").unwrap();
    assert!(tokyo == zone("Asia/Tokyo").unwrap() && tokyo != berlin && tokyo < berlin);
    assert_eq!(
        (Zone::utc().name(), Zone::utc()),
        ("UTC", zone("UTC").unwrap())
    );
    assert!(Zone::names().any(|name| name == "Asia/Tokyo"));
    let unknown = zone("Asia/Tokio").unwrap_err().to_string();
    assert_eq!(unknown, "there is no time zone Asia/Tokio");
    let noon = at("2026-12-07T03:00:00Z");
    assert_eq!(tokyo.wall(noon).to_string(), "2026-12-07T12:00:00");
    assert_eq!(tokyo.instant(tokyo.wall(noon)), noon);
}

#[test]
fn an_entry_says_whether_it_has_dates_and_how_far_it_runs_over_midnight() {
    for (text, dates, over) in [
        ("Mon-Fri", false, None),
        ("10:00-24:00", false, None),
        ("Mon 22:00-02:00", false, Some(240)),
        ("23:30-00:15", false, Some(45)),
        ("2026-12-31", true, None),
        ("2026-12-31 12:00-11:59", true, Some(1_439)),
    ] {
        let entry: Entry = text.parse().unwrap();
        assert_eq!(
            (entry.has_dates(), entry.over_midnight()),
            (dates, over),
            "{text}"
        );
        assert_eq!(entry.to_string(), text);
    }
}

/// Returns the open stretches of one day, in hours.
fn open(allow: &[&str], deny: &[&str]) -> Vec<(i64, i64)> {
    let day = at("2026-12-07T00:00:00Z");
    let windows = windows("UTC", allow, deny);
    let mut found = Vec::new();
    let (mut from, end) = (day, day + hours(24));
    while let Some(open) = windows.opens_at(from)
        && open < end
    {
        let shut = windows.closes_at(open).unwrap_or(end).min(end);
        let (first, last) = (open.duration_since(day), shut.duration_since(day));
        found.push((first.as_hours(), last.as_hours()));
        from = shut;
    }
    found
}

#[test]
fn what_is_denied_at_the_edges_or_several_times_is_taken_out_once() {
    let office = ["08:00-18:00"];
    assert_eq!(open(&office, &[]), [(8, 18)]);
    assert_eq!(open(&office, &["08:00-10:00", "16:00-18:00"]), [(10, 16)]);
    assert_eq!(open(&office, &["06:00-08:00", "18:00-20:00"]), [(8, 18)]);
    assert_eq!(open(&office, &["06:00-09:00", "17:00-20:00"]), [(9, 17)]);
    assert_eq!(
        open(&office, &["10:00-14:00", "11:00-12:00"]),
        [(8, 10), (14, 18)]
    );
    assert_eq!(
        open(&office, &["10:00-12:00", "12:00-14:00"]),
        [(8, 10), (14, 18)]
    );
    assert_eq!(open(&["08:00-10:00", "10:00-12:00"], &[]), [(8, 12)]);
    assert_eq!(open(&["08:00-11:00", "09:00-10:00"], &[]), [(8, 11)]);
    assert_eq!(
        open(&["08:00-10:00", "14:00-16:00"], &["09:00-15:00"]),
        [(8, 9), (15, 16)]
    );
    assert_eq!(open(&[], &["00:00-06:00", "22:00-24:00"]), [(6, 22)]);
    assert_eq!(open(&["20:00-04:00"], &[]), [(0, 4), (20, 24)]);
}
