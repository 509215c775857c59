//! A batch of changes to one zone.

use cutover_ports::ChangeAction;

use super::record::StoredRecord;

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// CREATE, DELETE or UPSERT.
    pub action: ChangeAction,
    /// The record set with all its fields.
    pub record: StoredRecord,
}

/// A batch of changes to one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeBatch {
    /// The comment that is kept with the change, at most 256 characters.
    pub comment: Option<String>,
    /// The changes, applied in this order.
    pub changes: Vec<Change>,
}

impl ChangeBatch {
    /// Creates a batch without a comment.
    pub fn of(changes: impl IntoIterator<Item = (ChangeAction, StoredRecord)>) -> Self {
        let changes = changes.into_iter();
        Self {
            comment: None,
            changes: changes
                .map(|(action, record)| Change { action, record })
                .collect(),
        }
    }
}
