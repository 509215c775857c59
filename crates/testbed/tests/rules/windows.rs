//! semantics I and I4: a step is taken in its window, and nothing else asks for it; approvals that do not come.

use std::sync::Arc;

use cutover_engine::decide::decide;
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::fleet::Fleet;
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::observation::{AlarmState, GroupReading};
use cutover_engine::plan::{ApprovalTimeout, HoldOrRevert, Plan};
use cutover_engine::state::Phase;
use cutover_engine::units::WeightPair;
use cutover_engine::window::Windows;
use jiff::{SignedDuration, Timestamp};

use super::{cause, kinds};
use cutover_testbed::plan::{plan, source};
use cutover_testbed::world::{Fate, World};

pub(super) fn windows(zone: &str, allow: &[&str], deny: &[&str]) -> Windows {
    let entries = |texts: &[&str]| {
        let entries = texts.iter().map(|text| text.parse());
        entries.collect::<Result<_, _>>().expect("entries")
    };
    Windows {
        time_zone: zone.parse().expect("a time zone"),
        allow: entries(allow),
        deny: entries(deny),
        whole_bake: false,
    }
}

/// Steps of 10 % and 100 % with an hour's bake each, taken in Tokyo's office hours. The world begins on a Monday at
/// 10:00 in Tokyo.
fn office() -> Plan {
    Plan {
        windows: Some(windows("Asia/Tokyo", &["Mon-Fri 10:00-17:00"], &[])),
        ..plan(&[1], &[(10, 60, false), (100, 60, false)])
    }
}

/// A world that begins at another time.
fn world_at(plan: Plan, at: &str) -> World {
    let mut world = World::new(plan);
    let at: Timestamp = at.parse().expect("a timestamp");
    world.pass(at.duration_since(world.now).as_secs());
    world
}

/// Days of quiet, a minute a tick.
fn days_to(world: &mut World, phase: Phase) {
    for _ in 0..10_000 {
        if world.phase() == phase {
            return;
        }
        world.tick(60);
    }
    panic!("never {}\n{}", phase.label(), world.story());
}

fn opens_at(world: &World) -> Option<Timestamp> {
    let mut because = world.because().iter();
    because
        .find_map(|reason| match reason {
            HoldReason::WindowShut { opens_at, .. } => Some(*opens_at),
            _ => None,
        })
        .expect("the window is shut")
}

/// To the minute: the world ticks.
fn minute(at: Timestamp) -> Timestamp {
    at - SignedDuration::from_secs(at.as_second() % 60)
}

fn taken(world: &World) -> Vec<Timestamp> {
    let intents = world.journal.iter();
    intents
        .filter(|entry| entry.event.label() == "weight_change_intended")
        .map(|entry| entry.at)
        .collect()
}

#[test]
fn the_first_step_waits_for_its_window_and_is_taken_when_it_opens() {
    let mut world = world_at(office(), "2026-03-06T08:00:00Z");
    world.run_minutes(30);
    assert_eq!(world.phase(), Phase::Waiting);
    assert_eq!(kinds(&world), ["window_shut"]);
    let monday: Timestamp = "2026-03-09T01:00:00Z".parse().expect("a timestamp");
    assert_eq!(opens_at(&world), Some(monday));
    assert_eq!(world.controllers[0].last.wake_at, Some(monday));
    assert!(world.state().pages.is_empty(), "nobody is woken for it");
    let entries = world.journal.len();
    world.run_minutes(30);
    assert_eq!(world.journal.len(), entries, "and it is said once");
    world.pass(monday.duration_since(world.now).as_secs());
    world.tick(0);
    assert_eq!(taken(&world), [monday]);
}

#[test]
fn a_bake_runs_through_the_night_and_the_next_step_waits_for_the_morning() {
    let mut world = world_at(office(), "2026-03-02T07:30:00Z");
    world.run_to_bake(1);
    world.run_minutes(90);
    assert!(world.state().bake.over, "the clock runs outside the window");
    assert_eq!(kinds(&world), ["window_shut"]);
    days_to(&mut world, Phase::Completed);
    let morning: Timestamp = "2026-03-03T01:00:00Z".parse().expect("a timestamp");
    assert_eq!(minute(taken(&world)[1]), morning);
}

#[test]
fn a_red_gate_and_a_person_revert_outside_the_window() {
    for person in [false, true] {
        let mut world = world_at(office(), "2026-03-02T07:30:00Z");
        world.run_to_bake(1);
        world.run_minutes(120);
        assert_eq!(kinds(&world), ["window_shut"]);
        if person {
            world.roll_back(RevertMode::Swap);
        } else {
            world.turn("errors", AlarmState::Alarm);
        }
        world.tick(10);
        assert_eq!(world.phase(), Phase::Reverting);
        world.run_minutes(1);
        assert_eq!(world.phase(), Phase::Reverted);
        assert_eq!(world.pair(0), WeightPair::new(100, 0));
    }
}

#[test]
fn a_step_that_was_given_up_at_the_close_is_decided_afresh_and_waits() {
    let mut world = world_at(office(), "2026-03-02T07:59:50Z");
    world.fate = Fate::RequestLost;
    world.round(0);
    world.perform(0);
    assert_eq!(
        taken(&world).len(),
        1,
        "intended ten seconds before the close"
    );
    // While it may be sent it is sent again, in vain.
    world.run_minutes(1);
    world.fate = Fate::Accepted;
    world.run_minutes(9);
    assert_eq!(world.count("weight_change_abandoned"), 1);
    assert_eq!(taken(&world).len(), 1);
    assert_eq!(kinds(&world), ["window_shut"]);
    days_to(&mut world, Phase::Baking);
    assert_eq!(taken(&world).len(), 2);
}

#[test]
fn a_step_that_moved_in_one_zone_before_the_close_is_finished_in_the_other() {
    let plan = Plan {
        windows: office().windows,
        ..plan(&[1, 1], &[(10, 60, false), (100, 60, false)])
    };
    let mut world = world_at(plan, "2026-03-02T07:59:50Z");
    let refused = Fate::Refused(cutover_engine::event::FailureClass::Throttled);
    world.zone_fates.insert("Z1".into(), refused);
    world.tick(0);
    world.zone_fates.clear();
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Baking);
    assert_eq!(world.pair(1), WeightPair::new(90, 10));
}

#[test]
fn a_window_that_never_opens_again_pages_and_an_amend_lets_it_go_on() {
    let mut spring = office();
    spring.windows = Some(windows("Asia/Tokyo", &["2026-03-02"], &[]));
    let mut world = world_at(spring, "2026-03-02T14:00:00Z");
    world.run_to_bake(1);
    world.run_minutes(120);
    assert_eq!(opens_at(&world), None);
    assert_eq!(world.state().pages.len(), 1, "it needs a person");
    let amended = source(office());
    world.file = cutover_engine::observation::FileReading::Plan(Arc::new(amended.clone()));
    world.ask(Event::PlanAmended {
        source: Box::new(amended),
        reason: None,
    });
    world.run_minutes(1);
    assert!(opens_at(&world).is_some());
    days_to(&mut world, Phase::Completed);
}

#[test]
fn with_whole_bake_a_step_is_taken_only_if_the_window_outlasts_its_bake() {
    let mut watched = office();
    watched.windows = watched.windows.map(|windows| Windows {
        whole_bake: true,
        ..windows
    });
    // An hour of bake and a minute to settle end after 17:00.
    let mut world = world_at(watched, "2026-03-02T06:59:10Z");
    world.run_minutes(30);
    assert_eq!(taken(&world), []);
    days_to(&mut world, Phase::Completed);
    let late = taken(&world);
    assert_eq!(
        minute(late[0]),
        "2026-03-03T01:00:00Z".parse().expect("a timestamp")
    );
    assert_eq!(late.len(), 2);
}

#[test]
fn while_a_start_waits_for_its_window_groups_are_read_once_a_minute_and_what_is_wrong_stays_said() {
    let mut world = world_at(office(), "2026-03-02T09:00:00Z");
    world.others_write(0, 0, 0);
    world.run_minutes(1);
    let entries = world.journal.len();
    world.run_minutes(30);
    assert_eq!(kinds(&world), ["preflight", "window_shut"]);
    assert_eq!(world.journal.len(), entries, "it does not come and go");
    world.others_write(0, 100, 0);
    world.run_minutes(2);
    assert_eq!(kinds(&world), ["window_shut"]);
}

#[test]
fn when_the_window_opens_what_is_wrong_stays_said_until_the_groups_are_read_again() {
    let mut world = world_at(office(), "2026-03-02T09:00:00Z");
    world.others_write(0, 0, 0);
    world.run_minutes(1);
    let mut observation = world.observe(0);
    observation.groups.fill(GroupReading::NotRead);
    let opens_at = opens_at(&world).expect("it opens on the next day");
    let decision = decide(world.state(), &Fleet::default(), &observation, opens_at);
    let known = |reason: &HoldReason| matches!(reason, HoldReason::Preflight { .. });
    assert!(decision.because.iter().any(known), "{decision:?}");
}

/// The second step needs an approval within two hours.
fn asking(on_timeout: HoldOrRevert) -> World {
    let mut plan = plan(&[1], &[(10, 60, false), (100, 60, true)]);
    plan.steps[1].approval_timeout = Some(ApprovalTimeout {
        after: SignedDuration::from_hours(2),
        on_timeout,
    });
    let mut world = World::new(plan);
    world.run_to_bake(1);
    world.run_minutes(61);
    assert_eq!(kinds(&world), ["approval"]);
    world
}

#[test]
fn an_approval_that_does_not_come_pages_again_and_can_still_be_given() {
    let mut world = asking(HoldOrRevert::Hold);
    assert_eq!(world.state().pages.len(), 1);
    world.run_minutes(125);
    assert_eq!(kinds(&world), ["approval_overdue"]);
    assert_eq!(world.state().pages.len(), 2);
    world.run_minutes(600);
    assert_eq!(world.state().pages.len(), 2, "twice is enough");
    world.approve(2);
    days_to(&mut world, Phase::Completed);
}

#[test]
fn an_approval_that_does_not_come_takes_everything_back_where_the_plan_says_so() {
    let mut world = asking(HoldOrRevert::Revert);
    let (step, since) = world.state().approval_asked.expect("it was asked for");
    assert_eq!(
        world.controllers[0].last.wake_at,
        world.state().approval_ends_at(2)
    );
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(118);
    assert_eq!(world.phase(), Phase::Baking);
    world.crash(0);
    world.run_minutes(5);
    assert_eq!(cause(&world), RevertCause::ApprovalTimeout { step, since });
    world.run_to(Phase::Reverted);
}

#[test]
fn an_approval_in_time_ends_the_term_and_an_amend_begins_it_anew() {
    let mut world = asking(HoldOrRevert::Revert);
    world.run_minutes(100);
    let again = source(world.state().plan().clone());
    world.ask(Event::PlanAmended {
        source: Box::new(again),
        reason: None,
    });
    world.run_minutes(100);
    assert_eq!(kinds(&world), ["approval"]);
    world.approve(2);
    world.run_minutes(300);
    assert_eq!(world.phase(), Phase::Completed);
}

#[test]
fn a_term_that_ends_over_a_red_fallback_or_a_drift_holds() {
    let mut world = asking(HoldOrRevert::Revert);
    world.turn("fallback", AlarmState::Alarm);
    world.run_minutes(150);
    assert_eq!(world.phase(), Phase::Baking);
    assert_eq!(kinds(&world), ["fallback_red", "approval_overdue"]);
    world.others_write(0, 70, 30);
    world.run_minutes(2);
    world.turn("fallback", AlarmState::Ok);
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Baking);
    world.others_write(0, 90, 10);
    world.run_to(Phase::Reverted);
}

#[test]
fn an_approval_is_asked_for_while_the_window_is_shut_and_given_ahead_of_it() {
    let mut plan = office();
    plan.steps[1].approval = true;
    let mut world = world_at(plan, "2026-03-02T07:30:00Z");
    world.run_to_bake(1);
    world.run_minutes(70);
    assert_eq!(kinds(&world), ["approval", "window_shut"]);
    world.approve(2);
    world.run_minutes(1);
    assert_eq!(kinds(&world), ["window_shut"]);
    days_to(&mut world, Phase::Completed);
}
