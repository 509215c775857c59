//! Scenarios drawn from a seed: faults at every call, processes that die anywhere, people and strangers who interfere.
//! No invariant may break, and when the faults stop, everything must come to an end or wait for somebody.

use std::time::Duration;

use cutover::engine::commands::{self, RollbackNeed};
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::plan::PlanSource;
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{CutoverName, Weight};
use cutover::sim::fault::Fault;
use tokio::runtime::Builder;

use super::world::{PlanOf, Process, REGION, World, locked, plan};

/// The seeds of every run, besides a fresh one.
const SEEDS: std::ops::Range<u64> = 0..12;

/// How long things go wrong, in minutes, and how long everything then has to come to an end.
const TROUBLE_MINS: u64 = 40;
const PEACE_MINS: u64 = 75;

#[test]
fn hunt() {
    #[expect(clippy::disallowed_methods, reason = "replays a seed that failed")]
    let asked = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = asked("CUTOVER_HUNT_SEED") {
        play(seed);
        return;
    }
    let runs = asked("CUTOVER_HUNT_RUNS").unwrap_or(SEEDS.end);
    for seed in SEEDS.start..runs {
        play(seed);
    }
    play(fastrand::u64(..));
}

fn play(seed: u64) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(scenario(seed));
    }));
    assert!(
        played.is_ok(),
        "replay with CUTOVER_HUNT_SEED={seed} cargo nextest run -E 'test(controller_hunt::hunt)'"
    );
}

struct Scenario {
    rng: fastrand::Rng,
    world: World,
    sources: Vec<PlanSource>,
    alarms: Vec<String>,
    processes: Vec<Process>,
    born: u32,
}

async fn scenario(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let sources = plans(&mut rng);
    let alarms: Vec<String> = sources
        .iter()
        .flat_map(|source| source.plan.alarms())
        .map(|gate| gate.id.name.clone())
        .collect();
    let world = World::new(&sources);
    let mut scenario = Scenario {
        rng,
        world,
        sources,
        alarms,
        processes: Vec::new(),
        born: 0,
    };
    scenario.start();
    let end = TROUBLE_MINS * 60;
    let mut at = 0;
    while at < end {
        let pause = scenario.rng.u64(1..40_000);
        at += pause / 1_000 + 1;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        scenario.something_happens().await;
    }
    scenario.peace().await;
}

fn plans(rng: &mut fastrand::Rng) -> Vec<PlanSource> {
    let count = rng.usize(1..4);
    (0..count)
        .map(|number| {
            let zones: Vec<(usize, usize)> = (0..rng.usize(1..4))
                .map(|zone| (zone, rng.usize(1..3)))
                .collect();
            let bake = rng.i64(20..180);
            let steps = [(10, bake), (50, bake), (100, bake)];
            let shared = rng.bool();
            let alarm = |what: &str| {
                if shared {
                    what.to_owned()
                } else {
                    format!("{what}-{number}")
                }
            };
            let fallbacks = if rng.bool() {
                vec![alarm("fallback")]
            } else {
                Vec::new()
            };
            let alarms = [alarm("errors"), format!("latency-{number}")];
            plan(&PlanOf {
                name: &format!("cut{number}"),
                zones: &zones,
                record_type: "CNAME",
                steps: &steps[rng.usize(0..3)..],
                alarms: &alarms,
                fallbacks: &fallbacks,
            })
        })
        .collect()
}

impl Scenario {
    fn start(&mut self) {
        self.born += 1;
        let process = self.world.start(&format!("ctl-{}", self.born));
        let rng = self.rng.fork();
        process.delays.change(|faults| faults.jitter = Some(rng));
        self.processes.push(process);
    }

    /// Restarts what has ended, with `ControllerError`s as failures.
    async fn bury(&mut self) {
        let (ended, alive): (Vec<Process>, Vec<Process>) = self
            .processes
            .drain(..)
            .partition(|process| process.task.is_finished());
        self.processes = alive;
        for process in ended {
            match process.task.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let story = locked(&self.world.witness).story(40);
                    panic!("a controller ended: {error:?}\n{story}");
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }

    async fn something_happens(&mut self) {
        self.bury().await;
        if self.processes.is_empty() && self.rng.u8(0..3) > 0 {
            self.start();
        }
        match self.rng.u8(0..20) {
            0 | 1 if self.processes.len() < 3 => self.start(),
            2..=4 => self.kill(),
            5..=7 => self.alarm(),
            8 | 9 => self.journal_trouble(),
            10..=12 => self.route53_trouble(),
            13 => self.cloudwatch_trouble(),
            14 => self.stranger(),
            15 => self.file(),
            16 => {
                let fail = self.rng.bool();
                self.world.glass.fail(fail);
            }
            17 => {
                let fail = self.rng.bool();
                *locked(&self.world.pages_fail) = fail;
            }
            _ => self.person().await,
        }
        let witness = locked(&self.world.witness);
        let (broken, entries) = (&witness.broken, witness.entries.len());
        assert!(broken.is_empty(), "{broken:#?}\n{}", witness.story(60));
        assert!(entries < 6_000, "the journal grows\n{}", witness.story(60));
    }

    fn kill(&mut self) {
        if !self.processes.is_empty() {
            let victim = self.rng.usize(0..self.processes.len());
            self.processes.swap_remove(victim).task.abort();
        }
    }

    fn alarm(&mut self) {
        let alarm = self.alarms[self.rng.usize(0..self.alarms.len())].clone();
        let now = self.world.now();
        match self.rng.u8(0..8) {
            0 => self.world.turn(&alarm, AlarmState::Alarm),
            1 => self.world.turn(&alarm, AlarmState::InsufficientData),
            2 => locked(&self.world.cloudwatch).remove(REGION, &alarm, now),
            3 => {
                self.world.turn(&alarm, AlarmState::Alarm);
                self.world.turn(&alarm, AlarmState::Ok);
            }
            _ => {
                for alarm in self.alarms.clone() {
                    self.world.turn(&alarm, AlarmState::Ok);
                }
            }
        }
    }

    fn journal_trouble(&mut self) {
        let kind = self.rng.u8(0..7);
        let long = Duration::from_millis(self.rng.u64(0..3_000));
        for process in &self.processes {
            if self.rng.bool() {
                continue;
            }
            process.delays.change(|faults| match kind {
                0 => faults.appends_fail = true,
                1 => faults.replies_lost = true,
                2 => faults.reads_fail = true,
                3 => (faults.reads_fail, faults.appends_fail) = (true, true),
                4 => faults.takes = long,
                _ => {
                    faults.takes = Duration::ZERO;
                    (faults.reads_fail, faults.appends_fail) = (false, false);
                    faults.replies_lost = false;
                }
            });
        }
    }

    fn route53_trouble(&mut self) {
        let calm = self.rng.bool();
        let odds = self.rng.u32(2..20);
        for process in &self.processes {
            let mut rng = self.rng.fork();
            process.dns.with_faults(|faults| {
                faults.clear();
                if !calm {
                    faults.set_hook(Box::new(move |_, _| {
                        if rng.u32(0..odds) > 0 {
                            return Vec::new();
                        }
                        vec![match rng.u8(0..8) {
                            0 => Fault::throttle(),
                            1 => Fault::deny(),
                            2 => Fault::unavailable(),
                            3 => Fault::DropBefore,
                            4 => Fault::LoseReply,
                            5 => Fault::error(400, "PriorRequestNotComplete", "not complete"),
                            _ => Fault::Delay(Duration::from_millis(rng.u64(1..12_500))),
                        }]
                    }));
                }
            });
        }
    }

    fn cloudwatch_trouble(&mut self) {
        let kind = self.rng.u8(0..4);
        let delay = Duration::from_millis(self.rng.u64(0..6_000));
        for process in &self.processes {
            process.signals.faults(|faults| match kind {
                0 => faults.down = Some("no answer".to_owned()),
                1 => faults.history_down = Some("no answer".to_owned()),
                2 => faults.delay = delay,
                _ => *faults = cutover::sim::signals::SignalFaults::default(),
            });
        }
    }

    /// Somebody else writes a weight, or back to the baseline.
    fn stranger(&mut self) {
        let now = self.world.now();
        let source = &self.sources[self.rng.usize(0..self.sources.len())];
        let group = &source.plan.records[self.rng.usize(0..source.plan.records.len())];
        let zone = self.world.zones[&group.zone.zone].clone();
        let (old, new) = [(100, 0), (90, 10), (77, 7)][self.rng.usize(0..3)];
        let mut route53 = locked(&self.world.route53);
        for (identifier, weight) in [("eks", old), ("ecs", new)] {
            route53
                .foreign_weight(&zone, &group.name, identifier, Weight(weight), now)
                .expect("a record that is there");
        }
        drop(route53);
        self.world.sync();
    }

    fn file(&mut self) {
        let source = &self.sources[self.rng.usize(0..self.sources.len())];
        let reading = match self.rng.u8(0..4) {
            0 => FileReading::Removed,
            1 => FileReading::Unreadable("not YAML".to_owned()),
            _ => FileReading::Plan(Box::new(source.clone())),
        };
        locked(&self.world.files.0).insert(source.path.clone(), reading);
    }

    async fn person(&mut self) {
        let source = &self.sources[self.rng.usize(0..self.sources.len())];
        let name = source.plan.name.clone();
        let Some(state) = self.world.state(name.as_str()) else {
            return;
        };
        let event = match self.rng.u8(0..10) {
            0 => commands::pause(&state, None).ok(),
            1 | 2 => commands::resume(&state, None).ok(),
            3 => commands::skip_bake(&state, "enough").ok(),
            4 | 5 => commands::retry(&state, None).ok(),
            6 => commands::adopt_drift(&state, "fine").ok(),
            7 => rollback(&state, RevertMode::Swap),
            8 => rollback(&state, RevertMode::Force),
            _ => commands::ignore_alarm(&state, &source.plan.gates.alarms[0].id, "known").ok(),
        };
        if let Some(event) = event {
            self.world.ask(name.as_str(), event).await;
        }
    }

    /// Everything works from now on, and nobody interferes.
    async fn peace(&mut self) {
        for alarm in self.alarms.clone() {
            self.world.turn(&alarm, AlarmState::Ok);
        }
        for source in &self.sources {
            let reading = FileReading::Plan(Box::new(source.clone()));
            locked(&self.world.files.0).insert(source.path.clone(), reading);
        }
        self.world.glass.fail(false);
        *locked(&self.world.pages_fail) = false;
        for process in &self.processes {
            process.dns.with_faults(cutover::sim::fault::Faults::clear);
            process
                .signals
                .faults(|faults| *faults = cutover::sim::signals::SignalFaults::default());
            process.delays.change(|faults| {
                *faults = super::outside::JournalFaults::default();
            });
        }
        self.bury().await;
        self.start();
        for _ in 0..PEACE_MINS {
            tokio::time::sleep(Duration::from_mins(1)).await;
            self.bury().await;
            if self.processes.is_empty() {
                break;
            }
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
            self.assert_pages(name, checker.state());
        }
    }

    /// Who is to be woken has been.
    fn assert_pages(&self, name: &CutoverName, state: Option<&State>) {
        let told = locked(&self.world.pages);
        for page in told.iter() {
            let key = format!("{}/{}", page.entry.cutover, page.entry.seq);
            assert_eq!(page.idempotency_key, key, "a page has one key");
        }
        let waiting: Vec<u64> = state
            .filter(|state| !state.phase.is_final() || state.phase == Phase::Halted)
            .map(|state| state.pages.keys().copied().collect())
            .unwrap_or_default();
        assert!(waiting.is_empty(), "{name}: nobody was told of {waiting:?}");
    }
}

fn rollback(state: &State, mode: RevertMode) -> Option<Event> {
    match commands::rollback(state, mode, true, None) {
        Ok(RollbackNeed::Request(event)) => Some(*event),
        Ok(RollbackNeed::UnderWay | RollbackNeed::AlreadyBack) | Err(_) => None,
    }
}
