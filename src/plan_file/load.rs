//! Files and texts → plans.

use std::path::Path;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;

use crate::engine::plan::Plan;
use crate::engine::plan::PlanSource;
use crate::reach::regular_file;
use crate::reach::regular_file::Unread;
use crate::reach::regular_file::directory_of;

use super::convert;
use super::diagnostics::Finding;
use super::diagnostics::PlanFileError;
use super::diagnostics::Sink;
use super::diagnostics::Span;
use super::fleet_file;
use super::fleet_file::FleetFile;
use super::guardrails;
use super::lint;
use super::merge;
use super::raw::RawPlan;
use super::read;
use super::tree;
use super::windows;

/// A plan that has passed all checks, and what a person should know about it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The plan and where it came from.
    pub source: PlanSource,
    /// The fleet's file that applies to it, absolute.
    pub fleet: Option<PathBuf>,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Finding>,
    /// Where its windows stand; none where they are the fleet's.
    windows: Option<Span>,
}

impl Loaded {
    /// The same with a warning where its windows never open again from `now` on: no step would ever be taken.
    #[must_use]
    pub fn judged_at(mut self, now: Timestamp, shown: &str) -> Self {
        let windows = self.source.plan.windows.as_ref();
        let over = windows.is_some_and(|windows| windows.opens_at(now).is_none());
        if let Some(place) = self.windows.as_ref().filter(|_| over) {
            let mut sink = Sink::new(shown, &self.source.text);
            let message = "the windows are over: no step will ever be taken";
            let help = "write dates that are to come, or take the dates out of `allow`";
            sink.warning(place, message, help);
            self.warnings.extend(sink.into_findings());
        }
        self
    }
}

/// What to write into an empty plan.
pub(super) const BEGIN: &str = "start with `version: 1`; the example plans show the rest";

/// The largest file that is read. A plan of 100 records and 100 steps has some 20 KiB.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Loads a plan file that was named itself. It may be a link to a file in its own directory, and not to one elsewhere.
///
/// # Errors
/// Everything that is wrong with the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, PlanFileError> {
    load_below(path, directory_of(path))
}

/// Loads a plan file that was found below a directory. It may be a link to a file below that directory.
///
/// # Errors
/// Everything that is wrong with the file, or why it cannot be read.
pub fn load_below(path: &Path, root: &Path) -> Result<Loaded, PlanFileError> {
    let shown = path.display().to_string();
    let text = read_text(path, root, &shown)?;
    let fleet = fleet_file::of_plan(path, root)?;
    parse_as(&text, &shown, path, fleet.as_ref())
}

/// The text of a file, within bounds, and not from outside of the directory.
pub(super) fn read_text(path: &Path, root: &Path, shown: &str) -> Result<String, PlanFileError> {
    let text = decode(read_bytes(path, root, shown)?, shown)?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Parses the text of a plan file, without any fleet's file; `path` names it in findings.
///
/// # Errors
/// Everything that is wrong with the text.
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

/// The plan, and where its windows stand.
fn plan_of<'t>(
    text: &str,
    fleet: Option<&'t FleetFile>,
    sink: &mut Sink<'t>,
) -> Option<(Plan, Option<Span>)> {
    let mut root = tree::read(text, BEGIN, sink)?;
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
    let windows = Some(places.windows).filter(|place| !place.is_empty());
    Some((plan, windows))
}

/// Reads a file, but never more of it than a plan can have, and nothing from outside of the directory.
pub(super) fn read_bytes(path: &Path, root: &Path, shown: &str) -> Result<Vec<u8>, PlanFileError> {
    let read = regular_file::read(path, Some(root), FILE_BYTES_MAX);
    let finding = match read {
        Ok(bytes) => return Ok(bytes),
        Err(Unread::Io(error)) => {
            let message = format!("the file cannot be read: {error}");
            let help = "check the path, and that this user may read it";
            Finding::about_file(shown, message, help)
        }
        Err(error @ Unread::Directory) => {
            Finding::about_file(shown, error.to_string(), "name the plan files in it")
        }
        Err(error @ Unread::NotRegular) => {
            let help = "name a file, or take it away if it lies among the plans";
            Finding::about_file(shown, error.to_string(), help)
        }
        Err(error @ Unread::LeadsOut(_)) => {
            let help =
                "name the file that it leads to, or put a copy of it in the place of the link";
            Finding::about_file(shown, error.to_string(), help)
        }
        Err(Unread::TooLarge(_)) => {
            let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            too_large(shown, length.max(FILE_BYTES_MAX + 1))
        }
    };
    Err(finding.into())
}

pub(super) fn too_large(shown: &str, bytes: impl std::fmt::Display) -> Finding {
    let message =
        format!("the file has {bytes} bytes; a plan has at most {FILE_BYTES_MAX} (1 MiB)");
    Finding::about_file(shown, message, "check that this is a plan file")
}

pub(super) fn decode(bytes: Vec<u8>, shown: &str) -> Result<String, PlanFileError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let help = "save it as UTF-8";
        return Err(Finding::about_file(shown, "the file is UTF-16", help).into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        // What can be shown of the line, with U+FFFD for what cannot; the text before the mistake is unchanged.
        let text = String::from_utf8_lossy(error.as_bytes());
        let mut sink = Sink::new(shown, &text);
        let message = format!(
            "this is not UTF-8: byte {} of the file is 0x{byte:02x}",
            valid + 1
        );
        sink.error(&(valid..valid + 1), message, "save the file as UTF-8");
        let findings = sink.into_findings();
        PlanFileError { findings }
    })
}

/// The absolute path, without looking whether it is there; as given if there is no working directory.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    path.display().to_string()
}

/// SHA-256 over what the plan does, hexadecimal: not over `description` and `notify`, nor how the file is written.
fn digest(plan: &Plan) -> String {
    let counted = Plan {
        description: None,
        notify: None,
        ..plan.clone()
    };
    let value = serde_json::to_value(counted).expect("invariant: a plan has only text keys");
    let mut canonical = String::new();
    write_canonical(&value, &mut canonical);
    let digest = Sha256::digest(canonical.as_bytes());
    let hex = |digit: u8| char::from_digit(u32::from(digit), 16).unwrap_or_default();
    let both = |byte: &u8| [hex(byte >> 4), hex(byte & 15)];
    digest.iter().flat_map(both).collect()
}

/// Writes JSON without spaces and with sorted keys.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}
