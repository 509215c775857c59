//! Measures the built program with many services, and compares it with tools that people use today: `cargo bench
//! --bench fleet`.
//!
//! Everything runs against the HTTP test bed on the loopback with Route 53's documented quota (10 calls a second, bursts
//! of 50) and 20 ms for every answer. Arguments: `rollback N…`, `peers N…`, `quiet SECS N…`, `alarms RUNS N`; without any,
//! all of it (about half an hour).

#[path = "fleet/alarms.rs"]
mod alarms;
#[path = "fleet/peers.rs"]
mod peers;
#[path = "shared/processor.rs"]
mod processor;
#[path = "fleet/quiet.rs"]
mod quiet;
#[path = "fleet/rollback.rs"]
mod rollback;
#[path = "fleet/scene.rs"]
mod scene;
#[expect(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;

/// The numbers of services that are measured if no arguments are given.
const SIZES: [usize; 5] = [1, 10, 100, 1_000, 5_000];

fn main() {
    // cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let what = args.next();
    let numbers: Vec<usize> = args.filter_map(|arg| arg.parse().ok()).collect();
    match what.as_deref() {
        Some("rollback") => rollback::measure(&numbers),
        Some("peers") => peers::measure(&numbers),
        Some("quiet") => quiet::measure(numbers[0], &numbers[1..]),
        Some("alarms") => alarms::measure(numbers[0], numbers[1]),
        _ => {
            rollback::measure(&SIZES);
            peers::measure(&SIZES);
            quiet::measure(600, &SIZES);
            alarms::measure(3, 1_000);
        }
    }
}

/// Prints a line of results and flushes it, so that it can be read while the next measurement runs.
fn line(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").expect("results can be written");
    out.flush().expect("results can be written");
}
