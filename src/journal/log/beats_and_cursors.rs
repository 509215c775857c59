//! Heartbeats and cursors, which lie beside the log.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use super::body::{deflate, inflate};
use super::layout::{FORMAT, SlotKind, cursor_key, field};
use crate::engine::units::CutoverName;
use crate::ports::{Cursor, Heartbeat, JournalError, REVISION, SlotItem, Slots, SwapAnswer};

/// How long heartbeats are kept, in milliseconds.
const HEARTBEAT_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// The time between two looks for heartbeats of others that are to be removed, in milliseconds. Each look reads all of them.
const LOOK_EVERY_MS: u64 = 60 * 60 * 1000;

/// The heartbeats that may have to be removed: their times by controller, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct KnownBeats {
    looked_at_ms: Option<u64>,
    beats: BTreeMap<String, u64>,
}

/// Reads all items of a partition.
///
/// # Errors
/// `Down`.
async fn read_whole(
    slots: &dyn Slots,
    kind: SlotKind,
    journal: &str,
) -> Result<Vec<SlotItem>, JournalError> {
    let partition = kind.partition(journal);
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = slots.read_from(&partition, &after, None).await?;
        items.extend(page.items);
        match page.next_after {
            Some(next) => after = next,
            None => return Ok(items),
        }
    }
}

/// Stores a heartbeat, and removes those that are older than a day.
///
/// # Errors
/// `Down`; `Unusable`: it has no JSON.
pub(super) async fn beat(
    slots: &dyn Slots,
    journal: &str,
    known: &Mutex<KnownBeats>,
    heartbeat: &Heartbeat,
) -> Result<(), JournalError> {
    let json = serde_json::to_vec(heartbeat).map_err(|error| not_json(&error))?;
    let at_ms = u64::try_from(heartbeat.at.as_millisecond()).unwrap_or(0);
    let partition = SlotKind::Beat.partition(journal);
    let item = SlotItem::new(partition.as_str(), heartbeat.controller.as_str())
        .with_number(field::VERSION, FORMAT)
        .with_number(REVISION, at_ms)
        .with_bytes(field::DATA, deflate(&json));
    slots.put(item).await?;
    let mut known = known.lock().await;
    known.beats.insert(heartbeat.controller.clone(), at_ms);
    let looked_at_ms = known.looked_at_ms.unwrap_or(0);
    if known.looked_at_ms.is_none() || looked_at_ms + LOOK_EVERY_MS <= at_ms {
        for item in read_whole(slots, SlotKind::Beat, journal).await? {
            let at_ms = item.number(REVISION).unwrap_or(0);
            known.beats.insert(item.sort, at_ms);
        }
        known.looked_at_ms = Some(at_ms);
    }
    let mut old = Vec::new();
    for (controller, beat_ms) in &known.beats {
        if beat_ms + HEARTBEAT_KEPT_MS < at_ms {
            old.push((controller.clone(), *beat_ms));
        }
    }
    for (controller, beat_ms) in old {
        // One that has beaten again meanwhile is kept.
        slots
            .remove_if_revision(&partition, &controller, beat_ms)
            .await?;
        known.beats.remove(&controller);
    }
    Ok(())
}

/// All heartbeats, newest first. One that a newer version wrote in another form is skipped: heartbeats are not part of the
/// history.
///
/// # Errors
/// `Down`.
pub(super) async fn heartbeats(
    slots: &dyn Slots,
    journal: &str,
) -> Result<Vec<Heartbeat>, JournalError> {
    let mut heartbeats: Vec<Heartbeat> = Vec::new();
    for item in read_whole(slots, SlotKind::Beat, journal).await? {
        let Ok(json) = inflate(item.bytes(field::DATA).unwrap_or_default()) else {
            continue;
        };
        heartbeats.extend(serde_json::from_slice(&json).ok());
    }
    heartbeats.sort_by_key(|heartbeat| std::cmp::Reverse(heartbeat.at));
    Ok(heartbeats)
}

/// The cursor of a channel in a stream.
///
/// # Errors
/// `Down`; `Unusable`: it cannot be read.
pub(super) async fn cursor(
    slots: &dyn Slots,
    journal: &str,
    stream: &CutoverName,
    channel: &str,
) -> Result<Option<Cursor>, JournalError> {
    let partition = SlotKind::Cursor.partition(journal);
    let key = cursor_key(stream.as_str(), channel);
    match slots.get(&partition, &key).await? {
        Some(item) => read_cursor(&item).map(Some),
        None => Ok(None),
    }
}

/// All cursors, by stream and channel. One that a newer version wrote in another form is skipped.
///
/// # Errors
/// `Down`.
pub(super) async fn cursors(slots: &dyn Slots, journal: &str) -> Result<Vec<Cursor>, JournalError> {
    let mut cursors: Vec<Cursor> = Vec::new();
    for item in read_whole(slots, SlotKind::Cursor, journal).await? {
        cursors.extend(read_cursor(&item).ok());
    }
    cursors
        .sort_by(|left, right| (&left.stream, &left.channel).cmp(&(&right.stream, &right.channel)));
    Ok(cursors)
}

/// Stores a cursor if the stored one has the revision before it.
///
/// # Errors
/// `Down`; `Unusable`: it has no JSON.
pub(super) async fn put_cursor(
    slots: &dyn Slots,
    journal: &str,
    cursor: &Cursor,
) -> Result<bool, JournalError> {
    let Some(stored) = cursor.revision.checked_sub(1) else {
        return Ok(false);
    };
    let json = serde_json::to_vec(cursor).map_err(|error| not_json(&error))?;
    let partition = SlotKind::Cursor.partition(journal);
    let key = cursor_key(cursor.stream.as_str(), &cursor.channel);
    let item = SlotItem::new(partition, key)
        .with_number(field::VERSION, FORMAT)
        .with_number(REVISION, cursor.revision)
        .with_text(field::WRITE_ID, format!("{:016x}", fastrand::u64(..)))
        .with_bytes(field::DATA, deflate(&json));
    match slots.put_if_revision(item.clone(), stored).await? {
        SwapAnswer::Stored => Ok(true),
        // The reply to our own write was lost, and it was sent again.
        SwapAnswer::Refused(other) => Ok(other.is_some_and(|other| *other == item)),
    }
}

fn read_cursor(item: &SlotItem) -> Result<Cursor, JournalError> {
    let json = inflate(item.bytes(field::DATA).unwrap_or_default());
    let json = json.map_err(|why| damaged_cursor(item, &why))?;
    serde_json::from_slice(&json).map_err(|error| damaged_cursor(item, &error.to_string()))
}

fn damaged_cursor(item: &SlotItem, why: &str) -> JournalError {
    JournalError::Unusable(format!("the cursor {} cannot be read: {why}", item.sort))
}

fn not_json(error: &serde_json::Error) -> JournalError {
    JournalError::Unusable(format!("this cannot be written as JSON: {error}"))
}
