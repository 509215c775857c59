//! Cutovers whose stream cannot be followed any further (semantics L4), and whether somebody was paged for it.
//!
//! Nothing may be written to such a stream: the entry may be a newer version's, whose controller is at work. So `@fleet` tells
//! of it, once for each cutover and entry, and pages.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use crate::engine::event::Event;
use crate::engine::hold::HoldReason;
use crate::engine::units::CutoverName;

/// Why the stream of a cutover cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The first entry that cannot be used.
    pub entry: u64,
    /// Why not.
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
pub(super) struct Damaged {
    streams: BTreeMap<CutoverName, Damage>,
    /// What `@fleet` has told, by its entry. Another version may find another entry that it cannot use.
    told: BTreeMap<u64, CutoverName>,
    known: BTreeSet<(CutoverName, u64)>,
}

impl Damaged {
    /// Takes note that entry `seq` of `@fleet` tells of entry `entry` of a cutover.
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

impl Fleet {
    /// Takes note that a stream cannot be followed from an entry on.
    pub(in crate::engine) fn note_damage(&mut self, name: &CutoverName, damage: Damage) {
        self.damaged.streams.insert(name.clone(), damage);
    }

    /// Takes note of a later entry of a damaged stream.
    pub(in crate::engine) fn note_behind(&mut self, name: &CutoverName, head: u64) {
        if let Some(damage) = self.damaged.streams.get_mut(name) {
            damage.head = damage.head.max(head);
        }
    }

    /// Why a cutover's stream cannot be followed, if it cannot. Where it was before is its last good state.
    pub fn damage(&self, name: &CutoverName) -> Option<&Damage> {
        self.damaged.streams.get(name)
    }

    /// The cutovers whose stream cannot be followed.
    pub fn damaged(&self) -> impl Iterator<Item = (&CutoverName, &Damage)> {
        self.damaged.streams.iter()
    }

    /// The damaged cutover that an entry of `@fleet` tells of, if it does.
    pub fn damage_told(&self, seq: u64) -> Option<&CutoverName> {
        self.damaged.told.get(&seq)
    }
}
