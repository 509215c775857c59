//! Scenarios, and each of their lines as a fault of the command line.
#![no_main]

use cutover::plan_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = plan_file::parse_scenario(text, "a.scenario.yaml") {
        assert!(!error.render(true).is_empty());
    }
    for line in text.lines() {
        if let Err(error) = plan_file::fault(line) {
            assert!(!error.to_string().is_empty());
        }
    }
});
