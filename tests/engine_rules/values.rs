//! What small values say of themselves, and what must not be lost between them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cutover::engine::decide;
use cutover::engine::event::Event;
use cutover::engine::evidence::gate::GateId;
use cutover::engine::evidence::plan::Measures;
use cutover::engine::hold::HoldReason;
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::record::GroupName;
use cutover::engine::state::Phase;
use cutover::engine::units::{AlarmId, CutoverName, DnsName};

use super::checker::decides;
use super::{baking, kinds, simple};
use crate::support::engine_flow::{STEPS, error_rate, flow, measured, measures, with_metric};
use crate::support::engine_flow::{with_regression, with_traffic};
use crate::support::engine_plan::{alarm, record, source};
use crate::support::engine_world::World;

#[test]
fn a_phase_is_called_in_words_as_it_is_in_json() {
    for phase in Phase::ALL {
        assert_eq!(serde_json::json!(phase), phase.label());
    }
}

#[test]
fn a_group_is_its_name_and_its_type_and_a_record_is_of_it_by_both() {
    let group = GroupName {
        name: DnsName::new("API.example.com."),
        record_type: "A".to_owned(),
    };
    assert_eq!(group.to_string(), "api.example.com A");
    let other = DnsName::new("www.example.com");
    let mut member = record(&group.name, "eks", 100);
    assert!(member.is_of(&group));
    assert!(!record(&other, "eks", 100).is_of(&group));
    member.record_type = "AAAA".to_owned();
    assert!(!member.is_of(&group));
}

#[test]
fn a_gate_is_an_alarm_by_its_kind_its_region_and_its_name() {
    let here = alarm("errors");
    let there = AlarmId {
        region: Some("us-east-1".to_owned()),
        ..here.clone()
    };
    let gate = GateId::from(&here);
    assert!(gate == here);
    assert!(gate != there && gate != alarm("latency"));
    let metric = error_rate(1).id();
    assert!(
        metric != alarm("error_rate"),
        "of the same name, but no alarm"
    );
}

#[test]
fn a_plan_has_the_gates_that_it_names_and_no_others() {
    let mut gates = measured(&STEPS, measures()).gates;
    let trend = gates.measures.trends[0].id();
    for gate in [
        GateId::from(&alarm("errors")),
        GateId::from(&alarm("fallback")),
        error_rate(1).id(),
        trend,
    ] {
        assert!(gates.has(&gate), "{gate}");
    }
    assert!(!gates.has(&GateId::from(&alarm("nobody"))));
    gates.measures = Measures::default();
    assert!(!gates.has(&error_rate(1).id()));
}

#[test]
fn what_is_read_in_a_day_counts_each_metric_once_as_often_as_it_is_read() {
    let day = 24 * 60;
    // The requests and the errors of both sides, each minute.
    assert_eq!(with_metric(error_rate(1)).reads_a_day(), 4 * day);
    assert_eq!(with_regression().reads_a_day(), 4 * day);
    assert_eq!(with_traffic().reads_a_day(), 2 * day);
    let both = Measures {
        traffic: with_traffic().traffic,
        ..with_regression()
    };
    assert_eq!(both.reads_a_day(), 4 * day, "the same requests");
    let mut seldom = with_metric(error_rate(1));
    seldom.metrics[0].every_mins = 5;
    assert_eq!(seldom.reads_a_day(), 4 * day / 5);
}

#[test]
fn only_a_revert_goes_back_and_only_a_write_takes_a_step() {
    let mut world = baking();
    let (_, quiet) = decides(&mut world);
    assert!(!quiet.goes_back() && !quiet.takes_a_step());
    world.turn("errors", AlarmState::Alarm);
    world.pass(10);
    let (_, back) = decides(&mut world);
    assert!(back.goes_back() && !back.takes_a_step());
    let mut world = World::new(simple());
    let (_, step) = decides(&mut world);
    assert!(step.takes_a_step() && !step.goes_back());
}

#[test]
fn every_write_has_an_identifier_of_its_own() {
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    let ids = world.journal.iter().filter_map(|entry| match &entry.event {
        Event::WeightChangeIntended { write_id, .. } => Some(write_id.to_string()),
        _ => None,
    });
    let ids: Vec<String> = ids.collect();
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (2, 2));
    assert!(ids.iter().all(|id| id.contains("ctl-1")), "{ids:?}");
}

#[test]
fn a_group_that_another_cutover_moves_is_not_begun() {
    let mut world = World::new(simple());
    let (mut observation, free) = decides(&mut world);
    assert!(free.takes_a_step());
    observation.claimed = vec![(0, CutoverName::from("other"))];
    let held = decide::decide(world.state(), &world.fleet, &observation, world.now);
    assert!(!held.takes_a_step());
    let claimed = |reason: &HoldReason| matches!(reason, HoldReason::Claimed { by, .. } if *by == CutoverName::from("other"));
    assert!(held.because.iter().any(claimed), "{:?}", held.because);
}

#[test]
fn a_page_that_was_not_delivered_outlives_a_retry() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    let pages: Vec<u64> = world.state().pages.keys().copied().collect();
    assert!(!pages.is_empty());
    world.turn("errors", AlarmState::Ok);
    world.ask(Event::RetryRequested { reason: None });
    assert_eq!(world.state().attempt, 2);
    let after: Vec<u64> = world.state().pages.keys().copied().collect();
    assert_eq!(after, pages);
}

#[test]
fn before_the_first_write_a_changed_notification_is_taken_though_the_digest_is_the_same() {
    let mut world = World::new(simple());
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    let mut plan = simple();
    plan.notify = Some(cutover::engine::notify::Notify::default());
    let mut told = source(plan);
    told.digest = world.source.digest.clone();
    world.file = FileReading::Plan(Arc::new(told));
    world.tick(10);
    assert_eq!(world.count("plan_accepted"), 2);
}

#[test]
fn traffic_that_does_not_move_at_all_is_seen() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.moved = Some(0));
    world.run_to_bake(1);
    world.run_minutes(30);
    let told = world.because().iter().find_map(|reason| match reason {
        HoldReason::TrafficElsewhere { observed, .. } => Some(observed.value()),
        _ => None,
    });
    assert_eq!(told, Some(0.0), "{:?}", kinds(&world));
}

#[test]
fn an_early_comparison_waits_for_requests_and_does_not_despair() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    flow(&mut world, |flow| flow.requests = 10);
    world.run_to_bake(1);
    world.run_minutes(5);
    assert_eq!(kinds(&world), ["too_few_requests", "baking"]);
}
