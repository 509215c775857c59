//! The text of a file: read from inside its directory, within a bound, as UTF-8.

use std::path::Path;

use crate::reach::regular_file::{self, Unread};

use super::diagnostics::{Finding, PlanFileError, Sink};

/// The largest file that is read, in bytes. A plan of 100 records and 100 steps has about 20 KiB.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The text of a file, at most [`FILE_BYTES_MAX`], and not from outside the directory.
pub(super) fn read_text(path: &Path, root: &Path, shown: &str) -> Result<String, PlanFileError> {
    let text = decode(read_bytes(path, root, shown)?, shown)?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Reads a file, at most [`FILE_BYTES_MAX`], and nothing from outside the directory.
pub(super) fn read_bytes(path: &Path, root: &Path, shown: &str) -> Result<Vec<u8>, PlanFileError> {
    let read = regular_file::read(path, Some(root), FILE_BYTES_MAX);
    let finding = match read {
        Ok(bytes) => return Ok(bytes),
        Err(Unread::Io(error)) => {
            let message = format!("the file cannot be read: {error}");
            let help = "check the path, and that this user may read it";
            Finding::about_file(shown, message, help)
        }
        Err(error @ Unread::Directory) => {
            Finding::about_file(shown, error.to_string(), "name the plan files in it")
        }
        Err(error @ Unread::NotRegular) => {
            let help = "name a regular file, or remove this one if it is among the plans";
            Finding::about_file(shown, error.to_string(), help)
        }
        Err(error @ Unread::LeadsOut(_)) => {
            let help = "name the file that it leads to, or replace the link with a copy of it";
            Finding::about_file(shown, error.to_string(), help)
        }
        Err(Unread::TooLarge(_)) => {
            let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            too_large(shown, length.max(FILE_BYTES_MAX + 1))
        }
    };
    Err(finding.into())
}

/// The finding about a file that is too large.
pub(super) fn too_large(shown: &str, bytes: impl std::fmt::Display) -> Finding {
    let message =
        format!("the file has {bytes} bytes; a plan has at most {FILE_BYTES_MAX} (1 MiB)");
    Finding::about_file(shown, message, "check that this is a plan file")
}

/// The bytes of a file as text.
///
/// # Errors
/// They are not UTF-8.
pub(super) fn decode(bytes: Vec<u8>, shown: &str) -> Result<String, PlanFileError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let help = "save it as UTF-8";
        return Err(Finding::about_file(shown, "the file is UTF-16", help).into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        // Invalid bytes are shown as U+FFFD; the text before the mistake is unchanged.
        let text = String::from_utf8_lossy(error.as_bytes());
        let mut sink = Sink::new(shown, &text);
        let message = format!(
            "this is not UTF-8: byte {} of the file is 0x{byte:02x}",
            valid + 1
        );
        sink.error(&(valid..valid + 1), message, "save the file as UTF-8");
        let findings = sink.into_findings();
        PlanFileError { findings }
    })
}
