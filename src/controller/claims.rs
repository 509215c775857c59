//! Which unfinished cutover has which group: a group may be in only one of them (semantics I).

use std::collections::BTreeMap;

use super::Controller;
use crate::engine::record::GroupName;
use crate::engine::state::State;
use crate::engine::units::CutoverName;

/// The unfinished cutovers that have a group of a name, each with the index of that group in its plan.
pub(super) type Claims<'a> = BTreeMap<&'a GroupName, Vec<(&'a CutoverName, usize)>>;

impl Controller {
    /// The claims of all unfinished cutovers; empty if all of them have started.
    pub(super) fn claims(&self) -> Claims<'_> {
        let mut claims = Claims::new();
        let states = self.book.states();
        let unfinished: Vec<&State> = states.filter(|state| !state.phase.is_final()).collect();
        if unfinished.iter().all(|state| state.has_started()) {
            return claims;
        }
        for state in unfinished {
            for (index, group) in state.plan().records.iter().enumerate() {
                let names = claims.entry(&group.name).or_default();
                names.push((&state.name, index));
            }
        }
        claims
    }

    /// The groups of a cutover that has not started that another one already moves: it has started, or came first.
    pub(super) fn claimed(&self, state: &State, claims: &Claims<'_>) -> Vec<(usize, CutoverName)> {
        let mut claimed = Vec::new();
        if state.has_started() {
            return claimed;
        }
        for (index, group) in state.plan().records.iter().enumerate() {
            for (name, theirs) in claims.get(&group.name).into_iter().flatten() {
                if **name == state.name {
                    continue;
                }
                let Some(rival) = self.book.state(name) else {
                    continue;
                };
                let earlier = rival.has_started() || self.book.came_first(name, &state.name);
                if earlier && self.same_zone((state, index), (rival, *theirs)) {
                    claimed.push((index, (*name).clone()));
                }
            }
        }
        claimed
    }

    /// Returns true if two groups are in one zone: by its id if both are known, or else as the plans name it.
    fn same_zone(
        &self,
        (mine, group): (&State, usize),
        (theirs, their_group): (&State, usize),
    ) -> bool {
        let here = self.memory.zone_of(mine, group);
        let there = self.memory.zone_of(theirs, their_group);
        if let (Some(here), Some(there)) = (here, there) {
            return here == there;
        }
        mine.plan().records[group].zone == theirs.plan().records[their_group].zone
    }
}
