//! A journal in an `SQLite` file, which several processes of one machine may share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use tokio::sync::{Mutex, watch};

use super::disk::FileId;
use super::failure::{self, WorkFailure, not_json};
use super::mode::Open;
use super::record::{self, StreamHead};
use super::{cursors, schema};
use crate::engine::event::Envelope;
use crate::engine::units::CutoverName;
use crate::ports::{Append, Cursor, Heartbeat, Journal, JournalError, Position, StorageReport};

/// The time after which a write counts as failed. Then no step is taken, and reverts still go out (semantics F2).
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// The time after which a read counts as failed. The first read of a large journal takes longest.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// The time after which a check of the whole file counts as failed.
const VERIFY_LIMIT: Duration = Duration::from_mins(10);

/// The time between two searches for entries of other processes. A search takes some microseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How long heartbeats are kept, in milliseconds.
const HEARTBEAT_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// A journal in an `SQLite` file.
///
/// There is one connection, which does one thing at a time, on a thread that may block. Other calls wait within their
/// own time limits, so a disk that hangs blocks only one thread.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
    file: FileId,
    /// The number of this process's own appends. Its changes wake [`Journal::changed`] before the next poll.
    appended: watch::Sender<u64>,
}

impl SqliteJournal {
    /// Opens the journal at an absolute path. Blocks while the file is checked.
    ///
    /// # Errors
    /// The same as [`super::open()`].
    pub fn open(path: &Path, mode: Open) -> Result<Self, JournalError> {
        let (connection, file) = schema::connect(path, mode)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            path: path.to_owned(),
            file,
            appended: watch::Sender::new(0),
        })
    }

    /// Runs work on the connection. `what` names it in errors. The work may go on after the limit, and its result is
    /// then lost. That is why an append has an `append_id`.
    ///
    /// # Errors
    /// The work failed, the file was removed or replaced, or (`Down`) the limit was exceeded.
    async fn with<T: Send + 'static>(
        &self,
        what: &str,
        limit: Duration,
        work: impl FnOnce(&mut Connection) -> Result<T, WorkFailure> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (file, path) = (self.file, self.path.clone());
        let done = async {
            let mut connection = Arc::clone(&self.connection).lock_owned().await;
            let blocking = tokio::task::spawn_blocking(move || {
                file.still_at(&path)?;
                work(&mut connection).map_err(|failure| match failure {
                    WorkFailure::Journal(error) => error,
                    WorkFailure::Sqlite(error) => failure::of_sqlite(&path, &error),
                })
            });
            blocking.await.unwrap_or_else(|error| {
                Err(JournalError::Down(format!("{what} ended early: {error}")))
            })
        };
        let shown = self.path.display();
        tokio::time::timeout(limit, done).await.unwrap_or_else(|_| {
            let secs = limit.as_secs();
            Err(JournalError::Down(format!(
                "{shown}: {what} took longer than {secs} s"
            )))
        })
    }

    /// Returns the position of the newest entry.
    async fn newest(&self) -> Result<Position, JournalError> {
        let newest = self.with("a read", READ_LIMIT, |connection| {
            let mut query = connection.prepare_cached("SELECT max(position) FROM events")?;
            let newest: Option<i64> = query.query_row([], |row| row.get(0))?;
            to_u64(newest.unwrap_or(0), "the newest position")
        });
        newest.await.map(Position)
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        record::check(&append)?;
        let appended = self.appended.clone();
        let written = self.with("an append", WRITE_LIMIT, move |connection| {
            // `Immediate` acquires the write lock before the heads are read, so they do not change until the commit.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let stored = select(&transaction, "append_id = ?1", &append.append_id)?;
            if !stored.is_empty() {
                return Ok(stored.into_iter().map(|(_, entry)| entry).collect());
            }
            let append_id = append.append_id.clone();
            let heads = read_heads(&transaction, &append)?;
            let sealed = record::seal(append, heads)?;
            insert(&transaction, &sealed, &append_id)?;
            transaction.commit()?;
            appended.send_modify(|count| *count += 1);
            Ok(sealed)
        });
        written.await
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        let read = self.with("a read", READ_LIMIT, move |connection| {
            let after = i64::try_from(position.0).unwrap_or(i64::MAX);
            let entries = select(connection, "position > ?1", &after)?;
            let newest = entries.last().map_or(position, |(newest, _)| *newest);
            Ok((
                entries.into_iter().map(|(_, entry)| entry).collect(),
                newest,
            ))
        });
        read.await
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        let stream = stream.clone();
        let head = self.with("a read", READ_LIMIT, move |connection| {
            read_head(connection, &stream)
        });
        head.await.map(|head| head.seq)
    }

    async fn changed(&self, position: Position) {
        let mut appended = self.appended.subscribe();
        loop {
            // If the journal is down, this is not known. The next poll may find out.
            if self.newest().await.is_ok_and(|newest| newest > position) {
                return;
            }
            tokio::select! {
                _ = appended.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        let at_ms = heartbeat.at.as_millisecond();
        let controller = heartbeat.controller.clone();
        let json = serde_json::to_string(heartbeat).map_err(|error| not_json(&error))?;
        let beaten = self.with("a heartbeat", WRITE_LIMIT, move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "DELETE FROM heartbeats WHERE at_ms < ?1",
                [at_ms - HEARTBEAT_KEPT_MS],
            )?;
            transaction.execute(
                "INSERT INTO heartbeats (controller, at_ms, heartbeat) VALUES (?1, ?2, ?3)
                 ON CONFLICT (controller) DO UPDATE SET at_ms = ?2, heartbeat = ?3",
                params![controller, at_ms, json],
            )?;
            Ok(transaction.commit()?)
        });
        beaten.await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        let heartbeats = self.with("a read", READ_LIMIT, |connection| {
            let mut query = connection
                .prepare_cached("SELECT heartbeat FROM heartbeats ORDER BY at_ms DESC")?;
            let texts = query.query_map([], |row| row.get::<_, String>(0))?;
            let mut heartbeats = Vec::new();
            for text in texts {
                // A heartbeat that cannot be read, because a newer version wrote it, is left out: heartbeats are not
                // part of the history.
                heartbeats.extend(serde_json::from_str(&text?).ok());
            }
            Ok(heartbeats)
        });
        heartbeats.await
    }

    async fn cursor(
        &self,
        stream: &CutoverName,
        channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        let (stream, channel) = (stream.as_str().to_owned(), channel.to_owned());
        let cursor = self.with("a read", READ_LIMIT, move |connection| {
            cursors::of(connection, &stream, &channel)
        });
        cursor.await
    }

    async fn put_cursors(&self, cursors: &[Cursor]) -> Result<Vec<bool>, JournalError> {
        let cursors = cursors.to_vec();
        let put = self.with("cursors", WRITE_LIMIT, move |connection| {
            cursors::put(connection, &cursors)
        });
        put.await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        self.with("a read", READ_LIMIT, |connection| cursors::all(connection))
            .await
    }

    async fn verify(&self) -> Result<StorageReport, JournalError> {
        let shown = self.path.display().to_string();
        let checked = self.with("a check", VERIFY_LIMIT, move |connection| {
            let check: String =
                connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            if check == "ok" {
                return Ok(StorageReport::File);
            }
            Err(JournalError::Unusable(format!("{shown} is damaged: {check}")).into())
        });
        checked.await
    }
}

/// Reads the last entry of every stream that an append expects.
fn read_heads(
    transaction: &Transaction<'_>,
    append: &Append,
) -> Result<BTreeMap<CutoverName, StreamHead>, WorkFailure> {
    let mut heads = BTreeMap::new();
    for (stream, _) in &append.expect {
        heads.insert(stream.clone(), read_head(transaction, stream)?);
    }
    Ok(heads)
}

/// Reads the number and time of the last entry of a stream.
fn read_head(connection: &Connection, stream: &CutoverName) -> Result<StreamHead, WorkFailure> {
    let mut query = connection
        .prepare_cached("SELECT seq, at FROM events WHERE stream = ?1 ORDER BY seq DESC LIMIT 1")?;
    let last = query.query_row([stream.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    });
    let Some((seq, at)) = last.optional()? else {
        return Ok(StreamHead::default());
    };
    let entry = format!("entry {seq} of {stream}");
    Ok(StreamHead {
        seq: to_u64(seq, &entry)?,
        // A time that cannot be read is ignored here. Reading the entry itself reports the damage.
        at: at.parse().ok(),
    })
}

/// Writes numbered entries.
fn insert(
    transaction: &Transaction<'_>,
    entries: &[Envelope],
    append_id: &str,
) -> Result<(), WorkFailure> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO events (stream, seq, at, attempt, actor, version, append_id, event)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for entry in entries {
        let event = serde_json::to_string(&entry.event).map_err(|error| not_json(&error))?;
        let seq = i64::try_from(entry.seq).unwrap_or(i64::MAX);
        statement.execute(params![
            entry.cutover.as_str(),
            seq,
            entry.at.to_string(),
            entry.attempt,
            entry.actor,
            entry.version,
            append_id,
            event,
        ])?;
    }
    Ok(())
}

/// Reads the entries that a condition with one value selects, in the order in which they were appended.
fn select(
    connection: &Connection,
    condition: &'static str,
    value: &dyn rusqlite::ToSql,
) -> Result<Vec<(Position, Envelope)>, WorkFailure> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT position, stream, seq, at, attempt, actor, version, event
         FROM events WHERE {condition} ORDER BY position"
    ))?;
    let mut rows = query.query([value])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_row(row)?);
    }
    Ok(entries)
}

/// Reads one entry. A newer or damaged entry becomes [`Event::Unreadable`](crate::engine::event::Event::Unreadable), so
/// that all other entries can still be read.
fn read_row(row: &Row<'_>) -> Result<(Position, Envelope), WorkFailure> {
    let stream: String = row.get(1)?;
    let seq: i64 = row.get(2)?;
    let entry = format!("entry {seq} of {stream}");
    let stored = record::StoredEntry {
        at: row.get_ref(3)?.as_str().unwrap_or_default(),
        attempt: row.get(4)?,
        actor: row.get_ref(5)?.as_str().unwrap_or_default(),
        version: row.get(6)?,
        event: row.get_ref(7)?.as_str().unwrap_or_default(),
    };
    let seq = to_u64(seq, &entry)?;
    let envelope = stored.read(CutoverName::from(stream), seq);
    Ok((Position(to_u64(row.get(0)?, &entry)?), envelope))
}

/// Converts a number of the file. A negative one means that `entry` is damaged.
pub(super) fn to_u64(value: i64, entry: &str) -> Result<u64, WorkFailure> {
    let converted = u64::try_from(value);
    converted.map_err(|_| {
        JournalError::Unusable(format!("{entry} is damaged: {value} is below zero")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::Event;
    use crate::ports::NewEntry;

    fn append(expected: u64, text: String) -> Append {
        Append {
            expect: vec![("api".into(), expected)],
            entries: vec![NewEntry {
                cutover: "api".into(),
                attempt: 1,
                at: jiff::Timestamp::UNIX_EPOCH,
                actor: "test".to_owned(),
                event: Event::BakeSkipRequested {
                    step: 1,
                    reason: text,
                },
            }],
            append_id: format!("append-{expected}"),
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_down_and_leaves_the_journal_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = SqliteJournal::open(&path, Open::Create).unwrap();
        journal.append(append(0, "fits".to_owned())).await.unwrap();
        {
            let connection = journal.connection.lock().await;
            let pages: i64 = connection
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .unwrap();
            connection
                .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
                .unwrap();
        }
        let refused = journal.append(append(1, "x".repeat(100_000))).await;
        let Err(JournalError::Down(message)) = refused else {
            panic!("{refused:?}")
        };
        assert!(message.contains("the disk is full"), "{message}");
        assert_eq!(journal.head(&"api".into()).await, Ok(1));
        drop(journal);
        let journal = SqliteJournal::open(&path, Open::Existing).unwrap();
        journal.append(append(1, "fits".to_owned())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_hangs_fails_each_append_in_two_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = SqliteJournal::open(&path, Open::Create).unwrap();
        let hung = Arc::clone(&journal.connection).lock_owned().await;
        let started = tokio::time::Instant::now();
        for _ in 0..3 {
            let refused = journal.append(append(0, String::new())).await.unwrap_err();
            assert!(
                refused.to_string().contains("took longer than 2 s"),
                "{refused}"
            );
        }
        assert_eq!(started.elapsed().as_secs(), 6);
        drop(hung);
        journal.append(append(0, String::new())).await.unwrap();
    }
}
