//! The commands that a person may give to a cutover, and the states in which each applies (semantics B5, C5, E1, E5,
//! E6, H2).
//!
//! Every function returns the one event to append, or the reason why the command does not apply. Nothing is written
//! here. The caller appends the event, on the condition that the state's last entry is still the last one.

mod leaving;
mod refusal;

pub use leaving::abandon;
pub use refusal::{Answer, NotApplicable};

use std::collections::BTreeMap;

use super::drifted::{Adoption, Astray, Found};
use super::event::{Event, RevertMode};
use super::hold::HaltReason;
use super::plan::PlanSource;
use super::record::GroupImage;
use super::state::{Phase, State};
use super::units::{AlarmId, WeightPair};
use refusal::{refuse, refuse_if, unfinished};

/// The next step of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackNeed {
    /// The request must be journaled first. This is its event.
    Request(Box<Event>),
    /// The rollback was requested already, or a revert is under way: the caller waits.
    UnderWay,
    /// The cutover is over. Only a reading of Route 53 shows if it is at its baseline.
    Ended,
}

/// Pauses the cutover: no step is taken, and gates stay armed.
///
/// # Errors
/// The cutover is paused already, is reverting, or is over.
pub fn pause(state: &State, reason: Option<&str>) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase == Phase::Reverting,
        "a revert is under way, and a pause never delays it",
    )?;
    if let Some(pause) = &state.paused {
        return refuse(format!("{} has already paused it", pause.actor));
    }
    Ok(Event::PauseRequested {
        reason: reason.map(str::to_owned),
    })
}

/// Ends a pause. No other hold is ended by this.
///
/// # Errors
/// The cutover is not paused.
pub fn resume(state: &State, reason: Option<&str>) -> Answer {
    refuse_if(state.paused.is_none(), "it is not paused")?;
    Ok(Event::ResumeRequested {
        reason: reason.map(str::to_owned),
    })
}

/// Approves step `number`, or without a number the step that now waits for its approval.
///
/// # Errors
/// The cutover is over or reverting. No such step waits. Or the step needs no approval, was taken, or was approved
/// already.
pub fn approve(state: &State, number: Option<u16>, reason: &str) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase == Phase::Reverting,
        "a revert is under way, and a new attempt needs new approvals",
    )?;
    let number = match number {
        Some(number) => number,
        None => waiting_step(state)?,
    };
    let Some(step) = state.plan().step(number) else {
        return refuse(format!("the plan has {} steps", state.plan().step_count()));
    };
    refuse_if(!step.approval, &format!("step {number} needs no approval"))?;
    refuse_if(
        number <= state.step,
        &format!("step {number} has already been taken"),
    )?;
    refuse_if(
        state.is_approved(number),
        &format!("step {number} is already approved"),
    )?;
    Ok(Event::StepApproved {
        step: number,
        pair: step.pair,
        bake_secs: step.bake.as_secs(),
        reason: reason.to_owned(),
        caller_arn: None,
    })
}

/// Returns the number of the step that now waits for its approval.
///
/// # Errors
/// No step waits now. The text says if a later step can be approved ahead.
fn waiting_step(state: &State) -> Result<u16, NotApplicable> {
    for reason in &state.held {
        if let Some(step) = reason.asks_approval()
            && !state.is_approved(step)
        {
            return Ok(step);
        }
    }
    let ahead =
        (state.step + 1..=state.plan().step_count()).find(|number| !state.is_approved(*number));
    refuse(match ahead {
        Some(step) => {
            format!(
                "no step waits for approval now; approve step {step} ahead with `--step {step}`"
            )
        }
        None => "no step waits for approval, and none will".to_owned(),
    })
}

/// Ends the bake of the current step, if all gates pass in the controller's next round (semantics D1).
///
/// # Errors
/// Nothing bakes, or the bake is over. The records have drifted, or the bake clock is stopped. Or the skip was
/// requested already.
pub fn skip_bake(state: &State, reason: &str) -> Answer {
    refuse_if(
        state.phase != Phase::Baking,
        &format!(
            "it is {}, and only a bake can be skipped",
            state.phase.label()
        ),
    )?;
    refuse_if(state.bake.over, "the bake is already over")?;
    refuse_if(
        state.drift.is_some(),
        "the records have drifted, and a bake is skipped only if nothing else holds; see `cutover status`",
    )?;
    refuse_if(
        state.bake.running_since.is_none(),
        "the bake clock is stopped: not all gates passed at the last reading, and a bake is skipped only if all do; \
         see `cutover status`",
    )?;
    refuse_if(
        state.skip_requested == Some(state.step),
        "the skip was already requested; the controller decides in its next round",
    )?;
    Ok(Event::BakeSkipRequested {
        step: state.step,
        reason: reason.to_owned(),
    })
}

/// Begins another attempt after a revert, leaves `halted`, or makes all tries of a failed hook again (semantics E5).
///
/// # Errors
/// None of these applies. Or a write of the old attempt is unresolved, a rollback was requested, or no step was
/// verified to go on from.
pub fn retry(state: &State, reason: Option<&str>) -> Answer {
    let event = Event::RetryRequested {
        reason: reason.map(str::to_owned),
    };
    match state.phase {
        Phase::Reverted => {
            refuse_if(
                state.write.is_some(),
                "a write of the old attempt is not resolved yet; try again in a few minutes",
            )?;
            refuse_if(state.rollback.is_some(), "a rollback was requested")?;
            Ok(event)
        }
        Phase::Halted => {
            refuse_if(
                state.verified_step == 0,
                "no step of this attempt was verified, so there is none to go on from; roll back instead",
            )?;
            Ok(event)
        }
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking
            if !state.failed_hooks().is_empty() =>
        {
            Ok(event)
        }
        Phase::Waiting
        | Phase::Shifting
        | Phase::Settling
        | Phase::Baking
        | Phase::Completed
        | Phase::Reverting
        | Phase::Abandoned => refuse(format!(
            "it is {}; only a reverted or halted cutover, or a failed hook, can be retried",
            state.phase.label()
        )),
    }
}

/// Accepts a changed plan file (semantics H2).
///
/// # Errors
/// Nothing changed. The cutover is over or reverting. Or the plan changes the name, the records, the weights of a step
/// that was taken, or jobs that have begun to move.
pub fn amend(state: &State, source: &PlanSource, reason: Option<&str>) -> Answer {
    unfinished(state)?;
    refuse_if(state.phase == Phase::Reverting, "a revert is under way")?;
    let (old, new) = (state.plan(), &source.plan);
    refuse_if(
        old.name != new.name,
        &format!("the plan is called {}, and a name cannot change", new.name),
    )?;
    refuse_if(
        !old.moves_the_groups_of(new),
        &format!(
            "`records` differ, and a cutover keeps its records; put the old ones back, or end this one (`cutover rollback \
             {}`) and give the file another `name` to begin another cutover",
            old.name
        ),
    )?;
    for number in 1..=state.step {
        let before = old.step(number).map(|step| step.pair);
        let after = new.step(number).map(|step| step.pair);
        refuse_if(
            before != after,
            &format!("step {number} has been taken, and its weight cannot change"),
        )?;
    }
    refuse_if(
        state.jobs.goal.is_some() && old.jobs != new.jobs,
        "`jobs` differ, but the jobs have begun to move; put the old ones back in the file, or roll back",
    )?;
    refuse_if(
        // The digest leaves out the description and the channels, which may change too.
        state.source.digest == source.digest && old == new,
        "the plan is already in the journal; nothing to do",
    )?;
    Ok(Event::PlanAmended {
        source: Box::new(source.clone()),
        reason: reason.map(str::to_owned),
    })
}

/// Accepts the drifted records as the verified ones (semantics B5). Completes the cutover if only the new side is left
/// in its last step (semantics L8).
///
/// # Errors
/// Nothing has drifted, or the cutover is over or reverting. A member is gone, or another one holds weight. Or the new
/// side would get more than its step gives it.
pub fn adopt_drift(state: &State, reason: &str) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase == Phase::Reverting,
        "a revert is under way; `rollback --force` overwrites the drift",
    )?;
    if let Some(end) = leaving::complete_as_found(state, reason)? {
        return Ok(end);
    }
    let Some(drift) = &state.drift else {
        return refuse(match &state.halt {
            Some(HaltReason::Drift { .. }) => {
                "its revert is halted; `rollback --force` overwrites the drift, `abandon` leaves it"
                    .to_owned()
            }
            Some(_) | None => "nothing has drifted".to_owned(),
        });
    };
    let astray = state.astray();
    let most = state.plan().step(state.step).map(|step| step.pair);
    let mut images: BTreeMap<usize, GroupImage> = BTreeMap::new();
    for (index, image) in drift {
        let group = state
            .plan()
            .records
            .get(*index)
            .map_or_else(|| format!("group {index}"), |group| group.name.to_string());
        let Some(image) = image else {
            return refuse(not_adopted(
                &group,
                astray.iter().find(|it| it.group.to_string() == group),
            ));
        };
        adoptable(&group, image, most)?;
        images.insert(*index, image.clone());
    }
    Ok(Event::DriftAdopted {
        images,
        reason: reason.to_owned(),
    })
}

/// Returns the effect that [`adopt_drift`] would have in this state.
pub fn adoption(state: &State) -> Adoption {
    match adopt_drift(state, "") {
        Ok(Event::Completed { .. }) => Adoption::Completes,
        Ok(_) => Adoption::GoesOn,
        Err(_) => Adoption::Refused,
    }
}

/// Returns why a group without both members cannot be adopted, and the remedy.
fn not_adopted(group: &str, astray: Option<&Astray>) -> String {
    match astray.map(|astray| &astray.found) {
        Some(Found::Unweighted { policy, .. }) => format!(
            "{group} now has a record without weights ({policy}), and Route 53 allows no weighted record beside it; delete \
             that record and `rollback --force`, or `abandon` the cutover"
        ),
        Some(Found::Gone { force_leads_to, .. }) => format!(
            "a member of {group} is gone; put it back by hand, or `rollback --force` (creates it again and gives the old side, \
             {force_leads_to}, its traffic back), or `abandon` the cutover"
        ),
        Some(Found::Both { .. }) | None => {
            format!("a member of {group} is gone; put it back by hand, or `abandon` the cutover")
        }
    }
}

/// Checks that a group may be adopted with this image. `most` is the pair of the current step.
///
/// # Errors
/// The reason why it may not.
fn adoptable(
    group: &str,
    image: &GroupImage,
    most: Option<WeightPair>,
) -> Result<(), NotApplicable> {
    let pair = image.pair();
    refuse_if(
        pair.sum() == 0,
        &format!("both weights of {group} are 0, so Route 53 splits the traffic evenly"),
    )?;
    refuse_if(
        image.others.iter().any(|other| other.weight.0 > 0),
        &format!("{group} has a third member with weight"),
    )?;
    let unsupported = [&image.old, &image.new]
        .iter()
        .any(|record| !record.unsupported.is_empty());
    refuse_if(
        unsupported,
        &format!("{group} has fields that cannot be written back"),
    )?;
    refuse_if(
        most.is_none_or(|most| pair.gives_new_more_than(most)),
        &format!("{group} gives the new side more ({pair}) than its step does"),
    )
}

/// Allows the cutover to start although a gate's alarm is red, until that alarm is first read OK (semantics C5).
///
/// # Errors
/// The cutover has started. The plan has no gate on this alarm, or it is a fallback alarm. Or the alarm is ignored
/// already.
pub fn ignore_alarm(state: &State, alarm: &AlarmId, reason: &str) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase != Phase::Waiting,
        "it has started, and from the first write on every gate counts",
    )?;
    let gates = &state.plan().gates;
    refuse_if(
        gates.fallback_alarms.iter().any(|gate| gate.id == *alarm),
        &format!("{alarm} is a fallback alarm: it guards the revert and is never ignored"),
    )?;
    refuse_if(
        !gates.alarms.iter().any(|gate| gate.id == *alarm),
        &format!("the plan has no gate on alarm {alarm}"),
    )?;
    refuse_if(
        state.ignored.contains(alarm),
        &format!("alarm {alarm} is already ignored, until it is first OK"),
    )?;
    Ok(Event::AlarmIgnored {
        alarm: alarm.clone(),
        reason: reason.to_owned(),
    })
}

/// Requests a rollback. Gates, pauses and windows never block a person's rollback (semantics C4, J3).
///
/// # Errors
/// The cutover has completed and `include_completed` is false, or it has no baseline. Or it was abandoned and `mode` is
/// force.
pub fn rollback(
    state: &State,
    mode: RevertMode,
    include_completed: bool,
    reason: Option<&str>,
) -> Result<RollbackNeed, NotApplicable> {
    let request = Ok(RollbackNeed::Request(Box::new(Event::RollbackRequested {
        mode,
        reason: reason.map(str::to_owned),
    })));
    if let Some(asked) = &state.rollback {
        return if is_stronger(mode, asked.mode) {
            request
        } else {
            Ok(RollbackNeed::UnderWay)
        };
    }
    match state.phase {
        // Only force overwrites later changes by somebody else, and only if the baseline is known.
        Phase::Reverted if mode == RevertMode::Force && state.baseline.is_some() => request,
        Phase::Reverted => Ok(RollbackNeed::Ended),
        Phase::Reverting => match &state.revert {
            Some(revert) if is_stronger(mode, revert.mode) => request,
            Some(_) | None => Ok(RollbackNeed::UnderWay),
        },
        Phase::Completed => {
            refuse_if(
                !include_completed,
                "it has completed; add `--include-completed` to roll it back anyway",
            )?;
            refuse_if(
                state.baseline.is_none(),
                "it has completed, and its baseline is not in the journal",
            )?;
            request
        }
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => {
            request
        }
        // The records of an abandoned cutover are read, but never written.
        Phase::Abandoned if mode == RevertMode::Swap => Ok(RollbackNeed::Ended),
        Phase::Abandoned => refuse(
            "it was abandoned, and its records may belong to another cutover; set the weights by hand"
                .to_owned(),
        ),
    }
}

/// Returns true if one mode overwrites changes by others and the other does not.
fn is_stronger(mode: RevertMode, than: RevertMode) -> bool {
    mode == RevertMode::Force && than == RevertMode::Swap
}

#[cfg(test)]
mod tests;
