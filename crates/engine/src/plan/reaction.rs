//! The reactions that a plan chooses in advance.

use serde::{Deserialize, Serialize};

/// A reaction that a plan chooses in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOrRevert {
    /// Hold, and page a person.
    Hold,
    /// Revert the traffic.
    Revert,
}
