//! The commands that a person may give to the whole fleet. Each becomes one event of `@fleet`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Fleet;
use crate::commands::{Answer, NotApplicable};
use crate::event::Event;

/// Freezes the fleet: no step is taken, and gates stay armed. A freeze with another end replaces the present one.
///
/// # Errors
/// The fleet is already frozen until that time, or `until` is past.
pub fn freeze(fleet: &Fleet, until: Option<Timestamp>, reason: &str, now: Timestamp) -> Answer {
    if until.is_some_and(|until| until <= now) {
        return Err(NotApplicable("that time is past".to_owned()));
    }
    if let Some(freeze) = fleet.frozen(now)
        && freeze.until == until
    {
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

/// Lets the fleet go on after automatic reverts. Forgives the reverts in `fleet`, which the person has seen. A revert
/// that comes while the command runs still counts.
///
/// # Errors
/// No cutover was reverted automatically since the fleet was last resumed.
pub fn resume(fleet: &Fleet, reason: &str) -> Answer {
    let mut forgiven = BTreeMap::new();
    for (name, setbacks) in &fleet.setbacks {
        if let Some(last) = setbacks.keys().next_back() {
            forgiven.insert(name.clone(), *last);
        }
    }
    if forgiven.is_empty() {
        let why = "no cutover was reverted automatically since it was last resumed";
        return Err(NotApplicable(why.to_owned()));
    }
    Ok(Event::FleetResumed {
        reason: reason.to_owned(),
        forgiven,
    })
}
