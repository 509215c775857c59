//! The items of the journal in a table: their partitions, sort keys and fields.
//!
//! | partition | sort key | item |
//! |---|---|---|
//! | `J/log` | position, 16 digits | one append, chained to the one before |
//! | `J/pack` | first position, 16 digits | copies of some hundred appends, so that few reads fetch all of them |
//! | `J/part` | owner and number | what did not fit into an item of the two above |
//! | `J/beat` | controller | its last heartbeat |
//! | `J/cursor` | stream and digest of the channel | how far the channel has been told |
//! | `J/meta` | `format` | the format of all these |

use std::fmt::Write as _;

use sha2::Digest as _;
use sha2::Sha256;

/// A kind of items; each kind of each journal is a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    Log,
    Pack,
    Part,
    Beat,
    Cursor,
    Meta,
}

impl SlotKind {
    /// The partition of these items in a journal.
    pub(super) fn partition(self, journal: &str) -> String {
        let kind = match self {
            Self::Log => "log",
            Self::Pack => "pack",
            Self::Part => "part",
            Self::Beat => "beat",
            Self::Cursor => "cursor",
            Self::Meta => "meta",
        };
        format!("{journal}/{kind}")
    }
}

/// The version of this layout. This program reads this version and all before it.
pub(super) const FORMAT: u64 = 1;
/// The sort key of the item that names the format.
pub(super) const FORMAT_KEY: &str = "format";
/// The application that the format belongs to.
pub(super) const APPLICATION: &str = "cutover";

/// Fields of items.
pub(super) mod field {
    /// The application, of [`super::FORMAT_KEY`].
    pub(crate) const APPLICATION: &str = "application";
    /// The version of the item's layout.
    pub(crate) const VERSION: &str = "version";
    /// The time at which the journal was created.
    pub(crate) const CREATED: &str = "created";
    /// Identifies an append.
    pub(crate) const APPEND_ID: &str = "append_id";
    /// Compressed JSON, or the first part of it.
    pub(crate) const DATA: &str = "data";
    /// How many items of `J/part` hold the rest of the data; absent if none does.
    pub(crate) const PARTS: &str = "parts";
    /// The owner of these parts.
    pub(crate) const OWNER: &str = "owner";
    /// The hash of this append and all before it; of a pack, that of its last append.
    pub(crate) const HASH: &str = "hash";
    /// The last position in a pack.
    pub(crate) const LAST: &str = "last";
    /// Tells one write of a cursor from all others.
    pub(crate) const WRITE_ID: &str = "write_id";
}

/// The sort key of a position. Positions have 16 digits, so that they are in order as texts.
pub(super) fn position_key(position: u64) -> String {
    format!("{position:016}")
}

/// The position of a sort key; `None` if it is none.
pub(super) fn position_of(key: &str) -> Option<u64> {
    let position = key.parse().ok()?;
    if position_key(position) == key {
        Some(position)
    } else {
        None
    }
}

/// The sort key of a channel's cursor in a stream. The name of a channel may be longer than a key.
pub(super) fn cursor_key(stream: &str, channel: &str) -> String {
    format!("{stream}/{}", digest_text(channel))
}

/// The sort key of a part.
pub(super) fn part_key(owner: &str, number: u64) -> String {
    format!("{owner}/{number:04}")
}

/// 16 bytes that stand for a text of any length.
pub(super) fn digest(text: &str) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(Sha256::digest(text)) {
        *to = from;
    }
    short
}

/// The same as a text of 32 letters.
pub(super) fn digest_text(text: &str) -> String {
    let mut shown = String::new();
    for byte in digest(text) {
        write!(shown, "{byte:02x}").unwrap_or_default();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_in_order_as_texts_and_read_back() {
        assert!(position_key(9) < position_key(10));
        assert_eq!(position_of(&position_key(1_234)), Some(1_234));
        for wrong in ["", "17", "000000000000017x", "+000000000000017"] {
            assert_eq!(position_of(wrong), None, "{wrong}");
        }
    }
}
