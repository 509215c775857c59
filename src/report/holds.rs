//! Why nothing moves, why it stopped, why it went back: one line each, for a person at three in the morning.
//!
//! A line says what is the case, with numbers and times, and then what to do about it, as a command that can be pasted.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{drifted, errands, evidence, fleet, text};
use crate::engine::hold::HoldReason;
use crate::engine::lists;
use crate::engine::state::Phase;
use crate::engine::units::{CutoverName, ZoneId};
use crate::engine::window::Zone;

mod ended;
mod stopped;

pub use ended::strays;
use ended::{reverted, try_again};
pub(super) use stopped::halt_fact;
use stopped::halt_remedy;
pub use stopped::{cause, halt};

/// What applies the break-glass files of a zone when nothing of ours works (semantics E3).
fn by_hand(zone: &str) -> String {
    format!(
        "it is tried without end; by hand: `aws route53 change-resource-record-sets --hosted-zone-id {zone} \
         --change-batch file://{zone}-01.json` for each file in the break-glass directory"
    )
}

/// As [`hold`], where it is known which hosted zones it is about.
pub fn hold_in(
    zones: &BTreeSet<ZoneId>,
    reason: &HoldReason,
    name: &CutoverName,
    now: Timestamp,
) -> String {
    match (reason, zones.first()) {
        (HoldReason::RevertBlocked { .. }, Some(zone)) => {
            let fact = fact(reason, Some(now));
            let others = zones.iter().skip(1).map(ZoneId::as_str);
            let others: Vec<&str> = others.collect();
            let more = if others.is_empty() {
                String::new()
            } else {
                format!(", and so for {}", lists::some(&others, ", "))
            };
            format!("{fact}; {}{more}", by_hand(zone.as_str()))
        }
        (_, Some(zone)) if zones.len() == 1 => with_remedy(reason, name, now, zone.as_str()),
        _ => hold(reason, name, now),
    }
}

/// What stands for a hosted zone that is not known here.
const ZONE: &str = "ZONE";

/// Why the cutover `name` does not move, in one line: the fact, and what to do about it where anything is to be done.
pub fn hold(reason: &HoldReason, name: &CutoverName, now: Timestamp) -> String {
    with_remedy(reason, name, now, ZONE)
}

fn with_remedy(reason: &HoldReason, name: &CutoverName, now: Timestamp, zone: &str) -> String {
    let fact = fact(reason, Some(now));
    match remedy_in(reason, name, zone) {
        Some(remedy) => format!("{fact}; {remedy}"),
        None => fact,
    }
}

/// A hold as JSON has it: `kind`, the line of [`hold`] as `message`, and the reason's own fields.
///
/// A field of the reason that is itself called `message` (what a service said) is `detail` here.
pub fn because_json(reason: &HoldReason, name: &CutoverName, now: Timestamp) -> Value {
    because_json_in(&BTreeSet::new(), reason, name, now)
}

/// As [`because_json`], where it is known which hosted zones it is about.
pub fn because_json_in(
    zones: &BTreeSet<ZoneId>,
    reason: &HoldReason,
    name: &CutoverName,
    now: Timestamp,
) -> Value {
    let mut object = serde_json::Map::new();
    let fields = serde_json::to_value(reason).unwrap_or(Value::Null);
    object.insert("kind".to_owned(), fields["kind"].clone());
    let message = hold_in(zones, reason, name, now);
    object.insert("message".to_owned(), Value::from(message));
    if let Value::Object(fields) = fields {
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

/// What is the case; times are relative too where `now` is given.
#[expect(
    clippy::too_many_lines,
    reason = "a table: one entry a reason, none left out"
)]
pub(super) fn fact(reason: &HoldReason, now: Option<Timestamp>) -> String {
    match reason {
        HoldReason::JournalDamaged { entry, message } => format!(
            "entry {entry} of its journal cannot be used: {message}; its gates are not armed: it is neither stepped nor \
             taken back by itself"
        ),
        HoldReason::RevertBlocked { message } => format!("the revert cannot finish: {message}"),
        HoldReason::Halted { reason } => halt_fact(reason),
        HoldReason::Denied {
            action,
            needed_for,
            message,
        } => format!("AWS denies {action}, which is needed {needed_for}: {message}"),
        HoldReason::OthersHoldWeight { members } => strays(members),
        HoldReason::Drift { groups, found, .. } => {
            format!("somebody else changed {}", drifted::changed(groups, found))
        }
        HoldReason::AlreadyAtBaseline {} => {
            "somebody put the weights back to the baseline".to_owned()
        }
        HoldReason::AlarmRed {
            alarm,
            started: false,
        } => format!("not started: alarm {alarm} is red"),
        HoldReason::AlarmRed {
            alarm,
            started: true,
        } => format!("alarm {alarm} is red"),
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
            "{} could not be judged since {}, longer than the plan's `unknown_for`",
            evidence::gate(alarm),
            time(*since, now)
        ),
        HoldReason::Route53Unreadable { group, message } => {
            format!("Route 53 cannot be read for {group}: {message}")
        }
        HoldReason::Preflight { group, message } => match group {
            Some(group) => format!("start refused for {group}: {message}"),
            None => format!("start refused: {message}"),
        },
        HoldReason::NameUsed { path, phase, .. } => format!(
            "the plan file {path} is refused: its name is that of a cutover that is {}, and it is another plan",
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
        HoldReason::MeasureRed { .. }
        | HoldReason::TrafficElsewhere { .. }
        | HoldReason::Climbing { .. }
        | HoldReason::NeverCompared { .. }
        | HoldReason::MeasureNear { .. }
        | HoldReason::TooFewRequests { .. } => evidence::fact(reason, now).unwrap_or_default(),
        HoldReason::FleetUnreadable { .. }
        | HoldReason::BudgetSpent { .. }
        | HoldReason::SharedFate { .. }
        | HoldReason::Frozen { .. }
        | HoldReason::Dependency { .. }
        | HoldReason::FleetFull { .. } => fleet::fact(reason, now),
        HoldReason::JobsBothOff { .. }
        | HoldReason::JobsDrift { .. }
        | HoldReason::JobsStuck { .. }
        | HoldReason::JobsUnread { .. }
        | HoldReason::HookFailed { .. }
        | HoldReason::JobsUnseen {}
        | HoldReason::JobsFiring { .. }
        | HoldReason::JobsRunning { .. }
        | HoldReason::JobsMoving { .. }
        | HoldReason::HookRunning { .. } => errands::fact(reason, now),
        HoldReason::Paused { reason: None } => "paused".to_owned(),
        HoldReason::Paused {
            reason: Some(reason),
        } => format!("paused: {}", text::reason(reason)),
        HoldReason::Approval { step } => format!("waiting for approval of step {step}"),
        HoldReason::ApprovalOverdue { step, since } => format!(
            "step {step} waits for its approval since {}, longer than the plan's `timeout`",
            time(*since, now)
        ),
        HoldReason::WindowShut {
            step,
            opens_at,
            time_zone,
            whole_bake,
        } => window(*step, *opens_at, time_zone, *whole_bake, now),
        HoldReason::Shifting { step, message } => shifting(*step, message.as_deref()),
        HoldReason::InSyncLate { change_id, zone } => format!(
            "change {change_id} in zone {zone} is not on all of Route 53's servers after 10m"
        ),
        HoldReason::Settling { step, until } => settling(*step, *until, now),
        HoldReason::Baking {
            step,
            until,
            counted_secs,
        } => baking(*step, *until, *counted_secs, now),
        HoldReason::Reverting { back, groups } => format!(
            "taking the traffic back: {back} of {} back",
            text::count(*groups, "group")
        ),
        HoldReason::Reverted {
            cause, share, at, ..
        } => reverted(cause.as_deref(), *share, *at, now),
    }
}

/// A step that is being written.
fn shifting(step: u16, failure: Option<&str>) -> String {
    match failure {
        Some(failure) => format!("writing the weights of step {step}; last failure: {failure}"),
        None => format!("writing the weights of step {step} and reading them back"),
    }
}

/// A step that is not taken at this time of the day, the week or the year.
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

/// A step that resolvers are given time to see.
fn settling(step: u16, until: Option<Timestamp>, now: Option<Timestamp>) -> String {
    match until {
        Some(until) => format!(
            "settling step {step} until {}, so that resolvers see it",
            time(until, now)
        ),
        None => format!("settling step {step}: Route 53 is still distributing the change"),
    }
}

/// A step that is watched.
fn baking(
    step: u16,
    until: Option<Timestamp>,
    counted_secs: i64,
    now: Option<Timestamp>,
) -> String {
    let counted = text::duration(SignedDuration::from_secs(counted_secs));
    match until {
        Some(until) => format!(
            "baking step {step} until {}, {counted} counted",
            time(until, now)
        ),
        None => format!("baking step {step}: the bake clock stands at {counted}"),
    }
}

/// What to do about it; none where it passes by itself.
pub(super) fn remedy(reason: &HoldReason, name: &CutoverName) -> Option<String> {
    remedy_in(reason, name, ZONE)
}

/// As [`remedy`], of a cutover whose records are in this hosted zone.
#[expect(
    clippy::too_many_lines,
    reason = "a table: one entry a reason, none left out"
)]
fn remedy_in(reason: &HoldReason, name: &CutoverName, zone: &str) -> Option<String> {
    let remedy = match reason {
        HoldReason::JournalDamaged { .. } => format!(
            "if a newer cutover wrote it, run that version; to send the traffic back: `cutover rollback {name}`; until \
             then only `rollback`, `status` and `history` work for {name}"
        ),
        HoldReason::RevertBlocked { .. } => by_hand(zone),
        HoldReason::Denied { action, .. } => format!(
            "let these credentials call `{action}`, or renew them if they are no longer valid; it is asked again by itself"
        ),
        HoldReason::OthersHoldWeight { .. } => format!(
            "set their weights to 0 in Route 53, or delete them; then `cutover rollback {name}` reads the records again"
        ),
        HoldReason::Drift {
            found, adoption, ..
        } => drifted::remedy(found, *adoption, name.as_str(), zone),
        HoldReason::AlreadyAtBaseline {} => {
            format!("nothing is written over them; end it: `cutover rollback {name}`")
        }
        HoldReason::AlarmRed {
            alarm,
            started: false,
        } => format!(
            "wait for green, or start all the same: `cutover ignore-alarm {name} {} --reason …`",
            quoted(&alarm.to_string())
        ),
        HoldReason::FallbackRed { .. } => format!(
            "mend the old cluster first; a rollback is yours to decide: `cutover rollback {name}`"
        ),
        HoldReason::AlarmMissing { .. } => {
            "create it, or name another in the plan; under way, `cutover amend PATH` takes the plan"
                .to_owned()
        }
        HoldReason::UnknownTooLong { .. } => format!(
            "see why CloudWatch cannot tell; take the traffic back: `cutover rollback {name}`"
        ),
        // A certificate that is not trusted has its own remedy in the message, and no fault of credentials.
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
        HoldReason::Reverted { unresolved, .. } => try_again(*unresolved, name),
        HoldReason::Claimed { by, .. } => {
            format!("it starts when that one has ended: `cutover status {by}`")
        }
        HoldReason::Clock { .. } => {
            "set this machine's clock right; reverts still go out".to_owned()
        }
        HoldReason::PlanChanged { records: true, .. } => format!(
            "a cutover keeps its records: put the old ones back; or end this one (`cutover rollback {name}`), and give \
             the file another `name`, so that a cutover of its own begins with the new ones"
        ),
        HoldReason::PlanChanged {
            refused: Some(refused),
            ..
        } => format!("put the old one back; `amend` does not take this one: {refused}"),
        HoldReason::PlanChanged { path, .. } => format!(
            "take the new one: `cutover amend {}`, or put the old one back",
            quoted(path)
        ),
        HoldReason::PlanUnreadable { gone: true, .. } => "put the file back".to_owned(),
        HoldReason::PlanUnreadable { path, .. } => {
            format!("see what is wrong: `cutover check {}`", quoted(path))
        }
        HoldReason::JournalDown { .. } | HoldReason::BreakGlass { .. } => {
            "check the disk and its permissions".to_owned()
        }
        HoldReason::Paused { .. } => format!("go on: `cutover resume {name}`"),
        HoldReason::WindowShut { opens_at: None, .. } => {
            "change `windows` in the plan, and take it: `cutover amend PATH`".to_owned()
        }
        HoldReason::Approval { step } | HoldReason::ApprovalOverdue { step, .. } => {
            format!("approve: `cutover approve {name} --step {step} --reason …`")
        }
        HoldReason::InSyncLate { .. } => "see Route 53's health; it goes on waiting".to_owned(),
        HoldReason::Halted { reason } => halt_remedy(reason, name, zone),
        HoldReason::FleetUnreadable { .. }
        | HoldReason::BudgetSpent { .. }
        | HoldReason::SharedFate { .. }
        | HoldReason::Frozen { .. }
        | HoldReason::Dependency { .. }
        | HoldReason::FleetFull { .. } => return fleet::remedy(reason),
        HoldReason::JobsBothOff { .. }
        | HoldReason::JobsDrift { .. }
        | HoldReason::JobsStuck { .. }
        | HoldReason::JobsUnread { .. }
        | HoldReason::HookFailed { .. }
        | HoldReason::JobsUnseen {}
        | HoldReason::JobsFiring { .. }
        | HoldReason::JobsRunning { .. }
        | HoldReason::JobsMoving { .. }
        | HoldReason::HookRunning { .. } => return errands::remedy(reason, name.as_str()),
        HoldReason::MeasureRed { .. }
        | HoldReason::TrafficElsewhere { .. }
        | HoldReason::Climbing { .. }
        | HoldReason::NeverCompared { .. }
        | HoldReason::MeasureNear { .. }
        | HoldReason::TooFewRequests { .. } => return evidence::remedy(reason),
        HoldReason::AlarmRed { started: true, .. }
        | HoldReason::FallbackUnknown { .. }
        | HoldReason::NoData { .. }
        | HoldReason::Unknown { .. }
        | HoldReason::Preflight { .. }
        | HoldReason::WindowShut { .. }
        | HoldReason::Shifting { .. }
        | HoldReason::Settling { .. }
        | HoldReason::Baking { .. }
        | HoldReason::Reverting { .. } => return None,
    };
    Some(remedy)
}

/// A hold with absolute times and without advice: for entries that are read long after.
pub(super) fn short(reason: &HoldReason) -> String {
    fact(reason, None)
}

/// A hold's kind, as JSON has it.
pub(super) fn kind(reason: &HoldReason) -> String {
    let value = serde_json::to_value(reason).unwrap_or(Value::Null);
    value["kind"].as_str().unwrap_or_default().to_owned()
}

/// ` since TIME (…)`, or nothing.
fn since_text(since: Option<Timestamp>, now: Option<Timestamp>) -> String {
    since.map_or_else(String::new, |since| format!(" since {}", time(since, now)))
}

/// A time, and how far away it is where that is known.
pub(super) fn time(at: Timestamp, now: Option<Timestamp>) -> String {
    now.map_or_else(|| text::minute(at), |now| text::when(at, now))
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::json;

    use super::*;
    use crate::engine::hold::HaltReason;
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
        let message = || "connection refused".to_owned();
        let path = || "/plans/recipe api.yaml".to_owned();
        let mut all = halts();
        all.extend([
            HoldReason::JournalDamaged {
                entry: 19,
                message: "a newer cutover wrote it: this one does not know `teleported`".to_owned(),
            },
            HoldReason::RevertBlocked { message: message() },
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
                message: message(),
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
                message: message(),
                since: None,
            },
            HoldReason::UnknownTooLong {
                alarm: alarm().into(),
                since: at("2026-11-21T02:30:00Z"),
            },
            HoldReason::Route53Unreadable {
                group: group(),
                message: message(),
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
                path: path(),
                records: false,
                refused: None,
            },
            HoldReason::PlanChanged {
                path: path(),
                records: true,
                refused: None,
            },
            HoldReason::PlanUnreadable {
                path: path(),
                message: message(),
                gone: false,
            },
            HoldReason::JournalDown { message: message() },
            HoldReason::BreakGlass { message: message() },
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
