//! Reading a secret's file without letting it hold anybody up.

use std::fs::File;
use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

/// The longest secret in a file, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// How long a file may take. Whoever waits here does nothing else, reverts included: a mount that does not answer must not
/// keep them.
const WITHIN: Duration = Duration::from_millis(500);

/// The text of a file, at most 64 KiB.
///
/// # Errors
/// That it cannot be read, is no regular file, is too large, is not UTF-8, or does not answer within half a second; with the
/// path, never with what it holds.
pub(super) fn read(path: &str) -> Result<String, String> {
    let (sender, receiver) = mpsc::channel();
    let (place, failed) = (path.to_owned(), format!("the file {path} cannot be read"));
    std::thread::spawn(move || {
        // Nobody listens any more where this came too late.
        sender.send(text(&place)).unwrap_or_default();
    });
    match receiver.recv_timeout(WITHIN) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(why)) => Err(format!("{failed}: {why}")),
        Err(_) => Err(format!("{failed}: it does not answer")),
    }
}

fn text(path: &str) -> Result<String, String> {
    let why = |error: std::io::Error| error.to_string();
    // Before it is opened: to open a pipe waits for whoever writes into it.
    if !std::fs::metadata(path).map_err(why)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut text = String::new();
    let mut limited = File::open(path).map_err(why)?.take(BYTES_MAX + 1);
    limited.read_to_string(&mut text).map_err(why)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err("it is too large for a secret".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let refused = read("/dev/zero").unwrap_err();
        assert_eq!(
            refused,
            "the file /dev/zero cannot be read: it is no regular file"
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
