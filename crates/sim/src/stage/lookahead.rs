//! Plays the services of all cutovers ahead of time, to find the next change that the controller can see.
//!
//! The played minutes are kept, and each is used when its time has come. If something happens that they did not take
//! into account, they are dropped, and the services are played again from the state before them.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::cutover::SimCutover;
use super::trouble::StageTrouble;
use super::watch::{AlarmTurn, AlarmWatch};
use crate::scenario::Scenario;
use crate::traffic::cluster::Strain;
use crate::traffic::{Conditions, MINUTE, Sample, Service};
use cutover_engine::units::AlarmId;

/// The TTL of all records of the simulated Route 53, in seconds.
const TTL_SECS: i64 = 60;

/// The results of one minute of one cutover.
#[derive(Debug, Clone)]
pub(super) struct PlayedMinute {
    /// The requests and how they were served.
    pub(super) sample: Sample,
    /// Datapoints of alarms that breach or change a state.
    pub(super) seen: Vec<(AlarmId, AlarmTurn)>,
}

/// The state of one cutover's service and alarms, which each minute changes.
#[derive(Clone)]
struct ServiceState {
    service: Service,
    watches: Vec<AlarmWatch>,
}

/// The services of all cutovers, with the minutes that were played ahead.
pub(super) struct Lookahead {
    /// The services at `base_minute`, before the minutes in `played`.
    base: Vec<ServiceState>,
    base_minute: i64,
    /// The services at `front_minute`, after the minutes in `played`.
    front: Vec<ServiceState>,
    front_minute: i64,
    /// The minutes up to `front_minute` that were not used yet, oldest first.
    played: VecDeque<Vec<PlayedMinute>>,
}

impl Lookahead {
    /// Creates the services of all cutovers at `minute`, in seconds since 1970. Nothing is played ahead.
    pub(super) fn new(
        cutovers: &[SimCutover],
        scenario: &Scenario,
        seed: u64,
        minute: i64,
    ) -> Self {
        let mut base = Vec::new();
        for cutover in cutovers {
            base.push(ServiceState {
                service: Service::new(scenario, seed, cutover.name.as_str(), TTL_SECS, 0.0),
                watches: cutover.watches.clone(),
            });
        }
        Self {
            front: base.clone(),
            base,
            base_minute: minute,
            front_minute: minute,
            played: VecDeque::new(),
        }
    }

    /// Returns the results of the minute that begins at `minute`, one for each cutover, and removes them.
    pub(super) fn take(
        &mut self,
        minute: i64,
        cutovers: &[SimCutover],
        troubles: &[StageTrouble],
    ) -> Vec<PlayedMinute> {
        if let Some(outcomes) = self.played.pop_front() {
            return outcomes;
        }
        debug_assert_eq!(minute, self.front_minute);
        step(&mut self.front, &mut self.front_minute, cutovers, troubles)
    }

    /// Drops the minutes from `minute` on, because something happened that they did not take into account.
    pub(super) fn forget(
        &mut self,
        minute: i64,
        cutovers: &[SimCutover],
        troubles: &[StageTrouble],
    ) {
        if self.played.is_empty() {
            return;
        }
        self.played.clear();
        self.front.clone_from(&self.base);
        self.front_minute = self.base_minute;
        while self.front_minute < minute {
            step(&mut self.front, &mut self.front_minute, cutovers, troubles);
        }
    }

    /// Returns the time at which the next change of an alarm's state can be seen. Plays ahead as far as needed.
    ///
    /// `None` if no minute up to `until` (in seconds since 1970) changes a state.
    pub(super) fn next_seen(
        &mut self,
        until: i64,
        cutovers: &[SimCutover],
        troubles: &[StageTrouble],
    ) -> Option<Timestamp> {
        for outcomes in &self.played {
            if let Some(at) = first_change(outcomes) {
                return Some(at);
            }
        }
        if self.played.is_empty() {
            self.base.clone_from(&self.front);
            self.base_minute = self.front_minute;
        }
        while self.front_minute + MINUTE <= until {
            let outcomes = step(&mut self.front, &mut self.front_minute, cutovers, troubles);
            let at = first_change(&outcomes);
            self.played.push_back(outcomes);
            if at.is_some() {
                return at;
            }
        }
        None
    }
}

/// Returns the time at which the first change of an alarm's state in these results can be seen.
fn first_change(outcomes: &[PlayedMinute]) -> Option<Timestamp> {
    let seen = outcomes.iter().flat_map(|outcome| &outcome.seen);
    let changes = seen.filter(|(_, seen)| seen.state.is_some());
    changes.map(|(_, seen)| seen.at).min()
}

/// Plays one minute of all services, and returns its results, one for each cutover.
fn step(
    services: &mut [ServiceState],
    minute: &mut i64,
    cutovers: &[SimCutover],
    troubles: &[StageTrouble],
) -> Vec<PlayedMinute> {
    let from = *minute;
    *minute += MINUTE;
    let mut outcomes = Vec::new();
    for (state, cutover) in services.iter_mut().zip(cutovers) {
        let conditions = conditions(cutover, troubles, from);
        let sample = state.service.minute(from, &conditions);
        let mut seen = Vec::new();
        for watch in &mut state.watches {
            if let Some(datapoint) = watch.minute(&sample) {
                seen.push((watch.id.clone(), datapoint));
            }
        }
        outcomes.push(PlayedMinute { sample, seen });
    }
    outcomes
}

/// Returns the conditions of one cutover's service in the minute that begins at `from`.
fn conditions(cutover: &SimCutover, troubles: &[StageTrouble], from: i64) -> Conditions {
    let mut strains = [Strain::default(); 2];
    let (mut push, mut pinned) = (1.0, false);
    for trouble in troubles {
        if trouble.concerns(&cutover.name) {
            trouble.strain(from, &mut strains, &mut push);
            pinned |= trouble.pins(from);
        }
    }
    Conditions {
        shares: cutover.shares_at(from),
        push,
        pinned,
        strains,
    }
}
