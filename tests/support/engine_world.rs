//! A tiny world in memory around the engine: groups, alarms, changes, controllers, a journal; with faults.
//!
//! It performs the law (observe, decide, journal, perform) as the controller does, without any of its I/O, and asks the
//! invariants at every turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover::engine::around::AroundReading;
use cutover::engine::check::{self, Checker};
use cutover::engine::decide::{self, Decision, How, Order, Part, Purpose};
use cutover::engine::event::{Envelope, Event, FailureClass, JOURNAL_VERSION, RevertMode};
use cutover::engine::evidence::wanted;
use cutover::engine::fleet::Fleet;
use cutover::engine::fold;
use cutover::engine::hold::HoldReason;
use cutover::engine::observation::{
    AlarmReading, AlarmState, ChangeReading, FileReading, GroupReading, HistoryReading, Observation,
};
use cutover::engine::plan::{Plan, PlanSource};
use cutover::engine::record::RecordSet;
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{AlarmId, ChangeId, ControllerId, Weight, WeightPair, ZoneId};
use cutover::engine::verdict;
use jiff::{SignedDuration, Timestamp};

use super::engine_beside::{Aside, Hands};
use super::engine_flow::Flows;
use super::engine_plan::{alarm, record, source};

/// The most decisions of one round; more is a hot loop.
const DECISIONS_MAX: usize = 20;

/// How a write ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Applied and answered.
    Accepted,
    /// Refused with this class, not applied.
    Refused(FailureClass),
    /// Applied, the reply lost.
    ReplyLost,
    /// The reply lost, and applied this many seconds later.
    Late(i64),
    /// Lost on the way.
    RequestLost,
}

/// One alarm.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    /// Its state.
    pub(crate) state: AlarmState,
    /// When it changed last.
    pub(crate) since: Timestamp,
    /// When it entered ALARM.
    pub(crate) entered: Vec<Timestamp>,
}

/// One controller process.
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    id: ControllerId,
    wire: Vec<(Order, usize)>,
    passed_at: Option<Timestamp>,
    /// By how much the wall clock had been set by then.
    passed_after: SignedDuration,
    read_at: Option<Timestamp>,
    /// What it does beside the weights.
    pub(crate) hands: Hands,
    /// The last decision of its last round.
    pub(crate) last: Decision,
}

/// The world.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    /// By how much the machine's wall clock was set, of which no time really passed.
    pub(crate) clock_set_by: SignedDuration,
    pub(crate) source: PlanSource,
    pub(crate) file: FileReading,
    pub(crate) groups: Vec<(ZoneId, Vec<RecordSet>)>,
    /// What stands around the groups; empty where nobody looks.
    pub(crate) around: Vec<AroundReading>,
    pub(crate) alarms: BTreeMap<AlarmId, Alarm>,
    pub(crate) cloudwatch_down: bool,
    pub(crate) histories_down: bool,
    pub(crate) missing: BTreeSet<AlarmId>,
    pub(crate) unreadable_since: Option<Timestamp>,
    pub(crate) fate: Fate,
    pub(crate) zone_fates: BTreeMap<ZoneId, Fate>,
    pub(crate) in_sync_after: SignedDuration,
    pub(crate) changes: BTreeMap<ChangeId, Timestamp>,
    pub(crate) lost_changes: BTreeSet<ChangeId>,
    /// Both sides' requests, for plans that measure them.
    pub(crate) flows: Flows,
    /// Jobs and hooks, for plans that have some.
    pub(crate) aside: Aside,
    pub(crate) skew: Option<SignedDuration>,
    pub(crate) as_is: bool,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) journal: Vec<Envelope>,
    pub(crate) checker: Checker,
    /// All cutovers of the journal; only this one, unless a test says more.
    pub(crate) fleet: Fleet,
    /// What decisions appended to `@fleet`.
    pub(crate) fleet_entries: Vec<Event>,
    late: Vec<(Timestamp, Part)>,
    processes: usize,
}

impl World {
    /// A healthy world at 100/0, one controller, the plan accepted.
    pub(crate) fn new(plan: Plan) -> Self {
        let now: Timestamp = "2026-03-02T01:00:00Z".parse().expect("a timestamp");
        let groups: Vec<_> = plan
            .records
            .iter()
            .map(|group| {
                let name = &group.name.name;
                let members = vec![record(name, "ecs", 0), record(name, "eks", 100)];
                (ZoneId::from(group.zone.zone.clone()), members)
            })
            .collect();
        let long_ago = now - SignedDuration::from_hours(48);
        let green = Alarm {
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
            aside: Aside {
                hooks_fail: Some(false),
                ..Aside::default()
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

    /// One more controller process.
    pub(crate) fn start_controller(&mut self) {
        self.processes += 1;
        self.controllers.push(Controller {
            id: ControllerId::from(format!("ctl-{}", self.processes)),
            wire: Vec::new(),
            passed_at: None,
            passed_after: SignedDuration::ZERO,
            read_at: None,
            hands: Hands::default(),
            last: Decision::default(),
        });
    }

    /// Kills a controller, with all that it has not sent, and starts another.
    pub(crate) fn crash(&mut self, index: usize) {
        self.start_controller();
        let fresh = self.controllers.pop().expect("a controller was started");
        self.controllers[index] = fresh;
    }

    /// The state of the cutover.
    pub(crate) fn state(&self) -> &State {
        self.checker.state().expect("the plan was accepted")
    }

    /// Its phase.
    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// A group's weights.
    pub(crate) fn pair(&self, index: usize) -> WeightPair {
        let weight = |identifier: &str| {
            let mut members = self.groups[index].1.iter();
            members
                .find(|member| member.set_identifier == identifier)
                .map_or(Weight(0), |member| member.weight)
        };
        WeightPair {
            old: weight("eks"),
            new: weight("ecs"),
        }
    }

    /// Somebody else writes weights.
    pub(crate) fn others_write(&mut self, index: usize, old: u8, new: u8) {
        self.set(index, WeightPair::new(old, new));
        self.checker.changed_by_others(index, self.pair(index));
    }

    /// An alarm changes its state now.
    pub(crate) fn turn(&mut self, name: &str, state: AlarmState) {
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

    /// Appends an entry, which must be lawful, readable again, and foldable.
    pub(crate) fn append(&mut self, actor: &str, event: Event) {
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

    /// A person's command.
    pub(crate) fn ask(&mut self, event: Event) {
        self.append("ada@desk", event);
    }

    /// Asks for a rollback.
    pub(crate) fn roll_back(&mut self, mode: RevertMode) {
        self.ask(Event::RollbackRequested { mode, reason: None });
    }

    /// Approves a step as it is.
    pub(crate) fn approve(&mut self, number: u16) {
        let step = self.state().plan().step(number).expect("a step").clone();
        self.ask(Event::StepApproved {
            step: number,
            pair: step.pair,
            bake_secs: step.bake.as_secs(),
            reason: "looks well".to_owned(),
            caller_arn: None,
        });
    }

    /// Whether an event of this name was journaled, and how often.
    pub(crate) fn count(&self, label: &str) -> usize {
        let same = |entry: &&Envelope| entry.event.label() == label;
        self.journal.iter().filter(same).count()
    }

    /// What holds, by the first controller's last round.
    pub(crate) fn because(&self) -> &[HoldReason] {
        &self.controllers[0].last.because
    }

    /// Somebody sets the machine's wall clock.
    pub(crate) fn set_clock(&mut self, by: SignedDuration) {
        self.now += by;
        self.clock_set_by += by;
    }

    /// Time passes, then every controller does a round, performs, and does so again for the replies.
    pub(crate) fn tick(&mut self, secs: i64) {
        self.pass(secs);
        for index in 0..self.controllers.len() {
            self.round(index);
            self.perform(index);
            self.round(index);
            self.perform(index);
        }
    }

    /// Ticks of ten seconds for this many minutes.
    pub(crate) fn run_minutes(&mut self, minutes: i64) {
        for _ in 0..minutes * 6 {
            self.tick(10);
        }
    }

    /// Ticks until the phase is reached.
    pub(crate) fn run_to(&mut self, phase: Phase) {
        for _ in 0..5_000 {
            if self.phase() == phase {
                return;
            }
            self.tick(10);
        }
        panic!("never {}\n{}", phase.label(), self.story());
    }

    /// Runs until step `number` bakes.
    pub(crate) fn run_to_bake(&mut self, number: u16) {
        for _ in 0..5_000 {
            if self.phase() == Phase::Baking && self.state().verified_step == number {
                return;
            }
            self.tick(10);
        }
        panic!("step {number} never bakes\n{}", self.story());
    }

    /// Time passes; late requests land.
    pub(crate) fn pass(&mut self, secs: i64) {
        self.now += SignedDuration::from_secs(secs);
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.late.drain(..).partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, part) in due {
            self.write(&part);
        }
    }

    /// One round of one controller.
    pub(crate) fn round(&mut self, index: usize) {
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
                let ahead = |at: Timestamp| at > self.now.max(self.state().last_at);
                let wakes = decision.wake_at.is_none_or(ahead);
                assert!(wakes, "it wakes at once, again and again\n{}", self.story());
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

    /// Sends what a controller has to send.
    pub(crate) fn perform(&mut self, index: usize) {
        for (order, head) in std::mem::take(&mut self.controllers[index].wire) {
            let too_late = order.send_by.is_some_and(|by| self.now >= by);
            let moved_on = order.purpose == Purpose::Step && self.journal.len() != head;
            let zones: BTreeSet<ZoneId> = order
                .parts
                .iter()
                .map(|part| part.image.zone.clone())
                .collect();
            for zone in zones {
                let here = |part: &&Part| part.image.zone == zone;
                let parts: Vec<Part> = order.parts.iter().filter(here).cloned().collect();
                if too_late || moved_on {
                    self.reply_failed(&order, &zone, &parts, FailureClass::NotSent);
                } else {
                    self.send(&order, &zone, &parts);
                }
            }
        }
        self.perform_beside(index);
    }

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

    /// Route 53 refuses a weighted record beside one without weights.
    fn fits(&self, part: &Part) -> bool {
        let members = &self.groups[part.group].1;
        let weighted = members
            .iter()
            .all(|member| !member.unsupported.contains(&"simple".to_owned()));
        (part.how == How::Upsert && weighted)
            || (members.contains(&part.image.old) && members.contains(&part.image.new))
    }

    fn write(&mut self, part: &Part) -> bool {
        if !self.fits(part) {
            return false;
        }
        for image in [&part.image.old, &part.image.new] {
            let members = &mut self.groups[part.group].1;
            let is_there = |it: &RecordSet| it.set_identifier == image.set_identifier;
            if !members.iter().any(is_there) {
                members.push(image.clone());
            }
        }
        self.set(part.group, part.to);
        let broken = self.checker.applied(part.group, part.to);
        assert!(broken.is_empty(), "{broken:?}\n{}", self.story());
        true
    }

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

    /// What a controller sees in this round.
    pub(crate) fn observe(&mut self, index: usize) -> Observation {
        let state = self.state();
        let alarms: BTreeMap<AlarmId, AlarmReading> = state
            .plan()
            .alarms()
            .map(|gate| (gate.id.clone(), self.read_alarm(&gate.id)))
            .collect();
        let wanted = |(id, reading): (&AlarmId, &AlarmReading)| {
            verdict::needs_history(state, id, reading).then(|| (id.clone(), self.history(id)))
        };
        let histories = alarms.iter().filter_map(wanted).collect();
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

    /// Everything works from now on, and nobody interferes.
    pub(crate) fn heal(&mut self) {
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

    /// The state is the fold of the journal.
    pub(crate) fn assert_folds(&self) {
        let folded = fold::fold(&self.journal).expect("the journal folds");
        assert_eq!(folded.as_ref(), Some(self.state()));
    }

    /// The journal, for failures.
    pub(crate) fn story(&self) -> String {
        let line = |entry: &Envelope| {
            let event = serde_json::to_string(&entry.event).expect("an event is JSON");
            let short: String = event.chars().take(260).collect();
            format!("{:>4} {} {} {short}", entry.seq, entry.at, entry.actor)
        };
        let lines: Vec<String> = self.journal.iter().map(line).collect();
        let from = lines.len().saturating_sub(40);
        format!("now {}\n{}", self.now, lines[from..].join("\n"))
    }
}
