//! `windows:` and the terms of approvals: what is read, what is wrong, what is said about it.

use cutover::engine::plan::{ApprovalTimeout, HoldOrRevert};
use cutover::plan_file;
use jiff::SignedDuration;

use super::{VALID, findings, load, with};

/// [`VALID`] with windows, on line 11.
fn windows(body: &str) -> String {
    format!("{VALID}windows: {{ {body} }}\n")
}

/// One finding on line 11, with this message and help.
#[track_caller]
fn one(body: &str, column: usize, message: &str, help: &str) {
    let found = findings(&windows(body));
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = &found[0];
    assert_eq!(
        (found.message.as_str(), found.help.as_deref()),
        (message, Some(help))
    );
    assert_eq!(
        (found.line, found.column),
        (Some(11), Some(column)),
        "{body}"
    );
}

#[test]
fn windows_are_read_as_they_are_written() {
    let text = windows(
        "time_zone: Asia/Tokyo, allow: [ \"Mon-Fri 10:00-17:00\" ], \
         deny: [ \"2026-12-28..2027-01-04\", \"Fri 15:00-24:00\", \"Sat,Sun\" ], whole_bake: false",
    );
    let plan = load(&text);
    let windows = plan.windows.expect("windows");
    assert_eq!(windows.time_zone.name(), "Asia/Tokyo");
    let shown: Vec<String> = windows.deny.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["2026-12-28..2027-01-04", "Fri 15:00-24:00", "Sat-Sun"]
    );
    assert_eq!(load(VALID).windows, None);
}

#[test]
fn windows_change_the_plan_and_its_digest() {
    let digest = |text: &str| plan_file::parse(text, "plan.yaml").unwrap().source.digest;
    let office = windows("time_zone: Asia/Tokyo, allow: [ \"Mon-Fri 10:00-17:00\" ]");
    let spaced = windows("allow: [ \"Mon-Fri  10:00-17:00\" ], time_zone: Asia/Tokyo");
    assert_ne!(digest(VALID), digest(&office));
    assert_eq!(digest(&spaced), digest(&office));
}

const EXAMPLE: &str = "write for example `Mon-Fri 10:00-17:00`, `Sat,Sun`, `2026-12-28..2027-01-04` or \
                       `2026-12-31 12:00-24:00`";

fn utc(entry: &str) -> String {
    format!("time_zone: UTC, deny: [ \"{entry}\" ]")
}

#[test]
fn a_zone_that_is_none_is_told_which_was_meant() {
    let zone = |zone: &str| format!("time_zone: {zone}, deny: [ Sat ]");
    let no_zone = |name: &str| format!("there is no time zone `{name}`");
    one(
        &zone("Asia/Tokio"),
        23,
        &no_zone("Asia/Tokio"),
        "did you mean `Asia/Tokyo`?",
    );
    one(
        &zone("tokyo_"),
        23,
        &no_zone("tokyo_"),
        "did you mean `Asia/Tokyo`?",
    );
    one(
        &zone("CEST-ish"),
        23,
        &no_zone("CEST-ish"),
        "write a name of the IANA database, for example `Asia/Tokyo` or `Europe/Berlin`",
    );
}

#[test]
fn times_of_day_that_are_none_are_told_what_to_write() {
    one(
        &utc("Mon 10:00-25:00"),
        36,
        "`25:00` is not a time of day",
        "write hours from 00 to 23 and minutes from 00 to 59; `24:00` is the end of a day",
    );
    one(
        &utc("9:00-10:00"),
        36,
        "`9:00` is not a time of day",
        "write `09:00`",
    );
    one(
        &utc("Mon 10:00"),
        36,
        "`10:00` is not a time of day",
        "write a range, for example `10:00-17:00`",
    );
    one(
        &utc("24:00-02:00"),
        36,
        "`24:00` is not a time of day",
        "24:00 is only an end; a day begins at 00:00",
    );
}

#[test]
fn days_that_are_none_are_told_what_to_write() {
    one(
        &utc("Mon-Fry"),
        36,
        "`Fry` is neither weekdays, nor a date, nor a time of day",
        "did you mean `Fri`?",
    );
    one(
        &utc("monday"),
        36,
        "`monday` is neither weekdays, nor a date, nor a time of day",
        "did you mean `Mon`?",
    );
    one(
        &utc("always"),
        36,
        "`always` is neither weekdays, nor a date, nor a time of day",
        EXAMPLE,
    );
}

#[test]
fn windows_that_make_no_sense_are_told_what_to_write() {
    one(
        &utc("10:00-10:00"),
        36,
        "this begins and ends at 10:00, so it is never open",
        "write `00:00-24:00` for a whole day, or the days alone",
    );
    one(
        &utc("2027-01-04..2026-12-28"),
        36,
        "2026-12-28 is before 2027-01-04",
        "write `2026-12-28..2027-01-04`",
    );
    one(
        &utc("2026-02-30"),
        36,
        "`2026-02-30` is not a date",
        "write for example `2026-12-31`, or `2026-12-28..2027-01-04`",
    );
    one(
        "time_zone: UTC, deny: [ Sat, Sun, Sat ]",
        46,
        "`Sat` is listed twice",
        "remove one of the two",
    );
    one(
        "deny: [ Sat ]",
        12,
        "`windows` has no `time_zone`",
        "add `time_zone: Asia/Tokyo`",
    );
    one(
        "time_zone: UTC",
        12,
        "`windows` neither allows nor denies anything",
        "add for example `allow: [ \"Mon-Fri 10:00-17:00\" ]`, or remove `windows`",
    );
}

#[test]
fn a_window_that_can_never_open_is_refused_and_a_part_of_one_is_warned_about() {
    one(
        "time_zone: UTC, allow: [ \"Mon 10:00-12:00\" ], deny: [ \"09:00-13:00\" ]",
        35,
        "the window can never open: all that is allowed is denied too",
        "allow more, or deny less; `deny` always wins",
    );
    let text = windows("time_zone: UTC, allow: [ \"Mon-Wed\", \"Sat\" ], deny: [ \"Sat,Sun\" ]");
    let loaded = plan_file::parse(&text, "plan.yaml").unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(
        loaded.warnings[0].message,
        "this never opens the window: all of it is denied too"
    );
    let night = windows("time_zone: UTC, allow: [ \"17:00-10:00\" ]");
    let loaded = plan_file::parse(&night, "plan.yaml").unwrap();
    assert_eq!(
        loaded.warnings[0].message,
        "this runs over midnight, for 17 hours"
    );
    let short = windows("time_zone: UTC, allow: [ \"22:00-02:00\" ]");
    assert_eq!(plan_file::parse(&short, "plan.yaml").unwrap().warnings, []);
}

#[test]
fn a_bake_that_no_window_is_long_enough_for_is_refused() {
    let office = "time_zone: UTC, allow: [ \"Mon-Fri 10:00-17:00\" ], whole_bake: true";
    let found = findings(&windows(office));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].message,
        "step 2 could never be taken: no window stays open for its bake of 1d 12h"
    );
    assert_eq!(
        load(&windows(&office.replace("true", "false"))).steps.len(),
        2
    );
}

#[test]
fn an_approval_may_have_a_term() {
    let first = "weight: 5%, bake: 4h";
    let last = "weight: 100%, bake: 1d 12h";
    let asking = |step: &str, approval: &str| with(step, &format!("{step}, approval: {approval}"));
    let plan = load(&asking(last, "required"));
    assert!(plan.steps[1].approval);
    assert_eq!(plan.steps[1].approval_timeout, None);
    let plan = load(&asking(last, "{ timeout: 2d, on_timeout: revert }"));
    let term = ApprovalTimeout {
        after: SignedDuration::from_hours(48),
        on_timeout: HoldOrRevert::Revert,
    };
    assert!(plan.steps[1].approval);
    assert_eq!(plan.steps[1].approval_timeout, Some(term));
    let plan = load(&asking(first, "{ timeout: 2h }"));
    let term = plan.steps[0].approval_timeout.expect("a term");
    assert_eq!(term.on_timeout, HoldOrRevert::Hold);
    let said = |approval: &str, step: &str| {
        let found = findings(&asking(step, approval));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].message.clone()
    };
    assert_eq!(
        said("{ timeout: 2d, on_timeout: revert }", first),
        "before the first step there is nothing to take back"
    );
    assert_eq!(
        said("{ on_timeout: hold }", last),
        "this `approval` has no `timeout`"
    );
    assert_eq!(
        said("{ timeout: 0s }", last),
        "`timeout` must be longer than zero"
    );
    assert_eq!(said("yes", last), "`approval` cannot be `yes`");
    assert_eq!(
        said("{ timeout: 2d, on_timeout: page }", last),
        "`on_timeout` cannot be `page`"
    );
}

#[test]
fn windows_that_are_over_for_good_are_warned_about() {
    let said = |body: &str, now: &str| {
        let loaded = plan_file::parse(&windows(body), "plan.yaml").expect("a plan");
        let before = loaded.warnings.len();
        let judged = loaded.judged_at(now.parse().expect("a time"), "plan.yaml");
        let more = judged.warnings[before..].first();
        more.map(|finding| (finding.message.clone(), finding.line))
    };
    let dates = "time_zone: UTC, allow: [ \"2026-03-02..2026-03-04\" ]";
    assert_eq!(said(dates, "2026-03-01T00:00:00Z"), None);
    assert_eq!(said(dates, "2026-03-04T23:59:00Z"), None);
    let over = "the windows are over: no step will ever be taken".to_owned();
    assert_eq!(said(dates, "2026-03-05T00:00:00Z"), Some((over, Some(11))));
    let weekly = "time_zone: UTC, allow: [ \"Mon-Fri 10:00-17:00\" ]";
    assert_eq!(said(weekly, "2036-03-05T00:00:00Z"), None);
}

#[test]
fn an_offset_in_place_of_a_time_zone_gets_no_hint_that_means_its_opposite() {
    for zone in ["GMT+9", "UTC-5", "+09:00"] {
        let text = format!(
            "{VALID}windows: {{ time_zone: \"{zone}\", allow: [ \"Mon-Fri 10:00-17:00\" ] }}\n"
        );
        let found = findings(&text);
        let help = found[0].help.clone().unwrap_or_default();
        assert!(help.contains("Asia/Tokyo"), "{zone}: {help}");
        assert!(!help.contains("Etc/"), "{zone}: {help}");
    }
}

#[test]
fn an_old_name_of_a_zone_is_warned_about_with_a_place() {
    let warned = |zone: &str| {
        let text = windows(&format!("time_zone: {zone}, deny: [ Sat ]"));
        let warnings = plan_file::parse(&text, "plan.yaml")
            .expect("a plan")
            .warnings;
        let mut said = warnings.into_iter();
        let first = said
            .next()
            .map(|one| (one.message, one.help.unwrap_or_default()));
        assert_eq!(said.next(), None);
        first
    };
    let (message, help) = warned("EST").expect("a warning");
    assert_eq!(
        message,
        "`EST` is always -05:00, also in summer: it has no daylight saving time"
    );
    assert_eq!(
        help,
        "write a place with the time that you mean, for example `America/New_York`"
    );
    let places = [
        ("MST", "America/Denver"),
        ("HST", "Pacific/Honolulu"),
        ("EST5EDT", "America/New_York"),
        ("PST8PDT", "America/Los_Angeles"),
        ("CET", "Europe/Paris"),
    ];
    for (zone, place) in places {
        let (_, help) = warned(zone).expect(zone);
        assert!(help.contains(place), "{zone}: {help}");
    }
    for zone in ["America/New_York", "Asia/Tokyo", "UTC", "GMT"] {
        assert_eq!(warned(zone), None, "{zone}");
    }
}

#[test]
fn times_that_people_write_otherwise_are_proposed_as_windows_have_them() {
    let cases = [
        ("Mon-Fri 9am-5pm", "Mon-Fri 09:00-17:00"),
        ("Mon - Fri 10:00 - 17:00", "Mon-Fri 10:00-17:00"),
        ("10:00 - 17:00", "10:00-17:00"),
        ("9am to 5:30 pm", "09:00-17:30"),
        ("Monday to Friday 9:00 - 17:00", "Mon-Fri 09:00-17:00"),
        ("Sat, Sun", "Sat,Sun"),
        ("10pm-12am", "22:00-00:00"),
        ("2026-12-31 9am-5pm", "2026-12-31 09:00-17:00"),
    ];
    for (written, meant) in cases {
        let found = findings(&windows(&utc(written)));
        let help = format!("write `{meant}`");
        assert_eq!(found[0].help.as_deref(), Some(help.as_str()), "{written}");
        let text = windows(&utc(meant));
        assert!(plan_file::parse(&text, "plan.yaml").is_ok(), "{meant}");
    }
}
