//! A world around real controllers: one simulated Route 53 and `CloudWatch`, one journal, virtual time; every controller
//! has doors of its own, which may fail on their own.
//!
//! Every entry and every weight that is written is shown to the checkers of the invariants in the order in which they
//! happened.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cutover::controller::{Controller, ControllerError, Ending, Outside, Scope, Settings};
use cutover::engine::event::{Envelope, Event};
use cutover::engine::fleet::is_fleet;
use cutover::engine::ledger::{Ledger, Took};
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::plan::{
    Account, AwsSettings, Gates, Group, HoldOrRevert, Plan, PlanSource, Step, ZoneRef,
};
use cutover::engine::record::GroupName;
use cutover::engine::state::State;
use cutover::engine::units::{ControllerId, CutoverName, DnsName, Share, WeightPair, ZoneId};
use cutover::journal::MemoryJournal;
use cutover::ports::{Append, ChangeAction, Clock, Journal, NewEntry, Position};
use cutover::sim::cloudwatch::CloudWatch;
use cutover::sim::dns::SimDns;
use cutover::sim::route53::{Change, ChangeBatch, NewZone, Route53, Route53Settings, StoredRecord};
use cutover::sim::signals::SimSignals;
use cutover::sim::world::SimClock;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use super::beside::{Side, WiredHooks, WiredJobs};
use super::outside::{Delays, Files, Glass, Knobs, Page, People, Told, WatchedJournal, Wire};
use cutover_testbed::check::{Checker, FleetChecker};
use cutover_testbed::plan::gate;

/// The region of all alarms.
pub(crate) const REGION: &str = "us-east-1";

/// More journal calls than this without any time passing is a hot loop.
const CALLS_AT_ONCE_MAX: u64 = 60_000;

/// A plan in the making.
pub(crate) struct PlanOf<'a> {
    pub(crate) name: &'a str,
    /// How many groups it has in each zone, by the zone's number.
    pub(crate) zones: &'a [(usize, usize)],
    pub(crate) record_type: &'a str,
    /// Percent and bake in seconds.
    pub(crate) steps: &'a [(u8, i64)],
    pub(crate) alarms: &'a [String],
    pub(crate) fallbacks: &'a [String],
}

/// A validated plan and where it lies.
pub(crate) fn plan(of: &PlanOf<'_>) -> PlanSource {
    let mut records = Vec::new();
    for (zone, count) in of.zones {
        for index in 0..*count {
            records.push(Group {
                zone: ZoneRef {
                    zone: format!("zone{zone}.example"),
                    private: None,
                },
                name: GroupName {
                    name: DnsName::new(&format!("{}-{index}.zone{zone}.example", of.name)),
                    record_type: of.record_type.to_owned(),
                },
                old: "eks".to_owned(),
                new: "ecs".to_owned(),
                account: None,
            });
        }
    }
    let step = |(percent, bake): &(u8, i64)| Step {
        share: Share::percent(*percent),
        pair: WeightPair::new(100 - percent, *percent),
        bake: SignedDuration::from_secs(*bake),
        approval: false,
        approval_timeout: None,
    };
    let gates = |names: &[String]| names.iter().map(|name| gate(name)).collect();
    let plan = Plan {
        labels: BTreeMap::new(),
        after: Vec::new(),
        name: CutoverName::from(of.name),
        description: None,
        aws: AwsSettings::default(),
        records,
        settle: Some(SignedDuration::from_secs(10)),
        steps: of.steps.iter().map(step).collect(),
        gates: Gates {
            alarms: gates(of.alarms),
            fallback_alarms: gates(of.fallbacks),
            unknown_for: SignedDuration::from_mins(5),
            on_unknown: HoldOrRevert::Hold,
            both_red: HoldOrRevert::Hold,
            measures: cutover::engine::evidence::plan::Measures::default(),
        },
        windows: None,
        notify: None,
        hooks: Vec::new(),
        jobs: None,
    };
    source(plan)
}

/// A plan's source; the digest follows the plan.
pub(crate) fn source(plan: Plan) -> PlanSource {
    PlanSource {
        path: format!("/plans/{}.yaml", plan.name),
        digest: serde_json::to_string(&plan).expect("a plan is JSON"),
        text: String::new(),
        plan,
    }
}

/// Everything outside the controllers.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: SimClock,
    pub(crate) route53: Arc<Mutex<Route53>>,
    pub(crate) cloudwatch: Arc<Mutex<CloudWatch>>,
    pub(crate) journal: MemoryJournal,
    pub(crate) zones: BTreeMap<String, ZoneId>,
    pub(crate) files: Files,
    pub(crate) pages: Arc<Mutex<Vec<Page>>>,
    pub(crate) pages_fail: Arc<Mutex<bool>>,
    pub(crate) channels: Arc<Mutex<Told>>,
    pub(crate) glass: Glass,
    pub(crate) witness: Arc<Mutex<Witness>>,
    pub(crate) interval: Duration,
    pub(crate) knobs: Arc<Mutex<Knobs>>,
    pub(crate) side: Side,
}

/// Sees everything, in order.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) checkers: BTreeMap<CutoverName, Checker>,
    pub(crate) fleet: FleetChecker,
    ledger: Ledger,
    pub(crate) broken: Vec<String>,
    pub(crate) entries: Vec<Envelope>,
    owners: BTreeMap<(ZoneId, GroupName), (CutoverName, usize)>,
    writes: usize,
    calls_at: Option<Timestamp>,
    calls: u64,
}

/// One controller and its doors.
pub(crate) struct Process {
    pub(crate) dns: SimDns,
    pub(crate) signals: SimSignals,
    pub(crate) delays: Delays,
    pub(crate) task: JoinHandle<Result<Ending, ControllerError>>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked with the lock")
}

impl World {
    /// A healthy world for these plans, everything at 100/0.
    pub(crate) fn new(sources: &[PlanSource]) -> Self {
        let start: Timestamp = "2026-03-02T01:00:00Z".parse().expect("a timestamp");
        let clock = SimClock::starting_at(start);
        let mut world = Self {
            clock,
            route53: Arc::new(Mutex::new(Route53::new(Route53Settings::default()))),
            cloudwatch: Arc::new(Mutex::new(CloudWatch::new())),
            journal: MemoryJournal::new(),
            zones: BTreeMap::new(),
            files: Files::default(),
            pages: Arc::default(),
            pages_fail: Arc::default(),
            channels: Arc::default(),
            glass: Glass::default(),
            witness: Arc::default(),
            interval: Duration::from_secs(10),
            knobs: Arc::default(),
            side: Side::of(sources),
        };
        for source in sources {
            world.add(source, start);
        }
        world.sync();
        world
    }

    fn add(&mut self, source: &PlanSource, start: Timestamp) {
        let plan = &source.plan;
        let mut route53 = locked(&self.route53);
        let mut witness = locked(&self.witness);
        for (index, group) in plan.records.iter().enumerate() {
            let zone = self
                .zones
                .entry(group.zone.zone.clone())
                .or_insert_with(|| {
                    let new = NewZone {
                        name: group.zone.zone.clone(),
                        caller_reference: group.zone.zone.clone(),
                        account: plan.account_of_group(index).clone(),
                        ..NewZone::default()
                    };
                    route53.create_zone(new, start).expect("a zone").0
                });
            let record = |identifier: &str, weight: u8| Change {
                action: ChangeAction::Create,
                record: record(&group.name, identifier, weight),
            };
            let batch = ChangeBatch {
                comment: None,
                changes: vec![record("eks", 100), record("ecs", 0)],
            };
            route53
                .foreign_change(zone, &batch, start)
                .expect("records");
            let key = (zone.clone(), group.name.clone());
            witness.owners.insert(key, (plan.name.clone(), index));
        }
        let mut checker = Checker::new();
        self.side.show(plan, &mut checker);
        witness.checkers.insert(plan.name.clone(), checker);
        for gate in plan.alarms() {
            let long_ago = start - SignedDuration::from_hours(24);
            let mut cloudwatch = locked(&self.cloudwatch);
            cloudwatch.set_state(REGION, &gate.id.name, AlarmState::Ok, long_ago);
        }
        let reading = FileReading::Plan(Arc::new(source.clone()));
        locked(&self.files.0).insert(source.path.clone(), reading);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Shows the witness what happened since the last time.
    pub(crate) fn sync(&self) {
        let journal = self.journal.clone();
        let mut witness = locked(&self.witness);
        witness.see_writes(&locked(&self.route53));
        witness.see_entries(&journal);
    }

    /// A process that has not started yet.
    pub(crate) fn controller(&self, id: &str) -> (Controller, SimDns, SimSignals, Delays) {
        self.controller_with(id, Scope::Files)
    }

    pub(crate) fn controller_with(
        &self,
        id: &str,
        scope: Scope,
    ) -> (Controller, SimDns, SimSignals, Delays) {
        let clock: Arc<dyn Clock> = Arc::new(self.clock);
        let dns = SimDns::new(Arc::clone(&self.route53), Arc::clone(&clock));
        let signals = SimSignals::new(Arc::clone(&self.cloudwatch), Arc::clone(&clock), REGION);
        let delays = Delays::default();
        let outside = Outside {
            clock,
            dns: Arc::new(Wire(dns.clone(), Arc::clone(&self.knobs))),
            signals: Arc::new(signals.clone()),
            journal: Arc::new(WatchedJournal {
                world: self.clone(),
                delays: delays.clone(),
            }),
            notifier: Arc::new(People {
                pages: Arc::clone(&self.pages),
                fail: Arc::clone(&self.pages_fail),
                channels: Arc::clone(&self.channels),
            }),
            files: Some(Arc::new(self.files.clone())),
            break_glass: Some(Arc::new(self.glass.clone())),
            jobs: Arc::new(WiredJobs {
                world: self.clone(),
                faults: Arc::clone(&self.side.faults),
            }),
            hooks: Arc::new(WiredHooks {
                world: self.clone(),
            }),
            narrate: Arc::new(|entry| entry.event.label().to_owned()),
        };
        let settings = Settings {
            me: ControllerId::from(id),
            host: "host".to_owned(),
            version: "0".to_owned(),
            interval: self.interval,
            baseline_as_is: None,
            stays: false,
            calls_nothing: false,
            scope,
        };
        (Controller::new(outside, settings), dns, signals, delays)
    }

    /// Starts a controller.
    pub(crate) fn start(&self, id: &str) -> Process {
        let (mut controller, dns, signals, delays) = self.controller(id);
        let task = tokio::spawn(async move { controller.run(std::future::pending()).await });
        Process {
            dns,
            signals,
            delays,
            task,
        }
    }

    /// A cutover's state by the journal.
    pub(crate) fn state(&self, name: &str) -> Option<State> {
        let witness = locked(&self.witness);
        let checker = witness.checkers.get(&CutoverName::from(name))?;
        checker.state().cloned()
    }

    /// A person appends an event; false if somebody else was faster.
    pub(crate) async fn ask(&self, name: &str, event: Event) -> bool {
        self.append_as("ada@desk", name, event).await
    }

    /// Somebody appends an event; false if somebody else was faster.
    pub(crate) async fn append_as(&self, actor: &str, name: &str, event: Event) -> bool {
        let Some(state) = self.state(name) else {
            return false;
        };
        let entry = NewEntry {
            cutover: state.name.clone(),
            attempt: state.attempt,
            at: self.now(),
            actor: actor.to_owned(),
            event,
        };
        let append = Append {
            expect: vec![(state.name.clone(), state.seq)],
            entries: vec![entry],
            append_id: format!("{actor} {name} {}", state.seq),
        };
        let done = self.journal.append(append).await.is_ok();
        self.sync();
        done
    }

    /// Turns an alarm.
    pub(crate) fn turn(&self, alarm: &str, state: AlarmState) {
        locked(&self.cloudwatch).set_state(REGION, alarm, state, self.now());
    }

    /// The weights of a group as Route 53 has them.
    pub(crate) fn pair(&self, zone: &str, group: &GroupName) -> WeightPair {
        let route53 = locked(&self.route53);
        let zone = route53
            .zone(&Account::default(), &self.zones[zone])
            .expect("a zone");
        let weight = |identifier: &str| {
            let members = zone.group(group);
            let member = members
                .iter()
                .find(|member| member.set_identifier.as_deref() == Some(identifier));
            member
                .and_then(|member| member.weight())
                .expect("a weighted member")
        };
        WeightPair {
            old: weight("eks"),
            new: weight("ecs"),
        }
    }

    /// Somebody puts the groups of all these plans back to 100 and 0, in one batch a plan.
    pub(crate) fn put_back(&self, sources: &[PlanSource]) {
        let mut route53 = locked(&self.route53);
        for group in sources.iter().flat_map(|source| &source.plan.records) {
            let back = |(identifier, weight)| Change {
                action: ChangeAction::Upsert,
                record: record(&group.name, identifier, weight),
            };
            let batch = ChangeBatch {
                comment: None,
                changes: [("eks", 100), ("ecs", 0)].map(back).to_vec(),
            };
            let zone = &self.zones[&group.zone.zone];
            let changed = route53.foreign_change(zone, &batch, self.now());
            changed.expect("records");
        }
    }

    /// The entries of one cutover with this label.
    pub(crate) fn entries(&self, name: &str, label: &str) -> Vec<Envelope> {
        let witness = locked(&self.witness);
        let fits =
            |entry: &&Envelope| entry.cutover.as_str() == name && entry.event.label() == label;
        witness.entries.iter().filter(fits).cloned().collect()
    }

    /// Sleeps until `done` holds; false if it does not within that time.
    pub(crate) async fn until(&self, secs: u64, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..secs * 10 {
            if done(self) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        done(self)
    }

    /// Fails with the story if anything was broken.
    pub(crate) fn assert_unbroken(&self) {
        self.sync();
        let witness = locked(&self.witness);
        assert!(
            witness.broken.is_empty(),
            "{:#?}\n{}",
            witness.broken,
            witness.story(60)
        );
    }
}

impl Witness {
    fn see_writes(&mut self, route53: &Route53) {
        for write in &route53.weight_writes()[self.writes..] {
            let key = (write.zone.clone(), write.group.clone());
            let Some((name, index)) = self.owners.get(&key) else {
                continue;
            };
            let checker = self.checkers.get_mut(name).expect("a checker a cutover");
            match write.pair("eks", "ecs") {
                Some(pair) if write.foreign => checker.changed_by_others(*index, pair),
                Some(pair) => {
                    for violation in checker.applied(*index, pair) {
                        self.broken
                            .push(format!("{} {name}: {violation}", write.at));
                    }
                }
                None => {}
            }
        }
        self.writes = route53.weight_writes().len();
    }

    fn see_entries(&mut self, journal: &MemoryJournal) {
        let read = u64::try_from(self.entries.len()).expect("a short journal");
        let mut reading = pin!(journal.read_after(Position(read)));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok((entries, _))) = reading.as_mut().poll(&mut context) else {
            panic!("the journal in memory answers at once");
        };
        for entry in entries {
            for violation in self.fleet.entry(&entry) {
                self.broken.push(format!("the fleet: {violation}"));
            }
            if is_fleet(&entry.cutover) {
                self.entries.push(entry);
                continue;
            }
            if matches!(self.ledger.take(&entry), Took::Damages | Took::Behind) {
                self.entries.push(entry);
                continue;
            }
            let checker = self.checkers.entry(entry.cutover.clone()).or_default();
            for violation in checker.entry(&entry) {
                let message = format!("{} #{}: {violation}", entry.cutover, entry.seq);
                self.broken.push(message);
            }
            self.entries.push(entry);
        }
    }

    /// The last entries, for failures.
    pub(crate) fn story(&self, last: usize) -> String {
        let line = |entry: &Envelope| {
            let event = serde_json::to_string(&entry.event).expect("an event is JSON");
            let short: String = event.chars().take(230).collect();
            let Envelope {
                at,
                cutover,
                seq,
                actor,
                ..
            } = entry;
            format!("{at} {cutover} #{seq} {actor} {short}")
        };
        let from = self.entries.len().saturating_sub(last);
        let lines: Vec<String> = self.entries[from..].iter().map(line).collect();
        lines.join("\n")
    }

    pub(crate) fn count_call(&mut self, now: Timestamp) {
        if self.calls_at != Some(now) {
            (self.calls_at, self.calls) = (Some(now), 0);
        }
        self.calls += 1;
        assert!(
            self.calls < CALLS_AT_ONCE_MAX,
            "a hot loop at {now}\n{}",
            self.story(40)
        );
    }
}

/// The records of a group: aliases for addresses, values for everything else.
fn record(group: &GroupName, identifier: &str, weight: u8) -> StoredRecord {
    let (name, kind) = (group.name.as_str(), group.record_type.as_str());
    let target = format!("{identifier}.{REGION}.elb.amazonaws.com.");
    if kind == "CNAME" {
        StoredRecord::weighted(name, kind, identifier, weight, &target)
    } else {
        StoredRecord::weighted_alias(name, kind, identifier, weight, &target)
    }
}
