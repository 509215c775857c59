//! One round: journal and commands, then what goes back, then the rest (RULES F).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::observe::{self, Seen};
use super::perform::Outcome;
use super::{Controller, ControllerError, Scope, break_glass};
use crate::engine::check;
use crate::engine::decide::{self, Decision, Order, Purpose};
use crate::engine::event::Event;
use crate::engine::hold::HoldReason;
use crate::engine::observation::{FileReading, GroupReading, Observation};
use crate::engine::preflight;
use crate::engine::record::GroupName;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, WeightPair};
use crate::ports::{Glance, Heartbeat, JournalError};

/// How often one cutover is decided again in one round: a bound, not a number that is ever reached.
const DECISIONS_MAX: usize = 20;

/// How many lost races of the append one cutover may have in one round (RULES F1).
const RACES_MAX: usize = 5;

/// A heartbeat is not worth a longer wait: the next round must come.
const BEAT_WITHIN: Duration = Duration::from_secs(2);

/// How often groups are read in one round: for what wants them at first, and for what turned back because of it.
const READS_MAX: usize = 3;

/// The plan files as last looked at, by the cutover that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) readings: BTreeMap<CutoverName, FileReading>,
}

/// The unfinished cutovers that have a group of some name, and which of their groups it is.
type Claims = BTreeMap<GroupName, Vec<(CutoverName, usize)>>;

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
        let names: Vec<CutoverName> = self
            .states()
            .into_iter()
            .map(|state| state.name.clone())
            .filter(|name| match due {
                Due::All => true,
                Due::Only(names) => {
                    names.contains(name) || foreign.contains(name) || answered.contains(name)
                }
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
            let state = self.book.state(&name);
            if self.book.is_shadowed(&name)
                || !state.is_some_and(|state| state.pages.contains_key(&of))
            {
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
            if let Some((order, epoch)) = self.settle(name, observation).await? {
                observation.in_flight = true;
                orders.push((name.clone(), order, epoch));
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

    /// Decides one cutover until nothing more is to be said, journaling each decision. Returns what is to be written, and
    /// who had written to the stream when that was decided: whoever writes after it makes it stale.
    async fn settle(
        &mut self,
        name: &CutoverName,
        observation: &mut Observation,
    ) -> Result<Option<(Order, u64)>, ControllerError> {
        let (mut order, mut races) = (None, 0);
        for _ in 0..DECISIONS_MAX {
            let now = self.now();
            let Some(state) = self.book.state(name) else {
                return Ok(order);
            };
            let decision = lawful(state, observation, now);
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
            let halts = |event: &Event| matches!(event, Event::Halted { .. });
            if reverts || decision.events.iter().any(halts) {
                self.performer.drop_queued(name);
                order = None;
            }
            if let Some(decided) = decision.order {
                order = Some((decided, self.performer.epoch(name)));
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
        let under_way = || {
            let started = |state: &&State| state.has_started() && !state.phase.is_final();
            self.book.states().filter(started).chain(starting)
        };
        let made_of: BTreeMap<CutoverName, u64> = under_way()
            .map(|state| (state.name.clone(), state.seq))
            .collect();
        let whole = self.break_glass_error.is_none() && self.break_glass_stored.is_some();
        if whole && starting.is_none() && self.break_glass_of == made_of {
            return;
        }
        let files = break_glass::files(under_way());
        self.break_glass_of = made_of;
        // After a failure they are stored again, whatever is to be in them: that alone tells that it is over.
        if whole && self.break_glass_stored.as_ref() == Some(&files) {
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

    /// Which unfinished cutovers have a group of each name, if any has not started.
    fn claims(&self) -> Claims {
        let mut claims = Claims::new();
        let unfinished = || self.book.states().filter(|state| !state.phase.is_final());
        if unfinished().all(State::has_started) {
            return claims;
        }
        for state in unfinished() {
            for (index, group) in state.plan().records.iter().enumerate() {
                let names = claims.entry(group.name.clone()).or_default();
                names.push((state.name.clone(), index));
            }
        }
        claims
    }

    /// The groups of a cutover that has not started which another, earlier one already moves.
    fn claimed(&self, state: &State, claims: &Claims) -> Vec<(usize, CutoverName)> {
        let mut claimed = Vec::new();
        if state.has_started() {
            return claimed;
        }
        for (index, group) in state.plan().records.iter().enumerate() {
            for (name, theirs) in claims.get(&group.name).into_iter().flatten() {
                let Some(rival) = self.book.state(name).filter(|_| *name != state.name) else {
                    continue;
                };
                let earlier = rival.has_started() || self.book.came_first(name, &state.name);
                if earlier && self.same_zone((state, index), (rival, *theirs)) {
                    claimed.push((index, name.clone()));
                }
            }
        }
        claimed
    }

    fn same_zone(&self, mine: (&State, usize), theirs: (&State, usize)) -> bool {
        let zone = |(state, index): (&State, usize)| self.memory.zone_of(state, index);
        match (zone(mine), zone(theirs)) {
            (Some(here), Some(there)) => here == there,
            (None, _) | (_, None) => {
                let named =
                    |(state, index): (&State, usize)| state.plan().records[index].zone.clone();
                named(mine) == named(theirs)
            }
        }
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
        // Of several cutovers that came from one file, the one under way is guarded; else the first by name.
        let mut by_path: BTreeMap<&str, &State> = BTreeMap::new();
        let started = |state: &State| state.has_started() && !state.phase.is_final();
        for state in self.book.states() {
            let known = by_path.entry(&state.source.path).or_insert(state);
            if started(state) && !started(known) {
                *known = state;
            }
        }
        for (path, reading) in &looked.files {
            let of_path = by_path.get(path.as_str()).copied();
            let owner = of_path.filter(|state| started(state));
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
                    if let Some(state) = of_path {
                        readings.insert(state.name.clone(), reading.clone());
                    }
                }
            }
        }
        // An unfinished cutover goes on from the journal when its file is gone.
        let roots: BTreeSet<&Path> = looked.roots.iter().map(Path::new).collect();
        for state in self.book.states().filter(|state| !state.phase.is_final()) {
            let mut above = Path::new(&state.source.path).ancestors();
            if above.any(|above| roots.contains(above)) {
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
