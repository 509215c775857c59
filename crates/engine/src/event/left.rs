//! The records, writes, jobs and hooks that an end other than the planned one leaves behind.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::drifted::Astray;
use crate::hooks::HookId;
use crate::jobs::JobSide;
use crate::record::GroupName;
use crate::units::WeightPair;

/// The records that a person accepted as the end of a cutover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedEnd {
    /// The reason given.
    pub reason: String,
    /// The groups that are not as the last step left them.
    pub found: Vec<Astray>,
}

/// Something that an abandoned cutover leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "left", rename_all = "snake_case")]
pub enum LeftBehind {
    /// A group, at the weights that were last read.
    Weights {
        /// The group.
        group: GroupName,
        /// Its weights.
        weights: WeightPair,
    },
    /// A group that somebody else changed.
    Changed {
        /// The records that are there.
        astray: Astray,
    },
    /// A write that is not resolved may still land.
    Write {
        /// The step that it was for.
        step: u16,
        /// The time until which it may land.
        until: Timestamp,
    },
    /// The revert that was under way: a write of it may still land within a minute.
    Revert {},
    /// The jobs.
    Jobs {
        /// The jobs, by name.
        jobs: Vec<String>,
        /// The side that they run on; none if they are on neither.
        on: Option<JobSide>,
    },
    /// A hook that was called and has not answered.
    Hook {
        /// The hook.
        hook: HookId,
    },
}
