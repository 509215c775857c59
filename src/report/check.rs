//! The output of `cutover check`: the problems of each plan file, and a summary of its plan.

use anstyle::Style;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{errands, text};
use crate::engine::foreign_text::one_line;
use crate::engine::plan::{Plan, Step};
use crate::engine::units::Share;
use crate::engine::window::Entry;

/// A checked plan file with its findings.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The path of the file, as it was named.
    pub path: String,
    /// The plan; `None` if the file holds no valid one.
    pub plan: Option<Plan>,
    /// True if the file has no errors. It may have warnings.
    pub ok: bool,
    /// True if there is no plan file at the path, so that there is nothing to be valid or not.
    pub missing: bool,
    /// The findings as JSON.
    pub findings: Vec<Value>,
    /// The findings as text, in the form in which compilers print them.
    pub rendered: String,
    /// The path of the file whose findings say why this one is refused; `None` if its own findings say it.
    pub told_at: Option<String>,
}

impl Checked {
    /// Returns the name of the plan if it is valid and its pages reach nobody; otherwise `None`.
    pub fn silent(&self) -> Option<String> {
        let plan = self.plan.as_ref()?;
        if self.ok && plan.notify.is_none() {
            return Some(plan.name.to_string());
        }
        None
    }

    /// Adds a warning about the whole file.
    pub fn warn(&mut self, message: &str, help: &str) {
        self.add("warning", text::WARN, message, help);
    }

    /// Adds an error that this plan has only together with other plans.
    pub fn clash(&mut self, message: &str, help: &str) {
        self.ok = false;
        self.add("error", text::BAD, message, help);
    }

    /// Adds a finding about the whole file.
    fn add(&mut self, severity: &str, style: Style, message: &str, help: &str) {
        self.findings.push(json!({
            "severity": severity,
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
        let shown = finding(&text::styled(style, severity), message, &self.path, help);
        self.rendered.push_str(&shown);
    }
}

/// Returns a finding about a whole file as text, in the form in which compilers print them.
fn finding(severity: &str, message: &str, path: &str, help: &str) -> String {
    let (message, path, help) = (one_line(message), one_line(path), one_line(help));
    format!("{severity}: {message}\n --> {path}\n  = help: {help}\n")
}

/// Largest number of names in a message (semantics M8).
const NAMES_MAX: usize = 10;

/// Returns the warning about plans whose pages reach nobody.
pub fn silence(names: &[String]) -> String {
    let shown = &names[..names.len().min(NAMES_MAX)];
    let mut list = shown.join(", ");
    if names.len() > NAMES_MAX {
        let more = text::thousands(names.len() - NAMES_MAX);
        list = format!("{list} and {more} more");
    }
    format!("no `notify`: pages of {list} only go to the log and wake nobody")
}

/// Returns the time that a plan takes if nothing holds it: all bakes, and `settle` for each step if the plan sets it.
pub fn minimum_duration(plan: &Plan) -> SignedDuration {
    let settle = plan.settle.unwrap_or(SignedDuration::ZERO);
    let mut sum = SignedDuration::ZERO;
    for step in &plan.steps {
        sum = sum.saturating_add(step.bake).saturating_add(settle);
    }
    sum
}

/// Returns all files as JSON: an array of `{path, ok, name, findings, steps, minimum_secs}`, and `told_at` if the
/// findings of another file say why this one is refused.
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

/// Returns one step as JSON. `share` is the exact share of the weights.
pub(super) fn step_json(step: &Step) -> Value {
    json!({
        "share": text::share_json(step.pair.share().unwrap_or(step.share)),
        "old_weight": step.pair.old.0,
        "new_weight": step.pair.new.0,
        "bake_secs": step.bake.as_secs(),
        "approval": step.approval,
    })
}

/// Returns the text for one file: its findings, and a summary of the plan if the file is valid.
pub fn to_text(checked: &Checked) -> String {
    let verdict = if checked.ok {
        text::styled(text::GOOD, "ok")
    } else if checked.missing {
        text::styled(text::BAD, "no plan file")
    } else {
        text::styled(text::BAD, "not valid")
    };
    let findings = match checked.rendered.trim_end() {
        "" => String::new(),
        rendered => format!("{rendered}\n\n"),
    };
    let summary = match &checked.plan {
        Some(plan) if checked.ok => summary(plan),
        Some(_) | None => String::new(),
    };
    let told_at = match &checked.told_at {
        Some(path) => format!(" (it is in the circle reported for {})", one_line(path)),
        None => String::new(),
    };
    let path = one_line(&checked.path);
    format!("{findings}{path}: {verdict}{told_at}\n{summary}")
}

/// Returns the summary of a plan: its size, steps, windows, jobs and hooks, and shortest duration.
fn summary(plan: &Plan) -> String {
    let gates = &plan.gates;
    let settle = match plan.settle {
        Some(_) if plan.windows.is_some() => "settling included, windows not",
        Some(_) => "settling included",
        None => "and the records' TTL to settle, each step",
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

/// Describes when steps are taken; empty if the plan has no windows.
fn windows(plan: &Plan) -> String {
    let Some(windows) = &plan.windows else {
        return String::new();
    };
    let zone = &windows.time_zone;
    let allowed = if windows.allow.is_empty() {
        "at any time".to_owned()
    } else {
        joined(&windows.allow)
    };
    let whole = if windows.whole_bake {
        ", bake included"
    } else {
        ""
    };
    let never = if windows.deny.is_empty() {
        String::new()
    } else {
        format!("  never: {}\n", joined(&windows.deny))
    };
    format!("  steps are taken in {zone} time: {allowed}{whole}\n{never}")
}

fn joined(entries: &[Entry]) -> String {
    let shown: Vec<String> = entries.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

/// Returns the steps as a table with a heading, one line each.
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

/// Aligns columns of numbers to the right.
pub(super) fn right_align(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Returns the lines of a table, indented. The first line is faint.
pub(super) fn indented(table: &Table) -> String {
    let mut lines = Vec::new();
    for (index, line) in table.lines().enumerate() {
        let line = format!("   {}", line.trim_end());
        lines.push(if index == 0 {
            text::styled(text::FAINT, &line) + "\n"
        } else {
            line + "\n"
        });
    }
    lines.concat()
}

/// Returns the share as the plan has it, and the exact share of the weights if it differs.
pub(super) fn exact_share(step: &Step) -> String {
    let exact = step.pair.share().unwrap_or(Share::ZERO);
    if exact == step.share {
        step.share.to_string()
    } else {
        format!("{} (exactly {exact})", step.share)
    }
}

fn approval(step: &Step) -> &'static str {
    if step.approval { "needs approval" } else { "" }
}
