//! The `windows` of a plan.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::engine::plan::Plan;
use crate::engine::window::{Entry, EntryError, WEEKDAYS, Windows, Zone};

use super::at::At;
use super::diagnostics::{Sink, Span, quote};
use super::durations;
use super::fields::require_in;
use super::raw::{RawWindows, WindowText};
use super::shapes::Complaint;
use super::slips::slips;

/// The longest range over midnight without a warning: the ends of a longer one are more likely in the wrong order.
const NIGHT_HOURS_MAX: i32 = 12;

/// The windows; none after recording what is wrong.
pub(super) fn convert(raw: At<RawWindows>, sink: &mut Sink<'_>) -> Option<Windows> {
    let (span, raw) = (raw.span, raw.value?);
    let nothing = raw.allow.is_none() && raw.deny.is_none();
    if nothing {
        let help = "add for example `allow: [ \"Mon-Fri 10:00-17:00\" ]`, or remove `windows`";
        sink.error(&span, "`windows` neither allows nor denies anything", help);
    }
    let zone = require_in::<RawWindows, _>(raw.time_zone, "time_zone", "`windows`", &span, sink);
    let zone = zone.and_then(|zone| time_zone(&zone, sink));
    let allow_span = raw.allow.as_ref().map_or(span, |allow| allow.span.clone());
    let allowed = entries(raw.allow, "allow", sink)?;
    let denied = entries(raw.deny, "deny", sink)?;
    let windows = Windows {
        time_zone: zone?,
        allow: allowed.iter().map(|(_, entry)| entry.clone()).collect(),
        deny: denied.into_iter().map(|(_, entry)| entry).collect(),
        whole_bake: raw
            .whole_bake
            .and_then(|whole| whole.value)
            .unwrap_or(false),
    };
    if !nothing {
        openings(&windows, &allowed, &allow_span, sink);
    }
    Some(windows)
}

/// The holidays of a fleet: entries with dates.
pub(super) fn holidays(list: At<Vec<At<WindowText>>>, sink: &mut Sink<'_>) -> Vec<Entry> {
    let entries = entries(Some(list), "holidays", sink).unwrap_or_default();
    let mut holidays = Vec::new();
    for (span, entry) in entries {
        if entry.has_dates() {
            holidays.push(entry);
        } else {
            let message = format!(
                "{} is not a holiday: it has no date",
                quote(&entry.to_string())
            );
            let help = "write dates, for example `2026-12-28..2027-01-04`; a weekly entry belongs to the `windows` of a \
                        plan, or of `defaults`";
            sink.error(&span, message, help);
        }
    }
    holidays
}

/// Denies a plan the holidays of its fleet, in its own time zone. A plan without windows has no time zone, and is not held.
pub(super) fn add_holidays(plan: &mut Plan, holidays: &[Entry], place: &Span, sink: &mut Sink<'_>) {
    let Some(windows) = &mut plan.windows else {
        return;
    };
    let own = windows.deny.clone();
    let more = holidays.iter().filter(|day| !own.contains(day)).cloned();
    windows.deny.extend(more);
    if windows.deny.len() > own.len() && !windows.can_open(SignedDuration::ZERO) {
        let message = "the window can never open: all that is allowed are holidays of the fleet";
        sink.error(
            place,
            message,
            "allow other days; `holidays` of the fleet's file always win",
        );
    }
}

/// Reports entries of `allow` that `deny` covers completely.
fn openings(windows: &Windows, allowed: &[(Span, Entry)], span: &Span, sink: &mut Sink<'_>) {
    if !windows.can_open(SignedDuration::ZERO) {
        let message = "the window can never open: all that is allowed is denied too";
        sink.error(
            span,
            message,
            "allow more, or deny less; `deny` always wins",
        );
        return;
    }
    for (span, entry) in allowed {
        let alone = Windows {
            allow: vec![entry.clone()],
            ..windows.clone()
        };
        if !alone.can_open(SignedDuration::ZERO) {
            let message = "this never opens the window: all of it is denied too";
            sink.warning(span, message, "remove it, or deny less; `deny` always wins");
        }
    }
}

/// Reports a step that can never be taken because no window is as long as its whole bake.
pub(super) fn bakes_fit(plan: &Plan, whole_bake: &Span, sink: &mut Sink<'_>) {
    let Some(windows) = &plan.windows else {
        return;
    };
    if !windows.whole_bake {
        return;
    }
    let settle = plan.settle.unwrap_or_default();
    for (number, step) in (1..).zip(&plan.steps) {
        if !windows.can_open(settle.saturating_add(step.bake)) {
            let message = format!(
                "step {number} could never be taken: no window stays open for its bake of {}",
                durations::show(step.bake)
            );
            let help = "allow longer windows, shorten the bake, or write `whole_bake: false`: bakes run on outside \
                        the window, and so do reverts";
            sink.error(whole_bake, message, help);
            return;
        }
    }
}

fn time_zone(text: &At<String>, sink: &mut Sink<'_>) -> Option<Zone> {
    let name = text.value.as_ref()?;
    let Ok(zone) = name.parse::<Zone>() else {
        let message = format!("there is no time zone {}", quote(name));
        sink.error(&text.span, message, &closest_zone(name));
        return None;
    };
    let legacy = LEGACY_ZONES.iter().find(|(old, ..)| *old == zone.name());
    if let Some((old, place, fixed)) = legacy {
        let message = match fixed {
            Some(offset) => {
                format!(
                    "`{old}` is always {offset}, also in summer: it has no daylight saving time"
                )
            }
            None => format!(
                "`{old}` is an old name, which the IANA database keeps only for old programs"
            ),
        };
        let help = format!("write a place with the time that you mean, for example `{place}`");
        sink.warning(&text.span, message, &help);
    }
    Some(zone)
}

/// Old names of time zones that look like abbreviations, a place that people mean by each, and the offset if it is fixed.
///
/// Source: the IANA time zone database, file `backward` (since 2024b these names are links).
const LEGACY_ZONES: [(&str, &str, Option<&str>); 11] = [
    ("EST", "America/New_York", Some("-05:00")),
    ("MST", "America/Denver", Some("-07:00")),
    ("HST", "Pacific/Honolulu", Some("-10:00")),
    ("EST5EDT", "America/New_York", None),
    ("CST6CDT", "America/Chicago", None),
    ("MST7MDT", "America/Denver", None),
    ("PST8PDT", "America/Los_Angeles", None),
    ("WET", "Europe/Lisbon", None),
    ("CET", "Europe/Paris", None),
    ("MET", "Europe/Paris", None),
    ("EET", "Europe/Athens", None),
];

/// The help with the zone that was most likely meant. An abbreviation has no rules for summer time, so a place must be named.
fn closest_zone(name: &str) -> String {
    let lower = name.to_lowercase().replace(' ', "_");
    // `Etc/GMT+9` counts westwards, so the name closest to an offset would be the opposite of what is meant.
    let abbreviation = lower.strip_prefix("gmt").or(lower.strip_prefix("utc"));
    if abbreviation.unwrap_or(&lower).starts_with(['+', '-']) {
        return "an offset has no rules for summer time; write a place with that time, for example `Asia/Tokyo` or \
                `Europe/Berlin`"
            .to_owned();
    }
    let closest = Zone::names()
        .map(|zone| (slips_to_zone(&lower, &zone), zone))
        .min();
    match closest {
        Some((slips, zone)) if slips * 4 <= lower.len() => format!("did you mean `{zone}`?"),
        Some(_) | None => {
            "write a name of the IANA database, for example `Asia/Tokyo` or `Europe/Berlin`"
                .to_owned()
        }
    }
}

/// The slips between a lower-case name and a zone, or its city if that is closer.
fn slips_to_zone(lower: &str, zone: &str) -> usize {
    let zone = zone.to_lowercase();
    let city = zone.rsplit('/').next().unwrap_or("");
    let whole = slips(lower, &zone);
    whole.min(slips(lower, city))
}

/// The entries of a list and their places; none if one of them is not valid.
fn entries(
    list: Option<At<Vec<At<WindowText>>>>,
    key: &str,
    sink: &mut Sink<'_>,
) -> Option<Vec<(Span, Entry)>> {
    let Some(list) = list else {
        return Some(Vec::new());
    };
    let (mut all, mut seen) = (Some(Vec::new()), BTreeMap::<String, Span>::new());
    if list.value.as_ref().is_some_and(Vec::is_empty) && key == "allow" {
        let help = "remove the line: without `allow` the window is always open, except for `deny`";
        sink.error(&list.span, "`allow` lists nothing", help);
    }
    for At { span, value } in list.value? {
        let parsed = value.map(|text| (text.0.parse::<Entry>(), text.0));
        let Some((Ok(entry), _)) = parsed else {
            if let Some((Err(error), text)) = parsed {
                let (message, help) = complaint(&error, &text);
                let help = match meant(&text) {
                    Some(entry) => format!("write `{entry}`"),
                    None => help,
                };
                sink.error(&span, message, &help);
            }
            all = None;
            continue;
        };
        if let Some(first) = seen.get(&entry.to_string()) {
            let message = format!("{} is listed twice", quote(&entry.to_string()));
            sink.conflict(
                &span,
                message,
                "remove one of the two",
                (first, "first listed here"),
            );
        }
        if let Some(minutes) = entry.over_midnight()
            && minutes > NIGHT_HOURS_MAX * 60
        {
            let message = format!("this runs over midnight, for {} hours", minutes / 60);
            let help = "a range that ends before it begins ends on the next day; put the earlier time first, unless \
                        this is what you want";
            sink.warning(&span, message, help);
        }
        seen.insert(entry.to_string(), span.clone());
        if let Some(all) = &mut all {
            all.push((span, entry));
        }
    }
    all
}

fn complaint(error: &EntryError, text: &str) -> Complaint {
    const EXAMPLE: &str = "write for example `Mon-Fri 10:00-17:00`, `Sat,Sun`, `2026-12-28..2027-01-04` or \
                           `2026-12-31 12:00-24:00`";
    match error {
        EntryError::Empty => ("nothing is written here".to_owned(), EXAMPLE.to_owned()),
        EntryError::NotDays(word) => {
            let message = format!(
                "{} is neither weekdays, nor a date, nor a time of day",
                quote(word)
            );
            (message, weekday(word).unwrap_or_else(|| EXAMPLE.to_owned()))
        }
        EntryError::NotATime(word) => {
            let message = format!("{} is not a time of day", quote(word));
            (message, time_of_day(word, text))
        }
        EntryError::NotADate(word) => {
            let message = format!("{} is not a date", quote(word));
            (
                message,
                "write for example `2026-12-31`, or `2026-12-28..2027-01-04`".to_owned(),
            )
        }
        EntryError::NoTime(end) => {
            let message = format!("this begins and ends at {end}, so it is never open");
            (
                message,
                "write `00:00-24:00` for a whole day, or the days alone".to_owned(),
            )
        }
        EntryError::Reversed { first, last } => {
            let message = format!("{last} is before {first}");
            (message, format!("write `{last}..{first}`"))
        }
        EntryError::Extra(word) => {
            let message = format!(
                "{} is not expected after days and a time of day",
                quote(word)
            );
            (
                message,
                "write days, then one range of times; more ranges are entries of their own"
                    .to_owned(),
            )
        }
    }
}

/// The help with the weekday that was most likely meant, if there is one.
fn weekday(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    let begins = WEEKDAYS
        .iter()
        .find(|day| lower.starts_with(&day.to_lowercase()));
    let near = WEEKDAYS
        .iter()
        .find(|day| slips(&lower, &day.to_lowercase()) <= 1);
    begins.or(near).map(|day| format!("did you mean `{day}`?"))
}

fn time_of_day(word: &str, text: &str) -> String {
    let early = word.len() == 4 && word.as_bytes().get(1) == Some(&b':');
    if early {
        return format!("write `0{word}`");
    }
    if word == "24:00" {
        return "24:00 is only an end; a day begins at 00:00".to_owned();
    }
    let lone = text.split_whitespace().any(|part| part == word) && word.contains(':');
    if lone {
        return format!("write a range, for example `{word}-17:00`");
    }
    "write hours from 00 to 23 and minutes from 00 to 59; `24:00` is the end of a day".to_owned()
}

/// The entry that was most likely meant, if it has blanks around its dashes or the hours of a twelve-hour clock.
fn meant(text: &str) -> Option<String> {
    let text = text.to_lowercase().replace('–', "-").replace(" to ", " - ");
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        // `9 am`, `9 - 5` and `mon, tue` are one word each.
        let joins = ["am", "pm"].contains(&word) || word.starts_with(['-', ',']);
        match words.last_mut() {
            Some(last) if joins || last.ends_with(['-', ',']) => last.push_str(word),
            Some(_) | None => words.push(word.to_owned()),
        }
    }
    let twelve_hours = text.contains("am") || text.contains("pm");
    if !twelve_hours && words.iter().eq(text.split_whitespace()) {
        return None;
    }
    let words: Vec<String> = words.iter().map(|word| meant_word(word)).collect();
    let entry = words.join(" ");
    entry.parse::<Entry>().ok()?;
    Some(entry)
}

/// A word of an entry, with its weekdays and times as entries have them.
fn meant_word(word: &str) -> String {
    let is_date = word.contains("..") || word.matches('-').count() > 1;
    if is_date {
        return word.to_owned();
    }
    let mut meant = String::new();
    for part in word.split_inclusive(['-', ',']) {
        let bare = part.trim_end_matches(['-', ',']);
        let sign = &part[bare.len()..];
        let day = WEEKDAYS
            .iter()
            .find(|day| bare.starts_with(&day.to_lowercase()));
        match (day, clock(bare)) {
            (Some(day), _) => meant.push_str(day),
            (None, Some(time)) => meant.push_str(&time),
            (None, None) => meant.push_str(bare),
        }
        meant.push_str(sign);
    }
    meant
}

/// A time of day as entries have it: `09:00` for `9am`, `17:30` for `5:30pm`, `09:00` for `9:00` and `9`.
fn clock(text: &str) -> Option<String> {
    let (bare, half) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(bare), _) => (bare, Some(0)),
        (None, Some(bare)) => (bare, Some(12)),
        (None, None) => (text, None),
    };
    let (hours, minutes) = bare.split_once(':').unwrap_or((bare, "00"));
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let hours = match half {
        Some(_) if !(1..=12).contains(&hours) => return None,
        Some(half) => hours % 12 + half,
        None => hours,
    };
    Some(format!("{hours:02}:{minutes:02}"))
}
