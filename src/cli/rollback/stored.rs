//! Reads break-glass files: which records they put back, and why a file is refused before anything is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::cli::break_glass::{FILE_BYTES_MAX, zone_of};
use crate::cli::error::Expected;
use crate::engine::record::{AliasTarget, GroupImage, RecordSet};
use crate::engine::units::{DnsName, Weight, ZoneId};
use crate::reach::aside::Aside;
use crate::reach::regular_file::{self, directory_of};

/// The longest time to read a file.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A change batch for the AWS command line, with the fields that break-glass files use.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Batch {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    changes: Vec<FileChange>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct FileChange {
    action: String,
    resource_record_set: Set,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Set {
    name: String,
    #[serde(rename = "Type")]
    record_type: String,
    #[serde(rename = "SetIdentifier")]
    identifier: String,
    weight: u8,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    #[serde(default)]
    resource_records: Vec<ValueOf>,
    alias_target: Option<Alias>,
    health_check_id: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ValueOf {
    value: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    #[serde(rename = "HostedZoneId")]
    zone_id: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "EvaluateTargetHealth")]
    evaluate_target_health: bool,
}

/// Why a file is refused, and what to do instead.
pub type Refusal = (String, &'static str);

/// Returns the groups of all files, without duplicates.
///
/// # Errors
/// A file cannot be read, is not a break-glass file, would not lead back, or differs from another file about the same
/// group. Then nothing of any file is written.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<GroupImage>, Expected> {
    let mut groups: BTreeMap<(ZoneId, DnsName, String), (GroupImage, &Path)> = BTreeMap::new();
    for path in paths {
        for image in read(path).map_err(|refusal| refused(path, refusal))? {
            let (name, kind) = (DnsName::new(&image.old.name), image.old.record_type.clone());
            let key = (image.zone.clone(), name, kind);
            if let Some((before, other)) = groups.get(&key) {
                if *before == image {
                    continue;
                }
                let (name, kind, other) =
                    (&image.old.name, &image.old.record_type, other.display());
                let why = format!("{name} {kind} is in {other} too, and differs");
                return Err(refused(
                    path,
                    (why, "leave out the file or the change that is out of date"),
                ));
            }
            groups.insert(key, (image, path));
        }
    }
    Ok(groups.into_values().map(|(image, _)| image).collect())
}

fn refused(path: &Path, (why, instead): Refusal) -> Expected {
    Expected::usage(format!("{}: {why}", path.display()), Some(instead))
}

/// Returns the groups of one file `ZONEID-01.json`, which has a pair of records for each group.
fn read(path: &Path) -> Result<Vec<GroupImage>, Refusal> {
    if path.is_dir() {
        let instead = "name the files in it: DIRECTORY/*.json";
        return Err(("this is a directory".to_owned(), instead));
    }
    if !path.exists() {
        let instead = "check the path; `run` keeps these files in .cutover/break-glass";
        return Err(("there is no such file".to_owned(), instead));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(zone) = name.and_then(zone_of) else {
        let why = "its name does not say which hosted zone it is for".to_owned();
        let instead =
            "give it the name that `run` gives, the zone's ID and a number: Z0123456789ABC-01.json";
        return Err((why, instead));
    };
    match text(path) {
        Ok(text) => groups(&zone, &text),
        Err(why) => {
            let instead =
                "name the files in the break-glass directory: .cutover/break-glass/*.json";
            Err((why, instead))
        }
    }
}

/// Reads the text of a regular file, with limits on size and time. A symbolic link must not leave its directory
/// (semantics M3).
fn text(path: &Path) -> Result<String, String> {
    let place = path.to_owned();
    let read = Aside::default().within(READ_WITHIN, move || {
        regular_file::read(&place, Some(directory_of(&place)), FILE_BYTES_MAX)
    });
    let bytes = match read {
        Some(read) => read.map_err(|error| error.to_string())?,
        None => {
            return Err(format!(
                "it did not answer within {} s",
                READ_WITHIN.as_secs()
            ));
        }
    };
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Returns the groups of a change batch for this zone.
///
/// # Errors
/// The text is not a change batch of pairs of weighted records, or it would not lead back.
pub fn groups(zone: &ZoneId, text: &str) -> Result<Vec<GroupImage>, Refusal> {
    let batch: Batch = serde_json::from_str(text).map_err(|error| {
        let why = format!("it is not a break-glass file: {error}");
        (why, "a break-glass file is a change batch with two weighted records per group, as `run` writes it")
    })?;
    if batch.changes.is_empty() {
        let why = "it is not a break-glass file: its `Changes` are empty".to_owned();
        return Err((why, "leave it out, or name the file that has the records"));
    }
    let mut images = Vec::new();
    for (index, pair) in batch.changes.chunks(2).enumerate() {
        let number = index * 2 + 1;
        for (number, change) in (number..).zip(pair) {
            if change.action != "UPSERT" {
                let why = format!("{} is a {}", shown(number, change), change.action);
                return Err((
                    why,
                    "write `\"Action\": \"UPSERT\"`: nothing else is sent from a file",
                ));
            }
        }
        let [old, new] = pair else {
            return Err(alone(number, &pair[0]));
        };
        let (old, new) = (record(old), record(new));
        let same = (DnsName::new(&old.name), &old.record_type)
            == (DnsName::new(&new.name), &new.record_type);
        if !same || old.set_identifier == new.set_identifier {
            return Err(alone(number, &pair[0]));
        }
        if (old.weight, new.weight) == (Weight(0), Weight(0)) {
            let place = shown(number, &pair[0]);
            let why = format!("{place}: both weights of the group are 0");
            return Err((
                why,
                "write the weights from before the cutover, for example 100 and 0",
            ));
        }
        images.push(GroupImage {
            zone: zone.clone(),
            old,
            new,
            others: Vec::new(),
        });
    }
    Ok(images)
}

/// Returns the number and the record of a change, for messages.
fn shown(number: usize, change: &FileChange) -> String {
    let set = &change.resource_record_set;
    let (name, kind, identifier) = (&set.name, &set.record_type, &set.identifier);
    format!("change {number} ({name} {kind} {identifier})")
}

fn alone(number: usize, change: &FileChange) -> Refusal {
    let place = shown(number, change);
    let why = format!("{place} stands alone: a group is two records");
    let instead = "write the group's other record right after it, or remove the change";
    (why, instead)
}

fn record(change: &FileChange) -> RecordSet {
    let set = change.resource_record_set.clone();
    let values = set.resource_records.into_iter().map(|value| value.value);
    RecordSet {
        name: set.name,
        record_type: set.record_type,
        set_identifier: set.identifier,
        weight: Weight(set.weight),
        ttl: set.ttl,
        values: values.collect(),
        alias: set.alias_target.map(|alias| AliasTarget {
            zone_id: alias.zone_id,
            dns_name: alias.dns_name,
            evaluate_target_health: alias.evaluate_target_health,
        }),
        health_check_id: set.health_check_id,
        unsupported: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: &str, name: &str, identifier: &str, weight: u8) -> String {
        format!(
            r#"{{"Action":"{action}","ResourceRecordSet":{{"Name":"{name}","Type":"A","SetIdentifier":"{identifier}",
            "Weight":{weight},"TTL":5,"ResourceRecords":[{{"Value":"192.0.2.1"}}]}}}}"#
        )
    }

    fn refusal(changes: &[String]) -> (String, &'static str) {
        let text = format!(r#"{{"Changes":[{}]}}"#, changes.join(","));
        groups(&ZoneId::from("Z1"), &text).expect_err("it is refused")
    }

    #[test]
    fn a_file_that_would_not_lead_back_is_refused_with_the_place_and_what_to_write() {
        fn up(name: &str, identifier: &str, weight: u8) -> String {
            change("UPSERT", name, identifier, weight)
        }
        fn with(more: &[String]) -> Vec<String> {
            let pair = [up("a.", "eks", 100), up("a.", "ecs", 0)];
            [pair.as_slice(), more].concat()
        }
        for (changes, place, wrong, instead) in [
            (
                with(&[up("b.", "eks", 100)]),
                "change 3 (b. A eks)",
                "alone",
                "right after",
            ),
            (
                with(&[up("b.", "eks", 100), up("c.", "eks", 100)]),
                "change 3 (b. A eks)",
                "alone",
                "right after",
            ),
            (
                with(&[up("b.", "eks", 100), up("b.", "eks", 0)]),
                "change 3",
                "alone",
                "right after",
            ),
            (
                with(&[up("b.", "eks", 0), up("b.", "ecs", 0)]),
                "change 3",
                "are 0",
                "100 and 0",
            ),
            (
                vec![up("a.", "eks", 1), change("DELETE", "a.", "ecs", 0)],
                "change 2 (a. A ecs)",
                "DELETE",
                "UPSERT",
            ),
            (Vec::new(), "Changes", "empty", "leave it out"),
        ] {
            let (why, what) = refusal(&changes);
            assert!(why.contains(place) && why.contains(wrong), "{why}");
            assert!(what.contains(instead), "{what}");
        }
        let text = format!(r#"{{"Changes":[{}]}}"#, with(&[]).join(","));
        let images = groups(&ZoneId::from("Z1"), &text).expect("it is whole");
        assert_eq!(images.len(), 1);
    }

    #[test]
    fn a_name_from_which_no_zone_follows_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["batch.json", "my-Z1-01.json", "Z1.json", "-01.json"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "{}").unwrap();
            let (why, what) = read(&path).expect_err("it is refused");
            assert!(why.contains("which hosted zone"), "{name}: {why}");
            assert!(what.contains("Z0123456789ABC-01.json"), "{what}");
        }
    }

    #[test]
    fn a_path_that_is_no_file_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let (why, _) = read(folder.path()).expect_err("it is refused");
        assert_eq!(why, "this is a directory");
        let (why, _) = read(&folder.path().join("Z1-01.json")).expect_err("it is refused");
        assert_eq!(why, "there is no such file");
    }
}
