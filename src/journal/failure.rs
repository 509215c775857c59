//! What `SQLite`'s errors mean for a journal: is it damaged, or can it only not be reached now?

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::ports::JournalError;

/// Turns an error of `SQLite` about the file at `path` into the journal's.
///
/// Damage is `Unusable`, and somebody must look. All that may pass (a lock, a full disk, a missing permission) is `Down`:
/// steps hold and reverts go out all the same.
pub(super) fn of_sqlite(path: &Path, error: &rusqlite::Error) -> JournalError {
    let shown = path.display();
    let rusqlite::Error::SqliteFailure(cause, _) = error else {
        return JournalError::Unusable(format!("{shown} is damaged: {error}"));
    };
    let folder = path.parent().unwrap_or(path).display();
    let down = |why: String| JournalError::Down(format!("{shown}: {why}"));
    match cause.code {
        ErrorCode::NotADatabase => {
            JournalError::Unusable(format!("{shown} is not a cutover journal: {error}"))
        }
        // SQLITE_ERROR: a statement that does not fit the tables that are there.
        ErrorCode::DatabaseCorrupt | ErrorCode::Unknown | ErrorCode::ConstraintViolation => {
            JournalError::Unusable(format!("{shown} is damaged: {error}"))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            down(format!("another process keeps it locked ({error})"))
        }
        ErrorCode::DiskFull => down(format!("the disk is full ({error})")),
        ErrorCode::ReadOnly if cause.extended_code == ffi::SQLITE_READONLY => {
            down(format!("it is read-only to this process ({error})"))
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen => down(format!(
            "it cannot be opened; SQLite needs the file readable and {folder} writable ({error})"
        )),
        ErrorCode::PermissionDenied => down(format!("permission denied ({error})")),
        _ => down(error.to_string()),
    }
}
