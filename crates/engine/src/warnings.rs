//! Warnings before the start, from the plan and the readings (semantics K2, L12).

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::around::{self, AroundReading};
use super::observation::Observation;
use super::plan::Plan;
use super::units::AlarmId;
use super::{lists, preflight};

/// The time that CloudWatch may need, beyond the time span that an alarm evaluates, until the alarm is red: for late
/// data and the evaluation itself.
const ALARM_DELAY: SignedDuration = SignedDuration::from_mins(5);

/// Returns a warning for each alarm that needs longer to turn red than a bake lasts. `spans` has the time span of data
/// that each alarm evaluates; for a composite alarm, that of its slowest child.
pub fn short_bakes(plan: &Plan, spans: &BTreeMap<AlarmId, SignedDuration>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (alarm, span) in spans {
        let needed = *span + ALARM_DELAY;
        let mut short: Vec<String> = Vec::new();
        for (number, step) in (1_u16..).zip(&plan.steps) {
            if step.bake < needed {
                short.push(number.to_string());
            }
        }
        if short.is_empty() {
            continue;
        }
        let (steps, are) = if short.len() == 1 {
            ("bake of step", "is")
        } else {
            ("bakes of steps", "are")
        };
        warnings.push(format!(
            "the {steps} {} {are} too short for alarm {alarm}, which may need {needed:#} to turn red: {span:#} of data \
             and 5m until they are seen",
            lists::some(&short, ", "),
        ));
    }
    warnings
}

/// Returns the warnings about records around the groups that do not refuse the start.
pub fn around(plan: &Plan, observation: &Observation) -> Vec<String> {
    let mut warnings = Vec::new();
    let seen = observation.groups.iter().zip(&observation.around);
    for (group, (reading, around)) in plan.records.iter().zip(seen) {
        if let (Ok(image), AroundReading::Read(around)) =
            (preflight::read_image(group, reading), around)
        {
            warnings.extend(around::warnings(plan, group, &image, around));
        }
    }
    warnings
}
