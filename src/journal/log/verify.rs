//! Checks everything that is stored, as `cutover journal verify` does: the whole log without packs, and then the packs.

use std::sync::Mutex;

use super::chain::LogChain;
use super::item::CHAIN_START;
use super::packs;
use super::reader::LogReader;
use crate::ports::{JournalError, StorageReport};

/// Reads the log item by item, and compares every pack with it.
///
/// # Errors
/// `Down`; `Unusable`: an append does not follow from those before it.
pub(super) async fn verify(reader: &LogReader<'_>) -> Result<StorageReport, JournalError> {
    let chain = Mutex::new(LogChain::default());
    let fresh = LogReader {
        chain: &chain,
        ..*reader
    };
    let items = fresh.pages(0, None).await?;
    let mut hashes = vec![CHAIN_START];
    for item in &items {
        fresh.take(item)?;
        hashes.push(item.hash);
    }
    let (mut fit, mut spoiled_packs) = (0, Vec::new());
    for item in packs::read_items(reader.slots, reader.journal).await? {
        let key = packs::first_of(&item).unwrap_or(0);
        let Ok(pack) = packs::stored(item) else {
            spoiled_packs.push(key);
            continue;
        };
        let before = usize::try_from(pack.first)
            .ok()
            .and_then(|at| at.checked_sub(1));
        let previous = before.and_then(|before| hashes.get(before));
        let end = usize::try_from(pack.last).ok();
        let in_log = end.and_then(|end| hashes.get(end));
        let (Some(previous), Some(in_log)) = (previous, in_log) else {
            spoiled_packs.push(key);
            continue;
        };
        let unpacked = pack.unpack(reader.slots, reader.journal, *previous).await?;
        if unpacked.is_ok() && pack.hash == *in_log {
            fit += 1;
        } else {
            spoiled_packs.push(key);
        }
    }
    Ok(StorageReport::Table {
        appends: u64::try_from(items.len()).unwrap_or(u64::MAX),
        packs: fit,
        spoiled_packs,
    })
}
