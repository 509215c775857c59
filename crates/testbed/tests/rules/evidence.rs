//! Gates of metrics: what they hold, what they take back, and what a restart must not forget.

use cutover_engine::event::Event;
use cutover_engine::evidence::plan::Measures;
use cutover_engine::hold::{HaltReason, HoldReason, RevertCause};
use cutover_engine::plan::HoldOrRevert;
use cutover_engine::state::Phase;
use jiff::SignedDuration;

use super::{cause, halt, kinds};
use cutover_testbed::flow::{
    STEPS, error_rate, flow, measured, measures, with_metric, with_regression, with_traffic,
    with_trend,
};
use cutover_testbed::world::World;

/// What the last revert was explained with.
fn seen(world: &World) -> cutover_engine::evidence::gate::Attribution {
    let mut entries = world.journal.iter().rev();
    let seen = entries.find_map(|entry| match &entry.event {
        Event::RevertIntended { seen, .. } => seen.clone(),
        _ => None,
    });
    *seen.expect("a revert that was explained")
}

#[test]
fn a_healthy_service_passes_all_gates_to_the_end() {
    let mut world = World::new(measured(&STEPS, measures()));
    world.run_to(Phase::Completed);
    assert_eq!(world.count("revert_intended"), 0);
    world.assert_folds();
}

#[test]
fn a_metric_beyond_its_bound_takes_the_traffic_back_and_says_all_that_was_seen() {
    let mut world = World::new(measured(
        &STEPS,
        Measures {
            regression: None,
            ..measures()
        },
    ));
    world.run_to_bake(1);
    world.run_minutes(30);
    flow(&mut world, |flow| flow.failing[0] = 500);
    world.run_to(Phase::Reverted);
    let RevertCause::MeasureBeyond { gate, beyond } = cause(&world) else {
        panic!("{:?}", cause(&world));
    };
    assert_eq!(gate.name, "error_rate");
    assert_eq!((beyond.points, beyond.of), (3, 5));
    assert_eq!(beyond.value.to_string(), "5");
    let seen = seen(&world);
    assert_eq!(
        (seen.step, seen.intended.as_percent().to_string()),
        (1, "10".to_owned())
    );
    assert_eq!(
        seen.observed.map(|share| share.to_string()),
        Some("10".to_owned())
    );
    assert_eq!(seen.old_too, Some(false));
    assert_eq!(
        seen.readings[0].after.map(|rate| rate.to_string()),
        Some("5".to_owned())
    );
}

#[test]
fn two_bad_minutes_of_five_are_no_reason() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.run_to_bake(1);
    for _ in 0..5 {
        flow(&mut world, |flow| flow.failing[0] = 500);
        world.run_minutes(2);
        flow(&mut world, |_| {});
        world.run_minutes(5);
    }
    assert_eq!(world.count("revert_intended"), 0);
    assert_eq!(world.phase(), Phase::Baking);
}

#[test]
fn what_is_as_bad_on_the_old_side_halts_and_reverts_once_the_old_side_is_well() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.run_to_bake(1);
    flow(&mut world, |flow| flow.failing = [500, 600]);
    world.run_minutes(10);
    let Some(HaltReason::BothRed { gate, fallback }) = halt(&world) else {
        panic!("{:?}", halt(&world));
    };
    assert_eq!(gate, fallback);
    flow(&mut world, |flow| flow.failing = [500, 0]);
    world.run_to(Phase::Reverted);
}

#[test]
fn both_red_revert_takes_it_back_all_the_same() {
    let mut plan = measured(&STEPS, with_metric(error_rate(1)));
    plan.gates.both_red = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.run_to_bake(1);
    flow(&mut world, |flow| flow.failing = [500, 600]);
    world.run_to(Phase::Reverted);
    assert_eq!(seen(&world).old_too, Some(true));
}

#[test]
fn a_series_that_cannot_be_read_is_unknown_with_its_reason() {
    let mut plan = measured(&STEPS, with_metric(error_rate(1)));
    plan.gates.on_unknown = HoldOrRevert::Revert;
    let mut world = World::new(plan);
    world.flows.down = Some("Forbidden: no permission".to_owned());
    world.run_minutes(3);
    assert_eq!(kinds(&world), ["unknown"], "the start is held");
    world.flows.down = None;
    world.run_to_bake(1);
    world.flows.down = Some("StatusCode InternalError".to_owned());
    world.run_minutes(3);
    let told = |reason: &HoldReason| matches!(reason, HoldReason::Unknown { message, .. } if message.contains("InternalError"));
    assert!(world.because().iter().any(told), "{:?}", world.because());
    assert_eq!(world.count("gate_unknown"), 1);
    // As with alarms: after `unknown_for`, what the plan says.
    world.run_to(Phase::Reverted);
    assert!(matches!(cause(&world), RevertCause::UnknownTooLong { .. }));
}

#[test]
fn errors_that_are_not_told_are_none_where_requests_were_and_nothing_is_judged_where_none_were() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.flows.sparse = true;
    flow(&mut world, |flow| flow.failing = [0, 0]);
    world.run_to_bake(1);
    world.run_minutes(10);
    assert_eq!(kinds(&world), ["baking"]);
    let counted = world.state().bake.counted_at(world.now);
    assert!(counted > SignedDuration::from_mins(5));
    flow(&mut world, |flow| flow.requests = 0);
    world.run_minutes(60);
    assert_eq!(kinds(&world), ["too_few_requests", "baking"]);
    // The clock stands, and nothing goes back.
    let before = world.state().bake.clone();
    world.run_minutes(120);
    assert_eq!(world.state().bake, before);
    assert_eq!(world.phase(), Phase::Baking);
}

#[test]
fn a_bake_does_not_count_before_enough_came() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.requests = 10);
    world.run_to_bake(1);
    world.run_minutes(90);
    assert_eq!(kinds(&world), ["too_few_requests", "baking"]);
    assert!(world.state().bake.counted.is_zero());
    // One request a minute on the new side: after 200 minutes it begins.
    world.run_minutes(115);
    assert_eq!(kinds(&world), ["baking"]);
    world.assert_folds();
    world.run_to_bake(2);
}

#[test]
fn a_restart_forgets_nothing_that_was_counted() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.requests = 10);
    world.run_to_bake(1);
    world.run_minutes(150);
    world.crash(0);
    world.pass(30 * 60);
    world.run_minutes(25);
    assert_eq!(kinds(&world), ["baking"], "{:?}", world.because());
}

#[test]
fn traffic_that_does_not_move_holds_with_numbers_and_pages() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.moved = Some(1));
    world.run_to_bake(1);
    world.run_minutes(30);
    let told = world.because().iter().find_map(|reason| match reason {
        HoldReason::TrafficElsewhere {
            intended, observed, ..
        } => Some((intended.as_percent(), observed.value())),
        _ => None,
    });
    assert_eq!(told, Some((10.0, 1.0)), "{:?}", world.because());
    assert!(world.state().pages.len() == 1);
    world.run_minutes(300);
    assert_eq!(world.phase(), Phase::Baking, "it never goes back for that");
    flow(&mut world, |_| {});
    world.run_to_bake(2);
}

#[test]
fn a_new_side_twice_as_bad_is_taken_back_however_low_its_errors_are() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    flow(&mut world, |flow| {
        (flow.requests, flow.failing) = (100_000, [40, 20]);
    });
    world.run_to(Phase::Reverted);
    let RevertCause::Worse { judgement, .. } = cause(&world) else {
        panic!("{:?}", cause(&world));
    };
    let words = judgement.to_string();
    assert!(
        words.starts_with("new fails 2.0 × as often as old"),
        "{words}"
    );
}

#[test]
fn the_comparison_goes_over_steps_and_restarts() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    world.run_to_bake(1);
    for _ in 0..4 {
        world.run_minutes(10);
        world.crash(0);
    }
    world.run_to_bake(2);
    let tally = world
        .state()
        .measured
        .tally
        .clone()
        .expect("it was counted");
    let judged = measures()
        .regression
        .unwrap()
        .test
        .judge(&tally.run.unwrap());
    // 100 requests a minute for more than an hour of the first step.
    assert!(judged.numbers().new.requests > 6_000, "{judged:?}");
}

#[test]
fn what_climbs_without_end_holds_the_step_and_says_when_it_ends() {
    let mut world = World::new(measured(&STEPS, with_trend(true)));
    world.run_to_bake(1);
    flow(&mut world, |flow| flow.memory = (40, 3));
    let mut plan = world.source.plan.clone();
    plan.steps[0].bake = SignedDuration::from_hours(12);
    let source = cutover_testbed::plan::source(plan);
    world.file =
        cutover_engine::observation::FileReading::Plan(std::sync::Arc::new(source.clone()));
    let (source, reason) = (Box::new(source), None);
    world.ask(Event::PlanAmended { source, reason });
    world.run_minutes(4 * 60);
    let ends = world.because().iter().find_map(|reason| match reason {
        HoldReason::Climbing { reaches_at, .. } => Some(*reaches_at),
        _ => None,
    });
    let left = ends
        .expect("it climbs")
        .duration_since(world.now)
        .as_hours();
    assert!((13..=18).contains(&left), "{left} hours");
    flow(&mut world, |flow| flow.memory = (52, 0));
    world.run_to_bake(2);
}

#[test]
fn a_plan_without_measures_asks_for_nothing_and_journals_nothing_of_it() {
    let mut world = World::new(measured(&STEPS, Measures::default()));
    world.run_to(Phase::Completed);
    assert_eq!(world.count("evidence_counted"), 0);
    let asked = cutover_engine::evidence::wanted::wanted(world.state(), world.now);
    assert!(asked.is_empty());
}

mod pure {
    //! The judgement depends on what is to be read, and on nothing else.

    use cutover_engine::event::{Envelope, Event};
    use cutover_engine::evidence::judge::{Weighed, weigh};
    use cutover_engine::evidence::reading::Readings;
    use cutover_engine::evidence::wanted::wanted;
    use cutover_engine::fold;
    use cutover_engine::state::State;
    use cutover_engine::units::Share;
    use jiff::{SignedDuration, Timestamp};
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, prop_assert_eq};
    use proptest::proptest;

    use cutover_testbed::flow::{STEPS, measured, measures};
    use cutover_testbed::flows::{Flow, Flows};
    use cutover_testbed::world::World;

    /// A world whose first step has just begun to bake, and its state.
    fn begun() -> (World, State) {
        let mut world = World::new(measured(&STEPS, measures()));
        world.run_to_bake(1);
        let state = world.state().clone();
        (world, state)
    }

    fn read(flows: &Flows, state: &State, now: Timestamp) -> Readings {
        let series = wanted(state, now).into_iter();
        let series = series.map(|(query, minutes)| {
            let reading = flows.read(&query, minutes);
            (query, reading)
        });
        series.collect()
    }

    /// Judges at these moments, journaling at those of them where `counts` says so, and gives the last judgement.
    fn judged(flows: &Flows, state: &State, at: &[(Timestamp, bool)]) -> Weighed {
        let mut state = Some(state.clone());
        let mut last = Weighed::default();
        for (now, counts) in at {
            let folded = state.as_ref().expect("a state");
            last = weigh(folded, &read(flows, folded, *now));
            let Some(tally) = last.settled.clone().filter(|_| *counts) else {
                continue;
            };
            let entry = Envelope {
                cutover: folded.name.clone(),
                attempt: folded.attempt,
                seq: folded.seq + 1,
                at: *now,
                actor: "controller".to_owned(),
                version: 1,
                event: Event::EvidenceCounted {
                    tally: Box::new(tally),
                },
            };
            fold::apply(&mut state, &entry).expect("it can follow");
        }
        last
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn how_minutes_are_cut_into_readings_makes_no_difference(
            looks in vec((1_i64..40, proptest::bool::ANY), 1..8),
            rates in vec((1_u32..3_000, 0_u32..300, 0_u32..300, 1_i64..60), 1..6),
        ) {
            let (mut world, state) = begun();
            let begin = world.now;
            let mut at = begin;
            for (requests, new, old, minutes) in rates {
                let flow = Flow { requests, failing: [new, old], ..Flow::default() };
                world.flows.turn(at, flow);
                at += SignedDuration::from_mins(minutes);
            }
            let (mut moments, mut now) = (Vec::new(), begin);
            for (minutes, counts) in looks {
                now += SignedDuration::from_mins(minutes);
                moments.push((now, counts));
            }
            let at_once = judged(&world.flows, &state, &[(now, false)]);
            prop_assert_eq!(judged(&world.flows, &state, &moments), at_once);
            prop_assert_eq!(state.plan().steps[0].share, Share::percent(10));
        }
    }
}

#[test]
fn a_step_is_not_taken_while_the_newest_datapoints_are_beyond_the_bound() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.run_to_bake(1);
    // One bad minute after the other, and never three of five: the gate passes all the time.
    let near = |world: &World| {
        let mut reasons = world.because().iter();
        reasons.any(|reason| matches!(reason, HoldReason::MeasureNear { .. }))
    };
    for minute in 0..240 {
        let failing = if minute % 5 == 0 { 500 } else { 10 };
        flow(&mut world, |flow| flow.failing[0] = failing);
        world.run_minutes(1);
    }
    assert_eq!(world.count("revert_intended"), 0);
    assert_eq!(world.state().step, 1, "the step was taken");
    assert!(near(&world), "{:?}", world.because());
    flow(&mut world, |flow| flow.failing[0] = 10);
    world.run_minutes(15);
    assert_eq!(world.state().step, 2, "{:?}", world.because());
}
