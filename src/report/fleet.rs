//! The words for a whole fleet: its limits, its freeze, and what holds several cutovers together.

use jiff::Timestamp;

use super::{fleet_words, holds, text};
use crate::engine::fleet::{Fleet, FleetSettings};
use crate::engine::hold::HoldReason;
use crate::engine::units::CutoverName;

/// Describes cutovers that wait for a person and seem to have one cause: their names, the hold of the first, and the
/// command that shows all of them.
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
        fleet_words::names(named, services),
        holds::line(reason, first, now)
    )
}

/// Returns the lines about the fleet that stand before its cutovers: why it is held, and which cutovers seem to fail
/// for one cause.
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

/// Describes the limits of a fleet in a few words.
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
