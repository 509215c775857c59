//! One scenario: plans, processes, and the disturbances.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover::controller::Scope;
use cutover::engine::plan::PlanSource;
use fastrand::Rng;

use super::Played;
use super::ending::End;
use super::luck::Shared;
use super::plans::{self, magnitude};
use super::world::{JournalKind, Process, World, locked};

/// The most disturbances of a scenario. A fleet has fewer, but the minimum is always allowed.
const DISTURBANCES_MAX: u64 = 64;
const DISTURBANCES_MIN: u64 = 12;

/// The longest time, in minutes, that faults last while nothing else happens; mostly a quarter of it. It is shorter in a
/// fleet, because each round costs more there.
const TROUBLE_MINS_MAX: u64 = 20;

/// The longest time without a disturbance.
const QUIET_DAYS_MAX: u64 = 60;

/// In one of this many scenarios, a plan names an alarm that does not exist until a person creates it.
const MISNAMED_OF: u8 = 16;

/// A scenario under way.
pub(super) struct Scenario {
    pub(super) rng: Rng,
    pub(super) world: World,
    pub(super) sources: Vec<PlanSource>,
    pub(super) alarms: Vec<String>,
    pub(super) processes: Vec<Process>,
    pub(super) shared: Arc<Shared>,
    born: u32,
    /// The disturbances so far, for the story.
    pub(super) log: Vec<String>,
}

impl Scenario {
    pub(super) fn new(seed: u64, journal: JournalKind) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plans::Drawn { sources, limits } = plans::draw(&mut rng);
        let mut alarms: Vec<String> = sources
            .iter()
            .flat_map(|source| source.plan.alarms())
            .map(|gate| gate.id.name.clone())
            .collect();
        alarms.sort();
        alarms.dedup();
        let world = World::new(&sources, journal);
        *locked(&world.files.limits) = limits;
        if rng.u8(0..MISNAMED_OF) == 0 {
            let misnamed = &alarms[rng.usize(0..alarms.len())];
            if let Some(alarm) = locked(&world.alarms).get_mut(misnamed) {
                alarm.gone = true;
            }
        }
        Self {
            rng,
            world,
            sources,
            alarms,
            processes: Vec::new(),
            shared: Arc::default(),
            born: 0,
            log: Vec::new(),
        }
    }

    pub(super) async fn play(mut self, disturbances: usize) -> Result<Played, String> {
        let shared = Arc::clone(&self.shared);
        let end = tokio::select! {
            biased;
            () = shared.is_broken() => None,
            end = self.go_through(disturbances) => Some(end?),
        };
        self.unbroken()?;
        match end {
            Some(end) => Ok(self.played(end)),
            None => self.fail("an invariant is broken, but no message was recorded"),
        }
    }

    async fn go_through(&mut self, disturbances: usize) -> Result<End, String> {
        self.start();
        if self.rng.u8(0..4) == 0 {
            self.overtakers(2);
        }
        let most = (DISTURBANCES_MAX / self.many()).max(DISTURBANCES_MIN);
        let wanted = magnitude(&mut self.rng, 1, most);
        let wanted = usize::try_from(wanted).expect("few");
        for _ in 0..wanted.min(disturbances) {
            self.let_time_pass().await;
            self.disturb().await?;
            self.unbroken()?;
        }
        self.comes_to_an_end().await
    }

    fn played(&self, end: End) -> Played {
        let witness = locked(&self.world.witness);
        Played {
            cutovers: count(self.sources.len()),
            cutover_secs: witness.unfinished().as_secs().unsigned_abs(),
            looks: self.shared.looks.load(Ordering::Relaxed),
            calls: self.shared.calls.load(Ordering::Relaxed),
            entries: count(witness.entries.len()),
            completed: end.completed,
            reverted: end.reverted,
            digest: witness.digest(),
        }
    }

    /// Lets moments pass, or often days, since a plan takes weeks. Faults end before a long time, because each round costs.
    async fn let_time_pass(&mut self) {
        let millis = match self.rng.u8(0..10) {
            0..=4 => magnitude(&mut self.rng, 10, 60_000),
            5..=6 => magnitude(&mut self.rng, 60_000, 1_800_000),
            _ => magnitude(&mut self.rng, 1_800_000, QUIET_DAYS_MAX * 86_400_000),
        };
        let mostly = if self.rng.u8(0..8) == 0 { 1 } else { 4 };
        let trouble = TROUBLE_MINS_MAX * 60_000 / self.many() / mostly;
        let trouble = magnitude(&mut self.rng, 100, trouble);
        if millis <= trouble {
            return tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        tokio::time::sleep(Duration::from_millis(trouble)).await;
        for process in &self.processes {
            process.luck.calm();
        }
        self.world.moved();
        tokio::time::sleep(Duration::from_millis(millis - trouble)).await;
    }

    /// The cost of a round, as a multiple of that in a small scenario.
    fn many(&self) -> u64 {
        count(self.sources.len()) / 8 + 1
    }

    pub(super) fn start(&mut self) {
        self.start_for(Scope::Files);
    }

    pub(super) fn start_for(&mut self, scope: Scope) {
        self.born += 1;
        let rng = self.rng.fork();
        let what = format!("ctl-{} starts for {scope:?}", self.born);
        let process = self.world.start(self.born, scope, &self.shared, rng);
        self.note(&what);
        self.processes.push(process);
    }

    /// Returns true if no controller watches the plan files.
    pub(super) fn is_alone(&self) -> bool {
        !self.processes.iter().any(|process| process.watches)
    }

    pub(super) fn note(&mut self, what: &str) {
        self.log.push(format!("{} {what}", self.world.now()));
    }

    /// Removes the processes that have ended. A controller must not end with an error or a panic.
    pub(super) async fn bury(&mut self) -> Result<(), String> {
        let (ended, alive): (Vec<Process>, Vec<Process>) = self
            .processes
            .drain(..)
            .partition(|process| process.task.is_finished());
        self.processes = alive;
        for process in ended {
            match process.task.await {
                Ok(None | Some(Ok(_))) => {}
                Err(error) if error.is_cancelled() => {}
                Ok(Some(Err(error))) => {
                    return self.fail(&format!("ctl-{} ended: {error:?}", process.number));
                }
                Err(error) => {
                    return self.fail(&format!("ctl-{} panicked: {error}", process.number));
                }
            }
        }
        Ok(())
    }

    pub(super) fn unbroken(&self) -> Result<(), String> {
        let broken = locked(&self.world.witness).broken.clone();
        match broken.first() {
            None => Ok(()),
            Some(_) => self.fail(&broken.join("\n")),
        }
    }

    pub(super) fn fail<T>(&self, what: &str) -> Result<T, String> {
        let witness = locked(&self.world.witness);
        let log = self.log.join("\n");
        let story = witness.story(60);
        Err(format!(
            "{story}\n-- disturbances\n{log}\n-- broken\n{what}"
        ))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a count")
}
