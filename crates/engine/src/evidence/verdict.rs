//! The verdict on one gate, and the other results of its judgement.

use super::plan::Query;
use super::reading::{Readings, SeriesReading};
use super::tally::Latest;
use crate::hold::{HoldReason, RevertCause};

/// The verdict on a gate (semantics C1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The gate passes.
    Pass,
    /// The gate fails, for this cause: the cutover reverts. If a fallback alarm fails, no step is taken.
    Fail(RevertCause),
    /// The gate cannot be seen, for this reason. This never counts as a pass.
    Unknown(Unknown),
    /// There is too little data to judge the gate, or the gate says to wait. It holds steps for this reason, and never
    /// reverts.
    NotJudged(HoldReason),
}

/// Why a gate is Unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// CloudWatch does not know the alarm.
    Missing,
    /// The alarm is in INSUFFICIENT_DATA, or the metric has no datapoint although there were requests.
    NoData,
    /// The credentials may not read it, with this message.
    Denied(String),
    /// It cannot be judged for another reason, with this message.
    Other(String),
}

/// The verdict on one metric gate, with the other results of its judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GateResult {
    pub(super) verdict: Verdict,
    /// True if the gate fails on the old side too, so that a revert would not help.
    pub(super) old_too: bool,
    /// The last values of the metric. `None` if the gate is not a metric with a bound.
    pub(super) latest: Option<Latest>,
    /// A hold on the next step although the gate does not fail. `None` if there is none.
    pub(super) near: Option<HoldReason>,
}

impl GateResult {
    /// Returns a result that has only a verdict.
    pub(super) fn only(verdict: Verdict) -> Self {
        Self {
            verdict,
            old_too: false,
            latest: None,
            near: None,
        }
    }

    /// Returns a result of a verdict and the last values of the metric.
    pub(super) fn with(verdict: Verdict, latest: Latest) -> Self {
        Self {
            latest: Some(latest),
            ..Self::only(verdict)
        }
    }
}

/// Returns why one of these series could not be read. `None` if all were read.
pub(super) fn unread<'q>(
    queries: impl Iterator<Item = &'q Query>,
    readings: &Readings,
) -> Option<Unknown> {
    for query in queries {
        match readings.get(query) {
            Some(SeriesReading::Read { .. }) => {}
            Some(SeriesReading::Unreadable(why)) => return Some(Unknown::Other(why.clone())),
            Some(SeriesReading::Denied(why)) => return Some(Unknown::Denied(why.clone())),
            None => return Some(Unknown::Other("it was not read".to_owned())),
        }
    }
    None
}
