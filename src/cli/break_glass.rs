//! The break-glass directory: the files that `run` and `rollback` keep, and whose files are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::Value;

use crate::engine::record::GroupName;
use crate::engine::units::{DnsName, ZoneId};
use crate::ports::{BreakGlass, RecordKey};
use crate::reach::aside::Aside;
use crate::reach::regular_file::Unread;
use crate::reach::{private, regular_file};

/// The largest file that is read (semantics M3). 1,000 records with long values have less.
pub(super) const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How long a round waits for the directory. What takes longer is as if it could not be written.
const WAIT: Duration = Duration::from_secs(1);

/// A directory of break-glass files: `ZONEID-01.json` … Other files in it are never touched.
///
/// Two journals may share it: whose a file is stands in its `Comment`. Where one has a zone's first number, the other takes
/// the next one that is free, and who finds his own gone writes it again.
pub struct BreakGlassDirectory {
    path: PathBuf,
    stored: Mutex<Option<Stored>>,
}

/// What was stored last.
struct Stored {
    /// Each file as it lay there then.
    files: BTreeMap<String, Stamp>,
    /// What this journal's files say of themselves; none where it has not stored any.
    comment: Option<String>,
}

/// What tells that a file was replaced: its number in the file system, when it was written, its length.
type Stamp = Option<(u64, SystemTime, u64)>;

impl BreakGlassDirectory {
    /// Nothing is read or written yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            stored: Mutex::default(),
        }
    }

    /// The names of the break-glass files that are there now, by whomever.
    fn names(&self) -> Result<BTreeSet<String>, String> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeSet::new());
            }
            entries => entries.map_err(|error| failed(&self.path, &error))?,
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| is_ours(name)).collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unread> {
        regular_file::read(&self.path.join(name), Some(&self.path), FILE_BYTES_MAX)
    }

    fn stamp(&self, name: &str) -> Stamp {
        let metadata = fs::symlink_metadata(self.path.join(name)).ok()?;
        Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
    }

    /// What a file that lies there says of itself; none where it does not, or is gone.
    fn comment(&self, name: &str) -> Option<String> {
        comment(&self.read(name).ok()?)
    }

    /// The files that are this journal's to replace or remove.
    fn mine(&self, stored: Option<&Stored>, now: Option<&str>) -> Result<BTreeSet<String>, String> {
        let there = self.names()?;
        let Some(stored) = stored else {
            // What others own was put aside, unless they came since: then it says so.
            let others = |name: &String| {
                let theirs = self.comment(name).filter(|theirs| theirs.contains(OWNED));
                now.is_some() && theirs.is_some_and(|theirs| Some(theirs.as_str()) != now)
            };
            return Ok(there.into_iter().filter(|name| !others(name)).collect());
        };
        let own = now.or(stored.comment.as_deref());
        let mine = |name: &String| {
            let untouched = stored.files.get(name);
            let untouched = untouched.is_some_and(|stamp| *stamp == self.stamp(name));
            untouched || (own.is_some() && self.comment(name).as_deref() == own)
        };
        Ok(there.into_iter().filter(mine).collect())
    }
}

impl BreakGlass for BreakGlassDirectory {
    fn keep_others(
        &self,
        known: &BTreeSet<RecordKey>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let mut kept = Vec::new();
        for name in self.names()? {
            let path = self.path.join(&name);
            // What is no file of records is nobody's whom this journal knows.
            let text = match self.read(&name) {
                Ok(text) => text,
                Err(Unread::Io(error)) => return Err(failed(&path, &error)),
                Err(
                    Unread::Directory
                    | Unread::NotRegular
                    | Unread::TooLarge(_)
                    | Unread::LeadsOut(_),
                ) => Vec::new(),
            };
            if records(&text).is_some_and(|records| records.is_subset(known)) {
                continue;
            }
            let aside = aside(&path, now);
            fs::rename(&path, &aside).map_err(|error| failed(&path, &error))?;
            kept.push(aside.display().to_string());
        }
        Ok(kept)
    }

    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String> {
        private::directory(&self.path).map_err(|error| failed(&self.path, &error))?;
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let comment = files
            .values()
            .next()
            .and_then(|text| comment(text.as_bytes()));
        let mine = self.mine(stored.as_ref(), comment.as_deref())?;
        let taken: BTreeSet<String> = self.names()?.difference(&mine).cloned().collect();
        let mut written = BTreeMap::new();
        for (name, content) in files {
            let name = free(name, &taken, &written);
            let path = self.path.join(&name);
            private::replace(&path, content.as_bytes()).map_err(|error| failed(&path, &error))?;
            let stamp = self.stamp(&name);
            written.insert(name, stamp);
        }
        for name in mine.iter().filter(|name| !written.contains_key(*name)) {
            let path = self.path.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&path, &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        private::sync_directory(&self.path).map_err(|error| failed(&self.path, &error))?;
        let before = stored.take().and_then(|before| before.comment);
        *stored = Some(Stored {
            files: written,
            comment: comment.or(before),
        });
        Ok(())
    }

    fn are_there(&self) -> bool {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Stored { files, comment }) = &mut *stored else {
            return true;
        };
        for (name, stamp) in files {
            let now = self.stamp(name);
            if now == *stamp && now.is_some() {
                continue;
            }
            // Another controller of this journal may have replaced it; another journal's file is none of ours.
            let text = self.comment(name);
            if now.is_none() || (comment.is_some() && text != *comment) {
                return false;
            }
            *stamp = now;
        }
        true
    }
}

/// A directory of break-glass files beside the rounds: one that does not answer holds none of them up (semantics M3).
pub struct BreakGlassBeside {
    directory: Arc<BreakGlassDirectory>,
    aside: Aside,
    /// What came of the last storing, and of which files: one that took too long need not be done again.
    last: Arc<Mutex<Option<Attempt>>>,
}

/// The files that were to be stored, and what came of it.
type Attempt = (BTreeMap<String, String>, Result<(), String>);

impl BreakGlassBeside {
    /// Nothing is read or written yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            directory: Arc::new(BreakGlassDirectory::new(path)),
            aside: Aside::default(),
            last: Arc::default(),
        }
    }

    fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BreakGlassDirectory) -> T + Send + 'static,
    ) -> Result<T, String> {
        let directory = Arc::clone(&self.directory);
        let done = self.aside.within(WAIT, move || work(&directory));
        done.ok_or_else(|| {
            let path = self.directory.path.display();
            format!("{path} does not answer: look at the file system that it lies on")
        })
    }

    fn last(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakGlass for BreakGlassBeside {
    fn keep_others(
        &self,
        known: &BTreeSet<RecordKey>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let known = known.clone();
        self.within(move |directory| directory.keep_others(&known, now))?
    }

    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String> {
        // What is under way is waited for by the next round.
        if !self.aside.is_busy()
            && let Some((stored, result)) = self.last().take()
            && stored == *files
        {
            return result;
        }
        let (files, last) = (files.clone(), Arc::clone(&self.last));
        let stored = self.within(move |directory| {
            let result = directory.store(&files);
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((files, result.clone()));
            result
        });
        if stored.is_ok() {
            *self.last() = None;
        }
        stored?
    }

    fn are_there(&self) -> bool {
        self.within(BreakGlassDirectory::are_there).unwrap_or(false)
    }
}

/// What the comment of a file has that names its journal.
const OWNED: &str = "; journal begun ";

/// The first number of a file's zone, from its own on, that nobody else has.
fn free(name: &str, taken: &BTreeSet<String>, written: &BTreeMap<String, Stamp>) -> String {
    let Some((zone, number)) = name
        .strip_suffix(".json")
        .and_then(|stem| stem.rsplit_once('-'))
        .and_then(|(zone, number)| Some((zone, number.parse::<u32>().ok()?)))
    else {
        return name.to_owned();
    };
    let mut names = (number..).map(|number| format!("{zone}-{number:02}.json"));
    let is_free = |name: &String| !taken.contains(name) && !written.contains_key(name);
    names.find(is_free).unwrap_or_else(|| name.to_owned())
}

/// What a change batch says of itself.
fn comment(text: &[u8]) -> Option<String> {
    let batch: Value = serde_json::from_slice(text).ok()?;
    batch.get("Comment")?.as_str().map(str::to_owned)
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Where a file is kept: beside where it lies, under a name that is still free.
fn aside(path: &Path, now: Timestamp) -> PathBuf {
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    let plain = PathBuf::from(format!("{}.kept-{time}", path.display()));
    let numbered = (2..).map(|number: u32| format!("{}-{number}", plain.display()));
    let mut names = std::iter::once(plain.clone()).chain(numbered.map(PathBuf::from));
    names.find(|name| !name.exists()).unwrap_or(plain)
}

/// The records that a change batch is about, as far as whose they are is asked; whether it leads back is another question
/// (`rollback/stored.rs`).
fn records(text: &[u8]) -> Option<BTreeSet<RecordKey>> {
    let batch: Value = serde_json::from_slice(text).ok()?;
    let key = |change: &Value| {
        let set = change.get("ResourceRecordSet")?;
        let word = |key: &str| set.get(key)?.as_str().map(str::to_owned);
        let group = GroupName {
            name: DnsName::new(&word("Name")?),
            record_type: word("Type")?,
        };
        Some((group, word("SetIdentifier")?))
    };
    batch.get("Changes")?.as_array()?.iter().map(key).collect()
}

/// The zone that a file's name stands for: `ZONEID-01.json`, also where something was appended when it was kept aside.
pub fn zone_of(name: &str) -> Option<ZoneId> {
    let (stem, after) = name.split_once(".json")?;
    let (zone, number) = stem.rsplit_once('-')?;
    let is_zone = zone
        .bytes()
        .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    let is_number = number.len() >= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    let fits = is_zone && !zone.is_empty() && is_number;
    (fits && (after.is_empty() || after.starts_with(".kept-")))
        .then(|| ZoneId::from(zone.to_owned()))
}

/// Whether a name is one that this directory's files have: `ZONEID-01.json`.
fn is_ours(name: &str) -> bool {
    name.strip_suffix(".json").is_some() && zone_of(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(name: &str) -> String {
        batch_of("", name)
    }

    /// As a controller of this journal writes it.
    fn batch_of(journal: &str, name: &str) -> String {
        let set = |identifier: &str| {
            serde_json::json!({ "Action": "UPSERT", "ResourceRecordSet": {
                "Name": name, "Type": "A", "SetIdentifier": identifier, "Weight": 1 } })
        };
        let comment = match journal {
            "" => "cutover break-glass: back to the baseline".to_owned(),
            journal => {
                format!("cutover break-glass: back to the baseline; journal begun {journal}")
            }
        };
        serde_json::json!({ "Comment": comment, "Changes": [set("eks"), set("ecs")] }).to_string()
    }

    fn known(name: &str) -> BTreeSet<RecordKey> {
        records(batch(name).as_bytes()).unwrap()
    }

    fn files(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        let file = |(name, of): &(&str, &str)| ((*name).to_owned(), batch(of));
        names.iter().map(file).collect()
    }

    fn files_of(journal: &str, name: &str, of: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), batch_of(journal, of))])
    }

    fn there(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_break_glass_files_are_removed() {
        assert!(is_ours("Z0123456789ABC-01.json"));
        assert!(!is_ours("notes-01.json"));
        assert!(!is_ours("package.json"));
        assert!(!is_ours("Z0123456789ABC-01.json.bak"));
        assert!(!is_ours("Z0123456789ABC-01.json.kept-20260102T030405Z"));
        let zone = zone_of("Z0123456789ABC-01.json.kept-20260102T030405Z");
        assert_eq!(zone, Some(ZoneId::from("Z0123456789ABC")));
    }

    #[test]
    fn a_way_back_that_the_journal_does_not_know_is_kept_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        for lost in ["lost.example.com.", "also-lost.example.com."] {
            let stranger = BreakGlassDirectory::new(folder.path().to_owned());
            stranger
                .store(&files(&[
                    ("Z1-01.json", lost),
                    ("Z2-01.json", "api.example.com."),
                ]))
                .unwrap();
            let mine = BreakGlassDirectory::new(folder.path().to_owned());
            let kept = mine.keep_others(&known("api.example.com"), now).unwrap();
            assert_eq!(kept.len(), 1, "{kept:?}");
            assert!(fs::read_to_string(&kept[0]).unwrap().contains(lost));
            mine.store(&files(&[("Z2-01.json", "api.example.com.")]))
                .unwrap();
        }
        let kept = "Z1-01.json.kept-20260102T030405Z";
        let expected = [
            kept.to_owned(),
            format!("{kept}-2"),
            "Z2-01.json".to_owned(),
        ];
        assert_eq!(there(folder.path()), expected);
    }

    #[test]
    fn what_is_no_file_or_too_large_is_put_aside_and_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pipe = path("Z1-01.json");
        let made = std::process::Command::new("mkfifo").arg(pipe).status();
        assert!(made.unwrap().success());
        let large = fs::File::create(path("Z2-01.json")).unwrap();
        large.set_len(3 * 1024 * 1024 * 1024).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path("Z3-01.json")).unwrap();
        let mine = BreakGlassBeside::new(folder.path().to_owned());
        assert_eq!(mine.keep_others(&known("a."), now).unwrap().len(), 3);
        mine.store(&files(&[("Z1-01.json", "a.")])).unwrap();
        assert!(mine.are_there());
    }

    #[test]
    fn a_directory_that_does_not_answer_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let mine = BreakGlassBeside::new(folder.path().to_owned());
        mine.store(&files(&[("Z1-01.json", "a.")])).unwrap();
        // As on a file system that hangs: what begins now does not end.
        let directory = Arc::clone(&mine.directory);
        let hung = directory.stored.lock().unwrap();
        assert!(!mine.are_there());
        for _ in 0..100 {
            let error = mine.store(&files(&[("Z1-01.json", "b.")])).unwrap_err();
            assert!(error.contains("does not answer"), "{error}");
        }
        drop(hung);
        while mine.aside.is_busy() {
            std::thread::yield_now();
        }
        mine.store(&files(&[("Z1-01.json", "b.")])).unwrap();
        assert!(mine.are_there());
    }

    #[test]
    fn two_journals_in_one_directory_leave_each_others_zones_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (
            BreakGlassDirectory::new(folder.path().to_owned()),
            BreakGlassDirectory::new(folder.path().to_owned()),
        );
        one.store(&files(&[])).unwrap();
        two.store(&files_of("two", "Z2-01.json", "b.example.com."))
            .unwrap();
        one.store(&files_of("one", "Z1-01.json", "a.example.com."))
            .unwrap();
        one.store(&files(&[])).unwrap();
        assert_eq!(there(folder.path()), ["Z2-01.json"]);
        assert!(one.are_there() && two.are_there());
        fs::remove_file(folder.path().join("Z2-01.json")).unwrap();
        assert!(one.are_there() && !two.are_there());
    }
    #[test]
    fn two_journals_that_move_records_of_one_zone_never_overwrite_each_others_way_back() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let directory = || BreakGlassDirectory::new(folder.path().to_owned());
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let of = |journal: &str, name: &str| files_of(journal, "Z1-01.json", name);
        let (one, two) = (directory(), directory());
        let (a, b) = (of("one", "a."), of("two", "b."));
        one.store(&a).unwrap();
        // The other one starts, and does not know that somebody watches over what it finds there.
        assert_eq!(two.keep_others(&known("b."), now).unwrap().len(), 1);
        two.store(&b).unwrap();
        assert!(
            !one.are_there() && two.are_there(),
            "whose it is gone writes it again"
        );
        one.store(&a).unwrap();
        assert!(one.are_there() && two.are_there());
        assert!(text("Z1-01.json").contains("b.") && text("Z1-02.json").contains("a."));
        // Each end and start rewrites one's own, and nothing else.
        two.store(&of("two", "b-2.")).unwrap();
        one.store(&of("one", "a-2.")).unwrap();
        assert!(text("Z1-01.json").contains("b-2.") && text("Z1-02.json").contains("a-2."));
        assert!(one.are_there() && two.are_there());
        two.store(&BTreeMap::new()).unwrap();
        assert!(one.are_there() && text("Z1-02.json").contains("a-2."));
        one.store(&a).unwrap();
        let live = |name: &String| !name.contains(".kept-");
        let left: Vec<String> = there(folder.path()).into_iter().filter(live).collect();
        assert_eq!(left, ["Z1-01.json"], "alone again, it has the first number");
        // A second controller of the same journal replaces what is theirs in common.
        let second = directory();
        second.store(&of("one", "a-3.")).unwrap();
        assert!(one.are_there(), "it is this journal's");
        one.store(&BTreeMap::new()).unwrap();
        assert!(!there(folder.path()).iter().any(live));
    }
}
