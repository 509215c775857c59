//! When groups and jobs are looked at, what is never decided without a look, and by whose clock time has passed.

use cutover_engine::decide::{self, Decision};
use cutover_engine::event::{Event, FailureClass, RevertMode};
use cutover_engine::jobs::{JobTurn, SwitchAt};
use cutover_engine::observation::{AlarmState, GroupReading, Observation};
use cutover_engine::plan::HoldOrRevert;
use cutover_engine::state::Phase;
use cutover_engine::units::Share;
use jiff::SignedDuration;

use super::checker::{decides, second_step};
use super::{baking, simple, taken_back};
use cutover_testbed::beside::{TurnFate, with_jobs};
use cutover_testbed::plan::plan;
use cutover_testbed::world::{Fate, World};

fn secs(secs: i64) -> SignedDuration {
    SignedDuration::from_secs(secs)
}

/// Whether the groups must be read: where they were not read for a minute, and where they were read just now.
fn wants(world: &mut World) -> (bool, bool) {
    let mut observation = world.observe(0);
    observation.groups_read_at = Some(world.now - secs(60));
    let (state, fleet, now) = (world.state(), &world.fleet, world.now);
    let minutely = decide::wants_groups(state, fleet, &observation, now);
    let at_once = decide::wants_groups_at_once(state, fleet, &observation, now);
    assert!(minutely || !at_once);
    (minutely, at_once)
}

#[test]
fn groups_are_looked_at_once_a_minute_and_at_once_where_they_are_all_that_is_missing() {
    let mut world = World::new(simple());
    assert_eq!(wants(&mut world), (true, true), "before the start");
    world.pass(10);
    world.round(0);
    assert_eq!(wants(&mut world), (false, false), "its own write is sent");
    world.perform(0);
    assert_eq!(wants(&mut world), (true, true), "the write is read back");
    world.run_to(Phase::Settling);
    assert_eq!(wants(&mut world), (true, false), "while it settles");
    world.run_to_bake(1);
    assert_eq!(wants(&mut world), (true, false), "in a bake");
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(61);
    assert!(world.state().bake.over);
    assert_eq!(wants(&mut world), (true, false), "a pause holds the step");
    world.others_write(0, 80, 20);
    world.run_minutes(2);
    assert_eq!(wants(&mut world), (true, true), "they have drifted");
    world.others_write(0, 90, 10);
    world.tick(10);
    world.ask(Event::ResumeRequested { reason: None });
    assert_eq!(wants(&mut world), (true, true), "the step is due");
    world.roll_back(RevertMode::Swap);
    world.round(0);
    world.perform(0);
    assert_eq!(wants(&mut world), (true, true), "on the way back");
}

#[test]
fn a_step_that_waits_for_a_person_or_a_skip_that_is_asked_for_is_not_read_for_and_is() {
    let mut world = World::new(plan(&[1], &[(10, 60, false), (100, 60, true)]));
    world.run_to_bake(1);
    world.run_minutes(61);
    assert_eq!(wants(&mut world), (true, false));
    world.approve(2);
    assert_eq!(wants(&mut world), (true, true));
    let mut world = baking();
    world.ask(Event::BakeSkipRequested {
        step: 1,
        reason: String::new(),
    });
    assert_eq!(wants(&mut world), (true, true));
}

#[test]
fn a_start_that_the_fleet_holds_reads_no_groups_and_one_whose_approval_is_due_not_at_once() {
    let mut world = World::new(simple());
    super::fleet::freeze(&mut world);
    assert_eq!(wants(&mut world), (false, false));
    let mut world = World::new(plan(&[1], &[(10, 60, true), (100, 60, false)]));
    assert_eq!(wants(&mut world), (true, false));
    let mut world = baking();
    super::fleet::freeze(&mut world);
    assert_eq!(
        wants(&mut world),
        (true, false),
        "drift is looked for all the same"
    );
}

#[test]
fn after_the_end_groups_are_read_only_for_a_write_that_may_land_and_for_fifteen_minutes() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    assert_eq!(wants(&mut world), (false, false), "everything was answered");
    let mut world = taken_back(Fate::RequestLost);
    let ends_at = world.state().phase_since + SignedDuration::from_mins(15);
    assert_eq!(wants(&mut world), (true, true));
    world.now = ends_at;
    assert_eq!(wants(&mut world), (true, true));
    world.now = ends_at + secs(1);
    assert_eq!(wants(&mut world), (false, false));
}

/// What is decided by an observation in which no group was read.
fn unread(world: &World, mut observation: Observation) -> Decision {
    observation.groups.fill(GroupReading::NotRead);
    decide::decide(world.state(), &world.fleet, &observation, world.now)
}

#[test]
fn no_step_is_taken_or_ended_over_groups_that_were_not_read() {
    let (world, observation, decision) = second_step(World::new(simple()));
    assert!(decision.takes_a_step());
    assert!(!unread(&world, observation).takes_a_step());

    let mut world = baking();
    world.run_minutes(59);
    world.pass(60);
    let (observation, decision) = decides(&mut world);
    let ends = |decision: &Decision| {
        let ended = |event: &Event| matches!(event, Event::StepCompleted { .. });
        decision.events.iter().any(ended)
    };
    assert!(ends(&decision), "{decision:?}");
    assert!(!ends(&unread(&world, observation)));

    let mut world = baking();
    world.ask(Event::BakeSkipRequested {
        step: 1,
        reason: String::new(),
    });
    let (observation, decision) = decides(&mut world);
    assert!(ends(&decision), "{decision:?}");
    assert!(!ends(&unread(&world, observation)));
}

#[test]
fn a_lost_change_is_not_written_again_unread_nor_over_a_drift() {
    let mut world = World::new(simple());
    world.tick(10);
    let lost = world.changes.keys().cloned();
    world.lost_changes.extend(lost);
    world.pass(5);
    let (observation, decision) = decides(&mut world);
    assert!(decision.order.is_some(), "{decision:?}");
    assert_eq!(unread(&world, observation).order, None);
    world.others_write(0, 80, 20);
    let (_, decision) = decides(&mut world);
    assert_eq!(decision.order, None);
}

#[test]
fn a_step_that_was_refused_is_tried_again_after_exactly_ten_seconds() {
    let mut world = baking();
    world.fate = Fate::Refused(FailureClass::Throttled);
    while world.count("weight_change_abandoned") == 0 {
        world.tick(1);
    }
    let tries = world.count("weight_change_intended");
    let again_at = world.now + secs(10);
    world.round(0);
    assert_eq!(world.controllers[0].last.wake_at, Some(again_at));
    world.pass(9);
    world.round(0);
    assert_eq!(world.count("weight_change_intended"), tries);
    world.pass(1);
    world.round(0);
    assert_eq!(world.count("weight_change_intended"), tries + 1);
}

#[test]
fn nobody_with_a_right_clock_wrote_what_is_two_minutes_ahead_of_aws() {
    for (ahead, reverts) in [(120, false), (121, true)] {
        let mut plan = simple();
        plan.gates.on_unknown = HoldOrRevert::Revert;
        let mut world = World::new(plan);
        world.run_to_bake(1);
        world.cloudwatch_down = true;
        world.tick(10);
        // Half an hour later by this clock, and before it began by that of AWS.
        world.pass(30 * 60);
        world.skew = Some(secs(-30 * 60 - ahead));
        world.round(0);
        let reverting = world.phase() == Phase::Reverting;
        assert_eq!(reverting, reverts, "{ahead} s ahead");
    }
}

#[test]
fn what_was_red_and_green_again_before_a_start_that_is_held_is_not_journaled() {
    let mut world = World::new(simple());
    world.ask(Event::PauseRequested { reason: None });
    world.turn("errors", AlarmState::Alarm);
    world.pass(30);
    world.turn("errors", AlarmState::Ok);
    world.run_minutes(3);
    assert_eq!(world.count("alarm_judged"), 0);
    world.ask(Event::ResumeRequested { reason: None });
    world.run_to_bake(1);
    assert_eq!(world.count("alarm_judged"), 1, "with the start, once");
}

#[test]
fn jobs_are_looked_at_every_minute_at_rest_and_every_five_seconds_while_they_move() {
    let steps = plan(&[1], &[(10, 60, false), (100, 60, false)]);
    let with_the_last = SwitchAt::Step(Share::percent(100));
    let mut world = World::new(with_jobs(steps, with_the_last, 1));
    let wants = |world: &World, ago: Option<i64>| {
        let looked_at = ago.map(|ago| world.now - secs(ago));
        decide::wants_jobs(world.state(), looked_at, world.now)
    };
    let every = |world: &World, seconds: i64| {
        assert!(!wants(world, Some(seconds - 1)), "{}", world.story());
        assert!(wants(world, Some(seconds)), "{}", world.story());
    };
    assert!(wants(&world, None));
    every(&world, 60);
    world.run_to_bake(1);
    every(&world, 60);
    world.aside.turns = TurnFate::Slow;
    while world.state().jobs.turn.is_none() {
        world.tick(1);
    }
    every(&world, 5);
    let settled_at = world.state().jobs.turn.as_ref().map(JobTurn::settled_at);
    world.now = settled_at.expect("it may land until then");
    assert!(wants(&world, Some(1)), "now it shows what came of it");
    assert!(!wants(&world, Some(0)), "it has been looked at since");
    world.aside.turns = TurnFate::Done;
    world.run_to_bake(2);
    every(&world, 60);
    world.roll_back(RevertMode::Swap);
    world.round(0);
    assert_eq!(world.phase(), Phase::Reverting);
    every(&world, 5);
    world.run_to(Phase::Reverted);
    assert!(!wants(&world, None), "it is over");
    assert!(!wants(&baking(), None), "there are none");
}
