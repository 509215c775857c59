//! A simulated Route 53, alarms, a journal and people, in virtual time; and the processes that run there.

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
use cutover::journal::{MemoryJournal, SlotJournal};
use cutover::ports::{
    Append, BreakGlass, ChangeAction, Clock, Delivery, Dns, Journal, NewEntry, PlanFiles, Signals,
};
use cutover::sim::beside::SimJobs;
use cutover::sim::dns::SimDns;
use cutover::sim::route53::{Change, ChangeBatch, NewZone, Route53, Route53Settings, StoredRecord};
use cutover::sim::slots::MemorySlots;
use cutover::sim::world::SimClock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::clock::OwnClock;
use super::luck::{Luck, Shared};
use super::plans::reading;
use super::ports::{FaultyDns, FaultyJournal, FaultySignals, Files, Glass, NoHooks, People};
use super::slots::{self, WatchedSlotJournal};
use super::witness::Witness;

/// The interval of a controller's rounds.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// The actor of entries that no controller of this version would write.
const ANOTHER_PROGRAM: &str = "another program";

/// The fewest plans of a fleet.
const FLEET_MIN: usize = 8;

/// An alarm in `CloudWatch`.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) state: AlarmState,
    pub(crate) since: Timestamp,
    pub(crate) evaluation: Option<String>,
    /// True if it was deleted.
    pub(crate) gone: bool,
    /// All times at which it entered ALARM.
    pub(crate) entered: Vec<Timestamp>,
}

/// Where the journal of a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalKind {
    /// In memory, with faults at each of its calls.
    Memory,
    /// In a shared table, with faults at each call to the table.
    Slots,
}

/// Everything outside the controllers.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: SimClock,
    pub(crate) route53: Arc<Mutex<Route53>>,
    pub(crate) alarms: Arc<Mutex<BTreeMap<String, Alarm>>>,
    /// The journal without faults, as people and the witness use it.
    pub(crate) journal: Arc<dyn Journal>,
    /// The table that the journal is in; `None` if it is in memory.
    table: Option<MemorySlots>,
    /// Rises with each write to that table.
    pub(crate) appended: Arc<Version>,
    pub(crate) zones: BTreeMap<String, ZoneId>,
    pub(crate) files: Files,
    pub(crate) pages: Arc<Mutex<Vec<Delivery>>>,
    pub(crate) pages_fail: Arc<Mutex<bool>>,
    pub(crate) glass: Glass,
    pub(crate) witness: Arc<Mutex<Witness>>,
    /// True if there are many plans.
    is_fleet: bool,
    /// Rises with each change that a controller might see.
    pub(crate) version: Arc<Version>,
}

/// A number that rises. Those who wait for it are woken in the order in which they came.
#[derive(Default)]
pub(crate) struct Version {
    number: AtomicU64,
    rises: Notify,
}

impl Version {
    pub(crate) fn now(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(crate) fn rise(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
        self.rises.notify_waiters();
    }

    /// Returns when it is no longer `seen`.
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
    /// True if it watches the plan files, false if it only performs a rollback.
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
    /// A healthy world for these plans, everything at 100/0, with a journal of this kind.
    pub(crate) fn new(sources: &[PlanSource], kind: JournalKind) -> Self {
        let (journal, table): (Arc<dyn Journal>, Option<MemorySlots>) = match kind {
            JournalKind::Memory => (Arc::new(MemoryJournal::new()), None),
            JournalKind::Slots => {
                let table = MemorySlots::new();
                let slots = Arc::new(table.clone());
                let journal = SlotJournal::new(slots, slots::JOURNAL, "the table");
                (Arc::new(journal), Some(table))
            }
        };
        let start: Timestamp = "2026-03-02T01:00:00Z".parse().expect("a timestamp");
        let mut world = Self {
            clock: SimClock::starting_at(start),
            route53: Arc::new(Mutex::new(Route53::new(Route53Settings::default()))),
            alarms: Arc::default(),
            journal,
            table,
            appended: Arc::default(),
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

    /// Notes a change that a controller might see.
    pub(crate) fn moved(&self) {
        self.version.rise();
    }

    /// Shows the witness all writes and entries since the last call.
    pub(crate) fn sync(&self) {
        let now = self.now();
        let mut witness = locked(&self.witness);
        let before = witness.seen();
        witness.see_writes(&locked(&self.route53));
        witness.see_entries(self.journal.as_ref(), now);
        let (after, fleet) = (witness.seen(), self.is_fleet);
        // Entries wake the controllers anyway; in a fleet there are too many of them for a round each.
        if after.0 != before.0 || (after != before && !fleet) {
            drop(witness);
            self.moved();
        }
    }

    /// Another writer changes a group's weights right after it was written.
    pub(crate) fn overtake(&self, zone: &ZoneId, written: &RecordSet, (old, new): (u8, u8)) {
        let now = self.now();
        let group = GroupName {
            name: DnsName::new(&written.name),
            record_type: written.record_type.clone(),
        };
        let mut route53 = locked(&self.route53);
        for (identifier, weight) in [("eks", old), ("ecs", new)] {
            // Route 53 may refuse it; then nothing changes.
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
        let dns = SimDns::new(Arc::clone(&self.route53), Arc::new(self.clock));
        let hook = luck.clone();
        dns.with_faults(|faults| {
            faults.set_hook(Box::new(move |operation, _| hook.route53(operation)));
        });
        let signals = FaultySignals {
            world: self.clone(),
            luck: luck.clone(),
        };
        self.start_over(luck, scope, Arc::new(dns), Arc::new(signals))
    }

    /// The journal as a process sees it, with its faults.
    fn journal_of(&self, luck: &Luck) -> Arc<dyn Journal> {
        let (world, luck) = (self.clone(), luck.clone());
        match &self.table {
            Some(table) => Arc::new(WatchedSlotJournal::new(table.clone(), world, luck)),
            None => Arc::new(FaultyJournal { world, luck }),
        }
    }

    /// Starts a controller with other ports to Route 53 and the alarms.
    pub(crate) fn start_over(
        &self,
        luck: Luck,
        scope: Scope,
        dns: Arc<dyn Dns>,
        signals: Arc<dyn Signals>,
    ) -> Process {
        let number = luck.number;
        locked(&self.witness).born(number, self.now());
        let mut files: Option<Arc<dyn PlanFiles>> = None;
        let mut break_glass: Option<Arc<dyn BreakGlass>> = None;
        if scope == Scope::Files {
            files = Some(Arc::new(self.files.clone()));
            break_glass = Some(Arc::new(self.glass.clone()));
        }
        let outside = Outside {
            clock: Arc::new(OwnClock::new(self.clone(), luck.clone())),
            dns: Arc::new(FaultyDns {
                dns,
                world: self.clone(),
                luck: luck.clone(),
            }),
            signals,
            journal: self.journal_of(&luck),
            notifier: Arc::new(People {
                pages: Arc::clone(&self.pages),
                fail: Arc::clone(&self.pages_fail),
            }),
            files,
            break_glass,
            narrate: Arc::new(|_| String::new()),
            hooks: Arc::new(NoHooks),
            jobs: Arc::new(SimJobs::default()),
        };
        let settings = Settings {
            me: ControllerId::from(format!("ctl-{number}").as_str()),
            host: "host".to_owned(),
            version: "0".to_owned(),
            interval: INTERVAL,
            baseline_as_is: None,
            stays: false,
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

    /// A person appends an event; nothing happens if another writer was faster.
    pub(crate) async fn ask(&self, state: &State, event: Event) {
        self.append(&state.name, state.attempt, state.seq, event)
            .await;
    }

    /// A person appends an event for the whole fleet; nothing happens if another writer was faster.
    pub(crate) async fn tell_fleet(&self, event: Event) {
        let seq = locked(&self.witness).fleet().seq;
        self.append(&fleet::stream(), 1, seq, event).await;
    }

    /// Another program appends an entry that this one cannot read or fold.
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
        self.appended.rise();
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

    /// Changes the reading of a plan file.
    pub(crate) fn file(&self, path: &str, reading: FileReading) {
        locked(&self.files.plans).insert(path.to_owned(), reading);
        self.moved();
    }
}

/// A future that may die between any two of its polls.
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
