//! One start of a plan in the past: the same decisions as in the controller, over a Route 53 in which every write works, and
//! alarms as they were.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::record::Past;
use super::record::Record;
use super::record::SeriesPast;
use crate::engine::decide;
use crate::engine::decide::Order;
use crate::engine::event::Envelope;
use crate::engine::event::Event;
use crate::engine::event::JOURNAL_VERSION;
use crate::engine::evidence::gate::GateId;
use crate::engine::evidence::judge::weigh;
use crate::engine::evidence::plan::Measure;
use crate::engine::evidence::plan::Measures;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::plan::TREND_PERIOD_MINS;
use crate::engine::evidence::reading::COMPLETE_AFTER;
use crate::engine::evidence::reading::Readings;
use crate::engine::evidence::reading::SeriesReading;
use crate::engine::evidence::reading::complete_until;
use crate::engine::evidence::wanted::Minutes;
use crate::engine::evidence::wanted::wanted;
use crate::engine::fleet::Fleet;
use crate::engine::fold;
use crate::engine::hold::HaltReason;
use crate::engine::hold::HoldReason;
use crate::engine::hold::RevertCause;
use crate::engine::observation::AlarmReading;
use crate::engine::observation::Beside;
use crate::engine::observation::ChangeReading;
use crate::engine::observation::FileReading;
use crate::engine::observation::GroupReading;
use crate::engine::observation::HistoryReading;
use crate::engine::observation::Observation;
use crate::engine::plan::Plan;
use crate::engine::plan::PlanSource;
use crate::engine::record::RecordSet;
use crate::engine::state::Phase;
use crate::engine::state::State;
use crate::engine::units::AlarmId;
use crate::engine::units::ChangeId;
use crate::engine::units::ControllerId;
use crate::engine::units::Weight;
use crate::engine::units::ZoneId;
use crate::engine::verdict;
use crate::engine::verdict::Verdict;

/// How a start in the past would have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// When it was started.
    pub start: Timestamp,
    /// When it took its first step; none if it never did.
    pub began_at: Option<Timestamp>,
    /// How it ended.
    pub end: End,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It went through.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// It was taken back.
    Reverted {
        /// When.
        at: Timestamp,
        /// At which step.
        step: u16,
        /// Why.
        cause: RevertCause,
    },
    /// It was halted, and waited for a person.
    Halted {
        /// When.
        at: Timestamp,
        /// At which step.
        step: u16,
        /// Why.
        reason: HaltReason,
    },
    /// The record ends before it does.
    Cut {
        /// At which step; 0 before the first one.
        step: u16,
        /// Why nothing moved then.
        because: Vec<HoldReason>,
    },
}

/// How often a controller looks. Source: the default of `run --interval`.
const INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// How long Route 53 usually takes until a change is on all its servers.
///
/// Source: Route 53 Developer Guide, "changes generally propagate within 60 seconds".
const IN_SYNC_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A record set of the replay lives so long, as an alias to a load balancer does.
const TTL_SECS: u32 = 60;

/// The most looks of one replay: a look every ten seconds over a fortnight would be as many.
const LOOKS_MAX: usize = 120_000;

/// The most decisions at one look; more would be a hot loop.
const DECISIONS_MAX: usize = 20;

/// What the gates of metrics would have said at a moment, had step 1 been taken before: by gate. `state` is of
/// [`watching`].
pub(super) fn weigh_at(state: &State, record: &Record, now: Timestamp) -> Vec<(GateId, Verdict)> {
    let plan = state.plan();
    let series = series(plan, record);
    let reading = |(query, minutes): (Query, Minutes)| {
        let reading = series.get(&query)?.reading(&query, minutes);
        Some((query, reading))
    };
    let readings = wanted(state, now).into_iter().filter_map(reading).collect();
    weigh(state, &readings).gates
}

/// The state of a plan that watches nothing but these metrics, shortly after its first step.
pub(super) fn watching(source: &PlanSource, record: &Record) -> Option<State> {
    let mut bare = source.clone();
    let measures = std::mem::take(&mut bare.plan.gates.measures);
    bare.plan.gates.alarms.clear();
    bare.plan.gates.fallback_alarms.clear();
    bare.plan.windows = None;
    let mut stage = Stage::new(&bare, record, record.since - WATCHED_BEFORE);
    // A step, a minute until it is everywhere, a minute for the resolvers: its bake has begun long before this ends.
    for _ in 0..60 {
        stage.look();
        stage.now += INTERVAL;
    }
    let mut state = stage.state?;
    state.source.plan.gates.measures = measures;
    (state.phase == Phase::Baking).then_some(state)
}

/// The comparison looks back for a day before the first step; what is watched for a chart began earlier than the chart.
const WATCHED_BEFORE: SignedDuration = SignedDuration::from_hours(1);

/// Starts a plan at a moment of the past, and follows it until it ends, halts, or the record does. Approvals are given at
/// once, and nobody asks for anything else. What the plan waits for besides (`after`, the fleet) is taken for done.
pub fn replay(source: &PlanSource, record: &Record, start: Timestamp) -> Run {
    let mut stage = Stage::new(source, record, start);
    for _ in 0..LOOKS_MAX {
        stage.look();
        if let Some(end) = stage.end() {
            return stage.run(start, end);
        }
        match stage.next_look() {
            Some(at) if at <= record.until => stage.now = at,
            Some(_) | None => break,
        }
    }
    stage.now = record.until;
    stage.look();
    if let Some(end) = stage.end() {
        return stage.run(start, end);
    }
    let end = End::Cut {
        step: stage.step(),
        because: std::mem::take(&mut stage.because),
    };
    stage.run(start, end)
}

struct Stage<'a> {
    now: Timestamp,
    pasts: BTreeMap<AlarmId, &'a Past>,
    series: BTreeMap<Query, &'a SeriesPast>,
    /// How often metrics are read, in minutes; none where there are none.
    measured_every: Option<u16>,
    groups: Vec<(ZoneId, Vec<RecordSet>)>,
    submitted: BTreeMap<ChangeId, Timestamp>,
    state: Option<State>,
    fleet: Fleet,
    began_at: Option<Timestamp>,
    passed_at: Option<Timestamp>,
    because: Vec<HoldReason>,
    wake_at: Option<Timestamp>,
    reverted: Option<RevertCause>,
    me: ControllerId,
}

impl<'a> Stage<'a> {
    fn new(source: &PlanSource, record: &'a Record, now: Timestamp) -> Self {
        let plan = &source.plan;
        let past = |id: &AlarmId| Some((id.clone(), record.past(plan.account_of(id), id)?));
        let mut stage = Self {
            now,
            pasts: plan.alarms().filter_map(|gate| past(&gate.id)).collect(),
            series: series(plan, record),
            measured_every: measured_every(&plan.gates.measures),
            groups: groups(plan),
            submitted: BTreeMap::new(),
            state: None,
            fleet: Fleet::default(),
            began_at: None,
            passed_at: None,
            because: Vec::new(),
            wake_at: None,
            reverted: None,
            me: ControllerId::from("backtest"),
        };
        // What is done beside the weights leaves no trace in the past: hooks answer at once, and there are no jobs.
        let mut source = Box::new(source.clone());
        (source.plan.hooks, source.plan.jobs) = (Vec::new(), None);
        stage.append(Event::PlanAccepted { source });
        stage
    }

    fn run(self, start: Timestamp, end: End) -> Run {
        Run {
            start,
            began_at: self.began_at,
            end,
        }
    }

    fn step(&self) -> u16 {
        self.state.as_ref().map_or(0, |state| state.step)
    }

    /// One look, and all that follows from it at once.
    fn look(&mut self) {
        for _ in 0..DECISIONS_MAX {
            let Some(state) = &self.state else { return };
            let observation = self.observe(state);
            let decision = decide::decide(state, &self.fleet, &observation, self.now);
            let approvals: Vec<Event> = approvals(state, &decision.because);
            let quiet = decision.events.is_empty() && approvals.is_empty();
            for event in decision.events.into_iter().chain(approvals) {
                if let Event::RevertIntended { cause, .. } = &event {
                    self.reverted = Some(cause.clone());
                    return;
                }
                self.append(event);
            }
            if let Some(order) = decision.order {
                self.perform(&order);
            }
            self.because = decision.because;
            if quiet {
                self.wake_at = decision.wake_at;
                self.passed_at = decision.gates_pass.then_some(self.now);
                return;
            }
        }
    }

    /// How it has ended, if it has.
    fn end(&self) -> Option<End> {
        let (at, step) = (self.now, self.step());
        if let Some(cause) = self.reverted.clone() {
            return Some(End::Reverted { at, step, cause });
        }
        let state = self.state.as_ref()?;
        if state.phase == Phase::Completed {
            return Some(End::Completed { at });
        }
        let halt = state.halt.clone().filter(|_| state.phase == Phase::Halted);
        halt.map(|reason| End::Halted { at, step, reason })
    }

    /// When something can be different: what the decision waits for, an alarm that changes, a write that arrives. An
    /// alarm is also looked at right before it changes, because the bake counts up to the last look at which all was well.
    fn next_look(&self) -> Option<Timestamp> {
        let state = self.state.as_ref()?;
        let moving = matches!(state.phase, Phase::Shifting | Phase::Settling);
        let soon = moving.then(|| self.now + INTERVAL);
        let second = SignedDuration::from_secs(1);
        let changes = self.pasts.values().filter_map(|past| {
            let at = past.next_change(self.now)?;
            let before = at - second;
            Some(if before > self.now { before } else { at })
        });
        let wake_at = self.wake_at.filter(|at| *at > self.now);
        let measured = self.measured_every.map(|every| {
            let period = SignedDuration::from_mins(i64::from(every));
            complete_until(self.now, every) + period + COMPLETE_AFTER
        });
        changes.chain(wake_at).chain(soon).chain(measured).min()
    }

    fn readings(&self, state: &State) -> Readings {
        let wanted = wanted(state, self.now).into_iter();
        let reading = |(query, minutes)| {
            let reading = match self.series.get(&query) {
                Some(past) => past.reading(&query, minutes),
                None => SeriesReading::Unreadable("it was not recorded".to_owned()),
            };
            (query, reading)
        };
        wanted.map(reading).collect()
    }

    fn observe(&self, state: &State) -> Observation {
        let reading = |id: &AlarmId| match self.pasts.get(id) {
            Some(past) => past.reading_at(self.now),
            None => AlarmReading::Missing,
        };
        let alarms: BTreeMap<AlarmId, AlarmReading> = state
            .plan()
            .alarms()
            .map(|gate| (gate.id.clone(), reading(&gate.id)))
            .collect();
        let history = |(id, reading): (&AlarmId, &AlarmReading)| {
            let past = self.pasts.get(id)?;
            let entered = || HistoryReading::EnteredAlarm(past.entered(self.now));
            verdict::needs_history(state, id, reading).then(|| (id.clone(), entered()))
        };
        let histories = alarms.iter().filter_map(history).collect();
        let changes = state.changes.keys();
        let mut observation = Observation {
            me: self.me.clone(),
            groups: vec![GroupReading::NotRead; self.groups.len()],
            around: Vec::new(),
            alarms,
            histories,
            series: self.readings(state),
            changes: changes.map(|id| (id.clone(), self.status(id))).collect(),
            file: FileReading::NotWatched,
            in_flight: false,
            passed_at: self.passed_at,
            passed_for: None,
            // Nobody else writes: there is no drift to look for.
            groups_read_at: Some(self.now),
            clock_skew: Some(SignedDuration::ZERO),
            break_glass_error: None,
            claimed: Vec::new(),
            baseline_as_is: None,
            beside: Beside::default(),
        };
        if decide::wants_groups(state, &self.fleet, &observation, self.now) {
            let read = |(zone, members): &(ZoneId, Vec<RecordSet>)| GroupReading::Read {
                zone: zone.clone(),
                members: members.clone(),
                at: self.now,
            };
            observation.groups = self.groups.iter().map(read).collect();
        }
        observation
    }

    fn status(&self, change: &ChangeId) -> ChangeReading {
        match self.submitted.get(change) {
            Some(at) if self.now >= *at + IN_SYNC_AFTER => ChangeReading::InSync,
            Some(_) => ChangeReading::Pending,
            None => ChangeReading::Unknown,
        }
    }

    /// Writes what was ordered, and journals that Route 53 accepted it, a change a zone.
    fn perform(&mut self, order: &Order) {
        self.began_at = self.began_at.or(Some(self.now));
        let mut zones: BTreeMap<ZoneId, Vec<usize>> = BTreeMap::new();
        for part in &order.parts {
            let Some((zone, members)) = self.groups.get_mut(part.group) else {
                continue;
            };
            for member in members.iter_mut() {
                let new = member.set_identifier == part.image.new.set_identifier;
                member.weight = if new { part.to.new } else { part.to.old };
            }
            zones.entry(zone.clone()).or_default().push(part.group);
        }
        for (zone, groups) in zones {
            let change_id = ChangeId::from(format!("C{}", self.submitted.len() + 1));
            self.submitted.insert(change_id.clone(), self.now);
            self.append(Event::WeightChangeSubmitted {
                write_id: order.write_id.clone(),
                zone,
                groups,
                change_id,
                server_time: Some(self.now),
            });
        }
    }

    fn append(&mut self, event: Event) {
        let (cutover, attempt, seq) = match (&self.state, &event) {
            (Some(state), _) => (state.name.clone(), state.attempt, state.seq + 1),
            (None, Event::PlanAccepted { source }) => (source.plan.name.clone(), 1, 1),
            (None, _) => return,
        };
        let entry = Envelope {
            cutover,
            attempt,
            seq,
            at: self.now,
            actor: self.me.to_string(),
            version: JOURNAL_VERSION,
            event,
        };
        let folded = fold::apply(&mut self.state, &entry);
        debug_assert_eq!(
            folded,
            Ok(()),
            "decisions fit the state that they were made from"
        );
    }
}

/// Every series that the plan's gates are made of.
pub fn queries(measures: &Measures) -> Vec<Query> {
    let mut queries: Vec<&Query> = Vec::new();
    for gate in &measures.metrics {
        queries.extend(gate.new.queries().chain(&gate.requests));
        queries.extend(gate.old.iter().flat_map(Measure::queries));
    }
    if let Some(gate) = &measures.traffic {
        queries.extend(gate.new.iter().chain(&gate.old));
    }
    if let Some(gate) = &measures.regression {
        for side in [&gate.new, &gate.old] {
            queries.extend(side.requests.iter().chain(&side.errors));
        }
    }
    for gate in &measures.trends {
        queries.extend([&gate.query].into_iter().chain(&gate.requests));
    }
    queries.sort();
    queries.dedup();
    queries.into_iter().cloned().collect()
}

fn series<'a>(plan: &Plan, record: &'a Record) -> BTreeMap<Query, &'a SeriesPast> {
    let queries = queries(&plan.gates.measures).into_iter();
    let mut known = BTreeMap::new();
    for query in queries {
        if let Some(past) = record.series(plan.account_of_series(&query), &query) {
            known.insert(query, past);
        }
    }
    known
}

/// How often the first of these is read again, in minutes.
fn measured_every(measures: &Measures) -> Option<u16> {
    let metrics = measures.metrics.iter().map(|gate| gate.every_mins);
    let compared = measures.regression.iter().map(|gate| gate.every_mins);
    let traffic = measures.traffic.iter().map(|gate| gate.every_mins);
    let trends = measures.trends.iter().map(|_| TREND_PERIOD_MINS);
    metrics.chain(compared).chain(traffic).chain(trends).min()
}

/// The groups as they would have been: all traffic on the old side.
fn groups(plan: &Plan) -> Vec<(ZoneId, Vec<RecordSet>)> {
    let groups = plan.records.iter().map(|group| {
        let member = |identifier: &str, weight: u8| RecordSet {
            name: group.name.name.to_string(),
            record_type: group.name.record_type.clone(),
            set_identifier: identifier.to_owned(),
            weight: Weight(weight),
            ttl: Some(TTL_SECS),
            values: Vec::new(),
            alias: None,
            health_check_id: None,
            unsupported: Vec::new(),
        };
        let members = vec![member(&group.new, 0), member(&group.old, 100)];
        (ZoneId::from(group.zone.zone.clone()), members)
    });
    groups.collect()
}

/// The approvals that a person would have to give now.
fn approvals(state: &State, because: &[HoldReason]) -> Vec<Event> {
    let asked = because.iter().filter_map(HoldReason::asks_approval);
    let approve = |number: u16| {
        let step = state.plan().step(number)?;
        Some(Event::StepApproved {
            step: number,
            pair: step.pair,
            bake_secs: step.bake.as_secs(),
            reason: "taken for given".to_owned(),
            caller_arn: None,
        })
    };
    asked.filter_map(approve).collect()
}
