//! The plan files that a running controller watches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::plans::{Below, absolute};
use crate::engine::fleet::FleetSettings;
use crate::engine::observation::FileReading;
use crate::engine::plan::Plan;
use crate::engine::units::CutoverName;
use crate::plan_file;
use crate::ports::{PlanFiles, PlanFilesNow};
use crate::reach::aside::Aside;
use crate::reach::regular_file::directory_of;

/// Shortest time between two readings of the files, however fast the rounds are.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest wait of a round for files that other threads read. A later result counts in the next round.
const WAIT: Duration = Duration::from_millis(250);

/// Longest wait of a round while no file has been read yet.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The time after which files that do not answer count as unreadable (semantics M3).
const LATE_AFTER: Duration = Duration::from_secs(2);

/// Plan files, which are read again when they change. Separate threads read them, so that no file system delays a
/// round.
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    shelves: Vec<Shelf>,
    looked_at: Mutex<Option<Instant>>,
}

/// Paths that are read together, in one thread: a directory, or files of one directory.
struct Shelf {
    paths: Vec<PathBuf>,
    aside: Aside,
    /// What is remembered between two readings. The thread that reads holds the lock.
    looked: Arc<Mutex<Looked>>,
    found: Arc<Mutex<Option<FilesRead>>>,
    /// When the last reading began; `None` before the first one.
    asked_at: Mutex<Option<Instant>>,
}

/// The result of reading the files once.
#[derive(Clone, Default)]
struct FilesRead {
    files: Vec<(PathBuf, FileReading)>,
    /// The `fleet.yaml` files that apply, each as it was when it could last be read.
    fleets: Vec<plan_file::LoadedFleet>,
}

#[derive(Default)]
struct Looked {
    known: BTreeMap<PathBuf, Known>,
    /// The `fleet.yaml` that last applied to the plans of each directory.
    applied: BTreeMap<PathBuf, PathBuf>,
    /// The `fleet.yaml` files that apply, each as it was when it could last be read.
    fleets: BTreeMap<PathBuf, (Stamp, Option<plan_file::LoadedFleet>)>,
}

/// A file as it was when it was last read.
struct Known {
    stamp: (Stamp, Common),
    reading: FileReading,
}

/// The `fleet.yaml` that applies to a directory, with its stamp; an error if there are two.
type Common = Result<Option<(PathBuf, Stamp)>, ()>;

/// The modification time and length of a file, which tell whether it has changed; `None` if it cannot be seen.
type Stamp = Option<(SystemTime, u64)>;

impl WatchedFiles {
    /// Creates a watcher of these files and directories. Nothing is read yet.
    pub fn new(paths: &[PathBuf]) -> Self {
        let mut shelves: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
        for path in paths {
            // The name decides whether it is a file, because asking the file system may hang.
            let is_file = path.extension().is_some();
            let place = if is_file { directory_of(path) } else { path };
            match shelves.iter_mut().find(|(known, _)| known == place) {
                Some((_, shelf)) => shelf.push(path.clone()),
                None => shelves.push((place.to_owned(), vec![path.clone()])),
            }
        }
        let shelves = shelves.into_iter().map(|(_, paths)| Shelf::new(paths));
        Self {
            paths: paths.to_vec(),
            shelves: shelves.collect(),
            looked_at: Mutex::default(),
        }
    }
}

impl PlanFiles for WatchedFiles {
    fn look(&self) -> PlanFilesNow {
        let mut looked_at = locked(&self.looked_at);
        let is_due = looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if is_due {
            *looked_at = Some(Instant::now());
            let asked: Vec<_> = self.shelves.iter().map(Shelf::ask).collect();
            let fresh = self
                .shelves
                .iter()
                .all(|shelf| locked(&shelf.found).is_some());
            let mut left = if fresh { WAIT } else { FIRST_WAIT };
            for answer in asked.into_iter().flatten() {
                // After the first one that hangs, do not wait for the others: they have had the same time.
                if answer.recv_timeout(left).is_err() {
                    left = Duration::ZERO;
                }
            }
        }
        let mut files: Vec<(String, FileReading)> = Vec::new();
        for shelf in &self.shelves {
            files.extend(shelf.files());
        }
        refuse_circles(&mut files);
        PlanFilesNow {
            roots: self.paths.iter().map(|path| absolute(path)).collect(),
            files,
        }
    }

    fn fleet(&self) -> Option<(String, FleetSettings)> {
        let mut fleets: BTreeMap<PathBuf, FleetSettings> = BTreeMap::new();
        for shelf in &self.shelves {
            for fleet in locked(&shelf.found).iter().flat_map(|found| &found.fleets) {
                fleets.insert(fleet.path.clone(), fleet.settings.clone());
            }
        }
        let mut fleets = fleets.into_iter();
        let (path, first) = fleets.next()?;
        let settings = fleets.fold(first, |strictest, (_, fleet)| strictest.strictest(fleet));
        Some((path.display().to_string(), settings))
    }
}

impl Shelf {
    fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            aside: Aside::default(),
            looked: Arc::default(),
            found: Arc::default(),
            asked_at: Mutex::default(),
        }
    }

    /// Begins to read the files, unless the last reading is still in progress. Returns a receiver that is told when the
    /// reading has ended.
    fn ask(&self) -> Option<Receiver<()>> {
        let (paths, looked) = (self.paths.clone(), Arc::clone(&self.looked));
        let found = Arc::clone(&self.found);
        let asked = self.aside.begin(move || {
            let read = locked(&looked).look(&paths);
            *locked(&found) = Some(read);
        })?;
        *locked(&self.asked_at) = Some(Instant::now());
        Some(asked)
    }

    /// Returns the files as last read. If the reading in progress is late, returns them as unreadable.
    fn files(&self) -> Vec<(String, FileReading)> {
        let found = locked(&self.found).clone();
        let asked_at = *locked(&self.asked_at);
        let late = asked_at.is_some_and(|at| at.elapsed() >= LATE_AFTER) && self.aside.is_busy();
        let Some(found) = found else {
            let silent = self.paths.iter().map(|path| (absolute(path), silent(path)));
            return silent.collect();
        };
        let mut files = Vec::new();
        for (path, reading) in found.files {
            let reading = if late { silent(&path) } else { reading };
            files.push((absolute(&path), reading));
        }
        files
    }
}

/// Returns the reading of a file whose file system does not answer.
fn silent(path: &Path) -> FileReading {
    FileReading::Unreadable(format!(
        "{} does not answer: check the file system that it is on",
        path.display()
    ))
}

/// Locks a mutex. A panic in another thread leaves its content consistent.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Looked {
    /// Reads the files that have changed. Blocks as long as the file system does.
    fn look(&mut self, paths: &[PathBuf]) -> FilesRead {
        let mut files = Vec::new();
        let mut commons: BTreeMap<PathBuf, (Common, PathBuf)> = BTreeMap::new();
        for root in paths {
            for file in found(root).into_iter().map(|path| Below::of(path, root)) {
                let directory = file.path.parent().unwrap_or(Path::new("")).to_owned();
                let (common, _) = commons
                    .entry(directory)
                    .or_insert_with_key(|path| (common(path), file.root.clone()));
                if let Some(fleet) = self.gone(&file.path, common) {
                    let reading = without(&file.path, fleet);
                    files.push((file.path, reading));
                    continue;
                }
                let stamp = (stamp(&file.path), common.clone());
                let known = self.known.get(&file.path);
                let reading = match known {
                    Some(known) if known.stamp == stamp && stamp.0.is_some() => {
                        known.reading.clone()
                    }
                    Some(_) | None => read(&file),
                };
                files.push((file.path.clone(), reading.clone()));
                self.known.insert(file.path, Known { stamp, reading });
            }
        }
        self.read_fleets(&commons);
        let fleets = self.fleets.values();
        FilesRead {
            files,
            fleets: fleets.filter_map(|(_, fleet)| fleet.clone()).collect(),
        }
    }

    /// Returns the `fleet.yaml` that applied to a plan if it is gone and no other is in its place. Without this check,
    /// the rules of that file would be lifted silently.
    fn gone(&self, plan: &Path, common: &Common) -> Option<&PathBuf> {
        if !matches!(common, Ok(None)) {
            return None;
        }
        self.applied.get(plan.parent().unwrap_or(Path::new("")))
    }

    /// Reads the `fleet.yaml` files that changed. The settings of a file that is gone or cannot be read stay in force.
    fn read_fleets(&mut self, commons: &BTreeMap<PathBuf, (Common, PathBuf)>) {
        let mut wanted: BTreeMap<PathBuf, (Stamp, PathBuf)> = BTreeMap::new();
        for (directory, (common, root)) in commons {
            if let Ok(Some((path, stamp))) = common {
                wanted.insert(path.clone(), (*stamp, root.clone()));
                self.applied.insert(directory.clone(), path.clone());
            }
        }
        for (directory, (common, root)) in commons {
            let gone = self.applied.get(directory);
            if let (Some(path), Ok(None)) = (gone, common) {
                wanted.entry(path.clone()).or_insert((None, root.clone()));
            }
        }
        self.fleets.retain(|path, _| wanted.contains_key(path));
        for (path, (stamp, root)) in wanted {
            let known = self.fleets.get(&path);
            if known.is_some_and(|(known, _)| *known == stamp) {
                continue;
            }
            let before = self.fleets.remove(&path).and_then(|(_, fleet)| fleet);
            let fleet = plan_file::load_fleet_below(&path, &root).ok().or(before);
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

/// Refuses plans that wait for each other in a circle: they would wait forever without a reason. A plan that waits for an
/// unknown cutover shows that as its hold.
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

/// Returns the plan files of a path; if they cannot be listed, the path itself, whose reading then says why.
fn found(path: &PathBuf) -> Vec<PathBuf> {
    plan_file::find(std::slice::from_ref(path)).unwrap_or_else(|_| vec![path.clone()])
}

fn read(file: &Below) -> FileReading {
    if !file.path.exists() {
        return FileReading::Removed;
    }
    match plan_file::load_below(&file.path, &file.root) {
        Ok(loaded) => FileReading::Plan(Arc::new(loaded.source)),
        Err(error) => FileReading::Unreadable(first_words(&error)),
    }
}

/// Returns the reading of a plan whose `fleet.yaml` is gone: unreadable, until a person decides.
fn without(plan: &Path, fleet: &Path) -> FileReading {
    if !plan.exists() {
        return FileReading::Removed;
    }
    FileReading::Unreadable(format!(
        "the fleet file that applied to this plan, {}, is gone, and its guardrails, defaults and limits would be lost: put \
         it back (`version: 1` alone sets none), or restart `cutover run` to go on without it",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a directory with two plans. Returns it with its watcher and the path of its fleet file.
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
        readings.len() == 2
            && readings
                .iter()
                .all(|reading| matches!(reading, FileReading::Plan(_)))
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
                assert!(
                    why.contains("put it back") && why.contains("restart"),
                    "{why}"
                );
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

    #[tokio::test(start_paused = true)]
    #[expect(
        clippy::await_holding_lock,
        reason = "a file system that hangs, while everything else goes on"
    )]
    async fn files_that_do_not_answer_hold_up_one_look_and_are_unreadable_then() {
        let (_folder, watched, _) = fleet("fleet.yaml");
        assert!(are_plans(&look(&watched).await));
        // Simulates a file system that hangs: the reading that begins now does not end.
        let hung = Arc::clone(&watched.shelves[0].looked);
        let hung = locked(&hung);
        assert!(
            are_plans(&look(&watched).await),
            "what was read last counts for a while"
        );
        tokio::time::advance(LATE_AFTER).await;
        for reading in look(&watched).await {
            let FileReading::Unreadable(why) = reading else {
                panic!("{reading:?}");
            };
            assert!(why.contains("does not answer"), "{why}");
        }
        assert!(watched.fleet().is_some(), "its limits stay");
        drop(hung);
        while watched.shelves[0].aside.is_busy() {
            std::thread::yield_now();
        }
        assert!(are_plans(&look(&watched).await), "it answers again");
    }
}
