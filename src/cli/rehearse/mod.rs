//! `cutover rehearse`: the controller of `run` in a simulated world.

mod faults;
mod film;
mod many;
mod operators;
mod play;
pub(super) mod progress;
mod wait;

pub use play::{LookWhen, Troupe, play, play_with};

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::Rehearse;
use super::context::Context;
use super::error::Expected;
use super::exit::Exit;
use super::plans;
use crate::engine::state::Phase;
use crate::plan_file;
use crate::ports::Clock as _;
use crate::report::rehearsal;
use crate::report::rehearsal::film::Film;
use crate::report::rehearsal::runs;
use crate::scenario::Scenario;
use play::Play;

/// Rehearses the plans and prints what happened.
///
/// # Errors
/// A plan, the scenario or a fault is not valid, a fault can never happen, the simulated Route 53 refuses a plan, or
/// the output cannot be written.
pub fn run(context: &mut Context<'_>, args: &Rehearse) -> Result<Exit> {
    let mut found = plans::find(&args.paths);
    let fleet = found.fleet.take();
    let fleet = fleet.map(|(path, settings)| (path.display().to_string(), settings));
    let sources = found.require_valid(context)?;
    let play = Play {
        troupe: Troupe { sources, fleet },
        scenario: scenario(context, args)?,
        start: match &args.start {
            Some(start) => start.at,
            None => context.clock.now(),
        },
    };
    faults::require_possible(&play.troupe, &play.scenario, play.start)?;
    let look = rehearsal::Look {
        width: context.terminal.width,
        zone: match &args.start {
            Some(start) => start.zone.clone(),
            None => TimeZone::UTC,
        },
        charts: !args.no_charts,
    };
    match args.runs {
        None => once(context, args, &play, &look),
        Some(runs) => often(context, args, &play, (&look, runs)),
    }
}

/// Rehearses once and prints the whole rehearsal.
fn once(
    context: &mut Context<'_>,
    args: &Rehearse,
    play: &Play,
    look: &rehearsal::Look,
) -> Result<Exit> {
    let film = progress::patiently(context, || play.film(args.seed))?;
    if context.json() {
        context.print_json(&rehearsal::to_json(&film))?;
    } else {
        let shown = rehearsal::to_text(&film, look);
        context.print(&drawn(args, shown))?;
    }
    Ok(exit(&film))
}

/// Rehearses many times and counts the outcomes. The exit code is 0, whatever the outcomes.
fn often(
    context: &mut Context<'_>,
    args: &Rehearse,
    play: &Play,
    (look, runs): (&rehearsal::Look, u32),
) -> Result<Exit> {
    let last = args.seed.saturating_add(u64::from(runs) - 1);
    let counted = many::play(context, play, args.seed..=last)?;
    if context.json() {
        context.print_json(&runs::to_json(&counted))?;
    } else {
        let shown = runs::to_text(&counted, look);
        context.print(&drawn(args, shown))?;
    }
    Ok(Exit::Done)
}

/// Returns the text, in ASCII if the command line asks for it.
fn drawn(args: &Rehearse, shown: String) -> String {
    if args.ascii {
        rehearsal::to_ascii(&shown)
    } else {
        shown
    }
}

/// Returns the gravest exit code of the cutovers. If a fault never happened, the rehearsal did not test what the command line
/// asked for, which is a usage error.
fn exit(film: &Film) -> Exit {
    if !film.never.is_empty() {
        return Exit::Usage;
    }
    let mut gravest = Exit::Done;
    for reel in &film.reels {
        gravest = gravest.max(match reel.phase {
            Phase::Completed => Exit::Done,
            Phase::Reverted | Phase::Abandoned => Exit::Reverted,
            Phase::Reverting => Exit::RevertUnfinished,
            Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => {
                Exit::Halted
            }
        });
    }
    gravest
}

/// Returns the scenario of the file with the faults of the command line added.
fn scenario(context: &mut Context<'_>, args: &Rehearse) -> Result<Scenario> {
    let mut scenario = match &args.scenario {
        None => Scenario::default(),
        Some(path) => match plan_file::load_scenario(path) {
            Ok(scenario) => scenario,
            Err(error) => {
                context.say(&error.render(true))?;
                let verdict = if path.exists() {
                    "is not valid"
                } else {
                    "does not exist"
                };
                let message = format!("the scenario {} {verdict}", path.display());
                return Err(Expected::PlansInvalid(message).into());
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
