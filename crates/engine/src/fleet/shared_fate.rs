//! Many services that fail at once: most likely there is one cause, and none of them is to blame.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::units::CutoverName;

/// The time within which failures are taken to have one cause.
pub(super) const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The number of services that must fail for that.
pub(super) const SERVICES_MIN: usize = 3;

/// Gates of several services failed within ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedFate {
    /// The number of services.
    pub services: usize,
    /// The first few, by name.
    pub named: Vec<CutoverName>,
    /// The time at which the first of them failed.
    pub since: Timestamp,
}
