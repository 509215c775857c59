//! The journal's tables, and the rules by which a file is taken for a journal, or is left alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::MAIN_DB;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use super::disk;
use super::failure;
use super::open::Open;
use crate::ports::JournalError;

/// Marks the file as a cutover journal: `CTOV` in ASCII, in the header's application id.
const APPLICATION_ID: i32 = 0x4354_4F56;

/// The version of the tables, in the header's user version. Reads this one and all before it.
const SCHEMA_VERSION: i32 = 1;

/// How long `SQLite` waits for another process's lock; below the 2 s after which an append counts as failed.
const LOCK_WAIT: Duration = Duration::from_millis(1500);

/// `events` is append-only, by triggers: not even a mistake of ours rewrites history.
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

/// Came after the first files. It is made where it is missing, and its absence means that nobody has been told anything; so
/// the version of the tables stays, and a program that does not know it can still read the file.
const CURSORS: &str = "
CREATE TABLE IF NOT EXISTS cursors (
    stream   TEXT NOT NULL,
    channel  TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    cursor   TEXT NOT NULL,
    PRIMARY KEY (stream, channel)
) STRICT, WITHOUT ROWID;
";

/// Opens the file at an absolute path, after making sure that it is a journal of ours, and whole.
///
/// Until that is sure it is open for reading only, so that a file that is refused is never touched.
///
/// # Errors
/// As [`super::open()`].
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
    // The writer is opened before the reader is closed, or the reader would be the last to go and tidy up in vain.
    let writer = open_file(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    drop(reader);
    prepare_writer(&writer).map_err(|error| failure::of_sqlite(path, &error))?;
    if writer.is_readonly(MAIN_DB).unwrap_or(true) {
        let why = format!("{} is read-only to this process", path.display());
        return Err(JournalError::Down(why));
    }
    add_cursors(&writer).map_err(|error| failure::of_sqlite(path, &error))?;
    Ok((writer, file))
}

/// Brings the file of an earlier version up to date.
fn add_cursors(writer: &Connection) -> rusqlite::Result<()> {
    if has_cursors(writer)? {
        return Ok(());
    }
    writer.execute_batch(&format!("BEGIN IMMEDIATE; {CURSORS} COMMIT;"))
}

/// Whether the table of cursors is there: a file that is open for reading only may be an earlier version's.
pub(super) fn has_cursors(connection: &Connection) -> rusqlite::Result<bool> {
    let mut query = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'cursors'")?;
    query.exists([])
}

fn missing(path: &Path) -> JournalError {
    JournalError::Missing(path.display().to_string())
}

/// Makes a journal beside its place and then gives it its name, so that nobody ever sees half a journal.
fn create(path: &Path) -> Result<(), JournalError> {
    let folder = disk::make_folder(path)?;
    let draft = folder.join(format!(".journal-draft-{:016x}", fastrand::u64(..)));
    disk::make_draft(&draft, path)?;
    let made = open_file(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        lay_out(&connection).map_err(|error| failure::of_sqlite(path, &error))?;
        let closed = connection.close();
        closed.map_err(|(_, error)| failure::of_sqlite(path, &error))
    });
    let published = made.and_then(|()| disk::publish(&draft, path, &folder));
    if let Err(error) = fs::remove_file(&draft) {
        tracing::debug!(draft = %draft.display(), %error, "a draft of the journal stays behind");
    }
    published
}

fn lay_out(connection: &Connection) -> rusqlite::Result<()> {
    prepare_writer(connection)?;
    connection.execute_batch(&format!(
        "BEGIN; {TABLES} {CURSORS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    ))
}

/// No `SQLITE_OPEN_URI`: a path is a path, whatever it looks like.
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

/// WAL lets readers and a writer work at once; FULL syncs at every commit, so that an entry that was answered is kept
/// through a power cut.
fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Makes sure that this is a journal, that this program can read it, and that no page of it is damaged.
fn verify(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    let shown = path.display();
    let of_sqlite = |error: rusqlite::Error| failure::of_sqlite(path, &error);
    let number = |pragma: &str| {
        let value = connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        value.map_err(of_sqlite)
    };
    let application_id = number("application_id")?;
    if application_id != APPLICATION_ID {
        return Err(JournalError::Unusable(format!(
            "{shown} is another program's SQLite database, not a cutover journal (application id {application_id:#x})"
        )));
    }
    let version = number("user_version")?;
    if version > SCHEMA_VERSION {
        return Err(JournalError::Unusable(format!(
            "{shown} was written by a newer cutover (journal format {version}; this one reads up to {SCHEMA_VERSION})"
        )));
    }
    let damaged = |why: &str| JournalError::Unusable(format!("{shown} is damaged: {why}"));
    if version < 1 {
        return Err(damaged(&format!("journal format {version} never was")));
    }
    let check = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match check.map_err(of_sqlite)?.as_str() {
        "ok" => Ok(()),
        problem => Err(damaged(problem)),
    }?;
    let columns =
        "SELECT position, stream, seq, at, attempt, actor, version, append_id, event FROM events";
    connection.prepare(columns).map_err(of_sqlite)?;
    let columns = "SELECT controller, at_ms, heartbeat FROM heartbeats";
    connection.prepare(columns).map_err(of_sqlite)?;
    if has_cursors(connection).map_err(of_sqlite)? {
        let columns = "SELECT stream, channel, revision, cursor FROM cursors";
        connection.prepare(columns).map_err(of_sqlite)?;
    }
    Ok(())
}
