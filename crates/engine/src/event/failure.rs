//! The replies to writes and to changes of jobs, and the classes of failures.

use serde::{Deserialize, Serialize};

/// Why one job of a change of jobs was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The class of the failure.
    pub class: FailureClass,
    /// The message of the failure, without secrets.
    pub message: String,
}

/// Why a call failed, as a class that says if it may still have happened and if another try can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A timeout, a server error or a lost reply. The call may have happened. Another try may succeed.
    Transient,
    /// The service got too many calls. Another try later may succeed.
    Throttled,
    /// The credentials do not allow the call, or are no longer valid.
    Denied,
    /// The records are not as they were read, so the compare-and-swap was refused.
    Conflict,
    /// The request itself is wrong. Another try cannot succeed.
    Permanent,
    /// The call was never sent, because its deadline had passed or the journal had newer entries.
    NotSent,
}

/// The reply for one group of a write, or for one job of a change of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The call was accepted.
    Accepted,
    /// The call was refused or never sent, for this reason: it can no longer take effect.
    Refused(FailureClass, String),
    /// The reply was lost, for this reason: the call may have taken effect, or may still do so.
    Lost(String),
}
