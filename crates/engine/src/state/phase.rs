//! The phase of a cutover.

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
    /// Not started.
    Waiting,
    /// A step's weights are being written and read back.
    Shifting,
    /// Read back; Route 53 and resolvers are given time.
    Settling,
    /// The step is watched.
    Baking,
    /// All steps are over.
    Completed,
    /// The weights are being reverted.
    Reverting,
    /// Everything is at the baseline.
    Reverted,
    /// A person must resolve something.
    Halted,
    /// A person ended it as it was; nothing more is written.
    Abandoned,
}

impl Phase {
    /// All phases, in the usual order.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The phase's name as it stands in JSON.
    pub fn label(self) -> &'static str {
        self.into()
    }

    /// Returns true if the cutover is over.
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
