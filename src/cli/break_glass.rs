//! The break-glass directory: the files that `run` and `rollback` keep, and whose files are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;

use crate::engine::record::GroupName;
use crate::engine::units::{DnsName, ZoneId};
use crate::ports::{BreakGlass, RecordKey};

/// A directory of break-glass files: `ZONEID-01.json` … Other files in it are never touched.
pub struct BreakGlassDirectory {
    path: PathBuf,
    /// The files that were stored last; none before the first time.
    stored: Mutex<Option<BTreeSet<String>>>,
}

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
            let text = fs::read(&path).map_err(|error| failed(&path, &error))?;
            // What cannot be read is nobody's whom this journal knows.
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
        fs::create_dir_all(&self.path).map_err(|error| failed(&self.path, &error))?;
        for (name, content) in files {
            let path = self.path.join(name);
            replace(&path, content).map_err(|error| failed(&path, &error))?;
        }
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        // Files that came since are another journal's.
        let mine = match &*stored {
            Some(stored) => stored.clone(),
            None => self.names()?,
        };
        let names: BTreeSet<String> = files.keys().cloned().collect();
        for name in mine.difference(&names) {
            let path = self.path.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&path, &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        *stored = Some(names);
        Ok(())
    }

    fn are_there(&self) -> bool {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = stored.iter().flatten();
        names.all(|name| self.path.join(name).exists())
    }
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

/// The records that a change batch is about, as far as whose they are is asked.
fn records(text: &[u8]) -> Option<BTreeSet<RecordKey>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Batch {
        changes: Vec<Change>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Change {
        resource_record_set: Set,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Set {
        name: String,
        #[serde(rename = "Type")]
        record_type: String,
        #[serde(rename = "SetIdentifier")]
        identifier: String,
    }
    let batch: Batch = serde_json::from_slice(text).ok()?;
    let key = |change: Change| {
        let set = change.resource_record_set;
        let group = GroupName {
            name: DnsName::new(&set.name),
            record_type: set.record_type,
        };
        (group, set.identifier)
    };
    Some(batch.changes.into_iter().map(key).collect())
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

    fn batch(name: &str) -> String {
        let set = |identifier: &str| {
            serde_json::json!({ "Action": "UPSERT", "ResourceRecordSet": {
                "Name": name, "Type": "A", "SetIdentifier": identifier, "Weight": 1 } })
        };
        serde_json::json!({ "Changes": [set("eks"), set("ecs")] }).to_string()
    }

    fn known(name: &str) -> BTreeSet<RecordKey> {
        records(batch(name).as_bytes()).unwrap()
    }

    fn files(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        let file = |(name, of): &(&str, &str)| ((*name).to_owned(), batch(of));
        names.iter().map(file).collect()
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
    fn two_journals_in_one_directory_leave_each_others_zones_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (
            BreakGlassDirectory::new(folder.path().to_owned()),
            BreakGlassDirectory::new(folder.path().to_owned()),
        );
        one.store(&files(&[])).unwrap();
        two.store(&files(&[("Z2-01.json", "b.example.com.")]))
            .unwrap();
        one.store(&files(&[("Z1-01.json", "a.example.com.")]))
            .unwrap();
        one.store(&files(&[])).unwrap();
        assert_eq!(there(folder.path()), ["Z2-01.json"]);
        assert!(one.are_there() && two.are_there());
        fs::remove_file(folder.path().join("Z2-01.json")).unwrap();
        assert!(one.are_there() && !two.are_there());
    }
}
