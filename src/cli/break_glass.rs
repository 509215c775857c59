//! The directory of break-glass files that `run` and `rollback` keep, and which journal each file belongs to.

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

/// The largest file that is read, in bytes (semantics M3). 1,000 records with long values are smaller.
pub(super) const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The longest wait of a round for the directory. If the directory takes longer, it counts as not writable.
const WAIT: Duration = Duration::from_secs(1);

/// A directory of break-glass files: `ZONEID-01.json` … Other files in it are never touched.
///
/// Two journals may share it: the `Comment` of a file names its journal. If one journal has the first number of a zone, the
/// other uses the next free one. A controller that misses its own file writes it again.
pub struct BreakGlassDirectory {
    path: PathBuf,
    stored: Mutex<Option<Stored>>,
}

/// The result of the last [`BreakGlass::store`].
struct Stored {
    /// The stamp of each file right after it was stored, by name.
    files: BTreeMap<String, FileStamp>,
    /// The `Comment` of this journal's files; `None` before the first file.
    comment: Option<String>,
}

/// The inode, modification time and length of a file, which change if it is replaced. `None` if there is no such file.
type FileStamp = Option<(u64, SystemTime, u64)>;

impl BreakGlassDirectory {
    /// Creates a handle. Neither reads nor writes the directory yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            stored: Mutex::default(),
        }
    }

    /// Returns the names of all break-glass files in the directory, of any journal.
    fn names(&self) -> Result<BTreeSet<String>, String> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeSet::new());
            }
            Err(error) => return Err(failed(&self.path, &error)),
        };
        let mut names = BTreeSet::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_ours(&name) {
                names.insert(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unread> {
        regular_file::read(&self.path.join(name), Some(&self.path), FILE_BYTES_MAX)
    }

    fn stamp(&self, name: &str) -> FileStamp {
        let metadata = fs::symlink_metadata(self.path.join(name)).ok()?;
        Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
    }

    /// Returns the `Comment` of a file; `None` if it has none or cannot be read.
    fn comment(&self, name: &str) -> Option<String> {
        comment(&self.read(name).ok()?)
    }

    /// Returns the files that this journal may replace or remove. `now` is the `Comment` of the files to store.
    fn mine(&self, stored: Option<&Stored>, now: Option<&str>) -> Result<BTreeSet<String>, String> {
        let mut mine = self.names()?;
        match stored {
            Some(stored) => mine.retain(|name| self.is_mine(name, stored, now)),
            // `keep_others` renamed the files of other journals at the start. A file that came later names its journal.
            None => mine.retain(|name| !self.is_of_others(name, now)),
        }
        Ok(mine)
    }

    /// Returns true if the file is as this journal left it, or its `Comment` is this journal's.
    fn is_mine(&self, name: &str, stored: &Stored, now: Option<&str>) -> bool {
        if let Some(stamp) = stored.files.get(name)
            && *stamp == self.stamp(name)
        {
            return true;
        }
        let own = now.or(stored.comment.as_deref());
        own.is_some() && self.comment(name).as_deref() == own
    }

    /// Returns true if the `Comment` of the file names another journal than `now` does.
    fn is_of_others(&self, name: &str, now: Option<&str>) -> bool {
        let Some(now) = now else {
            return false;
        };
        match self.comment(name) {
            Some(comment) => comment.contains(OWNED) && comment != now,
            None => false,
        }
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
            // A file that cannot be read as records belongs to no cutover of this journal.
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
        let comment = match files.values().next() {
            Some(text) => comment(text.as_bytes()),
            None => None,
        };
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
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(failed(&path, &error));
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
            // Another controller of this journal may have replaced the file. If another journal replaced it, our file
            // is missing.
            let text = self.comment(name);
            if now.is_none() || (comment.is_some() && text != *comment) {
                return false;
            }
            *stamp = now;
        }
        true
    }
}

/// A [`BreakGlassDirectory`] used from a separate thread, so that a directory that does not answer delays no round
/// (semantics M3).
pub struct BreakGlassBeside {
    directory: Arc<BreakGlassDirectory>,
    aside: Aside,
    /// The last attempt to store. If it took too long for its round, the next round takes its result from here.
    last: Arc<Mutex<Option<Attempt>>>,
}

/// The files that were to be stored, and the result.
type Attempt = (BTreeMap<String, String>, Result<(), String>);

impl BreakGlassBeside {
    /// Creates a handle. Neither reads nor writes the directory yet.
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
        let Some(done) = self.aside.within(WAIT, move || work(&directory)) else {
            let path = self.directory.path.display();
            return Err(format!(
                "{path} does not answer: check the file system that it is on"
            ));
        };
        Ok(done)
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
        // An attempt to store the same files has ended since its round. Its result counts.
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

/// The text in a `Comment` that precedes the name of the journal.
const OWNED: &str = "; journal begun ";

/// Returns the name with the first free number of the file's zone, from its own number on.
fn free(name: &str, taken: &BTreeSet<String>, written: &BTreeMap<String, FileStamp>) -> String {
    if let Some(stem) = name.strip_suffix(".json")
        && let Some((zone, number)) = stem.rsplit_once('-')
        && let Ok(number) = number.parse::<u32>()
    {
        for number in number.. {
            let name = format!("{zone}-{number:02}.json");
            if !taken.contains(&name) && !written.contains_key(&name) {
                return name;
            }
        }
    }
    name.to_owned()
}

/// Returns the `Comment` of a change batch; `None` if it has none or is not JSON.
fn comment(text: &[u8]) -> Option<String> {
    let batch: Value = serde_json::from_slice(text).ok()?;
    batch.get("Comment")?.as_str().map(str::to_owned)
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Returns the path to which a file is renamed to keep it: in the same directory, under a free name.
fn aside(path: &Path, now: Timestamp) -> PathBuf {
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    let plain = format!("{}.kept-{time}", path.display());
    let mut name = PathBuf::from(&plain);
    let mut number: u32 = 1;
    while name.exists() {
        number += 1;
        name = PathBuf::from(format!("{plain}-{number}"));
    }
    name
}

/// Returns the records of a change batch, which tell whose file it is; `None` if it is not a batch of weighted records.
/// `rollback/stored.rs` decides whether the batch leads back.
fn records(text: &[u8]) -> Option<BTreeSet<RecordKey>> {
    let batch: Value = serde_json::from_slice(text).ok()?;
    let mut records = BTreeSet::new();
    for change in batch.get("Changes")?.as_array()? {
        let set = change.get("ResourceRecordSet")?;
        let group = GroupName {
            name: DnsName::new(set.get("Name")?.as_str()?),
            record_type: set.get("Type")?.as_str()?.to_owned(),
        };
        let identifier = set.get("SetIdentifier")?.as_str()?;
        records.insert((group, identifier.to_owned()));
    }
    Some(records)
}

/// Returns the zone in a file's name, `ZONEID-01.json`, also if the file was renamed to `….kept-…`. `None` if it is not
/// the name of a break-glass file.
pub fn zone_of(name: &str) -> Option<ZoneId> {
    let (stem, after) = name.split_once(".json")?;
    let (zone, number) = stem.rsplit_once('-')?;
    let is_zone = zone
        .bytes()
        .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    let is_number = number.len() >= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_kept = after.is_empty() || after.starts_with(".kept-");
    if !is_zone || zone.is_empty() || !is_number || !is_kept {
        return None;
    }
    Some(ZoneId::from(zone.to_owned()))
}

/// Returns true if a name is that of a break-glass file: `ZONEID-01.json`.
fn is_ours(name: &str) -> bool {
    name.strip_suffix(".json").is_some() && zone_of(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(name: &str) -> String {
        batch_of("", name)
    }

    /// Returns a break-glass file as a controller of this journal writes it.
    fn batch_of(journal: &str, name: &str) -> String {
        let mut changes = Vec::new();
        for identifier in ["eks", "ecs"] {
            changes.push(
                serde_json::json!({ "Action": "UPSERT", "ResourceRecordSet": {
                "Name": name, "Type": "A", "SetIdentifier": identifier, "Weight": 1 } }),
            );
        }
        let comment = match journal {
            "" => "cutover break-glass: back to the baseline".to_owned(),
            journal => {
                format!("cutover break-glass: back to the baseline; journal begun {journal}")
            }
        };
        serde_json::json!({ "Comment": comment, "Changes": changes }).to_string()
    }

    fn known(name: &str) -> BTreeSet<RecordKey> {
        records(batch(name).as_bytes()).unwrap()
    }

    fn files(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        let files = names.iter();
        files
            .map(|(name, of)| ((*name).to_owned(), batch(of)))
            .collect()
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

    /// Returns the names of the files that were not put aside.
    fn live(folder: &Path) -> Vec<String> {
        let mut names = there(folder);
        names.retain(|name| !name.contains(".kept-"));
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
        // Simulates a file system that hangs: work that begins now does not end.
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
        // The other journal starts, and does not know that the file that it finds is in use.
        assert_eq!(two.keep_others(&known("b."), now).unwrap().len(), 1);
        two.store(&b).unwrap();
        assert!(
            !one.are_there() && two.are_there(),
            "the journal whose file is gone writes it again"
        );
        one.store(&a).unwrap();
        assert!(one.are_there() && two.are_there());
        assert!(text("Z1-01.json").contains("b.") && text("Z1-02.json").contains("a."));
        // Each start and end rewrites a journal's own files, and nothing else.
        two.store(&of("two", "b-2.")).unwrap();
        one.store(&of("one", "a-2.")).unwrap();
        assert!(text("Z1-01.json").contains("b-2.") && text("Z1-02.json").contains("a-2."));
        assert!(one.are_there() && two.are_there());
        two.store(&BTreeMap::new()).unwrap();
        assert!(one.are_there() && text("Z1-02.json").contains("a-2."));
        one.store(&a).unwrap();
        assert_eq!(
            live(folder.path()),
            ["Z1-01.json"],
            "alone again, it has the first number"
        );
        // A second controller of the same journal replaces their common files.
        let second = directory();
        second.store(&of("one", "a-3.")).unwrap();
        assert!(one.are_there(), "it is this journal's");
        one.store(&BTreeMap::new()).unwrap();
        assert!(live(folder.path()).is_empty());
    }
}
