//! What kinds of failure there are.

use serde::{Deserialize, Serialize};

/// What became of one job of a change, where it was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// What kind of failure.
    pub class: FailureClass,
    /// What was said. Holds no secrets.
    pub message: String,
}

/// What kind of failure a refused or lost write is.
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
    /// Asking again cannot help.
    Permanent,
    /// It was never sent: the deadline had passed or the journal had moved on.
    NotSent,
}
