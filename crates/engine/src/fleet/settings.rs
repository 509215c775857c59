//! The settings of a fleet's file.

use serde::{Deserialize, Serialize};

use crate::plan::Notify;

/// The settings of a fleet's file. A number that is `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSettings {
    /// The largest number of cutovers that may be between their first step and their end; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// The number of automatic reverts that stops all steps until a person resumes the fleet; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_budget: Option<u32>,
    /// The command and the channels that are notified about the fleet as a whole. `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

impl FleetSettings {
    /// Returns the settings that satisfy both files, for a journal that serves several directories with a file each.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        Self {
            max_in_flight: least(self.max_in_flight, other.max_in_flight),
            failure_budget: least(self.failure_budget, other.failure_budget),
            notify: self.notify.or(other.notify),
        }
    }
}

/// Returns the smaller limit. `None` is no limit.
fn least(one: Option<u32>, two: Option<u32>) -> Option<u32> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}
