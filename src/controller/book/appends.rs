//! Adding to the book: what many cutovers say in one round goes into few appends.
//!
//! An append costs a journal one sync of a disk or one transaction, however much is in it. A thousand reverts one by one
//! would be journaled long after the first second.

use jiff::Timestamp;

use super::{APPEND_WITHIN, Book};
use crate::engine::event::Event;
use crate::engine::units::CutoverName;
use crate::ports::{APPEND_EVENTS_MAX, Append, JournalError, NewEntry};

/// How many lost races one append of many cutovers may have before those that are left wait for the next round
/// (RULES F1).
const RACES_MAX: usize = 5;

/// What was decided about one cutover, from what the book said of it then.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Draft {
    /// The cutover.
    pub(in crate::controller) name: CutoverName,
    /// Where its state stood when that was decided.
    pub(in crate::controller) seq: u64,
    /// The events, in order.
    pub(in crate::controller) events: Vec<Event>,
}

/// Puts drafts, in their order, into as few appends as hold them: those of one cutover together, unless they are more
/// than an append holds.
pub(in crate::controller) fn groups(drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    let mut room = 0;
    for draft in drafts {
        let size = draft.events.len();
        match groups.last_mut().filter(|_| size <= room) {
            Some(group) => group.push(draft),
            None => {
                room = APPEND_EVENTS_MAX;
                groups.push(vec![draft]);
            }
        }
        room = room.saturating_sub(size);
    }
    groups
}

impl Book {
    /// Appends what was decided about several cutovers, all at once, and says of each what came of it. Whoever lost a
    /// race is told so (`Conflict`) and is to be decided afresh; the others are appended all the same.
    ///
    /// What was decided from a revert that the journal did not know of is to be decided afresh once it does: a conflict.
    pub(in crate::controller) async fn append_group(
        &mut self,
        at: Timestamp,
        group: &[Draft],
    ) -> Vec<Result<(), JournalError>> {
        let mut answers: Vec<Option<Result<(), JournalError>>> = Vec::new();
        for draft in group {
            answers.push(self.barred(draft, at).await.map(Err));
        }
        for _ in 0..=RACES_MAX {
            let open: Vec<usize> = (0..group.len())
                .filter(|index| answers[*index].is_none())
                .collect();
            if open.is_empty() {
                break;
            }
            let drafts: Vec<&Draft> = open.iter().map(|index| &group[*index]).collect();
            match self.append_drafts(at, &drafts).await {
                Err(JournalError::Conflict { stream, .. }) => {
                    let read = self.refresh().await;
                    for index in open {
                        let draft = &group[index];
                        // The stream that was named has lost, even where that cannot be read yet.
                        let lost = draft.name == stream || self.seq(&draft.name) != draft.seq;
                        answers[index] = match &read {
                            Err(error) => Some(Err(error.clone())),
                            Ok(()) => lost.then(|| Err(self.lost(draft))),
                        };
                    }
                }
                answer => open
                    .iter()
                    .for_each(|index| answers[*index] = Some(answer.clone())),
            }
        }
        let drafts = group.iter().zip(answers);
        drafts
            .map(|(draft, answer)| answer.unwrap_or_else(|| Err(self.lost(draft))))
            .collect()
    }

    /// Why a draft cannot be appended at all: somebody wrote since it was decided, or the journal did not know of the
    /// revert that it was decided from.
    async fn barred(&mut self, draft: &Draft, at: Timestamp) -> Option<JournalError> {
        if self.is_shadowed(&draft.name) {
            let revealed = self.reveal(&draft.name, at).await;
            return Some(revealed.err().unwrap_or_else(|| self.lost(draft)));
        }
        (self.seq(&draft.name) != draft.seq).then(|| self.lost(draft))
    }

    fn lost(&self, draft: &Draft) -> JournalError {
        JournalError::Conflict {
            stream: draft.name.clone(),
            expected: draft.seq,
            head: self.seq(&draft.name),
        }
    }

    /// Appends drafts together; one alone that is too large goes in several appends.
    async fn append_drafts(
        &mut self,
        at: Timestamp,
        drafts: &[&Draft],
    ) -> Result<(), JournalError> {
        let events: Vec<(&CutoverName, &Event)> = drafts
            .iter()
            .flat_map(|draft| draft.events.iter().map(|event| (&draft.name, event)))
            .collect();
        for events in events.chunks(APPEND_EVENTS_MAX) {
            let append_id = self.next_append_id();
            self.append_events(at, events, append_id).await?;
        }
        Ok(())
    }

    /// Appends facts that hold whatever else was written, at most [`APPEND_EVENTS_MAX`] of them. The same `append_id` is
    /// never appended twice, however often a reply is lost (RULES G1).
    pub(in crate::controller) async fn append_facts(
        &mut self,
        at: Timestamp,
        facts: &[(CutoverName, Event)],
        append_id: String,
    ) -> Result<(), JournalError> {
        for (name, _) in facts {
            self.reveal(name, at).await?;
        }
        let events: Vec<(&CutoverName, &Event)> =
            facts.iter().map(|(name, event)| (name, event)).collect();
        self.append_events(at, &events, append_id).await
    }

    /// A name for an append that no other append of this journal has.
    pub(in crate::controller) fn next_append_id(&mut self) -> String {
        self.appends += 1;
        format!("{}-{}", self.actor, self.appends)
    }

    fn seq(&self, name: &CutoverName) -> u64 {
        let state = self.states.get(name).and_then(Option::as_ref);
        state.map_or(0, |state| state.seq)
    }

    /// One append, conditional on what this book has read of each stream in it.
    pub(super) async fn append_events(
        &mut self,
        at: Timestamp,
        events: &[(&CutoverName, &Event)],
        append_id: String,
    ) -> Result<(), JournalError> {
        if let Some(why) = &self.down {
            return Err(JournalError::Down(why.clone()));
        }
        let entry = |(name, event): &(&CutoverName, &Event)| {
            let state = self.states.get(*name).and_then(Option::as_ref);
            NewEntry {
                cutover: (*name).clone(),
                attempt: state.map_or(1, |state| state.attempt),
                at,
                actor: self.actor.clone(),
                event: (*event).clone(),
            }
        };
        let entries: Vec<NewEntry> = events.iter().map(entry).collect();
        let mut expect: Vec<(CutoverName, u64)> = Vec::new();
        for (name, _) in events {
            if !expect.iter().any(|(stream, _)| stream == *name) {
                expect.push(((*name).clone(), self.seq(name)));
            }
        }
        let append = Append {
            expect,
            entries,
            append_id,
        };
        let written = tokio::time::timeout(APPEND_WITHIN, self.journal.append(append))
            .await
            .unwrap_or_else(|_| {
                let why = "an append was not done within 2 s".to_owned();
                Err(JournalError::Down(why))
            });
        if let Err(JournalError::Down(why)) = &written {
            self.down = Some(why.clone());
        }
        written?.iter().try_for_each(|entry| self.take(entry))
    }
}
