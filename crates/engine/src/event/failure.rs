//! The answers to writes and to changes of jobs, and the classes of failure.

use serde::{Deserialize, Serialize};

/// The failure of one job of a change that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The class.
    pub class: FailureClass,
    /// The message, without secrets.
    pub message: String,
}

/// The class of failure of a refused or lost write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Worth trying again: timeouts, server errors, a lost reply.
    Transient,
    /// Too many calls; worth trying again later.
    Throttled,
    /// The credentials may not do this, or are no longer valid.
    Denied,
    /// The records are not as they were read.
    Conflict,
    /// Trying again cannot help.
    Permanent,
    /// It was never sent: the deadline had passed or the journal had newer entries.
    NotSent,
}

/// The answer for one group of a write, or for one job of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// It was accepted.
    Accepted,
    /// It was refused, or never sent: it can no longer land.
    Refused(FailureClass, String),
    /// The reply was lost: it may have landed, or may still land.
    Lost(String),
}
