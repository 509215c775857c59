//! Files and texts → plans.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::engine::plan::{Plan, PlanSource};
use crate::reach::regular_file::directory_of;

use super::diagnostics::{Finding, PlanFileError, Sink, Span};
use super::file_text::{FILE_BYTES_MAX, read_text, too_large};
use super::fleet_file::{self, FleetFile};
use super::raw::RawPlan;
use super::tree::{self, Node, YamlValue};
use super::{convert, guardrails, lint, merge, read, windows};

/// A plan that has passed all checks, and its warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The plan and where it came from.
    pub source: PlanSource,
    /// The fleet's file that applies to it, absolute.
    pub fleet: Option<PathBuf>,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Finding>,
    /// The place of its windows; none if they are the fleet's.
    windows: Option<Span>,
}

impl Loaded {
    /// The same plan, with a warning if its windows never open again after `now`: no step would ever be taken.
    #[must_use]
    pub fn judged_at(mut self, now: Timestamp, shown: &str) -> Self {
        let windows = self.source.plan.windows.as_ref();
        let over = windows.is_some_and(|windows| windows.opens_at(now).is_none());
        if let Some(place) = &self.windows
            && over
        {
            let mut sink = Sink::new(shown, &self.source.text);
            let message = "the windows are over: no step will ever be taken";
            let help = "write future dates, or remove the dates from `allow`";
            sink.warning(place, message, help);
            self.warnings.extend(sink.into_findings());
        }
        self
    }
}

/// The suggested fix for an empty plan.
pub(super) const BEGIN: &str = "start with `version: 1`; the example plans show the rest";

/// Loads a plan file that was named itself. It may be a link to a file in its own directory, but not elsewhere.
///
/// # Errors
/// The file has mistakes, all of which are named, or cannot be read.
pub fn load(path: &Path) -> Result<Loaded, PlanFileError> {
    load_below(path, directory_of(path))
}

/// Loads a plan file that was found below a directory. It may be a link to a file below that directory.
///
/// # Errors
/// The file has mistakes, all of which are named, or cannot be read.
pub fn load_below(path: &Path, root: &Path) -> Result<Loaded, PlanFileError> {
    let shown = path.display().to_string();
    let text = read_text(path, root, &shown)?;
    let fleet = fleet_file::of_plan(path, root)?;
    parse_as(&text, &shown, path, fleet.as_ref())
}

/// Parses the text of a plan file, without any fleet's file; `path` names it in findings.
///
/// # Errors
/// The text has mistakes, all of which are named.
pub fn parse(text: &str, path: &str) -> Result<Loaded, PlanFileError> {
    parse_as(text, path, Path::new(path), None)
}

fn parse_as(
    text: &str,
    shown: &str,
    path: &Path,
    fleet: Option<&FleetFile>,
) -> Result<Loaded, PlanFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX) {
        return Err(too_large(shown, text.len()).into());
    }
    let mut sink = Sink::new(shown, text);
    let read = plan_of(text, fleet, &mut sink);
    let (plan, windows) = read.map_or((None, None), |(plan, windows)| (Some(plan), windows));
    let failed = sink.has_errors();
    let findings = sink.into_findings();
    match plan {
        Some(plan) if !failed => Ok(Loaded {
            source: PlanSource {
                digest: digest(&plan),
                plan,
                path: absolute(path),
                text: text.to_owned(),
            },
            fleet: fleet.map(|fleet| fleet.path.clone()),
            warnings: findings,
            windows: windows.filter(|place| place.end <= text.len()),
        }),
        _ => Err(PlanFileError { findings }),
    }
}

/// The plan, and the place of its windows.
fn plan_of<'t>(
    text: &str,
    fleet: Option<&'t FleetFile>,
    sink: &mut Sink<'t>,
) -> Option<(Plan, Option<Span>)> {
    let mut root = tree::read(text, BEGIN, sink)?;
    if let Some(key) = other_kind(&root, &SCENARIO_KEYS, &PLAN_KEYS) {
        let message = "this is a scenario of a rehearsal, not a plan";
        let help =
            "name the plan, and the scenario behind it: `cutover rehearse PLAN --scenario FILE`";
        sink.error(key, message, help);
        return None;
    }
    let mut base = 0;
    if let Some(fleet) = fleet {
        base = sink.beside(&fleet.shown, &fleet.text);
        if let Some(defaults) = &fleet.defaults {
            root = merge::merged(&root, defaults, base);
        }
    }
    let raw: RawPlan = read::read(&root, "the plan", sink)?;
    let places = lint::Places::of(&raw);
    let mut plan = convert::convert(raw, &root.span, sink)?;
    if let Some(fleet) = fleet {
        windows::add_holidays(&mut plan, &fleet.holidays, &places.windows, sink);
        guardrails::check(&plan, &places, &fleet.guardrails, base, sink);
    }
    lint::lint(&plan, &places, sink);
    let windows = places.windows;
    if windows.is_empty() {
        return Some((plan, None));
    }
    Some((plan, Some(windows)))
}

/// Keys by which a scenario is recognised.
pub(super) const SCENARIO_KEYS: [&str; 3] = ["faults", "traffic", "resolvers"];

/// Keys by which a plan is recognised.
pub(super) const PLAN_KEYS: [&str; 4] = ["version", "records", "steps", "gates"];

/// The first key of a file if it is of another kind than the one that is wanted: it has keys of the other kind and none of
/// its own.
pub(super) fn other_kind<'n>(root: &'n Node, other: &[&str], own: &[&str]) -> Option<&'n Span> {
    let YamlValue::Map(entries) = &root.value else {
        return None;
    };
    let mut is_other = false;
    for (key, _) in entries {
        if own.contains(&key.text.as_str()) {
            return None;
        }
        is_other |= other.contains(&key.text.as_str());
    }
    let (first, _) = entries.first()?;
    if is_other { Some(&first.span) } else { None }
}

/// The absolute path, whether it exists or not; as given if there is no working directory.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    path.display().to_string()
}

/// SHA-256 over what the plan does, in hexadecimal: `description`, `notify` and the form of the file do not count.
fn digest(plan: &Plan) -> String {
    let counted = Plan {
        description: None,
        notify: None,
        ..plan.clone()
    };
    let value = serde_json::to_value(counted).expect("invariant: a plan has only text keys");
    let mut canonical = String::new();
    write_canonical(&value, &mut canonical);
    let mut hex = String::new();
    for byte in Sha256::digest(canonical.as_bytes()) {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    hex
}

/// Writes JSON without spaces and with sorted keys.
fn write_canonical(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}
