//! The plan files as a running controller looks at them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::engine::fleet::FleetSettings;
use crate::engine::observation::FileReading;
use crate::engine::plan::Plan;
use crate::plan_file;
use crate::plan_file::Misordered;
use crate::ports::{PlanFiles, PlanFilesNow};

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
    /// The fleets' files that apply, each as it was when it could last be read.
    fleets: BTreeMap<PathBuf, (Stamp, Option<plan_file::Fleet>)>,
}

/// A file as it was when it was last read.
struct Known {
    stamp: (Stamp, Common),
    reading: FileReading,
}

/// The fleet's file of a directory, and its stamp; or that there are two.
type Common = Result<Option<(PathBuf, Stamp)>, ()>;

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
        let mut commons: BTreeMap<PathBuf, Common> = BTreeMap::new();
        for path in self.paths.iter().flat_map(found) {
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            let common = commons
                .entry(directory)
                .or_insert_with_key(|path| common(path));
            let stamp = (stamp(&path), common.clone());
            let known = looked
                .known
                .get(&path)
                .filter(|known| known.stamp == stamp && stamp.0.is_some());
            let reading = known.map_or_else(|| read(&path), |known| known.reading.clone());
            files.push((absolute(&path), reading.clone()));
            looked.known.insert(path, Known { stamp, reading });
        }
        refuse_circles(&mut files);
        looked.read_fleets(&commons);
        let now = PlanFilesNow {
            roots: self.paths.iter().map(|path| absolute(path)).collect(),
            files,
        };
        looked.at = Some(Instant::now());
        looked.now = Some(now.clone());
        now
    }

    fn fleet(&self) -> Option<(String, FleetSettings)> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fleets = looked
            .fleets
            .values()
            .filter_map(|(_, fleet)| fleet.as_ref());
        let first = fleets.next()?;
        let settings = fleets.fold(first.settings.clone(), |strictest, fleet| {
            strictest.strictest(fleet.settings.clone())
        });
        Some((first.path.display().to_string(), settings))
    }
}

impl Looked {
    /// Reads the fleets' files that changed. One that cannot be read keeps the limits that it had.
    fn read_fleets(&mut self, commons: &BTreeMap<PathBuf, Common>) {
        let wanted: BTreeMap<PathBuf, Stamp> = commons
            .values()
            .filter_map(|common| common.clone().ok().flatten())
            .collect();
        self.fleets.retain(|path, _| wanted.contains_key(path));
        for (path, stamp) in wanted {
            let known = self.fleets.get(&path);
            if known.is_some_and(|(known, _)| *known == stamp) {
                continue;
            }
            let before = self.fleets.remove(&path).and_then(|(_, fleet)| fleet);
            let fleet = plan_file::load_fleet(&path).ok().or(before);
            self.fleets.insert(path, (stamp, fleet));
        }
    }
}

fn common(directory: &Path) -> Common {
    let path = plan_file::fleet_path(directory).map_err(|_| ())?;
    Ok(path.map(|path| {
        let stamp = stamp(&path);
        (path, stamp)
    }))
}

/// Plans that wait for each other in a circle would wait for ever, and say nothing about it. What waits for a cutover that
/// nobody knows says so by itself.
fn refuse_circles(files: &mut [(String, FileReading)]) {
    let plans: Vec<&Plan> = files
        .iter()
        .filter_map(|(_, reading)| match reading {
            FileReading::Plan(source) => Some(&source.plan),
            FileReading::NotWatched | FileReading::Removed | FileReading::Unreadable(_) => None,
        })
        .collect();
    if plans.iter().all(|plan| plan.after.is_empty()) {
        return;
    }
    let wrong = plan_file::order(&plans, &BTreeSet::new());
    for (_, reading) in files {
        let FileReading::Plan(source) = reading else {
            continue;
        };
        let problems = wrong.get(&source.plan.name).into_iter().flatten();
        let mut circles = problems.filter(|problem| matches!(problem, Misordered::Circle(_)));
        if let Some(circle) = circles.next() {
            *reading = FileReading::Unreadable(circle.message());
        }
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
        Ok(loaded) => FileReading::Plan(Arc::new(loaded.source)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_the_same_with_and_without_its_slash() {
        assert_eq!(absolute(Path::new("/plans/")), "/plans");
        assert_eq!(absolute(Path::new("/plans/./a.yaml")), "/plans/a.yaml");
        assert_eq!(absolute(Path::new("plans/")), absolute(Path::new("plans")));
    }
}
