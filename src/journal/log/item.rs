//! One append as an item of the log.

use sha2::Digest as _;
use sha2::Sha256;

use super::blob;
use super::body::{deflate, inflate};
use super::layout::{FORMAT, SlotKind, digest_text, field, position_key, position_of};
use crate::ports::{JournalError, SlotItem, Slots};

/// The SHA-256 of an append and all appends before it.
pub(super) type ChainHash = [u8; 32];

/// The hash before the first append.
pub(super) const CHAIN_START: ChainHash = [0; 32];

/// An append as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogItem {
    /// Its number, from 1.
    pub(super) position: u64,
    /// Its `append_id`.
    pub(super) append_id: String,
    /// The JSON of its entries.
    pub(super) json: Vec<u8>,
    /// The hash that is stored with it, not yet compared with anything.
    pub(super) hash: ChainHash,
}

impl LogItem {
    /// An append behind the one with the hash `previous`.
    pub(super) fn new(
        previous: &ChainHash,
        position: u64,
        append_id: String,
        json: Vec<u8>,
    ) -> Self {
        let hash = chained(previous, position, &append_id, &json);
        Self {
            position,
            append_id,
            json,
            hash,
        }
    }

    /// Returns true if the append is the one that was written behind the one with the hash `previous`.
    pub(super) fn follows(&self, previous: &ChainHash) -> bool {
        chained(previous, self.position, &self.append_id, &self.json) == self.hash
    }

    /// The item to store. Data that does not fit into it is stored now.
    ///
    /// # Errors
    /// As [`blob::attach`].
    pub(super) async fn to_slot(
        &self,
        slots: &dyn Slots,
        journal: &str,
    ) -> Result<SlotItem, JournalError> {
        let item = SlotItem::new(
            SlotKind::Log.partition(journal),
            position_key(self.position),
        )
        .with_number(field::VERSION, FORMAT)
        .with_text(field::APPEND_ID, self.append_id.as_str())
        .with_bytes(field::HASH, self.hash.to_vec());
        let owner = digest_text(&self.append_id);
        blob::attach(slots, journal, item, deflate(&self.json), &owner).await
    }

    /// Reads an item.
    ///
    /// # Errors
    /// `Down`: a part of it cannot be read. The inner error says why it is no append.
    pub(super) async fn from_slot(
        slots: &dyn Slots,
        journal: &str,
        item: &SlotItem,
    ) -> Result<Result<Self, String>, JournalError> {
        let data = match blob::whole(slots, journal, item).await? {
            Ok(data) => data,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Self::read(item, &data))
    }

    fn read(item: &SlotItem, data: &[u8]) -> Result<Self, String> {
        match item.number(field::VERSION) {
            Some(1..=FORMAT) => {}
            Some(version) => {
                return Err(format!(
                    "a newer cutover wrote it (item version {version}; this one reads up to {FORMAT})"
                ));
            }
            None => return Err("it has no version".to_owned()),
        }
        let position = position_of(&item.sort).ok_or("its key is no position")?;
        let append_id = item.text(field::APPEND_ID).ok_or("it has no append_id")?;
        Ok(Self {
            position,
            append_id: append_id.to_owned(),
            json: inflate(data)?,
            hash: stored_hash(item)?,
        })
    }
}

/// The hash that is stored with an item.
///
/// # Errors
/// There is none.
pub(super) fn stored_hash(item: &SlotItem) -> Result<ChainHash, String> {
    let stored = item.bytes(field::HASH).ok_or("it has no hash")?;
    ChainHash::try_from(stored).map_err(|_| "its hash is not one of SHA-256".to_owned())
}

/// The hash of an append behind the one with the hash `previous`. The lengths keep one field from running into the next.
fn chained(previous: &ChainHash, position: u64, append_id: &str, json: &[u8]) -> ChainHash {
    let length = u64::try_from(append_id.len()).unwrap_or(u64::MAX);
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(position.to_be_bytes());
    hash.update(length.to_be_bytes());
    hash.update(append_id.as_bytes());
    hash.update(json);
    hash.finalize().into()
}
