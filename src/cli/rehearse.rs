//! `cutover rehearse`: the same controller over a simulated world.

use anyhow::{Result, anyhow};

use super::args::Rehearse;
use super::context::Context;
use super::exit::Exit;
use super::plans;
use crate::engine::plan::PlanSource;

/// Rehearses the plans.
///
/// # Errors
/// A plan is not valid.
pub fn run(context: &mut Context<'_>, args: &Rehearse) -> Result<Exit> {
    let sources = plans::find(&args.paths).require_valid(context)?;
    play(context, args, sources)
}

/// Plays the plans in the world of `args.seed`, from `args.start` or now, each in its own runtime with a clock that
/// jumps.
///
/// # Errors
/// The simulated world is not part of this program yet.
fn play(_context: &mut Context<'_>, _args: &Rehearse, _sources: Vec<PlanSource>) -> Result<Exit> {
    Err(anyhow!("`rehearse` is not built yet"))
}
