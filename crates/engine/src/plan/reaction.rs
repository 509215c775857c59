//! The reactions that a plan chooses in advance.

use serde::{Deserialize, Serialize};

/// How a cutover reacts to an event that the plan anticipates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOrRevert {
    /// The cutover holds, and a person is paged.
    Hold,
    /// The cutover reverts.
    Revert,
}
