//! A table of items that several machines share, with conditional writes. The shared journal is kept in one.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::journal::JournalError;

/// The field that [`Slots::put_if_revision`] and [`Slots::remove_if_revision`] compare. It is a [`SlotField::Number`].
pub const REVISION: &str = "revision";

/// The most bytes in one item: names and values of its fields, partition and sort key. Source: `DynamoDB` Developer Guide,
/// service quotas (400 KB).
pub const SLOT_BYTES_MAX: usize = 400 * 1024;

/// An item: a key of two parts, and named fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotItem {
    /// The partition. Not empty.
    pub partition: String,
    /// The key within the partition, by which items are ordered, as bytes. Not empty, at most 1,024 bytes.
    pub sort: String,
    /// Everything else.
    pub fields: BTreeMap<String, SlotField>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotField {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl SlotItem {
    /// An item without fields.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self {
            partition: partition.into(),
            sort: sort.into(),
            fields: BTreeMap::new(),
        }
    }

    /// The item with one more text.
    #[must_use]
    pub fn with_text(mut self, name: &str, text: impl Into<String>) -> Self {
        self.fields
            .insert(name.to_owned(), SlotField::Text(text.into()));
        self
    }

    /// The item with one more number.
    #[must_use]
    pub fn with_number(mut self, name: &str, number: u64) -> Self {
        self.fields
            .insert(name.to_owned(), SlotField::Number(number));
        self
    }

    /// The item with more bytes.
    #[must_use]
    pub fn with_bytes(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.fields.insert(name.to_owned(), SlotField::Bytes(bytes));
        self
    }

    /// The text of a field; `None` if there is no such text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.fields.get(name)? {
            SlotField::Text(text) => Some(text),
            SlotField::Number(_) | SlotField::Bytes(_) => None,
        }
    }

    /// The number of a field; `None` if there is no such number.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.fields.get(name)? {
            SlotField::Number(number) => Some(*number),
            SlotField::Text(_) | SlotField::Bytes(_) => None,
        }
    }

    /// The bytes of a field; `None` if there are no such bytes.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.fields.get(name)? {
            SlotField::Bytes(bytes) => Some(bytes),
            SlotField::Text(_) | SlotField::Number(_) => None,
        }
    }
}

/// Some items of a partition, in the order of their sort keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotPage {
    /// The items.
    pub items: Vec<SlotItem>,
    /// The sort key after which the next page begins; `None` if this is the last page.
    pub next_after: Option<String>,
}

/// A table of items. Every read sees every write that was answered before it began.
///
/// Every call ends in time. Its error is [`JournalError::Down`]: the table was not reached, or it refused. A write that
/// fails so may have been carried out, or may still be.
#[async_trait]
pub trait Slots: Send + Sync {
    /// Stores an item if there is none with its key. Returns the item that is in the way, if there is one. If the call was
    /// repeated after a lost reply, that may be the new item itself.
    async fn put_if_absent(&self, item: SlotItem) -> Result<Option<SlotItem>, JournalError>;

    /// Stores an item in place of any other with its key.
    async fn put(&self, item: SlotItem) -> Result<(), JournalError>;

    /// Stores an item if the [`REVISION`] of the stored one is `stored`; 0 means that none is stored. If the call was
    /// repeated after a lost reply, the item that is in the way may be the new item itself.
    async fn put_if_revision(
        &self,
        item: SlotItem,
        stored: u64,
    ) -> Result<SwapAnswer, JournalError>;

    /// Removes an item if its [`REVISION`] is this one.
    async fn remove_if_revision(
        &self,
        partition: &str,
        sort: &str,
        revision: u64,
    ) -> Result<(), JournalError>;

    /// The item with a key.
    async fn get(&self, partition: &str, sort: &str) -> Result<Option<SlotItem>, JournalError>;

    /// The items of a partition whose sort keys come after `after`, in order: as many as fit into one reply, at most
    /// `limit`.
    async fn read_from(
        &self,
        partition: &str,
        after: &str,
        limit: Option<u32>,
    ) -> Result<SlotPage, JournalError>;
}

/// The answer to a write that depends on a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapAnswer {
    /// The item is stored.
    Stored,
    /// Another item is in the way, or the expected one is gone (`None`).
    Refused(Option<Box<SlotItem>>),
}
