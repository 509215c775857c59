//! What has happened: one line an event, for the history and the log.

use jiff::SignedDuration;

use super::{drifted, errands, evidence, fleet, holds, text};
use crate::engine::event::{Event, FailureClass, RevertMode, Target};
use crate::engine::hold::HoldReason;
use crate::engine::lists;
use crate::engine::notify::channel_shown;
use crate::engine::record::GroupImage;

/// One line for an event, without time and actor.
#[expect(
    clippy::too_many_lines,
    reason = "a table: one entry an event, none left out"
)]
pub fn event(event: &Event) -> String {
    match event {
        Event::PlanAccepted { source } => format!(
            "plan accepted: {}, from {}",
            text::count(source.plan.steps.len(), "step"),
            source.path
        ),
        Event::WeightChangeIntended { step, targets, .. } => {
            format!("step {step} intended: {}", moves(targets))
        }
        Event::WeightChangeSubmitted {
            zone,
            groups,
            change_id,
            ..
        } => format!(
            "Route 53 accepted change {change_id} of {} in zone {zone}",
            text::count(groups.len(), "group")
        ),
        Event::WeightChangeFailed {
            zone,
            groups,
            class,
            message,
            ..
        } => format!(
            "write of {} in zone {zone} {}: {message}",
            text::count(groups.len(), "group"),
            failure(*class)
        ),
        Event::WeightChangeAbandoned { moved, reason, .. } => format!(
            "write given up, {} moved: {reason}",
            text::count(moved.len(), "group")
        ),
        Event::WeightsVerified { step, images, .. } => {
            format!("step {step} read back: weights {}", pairs(images))
        }
        Event::ChangeLost {
            change_id, groups, ..
        } => {
            let groups = text::count(groups.len(), "group");
            match change_id {
                Some(id) => {
                    format!("Route 53 lost change {id} of {groups}; written again unchanged")
                }
                None => format!("a change of {groups} has no known id; written again unchanged"),
            }
        }
        Event::ChangeInSync { change_id } => {
            format!("change {change_id} is on all of Route 53's servers")
        }
        Event::AliasTtlsRead { ttls } => {
            let each = ttls.iter();
            let each = each.map(|ttl| format!("{} for {} s", ttl.target, ttl.ttl_secs));
            let each: Vec<String> = each.collect();
            format!(
                "resolvers keep answers of aliases: {}",
                lists::some(&each, ", ")
            )
        }
        Event::BakeStarted { step } => format!("bake of step {step} started"),
        Event::GatesPassed {} => "all gates pass; the bake clock runs".to_owned(),
        Event::BakeCounted { until, running } => format!(
            "bake counted up to {}; the clock {}",
            text::second(*until),
            if *running { "goes on" } else { "stands" }
        ),
        Event::StepReopened { step } => {
            format!("step {step} is written again: a group has another share; its bake begins anew")
        }
        Event::StepCompleted { step } => format!("step {step} completed"),
        Event::StepHeld { because } => held(because),
        Event::GateUnknown { alarm, reason } => {
            format!("{} cannot be judged: {reason}", evidence::gate(alarm))
        }
        Event::GateKnown { alarm } => {
            format!("{} can be judged again", evidence::gate(alarm))
        }
        Event::EvidenceCounted { tally } => evidence::tally(tally),
        Event::AlarmJudged {
            alarm,
            transitioned_at,
            red,
        } => format!(
            "alarm {alarm} judged up to its change of state at {}: {}",
            text::second(*transitioned_at),
            if *red {
                "it had been red"
            } else {
                "it had not been red"
            }
        ),
        Event::AlarmIgnored { alarm, reason } => {
            format!(
                "red alarm {alarm} ignored for the start: {}",
                text::reason(reason)
            )
        }
        Event::AlarmArmed { alarm } => format!("ignored alarm {alarm} is green; it counts now"),
        Event::DriftDetected { groups, .. } => format!(
            "somebody else changed {}",
            text::count(groups.len(), "group")
        ),
        Event::DriftCleared {} => "all groups are again as last verified".to_owned(),
        Event::DriftAdopted { images, reason } => format!(
            "drift of {} taken as it is: {}",
            text::count(images.len(), "group"),
            text::reason(reason)
        ),
        Event::RevertIntended {
            cause,
            mode,
            shared,
            seen,
            ..
        } => {
            let together = shared.as_ref().map(fleet::together).unwrap_or_default();
            let seen = seen.as_deref().map(evidence::attribution);
            let seen = seen.unwrap_or_default();
            format!(
                "revert{}: {}{together}{seen}",
                forced(*mode),
                holds::cause(cause)
            )
        }
        Event::HookIntended { .. }
        | Event::HookSucceeded { .. }
        | Event::HookFailed { .. }
        | Event::JobSwitchIntended { .. }
        | Event::JobTurnIntended { .. }
        | Event::JobTurnAnswered { .. }
        | Event::JobTurnResolved { .. }
        | Event::JobsOff { .. }
        | Event::JobsDrained { .. }
        | Event::JobsMoved { .. } => errands::event(event),
        Event::FleetSettingsAccepted { .. }
        | Event::FleetSlotTaken { .. }
        | Event::FleetBudgetSpent { .. }
        | Event::FleetHeld { .. }
        | Event::FleetFrozen { .. }
        | Event::FleetUnfrozen { .. }
        | Event::FleetResumed { .. }
        | Event::CutoverDamaged { .. }
        | Event::DamagedTakenBack { .. } => fleet::event(event),
        Event::Unreadable { why } => format!("an entry that this version cannot read: {why}"),
        Event::RevertPerformedUnjournaled {
            cause, decided_at, ..
        } => format!(
            "revert, decided at {} while the journal was down: {}",
            text::second(*decided_at),
            holds::cause(cause)
        ),
        Event::BaselineSeen { at: Some(at) } => {
            format!("all groups read at the baseline at {}", text::second(*at))
        }
        Event::BaselineSeen { at: None } => {
            "not all groups are at the baseline any more".to_owned()
        }
        Event::ForeignWeightsSeen { groups, .. } if groups.is_empty() => {
            "somebody else's weights are gone; the revert goes on".to_owned()
        }
        Event::ForeignWeightsSeen { groups, .. } => format!(
            "{} read at weights that are not ours; they are read again",
            text::count(groups.len(), "group")
        ),
        Event::StrayWeightsFound { members } if members.is_empty() => {
            "no other member holds weight any longer".to_owned()
        }
        Event::StrayWeightsFound { members } => holds::strays(members),
        Event::Reverted { cancelled: true } => "cancelled before the first write".to_owned(),
        Event::Reverted { cancelled: false } => {
            "reverted: every group read at the baseline twice".to_owned()
        }
        Event::Halted { reason } => holds::halt_fact(reason),
        Event::Completed { adopted: None } => "completed".to_owned(),
        Event::Completed {
            adopted: Some(adopted),
        } => drifted::completed(adopted),
        Event::Abandoned { reason, left } => drifted::abandoned(reason, left),
        Event::PageSent {
            of,
            logged_only,
            skipped,
        } => page_sent(*of, *logged_only, skipped),
        Event::PauseRequested { reason } => with_reason("paused", reason.as_deref()),
        Event::ResumeRequested { reason } => with_reason("resumed", reason.as_deref()),
        Event::StepApproved {
            step,
            pair,
            bake_secs,
            reason,
            caller_arn,
        } => format!(
            "step {step} approved (weights {pair}, bake {}){}: {}",
            text::duration(SignedDuration::from_secs(*bake_secs)),
            caller_arn
                .as_ref()
                .map_or_else(String::new, |arn| format!(" by {arn}")),
            text::reason(reason)
        ),
        Event::BakeSkipRequested { step, reason } => {
            format!(
                "skip of the bake of step {step} requested: {}",
                text::reason(reason)
            )
        }
        Event::BakeSkipDecided { step, skipped } => format!(
            "bake of step {step} {}",
            if *skipped {
                "skipped: all gates passed"
            } else {
                "not skipped: not all gates passed"
            }
        ),
        Event::RetryRequested { reason } => with_reason("retry requested", reason.as_deref()),
        Event::PlanAmended { source, reason } => with_reason(
            &format!("plan amended from {}", source.path),
            reason.as_deref(),
        ),
        Event::RollbackRequested { mode, reason } => with_reason(
            &format!("rollback{} requested", forced(*mode)),
            reason.as_deref(),
        ),
    }
}

/// Who was told of an entry.
fn page_sent(of: u64, logged_only: bool, skipped: &[String]) -> String {
    if logged_only {
        return format!(
            "page for entry {of} logged only: the plan has no `notify` that gets pages"
        );
    }
    if skipped.is_empty() {
        return format!("page for entry {of} delivered");
    }
    let skipped: Vec<String> = skipped.iter().map(|id| channel_shown(id)).collect();
    let skipped = lists::some(&skipped, ", ");
    format!("page for entry {of} sent; refused for good and skipped by: {skipped}")
}

/// The weights before and after, once where all groups move alike.
fn moves(targets: &[Target]) -> String {
    let mut shown: Vec<String> = targets
        .iter()
        .map(|target| format!("{} → {}", target.from.pair(), target.to))
        .collect();
    shown.sort();
    shown.dedup();
    format!(
        "weights {} in {}",
        lists::some(&shown, ", "),
        text::count(targets.len(), "group")
    )
}

/// The weights that were read, once where all groups have the same.
fn pairs(images: &[GroupImage]) -> String {
    let mut shown: Vec<String> = images
        .iter()
        .map(|image| image.pair().to_string())
        .collect();
    shown.sort();
    shown.dedup();
    format!(
        "{} in {}",
        lists::some(&shown, ", "),
        text::count(images.len(), "group")
    )
}

/// The holds, without the advice that only helps while they last.
fn held(because: &[HoldReason]) -> String {
    if because.is_empty() {
        return "nothing holds any more".to_owned();
    }
    let kinds: Vec<String> = because.iter().map(holds::short).collect();
    format!("held: {}", lists::some(&kinds, "; "))
}

/// What came of a write, as the end of `write of … …`.
fn failure(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "failed, and is tried again",
        FailureClass::Throttled => "was throttled, and is tried again later",
        FailureClass::Denied => "was denied",
        FailureClass::Conflict => "was refused, the records being other than read",
        FailureClass::Permanent => "was refused",
        FailureClass::NotSent => "was not sent",
    }
}

/// ` (forced)` where a person wants foreign changes overwritten.
fn forced(mode: RevertMode) -> &'static str {
    match mode {
        RevertMode::Swap => "",
        RevertMode::Force => " (forced)",
    }
}

/// `what: reason`, or `what`.
fn with_reason(what: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{what}: {}", text::reason(reason)),
        None => what.to_owned(),
    }
}
