//! A table of `DynamoDB` as a strict model: conditional writes, pages of 1 MB, items of at most 400 KB, and the units that
//! each call costs.
//!
//! Every call can be made to fail, in each way in which a call to a far service can fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cutover_ports::{
    JournalError, REVISION, SLOT_BYTES_MAX, SlotField, SlotItem, SlotPage, Slots, SwapAnswer,
};

/// The most bytes in one page of a reply. Source: `DynamoDB` Developer Guide, `Query`.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// The bytes of one read unit (consistent) and one write unit. Source: `DynamoDB` Developer Guide, on-demand capacity.
const READ_UNIT_BYTES: usize = 4 * 1024;
const WRITE_UNIT_BYTES: usize = 1024;

/// The ways in which one call can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotFault {
    /// It is refused because there were too many.
    Throttled,
    /// It is lost on its way to the table.
    LostBefore,
    /// It is carried out, and its answer is lost.
    LostAfter,
    /// It is carried out, its answer is lost, and the client sends it again: the caller sees the answer to the second one.
    SentTwice,
    /// It is carried out after this time.
    Slow(Duration),
    /// There is never an answer. It is carried out if this is true.
    Hangs(bool),
}

/// What calls have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotUsage {
    /// Calls that read.
    pub reads: u64,
    /// Calls that write, refused ones too.
    pub writes: u64,
    /// Read units of 4 KB; at least one a call.
    pub read_units: u64,
    /// Write units of 1 KB; at least one a call.
    pub write_units: u64,
    /// Bytes of items read and written.
    pub bytes: u64,
}

/// A table in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemorySlots {
    shared: Arc<Mutex<SlotTable>>,
}

type SlotKey = (String, String);

#[derive(Debug, Default)]
struct SlotTable {
    items: BTreeMap<SlotKey, SlotItem>,
    usage: SlotUsage,
    /// The faults of the next calls, one each.
    next_faults: VecDeque<Option<SlotFault>>,
    /// The fault of all calls after those.
    always: Option<SlotFault>,
}

impl MemorySlots {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the faults of the next calls, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Option<SlotFault>>) {
        self.table().next_faults.extend(faults);
    }

    /// Sets the fault of all calls from now on.
    pub fn fail_always(&self, fault: Option<SlotFault>) {
        self.table().always = fault;
    }

    /// What calls have cost since the last call of this function.
    pub fn take_usage(&self) -> SlotUsage {
        std::mem::take(&mut self.table().usage)
    }

    /// All items, in order.
    pub fn items(&self) -> Vec<SlotItem> {
        self.table().items.values().cloned().collect()
    }

    /// Changes an item behind everybody's back; `None` removes it.
    pub fn tamper(&self, partition: &str, sort: &str, item: Option<SlotItem>) {
        let key = (partition.to_owned(), sort.to_owned());
        match item {
            Some(item) => self.table().items.insert(key, item),
            None => self.table().items.remove(&key),
        };
    }

    fn table(&self) -> MutexGuard<'_, SlotTable> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a call, or fails as it is made to.
    async fn call<T>(&self, work: impl Fn(&mut SlotTable) -> T) -> Result<T, JournalError> {
        let fault = {
            let mut table = self.table();
            match table.next_faults.pop_front() {
                Some(fault) => fault,
                None => table.always,
            }
        };
        match fault {
            None => Ok(work(&mut self.table())),
            Some(SlotFault::Throttled) => Err(down("ThrottlingException: too many requests")),
            Some(SlotFault::LostBefore) => Err(down("the connection was closed")),
            Some(SlotFault::LostAfter) => {
                work(&mut self.table());
                Err(down("the connection was closed"))
            }
            Some(SlotFault::SentTwice) => {
                work(&mut self.table());
                Ok(work(&mut self.table()))
            }
            Some(SlotFault::Slow(wait)) => {
                tokio::time::sleep(wait).await;
                Ok(work(&mut self.table()))
            }
            Some(SlotFault::Hangs(is_done)) => {
                if is_done {
                    work(&mut self.table());
                }
                std::future::pending().await
            }
        }
    }
}

impl SlotTable {
    /// Stores an item if `may` says so about the one in its place. Returns the one that is in the way.
    fn put(
        &mut self,
        item: &SlotItem,
        may: impl Fn(Option<&SlotItem>) -> bool,
    ) -> Result<(), Option<SlotItem>> {
        let bytes = item_bytes(item);
        assert!(bytes <= SLOT_BYTES_MAX, "an item of {bytes} bytes");
        let key = (item.partition.clone(), item.sort.clone());
        let stored = self.items.get(&key);
        // A write costs the larger of both items, also if it is refused.
        self.usage
            .count_write(bytes.max(stored.map_or(0, item_bytes)));
        if !may(stored) {
            return Err(stored.cloned());
        }
        self.items.insert(key, item.clone());
        Ok(())
    }

    fn read_from(&mut self, partition: &str, after: &str, limit: Option<u32>) -> SlotPage {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let from = (partition.to_owned(), after.to_owned());
        let (mut page, mut bytes) = (SlotPage::default(), 0);
        for (key, item) in self.items.range(from.clone()..) {
            if key.0 != partition {
                break;
            }
            if *key == from {
                continue;
            }
            let is_full = limit.is_some_and(|limit| page.items.len() >= limit);
            let last = page.items.last().map(|item: &SlotItem| item.sort.clone());
            if is_full || (bytes + item_bytes(item) > PAGE_BYTES_MAX && last.is_some()) {
                page.next_after = last;
                break;
            }
            bytes += item_bytes(item);
            page.items.push(item.clone());
        }
        self.usage.count_read(bytes);
        page
    }
}

impl SlotUsage {
    fn count_read(&mut self, bytes: usize) {
        self.reads += 1;
        self.read_units += units(bytes, READ_UNIT_BYTES);
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    fn count_write(&mut self, bytes: usize) {
        self.writes += 1;
        self.write_units += units(bytes, WRITE_UNIT_BYTES);
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

/// The units of a call, at least one.
fn units(bytes: usize, unit_bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(unit_bytes).max(1)).unwrap_or(u64::MAX)
}

/// The bytes of an item as `DynamoDB` counts them: names and values. A number counts a byte for two digits, and one.
/// Source: `DynamoDB` Developer Guide, item sizes and formats.
pub fn item_bytes(item: &SlotItem) -> usize {
    let mut bytes = "pk".len() + item.partition.len() + "sk".len() + item.sort.len();
    for (name, field) in &item.fields {
        bytes += name.len();
        bytes += match field {
            SlotField::Text(text) => text.len(),
            SlotField::Number(number) => number.to_string().len().div_ceil(2) + 1,
            SlotField::Bytes(bytes) => bytes.len(),
        };
    }
    bytes
}

fn down(why: &str) -> JournalError {
    JournalError::Down(why.to_owned())
}

#[async_trait]
impl Slots for MemorySlots {
    async fn put_if_absent(&self, item: SlotItem) -> Result<Option<SlotItem>, JournalError> {
        let put = self.call(|table| table.put(&item, |stored| stored.is_none()));
        Ok(put.await?.err().flatten())
    }

    async fn put(&self, item: SlotItem) -> Result<(), JournalError> {
        self.call(|table| drop(table.put(&item, |_| true))).await
    }

    async fn put_if_revision(
        &self,
        item: SlotItem,
        stored: u64,
    ) -> Result<SwapAnswer, JournalError> {
        let put = self.call(|table| table.put(&item, |there| revision(there) == stored));
        Ok(match put.await? {
            Ok(()) => SwapAnswer::Stored,
            Err(other) => SwapAnswer::Refused(other.map(Box::new)),
        })
    }

    async fn remove_if_revision(
        &self,
        partition: &str,
        sort: &str,
        wanted: u64,
    ) -> Result<(), JournalError> {
        let key = (partition.to_owned(), sort.to_owned());
        let remove = self.call(|table| {
            let stored = table.items.get(&key);
            table.usage.count_write(stored.map_or(0, item_bytes));
            if revision(stored) == wanted {
                table.items.remove(&key);
            }
        });
        remove.await
    }

    async fn get(&self, partition: &str, sort: &str) -> Result<Option<SlotItem>, JournalError> {
        let key = (partition.to_owned(), sort.to_owned());
        let get = self.call(|table| {
            let stored = table.items.get(&key).cloned();
            table
                .usage
                .count_read(stored.as_ref().map_or(0, item_bytes));
            stored
        });
        get.await
    }

    async fn read_from(
        &self,
        partition: &str,
        after: &str,
        limit: Option<u32>,
    ) -> Result<SlotPage, JournalError> {
        self.call(|table| table.read_from(partition, after, limit))
            .await
    }
}

fn revision(item: Option<&SlotItem>) -> u64 {
    item.and_then(|item| item.number(REVISION)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sort: &str, bytes: usize) -> SlotItem {
        SlotItem::new("p", sort).with_bytes("data", vec![0; bytes])
    }

    #[tokio::test]
    async fn of_two_items_with_one_key_the_first_stays() {
        let slots = MemorySlots::new();
        assert_eq!(slots.put_if_absent(item("a", 1)).await, Ok(None));
        let refused = slots.put_if_absent(item("a", 2)).await;
        assert_eq!(refused, Ok(Some(item("a", 1))));
        slots.put(item("a", 3)).await.unwrap();
        assert_eq!(slots.get("p", "a").await, Ok(Some(item("a", 3))));
    }

    #[tokio::test]
    async fn a_page_ends_at_a_megabyte_or_at_the_limit_and_the_next_one_follows_it() {
        let slots = MemorySlots::new();
        for sort in ["a", "b", "c", "d"] {
            slots.put(item(sort, 300_000)).await.unwrap();
        }
        slots.put(SlotItem::new("q", "e")).await.unwrap();
        let first = slots.read_from("p", "", None).await.unwrap();
        assert_eq!(first.items.len(), 3);
        let after = first.next_after.unwrap();
        let second = slots.read_from("p", &after, None).await.unwrap();
        assert_eq!((second.items.len(), second.next_after), (1, None));
        let one = slots.read_from("p", "a", Some(1)).await.unwrap();
        assert_eq!(one.items[0].sort, "b");
        let usage = slots.take_usage();
        assert_eq!((usage.reads, usage.writes), (3, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_fails_in_each_way() {
        let slots = MemorySlots::new();
        for fault in [SlotFault::Throttled, SlotFault::LostBefore] {
            slots.fail_next([Some(fault)]);
            assert!(slots.put_if_absent(item("a", 1)).await.is_err());
            assert_eq!(slots.get("p", "a").await, Ok(None));
        }
        slots.fail_next([Some(SlotFault::LostAfter)]);
        assert!(slots.put_if_absent(item("a", 1)).await.is_err());
        assert!(slots.get("p", "a").await.unwrap().is_some());
        slots.fail_next([Some(SlotFault::SentTwice)]);
        let twice = slots.put_if_absent(item("b", 1)).await;
        assert_eq!(twice, Ok(Some(item("b", 1))));
        slots.fail_always(Some(SlotFault::Hangs(true)));
        let second = Duration::from_secs(1);
        let hung = tokio::time::timeout(second, slots.put(item("c", 1))).await;
        assert!(hung.is_err());
        slots.fail_always(Some(SlotFault::Slow(second)));
        assert!(slots.get("p", "c").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_revision_is_stored_and_removed_only_over_the_expected_one() {
        let slots = MemorySlots::new();
        let at = |revision| item("a", 1).with_number(REVISION, revision);
        assert_eq!(
            slots.put_if_revision(at(1), 0).await,
            Ok(SwapAnswer::Stored)
        );
        let refused = SwapAnswer::Refused(Some(Box::new(at(1))));
        assert_eq!(slots.put_if_revision(at(1), 0).await, Ok(refused));
        slots.remove_if_revision("p", "a", 2).await.unwrap();
        assert!(slots.get("p", "a").await.unwrap().is_some());
        slots.remove_if_revision("p", "a", 1).await.unwrap();
        let gone = slots.put_if_revision(at(2), 1).await;
        assert_eq!(gone, Ok(SwapAnswer::Refused(None)));
    }
}
