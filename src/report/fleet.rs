//! The words for a whole fleet: its limits, its freeze, and what holds several cutovers together.

use jiff::Timestamp;

use super::{holds, text};
use crate::engine::fleet::{Fleet, FleetSettings};
use crate::engine::hold::HoldReason;
use crate::engine::state::Phase;
use crate::engine::units::CutoverName;

/// Several cutovers that wait for a person together: their names, the hold of the first, and what to do.
pub(super) fn held(
    reason: &HoldReason,
    services: usize,
    named: &[CutoverName],
    now: Option<Timestamp>,
) -> String {
    let Some(first) = named.first() else {
        return holds::fact(reason, now);
    };
    format!(
        "{services} services ({}) are held, and it looks like one cause; {first}: {}; all of them: `cutover status \
         --needs-person`",
        names(named, services),
        holds::line(reason, first, now)
    )
}

/// The lines about the fleet that stand before its cutovers: why it is held, and which cutovers fail together.
pub fn lines(fleet: &Fleet, now: Timestamp) -> Vec<String> {
    let mut reasons = fleet.holds_all(now);
    if let Some(fate) = fleet.shared_fate() {
        reasons.push(HoldReason::SharedFate {
            services: fate.services,
            named: fate.named,
            since: fate.since,
        });
    }
    let name = crate::engine::fleet::stream();
    let mut lines = Vec::new();
    for reason in &reasons {
        lines.push(holds::hold(reason, &name, now));
    }
    for one in fleet.held_together() {
        lines.push(held(&one.reason, one.services, &one.named, Some(now)));
    }
    lines
}

/// The limits, in a few words.
pub fn limits(settings: &FleetSettings) -> String {
    let in_flight = match settings.max_in_flight {
        Some(max) => format!("at most {max} in flight"),
        None => "any number in flight".to_owned(),
    };
    let budget = match settings.failure_budget {
        Some(budget) => {
            let budget = usize::try_from(budget).unwrap_or(usize::MAX);
            format!("stops after {}", text::count(budget, "automatic revert"))
        }
        None => "no failure budget".to_owned(),
    };
    format!("{in_flight}, {budget}")
}

/// A freeze, in one line.
pub fn frozen(until: Option<Timestamp>, reason: &str, now: Option<Timestamp>) -> String {
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

/// The most names in a line.
pub(super) const NAMES_MAX: usize = 5;

/// The first names, and how many more there are.
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

/// The state of the cutover that another one waits for.
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
