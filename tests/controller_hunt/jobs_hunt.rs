//! Jobs and hooks hunted: from seeds, everything goes wrong at once, then comes to an end.

use std::time::Duration;

use cutover::engine::commands::{self, RollbackNeed};
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::hold::HoldReason;
use cutover::engine::jobs::{JobSide, SwitchAt};
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::PlanSource;
use cutover::engine::state::State;
use cutover::engine::units::Share;

use super::beside::{SideFaults, halves};
use super::jobs::{called, every_hook, play, with_jobs};
use super::outside::JournalFaults;
use super::world::{Process, World, locked, source};

/// The seeds of every run, besides a fresh one.
const SEEDS: std::ops::Range<u64> = 0..10;

/// How long things go wrong, in minutes, and how long everything then has to come to an end.
const TROUBLE_MINS: u64 = 40;
const PEACE_MINS: u64 = 90;

#[test]
fn hunt_for_jobs_on_both_sides() {
    #[expect(clippy::disallowed_methods, reason = "replays a seed that failed")]
    let asked = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = asked("CUTOVER_HUNT_SEED") {
        hunt(seed);
        return;
    }
    for seed in SEEDS.start..asked("CUTOVER_HUNT_RUNS").unwrap_or(SEEDS.end) {
        hunt(seed);
    }
    hunt(fastrand::u64(..));
}

fn hunt(seed: u64) {
    let played = std::panic::catch_unwind(|| play(|| scenario(seed)));
    assert!(
        played.is_ok(),
        "replay with CUTOVER_HUNT_SEED={seed} cargo nextest run -E 'test(hunt_for_jobs)'"
    );
}

struct Hunt {
    rng: fastrand::Rng,
    world: World,
    plan: PlanSource,
    processes: Vec<Process>,
    born: u32,
}

async fn scenario(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let at = match rng.u8(0..3) {
        0 => SwitchAt::Complete,
        1 => SwitchAt::Step(Share::percent(10)),
        _ => SwitchAt::Step(Share::percent(50)),
    };
    let hooks = if rng.bool() { every_hook() } else { Vec::new() };
    let mut plan = with_jobs(Some(at), rng.usize(1..4), hooks);
    if rng.bool() {
        one_sided(&mut plan, &mut rng);
    }
    let world = World::new(std::slice::from_ref(&plan));
    let mut hunt = Hunt {
        rng,
        world,
        plan,
        processes: Vec::new(),
        born: 0,
    };
    hunt.start();
    let mut at = 0;
    while at < TROUBLE_MINS * 60 {
        let pause = hunt.rng.u64(1..30_000);
        at += pause / 1_000 + 1;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        hunt.something_happens().await;
    }
    hunt.peace().await;
}

/// Takes a side away from some jobs: several become one, and some run on one side only.
fn one_sided(planned: &mut PlanSource, rng: &mut fastrand::Rng) {
    let mut plan = planned.plan.clone();
    for job in plan.jobs.iter_mut().flat_map(|switch| &mut switch.jobs) {
        match rng.u8(0..4) {
            0 => job.old = None,
            1 => job.new = None,
            _ => {}
        }
    }
    *planned = source(plan);
}

impl Hunt {
    fn start(&mut self) {
        self.born += 1;
        let process = self.world.start(&format!("ctl-{}", self.born));
        let rng = self.rng.fork();
        process.delays.change(|faults| faults.jitter = Some(rng));
        self.processes.push(process);
    }

    async fn something_happens(&mut self) {
        self.processes.retain(|process| !process.task.is_finished());
        if self.processes.is_empty() && self.rng.u8(0..3) > 0 {
            self.start();
        }
        match self.rng.u8(0..16) {
            0 | 1 if self.processes.len() < 3 => self.start(),
            2..=5 if !self.processes.is_empty() => {
                let victim = self.rng.usize(0..self.processes.len());
                self.processes.swap_remove(victim).task.abort();
            }
            6 => {
                let red = self.rng.u8(0..4) == 0;
                let state = if red {
                    AlarmState::Alarm
                } else {
                    AlarmState::Ok
                };
                self.world.turn("errors", state);
            }
            7 | 8 => {
                let (rng, odds) = (self.rng.fork(), self.rng.u32(1..6));
                let calm = self.rng.bool();
                locked(&self.world.side.faults).jobs = (!calm).then_some((rng, odds));
            }
            9 => {
                let (rng, odds) = (self.rng.fork(), self.rng.u32(1..6));
                let calm = self.rng.bool();
                locked(&self.world.side.faults).hooks = (!calm).then_some((rng, odds));
            }
            10 => self.journal_trouble(),
            11 => self.stranger(),
            12 => {
                let running = self.rng.u32(0..2);
                let halves = halves(&self.plan.plan);
                let (_, how) = &halves[self.rng.usize(0..halves.len())];
                self.world
                    .side
                    .jobs
                    .set(how, |look| look.running = Some(running));
            }
            _ => self.person().await,
        }
        self.world.assert_unbroken();
        let entries = locked(&self.world.witness).entries.len();
        assert!(
            entries < 6_000,
            "the journal grows\n{}",
            locked(&self.world.witness).story(60)
        );
    }

    fn journal_trouble(&mut self) {
        let kind = self.rng.u8(0..5);
        let long = Duration::from_millis(self.rng.u64(0..3_000));
        for process in &self.processes {
            process.delays.change(|faults| match kind {
                0 => faults.appends_fail = true,
                1 => faults.replies_lost = true,
                2 => faults.takes = long,
                _ => {
                    faults.takes = Duration::ZERO;
                    (faults.appends_fail, faults.replies_lost) = (false, false);
                }
            });
        }
    }

    /// Somebody else switches a job, but never so that both are on: that would be their doing.
    fn stranger(&mut self) {
        let halves = halves(&self.plan.plan);
        let (_, how) = &halves[self.rng.usize(0..halves.len())];
        self.world.switch_by_others(how, self.rng.bool());
    }

    async fn person(&mut self) {
        let Some(state) = self.world.state("api") else {
            return;
        };
        let event = match self.rng.u8(0..8) {
            0 => commands::pause(&state, None).ok(),
            1 | 2 => commands::resume(&state, None).ok(),
            3 => commands::skip_bake(&state, "enough").ok(),
            4 | 5 => commands::retry(&state, None).ok(),
            6 => rollback(&state, RevertMode::Swap),
            _ => rollback(&state, RevertMode::Force),
        };
        if let Some(event) = event {
            self.world.ask("api", event).await;
        }
    }

    /// Everything works from now on, nobody interferes, and whoever switched jobs by hand puts them where the journal
    /// says that they were left.
    async fn peace(&mut self) {
        self.world.turn("errors", AlarmState::Ok);
        *locked(&self.world.side.faults) = SideFaults::default();
        for process in &self.processes {
            process.delays.change(|faults| {
                *faults = JournalFaults::default();
            });
        }
        self.processes.retain(|process| !process.task.is_finished());
        self.start();
        for (_, how) in halves(&self.plan.plan) {
            self.world
                .side
                .jobs
                .set(&how, |look| look.running = Some(0));
        }
        for _ in 0..PEACE_MINS {
            tokio::time::sleep(Duration::from_mins(1)).await;
            self.mend();
        }
        self.world.assert_unbroken();
        let witness = locked(&self.world.witness);
        for (name, checker) in &witness.checkers {
            let unfinished = checker.finished();
            assert!(
                checker.state().is_some() && unfinished.is_empty(),
                "{name}: {unfinished:#?}\n{}",
                witness.story(80)
            );
        }
        drop(witness);
        self.assert_hooks();
    }

    /// A person who was paged for drift mends it.
    fn mend(&self) {
        let Some(state) = self.world.state("api") else {
            return;
        };
        let drifted = |reason: &HoldReason| matches!(reason, HoldReason::JobsDrift { .. });
        if !state.held.iter().any(drifted) {
            return;
        }
        for (half, how) in halves(&self.plan.plan) {
            let known = state.jobs.known.get(&half).copied();
            let rests = state.jobs.rest_on().map(|side| half.side == side);
            let wanted = rests.or(known).unwrap_or(half.side == JobSide::Old);
            if self.world.is_on(&how) != wanted {
                self.world.switch_by_others(&how, wanted);
            }
        }
    }

    /// Every hook that was journaled as done was called, and what has its own key is called under no other.
    fn assert_hooks(&self) {
        let keys = called(&self.world);
        let witness = locked(&self.world.witness);
        for entry in &witness.entries {
            if let Event::HookSucceeded { hook, .. } = &entry.event {
                let key = hook.key(&entry.cutover, entry.attempt);
                assert!(keys.contains(&key), "{key} was never called");
            }
        }
    }
}

fn rollback(state: &State, mode: RevertMode) -> Option<Event> {
    match commands::rollback(state, mode, true, None) {
        Ok(RollbackNeed::Request(event)) => Some(*event),
        Ok(RollbackNeed::UnderWay | RollbackNeed::Ended) | Err(_) => None,
    }
}
