//! semantics D: clocks.

use cutover_engine::check;
use cutover_engine::decide::{self, Decision};
use cutover_engine::event::{Event, FailureClass, RevertMode};
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::{ApprovalTimeout, HoldOrRevert};
use cutover_engine::state::Phase;
use jiff::SignedDuration;

use super::{baking, kinds, simple};
use cutover_testbed::plan::plan;
use cutover_testbed::world::{Fate, World};

/// How long the bake of step 1 took from its beginning to its end, and the world then.
fn bake_takes(mut world: World) -> SignedDuration {
    let began_at = world.state().phase_since;
    while world.count("step_completed") == 0 {
        world.tick(10);
    }
    world.now.duration_since(began_at)
}

#[test]
fn the_bake_counts_exactly_the_passing_time() {
    assert_eq!(bake_takes(baking()), SignedDuration::from_mins(60));
}

#[test]
fn unknown_time_does_not_count() {
    let mut world = baking();
    world.run_minutes(20);
    world.cloudwatch_down = true;
    world.run_minutes(15);
    world.cloudwatch_down = false;
    // The last passing reading was before the outage, the next one ten seconds after it.
    let expected = SignedDuration::from_mins(75) + SignedDuration::from_secs(10);
    assert_eq!(bake_takes(world), expected);
}

#[test]
fn a_pause_does_not_stop_the_clock_but_blocks_the_step() {
    let mut world = baking();
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(62);
    assert_eq!(world.count("step_completed"), 1);
    assert_eq!(world.count("weight_change_intended"), 1);
    assert_eq!(kinds(&world), ["paused"]);
    world.ask(Event::ResumeRequested { reason: None });
    world.tick(10);
    assert_eq!(world.count("weight_change_intended"), 2);
}

#[test]
fn the_clock_runs_on_over_a_restart() {
    let mut world = baking();
    world.run_minutes(20);
    world.crash(0);
    world.pass(20 * 60);
    assert_eq!(bake_takes(world), SignedDuration::from_mins(60));
}

#[test]
fn an_outage_at_a_restart_counts_only_what_is_journaled() {
    let mut world = World::new(plan(&[1], &[(10, 180, false), (100, 60, false)]));
    world.run_to_bake(1);
    world.run_minutes(90);
    world.crash(0);
    world.cloudwatch_down = true;
    world.tick(10);
    assert_eq!(world.state().bake.counted, SignedDuration::from_mins(60));
}

#[test]
fn a_red_visit_between_two_readings_far_apart_is_caught() {
    let mut world = baking();
    world.pass(600);
    world.turn("errors", AlarmState::Alarm);
    world.pass(600);
    world.turn("errors", AlarmState::Ok);
    world.pass(3600);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverting);
    assert_eq!(world.count("step_completed"), 0);
}

#[test]
fn the_bake_ends_exactly_at_wake_at() {
    let mut world = baking();
    world.tick(7);
    let wake_at = world.controllers[0]
        .last
        .wake_at
        .expect("a bake has an end");
    world.pass(wake_at.duration_since(world.now).as_secs());
    world.round(0);
    assert_eq!(world.now, wake_at);
    assert_eq!(world.count("step_completed"), 1);
    assert_eq!(
        world.state().step,
        2,
        "and the step is taken in the same round"
    );
}

#[test]
fn a_clock_that_aws_contradicts_holds_and_measures_no_bake() {
    let mut world = baking();
    world.run_minutes(10);
    world.pass(10 * 3600);
    world.skew = Some(SignedDuration::from_hours(-10));
    world.tick(10);
    assert_eq!(world.count("step_completed"), 0);
    assert!(kinds(&world).contains(&"clock".to_owned()));
    world.skew = Some(SignedDuration::ZERO);
    world.tick(10);
    assert_eq!(world.state().bake.counted, SignedDuration::from_mins(10));
}

/// A round an hour later by a clock that AWS contradicts, by as much.
fn an_hour_ahead(world: &mut World) {
    world.pass(3_600);
    world.skew = Some(SignedDuration::from_hours(-1));
    world.round(0);
}

#[test]
fn a_wrong_clock_takes_no_step_back_for_time_that_has_not_passed() {
    let mut world = World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]));
    world
        .zone_fates
        .insert("Z1".into(), Fate::Refused(FailureClass::Throttled));
    world.run_minutes(1);
    an_hour_ahead(&mut world);
    assert_eq!(world.phase(), Phase::Shifting);
    world.pass(600);
    world.round(0);
    assert_eq!(
        world.phase(),
        Phase::Reverting,
        "ten minutes are ten minutes"
    );
}

#[test]
fn a_wrong_clock_elsewhere_takes_nothing_back_here() {
    let mut world = World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]));
    world
        .zone_fates
        .insert("Z1".into(), Fate::Refused(FailureClass::Throttled));
    world.run_minutes(1);
    let right = world.now;
    an_hour_ahead(&mut world);
    (world.now, world.skew) = (right, Some(SignedDuration::ZERO));
    world.round(0);
    assert_eq!(world.phase(), Phase::Shifting);
}

/// What is due after half an hour is not due by a clock that is an hour ahead, and is due half an hour later.
fn bakes_an_hour_ahead_and_goes_back_after_half_an_hour(world: &mut World) {
    an_hour_ahead(world);
    assert_eq!(world.phase(), Phase::Baking);
    world.pass(30 * 60);
    world.round(0);
    assert_eq!(
        world.phase(),
        Phase::Reverting,
        "half an hour is half an hour"
    );
}

#[test]
fn a_wrong_clock_takes_nothing_back_for_what_was_unknown_for_a_moment() {
    let mut plan = simple();
    plan.gates.on_unknown = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.cloudwatch_down = true;
    world.tick(10);
    bakes_an_hour_ahead_and_goes_back_after_half_an_hour(&mut world);
}

#[test]
fn a_wrong_clock_takes_nothing_back_for_want_of_an_approval_that_is_not_overdue() {
    let mut plan = plan(&[1], &[(10, 60, false), (100, 60, true)]);
    plan.steps[1].approval_timeout = Some(ApprovalTimeout {
        after: SignedDuration::from_mins(30),
        on_timeout: HoldOrRevert::Revert,
    });
    let mut world = World::new(plan);
    world.run_to_bake(1);
    while world.count("step_completed") == 0 {
        world.tick(10);
    }
    bakes_an_hour_ahead_and_goes_back_after_half_an_hour(&mut world);
}

#[test]
fn a_clock_that_went_back_holds_and_hinders_no_revert() {
    let mut world = baking();
    world.pass(-600);
    world.round(0);
    assert!(kinds(&world).contains(&"clock".to_owned()));
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverting);
}

#[test]
fn a_clock_that_jumps_ahead_makes_no_second_reading_of_the_first() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    while world.count("weight_change_submitted") < 2 {
        world.tick(1);
    }
    let observation = world.observe(0);
    let seen = decide::decide(world.state(), &world.fleet, &observation, world.now);
    let baseline_seen = Event::BaselineSeen {
        at: Some(world.now),
    };
    assert_eq!(seen.events, std::slice::from_ref(&baseline_seen));
    world.append("controller", baseline_seen);
    world.now += SignedDuration::from_secs(16);
    let jumped = decide::decide(world.state(), &world.fleet, &observation, world.now);
    assert_eq!(jumped.events, []);
    let again_at = world.now + SignedDuration::from_secs(5);
    assert_eq!(jumped.wake_at, Some(again_at));
    let ended = Decision {
        events: vec![Event::Reverted { cancelled: false }],
        ..Decision::default()
    };
    assert!(check::decision(world.state(), &world.fleet, &observation, &ended, world.now).is_err());
    world.round(0);
    assert_eq!(world.phase(), Phase::Reverted, "it was read again");
}

#[test]
fn settling_lasts_from_insync_for_the_largest_ttl_or_as_the_plan_says() {
    let settles = |settle: Option<SignedDuration>, ttl: u32| {
        let mut plan = plan(&[2], &[(100, 60, false)]);
        plan.settle = settle;
        let mut world = World::new(plan);
        for member in &mut world.groups[1].1 {
            member.ttl = Some(ttl);
        }
        world.run_to(Phase::Settling);
        let verified_at = world.now;
        world.run_to(Phase::Baking);
        world.now.duration_since(verified_at)
    };
    // INSYNC comes after 30 s.
    assert_eq!(settles(None, 60), SignedDuration::from_secs(90));
    assert_eq!(settles(None, 300), SignedDuration::from_secs(330));
    let none = Some(SignedDuration::ZERO);
    assert_eq!(settles(none, 300), SignedDuration::from_secs(30));
}

#[test]
fn skipping_the_bake_needs_all_gates_passing_at_that_moment() {
    let skip = Event::BakeSkipRequested {
        step: 1,
        reason: "it is well".to_owned(),
    };
    let mut world = baking();
    world.cloudwatch_down = true;
    world.tick(10);
    world.ask(skip.clone());
    world.tick(10);
    assert_eq!(world.count("bake_skip_decided"), 1);
    assert_eq!(world.count("step_completed"), 0);
    world.cloudwatch_down = false;
    world.tick(10);
    assert_eq!(
        world.count("step_completed"),
        0,
        "it was asked about that moment only"
    );
    world.ask(skip);
    world.tick(10);
    assert_eq!(world.state().step, 2);
}

#[test]
fn a_long_quiet_bake_writes_little() {
    let mut world = World::new(plan(&[1], &[(10, 1440, false), (100, 60, false)]));
    world.run_to_bake(1);
    let before = world.journal.len();
    world.run_minutes(600);
    let per_hour = (world.journal.len() - before) / 10;
    assert!(per_hour <= 7, "{per_hour} entries an hour");
    assert!(world.state().pages.is_empty());
}

#[test]
fn the_whole_way_takes_its_bakes_and_settling_and_no_more() {
    let mut world = World::new(simple());
    let began_at = world.now;
    world.run_to(Phase::Completed);
    let took = world.now.duration_since(began_at);
    assert!(took <= SignedDuration::from_mins(124), "{took:#}");
}

#[test]
fn a_hold_that_comes_and_goes_pages_once_and_fills_no_journal() {
    let mut world = World::new(simple());
    world.run_to_bake(1);
    for minute in 0..120 {
        // As when two controllers take turns, of which one has a wrong clock.
        world.skew = Some(SignedDuration::from_secs(if minute % 2 == 0 {
            90
        } else {
            0
        }));
        world.tick(30);
    }
    let holds = world.count("step_held");
    assert!(holds <= 20, "{holds} holds in an hour\n{}", world.story());
    let pages = world.state().pages.len();
    assert_eq!(pages, 1, "one page for one hold");
}

#[test]
fn a_controller_with_a_wrong_clock_does_not_stop_the_bake_of_one_with_a_right_one() {
    let mut world = World::new(simple());
    world.start_controller();
    world.run_to_bake(1);
    let before = world.count("bake_counted");
    for _ in 0..60 {
        world.pass(5);
        world.skew = Some(SignedDuration::from_secs(90));
        world.round(1);
        world.pass(5);
        world.skew = Some(SignedDuration::ZERO);
        world.round(0);
    }
    let stops = world.count("bake_counted") - before;
    assert!(stops <= 2, "{stops} stops\n{}", world.story());
}

/// How long the bake of step 1 really took, where the clock is set after ten minutes of it, and AWS says nothing of it.
fn bake_really_takes(set_by: SignedDuration, aws_says_so: bool) -> SignedDuration {
    let mut world = baking();
    let began_at = world.state().phase_since;
    world.run_minutes(10);
    world.set_clock(set_by);
    if aws_says_so {
        world.skew = Some(-set_by);
    }
    let (mut rounds, ended) = (0, "step_completed");
    while world.count(ended) == 0 && rounds < 2_000 {
        rounds += 1;
        world.tick(10);
        if rounds == 30 {
            world.skew = Some(SignedDuration::ZERO);
        }
    }
    world.now.duration_since(began_at) - world.clock_set_by
}

#[test]
fn a_clock_that_is_set_ends_no_bake_and_shortens_none() {
    let bake = SignedDuration::from_mins(60);
    // The reading that notices it counts nothing, nor does the one after it, which starts the clock anew.
    let most = bake + SignedDuration::from_secs(30);
    for seconds in [5, 45, 59, 600, 3_000, 7_200, 1_000_000] {
        let took = bake_really_takes(SignedDuration::from_secs(seconds), false);
        assert!(
            (bake..=most).contains(&took),
            "set by {seconds} s: {took:#}"
        );
    }
    for seconds in [-5, -45, -59, -300] {
        let took = bake_really_takes(SignedDuration::from_secs(seconds), false);
        assert!(took >= bake, "set by {seconds} s: {took:#}");
        // Up to the journal's last entry the clock tells no time.
        let most = most + SignedDuration::from_secs(-seconds);
        assert!(took <= most, "set by {seconds} s: {took:#}");
    }
    for seconds in [61, 600, 7_200] {
        let took = bake_really_takes(SignedDuration::from_secs(seconds), true);
        assert!(took >= bake, "AWS contradicts {seconds} s: {took:#}");
    }
}

#[test]
fn what_was_counted_before_a_clock_was_set_stands() {
    let mut world = baking();
    world.run_minutes(10);
    world.set_clock(SignedDuration::from_hours(5));
    world.pass(10);
    world.round(0);
    let bake = &world.state().bake;
    assert_eq!(bake.counted, SignedDuration::from_mins(10));
    assert_eq!(bake.running_since, None);
    world.tick(10);
    world.run_minutes(5);
    let counted = world.state().bake.counted_at(world.now);
    assert_eq!(counted, SignedDuration::from_mins(15));
}

#[test]
fn the_checker_refuses_a_bake_that_ends_by_a_clock_that_was_set() {
    let mut world = baking();
    world.run_minutes(10);
    world.set_clock(SignedDuration::from_hours(5));
    let observation = world.observe(0);
    let decision = Decision {
        events: vec![Event::StepCompleted { step: 1 }],
        ..Decision::default()
    };
    let checked = check::decision(
        world.state(),
        &world.fleet,
        &observation,
        &decision,
        world.now,
    );
    let violation = checked.expect_err("it has baked for ten minutes");
    assert_eq!(violation.invariant, check::Invariant::I1);
}
