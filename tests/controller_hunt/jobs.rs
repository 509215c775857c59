//! Jobs and hooks beside real controllers: one switch, never both; hooks at least once, with one key; traffic waits for
//! neither.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::engine::commands::{self, RollbackNeed};
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::hold::HoldReason;
use cutover::engine::hooks::{Hook, HookAction, HookPoint};
use cutover::engine::jobs::{Job, JobHalf, JobSide, JobSwitch, SwitchAt};
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::{HoldOrRevert, PlanSource};
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{Share, WeightPair};
use jiff::SignedDuration;
use tokio::runtime::Builder;

use super::beside::{SideFaults, halves};
use super::world::{PlanOf, Process, World, locked, plan, source};

/// The seeds of every run, besides a fresh one.
const SEEDS: std::ops::Range<u64> = 0..10;

/// How long things go wrong, in minutes, and how long everything then has to come to an end.
const TROUBLE_MINS: u64 = 40;
const PEACE_MINS: u64 = 90;

/// A plan with jobs that move at `at`, and these hooks.
pub(super) fn with_jobs(at: Option<SwitchAt>, count: usize, hooks: Vec<Hook>) -> PlanSource {
    let of = PlanOf {
        name: "api",
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(10, 60), (50, 60), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    };
    let mut plan = plan(&of).plan;
    let half = |side: &str, index: usize| JobHalf::Rule {
        name: format!("{side}-{index}"),
        bus: None,
        region: None,
        running: None,
    };
    let job = |index: usize| Job {
        name: format!("job-{index}"),
        old: half("old", index),
        new: half("new", index),
    };
    plan.jobs = at.map(|at| JobSwitch {
        at,
        wait: SignedDuration::from_secs(60),
        away: SignedDuration::from_secs(60),
        drain: SignedDuration::from_mins(10),
        jobs: (0..count).map(job).collect(),
    });
    plan.hooks = hooks;
    source(plan)
}

fn hook(at: HookPoint) -> Hook {
    Hook {
        at,
        step: None,
        call: HookAction::Command(vec!["/bin/true".to_owned()]),
        timeout: SignedDuration::from_secs(30),
        retries: 2,
        on_failure: HoldOrRevert::Hold,
    }
}

fn every_hook() -> Vec<Hook> {
    [
        HookPoint::BeforeStart,
        HookPoint::BeforeStep,
        HookPoint::AfterStep,
        HookPoint::BeforeRevert,
        HookPoint::AfterRevert,
        HookPoint::Completed,
    ]
    .map(hook)
    .to_vec()
}

fn at_half() -> SwitchAt {
    SwitchAt::Step(Share::percent(50))
}

fn play<F: Future<Output = ()>>(scene: impl FnOnce() -> F) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(scene());
}

fn phase(world: &World) -> Option<Phase> {
    world.state("api").map(|state| state.phase)
}

fn on(world: &World, plan: &PlanSource, side: JobSide) -> usize {
    let mine = halves(&plan.plan);
    let of_side = mine.iter().filter(|(half, _)| half.side == side);
    of_side.filter(|(_, how)| world.is_on(how)).count()
}

#[test]
fn jobs_move_with_their_step_and_traffic_goes_on_behind_them() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 2, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        assert_eq!(
            (
                on(&world, &plan, JobSide::Old),
                on(&world, &plan, JobSide::New)
            ),
            (0, 2)
        );
        let moved = world.entries("api", "jobs_moved");
        let off = world.entries("api", "jobs_off");
        assert_eq!((moved.len(), off.len()), (1, 1));
        // Neither side ran for the plan's `wait`, and the bake of that step saw the jobs where they run.
        assert!(moved[0].at.duration_since(off[0].at) >= SignedDuration::from_secs(60));
        let bakes = world.entries("api", "bake_started");
        assert!(bakes[1].seq > moved[0].seq && bakes[0].seq < moved[0].seq);
    });
}

#[test]
fn jobs_of_the_end_move_after_the_last_bake_and_before_it_is_completed() {
    play(|| async {
        let plan = with_jobs(Some(SwitchAt::Complete), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let moved = world.entries("api", "jobs_moved")[0].seq;
        assert!(world.entries("api", "step_completed")[2].seq < moved);
    });
}

#[test]
fn a_revert_takes_the_jobs_back_and_its_weights_wait_for_none_of_it() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 2, every_hook());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        let moved = |world: &World| !world.entries("api", "jobs_moved").is_empty();
        assert!(world.until(3_600, moved).await);
        locked(&world.side.faults).hooks_take = Duration::from_secs(25);
        world.turn("errors", AlarmState::Alarm);
        let decided = |world: &World| phase(world) == Some(Phase::Reverting);
        assert!(world.until(30, decided).await);
        let back = |world: &World| {
            let group = &plan.plan.records[0];
            world.pair(&group.zone.zone, &group.name) == WeightPair::new(100, 0)
        };
        // Within two seconds, while a hook takes 25 s and the jobs a minute.
        assert!(world.until(2, back).await);
        assert_eq!(on(&world, &plan, JobSide::Old), 0);
        assert!(
            world
                .until(600, |world| phase(world) == Some(Phase::Reverted))
                .await
        );
        world.assert_unbroken();
        assert_eq!(
            (
                on(&world, &plan, JobSide::Old),
                on(&world, &plan, JobSide::New)
            ),
            (2, 0)
        );
        let keys = called(&world);
        assert!(keys.contains("api/1/0/before_revert/4"), "{keys:?}");
        assert!(keys.contains("api/1/0/after_revert/5"), "{keys:?}");
    });
}

#[test]
fn a_controller_that_dies_between_the_halves_leaves_both_off_and_it_is_said() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let process = world.start("one");
        let off = |world: &World| !world.entries("api", "jobs_off").is_empty();
        assert!(world.until(3_600, off).await);
        process.task.abort();
        tokio::time::sleep(Duration::from_mins(30)).await;
        assert_eq!(
            (
                on(&world, &plan, JobSide::Old),
                on(&world, &plan, JobSide::New)
            ),
            (0, 0)
        );
        let _next = world.start("two");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let loud = world.entries("api", "step_held").into_iter().any(|entry| {
            let Event::StepHeld { because } = entry.event else {
                return false;
            };
            because
                .iter()
                .any(|reason| matches!(reason, HoldReason::JobsBothOff { .. }))
        });
        assert!(loud, "nobody was told that both were off");
        assert_eq!(on(&world, &plan, JobSide::New), 1);
    });
}

#[test]
fn somebody_elses_switch_is_drift_and_is_not_written_over() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        let off = |world: &World| !world.entries("api", "jobs_off").is_empty();
        assert!(world.until(3_600, off).await);
        let old = plan.plan.jobs.as_ref().expect("jobs").jobs[0].old.clone();
        world.switch_by_others(&old, true);
        tokio::time::sleep(Duration::from_mins(20)).await;
        world.assert_unbroken();
        assert!(world.is_on(&old));
        assert_eq!(on(&world, &plan, JobSide::New), 0, "never both");
        let told = locked(&world.pages).len();
        assert!(told > 0, "nobody was told");
        world.switch_by_others(&old, false);
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
    });
}

#[test]
fn a_job_that_runs_on_both_sides_before_the_start_holds_it() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let new = plan.plan.jobs.as_ref().expect("jobs").jobs[0].new.clone();
        world.switch_by_others(&new, true);
        let _process = world.start("one");
        tokio::time::sleep(Duration::from_mins(20)).await;
        assert_eq!(phase(&world), Some(Phase::Waiting));
        let state = world.state("api").expect("a state");
        let both = |reason: &HoldReason| matches!(reason, HoldReason::JobsDrift { both_on, .. } if both_on == &["job-0"]);
        assert!(state.held.iter().any(both), "{:?}", state.held);
    });
}

#[test]
fn what_still_runs_is_waited_for() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let old = plan.plan.jobs.as_ref().expect("jobs").jobs[0].old.clone();
        world.side.jobs.set(&old, |look| look.running = Some(3));
        let _process = world.start("one");
        let off = |world: &World| !world.entries("api", "jobs_off").is_empty();
        assert!(world.until(3_600, off).await);
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(on(&world, &plan, JobSide::New), 0);
        assert!(locked(&world.pages).is_empty());
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(!locked(&world.pages).is_empty(), "longer than `drain`");
        world.side.jobs.set(&old, |look| look.running = Some(0));
        let moved = |world: &World| !world.entries("api", "jobs_moved").is_empty();
        assert!(world.until(60, moved).await);
        world.assert_unbroken();
    });
}

#[test]
fn every_hook_is_called_in_its_place_with_its_own_key() {
    play(|| async {
        let plan = with_jobs(None, 0, every_hook());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let keys: Vec<String> = locked(&world.side.calls)
            .iter()
            .map(|(key, _)| key.clone())
            .collect();
        assert_eq!(
            keys,
            [
                "api/1/0/before_start/1",
                "api/1/1/before_step/2",
                "api/1/1/after_step/3",
                "api/1/2/before_step/2",
                "api/1/2/after_step/3",
                "api/1/3/before_step/2",
                "api/1/3/after_step/3",
                "api/1/0/completed/6",
            ]
        );
        let (_, input) = locked(&world.side.calls)[3].clone();
        let input: serde_json::Value = serde_json::from_str(&input).expect("JSON");
        assert_eq!(input["hook"], "before_step");
        assert_eq!((&input["step"], &input["share"]), (&2.into(), &50.into()));
    });
}

#[test]
fn a_hook_that_fails_holds_and_is_tried_again_until_it_is_mended() {
    play(|| async {
        let plan = with_jobs(None, 0, vec![hook(HookPoint::AfterStep)]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_fail = true;
        let _process = world.start("one");
        tokio::time::sleep(Duration::from_mins(30)).await;
        let state = world.state("api").expect("a state");
        assert_eq!((state.phase, state.step), (Phase::Baking, 1));
        assert!(!locked(&world.pages).is_empty(), "nobody was told");
        locked(&world.side.faults).hooks_fail = false;
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let keys = called(&world);
        assert!(keys.contains("api/1/1/after_step/1"), "{keys:?}");
    });
}

#[test]
fn a_hook_that_fails_takes_everything_back_where_the_plan_says_so() {
    play(|| async {
        let mut failing = hook(HookPoint::AfterStep);
        failing.on_failure = HoldOrRevert::Revert;
        let plan = with_jobs(None, 0, vec![failing]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_fail = true;
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Reverted))
                .await
        );
        world.assert_unbroken();
        assert_eq!(world.entries("api", "hook_intended").len(), 3);
    });
}

#[test]
fn a_hook_beside_a_revert_that_fails_is_told_and_holds_nothing() {
    play(|| async {
        let plan = with_jobs(None, 0, vec![hook(HookPoint::BeforeRevert)]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_fail = true;
        let _process = world.start("one");
        let baking = |world: &World| phase(world) == Some(Phase::Baking);
        assert!(world.until(3_600, baking).await);
        world.turn("errors", AlarmState::Alarm);
        assert!(
            world
                .until(300, |world| phase(world) == Some(Phase::Reverted))
                .await
        );
        world.assert_unbroken();
        let given_up = locked(&world.pages)
            .iter()
            .any(|page| matches!(page.entry.event, Event::HookFailed { given_up: true, .. }));
        assert!(given_up, "nobody was told");
    });
}

fn called(world: &World) -> BTreeSet<String> {
    let calls = locked(&world.side.calls);
    calls.iter().map(|(key, _)| key.clone()).collect()
}

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
    let plan = with_jobs(Some(at), rng.usize(1..4), hooks);
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
                *faults = super::outside::JournalFaults::default();
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
        Ok(RollbackNeed::UnderWay | RollbackNeed::AlreadyBack) | Err(_) => None,
    }
}
