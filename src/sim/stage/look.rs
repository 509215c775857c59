//! When a controller must look again: at the ticks around whatever it could see change.

use jiff::{SignedDuration, Timestamp};

use super::{Stage, later};
use crate::engine::state::{Phase, State};
use crate::scenario::What;
use crate::sim::traffic::MINUTE;

/// The longest time without a look.
const HORIZON: SignedDuration = SignedDuration::from_hours(1);

/// How often the controller writes a running bake clock down.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// How much longer than `unknown_for` a blindness is followed closely.
const BLIND_FOR: SignedDuration = SignedDuration::from_mins(15);

impl Stage {
    /// When to look next, on the grid of `interval` from the look at `last`; now is `now`.
    ///
    /// Everything that can be seen is looked at right before it changes and right after, and in each interval while
    /// something is unsettled, so that the journal is the same as if the controller had looked in every interval. What
    /// the controller itself looks at only once a minute (drift) may be found some seconds earlier or later.
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
        let edge = self.edges.keys().next().map(|(at, _)| *at);
        let seen = self
            .rush
            .next_seen(horizon.as_second(), &self.casts, &self.troubles);
        let due = self.states().flat_map(|state| due(state, now)).min();
        let counted = self.states().any(is_counted);
        let due = due
            .into_iter()
            .chain(counted.then(|| next_minute(now)))
            .min();
        let change = edge.into_iter().chain(seen).min();
        let around = change.map(|at| {
            let after = tick_from(last, interval, at).max(first);
            let before = later(after, -interval);
            if before >= first { before } else { after }
        });
        let must = due.into_iter().chain([horizon]).min().unwrap_or(horizon);
        let must = tick_from(last, interval, must).max(first);
        around.map_or(must, |around| around.min(must))
    }

    /// Whether something can change that nobody knows the time of.
    fn is_unsettled(&self, now: Timestamp) -> bool {
        now < self.restless_until
            || self.states().any(is_moving)
            || self.troubles.iter().any(|trouble| {
                let blinds = matches!(
                    trouble.fault.what,
                    What::CloudWatchDown
                        | What::Route53Down
                        | What::Route53Throttled
                        | What::Route53Busy
                        | What::Route53LosesReplies
                        | What::JournalDown
                        | What::JobsDown
                        | What::HooksFail
                        | What::AlarmMissing { .. }
                        | What::AlarmNoData { .. }
                        | What::AlarmUnclear { .. }
                );
                let allowed = self.states().map(|state| state.plan().gates.unknown_for);
                let closely = allowed.max().unwrap_or_default().saturating_add(BLIND_FOR);
                let since = trouble.from.unwrap_or(now);
                blinds && trouble.holds_at(now) && now.duration_since(since) < closely
            })
    }
}

/// Whether a write, a change or a revert of this cutover is under way.
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

/// When this cutover is to be looked at in any case.
fn due(state: &State, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let running = state.bake.running_since;
    let checkpoint = running
        .filter(|_| state.phase == Phase::Baking)
        .map(|since| later(since, CHECKPOINT_EVERY));
    let patience = state.plan().gates.unknown_for;
    let unknown = state.unknown.values().copied();
    let unknown: Vec<Timestamp> = unknown.map(|since| later(since, patience)).collect();
    let unknown = unknown.into_iter().filter(move |at| *at > now);
    checkpoint.into_iter().chain(unknown)
}

/// Whether something new can be read of this cutover's metrics with every minute.
fn is_counted(state: &State) -> bool {
    let measured = !state.plan().gates.measures.is_empty();
    measured && state.has_started() && !state.phase.is_final()
}

/// The next full minute: what happened two minutes before it can then be read.
fn next_minute(now: Timestamp) -> Timestamp {
    let begun = now.as_second().div_euclid(MINUTE) * MINUTE;
    Timestamp::from_second(begun + MINUTE).unwrap_or(now)
}

/// The first tick of the grid at or after `at`.
fn tick_from(last: Timestamp, interval: SignedDuration, at: Timestamp) -> Timestamp {
    let interval = interval.as_nanos().max(1);
    let gone = at.duration_since(last).as_nanos().max(0);
    let ticks = (gone + interval - 1) / interval;
    let gone = i64::try_from(ticks * interval).unwrap_or(i64::MAX);
    later(last, SignedDuration::from_nanos(gone))
}
