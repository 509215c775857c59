//! semantics A: writing, and the late write.

use cutover_engine::event::{Event, FailureClass, RevertMode};
use cutover_engine::hold::RevertCause;
use cutover_engine::observation::AlarmState;
use cutover_engine::state::Phase;
use cutover_engine::units::{WeightPair, ZoneId};
use jiff::SignedDuration;

use super::{baking, cause, kinds, simple, taken_back};
use cutover_testbed::plan::plan;
use cutover_testbed::world::{Fate, World};

fn pair(old: u8, new: u8) -> WeightPair {
    WeightPair::new(old, new)
}

fn two_zones() -> World {
    World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]))
}

#[test]
fn a_quiet_cutover_goes_to_the_end_and_is_then_quiet() {
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    assert_eq!(world.pair(0), pair(0, 100));
    let entries = world.journal.len();
    world.run_minutes(60);
    assert_eq!(world.journal.len(), entries);
    world.assert_folds();
}

#[test]
fn a_lost_reply_is_read_back_and_gets_a_change_to_await() {
    let mut world = World::new(simple());
    world.fate = Fate::ReplyLost;
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Accepted;
    world.run_to_bake(1);
    assert_eq!(world.count("change_lost"), 1);
    assert_eq!(world.count("weight_change_intended"), 1);
}

#[test]
fn a_lost_intent_is_given_up_once_no_clock_lets_it_land_and_decided_afresh() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    let intended_at = world.now;
    world.crash(0);
    // 15 s to send it, 15 s for it to land, and the 60 s by which its owner's clock may be off unnoticed.
    world.pass(89);
    world.round(0);
    assert_eq!(world.phase(), Phase::Shifting);
    world.pass(1);
    world.round(0);
    assert_eq!(world.count("weight_change_abandoned"), 1);
    assert_eq!(world.now, intended_at + SignedDuration::from_secs(90));
    world.run_to_bake(1);
    assert_eq!(world.count("weight_change_intended"), 2);
}

#[test]
fn a_controller_with_a_wrong_clock_does_not_give_up_what_another_is_about_to_send() {
    for ahead in [40, 3_600, 6 * 86_400] {
        let mut world = World::new(simple());
        world.start_controller();
        world.pass(10);
        world.round(0);
        world.pass(ahead);
        world.skew = Some(SignedDuration::from_secs(-ahead));
        world.round(1);
        assert_eq!(world.count("weight_change_abandoned"), 0, "{ahead} s ahead");
        assert_eq!(world.count("revert_intended"), 0, "{ahead} s ahead");
    }
}

#[test]
fn a_wrong_clock_gives_up_a_lost_intent_when_the_time_has_come_by_the_clock_of_aws() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.crash(0);
    world.pass(3_600);
    world.skew = Some(SignedDuration::from_secs(90 - 3_600));
    world.round(0);
    assert_eq!(world.count("weight_change_abandoned"), 1);
}

#[test]
fn a_controller_that_comes_back_after_an_hour_finds_its_write_verified() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.crash(0);
    world.pass(3600);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Settling);
}

#[test]
fn a_controller_that_died_before_sending_takes_the_step_an_hour_later() {
    let mut world = baking();
    world.run_minutes(59);
    while world.phase() == Phase::Baking {
        world.pass(10);
        world.round(0);
    }
    world.crash(0);
    world.pass(3600);
    world.run_to(Phase::Completed);
    assert_eq!(world.count("revert_intended"), 0);
}

#[test]
fn a_revert_waits_for_a_lost_intent_until_its_deadline_and_fifteen_seconds() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    let deadline = world.now + SignedDuration::from_secs(15);
    world.crash(0);
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    let reverted_at = world.state().phase_since;
    assert!(reverted_at >= deadline + SignedDuration::from_secs(15));
    assert!(reverted_at <= deadline + SignedDuration::from_secs(25));
}

#[test]
fn a_write_that_lands_during_the_revert_is_taken_back_before_it_ends() {
    let world = taken_back(Fate::Late(14));
    assert_eq!(world.pair(0), pair(100, 0));
}

#[test]
fn with_nothing_unresolved_the_confirming_reads_are_five_seconds_apart() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    while world.count("baseline_seen") == 0 {
        world.tick(1);
    }
    let seen_at = world.now;
    while world.phase() == Phase::Reverting {
        world.tick(1);
    }
    assert_eq!(world.now, seen_at + SignedDuration::from_secs(5));
}

#[test]
fn a_write_that_lands_after_the_revert_is_reverted_again_for_fifteen_minutes() {
    for (landing_secs, again) in [(10 * 60, true), (17 * 60, false)] {
        let mut world = taken_back(Fate::Late(landing_secs));
        world.run_minutes(20);
        assert_eq!(world.phase(), Phase::Reverted);
        assert_eq!(world.count("reverted"), if again { 2 } else { 1 });
        if again {
            assert_eq!(cause(&world), RevertCause::LateWrite {});
            assert_eq!(world.pair(0), pair(100, 0));
        }
    }
}

#[test]
fn a_write_that_nobody_looks_for_any_more_leaves_the_way_free_for_a_retry() {
    let mut world = taken_back(Fate::RequestLost);
    assert!(world.state().write.is_some());
    world.run_minutes(16);
    assert!(world.state().write.is_none());
}

#[test]
fn an_answered_write_is_resolved_by_the_revert() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.roll_back(RevertMode::Swap);
    world.perform(0);
    world.run_to(Phase::Reverted);
    assert!(
        world.state().write.is_none(),
        "it was not sent, and that is known"
    );
}

#[test]
fn an_intent_is_not_sent_once_the_journal_has_moved_on() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.ask(Event::PauseRequested { reason: None });
    world.perform(0);
    world.run_minutes(5);
    assert_eq!(world.pair(0), pair(100, 0));
    assert_eq!(world.phase(), Phase::Waiting);
}

#[test]
fn a_refused_step_is_tried_every_ten_seconds_and_taken_back_after_ten_minutes() {
    let mut world = baking();
    world.run_minutes(59);
    world.fate = Fate::Refused(FailureClass::Throttled);
    while world.count("weight_change_intended") < 2 {
        world.tick(1);
    }
    for _ in 0..9 * 60 {
        world.tick(1);
    }
    let tries = world.count("weight_change_intended");
    assert!((50..=60).contains(&tries), "{tries} tries");
    world.fate = Fate::Accepted;
    world.tick(10);
    world.run_to(Phase::Completed);

    let mut world = baking();
    world.fate = Fate::Refused(FailureClass::Throttled);
    world.run_minutes(75);
    world.fate = Fate::Accepted;
    world.run_to(Phase::Reverted);
    assert!(matches!(cause(&world), RevertCause::StepFailed { .. }));
}

#[test]
fn a_denied_step_is_taken_back_at_once() {
    let mut world = two_zones();
    let zone = ZoneId::from("Z1");
    world
        .zone_fates
        .insert(zone, Fate::Refused(FailureClass::Denied));
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverting);
    assert!(matches!(cause(&world), RevertCause::StepFailed { .. }));
    world.zone_fates.clear();
    world.run_to(Phase::Reverted);
    assert_eq!((world.pair(0), world.pair(1)), (pair(100, 0), pair(100, 0)));
}

#[test]
fn of_two_zones_half_moved_the_rest_follows_or_all_is_taken_back() {
    let zone = ZoneId::from("Z1");
    let mut world = two_zones();
    let throttled = Fate::Refused(FailureClass::Throttled);
    world.zone_fates.insert(zone.clone(), throttled);
    world.run_minutes(1);
    assert_eq!((world.pair(0), world.pair(1)), (pair(90, 10), pair(100, 0)));
    assert_eq!(world.phase(), Phase::Shifting);
    let mut stuck = world.clone();

    world.zone_fates.clear();
    world.run_to_bake(1);
    assert_eq!(world.pair(1), pair(90, 10));

    stuck.run_minutes(10);
    assert_eq!(stuck.phase(), Phase::Reverted);
    assert_eq!((stuck.pair(0), stuck.pair(1)), (pair(100, 0), pair(100, 0)));
}

#[test]
fn a_change_that_route_53_lost_is_written_again_unchanged() {
    let mut world = World::new(simple());
    world.tick(10);
    let lost = world.changes.keys().cloned();
    world.lost_changes.extend(lost);
    world.run_to_bake(1);
    assert_eq!(world.count("change_lost"), 1);
    assert_eq!(world.count("weight_change_submitted"), 2);
}

#[test]
fn a_resubmission_over_two_zones_takes_both_zones_changes() {
    let mut world = two_zones();
    world.fate = Fate::ReplyLost;
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Accepted;
    world.run_to_bake(1);
    assert_eq!(world.count("change_lost"), 1);
    assert_eq!(world.state().changes.len(), 2);
}

#[test]
fn a_refused_resubmission_is_not_hammered_and_pages_after_ten_minutes() {
    let mut world = World::new(simple());
    world.fate = Fate::ReplyLost;
    world.tick(10);
    world.fate = Fate::Refused(FailureClass::Denied);
    for _ in 0..600 {
        world.tick(1);
    }
    assert!(world.count("change_lost") <= 21, "at most every 30 s");
    world.run_minutes(1);
    assert!(kinds(&world).contains(&"in_sync_late".to_owned()));
    assert!(world.state().pages.len() == 1);
}

#[test]
fn a_late_insync_pages_and_waits_on() {
    let mut world = World::new(simple());
    world.in_sync_after = SignedDuration::from_mins(20);
    world.run_minutes(15);
    assert!(kinds(&world).contains(&"in_sync_late".to_owned()));
    assert_eq!(world.state().pages.len(), 1);
    world.run_to_bake(1);
}

#[test]
fn unreadable_groups_are_reverted_blindly_after_ten_seconds() {
    let mut world = baking();
    world.unreadable_since = Some(world.now + SignedDuration::from_secs(1));
    world.roll_back(RevertMode::Swap);
    world.tick(6);
    assert_eq!(world.pair(0), pair(90, 10));
    assert!(kinds(&world).contains(&"revert_blocked".to_owned()));
    world.tick(6);
    assert_eq!(world.pair(0), pair(100, 0));
    assert_eq!(
        world.phase(),
        Phase::Reverting,
        "it ends only when it was read"
    );
    world.unreadable_since = None;
    world.run_to(Phase::Reverted);
}

#[test]
fn a_revert_that_is_refused_stays_reverting_backs_off_and_pages() {
    let mut world = baking();
    world.fate = Fate::Refused(FailureClass::Denied);
    world.roll_back(RevertMode::Swap);
    for _ in 0..3600 {
        world.tick(1);
    }
    assert_eq!(world.phase(), Phase::Reverting);
    assert!(kinds(&world).contains(&"revert_blocked".to_owned()));
    let failures = world.count("weight_change_failed");
    assert!((60..80).contains(&failures), "{failures} tries in an hour");
    world.fate = Fate::Accepted;
    world.run_to(Phase::Reverted);
}

#[test]
fn a_connection_that_breaks_before_the_effect_costs_a_step_seconds() {
    let mut world = World::new(simple());
    world.fate = Fate::RequestLost;
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Accepted;
    let lost_at = world.now;
    while world.phase() != Phase::Settling {
        world.tick(1);
    }
    assert!(world.now <= lost_at + SignedDuration::from_secs(5));
    assert_eq!(
        world.count("weight_change_intended"),
        1,
        "it is the same write"
    );
    world.run_to(Phase::Completed);
}

#[test]
fn a_write_that_is_lost_again_and_again_is_sent_a_few_times_within_its_term() {
    let mut world = World::new(simple());
    world.fate = Fate::RequestLost;
    world.pass(10);
    world.round(0);
    world.perform(0);
    for _ in 0..29 {
        world.tick(1);
    }
    assert_eq!(world.phase(), Phase::Shifting);
    // At once, and 1, 2, 4 and 8 seconds after the try before it.
    assert_eq!(world.count("weight_change_failed"), 4);
    world.tick(2);
    assert_eq!(world.count("weight_change_abandoned"), 1);
}

#[test]
fn only_the_owner_sends_a_lost_write_again_and_never_over_what_somebody_wrote_or_while_something_holds()
 {
    let lost = || {
        let mut world = World::new(simple());
        world.start_controller();
        world.fate = Fate::RequestLost;
        world.pass(10);
        world.round(0);
        world.perform(0);
        world.fate = Fate::Accepted;
        world.pass(2);
        world
    };
    let mut other = lost();
    other.round(1);
    other.perform(1);
    assert_eq!(other.changes.len(), 0);
    let mut overwritten = lost();
    overwritten.others_write(0, 70, 30);
    overwritten.tick(1);
    assert_eq!(overwritten.changes.len(), 0);
    let mut paused = lost();
    paused.ask(Event::PauseRequested { reason: None });
    paused.tick(1);
    assert_eq!(paused.changes.len(), 0);
    let mut red = lost();
    red.turn("errors", AlarmState::Alarm);
    red.run_to(Phase::Reverted);
    assert_eq!(red.changes.len(), 0);
}

#[test]
fn a_write_that_was_lost_and_then_refused_may_still_land() {
    let mut world = World::new(simple());
    world.fate = Fate::Late(25);
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.fate = Fate::Refused(FailureClass::Throttled);
    for _ in 0..10 {
        world.tick(1);
    }
    assert_eq!(world.count("weight_change_abandoned"), 0);
    world.fate = Fate::Accepted;
    world.run_to(Phase::Completed);
}

#[test]
fn a_revert_that_fails_in_transport_is_tried_every_five_seconds_for_ten_minutes() {
    let mut world = baking();
    world.fate = Fate::RequestLost;
    world.roll_back(RevertMode::Swap);
    let (mut tries, mut last) = (0, world.now);
    for second in 0..1200 {
        world.tick(1);
        if world.count("weight_change_failed") > tries {
            let apart = world.now.duration_since(last).as_secs();
            let most = if second < 600 { 5 } else { 61 };
            assert!(apart <= most, "{apart} s apart after {second} s");
            (tries, last) = (world.count("weight_change_failed"), world.now);
        }
    }
    assert!((150..180).contains(&tries), "{tries} tries");
    world.fate = Fate::Accepted;
    world.run_to(Phase::Reverted);
}

#[test]
fn two_controllers_revert_and_end_where_one_does() {
    let mut world = baking();
    world.start_controller();
    world.roll_back(RevertMode::Swap);
    world.round(0);
    world.round(1);
    world.perform(0);
    world.perform(1);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), pair(100, 0));
}
