//! The burstiness of errors, estimated from the old side.
//!
//! Errors rarely come one by one: a pod restarts or a database stalls, and dozens of requests fail together. A test
//! that takes each of these errors as evidence of its own counts one event dozens of times. The *dispersion* is the
//! number of errors that count as one: the variance of their number divided by its mean, which is 1 if they are
//! independent (quasi-likelihood: `McCullagh` and Nelder, *Generalized Linear Models*, 1989, 4.5 and 9.2).
//!
//! It is estimated from pairs of neighbouring quarters of an hour. So neither the daily curve, nor an old side that
//! gets better or worse over days, counts as bursts. Let a pair have `s` errors, and `n1` and `n2` requests. If errors
//! were independent, those in the first quarter would be binomial, and `(e1 n2 − e2 n1)² / (n1 n2)` would be `s` on
//! average (Pearson's statistic of a 2 × 2 table, times `s`). The estimate is the sum of these squares divided by the
//! sum of the `s`.

use serde::{Deserialize, Serialize};

use super::fixed::{float, rounded, signed};

/// The requests of one side, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SideCounts {
    /// The number of all requests. Never less than `errors`.
    pub requests: u64,
    /// The number of requests that failed.
    pub errors: u64,
}

impl SideCounts {
    /// Adds the counts of another time.
    pub(super) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
    }

    /// Returns the fraction of the requests that failed, from 0 to 1. Returns 0 without requests.
    pub fn rate(self) -> f64 {
        if self.requests == 0 {
            return 0.0;
        }
        float(self.errors) / float(self.requests)
    }
}

/// The sums over pairs of neighbouring quarters of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dispersion {
    /// The number of pairs with errors.
    pairs: u64,
    /// The number of errors in these pairs.
    errors: u64,
    /// The sum of the pairs' squares (see the top of this file), in thousandths.
    squares: i64,
}

/// How far above its estimate the dispersion is assumed, in standard errors. A dispersion that is too small reverts
/// healthy services, and one that is too large costs time. Found by simulation (`benches/regression.rs`).
const STANDARD_ERRORS: f64 = 0.5;

/// The number of errors, with [`PRIOR_DISPERSION`], that are assumed before anything is known. Without them, the
/// services with the fewest errors would be reverted most often, because least is known about them. Found by the same
/// simulation.
const PRIOR_ERRORS: f64 = 10.0;
/// The dispersion of these assumed errors: they come in bursts.
const PRIOR_DISPERSION: f64 = 5.0;

impl Dispersion {
    /// Adds two neighbouring quarters of an hour. A pair without errors, or with a quarter without requests, is left
    /// out.
    pub(super) fn add_pair(&mut self, first: SideCounts, second: SideCounts) {
        let errors = first.errors.saturating_add(second.errors);
        if errors == 0 || first.requests == 0 || second.requests == 0 {
            return;
        }
        let (of_first, of_second) = (float(first.requests), float(second.requests));
        let apart = float(first.errors) * of_second - float(second.errors) * of_first;
        let square = rounded(apart * apart / (of_first * of_second) * 1_000.0);
        self.pairs = self.pairs.saturating_add(1);
        self.errors = self.errors.saturating_add(errors);
        self.squares = self.squares.saturating_add(square);
    }

    /// Returns the number of errors that count as one. It is more than 1, and includes a margin for estimates from
    /// little data.
    ///
    /// The mean of `k` squares of normal numbers has the relative variance `2/k` (the variance of χ² with `k` degrees
    /// of freedom). If a pair has only one burst, the sizes of bursts matter too. If these are exponential, their
    /// squares have the relative variance `E[B⁴]/E[B²]² = 24/2² = 6`; with `m` bursts in a pair, `6/m`. That part grows
    /// with the part of the dispersion that comes from bursts, `1 − 1/φ`.
    pub(super) fn assumed(&self) -> f64 {
        let errors = float(self.errors) + PRIOR_ERRORS;
        let squares = signed(self.squares) / 1_000.0 + PRIOR_ERRORS * PRIOR_DISPERSION;
        let estimate = (squares / errors).max(1.0);
        let pairs = float(self.pairs) + 1.0;
        let bursts_a_pair = (errors / estimate / pairs).max(1.0);
        let of_sizes = 6.0 * (1.0 - 1.0 / estimate) / bursts_a_pair;
        let standard_error = ((2.0 + of_sizes) / pairs).sqrt();
        estimate * (1.0 + STANDARD_ERRORS * standard_error)
    }
}
