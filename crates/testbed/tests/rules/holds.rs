//! What is said while nothing moves, and when that is journaled (semantics E4).

use std::sync::Arc;

use cutover_engine::decide;
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::evidence::plan::Measures;
use cutover_engine::hold::HoldReason;
use cutover_engine::jobs::JobSide;
use cutover_engine::observation::{AlarmState, Beside, FileReading, GroupReading};
use cutover_engine::plan::{HoldOrRevert, Plan};
use cutover_engine::state::Phase;
use cutover_engine::units::CutoverName;
use jiff::SignedDuration;

use super::{baking, jobs, kinds, simple};
use cutover_testbed::flow::{STEPS, error_rate, flow, measured};
use cutover_testbed::plan::{alarm, source};
use cutover_testbed::world::World;

/// The kinds that the journal holds.
fn journaled(world: &World) -> Vec<String> {
    let kind = |reason: &HoldReason| {
        let json = serde_json::to_value(reason).expect("a hold is JSON");
        json["kind"].as_str().expect("a hold has a kind").to_owned()
    };
    world.state().held.iter().map(kind).collect()
}

#[test]
fn a_hold_is_journaled_when_its_subject_changes_and_its_numbers_every_ten_minutes() {
    let mut world = baking();
    world.tick(1);
    let entries = world.count("step_held");
    let held_at = world.state().held_at.expect("it bakes");
    while world.now < held_at + SignedDuration::from_secs(599) {
        world.tick(1);
    }
    // A pass between two readings moves the end of the bake: only its numbers.
    assert_eq!(world.count("step_held"), entries);
    world.ask(Event::PauseRequested { reason: None });
    world.round(0);
    assert_eq!(journaled(&world), ["paused", "baking"]);
    world.missing.insert(alarm("errors"));
    world.tick(10);
    assert_eq!(journaled(&world), ["alarm_missing", "paused", "baking"]);
    world.ask(Event::ResumeRequested { reason: None });
    world.round(0);
    assert_eq!(
        journaled(&world),
        ["alarm_missing", "baking"],
        "one has ended"
    );
}

#[test]
fn the_numbers_of_a_hold_are_journaled_after_exactly_ten_minutes() {
    let mut world = World::new(simple());
    let off = |secs: i64| Some(SignedDuration::from_secs(secs));
    world.skew = off(90);
    world.round(0);
    assert_eq!(journaled(&world), ["clock"]);
    let held_at = world.now;
    world.skew = off(100);
    world.pass(599);
    world.round(0);
    assert_eq!(world.state().held_at, Some(held_at));
    world.pass(1);
    world.round(0);
    assert_eq!(world.state().held_at, Some(world.now));
    let entries = world.count("step_held");
    world.pass(3600);
    world.round(0);
    assert_eq!(world.count("step_held"), entries, "they are the same");
}

#[test]
fn what_comes_back_within_ten_minutes_is_not_journaled_again() {
    for (secs, again) in [(599, false), (600, true)] {
        let mut world = World::new(simple());
        world.ask(Event::PauseRequested { reason: None });
        world.missing.insert(alarm("errors"));
        world.tick(10);
        world.missing.clear();
        world.tick(10);
        assert_eq!(journaled(&world), ["paused"]);
        world.pass(300);
        world.skew = Some(SignedDuration::from_secs(90));
        world.round(0);
        assert_eq!(journaled(&world), ["clock", "paused"]);
        world.pass(secs - 300);
        world.missing.insert(alarm("errors"));
        world.round(0);
        let told = journaled(&world).contains(&"alarm_missing".to_owned());
        assert_eq!(told, again, "after {secs} s");
    }
}

#[test]
fn a_process_that_has_not_looked_yet_ends_no_hold() {
    let mut world = jobs::at_half(2);
    world.switch_by_others(0, JobSide::New, true);
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(1);
    assert_eq!(journaled(&world), ["jobs_drift", "paused"]);
    let mut observation = world.observe(0);
    observation.beside = Beside::default();
    let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
    assert!(decision.because.contains(&HoldReason::JobsUnseen {}));
    assert_eq!(decision.events, []);
}

#[test]
fn what_burns_on_both_sides_is_said_as_the_halt_and_not_once_more_as_a_red_gate() {
    let mut world = baking();
    world.turn("fallback", AlarmState::Alarm);
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(1);
    assert_eq!(kinds(&world), ["halted", "fallback_red"]);
}

#[test]
fn that_too_few_came_is_said_once() {
    let mut first = error_rate(1);
    first.min_requests = 1_000_000;
    let mut second = first.clone();
    second.name = "again".to_owned();
    let measures = Measures {
        metrics: vec![first, second],
        ..Measures::default()
    };
    let mut world = World::new(measured(&STEPS, measures));
    flow(&mut world, |flow| flow.failing = [500, 10]);
    world.run_to_bake(1);
    world.run_minutes(10);
    assert_eq!(kinds(&world), ["too_few_requests", "baking"]);
}

#[test]
fn even_where_no_time_is_allowed_one_unknown_reading_takes_nothing_back() {
    let mut plan = simple();
    plan.gates.on_unknown = HoldOrRevert::Revert;
    plan.gates.unknown_for = SignedDuration::ZERO;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.cloudwatch_down = true;
    world.pass(10);
    world.round(0);
    assert_eq!(world.phase(), Phase::Baking);
    world.pass(1);
    world.round(0);
    assert_eq!(world.phase(), Phase::Reverting);
}

#[test]
fn clocks_that_differ_by_more_than_a_minute_hold() {
    for (secs, holds) in [(60, false), (61, true), (-60, false), (-61, true)] {
        let mut world = baking();
        world.skew = Some(SignedDuration::from_secs(secs));
        world.round(0);
        let told = kinds(&world).contains(&"clock".to_owned());
        assert_eq!(told, holds, "{secs} s");
    }
}

#[test]
fn a_changed_file_says_whether_its_records_stand_in_the_way() {
    let mut steps = simple();
    steps.steps[0].bake = SignedDuration::from_hours(9);
    let mut records = simple();
    records.records[0].old = "eks-2".to_owned();
    let mut elses = records.clone();
    elses.name = CutoverName::from("other");
    let changed = |mut world: World, plan: Plan| {
        world.file = FileReading::Plan(Arc::new(source(plan)));
        world.round(0);
        let records = |reason: &HoldReason| match reason {
            HoldReason::PlanChanged { records, .. } => Some(*records),
            _ => None,
        };
        world.because().iter().find_map(records)
    };
    assert_eq!(changed(baking(), steps), Some(false));
    assert_eq!(changed(baking(), records), Some(true));
    // Nothing was written yet, so that no baseline binds the records; but it is another cutover's plan.
    assert_eq!(changed(World::new(simple()), elses), Some(false));
}

#[test]
fn before_the_start_the_files_plan_is_taken_with_other_records_and_with_the_same() {
    let mut records = simple();
    records.records[0].zone.zone = "Z7".to_owned();
    let mut world = World::new(simple());
    world.ask(Event::PauseRequested { reason: None });
    world.file = FileReading::Plan(Arc::new(source(records.clone())));
    world.round(0);
    assert_eq!(world.state().plan(), &records);

    let mut steps = simple();
    steps.steps[0].bake = SignedDuration::from_hours(9);
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    world.ask(Event::RetryRequested { reason: None });
    world.file = FileReading::Plan(Arc::new(source(steps.clone())));
    world.round(0);
    assert_eq!(world.state().plan(), &steps);
}

#[test]
fn only_before_the_start_is_what_can_never_be_read_a_matter_of_the_preflight() {
    let unreadable = |mut world: World, permanent: bool| {
        let mut observation = world.observe(0);
        observation.groups.fill(GroupReading::Unreadable {
            message: "no such zone".to_owned(),
            permanent,
            since: world.now,
            denied: None,
        });
        let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
        let preflight = |reason: &HoldReason| match reason {
            HoldReason::Preflight { .. } => Some(true),
            HoldReason::Route53Unreadable { .. } => Some(false),
            _ => None,
        };
        let told: Vec<bool> = decision.because.iter().filter_map(preflight).collect();
        told
    };
    assert_eq!(unreadable(World::new(simple()), true), [true]);
    assert_eq!(unreadable(World::new(simple()), false), [false]);
    assert_eq!(unreadable(baking(), true), [false]);
    assert_eq!(unreadable(baking(), false), [false]);
}
