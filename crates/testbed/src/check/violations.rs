//! The invariants that something breaks, as lists.

use cutover_engine::check::{Invariant, Violation};

/// The invariants that an entry, an effect or an end breaks; empty if all hold.
pub type Violations = Vec<Violation>;

pub(super) fn violation(invariant: Invariant, message: String) -> Violation {
    Violation { invariant, message }
}

pub(super) fn one(invariant: Invariant, message: &str) -> Violations {
    vec![violation(invariant, message.to_owned())]
}
