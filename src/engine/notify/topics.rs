//! What an entry is worth telling: by which words a channel may ask for it, whether it wakes, whether it informs.

use std::collections::BTreeSet;

use crate::engine::event::{Envelope, Event};
use crate::engine::hold::HoldReason;
use crate::engine::state::State;

/// One thing that an entry says. An entry that says why nothing moves may say several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The words that it goes by.
    pub kinds: Vec<&'static str>,
    /// Whether it wakes a person.
    pub pages: bool,
    /// Whether it is worth knowing without being asked for by name.
    pub informs: bool,
}

/// The words that channels may ask for: types of events, and kinds of holds.
#[rustfmt::skip]
pub const KINDS: [&str; 82] = [
    // Events that a person may want to hear of.
    "plan_accepted", "weight_change_intended", "weight_change_failed", "weight_change_abandoned", "weights_verified",
    "change_in_sync", "bake_started", "step_completed", "step_held", "gate_unknown", "gate_known", "alarm_judged",
    "alarm_ignored", "alarm_armed", "drift_detected", "drift_cleared", "drift_adopted", "revert_intended",
    "revert_performed_unjournaled", "reverted", "halted", "completed", "pause_requested", "resume_requested",
    "step_approved", "bake_skip_requested", "bake_skip_decided", "retry_requested", "plan_amended",
    "rollback_requested", "hook_intended", "hook_succeeded", "hook_failed", "job_switch_intended", "jobs_off",
    "jobs_drained", "jobs_moved", "fleet_settings_accepted", "fleet_budget_spent", "fleet_frozen", "fleet_unfrozen",
    "fleet_held", "fleet_resumed",
    // Why nothing moves.
    "revert_blocked", "drift", "already_at_baseline", "alarm_red", "fallback_red", "fallback_unknown", "alarm_missing",
    "no_data", "unknown", "unknown_too_long", "route53_unreadable", "preflight", "claimed", "clock", "plan_changed",
    "plan_unreadable", "journal_down", "break_glass", "fleet_unreadable", "budget_spent", "shared_fate", "frozen",
    "dependency", "fleet_full", "approval", "approval_overdue", "window_shut", "in_sync_late", "paused",
    "measure_red", "traffic_elsewhere", "climbing", "too_few_requests", "never_compared", "jobs_both_off", "jobs_drift",
    "jobs_stuck", "jobs_running", "jobs_unread",
];

/// Why nothing moves, as far as an entry says it for the first time; nothing for other events. `before` is its cutover before
/// the entry.
pub fn fresh(before: Option<&State>, entry: &Envelope) -> Vec<HoldReason> {
    let Event::StepHeld { because } = &entry.event else {
        return Vec::new();
    };
    let held = before.map_or(&[][..], |state| state.held.as_slice());
    let known: BTreeSet<HoldReason> = held.iter().map(HoldReason::subject).collect();
    let news = |reason: &&HoldReason| {
        let subject = reason.subject();
        let ended = before.is_some_and(|state| state.has_ended_lately(&subject, entry.at));
        !known.contains(&subject) && !ended
    };
    because.iter().filter(news).cloned().collect()
}

/// What an entry says. `fresh` is what [`fresh`] found in it, `pages` whether the fold found that it wakes a person.
pub fn topics(fresh: &[HoldReason], entry: &Envelope, pages: bool) -> Vec<Topic> {
    let event = &entry.event;
    if let Event::FleetHeld { reason, .. } = event {
        // It stands for what the cutovers themselves would say.
        return vec![Topic {
            kinds: vec![event.label(), "step_held", reason.kind()],
            pages,
            informs: informs(event),
        }];
    }
    if !matches!(event, Event::StepHeld { .. }) {
        return vec![Topic {
            kinds: vec![event.label()],
            pages,
            informs: informs(event),
        }];
    }
    let topic = |reason: &HoldReason| Topic {
        kinds: vec![event.label(), reason.kind()],
        pages: pages && reason.pages(),
        informs: !is_routine(reason),
    };
    fresh.iter().map(topic).collect()
}

/// Whether an event is worth knowing, for somebody who follows along: what moved, what people did, what went wrong.
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
        | Event::Reverted { .. }
        | Event::Halted { .. }
        | Event::Completed {}
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
        | Event::FleetFrozen { .. }
        | Event::FleetUnfrozen { .. }
        | Event::FleetResumed { .. } => true,
        Event::WeightChangeIntended { .. }
        | Event::WeightChangeSubmitted { .. }
        | Event::WeightChangeFailed { .. }
        | Event::ChangeLost { .. }
        | Event::ChangeInSync { .. }
        | Event::BakeStarted { .. }
        | Event::GatesPassed {}
        | Event::BakeCounted { .. }
        | Event::EvidenceCounted { .. }
        | Event::StepHeld { .. }
        | Event::AlarmJudged { .. }
        | Event::AlarmArmed { .. }
        | Event::BaselineSeen { .. }
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
        | Event::FleetSlotTaken { .. } => false,
    }
}

/// Whether a hold is only how a cutover goes, or is told by an event of its own.
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
    )
}
