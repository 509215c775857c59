//! The minutes of all services, played ahead where somebody wants to know what comes.
//!
//! What was played ahead is kept and handed out when its minute is over, unless something has changed meanwhile that it
//! did not know of: then the services go back to where they were, and on from there.

use std::collections::VecDeque;

use super::cast::Cast;
use super::trouble::Trouble;
use super::watch::{Seen, Watch};
use crate::engine::units::AlarmId;
use crate::scenario::Scenario;
use crate::sim::traffic::cluster::Strain;
use crate::sim::traffic::{Conditions, MINUTE, Sample, Service};

/// The TTL of all records of the simulated Route 53, in seconds.
const TTL_SECS: i64 = 60;

/// One minute of one cutover.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) sample: Sample,
    pub(super) seen: Vec<(AlarmId, Seen)>,
}

/// What changes from minute to minute.
#[derive(Clone)]
struct Live {
    service: Service,
    watches: Vec<Watch>,
}

/// The services, and what of their future is known.
pub(super) struct Rush {
    /// As they were at `base_minute`.
    base: Vec<Live>,
    base_minute: i64,
    /// As they will be at `front_minute`.
    front: Vec<Live>,
    front_minute: i64,
    /// The minutes up to `front_minute` that were not handed out.
    played: VecDeque<Vec<Outcome>>,
}

impl Rush {
    pub(super) fn new(casts: &[Cast], scenario: &Scenario, seed: u64, minute: i64) -> Self {
        let live = |cast: &Cast| Live {
            service: Service::new(scenario, seed, cast.name.as_str(), TTL_SECS, 0.0),
            watches: cast.watches.clone(),
        };
        let base: Vec<Live> = casts.iter().map(live).collect();
        Self {
            front: base.clone(),
            base,
            base_minute: minute,
            front_minute: minute,
            played: VecDeque::new(),
        }
    }

    /// What the minute that begins at `minute` was like.
    pub(super) fn take(
        &mut self,
        minute: i64,
        casts: &[Cast],
        troubles: &[Trouble],
    ) -> Vec<Outcome> {
        if let Some(outcomes) = self.played.pop_front() {
            return outcomes;
        }
        debug_assert_eq!(minute, self.front_minute);
        step(&mut self.front, &mut self.front_minute, casts, troubles)
    }

    /// Forgets the minutes from `minute` on: something has changed that they did not know of.
    pub(super) fn forget(&mut self, minute: i64, casts: &[Cast], troubles: &[Trouble]) {
        if !self.played.is_empty() {
            self.played.clear();
            self.front.clone_from(&self.base);
            self.front_minute = self.base_minute;
            while self.front_minute < minute {
                step(&mut self.front, &mut self.front_minute, casts, troubles);
            }
        }
    }

    /// When the next state of an alarm can be seen, of what comes up to the second `until`; plays as far as that needs.
    pub(super) fn next_seen(
        &mut self,
        until: i64,
        casts: &[Cast],
        troubles: &[Trouble],
    ) -> Option<jiff::Timestamp> {
        let changed = |outcomes: &Vec<Outcome>| {
            let seen = outcomes.iter().flat_map(|outcome| &outcome.seen);
            let changed = seen.filter(|(_, seen)| seen.state.is_some());
            changed.map(|(_, seen)| seen.at).min()
        };
        if let Some(at) = self.played.iter().find_map(changed) {
            return Some(at);
        }
        if self.played.is_empty() {
            self.base.clone_from(&self.front);
            self.base_minute = self.front_minute;
        }
        while self.front_minute + MINUTE <= until {
            let outcomes = step(&mut self.front, &mut self.front_minute, casts, troubles);
            let at = changed(&outcomes);
            self.played.push_back(outcomes);
            if at.is_some() {
                return at;
            }
        }
        None
    }
}

/// Plays one minute of all services.
fn step(
    lives: &mut [Live],
    minute: &mut i64,
    casts: &[Cast],
    troubles: &[Trouble],
) -> Vec<Outcome> {
    let from = *minute;
    *minute += MINUTE;
    let one = |(live, cast): (&mut Live, &Cast)| {
        let mut strains = [Strain::default(); 2];
        let (mut push, mut pinned) = (1.0, false);
        for trouble in troubles.iter().filter(|it| it.concerns(&cast.name)) {
            trouble.strain(from, &mut strains, &mut push);
            pinned |= trouble.pins(from);
        }
        let conditions = Conditions {
            shares: cast.shares_at(from),
            push,
            pinned,
            strains,
        };
        let sample = live.service.minute(from, &conditions);
        let seen = |watch: &mut Watch| {
            let seen = watch.minute(&sample)?;
            Some((watch.id.clone(), seen))
        };
        Outcome {
            seen: live.watches.iter_mut().filter_map(seen).collect(),
            sample,
        }
    };
    lives.iter_mut().zip(casts).map(one).collect()
}
