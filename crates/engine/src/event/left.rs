//! The records, writes, jobs and hooks that remain if a cutover ends in another way than planned.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::drifted::Astray;
use crate::hooks::HookId;
use crate::jobs::JobSide;
use crate::record::GroupName;
use crate::units::WeightPair;

/// The records that a person accepted as the end of a cutover (semantics L8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedEnd {
    /// The reason that the person gave.
    pub reason: String,
    /// The groups that are not as the last step left them.
    pub found: Vec<Astray>,
}

/// Something that an abandoned cutover leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "left", rename_all = "snake_case")]
pub enum LeftBehind {
    /// A group, with its weights as last verified.
    Weights {
        /// The group's name and type.
        group: GroupName,
        /// The weights of its two members.
        weights: WeightPair,
    },
    /// A group that somebody else changed.
    Changed {
        /// The expected weights, and the records that are there instead.
        astray: Astray,
    },
    /// A write that is not resolved and may still take effect.
    Write {
        /// The number of the step that it was for, from 1.
        step: u16,
        /// The time until which it may take effect.
        until: Timestamp,
    },
    /// A revert that was under way. A write of it may still take effect within a minute.
    Revert {},
    /// The jobs, as far as they have moved.
    Jobs {
        /// The names of the jobs.
        jobs: Vec<String>,
        /// The side that they run on. `None` if they run on neither.
        on: Option<JobSide>,
    },
    /// A hook that was called and has not answered.
    Hook {
        /// The hook and the point at which it was called.
        hook: HookId,
    },
}
