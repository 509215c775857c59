//! What a process knows of the log: the hash of every append, and the last entry of every stream.

use std::collections::BTreeMap;

use super::item::{CHAIN_START, ChainHash, LogItem};
use super::layout::digest;
use crate::engine::event::Envelope;
use crate::engine::units::CutoverName;
use crate::journal::record::StreamHead;

/// An append that was read: 48 bytes of memory each.
#[derive(Debug, Clone)]
struct LogMark {
    hash: ChainHash,
    /// [`digest`] of its `append_id`.
    append_id: [u8; 16],
}

/// Everything that was read of the log, up to [`LogChain::tail`].
#[derive(Debug, Default)]
pub(super) struct LogChain {
    /// One for each append, from position 1.
    marks: Vec<LogMark>,
    heads: BTreeMap<CutoverName, StreamHead>,
    /// The appends up to this position are in packs.
    packed: u64,
    /// Why the log can no longer be used, once that was found.
    broken: Option<String>,
}

impl LogChain {
    /// The position of the last append that was read; 0 if none was.
    pub(super) fn tail(&self) -> u64 {
        u64::try_from(self.marks.len()).unwrap_or(u64::MAX)
    }

    /// The hash of the last append that was read.
    pub(super) fn tail_hash(&self) -> ChainHash {
        self.marks.last().map_or(CHAIN_START, |mark| mark.hash)
    }

    /// The last entries of streams.
    pub(super) fn heads(&self) -> &BTreeMap<CutoverName, StreamHead> {
        &self.heads
    }

    /// The position up to which appends are in packs, as far as this process knows.
    pub(super) fn packed(&self) -> u64 {
        self.packed
    }

    /// Notes that the appends up to a position are in packs.
    pub(super) fn note_packed(&mut self, position: u64) {
        self.packed = self.packed.max(position);
    }

    /// Why the log can no longer be used.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Notes that the log can no longer be used.
    pub(super) fn break_for(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// The position of the append with this id, if it was read.
    pub(super) fn position_of(&self, append_id: &str) -> Option<u64> {
        let wanted = digest(append_id);
        let index = self
            .marks
            .iter()
            .rposition(|mark| mark.append_id == wanted)?;
        u64::try_from(index).ok().map(|index| index + 1)
    }

    /// Takes an append that was read or written. One that is known already is only compared.
    ///
    /// # Errors
    /// It does not follow the appends before it: one of them, or it, was changed or removed.
    pub(super) fn take(&mut self, item: &LogItem, entries: &[Envelope]) -> Result<(), String> {
        let position = item.position;
        let known = usize::try_from(position).unwrap_or(usize::MAX);
        if known == 0 || known > self.marks.len() + 1 {
            let missing = self.tail() + 1;
            return Err(format!(
                "append {missing} is missing, and append {position} is there"
            ));
        }
        let previous = match known.checked_sub(2) {
            Some(before) => self.marks[before].hash,
            None => CHAIN_START,
        };
        let known_hash = self.marks.get(known - 1).map(|mark| mark.hash);
        if !item.follows(&previous) || known_hash.is_some_and(|hash| hash != item.hash) {
            return Err(format!(
                "append {position} was changed after it was written (its hash does not follow from the appends before it)"
            ));
        }
        if known_hash.is_some() {
            return Ok(());
        }
        self.marks.push(LogMark {
            hash: item.hash,
            append_id: digest(&item.append_id),
        });
        for entry in entries {
            let head = StreamHead {
                seq: entry.seq,
                at: Some(entry.at),
            };
            self.heads.insert(entry.cutover.clone(), head);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(previous: ChainHash, position: u64) -> LogItem {
        let json = format!("[{position}]").into_bytes();
        LogItem::new(&previous, position, format!("append-{position}"), json)
    }

    #[test]
    fn appends_that_follow_are_taken_and_known_ones_are_compared() {
        let mut chain = LogChain::default();
        let first = item(CHAIN_START, 1);
        let second = item(first.hash, 2);
        for item in [&first, &second, &first, &second] {
            assert_eq!(chain.take(item, &[]), Ok(()));
        }
        assert_eq!((chain.tail(), chain.tail_hash()), (2, second.hash));
        assert_eq!(chain.position_of("append-2"), Some(2));
        assert_eq!(chain.position_of("append-3"), None);
    }

    #[test]
    fn an_append_that_was_changed_removed_or_put_in_is_found() {
        let mut chain = LogChain::default();
        let first = item(CHAIN_START, 1);
        chain.take(&first, &[]).unwrap();
        let mut changed = item(first.hash, 2);
        changed.json.push(b' ');
        assert!(chain.take(&changed, &[]).is_err());
        let other_first = LogItem::new(&CHAIN_START, 1, "x".to_owned(), Vec::new());
        assert!(chain.take(&other_first, &[]).is_err());
        assert!(chain.take(&item(other_first.hash, 2), &[]).is_err());
        let gap = chain.take(&item(first.hash, 3), &[]).unwrap_err();
        assert!(gap.contains("append 2 is missing"), "{gap}");
        assert!(chain.take(&item(first.hash, 0), &[]).is_err());
        assert_eq!(chain.tail(), 1, "nothing of it was taken");
    }
}
