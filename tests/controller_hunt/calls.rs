//! How many calls things take, and how long a round does.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover::controller::Controller;
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::evidence::gate::{Bound, Unit};
use cutover::engine::evidence::number::Number;
use cutover::engine::evidence::plan::{Measure, Metric, MetricGate, Query, Series};
use cutover::engine::plan::{Account, PlanSource};
use cutover::engine::state::Phase;
use cutover::engine::units::{Weight, WeightPair};

use super::world::{PlanOf, World, locked, plan};
use super::writers::println_for_people;

const CHANGE: &str = "ChangeResourceRecordSets";

pub(super) fn services(count: usize, alarms: usize) -> Vec<PlanSource> {
    services_of(count, alarms, 1)
}

/// Services with so many groups each, all in one zone.
pub(super) fn services_of(count: usize, alarms: usize, groups: usize) -> Vec<PlanSource> {
    let service = |number: usize| {
        let alarms: Vec<String> = (0..alarms)
            .map(|alarm| format!("svc{number}-{alarm}"))
            .collect();
        plan(&PlanOf {
            name: &format!("svc{number:04}"),
            zones: &[(0, groups)],
            record_type: "CNAME",
            steps: &[(10, 86_400), (100, 60)],
            alarms: &alarms,
            fallbacks: &[],
        })
    };
    (0..count).map(service).collect()
}

pub(super) fn pair(world: &World, source: &PlanSource) -> WeightPair {
    let group = &source.plan.records[0];
    world.pair(&group.zone.zone, &group.name)
}

pub(super) async fn baking(world: &World, sources: &[PlanSource]) {
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let is_baking = |source: &PlanSource| {
            world
                .state(source.plan.name.as_str())
                .is_some_and(|state| state.phase == Phase::Baking)
        };
        if sources.iter().all(is_baking) {
            return;
        }
    }
    panic!("not all bake");
}

pub(super) async fn roll_back(world: &World, sources: &[PlanSource]) {
    for source in sources {
        let event = Event::RollbackRequested {
            mode: RevertMode::Swap,
            reason: None,
        };
        world.ask(source.plan.name.as_str(), event).await;
    }
}

/// Rolls back `count` services of one zone, and returns the write calls that it took.
async fn writes_to_roll_back(sources: Vec<PlanSource>) -> u64 {
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    process.task.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    roll_back(&world, &sources).await;
    let process = world.start("two");
    let calls = |calls: &BTreeMap<&'static str, u64>| calls.get(CHANGE).copied().unwrap_or(0);
    let mut waited = 0;
    while sources
        .iter()
        .any(|source| pair(&world, source) != WeightPair::new(100, 0))
    {
        tokio::time::sleep(Duration::from_secs(1)).await;
        waited += 1;
        assert!(waited < 60, "not all back");
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    process.task.abort();
    world.assert_unbroken();
    calls(&process.dns.calls())
}

#[tokio::test(start_paused = true)]
async fn two_hundred_and_fifty_services_of_a_zone_roll_back_in_one_write() {
    assert_eq!(writes_to_roll_back(services(250, 1)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn with_two_groups_each_they_take_two() {
    assert_eq!(writes_to_roll_back(services_of(250, 1, 2)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn one_service_more_takes_a_second_write() {
    assert_eq!(writes_to_roll_back(services(251, 1)).await, 2);
}

/// Some of 250 are changed by somebody else between the read and the write.
async fn bad_records(numbers: &'static [usize], names_nobody: bool) -> u64 {
    let sources = services(250, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    locked(&world.knobs).names_nobody = names_nobody;
    let group = |number: &usize| sources[*number].plan.records[0].clone();
    let (route53, groups) = (world.route53.clone(), numbers.iter().map(group));
    let groups: Vec<_> = groups.collect();
    let (zone, mut done) = (world.zones[&groups[0].zone.zone].clone(), false);
    process.dns.with_faults(|faults| {
        faults.set_hook(Box::new(move |operation, now| {
            if operation == CHANGE && !done {
                done = true;
                let mut route53 = route53.lock().expect("the model");
                for group in &groups {
                    route53
                        .foreign_weight(&zone, &group.name, "ecs", Weight(33), now)
                        .expect("a record that is there");
                }
            }
            Vec::new()
        }));
    });
    let before = process.dns.calls()[CHANGE];
    roll_back(&world, &sources).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for (number, source) in sources.iter().enumerate() {
        let expected = if numbers.contains(&number) {
            (90, 33)
        } else {
            (100, 0)
        };
        let expected = WeightPair::new(expected.0, expected.1);
        assert_eq!(pair(&world, source), expected, "{}", source.plan.name);
    }
    for number in numbers {
        let state = world.state(&format!("svc{number:04}"));
        let phase = state.map(|state| state.phase);
        assert_eq!(phase, Some(Phase::Halted), "drift is for people");
    }
    process.task.abort();
    world.assert_unbroken();
    process.dns.calls()[CHANGE] - before
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_of_many_is_put_aside_by_its_name() {
    let calls = bad_records(&[77], false).await;
    println_for_people(&format!("one bad record of 250, named: {calls} calls"));
    assert!(calls <= 4, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn three_bad_records_of_many_cost_two_calls_each_at_most() {
    let calls = bad_records(&[3, 77, 249], false).await;
    println_for_people(&format!("three bad records of 250, named: {calls} calls"));
    assert!(calls <= 1 + 2 * 3, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_of_many_is_found_by_halves_where_nobody_is_named() {
    let calls = bad_records(&[77], true).await;
    println_for_people(&format!("one bad record of 250, not named: {calls} calls"));
    assert!(calls <= 18, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_minute_asks_for_pages_of_alarms_and_for_one_check_of_drift() {
    let sources = services(120, 2);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    let (alarms, route53) = (process.signals.calls(), process.dns.calls());
    tokio::time::sleep(Duration::from_mins(1)).await;
    let read = process.signals.calls()["DescribeAlarms"] - alarms["DescribeAlarms"];
    assert_eq!(
        read,
        6 * 3,
        "240 alarms are three pages, in each of six rounds"
    );
    let mut after = process.dns.calls();
    let listing = "ListResourceRecordSets";
    let lists = after.remove(listing).unwrap_or(0) - route53[listing];
    assert_eq!(lists, 1, "one page of the zone, once a minute");
    let others: BTreeMap<_, _> = route53
        .into_iter()
        .filter(|(call, _)| *call != listing)
        .collect();
    assert_eq!(after, others, "nothing else");
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_change_that_many_share_is_asked_for_once() {
    let sources = services(100, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let asked = process.dns.calls()["GetChange"];
    println_for_people(&format!("100 services in one batch: {asked} GetChange"));
    assert!(asked <= 20, "{asked}");
    process.task.abort();
}

/// Not a claim but a measurement: `cargo nextest run --run-ignored all -E 'test(a_thousand)'`.
#[tokio::test(start_paused = true)]
#[ignore = "measures, and takes long in debug"]
async fn a_thousand_cutovers_are_looked_after() {
    for count in [250, 1_000] {
        let sources = services(count, 1);
        let world = World::new(&sources);
        let (mut controller, dns, _, _) = world.controller("one");
        let mut times = Vec::new();
        for _ in 0..30 {
            let took = timed(&mut controller).await;
            times.push(took.as_millis());
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        println_for_people(&format!(
            "{count} cutovers, ms a round: {times:?} {:?}",
            dns.calls()
        ));
        let route53 = locked(&world.route53);
        let zone = world.zones["zone0.example"].clone();
        assert!(route53.zone(&Account::default(), &zone).is_ok());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long it really takes"
)]
async fn timed(controller: &mut Controller) -> Duration {
    let began = std::time::Instant::now();
    controller.run_once().await.expect("a round");
    began.elapsed()
}

/// Services with four series each: requests and errors of both sides.
fn measured(count: usize) -> Vec<PlanSource> {
    let mut sources = services(count, 1);
    for (number, source) in (0..).zip(&mut sources) {
        let series = |name: &str| {
            let metric = Metric {
                namespace: "Test".to_owned(),
                metric: name.to_owned(),
                dimensions: BTreeMap::from([("Service".to_owned(), format!("svc{number}"))]),
                stat: "Sum".to_owned(),
            };
            let series = Series {
                account: None,
                region: None,
                expression: None,
                inputs: BTreeMap::from([("m".to_owned(), metric)]),
                period_mins: 1,
            };
            vec![Query::from(series)]
        };
        let rate = |side: &str| Measure::Rate {
            errors: series(&format!("{side} errors")),
            requests: series(&format!("{side} requests")),
        };
        source.plan.gates.measures.metrics = vec![MetricGate {
            name: "error_rate".to_owned(),
            new: rate("new"),
            old: Some(rate("old")),
            requests: series("new requests"),
            bound: Bound::Max(Number::from(1)),
            unit: Unit::Percent,
            points: 3,
            of: 5,
            every_mins: 1,
            min_requests: 1_000,
            no_data_passes: true,
            delay_mins: 0,
        }];
    }
    sources
}

/// The calls of `GetMetricData` that so many services take in three quiet minutes.
async fn metric_calls(count: usize) -> u64 {
    let sources = measured(count);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    let before = process.signals.calls()["GetMetricData"];
    tokio::time::sleep(Duration::from_mins(3)).await;
    let after = process.signals.calls()["GetMetricData"];
    process.task.abort();
    after - before
}

#[tokio::test(start_paused = true)]
async fn metrics_are_asked_for_once_a_minute_in_pages_of_five_hundred() {
    for (services, pages) in [(1, 1), (125, 1), (126, 2)] {
        let calls = metric_calls(services).await;
        println_for_people(&format!(
            "{services} services: {calls} GetMetricData in three minutes"
        ));
        assert_eq!(calls, 3 * pages, "{services}");
    }
}
