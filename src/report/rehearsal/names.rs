//! How alarms are named in a rehearsal.

use super::film::Film;
use crate::engine::plan::Plan;
use crate::engine::units::AlarmId;

/// An alarm's name; its region only where that is not the plan's.
pub(super) fn alarm(plan: &Plan, id: &AlarmId) -> String {
    if id.region.is_none() || id.region == plan.aws.region {
        return id.name.clone();
    }
    id.to_string()
}

/// The same, for an alarm of any of the plans.
pub(super) fn alarm_of(film: &Film, id: &AlarmId) -> String {
    let mut plans = film.reels.iter().map(|reel| &reel.plan);
    let plan = plans.find(|plan| plan.alarms().any(|gate| gate.id == *id));
    plan.map_or_else(|| id.to_string(), |plan| alarm(plan, id))
}
