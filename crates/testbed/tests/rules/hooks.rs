//! Hooks: each in its place, at least once, with one key; traffic waits for none of them.

use cutover_engine::commands;
use cutover_engine::decide::HookCall;
use cutover_engine::event::Event;
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::hooks::HookPoint;
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::HoldOrRevert;
use cutover_engine::state::Phase;
use cutover_engine::units::{Share, WeightPair};

use super::{cause, kinds, simple};
use cutover_testbed::beside::{EVERY_POINT, with_hooks};
use cutover_testbed::plan::source;
use cutover_testbed::world::World;

fn hooked(points: &[HookPoint]) -> World {
    World::new(with_hooks(simple(), points))
}

/// How many seconds lay between the calls.
fn apart(world: &World) -> Vec<i64> {
    let calls = world.aside.calls.windows(2);
    calls
        .map(|pair| pair[1].0.duration_since(pair[0].0).as_secs())
        .collect()
}

fn ticks(world: &mut World, seconds: usize) {
    for _ in 0..seconds {
        world.tick(1);
    }
}

#[test]
fn every_hook_is_called_once_in_its_place() {
    let mut world = hooked(&EVERY_POINT);
    world.run_to(Phase::Completed);
    assert_eq!(
        world.keys(),
        [
            "api/1/0/before_start/1",
            "api/1/1/before_step/2",
            "api/1/1/after_step/3",
            "api/1/2/before_step/2",
            "api/1/2/after_step/3",
            "api/1/0/completed/6",
        ]
    );
}

#[test]
fn hooks_of_a_revert_are_called_beside_it_and_after_it_with_its_cause() {
    let mut world = hooked(&[HookPoint::BeforeRevert, HookPoint::AfterRevert]);
    world.run_to_bake(1);
    // The first of them takes its time.
    world.aside.hooks_fail = None;
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert_eq!(world.pair(0), WeightPair::new(100, 0));
    assert_eq!(world.keys(), ["api/1/0/before_revert/1"]);
    world.run_minutes(5);
    assert_eq!(
        world.phase(),
        Phase::Reverting,
        "it is waited for at the end"
    );
    world.aside.hooks_fail = Some(false);
    world.run_to(Phase::Reverted);
    assert_eq!(
        world.keys(),
        ["api/1/0/before_revert/1", "api/1/0/after_revert/2"]
    );
    let red = |call: &HookCall| matches!(call.cause, Some(RevertCause::AlarmRed { .. }));
    assert!(world.aside.calls.iter().all(|(_, call)| red(call)));
}

#[test]
fn a_hook_of_one_step_is_called_for_no_other() {
    let mut plan = with_hooks(simple(), &[HookPoint::BeforeStep, HookPoint::AfterStep]);
    for hook in &mut plan.hooks {
        hook.step = Some(Share::percent(100));
    }
    let mut world = World::new(plan);
    world.run_to(Phase::Completed);
    assert_eq!(
        world.keys(),
        ["api/1/2/before_step/1", "api/1/2/after_step/2"]
    );
}

#[test]
fn a_hook_that_fails_is_tried_again_then_holds_and_is_tried_every_five_minutes() {
    let mut world = hooked(&[HookPoint::BeforeStep]);
    world.aside.hooks_fail = Some(true);
    ticks(&mut world, 10);
    assert_eq!(apart(&world), [1, 2]);
    let failed = world.because().iter().find_map(|reason| match reason {
        HoldReason::HookFailed { tries, message, .. } => Some((*tries, message.as_str())),
        _ => None,
    });
    assert_eq!(failed, Some((3, "exit code 1")));
    assert_eq!(world.state().pages.len(), 1);
    ticks(&mut world, 600);
    assert_eq!(apart(&world), [1, 2, 300, 300]);
    assert_eq!(world.phase(), Phase::Waiting);
    let keys: std::collections::BTreeSet<&str> = world.keys().into_iter().collect();
    assert_eq!(keys.len(), 1, "every try has the same key: {keys:?}");
    world.aside.hooks_fail = Some(false);
    world.run_to_bake(1);
}

#[test]
fn a_hook_that_fails_is_waited_for_and_says_so_between_its_tries() {
    let mut world = hooked(&[HookPoint::BeforeStep]);
    world.aside.hooks_fail = Some(true);
    world.tick(10);
    world.round(0);
    assert_eq!(kinds(&world), ["hook_running"]);
    let again_at = world.aside.calls[0].0 + jiff::SignedDuration::from_secs(1);
    assert_eq!(world.controllers[0].last.wake_at, Some(again_at));
}

#[test]
fn a_hook_beside_a_revert_that_fails_is_given_up_and_holds_nothing() {
    let mut world = hooked(&[HookPoint::BeforeRevert]);
    world.run_to_bake(1);
    world.aside.hooks_fail = Some(true);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    let calls = world.aside.calls.iter();
    let gives_up: Vec<(u32, bool)> = calls
        .map(|(_, call)| (call.number, call.gives_up))
        .collect();
    assert_eq!(gives_up, [(1, false), (2, false), (3, true)]);
}

#[test]
fn a_hook_that_fails_takes_everything_back_where_the_plan_says_so() {
    let mut plan = with_hooks(simple(), &[HookPoint::AfterStep]);
    plan.hooks[0].on_failure = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.aside.hooks_fail = Some(true);
    world.run_to(Phase::Reverted);
    let RevertCause::HookFailed { message, .. } = cause(&world) else {
        panic!("{:?}", cause(&world));
    };
    assert_eq!(message, "exit code 1");
    assert_eq!(world.aside.calls.len(), 3);
}

#[test]
fn before_the_first_write_a_hook_that_fails_holds_whatever_the_plan_says() {
    let mut plan = with_hooks(simple(), &[HookPoint::BeforeStart]);
    plan.hooks[0].on_failure = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.aside.hooks_fail = Some(true);
    world.run_minutes(4);
    assert_eq!(world.phase(), Phase::Waiting);
    assert_eq!(kinds(&world), ["hook_failed"]);
}

#[test]
fn a_call_that_is_under_way_is_not_made_twice() {
    let mut world = hooked(&[HookPoint::BeforeStart]);
    world.aside.hooks_fail = None;
    world.run_minutes(10);
    assert_eq!(world.aside.calls.len(), 1);
    assert_eq!(kinds(&world), ["hook_running"]);
}

#[test]
fn a_call_whose_process_died_is_made_again_when_it_must_have_ended() {
    let mut world = hooked(&[HookPoint::BeforeStart]);
    world.aside.hooks_fail = None;
    world.tick(1);
    world.crash(0);
    world.aside.hooks_fail = Some(false);
    world.tick(1);
    // Half a minute for the call, five seconds for its answer.
    let ends_at = world.aside.calls[0].0 + jiff::SignedDuration::from_secs(35);
    assert_eq!(world.controllers[0].last.wake_at, Some(ends_at));
    ticks(&mut world, 60);
    assert_eq!(apart(&world), [35]);
    assert_eq!(world.keys()[0], world.keys()[1]);
    assert_ne!(
        world.aside.calls[0].1.call_id,
        world.aside.calls[1].1.call_id
    );
}

#[test]
fn nothing_is_called_while_the_journal_is_down() {
    let mut world = hooked(&[HookPoint::BeforeStart]);
    world.aside.hushed = true;
    world.run_minutes(5);
    assert_eq!(world.keys(), [""; 0]);
    assert_eq!(kinds(&world), ["calls_wait"]);
    world.aside.hushed = false;
    world.run_to_bake(1);
}

#[test]
fn an_amended_hook_is_called_anew_and_one_that_stays_is_not() {
    let mut world = hooked(&[HookPoint::AfterStep, HookPoint::AfterStep]);
    world.run_to_bake(1);
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(61);
    assert_eq!(world.aside.calls.len(), 2);
    let mut plan = world.state().plan().clone();
    plan.hooks[1].timeout = jiff::SignedDuration::from_secs(60);
    world.ask(Event::PlanAmended {
        source: Box::new(source(plan)),
        reason: None,
    });
    world.run_minutes(1);
    let keys = world.keys();
    assert_eq!(keys[2..], ["api/1/1/after_step/2"]);
}

#[test]
fn a_hook_that_fails_after_a_step_holds_where_the_plan_does_not_say_revert() {
    let mut world = hooked(&[HookPoint::AfterStep]);
    world.run_to_bake(1);
    world.aside.hooks_fail = Some(true);
    world.run_minutes(70);
    assert_eq!((world.phase(), world.state().step), (Phase::Baking, 1));
    assert_eq!(kinds(&world), ["hook_failed"]);
}

#[test]
fn a_retry_calls_a_hook_that_failed_for_good_again_at_once_and_none_that_is_tried_still() {
    let mut world = hooked(&[HookPoint::BeforeStep]);
    world.aside.hooks_fail = Some(true);
    ticks(&mut world, 2);
    assert!(
        commands::retry(world.state(), None).is_err(),
        "it is tried still"
    );
    ticks(&mut world, 8);
    assert_eq!(apart(&world), [1, 2]);
    let asked = commands::retry(world.state(), None).expect("a failed hook holds");
    world.ask(asked);
    world.aside.hooks_fail = Some(false);
    ticks(&mut world, 2);
    assert_eq!(world.aside.calls.len(), 4);
    let again = commands::retry(world.state(), None);
    assert!(again.is_err(), "no hook has failed");
}

#[test]
fn a_retry_of_a_hook_leaves_the_bake_as_it_is() {
    let mut world = hooked(&[HookPoint::AfterStep]);
    world.run_to_bake(1);
    world.aside.hooks_fail = Some(true);
    world.run_minutes(70);
    let bake = world.state().bake.clone();
    let asked = commands::retry(world.state(), None).expect("a failed hook holds");
    world.ask(asked);
    assert_eq!((world.phase(), &world.state().bake), (Phase::Baking, &bake));
    world.aside.hooks_fail = Some(false);
    world.run_minutes(3);
    assert_eq!(world.state().step, 2);
}
