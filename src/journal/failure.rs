//! Classifies `SQLite`'s errors: either the journal is damaged, or it cannot be used now.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::ports::JournalError;

/// Converts an error of `SQLite` about the file at `path` to an error of the journal.
///
/// Damage is `Unusable`, and a person must act. An error that may pass (a lock, a full disk, a missing permission) is
/// `Down`: no step is taken, and reverts still go out.
pub(super) fn of_sqlite(path: &Path, error: &rusqlite::Error) -> JournalError {
    let shown = path.display();
    let rusqlite::Error::SqliteFailure(cause, _) = error else {
        return JournalError::Unusable(format!("{shown} is damaged: {error}"));
    };
    let folder = path.parent().unwrap_or(path).display();
    let why = match cause.code {
        ErrorCode::NotADatabase => {
            return JournalError::Unusable(format!("{shown} is not a cutover journal: {error}"));
        }
        // `Unknown` is SQLITE_ERROR, for example a statement that does not fit the tables of the file.
        ErrorCode::DatabaseCorrupt | ErrorCode::Unknown | ErrorCode::ConstraintViolation => {
            return JournalError::Unusable(format!("{shown} is damaged: {error}"));
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            format!("another process keeps it locked ({error})")
        }
        ErrorCode::DiskFull => format!("the disk is full ({error})"),
        ErrorCode::ReadOnly if cause.extended_code == ffi::SQLITE_READONLY => {
            format!("it is read-only for this process ({error})")
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen => format!(
            "it cannot be opened; SQLite needs the file readable and {folder} writable ({error})"
        ),
        ErrorCode::PermissionDenied => format!("permission denied ({error})"),
        _ => error.to_string(),
    };
    JournalError::Down(format!("{shown}: {why}"))
}

/// Why work on the connection failed: an error of the journal, or of `SQLite`.
pub(super) enum WorkFailure {
    Journal(JournalError),
    Sqlite(rusqlite::Error),
}

impl From<JournalError> for WorkFailure {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<rusqlite::Error> for WorkFailure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Returns the error of a value that cannot be written or read as JSON.
pub(super) fn not_json(error: &serde_json::Error) -> JournalError {
    JournalError::Unusable(format!("this cannot be written as JSON: {error}"))
}
