//! Describes the records that `rollback --force` creates again, and where the traffic will go (semantics L8).

use crate::engine::drifted::Astray;
use crate::engine::foreign_text::one_line;
use crate::engine::hold::HaltReason;
use crate::engine::state::State;
use crate::report::drifted::recreates;

/// Returns one line per group with a missing record, as the journal knows it; empty without `--force`. The lines are
/// shown before anybody confirms.
pub(super) fn recreated(states: &[State], forced: bool) -> String {
    if !forced {
        return String::new();
    }
    let mut lines = String::new();
    for state in states {
        let halted: &[Astray] = match &state.halt {
            Some(HaltReason::Drift { found, .. }) => found,
            Some(_) | None => &[],
        };
        let now = state.astray();
        let known = if now.is_empty() { halted } else { &now };
        for line in recreates(known) {
            lines.push_str(&one_line(&format!("{}: --force {line}", state.name)));
            lines.push('\n');
        }
    }
    lines
}
