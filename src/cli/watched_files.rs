//! The plan files as a running controller looks at them, and the break-glass directory that it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::engine::observation::FileReading;
use crate::plan_file;
use crate::ports::{BreakGlass, PlanFiles, PlanFilesNow};

/// Files are looked at no more often than this, however fast rounds follow each other.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Plan files, read again when they change.
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    looked: Mutex<Looked>,
}

#[derive(Default)]
struct Looked {
    at: Option<Instant>,
    now: Option<PlanFilesNow>,
    known: BTreeMap<PathBuf, Known>,
}

/// A file as it was when it was last read.
struct Known {
    stamp: Stamp,
    reading: FileReading,
}

/// What tells that a file has changed.
type Stamp = Option<(SystemTime, u64)>;

impl WatchedFiles {
    /// Watches these files and directories.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            looked: Mutex::default(),
        }
    }
}

impl PlanFiles for WatchedFiles {
    fn look(&self) -> PlanFilesNow {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(at), Some(now)) = (looked.at, &looked.now)
            && at.elapsed() < LOOK_EVERY
        {
            return now.clone();
        }
        let mut files = Vec::new();
        for path in self.paths.iter().flat_map(found) {
            let stamp = stamp(&path);
            let known = looked
                .known
                .get(&path)
                .filter(|known| known.stamp == stamp && stamp.is_some());
            let reading = known.map_or_else(|| read(&path), |known| known.reading.clone());
            files.push((absolute(&path), reading.clone()));
            looked.known.insert(path, Known { stamp, reading });
        }
        let now = PlanFilesNow {
            roots: self.paths.iter().map(|path| absolute(path)).collect(),
            files,
        };
        looked.at = Some(Instant::now());
        looked.now = Some(now.clone());
        now
    }
}

/// The files that a path stands for; the path itself where that cannot be told, so that its reading says why.
fn found(path: &PathBuf) -> Vec<PathBuf> {
    plan_file::find(std::slice::from_ref(path)).unwrap_or_else(|_| vec![path.clone()])
}

fn read(path: &Path) -> FileReading {
    if !path.exists() {
        return FileReading::Removed;
    }
    match plan_file::load(path) {
        Ok(loaded) => FileReading::Plan(Box::new(loaded.source)),
        Err(error) => FileReading::Unreadable(first_words(&error)),
    }
}

fn first_words(error: &plan_file::PlanFileError) -> String {
    let first = error
        .findings
        .first()
        .map_or("it is not valid", |finding| finding.message.as_str());
    let more = error.findings.len().saturating_sub(1);
    if more == 0 {
        first.to_owned()
    } else {
        format!("{first} (and {more} more; see `cutover check`)")
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The path as plans in the journal carry it; a directory's without the slash at its end.
pub fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts: PathBuf = path.components().collect();
    parts.display().to_string()
}

/// A directory of break-glass files.
pub struct BreakGlassDirectory(pub PathBuf);

impl BreakGlass for BreakGlassDirectory {
    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String> {
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(&self.0).map_err(|error| failed(&self.0, error))?;
        for (name, content) in files {
            let path = self.0.join(name);
            replace(&path, content).map_err(|error| failed(&path, error))?;
        }
        let names: BTreeSet<&str> = files.keys().map(String::as_str).collect();
        for entry in fs::read_dir(&self.0)
            .map_err(|error| failed(&self.0, error))?
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_ours(&name) && !names.contains(name.as_str()) {
                fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), error))?;
            }
        }
        Ok(())
    }
}

/// Whether a name is one that this directory's files have: `ZONEID-01.json`.
fn is_ours(name: &str) -> bool {
    let number = name
        .strip_suffix(".json")
        .and_then(|stem| stem.rsplit_once('-'));
    number.is_some_and(|(zone, number)| {
        let is_zone = zone
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
        is_zone
            && !zone.is_empty()
            && number.len() >= 2
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Replaces a file so that a reader sees the old content or the new, never half of it.
fn replace(path: &Path, content: &str) -> std::io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = fs::File::create(&draft)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_the_same_with_and_without_its_slash() {
        assert_eq!(absolute(Path::new("/plans/")), "/plans");
        assert_eq!(absolute(Path::new("/plans/./a.yaml")), "/plans/a.yaml");
        assert_eq!(absolute(Path::new("plans/")), absolute(Path::new("plans")));
    }

    #[test]
    fn only_break_glass_files_are_removed() {
        assert!(is_ours("Z0123456789ABC-01.json"));
        assert!(!is_ours("notes-01.json"));
        assert!(!is_ours("package.json"));
        assert!(!is_ours("Z0123456789ABC-01.json.bak"));
    }
}
