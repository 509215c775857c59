//! The names of alarms in a rehearsal.

use super::film::Film;
use crate::engine::plan::Plan;
use crate::engine::units::AlarmId;

/// An alarm's name, with its region if that is not the plan's.
pub(super) fn alarm(plan: &Plan, id: &AlarmId) -> String {
    if id.region.is_none() || id.region == plan.aws.region {
        return id.name.clone();
    }
    id.to_string()
}

/// The same, for an alarm of any of the plans.
pub(super) fn alarm_of(film: &Film, id: &AlarmId) -> String {
    for reel in &film.reels {
        if reel.plan.alarms().any(|gate| gate.id == *id) {
            return alarm(&reel.plan, id);
        }
    }
    id.to_string()
}
