//! One round: journal and commands, then what goes back, then the rest (semantics F).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::claims::Claims;
use super::observe::Seen;
use super::{Controller, ControllerError, Scope};
use crate::engine::around::AroundReading;
use crate::engine::check::{self, Invariant};
use crate::engine::decide::{self, Decision};
use crate::engine::event::RevertMode;
use crate::engine::fleet::Fleet;
use crate::engine::hold::HoldReason;
use crate::engine::observation::{FileReading, GroupReading, Observation};
use crate::engine::preflight;
use crate::engine::state::{Phase, Revert, State};
use crate::engine::units::{CutoverName, WeightPair};
use crate::ports::{Glance, Heartbeat, JournalError};

/// A heartbeat is not worth a longer wait: the next round must come.
const BEAT_WITHIN: Duration = Duration::from_secs(2);

/// Between the looks at everything a heartbeat is left no more often: it holds what is seen of every cutover, and costs
/// the journal a sync.
const BEAT_EVERY: Duration = Duration::from_secs(1);

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
        let looked = std::mem::take(&mut self.looked);
        let read_backs = self.free_read_backs();
        let names: Vec<CutoverName> = self
            .states()
            .into_iter()
            .map(|state| state.name.clone())
            .filter(|name| match due {
                Due::All => true,
                Due::Only(names) => {
                    let told = foreign.contains(name) || answered.contains(name);
                    let told = told || looked.contains(name) || read_backs.contains(name);
                    told || names.contains(name) || freed.contains(name)
                }
            })
            .collect();
        let seen = names.clone();
        let (back, rest): (Vec<CutoverName>, Vec<CutoverName>) =
            names.into_iter().partition(|name| self.goes_back(name));
        self.pass(back, false).await?;
        self.take_limits().await?;
        self.pass(rest, true).await?;
        self.tell_fleet_news().await?;
        self.keep_break_glass();
        self.look_at_jobs(&seen);
        self.send_pages();
        self.send_notices();
        if *due == Due::All || self.may_beat() {
            self.beat().await;
        } else {
            self.beat_owed = true;
        }
        self.log_news();
        self.warnings.tell_spans();
        Ok(())
    }

    /// Reads the journal. While it is down, what was read before counts.
    pub(super) async fn refresh(&mut self) -> Result<(), ControllerError> {
        let read = self.book.refresh().await;
        self.journal_answered(read)?;
        self.note_strangers();
        if !self.caught_up {
            // What happened before this process is no news.
            self.book.take_news();
            self.caught_up = self.journal_trouble.is_none();
        }
        self.log_news();
        Ok(())
    }

    /// Tells the writers about whom somebody else wrote: what is queued for those is stale.
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
                    "its journal is damaged: it is neither stepped nor taken back by itself; all others go on"
                );
            }
        }
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

    /// Tells the writers what this process has seen of a stream.
    pub(super) fn note_head(&self, name: &CutoverName) {
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
        mut names: Vec<CutoverName>,
        signals: bool,
    ) -> Result<(), ControllerError> {
        let claims = self.claims();
        let mut seen: Seen = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.blank(name, &claims)?)))
            .collect();
        if signals {
            let answered = self.look(&names, &mut seen).await?;
            names.retain(|name| !answered.contains(name));
        }
        self.settle_seen(names, seen).await
    }

    /// Decides, journals and hands over, for cutovers whose signals are seen; reads the groups of those that want it.
    pub(super) async fn settle_seen(
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
            let wants = |controller: &Self, name: &CutoverName, seen: &Seen, now| {
                let waits =
                    postponed.contains(name) && controller.only_looks_for_drift(name, seen, now);
                !waits
                    && !controller.reads_back_later(name)
                    && controller.wants_groups(name, seen, now)
            };
            let (reading, ready): (Vec<CutoverName>, Vec<CutoverName>) =
                todo.iter().cloned().partition(|name| {
                    let known = read.contains(name) || self.is_forced(name);
                    !known && wants(self, name, &seen, now)
                });
            // Whatever needs no groups is decided before any is read: what turns back by that is read with the rest.
            self.settle_all(&ready, &mut seen).await?;
            let now = self.now();
            let turned = ready
                .into_iter()
                .filter(|name| !read.contains(name) && wants(self, name, &seen, now));
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
            for name in std::mem::take(&mut self.outdated) {
                read.remove(&name);
            }
            todo.retain(|name| !read.contains(name) && wants(self, name, &seen, now));
            if todo.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Returns true if nothing but its read-backs is left of a revert, and another revert in one of its zones is not sent yet:
    /// the calls that a read-back takes are the ones that the unsent write needs (semantics L3).
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

    /// The reverts that waited for others to be sent, and whose read-backs are now due: together, so that they share pages.
    fn free_read_backs(&mut self) -> BTreeSet<CutoverName> {
        let (later, free) = std::mem::take(&mut self.read_back_later)
            .into_iter()
            .partition(|name| self.reads_back_later(name));
        self.read_back_later = later;
        free
    }

    /// Whether a person's force has not been written yet: that needs no reading first.
    fn is_forced(&self, name: &CutoverName) -> bool {
        let Some(state) = self.book.state(name) else {
            return false;
        };
        let unsent = |revert: &Revert| revert.failures == 0 && revert.submitted.is_empty();
        let asked = state.rollback.as_ref();
        let asked = asked.is_some_and(|asked| asked.mode == RevertMode::Force);
        match (&state.revert, state.phase) {
            (Some(revert), Phase::Reverting) => {
                asked || (revert.mode == RevertMode::Force && unsent(revert))
            }
            _ => asked,
        }
    }

    pub(super) fn wants_groups(&self, name: &CutoverName, seen: &Seen, now: Timestamp) -> bool {
        let observed = self.book.state(name).zip(seen.get(name));
        let fleet = self.book.fleet();
        observed.is_some_and(|(state, observation)| {
            decide::wants_groups(state, fleet, observation, now)
        })
    }

    pub(super) fn starts(&self, name: &CutoverName, decision: &Decision) -> bool {
        let fresh = self
            .book
            .state(name)
            .is_some_and(|state| !state.has_started());
        fresh && decision.takes_a_step()
    }

    /// What is known before anything is read.
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
            beside: self.errands.beside(name, self.book.is_shadowed(name)),
        })
    }

    /// When all gates of a cutover were last seen to pass, by the wall clock, and how long ago that was by the monotonic one.
    /// The two are always asked for together: a newer one of them beside an older other looks like a clock that was set.
    pub(super) fn passed(&self, name: &CutoverName) -> (Option<Timestamp>, Option<SignedDuration>) {
        let Some(note) = self.notes.get(name) else {
            return (None, None);
        };
        let ago = note.passed_by.map(|by| by.elapsed().try_into());
        (note.passed_at, ago.and_then(Result::ok))
    }

    /// AWS's clock minus ours, as of now.
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
        let weights = weights(state, observation);
        let note = self.notes.entry(name.clone()).or_default();
        (note.passed_at, note.passed_by) = if decision.gates_pass {
            (Some(now), Some(Instant::now()))
        } else {
            (None, None)
        };
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
            observed_share: decision.observed_share,
        });
    }

    /// Whether the last heartbeat is long enough ago.
    fn may_beat(&self) -> bool {
        self.beat_at.is_none_or(|at| at.elapsed() >= BEAT_EVERY)
    }

    /// When the next heartbeat is due because something was seen since the last one.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        let at = self.beat_at.filter(|_| self.beat_owed)?;
        Some(at + BEAT_EVERY)
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
            ended: self.ended,
            refused: self.watched.refused.clone(),
        };
        self.beat_owed = false;
        self.beat_at = Some(Instant::now());
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
    if violation.invariant == Invariant::I15 {
        // Nothing may be written to its stream, not even that.
        return Decision {
            because: decision.because,
            ..Decision::default()
        };
    }
    if violation.invariant == Invariant::I13 && decision.order.is_none() {
        // It speaks of jobs alone: what would have them on twice is not done, also on the way back.
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
