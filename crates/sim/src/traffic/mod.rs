//! One simulated service, minute by minute: how many requests come, where they go, and how the clusters serve them.
//!
//! This module does not know Route 53 or `CloudWatch`. A [`Service`] takes the weights in force and the faults, and gives a
//! [`Sample`]. It is cheap to clone, so that the future can be played ahead.

pub mod chance;
pub mod cluster;
pub mod demand;
pub mod resolvers;
mod tracks;

pub use self::demand::MINUTE;
pub use self::tracks::{REAL, TRACKS, UNREVERTED, UNTOUCHED};

use jiff::Timestamp;

use self::chance::Chance;
use self::cluster::{Bearing, LoadedCluster, Strain};
use self::demand::Demand;
use self::resolvers::ResolverCaches;
use crate::scenario::Scenario;

/// The service behind one cutover.
#[derive(Debug, Clone)]
pub struct Service {
    demand: Demand,
    resolvers: ResolverCaches,
    /// New and old, for each track.
    clusters: [[LoadedCluster; 2]; TRACKS],
    counts: Chance,
    latency: Chance,
}

/// The conditions of one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// The new side's share by the weights that the name servers answer with, for each track (0 to 1).
    pub shares: [f64; TRACKS],
    /// The factor on the usual requests.
    pub push: f64,
    /// True if all callers stay on the old side.
    pub pinned: bool,
    /// The faults of the new and the old cluster.
    pub strains: [Strain; 2],
}

/// The results of one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When the minute began, in seconds since 1970.
    pub from: i64,
    /// The requests.
    pub requests: f64,
    /// The new side's share by the weights that the name servers answer with (0 to 1).
    pub intended: f64,
    /// The new side's share of the requests (0 to 1).
    pub observed: f64,
    /// How each side served it, new and old.
    pub sides: [Bearing; 2],
    /// The metrics of each side, new and old.
    pub metrics: [Metrics; 2],
    /// The requests that failed, for each track; expected values, so that the tracks can be compared.
    pub failed: [f64; TRACKS],
    /// The new side's share of the requests on the track [`UNREVERTED`] (0 to 1).
    pub observed_unreverted: f64,
}

/// The metrics of one side's minute that `CloudWatch` gets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// The requests.
    pub requests: f64,
    /// The failed requests.
    pub failed: f64,
    /// The 99th percentile of response times, in milliseconds.
    pub p99_ms: f64,
}

impl Service {
    /// The service of the cutover `name`, with all its resolvers at `share` from the beginning.
    pub fn new(scenario: &Scenario, seed: u64, name: &str, ttl_secs: i64, share: f64) -> Self {
        let [demand, pushes, mut population, answers, counts, latency] = [
            "demand",
            "pushes",
            "population",
            "answers",
            "counts",
            "latency",
        ]
        .map(|kind| Chance::stream(seed, &format!("{name}/{kind}")));
        let pair = [
            LoadedCluster::new(&scenario.new),
            LoadedCluster::new(&scenario.old),
        ];
        Self {
            demand: Demand::new(&scenario.traffic, demand, pushes),
            resolvers: ResolverCaches::new(
                &scenario.resolvers,
                ttl_secs,
                share,
                &mut population,
                answers,
            ),
            clusters: [pair.clone(), pair.clone(), pair],
            counts,
            latency,
        }
    }

    /// Plays the minute that begins at `from` (seconds since 1970). The number of draws from each stream does not depend
    /// on the conditions.
    pub fn minute(&mut self, from: i64, conditions: &Conditions) -> Sample {
        let requests = self.demand.minute(from) * conditions.push;
        let answered = if conditions.pinned {
            [0.0; TRACKS]
        } else {
            conditions.shares
        };
        let observed = self.resolvers.minute(from, &answered);
        let mut failed = [0.0; TRACKS];
        let mut sides = [Bearing::default(); 2];
        for (track, clusters) in self.clusters.iter_mut().enumerate() {
            let loads = [
                requests * observed[track],
                requests * (1.0 - observed[track]),
            ];
            for (side, cluster) in clusters.iter_mut().enumerate() {
                let bearing = cluster.minute(loads[side], &conditions.strains[side]);
                failed[track] += bearing.requests * bearing.errors;
                if track == REAL {
                    sides[side] = bearing;
                }
            }
        }
        let metrics = [0, 1].map(|side| self.measured(&sides[side], &conditions.strains[side]));
        Sample {
            from,
            requests,
            intended: conditions.shares[REAL],
            observed: observed[REAL],
            sides,
            metrics,
            failed,
            observed_unreverted: observed[UNREVERTED],
        }
    }

    /// The metrics of one side's minute.
    fn measured(&mut self, bearing: &Bearing, strain: &Strain) -> Metrics {
        let mut requests = self.counts.poisson(bearing.requests);
        let mut failed = self
            .counts
            .poisson(bearing.requests * bearing.errors)
            .min(requests);
        let tail = (0.08 * self.latency.normal()).exp();
        if strain.unhealthy && requests < PROBES {
            (requests, failed) = (PROBES, PROBES * bearing.errors);
        }
        Metrics {
            requests,
            failed,
            p99_ms: bearing.p99_ms * tail,
        }
    }
}

/// The number of health probes a minute that reach an unhealthy cluster, even without traffic.
const PROBES: f64 = 10.0;

/// The start of the minute that holds this moment, in seconds since 1970.
pub fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(MINUTE) * MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(share: f64) -> Conditions {
        Conditions {
            shares: [share, 0.0, share],
            push: 1.0,
            pinned: false,
            strains: [Strain::default(), Strain::default()],
        }
    }

    fn play(seed: u64, share: f64, minutes: i64) -> Vec<Sample> {
        let mut service = Service::new(&Scenario::default(), seed, "a", 60, 0.0);
        (0..minutes)
            .map(|minute| service.minute(minute * MINUTE, &conditions(share)))
            .collect()
    }

    fn requests(share: f64) -> Vec<f64> {
        let samples = play(3, share, 500).into_iter();
        samples.map(|sample| sample.requests).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_minutes_and_another_one_others() {
        assert_eq!(play(7, 0.3, 200), play(7, 0.3, 200));
        assert_ne!(play(7, 0.3, 200), play(8, 0.3, 200));
    }

    #[test]
    fn the_weights_do_not_shift_what_else_happens() {
        assert_eq!(requests(0.0), requests(0.7));
    }

    #[test]
    fn worlds_with_the_same_weights_are_the_same() {
        for sample in play(5, 0.4, 300) {
            assert!((sample.failed[REAL] - sample.failed[UNREVERTED]).abs() < 1e-12);
            assert!((sample.observed - sample.observed_unreverted).abs() < 1e-12);
        }
    }
}
