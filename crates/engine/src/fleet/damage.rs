//! Cutovers with a damaged stream (semantics L4), and the pages about them.
//!
//! Nothing may be written to such a stream, because a controller of a newer version may have written the entry and may
//! be at work. So an entry of `@fleet` pages, once for each cutover and damaged entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::hold::HoldReason;
use crate::units::CutoverName;

/// The damage of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The number of the first entry that cannot be used.
    pub entry: u64,
    /// Why that entry cannot be used, for people.
    pub why: String,
    /// The number of the last entry of the stream that was read, usable or not.
    pub head: u64,
}

impl Damage {
    /// Returns the hold of a cutover with this damage.
    pub fn hold(&self) -> HoldReason {
        HoldReason::JournalDamaged {
            entry: self.entry,
            message: self.why.clone(),
        }
    }
}

/// All damaged streams of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DamagedStreams {
    /// The damage of each damaged stream.
    pub(super) streams: BTreeMap<CutoverName, Damage>,
    /// The damaged cutovers that `@fleet` has paged for, by the number of its entry. Several entries may be about one
    /// cutover, because another version may find another entry that it cannot use.
    pub(super) told: BTreeMap<u64, CutoverName>,
    /// The damaged entries that `@fleet` has paged for: the cutover and the number of its entry.
    known: BTreeSet<(CutoverName, u64)>,
}

impl DamagedStreams {
    /// Records that entry `seq` of `@fleet` pages for entry `entry` of a cutover.
    pub(super) fn tell(&mut self, seq: u64, of: &CutoverName, entry: u64) {
        self.told.insert(seq, of.clone());
        self.known.insert((of.clone(), entry));
    }

    /// Returns an event for the first damaged stream that `@fleet` has not paged for yet. `None` if there is none.
    pub(super) fn news(&self) -> Option<Event> {
        for (name, damage) in &self.streams {
            if !self.known.contains(&(name.clone(), damage.entry)) {
                return Some(Event::CutoverDamaged {
                    of: name.clone(),
                    entry: damage.entry,
                    why: damage.why.clone(),
                });
            }
        }
        None
    }
}
