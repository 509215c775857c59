//! The request of a rollback as its arguments ask for it: how it writes, and whether a cutover needs it.

use anyhow::Result;

use crate::cli::args::Rollback;
use crate::cli::error::Expected;
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::RevertMode;
use crate::engine::state::State;

/// Returns how the rollback writes: over whatever is there with `--force`, otherwise by compare-and-swap.
pub(super) fn mode(args: &Rollback) -> RevertMode {
    if args.force {
        RevertMode::Force
    } else {
        RevertMode::Swap
    }
}

/// Returns whether the rollback of a cutover must be requested, is under way, or has nothing to do because the cutover
/// has ended.
///
/// # Errors
/// [`Expected::DoesNotApply`] if the cutover cannot be rolled back, for example because it has completed.
pub(super) fn need(args: &Rollback, state: &State) -> Result<RollbackNeed, Expected> {
    let reason = args.reason.as_deref();
    rollback(state, mode(args), args.include_completed, reason).map_err(|reason| {
        Expected::DoesNotApply {
            command: "rollback",
            name: state.name.to_string(),
            reason: reason.to_string(),
        }
    })
}
