//! The journal's tables, and the checks that a file must pass to be used as a journal.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::mode::Open;
use super::{disk, failure};
use crate::ports::JournalError;

/// The application ID in the header of the file: `CTOV` in ASCII. It marks the file as a cutover journal.
const APPLICATION_ID: i32 = 0x4354_4F56;

/// The version of the tables, which is the user version in the header. This program reads this version and all earlier
/// ones.
const SCHEMA_VERSION: i32 = 1;

/// How long `SQLite` waits for another process's lock. It is shorter than the 2 s after which an append fails.
const LOCK_WAIT: Duration = Duration::from_millis(1500);

/// The tables of version 1. Triggers make `events` append-only, so that even a bug of this program cannot rewrite
/// history.
const TABLES: &str = "
CREATE TABLE events (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    stream    TEXT NOT NULL,
    seq       INTEGER NOT NULL CHECK (seq > 0),
    at        TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    version   INTEGER NOT NULL,
    append_id TEXT NOT NULL,
    event     TEXT NOT NULL,
    UNIQUE (stream, seq)
) STRICT;
CREATE INDEX events_by_append ON events (append_id);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TABLE heartbeats (
    controller TEXT PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    heartbeat  TEXT NOT NULL
) STRICT;
";

/// The table of cursors, which did not exist in the first files. It is created if it is missing. A missing table means
/// that no channel was notified yet. So the version stays the same, and an older program can still read the file.
const CURSORS: &str = "
CREATE TABLE IF NOT EXISTS cursors (
    stream   TEXT NOT NULL,
    channel  TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    cursor   TEXT NOT NULL,
    PRIMARY KEY (stream, channel)
) STRICT, WITHOUT ROWID;
";

/// Opens the file at an absolute path, after checking that it is an undamaged cutover journal.
///
/// Until the check is done, the file is open for reading only, so that a file that is refused is never changed.
///
/// # Errors
/// The same as [`super::open()`].
pub(super) fn connect(path: &Path, mode: Open) -> Result<(Connection, disk::FileId), JournalError> {
    disk::refuse_network(path)?;
    let file = match (disk::look(path)?, mode) {
        (Some(file), _) => file,
        (None, Open::Create) => {
            create(path)?;
            disk::look(path)?.ok_or_else(|| missing(path))?
        }
        (None, Open::Existing | Open::ReadOnly) => return Err(missing(path)),
    };
    let reader = open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    verify(&reader, path)?;
    if mode == Open::ReadOnly {
        return Ok((reader, file));
    }
    // The writer is opened before the reader is closed. Otherwise the reader, as the last connection, would try to
    // clean up, and it may not write.
    let writer = open_file(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    drop(reader);
    prepare_writer(&writer).map_err(|error| failure::of_sqlite(path, &error))?;
    if writer.is_readonly(MAIN_DB).unwrap_or(true) {
        let why = format!("{} is read-only for this process", path.display());
        return Err(JournalError::Down(why));
    }
    add_cursors(&writer).map_err(|error| failure::of_sqlite(path, &error))?;
    Ok((writer, file))
}

/// Adds the table of cursors if the file has none.
fn add_cursors(writer: &Connection) -> rusqlite::Result<()> {
    if has_cursors(writer)? {
        return Ok(());
    }
    writer.execute_batch(&format!("BEGIN IMMEDIATE; {CURSORS} COMMIT;"))
}

/// Returns true if the table of cursors exists. A file of an earlier version that is open for reading only has none.
pub(super) fn has_cursors(connection: &Connection) -> rusqlite::Result<bool> {
    let mut query = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'cursors'")?;
    query.exists([])
}

/// Returns the error of a journal that does not exist.
fn missing(path: &Path) -> JournalError {
    JournalError::Missing(path.display().to_string())
}

/// Creates a journal under another name, and then gives it its own name, so that no process ever sees half a journal.
fn create(path: &Path) -> Result<(), JournalError> {
    let folder = disk::make_folder(path)?;
    let draft = folder.join(format!(".journal-draft-{:016x}", fastrand::u64(..)));
    disk::make_draft(&draft, path)?;
    let written = write_draft(&draft, path);
    let published = written.and_then(|()| disk::publish(&draft, path, &folder));
    if let Err(error) = fs::remove_file(&draft) {
        tracing::debug!(draft = %draft.display(), %error, "the draft of the journal cannot be removed");
    }
    published
}

/// Writes an empty journal into the draft of the journal at `path`.
fn write_draft(draft: &Path, path: &Path) -> Result<(), JournalError> {
    let connection = open_file(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    lay_out(&connection).map_err(|error| failure::of_sqlite(path, &error))?;
    let closed = connection.close();
    closed.map_err(|(_, error)| failure::of_sqlite(path, &error))
}

/// Creates the tables and the header of a new journal.
fn lay_out(connection: &Connection) -> rusqlite::Result<()> {
    prepare_writer(connection)?;
    connection.execute_batch(&format!(
        "BEGIN; {TABLES} {CURSORS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    ))
}

/// Opens a connection to a file. The flag `SQLITE_OPEN_URI` is not set, so a path is never read as a URI.
fn open_file(path: &Path, flags: OpenFlags) -> Result<Connection, JournalError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(LOCK_WAIT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        Ok(connection)
    });
    opened.map_err(|error| failure::of_sqlite(path, &error))
}

/// Prepares a connection for writing. WAL lets readers and a writer work at the same time. FULL syncs at every commit,
/// so that an acknowledged entry survives a power cut.
fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Checks that the file is a cutover journal, that this program can read it, and that no page of it is damaged.
///
/// # Errors
/// `Unusable`: one of these is not so. `Down`: the file cannot be read now.
fn verify(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let problem = problem_with(connection).map_err(|error| failure::of_sqlite(path, &error))?;
    match problem {
        Some(problem) => Err(JournalError::Unusable(format!(
            "{} {problem}",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Returns why a file cannot be used as a journal, as the end of a sentence about it. `None` if it can be used.
///
/// # Errors
/// An error of `SQLite`. Tables with other columns are such an error.
fn problem_with(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let application_id = number(connection, "application_id")?;
    if application_id != APPLICATION_ID {
        return Ok(Some(format!(
            "is another program's SQLite database, not a cutover journal (application id {application_id:#x})"
        )));
    }
    let version = number(connection, "user_version")?;
    if version > SCHEMA_VERSION {
        return Ok(Some(format!(
            "was written by a newer cutover (journal format {version}; this one reads up to {SCHEMA_VERSION})"
        )));
    }
    if version < 1 {
        return Ok(Some(format!(
            "is damaged: there is no journal format {version}"
        )));
    }
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
    if check != "ok" {
        return Ok(Some(format!("is damaged: {check}")));
    }
    connection.prepare(
        "SELECT position, stream, seq, at, attempt, actor, version, append_id, event FROM events",
    )?;
    connection.prepare("SELECT controller, at_ms, heartbeat FROM heartbeats")?;
    if has_cursors(connection)? {
        connection.prepare("SELECT stream, channel, revision, cursor FROM cursors")?;
    }
    Ok(None)
}

/// Returns the value of a pragma that is a number.
fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
}
