//! Batches of exactly the size that Route 53 takes.
//!
//! Source: Route 53 Developer Guide, Quotas: at most 1,000 `ResourceRecord` elements (aliases included) and 32,000
//! characters of values in a request; an `UPSERT` counts twice in both.

use crate::engine::decide::{How, Part};
use crate::engine::record::RecordSet;
use crate::engine::units::Weight;
use crate::ports::{ChangeAction, RecordChange};

/// How much of a request something takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// `ResourceRecord` elements.
    pub elements: usize,
    /// Characters of all values.
    pub characters: usize,
}

/// What a request may take.
pub const LIMIT: Size = Size {
    elements: 1_000,
    characters: 32_000,
};

impl Size {
    /// The size of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            elements: self.elements + other.elements,
            characters: self.characters + other.characters,
        }
    }

    /// Whether a request may be this large.
    pub fn fits(self) -> bool {
        self.elements <= LIMIT.elements && self.characters <= LIMIT.characters
    }
}

/// The size of some changes.
pub fn size(changes: &[RecordChange]) -> Size {
    changes
        .iter()
        .map(size_of_change)
        .fold(Size::default(), Size::plus)
}

/// How many requests it takes to write these parts of one zone, in their order.
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

/// The changes that write a part: both members, always together.
pub fn changes(part: &Part) -> Vec<RecordChange> {
    let members = [
        (&part.image.old, part.to.old),
        (&part.image.new, part.to.new),
    ];
    members
        .into_iter()
        .flat_map(|(record, weight)| member(record, weight, part.how))
        .collect()
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
