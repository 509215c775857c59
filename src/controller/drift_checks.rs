//! Spreads drift checks over rounds: nothing waits for them, and calls to Route 53 are limited.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Controller;
use super::observe::Seen;
use crate::engine::decide;
use crate::engine::plan::Account;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, ZoneId};

/// Largest number of calls that drift checks may use in one round. At rounds of 10 s, this is a fifth of what Route 53
/// allows.
///
/// It bounds how late a check may be: every cutover is checked within a minute, plus one round for each 20 calls that
/// all zones need. A thousand services in one zone take a few pages, in one round; a thousand zones take 50 rounds.
const CALLS_A_ROUND: usize = 20;

/// Largest number of calls that one zone counts for, because many names of one zone are read in pages.
const CALLS_A_ZONE_MAX: usize = 10;

impl Controller {
    /// Returns the cutovers whose drift check is postponed because others have waited longer. All cutovers of a zone
    /// are checked together.
    pub(super) fn postponed(
        &self,
        names: &[CutoverName],
        seen: &Seen,
        now: Timestamp,
    ) -> BTreeSet<CutoverName> {
        type Checks<'a> = Vec<(Option<Timestamp>, &'a CutoverName)>;
        let mut zones: BTreeMap<(&Account, ZoneId), Checks<'_>> = BTreeMap::new();
        for name in names {
            if !(self.wants_groups(name, seen, now) && self.only_looks_for_drift(name, seen, now)) {
                continue;
            }
            let Some(state) = self.book.state(name) else {
                continue;
            };
            let Some(zone) = self.memory.zone_of(state, 0) else {
                continue;
            };
            let place = (state.plan().account_of_group(0), zone);
            let read_at = self.notes.get(name).and_then(|note| note.groups_read_at);
            zones.entry(place).or_default().push((read_at, name));
        }
        let mut zones: Vec<Checks<'_>> = zones.into_values().collect();
        zones.sort_by_key(|checks| checks.iter().map(|(read_at, _)| *read_at).min());
        let (mut calls, mut postponed) = (0, BTreeSet::new());
        for checks in zones {
            if calls >= CALLS_A_ROUND {
                postponed.extend(checks.into_iter().map(|(_, name)| name.clone()));
            } else {
                calls += checks.len().min(CALLS_A_ZONE_MAX);
            }
        }
        postponed
    }

    /// Returns true if the groups of a cutover must be read only because its drift check is due.
    pub(super) fn only_looks_for_drift(
        &self,
        name: &CutoverName,
        seen: &Seen,
        now: Timestamp,
    ) -> bool {
        let (Some(state), Some(observation)) = (self.book.state(name), seen.get(name)) else {
            return false;
        };
        may_wait(state) && !decide::wants_groups_at_once(state, self.book.fleet(), observation, now)
    }
}

/// Returns true if the cutover is in a state in which nothing waits for a reading of its groups.
fn may_wait(state: &State) -> bool {
    match state.phase {
        Phase::Settling | Phase::Baking | Phase::Halted => state.rollback.is_none(),
        Phase::Waiting
        | Phase::Shifting
        | Phase::Completed
        | Phase::Reverting
        | Phase::Reverted
        | Phase::Abandoned => false,
    }
}
