//! Words about parts of a fleet: a freeze, the first of many names, the state of a cutover that another one waits for.

use jiff::Timestamp;

use super::text;
use crate::engine::state::Phase;
use crate::engine::units::CutoverName;

/// Describes a freeze in one line. If `now` is given, the end is also shown as a distance from it.
pub(super) fn frozen(until: Option<Timestamp>, reason: &str, now: Option<Timestamp>) -> String {
    let reason = text::reason(reason);
    match until {
        Some(until) => {
            let until = match now {
                Some(now) => text::when(until, now),
                None => text::second(until),
            };
            format!("the fleet is frozen until {until}: {reason}")
        }
        None => format!("the fleet is frozen until somebody unfreezes it: {reason}"),
    }
}

/// Largest number of names in a line.
pub(super) const NAMES_MAX: usize = 5;

/// Returns the first names, and how many more of `all` there are.
pub(super) fn names(named: &[CutoverName], all: usize) -> String {
    let shown: Vec<&str> = named
        .iter()
        .take(NAMES_MAX)
        .map(CutoverName::as_str)
        .collect();
    let more = all.saturating_sub(shown.len());
    let shown = shown.join(", ");
    if more == 0 || shown.is_empty() {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

/// Describes the state of the cutover that another one waits for. `phase` is `None` if the journal has no such cutover.
pub(super) fn dependency(phase: Option<Phase>, step: u16, steps: u16) -> String {
    match phase {
        None => "this journal has no such cutover".to_owned(),
        Some(Phase::Waiting) => "it has not started".to_owned(),
        Some(Phase::Shifting) => format!("it is shifting to step {step} of {steps}"),
        Some(Phase::Settling) => format!("it is settling at step {step} of {steps}"),
        Some(Phase::Baking) => format!("it is baking step {step} of {steps}"),
        Some(Phase::Completed) => "it has completed".to_owned(),
        Some(Phase::Reverting) => "it is reverting".to_owned(),
        Some(Phase::Reverted) => "it was reverted".to_owned(),
        Some(Phase::Abandoned) => "it was abandoned".to_owned(),
        Some(Phase::Halted) => format!("it is halted at step {step} of {steps}"),
    }
}
