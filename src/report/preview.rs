//! The output of `cutover preview`: the records and alarms in AWS, what each step would change, and when it can be taken.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::calendar::{self, Clocks};
use super::check::step_json;
use super::errands;
use super::fleet::limits;
use super::{evidence, holds, outlook, text};
use crate::engine::calendar::Calendar;
use crate::engine::evidence::gate::GateKind;
use crate::engine::evidence::outlook::Outlook;
use crate::engine::fleet::FleetSettings;
use crate::engine::foreign_text::one_line;
use crate::engine::hold::HoldReason;
use crate::engine::lists;
use crate::engine::observation::{AlarmReading, AlarmState};
use crate::engine::plan::Plan;
use crate::engine::record::{GroupName, RecordSet};
use crate::engine::state::Phase;
use crate::engine::units::{AlarmId, CutoverName, ZoneId};

/// The readings and the result of a preview of one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The previewed plan.
    pub plan: Plan,
    /// Path of the plan file.
    pub path: String,
    /// When AWS was read. It is the earliest start.
    pub now: Timestamp,
    /// The time zone of this machine, for the reader.
    pub here: TimeZone,
    /// The groups as read, in the plan's order.
    pub groups: Vec<GroupView>,
    /// The alarms as read, gates first.
    pub alarms: Vec<AlarmView>,
    /// How long a step settles after INSYNC, before its bake.
    pub settle: SignedDuration,
    /// The limits of the fleet's file; `None` if no such file applies.
    pub fleet: Option<FleetSettings>,
    /// The reasons why preflight refuses the start; empty if it does not.
    pub problems: Vec<HoldReason>,
    /// The holds that keep the cutover from starting now although nothing refuses the start.
    pub holds: Vec<HoldReason>,
    /// The state of the cutover; `None` if it has not started.
    pub standing: Option<StartedCutover>,
    /// Warnings about the plan and its records, one line each.
    pub warnings: Vec<String>,
    /// When metric gates can judge; `None` if that cannot be known, or if the cutover has started.
    pub outlook: Option<Outlook>,
}

/// The state of a cutover that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedCutover {
    /// The phase of the cutover.
    pub phase: Phase,
    /// Number of the step that was last taken; 0 before the first one.
    pub step: u16,
    /// When this phase began.
    pub since: Timestamp,
    /// The holds of the cutover, as last journaled.
    pub because: Vec<HoldReason>,
}

/// A weighted group as read from Route 53.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// The name and type of the group.
    pub name: GroupName,
    /// The zone, as the plan names it.
    pub zone: String,
    /// ID of the hosted zone; `None` if it was not found.
    pub zone_id: Option<ZoneId>,
    /// The old cluster's set identifier.
    pub old: String,
    /// The new cluster's set identifier.
    pub new: String,
    /// All record sets with this name and type; empty if they could not be read.
    pub members: Vec<RecordSet>,
    /// Why the record sets could not be read; `None` if they were read.
    pub unread: Option<String>,
}

/// An alarm as read from CloudWatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmView {
    /// Name and region of the alarm.
    pub id: AlarmId,
    /// True if it is a fallback alarm.
    pub fallback: bool,
    /// The reading of its state.
    pub reading: AlarmReading,
}

impl Preview {
    /// Returns true if preflight refuses the start.
    pub fn refused(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Returns true if an alarm holds the start: it is red, missing, or cannot be judged. No data does not hold it yet (semantics
    /// C2), except on the old side, which has all the traffic (semantics L14).
    fn is_held(&self) -> bool {
        self.holds.iter().any(is_of_alarm)
    }

    /// Returns the earliest time of each step. The calendar begins after the end of a freeze, if one holds the start.
    fn calendar(&self) -> Calendar {
        let thaws = self.holds.iter().filter_map(thaws_at).max();
        let from = thaws.unwrap_or(self.now).max(self.now);
        Calendar::of_plan(&self.plan, self.settle, from)
    }

    /// Returns when the cutover would start; `None` if something other than time must change first, or if it has
    /// started.
    fn starts_at(&self) -> Option<Timestamp> {
        if self.refused() || self.standing.is_some() || !self.holds.iter().all(ends_by_time) {
            return None;
        }
        self.calendar().steps.first()?.taken_at
    }
}

fn is_of_alarm(reason: &HoldReason) -> bool {
    if let HoldReason::NoData { alarm, .. } | HoldReason::Unknown { alarm, .. } = reason {
        return alarm.gate == GateKind::Alarm;
    }
    matches!(
        reason,
        HoldReason::AlarmRed { .. }
            | HoldReason::AlarmMissing { .. }
            | HoldReason::FallbackRed { .. }
            | HoldReason::FallbackUnknown { .. }
    )
}

/// Returns true if the hold ends at a time that is known.
fn ends_by_time(reason: &HoldReason) -> bool {
    thaws_at(reason).is_some() || is_window(reason)
}

/// Returns the end of a freeze that holds the start; `None` for other holds, and for a freeze without an end.
fn thaws_at(reason: &HoldReason) -> Option<Timestamp> {
    if let HoldReason::Frozen { until, .. } = reason {
        return *until;
    }
    None
}

fn is_window(reason: &HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::WindowShut {
            opens_at: Some(_),
            ..
        }
    )
}

/// Returns all previews as a JSON array. Fields are only ever added.
pub fn to_json(previews: &[Preview]) -> Value {
    previews.iter().map(one_to_json).collect()
}

fn one_to_json(preview: &Preview) -> Value {
    let mut shown = all_to_json(preview);
    let reads = preview.plan.gates.measures.reads_a_day();
    if reads > 0 {
        shown["metrics"] = json!({
            "reads_a_day": reads,
            "usd_a_day": evidence::dollars(reads),
        });
    }
    if let Some(seen) = &preview.outlook {
        shown["metrics"]["requests_a_minute"] = json!(seen.a_minute);
        for (number, step) in (1_u16..=preview.plan.step_count()).zip(0_usize..) {
            shown["steps"][step]["gates"] = outlook::to_json(seen, number);
        }
    }
    shown
}

fn all_to_json(preview: &Preview) -> Value {
    let name = &preview.plan.name;
    let steps: Vec<Value> = preview
        .plan
        .steps
        .iter()
        .zip(preview.calendar().steps)
        .map(|(step, coming)| {
            let mut step = step_json(step);
            step["earliest_at"] = json!(coming.taken_at.map(text::rfc3339));
            step["bake_over_at"] = json!(coming.over_at.map(text::rfc3339));
            step["waits_secs"] = json!(coming.waits.as_secs());
            step
        })
        .collect();
    let standing = preview.standing.as_ref().map(|standing| {
        json!({
            "phase": standing.phase,
            "step": standing.step,
            "since": text::rfc3339(standing.since),
            "because": because_json(preview, &standing.because),
        })
    });
    json!({
        "name": name.as_str(),
        "path": preview.path,
        "refused": preview.refused(),
        "problems": because_json(preview, &preview.problems),
        "holds": because_json(preview, &preview.holds),
        "starts_at": preview.starts_at().map(text::rfc3339),
        "standing": standing,
        "warnings": preview.warnings,
        "records": preview.groups.iter().map(group_json).collect::<Vec<Value>>(),
        "alarms": preview.alarms.iter().map(alarm_json).collect::<Vec<Value>>(),
        "time_zone": Clocks::of(&preview.plan, &preview.here).plan.name(),
        "settle_secs": preview.settle.as_secs(),
        "steps": steps,
        "after": preview.plan.after,
        "labels": preview.plan.labels,
        "fleet": preview.fleet.as_ref().map(|fleet| json!({
            "max_in_flight": fleet.max_in_flight,
            "failure_budget": fleet.failure_budget,
        })),
    })
}

fn because_json(preview: &Preview, reasons: &[HoldReason]) -> Vec<Value> {
    let reasons = reasons.iter();
    reasons
        .map(|reason| holds::because_json(reason, &preview.plan.name, preview.now))
        .collect()
}

fn group_json(group: &GroupView) -> Value {
    json!({
        "zone": group.zone,
        "zone_id": group.zone_id.as_ref().map(ZoneId::as_str),
        "name": group.name.name.as_str(),
        "type": group.name.record_type,
        "old": group.old,
        "new": group.new,
        "members": group.members,
        "unread": group.unread,
    })
}

fn alarm_json(alarm: &AlarmView) -> Value {
    let (state, message) = match &alarm.reading {
        AlarmReading::Found {
            state, evaluation, ..
        } => (json!(state), json!(evaluation)),
        AlarmReading::Missing => (json!("MISSING"), Value::Null),
        AlarmReading::Unreadable(message) => (json!("UNREADABLE"), json!(message)),
        AlarmReading::Denied(message) => (json!("DENIED"), json!(message)),
    };
    json!({
        "name": alarm.id.name,
        "region": alarm.id.region,
        "fallback": alarm.fallback,
        "state": state,
        "message": message,
    })
}

/// Returns one preview as text for people.
pub fn to_text(preview: &Preview, width: Option<usize>) -> String {
    let mut shown = format!(
        "{} ({})\n",
        text::styled(text::TITLE, preview.plan.name.as_str()),
        one_line(&preview.path)
    );
    for problem in &preview.problems {
        let line = holds::hold(problem, &preview.plan.name, preview.now);
        shown.push_str(&marked(text::BAD, "problem", &line, width));
    }
    let standing = preview.standing.iter().flat_map(|it| &it.because);
    for hold in preview.holds.iter().chain(standing) {
        let line = holds::hold(hold, &preview.plan.name, preview.now);
        shown.push_str(&marked(text::WARN, "held", &line, width));
    }
    for warning in &preview.warnings {
        shown.push_str(&marked(text::WARN, "warning", warning, width));
    }
    if !preview.plan.after.is_empty() {
        let after: Vec<&str> = preview.plan.after.iter().map(CutoverName::as_str).collect();
        let line = format!(
            "starts when these have completed: {}",
            lists::some(&after, ", ")
        );
        shown.push_str(&marked(text::TITLE, "after", &line, width));
    }
    if let Some(fleet) = &preview.fleet {
        shown.push_str(&marked(text::TITLE, "fleet", &limits(fleet), width));
    }
    let reads = preview.plan.gates.measures.reads_a_day();
    if reads > 0 {
        shown.push_str(&marked(
            text::TITLE,
            "metrics",
            &evidence::cost(reads),
            width,
        ));
    }
    shown.push_str("\n  records\n");
    for group in &preview.groups {
        shown.push_str(&group_text(group));
    }
    shown.push_str("\n  alarms\n");
    shown.push_str(&alarms_text(&preview.alarms, preview.now));
    shown.push_str("\n  steps, at the earliest\n");
    shown.push_str(&steps_text(preview));
    if let Some(seen) = &preview.outlook {
        shown.push_str(&outlook::to_text(seen, &preview.plan));
    }
    format!("{shown}\n  {}\n", verdict(preview))
}

/// Returns the last line: whether the cutover would start now, or when, or its state if it has started.
fn verdict(preview: &Preview) -> String {
    if let Some(standing) = &preview.standing {
        let step = match standing.step {
            0 => String::new(),
            step => format!(" at step {step} of {}", preview.plan.step_count()),
        };
        let since = text::when(standing.since, preview.now);
        let line = format!(
            "it is {}{step}, since {since}; this preview wrote nothing",
            standing.phase.label()
        );
        return text::styled(text::TITLE, &line);
    }
    if preview.refused() {
        return text::styled(text::BAD, "preflight refuses the start");
    }
    if preview.is_held() {
        return text::styled(text::WARN, "an alarm holds the start; nothing was written");
    }
    if preview.holds.is_empty() {
        return text::styled(text::GOOD, "could start now; nothing was written");
    }
    let line = match preview.starts_at() {
        Some(at) => format!(
            "would not start now, but at {} at the earliest; nothing was written",
            text::when(at, preview.now)
        ),
        None => "would not start now; nothing was written".to_owned(),
    };
    text::styled(text::WARN, &line)
}

fn marked(style: anstyle::Style, mark: &str, line: &str, width: Option<usize>) -> String {
    let wrapped = text::wrap(&format!("{mark}: {line}"), 2, width);
    let wrapped = wrapped.replacen(mark, &text::styled(style, mark), 1);
    wrapped + "\n"
}

fn group_text(group: &GroupView) -> String {
    let zone = match &group.zone_id {
        Some(id) => format!("zone {} ({id})", group.zone),
        None => format!("zone {}", group.zone),
    };
    let mut table = Table::new();
    table.load_style(NOTHING);
    for member in &group.members {
        let role = match &member.set_identifier {
            identifier if *identifier == group.old => "old",
            identifier if *identifier == group.new => "new",
            _ => "other",
        };
        table.add_row([
            role.to_owned(),
            one_line(&member.set_identifier),
            format!("weight {}", member.weight.0),
            one_line(&target(member)),
            one_line(&health(member)),
        ]);
    }
    let mut lines = vec![one_line(&format!("   {}, {zone}", group.name))];
    match &group.unread {
        Some(why) => lines.push(format!("     cannot be read: {}", one_line(why))),
        None if group.members.is_empty() => lines.push("     no record sets".to_owned()),
        None => {}
    }
    lines.extend(table.lines().map(|line| format!("    {}", line.trim_end())));
    lines.join("\n") + "\n"
}

/// Returns the target of a record, with its TTL if it has one.
fn target(member: &RecordSet) -> String {
    match (&member.alias, member.ttl) {
        (Some(alias), _) => format!("alias {}", alias.dns_name),
        (None, Some(ttl)) => format!("TTL {ttl}s {}", lists::some(&member.values, " ")),
        (None, None) => lists::some(&member.values, " "),
    }
}

/// Returns the health settings of a record, which can remove it from the answers of Route 53; empty if there are none.
fn health(member: &RecordSet) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(id) = &member.health_check_id {
        parts.push(format!("health check {id}"));
    }
    if let Some(alias) = &member.alias
        && alias.evaluate_target_health
    {
        parts.push("evaluates target health".to_owned());
    }
    if !member.unsupported.is_empty() {
        parts.push(format!(
            "unsupported: {}",
            lists::some(&member.unsupported, ", ")
        ));
    }
    parts.join(", ")
}

fn alarms_text(alarms: &[AlarmView], now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for alarm in alarms {
        let kind = if alarm.fallback { "fallback" } else { "gate" };
        table.add_row([
            kind.to_owned(),
            one_line(&alarm.id.to_string()),
            one_line(&alarm_state(alarm, now)),
        ]);
    }
    let mut lines = Vec::new();
    for line in table.lines() {
        lines.push(format!("   {}\n", line.trim_end()));
    }
    lines.concat()
}

fn alarm_state(alarm: &AlarmView, now: Timestamp) -> String {
    match &alarm.reading {
        AlarmReading::Found {
            state,
            transitioned_at,
            evaluation,
        } => {
            let state = match state {
                AlarmState::Ok => "OK",
                AlarmState::Alarm => "ALARM: the start is held while it is red",
                AlarmState::InsufficientData if alarm.fallback => {
                    "no data: the health of the old side is not known"
                }
                AlarmState::InsufficientData => "no data yet",
            };
            let since = match transitioned_at {
                Some(at) => format!(", since {}", text::when(*at, now)),
                None => String::new(),
            };
            let evaluation = match evaluation {
                Some(evaluation) => format!(", evaluation {evaluation}"),
                None => String::new(),
            };
            format!("{state}{since}{evaluation}")
        }
        AlarmReading::Missing => "not found: the start is held until it exists".to_owned(),
        AlarmReading::Unreadable(message) | AlarmReading::Denied(message) => {
            format!("cannot be read: {message}")
        }
    }
}

fn steps_text(preview: &Preview) -> String {
    let (plan, calendar) = (&preview.plan, preview.calendar());
    let clocks = Clocks::of(plan, &preview.here);
    format!(
        "{}   each step settles for {} before its bake begins\n{}",
        calendar::to_text(&calendar, plan, &clocks, preview.now),
        text::duration(preview.settle),
        errands::lines(plan)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::{AwsSettings, Gates, HoldOrRevert, Step};
    use crate::engine::record::AliasTarget;
    use crate::engine::units::{DnsName, Share, Weight, WeightPair};

    fn step(percent: u8, hours: i64, approval: bool) -> Step {
        Step {
            share: Share::percent(percent),
            pair: WeightPair::new(100 - percent, percent),
            bake: SignedDuration::from_hours(hours),
            approval,
            approval_timeout: None,
        }
    }

    fn member(identifier: &str, weight: u8) -> RecordSet {
        RecordSet {
            name: "api.example.com.".to_owned(),
            record_type: "A".to_owned(),
            set_identifier: identifier.to_owned(),
            weight: Weight(weight),
            ttl: None,
            values: Vec::new(),
            alias: Some(AliasTarget {
                zone_id: "Z2".to_owned(),
                dns_name: format!("dualstack.{identifier}.elb.amazonaws.com."),
                evaluate_target_health: identifier == "eks",
            }),
            health_check_id: None,
            unsupported: Vec::new(),
        }
    }

    fn alarm(name: &str, fallback: bool, reading: AlarmReading) -> AlarmView {
        AlarmView {
            id: AlarmId {
                region: None,
                name: name.to_owned(),
            },
            fallback,
            reading,
        }
    }

    fn preview() -> Preview {
        let (name, record_type) = (DnsName::new("api.example.com"), "A".to_owned());
        let name = GroupName { name, record_type };
        let ok = AlarmReading::Found {
            state: AlarmState::Ok,
            transitioned_at: "2026-11-20T10:00:00Z".parse().ok(),
            evaluation: None,
        };
        Preview {
            fleet: None,
            plan: Plan {
                labels: std::collections::BTreeMap::new(),
                after: Vec::new(),
                name: CutoverName::from("recipe-api"),
                description: None,
                aws: AwsSettings::default(),
                records: Vec::new(),
                settle: None,
                steps: vec![step(5, 4, false), step(50, 24, true), step(100, 48, false)],
                gates: Gates {
                    alarms: Vec::new(),
                    fallback_alarms: Vec::new(),
                    unknown_for: SignedDuration::from_mins(30),
                    on_unknown: HoldOrRevert::Hold,
                    both_red: HoldOrRevert::Hold,
                    measures: crate::engine::evidence::plan::Measures::default(),
                },
                windows: None,
                notify: None,
                hooks: Vec::new(),
                jobs: None,
            },
            path: "/plans/recipe-api.yaml".to_owned(),
            now: "2026-11-21T10:00:00Z".parse().unwrap(),
            here: "Europe/Berlin"
                .parse::<crate::engine::window::Zone>()
                .unwrap()
                .rules()
                .clone(),
            groups: vec![GroupView {
                name: name.clone(),
                zone: "example.com".to_owned(),
                zone_id: Some(ZoneId::from("Z1")),
                old: "eks".to_owned(),
                new: "ecs".to_owned(),
                members: vec![member("eks", 100), member("ecs", 0)],
                unread: None,
            }],
            alarms: vec![
                alarm("recipe-api-5xx-rate", false, ok),
                alarm("recipe-api-eks-unhealthy", true, AlarmReading::Missing),
            ],
            settle: SignedDuration::from_secs(60),
            problems: vec![HoldReason::Preflight {
                group: Some(name),
                message: "the members' TTLs differ".to_owned(),
            }],
            holds: Vec::new(),
            standing: None,
            warnings: vec!["`on_unknown: revert`".to_owned()],
            outlook: None,
        }
    }

    #[test]
    fn a_preview_shows_what_is_there_and_when_each_step_can_happen() {
        let shown = to_text(&preview(), None);
        let shown = anstream::adapter::strip_str(&shown).to_string();
        insta::assert_snapshot!("preview", shown);
        insta::assert_json_snapshot!("preview_json", to_json(&[preview()]));
    }
}
