//! One start of a plan in the past. The decisions are those of the controller. Every write to Route 53 works, and
//! alarms and metrics read as they were.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::record::{Past, Record, SeriesPast};
use crate::decide::{self, Order};
use crate::event::{Envelope, Event, JOURNAL_VERSION};
use crate::evidence::gate::GateId;
use crate::evidence::judge::weigh;
use crate::evidence::plan::{Measures, Query};
use crate::evidence::reading::{COMPLETE_AFTER, Readings, SeriesReading, complete_until};
use crate::evidence::wanted::wanted;
use crate::fleet::Fleet;
use crate::fold;
use crate::hold::{HaltReason, HoldReason, RevertCause};
use crate::observation::{
    AlarmReading, Beside, ChangeReading, FileReading, GroupReading, HistoryReading, Observation,
};
use crate::plan::{Plan, PlanSource};
use crate::record::{GroupName, RecordSet};
use crate::state::{Phase, State};
use crate::units::{AlarmId, ChangeId, ControllerId, Weight, ZoneId};
use crate::verdict::{self, Verdict};

/// One start in the past, and how it would have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The time of the start.
    pub start: Timestamp,
    /// The time of its first step. `None` if it took none.
    pub began_at: Option<Timestamp>,
    /// How it ended.
    pub end: End,
}

/// How a start in the past would have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The start completed.
    Completed {
        /// The time at which it completed.
        at: Timestamp,
    },
    /// The start reverted.
    Reverted {
        /// The time at which it reverted.
        at: Timestamp,
        /// The number of the step that it had taken, from 1.
        step: u16,
        /// Why it reverted.
        cause: RevertCause,
    },
    /// The start halted, and would have waited for a person.
    Halted {
        /// The time at which it halted.
        at: Timestamp,
        /// The number of the step that it had taken, from 1.
        step: u16,
        /// Why it halted.
        reason: HaltReason,
    },
    /// The start was still under way when the record ended.
    Cut {
        /// The number of the step that it had taken; 0 before the first one.
        step: u16,
        /// The holds at the end of the record, most urgent first.
        because: Vec<HoldReason>,
    },
}

/// The time between two rounds of the replay while something moves. Source: the default of `run --interval`.
const INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The time after which Route 53 usually reports a change as in sync.
///
/// Source: Route 53 Developer Guide, "changes generally propagate within 60 seconds".
const IN_SYNC_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The TTL of the records of a replay, in seconds: that of an alias to a load balancer.
const TTL_SECS: u32 = 60;

/// The largest number of rounds of one replay: about one every ten seconds over two weeks.
const LOOKS_MAX: usize = 120_000;

/// The largest number of decisions in one round. More would be an endless loop.
const DECISIONS_MAX: usize = 20;

/// Returns the verdict of each metric gate at `now`, as if step 1 had been taken earlier. `state` is the one that
/// [`watching`] returns.
pub(super) fn weigh_at(state: &State, record: &Record, now: Timestamp) -> Vec<(GateId, Verdict)> {
    let plan = state.plan();
    let series = series(plan, record);
    let mut readings = Readings::new();
    for (query, minutes) in wanted(state, now) {
        if let Some(past) = series.get(&query) {
            let reading = past.reading(&query, minutes);
            readings.insert(query, reading);
        }
    }
    weigh(state, &readings).gates
}

/// Returns the state of a plan that has only its metric gates, while its first step bakes. `None` if the step cannot
/// bake.
pub(super) fn watching(source: &PlanSource, record: &Record) -> Option<State> {
    let mut bare = source.clone();
    let measures = std::mem::take(&mut bare.plan.gates.measures);
    bare.plan.gates.alarms.clear();
    bare.plan.gates.fallback_alarms.clear();
    bare.plan.windows = None;
    let mut replay = Replay::new(&bare, record, record.since - WATCHED_BEFORE);
    // The step is taken, is in sync a minute later, and settles for a minute. So its bake begins long before this loop
    // ends.
    for _ in 0..60 {
        replay.look();
        replay.now += INTERVAL;
    }
    let mut state = replay.state?;
    state.source.plan.gates.measures = measures;
    if state.phase != Phase::Baking {
        return None;
    }
    Some(state)
}

/// How long before the record this plan starts, so that it bakes when the record begins.
const WATCHED_BEFORE: SignedDuration = SignedDuration::from_hours(1);

/// Starts a plan at a time in the past, and replays it until it completes, reverts or halts, or the record ends.
/// Approvals are given at once; no other command is given. Everything else that the plan waits for (`after`, the fleet)
/// counts as done.
pub fn replay(source: &PlanSource, record: &Record, start: Timestamp) -> Run {
    let mut replay = Replay::new(source, record, start);
    for _ in 0..LOOKS_MAX {
        replay.look();
        if let Some(end) = replay.end() {
            return replay.run(start, end);
        }
        match replay.next_look() {
            Some(at) if at <= record.until => replay.now = at,
            Some(_) | None => break,
        }
    }
    replay.now = record.until;
    replay.look();
    if let Some(end) = replay.end() {
        return replay.run(start, end);
    }
    let end = End::Cut {
        step: replay.step(),
        because: std::mem::take(&mut replay.because),
    };
    replay.run(start, end)
}

/// One start that is being replayed, with the world around it.
struct Replay<'a> {
    now: Timestamp,
    pasts: BTreeMap<AlarmId, &'a Past>,
    series: BTreeMap<Query, &'a SeriesPast>,
    /// The number of minutes between two reads of metrics. `None` if the plan has no metric gates.
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

impl<'a> Replay<'a> {
    fn new(source: &PlanSource, record: &'a Record, now: Timestamp) -> Self {
        let plan = &source.plan;
        let mut pasts = BTreeMap::new();
        for gate in plan.alarms() {
            if let Some(past) = record.past(plan.account_of(&gate.id), &gate.id) {
                pasts.insert(gate.id.clone(), past);
            }
        }
        let mut replay = Self {
            now,
            pasts,
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
        // The record has nothing about hooks and jobs, so the replayed plan has none.
        let mut source = Box::new(source.clone());
        (source.plan.hooks, source.plan.jobs) = (Vec::new(), None);
        replay.append(Event::PlanAccepted { source });
        replay
    }

    fn run(self, start: Timestamp, end: End) -> Run {
        Run {
            start,
            began_at: self.began_at,
            end,
        }
    }

    /// Returns the number of the current step; 0 before the first one.
    fn step(&self) -> u16 {
        self.state.as_ref().map_or(0, |state| state.step)
    }

    /// Does one round, with all decisions that follow from its readings.
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

    /// Returns how the start has ended. `None` if it is still under way.
    fn end(&self) -> Option<End> {
        let (at, step) = (self.now, self.step());
        if let Some(cause) = self.reverted.clone() {
            return Some(End::Reverted { at, step, cause });
        }
        let state = self.state.as_ref()?;
        if state.phase == Phase::Completed {
            return Some(End::Completed { at });
        }
        if state.phase != Phase::Halted {
            return None;
        }
        let reason = state.halt.clone()?;
        Some(End::Halted { at, step, reason })
    }

    /// Returns the time of the next round in which something can differ: the decision wakes up, an alarm changes, a
    /// metric has new data, or a write arrives. There is also a round right before an alarm changes, because the bake
    /// counts up to the last reading at which all gates passed. `None` if nothing will differ.
    fn next_look(&self) -> Option<Timestamp> {
        let state = self.state.as_ref()?;
        let mut next: Option<Timestamp> = None;
        for past in self.pasts.values() {
            if let Some(at) = past.next_change(self.now) {
                let before = at - SignedDuration::from_secs(1);
                next = Some(earlier(next, if before > self.now { before } else { at }));
            }
        }
        if let Some(at) = self.wake_at
            && at > self.now
        {
            next = Some(earlier(next, at));
        }
        if matches!(state.phase, Phase::Shifting | Phase::Settling) {
            next = Some(earlier(next, self.now + INTERVAL));
        }
        if let Some(every) = self.measured_every {
            let period = SignedDuration::from_mins(i64::from(every));
            let measured = complete_until(self.now, every) + period + COMPLETE_AFTER;
            next = Some(earlier(next, measured));
        }
        next
    }

    /// Returns the readings of all series that the gates need now.
    fn readings(&self, state: &State) -> Readings {
        let mut readings = Readings::new();
        for (query, minutes) in wanted(state, self.now) {
            let reading = match self.series.get(&query) {
                Some(past) => past.reading(&query, minutes),
                None => SeriesReading::Unreadable("it was not recorded".to_owned()),
            };
            readings.insert(query, reading);
        }
        readings
    }

    /// Returns the readings of this round.
    fn observe(&self, state: &State) -> Observation {
        let mut alarms = BTreeMap::new();
        let mut histories = BTreeMap::new();
        for gate in state.plan().alarms() {
            let past = self.pasts.get(&gate.id);
            let reading = match past {
                Some(past) => past.reading_at(self.now),
                None => AlarmReading::Missing,
            };
            if let Some(past) = past
                && verdict::needs_history(state, &gate.id, &reading)
            {
                let entered = HistoryReading::EnteredAlarm(past.entered(self.now));
                histories.insert(gate.id.clone(), entered);
            }
            alarms.insert(gate.id.clone(), reading);
        }
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
            // Nobody else writes, so no drift check is needed.
            groups_read_at: Some(self.now),
            clock_skew: Some(SignedDuration::ZERO),
            break_glass_error: None,
            claimed: Vec::new(),
            baseline_as_is: None,
            beside: Beside::default(),
        };
        if decide::wants_groups(state, &self.fleet, &observation, self.now) {
            observation.groups.clear();
            for (zone, members) in &self.groups {
                observation.groups.push(GroupReading::Read {
                    zone: zone.clone(),
                    members: members.clone(),
                    at: self.now,
                });
            }
        }
        observation
    }

    /// Returns the status of a change.
    fn status(&self, change: &ChangeId) -> ChangeReading {
        match self.submitted.get(change) {
            Some(at) if self.now >= *at + IN_SYNC_AFTER => ChangeReading::InSync,
            Some(_) => ChangeReading::Pending,
            None => ChangeReading::Unknown,
        }
    }

    /// Carries out a write, and journals that Route 53 accepted it: one change for each zone.
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

    /// Folds an event as the next entry.
    fn append(&mut self, event: Event) {
        let (cutover, attempt, seq) = if let Some(state) = &self.state {
            (state.name.clone(), state.attempt, state.seq + 1)
        } else if let Event::PlanAccepted { source } = &event {
            (source.plan.name.clone(), 1, 1)
        } else {
            return;
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

/// Returns the earlier of two times.
fn earlier(next: Option<Timestamp>, at: Timestamp) -> Timestamp {
    next.map_or(at, |next| next.min(at))
}

/// Returns all series that the plan's metric gates need, sorted.
pub fn queries(measures: &Measures) -> Vec<Query> {
    let mut queries: Vec<&Query> = Vec::new();
    for (query, _) in measures.queries() {
        queries.push(query);
    }
    queries.sort();
    queries.dedup();
    queries.into_iter().cloned().collect()
}

/// Returns the past of each series that the plan's gates need and that the record has.
fn series<'a>(plan: &Plan, record: &'a Record) -> BTreeMap<Query, &'a SeriesPast> {
    let mut known = BTreeMap::new();
    for query in queries(&plan.gates.measures) {
        if let Some(past) = record.series(plan.account_of_series(&query), &query) {
            known.insert(query, past);
        }
    }
    known
}

/// Returns the shortest time between two reads of a gate's series, in minutes. `None` if there are no metric gates.
fn measured_every(measures: &Measures) -> Option<u16> {
    let gates = measures.gates();
    gates.iter().map(|gate| gate.every_mins()).min()
}

/// Returns the groups at the start: all traffic is on the old side.
fn groups(plan: &Plan) -> Vec<(ZoneId, Vec<RecordSet>)> {
    let mut groups = Vec::new();
    for group in &plan.records {
        let members = vec![
            member(&group.name, &group.new, 0),
            member(&group.name, &group.old, 100),
        ];
        groups.push((ZoneId::from(group.zone.zone.clone()), members));
    }
    groups
}

/// Returns one member of a group.
fn member(group: &GroupName, identifier: &str, weight: u8) -> RecordSet {
    RecordSet {
        name: group.name.to_string(),
        record_type: group.record_type.clone(),
        set_identifier: identifier.to_owned(),
        weight: Weight(weight),
        ttl: Some(TTL_SECS),
        values: Vec::new(),
        alias: None,
        health_check_id: None,
        unsupported: Vec::new(),
    }
}

/// Returns the approvals that the holds ask for.
fn approvals(state: &State, because: &[HoldReason]) -> Vec<Event> {
    let mut approvals = Vec::new();
    for number in because.iter().filter_map(HoldReason::asks_approval) {
        if let Some(step) = state.plan().step(number) {
            approvals.push(Event::StepApproved {
                step: number,
                pair: step.pair,
                bake_secs: step.bake.as_secs(),
                reason: "assumed by the backtest".to_owned(),
                caller_arn: None,
            });
        }
    }
    approvals
}
