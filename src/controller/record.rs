//! Journals the results of writes: facts that hold whatever else was written meanwhile, many in an append.

use std::collections::BTreeSet;

use super::Controller;
use super::book::Facts;
use super::outside::ControllerError;
use super::queues::WriteOutcome;
use crate::engine::units::CutoverName;
use crate::ports::{APPEND_EVENTS_MAX, JournalError};

/// Largest number of times that a fact's append may fail because somebody else appended first. After that the fact
/// waits for the next round (semantics F1).
const RACES_MAX: usize = 5;

impl Controller {
    /// Journals the results of writes. Returns the cutovers whose writes were answered.
    pub(super) async fn record(&mut self) -> Result<BTreeSet<CutoverName>, ControllerError> {
        while let Some(outcome) = self.performer.try_next() {
            self.note_outcome(outcome);
        }
        let now = self.now();
        let flushed = self.book.flush_all(now).await;
        // If no revert was waiting, nothing was written, so success counts only as a read.
        self.journal_was_read(flushed)?;
        self.name_outcomes();
        let mut answered = BTreeSet::new();
        for (facts, append_id) in std::mem::take(&mut self.unrecorded) {
            answered.extend(facts.iter().map(|(name, _)| name.clone()));
            let left = self.write_down(facts, &append_id).await?;
            if !left.is_empty() {
                self.unrecorded.push((left, append_id));
            }
        }
        Ok(answered)
    }

    /// Keeps the result of a write until the journal has it.
    pub(super) fn note_outcome(&mut self, outcome: WriteOutcome) {
        self.outcomes.push((outcome.cutover, outcome.event));
    }

    /// Puts results into lots that are appended together, and gives each lot its append ID, which stays the same
    /// however often the append is tried.
    fn name_outcomes(&mut self) {
        let outcomes = std::mem::take(&mut self.outcomes);
        for facts in outcomes.chunks(APPEND_EVENTS_MAX) {
            let append_id = self.book.next_append_id();
            self.unrecorded.push((facts.to_vec(), append_id));
        }
    }

    /// Appends facts together. Returns those that cannot be journaled now.
    async fn write_down(
        &mut self,
        mut facts: Facts,
        append_id: &str,
    ) -> Result<Facts, ControllerError> {
        for _ in 0..RACES_MAX {
            // Nothing is written to a damaged stream, and facts about other cutovers must not wait for it.
            facts.retain(|(name, _)| !self.book.is_damaged(name));
            if facts.is_empty() {
                return Ok(facts);
            }
            let now = self.now();
            let id = append_id.to_owned();
            match self.book.append_facts(now, &facts, id).await {
                Ok(()) => {
                    for (name, _) in &facts {
                        self.note_head(name);
                    }
                    self.journal_answered(Ok(()))?;
                    return Ok(Facts::new());
                }
                Err(JournalError::Conflict { .. }) => self.refresh().await?,
                Err(error) => {
                    self.journal_answered(Err(error))?;
                    let mut left = facts;
                    left.retain(|(name, event)| !self.book.fold_unjournaled_fact(name, now, event));
                    return Ok(left);
                }
            }
        }
        Ok(facts)
    }
}
