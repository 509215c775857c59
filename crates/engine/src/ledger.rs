//! The ledger: the whole journal, folded. Every reader of a journal uses it.
//!
//! Trouble in one stream affects no other (invariant I15). A stream is damaged from the first entry that cannot be read
//! or cannot follow. Its cutover keeps the last good state, and all other streams are folded as if it did not exist.

use std::collections::BTreeMap;

use super::event::{Envelope, Event};
use super::fleet::{self, Damage, Fleet};
use super::fold::{self, IllegalEvent};
use super::state::{Phase, State};
use super::units::CutoverName;

/// The states of all cutovers, and the fleet.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The states by name. `None` if the first entry of the stream could not be used. Boxed, because states are large
    /// and the nodes of a map are half empty.
    states: BTreeMap<CutoverName, Box<Option<State>>>,
    fleet: Fleet,
}

/// The result of folding an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It was folded earlier, and was skipped.
    Known,
    /// It belongs to `@fleet`, and was folded there.
    Fleet,
    /// It was folded into the state of its cutover.
    Folded {
        /// The cutover's phase before the entry. `None` for the first entry of its stream.
        before: Option<Phase>,
    },
    /// It cannot be used. Its stream is damaged from here on.
    Damages,
    /// It was not used, because its stream was damaged earlier.
    Behind,
}

impl Ledger {
    /// Folds the next entry of its stream. Entries of different streams may come in any order.
    pub fn take(&mut self, entry: &Envelope) -> Took {
        if fleet::is_fleet(&entry.cutover) {
            if entry.seq <= self.fleet.seq {
                return Took::Known;
            }
            self.fleet.take(entry);
            return Took::Fleet;
        }
        if let Some(damage) = self.fleet.damage(&entry.cutover) {
            if entry.seq <= damage.head {
                return Took::Known;
            }
            self.fleet.note_behind(&entry.cutover, entry.seq);
            return Took::Behind;
        }
        let state = self.states.entry(entry.cutover.clone()).or_default();
        let state = state.as_mut();
        if state.as_ref().is_some_and(|state| state.seq >= entry.seq) {
            return Took::Known;
        }
        let before = state.as_ref().map(|state| state.phase);
        if let Err(error) = fold::apply(state, entry) {
            let damage = Damage {
                entry: entry.seq,
                why: why(&entry.event, &error),
                head: entry.seq,
            };
            self.fleet.note_damage(&entry.cutover, damage);
            return Took::Damages;
        }
        if let Some(after) = state {
            self.fleet.note(entry, before, after);
        }
        Took::Folded { before }
    }

    /// Returns the state of a cutover, or its last good state if its stream is damaged. `None` if the journal has no
    /// usable entry of it.
    pub fn state(&self, name: &CutoverName) -> Option<&State> {
        self.states.get(name)?.as_ref().as_ref()
    }

    /// Returns the states of all cutovers. Those with a damaged stream have their last good states.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.states.values().filter_map(|state| (**state).as_ref())
    }

    /// Returns the states of all cutovers whose streams are not damaged.
    pub fn whole(&self) -> impl Iterator<Item = &State> {
        self.states().filter(|state| !self.is_damaged(&state.name))
    }

    /// Returns the fleet: all cutovers as far as they concern each other, and the damaged streams.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Returns true if a cutover's stream is damaged.
    pub fn is_damaged(&self, name: &CutoverName) -> bool {
        self.fleet.damage(name).is_some()
    }

    /// Returns the number of the last entry of a stream that was read, usable or not; 0 if there is none.
    pub fn seq(&self, name: &CutoverName) -> u64 {
        if fleet::is_fleet(name) {
            return self.fleet.seq;
        }
        if let Some(damage) = self.fleet.damage(name) {
            return damage.head;
        }
        self.state(name).map_or(0, |state| state.seq)
    }
}

/// Returns why an entry cannot be used, for people.
fn why(event: &Event, error: &IllegalEvent) -> String {
    if let Event::Unreadable { why } = event {
        return why.clone();
    }
    format!("{} cannot follow: {}", error.event, error.why)
}
