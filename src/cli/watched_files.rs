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
use crate::engine::units::CutoverName;
use crate::plan_file;
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
    /// The fleet's file that last applied to the plans of each directory.
    applied: BTreeMap<PathBuf, PathBuf>,
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
            if let Some(fleet) = looked.gone(&path, common) {
                files.push((absolute(&path), without(&path, fleet)));
                continue;
            }
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
    /// The fleet's file that applied to a plan and is gone, with nothing in its place: what it asked for would be lifted
    /// without anybody saying so.
    fn gone(&self, plan: &Path, common: &Common) -> Option<&PathBuf> {
        let nothing = matches!(common, Ok(None));
        let directory = plan.parent().unwrap_or(Path::new(""));
        self.applied.get(directory).filter(|_| nothing)
    }

    /// Reads the fleets' files that changed. One that cannot be read, or is gone, keeps the limits that it had.
    fn read_fleets(&mut self, commons: &BTreeMap<PathBuf, Common>) {
        let mut wanted: BTreeMap<PathBuf, Stamp> = BTreeMap::new();
        for (directory, common) in commons {
            if let Ok(Some((path, stamp))) = common {
                wanted.insert(path.clone(), *stamp);
                self.applied.insert(directory.clone(), path.clone());
            }
        }
        for (directory, common) in commons {
            let gone = self.applied.get(directory).filter(|_| *common == Ok(None));
            if let Some(path) = gone {
                wanted.entry(path.clone()).or_insert(None);
            }
        }
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
    let mut refused: BTreeMap<&CutoverName, String> = BTreeMap::new();
    for circle in &wrong.circles {
        let message = circle.message();
        refused.extend(circle.members.iter().map(|name| (name, message.clone())));
    }
    for (_, reading) in files {
        let FileReading::Plan(source) = reading else {
            continue;
        };
        if let Some(message) = refused.get(&source.plan.name) {
            *reading = FileReading::Unreadable(message.clone());
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

/// What a plan is without the fleet's file that applied to it: nothing to go by, until somebody has said what is meant.
fn without(plan: &Path, fleet: &Path) -> FileReading {
    if !plan.exists() {
        return FileReading::Removed;
    }
    FileReading::Unreadable(format!(
        "the fleet's file that applied to it, {}, is gone, and its guardrails, defaults and limits would go with it: put \
         it back (`version: 1` alone asks for nothing), or start `cutover run` anew to go on without it",
        fleet.display()
    ))
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
    /// A directory with two plans, what is watched of it, and the fleet's file.
    fn fleet(name: &str) -> (tempfile::TempDir, WatchedFiles, PathBuf) {
        const PLAN: &str = "version: 1\nrecords: [ { zone: a.com, name: b.a.com, type: A, old: x, new: y } ]\n\
                            steps: [ { weight: 100%, bake: 1h } ]\ngates: { alarms: [ red ] }\n";
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for service in ["one", "two"] {
            let path = folder.path().join(format!("{service}.yaml"));
            fs::write(path, format!("{PLAN}name: {service}\n")).unwrap();
        }
        let path = folder.path().join(name);
        fs::write(
            &path,
            "max_in_flight: 1\nguardrails: { bake_at_least: 1h }\n",
        )
        .unwrap();
        let watched = WatchedFiles::new(&[folder.path().to_owned()]);
        (folder, watched, path)
    }

    async fn look(watched: &WatchedFiles) -> Vec<FileReading> {
        tokio::time::advance(LOOK_EVERY).await;
        let files = watched.look().files.into_iter();
        files.map(|(_, reading)| reading).collect()
    }

    fn are_plans(readings: &[FileReading]) -> bool {
        let is_plan = |reading: &FileReading| matches!(reading, FileReading::Plan(_));
        readings.len() == 2 && readings.iter().all(is_plan)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleets_file_that_goes_away_lifts_neither_guardrails_nor_limits() {
        let (folder, watched, path) = fleet("fleet.yaml");
        assert!(are_plans(&look(&watched).await));
        let limits = watched.fleet();
        assert!(limits.is_some());
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // A plan that the guardrails forbid comes at the same moment.
        let new = fs::read_to_string(folder.path().join("one.yaml")).unwrap();
        let new = new.replace("1h", "1m").replace("name: one", "name: new");
        fs::write(folder.path().join("new.yaml"), new).unwrap();
        for _ in 0..3 {
            let readings = look(&watched).await;
            assert_eq!(readings.len(), 3);
            for reading in readings {
                let FileReading::Unreadable(why) = reading else {
                    panic!("{reading:?}");
                };
                assert!(why.contains("fleet.yaml, is gone"), "{why}");
                assert!(why.contains("put it back") && why.contains("anew"), "{why}");
            }
            assert_eq!(watched.fleet(), limits);
        }
        fs::remove_file(folder.path().join("new.yaml")).unwrap();
        fs::write(&path, &text).unwrap();
        assert!(are_plans(&look(&watched).await), "put back, they go on");
        fs::remove_file(&path).unwrap();
        let anew = WatchedFiles::new(&[folder.path().to_owned()]);
        assert!(are_plans(&look(&anew).await), "started anew, without it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleets_file_that_another_takes_the_place_of_is_not_missed() {
        let (folder, watched, path) = fleet("fleet.yaml");
        assert!(are_plans(&look(&watched).await));
        fs::rename(&path, folder.path().join("fleet.yml")).unwrap();
        assert!(are_plans(&look(&watched).await), "another is in its place");
        assert!(watched.fleet().is_some());
    }
}
