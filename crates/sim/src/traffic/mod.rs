//! One simulated service, minute by minute: how many requests come, where they go, and how the clusters serve them.
//!
//! This module knows neither Route 53 nor `CloudWatch`. A [`Service`] gets the weights in force and the faults, and
//! returns a [`Sample`]. Cloning it is cheap, so the future can be played ahead.

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

/// The service that one cutover moves.
#[derive(Debug, Clone)]
pub struct Service {
    demand: Demand,
    resolvers: ResolverCaches,
    /// The clusters of each track: new, then old.
    clusters: [[LoadedCluster; 2]; TRACKS],
    counts: Chance,
    latency: Chance,
}

/// The conditions under which a service runs for one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// The new side's share for each track, by the weights that the name servers answer with (0 to 1).
    pub shares: [f64; TRACKS],
    /// The factor on the usual number of requests.
    pub push: f64,
    /// True if all callers stay on the old side, whatever the weights are.
    pub pinned: bool,
    /// The effects of faults on the clusters: new, then old.
    pub strains: [Strain; 2],
}

/// The results of one minute. Those of the sides are of the track [`REAL`], and are new, then old.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The start of the minute, in seconds since 1970.
    pub from: i64,
    /// The number of requests.
    pub requests: f64,
    /// The new side's share by the weights that the name servers answer with (0 to 1).
    pub intended: f64,
    /// The new side's share of the requests (0 to 1).
    pub observed: f64,
    /// How each side served its requests.
    pub sides: [Bearing; 2],
    /// The metrics that CloudWatch gets from each side.
    pub metrics: [Metrics; 2],
    /// The number of failed requests for each track. These are expected values, so that the tracks can be compared.
    pub failed: [f64; TRACKS],
    /// The new side's share of the requests on the track [`UNREVERTED`] (0 to 1).
    pub observed_unreverted: f64,
}

/// The metrics of one side's minute, as `CloudWatch` gets them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// The number of requests.
    pub requests: f64,
    /// The number of failed requests.
    pub failed: f64,
    /// The 99th percentile of response times, in milliseconds.
    pub p99_ms: f64,
}

impl Service {
    /// Creates the service of the cutover `name`. All its resolvers have answered with the new side's share `share` (0
    /// to 1) for a long time.
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

    /// Plays the minute that begins at `from` (seconds since 1970). The number of draws from each random stream does
    /// not depend on the conditions, so that worlds with other conditions stay comparable.
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

    /// Returns the metrics of one side's minute, with random variation.
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

/// The number of health probes a minute that an unhealthy cluster gets, even without traffic.
const PROBES: f64 = 10.0;

/// Returns the start of the minute that contains this time, in seconds since 1970.
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
