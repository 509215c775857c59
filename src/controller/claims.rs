//! Finds groups that several unfinished cutovers move. A group may be in only one of them (semantics I).

use std::collections::BTreeMap;

use super::Controller;
use crate::engine::record::GroupName;
use crate::engine::state::State;
use crate::engine::units::CutoverName;

/// For each group name, the unfinished cutovers that have a group of that name, with its index in their plans.
pub(super) type Claims<'a> = BTreeMap<&'a GroupName, Vec<(&'a CutoverName, usize)>>;

impl Controller {
    /// Returns the claims of all unfinished cutovers; empty if all of them have started, because only starts need them.
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

    /// Returns the index of each group that another cutover already moves, with that cutover: it has started, or its
    /// first entry came earlier. Empty if `state` itself has started.
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

    /// Returns true if two groups are in one zone. Zones are compared by ID if both are known, otherwise as the plans
    /// name them.
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
