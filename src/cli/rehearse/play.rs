//! Rehearses plans with the real controller, the simulated world, and the people of the scenario.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::Instant;

use super::wait::wait;
use super::{film, operators};
use crate::controller::{Controller, Ending, Outside, Scope, Settings};
use crate::engine::fleet::FleetSettings;
use crate::engine::observation::FileReading;
use crate::engine::plan::{Plan, PlanSource};
use crate::engine::units::ControllerId;
use crate::journal::MemoryJournal;
use crate::ports::{Clock, Delivery, Notifier, PlanFiles, PlanFilesNow, Undelivered};
use crate::report;
use crate::report::rehearsal::film::Film;
use crate::scenario::{FaultKind, Scenario};
use crate::sim::beside::SimJobs;
use crate::sim::stage::doors::{StageClock, StageJournal, StageSignals, haunt};
use crate::sim::stage::side_doors::{StageHooks, StageJobs};
use crate::sim::stage::{SharedStage, Stage, lock};
use crate::sim::world::{SimClock, World};

/// The time between two rounds of the rehearsed controller, as in `run`.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How much longer than twice the length of its plans a rehearsal may take before it is cut off.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How often the rehearsed controller does a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookWhen {
    /// It looks only when something may have changed.
    WorthIt,
    /// The controller does a round in every interval. This is slow; a test uses it to show that the result is the same.
    Always,
}

/// The plans to rehearse, and the settings of their fleet.
#[derive(Debug, Clone, Default)]
pub struct Troupe {
    /// The plans, each with the path of its file.
    pub sources: Vec<PlanSource>,
    /// The settings of `fleet.yaml` and its path; `None` if there is none.
    pub fleet: Option<(String, FleetSettings)>,
}

impl From<Vec<PlanSource>> for Troupe {
    fn from(sources: Vec<PlanSource>) -> Self {
        Self {
            sources,
            fleet: None,
        }
    }
}

impl Troupe {
    /// Returns the time after its start at which an unfinished rehearsal is cut off.
    pub(super) fn cut_off(&self) -> SignedDuration {
        cut_off_after(self.length())
    }

    /// Returns how long the plans take if nothing holds them, without settling. If plans may wait for each other, this
    /// is the sum of all plans; otherwise it is the longest plan.
    fn length(&self) -> SignedDuration {
        let mut one_by_one = match &self.fleet {
            Some((_, fleet)) => fleet.max_in_flight.is_some(),
            None => false,
        };
        let (mut sum, mut longest) = (SignedDuration::ZERO, SignedDuration::ZERO);
        for source in &self.sources {
            one_by_one = one_by_one || !source.plan.after.is_empty();
            let length = length(&source.plan);
            sum = sum.saturating_add(length);
            longest = longest.max(length);
        }
        if one_by_one { sum } else { longest }
    }
}

/// Rehearses the plans in the scenario's world. The same arguments give the same film. Needs a tokio runtime with
/// paused time.
///
/// # Errors
/// The simulated Route 53 refuses a plan, or the controller fails.
pub async fn play(
    troupe: impl Into<Troupe>,
    scenario: &Scenario,
    seed: u64,
    start: Timestamp,
) -> Result<Film> {
    play_with(troupe, scenario, seed, start, LookWhen::WorthIt).await
}

/// Does the same as [`play`], with a choice of how often the controller does a round.
///
/// # Errors
/// The same as for [`play`].
pub async fn play_with(
    troupe: impl Into<Troupe>,
    scenario: &Scenario,
    seed: u64,
    start: Timestamp,
    look: LookWhen,
) -> Result<Film> {
    let troupe = troupe.into();
    let longest = troupe.length();
    let plans: Vec<Plan> = troupe
        .sources
        .iter()
        .map(|source| source.plan.clone())
        .collect();
    let world = World::for_plans(&plans, start)?;
    let references: Vec<&Plan> = plans.iter().collect();
    let stage = Stage::new(&world, &references, scenario, seed, start);
    let stage: SharedStage = Arc::new(Mutex::new(stage));
    haunt(&world.dns, &stage);
    let (news, heard) = watch::channel(0);
    let journal = StageJournal {
        journal: Arc::new(MemoryJournal::new()),
        stage: Arc::clone(&stage),
        clock: world.clock,
        news,
    };
    let outside = Outside {
        clock: Arc::new(StageClock {
            clock: world.clock,
            stage: Arc::clone(&stage),
            jumps: look == LookWhen::WorthIt,
        }),
        dns: Arc::new(world.dns.clone()),
        signals: Arc::new(StageSignals {
            signals: world.signals.clone(),
            stage: Arc::clone(&stage),
            clock: world.clock,
        }),
        journal: Arc::new(journal.clone()),
        notifier: Arc::new(Nobody),
        jobs: Arc::new(StageJobs {
            jobs: SimJobs::for_plans(&plans),
            stage: Arc::clone(&stage),
            clock: world.clock,
        }),
        hooks: Arc::new(StageHooks {
            stage: Arc::clone(&stage),
            clock: world.clock,
        }),
        files: Some(Arc::new(Script(troupe))),
        break_glass: None,
        narrate: Arc::new(|entry| report::event(&entry.event)),
    };
    let longest = cut_off_after(longest);
    let deadline = Instant::now() + Duration::try_from(longest).unwrap_or_default();
    let quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let ended = tokio::select! {
        biased;
        ended = run(&outside, &stage, &world.clock, heard.clone(), deadline) => ended,
        never = operators::act(&journal, &stage, &world.clock, heard) => never,
    };
    drop(quiet);
    ended?;
    let end = world.clock.now();
    lock(&stage).play_out(end);
    film::develop(&world, &stage, &journal, &plans, (seed, start, end)).await
}

fn cut_off_after(length: SignedDuration) -> SignedDuration {
    length.saturating_mul(2).saturating_add(GRACE)
}

/// Runs controllers one after the other. Each runs until it is killed; the last one runs until all cutovers have ended
/// or the deadline has passed.
async fn run(
    outside: &Outside,
    stage: &SharedStage,
    clock: &SimClock,
    mut heard: watch::Receiver<u64>,
    deadline: Instant,
) -> Result<()> {
    let mut killed = vec![false; lock(stage).troubles().len()];
    let mut number = 0;
    loop {
        number += 1;
        let mut controller = Controller::new(outside.clone(), settings(number));
        let down_until = tokio::select! {
        biased;
            ended = controller.run(tokio::time::sleep_until(deadline)) => {
                let (Ending::Finished | Ending::Stopped) = ended?;
                return Ok(());
            }
            down_until = kill(stage, clock, &mut heard, &mut killed) => down_until,
        };
        drop(controller);
        let down = down_until.duration_since(clock.now());
        let up = Instant::now() + Duration::try_from(down).unwrap_or_default();
        tokio::time::sleep_until(up.min(deadline)).await;
    }
}

/// Waits until the controller is killed, and returns the time at which it is started again.
async fn kill(
    stage: &SharedStage,
    clock: &SimClock,
    heard: &mut watch::Receiver<u64>,
    killed: &mut [bool],
) -> Timestamp {
    loop {
        let next = {
            let stage = lock(stage);
            let mut due: Vec<(Timestamp, usize, Option<Timestamp>)> = Vec::new();
            for (index, trouble) in stage.troubles().iter().enumerate() {
                if trouble.fault.kind == FaultKind::ControllerKilled
                    && !killed[index]
                    && let Some(from) = trouble.from
                {
                    due.push((from, index, trouble.until));
                }
            }
            due.into_iter().min()
        };
        let now = clock.now();
        match next {
            Some((from, index, until)) if from <= now => {
                killed[index] = true;
                return until.unwrap_or(now).max(now);
            }
            next => wait(next.map(|(from, ..)| from), clock, heard).await,
        }
    }
}

fn settings(number: u32) -> Settings {
    Settings {
        me: ControllerId::from(format!("rehearsal-{number}").as_str()),
        host: "rehearsal".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interval: LOOK_EVERY,
        baseline_as_is: None,
        stays: false,
        calls_nothing: false,
        scope: Scope::Files,
    }
}

/// Returns the sum of a plan's bakes: how long it takes if nothing holds it, without settling.
fn length(plan: &Plan) -> SignedDuration {
    let mut sum = SignedDuration::ZERO;
    for step in &plan.steps {
        sum = sum.saturating_add(step.bake);
    }
    sum
}

/// The rehearsed plans, as plan files that never change.
struct Script(Troupe);

impl PlanFiles for Script {
    fn look(&self) -> PlanFilesNow {
        let (mut roots, mut files) = (Vec::new(), Vec::new());
        for source in &self.0.sources {
            let reading = FileReading::Plan(Arc::new(source.clone()));
            roots.push(source.path.clone());
            files.push((source.path.clone(), reading));
        }
        PlanFilesNow { roots, files }
    }

    fn fleet(&self) -> Option<(String, FleetSettings)> {
        self.0.fleet.clone()
    }
}

/// A notifier that pages nobody, because a rehearsal must not wake people.
struct Nobody;

#[async_trait::async_trait]
impl Notifier for Nobody {
    fn tells(&self) -> bool {
        false
    }

    async fn deliver(&self, _delivery: &Delivery) -> Result<Option<Value>, Undelivered> {
        Err(Undelivered::because("a rehearsal tells nobody"))
    }
}

/// A rehearsal that can be repeated with any seed.
pub(super) struct Play {
    pub(super) troupe: Troupe,
    pub(super) scenario: Scenario,
    pub(super) start: Timestamp,
}

impl Play {
    /// Rehearses with this seed, in a runtime whose clock jumps ahead.
    pub(super) fn film(&self, seed: u64) -> Result<Film> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()?;
        let troupe = self.troupe.clone();
        runtime.block_on(play(troupe, &self.scenario, seed, self.start))
    }
}
