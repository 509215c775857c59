//! `fleet.yaml`: settings that the plans of a directory and of all directories below it have in common.
//!
//! One file applies to a plan: the one in its directory or in the nearest one above. Two on the way up are refused, because
//! the nearer one would silently lift the guardrails of the other. The search ends at the top of a repository (a directory
//! with `.git`), so that a plan means the same whatever path names it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::engine::fleet::FleetSettings;
use crate::engine::window::Entry;
use crate::reach::regular_file::directory_of;

use super::diagnostics::{Finding, PlanFileError, Severity, Sink};
use super::file_text::read_text;
use super::fleet_keys::count;
use super::guardrails::{self, Guardrails};
use super::raw::RawFleet;
use super::tree::{self, Node, YamlValue};
use super::{channels, convert, keys, read, windows};

/// The names that a fleet's file may have.
const NAMES: [&str; 2] = ["fleet.yaml", "fleet.yml"];

/// The suggested fix for an empty file.
const BEGIN: &str = "start with `version: 1`, which is enough for a fleet without limits; then add what the plans have in \
     common, for example `max_in_flight: 10`";

/// The most directories that are searched, from the plan's own upwards.
const LEVELS_MAX: usize = 16;

/// A valid fleet's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFleet {
    /// The absolute path of the file.
    pub path: PathBuf,
    /// The limits for all cutovers together.
    pub settings: FleetSettings,
}

/// A fleet's file with everything that plans need from it.
pub(super) struct FleetFile {
    pub(super) path: PathBuf,
    pub(super) shown: String,
    pub(super) text: String,
    pub(super) settings: FleetSettings,
    pub(super) defaults: Option<Rc<Node>>,
    pub(super) guardrails: Guardrails,
    pub(super) holidays: Vec<Entry>,
}

/// Returns true if a path is that of a fleet's file.
pub(super) fn is_fleet_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| NAMES.contains(&name))
}

/// The fleet's file that applies to the plans of a directory.
///
/// # Errors
/// There is more than one on the way up.
pub fn fleet_path(directory: &Path) -> Result<Option<PathBuf>, PlanFileError> {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let mut found: Vec<PathBuf> = Vec::new();
    for above in directory.ancestors().take(LEVELS_MAX) {
        let here = NAMES.iter().map(|name| above.join(name));
        found.extend(here.filter(|path| is_there(path)));
        if above.join(".git").exists() {
            break;
        }
    }
    if let [nearest, other, ..] = found.as_slice() {
        let message = format!(
            "another fleet's file applies to the same plans: {}",
            other.display()
        );
        let help = "keep one of the two: the nearer one would lift the guardrails of the other";
        return Err(Finding::about_file(&nearest.display().to_string(), message, help).into());
    }
    Ok(found.pop())
}

/// Returns true if there is a fleet's file, even an unreadable one: a broken link must not lift guardrails.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir())
}

/// Loads a fleet's file. It may be a link to a file in its own directory.
///
/// # Errors
/// The file has mistakes, all of which are named, or cannot be read.
pub fn load(path: &Path) -> Result<LoadedFleet, PlanFileError> {
    load_below(path, directory_of(path))
}

/// Loads a fleet's file. If it is below `root`, it may be a link to a file below `root`.
///
/// # Errors
/// The file has mistakes, all of which are named, or cannot be read.
pub fn load_below(path: &Path, root: &Path) -> Result<LoadedFleet, PlanFileError> {
    let file = read_file(path, root)?;
    Ok(LoadedFleet {
        path: file.path,
        settings: file.settings,
    })
}

/// The fleet's file that applies to a plan.
///
/// # Errors
/// There are two, or it is not valid: then the plan is not valid either.
pub(super) fn of_plan(plan: &Path, root: &Path) -> Result<Option<FleetFile>, PlanFileError> {
    let plan_path = std::path::absolute(plan).unwrap_or_else(|_| plan.to_owned());
    let Some(directory) = plan_path.parent() else {
        return Ok(None);
    };
    let Some(path) = fleet_path(directory)? else {
        return Ok(None);
    };
    read_file(&path, root).map(Some).map_err(|error| {
        let shown = path.display();
        let mut message =
            format!("the fleet's file that applies to this plan, {shown}, is not valid");
        // A thousand plans need not repeat all findings of one file. The first one is named, for pages.
        if let Some(first) = error.findings.first() {
            let line = first.line.map(|line| format!("line {line}: "));
            let line = line.unwrap_or_default();
            message = format!("{message}: {line}{}", first.message);
        }
        let help = "fix that file first; `cutover check` shows every mistake in it";
        Finding::about_file(&plan.display().to_string(), message, help).into()
    })
}

fn read_file(path: &Path, root: &Path) -> Result<FleetFile, PlanFileError> {
    let shown = path.display().to_string();
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let root = if path.starts_with(&root) {
        root.as_path()
    } else {
        directory_of(path)
    };
    let text = read_text(path, root, &shown)?;
    let mut sink = Sink::new(&shown, &text);
    let parts = parts(&text, &mut sink);
    let findings = sink.into_findings();
    let failed = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    match parts {
        Some((settings, defaults, guardrails, holidays)) if !failed => Ok(FleetFile {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            shown,
            text,
            settings,
            defaults,
            guardrails,
            holidays,
        }),
        _ => Err(PlanFileError { findings }),
    }
}

type Parts = (FleetSettings, Option<Rc<Node>>, Guardrails, Vec<Entry>);

fn parts(text: &str, sink: &mut Sink<'_>) -> Option<Parts> {
    let root = tree::read(text, BEGIN, sink)?;
    let raw: RawFleet = read::read(&root, keys::FLEET, sink)?;
    if !convert::version_is_known(raw.version.as_ref(), sink) {
        return None;
    }
    let max_in_flight = raw
        .max_in_flight
        .and_then(|text| count::<RawFleet>(&text, "max_in_flight", sink));
    let failure_budget = raw
        .failure_budget
        .and_then(|text| count::<RawFleet>(&text, "failure_budget", sink));
    let guardrails = raw.guardrails.and_then(|guardrails| guardrails.value);
    let guardrails = guardrails.map(|raw| guardrails::convert(raw, sink));
    let holidays = raw.holidays.map(|list| windows::holidays(list, sink));
    let mut told = None;
    if let Some(defaults) = raw.defaults.and_then(|defaults| defaults.value) {
        told = defaults
            .notify
            .and_then(|notify| channels::convert(notify, sink));
    }
    let settings = FleetSettings {
        max_in_flight,
        failure_budget,
        notify: told,
    };
    Some((
        settings,
        child(&root, "defaults"),
        guardrails.unwrap_or_default(),
        holidays.unwrap_or_default(),
    ))
}

fn child(root: &Node, key: &str) -> Option<Rc<Node>> {
    let YamlValue::Map(entries) = &root.value else {
        return None;
    };
    let entry = entries.iter().find(|(own, _)| own.text == key);
    entry.map(|(_, node)| Rc::clone(node))
}
