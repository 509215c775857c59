//! The topics of an entry: the kinds by which a channel may ask for it, and if it pages or informs.

use std::collections::BTreeSet;

use crate::event::{Envelope, Event};
use crate::hold::HoldReason;
use crate::paged::Paged;
use crate::state::State;

/// One fact in an entry. An entry of holds has one for each hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its kinds.
    pub kinds: Vec<&'static str>,
    /// True if it pages.
    pub pages: bool,
    /// True if it is worth knowing without being asked for by kind.
    pub informs: bool,
    /// The kinds of an earlier page that it ends or repeats: a channel that got that page gets this too.
    pub follows: Option<Vec<&'static str>>,
}

impl Topic {
    /// Returns true if one of its kinds is among these words.
    pub(super) fn is_named_in(&self, words: &[String]) -> bool {
        self.kinds
            .iter()
            .any(|kind| words.iter().any(|word| word == kind))
    }
}

/// The kinds that channels may ask for: types of events, and kinds of holds.
#[rustfmt::skip]
pub const KINDS: [&str; 89] = [
    // Events that a person may want to hear of.
    "plan_accepted", "weight_change_intended", "weight_change_failed", "weight_change_abandoned", "weights_verified",
    "change_in_sync", "bake_started", "step_completed", "step_held", "gate_unknown", "gate_known", "alarm_judged",
    "alarm_ignored", "alarm_armed", "drift_detected", "drift_cleared", "drift_adopted", "revert_intended",
    "revert_performed_unjournaled", "stray_weights_found", "reverted", "halted", "completed", "abandoned", "pause_requested", "resume_requested",
    "step_approved", "bake_skip_requested", "bake_skip_decided", "retry_requested", "plan_amended",
    "rollback_requested", "hook_intended", "hook_succeeded", "hook_failed", "job_switch_intended", "jobs_off",
    "jobs_drained", "jobs_moved", "fleet_settings_accepted", "fleet_budget_spent", "fleet_frozen", "fleet_unfrozen",
    "fleet_held", "fleet_resumed", "cutover_damaged", "damaged_taken_back",
    // Kinds of holds.
    "journal_damaged", "revert_blocked", "drift", "already_at_baseline", "alarm_red", "fallback_red", "fallback_unknown", "alarm_missing",
    "no_data", "unknown", "unknown_too_long", "route53_unreadable", "preflight", "claimed", "clock", "plan_changed",
    "plan_unreadable", "journal_down", "break_glass", "fleet_unreadable", "budget_spent", "shared_fate", "frozen",
    "dependency", "fleet_full", "approval", "approval_overdue", "window_shut", "in_sync_late", "paused",
    "measure_red", "traffic_elsewhere", "climbing", "too_few_requests", "never_compared", "jobs_both_off", "jobs_drift",
    "jobs_stuck", "jobs_running", "jobs_unread", "others_hold_weight", "name_used",
];

/// Returns the holds that are new in an entry; empty for other events. `before` is the cutover's state before the entry.
pub fn fresh(before: Option<&State>, entry: &Envelope) -> Vec<HoldReason> {
    let Event::StepHeld { because } = &entry.event else {
        return Vec::new();
    };
    let held = before.map_or(&[][..], |state| state.held.as_slice());
    let known: BTreeSet<HoldReason> = held.iter().map(HoldReason::subject).collect();
    let mut fresh = Vec::new();
    for reason in because {
        let subject = reason.subject();
        let ended = before.is_some_and(|state| state.has_ended_lately(&subject, entry.at));
        if !known.contains(&subject) && !ended {
            fresh.push(reason.clone());
        }
    }
    fresh
}

/// Returns the topics of an entry. `fresh` are its new holds, by [`fresh`]; `pages` is true if by the fold it pages.
pub fn topics(fresh: &[HoldReason], entry: &Envelope, pages: bool) -> Vec<Topic> {
    let event = &entry.event;
    if let Event::FleetHeld { reason, .. } = event {
        // It replaces the entries of the cutovers themselves.
        return vec![Topic {
            kinds: vec![event.label(), "step_held", reason.kind()],
            pages,
            informs: informs(event),
            follows: None,
        }];
    }
    if matches!(event, Event::CutoverDamaged { .. }) {
        // The fleet's entry tells of the hold, because nothing may be written to the cutover's own stream.
        return vec![Topic {
            kinds: vec![event.label(), "step_held", "journal_damaged"],
            pages,
            informs: informs(event),
            follows: None,
        }];
    }
    if let Event::StrayWeightsFound { members } = event {
        let members = members.clone();
        let reason = HoldReason::OthersHoldWeight { members };
        return vec![Topic {
            kinds: vec![event.label(), reason.kind()],
            pages,
            informs: informs(event),
            follows: None,
        }];
    }
    if !matches!(event, Event::StepHeld { .. }) {
        return vec![Topic {
            kinds: vec![event.label()],
            pages,
            informs: informs(event),
            follows: None,
        }];
    }
    let mut topics = Vec::new();
    for reason in fresh {
        topics.push(Topic {
            kinds: vec![event.label(), reason.kind()],
            pages: pages && reason.pages(),
            informs: !is_routine(reason),
            follows: None,
        });
    }
    topics
}

/// Returns the topics for people who were paged: the pages that an entry ends, and the holds that are back so soon that they
/// do not page again.
pub fn follow_ups(entry: &Envelope, settles: &[Paged], again: &[HoldReason]) -> Vec<Topic> {
    let mut topics = Vec::new();
    for paged in settles {
        topics.push(follow_up(entry, paged));
    }
    for reason in again {
        topics.push(follow_up(entry, &Paged::Hold(reason.clone())));
    }
    topics
}

fn follow_up(entry: &Envelope, paged: &Paged) -> Topic {
    let mut kinds = vec![entry.event.label()];
    if matches!(entry.event, Event::StepHeld { .. }) {
        kinds.push(paged.kind());
    }
    Topic {
        kinds,
        pages: false,
        informs: false,
        follows: Some(paged.kinds()),
    }
}

/// Returns true if an event is worth knowing for an interested reader: a move, a person's action, a failure.
fn informs(event: &Event) -> bool {
    match event {
        Event::PlanAccepted { .. }
        | Event::WeightChangeAbandoned { .. }
        | Event::WeightsVerified { .. }
        | Event::StepReopened { .. }
        | Event::StepCompleted { .. }
        | Event::GateUnknown { .. }
        | Event::GateKnown { .. }
        | Event::AlarmIgnored { .. }
        | Event::DriftDetected { .. }
        | Event::DriftCleared {}
        | Event::DriftAdopted { .. }
        | Event::RevertIntended { .. }
        | Event::RevertPerformedUnjournaled { .. }
        | Event::StrayWeightsFound { .. }
        | Event::Reverted { .. }
        | Event::Halted { .. }
        | Event::Completed { .. }
        | Event::Abandoned { .. }
        | Event::PauseRequested { .. }
        | Event::ResumeRequested { .. }
        | Event::StepApproved { .. }
        | Event::BakeSkipDecided { .. }
        | Event::RetryRequested { .. }
        | Event::PlanAmended { .. }
        | Event::RollbackRequested { .. }
        | Event::FleetSettingsAccepted { .. }
        | Event::FleetBudgetSpent { .. }
        | Event::FleetHeld { .. }
        | Event::HookFailed { .. }
        | Event::JobsMoved { .. }
        | Event::CutoverDamaged { .. }
        | Event::DamagedTakenBack { .. }
        | Event::FleetFrozen { .. }
        | Event::FleetUnfrozen { .. }
        | Event::FleetResumed { .. } => true,
        Event::WeightChangeIntended { .. }
        | Event::WeightChangeSubmitted { .. }
        | Event::WeightChangeFailed { .. }
        | Event::ChangeLost { .. }
        | Event::ChangeInSync { .. }
        | Event::AliasTtlsRead { .. }
        | Event::BakeStarted { .. }
        | Event::GatesPassed {}
        | Event::BakeCounted { .. }
        | Event::EvidenceCounted { .. }
        | Event::StepHeld { .. }
        | Event::AlarmJudged { .. }
        | Event::AlarmArmed { .. }
        | Event::BaselineSeen { .. }
        | Event::ForeignWeightsSeen { .. }
        | Event::PageSent { .. }
        | Event::BakeSkipRequested { .. }
        | Event::HookIntended { .. }
        | Event::HookSucceeded { .. }
        | Event::JobSwitchIntended { .. }
        | Event::JobTurnIntended { .. }
        | Event::JobTurnAnswered { .. }
        | Event::JobTurnResolved { .. }
        | Event::JobsOff { .. }
        | Event::JobsDrained { .. }
        | Event::FleetSlotTaken { .. }
        | Event::Unreadable { .. } => false,
    }
}

/// Returns true if a hold is part of a normal course, or is told by an event of its own.
fn is_routine(reason: &HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::Shifting { .. }
            | HoldReason::Settling { .. }
            | HoldReason::Baking { .. }
            | HoldReason::Reverting { .. }
            | HoldReason::Paused { .. }
            | HoldReason::Halted { .. }
            | HoldReason::JobsUnseen {}
            | HoldReason::JobsMoving { .. }
            | HoldReason::HookRunning { .. }
            | HoldReason::CallsWait {}
    )
}
