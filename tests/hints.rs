//! semantics L8 and L9: ways out that work, ended names, and hints that hold what they promise.

use cutover::engine::commands::{
    NotApplicable, RollbackNeed, abandon, adopt_drift, ignore_alarm, retry, rollback, skip_bake,
};
use cutover::engine::decide::name_used;
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::hold::{HaltReason, HoldReason};
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::record::RecordSet;
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{Weight, WeightPair};
use cutover::report::holds::hold;

use cutover::engine::plan::Plan;
use cutover_testbed::plan::plan;
use cutover_testbed::world::World;

/// One group, steps of 10 % and 100 % with an hour's bake each.
fn simple() -> Plan {
    plan(&[1], &[(10, 60, false), (100, 60, false)])
}

/// A world in which step 1 bakes.
fn baking() -> World {
    let mut world = World::new(simple());
    world.run_to_bake(1);
    world
}

fn halt(world: &World) -> Option<HaltReason> {
    world.state().halt.clone()
}

fn kinds(world: &World) -> Vec<&'static str> {
    world.because().iter().map(HoldReason::kind).collect()
}

/// A world in its last bake, whose members lead to two places.
fn last_bake() -> World {
    let mut world = World::new(simple());
    for member in &mut world.groups[0].1 {
        if member.set_identifier == "eks" {
            member.values = vec!["192.0.2.4".to_owned()];
        }
    }
    world.run_to_bake(2);
    world
}

fn old_deleted(world: &mut World) {
    world.groups[0].1.retain(|it| it.set_identifier != "eks");
}

/// The group is one record without weights that leads where a member led.
fn made_simple(world: &mut World, like: &str) {
    let mut members = world.groups[0].1.iter();
    let kept = members.find(|it| it.set_identifier == like);
    let kept = kept.expect("a member").clone();
    world.groups[0].1 = vec![RecordSet {
        set_identifier: String::new(),
        weight: Weight(0),
        unsupported: vec!["simple".to_owned()],
        ..kept
    }];
}

fn abandoned(mut world: World) -> World {
    let event = abandon(world.state(), "terraform owns it").expect("it applies");
    world.ask(event);
    world
}

#[test]
fn an_abandoned_cutover_writes_nothing_more_and_pages() {
    let mut world = abandoned(baking());
    let writes = world.changes.len();
    assert_eq!(world.phase(), Phase::Abandoned);
    let last = world.journal.last().expect("an entry");
    assert!(matches!(last.event, Event::Abandoned { .. }), "{last:?}");
    assert!(world.state().pages.contains(&last.seq));
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(30);
    assert_eq!(world.changes.len(), writes);
    assert_eq!(world.pair(0), WeightPair::new(90, 10));
    assert_eq!(world.phase(), Phase::Abandoned);
}

#[test]
fn every_unfinished_phase_is_abandoned_and_none_that_is_over() {
    let halted = || {
        let mut halted = baking();
        halted.others_write(0, 50, 50);
        halted.roll_back(RevertMode::Swap);
        halted.run_to(Phase::Halted);
        halted
    };
    let starts: [fn() -> World; 4] = [|| World::new(simple()), baking, last_bake, halted];
    for start in starts {
        let mut world = start();
        world.tick(10);
        let over = abandoned(world);
        assert_eq!(over.phase(), Phase::Abandoned);
        assert!(abandon(over.state(), "again").is_err());
        assert!(retry(over.state(), None).is_err());
        assert!(rollback(over.state(), RevertMode::Force, true, None).is_err());
    }
}

#[test]
fn what_is_abandoned_says_what_is_left_where() {
    let Ok(Event::Abandoned { left, .. }) = abandon(baking().state(), "x") else {
        panic!("it applies");
    };
    assert_eq!(left.len(), 1);
    let waiting = World::new(simple());
    let mut waiting = waiting;
    waiting.tick(10);
    if let Ok(Event::Abandoned { left, .. }) = abandon(waiting.state(), "x")
        && !waiting.state().has_started()
    {
        assert!(left.is_empty());
    }
}

#[test]
fn in_the_last_step_a_group_without_its_old_member_completes_without_a_way_back() {
    let mut world = last_bake();
    old_deleted(&mut world);
    world.run_minutes(2);
    assert_eq!(kinds(&world)[0], "drift");
    let event = adopt_drift(world.state(), "terraform destroy").expect("it completes");
    assert!(matches!(event, Event::Completed { adopted: Some(_) }));
    world.ask(event);
    world.run_minutes(2);
    assert_eq!(world.phase(), Phase::Completed);
    assert!(world.state().baseline.is_none());
    assert!(rollback(world.state(), RevertMode::Force, true, None).is_err());
}

#[test]
fn in_the_last_step_a_simple_record_of_the_new_side_completes_and_one_of_the_old_side_does_not() {
    for (like, completes) in [("ecs", true), ("eks", false)] {
        let mut world = last_bake();
        made_simple(&mut world, like);
        world.run_minutes(2);
        assert_eq!(adopt_drift(world.state(), "x").is_ok(), completes, "{like}");
    }
}

#[test]
fn before_the_last_step_a_member_that_is_gone_is_not_adopted() {
    let mut world = baking();
    old_deleted(&mut world);
    world.run_minutes(2);
    let refused = adopt_drift(world.state(), "x").expect_err("it is not the last step");
    assert!(refused.0.contains("abandon"), "{refused}");
}

#[test]
fn force_over_a_simple_record_ends_with_an_answer() {
    let mut world = World::new(plan(&[1], &[(50, 60, false), (100, 60, false)]));
    world.run_to_bake(1);
    made_simple(&mut world, "ecs");
    world.roll_back(RevertMode::Force);
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Halted);
    let Some(HaltReason::Drift { found, .. }) = halt(&world) else {
        panic!("{:?}", halt(&world));
    };
    assert!(!found[0].yields_to_force());
    let line = hold(&world.because()[0], &world.state().name, world.now);
    assert!(line.contains("simple record"), "{line}");
    assert!(line.contains("cutover abandon"), "{line}");
}

#[test]
fn force_creates_a_member_again_that_is_gone_and_says_where_the_traffic_goes() {
    let mut world = last_bake();
    old_deleted(&mut world);
    world.run_minutes(2);
    let line = hold(&world.because()[0], &world.state().name, world.now);
    assert!(line.contains("then goes to"), "{line}");
    world.roll_back(RevertMode::Force);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), WeightPair::new(100, 0));
}

#[test]
fn drift_says_what_was_expected_and_what_is_there() {
    let mut world = baking();
    world.others_write(0, 50, 50);
    world.run_minutes(2);
    let line = hold(&world.because()[0], &world.state().name, world.now);
    assert!(
        line.contains("expected 90/10 (old/new), found 50/50"),
        "{line}"
    );
}

#[test]
fn a_red_gate_of_a_started_cutover_does_not_say_that_it_has_not_started() {
    let mut world = baking();
    world.others_write(0, 50, 50);
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(2);
    assert_eq!(kinds(&world), ["halted", "alarm_red"]);
    let line = hold(&world.because()[1], &world.state().name, world.now);
    assert!(
        !line.contains("not started") && !line.contains("ignore-alarm"),
        "{line}"
    );
}

#[test]
fn a_bake_is_not_skipped_while_its_clock_stands() {
    let mut world = baking();
    world.run_minutes(2);
    assert!(skip_bake(world.state(), "x").is_ok());
    world.others_write(0, 95, 5);
    world.run_minutes(2);
    assert!(skip_bake(world.state(), "x").is_err());
}

#[test]
fn the_name_of_an_ended_cutover_is_not_taken_by_another_plan() {
    let world = abandoned(baking());
    let state = world.state();
    let same = FileReading::Plan(state.source.clone().into());
    assert_eq!(name_used(state, &same), None);
    let mut other = state.source.clone();
    other.digest = "another".to_owned();
    let other = FileReading::Plan(other.into());
    assert!(matches!(
        name_used(state, &other),
        Some(HoldReason::NameUsed {
            phase: Phase::Abandoned,
            ..
        })
    ));
    assert_eq!(name_used(baking().state(), &other), None, "it is under way");
}

/// The commands that a line proposes, without `cutover`.
fn proposed(line: &str) -> Vec<Vec<&str>> {
    let quoted = line.split('`').skip(1).step_by(2);
    let commands = quoted.filter_map(|text| text.strip_prefix("cutover "));
    commands.map(|text| text.split(' ').collect()).collect()
}

/// Whether a command that a line proposes applies in this state.
fn applies(state: &State, words: &[&str]) -> Result<(), NotApplicable> {
    let forced = words.contains(&"--force");
    let mode = if forced {
        RevertMode::Force
    } else {
        RevertMode::Swap
    };
    match words[0] {
        "abandon" => abandon(state, "x").map(drop),
        "adopt-drift" => adopt_drift(state, "x").map(drop),
        "retry" => retry(state, None).map(drop),
        "rollback" => match rollback(state, mode, false, None)? {
            // Of what has ended the records are read.
            RollbackNeed::Ended | RollbackNeed::Request(_) | RollbackNeed::UnderWay => Ok(()),
        },
        "resume" => cutover::engine::commands::resume(state, None).map(drop),
        "ignore-alarm" => {
            let alarm = &state.plan().gates.alarms[0].id;
            ignore_alarm(state, alarm, "x").map(drop)
        }
        "status" | "check" | "history" | "amend" | "approve" => Ok(()),
        other => panic!("`{other}` is not in this table"),
    }
}

#[test]
fn no_hint_proposes_a_command_that_would_be_refused() {
    type Meddle = fn(&mut World);
    let meddles: [(&str, Meddle); 7] = [
        ("nothing", |_| {}),
        ("more to the new side", |world| {
            world.others_write(0, 50, 50);
        }),
        ("less to the new side", |world| world.others_write(0, 99, 1)),
        ("no weights", |world| world.others_write(0, 0, 0)),
        ("old deleted", old_deleted),
        ("new deleted", |world| {
            world.groups[0].1.retain(|it| it.set_identifier != "ecs");
        }),
        ("made simple", |world| made_simple(world, "ecs")),
    ];
    let starts: [fn() -> World; 3] = [|| World::new(simple()), baking, last_bake];
    let mut asked = 0;
    for start in starts {
        for (what, meddle) in meddles {
            for red in [false, true] {
                for back in [None, Some(RevertMode::Swap), Some(RevertMode::Force)] {
                    for paused in [false, true] {
                        let mut world = start();
                        meddle(&mut world);
                        if paused && back.is_none() {
                            world.ask(Event::PauseRequested { reason: None });
                        }
                        if red {
                            world.turn("errors", AlarmState::Alarm);
                        }
                        if let Some(mode) = back {
                            world.roll_back(mode);
                        }
                        world.run_minutes(2);
                        let state = world.state().clone();
                        for reason in world.because() {
                            let line = hold(reason, &state.name, world.now);
                            for words in proposed(&line) {
                                asked += 1;
                                let answer = applies(&state, &words);
                                let phase = state.phase.label();
                                assert_eq!(answer, Ok(()), "{phase}, {what}: {words:?} of: {line}");
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(asked > 100, "{asked}");
}
