//! Sizes of change batches, counted as Route 53 counts them.
//!
//! Source: Route 53 Developer Guide, Quotas: at most 1,000 `ResourceRecord` elements (aliases included) and 32,000
//! characters of values in a request; an `UPSERT` counts twice in both.

use crate::engine::decide::{How, Part};
use crate::engine::record::RecordSet;
use crate::engine::units::Weight;
use crate::ports::{ChangeAction, RecordChange};

/// The size of the changes in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Number of `ResourceRecord` elements.
    pub elements: usize,
    /// Number of characters in all values.
    pub characters: usize,
}

/// The largest size of a request that Route 53 accepts.
pub const LIMIT: Size = Size {
    elements: 1_000,
    characters: 32_000,
};

impl Size {
    /// Returns the size of both sets of changes together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            elements: self.elements + other.elements,
            characters: self.characters + other.characters,
        }
    }

    /// Returns true if a request may be this large: at most [`LIMIT`].
    pub fn fits(self) -> bool {
        self.elements <= LIMIT.elements && self.characters <= LIMIT.characters
    }
}

/// Returns the size of some changes.
pub fn size(changes: &[RecordChange]) -> Size {
    changes
        .iter()
        .map(size_of_change)
        .fold(Size::default(), Size::plus)
}

/// Returns the number of requests that are needed to write these parts of one zone, in their order.
pub fn requests<'a>(parts: impl IntoIterator<Item = &'a Part>) -> usize {
    let (mut requests, mut total) = (0, Size::default());
    for part in parts {
        let own = size(&changes(part));
        let grown = total.plus(own);
        if requests > 0 && grown.fits() {
            total = grown;
        } else {
            (requests, total) = (requests + 1, own);
        }
    }
    requests
}

fn size_of_change(change: &RecordChange) -> Size {
    let times = if change.action == ChangeAction::Upsert {
        2
    } else {
        1
    };
    let characters: usize = change
        .record
        .values
        .iter()
        .map(|value| value.chars().count())
        .sum();
    Size {
        elements: change.record.values.len().max(1) * times,
        characters: characters * times,
    }
}

/// Returns the changes that write a part. They always write both members together.
pub fn changes(part: &Part) -> Vec<RecordChange> {
    let mut changes = member(&part.image.old, part.to.old, part.how);
    changes.extend(member(&part.image.new, part.to.new, part.how));
    changes
}

fn member(record: &RecordSet, weight: Weight, how: How) -> Vec<RecordChange> {
    let to = record.with_weight(weight);
    match how {
        How::Swap => vec![
            RecordChange {
                action: ChangeAction::Delete,
                record: record.clone(),
            },
            RecordChange {
                action: ChangeAction::Create,
                record: to,
            },
        ],
        How::Upsert => vec![RecordChange {
            action: ChangeAction::Upsert,
            record: to,
        }],
    }
}
