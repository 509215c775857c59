//! What a person may ask of a cutover, and in which state (semantics B5, C5, E1, E5, E6, H2).
//!
//! Every function answers with the one event to append, or says why the command does not apply. Nothing is written
//! here: the caller appends, conditional on the sequence number of the state that was looked at.

mod leaving;

pub use leaving::abandon;

use std::collections::BTreeMap;

use thiserror::Error;

use super::drifted::{Adoption, Astray, Found};
use super::event::{Event, RevertMode};
use super::hold::HaltReason;
use super::plan::{PlanSource, Step};
use super::record::GroupImage;
use super::state::{Phase, State};
use super::units::{AlarmId, WeightPair};

/// Why a command does not apply in this state. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotApplicable(pub String);

/// What came of looking at a command.
pub type Answer = Result<Event, NotApplicable>;

/// What a rollback still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackNeed {
    /// The request must be journaled first.
    Request(Box<Event>),
    /// It was asked for already, or the traffic is going back already.
    UnderWay,
    /// It is over, and nothing is to be asked for: only Route 53 can tell whether it is at its baseline.
    Ended,
}

/// Pauses: nothing advances, gates stay armed.
///
/// # Errors
/// The cutover is paused, going back, or over.
pub fn pause(state: &State, reason: Option<&str>) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase == Phase::Reverting,
        "the traffic is going back, and a pause never delays that",
    )?;
    if let Some(pause) = &state.paused {
        return refuse(format!("{} has already paused it", pause.actor));
    }
    Ok(Event::PauseRequested {
        reason: reason.map(str::to_owned),
    })
}

/// Ends a pause, and nothing else.
///
/// # Errors
/// The cutover is not paused.
pub fn resume(state: &State, reason: Option<&str>) -> Answer {
    refuse_if(state.paused.is_none(), "it is not paused")?;
    Ok(Event::ResumeRequested {
        reason: reason.map(str::to_owned),
    })
}

/// Approves step `number`, or without a number the step that now waits for approval.
///
/// # Errors
/// No such step waits, or it needs none, was taken or was approved already.
pub fn approve(state: &State, number: Option<u16>, reason: &str) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase == Phase::Reverting,
        "the traffic is going back, and a new attempt voids approvals",
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

/// The step that now waits for approval.
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

/// Ends the bake clock of the step that bakes now, if all gates pass when the controller looks (semantics D1).
///
/// # Errors
/// Nothing bakes, the bake is over, or the skip was asked for already.
pub fn skip_bake(state: &State, reason: &str) -> Answer {
    refuse_if(
        state.phase != Phase::Baking,
        &format!(
            "it is {}, and only a bake can be skipped",
            state.phase.label()
        ),
    )?;
    refuse_if(state.bake.over, "the bake is over already")?;
    refuse_if(
        state.drift.is_some(),
        "the records have drifted, and a bake is skipped only if nothing else holds; see `cutover status`",
    )?;
    refuse_if(
        state.bake.running_since.is_none(),
        "the bake clock stands: not all gates passed when they were last looked at, and a bake is skipped only if all \
         do; see `cutover status`",
    )?;
    refuse_if(
        state.skip_requested == Some(state.step),
        "the skip was asked for already; the controller decides it at its next round",
    )?;
    Ok(Event::BakeSkipRequested {
        step: state.step,
        reason: reason.to_owned(),
    })
}

/// Begins another attempt after a revert, leaves Halted, or calls a hook again that has failed for good and holds.
///
/// # Errors
/// There is none of these, a write of the old attempt is unresolved, or there is no verified step to go back to.
pub fn retry(state: &State, reason: Option<&str>) -> Answer {
    let event = Event::RetryRequested {
        reason: reason.map(str::to_owned),
    };
    match state.phase {
        Phase::Reverted => {
            refuse_if(
                state.write.is_some(),
                "a write of the old attempt is not resolved yet; try again in some minutes",
            )?;
            refuse_if(state.rollback.is_some(), "a rollback was asked for")?;
            Ok(event)
        }
        Phase::Halted => {
            refuse_if(
                state.verified_step == 0,
                "no step of this attempt was ever read back, so there is none to go on from; roll back instead",
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
            "it is {}; only a reverted or halted cutover, or a hook that failed, can be tried again",
            state.phase.label()
        )),
    }
}

/// Takes a changed plan file.
///
/// # Errors
/// Nothing changed, the cutover is over or going back, or the change reaches what must stay: the records, and the
/// weights of the steps already taken.
pub fn amend(state: &State, source: &PlanSource, reason: Option<&str>) -> Answer {
    unfinished(state)?;
    refuse_if(state.phase == Phase::Reverting, "the traffic is going back")?;
    let (old, new) = (state.plan(), &source.plan);
    refuse_if(
        old.name != new.name,
        &format!("the plan is called {}, and a name cannot change", new.name),
    )?;
    refuse_if(
        !old.moves_the_groups_of(new),
        &format!(
            "`records` differ, and a cutover keeps its records; put the old ones back, or end this one (`cutover rollback \
             {}`) and give the file another `name`, so that a cutover of its own begins",
            old.name
        ),
    )?;
    for number in 1..=state.step {
        let pair = |step: Option<&Step>| step.map(|step| step.pair);
        let (before, after) = (pair(old.step(number)), pair(new.step(number)));
        refuse_if(
            before != after,
            &format!("step {number} has been taken, and its weight cannot change"),
        )?;
    }
    refuse_if(
        state.jobs.goal.is_some() && old.jobs != new.jobs,
        "`jobs` differ, and have begun to move; roll back, or leave them as they were",
    )?;
    refuse_if(
        // Neither the description nor who is told is part of the digest, and both may change too.
        state.source.digest == source.digest && old == new,
        "the file says what the journal has already",
    )?;
    Ok(Event::PlanAmended {
        source: Box::new(source.clone()),
        reason: reason.map(str::to_owned),
    })
}

/// Takes the images as they are now for the verified ones (semantics B5).
///
/// # Errors
/// Nothing has drifted, a member is gone or foreign, or the new side would have more than its step gives it.
pub fn adopt_drift(state: &State, reason: &str) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase == Phase::Reverting,
        "the traffic is going back; `rollback --force` overwrites the drift",
    )?;
    if let Some(end) = leaving::complete_as_found(state, reason)? {
        return Ok(end);
    }
    let Some(drift) = &state.drift else {
        return refuse(match &state.halt {
            Some(HaltReason::Drift { .. }) => {
                "it is halted on its way back; `rollback --force` overwrites the drift, `abandon` leaves it".to_owned()
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

/// What [`adopt_drift`] does in this state.
pub fn adoption(state: &State) -> Adoption {
    match adopt_drift(state, "") {
        Ok(Event::Completed { .. }) => Adoption::Completes,
        Ok(_) => Adoption::GoesOn,
        Err(_) => Adoption::Refused,
    }
}

/// Why a group without both members is not taken as it is, and what works instead.
fn not_adopted(group: &str, astray: Option<&Astray>) -> String {
    match astray.map(|astray| &astray.found) {
        Some(Found::Unweighted { policy, .. }) => format!(
            "{group} has a record without weights ({policy}) now, and no weighted record can stand beside it; delete that \
             record and `rollback --force`, or `abandon` the cutover"
        ),
        Some(Found::Gone { force_leads_to, .. }) => format!(
            "a member of {group} is gone; put it back by hand, or `rollback --force` creates it again and gives the old side \
             ({force_leads_to}) its traffic back, or `abandon` the cutover"
        ),
        Some(Found::Both { .. }) | None => {
            format!("a member of {group} is gone; put it back by hand, or `abandon` the cutover")
        }
    }
}

/// Whether one group may be taken as it is.
fn adoptable(
    group: &str,
    image: &GroupImage,
    most: Option<WeightPair>,
) -> Result<(), NotApplicable> {
    let pair = image.pair();
    refuse_if(
        pair.sum() == 0,
        &format!("both weights of {group} are 0, which makes Route 53 split evenly"),
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

/// Lets the cutover start although a gate's alarm is red, until that is first read OK (semantics C5).
///
/// # Errors
/// The first write has been made, the plan has no such gate, or the alarm is ignored already.
pub fn ignore_alarm(state: &State, alarm: &AlarmId, reason: &str) -> Answer {
    unfinished(state)?;
    refuse_if(
        state.phase != Phase::Waiting,
        "it has started, and from the first write on every gate counts",
    )?;
    let gates = &state.plan().gates;
    refuse_if(
        gates.fallback_alarms.iter().any(|gate| gate.id == *alarm),
        &format!("{alarm} is a fallback alarm: it guards the way back and is never ignored"),
    )?;
    refuse_if(
        !gates.alarms.iter().any(|gate| gate.id == *alarm),
        &format!("the plan has no gate on alarm {alarm}"),
    )?;
    refuse_if(
        state.ignored.contains(alarm),
        &format!("alarm {alarm} is ignored already, until it is first green"),
    )?;
    Ok(Event::AlarmIgnored {
        alarm: alarm.clone(),
        reason: reason.to_owned(),
    })
}

/// Asks for everything back. A person's rollback is never blocked by gates, pauses or windows (semantics C4, J).
///
/// # Errors
/// The cutover has completed and that was not asked for, or its baseline is unknown.
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
    let forces_more = |before: RevertMode| mode == RevertMode::Force && before == RevertMode::Swap;
    if let Some(asked) = &state.rollback {
        return if forces_more(asked.mode) {
            request
        } else {
            Ok(RollbackNeed::UnderWay)
        };
    }
    match state.phase {
        // What somebody wrote since is overwritten by force alone, and only if it is known with what.
        Phase::Reverted if mode == RevertMode::Force && state.baseline.is_some() => request,
        Phase::Reverted => Ok(RollbackNeed::Ended),
        Phase::Reverting => match &state.revert {
            Some(revert) if forces_more(revert.mode) => request,
            _ => Ok(RollbackNeed::UnderWay),
        },
        Phase::Completed => {
            refuse_if(
                !include_completed,
                "it has completed; add `--include-completed` to take it back all the same",
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
        // Where its records are is read, and nothing is written.
        Phase::Abandoned if mode == RevertMode::Swap => Ok(RollbackNeed::Ended),
        Phase::Abandoned => refuse(
            "it was abandoned, and its names may be another cutover's; set the weights by hand"
                .to_owned(),
        ),
    }
}

fn unfinished(state: &State) -> Result<(), NotApplicable> {
    refuse_if(
        state.phase.is_final(),
        &format!("it is {}", state.phase.label()),
    )
}

fn refuse_if(condition: bool, why: &str) -> Result<(), NotApplicable> {
    if condition {
        refuse(why.to_owned())
    } else {
        Ok(())
    }
}

fn refuse<T>(why: String) -> Result<T, NotApplicable> {
    Err(NotApplicable(why))
}

#[cfg(test)]
mod tests;
