//! The stage of a rehearsal: services, alarms and troubles that go on while the controller waits.
//!
//! Time passes lazily: whoever looks at Route 53, `CloudWatch` or the journal through the [`doors`] lets everything happen
//! first that has happened until then, minute by minute and in order. [`Stage::next_look`] tries the future out, so that a
//! controller need not look while nothing changes that it can see.

pub mod doors;
pub mod record;
pub mod side_doors;
pub mod trouble;
pub mod watch;

mod cast;
mod feed;
mod look;
mod rush;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use self::cast::Cast;
use self::record::Recording;
use self::rush::Rush;
use self::trouble::Trouble;
use crate::engine::event::{Envelope, Event};
use crate::engine::ledger::{Ledger, Took};
use crate::engine::observation::AlarmState;
use crate::engine::plan::Plan;
use crate::engine::state::State;
use crate::engine::units::{AlarmId, CutoverName, Weight};
use crate::scenario::{Scenario, What};
use crate::sim::dns::SimDns;
use crate::sim::signals::SimSignals;
use crate::sim::traffic::{MINUTE, minute_of};
use crate::sim::world::{DEFAULT_REGION, World};

/// A stage that several doors share.
pub type SharedStage = Arc<Mutex<Stage>>;

/// How long after a change everything is looked at in each interval: a drift check is made once a minute.
const RESTLESS: SignedDuration = SignedDuration::from_mins(2);

/// Everything behind the doors.
pub struct Stage {
    dns: SimDns,
    signals: SimSignals,
    casts: Vec<Cast>,
    rush: Rush,
    /// The start of the first minute that has not been played, in seconds since 1970.
    minute: i64,
    troubles: Vec<Trouble>,
    /// What happens at which moment.
    edges: BTreeMap<(Timestamp, u64), Edge>,
    serial: u64,
    writes_seen: usize,
    ledger: Ledger,
    recordings: Vec<Recording>,
    restless_until: Timestamp,
}

/// What happens at one moment.
#[derive(Debug, Clone)]
enum Edge {
    /// Something can be seen from here on that could not be before.
    Mark,
    /// An alarm's evaluation gives another state.
    Alarm {
        cast: usize,
        id: AlarmId,
        state: AlarmState,
    },
    /// An alarm is forced, removed, or let go again.
    Alarms { trouble: usize },
    /// Somebody else writes weights.
    Foreign { trouble: usize },
}

impl Stage {
    /// The services and troubles of these plans in `world`, whose clock stands at `start`.
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
        let casts: Vec<Cast> = plans
            .iter()
            .map(|plan| Cast::new(plan, zones.by_ref(), scenario, &mut watched))
            .collect();
        let recordings = casts.iter().map(|_| Recording::default()).collect();
        let minute = minute_of(start);
        let mut stage = Self {
            rush: Rush::new(&casts, scenario, seed, minute),
            dns,
            signals,
            casts,
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
            let trouble = Trouble::new(fault.clone(), start);
            stage.troubles.push(trouble);
            stage.announce(stage.troubles.len() - 1);
        }
        stage.advance(start);
        stage
    }

    /// Makes the composite alarms of the scenario.
    fn compose(&mut self, scenario: &Scenario, now: Timestamp) {
        use crate::sim::cloudwatch::definition::AlarmHead;
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

    /// The region in which a plan has an alarm of this name.
    fn region_of(&self, name: &str) -> String {
        let mut ids = self.casts.iter().flat_map(|cast| &cast.alarms);
        let found = ids.find(|id| id.name == name);
        region(found.and_then(|id| id.region.as_deref()))
    }

    /// Lets everything happen that happens until `now`.
    pub fn advance(&mut self, now: Timestamp) {
        self.note_writes();
        loop {
            let over = self.minute + MINUTE;
            let next = self.edges.keys().next().copied();
            let next = next.filter(|(at, _)| *at <= now);
            if over <= now.as_second() && next.is_none_or(|(at, _)| over <= at.as_second()) {
                self.play_minute();
            } else if let Some(key) = next {
                if let Some(edge) = self.edges.remove(&key) {
                    self.happen(key.0, edge);
                }
            } else {
                return;
            }
        }
    }

    /// Plays the next minute to its end.
    fn play_minute(&mut self) {
        let outcomes = self.rush.take(self.minute, &self.casts, &self.troubles);
        self.minute += MINUTE;
        for (index, outcome) in outcomes.into_iter().enumerate() {
            self.recordings[index].minute(&outcome.sample, &self.casts[index].red);
            let feed = &self.casts[index].feed;
            feed.tell(&mut self.signals.model(), &outcome.sample);
            for (id, seen) in outcome.seen {
                if seen.breaching {
                    self.recordings[index].bad.push((seen.at, id.clone()));
                }
                if let Some(state) = seen.state {
                    self.at(
                        seen.at,
                        Edge::Alarm {
                            cast: index,
                            id,
                            state,
                        },
                    );
                }
            }
        }
    }

    fn at(&mut self, at: Timestamp, edge: Edge) {
        self.serial += 1;
        self.edges.insert((at, self.serial), edge);
    }

    fn happen(&mut self, at: Timestamp, edge: Edge) {
        self.restless_until = self.restless_until.max(later(at, RESTLESS));
        match edge {
            Edge::Mark => {}
            Edge::Alarm { cast, id, state } => {
                if let Some(evaluated) = self.casts[cast].evaluated.get_mut(&id) {
                    *evaluated = state;
                }
                self.show(&id.name.clone(), at);
            }
            Edge::Alarms { trouble } => match self.troubles[trouble].fault.what.clone() {
                What::AlarmRed { alarm }
                | What::AlarmMissing { alarm }
                | What::AlarmNoData { alarm }
                | What::AlarmUnclear { alarm } => self.show(&alarm, at),
                _ => {}
            },
            Edge::Foreign { trouble } => self.write_foreign(trouble, at),
        }
    }

    /// Shows an alarm's state in `CloudWatch` as its evaluation and the troubles have it.
    fn show(&mut self, name: &str, at: Timestamp) {
        let in_force = |trouble: &&Trouble| trouble.holds_at(at);
        let mut troubles = self.troubles.iter().filter(in_force);
        let said = troubles.find_map(|trouble| match &trouble.fault.what {
            What::AlarmRed { alarm } if alarm == name => Some(Some(AlarmState::Alarm)),
            What::AlarmMissing { alarm } if alarm == name => Some(None),
            What::AlarmNoData { alarm } if alarm == name => {
                Some(Some(AlarmState::InsufficientData))
            }
            _ => None,
        });
        let is_unclear = |trouble: &Trouble| {
            let named =
                matches!(&trouble.fault.what, What::AlarmUnclear { alarm } if alarm == name);
            named && trouble.holds_at(at)
        };
        let evaluation = self
            .troubles
            .iter()
            .any(is_unclear)
            .then_some("PARTIAL_DATA");
        let mut evaluated = self.casts.iter().flat_map(|cast| &cast.evaluated);
        let evaluated = evaluated.find(|(id, _)| id.name == name);
        let state = said.unwrap_or_else(|| Some(evaluated.map_or(AlarmState::Ok, |(_, s)| *s)));
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

    /// Which alarms of each plan are in ALARM now.
    fn note_red(&mut self, now: Timestamp) {
        let mut model = self.signals.model();
        for (cast, recording) in self.casts.iter_mut().zip(&mut self.recordings) {
            let is_red = |id: &&AlarmId| {
                let found = model.region(&region(id.region.as_deref()), now);
                let found = found.alarm(&id.name);
                found.is_some_and(|alarm| alarm.state == AlarmState::Alarm)
            };
            let red: BTreeSet<AlarmId> = cast.alarms.iter().filter(is_red).cloned().collect();
            for id in red.difference(&cast.red) {
                recording.turned_red.push((now, id.clone()));
            }
            cast.red = red;
        }
    }

    /// Somebody else writes weights to all groups that the fault is about.
    fn write_foreign(&mut self, trouble: usize, now: Timestamp) {
        let trouble = &self.troubles[trouble];
        let What::ForeignWrite { old, new } = trouble.fault.what else {
            return;
        };
        let named = self
            .casts
            .iter()
            .filter(|cast| trouble.concerns(&cast.name));
        let mut model = self.dns.model();
        for group in named.flat_map(|cast| &cast.groups) {
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

    /// Follows what was written to Route 53 since the last look.
    fn note_writes(&mut self) {
        let marks: Vec<Timestamp> = {
            let model = self.dns.model();
            let writes = model.weight_writes();
            if writes.len() == self.writes_seen {
                return;
            }
            let new = &writes[self.writes_seen..];
            let marks = new
                .iter()
                .filter_map(|write| model.in_sync_at(&write.change));
            let marks = marks.collect();
            self.writes_seen = writes.len();
            for cast in &mut self.casts {
                cast.follow(&model);
            }
            marks
        };
        for at in marks {
            self.at(at, Edge::Mark);
        }
        self.rush.forget(self.minute, &self.casts, &self.troubles);
    }

    /// Announces when a fault whose moment is known begins and ends.
    fn announce(&mut self, index: usize) {
        let trouble = &self.troubles[index];
        let (Some(from), until) = (trouble.from, trouble.until) else {
            return;
        };
        let edge = match trouble.fault.what {
            What::AlarmRed { .. }
            | What::AlarmMissing { .. }
            | What::AlarmNoData { .. }
            | What::AlarmUnclear { .. } => Edge::Alarms { trouble: index },
            What::ForeignWrite { .. } => Edge::Foreign { trouble: index },
            _ => Edge::Mark,
        };
        let end = match edge {
            Edge::Alarms { .. } => edge.clone(),
            Edge::Mark | Edge::Alarm { .. } | Edge::Foreign { .. } => Edge::Mark,
        };
        self.at(from, edge);
        if let Some(until) = until {
            self.at(until, end);
        }
        self.rush.forget(self.minute, &self.casts, &self.troubles);
    }

    /// Follows the journal.
    pub fn note(&mut self, entry: &Envelope) {
        // An append whose reply was lost is answered again.
        if !matches!(self.ledger.take(entry), Took::Folded { .. }) {
            return;
        }
        let named = |cast: &Cast| cast.name == entry.cutover;
        let Some(index) = self.casts.iter().position(named) else {
            return;
        };
        match &entry.event {
            Event::WeightsVerified { step, .. } => {
                for trouble in 0..self.troubles.len() {
                    if self.troubles[trouble].step_verified(&entry.cutover, *step, entry.at) {
                        self.announce(trouble);
                    }
                }
            }
            Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. } => {
                let state = self.ledger.state(&entry.cutover);
                let would_end = state.map(|state| would_end(state, entry.at));
                self.casts[index].reverting_from(entry.at);
                self.recordings[index].reverting(entry.at, would_end);
                self.rush.forget(self.minute, &self.casts, &self.troubles);
            }
            Event::Completed { .. } | Event::Reverted { .. } | Event::Abandoned { .. } => {
                self.recordings[index].over(entry.at);
            }
            _ => {}
        }
    }

    /// Lets the world go on after the controller's end, until what it did to the requests is known.
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

    /// The folded journal.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.ledger.states()
    }

    /// What goes wrong, armed or not.
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// What was recorded of a cutover.
    pub fn recording(&self, name: &CutoverName) -> Option<&Recording> {
        let index = self.casts.iter().position(|cast| cast.name == *name)?;
        self.recordings.get(index)
    }

    /// What was taken for granted about the plans' alarms.
    pub fn watches(&self) -> impl Iterator<Item = &watch::Watch> {
        self.casts.iter().flat_map(|cast| &cast.watches)
    }
}

/// When the plan would have been over, had the step under way not been taken back.
fn would_end(state: &State, now: Timestamp) -> Timestamp {
    let taken = usize::from(state.step.max(1)) - 1;
    let bakes = state.plan().steps.iter().skip(taken).map(|step| step.bake);
    let left = bakes.fold(SignedDuration::ZERO, SignedDuration::saturating_add);
    later(now, (left - state.bake.counted).max(SignedDuration::ZERO))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn region(of: Option<&str>) -> String {
    of.unwrap_or(DEFAULT_REGION).to_owned()
}

/// Locks; a holder that panicked leaves plain data behind, which is as good as any.
pub fn lock(stage: &SharedStage) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}
