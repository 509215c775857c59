//! Repeats rounds: waits for the events that start one, and ends the run.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Controller;
use super::book::Book;
use super::couriers::CLAIM_FOR;
use super::outside::{ControllerError, Ending, Scope};
use super::round::Due;
use crate::engine::hold::HaltReason;
use crate::engine::lists;
use crate::engine::notify::channel_shown;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;

/// How long after the first reading at the baseline the weights count as back, although jobs or hooks keep the revert
/// from ending. Our last write may land up to 30 s after its intent (semantics A3), and a reading follows within this
/// time.
const WEIGHTS_ARE_BACK_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// How long a controller that stops waits for writes on the wire (semantics A1: an operation takes at most 10 s), pages
/// and channels. Together with the last appends, it ends before `cli/signals.rs` ends the process.
const FINISH_WITHIN: Duration = Duration::from_secs(12);

/// How long a controller that ends by itself waits for the same. Another process that was killed during a delivery
/// holds its claim for [`CLAIM_FOR`], and no later controller may come to deliver that message.
const LAST_WORDS_WITHIN: Duration = CLAIM_FOR.saturating_add(Duration::from_secs(18));

/// How long `run --once` may start calls of hooks, and readings and switches of jobs. The next run does what is left.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// How long `run --once` waits for the calls that it started: slightly longer than the longest hook.
const ERRANDS_WITHIN: Duration = Duration::from_mins(11);

/// How long a controller that has nothing else to do keeps trying to deliver pages (semantics L10).
const PAGES_WITHIN: Duration = Duration::from_mins(15);

/// How long `run --once` keeps trying to deliver pages (semantics L10).
const PAGES_WITHIN_ONCE: Duration = Duration::from_mins(1);

/// Shortest sleep. It bounds how fast rounds can follow each other.
const SLEEP_MIN: Duration = Duration::from_millis(20);

/// Time before a journal that did not answer is read again.
const JOURNAL_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Controller {
    /// Repeats rounds until nothing is left to do, or `stop` is ready. If the settings say `stays`, it goes on until
    /// `stop`.
    ///
    /// # Errors
    /// The journal cannot be used.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<Ending, ControllerError> {
        let mut stop = pin!(stop);
        let mut due = Due::All;
        let mut looked_at = Instant::now();
        let mut tells_until = None;
        loop {
            // Measured from the start of the round, so that a long round does not delay the next one.
            if due == Due::All {
                looked_at = Instant::now();
            }
            // A round is never cut short: stopping waits for its end, which is bounded.
            self.round(&due).await?;
            tells_until = self.tells_until(tells_until);
            if !self.settings.stays
                && self.is_over()
                && tells_until.is_none_or(|until| until <= Instant::now())
            {
                self.end(tells_until.is_some()).await?;
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

    /// Does one round, and waits for the calls of hooks and the switches and readings of jobs that it started, so that
    /// their results are decided in the same run. While it waits, rounds go on as in [`Controller::run`], so that
    /// alarms are read.
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
        // Rounds go on while pages are delivered, so that no revert waits for a page.
        let until = Instant::now() + PAGES_WITHIN_ONCE.saturating_sub(FINISH_WITHIN);
        while !self.owed().is_empty() && Instant::now() < until {
            let due = self.wait(looked_at, Some(until)).await;
            if due == Due::All {
                looked_at = Instant::now();
            }
            self.round(&due).await?;
            self.refresh().await?;
        }
        self.end(!self.owed().is_empty()).await
    }

    /// Returns until when a controller that has nothing else to do keeps trying to deliver pages. `None` if no page is
    /// undelivered, it has other work, or it is a rollback that a person waits for. `before` is the last result.
    fn tells_until(&self, before: Option<Instant>) -> Option<Instant> {
        if self.settings.stays || self.settings.scope != Scope::Files || !self.is_over() {
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
            "all cutovers have ended; trying to deliver pages for at most {} more minutes: {}",
            PAGES_WITHIN.as_secs() / 60,
            names(&owed)
        );
        Some(Instant::now() + PAGES_WITHIN.saturating_sub(FINISH_WITHIN))
    }

    /// Ends the run: waits for deliveries under way, and logs the pages that were not delivered.
    ///
    /// `owes_pages` is true if the controller has already waited for undelivered pages; it then waits less.
    async fn end(&mut self, owes_pages: bool) -> Result<(), ControllerError> {
        let within = if owes_pages {
            FINISH_WITHIN
        } else {
            LAST_WORDS_WITHIN
        };
        self.finish(within).await?;
        let owed = self.owed();
        if self.settings.scope == Scope::Files && !owed.is_empty() {
            tracing::error!(
                page = true,
                "stopping with pages undelivered to {}; to try again: `cutover run` on this journal",
                names(&owed)
            );
        }
        Ok(())
    }

    /// Waits for an event that needs a round, at most until `tells_until`. `looked_at` is when the last round over all
    /// cutovers began.
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
                () = appended(&self.book, down) => return Due::Only(BTreeSet::new()),
                () = look_again => return Due::All,
                () = wake => return Due::Only(self.woken()),
                () = told_enough => return Due::Only(BTreeSet::new()),
                () = self.channels.next() => {
                    self.pass_notices_on();
                    if tells_until.is_some() && self.owed().is_empty() {
                        return Due::Only(BTreeSet::new());
                    }
                }
            }
        }
    }

    /// Returns when the next cutover must be decided again or a heartbeat is due; `None` if neither is known.
    fn next_wake(&self) -> Option<Instant> {
        let mut first: Option<Timestamp> = None;
        // The time is compared first: it is cheaper than the look-up, and this runs at every wake-up.
        for (name, at) in self.wakes() {
            if first.is_none_or(|first| at < first) && self.is_mine(name) {
                first = Some(at);
            }
        }
        let now = self.now();
        let first = first.map(|at| instant(at, now));
        first.into_iter().chain(self.next_beat()).min()
    }

    /// Returns the cutovers that must be decided again, each with the time.
    fn wakes(&self) -> impl Iterator<Item = (&CutoverName, Timestamp)> {
        let notes = self.notes.iter();
        notes.filter_map(|(name, note)| Some((name, note.glance.as_ref()?.next_at?)))
    }

    fn woken(&self) -> BTreeSet<CutoverName> {
        let now = self.now();
        self.wakes()
            .filter(|(name, at)| *at <= now && self.is_mine(name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Waits at most `within` for writes, calls and deliveries under way, and journals their results.
    async fn finish(&mut self, within: Duration) -> Result<(), ControllerError> {
        let deadline = Instant::now() + within;
        self.channels.hurry();
        self.send_notices();
        while !(self.performer.is_idle() && self.errands.is_idle() && self.channels.is_idle()) {
            tokio::select! {
                biased;
                outcome = self.performer.next() => self.note_outcome(outcome),
                done = self.errands.next() => self.note_done(done),
                () = self.channels.next() => self.send_notices(),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        self.record().await?;
        self.ended = true;
        self.beat().await;
        self.log_news();
        Ok(())
    }

    /// Returns true if only jobs and hooks are left of a revert, and this controller calls none.
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

    /// Returns true if no cutover needs another round, nothing is under way, and the journal knows everything.
    fn is_over(&self) -> bool {
        if self.journal_trouble.is_some() {
            return false;
        }
        if !self.outcomes.is_empty() || !self.unrecorded.is_empty() {
            return false;
        }
        if !self.performer.is_idle() || !self.errands.is_idle() {
            return false;
        }
        let states = self.states();
        let mut states = states.iter();
        states.all(|state| self.is_done(state) && !self.book.is_unjournaled(&state.name))
    }

    /// Returns true if a cutover needs no further round of this controller.
    fn is_done(&self, state: &State) -> bool {
        match self.settings.scope {
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
                // A stream that became damaged meanwhile can be taken back only by writing its stored baseline.
                (back && state.rollback.is_none()) || self.book.is_damaged(&state.name)
            }
        }
    }
}

/// Returns a list of channels for messages.
fn names(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| channel_shown(name)).collect();
    lists::some(&names, ", ")
}

/// Waits for a new entry. While the journal is down, new entries cannot be read, so it asks at most once a second.
async fn appended(book: &Book, down: bool) {
    if down {
        tokio::time::sleep(JOURNAL_AGAIN_AFTER).await;
    }
    book.changed().await;
}

/// Waits until `wake`, but at least [`SLEEP_MIN`]. Never ends if there is no time.
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
