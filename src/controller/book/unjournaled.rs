//! A revert that is not journaled: its state in memory, and the events that must still be journaled.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::engine::event::{Envelope, Event, JOURNAL_VERSION, RevertMode};
use crate::engine::fold;
use crate::engine::hold::RevertCause;
use crate::engine::state::State;
use crate::engine::units::{CutoverName, WriteId};

/// A cutover that reverts while the journal is down.
pub(super) struct UnjournaledRevert {
    /// The state that the cutover would have if all its events were journaled.
    pub(super) state: State,
    /// The events that must still be journaled.
    pub(super) owed: Owed,
}

/// The events about a revert that must still be journaled. Everything else is observed and decided again.
pub(super) enum Owed {
    /// The revert itself is not journaled yet.
    Revert {
        write_id: WriteId,
        cause: RevertCause,
        mode: RevertMode,
        decided_at: Timestamp,
    },
    /// The last reply to the write of a revert that the journal knows; `None` if there is none yet. The next try backs
    /// off from it.
    Answer(Option<Event>),
}

/// Drops the state in memory when a new entry is folded, if the journal knows the revert. From then on the journal's
/// state counts.
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

/// Returns the revert that these events begin; `None` if they begin none.
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

/// Returns true if the event is a reply to the write of the cutover's current revert.
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
