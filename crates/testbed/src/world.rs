//! A small test world in memory around the engine: groups, alarms, changes, controllers and a journal, with faults.
//!
//! The world observes, decides, journals and performs as the controller does, but without any I/O. It checks the
//! invariants after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_engine::around::AroundReading;
use cutover_engine::decide::{self, Decision, How, Order, Part, Purpose};
use cutover_engine::event::{Envelope, Event, FailureClass, JOURNAL_VERSION, RevertMode};
use cutover_engine::evidence::wanted;
use cutover_engine::fleet::Fleet;
use cutover_engine::hold::HoldReason;
use cutover_engine::observation::{
    AlarmReading, AlarmState, ChangeReading, FileReading, GroupReading, HistoryReading, Observation,
};
use cutover_engine::plan::{Plan, PlanSource};
use cutover_engine::record::RecordSet;
use cutover_engine::state::{Phase, State};
use cutover_engine::units::{AlarmId, ChangeId, ControllerId, Weight, WeightPair, ZoneId};
use cutover_engine::verdict;
use cutover_engine::{check, fold};
use jiff::{SignedDuration, Timestamp};

use crate::beside::{Hands, JobsAndHooks};
use crate::check::Checker;
use crate::flows::Flows;
use crate::plan::{alarm, record, source};

/// The most decisions of one round. More would be a loop without end.
const DECISIONS_MAX: usize = 20;

/// The outcome of a write, which a test chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The write is applied, and the reply arrives.
    Accepted,
    /// The write is refused with this class and not applied.
    Refused(FailureClass),
    /// The write is applied, but the reply is lost.
    ReplyLost,
    /// The reply is lost, and the write is applied this many seconds later.
    Late(i64),
    /// The request is lost. The write is not applied.
    RequestLost,
}

/// One alarm of the test world.
#[derive(Debug, Clone)]
pub struct TestAlarm {
    /// The current state.
    pub state: AlarmState,
    /// The time of the last change of state.
    pub since: Timestamp,
    /// The times at which the alarm entered ALARM, oldest first.
    pub entered: Vec<Timestamp>,
}

/// One controller process of the test world.
#[derive(Debug, Clone)]
pub struct TestController {
    id: ControllerId,
    /// The orders that are not sent yet, each with the length of the journal when it was decided.
    wire: Vec<(Order, usize)>,
    /// The time of the last round in which all gates passed.
    passed_at: Option<Timestamp>,
    /// The sum of all changes of the wall clock until `passed_at`.
    passed_after: SignedDuration,
    /// The time of the last successful reading of groups.
    read_at: Option<Timestamp>,
    /// The process's errands: jobs and hooks.
    pub hands: Hands,
    /// The last decision of the last round.
    pub last: Decision,
}

/// A cutover, the services that it uses, and its controllers.
#[derive(Debug, Clone)]
pub struct World {
    pub now: Timestamp,
    /// The sum of all changes of the wall clock. During these changes no time passed.
    pub clock_set_by: SignedDuration,
    pub source: PlanSource,
    pub file: FileReading,
    pub groups: Vec<(ZoneId, Vec<RecordSet>)>,
    /// The records around the groups. Empty if they are not read.
    pub around: Vec<AroundReading>,
    pub alarms: BTreeMap<AlarmId, TestAlarm>,
    /// True if alarms cannot be read.
    pub cloudwatch_down: bool,
    /// True if histories of alarms cannot be read.
    pub histories_down: bool,
    /// The alarms that CloudWatch does not know.
    pub missing: BTreeSet<AlarmId>,
    /// The time since which groups cannot be read. `None` if they can be read.
    pub unreadable_since: Option<Timestamp>,
    /// The outcome of writes in zones that are not in `zone_fates`.
    pub fate: Fate,
    /// The outcome of writes, by zone.
    pub zone_fates: BTreeMap<ZoneId, Fate>,
    /// How long a change is PENDING.
    pub in_sync_after: SignedDuration,
    /// The accepted changes, each with the time of its acceptance.
    pub changes: BTreeMap<ChangeId, Timestamp>,
    /// The changes that Route 53 no longer knows.
    pub lost_changes: BTreeSet<ChangeId>,
    /// The traffic of both sides, for plans with metric gates.
    pub flows: Flows,
    /// Jobs and hooks, for plans that have some.
    pub aside: JobsAndHooks,
    /// AWS's clock minus the controllers'. `None` if it is not known.
    pub skew: Option<SignedDuration>,
    /// True if the controllers run with `--baseline-as-is`: a cutover may start although the new side has a share.
    pub as_is: bool,
    pub controllers: Vec<TestController>,
    pub journal: Vec<Envelope>,
    pub checker: Checker,
    /// The fleet. It has only this cutover, unless a test adds others.
    pub fleet: Fleet,
    /// The events that decisions appended to `@fleet`, oldest first.
    pub fleet_entries: Vec<Event>,
    /// The writes that are still on their way, each with the time of its arrival.
    late: Vec<(Timestamp, Part)>,
    /// The number of controllers that were started so far.
    processes: usize,
}

impl World {
    /// Creates a healthy world with the weights 100/0, one controller, and the plan accepted.
    pub fn new(plan: Plan) -> Self {
        let now: Timestamp = "2026-03-02T01:00:00Z".parse().expect("a timestamp");
        let mut groups = Vec::new();
        for group in &plan.records {
            let name = &group.name.name;
            let members = vec![record(name, "ecs", 0), record(name, "eks", 100)];
            groups.push((ZoneId::from(group.zone.zone.clone()), members));
        }
        let long_ago = now - SignedDuration::from_hours(48);
        let green = TestAlarm {
            state: AlarmState::Ok,
            since: long_ago,
            entered: Vec::new(),
        };
        let alarms = plan.alarms().map(|gate| (gate.id.clone(), green.clone()));
        let mut world = Self {
            now,
            clock_set_by: SignedDuration::ZERO,
            file: FileReading::Plan(Arc::new(source(plan.clone()))),
            alarms: alarms.collect(),
            source: source(plan),
            groups,
            around: Vec::new(),
            cloudwatch_down: false,
            histories_down: false,
            missing: BTreeSet::new(),
            unreadable_since: None,
            fate: Fate::Accepted,
            zone_fates: BTreeMap::new(),
            in_sync_after: SignedDuration::from_secs(30),
            changes: BTreeMap::new(),
            lost_changes: BTreeSet::new(),
            flows: Flows::default(),
            aside: JobsAndHooks {
                hooks_fail: Some(false),
                ..JobsAndHooks::default()
            },
            skew: Some(SignedDuration::ZERO),
            as_is: false,
            controllers: Vec::new(),
            journal: Vec::new(),
            checker: Checker::new(),
            fleet: Fleet::default(),
            fleet_entries: Vec::new(),
            late: Vec::new(),
            processes: 0,
        };
        for index in 0..world.groups.len() {
            world.checker.changed_by_others(index, world.pair(index));
        }
        world.find_jobs();
        world.start_controller();
        let source = Box::new(world.source.clone());
        world.append("controller", Event::PlanAccepted { source });
        world
    }

    /// Starts another controller process.
    pub fn start_controller(&mut self) {
        self.processes += 1;
        self.controllers.push(TestController {
            id: ControllerId::from(format!("ctl-{}", self.processes)),
            wire: Vec::new(),
            passed_at: None,
            passed_after: SignedDuration::ZERO,
            read_at: None,
            hands: Hands::default(),
            last: Decision::default(),
        });
    }

    /// Kills a controller and starts another in its place. Orders that were not sent and errands are lost.
    pub fn crash(&mut self, index: usize) {
        self.start_controller();
        let fresh = self.controllers.pop().expect("a controller was started");
        self.controllers[index] = fresh;
    }

    /// Returns the state of the cutover.
    pub fn state(&self) -> &State {
        self.checker.state().expect("the plan was accepted")
    }

    /// Returns the phase of the cutover.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Returns a group's weights.
    pub fn pair(&self, index: usize) -> WeightPair {
        WeightPair {
            old: self.weight(index, "eks"),
            new: self.weight(index, "ecs"),
        }
    }

    /// Returns a member's weight, or 0 if the member does not exist.
    fn weight(&self, index: usize, identifier: &str) -> Weight {
        let mut members = self.groups[index].1.iter();
        match members.find(|member| member.set_identifier == identifier) {
            Some(member) => member.weight,
            None => Weight(0),
        }
    }

    /// Changes a group's weights as another writer would.
    pub fn others_write(&mut self, index: usize, old: u8, new: u8) {
        self.set(index, WeightPair::new(old, new));
        self.checker.changed_by_others(index, self.pair(index));
    }

    /// Sets the state of an alarm now.
    pub fn turn(&mut self, name: &str, state: AlarmState) {
        let now = self.now;
        let alarm = self
            .alarms
            .get_mut(&alarm(name))
            .expect("an alarm of the plan");
        if alarm.state != state {
            (alarm.state, alarm.since) = (state, now);
            if state == AlarmState::Alarm {
                alarm.entered.push(now);
            }
        }
    }

    /// Appends an entry. Panics if it breaks an invariant, cannot be read back as JSON, or cannot be folded.
    pub fn append(&mut self, actor: &str, event: Event) {
        let seq = u64::try_from(self.journal.len()).expect("a short journal") + 1;
        let last_at = self.journal.last().map_or(self.now, |entry| entry.at);
        let entry = Envelope {
            cutover: self.source.plan.name.clone(),
            attempt: self.checker.state().map_or(1, |state| state.attempt),
            seq,
            at: self.now.max(last_at),
            actor: actor.to_owned(),
            version: JOURNAL_VERSION,
            event,
        };
        let text = serde_json::to_string(&entry).expect("an entry is JSON");
        let back: Envelope = serde_json::from_str(&text).expect("an entry can be read back");
        assert_eq!(back, entry, "an entry changes in the journal");
        let before = self.checker.state().map(|state| state.phase);
        let broken = self.checker.entry(&entry);
        if let Some(after) = self.checker.state() {
            self.fleet.note(&entry, before, after);
        }
        self.journal.push(entry);
        assert!(broken.is_empty(), "{broken:?}\n{}", self.story());
    }

    /// Appends the event of a person's command.
    pub fn ask(&mut self, event: Event) {
        self.append("ada@desk", event);
    }

    /// Appends a person's request for a rollback.
    pub fn roll_back(&mut self, mode: RevertMode) {
        self.ask(Event::RollbackRequested { mode, reason: None });
    }

    /// Appends a person's approval of a step as the plan has it.
    pub fn approve(&mut self, number: u16) {
        let step = self.state().plan().step(number).expect("a step").clone();
        self.ask(Event::StepApproved {
            step: number,
            pair: step.pair,
            bake_secs: step.bake.as_secs(),
            reason: "looks well".to_owned(),
            caller_arn: None,
        });
    }

    /// Returns the number of events with this label in the journal.
    pub fn count(&self, label: &str) -> usize {
        let entries = self.journal.iter();
        entries.filter(|entry| entry.event.label() == label).count()
    }

    /// Returns the holds of the first controller's last round.
    pub fn because(&self) -> &[HoldReason] {
        &self.controllers[0].last.because
    }

    /// Changes the machine's wall clock by this duration. No time passes.
    pub fn set_clock(&mut self, by: SignedDuration) {
        self.now += by;
        self.clock_set_by += by;
    }

    /// Lets this many seconds pass. Then every controller does two rounds and performs each, so that it sees the
    /// replies.
    pub fn tick(&mut self, secs: i64) {
        self.pass(secs);
        for index in 0..self.controllers.len() {
            self.round(index);
            self.perform(index);
            self.round(index);
            self.perform(index);
        }
    }

    /// Runs ticks of ten seconds for this many minutes.
    pub fn run_minutes(&mut self, minutes: i64) {
        for _ in 0..minutes * 6 {
            self.tick(10);
        }
    }

    /// Runs ticks of ten seconds until the cutover is in this phase. Panics after 5,000 ticks.
    pub fn run_to(&mut self, phase: Phase) {
        for _ in 0..5_000 {
            if self.phase() == phase {
                return;
            }
            self.tick(10);
        }
        panic!("never {}\n{}", phase.label(), self.story());
    }

    /// Runs ticks of ten seconds until step `number` bakes. Panics after 5,000 ticks.
    pub fn run_to_bake(&mut self, number: u16) {
        for _ in 0..5_000 {
            if self.phase() == Phase::Baking && self.state().verified_step == number {
                return;
            }
            self.tick(10);
        }
        panic!("step {number} never bakes\n{}", self.story());
    }

    /// Lets this many seconds pass, and applies the late writes that arrive.
    pub fn pass(&mut self, secs: i64) {
        self.now += SignedDuration::from_secs(secs);
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.late.drain(..).partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, part) in due {
            self.write(&part);
        }
    }

    /// Runs one round of one controller: observes, decides and journals. Panics if a decision breaks a rule of `check`.
    pub fn round(&mut self, index: usize) {
        let mut observation = self.observe(index);
        let mut taken = None;
        for turn in 0.. {
            assert!(turn < DECISIONS_MAX, "a hot loop\n{}", self.story());
            let decision = decide::decide(self.state(), &self.fleet, &observation, self.now);
            let again = decide::decide(self.state(), &self.fleet, &observation, self.now);
            assert_eq!(decision, again, "decide is a function");
            let lawful =
                check::decision(self.state(), &self.fleet, &observation, &decision, self.now);
            assert_eq!(lawful, Ok(()), "{}", self.story());
            if let Some(order) = &decision.order {
                assert!(taken.is_none(), "two orders in one round\n{}", self.story());
                taken = Some(order.clone());
                observation.in_flight = true;
            }
            self.fleet_entries.extend(decision.fleet.iter().cloned());
            self.controllers[index].hands.take(&decision.errands);
            observation.beside = self.observe_beside(index);
            let id = self.controllers[index].id.to_string();
            for event in &decision.events {
                self.append(&id, event.clone());
            }
            if decision.events.is_empty() {
                let latest = self.now.max(self.state().last_at);
                let sleeps = decision.wake_at.is_none_or(|at| at > latest);
                assert!(sleeps, "it would wake at once, forever\n{}", self.story());
                self.controllers[index].passed_at = decision.gates_pass.then_some(self.now);
                self.controllers[index].passed_after = self.clock_set_by;
                self.controllers[index].last = decision;
                break;
            }
        }
        let head = self.journal.len();
        self.controllers[index]
            .wire
            .extend(taken.map(|order| (order, head)));
    }

    /// Sends the writes of a controller, and performs its errands.
    pub fn perform(&mut self, index: usize) {
        for (order, head) in std::mem::take(&mut self.controllers[index].wire) {
            let too_late = order.send_by.is_some_and(|by| self.now >= by);
            let moved_on = order.purpose == Purpose::Step && self.journal.len() != head;
            let zones: BTreeSet<ZoneId> = order
                .parts
                .iter()
                .map(|part| part.image.zone.clone())
                .collect();
            for zone in zones {
                let mut parts = order.parts.clone();
                parts.retain(|part| part.image.zone == zone);
                if too_late || moved_on {
                    self.reply_failed(&order, &zone, &parts, FailureClass::NotSent);
                } else {
                    self.send(&order, &zone, &parts);
                }
            }
        }
        self.perform_beside(index);
    }

    /// Sends the parts of an order that belong to one zone, with the outcome that the test chose.
    fn send(&mut self, order: &Order, zone: &ZoneId, parts: &[Part]) {
        let fate = self.zone_fates.get(zone).copied().unwrap_or(self.fate);
        match fate {
            Fate::Refused(class) => self.reply_failed(order, zone, parts, class),
            Fate::RequestLost => self.reply_failed(order, zone, parts, FailureClass::Transient),
            Fate::Late(secs) => {
                let at = self.now + SignedDuration::from_secs(secs);
                self.late
                    .extend(parts.iter().map(|part| (at, part.clone())));
                self.reply_failed(order, zone, parts, FailureClass::Transient);
            }
            Fate::Accepted | Fate::ReplyLost => {
                let (fit, unfit): (Vec<Part>, Vec<Part>) =
                    parts.iter().cloned().partition(|part| self.fits(part));
                if order.purpose != Purpose::Revert && !unfit.is_empty() {
                    return self.reply_failed(order, zone, parts, FailureClass::Conflict);
                }
                if !unfit.is_empty() {
                    self.reply_failed(order, zone, &unfit, FailureClass::Conflict);
                }
                if fit.is_empty() {
                    return;
                }
                for part in &fit {
                    assert!(self.write(part), "a fitting part is written");
                }
                if fate == Fate::ReplyLost {
                    return self.reply_failed(order, zone, &fit, FailureClass::Transient);
                }
                let change_id = ChangeId::from(format!("C{}", self.changes.len() + 1));
                self.changes.insert(change_id.clone(), self.now);
                let event = Event::WeightChangeSubmitted {
                    write_id: order.write_id.clone(),
                    zone: zone.clone(),
                    groups: fit.iter().map(|part| part.group).collect(),
                    change_id,
                    server_time: Some(self.now),
                };
                self.append("controller", event);
            }
        }
    }

    /// Appends the failure of a write.
    fn reply_failed(&mut self, order: &Order, zone: &ZoneId, parts: &[Part], class: FailureClass) {
        let event = Event::WeightChangeFailed {
            write_id: order.write_id.clone(),
            zone: zone.clone(),
            groups: parts.iter().map(|part| part.group).collect(),
            class,
            message: format!("{class:?}"),
        };
        self.append("controller", event);
    }

    /// Returns true if Route 53 accepts a change. It refuses a weighted record next to a simple one, and stale images.
    fn fits(&self, part: &Part) -> bool {
        let members = &self.groups[part.group].1;
        let weighted = members
            .iter()
            .all(|member| !member.unsupported.contains(&"simple".to_owned()));
        (part.how == How::Upsert && weighted)
            || (members.contains(&part.image.old) && members.contains(&part.image.new))
    }

    /// Applies a change, if Route 53 accepts it. Returns true if it did.
    fn write(&mut self, part: &Part) -> bool {
        if !self.fits(part) {
            return false;
        }
        for image in [&part.image.old, &part.image.new] {
            let members = &mut self.groups[part.group].1;
            let mut known = members.iter().map(|member| &member.set_identifier);
            if !known.any(|identifier| *identifier == image.set_identifier) {
                members.push(image.clone());
            }
        }
        self.set(part.group, part.to);
        let broken = self.checker.applied(part.group, part.to);
        assert!(broken.is_empty(), "{broken:?}\n{}", self.story());
        true
    }

    /// Sets the weights of a group's two members.
    fn set(&mut self, index: usize, pair: WeightPair) {
        if let Some(share) = pair.share() {
            let percent = share.whole_percent().unwrap_or(0);
            self.flows.weigh(self.now, u32::from(percent));
        }
        for member in &mut self.groups[index].1 {
            match member.set_identifier.as_str() {
                "eks" => member.weight = pair.old,
                "ecs" => member.weight = pair.new,
                _ => {}
            }
        }
    }

    /// Returns the observation of a controller in this round.
    pub fn observe(&mut self, index: usize) -> Observation {
        let state = self.state();
        let alarms: BTreeMap<AlarmId, AlarmReading> = state
            .plan()
            .alarms()
            .map(|gate| (gate.id.clone(), self.read_alarm(&gate.id)))
            .collect();
        let mut histories = BTreeMap::new();
        for (id, reading) in &alarms {
            if verdict::needs_history(state, id, reading) {
                histories.insert(id.clone(), self.history(id));
            }
        }
        let series = wanted::wanted(state, self.now).into_iter();
        let series = series.map(|(query, minutes)| {
            let reading = self.flows.read(&query, minutes);
            (query, reading)
        });
        let series = series.collect();
        let beside = self.observe_beside(index);
        let state = self.state();
        let controller = &self.controllers[index];
        let mut observation = Observation {
            me: controller.id.clone(),
            groups: vec![GroupReading::NotRead; self.groups.len()],
            around: self.around.clone(),
            alarms,
            histories,
            series,
            changes: BTreeMap::new(),
            file: self.file.clone(),
            in_flight: !controller.wire.is_empty(),
            passed_at: controller.passed_at,
            passed_for: controller.passed_at.map(|at| {
                let set_by = self.clock_set_by - controller.passed_after;
                self.now.duration_since(at) - set_by
            }),
            groups_read_at: controller.read_at,
            clock_skew: self.skew,
            break_glass_error: None,
            claimed: Vec::new(),
            baseline_as_is: self.as_is.then(|| "as it is".to_owned()),
            beside,
        };
        let pending = state
            .changes
            .iter()
            .filter(|(_, change)| change.in_sync_at.is_none());
        for (id, _) in pending {
            observation.changes.insert(id.clone(), self.read_change(id));
        }
        if decide::wants_groups(state, &self.fleet, &observation, self.now) {
            observation.groups = (0..self.groups.len())
                .map(|group| self.read(group))
                .collect();
            if self.unreadable_since.is_none() {
                self.controllers[index].read_at = Some(self.now);
            }
        }
        observation
    }

    fn read(&self, group: usize) -> GroupReading {
        let (zone, members) = self.groups[group].clone();
        match self.unreadable_since {
            Some(since) => GroupReading::Unreadable {
                message: "Route 53 does not answer".to_owned(),
                permanent: false,
                since,
                denied: None,
            },
            None => GroupReading::Read {
                zone,
                members,
                at: self.now,
            },
        }
    }

    fn read_change(&self, id: &ChangeId) -> ChangeReading {
        match self.changes.get(id) {
            Some(_) if self.lost_changes.contains(id) => ChangeReading::Unknown,
            Some(at) if self.now >= *at + self.in_sync_after => ChangeReading::InSync,
            Some(_) => ChangeReading::Pending,
            None => ChangeReading::Unknown,
        }
    }

    fn read_alarm(&self, id: &AlarmId) -> AlarmReading {
        match self.alarms.get(id) {
            _ if self.cloudwatch_down => AlarmReading::Unreadable("no answer".to_owned()),
            Some(alarm) if !self.missing.contains(id) => AlarmReading::Found {
                state: alarm.state,
                transitioned_at: Some(alarm.since),
                evaluation: None,
            },
            Some(_) | None => AlarmReading::Missing,
        }
    }

    fn history(&self, id: &AlarmId) -> HistoryReading {
        if self.histories_down {
            return HistoryReading::Unreadable("no answer".to_owned());
        }
        let entered = self.alarms.get(id).map(|alarm| alarm.entered.clone());
        HistoryReading::EnteredAlarm(entered.unwrap_or_default())
    }

    /// Ends all faults, and sets all alarms to OK.
    pub fn heal(&mut self) {
        let names: Vec<String> = self.alarms.keys().map(|id| id.name.clone()).collect();
        for name in names {
            self.turn(&name, AlarmState::Ok);
        }
        self.cloudwatch_down = false;
        self.flows.down = None;
        self.histories_down = false;
        self.missing.clear();
        self.unreadable_since = None;
        self.fate = Fate::Accepted;
        self.zone_fates.clear();
        self.lost_changes.clear();
        self.skew = Some(SignedDuration::ZERO);
        self.file = FileReading::Plan(Arc::new(self.source.clone()));
    }

    /// Asserts that the state is the fold of the journal.
    pub fn assert_folds(&self) {
        let folded = fold::fold(&self.journal).expect("the journal folds");
        assert_eq!(folded.as_ref(), Some(self.state()));
    }

    /// Returns the last 40 entries of the journal, one a line, for messages of failed tests.
    pub fn story(&self) -> String {
        let mut lines = vec![format!("now {}", self.now)];
        let from = self.journal.len().saturating_sub(40);
        for entry in &self.journal[from..] {
            let event = serde_json::to_string(&entry.event).expect("an event is JSON");
            let short: String = event.chars().take(260).collect();
            lines.push(format!(
                "{:>4} {} {} {short}",
                entry.seq, entry.at, entry.actor
            ));
        }
        lines.join("\n")
    }
}
