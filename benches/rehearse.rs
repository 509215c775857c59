//! Measures a rehearsal of two weeks: the real controller, simulated traffic and a few alarms.
//!
//! Run it with `cargo bench --bench rehearse`. The goal is 0.2 s per rehearsal. The smallest time shows what the work
//! costs, and the median shows how long a person waits.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the clock and prints"
)]

use std::time::{Duration, Instant};

use cutover::cli::rehearse;
use cutover::plan_file;
use cutover::scenario::Scenario;
use jiff::Timestamp;
use tokio::runtime::Builder;

/// A plan with fourteen days of bakes.
const PLAN: &str = "
version: 1
name: two-weeks
aws: { region: eu-west-1 }
records:
  - { zone: example.com, name: api.example.com, type: A,    old: eks, new: ecs }
  - { zone: example.com, name: api.example.com, type: AAAA, old: eks, new: ecs }
steps:
  - { weight: 1%,   bake: 1d }
  - { weight: 5%,   bake: 2d }
  - { weight: 25%,  bake: 3d }
  - { weight: 50%,  bake: 4d, approval: required }
  - { weight: 100%, bake: 4d }
gates:
  alarms: [ api-5xx-rate, api-p99-latency, api-synthetics-errors ]
  fallback_alarms: [ api-eks-5xx-rate ]
";

/// Number of rehearsals, each with another seed.
const TIMES: u64 = 15;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("plan.yaml");
    std::fs::write(&path, PLAN).expect("the plan can be written");
    let loaded = plan_file::load(&path).expect("the plan is valid");
    let start: Timestamp = "2026-12-01T09:00:00Z".parse().expect("a time");
    let mut took: Vec<Duration> = Vec::new();
    for seed in 1..=TIMES {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let sources = vec![loaded.source.clone()];
        let began = Instant::now();
        let scenario = Scenario::default();
        let film = runtime.block_on(rehearse::play(sources, &scenario, seed, start));
        took.push(began.elapsed());
        assert!(film.is_ok(), "seed {seed} can be played");
    }
    took.sort();
    let middle = took.len() / 2;
    println!(
        "rehearsal of two weeks, {TIMES} seeds: least {:?}, median {:?}, most {:?} (goal: 200ms)",
        took[0],
        took[middle],
        took[took.len() - 1]
    );
}
