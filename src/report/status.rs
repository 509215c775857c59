//! The output of `cutover status`: the state of all cutovers and why each does not move, as JSON and as text.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::Style;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::approval::ApprovalEvidence;
use super::calendar::{self, Clocks};
use super::notice::{Failing, PassedOver};
use super::{holds, text};
use crate::engine::calendar::Calendar;
use crate::engine::evidence::number::Number;
use crate::engine::foreign_text::one_line;
use crate::engine::hold::HoldReason;
use crate::engine::plan::Plan;
use crate::engine::units::{CutoverName, Share, WeightPair, ZoneId};

/// Width of the bar of the share, in columns.
const BAR_CELLS: u32 = 10;

/// Everything that `status` shows of one cutover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name of the cutover.
    pub name: CutoverName,
    /// The labels of the plan, by which people select cutovers.
    pub labels: BTreeMap<String, String>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The name of the phase, as in JSON.
    pub phase: &'static str,
    /// True if a person paused the cutover.
    pub paused: bool,
    /// Number of the step that was last intended, from 1. It is 0 before the first write and after a revert, and the
    /// last step if the cutover completed.
    pub step: u16,
    /// Number of steps of the plan.
    pub steps: u16,
    /// The new side's share by the weights that were last intended; the baseline's share while the traffic goes back.
    pub intended_share: Share,
    /// The groups, in the plan's order.
    pub records: Vec<RecordRow>,
    /// The hosted zones of the groups; empty before the first write.
    pub zones: BTreeSet<ZoneId>,
    /// The holds, most urgent first.
    pub because: Vec<HoldReason>,
    /// When the phase began.
    pub since: Timestamp,
    /// The earliest time of the next decision; `None` if it is not known.
    pub next_at: Option<Timestamp>,
    /// When Route 53 or `CloudWatch` was last read for the cutover; `None` if that is not known.
    pub observed_at: Option<Timestamp>,
    /// The new side's share of the requests of the last hour, in percent; `None` if they are not counted.
    pub observed_share: Option<Number>,
    /// The evidence for the approval that a step waits for; `None` if no step waits for one.
    pub approval: Option<ApprovalEvidence>,
    /// When the coming steps can be taken; `None` if no step is to come.
    pub coming: Option<ComingSteps>,
    /// The channels to which its notifications cannot be delivered.
    pub failing: Vec<Failing>,
    /// The channels that refused some of its notifications, which were skipped.
    pub passed_over: Vec<PassedOver>,
}

/// The coming steps of a cutover, and when they can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComingSteps {
    /// The earliest time of each step.
    pub calendar: Calendar,
    /// The plan of these steps.
    pub plan: Plan,
    /// The time zones in which the times are shown.
    pub clocks: Clocks,
    /// True if the text shows the steps. A list of many cutovers leaves them out.
    pub shown: bool,
}

/// One weighted group, with its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The zone, as the plan names it.
    pub zone: String,
    /// The DNS name of the group.
    pub name: String,
    /// The record type of the group, for example `A`.
    pub record_type: String,
    /// The weights as last read from Route 53; `None` if they were never read.
    pub weights: Option<WeightPair>,
}

/// Whether a controller watches the cutovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// A controller left a heartbeat recently, or all cutovers have ended.
    Fresh,
    /// The last heartbeat or entry of a controller is too old. It is from this time (semantics G3).
    Stale(Timestamp),
    /// There is no heartbeat of a controller from the last day, and no entry by a controller.
    Never,
}

impl Row {
    /// Returns the row as JSON (semantics J). Fields are only ever added.
    pub fn to_json(&self, now: Timestamp) -> Value {
        let records: Vec<Value> = self.records.iter().map(RecordRow::to_json).collect();
        let because: Vec<Value> = self
            .because
            .iter()
            .map(|reason| holds::because_json_in(&self.zones, reason, &self.name, now))
            .collect();
        let mut shown = json!({
            "name": self.name.as_str(),
            "attempt": self.attempt,
            "phase": self.phase,
            "paused": self.paused,
            "step": self.step,
            "steps": self.steps,
            "intended_share": text::share_json(self.intended_share),
            "records": records,
            "because": because,
            "since": text::rfc3339(self.since),
            "next_at": self.next_at.map(text::rfc3339),
            "observed_at": self.observed_at.map(text::rfc3339),
            "labels": self.labels,
            "approval": self.approval.as_ref().map(ApprovalEvidence::to_json),
            "coming": self.coming.as_ref().map(|coming| calendar::to_json(&coming.calendar, &coming.plan)),
            "notifications": self.failing.iter().map(Failing::to_json).collect::<Vec<_>>(),
            "notifications_skipped": self.passed_over.iter().map(PassedOver::to_json).collect::<Vec<_>>(),
        });
        if let Some(observed) = self.observed_share {
            shown["observed_share"] = json!(observed);
        }
        shown
    }

    /// Returns the share by the weights, and the share of the requests if they are counted.
    fn shares(&self) -> String {
        let intended = text::share(self.intended_share);
        match self.observed_share {
            Some(observed) => format!("{intended} (seen: {observed}%)"),
            None => intended,
        }
    }

    /// Returns true if the cutover waits for a person.
    pub fn needs_person(&self) -> bool {
        self.urgency() == Heading::Person
    }

    /// Returns the heading under which the cutover is listed.
    fn urgency(&self) -> Heading {
        let paged = self.because.iter().any(HoldReason::pages);
        match self.phase {
            "halted" => Heading::Person,
            _ if paged => Heading::Person,
            "reverting" => Heading::Back,
            "completed" | "reverted" | "abandoned" => Heading::Ended,
            _ if self.paused => Heading::Paused,
            "waiting" => Heading::Waiting,
            _ => Heading::Moving,
        }
    }

    /// Returns the evidence for an approval, and the calendar of the coming steps, as lines.
    fn foresight(&self, now: Timestamp, width: Option<usize>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(evidence) = &self.approval {
            for line in evidence.lines(now) {
                lines.push(text::wrap(&line, 6, width));
            }
        }
        if let Some(coming) = &self.coming
            && coming.shown
        {
            let table = calendar::to_text(&coming.calendar, &coming.plan, &coming.clocks, now);
            lines.push(text::styled(
                text::FAINT,
                "      next steps, at the earliest",
            ));
            lines.extend(table.lines().map(|line| format!("   {line}")));
        }
        lines
    }

    /// Returns the weights as last read; `mixed` if the groups differ.
    fn weights(&self) -> String {
        let mut shown: Vec<String> = self.records.iter().map(RecordRow::weights_text).collect();
        shown.sort();
        shown.dedup();
        match shown.as_slice() {
            [one] => one.clone(),
            _ => "mixed".to_owned(),
        }
    }

    /// Returns the cells of the row, from left to right.
    fn cells(&self, now: Timestamp) -> Vec<String> {
        let paused = if self.paused && self.urgency() != Heading::Ended {
            " (paused)"
        } else {
            ""
        };
        let next = match self.next_at {
            None => "–".to_owned(),
            Some(at) if at <= now => "now".to_owned(),
            Some(at) => text::relative(at, now),
        };
        let since = SignedDuration::from_secs(now.duration_since(self.since).as_secs());
        vec![
            one_line(self.name.as_str()),
            text::bar(self.intended_share, BAR_CELLS),
            self.shares(),
            format!("{}/{}", self.step, self.steps),
            self.weights(),
            format!("{}{paused}", self.phase),
            text::duration(since),
            next,
        ]
    }
}

impl RecordRow {
    fn weights_text(&self) -> String {
        match self.weights {
            Some(pair) => pair.to_string(),
            None => "–".to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "zone": self.zone,
            "name": self.name,
            "type": self.record_type,
            "old_weight": self.weights.map(|pair| pair.old.0),
            "new_weight": self.weights.map(|pair| pair.new.0),
        })
    }
}

/// The headings of the list, in its order: cutovers that need a person come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heading {
    Person,
    Back,
    Moving,
    Paused,
    Waiting,
    Ended,
}

impl Heading {
    const ALL: [Self; 6] = [
        Self::Person,
        Self::Back,
        Self::Moving,
        Self::Paused,
        Self::Waiting,
        Self::Ended,
    ];

    fn label(self) -> (Style, &'static str) {
        match self {
            Self::Person => (text::BAD, "needs a person"),
            Self::Back => (text::WARN, "reverting"),
            Self::Moving => (text::GOOD, "under way"),
            Self::Paused => (text::TITLE, "paused"),
            Self::Waiting => (text::TITLE, "not started"),
            Self::Ended => (text::FAINT, "ended"),
        }
    }

    fn heading(self) -> String {
        let (style, label) = self.label();
        text::styled(style, label)
    }
}

/// Returns all rows as a JSON array; `[]` if there are none.
pub fn to_json(rows: &[Row], now: Timestamp) -> Value {
    rows.iter().map(|row| row.to_json(now)).collect()
}

/// Returns the number of cutovers under each heading, in one line.
fn summary(rows: &[Row]) -> String {
    let mut parts = Vec::new();
    for urgency in Heading::ALL {
        let number = rows.iter().filter(|row| row.urgency() == urgency).count();
        let (style, label) = urgency.label();
        let label = if urgency == Heading::Person && number > 1 {
            "need a person"
        } else {
            label
        };
        if number > 0 {
            let part = format!("{} {label}", text::thousands(number));
            parts.push(text::styled(style, &part));
        }
    }
    let noun = if rows.len() == 1 {
        "cutover"
    } else {
        "cutovers"
    };
    format!(
        "{} {noun}: {}",
        text::thousands(rows.len()),
        parts.join(", ")
    )
}

/// Number of rows from which the list begins with a summary.
const SUMMARY_FROM: usize = 10;

/// Returns all rows as text for people, in the order of their urgency, with the holds below each line. `fleet` has the
/// lines about the whole fleet; `width` is the width of the terminal in columns.
pub fn to_text(
    rows: &[Row],
    fleet: &[String],
    watch: Watch,
    now: Timestamp,
    width: Option<usize>,
) -> String {
    let mut blocks: Vec<String> = Vec::new();
    match watch {
        Watch::Fresh => {}
        Watch::Stale(since) => blocks.push(unwatched(
            &format!("no controller has looked since {}", text::when(since, now)),
            width,
        )),
        Watch::Never => blocks.push(unwatched("no controller has looked since yesterday", width)),
    }
    let mut head: Vec<String> = Vec::new();
    if rows.len() >= SUMMARY_FROM {
        head.push(summary(rows));
    }
    head.extend(fleet.iter().map(|line| text::wrap(line, 0, width)));
    if !head.is_empty() {
        blocks.push(head.join("\n"));
    }
    if rows.is_empty() {
        blocks.push("no cutover to show".to_owned());
    } else {
        blocks.push(groups(rows, now, width));
    }
    let mut shown = blocks.join("\n\n");
    shown.push('\n');
    shown
}

/// Returns the warning that no controller watches. It stands first.
fn unwatched(fact: &str, width: Option<usize>) -> String {
    let advice =
        "gates are not watched and nothing reverts automatically; start one: `cutover run PATH…`";
    format!(
        "{}\n{}",
        text::styled(text::BAD, fact),
        text::wrap(advice, 2, width)
    )
}

/// Returns the rows under the headings of their urgency. All are in one table, so that the columns align.
fn groups(rows: &[Row], now: Timestamp, width: Option<usize>) -> String {
    let mut ordered: Vec<&Row> = rows.iter().collect();
    ordered.sort_by_cached_key(|row| (row.urgency(), row.name.clone()));
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "", "intended", "", "step", "weights", "phase", "for", "next",
    ]);
    for row in &ordered {
        table.add_row(row.cells(now));
    }
    let lines: Vec<String> = table.lines().collect();
    let mut shown: Vec<String> = Vec::new();
    if let Some(header) = lines.first() {
        shown.push(text::styled(
            text::FAINT,
            &format!(" {}", header.trim_end()),
        ));
    }
    let mut heading = None;
    for (row, line) in ordered.iter().zip(lines.iter().skip(1)) {
        let urgency = row.urgency();
        if heading != Some(urgency) {
            heading = Some(urgency);
            shown.push(urgency.heading());
        }
        shown.push(format!(" {}", line.trim_end()));
        for reason in &row.because {
            let line = holds::hold_in(&row.zones, reason, &row.name, now);
            shown.push(text::wrap(&line, 6, width));
        }
        shown.extend(row.foresight(now, width));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::HoldOrRevert;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn row(name: &str, phase: &'static str, step: u16, because: Vec<HoldReason>) -> Row {
        let percent = [0, 5, 50, 100][usize::from(step)];
        Row {
            name: CutoverName::from(name),
            labels: BTreeMap::new(),
            attempt: 1,
            phase,
            paused: false,
            step,
            steps: 3,
            intended_share: Share::percent(percent),
            records: vec![RecordRow {
                zone: "example.com".to_owned(),
                name: "api.example.com".to_owned(),
                record_type: "A".to_owned(),
                weights: (step > 0).then(|| WeightPair::new(100 - percent, percent)),
            }],
            zones: BTreeSet::new(),
            because,
            since: at("2026-11-20T23:00:00Z"),
            next_at: Some(at("2026-11-21T05:14:00Z")),
            observed_at: None,
            observed_share: None,
            approval: None,
            coming: None,
            failing: Vec::new(),
            passed_over: Vec::new(),
        }
    }

    fn rows() -> Vec<Row> {
        let baking = HoldReason::Baking {
            step: 2,
            until: Some(at("2026-11-21T05:14:00Z")),
            counted_secs: 6_300,
        };
        let reverting = HoldReason::Reverting { back: 1, groups: 2 };
        let paused = HoldReason::Paused {
            reason: Some("incident 42".to_owned()),
        };
        vec![
            row("user-api", "completed", 3, vec![]),
            row("search", "baking", 2, vec![baking.clone()]),
            row(
                "recipe-api",
                "baking",
                1,
                vec![HoldReason::Approval { step: 2 }, baking],
            ),
            row("recipe-web", "reverting", 0, vec![reverting]),
            Row {
                paused: true,
                ..row("cart", "settling", 1, vec![paused])
            },
            row("img", "waiting", 0, vec![]),
        ]
    }

    #[test]
    fn what_needs_a_person_comes_first() {
        let now = at("2026-11-21T03:00:00Z");
        let piped = plain(&to_text(&rows(), &[], Watch::Fresh, now, None));
        insta::assert_snapshot!("status_piped", piped);
        let stale = Watch::Stale(at("2026-11-21T01:00:00Z"));
        let narrow = plain(&to_text(&rows(), &[], stale, now, Some(80)));
        insta::assert_snapshot!("status_80_unwatched", narrow);
        let wide: Vec<&str> = narrow
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(wide.is_empty(), "{wide:?}");
    }

    const PLAN: &str = r#"
version: 1
name: recipe-api
records: [ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]
steps:
  - { weight: 5%, bake: 1d }
  - { weight: 50%, bake: 1d, approval: { timeout: 2d, on_timeout: revert } }
  - { weight: 100%, bake: 2d }
gates: { alarms: [ errors, latency ] }
windows: { time_zone: Asia/Tokyo, allow: [ "Mon-Fri 10:00-17:00" ] }
"#;

    #[test]
    fn what_is_approved_and_what_is_to_come_stand_under_their_cutover() {
        let plan = crate::plan_file::parse(PLAN, "a.yaml").unwrap().source.plan;
        let now = at("2026-11-20T10:00:00Z");
        let zone = plan.windows.clone().unwrap().time_zone;
        let evidence = ApprovalEvidence {
            step: 2,
            from: Share::percent(5),
            to: WeightPair::new(50, 50),
            bake: SignedDuration::from_hours(24),
            baked: Some((
                1,
                SignedDuration::from_hours(24),
                SignedDuration::from_hours(24),
            )),
            gates: 2,
            unknown: Vec::new(),
            window: Some((Some(at("2026-11-23T01:00:00Z")), zone.rules().clone())),
            ends: Some((at("2026-11-22T09:00:00Z"), HoldOrRevert::Revert)),
        };
        let settle = SignedDuration::from_mins(2);
        let mut calendar = Calendar::of_plan(&plan, settle, at("2026-11-19T02:00:00Z"));
        calendar.steps.remove(0);
        let berlin: crate::engine::window::Zone = "Europe/Berlin".parse().unwrap();
        let shut = HoldReason::WindowShut {
            step: 2,
            opens_at: Some(at("2026-11-23T01:00:00Z")),
            time_zone: zone,
            whole_bake: false,
        };
        let waiting = Row {
            approval: Some(evidence),
            coming: Some(ComingSteps {
                clocks: Clocks::of(&plan, berlin.rules()),
                calendar,
                plan,
                shown: true,
            }),
            since: at("2026-11-19T02:00:00Z"),
            ..row(
                "recipe-api",
                "baking",
                1,
                vec![HoldReason::Approval { step: 2 }, shut],
            )
        };
        let shown = to_text(
            std::slice::from_ref(&waiting),
            &[],
            Watch::Fresh,
            now,
            Some(80),
        );
        let shown = plain(&shown);
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        insta::assert_snapshot!("status_to_come", shown);
        let json = waiting.to_json(now);
        assert_eq!(json["approval"]["share_next"], 50);
        assert_eq!(json["coming"][0]["step"], 2);
    }
}
