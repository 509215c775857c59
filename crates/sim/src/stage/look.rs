//! The time of the controller's next round: the ticks of its interval around the next change that it can see.

use jiff::{SignedDuration, Timestamp};

use super::{Stage, later};
use crate::traffic::MINUTE;
use cutover_engine::state::{Phase, State};

/// The longest time between two rounds.
const HORIZON: SignedDuration = SignedDuration::from_hours(1);

/// How often the controller journals a running bake clock.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The time for which rounds are not skipped, beyond `unknown_for`, while a fault keeps the controller from reading or
/// acting.
const BLIND_FOR: SignedDuration = SignedDuration::from_mins(15);

impl Stage {
    /// Returns the time of the next round. It is a multiple of `interval` after the round at `last`.
    ///
    /// There is a round right before and right after each change that the controller can see, and in each interval
    /// while a change can come at any time. So the journal is the same as with a round in every interval. The exception
    /// is drift, which the controller checks only once a minute: it may be found some seconds earlier or later.
    pub fn next_look(
        &mut self,
        last: Timestamp,
        now: Timestamp,
        interval: SignedDuration,
    ) -> Timestamp {
        self.advance(now);
        let first = tick_from(last, interval, now).max(later(last, interval));
        if self.is_unsettled(now) {
            return first;
        }
        let horizon = later(now, HORIZON);
        let change = self.next_change(horizon);
        let due = self.next_due(now, horizon);
        let due = tick_from(last, interval, due).max(first);
        let Some(change) = change else {
            return due;
        };
        let after = tick_from(last, interval, change).max(first);
        let before = later(after, -interval);
        let around = if before >= first { before } else { after };
        around.min(due)
    }

    /// Returns the time of the next change that the controller can see. `None` if there is none until `horizon`.
    fn next_change(&mut self, horizon: Timestamp) -> Option<Timestamp> {
        let edge = self.edges.keys().next().map(|(at, _)| *at);
        let until = horizon.as_second();
        let seen = self
            .lookahead
            .next_seen(until, &self.cutovers, &self.troubles);
        edge.into_iter().chain(seen).min()
    }

    /// Returns the next time at which a round is due although nothing changes, at the latest `horizon`.
    fn next_due(&self, now: Timestamp, horizon: Timestamp) -> Timestamp {
        let mut next = horizon;
        for state in self.states() {
            if is_measured(state) {
                next = next.min(next_minute(now));
            }
            for due in due(state, now) {
                next = next.min(due);
            }
        }
        next
    }

    /// Returns true if something may change at a time that cannot be predicted.
    fn is_unsettled(&self, now: Timestamp) -> bool {
        if now < self.restless_until || self.states().any(is_moving) {
            return true;
        }
        let patience = self.states().map(|state| state.plan().gates.unknown_for);
        let closely = patience.max().unwrap_or_default().saturating_add(BLIND_FOR);
        self.troubles.iter().any(|trouble| {
            let since = trouble.from.unwrap_or(now);
            trouble.blinds() && trouble.holds_at(now) && now.duration_since(since) < closely
        })
    }
}

/// Returns true if this cutover has a write, a change that is not INSYNC, or a revert.
fn is_moving(state: &State) -> bool {
    let pending = state.changes.values().any(|it| it.in_sync_at.is_none());
    match state.phase {
        Phase::Shifting | Phase::Reverting => true,
        Phase::Settling => pending || state.changes.is_empty(),
        Phase::Waiting => state.rollback.is_some(),
        Phase::Baking | Phase::Halted => state.write.is_some() || state.rollback.is_some(),
        Phase::Completed | Phase::Reverted | Phase::Abandoned => false,
    }
}

/// Returns the times at which the controller acts on this cutover because time has passed: checkpoints of the bake
/// clock, and the end of `unknown_for`.
fn due(state: &State, now: Timestamp) -> Vec<Timestamp> {
    let mut due = Vec::new();
    if state.phase == Phase::Baking
        && let Some(since) = state.bake.running_since
    {
        due.push(later(since, CHECKPOINT_EVERY));
    }
    let patience = state.plan().gates.unknown_for;
    for since in state.unknown.values() {
        let at = later(*since, patience);
        if at > now {
            due.push(at);
        }
    }
    due
}

/// Returns true if this cutover has metric gates, which get new data each minute.
fn is_measured(state: &State) -> bool {
    let measured = !state.plan().gates.measures.is_empty();
    measured && state.has_started() && !state.phase.is_final()
}

/// Returns the next full minute.
fn next_minute(now: Timestamp) -> Timestamp {
    let begun = now.as_second().div_euclid(MINUTE) * MINUTE;
    Timestamp::from_second(begun + MINUTE).unwrap_or(now)
}

/// Returns the first multiple of `interval` after `last` that is not before `at`.
fn tick_from(last: Timestamp, interval: SignedDuration, at: Timestamp) -> Timestamp {
    let interval = interval.as_nanos().max(1);
    let gone = at.duration_since(last).as_nanos().max(0);
    let ticks = (gone + interval - 1) / interval;
    let gone = i64::try_from(ticks * interval).unwrap_or(i64::MAX);
    later(last, SignedDuration::from_nanos(gone))
}
