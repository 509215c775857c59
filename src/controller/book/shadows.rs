//! Reverts while the journal is down: they are decided and folded in memory, and journaled as soon as that is possible.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Book;
use super::unjournaled::{Owed, UnjournaledRevert, begun, is_answer};
use crate::engine::event::{Event, RevertMode};
use crate::engine::notify::{News, Standing, recipients};
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;
use crate::ports::{APPEND_EVENTS_MAX, JournalError};

impl Book {
    /// Returns the state in memory of a cutover that reverts while the journal is down; `None` if there is none.
    pub(super) fn unjournaled_state(&self, name: &CutoverName) -> Option<&State> {
        self.unjournaled.get(name).map(|revert| &revert.state)
    }

    /// Folds events of a cutover that reverts in memory, because the journal cannot take them now. Returns false if the
    /// cutover does not revert, and must therefore wait for the journal.
    pub(in crate::controller) fn fold_unjournaled(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
        events: &[Event],
    ) -> bool {
        let begun = begun(events, at);
        if let Some(revert) = self.unjournaled.get_mut(name) {
            if let (Owed::Answer(_), Some(begun)) = (&revert.owed, begun) {
                revert.owed = begun;
            }
        } else {
            let Some(state) = self.state(name) else {
                return false;
            };
            if begun.is_none() && state.phase != Phase::Reverting {
                return false;
            }
            let revert = UnjournaledRevert {
                state: state.clone(),
                owed: begun.unwrap_or(Owed::Answer(None)),
            };
            self.unjournaled.insert(name.clone(), revert);
        }
        for event in events {
            self.take_unjournaled(name, at, event);
        }
        true
    }

    /// Folds an event in memory. A page is told although the journal does not have its entry yet.
    fn take_unjournaled(&mut self, name: &CutoverName, at: Timestamp, event: &Event) {
        let Some(revert) = self.unjournaled.get_mut(name) else {
            return;
        };
        let before = revert.state.clone();
        let entry = revert.take(name, at, &self.actor, event);
        let pages = revert.state.seq == entry.seq && revert.state.pages.contains(&entry.seq);
        if !pages {
            return;
        }
        let standing = Standing::of(&revert.state);
        let channels = recipients(revert.state.plan().notify.as_ref());
        let news = News::of(Some(&before), &entry);
        self.note_notices(channels, news, &entry, pages, Some(standing));
    }

    /// Folds a fact about a revert in memory that cannot be journaled now, so that the next try backs off as after
    /// every refusal. Returns false if the fact must be kept until it can be journaled.
    pub(in crate::controller) fn fold_unjournaled_fact(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
        event: &Event,
    ) -> bool {
        let owed = self.unjournaled.get(name).map(|revert| &revert.owed);
        let is_unknown = matches!(owed, Some(Owed::Revert { .. }));
        let answers = self
            .state(name)
            .is_some_and(|state| is_answer(event, state));
        (is_unknown || answers) && self.fold_unjournaled(name, at, std::slice::from_ref(event))
    }

    /// Returns true if a cutover reverts with a state that is only in memory.
    pub(in crate::controller) fn is_unjournaled(&self, name: &CutoverName) -> bool {
        self.unjournaled.contains_key(name)
    }

    /// Journals what the journal does not know yet about a revert, and drops the state in memory. From then on the
    /// journal's state counts.
    pub(super) async fn flush(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        if !self.is_unjournaled(name) {
            return Ok(());
        }
        if let Some(why) = &self.down {
            return Err(JournalError::Down(why.clone()));
        }
        let events = self.owed_events(name);
        if !events.is_empty() {
            let events: Vec<(&CutoverName, &Event)> =
                events.iter().map(|event| (name, event)).collect();
            let append_id = self.next_append_id();
            self.append_events(at, &events, &BTreeSet::new(), append_id)
                .await?;
        }
        self.unjournaled.remove(name);
        Ok(())
    }

    /// Returns the events about a cutover that must still be journaled; empty if all of them are in the journal and
    /// only the reply was lost.
    fn owed_events(&self, name: &CutoverName) -> Vec<Event> {
        let (write_id, cause, mode, decided_at) =
            match self.unjournaled.get(name).map(|revert| &revert.owed) {
                None => return Vec::new(),
                Some(Owed::Answer(answer)) => return answer.clone().into_iter().collect(),
                Some(Owed::Revert {
                    write_id,
                    cause,
                    mode,
                    decided_at,
                }) => (write_id, cause, *mode, *decided_at),
            };
        let known = self.journaled(name);
        let known = known.and_then(|state| state.revert.as_ref());
        if known.is_some_and(|revert| revert.write_id == *write_id) {
            return Vec::new();
        }
        let (write_id, cause) = (write_id.clone(), cause.clone());
        let mut events = vec![Event::RevertPerformedUnjournaled {
            write_id: write_id.clone(),
            cause: cause.clone(),
            decided_at,
        }];
        if mode == RevertMode::Force {
            // Without this entry, drift would stop the revert that a person forced.
            events.push(Event::RevertIntended {
                write_id,
                cause,
                mode,
                shared: None,
                seen: None,
            });
        }
        events
    }

    /// Tries to journal all reverts that are not journaled yet, many in one append. If somebody else appended first,
    /// each cutover of that append gets an append of its own.
    pub(in crate::controller) async fn flush_all(
        &mut self,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let names: Vec<CutoverName> = self.unjournaled.keys().cloned().collect();
        // At most two events per cutover are not journaled yet.
        for names in names.chunks(APPEND_EVENTS_MAX / 2) {
            let mut events: Vec<(&CutoverName, Event)> = Vec::new();
            for name in names {
                events.extend(
                    self.owed_events(name)
                        .into_iter()
                        .map(|event| (name, event)),
                );
            }
            let events: Vec<(&CutoverName, &Event)> =
                events.iter().map(|(name, event)| (*name, event)).collect();
            let append_id = self.next_append_id();
            let appended = if events.is_empty() {
                Ok(())
            } else {
                self.append_events(at, &events, &BTreeSet::new(), append_id)
                    .await
            };
            match appended {
                Ok(()) => {
                    for name in names {
                        self.unjournaled.remove(name);
                    }
                }
                Err(JournalError::Conflict { .. }) => {
                    for name in names {
                        self.flush(name, at).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
