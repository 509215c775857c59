//! Questions to the fleet about several cutovers: failures and holds with one cause, and damaged streams.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::damage::Damage;
use super::held::HeldTogether;
use super::shared_fate::{SERVICES_MIN, SharedFate, WITHIN};
use super::{Fleet, NAMED_MAX};
use crate::units::CutoverName;

impl Fleet {
    /// Returns the services whose gates failed within ten minutes of `at`, `name` among them. `None` if there are too
    /// few to suggest one cause.
    pub fn shared_fate_at(&self, name: &CutoverName, at: Timestamp) -> Option<SharedFate> {
        let mut named = BTreeSet::from([name]);
        let mut since = at;
        for (other, setbacks) in &self.setbacks {
            for setback in setbacks.values() {
                if setback.gate && at.duration_since(setback.at).abs() <= WITHIN {
                    named.insert(other);
                    since = since.min(setback.at);
                }
            }
        }
        if named.len() < SERVICES_MIN {
            return None;
        }
        Some(SharedFate {
            services: named.len(),
            named: named.into_iter().take(NAMED_MAX).cloned().collect(),
            since,
        })
    }

    /// Returns the services whose gates failed within ten minutes of the last failed gate of `name`. `None` if there
    /// are too few to suggest one cause.
    pub fn shared_fate_of(&self, name: &CutoverName) -> Option<SharedFate> {
        let setbacks = self.setbacks.get(name)?;
        let last = setbacks.values().rev().find(|setback| setback.gate)?;
        self.shared_fate_at(name, last.at)
    }

    /// Returns the largest set of failures that suggest one cause, since a person last resumed the fleet. `None` if
    /// there is none.
    pub fn shared_fate(&self) -> Option<SharedFate> {
        let fates = self
            .setbacks
            .keys()
            .filter_map(|name| self.shared_fate_of(name));
        fates.max_by_key(|fate| fate.services)
    }
}

impl Fleet {
    /// Records that a stream cannot be used from an entry on.
    pub(crate) fn note_damage(&mut self, name: &CutoverName, damage: Damage) {
        self.damaged.streams.insert(name.clone(), damage);
    }

    /// Records that a later entry of a damaged stream was read.
    pub(crate) fn note_behind(&mut self, name: &CutoverName, head: u64) {
        if let Some(damage) = self.damaged.streams.get_mut(name) {
            damage.head = damage.head.max(head);
        }
    }

    /// Returns the damage of a cutover's stream. The cutover's state is then the last good one. `None` if the stream is
    /// not damaged.
    pub fn damage(&self, name: &CutoverName) -> Option<&Damage> {
        self.damaged.streams.get(name)
    }

    /// Returns the cutovers with a damaged stream, each with its damage.
    pub fn damaged(&self) -> impl Iterator<Item = (&CutoverName, &Damage)> {
        self.damaged.streams.iter()
    }

    /// Returns the damaged cutover that entry `seq` of `@fleet` is about. `None` if the entry is not about one.
    pub fn damage_told(&self, seq: u64) -> Option<&CutoverName> {
        self.damaged.told.get(&seq)
    }
}

impl Fleet {
    /// The cutovers that now wait for a person together, by cause.
    pub fn held_together(&self) -> Vec<HeldTogether> {
        self.held.together()
    }
}
