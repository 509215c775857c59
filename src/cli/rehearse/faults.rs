//! Checks before a rehearsal that its faults can happen and that its alarms are used.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::play::Troupe;
use crate::cli::error::Expected;
use crate::engine::fleet::NAMED_MAX;
use crate::engine::plan::Plan;
use crate::report::text;
use crate::scenario::{FaultKind, FaultStart, PersonAct, Scenario, ScenarioFault};

/// Checks that every fault can happen, and that every alarm of the scenario is used, in a rehearsal of these plans.
///
/// # Errors
/// A fault that can never happen, or an alarm that is in no plan, with what to write instead. Only the first one is
/// reported.
pub(super) fn require_possible(
    troupe: &Troupe,
    scenario: &Scenario,
    start: Timestamp,
) -> Result<(), Expected> {
    let plans: Vec<&Plan> = troupe.sources.iter().map(|source| &source.plan).collect();
    for alarm in &scenario.alarms {
        let mut rules = scenario
            .alarms
            .iter()
            .filter_map(|other| other.rule.as_ref());
        if !has_alarm(&plans, &alarm.name) && !rules.any(|rule| rule.contains(&alarm.name)) {
            let message = format!("the scenario's alarm `{}` is in no plan", alarm.name);
            return Err(Expected::usage(message, Some(&alarms(&plans))));
        }
    }
    for fault in &scenario.faults {
        if let Err((why, help)) = check_fault(fault, &plans, scenario, troupe.cut_off(), start) {
            let message = format!("the fault `{}` can never happen: {why}", fault.text);
            return Err(Expected::usage(message, Some(&help)));
        }
    }
    Ok(())
}

/// Checks that a fault can happen.
///
/// # Errors
/// Why the fault cannot happen, and what to write instead.
fn check_fault(
    fault: &ScenarioFault,
    plans: &[&Plan],
    scenario: &Scenario,
    cut_off: SignedDuration,
    start: Timestamp,
) -> Result<(), (String, String)> {
    let mut mine = plans.to_vec();
    if let Some(name) = &fault.cutover {
        mine.retain(|plan| plan.name == *name);
        if mine.is_empty() {
            let names = plans.iter().map(|plan| plan.name.to_string()).collect();
            let why = format!("no plan is called `{name}`");
            return Err((why, format!("the plans are called {}", listed(names))));
        }
    }
    let after = match fault.start {
        Some(FaultStart::Step { number, plus }) => {
            let most = mine.iter().map(|plan| plan.step_count()).max().unwrap_or(0);
            if number > most {
                let steps = text::count(usize::from(most), "step");
                let help = format!("write a step from 1 to {most}");
                return Err((format!("there is no step {number}, only {steps}"), help));
            }
            plus
        }
        Some(FaultStart::After(after)) => after,
        Some(FaultStart::At(at)) => at.duration_since(start),
        None => SignedDuration::ZERO,
    };
    if after > cut_off {
        let most = text::duration(cut_off);
        let why = format!("the rehearsal is cut off {most} after its start");
        return Err((why, "write an earlier time, or `at step 3 + 2h`".to_owned()));
    }
    check_concerns(&fault.kind, &mine, scenario)
}

/// Checks that the fault concerns something in the plans.
///
/// # Errors
/// Why it concerns nothing, and what to write instead.
fn check_concerns(
    kind: &FaultKind,
    plans: &[&Plan],
    scenario: &Scenario,
) -> Result<(), (String, String)> {
    match kind {
        FaultKind::Alarm { alarm, .. } => {
            let known = scenario.alarms.iter().any(|other| other.name == *alarm);
            if known || has_alarm(plans, alarm) {
                return Ok(());
            }
            let why = format!("no plan has an alarm `{alarm}`");
            Err((why, alarms(plans)))
        }
        FaultKind::Person(PersonAct::ApproveAfter(_)) => {
            let mut steps = plans.iter().flat_map(|plan| &plan.steps);
            if steps.any(|step| step.approval) {
                return Ok(());
            }
            let help = "remove the fault, or write `approval: required` in a step of the plan";
            Err(("no step needs an approval".to_owned(), help.to_owned()))
        }
        FaultKind::Cluster { .. }
        | FaultKind::Push { .. }
        | FaultKind::CallersPinned
        | FaultKind::CloudWatchDown
        | FaultKind::Route53(_)
        | FaultKind::ForeignWrite { .. }
        | FaultKind::ControllerKilled
        | FaultKind::JournalDown
        | FaultKind::JobsDown
        | FaultKind::HooksFail
        | FaultKind::Person(
            PersonAct::Pause | PersonAct::Resume | PersonAct::Rollback | PersonAct::RollbackForced,
        ) => Ok(()),
    }
}

fn has_alarm(plans: &[&Plan], name: &str) -> bool {
    let mut alarms = plans.iter().flat_map(|plan| plan.alarms());
    alarms.any(|gate| gate.id.name == name)
}

/// Returns a hint with the names of the plans' alarms.
fn alarms(plans: &[&Plan]) -> String {
    let known = plans.iter().flat_map(|plan| plan.alarms());
    let names: BTreeSet<String> = known.map(|gate| gate.id.name.clone()).collect();
    if names.is_empty() {
        return "the plans have no alarms".to_owned();
    }
    format!(
        "the plans' alarms are {}",
        listed(names.into_iter().collect())
    )
}

/// Returns the first [`NAMED_MAX`] names, and how many more there are.
fn listed(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown: Vec<String> = names.into_iter().take(NAMED_MAX).collect();
    let shown = format!("`{}`", shown.join("`, `"));
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}
