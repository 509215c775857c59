//! Stores the cursors of channels in a table of the journal's `SQLite` file, next to the entries.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::failure::{WorkFailure, not_json};
use super::schema::has_cursors;
use crate::ports::Cursor;

/// Returns the cursor of a channel in a stream. `None` if none is stored, or if the file has no table of cursors.
pub(super) fn of(
    connection: &Connection,
    stream: &str,
    channel: &str,
) -> Result<Option<Cursor>, WorkFailure> {
    if !has_cursors(connection)? {
        return Ok(None);
    }
    let mut query = connection
        .prepare_cached("SELECT cursor FROM cursors WHERE stream = ?1 AND channel = ?2")?;
    let text = query
        .query_row([stream, channel], |row| row.get::<_, String>(0))
        .optional()?;
    text.map(|text| read(&text)).transpose()
}

/// Returns all cursors. A cursor that cannot be read, because a newer version wrote it, is left out: cursors are not
/// part of the history.
pub(super) fn all(connection: &Connection) -> Result<Vec<Cursor>, WorkFailure> {
    if !has_cursors(connection)? {
        return Ok(Vec::new());
    }
    let mut query =
        connection.prepare_cached("SELECT cursor FROM cursors ORDER BY stream, channel")?;
    let texts = query.query_map([], |row| row.get::<_, String>(0))?;
    let mut cursors = Vec::new();
    for text in texts {
        cursors.extend(read(&text?).ok());
    }
    Ok(cursors)
}

/// Stores each cursor of which the stored one has the revision before it. Returns for each if it was stored.
pub(super) fn put(
    connection: &mut Connection,
    cursors: &[Cursor],
) -> Result<Vec<bool>, WorkFailure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut stored = Vec::new();
    for cursor in cursors {
        stored.push(put_one(&transaction, cursor)?);
    }
    transaction.commit()?;
    Ok(stored)
}

fn put_one(transaction: &Transaction<'_>, cursor: &Cursor) -> Result<bool, WorkFailure> {
    let json = serde_json::to_string(cursor).map_err(|error| not_json(&error))?;
    let stored: Option<i64> = transaction
        .prepare_cached("SELECT revision FROM cursors WHERE stream = ?1 AND channel = ?2")?
        .query_row([cursor.stream.as_str(), &cursor.channel], |row| row.get(0))
        .optional()?;
    let revision = i64::try_from(cursor.revision).unwrap_or(i64::MAX);
    if stored.unwrap_or(0) + 1 != revision {
        return Ok(false);
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO cursors (stream, channel, revision, cursor) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (stream, channel) DO UPDATE SET revision = ?3, cursor = ?4",
    )?;
    insert.execute(params![
        cursor.stream.as_str(),
        cursor.channel,
        revision,
        json
    ])?;
    Ok(true)
}

/// Reads a cursor from JSON.
fn read(text: &str) -> Result<Cursor, WorkFailure> {
    serde_json::from_str(text).map_err(|error| not_json(&error).into())
}
