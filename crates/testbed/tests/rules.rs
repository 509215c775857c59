//! The engine's rules, each as a claim about a small world (`cutover_testbed::world`). Every append and every decision in here
//! is also put before the invariants.

mod around;
mod back;
mod backtest;
mod calendars;
mod checker;
mod clocks;
mod contained;
mod drift;
pub(crate) mod entries;
mod evidence;
mod evidence_doubts;
mod fleet;
mod folding;
mod following;
mod gates;
mod holds;
mod hooks;
mod jobs;
mod least;
mod looking;
mod metrics;
mod objections;
mod objections_metrics;
mod objections_reverts;
mod odds;
mod outlook;
mod pasts;
mod phases;
mod preflight;
mod regression;
mod share;
mod steps;
mod switch;
mod tallies;
mod telling;
mod together;
mod trends;
mod truth;
mod values;
mod windows;
mod writing;

use cutover_engine::event::{Event, RevertMode};
use cutover_engine::hold::{HaltReason, RevertCause};
use cutover_engine::plan::Plan;
use cutover_engine::state::Phase;

use cutover_testbed::plan::plan;
use cutover_testbed::world::{Fate, World};

/// One group, steps of 10 % and 100 % with an hour's bake each.
fn simple() -> Plan {
    plan(&[1], &[(10, 60, false), (100, 60, false)])
}

/// A world in which step 1 bakes.
fn baking() -> World {
    let mut world = World::new(simple());
    world.run_to_bake(1);
    world
}

/// A world whose first write met this fate, and which was rolled back at once.
fn taken_back(fate: Fate) -> World {
    let mut world = World::new(simple());
    world.fate = fate;
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Accepted;
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    world
}

/// A world whose start was called off before its first write.
fn called_off() -> World {
    let mut world = World::new(simple());
    world.ask(Event::PauseRequested { reason: None });
    world.tick(10);
    world.roll_back(RevertMode::Swap);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverted);
    world
}

/// Why the last revert began.
fn cause(world: &World) -> RevertCause {
    let mut entries = world.journal.iter().rev();
    let cause = entries.find_map(|entry| match &entry.event {
        Event::RevertIntended { cause, .. } => Some(cause.clone()),
        _ => None,
    });
    cause.expect("a revert was intended")
}

/// Why it halted last.
fn halt(world: &World) -> Option<HaltReason> {
    world.state().halt.clone()
}

/// The labels that are in the list of holds.
fn kinds(world: &World) -> Vec<String> {
    let kind = |reason| {
        let json = serde_json::to_value(reason).expect("a hold is JSON");
        json["kind"].as_str().expect("a hold has a kind").to_owned()
    };
    world.because().iter().map(kind).collect()
}
