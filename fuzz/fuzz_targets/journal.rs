//! Journals: one entry a line. What cannot follow damages its stream; everything is told.
#![no_main]

use std::collections::BTreeMap;

use cutover::engine::event::Envelope;
use cutover::engine::ledger::Ledger;
use cutover::engine::units::CutoverName;
use cutover::report;
use cutover_testbed::check::{Checker, FleetChecker};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let entries: Vec<Envelope> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let (mut ledger, mut fleet) = (Ledger::default(), FleetChecker::new());
    let mut checkers: BTreeMap<CutoverName, Checker> = BTreeMap::new();
    for entry in &entries {
        fleet.entry(entry);
        checkers.entry(entry.cutover.clone()).or_default().entry(entry);
        ledger.take(entry);
    }
    report::history::to_text(&entries, Some(80));
    report::history::to_json(&entries);
});
