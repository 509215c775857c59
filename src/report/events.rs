//! One line for each event, for the history and the log.
//!
//! [`event`] is one table with an arm for every event, so that the compiler asks for the words of a new one.

use jiff::SignedDuration;

use super::{drifted, evidence, fleet, fleet_words, holds, text};
use crate::engine::event::{Event, FailureClass, RevertMode, Target};
use crate::engine::fleet::SharedFate;
use crate::engine::hold::HoldReason;
use crate::engine::jobs::JobSide;
use crate::engine::lists;
use crate::engine::notify::channel_shown;
use crate::engine::record::GroupImage;
use crate::engine::units::CutoverName;

/// Returns one line for an event, without its time and actor.
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
            "write abandoned, {} moved: {reason}",
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
            let ttls: Vec<String> = ttls
                .iter()
                .map(|ttl| format!("{} for {} s", ttl.target, ttl.ttl_secs))
                .collect();
            format!(
                "resolvers cache the answers of aliases: {}",
                lists::some(&ttls, ", ")
            )
        }
        Event::BakeStarted { step } => format!("bake of step {step} started"),
        Event::GatesPassed {} => "all gates pass; the bake counts from here".to_owned(),
        Event::BakeCounted { until, running } => format!(
            "bake counted up to {}; the clock {}",
            text::second(*until),
            if *running { "keeps running" } else { "stops" }
        ),
        Event::StepReopened { step } => {
            format!(
                "step {step} is written again, because a group has another share; its bake starts over"
            )
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
        Event::DriftDetected { groups, .. } => {
            format!("{} drifted", text::count(groups.len(), "group"))
        }
        Event::DriftCleared {} => "drift cleared: all groups are as last read back".to_owned(),
        Event::DriftAdopted { images, reason } => format!(
            "drift of {} adopted: {}",
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
            let seen = match seen.as_deref() {
                Some(seen) => evidence::attribution(seen),
                None => String::new(),
            };
            format!(
                "revert{}: {}{}{seen}",
                forced(*mode),
                holds::cause(cause),
                together(shared.as_ref())
            )
        }
        Event::HookIntended {
            hook, number: 1, ..
        } => format!("{hook} called"),
        Event::HookIntended { hook, number, .. } => format!("{hook} called, try {number}"),
        Event::HookSucceeded { hook, output, .. } => {
            format!("{hook} succeeded{}", first_line(output))
        }
        Event::HookFailed {
            hook,
            message,
            output,
            given_up,
            ..
        } => {
            let end = if *given_up {
                "; it is not tried again, and the cutover goes on"
            } else {
                ""
            };
            format!("{hook} failed: {message}{}{end}", first_line(output))
        }
        Event::JobSwitchIntended { to: JobSide::New } => {
            "jobs begin to move to the new side: first the old side's are switched off".to_owned()
        }
        Event::JobSwitchIntended { to: JobSide::Old } => {
            "jobs go back to the old side: first the new side's are switched off".to_owned()
        }
        Event::JobTurnIntended {
            side,
            on,
            jobs,
            names,
            ..
        } => {
            let jobs = if names.is_empty() {
                text::count(jobs.len(), "job")
            } else {
                drifted::jobs_named(names)
            };
            let on = if *on { "on" } else { "off" };
            format!("{jobs} of the {side} side: switching {on}")
        }
        Event::JobTurnAnswered { failed, .. } => match failed.values().next() {
            None => "the switching of jobs was accepted".to_owned(),
            Some(first) => format!(
                "the switching of {} failed, and their state is read back: {}",
                text::count(failed.len(), "job"),
                first.message
            ),
        },
        Event::JobTurnResolved { on, .. } => match on.len() {
            0 => "jobs read back: off".to_owned(),
            count => format!("jobs read back: {count} on"),
        },
        Event::JobsOff { side } => format!(
            "every job of the {side} side is off; none runs until the {} side's are on",
            side.other()
        ),
        Event::JobsDrained { side } => format!("no job of the {side} side is running any longer"),
        Event::JobsMoved { to } => {
            format!(
                "jobs moved: the {to} side's are on, the {} side's off",
                to.other()
            )
        }
        Event::FleetSettingsAccepted { settings, path } => {
            format!("fleet limits: {}, from {path}", fleet::limits(settings))
        }
        Event::FleetSlotTaken { of } => format!("{of} takes its first step"),
        Event::FleetBudgetSpent {
            spent,
            budget,
            reverted,
            shared,
        } => format!(
            "the failure budget is spent, no cutover takes a step: {spent} of {budget} automatic reverts ({}){}; find out \
             why, then: `cutover resume --fleet --reason …`",
            fleet_words::names(reverted, *spent),
            together(shared.as_ref())
        ),
        Event::FleetHeld {
            reason,
            services,
            named,
            ..
        } => fleet::held(reason, *services, named, None),
        Event::FleetFrozen { until, reason } => fleet_words::frozen(*until, reason, None),
        Event::FleetUnfrozen { reason } => with_reason("fleet unfrozen", reason.as_deref()),
        Event::FleetResumed { reason, forgiven } => {
            let of: Vec<CutoverName> = forgiven
                .keys()
                .take(fleet_words::NAMES_MAX)
                .cloned()
                .collect();
            format!(
                "fleet resumed, the reverts of {} no longer count: {}",
                fleet_words::names(&of, forgiven.len()),
                text::reason(reason)
            )
        }
        Event::CutoverDamaged { of, entry, why } => {
            let reason = HoldReason::JournalDamaged {
                entry: *entry,
                message: why.clone(),
            };
            format!("{of}: {}", holds::line(&reason, of, None))
        }
        Event::DamagedTakenBack {
            of,
            back,
            groups,
            reason,
        } => with_reason(
            &format!(
                "the stored baseline of {of}, whose journal is damaged, was written: {back} of {} read back at it",
                text::count(*groups, "group")
            ),
            reason.as_deref(),
        ),
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
            "the groups are no longer all at the baseline".to_owned()
        }
        Event::ForeignWeightsSeen { groups, .. } if groups.is_empty() => {
            "somebody else's weights are gone; the revert goes on".to_owned()
        }
        Event::ForeignWeightsSeen { groups, .. } => format!(
            "{} read at weights that cutover did not write; they are read again",
            text::count(groups.len(), "group")
        ),
        Event::StrayWeightsFound { members } if members.is_empty() => {
            "no other record holds weight any longer".to_owned()
        }
        Event::StrayWeightsFound { members } => holds::strays(members),
        Event::Reverted { cancelled: true } => "cancelled before the first write".to_owned(),
        Event::Reverted { cancelled: false } => {
            "reverted: every group was read at the baseline twice".to_owned()
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

/// Describes how the page for an entry was delivered.
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
    format!("page for entry {of} sent; permanently refused, and skipped, by: {skipped}")
}

/// Returns the weights before and after. Groups that move alike are shown once.
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

/// Returns the weights that were read. Equal ones are shown once.
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

/// Returns the holds without their remedies, because a remedy helps only while its hold lasts. The text begins with
/// "held" only if something is wrong.
fn held(because: &[HoldReason]) -> String {
    if because.is_empty() {
        return "all holds cleared".to_owned();
    }
    let facts: Vec<String> = because.iter().map(holds::short).collect();
    let facts = lists::some(&facts, "; ");
    if because.iter().all(holds::is_usual) {
        facts
    } else {
        format!("held: {facts}")
    }
}

/// Returns the end of a sentence that begins with `write of …`.
fn failure(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "failed and will be retried",
        FailureClass::Throttled => "was throttled and will be retried later",
        FailureClass::Denied => "was denied",
        FailureClass::Conflict => "was rejected: the records changed since they were read",
        FailureClass::Permanent => "was rejected",
        FailureClass::NotSent => "was not sent",
    }
}

/// Returns `; it looks like one cause: …` if gates of other services failed at the same time; otherwise empty.
fn together(fate: Option<&SharedFate>) -> String {
    let Some(fate) = fate else {
        return String::new();
    };
    format!(
        "; it looks like one cause: gates of {} services failed within 10m ({})",
        fate.services,
        fleet_words::names(&fate.named, fate.services)
    )
}

/// Returns ` (output: …)` with the first line of a hook's output, at most 80 characters; empty if there is none.
fn first_line(output: &str) -> String {
    let Some(first) = output.lines().next() else {
        return String::new();
    };
    let first: String = first.chars().take(80).collect();
    let first = first.trim();
    if first.is_empty() {
        return String::new();
    }
    format!(" (output: {first})")
}

/// Returns ` (forced)` if a person wants drift overwritten; otherwise empty.
fn forced(mode: RevertMode) -> &'static str {
    match mode {
        RevertMode::Swap => "",
        RevertMode::Force => " (forced)",
    }
}

/// Returns `fact: reason`, or `fact` alone if there is no reason.
fn with_reason(fact: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{fact}: {}", text::reason(reason)),
        None => fact.to_owned(),
    }
}
