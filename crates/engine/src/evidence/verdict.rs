//! The verdict on one gate, and what is noted beside it.

use super::plan::Query;
use super::reading::{Readings, SeriesReading};
use super::tally::Latest;
use crate::hold::{HoldReason, RevertCause};

/// The verdict on a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Pass,
    /// Red: revert (for a fallback alarm: do not advance).
    Fail(RevertCause),
    /// It cannot be read. Never a pass.
    Unknown(Unknown),
    /// There is too little data to judge, or the gate says to wait. Holds, and never reverts.
    NotJudged(HoldReason),
}

/// The reason why a gate cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// CloudWatch does not know the alarm.
    Missing,
    /// The alarm is in INSUFFICIENT_DATA.
    NoData,
    /// The credentials may not read it; with the message.
    Denied(String),
    /// Anything else; with the message.
    Other(String),
}

/// The judgement of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GateResult {
    pub(super) verdict: Verdict,
    /// The old side shows the same, so a revert would not help.
    pub(super) old_too: bool,
    /// The last values, if it is a metric.
    pub(super) latest: Option<Latest>,
    /// A hold of the next step although the gate passes.
    pub(super) near: Option<HoldReason>,
}

impl GateResult {
    pub(super) fn only(verdict: Verdict) -> Self {
        Self {
            verdict,
            old_too: false,
            latest: None,
            near: None,
        }
    }

    pub(super) fn with(verdict: Verdict, latest: Latest) -> Self {
        Self {
            latest: Some(latest),
            ..Self::only(verdict)
        }
    }
}

/// The reason why one of these series could not be read, if there is one.
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
