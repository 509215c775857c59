//! A step from its intent to the end of its bake, to the second.

use cutover_engine::event::{Envelope, Event, FailureClass};
use cutover_engine::hold::HoldReason;
use cutover_engine::plan::{ApprovalTimeout, HoldOrRevert};
use cutover_engine::state::Phase;
use jiff::{SignedDuration, Timestamp};

use super::checker::decides;
use super::{baking, kinds, simple, windows};
use cutover_testbed::flow::{STEPS, measured, with_traffic};
use cutover_testbed::plan::{alarm, plan};
use cutover_testbed::world::{Fate, World};

fn secs(secs: i64) -> SignedDuration {
    SignedDuration::from_secs(secs)
}

fn wakes(world: &World) -> Option<i64> {
    let wake_at = world.controllers[0].last.wake_at;
    wake_at.map(|at| at.duration_since(world.now).as_secs())
}

fn labels(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::label).collect()
}

/// The hold of the bake: until when, and what is counted.
fn bakes(world: &World) -> Option<(Option<Timestamp>, i64)> {
    world.because().iter().find_map(|reason| match reason {
        HoldReason::Baking {
            until,
            counted_secs,
            ..
        } => Some((*until, *counted_secs)),
        _ => None,
    })
}

/// Two zones, of which the second refuses the first step.
fn half_moved() -> World {
    let mut world = World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]));
    let throttled = Fate::Refused(FailureClass::Throttled);
    world.zone_fates.insert("Z1".into(), throttled);
    world
}

#[test]
fn a_foreign_group_is_drift_from_the_moment_that_the_write_is_given_up() {
    // Somebody changes the group right before step 2 is written.
    let mut world = baking();
    while world.count("weight_change_intended") < 2 {
        world.pass(10);
        world.round(0);
    }
    world.others_write(0, 70, 30);
    world.perform(0);
    let (_, decision) = decides(&mut world);
    let given_up = ["drift_detected", "weight_change_abandoned"];
    assert_eq!(labels(&decision.events), given_up);

    // As step 1 was written in one of two zones: something of ours is there.
    let mut world = half_moved();
    world.pass(10);
    world.round(0);
    world.others_write(1, 70, 30);
    world.perform(0);
    let (_, decision) = decides(&mut world);
    assert_eq!(labels(&decision.events), given_up);

    // In step 1 too, although nothing of ours is there: a write was sent (semantics L1).
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.others_write(0, 70, 30);
    world.perform(0);
    let (_, decision) = decides(&mut world);
    assert_eq!(labels(&decision.events), given_up);

    // What is as it was is no drift.
    let given_up = ["weight_change_abandoned"];
    let mut world = baking();
    world.fate = Fate::Refused(FailureClass::Throttled);
    while world.count("weight_change_intended") < 2 {
        world.pass(10);
        world.round(0);
    }
    world.perform(0);
    let (_, decision) = decides(&mut world);
    assert_eq!(labels(&decision.events), given_up);
}

#[test]
fn a_step_is_not_verified_while_a_group_that_had_moved_before_has_drifted() {
    let mut world = half_moved();
    world.tick(1);
    world.zone_fates.clear();
    while world.count("weight_change_intended") < 2 {
        world.pass(1);
        world.round(0);
    }
    world.others_write(0, 70, 30);
    world.perform(0);
    world.round(0);
    world.run_minutes(2);
    assert_eq!(world.count("weights_verified"), 0);
    assert_eq!(kinds(&world)[0], "drift");
    world.others_write(0, 90, 10);
    world.run_to_bake(1);
}

#[test]
fn whoever_waits_for_a_write_of_another_wakes_when_it_may_be_read_and_when_it_may_be_given_up() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.crash(0);
    world.pass(1);
    world.round(0);
    assert_eq!(wakes(&world), Some(14), "its fifteen seconds are over then");
    world.pass(14);
    world.round(0);
    assert_eq!(wakes(&world), Some(75), "no clock lets it land then");
    // As long as its owner lives, it knows that fifteen seconds suffice.
    let mut world = World::new(simple());
    world.fate = Fate::RequestLost;
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.pass(15);
    world.round(0);
    assert_eq!(wakes(&world), Some(15));
    world.pass(15);
    world.round(0);
    assert_eq!(world.count("weight_change_abandoned"), 1);
}

#[test]
fn a_step_is_taken_back_after_exactly_ten_minutes_and_somebody_wakes_for_it() {
    let mut world = half_moved();
    world.tick(1);
    let began_at = world.state().step_began_at.expect("it began");
    world.zone_fates.clear();
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(1);
    assert_eq!(kinds(&world), ["paused", "shifting"]);
    let over_at = began_at + secs(600);
    assert_eq!(world.controllers[0].last.wake_at, Some(over_at));
    world.pass(over_at.duration_since(world.now).as_secs() - 1);
    world.round(0);
    assert_eq!(world.phase(), Phase::Shifting);
    world.pass(1);
    world.round(0);
    assert_eq!(world.phase(), Phase::Reverting);
}

#[test]
fn a_change_is_looked_for_more_and_more_seldom_and_is_late_after_ten_minutes() {
    let mut world = World::new(simple());
    world.in_sync_after = SignedDuration::from_hours(1);
    world.tick(10);
    let submitted_at = world.now;
    for (age, looks_in) in [(0, 5), (16, 5), (60, 15), (100, 25), (400, 30)] {
        world.now = submitted_at + secs(age);
        world.round(0);
        assert_eq!(wakes(&world), Some(looks_in), "after {age} s");
    }
    let late = |world: &World| kinds(world).contains(&"in_sync_late".to_owned());
    for (age, is_late) in [(599, false), (600, true)] {
        world.now = submitted_at + secs(age);
        world.round(0);
        assert_eq!(late(&world), is_late, "after {age} s");
    }
}

#[test]
fn a_change_that_was_never_named_is_asked_for_every_half_minute_and_late_after_ten() {
    let mut world = World::new(simple());
    world.fate = Fate::ReplyLost;
    world.tick(10);
    world.fate = Fate::Refused(FailureClass::Throttled);
    let verified_at = world.now;
    let mut asked: Vec<i64> = Vec::new();
    while world.now < verified_at + secs(599) {
        let before = world.count("change_lost");
        world.tick(1);
        if world.count("change_lost") > before {
            asked.push(world.now.duration_since(verified_at).as_secs());
        }
        let late = kinds(&world).contains(&"in_sync_late".to_owned());
        assert!(!late, "{}", world.story());
    }
    let apart: Vec<i64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.iter().all(|apart| *apart == 30), "{asked:?}");
    world.tick(1);
    assert!(kinds(&world).contains(&"in_sync_late".to_owned()));
}

#[test]
fn drift_holds_what_settles_and_its_end_does_not_wake_anybody() {
    let mut world = World::new(simple());
    world.run_to(Phase::Settling);
    world.others_write(0, 70, 30);
    world.run_minutes(5);
    assert_eq!((world.phase(), wakes(&world)), (Phase::Settling, None));
    assert!(kinds(&world).contains(&"settling".to_owned()));
    world.others_write(0, 90, 10);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Baking);
}

#[test]
fn a_bake_says_when_it_ends_and_what_it_has_counted() {
    let mut world = baking();
    let ends_at = world.now + SignedDuration::from_mins(60);
    world.run_minutes(20);
    assert_eq!(bakes(&world), Some((Some(ends_at), 20 * 60)));
    assert_eq!(world.controllers[0].last.wake_at, Some(ends_at));
    world.cloudwatch_down = true;
    world.run_minutes(15);
    assert_eq!(bakes(&world), Some((None, 20 * 60)), "it stands still");
    world.cloudwatch_down = false;
    world.tick(10);
    let ends_at = world.now + SignedDuration::from_mins(40);
    assert_eq!(bakes(&world), Some((Some(ends_at), 20 * 60)));
}

#[test]
fn a_long_bake_is_written_down_every_hour() {
    let mut world = World::new(plan(&[1], &[(10, 180, false), (100, 60, false)]));
    world.run_to_bake(1);
    let began_at = world.now;
    for (hour, after) in [(1, 3_600), (2, 7_200)] {
        world.now = began_at + secs(after - 1);
        world.round(0);
        assert_eq!(world.count("bake_counted"), hour - 1);
        world.pass(1);
        world.round(0);
        assert_eq!(world.count("bake_counted"), hour);
        assert_eq!(world.state().bake.counted, secs(after));
        assert_eq!(world.state().bake.running_since, Some(world.now));
    }
}

#[test]
fn a_skip_that_was_asked_for_another_step_skips_nothing() {
    let mut world = baking();
    world.ask(Event::BakeSkipRequested {
        step: 2,
        reason: String::new(),
    });
    world.tick(10);
    assert_eq!(world.count("bake_skip_decided"), 1);
    assert_eq!(world.state().skip_requested, None);
    assert!(!world.state().bake.over);
}

#[test]
fn whoever_waits_for_a_window_and_an_approval_wakes_for_what_comes_first() {
    for (hours, first) in [(2, "2026-03-02T12:01:40Z"), (48, "2026-03-03T01:00:00Z")] {
        let mut asks = plan(&[1], &[(10, 60, false), (100, 60, true)]);
        asks.windows = Some(windows::windows(
            "Asia/Tokyo",
            &["Mon-Fri 10:00-18:30"],
            &[],
        ));
        asks.steps[1].approval_timeout = Some(ApprovalTimeout {
            after: SignedDuration::from_hours(hours),
            on_timeout: HoldOrRevert::Hold,
        });
        let mut world = World::new(asks);
        world.pass(8 * 3600);
        world.run_to_bake(1);
        world.run_minutes(61);
        assert_eq!(kinds(&world), ["approval", "window_shut"]);
        let asked_at = world.state().approval_asked.map(|(_, at)| at);
        assert_eq!(
            asked_at,
            Some("2026-03-02T10:01:40Z".parse().expect("a time"))
        );
        let first = first.parse().expect("a time");
        assert_eq!(world.controllers[0].last.wake_at, Some(first));
    }
}

#[test]
fn what_is_decided_by_counts_is_journaled_with_them_once() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    world.run_to(Phase::Completed);
    let entries: Vec<(&str, &Envelope)> = world
        .journal
        .iter()
        .map(|entry| (entry.event.label(), entry))
        .collect();
    for decided in ["step_completed", "completed"] {
        let with_counts = |pair: &[(&str, &Envelope)]| {
            pair[1].0 == decided && pair[0].0 == "evidence_counted" && pair[0].1.at == pair[1].1.at
        };
        let with_counts = entries.windows(2).filter(|pair| with_counts(pair)).count();
        assert_eq!(with_counts, world.count(decided), "{decided}");
    }
    for pair in entries.windows(2) {
        let twice = pair.iter().all(|(label, _)| *label == "evidence_counted");
        assert!(!twice || pair[0].1.at < pair[1].1.at, "{}", world.story());
    }
}

#[test]
fn a_gate_that_is_unknown_wakes_somebody_when_that_lasts_too_long() {
    let mut world = baking();
    world.missing.insert(alarm("errors"));
    world.tick(10);
    assert_eq!(wakes(&world), Some(30 * 60));
    world.pass(30 * 60);
    world.round(0);
    assert_eq!(wakes(&world), None);
}
