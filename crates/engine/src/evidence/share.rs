//! Computes how far the observed share may be from the intended one by chance alone.
//!
//! # The draws
//!
//! A resolver asks Route 53, gets one of the two sides by the weights, and sends all its callers there until the TTL is
//! over. So answers are drawn by chance, and not requests, unless there are fewer requests than answers. With `R`
//! requests and `A` answers the share varies as if
//!
//! ```text
//! n = 1 / (1/R + 1/A)
//! ```
//!
//! had been drawn, each for the new side with the intended share `p` as its chance. Resolvers cannot be counted. The
//! public resolvers that ask for a service are assumed to be [`ANSWERS`] of equal size. Real resolvers have very
//! different sizes: resolvers of the sizes `w` count as `(Σw)²/Σw²` equal ones, and a hundred real ones count as more
//! than [`ANSWERS`]. In the same way minutes count by their requests: an hour in which one minute had most of the
//! requests is little more than a minute.
//!
//! # The probability
//!
//! The chance that of `n` draws a share `s` or more (or less, if `s < p`) falls on the new side is at most (Chernoff)
//!
//! ```text
//! exp(−n·KL(s‖p)),  KL(s‖p) = s·ln(s/p) + (1−s)·ln((1−s)/(1−p))
//! ```
//!
//! The share is judged each minute. The judgement after `t` minutes of a bake may be wrong with a chance of 2^−t, and
//! from [`STEADY`] on with e^−`STEADY`. The bound above is itself about ten times the true chance. The tests measure
//! how often that is wrong in a week.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::counting::sums;
use super::number::Number;
use super::plan::TrafficGate;
use super::reading::Readings;
use crate::around;
use crate::state::State;

/// The number of answers that callers get within one TTL.
const ANSWERS: f64 = 50.0;

/// How improbable a share must be after a long bake: the negative natural logarithm of the accepted chance.
const STEADY: f64 = 14.0;

/// The requests of both sides over some time, and the new side's share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The number of the new side's requests.
    pub new_requests: u64,
    /// The number of the old side's requests.
    pub old_requests: u64,
    /// The new side's share, in percent. `None` without requests.
    pub share: Option<Number>,
    /// The first minute that was counted.
    pub from: Timestamp,
    /// The end of the last minute that was counted.
    pub until: Timestamp,
}

/// The requests of some time, and the number of resolvers' answers that they depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draws {
    /// The number of requests of both sides.
    pub requests: f64,
    /// The number of minutes with equally many requests that these minutes count as.
    pub minutes: f64,
    /// The time for which resolvers keep an answer, in seconds.
    pub ttl_secs: f64,
}

impl Draws {
    /// Returns the requests of both sides in the time that was observed.
    pub(super) fn of(
        state: &State,
        readings: &Readings,
        gate: &TrafficGate,
        seen: &Observed,
    ) -> Self {
        let range = (seen.from, seen.until);
        let (new, old) = (
            sums(&gate.new, readings, range),
            sums(&gate.old, readings, range),
        );
        let (mut requests, mut squares) = (0.0, 0.0);
        for minute in old
            .keys()
            .chain(new.keys().filter(|at| !old.contains_key(*at)))
        {
            let both = at(&new, minute) + at(&old, minute);
            requests += both;
            squares += both * both;
        }
        let minutes = if squares > 0.0 {
            requests * requests / squares
        } else {
            0.0
        };
        Self {
            requests,
            minutes,
            ttl_secs: ttl_secs(state),
        }
    }

    /// Returns the number of independent draws that these requests count as.
    fn effective(self) -> f64 {
        let answers = ANSWERS * self.minutes * 60.0 / self.ttl_secs.max(60.0);
        if self.requests <= 0.0 || answers <= 0.0 {
            return 0.0;
        }
        1.0 / (1.0 / self.requests + 1.0 / answers)
    }

    /// Returns true if a share this far from the intended one is more than chance explains, at the judgement after this
    /// many minutes of a bake. The shares are from 0 to 1.
    pub fn rule_out_chance(self, observed: f64, intended: f64, after_mins: f64) -> bool {
        let least = (after_mins * std::f64::consts::LN_2).min(STEADY);
        self.effective() * divergence(observed, intended) > least
    }
}

/// Returns the requests of a minute; 0 without a datapoint.
fn at(side: &BTreeMap<Timestamp, Number>, minute: &Timestamp) -> f64 {
    side.get(minute).map_or(0.0, |number| number.value())
}

/// Returns the time for which resolvers keep an answer of any group, in seconds.
fn ttl_secs(state: &State) -> f64 {
    let images = state.verified.iter().flatten();
    let ttls = images.map(|image| around::group_ttl_secs(image, &state.alias_ttls));
    f64::from(ttls.max().unwrap_or(around::AWS_ALIAS_TTL_SECS))
}

/// Returns the relative entropy of two shares, from 0 to 1.
fn divergence(observed: f64, intended: f64) -> f64 {
    divergence_of_side(observed, intended) + divergence_of_side(1.0 - observed, 1.0 - intended)
}

/// Returns one side's part of the relative entropy.
fn divergence_of_side(observed: f64, intended: f64) -> f64 {
    if observed <= 0.0 {
        return 0.0;
    }
    observed * (observed / intended).ln()
}
