//! Data that may be too large for one item: the rest of it lies in further items, which are written first.

use super::layout::{SlotKind, field, part_key};
use crate::ports::{JournalError, SlotItem, Slots};

/// The most bytes of data in one item. An item has at most 400 KB, its key and other fields included.
pub(super) const INLINE_BYTES_MAX: usize = 350_000;

/// The most further items of one blob.
const PARTS_MAX: u64 = 200;

/// Adds data to an item. What does not fit is stored as parts of `owner`, which no other item may have.
///
/// # Errors
/// `Down`: a part cannot be stored. `Unusable`: there is too much data.
pub(super) async fn attach(
    slots: &dyn Slots,
    journal: &str,
    item: SlotItem,
    data: Vec<u8>,
    owner: &str,
) -> Result<SlotItem, JournalError> {
    if data.len() <= INLINE_BYTES_MAX {
        return Ok(item.with_bytes(field::DATA, data));
    }
    let (first, rest) = data.split_at(INLINE_BYTES_MAX);
    let mut parts = 0;
    for part in rest.chunks(INLINE_BYTES_MAX) {
        parts += 1;
        if parts > PARTS_MAX {
            return Err(JournalError::Unusable(format!(
                "an append of {} bytes, compressed, is too large for the journal",
                data.len()
            )));
        }
        let stored = SlotItem::new(SlotKind::Part.partition(journal), part_key(owner, parts));
        slots
            .put(stored.with_bytes(field::DATA, part.to_vec()))
            .await?;
    }
    Ok(item
        .with_bytes(field::DATA, first.to_vec())
        .with_number(field::PARTS, parts)
        .with_text(field::OWNER, owner))
}

/// The data of an item with all of its parts.
///
/// # Errors
/// `Down`: a part cannot be read. The inner error says what is missing.
pub(super) async fn whole(
    slots: &dyn Slots,
    journal: &str,
    item: &SlotItem,
) -> Result<Result<Vec<u8>, String>, JournalError> {
    let Some(first) = item.bytes(field::DATA) else {
        return Ok(Err("it has no data".to_owned()));
    };
    let mut data = first.to_vec();
    let parts = item.number(field::PARTS).unwrap_or(0);
    if parts > PARTS_MAX {
        return Ok(Err(format!("it has {parts} parts")));
    }
    let owner = item.text(field::OWNER).unwrap_or_default();
    for number in 1..=parts {
        let partition = SlotKind::Part.partition(journal);
        let part = slots.get(&partition, &part_key(owner, number)).await?;
        let Some(part) = part.as_ref().and_then(|part| part.bytes(field::DATA)) else {
            return Ok(Err(format!("its part {number} is missing")));
        };
        data.extend_from_slice(part);
    }
    Ok(Ok(data))
}
