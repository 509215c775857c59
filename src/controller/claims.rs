//! One group may be in one unfinished cutover of a journal (semantics I): who has which.

use std::collections::BTreeMap;

use super::Controller;
use crate::engine::record::GroupName;
use crate::engine::state::State;
use crate::engine::units::CutoverName;

/// The unfinished cutovers that have a group of some name, and which of their groups it is.
pub(super) type Claims<'a> = BTreeMap<&'a GroupName, Vec<(&'a CutoverName, usize)>>;

impl Controller {
    /// Which unfinished cutovers have a group of each name, if any has not started.
    pub(super) fn claims(&self) -> Claims<'_> {
        let mut claims = Claims::new();
        let unfinished = || self.book.states().filter(|state| !state.phase.is_final());
        if unfinished().all(State::has_started) {
            return claims;
        }
        for state in unfinished() {
            for (index, group) in state.plan().records.iter().enumerate() {
                let names = claims.entry(&group.name).or_default();
                names.push((&state.name, index));
            }
        }
        claims
    }

    /// The groups of a cutover that has not started which another, earlier one already moves.
    pub(super) fn claimed(&self, state: &State, claims: &Claims<'_>) -> Vec<(usize, CutoverName)> {
        let mut claimed = Vec::new();
        if state.has_started() {
            return claimed;
        }
        for (index, group) in state.plan().records.iter().enumerate() {
            for (name, theirs) in claims.get(&group.name).into_iter().flatten() {
                let Some(rival) = self.book.state(name).filter(|_| **name != state.name) else {
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

    fn same_zone(&self, mine: (&State, usize), theirs: (&State, usize)) -> bool {
        let zone = |(state, index): (&State, usize)| self.memory.zone_of(state, index);
        if let (Some(here), Some(there)) = (zone(mine), zone(theirs)) {
            return here == there;
        }
        mine.0.plan().records[mine.1].zone == theirs.0.plan().records[theirs.1].zone
    }
}
