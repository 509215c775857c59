//! What `cutover check` says of plan files: what is wrong, and what each plan amounts to.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{errands, text};
use crate::engine::foreign_text::one_line;
use crate::engine::plan::{Plan, Step};
use crate::engine::units::Share;
use crate::engine::window::Entry;

/// One plan file, looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The file, as it was named.
    pub path: String,
    /// The plan, if the file holds one.
    pub plan: Option<Plan>,
    /// Whether nothing is wrong with it; warnings are not wrong.
    pub ok: bool,
    /// The findings, as JSON has them.
    pub findings: Vec<Value>,
    /// The findings, as a compiler would print them.
    pub rendered: String,
    /// The file with whose findings it is said why this one is refused too; none where its own findings say it.
    pub told_at: Option<String>,
}

impl Checked {
    /// The name of its plan, if that is valid and tells nobody of pages.
    pub fn silent(&self) -> Option<String> {
        let plan = self.plan.as_ref()?;
        if self.ok && plan.notify.is_none() {
            return Some(plan.name.to_string());
        }
        None
    }

    /// Adds something that is not wrong, and is not what most want.
    pub fn warn(&mut self, message: &str, help: &str) {
        self.findings.push(json!({
            "severity": "warning",
            "path": self.path,
            "line": null,
            "column": null,
            "message": message,
            "help": help,
            "related": null,
        }));
        if !self.rendered.is_empty() {
            self.rendered.push('\n');
        }
        let shown = finding(
            &text::styled(text::WARN, "warning"),
            message,
            &self.path,
            help,
        );
        self.rendered.push_str(&shown);
    }

    /// Adds something that is wrong with this plan beside the others.
    pub fn clash(&mut self, message: &str, help: &str) {
        self.ok = false;
        self.findings.push(json!({
            "severity": "error",
            "path": self.path,
            "line": null,
            "column": null,
            "message": message,
            "help": help,
            "related": null,
        }));
        if !self.rendered.is_empty() {
            self.rendered.push('\n');
        }
        let clash = finding(&text::styled(text::BAD, "error"), message, &self.path, help);
        self.rendered.push_str(&clash);
    }
}

/// A finding about a whole file, as a compiler would print it.
fn finding(severity: &str, message: &str, path: &str, help: &str) -> String {
    let (message, path, help) = (one_line(message), one_line(path), one_line(help));
    format!("{severity}: {message}\n --> {path}\n  = help: {help}\n")
}

/// How many names a message lists (semantics M8).
const NAMES_MAX: usize = 10;

/// That plans tell nobody of pages.
pub fn silence(names: &[String]) -> String {
    let named = names.iter().take(NAMES_MAX).map(String::as_str);
    let mut list = named.collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        let more = text::thousands(names.len() - NAMES_MAX);
        list.push_str(" and ");
        list.push_str(&more);
        list.push_str(" more");
    }
    format!("no `notify`: pages of {list} are lines in the log only, and wake nobody")
}

/// How long a plan takes if nothing holds: all bakes, and the settling where the plan says how long it is.
pub fn minimum_duration(plan: &Plan) -> SignedDuration {
    let settle = plan.settle.unwrap_or(SignedDuration::ZERO);
    plan.steps.iter().fold(SignedDuration::ZERO, |sum, step| {
        sum.saturating_add(step.bake).saturating_add(settle)
    })
}

/// All files as JSON: an array of `{path, ok, name, findings, steps, minimum_secs}`, and `told_at` where another file's
/// findings say why this one is refused.
pub fn to_json(checked: &[Checked]) -> Value {
    checked
        .iter()
        .map(|checked| {
            let plan = checked.plan.as_ref();
            let mut row = json!({
                "path": checked.path,
                "ok": checked.ok,
                "name": plan.map(|plan| plan.name.as_str()),
                "findings": checked.findings,
                "steps": plan.map(|plan| {
                    plan.steps.iter().map(step_json).collect::<Vec<Value>>()
                }),
                "minimum_secs": plan.map(|plan| minimum_duration(plan).as_secs()),
            });
            if let Some(told_at) = &checked.told_at {
                row["told_at"] = json!(told_at);
            }
            row
        })
        .collect()
}

/// One step as JSON has it; `share` is what the weights amount to.
pub(super) fn step_json(step: &Step) -> Value {
    json!({
        "share": text::share_json(step.pair.share().unwrap_or(step.share)),
        "old_weight": step.pair.old.0,
        "new_weight": step.pair.new.0,
        "bake_secs": step.bake.as_secs(),
        "approval": step.approval,
    })
}

/// One file for people: its findings, and what the plan amounts to.
pub fn to_text(checked: &Checked) -> String {
    let verdict = if checked.ok {
        text::styled(text::GOOD, "ok")
    } else {
        text::styled(text::BAD, "not valid")
    };
    let findings = match checked.rendered.trim_end() {
        "" => String::new(),
        rendered => format!("{rendered}\n\n"),
    };
    let plan = checked.plan.as_ref().filter(|_| checked.ok);
    let summary = plan.map_or_else(String::new, summary);
    let told_at = match &checked.told_at {
        Some(path) => format!(
            " (it is in the circle that is named with {})",
            one_line(path)
        ),
        None => String::new(),
    };
    let path = one_line(&checked.path);
    format!("{findings}{path}: {verdict}{told_at}\n{summary}")
}

/// What a plan amounts to.
fn summary(plan: &Plan) -> String {
    let gates = &plan.gates;
    let settle = match plan.settle {
        Some(_) if plan.windows.is_some() => "settling included, windows aside".to_owned(),
        Some(_) => "settling included".to_owned(),
        None => "and the records' TTL to settle, each step".to_owned(),
    };
    format!(
        "  {}: {}, {}, {}, {}\n{}{}{}  at least {} from the first step to the end ({settle})\n",
        text::styled(text::TITLE, plan.name.as_str()),
        text::count(plan.records.len(), "record"),
        text::count(plan.steps.len(), "step"),
        text::count(gates.alarms.len(), "alarm"),
        text::count(gates.fallback_alarms.len(), "fallback alarm"),
        ladder(plan),
        windows(plan),
        errands::lines(plan),
        text::duration(minimum_duration(plan)),
    )
}

/// When steps are taken, where that is not always.
fn windows(plan: &Plan) -> String {
    let Some(windows) = &plan.windows else {
        return String::new();
    };
    let list = |entries: &[Entry]| {
        let shown: Vec<String> = entries.iter().map(ToString::to_string).collect();
        shown.join(", ")
    };
    let zone = &windows.time_zone;
    let always = || "at any time".to_owned();
    let allowed = Some(list(&windows.allow)).filter(|shown| !shown.is_empty());
    let allowed = allowed.unwrap_or_else(always);
    let whole = if windows.whole_bake {
        ", bake included"
    } else {
        ""
    };
    let never = match list(&windows.deny) {
        denied if denied.is_empty() => String::new(),
        denied => format!("  never: {denied}\n"),
    };
    format!("  steps are taken by the clock of {zone}: {allowed}{whole}\n{never}")
}

/// The steps as a table, a line each, with a heading.
fn ladder(plan: &Plan) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["step", "share", "weights", "bake", ""]);
    for (index, step) in plan.steps.iter().enumerate() {
        table.add_row([
            (index + 1).to_string(),
            exact_share(step),
            step.pair.to_string(),
            text::duration(step.bake),
            approval(step).to_owned(),
        ]);
    }
    right_align(&mut table, &[0, 1, 2]);
    indented(&table)
}

/// Puts numbers under each other.
pub(super) fn right_align(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A table's lines, indented, the first of them faint.
pub(super) fn indented(table: &Table) -> String {
    let lines = table.lines().enumerate().map(|(index, line)| {
        let line = format!("   {}", line.trim_end());
        if index == 0 {
            text::styled(text::FAINT, &line) + "\n"
        } else {
            line + "\n"
        }
    });
    lines.collect()
}

/// The share as written, and what the weights amount to where that is another one.
pub(super) fn exact_share(step: &Step) -> String {
    let exact = step.pair.share().unwrap_or(Share::ZERO);
    if exact == step.share {
        step.share.to_string()
    } else {
        format!("{} (exactly {exact})", step.share)
    }
}

/// Whether a person must approve the step.
fn approval(step: &Step) -> &'static str {
    if step.approval { "needs approval" } else { "" }
}
