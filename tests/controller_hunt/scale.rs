//! Fleets: cost grows with pages, not with services; what is looked at, and in which order, when there is much of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::controller::emergency::Emergency;
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::{Account, PlanSource};
use cutover::engine::record::{GroupImage, GroupName, RecordSet};
use cutover::engine::state::Phase;
use cutover::engine::units::{AlarmId, Weight, WeightPair};
use cutover::ports::{Dns, Signals, Urgency};
use cutover::sim::fault::{Fault, Lasting};

use super::calls::{baking, pair, services};
use super::world::{PlanOf, Process, REGION, World, locked, plan};
use super::writers::println_for_people;

const CHANGE: &str = "ChangeResourceRecordSets";
const LIST: &str = "ListResourceRecordSets";
const ALARMS: &str = "DescribeAlarms";
/// A zone holds 10,000 record sets.
const PER_ZONE: usize = 2_500;

fn fleet(count: usize) -> Vec<PlanSource> {
    let service = |number: usize| {
        plan(&PlanOf {
            name: &format!("svc{number:04}"),
            zones: &[(number / PER_ZONE, 1)],
            record_type: "CNAME",
            steps: &[(10, 86_400), (100, 60)],
            alarms: &[],
            fallbacks: &[],
        })
    };
    (0..count).map(service).collect()
}

/// The calls that alarms, groups and a forced way back of so many services take: pages of alarms, pages of records, writes.
async fn calls_of(count: usize) -> (u64, u64, u64) {
    let sources = fleet(count);
    let world = World::new(&sources);
    let (_, dns, signals, _) = world.controller("one");
    let account = Account::default();
    let alarm = |number: usize| AlarmId {
        region: Some(REGION.to_owned()),
        name: format!("svc{:04}-{}", number / 3, number % 3),
    };
    let wanted: BTreeSet<AlarmId> = (0..count * 3).map(alarm).collect();
    signals.read_alarms(&account, &wanted).await;
    let mut images = Vec::new();
    for (zone_name, zone) in &world.zones {
        let of_zone = sources.iter().flat_map(|source| &source.plan.records);
        let wanted: BTreeSet<GroupName> = of_zone
            .filter(|group| group.zone.zone == *zone_name)
            .map(|group| group.name.clone())
            .collect();
        let read = dns
            .read_groups(&account, zone, &wanted, Urgency::Normal)
            .await;
        for members in read.into_values() {
            let members = members.expect("a healthy Route 53");
            let member = |identifier: &str| -> RecordSet {
                let mut members = members.iter();
                let member = members.find(|member| member.set_identifier == identifier);
                member.expect("both members").clone()
            };
            let image = GroupImage {
                zone: zone.clone(),
                old: member("eks").with_weight(Weight(90)),
                new: member("ecs").with_weight(Weight(10)),
                others: Vec::new(),
            };
            images.push((account.clone(), image));
        }
    }
    let journal = Arc::new(world.journal.clone());
    let mut emergency = Emergency::new(Arc::new(dns.clone()), journal, images);
    emergency.send(world.now(), |_| {}).await;
    assert_eq!(emergency.left().count(), 0);
    assert_eq!(emergency.done(), count);
    let last = sources.last().expect("a fleet");
    assert_eq!(pair(&world, last), WeightPair::new(90, 10));
    let route53 = dns.calls();
    (signals.calls()[ALARMS], route53[LIST], route53[CHANGE])
}

#[tokio::test(start_paused = true)]
async fn cost_grows_with_pages_not_with_services() {
    for (count, alarms, lists, writes) in [(100, 3, 1, 1), (1_000, 30, 7, 4), (5_000, 150, 34, 20)]
    {
        let (asked, listed, written) = calls_of(count).await;
        println_for_people(&format!(
            "{count} services: {asked} {ALARMS}, {listed} {LIST}, {written} {CHANGE}"
        ));
        assert_eq!((asked, written), (alarms, writes), "{count}");
        // Every zone's own NS and SOA may be in the way of a page.
        assert!(listed <= lists + 2, "{count}: {listed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_rollback_is_written_before_anything_is_read() {
    let sources = services(20, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let lists = process.dns.calls()[LIST];
    for source in &sources {
        let mode = RevertMode::Force;
        let event = Event::RollbackRequested { mode, reason: None };
        world.ask(source.plan.name.as_str(), event).await;
    }
    let back = |world: &World| {
        let mut pairs = sources.iter().map(|source| pair(world, source));
        pairs.all(|pair| pair == WeightPair::new(100, 0))
    };
    // The read-backs of those that were asked first may come before the last one is asked.
    let asked_at = world.now();
    assert!(world.until(5, back).await);
    let took = world.now().duration_since(asked_at);
    println_for_people(&format!(
        "20 forced rollbacks: {took:#}, {} lists before",
        process.dns.calls()[LIST] - lists
    ));
    process.task.abort();
    world.assert_unbroken();
}

/// The calls that a read-back takes are the ones that unsent reverts of the zone need (semantics L3).
#[tokio::test(start_paused = true)]
async fn no_read_back_begins_while_a_revert_of_the_zone_is_unsent() {
    let sources = services(600, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    process.dns.with_faults(|faults| {
        faults.add(
            None,
            Fault::Delay(Duration::from_millis(20)),
            Lasting::Always,
        );
        faults.set_hook(Box::new(move |operation, _| {
            locked(&noted).push(operation.to_owned());
            Vec::new()
        }));
    });
    for source in &sources {
        let mode = RevertMode::Swap;
        let event = Event::RollbackRequested { mode, reason: None };
        world.ask(source.plan.name.as_str(), event).await;
    }
    let back = |world: &World| {
        let mut states = sources
            .iter()
            .map(|source| world.state(source.plan.name.as_str()));
        states.all(|state| state.is_some_and(|state| state.phase == Phase::Reverted))
    };
    assert!(world.until(60, back).await);
    let calls = locked(&calls).clone();
    let of = |wanted: &str| calls.iter().filter(|call| call.as_str() == wanted).count();
    let (writes, lists) = (of(CHANGE), of(LIST));
    println_for_people(&format!("600 services: {writes} {CHANGE}, {lists} {LIST}"));
    let first = calls.iter().position(|call| call == CHANGE);
    let last = calls.iter().rposition(|call| call == CHANGE);
    let between = &calls[first.expect("a write")..last.expect("a write")];
    assert!(between.iter().all(|call| call == CHANGE), "{between:?}");
    // The zone's five pages are read before the writes, and once for each of the two confirming looks.
    assert_eq!(lists, 3 * 5);
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_forced_rollback_does_not_wait_for_reads_that_hang() {
    let sources = services(1, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    process.dns.with_faults(|faults| {
        let hangs = Fault::Delay(Duration::from_mins(1));
        faults.add(Some(LIST), hangs, Lasting::Always);
    });
    let mode = RevertMode::Force;
    let event = Event::RollbackRequested { mode, reason: None };
    assert!(world.ask("svc0000", event).await);
    let back = |world: &World| pair(world, &sources[0]) == WeightPair::new(100, 0);
    assert!(world.until(2, back).await, "it was written without a read");
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn looks_for_drift_in_many_zones_are_spread_over_rounds() {
    let service = |number: usize| {
        plan(&PlanOf {
            name: &format!("svc{number:02}"),
            zones: &[(number, 1)],
            record_type: "CNAME",
            steps: &[(10, 86_400), (100, 60)],
            alarms: &["errors".to_owned()],
            fallbacks: &[],
        })
    };
    let sources: Vec<PlanSource> = (0..90).map(service).collect();
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let mut most = 0;
    let mut before = process.dns.calls()[LIST];
    let (began, all_before) = (world.now(), before);
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let after = process.dns.calls()[LIST];
        most = most.max(after - before);
        before = after;
    }
    let minutes = world.now().duration_since(began).as_secs() / 60;
    let a_minute = (before - all_before) / u64::try_from(minutes).expect("above zero");
    println_for_people(&format!(
        "90 zones: at most {most} lists in 10 s, {a_minute} a minute"
    ));
    assert!(most <= 40, "two rounds may fall into ten seconds: {most}");
    assert!(a_minute >= 60, "every zone is still looked at: {a_minute}");
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
#[ignore = "takes a minute in debug; `cargo bench --bench fleet -- quiet 120 1000` measures the same over HTTP"]
async fn a_quiet_round_of_a_thousand_services_is_thirty_calls_and_no_write() {
    let sources = services(1_000, 3);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let (alarms, route53) = (process.signals.calls()[ALARMS], process.dns.calls());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(process.signals.calls()[ALARMS] - alarms, 6 * 30);
    let after = process.dns.calls();
    assert_eq!(after[CHANGE], route53[CHANGE]);
    assert!(
        after[LIST] - route53[LIST] <= 8,
        "the pages of one zone, once a minute"
    );
    assert!(sources.iter().all(|source| {
        let state = world.state(source.plan.name.as_str());
        state.is_some_and(|state| state.phase == Phase::Baking)
    }));
    process.task.abort();
    let _route53 = locked(&world.route53);
}

/// Makes every page of alarms take so long, and waits until the first page of a round is asked for.
async fn slow_pages(world: &World, process: &Process, page: Duration) {
    process.signals.faults(|faults| faults.delay = page);
    let asked = || process.signals.calls()[ALARMS];
    let mut before = None;
    while before.replace(asked()) != Some(asked()) {
        tokio::time::sleep(page * 2).await;
    }
    let quiet = asked();
    assert!(world.until(20, |_| asked() == quiet + 1).await);
}

/// Thousands of alarms take seconds to read: the service's quota sees to that.
#[tokio::test(start_paused = true)]
async fn a_red_alarm_on_the_first_page_waits_for_no_other_page() {
    let sources = services(250, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    slow_pages(&world, &process, Duration::from_millis(1_500)).await;
    let before = process.signals.calls()[ALARMS];
    let (pages, signals) = (Arc::new(Mutex::new(None)), process.signals.clone());
    let at_write = Arc::clone(&pages);
    process.dns.with_faults(|faults| {
        faults.set_hook(Box::new(move |operation, _| {
            if operation == CHANGE {
                locked(&at_write).get_or_insert(signals.calls()[ALARMS]);
            }
            Vec::new()
        }));
    });
    world.turn("svc0-0", AlarmState::Alarm);
    let back = |world: &World| pair(world, &sources[0]) == WeightPair::new(100, 0);
    assert!(world.until(20, back).await);
    let pages = *locked(&pages);
    assert!(
        pages.is_some_and(|pages| pages < before + 2),
        "the third page was not asked for yet: {before}, {pages:?}"
    );
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_hangs_keeps_no_alarm_of_a_later_page_waiting() {
    let service = |number: usize| {
        plan(&PlanOf {
            name: &format!("svc{number:03}"),
            zones: &[(usize::from(number > 0), 1)],
            record_type: "CNAME",
            steps: &[(10, 86_400), (100, 60)],
            alarms: &[format!("errors-{number:03}")],
            fallbacks: &[],
        })
    };
    let sources: Vec<PlanSource> = (0..250).map(service).collect();
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    slow_pages(&world, &process, Duration::from_millis(1_500)).await;
    locked(&world.knobs).hanging = Some(world.zones["zone0.example"].clone());
    world.turn("errors-000", AlarmState::Alarm);
    world.turn("errors-249", AlarmState::Alarm);
    let red_at = world.now();
    let back = |world: &World| pair(world, &sources[249]) == WeightPair::new(100, 0);
    assert!(world.until(20, back).await);
    let took = world.now().duration_since(red_at);
    println_for_people(&format!(
        "on the third page, beside a zone that hangs: {took:#}"
    ));
    assert!(
        took.as_millis() < 4_900,
        "three pages, and no five seconds more: {took:#}"
    );
    locked(&world.knobs).hanging = None;
    let first = |world: &World| pair(world, &sources[0]) == WeightPair::new(100, 0);
    assert!(world.until(20, first).await);
    process.task.abort();
    world.assert_unbroken();
}
