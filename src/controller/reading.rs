//! Readings of groups that are in progress. Each cutover is decided as soon as all its zones have answered.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Controller;
use super::observe::{Reads, Seen};
use super::outside::ControllerError;
use crate::engine::observation::GroupReading;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;
use crate::engine::warnings;

/// A reading of the groups of some cutovers. If this is dropped, the calls still in progress are cancelled.
pub(super) struct Reading {
    /// The cutovers that wait for it, each with the last entry of another controller in its stream when the reading
    /// began.
    names: Vec<(CutoverName, u64)>,
    reads: Reads,
    at: Timestamp,
}

impl Reading {
    /// Returns true if no cutover waits for this reading any longer.
    pub(super) fn is_over(&self) -> bool {
        self.names.is_empty()
    }

    /// Waits until more groups have arrived. Cancel-safe: nothing is lost if the wait is dropped.
    pub(super) async fn arrives(&mut self) {
        self.reads.next().await;
    }
}

impl Controller {
    /// Reads the groups of some cutovers, and decides each as soon as all of its zones have answered.
    pub(super) async fn read_and_decide(
        &mut self,
        names: Vec<CutoverName>,
        seen: &mut Seen,
        read: &mut BTreeSet<CutoverName>,
    ) -> Result<(), ControllerError> {
        let mut reading = self.begin_reading(names).await;
        while !reading.is_over() {
            reading.arrives().await;
            read.extend(self.decide_arrived(&mut reading, seen).await?);
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

    /// Decides the cutovers whose zones have all answered, and returns them.
    pub(super) async fn decide_arrived(
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
        self.decide_until_quiet(&ready, seen).await?;
        Ok(ready)
    }

    fn take_groups(&mut self, name: &CutoverName, rival: u64, reading: &Reading, seen: &mut Seen) {
        let (Some(state), Some(observation)) = (self.book.state(name), seen.get_mut(name)) else {
            return;
        };
        observation.groups = self.memory.groups(&reading.reads, state);
        observation.around = self.memory.around(state);
        if state.phase == Phase::Waiting {
            let found = warnings::around(state.plan(), observation);
            self.warnings.tell(name, found);
        }
        let mut groups = observation.groups.iter();
        let complete = groups.all(|group| matches!(group, GroupReading::Read { .. }));
        let note = self.notes.entry(name.clone()).or_default();
        note.groups_read_at = complete.then_some(reading.at);
        note.groups_read_after = rival;
    }
}
