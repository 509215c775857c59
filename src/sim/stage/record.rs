//! What is recorded of one cutover's world.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::engine::units::AlarmId;
use crate::sim::traffic::{MINUTE, REAL, Sample, UNREVERTED, UNTOUCHED};

/// The most scenes that are kept; when there are more, each two become one.
pub const SCENES_MAX: usize = 600;

/// The most minutes that are kept from before a revert.
const NEAR_BEFORE: usize = 20;

/// The most minutes that are kept around a revert.
const NEAR_MAX: usize = 80;

/// Fewer requests than this part on the new side, and the traffic is back.
const DRAINED_BELOW: f64 = 0.001;

/// What was recorded of one cutover.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// The world at regular moments, oldest first.
    pub scenes: Vec<Scene>,
    /// All requests.
    pub requests: f64,
    /// The expected number of those that failed.
    pub failed: f64,
    /// The same, had the weights never been touched.
    pub failed_untouched: f64,
    /// What would have failed beyond what fails anyway, had nobody taken the traffic back.
    pub failed_unreverted: f64,
    /// The bad datapoints: when they were there to be seen, and of which alarm.
    pub bad: Vec<(Timestamp, AlarmId)>,
    /// When which alarm of the plan turned red.
    pub turned_red: Vec<(Timestamp, AlarmId)>,
    /// When the traffic was back after the revert.
    pub drained_at: Option<Timestamp>,
    /// The minutes around the revert, each for itself.
    pub near: VecDeque<Scene>,
    /// How many minutes a scene has.
    spacing: u32,
    open: Option<Scene>,
    over_at: Option<i64>,
    reverting_from: Option<i64>,
    would_end: Option<i64>,
}

/// Some minutes, averaged.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The end of the last minute, in seconds since 1970.
    pub until: i64,
    /// How many minutes.
    pub minutes: u32,
    /// Requests a minute.
    pub requests: f64,
    /// The new side's share by the weights (0 to 1).
    pub intended: f64,
    /// The new side's share of the requests (0 to 1).
    pub observed: f64,
    /// The part of the requests that failed, new and old (0 to 1).
    pub errors: [f64; 2],
    /// The 99th percentile of response times, new and old, in milliseconds.
    pub p99_ms: [f64; 2],
    /// The alarms that were in ALARM at some moment.
    pub red: BTreeSet<AlarmId>,
}

impl Scene {
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

    /// Takes the minutes that follow into this scene.
    fn join(&mut self, next: &Self) {
        let (mine, theirs) = (f64::from(self.minutes), f64::from(next.minutes));
        let mean = |a: f64, b: f64| (a * mine + b * theirs) / (mine + theirs);
        self.until = next.until;
        self.minutes += next.minutes;
        self.requests = mean(self.requests, next.requests);
        self.intended = mean(self.intended, next.intended);
        self.observed = mean(self.observed, next.observed);
        for side in 0..2 {
            self.errors[side] = mean(self.errors[side], next.errors[side]);
            self.p99_ms[side] = mean(self.p99_ms[side], next.p99_ms[side]);
        }
        if !next.red.is_subset(&self.red) {
            self.red.extend(next.red.iter().cloned());
        }
    }
}

impl Recording {
    /// Takes one minute in.
    pub fn minute(&mut self, sample: &Sample, red: &BTreeSet<AlarmId>) {
        let over = self.over_at.is_some_and(|at| sample.from >= at);
        let going_back = self.reverting_from.is_some_and(|from| sample.from >= from);
        if going_back && self.drained_at.is_none() && sample.observed < DRAINED_BELOW {
            self.drained_at = Timestamp::from_second(sample.from + MINUTE).ok();
        }
        self.come_near(sample, red, going_back);
        if !over {
            self.film(sample, red);
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

    /// Keeps the last minutes until there is a revert, and then those after it.
    fn come_near(&mut self, sample: &Sample, red: &BTreeSet<AlarmId>, going_back: bool) {
        if going_back && self.near.len() >= NEAR_MAX {
            return;
        }
        if !going_back && self.near.len() >= NEAR_BEFORE {
            self.near.pop_front();
        }
        self.near.push_back(Scene::of(sample, red));
    }

    fn film(&mut self, sample: &Sample, red: &BTreeSet<AlarmId>) {
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
            if let Some(last) = thinned.pop_if(|last| last.minutes < self.spacing) {
                let mut last = last;
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

    /// The traffic goes back from here on; the plan would have been over at `would_end`.
    pub fn reverting(&mut self, at: Timestamp, would_end: Option<Timestamp>) {
        self.reverting_from.get_or_insert(at.as_second());
        self.would_end = self.would_end.or(would_end.map(Timestamp::as_second));
    }

    /// The cutover is over.
    pub fn over(&mut self, at: Timestamp) {
        if self.over_at.is_none() {
            self.over_at = Some(at.as_second());
        }
    }

    /// The rehearsal ends here. What has not ended by itself never will, and nothing after it counts.
    pub fn cut_off(&mut self, at: Timestamp) {
        if self.over_at.is_none() {
            (self.reverting_from, self.would_end) = (None, None);
            self.over(at);
        }
    }

    /// Whether nothing is left to be learned from the minutes from `minute` on.
    pub fn is_done(&self, minute: i64) -> bool {
        let over = self.over_at.is_none_or(|at| minute >= at);
        let judged = self.would_end.is_none_or(|at| minute >= at);
        over && judged && (self.reverting_from.is_none() || self.drained_at.is_some())
    }

    /// The scenes, with the one that was not complete.
    pub fn scenes(&self) -> impl Iterator<Item = &Scene> {
        self.scenes.iter().chain(&self.open)
    }
}
