//! The simulated world of a rehearsal: services, alarms and faults that go on while the controller waits.
//!
//! The world advances only when it is needed. Before each call to Route 53, `CloudWatch` or the journal, the simulated
//! ports in [`doors`] let everything happen that is due by then, minute by minute and in order. [`Stage::next_look`]
//! plays the future ahead, so that the controller can sleep while it could see no change.

pub mod doors;
pub mod record;
pub mod side_doors;
pub mod trouble;
pub mod watch;

mod cutover;
mod feed;
mod look;
mod lookahead;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use self::cutover::SimCutover;
use self::lookahead::Lookahead;
use self::record::Recording;
use self::trouble::StageTrouble;
use crate::dns::SimDns;
use crate::scenario::{AlarmTrouble, FaultKind, Scenario};
use crate::signals::SimSignals;
use crate::traffic::{MINUTE, minute_of};
use crate::world::{DEFAULT_REGION, World};
use cutover_engine::event::{Envelope, Event};
use cutover_engine::ledger::{Ledger, Took};
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::Plan;
use cutover_engine::state::State;
use cutover_engine::units::{AlarmId, CutoverName, Weight};

/// A simulated world that several ports share.
pub type SharedStage = Arc<Mutex<Stage>>;

/// How long after a change no rounds are skipped. The controller checks for drift once a minute.
const RESTLESS: SignedDuration = SignedDuration::from_mins(2);

/// The simulated world behind the ports of a rehearsal.
pub struct Stage {
    dns: SimDns,
    signals: SimSignals,
    cutovers: Vec<SimCutover>,
    lookahead: Lookahead,
    /// The start of the first minute that has not been played, in seconds since 1970.
    minute: i64,
    troubles: Vec<StageTrouble>,
    /// The scheduled changes, by time and serial number.
    edges: BTreeMap<(Timestamp, u64), Edge>,
    serial: u64,
    /// The number of writes to Route 53 that were taken into account.
    writes_seen: usize,
    ledger: Ledger,
    recordings: Vec<Recording>,
    /// The time until which the controller skips no rounds.
    restless_until: Timestamp,
}

/// A change that is scheduled for one moment.
#[derive(Debug, Clone)]
enum Edge {
    /// The controller can see something new from this moment on.
    Mark,
    /// The evaluation of a metric alarm gives another state.
    Alarm {
        cutover: usize,
        id: AlarmId,
        state: AlarmState,
    },
    /// A fault of an alarm begins or ends.
    Alarms { trouble: usize },
    /// Another writer changes weights.
    Foreign { trouble: usize },
}

impl Stage {
    /// Creates the services and faults of these plans in `world`, whose clock shows `start`. `seed` decides all random
    /// numbers.
    pub fn new(
        world: &World,
        plans: &[&Plan],
        scenario: &Scenario,
        seed: u64,
        start: Timestamp,
    ) -> Self {
        let (dns, signals) = (world.dns.clone(), world.signals.clone());
        let zones: Vec<_> = dns
            .model()
            .weight_writes()
            .iter()
            .map(|write| write.zone.clone())
            .collect();
        let mut zones = zones.into_iter();
        let mut watched = BTreeSet::new();
        let mut cutovers = Vec::new();
        let mut recordings = Vec::new();
        for plan in plans {
            cutovers.push(SimCutover::new(plan, &mut zones, scenario, &mut watched));
            recordings.push(Recording::default());
        }
        let minute = minute_of(start);
        let mut stage = Self {
            lookahead: Lookahead::new(&cutovers, scenario, seed, minute),
            dns,
            signals,
            cutovers,
            minute,
            troubles: Vec::new(),
            edges: BTreeMap::new(),
            serial: 0,
            writes_seen: 0,
            ledger: Ledger::default(),
            recordings,
            restless_until: start,
        };
        stage.compose(scenario, start);
        for fault in &scenario.faults {
            let trouble = StageTrouble::new(fault.clone(), start);
            stage.troubles.push(trouble);
            stage.announce(stage.troubles.len() - 1);
        }
        stage.advance(start);
        stage
    }

    /// Creates the alarms of the scenario: metric alarms in OK, and the composite alarms over them.
    fn compose(&mut self, scenario: &Scenario, now: Timestamp) {
        use crate::cloudwatch::definition::AlarmHead;
        let mut model = self.signals.model();
        for alarm in &scenario.alarms {
            let region = self.region_of(&alarm.name);
            match &alarm.rule {
                None => model.set_state(&region, &alarm.name, AlarmState::Ok, now),
                Some(rule) => {
                    model.remove(&region, &alarm.name, now);
                    let head = AlarmHead {
                        name: alarm.name.clone(),
                        ..AlarmHead::default()
                    };
                    let region = model.region(&region, now);
                    if let Err(error) = region.put_composite_alarm(&head, rule, now) {
                        tracing::warn!("the composite alarm {}: {error}", alarm.name);
                    }
                }
            }
        }
    }

    /// Returns the region of the plans' alarm with this name, or the default region.
    fn region_of(&self, name: &str) -> String {
        let mut ids = self.cutovers.iter().flat_map(|cutover| &cutover.alarms);
        let found = ids.find(|id| id.name == name);
        region(found.and_then(|id| id.region.as_deref()))
    }

    /// Lets everything happen, in order, that is due until `now`.
    pub fn advance(&mut self, now: Timestamp) {
        self.note_writes();
        loop {
            let minute_end = self.minute + MINUTE;
            let due = match self.edges.keys().next() {
                Some(key) if key.0 <= now => Some(*key),
                Some(_) | None => None,
            };
            let minute_is_next = due.is_none_or(|(at, _)| minute_end <= at.as_second());
            if minute_is_next && minute_end <= now.as_second() {
                self.play_minute();
                continue;
            }
            let Some(key) = due else {
                return;
            };
            if let Some(edge) = self.edges.remove(&key) {
                self.happen(key.0, edge);
            }
        }
    }

    /// Plays the next minute to its end: records it, and schedules the alarms that it changes.
    fn play_minute(&mut self) {
        let outcomes = self
            .lookahead
            .take(self.minute, &self.cutovers, &self.troubles);
        self.minute += MINUTE;
        for (index, outcome) in outcomes.into_iter().enumerate() {
            self.recordings[index].minute(&outcome.sample, &self.cutovers[index].red);
            let feed = &self.cutovers[index].feed;
            feed.record(&mut self.signals.model(), &outcome.sample);
            for (id, seen) in outcome.seen {
                if seen.breaching {
                    self.recordings[index].bad.push((seen.at, id.clone()));
                }
                if let Some(state) = seen.state {
                    self.at(
                        seen.at,
                        Edge::Alarm {
                            cutover: index,
                            id,
                            state,
                        },
                    );
                }
            }
        }
    }

    /// Schedules a change.
    fn at(&mut self, at: Timestamp, edge: Edge) {
        self.serial += 1;
        self.edges.insert((at, self.serial), edge);
    }

    /// Carries a scheduled change out.
    fn happen(&mut self, at: Timestamp, edge: Edge) {
        self.restless_until = self.restless_until.max(later(at, RESTLESS));
        match edge {
            Edge::Mark => {}
            Edge::Alarm { cutover, id, state } => {
                if let Some(evaluated) = self.cutovers[cutover].evaluated.get_mut(&id) {
                    *evaluated = state;
                }
                self.show(&id.name, at);
            }
            Edge::Alarms { trouble } => {
                if let Some(alarm) = self.troubles[trouble].alarm().map(str::to_owned) {
                    self.show(&alarm, at);
                }
            }
            Edge::Foreign { trouble } => self.write_foreign(trouble, at),
        }
    }

    /// The troubles of this alarm that are in force, in the scenario's order.
    fn troubles_of(&self, name: &str, at: Timestamp) -> Vec<AlarmTrouble> {
        let mut troubles = Vec::new();
        for stage_trouble in &self.troubles {
            if let Some((alarm, trouble)) = stage_trouble.fault.kind.alarm()
                && alarm == name
                && stage_trouble.holds_at(at)
            {
                troubles.push(trouble);
            }
        }
        troubles
    }

    /// Returns the state of an alarm: the state that its first active fault gives, otherwise the evaluated one. `None`
    /// if a fault removes the alarm.
    fn state_of(&self, name: &str, at: Timestamp) -> Option<AlarmState> {
        for trouble in self.troubles_of(name, at) {
            match trouble {
                AlarmTrouble::Red => return Some(AlarmState::Alarm),
                AlarmTrouble::Missing => return None,
                AlarmTrouble::NoData => return Some(AlarmState::InsufficientData),
                AlarmTrouble::Unclear => {}
            }
        }
        let mut evaluated = self.cutovers.iter().flat_map(|cutover| &cutover.evaluated);
        match evaluated.find(|(id, _)| id.name == name) {
            Some((_, state)) => Some(*state),
            None => Some(AlarmState::Ok),
        }
    }

    /// Sets an alarm's state in `CloudWatch` from its faults and its evaluation.
    fn show(&mut self, name: &str, at: Timestamp) {
        let state = self.state_of(name, at);
        let unclear = self.troubles_of(name, at).contains(&AlarmTrouble::Unclear);
        let evaluation = if unclear { Some("PARTIAL_DATA") } else { None };
        let region = self.region_of(name);
        {
            let mut model = self.signals.model();
            match state {
                Some(state) => model.set_state(&region, name, state, at),
                None => model.remove(&region, name, at),
            }
            model.set_evaluation(&region, name, evaluation, at);
        }
        self.note_red(at);
    }

    /// Updates the list of each plan's alarms that are in ALARM, and records those that turned red.
    fn note_red(&mut self, now: Timestamp) {
        let mut model = self.signals.model();
        for (cutover, recording) in self.cutovers.iter_mut().zip(&mut self.recordings) {
            let mut red = BTreeSet::new();
            for id in &cutover.alarms {
                let region = model.region(&region(id.region.as_deref()), now);
                let alarm = region.alarm(&id.name);
                if alarm.is_some_and(|alarm| alarm.state == AlarmState::Alarm) {
                    red.insert(id.clone());
                }
            }
            for id in red.difference(&cutover.red) {
                recording.turned_red.push((now, id.clone()));
            }
            cutover.red = red;
        }
    }

    /// Writes weights, as another writer, to all groups of the cutovers that the fault affects.
    fn write_foreign(&mut self, trouble: usize, now: Timestamp) {
        let trouble = &self.troubles[trouble];
        let FaultKind::ForeignWrite { old, new } = trouble.fault.kind else {
            return;
        };
        let cutovers = self.cutovers.iter();
        let concerned = cutovers.filter(|cutover| trouble.concerns(&cutover.name));
        let mut model = self.dns.model();
        for group in concerned.flat_map(|cutover| &cutover.groups) {
            for (identifier, weight) in [(&group.old, old), (&group.new, new)] {
                let weight = Weight(weight);
                let wrote = model.foreign_weight(&group.zone, &group.name, identifier, weight, now);
                if let Err(error) = wrote {
                    tracing::warn!("the foreign write was refused: {}", error.message);
                }
            }
        }
        drop(model);
        self.note_writes();
    }

    /// Takes into account the weights that were written to Route 53 since the last call.
    fn note_writes(&mut self) {
        let marks: Vec<Timestamp> = {
            let model = self.dns.model();
            let writes = model.weight_writes();
            if writes.len() == self.writes_seen {
                return;
            }
            let new = writes[self.writes_seen..].iter();
            let marks = new.filter_map(|write| model.in_sync_at(&write.change));
            let marks = marks.collect();
            self.writes_seen = writes.len();
            for cutover in &mut self.cutovers {
                cutover.follow(&model);
            }
            marks
        };
        for at in marks {
            self.at(at, Edge::Mark);
        }
        self.forget_future();
    }

    /// Schedules the beginning and the end of a fault, if its time is known.
    fn announce(&mut self, index: usize) {
        let trouble = &self.troubles[index];
        let (Some(from), until) = (trouble.from, trouble.until) else {
            return;
        };
        let (begin, end) = if trouble.alarm().is_some() {
            let change = Edge::Alarms { trouble: index };
            (change.clone(), change)
        } else if matches!(trouble.fault.kind, FaultKind::ForeignWrite { .. }) {
            (Edge::Foreign { trouble: index }, Edge::Mark)
        } else {
            (Edge::Mark, Edge::Mark)
        };
        self.at(from, begin);
        if let Some(until) = until {
            self.at(until, end);
        }
        self.forget_future();
    }

    /// Takes an entry of the journal into account.
    pub fn note(&mut self, entry: &Envelope) {
        // If the reply to an append is lost, its entries are sent again. They must not count twice.
        if !matches!(self.ledger.take(entry), Took::Folded { .. }) {
            return;
        }
        let mut cutovers = self.cutovers.iter();
        let Some(index) = cutovers.position(|cutover| cutover.name == entry.cutover) else {
            return;
        };
        if let Event::WeightsVerified { step, .. } = &entry.event {
            for trouble in 0..self.troubles.len() {
                if self.troubles[trouble].step_verified(&entry.cutover, *step, entry.at) {
                    self.announce(trouble);
                }
            }
        }
        if matches!(
            entry.event,
            Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. }
        ) {
            let state = self.ledger.state(&entry.cutover);
            let would_end = state.map(|state| would_end(state, entry.at));
            self.cutovers[index].reverting_from(entry.at);
            self.recordings[index].reverting(entry.at, would_end);
            self.forget_future();
        }
        if matches!(
            entry.event,
            Event::Completed { .. } | Event::Reverted { .. } | Event::Abandoned { .. }
        ) {
            self.recordings[index].over(entry.at);
        }
    }

    /// Drops the minutes that were played ahead, because something happened that they did not take into account.
    fn forget_future(&mut self) {
        let (cutovers, troubles) = (&self.cutovers, &self.troubles);
        self.lookahead.forget(self.minute, cutovers, troubles);
    }

    /// Lets the world go on after the controller has ended at `end`, until the effect on all requests is known, but at
    /// most 100 days.
    pub fn play_out(&mut self, end: Timestamp) {
        let most = later(end, SignedDuration::from_hours(24 * 100));
        for recording in &mut self.recordings {
            recording.cut_off(end);
        }
        let mut until = end;
        while self.recordings.iter().any(|it| !it.is_done(self.minute)) && until < most {
            until = later(until, SignedDuration::from_hours(1));
            self.advance(until);
        }
    }

    /// Returns the states of the cutovers, folded from the journal.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.ledger.states()
    }

    /// Returns true if a fault of exactly this kind is in force.
    pub(super) fn is_troubled_by(&self, kind: &FaultKind, now: Timestamp) -> bool {
        let mut troubles = self.troubles.iter();
        troubles.any(|it| it.holds_at(now) && it.fault.kind == *kind)
    }

    /// Returns the scenario's faults, in its order, with or without known times.
    pub fn troubles(&self) -> &[StageTrouble] {
        &self.troubles
    }

    /// Returns the recording of a cutover. `None` if the world has no cutover of this name.
    pub fn recording(&self, name: &CutoverName) -> Option<&Recording> {
        let mut cutovers = self.cutovers.iter();
        let index = cutovers.position(|cutover| cutover.name == *name)?;
        self.recordings.get(index)
    }

    /// The simulated metric alarms, with what was assumed about them.
    pub fn watches(&self) -> impl Iterator<Item = &watch::AlarmWatch> {
        self.cutovers.iter().flat_map(|cutover| &cutover.watches)
    }
}

/// Returns the time at which the plan would have ended without the revert: all bakes from the current step on, without
/// the counted part of the current bake.
fn would_end(state: &State, now: Timestamp) -> Timestamp {
    let taken = usize::from(state.step.max(1)) - 1;
    let bakes = state.plan().steps.iter().skip(taken).map(|step| step.bake);
    let left = bakes.fold(SignedDuration::ZERO, SignedDuration::saturating_add);
    later(now, (left - state.bake.counted).max(SignedDuration::ZERO))
}

/// Adds a duration. Times that cannot be represented become the last possible one.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Returns the region, or the default region if there is none.
fn region(of: Option<&str>) -> String {
    of.unwrap_or(DEFAULT_REGION).to_owned()
}

/// Locks the simulated world. A poisoned lock is usable, because the data behind it is plain.
pub fn lock(stage: &SharedStage) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}
