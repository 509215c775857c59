//! Gates of metrics where little is seen: what cannot be told is never a pass, and noise takes nothing back.

use cutover_engine::event::Event;
use cutover_engine::evidence::gate::Bound;
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{Measure, MetricGate};
use cutover_engine::evidence::sequential::Test;
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::state::Phase;
use jiff::SignedDuration;

use super::{cause, halt, kinds};
use cutover_testbed::flow::{
    STEPS, error_rate, flow, measured, series, with_metric, with_regression, with_traffic,
    with_trend,
};
use cutover_testbed::flows::Flow;
use cutover_testbed::world::World;

/// At most 2 % of at least 150 requests.
fn careful() -> MetricGate {
    MetricGate {
        min_requests: 150,
        ..error_rate(2)
    }
}

#[test]
fn failing_stragglers_on_an_old_side_without_weight_stop_no_revert() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.run_to_bake(2);
    // Ten requests a minute still go to the old side, and fail.
    flow(&mut world, |flow| {
        (flow.moved, flow.failing) = (Some(99), [500, 10_000]);
    });
    world.run_to(Phase::Reverted);
    assert_eq!(halt(&world), None);
}

#[test]
fn an_old_side_with_too_few_requests_is_not_as_bad() {
    let mut world = World::new(measured(&STEPS, with_metric(careful())));
    world.run_to_bake(1);
    flow(&mut world, |flow| {
        (flow.moved, flow.failing) = (Some(99), [500, 10_000]);
    });
    world.run_to(Phase::Reverted);
    assert_eq!(world.count("halted"), 0);
}

#[test]
fn an_error_in_a_quiet_minute_takes_nothing_back_and_is_no_pass() {
    let mut world = World::new(measured(&STEPS, with_metric(careful())));
    flow(&mut world, |flow| flow.requests = 50);
    world.run_to_bake(1);
    // One of five requests a minute fails.
    flow(&mut world, |flow| {
        (flow.requests, flow.failing) = (50, [2_000, 0]);
    });
    world.run_minutes(120);
    assert_eq!(world.phase(), Phase::Baking);
    assert_eq!(kinds(&world), ["too_few_requests", "baking"]);
    let told = world.because().iter().find_map(|reason| match reason {
        HoldReason::TooFewRequests {
            requests, needed, ..
        } => Some((*requests, *needed)),
        _ => None,
    });
    assert_eq!(told, Some((25, Some(750))));
    // Without errors the same traffic passes.
    flow(&mut world, |flow| {
        (flow.requests, flow.failing) = (50, [0, 0]);
    });
    world.run_to_bake(2);
}

#[test]
fn faint_minutes_count_together_where_the_window_has_enough_requests() {
    let mut world = World::new(measured(&STEPS, with_metric(careful())));
    world.run_to_bake(1);
    // 60 requests a minute, of which 6 fail: 300 in five minutes.
    flow(&mut world, |flow| {
        (flow.requests, flow.failing) = (600, [1_000, 0]);
    });
    world.run_to(Phase::Reverted);
    assert!(matches!(cause(&world), RevertCause::MeasureBeyond { .. }));
}

#[test]
fn minutes_that_are_missing_could_be_beyond_the_bound_too() {
    let mut world = World::new(measured(&STEPS, with_metric(error_rate(1))));
    world.run_to_bake(1);
    world.run_minutes(10);
    world.flows.gaps = true;
    flow(&mut world, |flow| flow.failing = [10_000, 0]);
    world.run_minutes(60);
    // Of five minutes two have requests, all of which fail; three of five are needed.
    assert_eq!(world.phase(), Phase::Baking);
    // They hold the next step all the same (semantics L13).
    assert_eq!(
        kinds(&world),
        ["measure_near", "too_few_requests", "baking"]
    );
}

#[test]
fn a_metric_with_holes_of_which_nobody_counts_the_requests_is_unknown() {
    let gate = MetricGate {
        name: "latency".to_owned(),
        new: Measure::Series {
            query: series("new errors", 1),
            times: Number::from(1),
        },
        old: None,
        requests: Vec::new(),
        bound: Bound::Max(Number::from(50)),
        ..error_rate(1)
    };
    let mut world = World::new(measured(&STEPS, with_metric(gate.clone())));
    world.run_to_bake(1);
    world.flows.gaps = true;
    world.run_minutes(20);
    let told = |reason: &HoldReason| matches!(reason, HoldReason::Unknown { message, .. } if message == "only 2 of its last 5 datapoints are there");
    assert!(world.because().iter().any(told), "{:?}", world.because());
    // Whoever says that no data is well means it.
    let gate = MetricGate {
        no_data_passes: true,
        ..gate
    };
    let mut world = World::new(measured(&STEPS, with_metric(gate)));
    world.flows.gaps = true;
    world.run_to(Phase::Completed);
}

#[test]
fn a_count_that_is_not_told_is_zero_where_requests_were_seen() {
    let gate = MetricGate {
        name: "errors".to_owned(),
        new: Measure::Series {
            query: series("new errors", 1),
            times: Number::from(1),
        },
        old: None,
        bound: Bound::Max(Number::from(5)),
        ..error_rate(1)
    };
    let mut world = World::new(measured(&STEPS, with_metric(gate)));
    world.flows.sparse = true;
    flow(&mut world, |flow| flow.failing = [0, 0]);
    world.run_to(Phase::Completed);
}

#[test]
fn what_is_at_its_limit_holds_the_step() {
    for memory in [100, 120] {
        let mut world = World::new(measured(&STEPS, with_trend(true)));
        world.run_to_bake(1);
        flow(&mut world, |flow| flow.memory = (memory, 0));
        world.run_minutes(5 * 60);
        assert_eq!(kinds(&world), ["climbing", "baking"], "{memory} %");
        flow(&mut world, |flow| flow.memory = (60, 0));
        world.run_to_bake(2);
    }
}

#[test]
fn a_climb_that_passed_its_limit_still_holds() {
    let mut world = World::new(measured(
        &[(10, 720, false), (100, 60, false)],
        with_trend(true),
    ));
    world.run_to_bake(1);
    flow(&mut world, |flow| flow.memory = (80, 5));
    world.run_minutes(10 * 60);
    assert_eq!(kinds(&world), ["climbing", "baking"]);
}

#[test]
fn a_trend_without_data_is_unknown() {
    let mut world = World::new(measured(
        &[(10, 300, false), (100, 60, false)],
        with_trend(true),
    ));
    world.run_to_bake(1);
    world.run_minutes(3 * 60);
    assert_eq!(kinds(&world), ["baking"]);
    world.flows.mute = Some(("new memory", world.now));
    world.run_minutes(45);
    assert_eq!(kinds(&world), ["no_data", "baking"]);
}

#[test]
fn a_climb_of_which_nobody_knows_the_load_is_judged_after_six_hours() {
    let mut world = World::new(measured(
        &[(10, 720, false), (100, 60, false)],
        with_trend(false),
    ));
    world.run_to_bake(1);
    flow(&mut world, |flow| flow.memory = (40, 3));
    world.run_minutes(6 * 60);
    assert_eq!(kinds(&world), ["baking"]);
    world.run_minutes(30);
    assert_eq!(kinds(&world), ["climbing", "baking"]);
}

#[test]
fn what_was_never_compared_holds_at_the_end_and_pages() {
    let mut world = World::new(measured(&[(100, 60, false)], with_regression()));
    world.run_to_bake(1);
    world.run_minutes(12 * 60);
    assert_eq!(world.phase(), Phase::Baking);
    assert_eq!(kinds(&world), ["never_compared", "baking"]);
    assert_eq!(world.state().pages.len(), 1);
}

#[test]
fn an_amended_alpha_keeps_what_was_compared() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    world.run_to_bake(2);
    let mut plan = world.source.plan.clone();
    let gate = plan.gates.measures.regression.as_mut().unwrap();
    gate.test = Test::new(1.25, 0.01).unwrap();
    let source = cutover_testbed::plan::source(plan);
    world.file =
        cutover_engine::observation::FileReading::Plan(std::sync::Arc::new(source.clone()));
    let (source, reason) = (Box::new(source), None);
    world.ask(Event::PlanAmended { source, reason });
    world.run_to(Phase::Completed);
}

#[test]
fn stragglers_are_not_compared_with_once_the_old_side_has_no_weight() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    world.run_to_bake(2);
    // 900 requests a minute stay where no weight sends them, and all of the new side's fail.
    flow(&mut world, |flow| {
        (flow.moved, flow.failing) = (Some(10), [10_000, 0]);
    });
    world.run_to(Phase::Completed);
}

#[test]
fn who_called_the_new_side_before_the_start_is_not_compared() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    let before = world.now - SignedDuration::from_hours(30);
    let probes = Flow {
        moved: Some(5),
        failing: [10_000, 10],
        ..Flow::default()
    };
    world.flows.turn(before, probes);
    let now = world.now;
    world.flows.turn(now, Flow::default());
    world.run_to(Phase::Completed);
}

#[test]
fn a_metric_below_its_least_takes_the_traffic_back_and_one_above_it_does_not() {
    let gate = MetricGate {
        name: "memory".to_owned(),
        new: Measure::Series {
            query: series("new memory", 1),
            times: Number::from(1),
        },
        old: None,
        requests: Vec::new(),
        bound: Bound::Min(Number::from(30)),
        ..error_rate(1)
    };
    let mut world = World::new(measured(&STEPS, with_metric(gate)));
    world.run_to_bake(1);
    flow(&mut world, |flow| flow.memory = (30, 0));
    world.run_minutes(20);
    assert_eq!(kinds(&world), ["baking"]);
    flow(&mut world, |flow| flow.memory = (29, 0));
    world.run_to(Phase::Reverted);
    assert!(matches!(cause(&world), RevertCause::MeasureBeyond { .. }));
}

#[test]
fn resolvers_are_given_time_before_the_share_is_compared() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.moved = Some(1));
    world.run_to_bake(1);
    world.run_minutes(8);
    assert!(!kinds(&world).contains(&"traffic_elsewhere".to_owned()));
    world.run_minutes(12);
    assert!(kinds(&world).contains(&"traffic_elsewhere".to_owned()));
}
