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
use crate::engine::lists;
use crate::engine::notify::channel_shown;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;

/// How long after the first reading at the baseline the weights count as back although jobs or hooks keep the revert from
/// its end. The last write of ours may land 30 s after its intent (semantics A3); the reading behind that is over by then.
const WEIGHTS_ARE_BACK_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// How long a controller that stops waits for what is on the wire (semantics A1: an operation takes at most 10 s), and for
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

/// How long a controller that has nothing else to do tries on to deliver pages (semantics L10).
const PAGES_WITHIN: Duration = Duration::from_mins(15);

/// How long a single run does (semantics L10).
const PAGES_WITHIN_ONCE: Duration = Duration::from_mins(1);

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
        let mut tells_until = None;
        loop {
            // From its beginning: a round that takes long does not make the next one later.
            if due == Due::All {
                looked_at = Instant::now();
            }
            // A round is never cut short: stopping waits for its end, which is bounded.
            self.round(&due).await?;
            tells_until = self.tells_until(tells_until);
            if self.is_over() && tells_until.is_none_or(|until| until <= Instant::now()) {
                self.end(tells_until, LAST_WORDS_WITHIN).await?;
                return Ok(Ending::Finished);
            }
            self.refresh().await?;
            due = tokio::select! {
                biased;
                () = &mut stop => {
                    self.finish(FINISH_WITHIN).await?;
                    return Ok(Ending::Stopped);
                }
                due = self.wait(looked_at, tells_until) => due,
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
            let waited = self.wait(looked_at, None);
            let waited = tokio::time::timeout_at(began + ERRANDS_WITHIN, waited);
            let Ok(due) = waited.await else {
                break;
            };
            if due == Due::All {
                looked_at = Instant::now();
            }
            self.round(&due).await?;
            self.refresh().await?;
        }
        // Meanwhile there are rounds, so that a revert waits for no page.
        let until = Instant::now() + PAGES_WITHIN_ONCE.saturating_sub(FINISH_WITHIN);
        while !self.owed().is_empty() && Instant::now() < until {
            let due = self.wait(looked_at, Some(until)).await;
            if due == Due::All {
                looked_at = Instant::now();
            }
            self.round(&due).await?;
            self.refresh().await?;
        }
        let owes = if self.owed().is_empty() {
            None
        } else {
            Some(until)
        };
        self.end(owes, LAST_WORDS_WITHIN).await
    }

    /// Until when a controller that has nothing else to do tries on to deliver pages; none where it owes none, and where it
    /// only takes back what somebody waits for. `before` is what was said of it the last time.
    fn tells_until(&self, before: Option<Instant>) -> Option<Instant> {
        if self.settings.scope != Scope::Files || !self.is_over() {
            return None;
        }
        let owed = self.owed();
        if owed.is_empty() {
            return None;
        }
        if before.is_some() {
            return before;
        }
        tracing::info!(
            "nothing is left to do but to deliver pages, for {} minutes at most: {}",
            PAGES_WITHIN.as_secs() / 60,
            names(&owed)
        );
        Some(Instant::now() + PAGES_WITHIN.saturating_sub(FINISH_WITHIN))
    }

    /// Ends: whoever owes a page waits for what is on its way, and says what was not delivered.
    async fn end(
        &mut self,
        owes: Option<Instant>,
        within: Duration,
    ) -> Result<(), ControllerError> {
        let within = if owes.is_some() {
            FINISH_WITHIN
        } else {
            within
        };
        self.finish(within).await?;
        let owed = self.owed();
        if self.settings.scope == Scope::Files && !owed.is_empty() {
            tracing::error!(
                page = true,
                "ends with pages undelivered to {}; `cutover run` on this journal tries again",
                names(&owed)
            );
        }
        Ok(())
    }

    /// Waits for what is worth a round, until `tells_until` at most.
    async fn wait(&mut self, looked_at: Instant, tells_until: Option<Instant>) -> Due {
        if self.book.has_foreign() || self.book.has_fleet_news() {
            return Due::Only(BTreeSet::new());
        }
        let down = self.journal_trouble.is_some();
        loop {
            let wake = wakes_at(self.next_wake());
            let told_enough = wakes_at(tells_until);
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
                () = told_enough => return Due::Only(BTreeSet::new()),
                () = self.couriers.next() => {
                    self.pass_notices_on();
                    let is_done = tells_until.is_some() && self.owed().is_empty();
                    if is_done || self.has_told_pages() {
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
        self.ended = true;
        self.beat().await;
        self.log_news();
        Ok(())
    }

    /// Whether only jobs and hooks are missing of a way back, and this controller calls none.
    fn leaves_the_rest(&self, state: &State) -> bool {
        let plan = state.plan();
        let waits_beside = plan.jobs.is_some() || !plan.hooks.is_empty();
        if !self.settings.calls_nothing || !waits_beside {
            return false;
        }
        let seen_at = state
            .revert
            .as_ref()
            .and_then(|revert| revert.baseline_seen);
        seen_at.is_some_and(|at| self.now().duration_since(at) >= WEIGHTS_ARE_BACK_AFTER)
    }

    fn is_over(&self) -> bool {
        let states = self.states();
        let over = |state: &&State| match self.settings.scope {
            Scope::Files => state.phase.is_final() && state.rollback.is_none(),
            Scope::Rollback(_) => {
                let drifted = matches!(state.halt, Some(HaltReason::Drift { .. }));
                let back = match state.phase {
                    Phase::Reverted | Phase::Abandoned => true,
                    Phase::Halted => drifted,
                    Phase::Reverting => self.leaves_the_rest(state),
                    Phase::Waiting
                    | Phase::Shifting
                    | Phase::Settling
                    | Phase::Baking
                    | Phase::Completed => false,
                };
                // What became damaged meanwhile can be taken back only by writing its stored baseline.
                (back && state.rollback.is_none()) || self.book.is_damaged(&state.name)
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

/// A list of channels.
fn names(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| channel_shown(name)).collect();
    lists::some(&names, ", ")
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
