//! Many services that fail at the same time. Most likely there is one cause, and the new side of none of them is to
//! blame.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::units::CutoverName;

/// The time within which failures suggest one cause.
pub(super) const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The number of services whose failures suggest one cause.
pub(super) const SERVICES_MIN: usize = 3;

/// Gates of several services failed within ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedFate {
    /// The number of services whose gates failed.
    pub services: usize,
    /// The first of these services by name, at most [`NAMED_MAX`](crate::lists::NAMED_MAX).
    pub named: Vec<CutoverName>,
    /// The time at which the first gate failed.
    pub since: Timestamp,
}
