//! Does one round: it reads the journal, then decides cutovers that go back, and then all others (semantics F).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Controller;
use super::claims::Claims;
use super::observe::Seen;
use super::outside::{ControllerError, Scope};
use crate::engine::around::AroundReading;
use crate::engine::check::{self, Invariant};
use crate::engine::decide::{self, Decision};
use crate::engine::event::RevertMode;
use crate::engine::fleet::Fleet;
use crate::engine::hold::HoldReason;
use crate::engine::observation::{FileReading, GroupReading, Observation};
use crate::engine::preflight;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, WeightPair};
use crate::ports::{Glance, Heartbeat, JournalError};

/// Longest wait for a heartbeat to be written, so that it does not make the next round late.
const BEAT_WITHIN: Duration = Duration::from_secs(2);

/// Largest number of times that groups are read in one round: first for the cutovers that need them, then for those
/// that revert because of what was read.
const READS_MAX: usize = 3;

/// The cutovers that a round is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// All cutovers of this controller.
    All,
    /// Only these cutovers, and those for which something is new.
    Only(BTreeSet<CutoverName>),
}

impl Controller {
    /// Does one round over the cutovers that are due and over those for which something is new: an entry by a person, a
    /// reply to a write, a reading of their jobs, a read-back that waited, or a free slot.
    pub(super) async fn round(&mut self, due: &Due) -> Result<(), ControllerError> {
        self.refresh().await?;
        // Writes that were answered are read back at once, all of them together.
        let answered = self.record().await?;
        self.look_at_files().await?;
        self.keep_break_glass();
        let foreign = self.book.take_foreign();
        let freed = self.freed();
        let looked = std::mem::take(&mut self.looked);
        let read_backs = self.free_read_backs();
        let with_news = [&foreign, &freed, &looked, &read_backs, &answered];
        let mut names: Vec<CutoverName> = Vec::new();
        for state in self.states() {
            let name = &state.name;
            let is_due = match due {
                Due::All => true,
                Due::Only(due) => {
                    due.contains(name) || with_news.iter().any(|news| news.contains(name))
                }
            };
            if is_due {
                names.push(name.clone());
            }
        }
        let seen = names.clone();
        let (back, rest): (Vec<CutoverName>, Vec<CutoverName>) =
            names.into_iter().partition(|name| self.goes_back(name));
        self.pass(back, false).await?;
        self.take_limits().await?;
        self.pass(rest, true).await?;
        self.tell_fleet_news().await?;
        self.keep_break_glass();
        self.look_at_jobs(&seen);
        self.send_notices();
        if self.may_beat(due) {
            self.beat().await;
        } else {
            self.beat_owed = true;
        }
        self.log_news();
        self.warnings.tell_spans();
        Ok(())
    }

    /// Reads the journal. While it is down, the entries that were read before count.
    pub(super) async fn refresh(&mut self) -> Result<(), ControllerError> {
        let read = self.book.refresh().await;
        self.journal_was_read(read)?;
        self.note_strangers();
        if !self.caught_up {
            // Entries from before this process are not logged again.
            self.book.take_news();
            self.caught_up = self.journal_trouble.is_none();
        }
        self.log_news();
        Ok(())
    }

    /// Tells the writers which streams somebody else has written to: the writes that are queued for them are stale.
    pub(super) fn note_strangers(&mut self) {
        for name in self.book.take_strangers() {
            self.performer.note_foreign(&name);
            let state = self.book.state(&name);
            if state.is_some_and(|state| state.phase == Phase::Abandoned) {
                self.performer.note_abandoned(&name);
            }
            self.note_head(&name);
        }
        for name in self.book.take_damaged() {
            self.performer.drop_queued(&name);
            let concerned = match &self.settings.scope {
                Scope::Files => true,
                Scope::Rollback(names) => names.contains(&name),
            };
            if concerned {
                tracing::error!(
                    cutover = %name,
                    "its journal is damaged: no step is taken and no gate reverts it; all others go on; \
                     `cutover status` shows the entry"
                );
            }
        }
    }

    /// Records the result of reading the journal. It does not show whether the journal can be written.
    pub(super) fn journal_was_read(
        &mut self,
        answer: Result<(), JournalError>,
    ) -> Result<(), ControllerError> {
        if answer.is_ok() {
            self.journal_trouble = None;
            return Ok(());
        }
        self.journal_answered(answer)
    }

    /// Records whether the journal is up. A journal that is down is no error; one that can never be used is.
    pub(super) fn journal_answered(
        &mut self,
        answer: Result<(), JournalError>,
    ) -> Result<(), ControllerError> {
        match answer {
            Ok(()) | Err(JournalError::Conflict { .. }) => {
                self.journal_trouble = None;
                if std::mem::take(&mut self.journal_down_told) {
                    tracing::info!("the journal answers again");
                }
                Ok(())
            }
            Err(JournalError::Down(message)) => {
                if !std::mem::replace(&mut self.journal_down_told, true) {
                    tracing::error!(
                        page = true,
                        "the journal is down: no step is taken, reverts go on: {message}"
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

    /// Tells the writers the last entry of a stream that this process has folded.
    pub(super) fn note_head(&self, name: &CutoverName) {
        if let Some(state) = self.book.state(name) {
            self.performer.note_head(name, state.seq);
        }
    }

    /// Returns true if a cutover is reverting, or a person asked for its rollback. Neither needs CloudWatch.
    fn goes_back(&self, name: &CutoverName) -> bool {
        let Some(state) = self.book.state(name) else {
            return false;
        };
        state.phase == Phase::Reverting || state.rollback.is_some()
    }

    /// Observes and decides some cutovers, journals their events and hands over their orders. Reads alarms and metrics
    /// only if `signals`.
    async fn pass(
        &mut self,
        mut names: Vec<CutoverName>,
        signals: bool,
    ) -> Result<(), ControllerError> {
        let claims = self.claims();
        let mut seen = Seen::new();
        for name in &names {
            if let Some(observation) = self.blank(name, &claims) {
                seen.insert(name.clone(), observation);
            }
        }
        if signals {
            let answered = self.look(&names, &mut seen).await?;
            names.retain(|name| !answered.contains(name));
        }
        self.decide_seen(names, seen).await
    }

    /// Decides cutovers whose signals have been read, journals their events and hands over their orders. Reads the
    /// groups of those that need them.
    pub(super) async fn decide_seen(
        &mut self,
        names: Vec<CutoverName>,
        mut seen: Seen,
    ) -> Result<(), ControllerError> {
        let now = self.now();
        let postponed = self.postponed(&names, &seen, now);
        for name in &names {
            if self.reads_back_later(name) {
                self.read_back_later.insert(name.clone());
            }
        }
        let (mut todo, mut read) = (names, BTreeSet::new());
        for _ in 0..READS_MAX {
            let now = self.now();
            let (mut reading, mut ready) = (Vec::new(), Vec::new());
            for name in &todo {
                let known = read.contains(name) || self.is_forced(name);
                if !known && self.reads_now(name, &postponed, &seen, now) {
                    reading.push(name.clone());
                } else {
                    ready.push(name.clone());
                }
            }
            // Cutovers that need no groups are decided before any group is read. If they revert, their groups are read
            // together with the others.
            self.decide_until_quiet(&ready, &mut seen).await?;
            let now = self.now();
            ready.retain(|name| {
                !read.contains(name) && self.reads_now(name, &postponed, &seen, now)
            });
            reading.extend(ready);
            // Zones that must be looked up first come last: a look-up may take long, and no write is under way in them
            // yet.
            let (known, unknown): (Vec<CutoverName>, Vec<CutoverName>) =
                reading.into_iter().partition(|name| {
                    let state = self.book.state(name);
                    state.is_some_and(|state| self.memory.knows_zones(state))
                });
            for names in [known, unknown] {
                self.read_and_decide(names, &mut seen, &mut read).await?;
            }
            let now = self.now();
            for name in std::mem::take(&mut self.outdated) {
                read.remove(&name);
            }
            todo.retain(|name| {
                !read.contains(name) && self.reads_now(name, &postponed, &seen, now)
            });
            if todo.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Returns true if a cutover's groups are to be read now: it needs them, and neither its drift check nor its
    /// read-back is postponed.
    fn reads_now(
        &self,
        name: &CutoverName,
        postponed: &BTreeSet<CutoverName>,
        seen: &Seen,
        now: Timestamp,
    ) -> bool {
        if postponed.contains(name) && self.only_looks_for_drift(name, seen, now) {
            return false;
        }
        !self.reads_back_later(name) && self.wants_groups(name, seen, now)
    }

    /// Returns true if a revert has only its read-backs left, and another revert in one of its zones is not sent yet. A
    /// read-back would use up calls that the unsent write needs (semantics L3).
    fn reads_back_later(&self, name: &CutoverName) -> bool {
        let Some(state) = self.book.state(name) else {
            return false;
        };
        let (Some(revert), Phase::Reverting) = (&state.revert, state.phase) else {
            return false;
        };
        if revert.submitted.is_empty() || revert.failures > 0 || state.rollback.is_some() {
            return false;
        }
        let mut images = state.baseline.iter().flatten();
        images.any(|image| self.performer.is_reverting_in(&image.zone))
    }

    /// Returns the reverts that waited for others to be sent and whose read-backs are now due. They are read together,
    /// so that they share pages.
    fn free_read_backs(&mut self) -> BTreeSet<CutoverName> {
        let (later, free) = std::mem::take(&mut self.read_back_later)
            .into_iter()
            .partition(|name| self.reads_back_later(name));
        self.read_back_later = later;
        free
    }

    /// Returns true if a forced rollback has not been written yet. It is written without a reading first.
    fn is_forced(&self, name: &CutoverName) -> bool {
        let Some(state) = self.book.state(name) else {
            return false;
        };
        if let Some(rollback) = &state.rollback
            && rollback.mode == RevertMode::Force
        {
            return true;
        }
        let Some(revert) = &state.revert else {
            return false;
        };
        let unsent = revert.failures == 0 && revert.submitted.is_empty();
        state.phase == Phase::Reverting && revert.mode == RevertMode::Force && unsent
    }

    pub(super) fn wants_groups(&self, name: &CutoverName, seen: &Seen, now: Timestamp) -> bool {
        let (Some(state), Some(observation)) = (self.book.state(name), seen.get(name)) else {
            return false;
        };
        decide::wants_groups(state, self.book.fleet(), observation, now)
    }

    /// Returns true if a decision starts a cutover: it takes the first step.
    pub(super) fn starts(&self, name: &CutoverName, decision: &Decision) -> bool {
        let Some(state) = self.book.state(name) else {
            return false;
        };
        !state.has_started() && decision.takes_a_step()
    }

    /// Returns the observation of a cutover before anything is read; `None` if the cutover is unknown.
    fn blank(&self, name: &CutoverName, claims: &Claims<'_>) -> Option<Observation> {
        let state = self.book.state(name)?;
        let note = self.notes.get(name);
        let (passed_at, passed_for) = self.passed(name);
        Some(Observation {
            me: self.settings.me.clone(),
            groups: vec![GroupReading::NotRead; state.plan().records.len()],
            around: vec![AroundReading::NotRead; state.plan().records.len()],
            alarms: BTreeMap::new(),
            histories: BTreeMap::new(),
            series: BTreeMap::new(),
            changes: BTreeMap::new(),
            file: self
                .watched
                .readings
                .get(name)
                .cloned()
                .unwrap_or(FileReading::NotWatched),
            in_flight: self.performer.is_under_way(name),
            passed_at,
            passed_for,
            groups_read_at: note.and_then(|note| note.groups_read_at),
            clock_skew: self.clock_skew(),
            break_glass_error: self.break_glass_error.clone(),
            claimed: self.claimed(state, claims),
            baseline_as_is: self.settings.baseline_as_is.clone(),
            beside: self.errands.beside(name, self.book.is_unjournaled(name)),
        })
    }

    /// Returns when all gates of a cutover were last seen to pass, by the wall clock, and how long ago that was by the
    /// monotonic clock. Both are `None` if a gate did not pass at the last decision. Both are read together, because
    /// values of different age would look like a clock that was set.
    pub(super) fn passed(&self, name: &CutoverName) -> (Option<Timestamp>, Option<SignedDuration>) {
        let Some(note) = self.notes.get(name) else {
            return (None, None);
        };
        let ago = note.passed_by.map(|by| by.elapsed().try_into());
        (note.passed_at, ago.and_then(Result::ok))
    }

    /// Returns AWS's clock minus this machine's, by the latest replies of Route 53 and CloudWatch, whichever differs
    /// more; `None` if there was no reply.
    pub(super) fn clock_skew(&self) -> Option<SignedDuration> {
        let skews = [self.eyes.dns.clock_skew(), self.eyes.signals.clock_skew()];
        skews.into_iter().flatten().max_by_key(|skew| skew.abs())
    }

    pub(super) fn note_glance(
        &mut self,
        name: &CutoverName,
        decision: &Decision,
        observation: &Observation,
        now: Timestamp,
    ) {
        let Some(state) = self.book.state(name) else {
            return;
        };
        let mut weights = weights(state, observation);
        let note = self.notes.entry(name.clone()).or_default();
        (note.passed_at, note.passed_by) = if decision.gates_pass {
            (Some(now), Some(Instant::now()))
        } else {
            (None, None)
        };
        // Groups that were not read in this round keep the weights that were read last.
        if let Some(before) = note.glance.take() {
            for (pair, last) in weights.iter_mut().zip(before.weights) {
                *pair = pair.or(last);
            }
        }
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
            weights,
            observed_at: Some(now),
            observed_share: decision.observed_share,
        });
    }

    /// Returns true if the journal wants a heartbeat now: it describes every cutover, and costs the journal a sync or money.
    /// After a round over all cutovers it is left also a little early, unless these rounds come more often than that.
    fn may_beat(&self, due: &Due) -> bool {
        let spaced = self.outside.journal.beat_interval();
        let Some(last) = self.beat_at else {
            return true;
        };
        let is_paced = *due == Due::All && self.settings.interval >= spaced;
        is_paced || last.elapsed() >= spaced
    }

    /// Returns when the next heartbeat is due; `None` if there was no round since the last one.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        if !self.beat_owed {
            return None;
        }
        Some(self.beat_at? + self.outside.journal.beat_interval())
    }

    /// Writes a heartbeat, so that `status` can tell that a controller is running and what it has read.
    pub(super) async fn beat(&mut self) {
        let mut glances = BTreeMap::new();
        for state in self.states() {
            let note = self.notes.get(&state.name);
            if let Some(glance) = note.and_then(|note| note.glance.clone()) {
                glances.insert(state.name.clone(), glance);
            }
        }
        let heartbeat = Heartbeat {
            controller: self.settings.me.to_string(),
            host: self.settings.host.clone(),
            version: self.settings.version.clone(),
            at: self.now(),
            interval_secs: self.settings.interval.as_secs(),
            cutovers: glances,
            ended: self.ended,
            refused: self.watched.refused.clone(),
        };
        self.beat_owed = false;
        self.beat_at = Some(Instant::now());
        let beat = self.outside.journal.beat(&heartbeat);
        match tokio::time::timeout(BEAT_WITHIN, beat).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("the heartbeat was not written: {error}"),
            Err(_) => tracing::debug!("the heartbeat was not written within 2 s"),
        }
    }
}

/// Decides a cutover and checks the decision against the invariants. If it would break one, the cutover halts instead,
/// and a person is paged. A revert is never stopped by this.
pub(super) fn decide_checked(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> Decision {
    let decision = decide::decide(state, fleet, observation, now);
    let Err(violation) = check::decision(state, fleet, observation, &decision, now) else {
        return decision;
    };
    tracing::error!(page = true, cutover = %state.name, "a decision would break an invariant: {violation}");
    if violation.invariant == Invariant::I15 {
        // Nothing may be written to a damaged stream, not even the halt.
        return Decision {
            because: decision.because,
            ..Decision::default()
        };
    }
    if violation.invariant == Invariant::I13 && decision.order.is_none() {
        // The violation concerns only jobs: they are not switched on twice, not even on the way back.
        return Decision {
            events: violation.halts(state).into_iter().collect(),
            because: decision.because,
            ..Decision::default()
        };
    }
    match violation.halts(state) {
        Some(event) => Decision {
            events: vec![event],
            ..Decision::default()
        },
        None => decision,
    }
}

/// Returns the weights of each group as read in this round; `None` for a group that was not read.
fn weights(state: &State, observation: &Observation) -> Vec<Option<WeightPair>> {
    let mut weights = Vec::new();
    for (group, reading) in state.plan().records.iter().zip(&observation.groups) {
        let image = preflight::read_image(group, reading);
        weights.push(image.ok().map(|image| image.pair()));
    }
    weights
}
