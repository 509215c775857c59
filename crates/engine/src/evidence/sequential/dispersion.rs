//! The burstiness of errors, estimated from the old side.
//!
//! Errors rarely come one by one: a pod restarts, a database stalls, and dozens of requests fail together. A test that
//! takes each error for a witness of its own hears one witness dozens of times. The *dispersion* says how many errors
//! count as one: the variance of their number over its mean, 1 if they are independent (quasi-likelihood: `McCullagh`
//! and Nelder, *Generalized Linear Models*, 1989, 4.5 and 9.2).
//!
//! It is taken from pairs of neighbouring quarters of an hour, so neither the daily curve nor an old side that gets
//! better or worse over days counts as bursts. Of `s` errors in a pair with `n1` and `n2` requests, independent ones
//! would fall into the first quarter binomially, so `(e1 n2 − e2 n1)² / (n1 n2)` is `s` on average (Pearson's statistic
//! of a 2 × 2 table, times `s`). The sum of the former over the sum of the latter is the estimate.

use serde::Deserialize;
use serde::Serialize;

use super::fixed::float;
use super::fixed::rounded;
use super::fixed::signed;

/// Requests of one side, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SideCounts {
    /// All requests; never fewer than `errors`.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

impl SideCounts {
    /// Adds another side's numbers.
    pub(super) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
    }

    /// The share of requests that failed, from 0 to 1; 0 without requests.
    pub fn rate(self) -> f64 {
        if self.requests == 0 {
            return 0.0;
        }
        float(self.errors) / float(self.requests)
    }
}

/// Pairs of quarters of an hour, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dispersion {
    /// Pairs with errors.
    pairs: u64,
    /// Their errors.
    errors: u64,
    /// The sum of their squares (see the top), in thousandths.
    squares: i64,
}

/// The dispersion is assumed this many standard errors above its estimate: one that is too small reverts healthy
/// services, and one that is too large costs time. Found by simulation (`benches/regression.rs`).
const STANDARD_ERRORS: f64 = 0.5;

/// The number of assumed errors, with [`PRIOR_DISPERSION`], before anything is known. Without them the services with
/// the fewest errors, about which least is known, would be reverted most often (same place).
const PRIOR_ERRORS: f64 = 10.0;
/// The dispersion of these assumed errors: they come in bursts.
const PRIOR_DISPERSION: f64 = 5.0;

impl Dispersion {
    /// Adds a pair of quarters of an hour.
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

    /// The number of errors that count as one, more than 1. It includes a margin for estimates from little data.
    ///
    /// A mean of `k` squares of normal numbers has the relative variance `2/k` (variance of χ² with `k` degrees of
    /// freedom). If a pair has only one burst, the sizes of bursts count too: if they are exponential, their squares
    /// have the relative variance `E[B⁴]/E[B²]² = 24/2² = 6`; with `m` bursts in a pair, `6/m`. That part grows with
    /// the part of the dispersion that comes from bursts, `1 − 1/φ`.
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
