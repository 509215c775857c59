//! The format of entries: every event is written under its label, and what was once written stays readable.

use cutover::engine::event::{Envelope, Event, JOURNAL_VERSION};
use cutover::engine::hold::HoldReason;
use serde_json::Value;
use strum::VariantNames;

use super::examples;

/// One entry of every kind as version 1 wrote them. Lines are added; a line that is here is never changed.
const VERSION_1: &str = include_str!("../fixtures/journal-v1.jsonl");

fn fixture() -> Vec<(Value, Envelope)> {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let entry = serde_json::from_str(line);
        (
            value,
            entry.unwrap_or_else(|error| panic!("{error}: {line}")),
        )
    };
    VERSION_1.lines().map(read).collect()
}

/// The labels that the engine knows.
fn labels() -> Vec<&'static str> {
    let mut labels = Event::VARIANTS.to_vec();
    // It stands for what cannot be read, and is in no journal.
    labels.retain(|label| *label != "unreadable");
    labels
}

#[test]
fn every_event_is_written_under_its_label_and_read_back_the_same() {
    let events = examples::events();
    let seen: Vec<_> = events.iter().map(Event::label).collect();
    assert_eq!(
        seen,
        labels(),
        "an example of every event, in the order of the events"
    );
    for event in events {
        let json = serde_json::to_value(&event).expect("JSON");
        assert_eq!(json["type"], event.label());
        assert_eq!(
            serde_json::from_value::<Event>(json).expect("readable"),
            event
        );
    }
}

#[test]
fn entries_that_version_1_wrote_stay_readable_and_lose_nothing() {
    for (line, entry) in fixture() {
        assert_eq!(serde_json::to_value(&entry).expect("JSON"), line);
    }
}

#[test]
fn the_fixture_of_old_entries_has_every_event() {
    let written: Vec<_> = fixture()
        .into_iter()
        .map(|(_, entry)| entry.event)
        .collect();
    for event in examples::events() {
        let line = serde_json::to_string(&Envelope {
            cutover: "recipe-api".into(),
            attempt: 1,
            seq: 1,
            at: "2026-11-21T09:00:00Z".parse().expect("a time"),
            actor: "controller controller-1".to_owned(),
            version: JOURNAL_VERSION,
            event: event.clone(),
        });
        assert!(
            written.iter().any(|old| old.label() == event.label()),
            "add a line to tests/fixtures/journal-v1.jsonl, for example:\n{}",
            line.expect("JSON")
        );
    }
}

#[test]
fn what_channels_may_ask_for_are_events_and_holds() {
    let known = [labels(), HoldReason::VARIANTS.to_vec()].concat();
    for kind in cutover::engine::notify::KINDS {
        assert!(known.contains(&kind), "{kind} is nothing");
    }
    for hold in examples::holds() {
        let json = serde_json::to_value(&hold).expect("JSON");
        assert_eq!(json["kind"], hold.kind());
    }
}
