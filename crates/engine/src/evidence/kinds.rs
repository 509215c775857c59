//! The answers of each kind of gate to the questions that all gates are asked: how it is judged, which minutes it reads, and
//! what it needs before it can judge. A new kind is one more arm in each `match`.

use jiff::SignedDuration;

use super::plan::{Measure, MeasuredGate, Query, RegressionGate};
use super::reading::{READ_AGAIN, Readings};
use super::share::Observed;
use super::tally::Tally;
use super::traffic::SHARE_OVER;
use super::trend::{LOAD_UNKNOWN_MIN, LOOKED_AT_MIN, TREND_OVER};
use super::verdict::GateResult;
use super::{metrics, regression, traffic, trend};
use crate::state::State;

/// The time that is read before the start, only to check that a series can be read.
const GLANCE: SignedDuration = SignedDuration::from_mins(5);

/// What a gate needs after a step before it can judge.
pub(super) enum Needs<'plan> {
    /// This time.
    Time(SignedDuration),
    /// Requests of the new side in every stretch of this many minutes.
    RequestsWithin {
        /// The number of requests.
        requests: u64,
        /// The length of the stretch.
        mins: u32,
        /// The length of a datapoint.
        every_mins: u16,
        /// The time that it needs besides.
        after: SignedDuration,
    },
    /// Requests of the new side since the step's bake began.
    RequestsInStep(u64),
    /// Requests of both sides since the cutover began, as many as the comparison asks for.
    Comparison(&'plan RegressionGate),
}

impl<'plan> MeasuredGate<'plan> {
    /// Judges the gate. The result depends only on the state and the readings; `tally` and `seen` are derived from them.
    pub(super) fn judge(
        self,
        state: &State,
        readings: &Readings,
        tally: Option<&Tally>,
        seen: Option<&Observed>,
    ) -> GateResult {
        match self {
            Self::Metric(gate) => metrics::judge(state, readings, gate),
            Self::Regression(gate) => regression::judge(state, readings, gate, tally),
            Self::Traffic(gate) => traffic::judge(state, readings, gate, tally, seen),
            Self::Trend(gate) => trend::judge(state, readings, gate),
        }
    }

    /// The time before now that is read once the cutover has started.
    pub(super) fn looks_back(self) -> SignedDuration {
        match self {
            Self::Metric(gate) => gate.window() + READ_AGAIN + self.lateness(),
            Self::Regression(_) => GLANCE,
            Self::Traffic(_) => SHARE_OVER,
            Self::Trend(_) => TREND_OVER,
        }
    }

    /// The time before now that is read before the start.
    pub(super) fn glances_back(self) -> SignedDuration {
        match self {
            Self::Metric(gate) => gate.window() + self.lateness(),
            Self::Regression(_) | Self::Traffic(_) | Self::Trend(_) => GLANCE,
        }
    }

    /// The time by which a window may end before now because its datapoints come late.
    fn lateness(self) -> SignedDuration {
        match self {
            // The window ends with a datapoint, so its end may be up to a period before the delay.
            Self::Metric(gate) if gate.delay_mins > 0 => gate.delay() + gate.period(),
            Self::Metric(_) | Self::Regression(_) | Self::Traffic(_) | Self::Trend(_) => {
                SignedDuration::ZERO
            }
        }
    }

    /// What it needs after a step before it can judge.
    pub(super) fn needs(self) -> Needs<'plan> {
        match self {
            Self::Metric(gate) => {
                let after = gate.window() + gate.delay();
                match &gate.new {
                    Measure::Rate { .. } if gate.min_requests > 0 => Needs::RequestsWithin {
                        requests: gate.min_requests,
                        mins: u32::from(gate.of.max(1)) * u32::from(gate.every_mins.max(1)),
                        every_mins: gate.every_mins,
                        after,
                    },
                    Measure::Rate { .. } | Measure::Series { .. } => Needs::Time(after),
                }
            }
            Self::Regression(gate) => Needs::Comparison(gate),
            Self::Traffic(gate) => Needs::RequestsInStep(gate.min_requests),
            Self::Trend(gate) if gate.requests.is_empty() => Needs::Time(LOAD_UNKNOWN_MIN),
            Self::Trend(_) => Needs::Time(LOOKED_AT_MIN),
        }
    }

    /// The series without which the past cannot be judged: of each list, at least one must have data. `None` if the past
    /// cannot show what the gate checks.
    pub(crate) fn needed_in_past(self) -> Option<Vec<Vec<&'plan Query>>> {
        match self {
            Self::Metric(gate) => match &gate.new {
                Measure::Series { query, .. } => Some(vec![vec![query]]),
                Measure::Rate { requests, .. } => Some(vec![requests.iter().collect()]),
            },
            // The comparison needs both sides.
            Self::Regression(gate) => Some(vec![
                gate.new.requests.iter().collect(),
                gate.old.requests.iter().collect(),
            ]),
            // It checks if traffic follows the weights, which nobody moved then.
            Self::Traffic(_) => None,
            Self::Trend(gate) => Some(vec![vec![&gate.query]]),
        }
    }
}
