//! Text of others, in every place where it can get into an output, does nothing there (semantics M6); and it is short (semantics M8).

mod holds;
mod pages;

use std::collections::{BTreeMap, BTreeSet};

use cutover::engine::event::{Envelope, Event};
use cutover::engine::hold::HoldReason;
use cutover::engine::units::{CutoverName, Share};
use cutover::report::history;
use cutover::report::status::{self, Row, Watch};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::journal::examples;
use holds::{TEXT, causes, found, halts};

/// A line break that forges a line, an escape that erases the screen, C1, a bell, DEL, directions, zero width.
const NASTY: &str = "x\n    9  2026-01-01 00:00:00Z  root  completed\u{1b}[2J\u{1b}[31m\u{9b}31m\u{7}\u{7f}\u{85}\u{2028}\u{202e}\u{2066}\u{200b}\u{feff}\ry";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

/// Returns true if a text has nothing but letters, line breaks, and the styles of reports.
fn is_clean(text: &str) -> bool {
    let plain = anstream_free(text);
    let hidden = "\u{2028}\u{202e}\u{2066}\u{200b}\u{feff}";
    !plain.contains(|c: char| (c.is_control() && c != '\n') || hidden.contains(c))
}

/// The text without the styles that reports set.
fn anstream_free(text: &str) -> String {
    let mut plain = text.to_owned();
    for style in ["0", "1", "2", "31", "32", "33"] {
        plain = plain.replace(&format!("\u{1b}[{style}m"), "");
    }
    plain
}

/// The value with one of its texts of others nasty, for each of them, and with all of them nasty.
fn with_nasty_texts(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let count = value.to_string().matches(&format!("\"{TEXT}\"")).count();
    for which in 0..count {
        let mut number = 0;
        let mut one = value.clone();
        for_each_text(&mut one, &mut |text| {
            if number == which {
                NASTY.clone_into(text);
            }
            number += 1;
        });
        all.push(one);
    }
    let mut every = value.clone();
    for_each_text(&mut every, &mut |text| NASTY.clone_into(text));
    all.push(every);
    all
}

/// Calls something with each text of others in a value.
fn for_each_text(value: &mut Value, call: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) if text == TEXT => call(text),
        Value::Array(items) => {
            for item in items {
                for_each_text(item, call);
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                for_each_text(field, call);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every hold with nasty texts.
fn nasty_holds() -> Vec<HoldReason> {
    let mut all = Vec::new();
    for hold in holds::holds() {
        for bad in with_nasty_texts(&hold) {
            let read = serde_json::from_value(bad);
            all.push(read.unwrap_or_else(|error| panic!("{hold}: {error}")));
        }
    }
    all
}

/// Every event that has others' words in a form of which there are several: a hold, a halt, a cause, what somebody else made
/// of a group, what was left.
fn nasty_events() -> Vec<Event> {
    let at = "2026-11-21T09:00:00Z";
    let mut all = Vec::new();
    for hold in holds::holds() {
        all.push(json!({ "type": "step_held", "because": [hold] }));
        all.push(json!({
            "type": "fleet_held", "reason": hold, "services": 3, "named": [TEXT, TEXT], "since": at,
        }));
    }
    for reason in halts() {
        all.push(json!({ "type": "halted", "reason": reason }));
    }
    let fate = json!({ "services": 3, "named": [TEXT], "since": at });
    for cause in causes() {
        let mode = "swap";
        all.push(json!({
            "type": "revert_intended", "write_id": TEXT, "cause": cause, "mode": mode, "shared": fate,
        }));
        all.push(json!({
            "type": "revert_performed_unjournaled", "write_id": TEXT, "cause": cause, "decided_at": at,
        }));
    }
    for astray in found() {
        let left = [
            json!({ "left": "changed", "astray": astray }),
            json!({ "left": "weights", "group": astray["group"], "weights": astray["expected"] }),
            json!({ "left": "jobs", "jobs": [TEXT], "on": "old" }),
        ];
        all.push(json!({ "type": "abandoned", "reason": TEXT, "left": left }));
        let adopted = json!({ "reason": TEXT, "found": [astray] });
        all.push(json!({ "type": "completed", "adopted": adopted }));
    }
    for asked in [
        "pause_requested",
        "resume_requested",
        "retry_requested",
        "fleet_unfrozen",
    ] {
        all.push(json!({ "type": asked, "reason": TEXT }));
    }
    let pair = json!({ "old": 0, "new": 100 });
    all.push(json!({
        "type": "step_approved", "step": 2, "pair": pair, "bake_secs": 60, "reason": TEXT, "caller_arn": TEXT,
    }));
    let mut events = Vec::new();
    for value in all {
        for bad in with_nasty_texts(&value) {
            let read = serde_json::from_value(bad);
            events.push(read.unwrap_or_else(|error| panic!("{value}: {error}")));
        }
    }
    events
}

/// The value with one of its texts nasty, for each of its texts, and for each key that is one.
fn spoiled(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::String(_) => all.push(Value::from(NASTY)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for bad in spoiled(item) {
                    let mut items = items.clone();
                    items[index] = bad;
                    all.push(Value::Array(items));
                }
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                for bad in spoiled(field) {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), bad);
                    all.push(Value::Object(fields));
                }
                let mut renamed = fields.clone();
                renamed.remove(key);
                renamed.insert(NASTY.to_owned(), field.clone());
                all.push(Value::Object(renamed));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    all
}

fn entry(event: Event) -> Envelope {
    Envelope {
        cutover: CutoverName::from("api"),
        attempt: 1,
        seq: 8,
        at: now(),
        actor: "ops@box".to_owned(),
        version: 1,
        event,
    }
}

#[test]
fn no_text_of_any_entry_forges_a_line_of_history_or_acts_on_the_terminal() {
    let mut events = nasty_events();
    for event in examples::events() {
        let value = serde_json::to_value(&event).expect("JSON");
        for bad in spoiled(&value) {
            if let Ok(event) = serde_json::from_value::<Event>(bad) {
                events.push(event);
            }
        }
    }
    let tried: BTreeSet<_> = events.iter().map(Event::label).collect();
    for event in &events {
        for width in [None, Some(80)] {
            let shown = history::to_text(&[entry(event.clone())], width);
            assert!(is_clean(&shown), "{shown:?}");
            let heads = anstream_free(&shown);
            let heads = heads.lines().filter(|line| line.starts_with("    "));
            let forged = heads.filter(|line| line.starts_with("    9"));
            assert_eq!(forged.count(), 0, "{shown}");
            if width.is_none() {
                assert_eq!(shown.lines().count(), 2, "{shown}");
            }
        }
    }
    let count = events.len();
    assert!(
        count > 1_000 && tried.len() > 45,
        "{count} texts of {}: {tried:?}",
        tried.len()
    );
}

#[test]
fn who_wrote_an_entry_forges_no_line_either() {
    let mut one = entry(Event::GatesPassed {});
    one.actor = NASTY.to_owned();
    let shown = history::to_text(&[one.clone()], None);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(is_clean(&shown), "{shown:?}");
    let json = history::to_json(&[one]);
    assert_eq!(json[0]["actor"], NASTY, "JSON has the original");
}

fn row(name: &str, because: Vec<HoldReason>) -> Row {
    Row {
        name: CutoverName::from(name),
        labels: BTreeMap::new(),
        attempt: 1,
        phase: "baking",
        paused: false,
        step: 1,
        steps: 3,
        intended_share: Share::percent(5),
        records: Vec::new(),
        zones: BTreeSet::new(),
        because,
        since: now(),
        next_at: None,
        observed_at: None,
        observed_share: None,
        approval: None,
        coming: None,
        failing: Vec::new(),
        passed_over: Vec::new(),
    }
}

#[test]
fn no_text_of_any_hold_makes_a_line_of_status_or_acts_on_the_terminal() {
    let holds = nasty_holds();
    assert!(holds.len() > 200, "{} texts", holds.len());
    for hold in holds {
        let rows = [row("api", vec![hold])];
        let shown = status::to_text(&rows, &[], Watch::Fresh, now(), None);
        assert!(is_clean(&shown), "{shown:?}");
        assert_eq!(shown.lines().count(), 4, "{shown}");
    }
    let rows = [row(NASTY, Vec::new())];
    let fleet = [NASTY.to_owned()];
    let shown = status::to_text(&rows, &fleet, Watch::Fresh, now(), None);
    assert!(is_clean(&shown), "{shown:?}");
    assert_eq!(shown.lines().count(), 5, "{shown}");
}

#[test]
fn a_reason_of_105_kilobytes_is_shown_in_two() {
    let reason = Some("r".repeat(105_000));
    let event = Event::PauseRequested {
        reason: reason.clone(),
    };
    let shown = history::to_text(&[entry(event)], None);
    assert!(shown.len() < 2_300, "{}", shown.len());
    assert!(shown.contains("… (shortened)"), "{shown}");
    let rows = [row("api", vec![HoldReason::Paused { reason }])];
    let shown = status::to_text(&rows, &[], Watch::Fresh, now(), None);
    assert!(shown.len() < 2_600, "{}", shown.len());
}
