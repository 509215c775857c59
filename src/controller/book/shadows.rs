//! What goes back while the journal takes nothing: it is decided and folded in memory, and journaled when that is possible.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Book;
use crate::engine::event::{Envelope, Event, JOURNAL_VERSION, RevertMode};
use crate::engine::fold;
use crate::engine::hold::RevertCause;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, WriteId};
use crate::ports::{APPEND_EVENTS_MAX, JournalError};

/// A cutover that goes back, as the journal would have it if it took anything.
pub(super) struct Shadow {
    state: State,
    unjournaled: Unjournaled,
}

/// What the journal has to be told of a shadow. Everything else is seen and decided again.
enum Unjournaled {
    /// That it goes back at all.
    Revert {
        write_id: WriteId,
        cause: RevertCause,
        mode: RevertMode,
        decided_at: Timestamp,
    },
    /// What came last of the write of a revert that the journal knows: the next try waits for it.
    Answer(Option<Event>),
}

/// Whoever the journal knows to go back is as the journal says, once it says something new.
pub(super) fn yield_to(shadows: &mut BTreeMap<CutoverName, Shadow>, name: &CutoverName) {
    let known = |shadow: &Shadow| matches!(shadow.unjournaled, Unjournaled::Answer(_));
    if shadows.get(name).is_some_and(known) {
        shadows.remove(name);
    }
}

/// The revert that these events begin, if they do.
fn begun(events: &[Event], decided_at: Timestamp) -> Option<Unjournaled> {
    events.iter().find_map(|event| match event {
        Event::RevertIntended {
            write_id,
            cause,
            mode,
            ..
        } => Some(Unjournaled::Revert {
            write_id: write_id.clone(),
            cause: cause.clone(),
            mode: *mode,
            decided_at,
        }),
        _ => None,
    })
}

/// Whether this is what came of the write that takes a cutover back.
fn is_answer(event: &Event, state: &State) -> bool {
    let (Event::WeightChangeSubmitted { write_id, .. }
    | Event::WeightChangeFailed { write_id, .. }) = event
    else {
        return false;
    };
    let revert = state.revert.as_ref();
    revert.is_some_and(|revert| revert.write_id == *write_id)
}

impl Shadow {
    fn take(&mut self, name: &CutoverName, at: Timestamp, actor: &str, event: &Event) {
        if let Unjournaled::Answer(answer) = &mut self.unjournaled
            && is_answer(event, &self.state)
        {
            *answer = Some(event.clone());
        }
        let mut state = Some(self.state.clone());
        let entry = Envelope {
            cutover: name.clone(),
            attempt: self.state.attempt,
            seq: self.state.seq + 1,
            at,
            actor: actor.to_owned(),
            version: JOURNAL_VERSION,
            event: event.clone(),
        };
        if let (Ok(()), Some(state)) = (fold::apply(&mut state, &entry), state) {
            self.state = state;
        }
    }
}

impl Book {
    /// The state in memory, where the journal has not taken it yet.
    pub(super) fn shadowed(&self, name: &CutoverName) -> Option<&State> {
        self.shadows.get(name).map(|shadow| &shadow.state)
    }

    /// Folds in memory what the journal cannot take now of a cutover that goes back. False if it does not go back: then it
    /// waits for the journal.
    pub(in crate::controller) fn shadow(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
        events: &[Event],
    ) -> bool {
        let begun = begun(events, at);
        if let Some(shadow) = self.shadows.get_mut(name) {
            if let (Unjournaled::Answer(_), Some(begun)) = (&shadow.unjournaled, begun) {
                shadow.unjournaled = begun;
            }
        } else {
            let reverts = |state: &&State| begun.is_some() || state.phase == Phase::Reverting;
            let Some(state) = self.state(name).filter(reverts).cloned() else {
                return false;
            };
            let unjournaled = begun.unwrap_or(Unjournaled::Answer(None));
            let shadow = Shadow { state, unjournaled };
            self.shadows.insert(name.clone(), shadow);
        }
        if let Some(shadow) = self.shadows.get_mut(name) {
            for event in events {
                shadow.take(name, at, &self.actor, event);
            }
        }
        true
    }

    /// Folds in memory a fact that the journal cannot take now, if a cutover goes back by it: the next try of a revert
    /// waits as after every refusal. False if the fact is to be kept until the journal takes it.
    pub(in crate::controller) fn shadow_fact(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
        event: &Event,
    ) -> bool {
        let unknown = |shadow: &Shadow| matches!(shadow.unjournaled, Unjournaled::Revert { .. });
        let is_unknown = self.shadows.get(name).is_some_and(unknown);
        let answers = self
            .state(name)
            .is_some_and(|state| is_answer(event, state));
        (is_unknown || answers) && self.shadow(name, at, std::slice::from_ref(event))
    }

    /// Whether the journal does not know yet how a cutover goes back.
    pub(in crate::controller) fn is_shadowed(&self, name: &CutoverName) -> bool {
        self.shadows.contains_key(name)
    }

    /// Journals what was done while the journal took nothing; the journal's state is then what counts.
    pub(super) async fn reveal(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        if !self.is_shadowed(name) {
            return Ok(());
        }
        if let Some(why) = &self.down {
            return Err(JournalError::Down(why.clone()));
        }
        let events = self.unjournaled(name);
        if !events.is_empty() {
            let events: Vec<(&CutoverName, &Event)> =
                events.iter().map(|event| (name, event)).collect();
            let append_id = self.next_append_id();
            self.append_events(at, &events, &BTreeSet::new(), append_id)
                .await?;
        }
        self.shadows.remove(name);
        Ok(())
    }

    /// What the journal has to be told of a cutover; nothing where it knows all, because only the reply was lost.
    fn unjournaled(&self, name: &CutoverName) -> Vec<Event> {
        let (write_id, cause, mode, decided_at) =
            match self.shadows.get(name).map(|shadow| &shadow.unjournaled) {
                None => return Vec::new(),
                Some(Unjournaled::Answer(answer)) => return answer.clone().into_iter().collect(),
                Some(Unjournaled::Revert {
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
            // Else a drift would stop what a person forced.
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

    /// Tries to journal everything that is not journaled yet, many in an append; whoever loses a race goes alone.
    pub(in crate::controller) async fn reveal_all(
        &mut self,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let names: Vec<CutoverName> = self.shadows.keys().cloned().collect();
        for names in names.chunks(APPEND_EVENTS_MAX / 2) {
            let events: Vec<(&CutoverName, Event)> = names
                .iter()
                .flat_map(|name| {
                    let events = self.unjournaled(name);
                    events.into_iter().map(move |event| (name, event))
                })
                .collect();
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
                Ok(()) => names
                    .iter()
                    .for_each(|name| drop(self.shadows.remove(name))),
                Err(JournalError::Conflict { .. }) => {
                    for name in names {
                        self.reveal(name, at).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
