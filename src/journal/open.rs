//! Opens a journal by its URL.

use std::path::Path;
use std::sync::Arc;

use super::disk;
use super::memory::MemoryJournal;
use super::mode::Open;
use super::sqlite::SqliteJournal;
use crate::ports::Journal;
use crate::ports::JournalError;

/// Opens the journal at `sqlite:PATH` or `memory:`. Blocks while the file is checked.
///
/// # Errors
/// All name the absolute path. `Missing`: it is not there and may not be created. `Unusable`: not a URL of a journal,
/// not a journal, damaged, written by a newer cutover, or on a network file system; the file was not touched. `Down`:
/// it cannot be opened now.
pub fn open(url: &str, mode: Open) -> Result<Arc<dyn Journal>, JournalError> {
    let why = match url.split_once(':') {
        Some(("sqlite", "")) => format!("`{url}` names no file; write `sqlite:PATH`"),
        Some(("sqlite", path)) if path.starts_with("//") && !path.starts_with("///") => {
            format!("`{url}` has a host, and a file has none; write `sqlite:PATH`")
        }
        Some(("sqlite", path)) => {
            let path = disk::absolute(Path::new(path))?;
            return Ok(Arc::new(SqliteJournal::open(&path, mode)?));
        }
        Some(("memory", "")) => return Ok(Arc::new(MemoryJournal::new())),
        Some(("dynamodb", _)) => {
            format!("`{url}`: journals in DynamoDB are not yet supported; write `sqlite:PATH`")
        }
        Some(_) | None => {
            format!("`{url}` is not the URL of a journal; write `sqlite:PATH` or `memory:`")
        }
    };
    Err(JournalError::Unusable(why))
}
