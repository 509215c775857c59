//! The checker of the invariants objects to decisions that the engine would not make; and what is easily lost in the
//! engine because little depends on it.

use cutover_engine::check::{self, Invariant};
use cutover_engine::decide::{self, Decision, How};
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::hold::{HaltReason, HoldReason};
use cutover_engine::observation::{AlarmState, GroupReading, Observation};
use cutover_engine::plan::AwsSettings;
use cutover_engine::state::Phase;
use cutover_engine::units::{AlarmId, WeightPair};
use jiff::SignedDuration;

use super::{baking, kinds, simple, taken_back};
use cutover_testbed::plan::{alarm, plan, role};
use cutover_testbed::world::{Fate, World};

/// What the first controller sees and decides now.
pub(super) fn decides(world: &mut World) -> (Observation, Decision) {
    let observation = world.observe(0);
    let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
    (observation, decision)
}

/// Which invariant a decision would break.
fn breaks(world: &World, observation: &Observation, decision: &Decision) -> Option<Invariant> {
    let judged = check::decision(
        world.state(),
        &world.fleet,
        observation,
        decision,
        world.now,
    );
    judged.err().map(|violation| violation.invariant)
}

/// The decision that takes step 2, made at the end of the bake of step 1, and what was seen for it.
pub(super) fn second_step(mut world: World) -> (World, Observation, Decision) {
    world.run_to_bake(1);
    loop {
        world.pass(10);
        let mut observation = world.observe(0);
        loop {
            let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
            if decision.takes_a_step() {
                return (world, observation, decision);
            }
            if decision.events.is_empty() {
                break;
            }
            for event in decision.events {
                world.append("controller", event);
            }
            observation.passed_at = Some(world.now);
        }
        world.round(0);
    }
}

#[test]
fn a_step_that_leaves_out_a_group_of_its_zone_is_objected_to() {
    let two = plan(&[2], &[(10, 60, false), (100, 60, false)]);
    let (world, observation, mut decision) = second_step(World::new(two));
    assert_eq!(breaks(&world, &observation, &decision), None);
    for event in &mut decision.events {
        if let Event::WeightChangeIntended { targets, .. } = event {
            targets.pop();
        }
    }
    let broken = breaks(&world, &observation, &decision);
    assert_eq!(broken, Some(Invariant::I9));
}

#[test]
fn weights_that_sum_to_zero_are_objected_to() {
    let (world, observation, mut decision) = second_step(World::new(simple()));
    let order = decision.order.as_mut().expect("a step is written");
    order.parts[0].to = WeightPair::new(0, 0);
    let broken = breaks(&world, &observation, &decision);
    assert_eq!(broken, Some(Invariant::I2));
}

#[test]
fn an_upsert_in_a_step_is_objected_to() {
    let (world, observation, mut decision) = second_step(World::new(simple()));
    let order = decision.order.as_mut().expect("a step is written");
    order.parts[0].how = How::Upsert;
    let broken = breaks(&world, &observation, &decision);
    assert_eq!(broken, Some(Invariant::I8));
}

#[test]
fn halting_for_a_red_gate_is_objected_to_unless_it_burns_on_both_sides() {
    for (fallback, allowed) in [(AlarmState::Ok, false), (AlarmState::Alarm, true)] {
        let mut world = baking();
        world.turn("fallback", fallback);
        world.turn("errors", AlarmState::Alarm);
        let (observation, _) = decides(&mut world);
        let halt = Decision {
            events: vec![Event::Halted {
                reason: HaltReason::BothRed {
                    gate: (&alarm("errors")).into(),
                    fallback: (&alarm("fallback")).into(),
                },
            }],
            ..Decision::default()
        };
        let broken = breaks(&world, &observation, &halt);
        assert_eq!(broken, (!allowed).then_some(Invariant::I3));
    }
}

#[test]
fn a_hold_of_a_step_under_way_says_what_it_was_refused_for_and_nothing_before() {
    let mut world = World::new(simple());
    world.fate = Fate::RequestLost;
    world.pass(10);
    world.round(0);
    let words = |world: &World| -> Vec<Option<String>> {
        let message = |reason: &HoldReason| match reason {
            HoldReason::Shifting { message, .. } => Some(message.clone()),
            _ => None,
        };
        world.because().iter().filter_map(message).collect()
    };
    assert_eq!(words(&world), [None]);
    world.perform(0);
    world.round(0);
    assert_eq!(words(&world), [Some("Transient".to_owned())]);
}

#[test]
fn groups_are_wanted_once_a_minute_in_a_bake_and_never_after_the_end() {
    let mut world = baking();
    let (observation, _) = decides(&mut world);
    let mut observation = Observation {
        groups_read_at: Some(world.now),
        ..observation
    };
    let wants = |world: &World, observation: &Observation, secs: i64| {
        let now = world.now + SignedDuration::from_secs(secs);
        decide::wants_groups(world.state(), &world.fleet, observation, now)
    };
    assert!(!wants(&world, &observation, 59));
    assert!(wants(&world, &observation, 60));
    world.run_to(Phase::Completed);
    observation.groups_read_at = None;
    assert!(!wants(&world, &observation, 60));
}

#[test]
fn whoever_looks_for_a_late_write_wakes_when_it_need_not_be_looked_for_any_more() {
    let mut world = taken_back(Fate::RequestLost);
    let ends_at = world.state().phase_since + SignedDuration::from_mins(15);
    let (_, decision) = decides(&mut world);
    assert_eq!(decision.wake_at, Some(ends_at));
}

#[test]
fn a_clock_may_be_a_second_behind_the_journal_and_no_more() {
    let mut world = baking();
    world.pass(3);
    world.ask(Event::PauseRequested { reason: None });
    world.ask(Event::ResumeRequested { reason: None });
    world.pass(-1);
    world.round(0);
    assert!(!kinds(&world).contains(&"clock".to_owned()));
    world.pass(-1);
    world.round(0);
    assert!(kinds(&world).contains(&"clock".to_owned()));
}

#[test]
fn force_is_written_unseen_at_once_and_anything_else_only_after_ten_seconds() {
    for (mode, at_once) in [(RevertMode::Force, true), (RevertMode::Swap, false)] {
        let mut world = baking();
        world.unreadable_since = Some(world.now);
        world.roll_back(mode);
        world.round(0);
        world.perform(0);
        let back = WeightPair::new(100, 0);
        assert_eq!(world.pair(0) == back, at_once, "{mode:?}");
        world.pass(10);
        world.round(0);
        world.perform(0);
        assert_eq!(world.pair(0), back, "{mode:?}");
    }
}

#[test]
fn force_overwrites_what_is_ours_too_and_a_plain_revert_compares() {
    for (mode, how) in [
        (RevertMode::Force, How::Upsert),
        (RevertMode::Swap, How::Swap),
    ] {
        let mut world = baking();
        world.roll_back(mode);
        let (mut observation, decision) = decides(&mut world);
        for event in decision.events {
            world.append("controller", event);
        }
        let group = |(zone, members): &(_, Vec<_>)| GroupReading::Read {
            zone: Clone::clone(zone),
            members: members.clone(),
            at: world.now,
        };
        observation.groups = world.groups.iter().map(group).collect();
        let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
        let order = decision.order.expect("it goes back");
        assert_eq!(order.parts[0].how, how, "{mode:?}");
    }
}

#[test]
fn whose_credentials_a_plan_uses_is_journaled_where_they_are_not_the_environments() {
    for role_arn in [None, Some("arn:aws:iam::111111111111:role/cutover")] {
        let mut plan = simple();
        plan.aws = AwsSettings {
            account: role_arn.map(role).unwrap_or_default(),
            others: std::collections::BTreeMap::new(),
            ..AwsSettings::default()
        };
        let text = serde_json::to_string(&plan).expect("a plan is JSON");
        assert_eq!(text.contains("account"), role_arn.is_some());
        let back = serde_json::from_str(&text).expect("a plan can be read back");
        assert_eq!(plan, back);
    }
}

#[test]
fn an_alarm_elsewhere_is_shown_with_its_region() {
    let here = alarm("errors");
    let there = AlarmId {
        region: Some("us-east-1".to_owned()),
        ..here.clone()
    };
    assert_eq!(here.to_string(), "errors");
    assert_eq!(there.to_string(), "errors (us-east-1)");
}
