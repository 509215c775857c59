//! The words for what concerns a whole fleet.

use jiff::Timestamp;

use super::{holds, text};
use crate::engine::event::Event;
use crate::engine::fleet::{Fleet, FleetSettings, HeldTogether, SharedFate};
use crate::engine::hold::HoldReason;
use crate::engine::state::Phase;
use crate::engine::units::CutoverName;

/// What is the case, for the holds that are the fleet's; nothing for others.
pub(super) fn fact(reason: &HoldReason, now: Option<Timestamp>) -> String {
    match reason {
        HoldReason::FleetUnreadable { message } => format!(
            "the fleet's own entries in the journal make no sense: {message}; reverts still go out"
        ),
        HoldReason::BudgetSpent {
            spent,
            budget,
            since,
            reverted,
            one_cause,
        } => {
            let since = match since {
                Some(since) => format!("since {}", time(*since, now)),
                None => "since the fleet began".to_owned(),
            };
            let one_cause = if *one_cause {
                "; gates of several services failed within minutes: it looks like one cause"
            } else {
                ""
            };
            format!(
                "the failure budget is spent: {spent} of {budget} automatic reverts {since} ({}){one_cause}",
                names(reverted, *spent)
            )
        }
        HoldReason::SharedFate {
            services,
            named,
            since,
        } => format!(
            "gates of {services} services ({}) failed within 10m, the first at {}: it looks like one cause",
            names(named, *services),
            time(*since, now)
        ),
        HoldReason::Frozen { until, reason } => frozen(*until, reason, now),
        HoldReason::Dependency {
            on,
            phase,
            step,
            steps,
            damaged,
        } => {
            let stands = dependency(*phase, *step, *steps);
            if *damaged {
                format!("after {on}: its journal is damaged; as last known, {stands}")
            } else {
                format!("after {on}: {stands}")
            }
        }
        HoldReason::FleetFull { in_flight, max } => {
            format!("the fleet is full: {in_flight} of {max} in flight")
        }
        _ => String::new(),
    }
}

/// What to do about it; none where it passes by itself.
pub(super) fn remedy(reason: &HoldReason) -> Option<String> {
    match reason {
        HoldReason::FleetUnreadable { .. } => {
            Some("please report it with `cutover history @fleet`".to_owned())
        }
        HoldReason::BudgetSpent { .. } => Some(
            "find out why they went back, then: `cutover resume --fleet --reason …`".to_owned(),
        ),
        HoldReason::SharedFate { .. } => {
            Some("look at what they share before you look at each".to_owned())
        }
        HoldReason::Frozen { .. } => Some("go on: `cutover unfreeze`".to_owned()),
        HoldReason::Dependency {
            on, damaged: true, ..
        } => Some(format!("see why: `cutover status {on}`")),
        HoldReason::Dependency { on, phase, .. } => match phase {
            None => Some("start it too, or take it out of `after`".to_owned()),
            Some(Phase::Reverted) => Some(format!("try it again: `cutover retry {on}`")),
            Some(Phase::Abandoned) => Some(
                "it will not complete: take it out of `after`, or give its place to another cutover"
                    .to_owned(),
            ),
            Some(Phase::Halted) => Some(format!("see why: `cutover status {on}`")),
            Some(_) => None,
        },
        _ => None,
    }
}

/// One line for an entry of `@fleet`; nothing for others.
pub(super) fn event(event: &Event) -> String {
    match event {
        Event::FleetSettingsAccepted { settings, path } => {
            format!("fleet limits: {}, from {path}", limits(settings))
        }
        Event::FleetSlotTaken { of } => format!("{of} takes its first step"),
        Event::FleetBudgetSpent {
            spent,
            budget,
            reverted,
            shared,
        } => {
            let together = shared.as_ref().map(together).unwrap_or_default();
            format!(
                "the failure budget is spent, nothing advances: {spent} of {budget} automatic reverts ({}){together}; \
                 then: `cutover resume --fleet --reason …`",
                names(reverted, *spent)
            )
        }
        Event::FleetHeld {
            reason,
            services,
            named,
            ..
        } => held(reason, *services, named, None),
        Event::FleetFrozen { until, reason } => frozen(*until, reason, None),
        Event::FleetUnfrozen { reason: None } => "fleet unfrozen".to_owned(),
        Event::FleetUnfrozen {
            reason: Some(reason),
        } => format!("fleet unfrozen: {}", text::reason(reason)),
        Event::FleetResumed { reason, forgiven } => {
            let of = forgiven.keys().take(NAMES_MAX).cloned().collect::<Vec<_>>();
            format!(
                "fleet resumed, the reverts of {} no longer count: {}",
                names(&of, forgiven.len()),
                text::reason(reason)
            )
        }
        Event::CutoverDamaged { of, entry, why } => {
            let reason = HoldReason::JournalDamaged {
                entry: *entry,
                message: why.clone(),
            };
            let fact = holds::fact(&reason, None);
            let remedy = holds::remedy(&reason, of).unwrap_or_default();
            format!("{of}: {fact}; {remedy}")
        }
        Event::DamagedTakenBack {
            of,
            back,
            groups,
            reason,
        } => {
            let why = reason.as_deref().map(text::reason);
            let why = why.map(|reason| format!(": {reason}"));
            format!(
                "the stored baseline of {of}, whose journal is damaged, was written: {back} of {} read back at it{}",
                text::count(*groups, "group"),
                why.unwrap_or_default()
            )
        }
        _ => String::new(),
    }
}

/// Several cutovers that wait for a person together: who, why the first of them, and what to do.
fn held(
    reason: &HoldReason,
    services: usize,
    named: &[CutoverName],
    now: Option<Timestamp>,
) -> String {
    let who = names(named, services);
    let Some(first) = named.first() else {
        return holds::fact(reason, now);
    };
    let fact = holds::fact(reason, now);
    let remedy = holds::remedy(reason, first).map(|remedy| format!("; {remedy}"));
    format!(
        "{services} services ({who}) are held, and it looks like one cause; {first}: {fact}{}; all of them: `cutover status \
         --needs-person`",
        remedy.unwrap_or_default()
    )
}

/// `; it looks like one cause: …`, for the end of a line about a failed gate.
pub(super) fn together(fate: &SharedFate) -> String {
    format!(
        "; it looks like one cause: gates of {} services failed within 10m ({})",
        fate.services,
        names(&fate.named, fate.services)
    )
}

/// What is to be said about the fleet before its cutovers: that it is held, and that many fail together.
pub fn lines(fleet: &Fleet, now: Timestamp) -> Vec<String> {
    let mut reasons = fleet.holds_all(now);
    if let Some(fate) = fleet.shared_fate() {
        reasons.push(HoldReason::SharedFate {
            services: fate.services,
            named: fate.named,
            since: fate.since,
        });
    }
    let line = |reason: &HoldReason| {
        let fact = fact(reason, Some(now));
        remedy(reason).map_or_else(|| fact.clone(), |remedy| format!("{fact}; {remedy}"))
    };
    let together = fleet.held_together();
    let together = together.iter().map(|held_now: &HeldTogether| {
        held(
            &held_now.reason,
            held_now.services,
            &held_now.named,
            Some(now),
        )
    });
    reasons.iter().map(line).chain(together).collect()
}

/// The limits, in a few words.
pub fn limits(settings: &FleetSettings) -> String {
    let in_flight = settings.max_in_flight.map_or_else(
        || "any number in flight".to_owned(),
        |max| format!("at most {max} in flight"),
    );
    let budget = settings.failure_budget.map_or_else(
        || "no failure budget".to_owned(),
        |budget| {
            let budget = usize::try_from(budget).unwrap_or(usize::MAX);
            format!("stops after {}", text::count(budget, "automatic revert"))
        },
    );
    format!("{in_flight}, {budget}")
}

/// A freeze, in one line.
pub fn frozen(until: Option<Timestamp>, reason: &str, now: Option<Timestamp>) -> String {
    let reason = text::reason(reason);
    match until {
        Some(until) => format!("the fleet is frozen until {}: {reason}", time(until, now)),
        None => format!("the fleet is frozen until somebody unfreezes it: {reason}"),
    }
}

/// How many names a line has at most.
const NAMES_MAX: usize = 5;

/// Some names, and how many more there are.
fn names(named: &[CutoverName], all: usize) -> String {
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

fn dependency(phase: Option<Phase>, step: u16, steps: u16) -> String {
    match phase {
        None => "this journal knows no such cutover".to_owned(),
        Some(Phase::Waiting) => "it has not started".to_owned(),
        Some(Phase::Shifting) => format!("it is shifting to step {step} of {steps}"),
        Some(Phase::Settling) => format!("it is settling at step {step} of {steps}"),
        Some(Phase::Baking) => format!("it is baking step {step} of {steps}"),
        Some(Phase::Completed) => "it has completed".to_owned(),
        Some(Phase::Reverting) => "it is going back".to_owned(),
        Some(Phase::Reverted) => "it went back".to_owned(),
        Some(Phase::Abandoned) => "it was abandoned".to_owned(),
        Some(Phase::Halted) => format!("it is halted at step {step} of {steps}"),
    }
}

fn time(at: Timestamp, now: Option<Timestamp>) -> String {
    now.map_or_else(|| text::second(at), |now| text::when(at, now))
}
