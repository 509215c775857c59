//! Paths on the command line → plan files.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::diagnostics::{Finding, PlanFileError};
use super::fleet_file;

/// The deepest nesting of directories that is searched.
const DEPTH_MAX: usize = 16;

/// The plan files that paths stand for: a file for itself, a directory for the `*.yaml` and `*.yml` in it and below it,
/// in the order of their names. Hidden files and directories, `fleet.yaml` and `*.scenario.yaml` (see `rehearse --scenario`)
/// are skipped, links to directories are not followed, and a file that is named twice is returned once.
///
/// # Errors
/// A path does not exist or cannot be read, a directory contains no plan, or a `fleet.yaml` is named itself. Every such path
/// is reported.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, PlanFileError> {
    let mut search = Search::default();
    for path in paths {
        search.named(path);
    }
    if search.findings.is_empty() {
        Ok(search.files)
    } else {
        let findings = search.findings;
        Err(PlanFileError { findings })
    }
}

#[derive(Default)]
struct Search {
    files: Vec<PathBuf>,
    /// The same files as a set.
    known: BTreeSet<PathBuf>,
    findings: Vec<Finding>,
}

impl Search {
    fn named(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let (before, failed) = (self.files.len(), self.findings.len());
                let listed = self.directory(path, 0);
                if listed == 0 && self.files.len() == before && self.findings.len() == failed {
                    self.complain(
                        path,
                        "the directory contains no plan file",
                        "plan files end in `.yaml` or `.yml`",
                    );
                }
            }
            Ok(_) if fleet_file::is_fleet_file(path) => self.complain(
                path,
                "this is a fleet's file, not a plan",
                "name the directory, or the plans in it; the file applies to them automatically",
            ),
            Ok(_) => self.file(path),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                let help = format!("check the path; there is no {}", whole.display());
                self.complain(path, "there is no such file or directory", &help);
            }
            Err(error) => {
                let message = format!("the path cannot be read: {error}");
                self.complain(
                    path,
                    &message,
                    "check the path, and that this user may read it",
                );
            }
        }
    }

    /// Searches a directory. Returns the number of its plan files, those that were found before included.
    fn directory(&mut self, path: &Path, depth: usize) -> usize {
        if depth > DEPTH_MAX {
            let message = format!("directories are searched only {DEPTH_MAX} levels deep");
            self.complain(path, &message, "name the directory that contains the plans");
            return 0;
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("the directory cannot be read: {error}");
                self.complain(path, &message, "check that this user may read it");
                return 0;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut count = 0;
        for entry in entries {
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                count += self.directory(&path, depth + 1);
            } else if is_plan(&path) && !path.is_dir() {
                self.file(&path);
                count += 1;
            }
        }
        count
    }

    fn file(&mut self, path: &Path) {
        if self.known.insert(path.to_owned()) {
            self.files.push(path.to_owned());
        }
    }

    fn complain(&mut self, path: &Path, message: &str, help: &str) {
        let shown = path.display().to_string();
        self.findings
            .push(Finding::about_file(&shown, message, help));
    }
}

/// Returns true if a file in a directory counts as a plan: YAML, but neither a fleet's file nor a rehearsal's scenario, which
/// may be in the same directory.
fn is_plan(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let stem = name.and_then(|name| name.strip_suffix(".yaml").or(name.strip_suffix(".yml")));
    stem.is_some_and(|stem| !stem.ends_with(".scenario") && !fleet_file::is_fleet_file(path))
}
