//! semantics B: baseline and drift.

use cutover_engine::commands;
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::hold::HaltReason;
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::Plan;
use cutover_engine::state::Phase;
use cutover_engine::units::{Weight, WeightPair};
use jiff::SignedDuration;

use super::windows::windows;
use super::{baking, halt, kinds, simple};
use cutover_testbed::plan::plan;
use cutover_testbed::world::{Fate, World};

fn pair(old: u8, new: u8) -> WeightPair {
    WeightPair::new(old, new)
}

#[test]
fn a_start_is_refused_where_the_weights_do_not_fit() {
    for (old, new) in [(0, 100), (0, 0), (90, 10), (1, 1)] {
        let mut world = World::new(simple());
        world.others_write(0, old, new);
        world.run_minutes(2);
        assert_eq!(kinds(&world), ["preflight"], "at {old}/{new}");
        assert_eq!(world.state().pages.len(), 1);
    }
}

#[test]
fn baseline_as_is_starts_below_the_first_step_and_reverts_to_it() {
    let mut world = World::new(simple());
    world.as_is = true;
    world.others_write(0, 95, 5);
    world.run_to_bake(1);
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(95, 5));

    let mut world = World::new(simple());
    world.as_is = true;
    world.others_write(0, 90, 10);
    world.run_minutes(2);
    assert_eq!(kinds(&world), ["preflight"]);
}

#[test]
fn the_baseline_of_the_first_attempt_is_kept_by_the_next() {
    let mut world = baking();
    let baseline = world.state().baseline.clone();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    world.others_write(0, 99, 1);
    world.ask(Event::RetryRequested { reason: None });
    world.run_minutes(2);
    assert_eq!(
        kinds(&world),
        ["preflight"],
        "other weights than the baseline's"
    );
    world.others_write(0, 100, 0);
    world.run_to_bake(1);
    assert_eq!(world.state().baseline, baseline);
    assert_eq!(world.state().attempt, 2);
}

#[test]
fn any_field_or_member_that_changes_is_drift_and_clears_by_itself() {
    let mut world = baking();
    let before = world.groups.clone();
    for change in 0..4 {
        match change {
            0 => world.groups[0].1[0].ttl = Some(30),
            1 => world.groups[0].1[1].values.push("192.0.2.77".to_owned()),
            2 => {
                let mut third = world.groups[0].1[0].clone();
                (third.set_identifier, third.weight) = ("third".to_owned(), Weight(0));
                world.groups[0].1.push(third);
            }
            _ => drop(world.groups[0].1.pop()),
        }
        world.run_minutes(2);
        assert_eq!(kinds(&world)[0], "drift", "change {change}");
        world.groups.clone_from(&before);
        world.tick(10);
        assert_eq!(kinds(&world), ["baking"]);
    }
}

#[test]
fn drifted_time_does_not_count() {
    let mut world = baking();
    world.run_minutes(10);
    world.others_write(0, 50, 50);
    world.run_minutes(30);
    let counted = world.state().bake.counted;
    assert!(counted <= SignedDuration::from_mins(10), "{counted:#}");
    world.others_write(0, 90, 10);
    world.tick(10);
    world.run_minutes(49);
    assert_eq!(world.count("step_completed"), 0);
}

#[test]
fn a_revert_leaves_somebody_elses_weights_alone_unless_forced() {
    let mut world = World::new(plan(&[2], &[(10, 60, false), (100, 60, false)]));
    world.run_to_bake(1);
    world.others_write(1, 50, 50);
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(2);
    assert_eq!(
        world.pair(0),
        pair(100, 0),
        "what has not drifted is taken back"
    );
    assert_eq!(world.pair(1), pair(50, 50));
    let Some(HaltReason::Drift { groups, .. }) = halt(&world) else {
        panic!("not halted by drift: {:?}", halt(&world));
    };
    assert_eq!(groups.len(), 1, "only the rest is named");
    assert_eq!(
        kinds(&world),
        ["halted", "alarm_red"],
        "the groups taken back are no drift"
    );
    world.run_minutes(60);
    assert_eq!(world.count("halted"), 1);
    world.roll_back(RevertMode::Force);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(1), pair(100, 0));
}

#[test]
fn force_overwrites_what_somebody_keeps_writing_ever_more_seldom_and_says_why() {
    let mut world = baking();
    world.roll_back(RevertMode::Force);
    let overwritten = |world: &mut World, secs: usize| {
        let before = world.count("weight_change_submitted");
        for _ in 0..secs {
            world.others_write(0, 50, 50);
            world.tick(1);
        }
        world.count("weight_change_submitted") - before
    };
    let first_minute = overwritten(&mut world, 60);
    assert!((4..=9).contains(&first_minute), "{first_minute}");
    assert_eq!(kinds(&world)[0], "revert_blocked");
    let hour = overwritten(&mut world, 3_600);
    assert!((50..=62).contains(&hour), "{hour}");
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
}

#[test]
fn weights_found_at_the_baseline_are_not_written_over() {
    let mut world = baking();
    world.others_write(0, 100, 0);
    world.run_minutes(5);
    assert_eq!(kinds(&world)[0], "already_at_baseline");
    assert_eq!(world.state().pages.len(), 1);
    let writes = world.changes.len();
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.changes.len(), writes, "it ends without a write");
}

/// A person takes what was read for what is wanted.
fn adopt(world: &mut World) {
    let event = commands::adopt_drift(world.state(), "on purpose");
    world.ask(event.expect("it can be adopted"));
}

#[test]
fn adopted_drift_becomes_the_verified_image_and_keeps_the_baselines_weights() {
    let mut world = baking();
    for member in &mut world.groups[0].1 {
        member.ttl = Some(20);
    }
    world.run_minutes(2);
    adopt(&mut world);
    world.tick(10);
    assert_eq!(kinds(&world), ["baking"]);
    assert_eq!(world.count("weight_change_intended"), 1);
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
    assert_eq!(world.groups[0].1[0].ttl, Some(20));
}

#[test]
fn a_smaller_share_that_is_adopted_is_raised_to_the_steps_again_and_bakes_anew() {
    let mut world = baking();
    let bake = world.state().plan().steps[0].bake;
    world.run_minutes(20);
    world.others_write(0, 95, 5);
    world.groups[0].1[1].health_check_id = Some("hc-1".to_owned());
    world.run_minutes(2);
    adopt(&mut world);
    let adopted_at = world.now;
    world.tick(10);
    assert_eq!(world.count("step_reopened"), 1);
    world.tick(10);
    assert_eq!(world.pair(0), pair(90, 10));
    assert_eq!(
        world.groups[0].1[1].health_check_id.as_deref(),
        Some("hc-1")
    );
    world.run_to_bake(1);
    world.run_to_bake(2);
    assert!(world.now.duration_since(adopted_at) > bake);
    world.run_to(Phase::Completed);
    assert_eq!(world.count("step_completed"), 2);
}

#[test]
fn a_smaller_share_that_is_adopted_outside_the_window_waits_for_it() {
    let morning = windows("Asia/Tokyo", &["Mon-Fri 10:00-10:30"], &[]);
    let mut world = World::new(Plan {
        windows: Some(morning),
        ..simple()
    });
    world.run_to_bake(1);
    world.run_minutes(40);
    world.others_write(0, 95, 5);
    world.run_minutes(2);
    adopt(&mut world);
    world.run_minutes(5);
    assert_eq!(kinds(&world), ["window_shut"]);
    assert_eq!(world.pair(0), pair(95, 5));
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
}

#[test]
fn a_first_step_that_somebody_overwrites_before_it_is_read_back_is_drift_with_gates_armed() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.others_write(0, 90, 92);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Shifting);
    assert_eq!(kinds(&world), ["drift"]);
    // For hours, if need be.
    world.run_minutes(90);
    assert_eq!(kinds(&world), ["drift"]);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Halted);
    assert!(matches!(world.state().halt, Some(HaltReason::Drift { .. })));
    assert_eq!(world.pair(0), pair(90, 92));
    world.roll_back(RevertMode::Force);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
}

#[test]
fn a_first_step_that_somebody_overwrites_goes_on_when_its_weights_are_put_back() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.others_write(0, 90, 92);
    world.tick(10);
    world.others_write(0, 90, 10);
    world.run_to_bake(1);
    assert_eq!(world.changes.len(), 1, "it is not written again");
    world.run_to(Phase::Completed);
}

#[test]
fn a_first_step_that_somebody_takes_back_is_not_taken_again() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.perform(0);
    // By the break-glass file, before it was read back.
    world.others_write(0, 100, 0);
    world.run_minutes(30);
    assert_eq!(kinds(&world), ["already_at_baseline"]);
    assert_eq!(world.changes.len(), 1);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.changes.len(), 1, "it ends without a write");
}

#[test]
fn a_later_step_that_somebody_takes_back_before_it_is_read_back_is_drift() {
    let mut world = World::new(simple());
    world.run_to_bake(1);
    while world.count("weight_change_intended") < 2 {
        world.pass(10);
        world.round(0);
    }
    world.perform(0);
    world.others_write(0, 90, 10);
    world.run_minutes(20);
    assert_eq!(kinds(&world), ["drift"]);
    assert_eq!(world.pair(0), pair(90, 10));
    assert_eq!(world.phase(), Phase::Shifting);
}

#[test]
fn a_start_that_others_overtook_has_begun_and_is_drift_until_they_put_it_back() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.others_write(0, 60, 40);
    world.perform(0);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Shifting);
    assert_eq!(kinds(&world), ["drift"]);
    assert_eq!(world.pair(0), pair(60, 40));
    world.others_write(0, 100, 0);
    world.run_to_bake(1);
    assert_eq!(world.pair(0), pair(90, 10));
}

#[test]
fn a_start_that_was_given_up_and_lands_while_it_waits_is_drift_with_gates_armed() {
    let mut world = World::new(simple());
    world.fate = Fate::Late(120);
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Accepted;
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(1);
    assert_eq!(world.phase(), Phase::Waiting);
    world.run_minutes(5);
    assert_eq!(kinds(&world), ["drift", "paused"]);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
}

#[test]
fn a_rollback_of_an_abandoned_start_looks_whether_it_landed_after_all() {
    let mut world = World::new(simple());
    world.fate = Fate::Late(120);
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Accepted;
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(5);
    assert_eq!(
        (world.phase(), world.pair(0)),
        (Phase::Shifting, pair(90, 10))
    );
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
}
