//! When each coming step can happen at the earliest, with the dates that a reader counts out by hand.

use cutover_engine::calendar::{Calendar, Coming};
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::hold::HaltReason;
use cutover_engine::plan::Plan;
use cutover_engine::state::Phase;
use jiff::{SignedDuration, Timestamp};

use super::windows::windows;
use cutover_testbed::plan::plan;
use cutover_testbed::world::World;

/// 10 %, 50 %, 100 %, an hour's bake each and a minute before it.
fn three_steps() -> Plan {
    Plan {
        settle: Some(SignedDuration::from_mins(1)),
        ..plan(&[1], &[(10, 60, false), (50, 60, false), (100, 60, false)])
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// A step that is taken, after so many minutes of waiting for the window, and over then.
fn coming(number: u16, taken_at: &str, waits_mins: i64, over_at: &str) -> Coming {
    Coming {
        number,
        taken_at: Some(at(taken_at)),
        waits: SignedDuration::from_mins(waits_mins),
        over_at: Some(at(over_at)),
    }
}

fn of_plan(plan: &Plan, from: &str) -> Calendar {
    Calendar::of_plan(plan, SignedDuration::from_mins(1), at(from))
}

#[test]
fn without_windows_each_step_follows_the_bake_before_it() {
    let calendar = of_plan(&three_steps(), "2026-03-02T01:00:00Z");
    let steps = [
        coming(1, "2026-03-02T01:00:00Z", 0, "2026-03-02T02:01:00Z"),
        coming(2, "2026-03-02T02:01:00Z", 0, "2026-03-02T03:02:00Z"),
        coming(3, "2026-03-02T03:02:00Z", 0, "2026-03-02T04:03:00Z"),
    ];
    assert_eq!(calendar.steps, steps);
    assert_eq!(calendar.ends_at, Some(at("2026-03-02T04:03:00Z")));
}

#[test]
fn a_step_waits_for_its_window_and_a_bake_does_not() {
    let mut office = three_steps();
    office.windows = Some(windows("Asia/Tokyo", &["Mon-Fri 10:00-17:00"], &[]));
    // A Friday, 15:30 in Tokyo; then half past four, and Monday at ten.
    let calendar = of_plan(&office, "2026-03-06T06:30:00Z");
    let weekend = 16 * 60 + 28 + 48 * 60;
    let steps = [
        coming(1, "2026-03-06T06:30:00Z", 0, "2026-03-06T07:31:00Z"),
        coming(2, "2026-03-06T07:31:00Z", 0, "2026-03-06T08:32:00Z"),
        coming(3, "2026-03-09T01:00:00Z", weekend, "2026-03-09T02:01:00Z"),
    ];
    assert_eq!(calendar.steps, steps);
    // With the whole bake inside, the second one waits too: it would be over at 17:32.
    let windows = office.windows.as_mut().expect("it has a window");
    windows.whole_bake = true;
    let calendar = of_plan(&office, "2026-03-06T06:30:00Z");
    assert_eq!(calendar.steps[1].taken_at, Some(at("2026-03-09T01:00:00Z")));
    assert_eq!(calendar.ends_at, Some(at("2026-03-09T03:02:00Z")));
}

#[test]
fn a_window_that_never_opens_has_no_calendar() {
    let mut past = three_steps();
    past.windows = Some(windows("UTC", &["2026-03-02"], &[]));
    let calendar = of_plan(&past, "2026-03-02T23:00:00Z");
    assert_eq!(calendar.steps[0].over_at, Some(at("2026-03-03T00:01:00Z")));
    let never = Coming {
        number: 2,
        taken_at: None,
        waits: SignedDuration::ZERO,
        over_at: None,
    };
    assert_eq!(calendar.steps[1], never);
    assert_eq!(calendar.steps.len(), 3);
    assert_eq!(calendar.ends_at, None);
}

/// The next step, in how many seconds it can be taken, and in how many all is over.
fn next(world: &World) -> Option<(u16, i64, i64)> {
    let calendar = Calendar::of_state(world.state(), world.now)?;
    let secs = |at: Option<Timestamp>| at.expect("some time").duration_since(world.now).as_secs();
    let first = &calendar.steps[0];
    Some((first.number, secs(first.taken_at), secs(calendar.ends_at)))
}

const BAKE: i64 = 3_600;
const STEP: i64 = 60 + BAKE;

#[test]
fn what_is_left_of_the_step_under_way_comes_before_the_next() {
    let mut world = World::new(three_steps());
    assert_eq!(next(&world), Some((1, 0, 3 * STEP)));
    world.round(0);
    assert_eq!(world.phase(), Phase::Shifting);
    assert_eq!(next(&world), Some((2, STEP, 3 * STEP)));
    world.perform(0);
    world.round(0);
    assert_eq!(world.phase(), Phase::Settling);
    world.pass(20);
    assert_eq!(next(&world), Some((2, STEP, 3 * STEP)), "not INSYNC yet");
    world.pass(10);
    world.round(0);
    assert_eq!(world.count("change_in_sync"), 1);
    world.pass(20);
    assert_eq!(next(&world), Some((2, 40 + BAKE, 40 + BAKE + 2 * STEP)));
    world.pass(60);
    assert_eq!(next(&world), Some((2, BAKE, BAKE + 2 * STEP)));
    world.run_to_bake(1);
    let began_at = world.now;
    world.run_minutes(20);
    assert_eq!(world.now.duration_since(began_at).as_secs(), 1_200);
    assert_eq!(next(&world), Some((2, 2_400, 2_400 + 2 * STEP)));
    world.run_to_bake(2);
    assert_eq!(next(&world), Some((3, BAKE, BAKE + STEP)));
    world.run_to_bake(3);
    let last = Calendar::of_state(world.state(), world.now).expect("it goes on");
    assert_eq!(last.steps, []);
    assert_eq!(
        last.ends_at,
        Some(world.now + SignedDuration::from_hours(1))
    );
}

#[test]
fn a_bake_that_is_over_leaves_nothing_to_wait_for() {
    let mut asks = three_steps();
    asks.steps[1].approval = true;
    let mut world = World::new(asks);
    world.run_to_bake(1);
    world.run_minutes(90);
    assert!(world.state().bake.over);
    assert_eq!(next(&world), Some((2, 0, 2 * STEP)));
}

#[test]
fn what_is_over_going_back_or_halted_has_no_calendar() {
    let mut world = World::new(three_steps());
    world.run_to_bake(1);
    let mut halted = world.clone();
    let message = "denied".to_owned();
    let reason = HaltReason::StepFailed {
        message,
        verified: false,
    };
    halted.append("controller", Event::Halted { reason });
    assert_eq!(next(&halted), None);
    let mut completed = world.clone();
    completed.run_to(Phase::Completed);
    assert_eq!(next(&completed), None);
    world.roll_back(RevertMode::Swap);
    world.round(0);
    assert_eq!(next(&world), None);
    world.run_to(Phase::Reverted);
    assert_eq!(next(&world), None);
}
