//! One simulated Route 53, alarms, a journal and people, in virtual time; and the processes that live in it.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use cutover::controller::{Controller, ControllerError, Ending, Outside, Scope, Settings};
use cutover::engine::event::Event;
use cutover::engine::fleet;
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::plan::PlanSource;
use cutover::engine::record::{GroupName, RecordSet};
use cutover::engine::state::State;
use cutover::engine::units::{ControllerId, CutoverName, DnsName, Weight, ZoneId};
use cutover::journal::MemoryJournal;
use cutover::ports::{Append, BreakGlass, ChangeAction, Clock, Journal, NewEntry, Page, PlanFiles};
use cutover::sim::beside::{SimHooks, SimJobs};
use cutover::sim::dns::SimDns;
use cutover::sim::route53::{
    Change, ChangeBatch, NewZone, Route53, Settings as Rules, StoredRecord,
};
use cutover::sim::world::SimClock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::clock::OwnClock;
use super::doors::{AlarmDoor, Files, Glass, JournalDoor, People, Wire};
use super::luck::{Luck, Shared};
use super::plans::reading;
use super::witness::Witness;

/// How often a controller looks at everything.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Who writes what no controller of this version would.
const ANOTHER_PROGRAM: &str = "another program";

/// So many plans are a fleet.
const FLEET_MIN: usize = 8;

/// An alarm as `CloudWatch` has it.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) state: AlarmState,
    pub(crate) since: Timestamp,
    pub(crate) evaluation: Option<String>,
    /// Somebody has deleted it.
    pub(crate) gone: bool,
    /// When it entered ALARM, ever.
    pub(crate) entered: Vec<Timestamp>,
}

/// Everything outside the controllers.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: SimClock,
    pub(crate) route53: Arc<Mutex<Route53>>,
    pub(crate) alarms: Arc<Mutex<BTreeMap<String, Alarm>>>,
    pub(crate) journal: MemoryJournal,
    pub(crate) zones: BTreeMap<String, ZoneId>,
    pub(crate) files: Files,
    pub(crate) pages: Arc<Mutex<Vec<Page>>>,
    pub(crate) pages_fail: Arc<Mutex<bool>>,
    pub(crate) glass: Glass,
    pub(crate) witness: Arc<Mutex<Witness>>,
    /// Whether the plans are many.
    is_fleet: bool,
    /// Rises with everything that a controller might see.
    pub(crate) version: Arc<Version>,
}

/// A number that rises, for those who wait for it; they are woken in the order in which they came, every time.
#[derive(Default)]
pub(crate) struct Version {
    number: AtomicU64,
    rises: Notify,
}

impl Version {
    pub(crate) fn now(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn rise(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
        self.rises.notify_waiters();
    }

    /// Returns when it is another than `seen`.
    pub(crate) async fn moves_on(&self, seen: u64) {
        loop {
            let mut rises = pin!(self.rises.notified());
            rises.as_mut().enable();
            if self.now() != seen {
                return;
            }
            rises.await;
        }
    }
}

/// One controller.
pub(crate) struct Process {
    pub(crate) number: u32,
    /// Whether it looks after all, and is not only there for a rollback.
    pub(crate) watches: bool,
    pub(crate) luck: Luck,
    pub(crate) task: JoinHandle<Option<Result<Ending, ControllerError>>>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl World {
    /// A healthy world for these plans, everything at 100/0.
    pub(crate) fn new(sources: &[PlanSource]) -> Self {
        let start: Timestamp = "2026-03-02T01:00:00Z".parse().expect("a timestamp");
        let mut world = Self {
            clock: SimClock::starting_at(start),
            route53: Arc::new(Mutex::new(Route53::new(Rules::default()))),
            alarms: Arc::default(),
            journal: MemoryJournal::new(),
            zones: BTreeMap::new(),
            files: Files::default(),
            pages: Arc::default(),
            pages_fail: Arc::default(),
            glass: Glass::default(),
            witness: Arc::default(),
            is_fleet: sources.len() >= FLEET_MIN,
            version: Arc::default(),
        };
        for source in sources {
            world.add(source, start);
        }
        world.sync();
        world
    }

    fn add(&mut self, source: &PlanSource, start: Timestamp) {
        let plan = &source.plan;
        for (index, group) in plan.records.iter().enumerate() {
            let mut route53 = locked(&self.route53);
            let zone = self
                .zones
                .entry(group.zone.zone.clone())
                .or_insert_with(|| {
                    let new = NewZone {
                        name: group.zone.zone.clone(),
                        caller_reference: group.zone.zone.clone(),
                        ..NewZone::default()
                    };
                    route53.create_zone(new, start).expect("a zone").0
                });
            let members = [("eks", 100), ("ecs", 0)];
            let changes = members.map(|(identifier, weight)| Change {
                action: ChangeAction::Create,
                record: record(&group.name, identifier, weight),
            });
            let batch = ChangeBatch {
                comment: None,
                changes: changes.to_vec(),
            };
            let made = route53.foreign_change(zone, &batch, start);
            made.expect("records");
            locked(&self.witness).owns(&plan.name, index, zone, &group.name);
        }
        for gate in plan.alarms() {
            let green = Alarm {
                state: AlarmState::Ok,
                since: start - SignedDuration::from_hours(24),
                evaluation: None,
                gone: false,
                entered: Vec::new(),
            };
            locked(&self.alarms).insert(gate.id.name.clone(), green);
        }
        locked(&self.files.plans).insert(source.path.clone(), reading(source));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Something changed that a controller might see.
    pub(crate) fn moved(&self) {
        self.version.rise();
    }

    /// Shows the witness what happened since the last time.
    pub(crate) fn sync(&self) {
        let now = self.now();
        let mut witness = locked(&self.witness);
        let before = witness.seen();
        witness.see_writes(&locked(&self.route53));
        witness.see_entries(&self.journal, now);
        let (after, fleet) = (witness.seen(), self.is_fleet);
        // Entries wake the controllers anyway; in a fleet there are too many to look at everything for each of them.
        if after.0 != before.0 || (after != before && !fleet) {
            drop(witness);
            self.moved();
        }
    }

    /// Somebody else gives a group other weights, right after it was written.
    pub(crate) fn overtake(&self, zone: &ZoneId, written: &RecordSet, (old, new): (u8, u8)) {
        let now = self.now();
        let group = GroupName {
            name: DnsName::new(&written.name),
            record_type: written.record_type.clone(),
        };
        let mut route53 = locked(&self.route53);
        for (identifier, weight) in [("eks", old), ("ecs", new)] {
            // Route 53 may refuse, and then nothing happens.
            drop(route53.foreign_weight(zone, &group, identifier, Weight(weight), now));
        }
        drop(route53);
        self.sync();
    }

    /// Starts a controller.
    pub(crate) fn start(
        &self,
        number: u32,
        scope: Scope,
        shared: &Arc<Shared>,
        rng: fastrand::Rng,
    ) -> Process {
        let luck = Luck::new(number, Arc::clone(shared), rng);
        let clock: Arc<dyn Clock> = Arc::new(OwnClock::new(self.clone(), luck.clone()));
        let dns = SimDns::new(Arc::clone(&self.route53), Arc::new(self.clock));
        let hook = luck.clone();
        dns.with_faults(|faults| {
            faults.set_hook(Box::new(move |operation, _| hook.route53(operation)));
        });
        locked(&self.witness).born(number, self.now());
        let outside = Outside {
            clock,
            dns: Arc::new(Wire {
                dns: dns.clone(),
                world: self.clone(),
                luck: luck.clone(),
            }),
            signals: Arc::new(AlarmDoor {
                world: self.clone(),
                luck: luck.clone(),
            }),
            journal: Arc::new(JournalDoor {
                world: self.clone(),
                luck: luck.clone(),
            }),
            notifier: Arc::new(People {
                pages: Arc::clone(&self.pages),
                fail: Arc::clone(&self.pages_fail),
            }),
            files: (scope == Scope::Files)
                .then(|| -> Arc<dyn PlanFiles> { Arc::new(self.files.clone()) }),
            break_glass: (scope == Scope::Files)
                .then(|| -> Arc<dyn BreakGlass> { Arc::new(self.glass.clone()) }),
            narrate: Arc::new(|_| String::new()),
            hooks: Arc::new(SimHooks),
            jobs: Arc::new(SimJobs::default()),
        };
        let settings = Settings {
            me: ControllerId::from(format!("ctl-{number}").as_str()),
            host: "host".to_owned(),
            version: "0".to_owned(),
            interval: INTERVAL,
            baseline_as_is: None,
            calls_nothing: false,
            scope,
        };
        let watches = settings.scope == Scope::Files;
        let mut controller = Controller::new(outside, settings);
        let life = async move { controller.run(std::future::pending()).await };
        let task = tokio::spawn(Mortal {
            life: Some(Box::pin(life)),
            luck: luck.clone(),
        });
        luck.dies_with(task.abort_handle());
        self.moved();
        Process {
            number,
            watches,
            luck,
            task,
        }
    }

    /// A cutover's state by the journal.
    pub(crate) fn state(&self, name: &CutoverName) -> Option<State> {
        locked(&self.witness).state(name).cloned()
    }

    /// A person appends an event; nothing if somebody else was faster.
    pub(crate) async fn ask(&self, state: &State, event: Event) {
        self.append(&state.name, state.attempt, state.seq, event)
            .await;
    }

    /// A person speaks to the whole fleet; nothing if somebody else was faster.
    pub(crate) async fn tell_fleet(&self, event: Event) {
        let seq = locked(&self.witness).fleet().seq;
        self.append(&fleet::stream(), 1, seq, event).await;
    }

    /// Another program writes to a stream what this one cannot read or follow.
    pub(crate) async fn damage(&self, state: &State, event: Event) {
        let (name, actor) = (&state.name, ANOTHER_PROGRAM);
        self.append_as(actor, name, (state.attempt, state.seq), event)
            .await;
    }

    async fn append(&self, stream: &CutoverName, attempt: u32, seq: u64, event: Event) {
        self.append_as("ada@desk", stream, (attempt, seq), event)
            .await;
    }

    async fn append_as(
        &self,
        actor: &str,
        stream: &CutoverName,
        (attempt, seq): (u32, u64),
        event: Event,
    ) {
        let entry = NewEntry {
            cutover: stream.clone(),
            attempt,
            at: self.now(),
            actor: actor.to_owned(),
            event,
        };
        let append = Append {
            expect: vec![(stream.clone(), seq)],
            entries: vec![entry],
            append_id: format!("{actor} {stream} {seq}"),
        };
        let answer = self.journal.append(append).await;
        drop(answer);
        self.sync();
    }

    /// Changes an alarm.
    pub(crate) fn turn(&self, name: &str, state: AlarmState) {
        let now = self.now();
        if let Some(alarm) = locked(&self.alarms).get_mut(name)
            && alarm.state != state
        {
            (alarm.state, alarm.since) = (state, now);
            if state == AlarmState::Alarm {
                alarm.entered.push(now);
            }
        }
        self.moved();
    }

    /// Changes what is read of a plan file.
    pub(crate) fn file(&self, path: &str, reading: FileReading) {
        locked(&self.files.plans).insert(path.to_owned(), reading);
        self.moved();
    }
}

/// A life that may end between any two of its steps.
struct Mortal<F> {
    life: Option<Pin<Box<F>>>,
    luck: Luck,
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.luck.dies_now() {
            self.life = None;
        }
        match &mut self.life {
            Some(life) => life.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// A member of a group: an alias for addresses, a value for everything else.
pub(crate) fn record(group: &GroupName, identifier: &str, weight: u8) -> StoredRecord {
    let (name, kind) = (group.name.as_str(), group.record_type.as_str());
    let target = format!("{identifier}.us-east-1.elb.amazonaws.com.");
    if kind == "CNAME" {
        StoredRecord::weighted(name, kind, identifier, weight, &target)
    } else {
        StoredRecord::weighted_alias(name, kind, identifier, weight, &target)
    }
}
