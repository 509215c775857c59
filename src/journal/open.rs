//! Opens a journal of this machine by its URL.

use std::path::Path;
use std::sync::Arc;

use super::disk;
use super::memory::MemoryJournal;
use super::mode::Open;
use super::sqlite::SqliteJournal;
use super::url::JournalUrl;
use crate::ports::{Journal, JournalError};

/// Opens the journal at `sqlite:PATH` or `memory:`. Blocks while the file is checked. A table is opened by the command line,
/// which knows AWS.
///
/// # Errors
/// All name the absolute path. `Missing`: it is not there and may not be created. `Unusable`: not the URL of a journal of this
/// machine, not a journal, damaged, written by a newer cutover, or on a network file system; the file was not touched. `Down`:
/// it cannot be opened now.
pub fn open(url: &str, mode: Open) -> Result<Arc<dyn Journal>, JournalError> {
    match JournalUrl::parse(url).map_err(JournalError::Unusable)? {
        JournalUrl::Sqlite(path) => {
            let path = disk::absolute(Path::new(&path))?;
            Ok(Arc::new(SqliteJournal::open(&path, mode)?))
        }
        JournalUrl::Memory => Ok(Arc::new(MemoryJournal::new())),
        JournalUrl::Table(place) => Err(JournalError::Unusable(format!(
            "{place} is a table, not a file of this machine"
        ))),
    }
}
