//! `cutover rehearse`: the same controller over a simulated world.

mod film;
mod operators;
mod play;
mod print;

pub use play::{Look, play, play_with};

use anyhow::Result;
use tokio::runtime::Builder;

use super::args::Rehearse;
use super::context::Context;
use super::error::Expected;
use super::exit::Exit;
use super::plans;
use crate::plan_file;
use crate::ports::Clock as _;
use crate::scenario::Scenario;

/// Rehearses the plans.
///
/// # Errors
/// A plan, the scenario or a fault is not valid.
pub fn run(context: &mut Context<'_>, args: &Rehearse) -> Result<Exit> {
    let sources = plans::find(&args.paths).require_valid(context)?;
    let scenario = scenario(context, args)?;
    let start = args.start.unwrap_or_else(|| context.clock.now());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let film = runtime.block_on(play(sources, &scenario, args.seed, start))?;
    if context.json() {
        context.print_json(&print::to_json(&film))?;
    } else {
        print::print(context, &film)?;
    }
    Ok(print::exit(&film))
}

/// The scenario's file and the faults of the command line, as one.
fn scenario(context: &mut Context<'_>, args: &Rehearse) -> Result<Scenario> {
    let mut scenario = match &args.scenario {
        None => Scenario::default(),
        Some(path) => match plan_file::load_scenario(path) {
            Ok(scenario) => scenario,
            Err(error) => {
                write!(context.err, "{}", error.render(true))?;
                let path = path.display();
                return Err(Expected::PlansInvalid(format!("{path} is not valid")).into());
            }
        },
    };
    for line in &args.faults {
        match plan_file::fault(line) {
            Ok(fault) => scenario.faults.push(fault),
            Err(error) => {
                let message = format!("the fault `{line}`: {error}");
                return Err(Expected::usage(message, Some(&error.help)).into());
            }
        }
    }
    Ok(scenario)
}
