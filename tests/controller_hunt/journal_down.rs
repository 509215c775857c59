//! The journal is down, hangs, or loses its replies; the way back stays open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cutover::engine::observation::AlarmState;
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::engine::units::WeightPair;
use cutover::sim::fault::{Fault, Lasting};

use super::world::{PlanOf, Process, World, locked, plan};

fn services(count: usize, zones: usize) -> Vec<PlanSource> {
    let service = |number: usize| {
        plan(&PlanOf {
            name: &format!("svc{number:03}"),
            zones: &[(number % zones, 1)],
            record_type: "CNAME",
            steps: &[(10, 600), (100, 600)],
            alarms: &["errors".to_owned()],
            fallbacks: &[],
        })
    };
    (0..count).map(service).collect()
}

fn all(sources: &[PlanSource], fits: impl Fn(&str) -> bool) -> bool {
    sources.iter().all(|source| fits(source.plan.name.as_str()))
}

async fn baking(world: &World, sources: &[PlanSource]) {
    let baking = |world: &World| {
        all(sources, |name| {
            world
                .state(name)
                .is_some_and(|state| state.phase == Phase::Baking)
        })
    };
    assert!(world.until(300, baking).await, "all bake");
}

fn all_back(world: &World, sources: &[PlanSource]) -> bool {
    let groups = sources.iter().flat_map(|source| &source.plan.records);
    groups
        .into_iter()
        .all(|group| world.pair(&group.zone.zone, &group.name) == WeightPair::new(100, 0))
}

fn all_reverted(world: &World, sources: &[PlanSource]) -> bool {
    all(sources, |name| {
        let state = world.state(name);
        state.is_some_and(|state| state.phase == Phase::Reverted)
    })
}

#[tokio::test(start_paused = true)]
async fn a_revert_goes_out_within_the_round_while_the_journal_is_down() {
    let sources = services(2, 2);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    process.delays.change(|faults| faults.appends_fail = true);
    world.turn("errors", AlarmState::Alarm);
    let sources_back = |world: &World| all_back(world, &sources);
    assert!(world.until(11, sources_back).await, "back within a round");
    assert!(world.entries("svc000", "revert_intended").is_empty());
    tokio::time::sleep(Duration::from_mins(1)).await;
    for source in &sources {
        let pages = locked(&world.pages);
        let mut own = pages
            .iter()
            .filter(|page| page.entry.cutover == source.plan.name);
        assert!(own.next().is_some(), "people are told without the journal");
    }
    process.delays.change(|faults| faults.appends_fail = false);
    let reverted = |world: &World| all_reverted(world, &sources);
    assert!(world.until(60, reverted).await, "recorded when it is back");
    for source in &sources {
        let name = source.plan.name.as_str();
        assert_eq!(world.entries(name, "revert_performed_unjournaled").len(), 1);
    }
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_delays_fifty_reverts_no_more_than_one() {
    let sources = services(50, 3);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    process
        .delays
        .change(|faults| faults.takes = Duration::from_secs(30));
    world.turn("errors", AlarmState::Alarm);
    let sources_back = |world: &World| all_back(world, &sources);
    assert!(
        world.until(20, sources_back).await,
        "an append that hangs is waited for once a round, not once a cutover"
    );
    process
        .delays
        .change(|faults| faults.takes = Duration::ZERO);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(all_reverted(&world, &sources));
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_nothing_twice_and_leaves_nothing_stuck() {
    let sources = services(1, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    process.delays.change(|faults| faults.replies_lost = true);
    world.turn("errors", AlarmState::Alarm);
    tokio::time::sleep(Duration::from_mins(1)).await;
    process.delays.change(|faults| faults.replies_lost = false);
    let reverted = |world: &World| {
        world
            .state("svc000")
            .is_some_and(|state| state.phase == Phase::Reverted)
    };
    assert!(world.until(60, reverted).await);
    let times = |label: &str| world.entries("svc000", label).len();
    assert_eq!(
        times("revert_intended"),
        1,
        "it was journaled the first time"
    );
    assert_eq!(times("revert_performed_unjournaled"), 0);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let pages = locked(&world.pages);
    let keys: std::collections::BTreeSet<&str> = pages
        .iter()
        .filter(|page| page.entry.event.label().starts_with("revert"))
        .map(|page| page.idempotency_key.as_str())
        .collect();
    assert_eq!(keys.len(), 1, "one revert, one page: {keys:?}");
    drop(pages);
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_write_is_journaled_once_however_often_the_reply_is_lost() {
    let sources = services(1, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    let slow = Fault::Delay(Duration::from_secs(3));
    process.dns.with_faults(|faults| {
        faults.add(Some("ChangeResourceRecordSets"), slow, Lasting::Calls(1));
    });
    let intended = |world: &World| !world.entries("svc000", "weight_change_intended").is_empty();
    assert!(world.until(60, intended).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    process.delays.change(|faults| faults.replies_lost = true);
    tokio::time::sleep(Duration::from_secs(100)).await;
    process.delays.change(|faults| faults.replies_lost = false);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(world.entries("svc000", "weight_change_submitted").len(), 1);
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_is_not_asked_in_a_loop() {
    let sources = services(1, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    process.delays.change(|faults| faults.reads_fail = true);
    let paused = cutover::engine::event::Event::PauseRequested { reason: None };
    assert!(world.ask("svc000", paused).await);
    tokio::time::sleep(Duration::from_mins(1)).await;
    world.assert_unbroken();
}

/// More tries than this and Route 53 gives in: a loop without any wait would never end.
const REFUSALS_MAX: usize = 200;

/// From now on Route 53 refuses every change until it is told otherwise; how many it has refused.
fn refuse_changes(process: &Process) -> Arc<AtomicUsize> {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    process.dns.with_faults(|faults| {
        faults.set_hook(Box::new(move |operation, _| {
            let change = operation == "ChangeResourceRecordSets";
            if !change || count.load(Ordering::Relaxed) >= REFUSALS_MAX {
                return Vec::new();
            }
            count.fetch_add(1, Ordering::Relaxed);
            vec![Fault::unavailable()]
        }));
    });
    refused
}

#[tokio::test(start_paused = true)]
async fn a_revert_that_is_journaled_waits_between_its_tries_while_the_journal_refuses_appends() {
    let sources = services(1, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let refused = refuse_changes(&process);
    world.turn("errors", AlarmState::Alarm);
    let intended = |world: &World| !world.entries("svc000", "revert_intended").is_empty();
    assert!(world.until(11, intended).await);
    process.delays.change(|faults| faults.appends_fail = true);
    tokio::time::sleep(Duration::from_mins(5)).await;
    let tries = refused.load(Ordering::Relaxed);
    assert!(
        (60..=80).contains(&tries),
        "after 1, 2, 4, 4 … s in the first ten minutes (semantics L3), not {tries} times in five"
    );
    process.dns.with_faults(cutover::sim::fault::Faults::clear);
    let back = |world: &World| all_back(world, &sources);
    assert!(
        world.until(61, back).await,
        "it goes back while the journal is still down"
    );
    process.delays.change(|faults| faults.appends_fail = false);
    let reverted = |world: &World| all_reverted(world, &sources);
    assert!(world.until(60, reverted).await, "recorded when it is back");
    let times = |label: &str| world.entries("svc000", label).len();
    assert_eq!(times("revert_performed_unjournaled"), 0);
    assert_eq!(times("weight_change_submitted"), 2, "the step, the revert");
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_revert_that_is_journaled_is_written_blindly_where_neither_records_nor_appends_work() {
    let sources = services(1, 1);
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let refused = refuse_changes(&process);
    world.turn("errors", AlarmState::Alarm);
    let tried = |_: &World| refused.load(Ordering::Relaxed) > 1;
    assert!(world.until(20, tried).await);
    process.delays.change(|faults| faults.appends_fail = true);
    process.dns.with_faults(|faults| {
        faults.clear();
        let list = Some("ListResourceRecordSets");
        faults.add(list, Fault::unavailable(), Lasting::Always);
    });
    let back = |world: &World| all_back(world, &sources);
    assert!(
        world.until(30, back).await,
        "neither the hold nor the trouble can be journaled, and nothing waits for that"
    );
    process.dns.with_faults(cutover::sim::fault::Faults::clear);
    process.delays.change(|faults| faults.appends_fail = false);
    let reverted = |world: &World| all_reverted(world, &sources);
    assert!(world.until(60, reverted).await);
    world.assert_unbroken();
}
