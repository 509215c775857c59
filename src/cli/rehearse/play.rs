//! Plays plans: the real controller, the simulated world, and the people of the scenario.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::film;
use super::operators;
use crate::controller::{Controller, Ending, Outside, Scope, Settings};
use crate::engine::fleet::FleetSettings;
use crate::engine::observation::FileReading;
use crate::engine::plan::{Plan, PlanSource};
use crate::engine::units::ControllerId;
use crate::journal::MemoryJournal;
use crate::ports::{Clock, Notifier, Page, PlanFiles, PlanFilesNow};
use crate::report;
use crate::report::rehearsal::film::Film;
use crate::scenario::{Scenario, What};
use crate::sim::beside::SimJobs;
use crate::sim::stage::doors::{StageClock, StageJournal, StageSignals, haunt};
use crate::sim::stage::side_doors::{StageHooks, StageJobs};
use crate::sim::stage::{SharedStage, Stage, lock};
use crate::sim::world::{SimClock, World};

/// How often the rehearsed controller looks; as `run` does.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How much longer than its plan a rehearsal goes on, whatever holds it.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// Whether the controller looks while nothing can be seen to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only when something may have changed.
    WhenWorthIt,
    /// In every interval. Slow; for the test that it makes no difference.
    Always,
}

/// What is rehearsed: plans, and the limits of their fleet with the path of its file.
#[derive(Debug, Clone, Default)]
pub struct Troupe {
    /// The plans.
    pub sources: Vec<PlanSource>,
    /// The limits, if there is a `fleet.yaml`.
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
    /// When a rehearsal that does not come to an end is cut off, after its start.
    pub(super) fn cut_off(&self) -> SignedDuration {
        cut_off_after(self.length())
    }

    /// How long it takes if nothing holds it, settling aside. Where some wait for others, as if each waited for all.
    fn length(&self) -> SignedDuration {
        let lengths = self.sources.iter().map(|source| length(&source.plan));
        let limited = self
            .fleet
            .as_ref()
            .is_some_and(|(_, fleet)| fleet.max_in_flight.is_some());
        if limited
            || self
                .sources
                .iter()
                .any(|source| !source.plan.after.is_empty())
        {
            return lengths.fold(SignedDuration::ZERO, SignedDuration::saturating_add);
        }
        lengths.max().unwrap_or_default()
    }
}

/// Plays the plans in the scenario's world. The same arguments give the same film. Needs a paused runtime.
///
/// # Errors
/// A plan that the simulated Route 53 refuses.
pub async fn play(
    troupe: impl Into<Troupe>,
    scenario: &Scenario,
    seed: u64,
    start: Timestamp,
) -> Result<Film> {
    play_with(troupe, scenario, seed, start, Look::WhenWorthIt).await
}

/// As [`play`], looking as often as it is told.
///
/// # Errors
/// As [`play`].
pub async fn play_with(
    troupe: impl Into<Troupe>,
    scenario: &Scenario,
    seed: u64,
    start: Timestamp,
    look: Look,
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
            jumps: look == Look::WhenWorthIt,
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

/// Runs controllers one after the other, each until it is killed, the last until all is over or the deadline.
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

/// Waits for the next moment at which the controller is killed. Returns when it is started again.
async fn kill(
    stage: &SharedStage,
    clock: &SimClock,
    heard: &mut watch::Receiver<u64>,
    killed: &mut [bool],
) -> Timestamp {
    loop {
        let next = {
            let stage = lock(stage);
            let troubles = stage.troubles().iter().enumerate();
            let mut due: Vec<(Timestamp, usize, Option<Timestamp>)> = troubles
                .filter(|(_, trouble)| trouble.fault.what == What::ControllerKilled)
                .filter(|(index, _)| !killed[*index])
                .filter_map(|(index, trouble)| Some((trouble.from?, index, trouble.until)))
                .collect();
            due.sort();
            due.first().copied()
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

/// Waits until a moment, or until the journal has something new.
pub(super) async fn wait(
    until: Option<Timestamp>,
    clock: &SimClock,
    heard: &mut watch::Receiver<u64>,
) {
    let sleep = async {
        match until {
            Some(until) => {
                let wait = until.duration_since(clock.now());
                tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = sleep => {}
        changed = heard.changed() => if changed.is_err() {
            // Nobody can write any more: nothing is left to wait for.
            std::future::pending::<()>().await;
        },
    }
}

fn settings(number: u32) -> Settings {
    Settings {
        me: ControllerId::from(format!("rehearsal-{number}").as_str()),
        host: "rehearsal".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interval: LOOK_EVERY,
        baseline_as_is: None,
        calls_nothing: false,
        scope: Scope::Files,
    }
}

/// How long a plan takes if nothing holds it, settling aside.
fn length(plan: &Plan) -> SignedDuration {
    plan.steps
        .iter()
        .map(|step| step.bake)
        .fold(SignedDuration::ZERO, SignedDuration::saturating_add)
}

/// The plans, as files that never change.
struct Script(Troupe);

impl PlanFiles for Script {
    fn look(&self) -> PlanFilesNow {
        let file = |source: &PlanSource| {
            (
                source.path.clone(),
                FileReading::Plan(Arc::new(source.clone())),
            )
        };
        PlanFilesNow {
            roots: self
                .0
                .sources
                .iter()
                .map(|source| source.path.clone())
                .collect(),
            files: self.0.sources.iter().map(file).collect(),
        }
    }

    fn fleet(&self) -> Option<(String, FleetSettings)> {
        self.0.fleet.clone()
    }
}

/// Nobody is woken by a rehearsal.
struct Nobody;

#[async_trait::async_trait]
impl Notifier for Nobody {
    async fn page(&self, _page: &Page) -> Result<(), String> {
        Ok(())
    }
}

/// All entries of the journal.
///
/// # Errors
/// None of a journal in memory.
pub(super) async fn entries(journal: &StageJournal) -> Result<Vec<crate::engine::event::Envelope>> {
    let (entries, _) = journal
        .journal
        .read_after(crate::ports::Position::default())
        .await?;
    Ok(entries)
}
