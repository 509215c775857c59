//! Reads a file with a secret, without blocking the caller for long.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::aside::Aside;
use super::regular_file::{self, Unread};

/// The largest file of a secret, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// The longest time of reading a file. The caller does nothing else in that time, and a mount that does not answer must
/// not delay a revert.
const WITHIN: Duration = Duration::from_millis(500);

/// The running reads, by file. A read that hangs keeps one thread busy, however often its file is asked for.
static READING: Mutex<BTreeMap<String, Arc<Aside>>> = Mutex::new(BTreeMap::new());

/// Reads a file of at most 64 KiB. Links are followed wherever they lead, because the plan names this very path.
///
/// # Errors
/// The file cannot be read, is not a regular file, is too large, is not UTF-8, or does not answer within half a second.
/// The message contains the path, but never the content.
pub(super) fn read(path: &str) -> Result<String, String> {
    let aside = {
        let mut reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(reading.entry(path.to_owned()).or_default())
    };
    let (place, failed) = (path.to_owned(), format!("the file {path} cannot be read"));
    match aside.within(WITHIN, move || text(&place)) {
        Some(Ok(text)) => Ok(text),
        Some(Err(why)) => Err(format!("{failed}: {why}")),
        None => Err(format!("{failed}: it does not answer")),
    }
}

/// Reads a file, in the thread that may hang.
fn text(path: &str) -> Result<String, String> {
    let read = regular_file::read(Path::new(path), None, BYTES_MAX);
    let bytes = read.map_err(|error| match error {
        Unread::Directory | Unread::NotRegular => "it is not a regular file".to_owned(),
        Unread::TooLarge(_) => "it is too large for a secret".to_owned(),
        Unread::Io(_) | Unread::LeadsOut(_) => error.to_string(),
    })?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let refused = read("/dev/zero").unwrap_err();
        assert_eq!(
            refused,
            "the file /dev/zero cannot be read: it is not a regular file"
        );
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(read(&pipe.display().to_string()).is_err());
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        std::fs::write(&path, "x".repeat(64 * 1024)).unwrap();
        let shown = path.display().to_string();
        assert_eq!(read(&shown).unwrap().len(), 64 * 1024);
        std::fs::write(&path, "x".repeat(64 * 1024 + 1)).unwrap();
        assert!(
            read(&shown)
                .unwrap_err()
                .ends_with("too large for a secret")
        );
    }
}
