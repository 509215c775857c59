//! A revert that the journal has not taken: its state in memory, and what the journal must still get.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::engine::event::{Envelope, Event, JOURNAL_VERSION, RevertMode};
use crate::engine::fold;
use crate::engine::hold::RevertCause;
use crate::engine::state::State;
use crate::engine::units::{CutoverName, WriteId};

/// A cutover that reverts while the journal is down: its state as the journal would have it.
pub(super) struct UnjournaledRevert {
    pub(super) state: State,
    pub(super) owed: Owed,
}

/// The events that the journal must still get about such a revert. Everything else is observed and decided again.
pub(super) enum Owed {
    /// The revert itself.
    Revert {
        write_id: WriteId,
        cause: RevertCause,
        mode: RevertMode,
        decided_at: Timestamp,
    },
    /// The last result of the write of a revert that the journal knows: the next try backs off from it.
    Answer(Option<Event>),
}

/// Drops the state in memory once the journal knows the revert and has a new entry: the journal's state counts then.
pub(super) fn drop_journaled(
    unjournaled: &mut BTreeMap<CutoverName, UnjournaledRevert>,
    name: &CutoverName,
) {
    let Some(revert) = unjournaled.get(name) else {
        return;
    };
    match revert.owed {
        Owed::Answer(_) => drop(unjournaled.remove(name)),
        Owed::Revert { .. } => {}
    }
}

/// The revert that these events begin, if they do.
pub(super) fn begun(events: &[Event], decided_at: Timestamp) -> Option<Owed> {
    for event in events {
        if let Event::RevertIntended {
            write_id,
            cause,
            mode,
            ..
        } = event
        {
            return Some(Owed::Revert {
                write_id: write_id.clone(),
                cause: cause.clone(),
                mode: *mode,
                decided_at,
            });
        }
    }
    None
}

/// Returns true if this is the result of the write that takes a cutover back.
pub(super) fn is_answer(event: &Event, state: &State) -> bool {
    let (Event::WeightChangeSubmitted { write_id, .. }
    | Event::WeightChangeFailed { write_id, .. }) = event
    else {
        return false;
    };
    let revert = state.revert.as_ref();
    revert.is_some_and(|revert| revert.write_id == *write_id)
}

impl UnjournaledRevert {
    /// Folds an event. Returns the entry that the journal would have.
    pub(super) fn take(
        &mut self,
        name: &CutoverName,
        at: Timestamp,
        actor: &str,
        event: &Event,
    ) -> Envelope {
        if let Owed::Answer(answer) = &mut self.owed
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
        entry
    }
}
