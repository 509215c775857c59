//! The way back to the second: when it is looked again, tried again, and over (semantics A3, A4, A5, E3).

use cutover_engine::decide::How;
use cutover_engine::event::{Event, FailureClass, RevertMode};
use cutover_engine::hold::HoldReason;
use cutover_engine::observation::{AlarmState, GroupReading};
use cutover_engine::state::Phase;
use cutover_engine::units::WeightPair;
use jiff::{SignedDuration, Timestamp};

use super::checker::decides;
use super::{baking, kinds, simple, taken_back};
use cutover_testbed::plan::plan;
use cutover_testbed::world::{Fate, World};

fn secs(secs: i64) -> SignedDuration {
    SignedDuration::from_secs(secs)
}

fn wakes(world: &World) -> Option<SignedDuration> {
    let wake_at = world.controllers[0].last.wake_at;
    wake_at.map(|at| at.duration_since(world.now))
}

fn back() -> WeightPair {
    WeightPair::new(100, 0)
}

/// When entries of this name were journaled.
fn times(world: &World, label: &str) -> Vec<Timestamp> {
    let entries = world.journal.iter();
    let mine = entries.filter(|entry| entry.event.label() == label);
    mine.map(|entry| entry.at).collect()
}

#[test]
fn a_revert_that_was_decided_unread_looks_at_once_and_then_every_two_seconds() {
    let mut world = baking();
    world.tick(10);
    world.turn("errors", AlarmState::Alarm);
    world.pass(1);
    world.round(0);
    assert_eq!(world.phase(), Phase::Reverting);
    assert_eq!(wakes(&world), Some(SignedDuration::from_millis(200)));
    world.round(0);
    assert_eq!(wakes(&world), Some(secs(2)), "its write is under way");
    world.perform(0);
    assert_eq!(world.pair(0), back());
}

#[test]
fn a_refused_revert_is_tried_again_after_1_2_4_seconds_and_every_minute_at_last() {
    let mut world = baking();
    world.fate = Fate::Refused(FailureClass::Throttled);
    world.roll_back(RevertMode::Swap);
    for _ in 0..300 {
        world.pass(1);
        world.round(0);
        world.perform(0);
    }
    let tries = times(&world, "weight_change_failed");
    let apart: Vec<i64> = tries
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).as_secs())
        .collect();
    assert_eq!(apart[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    world.round(0);
    let waits = wakes(&world).expect("it is tried again");
    assert!(waits > SignedDuration::ZERO && waits <= secs(60));
    let blocked = HoldReason::RevertBlocked {
        message: "Throttled".to_owned(),
    };
    assert!(world.because().contains(&blocked), "{:?}", world.because());
}

#[test]
fn what_moved_again_after_it_was_seen_at_the_baseline_has_to_be_seen_there_twice_again() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    while world.count("baseline_seen") == 0 {
        world.tick(1);
    }
    world.others_write(0, 90, 10);
    world.tick(1);
    assert_eq!(world.count("baseline_seen"), 3, "seen, no more, seen again");
    assert_eq!(world.pair(0), back(), "ours, and taken back again");
    while world.phase() == Phase::Reverting {
        world.tick(1);
    }
    let seen = times(&world, "baseline_seen");
    let reverted_at = times(&world, "reverted")[0];
    let last = *seen.last().expect("it was seen");
    assert_eq!(reverted_at.duration_since(last), secs(5));
}

#[test]
fn what_cannot_be_read_is_written_blindly_once_after_ten_seconds() {
    let mut world = baking();
    world.unreadable_since = Some(world.now);
    world.roll_back(RevertMode::Swap);
    world.round(0);
    world.pass(9);
    world.round(0);
    world.perform(0);
    assert_eq!(world.pair(0), WeightPair::new(90, 10));
    let unread = HoldReason::RevertBlocked {
        message: "Route 53 cannot be read".to_owned(),
    };
    assert!(world.because().contains(&unread), "{:?}", world.because());
    world.pass(1);
    let (_, decision) = decides(&mut world);
    let order = decision.order.expect("it is written");
    assert_eq!(order.parts[0].how, How::Upsert);
    world.round(0);
    world.perform(0);
    assert_eq!(world.pair(0), back());
    let writes = world.changes.len();
    world.run_minutes(3);
    assert_eq!(
        world.changes.len(),
        writes,
        "accepted, and not written again"
    );
    assert_eq!(world.phase(), Phase::Reverting);
}

#[test]
fn the_hold_of_a_revert_says_how_many_groups_are_back() {
    let mut world = World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]));
    world.run_to_bake(1);
    world.zone_fates.insert("Z1".into(), Fate::RequestLost);
    world.roll_back(RevertMode::Swap);
    world.tick(1);
    world.tick(1);
    let reverting = HoldReason::Reverting { back: 1, groups: 2 };
    assert!(
        world.because().contains(&reverting),
        "{:?}",
        world.because()
    );
    world.zone_fates.clear();
    world.run_to(Phase::Reverted);
}

#[test]
fn a_late_write_is_looked_for_until_fifteen_minutes_are_over() {
    let mut world = taken_back(Fate::RequestLost);
    let ends_at = world.state().phase_since + SignedDuration::from_mins(15);
    world.pass(ends_at.duration_since(world.now).as_secs());
    world.round(0);
    assert!(world.state().write.is_some());
    world.pass(1);
    world.round(0);
    assert!(world.state().write.is_none());
    assert_eq!(world.count("revert_intended"), 1);
}

#[test]
fn only_exactly_the_late_write_is_reverted_again() {
    let mut world = taken_back(Fate::RequestLost);
    world.others_write(0, 80, 20);
    world.run_minutes(2);
    assert_eq!(world.phase(), Phase::Reverted, "that was somebody else");
    assert_eq!(world.pair(0), WeightPair::new(80, 20));
    world.others_write(0, 90, 10);
    world.groups[0].1[0].ttl = Some(30);
    world.run_minutes(2);
    assert_eq!(world.phase(), Phase::Reverted, "a field of it is another");
    world.groups[0].1[0].ttl = Some(60);
    world.run_minutes(2);
    assert_eq!(world.pair(0), back());
}

#[test]
fn drift_halts_no_revert_while_something_of_ours_may_land_or_is_not_read() {
    let mut world = World::new(plan(&[2], &[(10, 60, false), (100, 60, false)]));
    world.run_to_bake(1);
    world.roll_back(RevertMode::Swap);
    world.round(0);
    world.others_write(1, 50, 50);
    let (mut observation, _) = decides(&mut world);
    observation.groups[0] = GroupReading::NotRead;
    let halts = |events: &[Event]| events.iter().any(|event| event.label() == "halted");
    let decide = |world: &World, observation: &_| {
        cutover_engine::decide::decide(world.state(), &world.fleet, observation, world.now)
    };
    assert!(!halts(&decide(&world, &observation).events));
    world.run_minutes(1);
    assert_eq!(world.phase(), Phase::Halted);
    assert_eq!(world.pair(0), back());
    assert_eq!(kinds(&world), ["halted"]);
}

#[test]
fn drift_halts_no_revert_until_a_lost_write_can_land_no_more() {
    let mut world = World::new(simple());
    world.fate = Fate::RequestLost;
    world.pass(10);
    world.round(0);
    world.perform(0);
    let intended_at = world.now;
    world.fate = Fate::Accepted;
    world.others_write(0, 50, 50);
    world.roll_back(RevertMode::Swap);
    for _ in 0..60 {
        world.tick(1);
        if world.phase() == Phase::Halted {
            break;
        }
    }
    // It may be sent for 15 s, and land for 15 s more.
    assert_eq!(world.now, intended_at + secs(30));
}

#[test]
fn force_begins_a_gentle_revert_anew_and_a_second_force_does_not() {
    let mut world = baking();
    world.fate = Fate::Refused(FailureClass::Throttled);
    world.roll_back(RevertMode::Swap);
    world.tick(1);
    world.roll_back(RevertMode::Swap);
    world.tick(1);
    assert_eq!(world.count("revert_intended"), 1, "it is under way");
    for _ in 0..2 {
        world.roll_back(RevertMode::Force);
        world.tick(1);
        assert_eq!(world.count("revert_intended"), 2);
    }
    let revert = world.state().revert.as_ref().expect("it goes back");
    assert_eq!(revert.mode, RevertMode::Force);
}
