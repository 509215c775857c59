//! What a person may ask of the whole fleet, and the one event of `@fleet` that it becomes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Fleet;
use crate::engine::commands::{Answer, NotApplicable};
use crate::engine::event::Event;

/// Freezes the fleet: nothing advances, gates stay armed. A freeze of other length takes the place of one that holds.
///
/// # Errors
/// It is frozen exactly so already, or `until` is over.
pub fn freeze(fleet: &Fleet, until: Option<Timestamp>, reason: &str, now: Timestamp) -> Answer {
    if until.is_some_and(|until| until <= now) {
        return Err(NotApplicable("that time is over".to_owned()));
    }
    if let Some(freeze) = fleet.frozen(now).filter(|freeze| freeze.until == until) {
        let why = format!("{} has already frozen it until then", freeze.actor);
        return Err(NotApplicable(why));
    }
    Ok(Event::FleetFrozen {
        until,
        reason: reason.to_owned(),
    })
}

/// Ends a freeze.
///
/// # Errors
/// The fleet is not frozen.
pub fn unfreeze(fleet: &Fleet, reason: Option<&str>, now: Timestamp) -> Answer {
    if fleet.frozen(now).is_none() {
        return Err(NotApplicable("it is not frozen".to_owned()));
    }
    Ok(Event::FleetUnfrozen {
        reason: reason.map(str::to_owned),
    })
}

/// Forgives the automatic reverts that this person can see, and no others: one that comes while the command is typed
/// still counts.
///
/// # Errors
/// Nothing went back by itself since the fleet was last resumed.
pub fn resume(fleet: &Fleet, reason: &str) -> Answer {
    let last = |setbacks: &BTreeMap<u64, super::Setback>| setbacks.keys().next_back().copied();
    let forgiven: BTreeMap<_, _> = fleet
        .setbacks
        .iter()
        .filter_map(|(name, setbacks)| Some((name.clone(), last(setbacks)?)))
        .collect();
    if forgiven.is_empty() {
        let why = "no cutover went back by itself since it was last resumed";
        return Err(NotApplicable(why.to_owned()));
    }
    Ok(Event::FleetResumed {
        reason: reason.to_owned(),
        forgiven,
    })
}
