//! Returns the names of alarms as the output of a rehearsal shows them.

use super::film::Film;
use crate::engine::plan::Plan;
use crate::engine::units::AlarmId;

/// Returns the name of an alarm, with its region if that is not the plan's.
pub(super) fn alarm(plan: &Plan, id: &AlarmId) -> String {
    if id.region.is_none() || id.region == plan.aws.region {
        return id.name.clone();
    }
    id.to_string()
}

/// Returns the name of an alarm of any of the plans, as [`alarm`] does.
pub(super) fn alarm_of(film: &Film, id: &AlarmId) -> String {
    for reel in &film.reels {
        if reel.plan.alarms().any(|gate| gate.id == *id) {
            return alarm(&reel.plan, id);
        }
    }
    id.to_string()
}
