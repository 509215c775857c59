//! `cutover run`: the controller.

use anyhow::{Result, anyhow};

use super::args::Run;
use super::context::Context;
use super::exit::Exit;
use super::plans;
use crate::engine::plan::PlanSource;

/// Runs the controller over the plans.
///
/// # Errors
/// A plan is not valid and matches no unfinished cutover, or the journal cannot be made.
pub fn run(context: &mut Context<'_>, args: &Run) -> Result<Exit> {
    let sources = plans::find(&args.paths).require_valid(context)?;
    control(context, args, sources)
}

/// Builds the adapters and runs the controller until [`super::outcome::of_run`] has an answer, or for one round, which
/// ends as [`super::outcome::of_round`] says.
///
/// # Errors
/// The controller is not part of this program yet.
fn control(_context: &mut Context<'_>, _args: &Run, _sources: Vec<PlanSource>) -> Result<Exit> {
    Err(anyhow!("`run` is not built yet"))
}
