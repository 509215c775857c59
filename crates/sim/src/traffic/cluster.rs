//! One simulated cluster: how it serves its load, and how its faults make it fail.

use crate::scenario;

/// The largest factor by which load alone increases response times.
const SLOWDOWN_MAX: f64 = 20.0;

/// The time from the first failures because of a leak to the worst state, in minutes of traffic.
const LEAK_WORSENS_FOR: f64 = 60.0;

/// The effect of a leak in its worst state: the part of failed requests, and the factor on the response time.
const LEAK_WORST: (f64, f64) = (0.5, 10.0);

/// The speed at which a cluster warms up: the part of the difference to its load that it makes up in a minute.
const WARMS_BY: f64 = 0.2;

/// The effect of the coldest cluster: the part of failed requests, and the factor on the response time.
const COLD: (f64, f64) = (0.1, 6.0);

/// The load, in requests a minute, to which a cluster is always warmed up.
const LUKEWARM: f64 = 5.0;

/// The part of the memory that is in use without a leak (0 to 1).
const MEMORY_USED: f64 = 0.4;

/// The part of the requests to an unhealthy cluster that fails (0 to 1).
const UNHEALTHY_ERRORS: f64 = 0.5;

/// A cluster with the effects of its past load.
#[derive(Debug, Clone)]
pub struct LoadedCluster {
    spec: scenario::Cluster,
    /// The minutes with traffic since the current leak began.
    leaked_for: f64,
    /// The load to which the cluster has warmed up, in requests a minute.
    used_to: f64,
}

/// The effects of all faults on a cluster during one minute. The default is no fault.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Strain {
    /// The part of the requests that fails because of faults (0 to 1).
    pub errors: f64,
    /// The factor on the response time minus 1. So 0 is unchanged.
    pub slower: f64,
    /// The minutes of traffic after which a leak makes requests fail. `None` without a leak.
    pub leak_bites_after: Option<f64>,
    /// True if all requests fail.
    pub outage: bool,
    /// True if the cluster must warm up to a higher load.
    pub slow_start: bool,
    /// The most requests a minute that the cluster can serve. `None` means its usual capacity.
    pub capacity: Option<f64>,
    /// True if half of the requests fail, also those of health probes.
    pub unhealthy: bool,
}

/// How a cluster served its requests in one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bearing {
    /// The number of requests that the cluster received.
    pub requests: f64,
    /// The part of the requests that failed (0 to 1).
    pub errors: f64,
    /// The 99th percentile of response times, in milliseconds.
    pub p99_ms: f64,
    /// The part of the memory that is in use (0 to 1).
    pub memory: f64,
}

impl LoadedCluster {
    /// Creates a cluster that has had no traffic yet.
    pub fn new(spec: &scenario::Cluster) -> Self {
        Self {
            spec: spec.clone(),
            leaked_for: 0.0,
            used_to: 0.0,
        }
    }

    /// Serves the requests of one minute, and returns how.
    pub fn minute(&mut self, requests: f64, strain: &Strain) -> Bearing {
        let capacity = strain.capacity.or(self.spec.capacity);
        // Requests above the capacity are refused. Each other request may fail for several independent reasons.
        let load = capacity.map_or(0.0, |capacity| requests / capacity.max(1e-9));
        let mut passing = 1.0 - self.spec.errors;
        let mut slower = 1.0 + load.powi(2) / (1.0 - load.min(0.95));
        slower = slower.min(SLOWDOWN_MAX);
        if load > 1.0 {
            passing /= load;
        }
        let (leak_errors, leak_slower) = self.leak(requests, strain);
        let (cold_errors, cold_slower) = self.cold(requests, strain);
        passing *= (1.0 - leak_errors) * (1.0 - cold_errors) * (1.0 - strain.errors);
        slower *= (1.0 + leak_slower) * (1.0 + cold_slower) * (1.0 + strain.slower);
        if strain.unhealthy {
            passing *= 1.0 - UNHEALTHY_ERRORS;
        }
        if strain.outage {
            passing = 0.0;
        }
        Bearing {
            requests,
            errors: 1.0 - passing,
            p99_ms: self.spec.p99_ms * slower,
            memory: self.memory(strain),
        }
    }

    /// Returns the effect of a leak: the part of failed requests, and the factor on the response time minus 1.
    fn leak(&mut self, requests: f64, strain: &Strain) -> (f64, f64) {
        let Some(bites_after) = strain.leak_bites_after else {
            self.leaked_for = 0.0;
            return (0.0, 0.0);
        };
        if requests > 0.0 {
            self.leaked_for += 1.0;
        }
        let bitten = (self.leaked_for - bites_after) / LEAK_WORSENS_FOR;
        let bitten = bitten.clamp(0.0, 1.0);
        (bitten * LEAK_WORST.0, bitten * (LEAK_WORST.1 - 1.0))
    }

    /// Returns the part of the memory in use (0 to 1). A leak fills the memory until requests begin to fail.
    fn memory(&self, strain: &Strain) -> f64 {
        let full = strain
            .leak_bites_after
            .map_or(0.0, |bites_after| self.leaked_for / bites_after.max(1.0));
        MEMORY_USED + (1.0 - MEMORY_USED) * full.min(1.0)
    }

    /// Returns the effect of a cold cluster: the part of failed requests, and the factor on the response time minus 1.
    fn cold(&mut self, requests: f64, strain: &Strain) -> (f64, f64) {
        let used_to = self.used_to.max(LUKEWARM);
        self.used_to += WARMS_BY * (requests - self.used_to);
        if !strain.slow_start || requests <= used_to * 1.5 {
            return (0.0, 0.0);
        }
        let cold = ((requests / used_to - 1.5) / 3.0).min(1.0);
        (cold * COLD.0, cold * (COLD.1 - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(capacity: Option<f64>) -> LoadedCluster {
        LoadedCluster::new(&scenario::Cluster {
            capacity,
            ..scenario::Cluster::default()
        })
    }

    #[test]
    fn above_its_capacity_a_cluster_turns_away_what_is_too_much() {
        let mut small = cluster(Some(1000.0));
        let calm = Strain::default();
        assert!(small.minute(500.0, &calm).errors < 0.002);
        assert!(small.minute(500.0, &calm).p99_ms < 400.0);
        let much = small.minute(2000.0, &calm);
        assert!((much.errors - 0.5).abs() < 0.01);
        assert!(much.p99_ms > 2000.0);
    }

    #[test]
    fn a_leak_bites_after_its_hours_of_traffic_and_not_before() {
        let mut leaking = cluster(None);
        let strain = Strain {
            leak_bites_after: Some(120.0),
            ..Strain::default()
        };
        for _ in 0..500 {
            assert!(
                leaking.minute(0.0, &strain).errors < 0.01,
                "no traffic, no leak"
            );
        }
        for _ in 0..120 {
            assert!(leaking.minute(10.0, &strain).errors < 0.01);
        }
        for _ in 0..60 {
            leaking.minute(10.0, &strain);
        }
        let bitten = leaking.minute(10.0, &strain);
        assert!(bitten.errors > 0.45 && bitten.p99_ms > 2000.0);
        assert!(leaking.minute(10.0, &Strain::default()).errors < 0.01);
    }

    #[test]
    fn a_slow_start_passes() {
        let mut cold = cluster(None);
        let strain = Strain {
            slow_start: true,
            ..Strain::default()
        };
        let first = cold.minute(600.0, &strain);
        assert!(first.errors > 0.05 && first.p99_ms > 1000.0);
        for _ in 0..15 {
            cold.minute(600.0, &strain);
        }
        let warm = cold.minute(600.0, &strain);
        assert!(warm.errors < 0.01 && warm.p99_ms < 300.0);
    }
}
