//! A running controller that gets tampered replies from Route 53 and `CloudWatch`. The witness of the hunt sees the replies
//! and every write. A weight that no rule explains is a failure.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cutover::aws::{CloudWatchSignals, connect};
use cutover::controller::Scope;
use cutover::engine::commands;
use cutover::engine::observation::{AlarmState, HistoryReading};
use cutover::engine::plan::{Account, PlanSource};
use cutover::engine::units::{AlarmId, CutoverName};
use cutover::ports::{AlarmPage, Signals};
use cutover::sim::cloudwatch::CloudWatch;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::wire::{REGION, Services, Wire};
use super::{Play, mutate, plans};
use crate::hunt::luck::{Luck, Shared};
use crate::hunt::plans as hunted;
use crate::hunt::ports::seen;
use crate::hunt::world::{JournalKind, Process, World, locked};

/// The most plans; the hunt plays larger worlds.
const PLANS_MAX: usize = 3;

/// The longest quiet time between two disturbances, in seconds.
const QUIET_SECS_MAX: usize = 2 * 86_400;

/// `CloudWatch` through the SDK; the witness sees each reading.
struct Watched {
    signals: CloudWatchSignals,
    world: World,
    number: u32,
}

#[async_trait]
impl Signals for Watched {
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    ) {
        let (each, mut pages) = mpsc::unbounded_channel();
        self.signals
            .read_alarms_by_page(account, wanted, &each)
            .await;
        drop(each);
        while let Some((account, page)) = pages.recv().await {
            for (alarm, reading) in &page {
                let now = self.world.now();
                locked(&self.world.witness).saw_alarm(self.number, &alarm.name, seen(reading), now);
            }
            drop(told.send((account, page)));
        }
    }

    async fn alarm_history(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading {
        self.signals.alarm_history(account, alarm, since).await
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        self.signals.clock_skew()
    }
}

/// The world, and the connection that tampers with replies.
struct TamperedWorld {
    world: World,
    cloudwatch: Arc<Mutex<CloudWatch>>,
    wire: Wire,
    alarms: Vec<String>,
    process: Process,
}

/// A few plans, drawn as the hunt draws them.
fn few(rng: &mut Rng) -> Vec<PlanSource> {
    loop {
        let sources = hunted::draw(rng).sources;
        if sources.len() <= PLANS_MAX {
            return sources;
        }
    }
}

impl TamperedWorld {
    async fn new(rng: &mut Rng) -> Self {
        let sources = few(rng);
        let world = World::new(&sources, JournalKind::Memory);
        let mut alarms: Vec<String> = locked(&world.alarms).keys().cloned().collect();
        alarms.sort();
        let mut cloudwatch = CloudWatch::new();
        for name in &alarms {
            cloudwatch.set_state(REGION, name, AlarmState::Ok, world.now());
        }
        let cloudwatch = Arc::new(Mutex::new(cloudwatch));
        let seeing = world.clone();
        let services = Services {
            route53: Arc::clone(&world.route53),
            cloudwatch: Arc::clone(&cloudwatch),
            clock: Arc::new(world.clock),
            done: Arc::new(move || seeing.sync()),
        };
        let wire = Wire::new(services, rng.fork(), 0);
        let aws = connect(wire.options()).await;
        let luck = Luck::new(1, Arc::<Shared>::default(), rng.fork());
        let signals = Watched {
            signals: aws.signals,
            world: world.clone(),
            number: luck.number,
        };
        let process = world.start_over(luck, Scope::Files, Arc::new(aws.dns), Arc::new(signals));
        Self {
            world,
            cloudwatch,
            wire,
            alarms,
            process,
        }
    }

    fn turn(&self, name: &str, state: AlarmState) {
        let now = self.world.now();
        locked(&self.cloudwatch).set_state(REGION, name, state, now);
        self.world.turn(name, state);
    }

    /// Makes one disturbance.
    async fn disturb(&self, rng: &mut Rng) {
        match rng.u8(0..8) {
            0..=2 => self.wire.tamper_one_of([1, 2, 4, 8, 32][rng.usize(0..5)]),
            3 => {
                let alarm = &self.alarms[rng.usize(0..self.alarms.len())];
                self.turn(
                    alarm,
                    [AlarmState::Alarm, AlarmState::InsufficientData][rng.usize(0..2)],
                );
            }
            4 => {
                for alarm in &self.alarms {
                    self.turn(alarm, AlarmState::Ok);
                }
            }
            5 | 6 => self.person(rng).await,
            _ => {}
        }
        // The controller looks again, even if nothing seems to have changed.
        for _ in 0..rng.u8(1..6) {
            self.world.moved();
            tokio::time::sleep(Duration::from_secs(rng.u64(1..40))).await;
        }
        self.wire.tamper_one_of(0);
    }

    /// A person gives a command, as the command line would.
    async fn person(&self, rng: &mut Rng) {
        let names: Vec<CutoverName> = {
            let witness = locked(&self.world.witness);
            witness.checkers().map(|(name, _)| name.clone()).collect()
        };
        let Some(state) = self.world.state(&names[rng.usize(0..names.len())]) else {
            return;
        };
        let event = match rng.u8(0..6) {
            0 | 1 => commands::approve(&state, None, "go on"),
            2 => commands::retry(&state, None),
            3 => commands::adopt_drift(&state, "as it is"),
            4 => commands::skip_bake(&state, "enough"),
            _ => commands::resume(&state, None),
        };
        if let Ok(event) = event {
            self.world.ask(&state, event).await;
        }
    }

    /// Fails if an invariant is broken or the controller has ended.
    async fn broken(self) -> Result<(), String> {
        self.world.sync();
        let (broken, story) = {
            let witness = locked(&self.world.witness);
            (witness.broken.join("\n"), witness.story(60))
        };
        if !broken.is_empty() {
            return Err(format!("{story}\n-- broken\n{broken}"));
        }
        if !self.process.task.is_finished() {
            self.process.task.abort();
            return Ok(());
        }
        match self.process.task.await {
            Ok(None | Some(Ok(_))) => Ok(()),
            Ok(Some(Err(error))) => Err(format!("{story}\n-- the controller ended: {error}")),
            Err(error) => Err(format!("{story}\n-- the controller panicked: {error}")),
        }
    }
}

/// Plays with a controller, for days of virtual time.
pub(super) fn controller(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    plans::paused().block_on(async {
        let tampered = TamperedWorld::new(rng).await;
        for _ in 0..rng.u8(2..10) {
            let quiet = mutate::magnitude(rng, QUIET_SECS_MAX);
            let quiet = u64::try_from(quiet).expect("days");
            tokio::time::sleep(Duration::from_secs(quiet)).await;
            tampered.disturb(rng).await;
            if !locked(&tampered.world.witness).broken.is_empty()
                || tampered.process.task.is_finished()
            {
                break;
            }
        }
        play.input = tampered.wire.log();
        tampered.broken().await
    })
}
