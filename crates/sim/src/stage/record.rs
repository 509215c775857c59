//! The recording of one cutover's world: requests, failures, alarms, and averages over time.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::traffic::{MINUTE, REAL, Sample, UNREVERTED, UNTOUCHED};
use cutover_engine::units::AlarmId;

/// The most scenes that are kept. If there are more, neighbouring scenes are merged in pairs.
pub const SCENES_MAX: usize = 600;

/// The most minutes before a revert that are kept one by one.
const NEAR_BEFORE: usize = 20;

/// The most minutes around a revert that are kept one by one, before and after it together.
const NEAR_MAX: usize = 80;

/// The share of the requests below which the new side counts as having no traffic (0 to 1).
const DRAINED_BELOW: f64 = 0.001;

/// The recording of one cutover.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Averages over intervals of equal length, oldest first. [`Self::scenes()`] adds the incomplete last one.
    pub scenes: Vec<Scene>,
    /// The number of requests, until the cutover ends and a revert has taken the traffic back.
    pub requests: f64,
    /// The expected number of failed requests among `requests`.
    pub failed: f64,
    /// The expected number of failed requests if the weights had never been changed.
    pub failed_untouched: f64,
    /// The expected number of failed requests beyond `failed_untouched` if the traffic had not been taken back.
    pub failed_unreverted: f64,
    /// The breaching datapoints: the time at which each could be seen, and its alarm.
    pub bad: Vec<(Timestamp, AlarmId)>,
    /// The times at which alarms of the plan entered ALARM.
    pub turned_red: Vec<(Timestamp, AlarmId)>,
    /// The time after the revert at which the new side had no more traffic. `None` if that did not happen.
    pub drained_at: Option<Timestamp>,
    /// The minutes around the revert, one scene each, oldest first.
    pub near: VecDeque<Scene>,
    /// The length of a scene in minutes.
    spacing: u32,
    /// The last scene, if it is not complete.
    open: Option<Scene>,
    /// The end of the cutover or of the rehearsal, in seconds since 1970.
    over_at: Option<i64>,
    /// The time of the first revert, in seconds since 1970.
    reverting_from: Option<i64>,
    /// The time at which the plan would have ended without the revert, in seconds since 1970.
    would_end: Option<i64>,
}

/// The averages of consecutive minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The end of the last minute, in seconds since 1970.
    pub until: i64,
    /// The number of minutes.
    pub minutes: u32,
    /// The number of requests a minute.
    pub requests: f64,
    /// The new side's share by the weights in force (0 to 1).
    pub intended: f64,
    /// The new side's share of the requests (0 to 1). It follows the weights late, because of caches.
    pub observed: f64,
    /// The part of the requests that failed (0 to 1): new side, old side.
    pub errors: [f64; 2],
    /// The 99th percentile of response times in milliseconds: new side, old side.
    pub p99_ms: [f64; 2],
    /// The alarms that were in ALARM in one of the minutes.
    pub red: BTreeSet<AlarmId>,
}

impl Scene {
    /// Returns a scene of one minute.
    fn of(sample: &Sample, red: &BTreeSet<AlarmId>) -> Self {
        Self {
            until: sample.from + MINUTE,
            minutes: 1,
            requests: sample.requests,
            intended: sample.intended,
            observed: sample.observed,
            errors: sample.sides.map(|side| side.errors),
            p99_ms: sample.sides.map(|side| side.p99_ms),
            red: red.clone(),
        }
    }

    /// Merges a scene that follows directly into this one.
    fn join(&mut self, next: &Self) {
        let minutes = [f64::from(self.minutes), f64::from(next.minutes)];
        self.until = next.until;
        self.minutes += next.minutes;
        self.requests = mean([self.requests, next.requests], minutes);
        self.intended = mean([self.intended, next.intended], minutes);
        self.observed = mean([self.observed, next.observed], minutes);
        for side in 0..2 {
            self.errors[side] = mean([self.errors[side], next.errors[side]], minutes);
            self.p99_ms[side] = mean([self.p99_ms[side], next.p99_ms[side]], minutes);
        }
        if !next.red.is_subset(&self.red) {
            self.red.extend(next.red.iter().cloned());
        }
    }
}

/// Returns the weighted mean of two values.
fn mean(values: [f64; 2], weights: [f64; 2]) -> f64 {
    (values[0] * weights[0] + values[1] * weights[1]) / (weights[0] + weights[1])
}

impl Recording {
    /// Adds one minute. `red` are the plan's alarms that are in ALARM at its end.
    pub fn minute(&mut self, sample: &Sample, red: &BTreeSet<AlarmId>) {
        let over = self.over_at.is_some_and(|at| sample.from >= at);
        let going_back = self.reverting_from.is_some_and(|from| sample.from >= from);
        if going_back && self.drained_at.is_none() && sample.observed < DRAINED_BELOW {
            self.drained_at = Timestamp::from_second(sample.from + MINUTE).ok();
        }
        self.keep_near(sample, red, going_back);
        if !over {
            self.add_to_scenes(sample, red);
        }
        if !over || (going_back && self.drained_at.is_none()) {
            self.requests += sample.requests;
            self.failed += sample.failed[REAL];
            self.failed_untouched += sample.failed[UNTOUCHED];
        }
        if !over || self.would_end.is_some_and(|at| sample.from < at) {
            self.failed_unreverted += sample.failed[UNREVERTED] - sample.failed[UNTOUCHED];
        }
    }

    /// Keeps the last minutes before a revert, and the first minutes after it.
    fn keep_near(&mut self, sample: &Sample, red: &BTreeSet<AlarmId>, going_back: bool) {
        if going_back && self.near.len() >= NEAR_MAX {
            return;
        }
        if !going_back && self.near.len() >= NEAR_BEFORE {
            self.near.pop_front();
        }
        self.near.push_back(Scene::of(sample, red));
    }

    /// Adds one minute to the open scene. A complete scene is kept and closed.
    fn add_to_scenes(&mut self, sample: &Sample, red: &BTreeSet<AlarmId>) {
        self.spacing = self.spacing.max(1);
        let scene = Scene::of(sample, red);
        let mut open = match self.open.take() {
            Some(mut open) => {
                open.join(&scene);
                open
            }
            None => scene,
        };
        if open.minutes < self.spacing {
            self.open = Some(open);
            return;
        }
        if self.scenes.len() + 1 >= SCENES_MAX {
            let mut thinned: Vec<Scene> = Vec::with_capacity(SCENES_MAX);
            self.spacing *= 2;
            for scene in self.scenes.drain(..) {
                match thinned.last_mut() {
                    Some(last) if last.minutes < self.spacing => last.join(&scene),
                    _ => thinned.push(scene),
                }
            }
            if let Some(mut last) = thinned.pop_if(|last| last.minutes < self.spacing) {
                last.join(&open);
                open = last;
            }
            self.scenes = thinned;
            if open.minutes < self.spacing {
                self.open = Some(open);
                return;
            }
        }
        self.scenes.push(open);
    }

    /// Records that a revert begins at `at`. Without it, the plan would have ended at `would_end`.
    pub fn reverting(&mut self, at: Timestamp, would_end: Option<Timestamp>) {
        self.reverting_from.get_or_insert(at.as_second());
        self.would_end = self.would_end.or(would_end.map(Timestamp::as_second));
    }

    /// Records the end of the cutover.
    pub fn over(&mut self, at: Timestamp) {
        if self.over_at.is_none() {
            self.over_at = Some(at.as_second());
        }
    }

    /// Records the end of the rehearsal. If the cutover has not ended, nothing after `at` is counted.
    pub fn cut_off(&mut self, at: Timestamp) {
        if self.over_at.is_none() {
            (self.reverting_from, self.would_end) = (None, None);
            self.over(at);
        }
    }

    /// Returns true if the minutes from `minute` (in seconds since 1970) on cannot change the recording.
    pub fn is_done(&self, minute: i64) -> bool {
        let over = self.over_at.is_none_or(|at| minute >= at);
        let judged = self.would_end.is_none_or(|at| minute >= at);
        over && judged && (self.reverting_from.is_none() || self.drained_at.is_some())
    }

    /// Returns all scenes, oldest first. The last one may be incomplete.
    pub fn scenes(&self) -> impl Iterator<Item = &Scene> {
        self.scenes.iter().chain(&self.open)
    }
}
