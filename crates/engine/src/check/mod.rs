//! The invariants (`ARCHITECTURE.md`, I1 to I15), restated over a decision, the state and the readings.
//!
//! This room does not call the code that it checks: verdicts, bakes and fences are derived anew from readings and
//! entries. Only the fold is shared, since the state is by definition the fold of the entries. The live loop checks each
//! decision with [`decision()`] before it is journaled, and halts by [`Violation::halts`]. Tests do the same, and the test
//! bed follows whole journals.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an invariant is about a few events, and not about the others, future ones included"
)]

mod armed;
pub mod conditions;
mod decision;
mod invariant;
mod jobs;
mod measures;

pub use decision::decision;
pub use invariant::{Invariant, Violation};
