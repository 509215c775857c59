//! The test that compares the new side with the old one. It may be repeated every minute for weeks.
//!
//! # Why not simply compare
//!
//! A test with a fixed number of samples is wrong in one of twenty cases at p < .05. Repeated every minute for three
//! days, it reverts 38–49 % of the healthy services. This test is *always valid*: the chance that it ever fails a
//! healthy service is at most `alpha`, however often and for however long it is repeated.
//!
//! # The test
//!
//! Take a minute in which `e` requests failed, on either side, of `n_new` and `n_old` requests. If the new side's rate
//! of errors is `t` times the old side's, each of the `e` errors belongs to the new side with the probability
//!
//! ```text
//! q(t) = t·n_new / (t·n_new + n_old)
//! ```
//!
//! This does not depend on the rate itself, so neither the time of day nor the share of the new side matters (Lindon
//! and Malek, *Anytime-Valid Inference for Multinomial Count Data*, `NeurIPS` 2022, arXiv 2011.03567). Let `r` be the
//! ratio that is still allowed (`at_most`). For a ratio `t > r`, the product over all minutes of
//!
//! ```text
//! (q(t)/q(r))^e_new · ((1−q(t))/(1−q(r)))^e_old
//! ```
//!
//! is, as long as the true ratio is at most `r`, a nonnegative supermartingale that starts at 1. Its logarithm is
//!
//! ```text
//! Σ e_new·ln(t/r) − Σ e·ln((t·n_new + n_old)/(r·n_new + n_old))
//! ```
//!
//! An `HourSpan` calls the second sum costs. A weighted mean of such products is a supermartingale too. The mean is
//! taken over the ratios of [`ALTERNATIVES`], because nobody knows how much worse the new side will be. It is also
//! taken over the hours at which the new side may have begun to be worse. Otherwise a service that was healthy for days
//! would have to fail for days until it is noticed (mixtures over beginnings: Shin, Ramdas and Rinaldo, *E-detectors*,
//! arXiv 2203.03532). The `i`th hour since the first comparison (from 0) has the weight `1/((i+1)(i+2))`. The sum of
//! all these weights is 1.
//!
//! This mean is the *odds* against chance. By Ville's inequality the chance that it ever reaches `1/alpha` is at most
//! `alpha`. The gate fails when it does.
//!
//! # Bursts
//!
//! All of this assumes that errors are independent, but they come in bursts. With the dispersion `φ` of the old side's
//! errors (`dispersion`) the logarithm becomes
//!
//! ```text
//! Σ e_new·g(t) − Σ e·ln((t·n_new + n_old)/(r·n_new + n_old))/φ
//! g(t) = ln(1 + (1 − exp(−(t−1)(φ−1)/φ))/(φ−1))
//! ```
//!
//! which is the one above for `φ = 1`. It follows from the moments of negative binomial numbers, which are Poisson
//! numbers whose rate is gamma-distributed: `ln E exp(hX) = −μ/(φ−1)·ln(1 − (φ−1)(e^h − 1))` for the mean `μ` and the
//! variance `φμ`. `g` is the `h` for which that is `μ(t−1)/φ`. The costs are at least `μ(t−1)/φ`, because `h` is
//! concave. So the product is a supermartingale for negative binomial errors too, at every share, unless `φ` is too
//! small. `g` is never more than `ln(φ/(φ−1))`: one burst counts as one piece of evidence, however large the
//! alternative. If the whole logarithm were divided by `φ` instead, a single long burst could decide at small shares.
//!
//! `benches/regression.rs` measures how well this holds if `φ` is estimated, and docs/benchmarks.md has its table. A
//! new side whose bursts are much larger than the old side's is worse, and counts as worse.
//!
//! # Too little evidence
//!
//! A test that has not failed does not prove that the new side is healthy. The gate passes once the test would have
//! failed by now if the new side had failed [`SEEN_TIMES`] times as often as the ratio allows, or in [`SEEN_RATE`] of
//! its requests, whichever is more. Before that the gate is not judged.

mod dispersion;
mod evidence;
pub(super) mod fixed;
mod judgement;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use dispersion::SideCounts;
pub use evidence::ALTERNATIVES;
pub use evidence::Evidence;
pub use evidence::TrafficMinute;
pub use judgement::Judgement;
pub use judgement::Numbers;

use evidence::HourSpan;
use fixed::{float, natural, signed};
use jiff::Timestamp;

/// The gate passes once the test would have noticed a new side that fails this many times as often as the ratio allows.
pub const SEEN_TIMES: f64 = 5.0;

/// The fraction of failed requests that the test would have noticed, if that is more than [`SEEN_TIMES`] gives. Without
/// it, a service that never fails could never pass.
pub const SEEN_RATE: f64 = 0.01;

/// The factor over the requests so far up to which the number of needed requests is estimated. Beyond it the estimate
/// is meaningless.
const TOLD_TIMES_MAX: f64 = 10_000.0;

/// The number of requests from which the number of needed requests is estimated. The evidence grows in proportion to
/// the requests.
const MANY: f64 = 1e9;

/// The test: how much worse the new side may be, and how rarely the test may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// How many times as often the new side may fail, in thousandths.
    at_most: u32,
    /// The chance of being wrong, in millionths.
    alpha: u32,
}

/// Why there is no such test.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum TestError {
    /// The ratio is out of range.
    #[error("`at_most` is {0}; it must be from 1 to 100 times")]
    AtMost(f64),
    /// The chance of being wrong is out of range.
    #[error("`alpha` is {0}; it must be from 0.000001 to 0.1")]
    Alpha(f64),
}

impl Default for Test {
    /// Returns the test that allows 1.25 times as many errors, and reverts one of a thousand healthy services.
    fn default() -> Self {
        Self {
            at_most: 1_250,
            alpha: 1_000,
        }
    }
}

impl Test {
    /// Returns the test with these parameters: `at_most` from 1 to 100, to three decimals; `alpha` from 0.000001 to
    /// 0.1, to six decimals.
    ///
    /// # Errors
    /// A parameter is out of range.
    pub fn new(at_most: f64, alpha: f64) -> Result<Self, TestError> {
        if !(1.0..=100.0).contains(&at_most) {
            return Err(TestError::AtMost(at_most));
        }
        if !(0.000_001..=0.1).contains(&alpha) {
            return Err(TestError::Alpha(alpha));
        }
        Ok(Self {
            at_most: whole(at_most * 1_000.0),
            alpha: whole(alpha * 1_000_000.0),
        })
    }

    /// Returns how many times as often the new side may fail.
    pub fn at_most(self) -> f64 {
        f64::from(self.at_most) / 1_000.0
    }

    /// Returns the chance that the test ever fails a healthy service.
    pub fn alpha(self) -> f64 {
        f64::from(self.alpha) / 1_000_000.0
    }

    /// Returns empty evidence for this test. Add the old side's last day first, to estimate the bursts.
    pub fn evidence(self) -> Evidence {
        Evidence::new(self.at_most)
    }

    /// Judges the evidence. Evidence for another `at_most` is not judged.
    pub fn judge(self, evidence: &Evidence) -> Judgement {
        let dispersion = evidence.dispersion();
        let threshold = -self.alpha().ln();
        let spans = evidence.spans();
        let mut all = HourTally::default();
        if spans.is_empty() || evidence.at_most() != self.at_most {
            return Judgement::NotJudged(self.numbers(&all, f64::NEG_INFINITY, dispersion, None));
        }
        let (odds, worst) = Self::odds(spans, dispersion);
        for span in spans {
            all.add(span);
        }
        if odds >= threshold {
            let mut numbers = self.numbers(&worst, odds, dispersion, None);
            // The first hour began before the first minute that was compared.
            numbers.since = numbers.since.max(evidence.first());
            return Judgement::Fail(numbers);
        }
        let seen = self.would_be_seen(all.new, all.old, dispersion);
        let needed = threshold + PRIOR_COST;
        if seen >= needed {
            return Judgement::Pass(self.numbers(&all, odds, dispersion, None));
        }
        // This is infinite if nothing would be noticed.
        let times = needed / seen;
        let requests = if times <= TOLD_TIMES_MAX {
            Some(natural(float(all.new.requests) * times))
        } else {
            None
        };
        Judgement::NotJudged(self.numbers(&all, odds, dispersion, requests))
    }

    /// Returns about how many requests of the new side this test needs to judge it. `share` is the new side's share of
    /// all requests, from 0 to 1, and `old` is how the old side failed. `None` if the number cannot be estimated.
    pub fn requests_needed(self, evidence: &Evidence, share: f64, old: SideCounts) -> Option<u64> {
        let rate = old.rate();
        let (new, old) = (many(share, rate), many(1.0 - share, rate));
        let seen = self.would_be_seen(new, old, evidence.dispersion());
        let times = (-self.alpha().ln() + PRIOR_COST) / seen;
        if !(times > 0.0 && times <= TOLD_TIMES_MAX) {
            return None;
        }
        Some(natural(float(new.requests) * times))
    }

    /// Returns the natural logarithm of the odds against chance. −∞ without evidence.
    pub fn log_odds(self, evidence: &Evidence) -> f64 {
        Self::odds(evidence.spans(), evidence.dispersion()).0
    }

    /// Returns the logarithm of the odds, and the counts since the hour with the strongest evidence.
    fn odds(spans: &[HourSpan], dispersion: f64) -> (f64, HourTally) {
        let first = spans.first().map_or(0, |span| span.hour);
        let gains = ALTERNATIVES.map(|times| gain(times, dispersion));
        let mut terms = Vec::with_capacity(spans.len() * ALTERNATIVES.len());
        let mut since = HourTally::default();
        let mut loudest = (f64::NEG_INFINITY, HourTally::default());
        for span in spans.iter().rev() {
            since.add(span);
            let hours = signed(span.hour.saturating_sub(first));
            let weight = -((hours + 1.0) * (hours + 2.0)).ln() - ALTERNATIVES_COST;
            let errors = float(since.new.errors);
            for (gain, cost) in gains.iter().zip(since.costs) {
                let term = errors * gain - signed(cost) / 1_000_000.0 / dispersion + weight;
                if term > loudest.0 {
                    loudest = (term, since);
                }
                terms.push(term);
            }
        }
        (log_of_sum(&terms), loudest.1)
    }

    /// Returns the logarithm of the odds that is expected on average, if the new side failed so often that the test
    /// should notice it. `new` and `old` are the requests, and the rate of errors of the old side. This assumes
    /// independent errors and a constant share. A share that varied would give more evidence and never less, because
    /// relative entropy is convex.
    fn would_be_seen(self, new: SideCounts, old: SideCounts, dispersion: f64) -> f64 {
        let rate = (old.rate() * SEEN_TIMES * self.at_most()).clamp(SEEN_RATE, 1.0);
        let (to_new, to_old) = (float(new.requests), float(old.requests));
        let of_new = to_new * rate;
        let errors = of_new + float(old.errors);
        let just = self.at_most() * to_new + to_old;
        let expected = ALTERNATIVES.map(|times| {
            let worse = times * self.at_most() * to_new + to_old;
            of_new * gain(times, dispersion) - errors * (worse / just).ln() / dispersion
        });
        expected.into_iter().fold(0.0, f64::max)
    }

    /// Returns the numbers of a judgement.
    fn numbers(
        self,
        tally: &HourTally,
        odds: f64,
        dispersion: f64,
        needed: Option<u64>,
    ) -> Numbers {
        let since = match tally.hour {
            Some(hour) => Timestamp::from_second(hour.saturating_mul(3_600)).ok(),
            None => None,
        };
        let times = if tally.old.errors > 0 {
            let ratio = tally.new.rate() / tally.old.rate();
            Some(natural(ratio * 1_000.0))
        } else {
            None
        };
        Numbers {
            new: tally.new,
            old: tally.old,
            since,
            times,
            at_most: u64::from(self.at_most),
            odds: natural(odds.exp()),
            odds_needed: natural(1.0 / self.alpha()),
            dispersion: natural(dispersion * 1_000.0),
            requests_needed: needed,
        }
    }
}

/// Returns a side with the fraction `share` of [`MANY`] requests, which fail at this rate.
fn many(share: f64, rate: f64) -> SideCounts {
    SideCounts {
        requests: natural(share * MANY),
        errors: natural(share * MANY * rate),
    }
}

/// Converts a number to an integer.
fn whole(number: f64) -> u32 {
    u32::try_from(natural(number)).unwrap_or(u32::MAX)
}

/// The cost of the choice among the alternatives, as a logarithm: ln 7.
const ALTERNATIVES_COST: f64 = 1.945_910_149_055_313;

/// The cost of that and of the choice among the hours, as a logarithm. It is for a difference from the first hour on,
/// whose weight is one half.
const PRIOR_COST: f64 = ALTERNATIVES_COST + std::f64::consts::LN_2;

/// The counts since some hour.
#[derive(Debug, Clone, Copy, Default)]
struct HourTally {
    /// The hour, in hours since 1970. `None` if nothing was counted.
    hour: Option<i64>,
    /// The new side's requests since that hour.
    new: SideCounts,
    /// The old side's requests since that hour.
    old: SideCounts,
    /// The costs of the errors since that hour, for each alternative.
    costs: [i64; ALTERNATIVES.len()],
}

impl HourTally {
    /// Adds the counts of a span.
    fn add(&mut self, span: &HourSpan) {
        self.hour = Some(self.hour.map_or(span.hour, |hour| hour.min(span.hour)));
        self.new.add(span.new);
        self.old.add(span.old);
        for (cost, more) in self.costs.iter_mut().zip(span.costs) {
            *cost = cost.saturating_add(more);
        }
    }
}

/// Returns the amount that an error of the new side adds to the logarithm of the odds of the alternative `times`. It is
/// nearly `ln t` if errors are independent, and never more than about `1/φ` if they come in bursts (see the top). The
/// dispersion is above 1, because it has a margin.
fn gain(times: f64, dispersion: f64) -> f64 {
    let beyond = dispersion - 1.0;
    let capped = 1.0 - (-(times - 1.0) * beyond / dispersion).exp();
    (capped / beyond).ln_1p()
}

/// Returns the logarithm of a sum of exponentials, without overflow.
fn log_of_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    let sum: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
    largest + sum.ln()
}
