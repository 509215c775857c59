//! Packs: copies of some hundred appends in one item, so that the whole log is read in few calls.
//!
//! A pack is only a copy. Its appends are chained as in the log, and its last one is compared with the log. A pack that
//! does not fit is not used: the log is read instead.

use super::blob::{self, INLINE_BYTES_MAX};
use super::body::{UNPACKED_BYTES_MAX, deflate, inflate};
use super::item::{ChainHash, LogItem, stored_hash};
use super::layout::{FORMAT, SlotKind, field, position_key, position_of};
use crate::ports::{JournalError, SlotItem, Slots};

/// The appends of a pack. A pack has fewer if they do not fit into an item.
pub(super) const PACK_APPENDS: usize = 500;

/// A pack as it is stored, not yet unpacked.
#[derive(Debug)]
pub(super) struct StoredPack {
    /// The position of its first append.
    pub(super) first: u64,
    /// The position of its last append.
    pub(super) last: u64,
    /// The hash of its last append, as the pack has it.
    pub(super) hash: ChainHash,
    item: SlotItem,
}

/// Reads the packs that lie side by side from the beginning of the log on. Those behind a gap, and those that this
/// program cannot read, are left out.
///
/// # Errors
/// `Down`.
pub(super) async fn read_all(
    slots: &dyn Slots,
    journal: &str,
) -> Result<Vec<StoredPack>, JournalError> {
    let mut packs: Vec<StoredPack> = Vec::new();
    for item in read_items(slots, journal).await? {
        let end = packs.last().map_or(0, |pack| pack.last);
        match stored(item) {
            Ok(pack) if pack.first == end + 1 => packs.push(pack),
            Ok(_) | Err(_) => break,
        }
    }
    Ok(packs)
}

/// Reads the items of all packs.
///
/// # Errors
/// `Down`.
pub(super) async fn read_items(
    slots: &dyn Slots,
    journal: &str,
) -> Result<Vec<SlotItem>, JournalError> {
    let partition = SlotKind::Pack.partition(journal);
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

/// Reads the frame of a pack.
///
/// # Errors
/// It is none, or a newer cutover wrote it.
pub(super) fn stored(item: SlotItem) -> Result<StoredPack, String> {
    match item.number(field::VERSION) {
        Some(1..=FORMAT) => {}
        Some(_) | None => return Err("a newer cutover wrote it".to_owned()),
    }
    let first = position_of(&item.sort).ok_or("its key is no position")?;
    let last = item.number(field::LAST).ok_or("it has no end")?;
    if last < first {
        return Err(format!("it ends at {last}, before it begins"));
    }
    let hash = stored_hash(&item)?;
    Ok(StoredPack {
        first,
        last,
        hash,
        item,
    })
}

impl StoredPack {
    /// The appends of a pack behind the one with the hash `previous`.
    ///
    /// # Errors
    /// `Down`: a part of it cannot be read. The inner error says what does not fit.
    pub(super) async fn unpack(
        &self,
        slots: &dyn Slots,
        journal: &str,
        previous: ChainHash,
    ) -> Result<Result<Vec<LogItem>, String>, JournalError> {
        let data = match blob::whole(slots, journal, &self.item).await? {
            Ok(data) => data,
            Err(why) => return Ok(Err(why)),
        };
        Ok(self.read(&data, previous))
    }

    fn read(&self, data: &[u8], previous: ChainHash) -> Result<Vec<LogItem>, String> {
        let unpacked = inflate(data)?;
        let (mut rest, mut hash) = (unpacked.as_slice(), previous);
        let mut items = Vec::new();
        for position in self.first..=self.last {
            let append_id = take_framed(&mut rest)?;
            let json = take_framed(&mut rest)?;
            let append_id = String::from_utf8_lossy(append_id).into_owned();
            let item = LogItem::new(&hash, position, append_id, json.to_vec());
            hash = item.hash;
            items.push(item);
        }
        if !rest.is_empty() || hash != self.hash {
            return Err("its appends do not follow from those before it".to_owned());
        }
        Ok(items)
    }
}

/// Packs the first appends of `items`, as many as fit. They follow each other, and there is at least one.
///
/// # Errors
/// As [`blob::attach`].
pub(super) async fn pack(
    slots: &dyn Slots,
    journal: &str,
    items: &[LogItem],
) -> Result<Option<SlotItem>, JournalError> {
    let mut count = items.len();
    while count > 0 {
        let mut framed = Vec::new();
        for item in &items[..count] {
            put_framed(&mut framed, item.append_id.as_bytes());
            put_framed(&mut framed, &item.json);
        }
        // A single append always fits, if need be with parts.
        if framed.len() > UNPACKED_BYTES_MAX && count > 1 {
            count /= 2;
            continue;
        }
        let data = deflate(&framed);
        if data.len() > INLINE_BYTES_MAX && count > 1 {
            count /= 2;
            continue;
        }
        let (first, last) = (&items[0], &items[count - 1]);
        let partition = SlotKind::Pack.partition(journal);
        let item = SlotItem::new(partition, position_key(first.position))
            .with_number(field::VERSION, FORMAT)
            .with_number(field::LAST, last.position)
            .with_bytes(field::HASH, last.hash.to_vec());
        let owner = format!("pack-{}", position_key(first.position));
        let item = blob::attach(slots, journal, item, data, &owner).await?;
        return Ok(Some(item));
    }
    Ok(None)
}

/// The first position of a pack, by its key.
pub(super) fn first_of(item: &SlotItem) -> Option<u64> {
    position_of(&item.sort)
}

/// The last position of a pack that was stored by another process.
pub(super) fn last_of(item: &SlotItem) -> Option<u64> {
    item.number(field::LAST)
}

/// Adds bytes behind their length.
fn put_framed(framed: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(bytes);
}

/// Said of a pack that ends too early.
const CUT_OFF: &str = "it is cut off";

/// Takes bytes that stand behind their length.
fn take_framed<'data>(rest: &mut &'data [u8]) -> Result<&'data [u8], String> {
    let (length, behind) = rest.split_first_chunk::<4>().ok_or(CUT_OFF)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CUT_OFF)?;
    let (bytes, left) = behind.split_at_checked(length).ok_or(CUT_OFF)?;
    *rest = left;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::log::item::CHAIN_START;

    fn items(count: u64) -> Vec<LogItem> {
        let (mut items, mut hash) = (Vec::new(), CHAIN_START);
        for position in 1..=count {
            let json = format!("[\"entry {position}\"]").into_bytes();
            let item = LogItem::new(&hash, position, format!("append-{position}"), json);
            hash = item.hash;
            items.push(item);
        }
        items
    }

    fn framed(items: &[LogItem]) -> Vec<u8> {
        let mut framed = Vec::new();
        for item in items {
            put_framed(&mut framed, item.append_id.as_bytes());
            put_framed(&mut framed, &item.json);
        }
        framed
    }

    fn stored_pack(items: &[LogItem], last: u64) -> StoredPack {
        StoredPack {
            first: 1,
            last,
            hash: items[items.len() - 1].hash,
            item: SlotItem::new("J/pack", position_key(1)),
        }
    }

    #[test]
    fn a_pack_gives_back_its_appends_and_refuses_any_others() {
        let items = items(7);
        let data = deflate(&framed(&items));
        assert_eq!(
            stored_pack(&items, 7).read(&data, CHAIN_START),
            Ok(items.clone())
        );
        let mut changed = items.clone();
        changed[3].json.push(b' ');
        for wrong in [framed(&changed), framed(&items[..6]), vec![0; 3]] {
            let read = stored_pack(&items, 7).read(&deflate(&wrong), CHAIN_START);
            assert!(read.is_err());
        }
        assert!(stored_pack(&items, 6).read(&data, CHAIN_START).is_err());
        assert!(stored_pack(&items, 7).read(&data, [1; 32]).is_err());
    }
}
