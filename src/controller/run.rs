//! Repeating rounds: what wakes a controller, and when it ends.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::book::Book;
use super::couriers::CLAIM_FOR;
use super::round::Due;
use super::{Controller, ControllerError, Note, Scope};
use crate::engine::hold::HaltReason;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;

/// How long a controller that stops waits for what is on the wire (RULES A1: an operation takes at most 10 s), and for
/// pages and channels. With what is journaled after it, it ends before `cli/signals.rs` ends the process.
const FINISH_WITHIN: Duration = Duration::from_secs(12);

/// How long one does that nobody asked to stop: nobody may come after it to tell what another, which was killed while it
/// delivered, keeps to itself until its claim runs out.
const LAST_WORDS_WITHIN: Duration = CLAIM_FOR.saturating_add(Duration::from_secs(18));

/// How long a single run goes on calling hooks and looking at jobs and switching them; what is left then is the next
/// one's.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// How long it waits for what it began in that time: the longest that a hook may take, and some.
const ERRANDS_WITHIN: Duration = Duration::from_mins(11);

/// The shortest sleep: a bound on how fast rounds can follow each other.
const SLEEP_MIN: Duration = Duration::from_millis(20);

/// How long a journal that did not answer is left alone.
const JOURNAL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do.
    Finished,
    /// It was asked to stop.
    Stopped,
}

impl Controller {
    /// Repeats rounds until nothing is left to do, or `stop` is ready.
    ///
    /// # Errors
    /// The journal cannot be used.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<Ending, ControllerError> {
        let mut stop = pin!(stop);
        let mut due = Due::All;
        let mut looked_at = Instant::now();
        loop {
            // From its beginning: a round that takes long does not make the next one later.
            if due == Due::All {
                looked_at = Instant::now();
            }
            // A round is never cut short: stopping waits for its end, which is bounded.
            self.round(&due).await?;
            if self.is_over() {
                self.finish(LAST_WORDS_WITHIN).await?;
                return Ok(Ending::Finished);
            }
            self.refresh().await?;
            due = tokio::select! {
                biased;
                () = &mut stop => {
                    self.finish(FINISH_WITHIN).await?;
                    return Ok(Ending::Stopped);
                }
                due = self.wait(looked_at) => due,
            };
        }
    }

    /// One round, and the end of what it began: what was seen of jobs, and what hooks and switches answered, is decided by
    /// in the same run. While any of it is waited for there are rounds as in [`Controller::run`], so that alarms are
    /// looked at.
    ///
    /// # Errors
    /// The journal cannot be used.
    pub async fn run_once(&mut self) -> Result<(), ControllerError> {
        let began = Instant::now();
        let mut looked_at = began;
        self.round(&Due::All).await?;
        while !(self.errands.is_idle() && self.errands.has_looked()) {
            if began.elapsed() >= BEGINS_WITHIN {
                self.errands.close();
            }
            let waited = tokio::time::timeout_at(began + ERRANDS_WITHIN, self.wait(looked_at));
            let Ok(due) = waited.await else {
                break;
            };
            if due == Due::All {
                looked_at = Instant::now();
            }
            self.round(&due).await?;
            self.refresh().await?;
        }
        self.finish(LAST_WORDS_WITHIN).await
    }

    /// Waits for what is worth a round.
    async fn wait(&mut self, looked_at: Instant) -> Due {
        if self.book.has_foreign() || self.book.has_fleet_news() {
            return Due::Only(BTreeSet::new());
        }
        let down = self.journal_trouble.is_some();
        loop {
            let wake = wakes_at(self.next_wake());
            let look_again = self
                .outside
                .clock
                .look_again(looked_at, self.settings.interval);
            tokio::select! {
                biased;
                outcome = self.performer.next() => {
                    self.note_outcome(outcome);
                    return Due::Only(BTreeSet::new());
                }
                done = self.errands.next() => {
                    self.note_done(done);
                    return Due::Only(BTreeSet::new());
                }
                () = self.pager.next() => {
                    self.note_delivered();
                    return Due::Only(BTreeSet::new());
                }
                () = appended(&self.book, down) => return Due::Only(BTreeSet::new()),
                () = look_again => return Due::All,
                () = wake => return Due::Only(self.woken()),
                () = self.couriers.next() => {
                    self.pass_notices_on();
                    if self.has_told_pages() {
                        return Due::Only(BTreeSet::new());
                    }
                }
            }
        }
    }

    /// When the first cutover wants to be decided again, if any does before the next look.
    fn next_wake(&self) -> Option<Instant> {
        let mut first: Option<Timestamp> = None;
        // Whose it is costs more to say than when it is, and this is asked at every wake-up.
        for (name, at) in self.wakes() {
            if first.is_none_or(|first| at < first) && self.is_mine(name) {
                first = Some(at);
            }
        }
        let now = self.now();
        let first = first.map(|at| instant(at, now));
        first.into_iter().chain(self.next_beat()).min()
    }

    /// When each cutover that was ever looked after wants to be decided again.
    fn wakes(&self) -> impl Iterator<Item = (&CutoverName, Timestamp)> {
        let at = |note: &Note| note.glance.as_ref()?.next_at;
        let notes = self.notes.iter();
        notes.filter_map(move |(name, note)| Some((name, at(note)?)))
    }

    fn woken(&self) -> BTreeSet<CutoverName> {
        let now = self.now();
        self.wakes()
            .filter(|(name, at)| *at <= now && self.is_mine(name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Waits for what is on the wire, and journals what came of it.
    async fn finish(&mut self, within: Duration) -> Result<(), ControllerError> {
        let deadline = Instant::now() + within;
        self.send_pages();
        self.send_notices();
        while !(self.performer.is_idle()
            && self.pager.is_idle()
            && self.errands.is_idle()
            && self.couriers.is_idle())
        {
            tokio::select! {
                biased;
                outcome = self.performer.next() => self.note_outcome(outcome),
                done = self.errands.next() => self.note_done(done),
                () = self.pager.next() => self.note_delivered(),
                () = self.couriers.next() => self.send_notices(),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        self.record().await?;
        self.beat().await;
        self.log_news();
        Ok(())
    }

    fn is_over(&self) -> bool {
        let states = self.states();
        let over = |state: &&State| match self.settings.scope {
            Scope::Files => state.phase.is_final(),
            Scope::Rollback(_) => {
                let drifted = matches!(state.halt, Some(HaltReason::Drift { .. }));
                let back =
                    state.phase == Phase::Reverted || (state.phase == Phase::Halted && drifted);
                back && state.rollback.is_none()
            }
        };
        let known = |state: &&State| !self.book.is_shadowed(&state.name);
        let recorded = self.outcomes.is_empty() && self.unrecorded.is_empty();
        let recorded = recorded && states.iter().all(known);
        let idle = self.performer.is_idle() && self.errands.is_idle();
        let settled = states.iter().all(over) && idle;
        settled && recorded && self.journal_trouble.is_none()
    }
}

/// Returns when somebody appended something; while the journal is down, what is new stays new, and is asked for no more
/// than once a second.
async fn appended(book: &Book, down: bool) {
    if down {
        tokio::time::sleep(JOURNAL_AGAIN_AFTER).await;
    }
    book.changed().await;
}

/// Returns at that time, or after the shortest sleep; never where there is no such time.
async fn wakes_at(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.max(Instant::now() + SLEEP_MIN)).await,
        None => std::future::pending().await,
    }
}

fn instant(at: Timestamp, now: Timestamp) -> Instant {
    let wait = at.duration_since(now).max(SignedDuration::ZERO);
    Instant::now() + Duration::try_from(wait).unwrap_or_default()
}
