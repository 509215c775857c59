//! Groups on their way here: who waits for them, and settling each as soon as all of its zones have answered.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::observe::{Reads, Seen};
use super::{Controller, ControllerError};
use crate::engine::observation::GroupReading;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;
use crate::engine::warnings;

/// Groups of some cutovers on their way here. What is still on its way is given up with it.
pub(super) struct Reading {
    /// Who waits for them, and the last entry of somebody else on that stream when the reading began.
    names: Vec<(CutoverName, u64)>,
    reads: Reads,
    at: Timestamp,
}

impl Reading {
    /// Whether nobody waits for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.names.is_empty()
    }

    /// Waits until more of it is here. Nothing is lost when this is given up while it waits.
    pub(super) async fn arrives(&mut self) {
        self.reads.next().await;
    }
}

impl Controller {
    /// Reads the groups of some cutovers, and settles each as soon as all of its zones have answered.
    pub(super) async fn read_and_settle(
        &mut self,
        names: Vec<CutoverName>,
        seen: &mut Seen,
        read: &mut BTreeSet<CutoverName>,
    ) -> Result<(), ControllerError> {
        let mut reading = self.begin_reading(names).await;
        while !reading.is_over() {
            reading.arrives().await;
            read.extend(self.settle_arrived(&mut reading, seen).await?);
        }
        Ok(())
    }

    /// Starts to read the groups of some cutovers.
    pub(super) async fn begin_reading(&mut self, names: Vec<CutoverName>) -> Reading {
        let at = self.now();
        let states: Vec<&State> = names
            .iter()
            .filter_map(|name| self.book.state(name))
            .collect();
        let rivals: Vec<u64> = names.iter().map(|name| self.book.rival_seq(name)).collect();
        self.warnings.ask(&self.eyes.signals, &states);
        let reads = self.memory.begin(&self.eyes, &states, at).await;
        Reading {
            names: std::iter::zip(names, rivals).collect(),
            reads,
            at,
        }
    }

    /// Settles those whose zones have all answered, and says which these are.
    pub(super) async fn settle_arrived(
        &mut self,
        reading: &mut Reading,
        seen: &mut Seen,
    ) -> Result<Vec<CutoverName>, ControllerError> {
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut reading.names)
            .into_iter()
            .partition(|(name, _)| {
                let state = self.book.state(name);
                state.is_none_or(|state| self.memory.has_arrived(&reading.reads, state))
            });
        reading.names = waiting;
        for (name, rival) in &ready {
            self.take_groups(name, *rival, reading, seen);
        }
        let ready: Vec<CutoverName> = ready.into_iter().map(|(name, _)| name).collect();
        self.settle_all(&ready, seen).await?;
        Ok(ready)
    }

    fn take_groups(&mut self, name: &CutoverName, rival: u64, reading: &Reading, seen: &mut Seen) {
        let Some((state, observation)) = self.book.state(name).zip(seen.get_mut(name)) else {
            return;
        };
        observation.groups = self.memory.groups(&reading.reads, state);
        observation.around = self.memory.around(state);
        if state.phase == Phase::Waiting {
            let found = warnings::around(state.plan(), observation);
            self.warnings.tell(name, found);
        }
        let is_read = |reading: &GroupReading| matches!(reading, GroupReading::Read { .. });
        let complete = observation.groups.iter().all(is_read);
        let note = self.notes.entry(name.clone()).or_default();
        note.groups_read_at = complete.then_some(reading.at);
        note.groups_read_after = rival;
    }
}
