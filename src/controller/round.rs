//! One round: journal and commands, then what goes back, then the rest (RULES F).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::claims::Claims;
use super::observe::{self, Reads, Seen};
use super::perform::Outcome;
use super::{Controller, ControllerError};
use crate::engine::check;
use crate::engine::decide::{self, Decision, Order, Purpose};
use crate::engine::event::Event;
use crate::engine::fleet::Fleet;
use crate::engine::hold::HoldReason;
use crate::engine::observation::{FileReading, GroupReading, Observation};
use crate::engine::preflight;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, WeightPair};
use crate::ports::{Glance, Heartbeat, JournalError};

/// How often one cutover is decided again in one round: a bound, not a number that is ever reached.
const DECISIONS_MAX: usize = 20;

/// How many lost races of the append one cutover may have in one round (RULES F1).
const RACES_MAX: usize = 5;

/// A heartbeat is not worth a longer wait: the next round must come.
const BEAT_WITHIN: Duration = Duration::from_secs(2);

/// How long orders are gathered before they are handed over. The journal takes each decision by itself, some
/// milliseconds each on a disk; an intended write may be sent for 15 s.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// An order, whose it is, and who else had written to the stream when it was decided.
type Decided = (CutoverName, Order, u64);

/// How often groups are read in one round: for what wants them at first, and for what turned back because of it.
const READS_MAX: usize = 3;

/// Which cutovers a round is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    All,
    Only(BTreeSet<CutoverName>),
}

impl Controller {
    /// One round over the cutovers that are due, and over those that somebody else wrote about.
    pub(super) async fn round(&mut self, due: &Due) -> Result<(), ControllerError> {
        self.refresh().await?;
        // Whatever was answered is read back at once, and all of it together.
        let answered = self.record().await?;
        self.look_at_files().await?;
        self.keep_break_glass();
        let foreign = self.book.take_foreign();
        let freed = self.freed();
        let names: Vec<CutoverName> = self
            .states()
            .into_iter()
            .map(|state| state.name.clone())
            .filter(|name| match due {
                Due::All => true,
                Due::Only(names) => {
                    let told = foreign.contains(name) || answered.contains(name);
                    told || names.contains(name) || freed.contains(name)
                }
            })
            .collect();
        let (back, rest): (Vec<CutoverName>, Vec<CutoverName>) =
            names.into_iter().partition(|name| self.goes_back(name));
        self.pass(back, false).await?;
        self.take_limits().await?;
        self.pass(rest, true).await?;
        self.tell_fleet_news().await?;
        self.keep_break_glass();
        self.send_pages();
        self.beat().await;
        self.log_news();
        Ok(())
    }

    /// Reads the journal. While it is down, what was read before counts.
    pub(super) async fn refresh(&mut self) -> Result<(), ControllerError> {
        let read = self.book.refresh().await;
        self.journal_answered(read)?;
        for name in self.book.take_strangers() {
            self.performer.note_foreign(&name);
            self.note_head(&name);
        }
        if !self.caught_up {
            // What happened before this process is no news.
            self.book.take_news();
            self.caught_up = self.journal_trouble.is_none();
        }
        self.log_news();
        Ok(())
    }

    /// Notes whether the journal is up; only a journal that can never be used is an error.
    pub(super) fn journal_answered(
        &mut self,
        answer: Result<(), JournalError>,
    ) -> Result<(), ControllerError> {
        match answer {
            Ok(()) | Err(JournalError::Conflict { .. }) => {
                if self.journal_trouble.take().is_some() {
                    tracing::info!("the journal answers again");
                }
                Ok(())
            }
            Err(JournalError::Down(message)) => {
                if self.journal_trouble.is_none() {
                    tracing::error!(
                        page = true,
                        "the journal is down: steps hold, reverts go on: {message}"
                    );
                }
                self.journal_trouble = Some(message);
                Ok(())
            }
            Err(error @ (JournalError::Missing(_) | JournalError::Unusable(_))) => {
                Err(error.into())
            }
        }
    }

    pub(super) fn log_news(&mut self) {
        for entry in self.book.take_news() {
            let words = (self.outside.narrate)(&entry);
            tracing::info!(cutover = %entry.cutover, seq = entry.seq, "{words}");
        }
    }

    /// Journals what came of writes and pages. Returns the cutovers whose writes were answered.
    pub(super) async fn record(&mut self) -> Result<BTreeSet<CutoverName>, ControllerError> {
        while let Some(outcome) = self.performer.try_next() {
            self.note_outcome(outcome);
        }
        let now = self.now();
        let revealed = self.book.reveal_all(now).await;
        self.journal_answered(revealed)?;
        let mut answered = BTreeSet::new();
        for (outcome, append_id) in std::mem::take(&mut self.unrecorded) {
            let name = &outcome.cutover;
            answered.insert(name.clone());
            if !self.write_down(name, &outcome.event, &append_id).await? {
                self.unrecorded.push((outcome, append_id));
            }
        }
        for (name, of) in std::mem::take(&mut self.delivered) {
            if self.book.is_shadowed(&name) || !self.is_undelivered(&name, of) {
                continue;
            }
            let append_id = self.book.next_append_id();
            let sent = Event::PageSent { of };
            if !self.write_down(&name, &sent, &append_id).await? {
                self.delivered.push((name, of));
            }
        }
        Ok(answered)
    }

    /// Keeps an outcome until the journal has it.
    pub(super) fn note_outcome(&mut self, outcome: Outcome) {
        let append_id = self.book.next_append_id();
        self.unrecorded.push((outcome, append_id));
    }

    /// Appends a fact that holds whoever else wrote meanwhile; false if the journal cannot take it now.
    async fn write_down(
        &mut self,
        name: &CutoverName,
        event: &Event,
        append_id: &str,
    ) -> Result<bool, ControllerError> {
        for _ in 0..RACES_MAX {
            let now = self.now();
            let written = self
                .book
                .append_fact(name, now, event, append_id.to_owned())
                .await;
            match written {
                Ok(()) => {
                    self.note_head(name);
                    self.journal_answered(Ok(()))?;
                    return Ok(true);
                }
                Err(JournalError::Conflict { .. }) => self.refresh().await?,
                Err(error) => {
                    self.journal_answered(Err(error))?;
                    if self.book.is_shadowed(name) {
                        self.book.shadow(name, now, std::slice::from_ref(event));
                        return Ok(true);
                    }
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Tells the writers what this process has seen of a stream.
    fn note_head(&self, name: &CutoverName) {
        if let Some(state) = self.book.state(name) {
            self.performer.note_head(name, state.seq);
        }
    }

    /// Whether a cutover is on its way back already, or asked to be: that needs no CloudWatch.
    fn goes_back(&self, name: &CutoverName) -> bool {
        self.book
            .state(name)
            .is_some_and(|state| state.phase == Phase::Reverting || state.rollback.is_some())
    }

    /// Observes, decides, journals and hands over, for some cutovers.
    async fn pass(
        &mut self,
        names: Vec<CutoverName>,
        signals: bool,
    ) -> Result<(), ControllerError> {
        let claims = self.claims();
        let mut seen: Seen = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.blank(name, &claims)?)))
            .collect();
        if signals {
            let states: Vec<&State> = names
                .iter()
                .filter_map(|name| self.book.state(name))
                .filter(|state| !state.phase.is_final())
                .collect();
            observe::signals_and_changes(&self.eyes, &states, &mut seen).await;
        }
        let (mut todo, mut read) = (names, BTreeSet::new());
        for _ in 0..READS_MAX {
            let now = self.now();
            let (reading, ready): (Vec<CutoverName>, Vec<CutoverName>) = todo
                .iter()
                .cloned()
                .partition(|name| !read.contains(name) && self.wants_groups(name, &seen, now));
            // Whatever needs no groups is decided before any is read: what turns back by that is read with the rest.
            self.settle_all(&ready, &mut seen).await?;
            let now = self.now();
            let turned = ready
                .into_iter()
                .filter(|name| !read.contains(name) && self.wants_groups(name, &seen, now));
            let reading: Vec<CutoverName> = reading.into_iter().chain(turned).collect();
            // Where a zone must be looked up first, that may take long, and nothing is under way yet.
            let (known, unknown): (Vec<CutoverName>, Vec<CutoverName>) =
                reading.into_iter().partition(|name| {
                    let state = self.book.state(name);
                    state.is_some_and(|state| self.memory.knows_zones(state))
                });
            for names in [known, unknown] {
                self.read_and_settle(names, &mut seen, &mut read).await?;
            }
            let now = self.now();
            todo.retain(|name| !read.contains(name) && self.wants_groups(name, &seen, now));
            if todo.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn wants_groups(&self, name: &CutoverName, seen: &Seen, now: Timestamp) -> bool {
        let observed = self.book.state(name).zip(seen.get(name));
        let fleet = self.book.fleet();
        observed.is_some_and(|(state, observation)| {
            decide::wants_groups(state, fleet, observation, now)
        })
    }

    /// Reads the groups of some cutovers, and settles each as soon as all of its zones have answered.
    async fn read_and_settle(
        &mut self,
        mut names: Vec<CutoverName>,
        seen: &mut Seen,
        read: &mut BTreeSet<CutoverName>,
    ) -> Result<(), ControllerError> {
        if names.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let states: Vec<&State> = names
            .iter()
            .filter_map(|name| self.book.state(name))
            .collect();
        let mut reads = self.memory.begin(&self.eyes, &states, now).await;
        loop {
            let more = reads.next().await;
            let (ready, waiting): (Vec<CutoverName>, Vec<CutoverName>) =
                names.into_iter().partition(|name| {
                    let state = self.book.state(name);
                    state.is_none_or(|state| self.memory.has_arrived(&reads, state))
                });
            for name in &ready {
                self.take_groups(name, &reads, seen, now);
            }
            read.extend(ready.iter().cloned());
            self.settle_all(&ready, seen).await?;
            names = waiting;
            if !more || names.is_empty() {
                return Ok(());
            }
        }
    }

    fn take_groups(&mut self, name: &CutoverName, reads: &Reads, seen: &mut Seen, now: Timestamp) {
        let Some((state, observation)) = self.book.state(name).zip(seen.get_mut(name)) else {
            return;
        };
        observation.groups = self.memory.groups(reads, state);
        let is_read = |reading: &GroupReading| matches!(reading, GroupReading::Read { .. });
        let complete = observation.groups.iter().all(is_read);
        let note = self.notes.entry(name.clone()).or_default();
        note.groups_read_at = complete.then_some(now);
    }

    async fn settle_all(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<(), ControllerError> {
        self.break_glass_for_starts(names, seen);
        let mut orders: Vec<Decided> = Vec::new();
        let mut gathered_since = Instant::now();
        for name in names {
            let Some(observation) = seen.get_mut(name) else {
                continue;
            };
            if let Some((order, epoch)) = self.settle(name, observation).await? {
                observation.in_flight = true;
                orders.push((name.clone(), order, epoch));
            }
            // A journal on a slow disk must not use up the deadlines of what it has taken already.
            if gathered_since.elapsed() >= GATHER_FOR {
                self.hand_over(std::mem::take(&mut orders));
                gathered_since = Instant::now();
            }
        }
        self.hand_over(orders);
        Ok(())
    }

    /// Hands orders to the writers of their zones: many together, so that they can be packed into few batches.
    fn hand_over(&mut self, mut orders: Vec<Decided>) {
        orders.sort_by_key(|(_, order, _)| order.purpose);
        let now = self.now();
        for (name, order, epoch) in orders {
            let Some(state) = self.book.state(&name) else {
                continue;
            };
            let label = match order.purpose {
                Purpose::Revert => format!("{name} revert #{}", state.seq),
                Purpose::Step | Purpose::Resubmit => {
                    format!("{name} step {} #{}", state.step, state.seq)
                }
            };
            let account = state.plan().aws.account.clone();
            self.performer
                .perform(&name, &account, &order, epoch, &label, now);
        }
    }

    /// Decides one cutover until nothing more is to be said, journaling each decision. Returns what is to be written, and
    /// who had written to the stream when that was decided: whoever writes after it makes it stale.
    async fn settle(
        &mut self,
        name: &CutoverName,
        observation: &mut Observation,
    ) -> Result<Option<(Order, u64)>, ControllerError> {
        let (mut order, mut races, mut is_fresh) = (None, 0, false);
        for _ in 0..DECISIONS_MAX {
            let now = self.now();
            let Some(state) = self.book.state(name) else {
                return Ok(order);
            };
            let decision = lawful(state, self.book.fleet(), observation, now);
            if decision.events.is_empty() {
                self.note_glance(name, &decision, observation, now);
                let epoch = self.performer.epoch(name);
                return Ok(order.or(decision.order.map(|order| (order, epoch))));
            }
            if self.starts(name, &decision) && !self.break_glass_first(name, &decision) {
                observation
                    .break_glass_error
                    .clone_from(&self.break_glass_error);
                continue;
            }
            if decision.takes_a_step() && self.book.fleet().settings.failure_budget.is_some() {
                // What others had to take back since this round began counts.
                if !std::mem::replace(&mut is_fresh, true) {
                    self.refresh().await?;
                    continue;
                }
            }
            let reverts = decision.goes_back();
            match self.book.append_decision(name, now, &decision).await {
                Ok(()) => self.journal_answered(Ok(()))?,
                Err(JournalError::Conflict { .. }) if races < RACES_MAX => {
                    races += 1;
                    self.refresh().await?;
                    continue;
                }
                Err(JournalError::Conflict { .. }) => return Ok(order),
                Err(error) => {
                    self.journal_answered(Err(error))?;
                    if !reverts && !self.book.is_shadowed(name) {
                        self.note_glance(name, &decision, observation, now);
                        return Ok(order);
                    }
                    // A revert never waits for the journal.
                    self.book.shadow(name, now, &decision.events);
                }
            }
            self.note_head(name);
            let halts = |event: &Event| matches!(event, Event::Halted { .. });
            if reverts || decision.events.iter().any(halts) {
                self.performer.drop_queued(name);
                order = None;
            }
            if decision.takes_a_step() && !self.step_stands().await? {
                self.take_back_unsent(name, decision.order.as_ref());
                continue;
            }
            if let Some(decided) = decision.order {
                order = Some((decided, self.performer.epoch(name)));
                observation.in_flight = true;
            }
        }
        tracing::error!(cutover = %name, "a round did not come to rest; it goes on in the next one");
        Ok(order)
    }

    pub(super) fn starts(&self, name: &CutoverName, decision: &Decision) -> bool {
        let fresh = self
            .book
            .state(name)
            .is_some_and(|state| !state.has_started());
        fresh && decision.takes_a_step()
    }

    /// What is known before anything is read.
    fn blank(&self, name: &CutoverName, claims: &Claims) -> Option<Observation> {
        let state = self.book.state(name)?;
        let note = self.notes.get(name).cloned().unwrap_or_default();
        let skews = [self.eyes.dns.clock_skew(), self.eyes.signals.clock_skew()];
        Some(Observation {
            me: self.settings.me.clone(),
            groups: vec![GroupReading::NotRead; state.plan().records.len()],
            alarms: BTreeMap::new(),
            histories: BTreeMap::new(),
            changes: BTreeMap::new(),
            file: self
                .watched
                .readings
                .get(name)
                .cloned()
                .unwrap_or(FileReading::NotWatched),
            in_flight: self.performer.is_under_way(name),
            passed_at: note.passed_at,
            groups_read_at: note.groups_read_at,
            clock_skew: skews.into_iter().flatten().max_by_key(|skew| skew.abs()),
            break_glass_error: self.break_glass_error.clone(),
            claimed: self.claimed(state, claims),
            baseline_as_is: self.settings.baseline_as_is.clone(),
        })
    }

    fn note_glance(
        &mut self,
        name: &CutoverName,
        decision: &Decision,
        observation: &Observation,
        now: Timestamp,
    ) {
        let Some(state) = self.book.state(name) else {
            return;
        };
        let weights = weights(state, observation);
        let note = self.notes.entry(name.clone()).or_default();
        note.passed_at = decision.gates_pass.then_some(now);
        let before = note.glance.take();
        let keep = |(index, pair): (usize, Option<WeightPair>)| {
            pair.or_else(|| {
                before
                    .as_ref()
                    .and_then(|glance| glance.weights.get(index).copied().flatten())
            })
        };
        let mut because = decision.because.clone();
        if let Some(message) = &self.journal_trouble {
            because.insert(
                0,
                HoldReason::JournalDown {
                    message: message.clone(),
                },
            );
        }
        note.glance = Some(Glance {
            because,
            next_at: decision.wake_at,
            weights: weights.into_iter().enumerate().map(keep).collect(),
            observed_at: Some(now),
        });
    }

    /// Leaves a heartbeat, so that `status` can tell that somebody looks and what is seen.
    pub(super) async fn beat(&mut self) {
        let glance = |state: &&State| {
            let glance = self.notes.get(&state.name)?.glance.clone()?;
            Some((state.name.clone(), glance))
        };
        let heartbeat = Heartbeat {
            controller: self.settings.me.to_string(),
            host: self.settings.host.clone(),
            version: self.settings.version.clone(),
            at: self.now(),
            interval_secs: self.settings.interval.as_secs(),
            cutovers: self.states().iter().filter_map(glance).collect(),
            refused: self.watched.refused.clone(),
        };
        let beat = self.outside.journal.beat(&heartbeat);
        match tokio::time::timeout(BEAT_WITHIN, beat).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("no heartbeat: {error}"),
            Err(_) => tracing::debug!("no heartbeat: not done in time"),
        }
    }
}

/// The decision, unless it would break an invariant: then the cutover halts instead, and somebody is woken. A revert is
/// never stopped by this.
pub(super) fn lawful(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> Decision {
    let decision = decide::decide(state, fleet, observation, now);
    let Err(violation) = check::decision(state, fleet, observation, &decision, now) else {
        return decision;
    };
    tracing::error!(page = true, cutover = %state.name, "an invariant does not hold: {violation}");
    match violation.halts(state) {
        Some(event) => Decision {
            events: vec![event],
            ..Decision::default()
        },
        None => decision,
    }
}

/// The weights of each group as read in this round.
fn weights(state: &State, observation: &Observation) -> Vec<Option<WeightPair>> {
    let pair = |(group, reading)| {
        preflight::read_image(group, reading)
            .ok()
            .map(|image| image.pair())
    };
    state
        .plan()
        .records
        .iter()
        .zip(&observation.groups)
        .map(pair)
        .collect()
}
