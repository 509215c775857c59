//! One round: journal and commands, then what goes back, then the rest (RULES F).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::observe::{self, Seen};
use super::{Controller, ControllerError, Scope, break_glass};
use crate::engine::check;
use crate::engine::decide::{self, Decision, Order, Purpose};
use crate::engine::event::Event;
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

/// How often groups are read in one round: for what wants them at first, and for what turned back because of it.
const READS_MAX: usize = 3;

/// The plan files as last looked at, by the cutover that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) readings: BTreeMap<CutoverName, FileReading>,
}

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
        self.record().await?;
        self.look_at_files().await?;
        self.keep_break_glass();
        let foreign = self.book.take_foreign();
        let names: Vec<CutoverName> = self
            .states()
            .into_iter()
            .map(|state| state.name.clone())
            .filter(|name| match due {
                Due::All => true,
                Due::Only(names) => names.contains(name) || foreign.contains(name),
            })
            .collect();
        let (back, rest): (Vec<CutoverName>, Vec<CutoverName>) =
            names.into_iter().partition(|name| self.goes_back(name));
        self.pass(back, false).await?;
        self.pass(rest, true).await?;
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
    fn journal_answered(
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

    /// Journals what came of writes and pages.
    pub(super) async fn record(&mut self) -> Result<(), ControllerError> {
        while let Some(outcome) = self.performer.try_next() {
            self.unrecorded.push(outcome);
        }
        let now = self.now();
        let revealed = self.book.reveal_all(now).await;
        self.journal_answered(revealed)?;
        for outcome in std::mem::take(&mut self.unrecorded) {
            if !self.write_down(&outcome.cutover, &outcome.event).await? {
                self.unrecorded.push(outcome);
            }
        }
        for (name, of) in std::mem::take(&mut self.delivered) {
            let known = self
                .book
                .state(&name)
                .is_some_and(|state| state.pages.contains_key(&of));
            if known
                && !self.book.is_shadowed(&name)
                && !self.write_down(&name, &Event::PageSent { of }).await?
            {
                self.delivered.push((name, of));
            }
        }
        Ok(())
    }

    /// Appends a fact that holds whoever else wrote meanwhile; false if the journal cannot take it now.
    async fn write_down(
        &mut self,
        name: &CutoverName,
        event: &Event,
    ) -> Result<bool, ControllerError> {
        for _ in 0..RACES_MAX {
            let now = self.now();
            match self
                .book
                .append(name, now, std::slice::from_ref(event))
                .await
            {
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
        let mut seen: Seen = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.blank(name)?)))
            .collect();
        if signals {
            let states: Vec<&State> = names
                .iter()
                .filter_map(|name| self.book.state(name))
                .filter(|state| !state.phase.is_final())
                .collect();
            observe::alarms(&self.eyes, &states, &mut seen).await;
            observe::changes(&self.eyes, &states, &mut seen).await;
        }
        let (mut todo, mut read) = (names, BTreeSet::new());
        for _ in 0..READS_MAX {
            self.read_groups(&todo, &mut seen, &mut read).await;
            self.settle_all(&todo, &mut seen).await?;
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
        observed.is_some_and(|(state, observation)| decide::wants_groups(state, observation, now))
    }

    async fn read_groups(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
        read: &mut BTreeSet<CutoverName>,
    ) {
        let now = self.now();
        let states: Vec<&State> = names
            .iter()
            .filter(|name| !read.contains(*name) && self.wants_groups(name, seen, now))
            .filter_map(|name| self.book.state(name))
            .collect();
        self.memory.groups(&self.eyes, &states, seen, now).await;
        for state in states {
            read.insert(state.name.clone());
            let is_read = |reading: &GroupReading| matches!(reading, GroupReading::Read { .. });
            let complete = seen
                .get(&state.name)
                .is_some_and(|seen| seen.groups.iter().all(is_read));
            let note = self.notes.entry(state.name.clone()).or_default();
            note.groups_read_at = if complete { Some(now) } else { None };
        }
    }

    async fn settle_all(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<(), ControllerError> {
        let mut orders: Vec<(CutoverName, Order, u64)> = Vec::new();
        for name in names {
            let Some(observation) = seen.get_mut(name) else {
                continue;
            };
            if let Some(order) = self.settle(name, observation).await? {
                observation.in_flight = true;
                orders.push((name.clone(), order, self.performer.epoch(name)));
            }
        }
        // Handed over together, so that the writers can pack them into few batches.
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
        Ok(())
    }

    /// Decides one cutover until nothing more is to be said, journaling each decision. Returns what is to be written.
    async fn settle(
        &mut self,
        name: &CutoverName,
        observation: &mut Observation,
    ) -> Result<Option<Order>, ControllerError> {
        let (mut order, mut races) = (None, 0);
        for _ in 0..DECISIONS_MAX {
            let now = self.now();
            let Some(state) = self.book.state(name) else {
                return Ok(order);
            };
            let decision = lawful(state, observation, now);
            if decision.events.is_empty() {
                self.note_glance(name, &decision, observation, now);
                return Ok(order.or(decision.order));
            }
            if self.starts(name, &decision) && !self.break_glass_first(name, &decision) {
                observation
                    .break_glass_error
                    .clone_from(&self.break_glass_error);
                continue;
            }
            let reverts = decision
                .events
                .iter()
                .any(|event| matches!(event, Event::RevertIntended { .. }));
            match self.book.append(name, now, &decision.events).await {
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
            if reverts {
                self.performer.drop_queued(name);
                order = None;
            }
            if decision.order.is_some() {
                order = decision.order;
                observation.in_flight = true;
            }
        }
        tracing::error!(cutover = %name, "a round did not come to rest; it goes on in the next one");
        Ok(order)
    }

    fn starts(&self, name: &CutoverName, decision: &Decision) -> bool {
        let intends = |event: &Event| matches!(event, Event::WeightChangeIntended { .. });
        let fresh = self
            .book
            .state(name)
            .is_some_and(|state| !state.has_started());
        fresh && decision.events.iter().any(intends)
    }

    /// Before the first write the break-glass files must already know the cutover. False if they cannot be written.
    fn break_glass_first(&mut self, name: &CutoverName, decision: &Decision) -> bool {
        let Some(mut starting) = self.book.state(name).cloned() else {
            return true;
        };
        for event in &decision.events {
            if let Event::WeightChangeIntended {
                targets, baseline, ..
            } = event
            {
                let images = targets.iter().map(|target| target.from.clone()).collect();
                starting.baseline = starting.baseline.or_else(|| baseline.clone());
                starting.verified = Some(images);
            }
        }
        self.store_break_glass(Some(&starting));
        self.break_glass_error.is_none()
    }

    fn keep_break_glass(&mut self) {
        self.store_break_glass(None);
    }

    /// Stores the files of all cutovers between first write and end, if they changed.
    fn store_break_glass(&mut self, starting: Option<&State>) {
        let Some(store) = &self.outside.break_glass else {
            return;
        };
        let under_way = self
            .book
            .states()
            .filter(|state| state.has_started() && !state.phase.is_final());
        let files = break_glass::files(under_way.chain(starting));
        if self.break_glass_stored.as_ref() == Some(&files) {
            return;
        }
        match store.store(&files) {
            Ok(()) => {
                self.break_glass_stored = Some(files);
                self.break_glass_error = None;
            }
            Err(error) => {
                tracing::error!("the break-glass files cannot be written: {error}");
                self.break_glass_error = Some(error);
            }
        }
    }

    /// What is known before anything is read.
    fn blank(&self, name: &CutoverName) -> Option<Observation> {
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
            claimed: self.claimed(state),
            baseline_as_is: self.settings.baseline_as_is.clone(),
        })
    }

    /// The groups of a cutover that has not started which another, earlier one already moves.
    fn claimed(&self, state: &State) -> Vec<(usize, CutoverName)> {
        if state.has_started() {
            return Vec::new();
        }
        let rivals = self.book.states().filter(|other| {
            let earlier = other.has_started() || self.book.came_first(&other.name, &state.name);
            other.name != state.name && !other.phase.is_final() && earlier
        });
        rivals
            .flat_map(|rival| self.shared_groups(state, rival))
            .collect()
    }

    fn shared_groups(&self, state: &State, rival: &State) -> Vec<(usize, CutoverName)> {
        let theirs = &rival.plan().records;
        let is_shared = |index: usize| {
            theirs.iter().enumerate().any(|(other, group)| {
                let mine = &state.plan().records[index];
                let zones = (
                    self.memory.zone_of(state, index),
                    self.memory.zone_of(rival, other),
                );
                let same_zone = match zones {
                    (Some(here), Some(there)) => here == there,
                    (None, _) | (_, None) => mine.zone == group.zone,
                };
                mine.name == group.name && same_zone
            })
        };
        let count = state.plan().records.len();
        (0..count)
            .filter(|index| is_shared(*index))
            .map(|index| (index, rival.name.clone()))
            .collect()
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

    /// Looks at the plan files, and journals plans that are seen for the first time.
    async fn look_at_files(&mut self) -> Result<(), ControllerError> {
        let (Some(files), Scope::Files) = (&self.outside.files, &self.settings.scope) else {
            return Ok(());
        };
        let looked = files.look();
        let mut readings = BTreeMap::new();
        let mut fresh = Vec::new();
        for (path, reading) in &looked.files {
            let owner = self.book.states().find(|state| {
                state.source.path == *path && state.has_started() && !state.phase.is_final()
            });
            match (owner, reading) {
                (Some(owner), _) => drop(readings.insert(owner.name.clone(), reading.clone())),
                (None, FileReading::Plan(source)) => {
                    let name = source.plan.name.clone();
                    if self.book.state(&name).is_none() {
                        fresh.push((name.clone(), source.clone()));
                    }
                    readings.entry(name).or_insert_with(|| reading.clone());
                }
                (
                    None,
                    FileReading::NotWatched | FileReading::Removed | FileReading::Unreadable(_),
                ) => {
                    let waiting = self.book.states().find(|state| state.source.path == *path);
                    if let Some(state) = waiting {
                        readings.insert(state.name.clone(), reading.clone());
                    }
                }
            }
        }
        // An unfinished cutover goes on from the journal when its file is gone.
        for state in self.book.states().filter(|state| !state.phase.is_final()) {
            let under = |root: &String| {
                state.source.path == *root
                    || state
                        .source
                        .path
                        .strip_prefix(root.as_str())
                        .is_some_and(|rest| rest.starts_with('/'))
            };
            if looked.roots.iter().any(under) {
                readings
                    .entry(state.name.clone())
                    .or_insert(FileReading::Removed);
            }
        }
        self.watched.readings = readings;
        for (name, source) in fresh {
            let now = self.now();
            let accepted = self
                .book
                .append(&name, now, &[Event::PlanAccepted { source }])
                .await;
            if matches!(accepted, Err(JournalError::Conflict { .. })) {
                self.refresh().await?;
            } else {
                self.journal_answered(accepted)?;
            }
        }
        Ok(())
    }

    pub(super) fn send_pages(&mut self) {
        let paging: Vec<State> = self
            .states()
            .into_iter()
            .filter(|state| !state.pages.is_empty())
            .cloned()
            .collect();
        for state in &paging {
            self.pager.deliver(state);
        }
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
        };
        if let Err(error) = self.outside.journal.beat(&heartbeat).await {
            tracing::debug!("no heartbeat: {error}");
        }
    }
}

/// The decision, unless it would break an invariant: then the cutover halts instead, and somebody is woken. A revert is
/// never stopped by this.
fn lawful(state: &State, observation: &Observation, now: Timestamp) -> Decision {
    let decision = decide::decide(state, observation, now);
    let Err(violation) = check::decision(state, observation, &decision, now) else {
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
