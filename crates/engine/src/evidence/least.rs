//! The number of requests that an error rate needs before it is judged, so that a healthy service is not reverted by
//! chance.
//!
//! # A healthy side
//!
//! A bound is set well above the usual rate. A side counts as healthy if its requests fail a tenth ([`HEALTHY`]) as
//! often as the bound allows, each independently of the others. Of `n` requests the bound `b` allows `x = b·n` to fail.
//! On average `x/10` of them fail, and their number is Poisson.
//!
//! # The least number
//!
//! A gate judges its whole window together, and its datapoints one by one. In both cases it fails only with more errors
//! than the bound allows. Let `m` be the most errors that the bound allows: `m ≤ b·n < m + 1`. Then it takes `m + 1`
//! errors to fail, and on average there are fewer than `(m + 1)/10`. The worst case is just below the next whole
//! number, and its chance falls as `m` grows:
//!
//! ```text
//! P(Poisson((m + 1)/10) ≥ m + 1)
//! ```
//!
//! In a week a gate is judged as often as there are datapoints. So [`errors_within`] is the least `m` for which that
//! chance, times the number of datapoints of a week, is at most [`FALSE_REVERTS`]. [`least_requests`] is the number of
//! requests for which the bound allows `m` errors. This holds at every size of traffic, because fewer requests are not
//! judged, and more are worse cases of a larger `m`. It also holds for every "M of N", because either one datapoint
//! beyond the bound is enough, or M of them are rarer than one.
//!
//! For datapoints of a minute, `m` is 10: 1,000 requests for 1 %, 500 for 2 %.
//!
//! # Fewer requests
//!
//! A window with fewer requests is judged as if the missing ones had all succeeded. More than `m` errors are as rare
//! among fewer requests, so an outage is noticed even with very few requests.

use super::gate::Bound;
use super::number::Number;
use super::plan::{Measure, MetricGate};
use super::sequential::fixed::{float, natural};

/// The errors of a healthy side, as a fraction of those that the bound allows.
pub const HEALTHY: f64 = 0.1;

/// The largest accepted chance that a healthy side is reverted within a week.
pub const FALSE_REVERTS: f64 = 0.001;

/// The number of minutes in a week.
const WEEK_MINS: f64 = 7.0 * 24.0 * 60.0;

/// The number of allowed errors above which false reverts are so rare that they are not computed.
const ERRORS_MAX: u64 = 40;

/// The chance below which a term counts as zero. The sum of these terms is compared with 1 in 10 million.
const NEGLIGIBLE: f64 = 1e-18;

/// Returns the number of errors that a bound must allow before a rate is judged, for datapoints of `every_mins`
/// minutes.
pub fn errors_within(every_mins: u16) -> u64 {
    let mut errors = 1;
    while errors < ERRORS_MAX {
        let worst = float(errors + 1);
        if looks(every_mins) * at_least(errors + 1, worst * HEALTHY) <= FALSE_REVERTS {
            break;
        }
        errors += 1;
    }
    errors
}

/// Returns the least number of requests with which a rate is judged: `max` percent of them are [`errors_within`].
/// `None` for a bound of 0, which no number of requests makes safe.
pub fn least_requests(max: Number, every_mins: u16) -> Option<u64> {
    if max <= Number::ZERO {
        return None;
    }
    let needed = 100.0 * float(errors_within(every_mins)) / max.value();
    Some(natural(needed.ceil()))
}

/// Returns the number of errors above which a window is beyond the bound although it has fewer requests than the gate
/// needs. It would be beyond the bound even if the missing requests had all succeeded. `None` if the gate is not a rate
/// with a maximum.
pub fn errors_that_show(gate: &MetricGate) -> Option<f64> {
    let max = maximum(gate)?;
    let within = float(gate.min_requests) * max / 100.0;
    Some(within.max(float(errors_within(gate.every_mins))))
}

/// Returns the chance that this gate reverts a healthy side within a week, at the size of traffic at which that is most
/// likely. Returns 0 if the gate is not a rate with a maximum.
pub fn false_reverts(gate: &MetricGate) -> f64 {
    let Some(max) = maximum(gate) else {
        return 0.0;
    };
    let least = float(gate.min_requests) * max / 100.0;
    let of = f64::from(gate.of.max(1));
    let first = natural(least.floor());
    let mut worst = 0.0_f64;
    for errors in first..first + ERRORS_MAX {
        // Just below the next whole number of allowed errors, in the window and in one datapoint.
        let just_below = float(errors + 1) * (1.0 - 1e-9);
        worst = worst.max(a_look(gate, just_below / of));
        worst = worst.max(a_look(gate, just_below));
    }
    // Just below the requests that a datapoint, or the window, needs.
    worst = worst.max(a_look(gate, least * (1.0 - 1e-9)));
    worst = worst.max(a_look(gate, least * (1.0 - 1e-9) / of));
    (looks(gate.every_mins) * worst).min(1.0)
}

/// Returns the same as [`false_reverts`], for a side with this number of requests in each datapoint.
pub fn false_reverts_at(gate: &MetricGate, requests: u64) -> f64 {
    let Some(max) = maximum(gate) else {
        return 0.0;
    };
    let allowed = float(requests) * max / 100.0;
    (looks(gate.every_mins) * a_look(gate, allowed)).min(1.0)
}

/// Returns the bound in percent. `None` unless the gate is a rate of errors with a maximum above 0.
fn maximum(gate: &MetricGate) -> Option<f64> {
    match (&gate.new, gate.bound) {
        (Measure::Rate { .. }, Bound::Max(most)) if most > Number::ZERO => Some(most.value()),
        (Measure::Rate { .. } | Measure::Series { .. }, Bound::Max(_) | Bound::Min(_)) => None,
    }
}

/// Returns the number of times that a gate is judged in a week.
fn looks(every_mins: u16) -> f64 {
    WEEK_MINS / f64::from(every_mins.max(1))
}

/// Returns the chance that a healthy side fails at one judgement and not before, if its bound allows `allowed` errors
/// in each datapoint. The newest datapoint must then have an error.
fn a_look(gate: &MetricGate, allowed: f64) -> f64 {
    let max = maximum(gate).unwrap_or(100.0);
    let least = float(gate.min_requests) * max / 100.0;
    let mean = allowed * HEALTHY;
    // The least number of errors beyond the bound.
    let beyond = natural(allowed.floor()) + 1;
    if beyond > ERRORS_MAX {
        return 0.0;
    }
    if allowed >= least {
        let one = at_least(beyond, mean);
        return one * at_least_of(gate.points.max(1) - 1, gate.of.max(1) - 1, one);
    }
    let all = allowed * f64::from(gate.of.max(1));
    let mut together = natural(all.floor()) + 1;
    if all < least {
        let shown = errors_that_show(gate).unwrap_or(least);
        together = together.max(natural(shown.floor()) + 1);
    }
    if together > ERRORS_MAX {
        return 0.0;
    }
    together_at_least(gate, mean, (beyond, together))
}

/// Returns the chance that at least M of the N datapoints have `beyond` errors each, and all of them `together`.
fn together_at_least(gate: &MetricGate, mean: f64, (beyond, together): (u64, u64)) -> f64 {
    let (points, width) = (usize::from(gate.points.max(1)), index(together) + 1);
    let chances: Vec<f64> = (0..together).map(|errors| exactly(errors, mean)).collect();
    let rest = at_least(together, mean);
    // The chances by the number of datapoints beyond the bound and by the number of errors. Both numbers stop at the
    // required ones.
    let mut state = vec![vec![0.0; width]; points + 1];
    state[0][0] = 1.0;
    for datapoint in 0..gate.of.max(1) {
        let mut next = vec![vec![0.0; width]; points + 1];
        for (count, row) in state.iter().enumerate() {
            for (sum, before) in row.iter().enumerate() {
                if *before <= 0.0 {
                    continue;
                }
                for (errors, chance) in (0_u64..).zip(chances.iter().chain([&rest])) {
                    // The newest datapoint has an error.
                    if *chance < NEGLIGIBLE || (datapoint == 0 && errors == 0) {
                        continue;
                    }
                    let crossed = usize::from(errors >= beyond);
                    let sum = (sum + index(errors)).min(width - 1);
                    next[(count + crossed).min(points)][sum] += before * chance;
                }
            }
        }
        state = next;
    }
    state[points][width - 1]
}

/// Converts a number to an index.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns the chance that at least `least` of `of` independent events happen, each of which has the chance `chance`.
fn at_least_of(least: u16, of: u16, chance: f64) -> f64 {
    let mut counts = vec![0.0; usize::from(least) + 1];
    counts[0] = 1.0;
    for _ in 0..of {
        for count in (0..counts.len()).rev() {
            let stays = if count + 1 == counts.len() {
                counts[count]
            } else {
                counts[count] * (1.0 - chance)
            };
            let comes = if count == 0 {
                0.0
            } else {
                counts[count - 1] * chance
            };
            counts[count] = stays + comes;
        }
    }
    counts[usize::from(least)]
}

/// Returns the chance of exactly this number, for a Poisson number with this mean.
fn exactly(number: u64, mean: f64) -> f64 {
    let mut chance = (-mean).exp();
    for factor in 1..=number {
        chance *= mean / float(factor);
    }
    chance
}

/// Returns the chance of at least this number, for a Poisson number with this mean.
fn at_least(number: u64, mean: f64) -> f64 {
    let mut term = exactly(number, mean);
    let (mut sum, mut next) = (0.0, number);
    while term > sum * 1e-12 || float(next) < mean {
        sum += term;
        next += 1;
        term *= mean / float(next);
        if term <= 0.0 {
            break;
        }
    }
    sum.min(1.0)
}
