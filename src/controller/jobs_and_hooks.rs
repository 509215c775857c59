//! Jobs and hooks in a round: prepares errands, keeps their results, and reads jobs.

use std::collections::BTreeSet;

use super::Controller;
use super::errands::ErrandDone;
use crate::engine::decide::{self, Errand};
use crate::engine::units::{CutoverName, WriteId};

impl Controller {
    /// Prepares errands that were journaled. Returns their IDs.
    pub(super) fn prepare_errands(
        &mut self,
        name: &CutoverName,
        errands: Vec<Errand>,
    ) -> BTreeSet<WriteId> {
        let now = self.now();
        let epoch = self.performer.epoch(name);
        let Some(state) = self.book.state(name) else {
            return BTreeSet::new();
        };
        let mut ids = BTreeSet::new();
        for errand in errands {
            ids.insert(self.errands.prepare(state, errand, epoch, now));
        }
        ids
    }

    /// Keeps the result of an errand for the next round.
    pub(super) fn note_done(&mut self, done: ErrandDone) {
        match done {
            ErrandDone::Answered(name, _, event) => self.outcomes.push((name, event)),
            ErrandDone::Looked(name, _) => drop(self.looked.insert(name)),
        }
    }

    /// Starts to read the jobs of the cutovers that need a new reading.
    pub(super) fn look_at_jobs(&mut self, names: &[CutoverName]) {
        let now = self.now();
        for name in names {
            let Some(state) = self.book.state(name) else {
                continue;
            };
            let waits = !state.has_started() && !self.book.fleet().holds(state, now).is_empty();
            let looked_at = self.errands.looked_at.get(name).copied();
            if !waits && decide::wants_jobs(state, looked_at, now) {
                self.errands.look(state, now);
            }
        }
    }
}
