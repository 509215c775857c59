//! From where the cutovers ended to the exit code (RULES J).

use super::exit::Exit;
use crate::engine::hold::{HaltReason, HoldReason};
use crate::engine::state::{Phase, State};

/// How `run` ends: only when every cutover is over. None: it goes on, also where one is halted.
pub fn of_run<'a>(states: impl IntoIterator<Item = &'a State>) -> Option<Exit> {
    let mut exit = Exit::Done;
    for state in states {
        match state.phase {
            Phase::Completed => {}
            Phase::Reverted => exit = Exit::Reverted,
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted => return None,
        }
    }
    Some(exit)
}

/// How `run --once` ends: the gravest thing that is the case after the round. A red alarm or a shut window before the
/// start is no refusal.
pub fn of_round<'a>(states: impl IntoIterator<Item = &'a State>, file_refused: bool) -> Exit {
    let from_files = if file_refused {
        Exit::PlanInvalid
    } else {
        Exit::Done
    };
    let exits = states.into_iter().map(|state| match state.phase {
        Phase::Halted => Exit::Halted,
        Phase::Reverting => Exit::RevertUnfinished,
        Phase::Reverted => Exit::Reverted,
        Phase::Waiting if is_refused(&state.held) => Exit::PreflightRefused,
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Completed => {
            Exit::Done
        }
    });
    // The codes are ordered by gravity.
    exits.fold(from_files, Exit::max)
}

fn is_refused(held: &[HoldReason]) -> bool {
    held.iter().any(|reason| {
        matches!(
            reason,
            HoldReason::Preflight { .. } | HoldReason::Claimed { .. }
        )
    })
}

/// How `rollback` ends. None: it is not over yet; at the timeout that is [`Exit::RevertUnfinished`].
pub fn of_rollback<'a>(states: impl IntoIterator<Item = &'a State>) -> Option<Exit> {
    let mut exit = Some(Exit::Done);
    for state in states {
        match (state.phase, &state.halt) {
            (Phase::Reverted, _) => {}
            (Phase::Halted, Some(HaltReason::Drift { .. })) if state.rollback.is_none() => {
                return Some(Exit::Halted);
            }
            _ => exit = None,
        }
    }
    exit
}
