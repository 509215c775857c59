//! Cutovers whose stream can no longer be followed (semantics L4), and the pages for them.
//!
//! Nothing may be written to such a stream: the entry may be a newer version's, whose controller is at work. So `@fleet` has
//! an entry for it, once for each cutover and entry, which pages.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::hold::HoldReason;
use crate::units::CutoverName;

/// The damage of a stream that can no longer be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The first entry that cannot be used.
    pub entry: u64,
    /// Why it cannot be used.
    pub why: String,
    /// The last entry of the stream that was read, usable or not.
    pub head: u64,
}

impl Damage {
    /// The hold of such a cutover.
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
    pub(super) streams: BTreeMap<CutoverName, Damage>,
    /// The damaged cutovers that `@fleet` has, by its entry. Another version may find another entry that it cannot use.
    pub(super) told: BTreeMap<u64, CutoverName>,
    known: BTreeSet<(CutoverName, u64)>,
}

impl DamagedStreams {
    /// Notes that entry `seq` of `@fleet` tells of entry `entry` of a cutover.
    pub(super) fn tell(&mut self, seq: u64, of: &CutoverName, entry: u64) {
        self.told.insert(seq, of.clone());
        self.known.insert((of.clone(), entry));
    }

    /// The first damaged stream that `@fleet` does not tell of yet.
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
