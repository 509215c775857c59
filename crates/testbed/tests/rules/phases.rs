//! semantics E and H: phases, people, plans that change.

use std::sync::Arc;

use cutover_engine::event::{Event, FailureClass, RevertMode};
use cutover_engine::hold::{HaltReason, HoldReason, RevertCause};
use cutover_engine::observation::{AlarmState, FileReading};
use cutover_engine::plan::Plan;
use cutover_engine::state::Phase;
use cutover_engine::units::{WeightPair, ZoneId};
use cutover_engine::{commands, fold};
use jiff::SignedDuration;

use super::{baking, called_off, halt, kinds, simple};
use cutover_testbed::plan::{alarm, plan, source};
use cutover_testbed::world::{Fate, World};

fn amended(world: &mut World, plan: Plan) {
    let source = source(plan);
    world.file = FileReading::Plan(Arc::new(source.clone()));
    world.ask(Event::PlanAmended {
        source: Box::new(source),
        reason: None,
    });
}

#[test]
fn a_pause_lets_a_sent_change_be_verified_and_a_revert_go_on() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.perform(0);
    world.ask(Event::PauseRequested { reason: None });
    world.run_to_bake(1);
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
}

#[test]
fn a_rollback_before_the_first_write_cancels_without_one() {
    let world = called_off();
    assert!(world.changes.is_empty());
}

#[test]
fn a_completed_cutover_can_be_taken_back() {
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), WeightPair::new(100, 0));
}

#[test]
fn a_rollback_asked_of_a_reverted_cutover_starts_nothing_and_ends_with_the_attempt() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    world.roll_back(RevertMode::Force);
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Reverted);
    world.ask(Event::RetryRequested { reason: None });
    world.run_to_bake(1);
    assert_eq!(world.state().attempt, 2);
}

#[test]
fn a_step_waits_for_its_approval_and_pages_once() {
    let mut world = World::new(plan(&[1], &[(10, 60, false), (100, 60, true)]));
    world.run_to_bake(1);
    world.run_minutes(300);
    assert_eq!(kinds(&world), ["approval"]);
    assert_eq!(world.state().pages.len(), 1);
    world.approve(2);
    world.run_to(Phase::Completed);
}

#[test]
fn an_amend_of_the_step_voids_its_approval() {
    let mut world = World::new(plan(&[1], &[(10, 60, false), (100, 60, true)]));
    world.run_to_bake(1);
    world.approve(2);
    amended(&mut world, plan(&[1], &[(10, 60, false), (100, 90, true)]));
    world.run_minutes(70);
    assert_eq!(kinds(&world), ["approval"]);
    assert_eq!(world.state().step, 1);
}

#[test]
fn what_moved_in_one_zone_is_finished_in_all_though_an_amend_asks_for_its_approval_now() {
    let mut world = World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]));
    let throttled = Fate::Refused(FailureClass::Throttled);
    world.zone_fates.insert(ZoneId::from("Z1"), throttled);
    world.run_minutes(1);
    amended(
        &mut world,
        plan(&[1, 1], &[(10, 60, true), (100, 60, false)]),
    );
    world.zone_fates.clear();
    world.run_to_bake(1);
    assert_eq!(world.pair(1), world.pair(0));
}

#[test]
fn a_new_attempt_voids_approvals() {
    let mut world = World::new(plan(&[1], &[(10, 60, true), (100, 60, false)]));
    world.approve(1);
    world.run_to_bake(1);
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    world.ask(Event::RetryRequested { reason: None });
    world.run_minutes(5);
    assert_eq!(kinds(&world), ["approval"]);
}

#[test]
fn a_retry_from_halted_bakes_the_last_verified_step_from_zero() {
    let mut world = baking();
    world.run_minutes(40);
    world.turn("fallback", AlarmState::Alarm);
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    world.turn("errors", AlarmState::Ok);
    world.turn("fallback", AlarmState::Ok);
    world.run_minutes(5);
    world.ask(Event::RetryRequested { reason: None });
    let asked_at = world.now;
    world.run_to_bake(1);
    world.run_minutes(59);
    assert_eq!(world.count("step_completed"), 0);
    world.run_to_bake(2);
    assert!(world.now.duration_since(asked_at) >= SignedDuration::from_mins(60));
}

#[test]
fn a_retry_with_a_write_under_way_settles_it_before_anything_else() {
    for fate in [Fate::RequestLost, Fate::Accepted, Fate::Late(20)] {
        let mut world = baking();
        world.turn("fallback", AlarmState::Ok);
        world.run_minutes(59);
        while world.phase() == Phase::Baking {
            world.pass(10);
            world.round(0);
        }
        world.fate = fate;
        world.perform(0);
        world.fate = Fate::Accepted;
        world.turn("fallback", AlarmState::Alarm);
        world.turn("errors", AlarmState::Alarm);
        world.pass(1);
        world.round(0);
        assert!(matches!(halt(&world), Some(HaltReason::BothRed { .. })));
        world.turn("errors", AlarmState::Ok);
        world.turn("fallback", AlarmState::Ok);
        world.ask(Event::RetryRequested { reason: None });
        world.run_to(Phase::Completed);
    }
}

#[test]
fn a_step_that_failed_into_a_red_fallback_halts_and_reverts_when_a_gate_fails_later() {
    let mut world = baking();
    world.run_minutes(59);
    while world.phase() == Phase::Baking {
        world.pass(10);
        world.round(0);
    }
    world.fate = Fate::Refused(FailureClass::Denied);
    world.perform(0);
    world.fate = Fate::Accepted;
    world.turn("fallback", AlarmState::Alarm);
    world.tick(10);
    assert!(matches!(halt(&world), Some(HaltReason::StepFailed { .. })));
    world.turn("fallback", AlarmState::Ok);
    world.run_minutes(30);
    assert_eq!(world.phase(), Phase::Halted, "a person decides");
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn an_invariant_that_halted_keeps_the_gates_armed() {
    let mut world = baking();
    world.append(
        "controller",
        Event::Halted {
            reason: HaltReason::Invariant {
                message: "I1".to_owned(),
            },
        },
    );
    world.run_minutes(90);
    assert_eq!(world.phase(), Phase::Halted);
    world.others_write(0, 80, 20);
    world.run_minutes(2);
    world.others_write(0, 90, 10);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn an_unjournaled_revert_is_legal_in_every_phase_with_a_baseline() {
    let unjournaled = |world: &World| Event::RevertPerformedUnjournaled {
        write_id: "memory".into(),
        cause: RevertCause::AlarmRed {
            alarm: alarm("errors"),
        },
        decided_at: world.now,
    };
    for phase in [
        Phase::Shifting,
        Phase::Settling,
        Phase::Baking,
        Phase::Completed,
        Phase::Reverting,
        Phase::Reverted,
    ] {
        let mut world = World::new(simple());
        match phase {
            Phase::Shifting => {
                world.pass(10);
                world.round(0);
            }
            Phase::Reverting | Phase::Reverted => {
                world.run_to(Phase::Baking);
                world.roll_back(RevertMode::Swap);
                world.run_to(phase);
            }
            _ => world.run_to(phase),
        }
        let event = unjournaled(&world);
        world.append("controller", event);
        world.run_to(Phase::Reverted);
    }
}

#[test]
fn replies_that_come_late_fold_in_every_phase() {
    let mut world = baking();
    let replies: Vec<Event> = world
        .journal
        .iter()
        .filter(|entry| entry.event.label() == "weight_change_submitted")
        .map(|entry| entry.event.clone())
        .collect();
    for phase in [
        Phase::Baking,
        Phase::Completed,
        Phase::Reverted,
        Phase::Waiting,
    ] {
        match phase {
            Phase::Reverted => {
                world.roll_back(RevertMode::Swap);
                world.run_to(phase);
            }
            Phase::Waiting => {
                world.ask(Event::PauseRequested { reason: None });
                world.ask(Event::RetryRequested { reason: None });
            }
            _ => world.run_to(phase),
        }
        let before = (world.phase(), world.state().write.clone());
        for reply in &replies {
            world.append("controller", reply.clone());
        }
        assert_eq!((world.phase(), world.state().write.clone()), before);
    }
    world.assert_folds();
}

#[test]
fn before_the_first_write_the_file_is_the_plan_and_afterwards_only_amend_takes_it() {
    let mut world = World::new(plan(&[1], &[(10, 60, true), (100, 60, false)]));
    world.tick(10);
    world.file = FileReading::Plan(Arc::new(source(simple())));
    world.run_to_bake(1);
    assert_eq!(world.state().plan(), &simple());
    world.file = FileReading::Plan(Arc::new(source(plan(
        &[1],
        &[(10, 5, false), (100, 5, false)],
    ))));
    world.run_minutes(90);
    assert_eq!(kinds(&world), ["plan_changed"]);
    assert_eq!(world.state().step, 1);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn other_records_after_a_revert_are_held_with_a_way_out_that_leads_out() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    let mut edited = simple();
    edited.records[0].old = "eks-2".to_owned();
    world.file = FileReading::Plan(Arc::new(source(edited.clone())));
    world.ask(Event::RetryRequested { reason: None });
    world.run_minutes(5);
    let state = world.state().clone();
    let path = state.source.path.clone();
    let records = true;
    // `amend` would be refused, and the hold says why.
    let world_refused = commands::amend(&state, &source(edited.clone()), None)
        .err()
        .map(|refused| refused.to_string());
    assert!(world_refused.is_some());
    assert_eq!(
        state.held,
        [HoldReason::PlanChanged {
            path,
            records,
            refused: world_refused,
        }]
    );
    let refused = commands::amend(&state, &source(edited), None).unwrap_err();
    let words = refused.to_string();
    let end = format!("`cutover rollback {}`", state.name);
    assert!(words.contains("put the old ones back"), "{words}");
    assert!(
        words.contains(&end) && words.contains("another `name`"),
        "{words}"
    );
    let mut put_back = world;
    put_back.file = FileReading::Plan(Arc::new(source(simple())));
    put_back.run_to_bake(1);
    put_back.roll_back(RevertMode::Swap);
    put_back.run_to(Phase::Reverted);
}

#[test]
fn a_file_at_another_place_is_no_news() {
    let mut world = World::new(simple());
    let mut elsewhere = source(simple());
    elsewhere.path = "/srv/plans/api.yaml".to_owned();
    world.file = FileReading::Plan(Arc::new(elsewhere));
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(5);
    assert_eq!(world.count("plan_accepted"), 1);
}

#[test]
fn a_removed_file_advances_nothing_and_disarms_nothing() {
    let mut world = baking();
    world.file = FileReading::Removed;
    world.run_minutes(90);
    assert_eq!(kinds(&world), ["plan_unreadable"]);
    assert_eq!(world.state().pages.len(), 1);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn killed_after_any_entry_it_ends_in_the_same_place() {
    let mut whole = World::new(plan(&[1, 1], &[(10, 10, false), (100, 10, false)]));
    whole.run_to(Phase::Completed);
    for length in 1..=whole.journal.len() {
        let prefix = &whole.journal[..length];
        let state = fold::fold(prefix)
            .expect("every prefix folds")
            .expect("it has a plan");
        assert_eq!(state.seq, u64::try_from(length).expect("a short journal"));
    }
    // A controller that dies in every round, before or after it has performed.
    let mut world = World::new(plan(&[1, 1], &[(10, 10, false), (100, 10, false)]));
    for turn in 0..2_000 {
        world.pass(7);
        world.round(0);
        if turn % 3 > 0 {
            world.perform(0);
        }
        world.crash(0);
        if world.phase() == Phase::Completed {
            break;
        }
    }
    assert_eq!(world.phase(), Phase::Completed);
    assert_eq!(world.pair(1), whole.pair(1));
}
