//! The answer to a command: the event to append, or the reason why the command does not apply.

use thiserror::Error;

use crate::event::Event;
use crate::state::State;

/// The reason why a command does not apply in this state. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotApplicable(pub String);

/// The event to append for a command, or the reason why it does not apply.
pub type Answer = Result<Event, NotApplicable>;

pub(super) fn unfinished(state: &State) -> Result<(), NotApplicable> {
    refuse_if(
        state.phase.is_final(),
        &format!("it is {}", state.phase.label()),
    )
}

pub(super) fn refuse_if(condition: bool, why: &str) -> Result<(), NotApplicable> {
    if condition {
        refuse(why.to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn refuse<T>(why: String) -> Result<T, NotApplicable> {
    Err(NotApplicable(why))
}
