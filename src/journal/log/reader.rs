//! Reads the log, and checks that each append follows from those before it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body::entries_from_json;
use super::chain::LogChain;
use super::item::{CHAIN_START, LogItem};
use super::layout::{SlotKind, position_key};
use super::packs::{self, StoredPack};
use crate::engine::event::Envelope;
use crate::ports::{JournalError, SlotItem, Slots};

/// The log of one journal, and what this process has read of it.
pub(super) struct LogReader<'a> {
    pub(super) slots: &'a dyn Slots,
    /// The journal's name within its table.
    pub(super) journal: &'a str,
    /// The journal's URL, for messages.
    pub(super) place: &'a str,
    pub(super) chain: &'a Mutex<LogChain>,
}

/// The entries of an append, and its position.
pub(super) type Appended = (u64, Vec<Envelope>);

impl LogReader<'_> {
    /// Locks what is known. Nothing between two of its changes can panic.
    pub(super) fn chain(&self) -> MutexGuard<'_, LogChain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All appends after a position, or after the last one that is known if that comes first.
    ///
    /// # Errors
    /// `Down`: the table cannot be read. `Unusable`: an append does not follow from those before it.
    pub(super) async fn read_after(&self, position: u64) -> Result<Vec<Appended>, JournalError> {
        self.usable()?;
        let from = position.min(self.chain().tail());
        if from == 0 {
            return self.read_whole().await;
        }
        let items = self.pages(from, None).await?;
        self.take_all(items)
    }

    /// An error if the log was found to be unusable.
    pub(super) fn usable(&self) -> Result<(), JournalError> {
        match self.chain().broken() {
            Some(why) => Err(self.unusable(why)),
            None => Ok(()),
        }
    }

    /// Reads everything: packs first, and then what is not packed yet.
    async fn read_whole(&self) -> Result<Vec<Appended>, JournalError> {
        let mut packs = packs::read_all(self.slots, self.journal).await?;
        let packed = packs.last().map_or(0, |pack| pack.last);
        let mut items = self.pages(packed.saturating_sub(1), None).await?;
        if let Some(last) = packs.last()
            && !is_end_of(last, items.first())
        {
            self.distrust(last, "the log has another append at its end");
            packs.clear();
            items = self.pages(0, None).await?;
        }
        let mut read = Vec::new();
        let mut hash = CHAIN_START;
        for pack in packs {
            match pack.unpack(self.slots, self.journal, hash).await? {
                Ok(unpacked) => {
                    hash = pack.hash;
                    read.extend(self.take_all(unpacked)?);
                    self.chain().note_packed(pack.last);
                }
                Err(why) => {
                    self.distrust(&pack, &why);
                    items = self.pages(pack.first - 1, None).await?;
                    break;
                }
            }
        }
        let end = read.last().map_or(0, |(position, _)| *position);
        items.retain(|item| item.position > end);
        read.extend(self.take_all(items)?);
        Ok(read)
    }

    fn distrust(&self, pack: &StoredPack, why: &str) {
        tracing::warn!(
            "{}: the pack of the appends {} to {} is not used: {why}; the log is read instead",
            self.place,
            pack.first,
            pack.last
        );
    }

    /// The appends of the log after a position, as they are stored; at most `limit`.
    ///
    /// # Errors
    /// `Down`; `Unusable`: an item is no append.
    pub(super) async fn pages(
        &self,
        position: u64,
        limit: Option<usize>,
    ) -> Result<Vec<LogItem>, JournalError> {
        let partition = SlotKind::Log.partition(self.journal);
        let limit = limit.unwrap_or(usize::MAX);
        let (mut items, mut after) = (Vec::new(), position_key(position));
        loop {
            let left = u32::try_from(limit - items.len()).ok();
            let page = self.slots.read_from(&partition, &after, left).await?;
            for item in &page.items {
                items.push(self.read_item(item).await?);
            }
            match page.next_after {
                Some(next) if items.len() < limit => after = next,
                Some(_) | None => return Ok(items),
            }
        }
    }

    /// Reads one item of the log.
    ///
    /// # Errors
    /// `Down`; `Unusable`: it is no append.
    pub(super) async fn read_item(&self, item: &SlotItem) -> Result<LogItem, JournalError> {
        let read = LogItem::from_slot(self.slots, self.journal, item).await?;
        read.map_err(|why| self.broken(format!("append {} cannot be read: {why}", item.sort)))
    }

    /// Takes appends in their order.
    ///
    /// # Errors
    /// `Unusable`: one does not follow from those before it.
    pub(super) fn take_all(&self, items: Vec<LogItem>) -> Result<Vec<Appended>, JournalError> {
        let mut read = Vec::new();
        for item in items {
            let entries = self.take(&item)?;
            read.push((item.position, entries));
        }
        Ok(read)
    }

    /// Takes one append, and returns its entries.
    ///
    /// # Errors
    /// As [`LogReader::take_all`].
    pub(super) fn take(&self, item: &LogItem) -> Result<Vec<Envelope>, JournalError> {
        let entries = entries_from_json(&item.json);
        let position = item.position;
        let entries = entries
            .map_err(|why| self.broken(format!("append {position} cannot be read: {why}")))?;
        let taken = self.chain().take(item, &entries);
        taken.map_err(|why| self.broken(why))?;
        Ok(entries)
    }

    /// Notes that the log cannot be used, and returns the error.
    fn broken(&self, why: String) -> JournalError {
        let error = self.unusable(&why);
        self.chain().break_for(why);
        error
    }

    fn unusable(&self, why: &str) -> JournalError {
        JournalError::Unusable(format!("{} cannot be used: {why}", self.place))
    }
}

/// Returns true if an append of the log is the last one of a pack.
fn is_end_of(pack: &StoredPack, item: Option<&LogItem>) -> bool {
    item.is_some_and(|item| item.position == pack.last && item.hash == pack.hash)
}
