//! The answer to a command: the event to append, or the reason why the command does not apply.

use thiserror::Error;

use crate::event::Event;
use crate::state::State;

/// Why a command does not apply in this state, for people. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotApplicable(pub String);

/// The event that a command appends, or the reason why the command does not apply.
pub type Answer = Result<Event, NotApplicable>;

/// Returns an error if the cutover is over.
pub(super) fn unfinished(state: &State) -> Result<(), NotApplicable> {
    refuse_if(
        state.phase.is_final(),
        &format!("it is {}", state.phase.label()),
    )
}

/// Returns an error with this reason if the condition is true.
pub(super) fn refuse_if(condition: bool, why: &str) -> Result<(), NotApplicable> {
    if condition {
        refuse(why.to_owned())
    } else {
        Ok(())
    }
}

/// Returns an error with this reason.
pub(super) fn refuse<T>(why: String) -> Result<T, NotApplicable> {
    Err(NotApplicable(why))
}
