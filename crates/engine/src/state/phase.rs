//! How far a cutover is.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The phase of a cutover.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Phase {
    /// The cutover has not started.
    Waiting,
    /// A step's weights are being written and read back.
    Shifting,
    /// A step's weights were read back. Route 53 and resolvers are given time.
    Settling,
    /// A step is watched; the bake clock counts the time in which all gates pass.
    Baking,
    /// All steps are over.
    Completed,
    /// The baseline's weights are being written and read back.
    Reverting,
    /// All groups were read back at the baseline, or the start was cancelled.
    Reverted,
    /// No step is taken until a person decides.
    Halted,
    /// A person ended the cutover without a revert. Nothing more is written.
    Abandoned,
}

impl Phase {
    /// All phases, in the usual order.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the phase's name as it is written in JSON.
    pub fn label(self) -> &'static str {
        self.into()
    }

    /// Returns true if the cutover is over in this phase.
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Reverted | Self::Abandoned => true,
            Self::Waiting
            | Self::Shifting
            | Self::Settling
            | Self::Baking
            | Self::Reverting
            | Self::Halted => false,
        }
    }
}
