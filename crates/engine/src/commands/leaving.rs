//! Commands that end a cutover which cannot go on as planned (semantics L8).

use super::refusal::{Answer, NotApplicable, refuse, refuse_if, unfinished};
use crate::decide::limits::LATE;
use crate::drifted::{Astray, Found};
use crate::event::{AdoptedEnd, Event, LeftBehind};
use crate::hold::HaltReason;
use crate::state::{Phase, State};
use crate::units::WeightPair;

/// Ends the cutover as it is. Nothing more is written, and its records are free for other cutovers.
///
/// # Errors
/// The cutover is over already.
pub fn abandon(state: &State, reason: &str) -> Answer {
    unfinished(state)?;
    Ok(Event::Abandoned {
        reason: reason.to_owned(),
        left: left_behind(state),
    })
}

/// Returns what an abandoned cutover leaves as it is. Empty if it never wrote or called anything.
fn left_behind(state: &State) -> Vec<LeftBehind> {
    let mut left = Vec::new();
    let astray = found(state);
    if state.has_started() {
        for (group, image) in state
            .plan()
            .records
            .iter()
            .zip(state.verified.iter().flatten())
        {
            match astray.iter().find(|astray| astray.group == group.name) {
                Some(astray) => left.push(LeftBehind::Changed {
                    astray: astray.clone(),
                }),
                None => left.push(LeftBehind::Weights {
                    group: group.name.clone(),
                    weights: image.pair(),
                }),
            }
        }
    }
    if let Some(write) = &state.write
        && !write.is_answered()
    {
        left.push(LeftBehind::Write {
            step: write.step,
            until: write.perform_by + LATE,
        });
    }
    if state.phase == Phase::Reverting {
        left.push(LeftBehind::Revert {});
    }
    if let Some(switch) = &state.plan().jobs
        && state.jobs.goal.is_some()
    {
        left.push(LeftBehind::Jobs {
            jobs: switch.jobs.iter().map(|job| job.name.clone()).collect(),
            on: state.jobs.rest_on(),
        });
    }
    for (hook, run) in &state.hooks {
        if run.call.is_some() {
            left.push(LeftBehind::Hook { hook: *hook });
        }
    }
    left
}

/// Returns the groups that somebody else changed since they were last verified, or those that a halted revert found.
fn found(state: &State) -> Vec<Astray> {
    match &state.halt {
        Some(HaltReason::Drift { found, .. }) if state.drift.is_none() => found.clone(),
        Some(_) | None => state.astray(),
    }
}

/// Completes the cutover with the records as they are, if it is in its last step and only the new side is left in a
/// changed group. Returns `None` if that is not the case.
///
/// # Errors
/// Another group has changed in another way, some groups were reverted, a write is unresolved, or the jobs are not on
/// the new side.
pub(super) fn complete_as_found(
    state: &State,
    reason: &str,
) -> Result<Option<Event>, NotApplicable> {
    let found = found(state);
    if !found.iter().any(Astray::is_the_end) {
        return Ok(None);
    }
    let last = state.verified_step == state.plan().step_count();
    if !last {
        return Ok(None);
    }
    for astray in &found {
        refuse_if(
            !astray.is_the_end() && !as_stepped(state, astray),
            &format!(
                "{} has changed in another way; see `cutover status`",
                astray.group
            ),
        )?;
    }
    let halted_back = matches!(state.halt, Some(HaltReason::Drift { .. }));
    refuse_if(
        halted_back && found.len() < state.plan().records.len(),
        "some groups have already been reverted; go on with `rollback --force`, or `abandon` the cutover",
    )?;
    refuse_if(
        state.phase == Phase::Shifting || state.write.is_some(),
        "a write is not resolved yet; try again in a minute",
    )?;
    let jobs_rest = state.jobs.rest_on() == Some(crate::jobs::JobSide::New);
    if state.plan().jobs.is_some() && !jobs_rest {
        return refuse(
            "the jobs have not moved to the new side and would stay on the old one; switch them by hand and `abandon` the \
             cutover"
                .to_owned(),
        );
    }
    Ok(Some(Event::Completed {
        adopted: Some(Box::new(AdoptedEnd {
            reason: reason.to_owned(),
            found,
        })),
    }))
}

/// Returns true if a group has both members with exactly the weights of the last step, and nothing else has changed.
fn as_stepped(state: &State, astray: &Astray) -> bool {
    let last: Option<WeightPair> = state
        .plan()
        .step(state.plan().step_count())
        .map(|step| step.pair);
    match &astray.found {
        Found::Both { weights, changed } => Some(*weights) == last && changed.is_empty(),
        Found::Gone { .. } | Found::Unweighted { .. } => false,
    }
}
