//! semantics C: gates.

use cutover_engine::event::{Envelope, Event};
use cutover_engine::hold::{HaltReason, RevertCause};
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::{HoldOrRevert, NoData};
use cutover_engine::state::Phase;
use jiff::{SignedDuration, Timestamp};

use super::{baking, cause, halt, kinds, simple};
use cutover_testbed::flow::{STEPS, error_rate, flow, measured, with_metric};
use cutover_testbed::plan::{alarm, plan};
use cutover_testbed::world::World;

fn pages(world: &World) -> usize {
    world.state().pages.len()
}

#[test]
fn a_red_gate_reverts_in_the_same_round_in_every_phase() {
    for phase in [Phase::Shifting, Phase::Settling, Phase::Baking] {
        let mut world = World::new(simple());
        if phase == Phase::Shifting {
            world.pass(10);
            world.round(0);
        } else {
            world.run_to(phase);
        }
        assert_eq!(world.phase(), phase);
        world.ask(Event::PauseRequested { reason: None });
        world.turn("latency", AlarmState::Alarm);
        world.pass(1);
        world.round(0);
        assert_eq!(world.phase(), Phase::Reverting, "from {phase:?}, paused");
        world.perform(0);
        world.run_to(Phase::Reverted);
    }
}

#[test]
fn a_red_that_was_over_before_the_start_is_no_flap() {
    let mut world = World::new(simple());
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert_eq!(kinds(&world), ["alarm_red"]);
    world.turn("errors", AlarmState::Ok);
    world.run_to_bake(1);
    assert_eq!(world.count("revert_intended"), 0);
    // One that comes after the start counts as ever.
    world.turn("errors", AlarmState::Alarm);
    world.pass(3);
    world.turn("errors", AlarmState::Ok);
    world.run_to(Phase::Reverted);
    assert!(matches!(cause(&world), RevertCause::AlarmFlapped { .. }));
}

#[test]
fn the_red_that_ended_one_attempt_does_not_end_the_next() {
    let mut world = World::new(simple());
    world.run_to_bake(1);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    world.turn("errors", AlarmState::Ok);
    world.pass(1);
    world.ask(Event::RetryRequested { reason: None });
    world.run_to_bake(1);
    assert_eq!(world.count("revert_intended"), 1);
}

#[test]
fn a_red_gate_reverts_while_a_step_waits_for_approval() {
    let mut world = World::new(plan(&[1], &[(10, 60, false), (100, 60, true)]));
    world.run_to_bake(1);
    world.run_minutes(61);
    assert_eq!(kinds(&world), ["approval"]);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn unknown_holds_names_the_alarm_and_pages_after_unknown_for() {
    let mut world = baking();
    world.missing.insert(alarm("errors"));
    world.cloudwatch_down = true;
    world.run_minutes(29);
    assert!(kinds(&world).contains(&"unknown".to_owned()));
    assert_eq!(pages(&world), 0);
    world.run_minutes(2);
    assert!(kinds(&world).contains(&"unknown_too_long".to_owned()));
    assert!(pages(&world) > 0);
    assert_eq!(world.phase(), Phase::Baking);
}

#[test]
fn on_unknown_revert_takes_back_after_unknown_for_and_two_readings() {
    let mut plan = simple();
    plan.gates.on_unknown = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.cloudwatch_down = true;
    // The first Unknown reading starts the clock, however long ago the last one passed.
    world.pass(3600);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Baking);
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(29);
    assert_eq!(world.phase(), Phase::Baking);
    world.run_minutes(2);
    assert!(matches!(cause(&world), RevertCause::UnknownTooLong { .. }));
}

#[test]
fn unknown_of_an_abandoned_start_does_not_count_in_the_next() {
    let mut plan = simple();
    plan.gates.on_unknown = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.pass(10);
    world.round(0);
    world.cloudwatch_down = true;
    world.pass(10);
    world.round(0);
    world.crash(0);
    world.pass(80);
    world.round(0);
    assert_eq!(world.phase(), Phase::Waiting);
    world.run_minutes(60);
    world.cloudwatch_down = false;
    world.run_to(Phase::Settling);
    world.cloudwatch_down = true;
    world.run_minutes(5);
    assert_eq!(world.count("revert_intended"), 0);
}

#[test]
fn unreadable_groups_hold_and_page_and_never_revert() {
    let mut plan = simple();
    plan.gates.on_unknown = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.unreadable_since = Some(world.now);
    world.run_minutes(120);
    assert_eq!(world.phase(), Phase::Baking);
    assert!(kinds(&world).contains(&"route53_unreadable".to_owned()));
    assert_eq!(pages(&world), 1);
}

#[test]
fn insufficient_data_holds_not_the_start_but_everything_after_it() {
    let mut world = World::new(simple());
    world.turn("errors", AlarmState::InsufficientData);
    world.tick(10);
    assert_eq!(world.count("weight_change_intended"), 1);
    world.run_minutes(180);
    assert_eq!(world.count("step_completed"), 0);
    assert!(kinds(&world).contains(&"no_data".to_owned()));
}

#[test]
fn no_data_pass_takes_insufficient_data_for_green() {
    let mut plan = simple();
    plan.gates.alarms[0].no_data = NoData::Pass;
    let mut world = World::new(plan);
    world.turn("errors", AlarmState::InsufficientData);
    world.run_to(Phase::Completed);
}

#[test]
fn a_missing_alarm_holds_the_start_and_pages() {
    let mut world = World::new(simple());
    world.missing.insert(alarm("latency"));
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Waiting);
    assert_eq!(kinds(&world), ["alarm_missing"]);
    assert_eq!(pages(&world), 1);
}

#[test]
fn a_flap_is_judged_once_across_restarts() {
    let mut world = baking();
    world.turn("fallback", AlarmState::Alarm);
    world.tick(10);
    world.turn("errors", AlarmState::Alarm);
    world.pass(1);
    world.turn("errors", AlarmState::Ok);
    world.tick(10);
    assert!(matches!(halt(&world), Some(HaltReason::BothRed { .. })));
    world.turn("fallback", AlarmState::Ok);
    world.ask(Event::RetryRequested { reason: None });
    world.crash(0);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Baking);
    assert_eq!(world.count("halted"), 1);
}

#[test]
fn a_transition_without_a_visit_to_alarm_is_no_flap() {
    let mut world = baking();
    world.turn("errors", AlarmState::InsufficientData);
    world.tick(10);
    world.turn("errors", AlarmState::Ok);
    world.run_to(Phase::Completed);
}

#[test]
fn an_unreadable_history_is_unknown() {
    let mut world = baking();
    world.turn("errors", AlarmState::InsufficientData);
    world.turn("errors", AlarmState::Ok);
    world.histories_down = true;
    world.run_minutes(90);
    assert_eq!(world.count("step_completed"), 0);
    assert!(kinds(&world).contains(&"unknown".to_owned()));
    world.histories_down = false;
    world.run_to(Phase::Completed);
}

#[test]
fn an_alarm_that_was_red_before_the_first_write_is_no_flap() {
    let mut world = World::new(simple());
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(5);
    assert_eq!(kinds(&world), ["alarm_red"]);
    world.turn("errors", AlarmState::Ok);
    world.run_to(Phase::Completed);
}

#[test]
fn a_red_fallback_halts_an_automatic_revert_which_goes_on_when_it_clears() {
    let mut world = baking();
    world.turn("fallback", AlarmState::Alarm);
    world.tick(10);
    assert!(kinds(&world).contains(&"fallback_red".to_owned()));
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert!(matches!(halt(&world), Some(HaltReason::BothRed { .. })));
    world.turn("latency", AlarmState::Alarm);
    world.turn("errors", AlarmState::Ok);
    world.run_minutes(5);
    assert_eq!(
        world.count("halted"),
        1,
        "it has been said that both sides burn"
    );
    world.turn("fallback", AlarmState::Ok);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverting);
}

#[test]
fn both_red_with_the_gate_clearing_first_stays_halted() {
    let mut world = baking();
    world.turn("fallback", AlarmState::Alarm);
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    world.turn("errors", AlarmState::Ok);
    world.tick(10);
    world.turn("fallback", AlarmState::Ok);
    world.run_minutes(30);
    assert_eq!(world.phase(), Phase::Halted);
}

#[test]
fn both_red_revert_takes_back_into_a_red_fallback() {
    let mut plan = simple();
    plan.gates.both_red = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.turn("fallback", AlarmState::Alarm);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn an_unknown_fallback_blocks_advancing_and_no_revert() {
    for unknown in [false, true] {
        let mut world = baking();
        if unknown {
            world.turn("fallback", AlarmState::InsufficientData);
        } else {
            world.missing.insert(alarm("fallback"));
        }
        world.run_minutes(90);
        assert_eq!(world.state().step, 1);
        assert!(pages(&world) > 0, "it waits for a person in the end");
        world.turn("errors", AlarmState::Alarm);
        world.tick(10);
        assert_eq!(world.phase(), Phase::Reverting);
    }
}

#[test]
fn a_fallback_that_turns_red_stops_no_revert_that_has_begun() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    world.pass(1);
    world.round(0);
    world.turn("fallback", AlarmState::Alarm);
    world.perform(0);
    world.run_to(Phase::Reverted);
}

#[test]
fn an_idle_old_side_needs_no_data_to_be_a_fallback() {
    let mut world = World::new(plan(&[1], &[(100, 60, false)]));
    world.run_to_bake(1);
    world.turn("fallback", AlarmState::InsufficientData);
    world.run_to(Phase::Completed);
}

#[test]
fn an_ignored_alarm_lets_the_start_pass_until_it_is_first_green() {
    let mut world = World::new(simple());
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    world.ask(Event::AlarmIgnored {
        alarm: alarm("errors"),
        reason: "known".to_owned(),
    });
    world.run_to_bake(1);
    world.run_minutes(5);
    world.turn("errors", AlarmState::Ok);
    world.run_minutes(1);
    assert_eq!(world.phase(), Phase::Baking, "turning green is no flap");
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverting);
}

/// Since when and how an alarm was judged, each time.
fn judged(world: &World) -> Vec<(Timestamp, bool)> {
    let of_entry = |entry: &Envelope| match &entry.event {
        Event::AlarmJudged {
            transitioned_at,
            red,
            ..
        } => Some((*transitioned_at, *red)),
        _ => None,
    };
    world.journal.iter().filter_map(of_entry).collect()
}

#[test]
fn a_red_alarm_is_journaled_with_its_time_although_it_was_judged_before() {
    let mut world = baking();
    world.run_minutes(5);
    world.turn("errors", AlarmState::InsufficientData);
    let blind_at = world.now;
    world.tick(10);
    world.turn("errors", AlarmState::Alarm);
    let red_at = world.now;
    world.tick(10);
    assert_eq!(judged(&world), [(blind_at, false), (red_at, true)]);
}

#[test]
fn a_start_journals_what_alarms_went_through_in_the_ten_minutes_before_it() {
    for (ago, seen) in [(599, true), (600, false)] {
        let mut world = World::new(simple());
        let changed_at = world.now;
        for alarm in world.alarms.values_mut() {
            alarm.since = changed_at;
        }
        world.pass(ago);
        world.round(0);
        let expected = vec![(changed_at, false); if seen { 3 } else { 0 }];
        assert_eq!(judged(&world), expected, "{ago} s ago");
    }
}

#[test]
fn what_changed_with_the_first_write_by_the_clock_of_aws_is_no_flap() {
    for (after, flaps) in [(0, false), (1, true)] {
        let mut world = baking();
        let first_write = world.state().first_write.expect("it has begun");
        let at = first_write + SignedDuration::from_secs(after);
        let errors = world.alarms.get_mut(&alarm("errors")).expect("an alarm");
        (errors.since, errors.entered) = (at, vec![at]);
        world.tick(10);
        assert_eq!(world.phase() == Phase::Reverting, flaps, "{after} s after");
    }
}

#[test]
fn a_visit_to_alarm_that_was_judged_is_not_the_reason_of_a_later_change() {
    let mut world = baking();
    let first_write = world.state().first_write.expect("it has begun");
    world.run_minutes(5);
    let errors = world.alarms.get_mut(&alarm("errors")).expect("an alarm");
    // It entered ALARM in the moment up to which all had been judged, and has only lost its data since.
    (errors.since, errors.entered) = (world.now, vec![first_write]);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Baking);
    assert_eq!(world.count("alarm_judged"), 1);
}

#[test]
fn that_a_gate_is_known_again_is_journaled_once() {
    let mut world = baking();
    world.missing.insert(alarm("errors"));
    world.run_minutes(2);
    assert_eq!(
        (world.count("gate_unknown"), world.count("gate_known")),
        (1, 0)
    );
    world.missing.clear();
    world.run_minutes(2);
    assert_eq!(
        (world.count("gate_unknown"), world.count("gate_known")),
        (1, 1)
    );
    assert!(world.state().unknown.is_empty());
    world.missing.insert(alarm("errors"));
    world.run_minutes(29);
    assert!(
        !kinds(&world).contains(&"unknown_too_long".to_owned()),
        "it counts anew"
    );
}

#[test]
fn what_fails_on_both_sides_halts_and_what_fails_on_the_new_one_too_takes_it_back() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.run_to_bake(1);
    world.run_minutes(20);
    flow(&mut world, |flow| flow.failing = [500, 500]);
    world.run_minutes(20);
    assert!(matches!(halt(&world), Some(HaltReason::BothRed { .. })));
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    let alarm = alarm("errors");
    assert_eq!(cause(&world), RevertCause::AlarmRed { alarm });
}
