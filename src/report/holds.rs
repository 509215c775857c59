//! The words for holds, halts and the causes of reverts, in one line each, for a person at three in the morning.
//!
//! A line is a fact, with numbers and times, and then a remedy, as a command that can be pasted.
//!
//! Each question has one table with an arm for every variant, so that the compiler asks for the words of a new one:
//! [`fact`] and [`remedy`] for holds, [`halt_fact`] and [`halt_remedy`] for halts, [`cause`] for reverts.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{drifted, errands, evidence, fleet_words, text};
use crate::engine::drifted::Astray;
use crate::engine::hold::{HaltReason, HoldReason, RevertCause};
use crate::engine::lists;
use crate::engine::state::Phase;
use crate::engine::strays::Stray;
use crate::engine::units::{CutoverName, ZoneId};
use crate::engine::window::Zone;

/// Returns the same line as [`hold`], with the hosted zones of the cutover in its commands. `zones` is empty if they
/// are not known.
pub fn hold_in(
    zones: &BTreeSet<ZoneId>,
    reason: &HoldReason,
    name: &CutoverName,
    now: Timestamp,
) -> String {
    let Some(zone) = zones.first() else {
        return hold(reason, name, now);
    };
    if zones.len() == 1 {
        return with_remedy(reason, name, Some(now), zone.as_str());
    }
    if let HoldReason::RevertBlocked { .. } = reason {
        let others: Vec<&str> = zones.iter().skip(1).map(ZoneId::as_str).collect();
        return format!(
            "{}; {}, and the same for {}",
            fact(reason, Some(now)),
            by_hand(zone.as_str()),
            lists::some(&others, ", ")
        );
    }
    hold(reason, name, now)
}

/// Placeholder in commands for a hosted zone that is not known.
const ZONE: &str = "ZONE";

/// Returns one line that says why the cutover `name` does not move: the fact, and the remedy unless the hold passes by
/// itself.
pub fn hold(reason: &HoldReason, name: &CutoverName, now: Timestamp) -> String {
    line(reason, name, Some(now))
}

/// Returns the same line as [`hold`]. Without `now`, all times are absolute, for entries that are read long after.
pub(super) fn line(reason: &HoldReason, name: &CutoverName, now: Option<Timestamp>) -> String {
    with_remedy(reason, name, now, ZONE)
}

fn with_remedy(
    reason: &HoldReason,
    name: &CutoverName,
    now: Option<Timestamp>,
    zone: &str,
) -> String {
    let fact = fact(reason, now);
    match remedy(reason, name, zone) {
        Some(remedy) => format!("{fact}; {remedy}"),
        None => fact,
    }
}

/// Returns a hold as JSON: `kind`, the line of [`hold`] as `message`, and the reason's own fields.
///
/// A field of the reason that is itself called `message` (the reply of a service) is `detail` here.
pub fn because_json(reason: &HoldReason, name: &CutoverName, now: Timestamp) -> Value {
    because_json_in(&BTreeSet::new(), reason, name, now)
}

/// Returns the same as [`because_json`], with the hosted zones of the cutover in the commands. `zones` is empty if they
/// are not known.
pub fn because_json_in(
    zones: &BTreeSet<ZoneId>,
    reason: &HoldReason,
    name: &CutoverName,
    now: Timestamp,
) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("kind".to_owned(), Value::from(reason.kind()));
    let message = hold_in(zones, reason, name, now);
    object.insert("message".to_owned(), Value::from(message));
    if let Ok(Value::Object(fields)) = serde_json::to_value(reason) {
        for (key, value) in fields {
            match key.as_str() {
                "kind" => {}
                "message" => drop(object.insert("detail".to_owned(), value)),
                _ => drop(object.insert(key, value)),
            }
        }
    }
    Value::Object(object)
}

/// Returns the fact of a hold. If `now` is given, times are also shown as a distance from it.
#[expect(
    clippy::too_many_lines,
    reason = "a table: one entry a reason, none left out"
)]
pub(super) fn fact(reason: &HoldReason, now: Option<Timestamp>) -> String {
    match reason {
        HoldReason::JournalDamaged { entry, message } => format!(
            "entry {entry} of its journal cannot be used: {message}; its gates are not armed: no step is taken, and \
             nothing reverts automatically"
        ),
        HoldReason::RevertBlocked { message } => format!("the revert cannot finish: {message}"),
        HoldReason::Halted { reason } => halt_fact(reason),
        HoldReason::OthersHoldWeight { members } => strays(members),
        HoldReason::JobsBothOff { to, since } => format!(
            "THE JOBS RUN ON NEITHER SIDE since {}: the {to} side's are not on yet",
            time(*since, now)
        ),
        HoldReason::JobsDrift { jobs, both_on } if both_on.is_empty() => {
            format!("somebody else switched {}", lists::some(jobs, ", "))
        }
        HoldReason::JobsDrift { jobs, both_on } => format!(
            "somebody else switched {}; ON ON BOTH SIDES: {}",
            lists::some(jobs, ", "),
            lists::some(both_on, ", ")
        ),
        HoldReason::JobsStuck { job, side, message } => {
            format!("job {job} of the {side} side: {message}")
        }
        HoldReason::JobsUnread {
            job,
            side,
            message,
            since,
            ..
        } => format!(
            "the state of job {job} of the {side} side has been unknown since {}: {message}",
            time(*since, now)
        ),
        HoldReason::HookFailed {
            hook,
            tries,
            message,
        } => format!("{hook} failed {tries} times: {message}"),
        HoldReason::Denied {
            action,
            needed_for,
            message,
        } => format!("AWS denies {action}, which is needed {needed_for}: {message}"),
        HoldReason::Drift { groups, found, .. } => drifted::drift(groups, found),
        HoldReason::AlreadyAtBaseline {} => {
            "somebody else set the weights back to the baseline".to_owned()
        }
        HoldReason::AlarmRed {
            alarm,
            started: false,
        } => format!("not started: alarm {alarm} is red"),
        HoldReason::AlarmRed {
            alarm,
            started: true,
        } => format!("alarm {alarm} is red"),
        HoldReason::MeasureRed {
            gate,
            beyond,
            started,
        } => {
            let not_started = if *started { "" } else { "not started: " };
            format!(
                "{not_started}{} is {}",
                evidence::gate(gate),
                evidence::beyond(beyond)
            )
        }
        HoldReason::TrafficElsewhere {
            intended,
            observed,
            within,
            new_requests,
            old_requests,
        } => format!(
            "the traffic did not follow the weights: the new side had {observed} % of the requests of the last hour \
             ({} of {}); the weights say {intended}, and within {within} % of that is allowed",
            evidence::thousands(*new_requests),
            evidence::thousands(new_requests.saturating_add(*old_requests)),
        ),
        HoldReason::Climbing {
            gate,
            value,
            limit,
            unit,
            ..
        } if value >= limit => format!(
            "{} on the new side is at its limit: {} of {}",
            gate.name,
            evidence::number(*value, *unit),
            evidence::number(*limit, *unit),
        ),
        HoldReason::Climbing {
            gate,
            value,
            per_hour,
            limit,
            unit,
            reaches_at,
        } => format!(
            "{} on the new side keeps climbing: {} now, {} more each hour, {} at {}",
            gate.name,
            evidence::number(*value, *unit),
            evidence::number(*per_hour, *unit),
            evidence::number(*limit, *unit),
            time(*reaches_at, now),
        ),
        HoldReason::FallbackRed { alarm } => format!(
            "fallback alarm {alarm} is red: the old cluster may not be able to take the traffic back"
        ),
        HoldReason::FallbackUnknown { alarm, message } => {
            format!("fallback alarm {alarm} cannot be judged: {message}")
        }
        HoldReason::AlarmMissing {
            alarm,
            fallback,
            since,
        } => {
            let kind = if *fallback { "fallback alarm" } else { "alarm" };
            format!("{kind} {alarm} not found{}", since_text(*since, now))
        }
        HoldReason::NoData { alarm, since } => {
            format!(
                "{} has too little data to judge{}",
                evidence::gate(alarm),
                since_text(*since, now)
            )
        }
        HoldReason::Unknown {
            alarm,
            message,
            since,
        } => {
            format!(
                "{} cannot be judged{}: {message}",
                evidence::gate(alarm),
                since_text(*since, now)
            )
        }
        HoldReason::UnknownTooLong { alarm, since } => format!(
            "{} has not been judged since {}, longer than the plan's `unknown_for`",
            evidence::gate(alarm),
            time(*since, now)
        ),
        HoldReason::MeasureNear {
            gate,
            beyond,
            needed,
            every_mins,
        } => evidence::near(gate, beyond, *needed, *every_mins),
        HoldReason::TooFewRequests {
            gate,
            requests,
            needed: None,
            ..
        } => format!(
            "{} has too few requests to judge: {} of the new side",
            evidence::gate(gate),
            evidence::requests(*requests)
        ),
        HoldReason::TooFewRequests {
            gate,
            requests,
            needed: Some(needed),
            over_mins,
            judged_at,
        } => {
            let judged = match judged_at {
                Some(at) => format!(
                    "; at the present rate it can judge at about {}",
                    time(*at, now)
                ),
                None => String::new(),
            };
            format!(
                "{} of {} requests needed to judge {}{}{judged}",
                evidence::thousands(*requests),
                evidence::thousands(*needed),
                evidence::gate(gate),
                evidence::counted_over(gate, *over_mins),
            )
        }
        HoldReason::NeverCompared { gate, requests } => format!(
            "{} can no longer tell whether the new side is worse: by the weights the old side gets no requests, and only {} \
             of the new side were compared before",
            evidence::gate(gate),
            evidence::requests(*requests)
        ),
        HoldReason::Route53Unreadable { group, message } => {
            format!("Route 53 cannot be read for {group}: {message}")
        }
        HoldReason::Preflight { group, message } => match group {
            Some(group) => format!("start refused for {group}: {message}"),
            None => format!("start refused: {message}"),
        },
        HoldReason::NameUsed { path, phase, .. } => format!(
            "the plan file {path} is refused: a cutover of the same name is {}, and its plan is another",
            phase.label()
        ),
        HoldReason::Claimed { group, by } => {
            format!("{group} is already moved by the unfinished cutover {by}")
        }
        HoldReason::Clock { message } => format!("the clock cannot be trusted: {message}"),
        HoldReason::PlanChanged { path, records, .. } => format!(
            "the {} has changed; the plan in the journal stays in force, gates armed",
            if *records {
                format!("list of records in the plan file {path}")
            } else {
                format!("plan file {path}")
            }
        ),
        HoldReason::PlanUnreadable { path, message, .. } => format!(
            "the plan file {path} cannot be used: {message}; the plan in the journal stays in force, gates armed"
        ),
        HoldReason::JournalDown { message } => {
            format!("the journal cannot be written: {message}; reverts still go out")
        }
        HoldReason::BreakGlass { message } => {
            format!("not started: the break-glass files cannot be written: {message}")
        }
        HoldReason::FleetUnreadable { message } => {
            format!("the journal's @fleet stream is corrupt: {message}; reverts still go out")
        }
        HoldReason::BudgetSpent {
            spent,
            budget,
            since,
            reverted,
            one_cause,
        } => {
            let since = match since {
                Some(since) => format!("since {}", time(*since, now)),
                None => "since the fleet began".to_owned(),
            };
            let one_cause = if *one_cause {
                "; gates of several services failed within minutes: it looks like one cause"
            } else {
                ""
            };
            format!(
                "the failure budget is spent: {spent} of {budget} automatic reverts {since} ({}){one_cause}",
                fleet_words::names(reverted, *spent)
            )
        }
        HoldReason::SharedFate {
            services,
            named,
            since,
        } => format!(
            "gates of {services} services ({}) failed within 10m, the first at {}: it looks like one cause",
            fleet_words::names(named, *services),
            time(*since, now)
        ),
        HoldReason::Frozen { until, reason } => fleet_words::frozen(*until, reason, now),
        HoldReason::Dependency {
            on,
            phase,
            step,
            steps,
            damaged,
        } => {
            let stands = fleet_words::dependency(*phase, *step, *steps);
            if *damaged {
                format!("after {on}: its journal is damaged; as last known, {stands}")
            } else {
                format!("after {on}: {stands}")
            }
        }
        HoldReason::FleetFull { in_flight, max } => {
            format!("the fleet is full: {in_flight} of {max} in flight")
        }
        HoldReason::Paused { reason: None } => "paused".to_owned(),
        HoldReason::Paused {
            reason: Some(reason),
        } => format!("paused: {}", text::reason(reason)),
        HoldReason::Approval { step } => format!("waiting for approval of step {step}"),
        HoldReason::ApprovalOverdue { step, since } => format!(
            "step {step} has waited for approval since {}, longer than the plan's `timeout`",
            time(*since, now)
        ),
        HoldReason::WindowShut {
            step,
            opens_at,
            time_zone,
            whole_bake,
        } => window(*step, *opens_at, time_zone, *whole_bake, now),
        HoldReason::JobsUnseen {} => "the jobs have not been read yet".to_owned(),
        HoldReason::JobsFiring { until, .. } => format!(
            "jobs fire about now; they are not switched until {}",
            time(*until, now)
        ),
        HoldReason::JobsRunning {
            side,
            running,
            jobs,
            since,
            overdue,
        } => {
            let longer = if *overdue {
                ", longer than the plan's `drain`"
            } else {
                ""
            };
            format!(
                "{} of the {side} side still running, waited for since {}{longer}",
                errands::still_running(*running, jobs),
                time(*since, now)
            )
        }
        HoldReason::JobsMoving {
            to,
            off_since: None,
        } => format!("jobs are moving to the {to} side"),
        HoldReason::JobsMoving {
            to,
            off_since: Some(since),
        } => format!(
            "jobs are moving to the {to} side, on neither side since {}",
            time(*since, now)
        ),
        HoldReason::HookRunning { hook } => format!("{hook} is being called"),
        HoldReason::CallsWait {} => "jobs or hooks are due, and the last controller calls none: it was told so (`--no-commands`), or \
             its journal was down; the next one that may calls them"
            .to_owned(),
        HoldReason::Shifting {
            step,
            message: Some(failure),
        } => format!("writing the weights of step {step}; last failure: {failure}"),
        HoldReason::Shifting {
            step,
            message: None,
        } => format!("writing the weights of step {step} and reading them back"),
        HoldReason::InSyncLate { change_id, zone } => format!(
            "change {change_id} in zone {zone} is not on all of Route 53's servers after 10m"
        ),
        HoldReason::Settling {
            step,
            until: Some(until),
        } => format!(
            "settling step {step} until {}, so that resolvers see it",
            time(*until, now)
        ),
        HoldReason::Settling { step, until: None } => {
            format!("settling step {step}: Route 53 is still distributing the change")
        }
        HoldReason::Baking {
            step,
            until,
            counted_secs,
        } => {
            let counted = text::duration(SignedDuration::from_secs(*counted_secs));
            match until {
                Some(until) => format!(
                    "baking step {step} until {}, {counted} counted",
                    time(*until, now)
                ),
                None => format!("baking step {step}: {counted} counted, the bake clock is stopped"),
            }
        }
        HoldReason::Reverting { back, groups } => format!(
            "reverting: {back} of {} back at the baseline",
            text::count(*groups, "group")
        ),
        HoldReason::Reverted {
            cause: None, at, ..
        } => format!("cancelled before the first write, {}", time(*at, now)),
        HoldReason::Reverted {
            cause: Some(why),
            share,
            at,
            ..
        } => format!(
            "reverted from {} on the new side, {}: {}",
            text::share(*share),
            time(*at, now),
            cause(why)
        ),
    }
}

/// Returns the remedy of a hold; `None` if the hold passes by itself. `zone` is the hosted zone of the cutover's
/// records.
#[expect(
    clippy::too_many_lines,
    reason = "a table: one entry a reason, none left out"
)]
fn remedy(reason: &HoldReason, name: &CutoverName, zone: &str) -> Option<String> {
    let remedy = match reason {
        HoldReason::JournalDamaged { .. } => format!(
            "if a newer cutover wrote it, run that version; to send the traffic back: `cutover rollback {name}`; until \
             then only `rollback`, `status` and `history` work for {name}"
        ),
        HoldReason::RevertBlocked { .. } => by_hand(zone),
        HoldReason::Halted { reason } => halt_remedy(reason, name, zone),
        HoldReason::OthersHoldWeight { .. } => format!(
            "set their weights to 0 in Route 53, or delete them; then `cutover rollback {name}` reads the records again"
        ),
        HoldReason::JobsBothOff { to, .. } => format!(
            "retrying; to do it by hand: make sure that every job of the {} side is off, then switch the {to} side's on",
            to.other()
        ),
        HoldReason::JobsDrift { .. } => {
            "the controller does not overwrite it; switch them back by hand, and find out what else switches them (CI, \
             GitOps)"
                .to_owned()
        }
        HoldReason::JobsStuck { .. } => "fix it; it is checked again automatically".to_owned(),
        HoldReason::JobsUnread { .. } => {
            "fix the state check; it is retried, and no step is taken until it works".to_owned()
        }
        HoldReason::HookFailed { .. } => format!(
            "fix the hook (retried every 5 min; at once: `cutover retry {name}`), or remove it: `cutover amend PATH`, or \
             send the traffic back: `cutover rollback {name}`"
        ),
        HoldReason::Denied { action, .. } => format!(
            "allow these credentials to call `{action}`, or renew them if they are no longer valid; the call is retried \
             automatically"
        ),
        HoldReason::Drift {
            found, adoption, ..
        } => drifted::remedy(found, *adoption, name.as_str(), zone),
        HoldReason::AlreadyAtBaseline {} => format!(
            "the controller does not overwrite them; to end the cutover: `cutover rollback {name}`"
        ),
        HoldReason::AlarmRed {
            alarm,
            started: false,
        } => format!(
            "wait for green, or start anyway: `cutover ignore-alarm {name} {} --reason …`",
            quoted(&alarm.to_string())
        ),
        HoldReason::MeasureRed { started: false, .. } => {
            "wait for it to recover, or change the plan".to_owned()
        }
        HoldReason::TrafficElsewhere { .. } => {
            "find out who still calls the old side (caches, long connections, pinned addresses), or widen `share_within` \
             if a few callers make the share coarse"
                .to_owned()
        }
        HoldReason::Climbing { .. } => {
            "look for a leak; the step is taken when it stops, or raise `limit` if this growth is expected".to_owned()
        }
        HoldReason::FallbackRed { .. } => {
            format!("fix the old cluster first; you can still roll back: `cutover rollback {name}`")
        }
        HoldReason::AlarmMissing { .. } => {
            "create the alarm, or name another one and run `cutover amend PATH`".to_owned()
        }
        HoldReason::UnknownTooLong { .. } => format!(
            "find out in CloudWatch why it has no state; to send the traffic back: `cutover rollback {name}`"
        ),
        HoldReason::NeverCompared { .. } => format!(
            "too little shared traffic to compare: remove `regression` and run `cutover amend PATH`, or roll back: `cutover \
             rollback {name}`"
        ),
        // If a certificate is not trusted, the message has its own remedy, and the credentials are not at fault.
        HoldReason::Route53Unreadable { message, .. } if message.contains("AWS_CA_BUNDLE") => {
            "then try again".to_owned()
        }
        HoldReason::Route53Unreadable { .. } => {
            "check the network and its proxy, the credentials, and Route 53's health".to_owned()
        }
        HoldReason::NameUsed {
            phase: Phase::Reverted,
            unresolved,
            ..
        } => format!("{}, which takes this file", try_again(*unresolved, name)),
        HoldReason::NameUsed { .. } => "give the new cutover another `name`".to_owned(),
        HoldReason::Claimed { by, .. } => {
            format!("it starts when that one has ended: `cutover status {by}`")
        }
        HoldReason::Clock { .. } => "correct this machine's clock; reverts still go out".to_owned(),
        HoldReason::PlanChanged { records: true, .. } => format!(
            "a cutover keeps its records: restore the old list; or end this one (`cutover rollback {name}`), and give the \
             file another `name`, so that a new cutover starts with the new records"
        ),
        HoldReason::PlanChanged {
            refused: Some(refused),
            ..
        } => format!("restore the old file; `amend` refuses this one: {refused}"),
        HoldReason::PlanChanged { path, .. } => format!(
            "use the new plan: `cutover amend {}`, or restore the old file",
            quoted(path)
        ),
        HoldReason::PlanUnreadable { gone: true, .. } => "restore the file".to_owned(),
        HoldReason::PlanUnreadable { path, .. } => {
            format!("see what is wrong: `cutover check {}`", quoted(path))
        }
        HoldReason::JournalDown { .. } | HoldReason::BreakGlass { .. } => {
            "check the disk and its permissions".to_owned()
        }
        HoldReason::FleetUnreadable { .. } => {
            "please report it, with the output of `cutover history @fleet`".to_owned()
        }
        HoldReason::BudgetSpent { .. } => {
            "find out why they reverted, then: `cutover resume --fleet --reason …`".to_owned()
        }
        HoldReason::SharedFate { .. } => "check what they share before you check each".to_owned(),
        HoldReason::Frozen { .. } => "go on: `cutover unfreeze`".to_owned(),
        HoldReason::Dependency {
            on, damaged: true, ..
        }
        | HoldReason::Dependency {
            on,
            phase: Some(Phase::Halted),
            ..
        } => format!("see why: `cutover status {on}`"),
        HoldReason::Dependency { phase: None, .. } => {
            "start it too, or remove it from `after`".to_owned()
        }
        HoldReason::Dependency {
            on,
            phase: Some(Phase::Reverted),
            ..
        } => format!("try it again: `cutover retry {on}`"),
        HoldReason::Dependency {
            phase: Some(Phase::Abandoned),
            ..
        } => "it will not complete: remove it from `after`, or name another cutover there".to_owned(),
        HoldReason::Paused { .. } => format!("go on: `cutover resume {name}`"),
        HoldReason::Approval { step } | HoldReason::ApprovalOverdue { step, .. } => {
            format!("approve: `cutover approve {name} --step {step} --reason …`")
        }
        HoldReason::WindowShut { opens_at: None, .. } => {
            "change `windows` in the plan, then: `cutover amend PATH`".to_owned()
        }
        HoldReason::JobsRunning { overdue: true, .. } => {
            "stop what still runs, or wait: the other side is not switched on before".to_owned()
        }
        HoldReason::InSyncLate { .. } => {
            "check Route 53's health; the controller keeps waiting".to_owned()
        }
        HoldReason::Reverted { unresolved, .. } => try_again(*unresolved, name),
        HoldReason::AlarmRed { started: true, .. }
        | HoldReason::MeasureRed { started: true, .. }
        | HoldReason::FallbackUnknown { .. }
        | HoldReason::NoData { .. }
        | HoldReason::Unknown { .. }
        | HoldReason::MeasureNear { .. }
        | HoldReason::TooFewRequests { .. }
        | HoldReason::Preflight { .. }
        | HoldReason::Dependency {
            phase:
                Some(
                    Phase::Waiting
                    | Phase::Shifting
                    | Phase::Settling
                    | Phase::Baking
                    | Phase::Completed
                    | Phase::Reverting,
                ),
            ..
        }
        | HoldReason::FleetFull { .. }
        | HoldReason::WindowShut {
            opens_at: Some(_), ..
        }
        | HoldReason::JobsUnseen {}
        | HoldReason::JobsFiring { .. }
        | HoldReason::JobsRunning { overdue: false, .. }
        | HoldReason::JobsMoving { .. }
        | HoldReason::HookRunning { .. }
        | HoldReason::CallsWait {}
        | HoldReason::Shifting { .. }
        | HoldReason::Settling { .. }
        | HoldReason::Baking { .. }
        | HoldReason::Reverting { .. } => return None,
    };
    Some(remedy)
}

/// Returns the command that applies the break-glass files of a zone by hand, for when this program does not work
/// (semantics E3).
fn by_hand(zone: &str) -> String {
    format!(
        "retrying; to do it by hand: `aws route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch \
         file://{zone}-01.json` for each file in the break-glass directory"
    )
}

/// Returns how to try a reverted cutover again. `unresolved` is true while one of its writes may still land.
fn try_again(unresolved: bool, name: &CutoverName) -> String {
    if unresolved {
        return format!(
            "the controller is still looking for one of its writes; in some minutes try it again: `cutover retry {name}`"
        );
    }
    format!("when the cause is fixed, try it again: `cutover retry {name}`")
}

/// Describes a step whose window is shut.
fn window(
    step: u16,
    opens_at: Option<Timestamp>,
    zone: &Zone,
    whole_bake: bool,
    now: Option<Timestamp>,
) -> String {
    let whole = if whole_bake {
        " for its whole bake"
    } else {
        ""
    };
    let Some(at) = opens_at else {
        return format!("the window never opens again for step {step}{whole}");
    };
    let far = now.map_or_else(String::new, |now| format!(" ({})", text::relative(at, now)));
    let opens = text::local(at, zone.rules());
    format!("window opens {opens}{far}{whole}, for step {step}")
}

/// Describes the records that hold weight although the baseline did not have them, with their share and target.
pub fn strays(members: &[Stray]) -> String {
    let named: Vec<String> = members
        .iter()
        .map(|member| {
            format!(
                "{}: `{}` has weight {} of {} ({}) and points to {}",
                member.group,
                member.set_identifier,
                member.weight.0,
                member.of,
                text::share(member.share()),
                member.target
            )
        })
        .collect();
    format!(
        "the weights are back, but records that the baseline did not have still get traffic: {}",
        lists::some(&named, "; ")
    )
}

/// Returns why a cutover is halted.
pub(super) fn halt_fact(reason: &HaltReason) -> String {
    match reason {
        HaltReason::BothRed { gate, fallback } if gate == fallback => format!(
            "halted: {} is beyond its bound on both sides, so a revert would not help",
            evidence::gate(gate)
        ),
        HaltReason::BothRed { gate, fallback } => format!(
            "halted: {} and fallback alarm {fallback} are both red, so neither cluster is known to be good",
            evidence::gate(gate)
        ),
        HaltReason::Drift { groups, found } => {
            let over = if found.iter().all(Astray::yields_to_force) {
                "and a revert would overwrite that"
            } else {
                "and a revert cannot be written beside that"
            };
            format!("halted: {}, {over}", drifted::drift(groups, found))
        }
        HaltReason::StepFailed { message, .. } => {
            format!("halted: a step failed ({message}) and a red fallback alarm forbids a revert")
        }
        HaltReason::Invariant { message } => {
            format!("halted: an invariant of this program does not hold ({message})")
        }
    }
}

/// Returns what a person can do about a halt.
fn halt_remedy(reason: &HaltReason, name: &CutoverName, zone: &str) -> String {
    match reason {
        HaltReason::BothRed { .. } => {
            format!("to send the traffic back anyway: `cutover rollback {name}`")
        }
        HaltReason::Drift { found, .. } => format!(
            "check the change, then {}",
            drifted::back_or_leave(found, name.as_str(), zone)
        ),
        HaltReason::StepFailed {
            verified: false, ..
        } => format!("to undo what was written: `cutover rollback {name}`"),
        HaltReason::StepFailed { verified: true, .. } => format!(
            "roll back: `cutover rollback {name}`, or go on when the cause is fixed: `cutover retry {name}`"
        ),
        HaltReason::Invariant { .. } => format!(
            "gates stay armed; roll back: `cutover rollback {name}`, and please report it, with the output of `cutover \
             history {name}`"
        ),
    }
}

/// Returns one line that says why the traffic goes back.
pub fn cause(cause: &RevertCause) -> String {
    match cause {
        RevertCause::AlarmRed { alarm } => format!("alarm {alarm} is red"),
        RevertCause::AlarmFlapped { alarm, at } => format!(
            "alarm {alarm} was red between two readings, at {}",
            text::second(*at)
        ),
        RevertCause::UnknownTooLong { alarm, since } => format!(
            "{} had not been judged since {}, and the plan says to revert then",
            evidence::gate(alarm),
            text::second(*since)
        ),
        RevertCause::MeasureBeyond { gate, beyond } => {
            format!("{} is {}", evidence::gate(gate), evidence::beyond(beyond))
        }
        RevertCause::Worse { judgement, .. } => {
            format!("the new side is worse than the old one: {judgement}")
        }
        RevertCause::StepFailed { message } => format!("the step failed: {message}"),
        RevertCause::ApprovalTimeout { step, since } => format!(
            "nobody approved step {step}, which waited since {}, and the plan says to revert then",
            text::second(*since)
        ),
        RevertCause::HookFailed { hook, message } => {
            format!("{hook} failed ({message}), and the plan says to revert then")
        }
        RevertCause::Operator { actor, reason } => match reason {
            Some(reason) => format!("{actor} asked for it: {}", text::reason(reason)),
            None => format!("{actor} asked for it"),
        },
        RevertCause::LateWrite {} => {
            "one of our writes landed after the revert had ended".to_owned()
        }
    }
}

/// Returns true if nothing is wrong: the hold is the cutover's own pace, and no write has failed.
pub(super) fn is_usual(reason: &HoldReason) -> bool {
    if let HoldReason::Shifting { message, .. } = reason {
        return message.is_none();
    }
    reason.is_usual()
}

/// Returns the fact of a hold with absolute times and without its remedy, for entries that are read long after.
pub(super) fn short(reason: &HoldReason) -> String {
    fact(reason, None)
}

/// Returns ` since TIME (…)`; empty if `since` is `None`.
fn since_text(since: Option<Timestamp>, now: Option<Timestamp>) -> String {
    since.map_or_else(String::new, |since| format!(" since {}", time(since, now)))
}

/// Returns a time to the minute, with its distance from `now` if that is given.
pub(super) fn time(at: Timestamp, now: Option<Timestamp>) -> String {
    now.map_or_else(|| text::minute(at), |now| text::when(at, now))
}

/// Returns a word, in quotes for a POSIX shell if it needs them.
fn quoted(word: &str) -> String {
    if !word.is_empty() && word.chars().all(needs_no_quotes) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn needs_no_quotes(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || "-_./:@%+=,".contains(sign)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::json;

    use super::*;
    use crate::engine::record::GroupName;
    use crate::engine::units::{AlarmId, ChangeId, DnsName};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn alarm() -> AlarmId {
        AlarmId {
            region: None,
            name: "recipe-api-5xx-rate".to_owned(),
        }
    }

    fn fallback() -> AlarmId {
        AlarmId {
            region: Some("us-east-1".to_owned()),
            name: "old-unhealthy".to_owned(),
        }
    }

    fn group() -> GroupName {
        GroupName {
            name: DnsName::new("api.example.com"),
            record_type: "A".to_owned(),
        }
    }

    fn window_shut(opens_at: Option<Timestamp>, whole_bake: bool) -> HoldReason {
        HoldReason::WindowShut {
            step: 2,
            opens_at,
            time_zone: "Asia/Tokyo".parse().unwrap(),
            whole_bake,
        }
    }

    fn halts() -> Vec<HoldReason> {
        let message = "AccessDenied".to_owned();
        let reasons = [
            HaltReason::BothRed {
                gate: alarm().into(),
                fallback: fallback().into(),
            },
            HaltReason::Drift {
                groups: vec![group()],
                found: Vec::new(),
            },
            HaltReason::StepFailed {
                message: message.clone(),
                verified: false,
            },
            HaltReason::Invariant { message },
        ];
        reasons.map(|reason| HoldReason::Halted { reason }).to_vec()
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry a reason, none left out"
    )]
    fn holds() -> Vec<HoldReason> {
        let since = Some(at("2026-11-21T02:30:00Z"));
        let until = Some(at("2026-11-21T05:14:00Z"));
        let message = "connection refused".to_owned();
        let path = "/plans/recipe api.yaml".to_owned();
        let mut all = halts();
        all.extend([
            HoldReason::JournalDamaged {
                entry: 19,
                message: "a newer cutover wrote it: this one does not know `teleported`".to_owned(),
            },
            HoldReason::RevertBlocked {
                message: message.clone(),
            },
            HoldReason::Drift {
                groups: vec![group()],
                found: Vec::new(),
                adoption: crate::engine::drifted::Adoption::Refused,
            },
            HoldReason::AlreadyAtBaseline {},
            HoldReason::AlarmRed {
                alarm: alarm().into(),
                started: false,
            },
            HoldReason::FallbackRed { alarm: fallback() },
            HoldReason::FallbackUnknown {
                alarm: fallback(),
                message: message.clone(),
            },
            HoldReason::AlarmMissing {
                alarm: alarm().into(),
                fallback: false,
                since,
            },
            HoldReason::NoData {
                alarm: alarm().into(),
                since,
            },
            HoldReason::Unknown {
                alarm: alarm().into(),
                message: message.clone(),
                since: None,
            },
            HoldReason::UnknownTooLong {
                alarm: alarm().into(),
                since: at("2026-11-21T02:30:00Z"),
            },
            HoldReason::Route53Unreadable {
                group: group(),
                message: message.clone(),
            },
            HoldReason::Preflight {
                group: Some(group()),
                message: "TTLs differ".to_owned(),
            },
            HoldReason::Claimed {
                group: group(),
                by: CutoverName::from("other"),
            },
            HoldReason::Clock {
                message: "90s apart".to_owned(),
            },
            HoldReason::PlanChanged {
                path: path.clone(),
                records: false,
                refused: None,
            },
            HoldReason::PlanChanged {
                path: path.clone(),
                records: true,
                refused: None,
            },
            HoldReason::PlanUnreadable {
                path: path.clone(),
                message: message.clone(),
                gone: false,
            },
            HoldReason::JournalDown {
                message: message.clone(),
            },
            HoldReason::BreakGlass {
                message: message.clone(),
            },
            HoldReason::Paused {
                reason: Some("incident 42".to_owned()),
            },
            HoldReason::Approval { step: 4 },
            HoldReason::ApprovalOverdue {
                step: 4,
                since: at("2026-11-19T02:30:00Z"),
            },
            window_shut(Some(at("2026-12-07T01:00:00Z")), false),
            window_shut(None, true),
            HoldReason::Shifting {
                step: 2,
                message: None,
            },
            HoldReason::InSyncLate {
                change_id: ChangeId::from("C1"),
                zone: ZoneId::from("Z1"),
            },
            HoldReason::Settling { step: 2, until },
            HoldReason::Baking {
                step: 2,
                until,
                counted_secs: 6_300,
            },
            HoldReason::Baking {
                step: 2,
                until: None,
                counted_secs: 6_300,
            },
            HoldReason::Reverting { back: 1, groups: 3 },
        ]);
        all
    }

    #[test]
    fn every_hold_says_what_is_the_case_and_what_to_do() {
        let (name, now) = (CutoverName::from("recipe-api"), at("2026-11-21T03:00:00Z"));
        let mut shown = String::new();
        for reason in holds() {
            let line = hold(&reason, &name, now);
            assert!(!line.contains('\n'), "one line: {line}");
            writeln!(shown, "{line}").unwrap();
        }
        insta::assert_snapshot!("holds", shown);
    }

    #[test]
    fn json_has_kind_message_and_the_fields_of_the_reason() {
        let (name, now) = (CutoverName::from("recipe-api"), at("2026-11-21T03:00:00Z"));
        let reason = HoldReason::Unknown {
            alarm: alarm().into(),
            message: "throttled".to_owned(),
            since: None,
        };
        let expected = json!({
            "kind": "unknown",
            "message": "alarm recipe-api-5xx-rate cannot be judged: throttled",
            "alarm": {"name": "recipe-api-5xx-rate"},
            "detail": "throttled",
            "since": null,
        });
        assert_eq!(because_json(&reason, &name, now), expected);
    }
}
