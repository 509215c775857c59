//! From a journal's URL to the journal.

use std::path::Path;
use std::sync::Arc;

use super::disk;
use super::memory::MemoryJournal;
use super::sqlite::SqliteJournal;
use crate::ports::Journal;
use crate::ports::JournalError;

/// What a command may do to the place where the journal should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Make it, folders included, if it is not there. Only `run` does (semantics G2).
    Create,
    /// Read and append; it must be there.
    Existing,
    /// Only read; it must be there. Nothing is written but what `SQLite` needs beside the file for reading.
    ReadOnly,
}

/// Opens the journal at `sqlite:PATH` or `memory:`. Blocks while the file is checked.
///
/// # Errors
/// All name the absolute path. `Missing`: it is not there and may not be made. `Unusable`: not a URL of a journal, not a
/// journal, damaged, of a newer cutover, or on a network file system; the file was not touched. `Down`: it cannot be
/// opened now.
pub fn open(url: &str, mode: Open) -> Result<Arc<dyn Journal>, JournalError> {
    let unusable = |why: String| Err(JournalError::Unusable(why));
    match url.split_once(':') {
        Some(("sqlite", "")) => unusable(format!("`{url}` names no file; write `sqlite:PATH`")),
        Some(("sqlite", path)) if path.starts_with("//") && !path.starts_with("///") => unusable(
            format!("`{url}` has a host, and a file has none; write `sqlite:PATH`"),
        ),
        Some(("sqlite", path)) => {
            let path = disk::absolute(Path::new(path))?;
            Ok(Arc::new(SqliteJournal::open(&path, mode)?))
        }
        Some(("memory", "")) => Ok(Arc::new(MemoryJournal::new())),
        Some(("dynamodb", _)) => unusable(format!(
            "`{url}`: journals in DynamoDB are not yet supported; write `sqlite:PATH`"
        )),
        _ => unusable(format!(
            "`{url}` is not the URL of a journal; write `sqlite:PATH` or `memory:`"
        )),
    }
}
