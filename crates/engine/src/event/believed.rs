//! Limits on the times and lengths in an entry. Others can write to the journal's file. A time near the end of the
//! calendar would make a sum overflow, which would end the controller and so disarm all gates.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};

use super::{Envelope, Event};
use crate::plan::Plan;

/// The accepted times, in seconds since 1970. They stay a thousand years away from both ends of the calendar (the years
/// -9999 and 9999), so that no sum with an accepted length leaves it.
const SECS: RangeInclusive<i64> = -346_000_000_000..=221_000_000_000;

/// The accepted lengths: at most ten years, as in plan files (`plan_file/durations.rs`).
const LENGTHS: RangeInclusive<SignedDuration> =
    SignedDuration::ZERO..=SignedDuration::from_hours(3_650 * 24);

/// The largest accepted number of an attempt.
const ATTEMPTS_MAX: u32 = 1_000_000;

impl Envelope {
    /// Returns why the entry cannot be right, for people. `None` if it can be right.
    pub fn unbelievable(&self) -> Option<String> {
        if self.attempt > ATTEMPTS_MAX {
            return Some(format!("attempt {} cannot be right", self.attempt));
        }
        let (times, lengths) = counted(&self.event);
        let mut times = std::iter::once(self.at).chain(times);
        if let Some(time) = times.find(|time| !SECS.contains(&time.as_second())) {
            return Some(format!("the time {time} cannot be right"));
        }
        let length = lengths
            .into_iter()
            .find(|length| !LENGTHS.contains(length))?;
        Some(format!("a length of {length:#} cannot be right"))
    }
}

/// Returns the times and lengths of an event that are used in sums. The end of a freeze is only compared, so it is left
/// out.
#[expect(clippy::too_many_lines, reason = "one line an event")]
fn counted(event: &Event) -> (Vec<Timestamp>, Vec<SignedDuration>) {
    let times = match event {
        Event::PlanAccepted { source } | Event::PlanAmended { source, .. } => {
            return (Vec::new(), lengths(&source.plan));
        }
        Event::WeightChangeIntended { perform_by, .. } => vec![*perform_by],
        Event::WeightChangeSubmitted { server_time, .. } => server_time.iter().copied().collect(),
        Event::BakeCounted { until, .. } => vec![*until],
        Event::EvidenceCounted { tally } => vec![tally.until],
        Event::AlarmJudged {
            transitioned_at, ..
        } => vec![*transitioned_at],
        Event::RevertPerformedUnjournaled { decided_at, .. } => vec![*decided_at],
        Event::BaselineSeen { at } => at.iter().copied().collect(),
        Event::ForeignWeightsSeen { read_at, .. } => vec![*read_at],
        Event::HookIntended { ends_by, .. } => vec![*ends_by],
        Event::JobTurnIntended {
            perform_by,
            lands_by,
            ..
        } => vec![*perform_by, *lands_by],
        Event::FleetHeld { since, .. } => vec![*since],
        Event::WeightChangeFailed { .. }
        | Event::WeightChangeAbandoned { .. }
        | Event::WeightsVerified { .. }
        | Event::ChangeLost { .. }
        | Event::ChangeInSync { .. }
        | Event::AliasTtlsRead { .. }
        | Event::BakeStarted { .. }
        | Event::GatesPassed {}
        | Event::StepReopened { .. }
        | Event::StepCompleted { .. }
        | Event::StepHeld { .. }
        | Event::GateUnknown { .. }
        | Event::GateKnown { .. }
        | Event::AlarmIgnored { .. }
        | Event::AlarmArmed { .. }
        | Event::DriftDetected { .. }
        | Event::DriftCleared {}
        | Event::DriftAdopted { .. }
        | Event::RevertIntended { .. }
        | Event::StrayWeightsFound { .. }
        | Event::Reverted { .. }
        | Event::Halted { .. }
        | Event::Completed { .. }
        | Event::Abandoned { .. }
        | Event::PageSent { .. }
        | Event::PauseRequested { .. }
        | Event::ResumeRequested { .. }
        | Event::StepApproved { .. }
        | Event::BakeSkipRequested { .. }
        | Event::BakeSkipDecided { .. }
        | Event::RetryRequested { .. }
        | Event::RollbackRequested { .. }
        | Event::HookSucceeded { .. }
        | Event::HookFailed { .. }
        | Event::JobSwitchIntended { .. }
        | Event::JobTurnAnswered { .. }
        | Event::JobTurnResolved { .. }
        | Event::JobsOff { .. }
        | Event::JobsDrained { .. }
        | Event::JobsMoved { .. }
        | Event::FleetSettingsAccepted { .. }
        | Event::FleetSlotTaken { .. }
        | Event::FleetBudgetSpent { .. }
        | Event::FleetFrozen { .. }
        | Event::FleetUnfrozen { .. }
        | Event::FleetResumed { .. }
        | Event::CutoverDamaged { .. }
        | Event::DamagedTakenBack { .. }
        | Event::Unreadable { .. } => Vec::new(),
    };
    (times, Vec::new())
}

/// Returns all lengths of a plan that are used in sums.
fn lengths(plan: &Plan) -> Vec<SignedDuration> {
    let mut lengths = vec![plan.gates.unknown_for];
    lengths.extend(plan.settle);
    for step in &plan.steps {
        lengths.push(step.bake);
        lengths.extend(step.approval_timeout.map(|timeout| timeout.after));
    }
    lengths.extend(plan.hooks.iter().map(|hook| hook.timeout));
    lengths.extend(plan.gates.measures.lengths());
    if let Some(jobs) = &plan.jobs {
        lengths.extend(jobs.lengths());
    }
    lengths
}
