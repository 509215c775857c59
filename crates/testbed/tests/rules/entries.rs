//! What no journal may say, and where no world may end: the invariants over entries and their effects.

use std::collections::BTreeMap;

use cutover_engine::check::Violation;
use cutover_engine::event::{Event, RevertMode, Target};
use cutover_engine::evidence::gate::GateId;
use cutover_engine::hold::{HaltReason, HoldReason};
use cutover_engine::jobs::JobSide;
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::Plan;
use cutover_engine::state::Phase;
use cutover_engine::units::{CutoverName, WeightPair};
use cutover_engine::window::{Windows, Zone};
use jiff::{SignedDuration, Timestamp};

use super::checker::second_step;
use super::objections::violations;
use super::{baking, simple, taken_back, windows};
use cutover_testbed::plan::{alarm, plan, source};
use cutover_testbed::world::{Fate, World};

/// What the checker says of this entry, besides what the fold refuses by itself.
fn says(world: &World, event: Event) -> Vec<String> {
    let broken = violations(world, event);
    let said = broken.iter().map(Violation::to_string);
    said.filter(|said| !said.contains("cannot follow"))
        .collect()
}

/// Two groups of one zone: 10 %, 50 %, 100 %, an hour's bake each.
fn three_steps() -> Plan {
    plan(&[2], &[(10, 60, false), (50, 60, false), (100, 60, false)])
}

/// At the end of the first bake, and the entry that takes step 2.
fn at_step_2(plan: Plan) -> (World, Event) {
    let (world, _, decision) = second_step(World::new(plan));
    let mut events = decision.events.into_iter();
    let intent = events.find(|event| matches!(event, Event::WeightChangeIntended { .. }));
    (world, intent.expect("step 2 is taken"))
}

/// The entry, taking other steps or targets.
fn but(intent: &Event, change: impl FnOnce(&mut u16, &mut Vec<Target>)) -> Event {
    let mut intent = intent.clone();
    if let Event::WeightChangeIntended { step, targets, .. } = &mut intent {
        change(step, targets);
    }
    intent
}

fn amended(world: &World, plan: Plan) -> World {
    let mut world = world.clone();
    let source = Box::new(source(plan));
    world.ask(Event::PlanAmended {
        source,
        reason: None,
    });
    world
}

fn halted() -> Event {
    let message = "denied".to_owned();
    let reason = HaltReason::StepFailed {
        message,
        verified: false,
    };
    Event::Halted { reason }
}

fn rollback() -> Event {
    let mode = RevertMode::Swap;
    Event::RollbackRequested { mode, reason: None }
}

#[test]
fn a_step_is_journaled_only_where_nothing_is_against_it() {
    let (world, intent) = at_step_2(three_steps());
    assert_eq!(says(&world, intent.clone()), [""; 0]);
    for (event, objections) in [
        (
            Event::PauseRequested { reason: None },
            vec!["I1: step 2 was intended during a pause"],
        ),
        (
            rollback(),
            vec!["I4: step 2 was intended after a rollback was requested"],
        ),
        (
            Event::DriftDetected {
                groups: [(0, None)].into(),
                members: BTreeMap::new(),
            },
            vec!["I8: step 2 was intended over a drift"],
        ),
        (
            halted(),
            vec![
                "I1: step 2 was intended while halted",
                "I6: step 2 was intended in a phase that takes no steps",
            ],
        ),
    ] {
        let mut world = world.clone();
        world.ask(event);
        assert_eq!(says(&world, intent.clone()), objections);
    }
}

#[test]
fn a_step_is_journaled_in_its_turn_with_the_plans_weights_and_for_whole_zones() {
    let (world, intent) = at_step_2(three_steps());
    let mut early = World::new(three_steps());
    early.run_to_bake(1);
    let unbaked = "I1: step 2 was intended before the bake of the step before it";
    assert_eq!(says(&early, intent.clone()), [unbaked]);
    let third = but(&intent, |step, targets| {
        *step = 3;
        for target in targets {
            target.to = WeightPair::new(0, 100);
        }
    });
    let unbaked = "I1: step 3 was intended before the bake of the step before it";
    assert_eq!(says(&world, third), [unbaked]);
    let other = but(&intent, |_, targets| {
        for target in targets {
            target.to = WeightPair::new(49, 51);
        }
    });
    let weights = "I1: step 2 was intended with other weights than the plan's";
    assert_eq!(says(&world, other), [weights]);
    let part = but(&intent, |_, targets| drop(targets.pop()));
    let torn = "I9: step 2 was intended for a part of a zone";
    assert_eq!(says(&world, part.clone()), [torn]);
    // What is there already need not be written; what is in another zone is another batch.
    let two_zones = plan(&[1, 1], &[(10, 60, false), (50, 60, false)]);
    let (world, intent) = at_step_2(two_zones);
    let one_zone = but(&intent, |_, targets| drop(targets.pop()));
    assert_eq!(says(&world, one_zone), [""; 0]);
}

#[test]
fn a_step_under_way_goes_on_and_no_other_goes_with_it() {
    let (_, second) = at_step_2(three_steps());
    let mut world = World::new(three_steps());
    world.round(0);
    assert_eq!((world.phase(), world.state().step), (Phase::Shifting, 1));
    let mut night = three_steps();
    night.windows = Some(windows::windows("UTC", &["22:00-23:00"], &[]));
    night.steps[1].approval = true;
    let objections = [
        "I1: step 2 was intended before the bake of the step before it",
        "I1: step 2 was intended without its approval",
        "I1: step 2 was intended outside its window",
    ];
    assert_eq!(says(&amended(&world, night), second), objections);
}

#[test]
fn a_first_step_is_of_all_groups() {
    let world = World::new(three_steps());
    let (_, decision) = super::checker::decides(&mut world.clone());
    let intent = &decision.events[0];
    assert_eq!(says(&world, intent.clone()), [""; 0]);
    let part = but(intent, |_, targets| drop(targets.pop()));
    let torn = "I9: step 1 was intended for a part of a zone";
    assert_eq!(says(&world, part), [torn]);
}

#[test]
fn an_approval_is_of_the_step_as_it_is() {
    let (world, intent) = at_step_2(three_steps());
    let mut asks = three_steps();
    asks.steps[1].approval = true;
    let world = amended(&world, asks);
    let approved = |pair: WeightPair, bake_secs: i64| {
        let mut world = world.clone();
        world.ask(Event::StepApproved {
            step: 2,
            pair,
            bake_secs,
            reason: "looks well".to_owned(),
            caller_arn: None,
        });
        says(&world, intent.clone())
    };
    let unapproved = ["I1: step 2 was intended without its approval"];
    assert_eq!(says(&world, intent.clone()), unapproved);
    let pair = WeightPair::new(50, 50);
    assert_eq!(approved(pair, 3_600), [""; 0]);
    assert_eq!(approved(pair, 1_800), unapproved);
    assert_eq!(approved(WeightPair::new(51, 49), 3_600), unapproved);
}

#[test]
fn a_step_is_journaled_in_its_window_and_with_whole_bake_where_that_stays_open() {
    let instant = Plan {
        settle: Some(SignedDuration::ZERO),
        ..three_steps()
    };
    // So that step 2 is taken as a minute begins.
    let late = at_step_2(instant.clone()).0.now.as_second() % 60;
    let mut world = World::new(instant.clone());
    world.pass(60 - late);
    let (world, _, decision) = second_step(world);
    assert_eq!(world.now.as_second() % 60, 0);
    let intent = &decision.events[0];
    let open = |until_mins: i64, whole_bake: bool| {
        let clock = |at: Timestamp| at.to_string()[11..16].to_owned();
        let until = world.now + SignedDuration::from_mins(until_mins);
        let text = format!("{}-{}", clock(world.now), clock(until));
        let windows = Windows {
            whole_bake,
            ..windows::windows("UTC", &[text.as_str()], &[])
        };
        let plan = Plan {
            windows: Some(windows),
            ..instant.clone()
        };
        says(&amended(&world, plan), intent.clone())
    };
    let outside = ["I1: step 2 was intended outside its window"];
    assert_eq!(open(1, false), [""; 0]);
    assert_eq!(open(-1, false), [""; 0], "all day, but for a minute");
    assert_eq!(open(60, true), [""; 0], "an hour's bake");
    assert_eq!(open(45, true), outside);
    assert_eq!(open(30, true), outside);
    let night = Plan {
        windows: Some(windows::windows("UTC", &["22:00-23:00"], &[])),
        ..instant.clone()
    };
    assert_eq!(says(&amended(&world, night), intent.clone()), outside);
}

/// A world in whose first bake all gates passed for twenty minutes, and for forty less a second after a while.
fn almost_baked() -> World {
    let mut world = World::new(simple());
    world.run_to(Phase::Settling);
    world.pass(90);
    let step = 1;
    world.append("controller", Event::BakeStarted { step });
    world.append("controller", Event::GatesPassed {});
    world.pass(20 * 60);
    let (until, running) = (world.now, false);
    world.pass(10);
    world.append("controller", Event::BakeCounted { until, running });
    world.pass(60 * 60);
    world.append("controller", Event::GatesPassed {});
    world.pass(30 * 60);
    let (until, running) = (world.now, true);
    world.append("controller", Event::BakeCounted { until, running });
    world.pass(10 * 60 - 1);
    world
}

#[test]
fn a_bake_is_over_when_its_whole_time_was_counted() {
    let mut world = almost_baked();
    let over = Event::StepCompleted { step: 1 };
    let short = "I1: step 1 completed after 59m 59s of Some(1h)";
    assert_eq!(says(&world, over.clone()), [short]);
    world.pass(1);
    assert_eq!(says(&world, over.clone()), [""; 0]);
    world.pass(-600);
    let skip = |skipped| Event::BakeSkipDecided { step: 1, skipped };
    world.ask(Event::BakeSkipRequested {
        step: 1,
        reason: "hurry".to_owned(),
    });
    let mut refused = world.clone();
    refused.append("controller", skip(false));
    assert_eq!(says(&refused, over.clone()).len(), 1);
    world.append("controller", skip(true));
    assert_eq!(says(&world, over), [""; 0]);
}

#[test]
fn each_bake_is_counted_from_its_own_beginning() {
    let nothing = "I1: step 2 completed after 0s of Some(1h)";
    let mut counted = almost_baked();
    counted.run_to_bake(2);
    let over = says(&counted, Event::StepCompleted { step: 2 });
    assert_eq!(over, [nothing], "whatever the first one counted");
    let mut world = World::new(three_steps());
    world.run_to_bake(2);
    world.run_minutes(10);
    world.append("controller", halted());
    let retried = |world: &mut World| {
        world.ask(Event::RetryRequested { reason: None });
        says(world, Event::StepCompleted { step: 2 })
    };
    assert_eq!(retried(&mut world), [nothing], "after a halt from zero");
}

#[test]
fn another_attempt_and_whatever_was_halted_bakes_again() {
    let unbaked = ["I1: step 2 was intended before the bake of the step before it"];
    for reverts in [true, false] {
        let (mut world, intent) = at_step_2(simple());
        if reverts {
            world.roll_back(RevertMode::Swap);
            world.run_to(Phase::Reverted);
        } else {
            world.append("controller", halted());
        }
        world.ask(Event::RetryRequested { reason: None });
        world.run_to_bake(1);
        assert_eq!(says(&world, intent), unbaked);
        world.run_to(Phase::Completed);
    }
}

#[test]
fn a_cutover_ends_only_after_its_last_bake_or_whole_revert() {
    let mut last = World::new(simple());
    last.run_to_bake(2);
    let unbaked = "I1: it completed without the last bake";
    assert_eq!(says(&last, Event::Completed { adopted: None }), [unbaked]);
    let cancelled = Event::Reverted { cancelled: true };
    let written = "I10: it was cancelled after a write was intended";
    assert_eq!(says(&last, cancelled.clone()), [written]);
    let waiting = World::new(simple());
    assert_eq!(says(&waiting, cancelled), [""; 0]);
    let reverted = Event::Reverted { cancelled: false };
    let never = "I10: a revert ended that never began";
    assert_eq!(says(&last, reverted), [never]);
}

#[test]
fn a_revert_ends_after_two_reads_five_seconds_apart_with_every_group_back() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    let reverted = || Event::Reverted { cancelled: false };
    while world.pair(0) != WeightPair::new(100, 0) {
        world.round(0);
        world.perform(0);
    }
    let once = "I10: the baseline was read only once";
    assert_eq!(says(&world, reverted()), [once]);
    let at = Some(world.now);
    world.append("controller", Event::BaselineSeen { at });
    world.pass(4);
    let close = "I10: the two confirming reads are less than 5 s apart";
    assert_eq!(says(&world, reverted()), [close]);
    world.pass(1);
    assert_eq!(says(&world, reverted()), [""; 0]);
    let mut astray = world.clone();
    astray.checker.applied(0, WeightPair::new(90, 10));
    let elsewhere = "I10: it has reverted, but group 0 is at 90/10";
    assert_eq!(says(&astray, reverted()), [elsewhere]);
    astray.others_write(0, 90, 10);
    assert_eq!(says(&astray, reverted()), [""; 0], "not by our hand");
}

#[test]
fn a_revert_does_not_end_while_a_write_of_ours_may_still_land() {
    for (fate, may_land) in [
        (Fate::RequestLost, true),
        (
            Fate::Refused(cutover_engine::event::FailureClass::Throttled),
            false,
        ),
    ] {
        let mut world = World::new(simple());
        world.fate = fate;
        let sent_by = world.now + SignedDuration::from_secs(15);
        world.round(0);
        world.perform(0);
        world.roll_back(RevertMode::Swap);
        world.round(0);
        let at = Some(world.now);
        world.append("controller", Event::BaselineSeen { at });
        let early = sent_by + SignedDuration::from_secs(14);
        world.pass(early.duration_since(world.now).as_secs());
        let landing = may_land.then_some("I10: a write of ours may still land");
        let reverted = || Event::Reverted { cancelled: false };
        assert_eq!(says(&world, reverted()), Vec::from_iter(landing));
        world.pass(1);
        assert_eq!(says(&world, reverted()), [""; 0]);
    }
}

#[test]
fn a_write_that_nobody_intended_or_that_sums_to_zero_is_objected_to_where_it_lands() {
    let world = baking();
    let lands = |old: u8, new: u8| -> Vec<String> {
        let broken = world.checker.clone().applied(0, WeightPair::new(old, new));
        broken.iter().map(Violation::to_string).collect()
    };
    assert_eq!(lands(90, 10), [""; 0]);
    assert_eq!(lands(91, 9), [""; 0], "less is no rise");
    let rose = "I1: group 0 rose to 89/11, which this attempt never intended";
    assert_eq!(lands(89, 11), [rose]);
    assert_eq!(lands(0, 0)[0], "I2: group 0 was given 0/0");
}

/// What is said at the end of a world's run.
fn ends(world: &World) -> Vec<String> {
    let broken = world.checker.finished();
    broken.iter().map(Violation::to_string).collect()
}

#[test]
fn a_finished_cutovers_groups_are_where_it_ended_unless_others_moved_them() {
    let mut cancelled = World::new(simple());
    cancelled.checker.applied(0, WeightPair::new(90, 10));
    cancelled.roll_back(RevertMode::Swap);
    cancelled.run_to(Phase::Reverted);
    assert_eq!(ends(&cancelled), [""; 0], "nothing was ever intended");
    let mut completed = World::new(simple());
    completed.run_to(Phase::Completed);
    for (mut world, pair) in [
        (completed, WeightPair::new(1, 99)),
        (taken_back(Fate::Accepted), WeightPair::new(99, 1)),
    ] {
        let phase = world.phase().label();
        assert_eq!(ends(&world), [""; 0]);
        world.checker.applied(0, pair);
        let astray = format!("I10: it has {phase}, but group 0 is at {pair}");
        assert_eq!(ends(&world), [astray]);
        world.checker.changed_by_others(0, pair);
        assert_eq!(ends(&world), [""; 0]);
    }
}

/// Whether a world that holds for this may rest.
fn may_rest(reason: HoldReason) -> bool {
    let mut world = baking();
    let because = vec![reason];
    world.append("controller", Event::StepHeld { because });
    let said = ends(&world);
    assert!(
        said.iter()
            .all(|said| said.starts_with("I12: it is baking"))
    );
    said.is_empty()
}

/// What a world may rest on at `now`: a person, others, or time.
fn rests(now: Timestamp) -> Vec<HoldReason> {
    let on = || CutoverName::from("other");
    let zone = || -> Zone { "UTC".parse().expect("a zone") };
    let shut = |opens_at| HoldReason::WindowShut {
        step: 2,
        opens_at,
        time_zone: zone(),
        whole_bake: false,
    };
    let gate = || GateId::from(&alarm("errors"));
    vec![
        HoldReason::Paused { reason: None },
        HoldReason::Frozen {
            until: None,
            reason: "sale".to_owned(),
        },
        HoldReason::BudgetSpent {
            spent: 1,
            budget: 1,
            since: None,
            reverted: Vec::new(),
            one_cause: false,
        },
        HoldReason::Dependency {
            on: on(),
            phase: Some(Phase::Baking),
            step: 1,
            steps: 2,
            damaged: false,
        },
        HoldReason::FleetFull {
            in_flight: 1,
            max: 1,
        },
        HoldReason::TooFewRequests {
            gate: gate(),
            requests: 1,
            needed: None,
            over_mins: Some(5),
            judged_at: Some(now),
        },
        HoldReason::JobsFiring {
            until: now,
            since: None,
        },
        HoldReason::JobsRunning {
            side: JobSide::Old,
            running: 1,
            jobs: vec!["nightly".to_owned()],
            since: now,
            overdue: false,
        },
        HoldReason::Settling {
            step: 1,
            until: Some(now),
        },
        HoldReason::Baking {
            step: 1,
            until: Some(now),
            counted_secs: 0,
        },
        shut(Some(now)),
        shut(None),
        HoldReason::Approval { step: 2 },
    ]
}

#[test]
fn a_world_rests_only_on_a_person_on_others_or_on_time() {
    let gate = || GateId::from(&alarm("errors"));
    for reason in rests(baking().now) {
        assert!(may_rest(reason.clone()), "{reason:?}");
    }
    for reason in [
        HoldReason::Settling {
            step: 1,
            until: None,
        },
        HoldReason::Baking {
            step: 1,
            until: None,
            counted_secs: 0,
        },
        HoldReason::JobsUnseen {},
        HoldReason::NoData {
            alarm: gate(),
            since: None,
        },
    ] {
        assert!(!may_rest(reason.clone()), "{reason:?}");
    }
    let mut silent = World::new(simple());
    let waits = "I12: it is waiting and waits for nobody: []";
    assert_eq!(ends(&silent), [waits]);
    silent.turn("errors", AlarmState::Alarm);
    silent.tick(10);
    assert_eq!(ends(&silent), [""; 0], "somebody was woken");
    let mut stopped = baking();
    stopped.append("controller", halted());
    stopped.tick(10);
    assert_eq!(ends(&stopped), [""; 0], "that it halted has paged");
}

#[test]
fn a_decision_that_breaks_an_invariant_halts_what_goes_on_and_nothing_else() {
    let violation = |world: &World| {
        let broken = world.checker.clone().applied(0, WeightPair::new(0, 0));
        broken[0].halts(world.state())
    };
    let reason = HaltReason::Invariant {
        message: "I2: group 0 was given 0/0".to_owned(),
    };
    for (phase, halts) in [
        (Phase::Waiting, true),
        (Phase::Settling, true),
        (Phase::Baking, true),
        (Phase::Completed, false),
    ] {
        let mut world = World::new(simple());
        world.run_to(phase);
        let halted = Event::Halted {
            reason: reason.clone(),
        };
        assert_eq!(violation(&world), halts.then_some(halted), "{phase:?}");
    }
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.round(0);
    assert_eq!(violation(&world), None, "nothing may stop a revert");
    let mut world = baking();
    world.append("controller", halted());
    assert_eq!(violation(&world), None, "it is halted already");
}
