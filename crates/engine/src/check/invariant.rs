//! The invariants by name, and what breaks them.

use std::fmt;

use thiserror::Error;

use crate::event::Event;
use crate::hold::HaltReason;
use crate::state::{Phase, State};

/// The invariants, which hold at every moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The new side's share rises only after a whole bake, approved, unpaused, with every gate passing.
    I1,
    /// No group sums to zero, and both members are written together.
    I2,
    /// A failed gate leads to a revert, or to a halt with a page, in the same round.
    I3,
    /// No hold on steps delays a revert.
    I4,
    /// Unknown is never a pass.
    I5,
    /// A controller that is killed anywhere and started again ends in the same place: the journal can always be read.
    I6,
    /// Several controllers end where one would.
    I7,
    /// Somebody else's change is overwritten only by force.
    I8,
    /// All groups of a zone take a step in one batch.
    I9,
    /// A revert ends only when the baseline was read twice, a fence apart.
    I10,
    /// Nothing more is done for a finished cutover.
    I11,
    /// Every hold names its cause; if a person must end it, it has paged.
    I12,
    /// A job runs on one side: old or new, never both by our hand.
    I13,
    /// Gates are armed from the moment a step's write may have been applied until the end. A share that this attempt did not
    /// verify is drift, never `waiting`.
    I14,
    /// A damaged stream affects only its cutover, which is left alone and pages; all others go on.
    I15,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An invariant that does not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{invariant}: {message}")]
pub struct Violation {
    /// The invariant.
    pub invariant: Invariant,
    /// The way in which it is broken.
    pub message: String,
}

impl Violation {
    /// Returns the entry that halts the cutover, which pages; none if it is over or halted already, or reverts, because
    /// nothing may stop a revert.
    pub fn halts(&self, state: &State) -> Option<Event> {
        match state.phase {
            Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking => {}
            Phase::Completed
            | Phase::Reverting
            | Phase::Reverted
            | Phase::Halted
            | Phase::Abandoned => return None,
        }
        Some(Event::Halted {
            reason: HaltReason::Invariant {
                message: self.to_string(),
            },
        })
    }
}

pub(super) fn violation(invariant: Invariant, message: String) -> Violation {
    Violation { invariant, message }
}
