//! The writers of the zones: throttled, refused, hanging, and overtaken by reverts and people.

use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::hold::HoldReason;
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::engine::units::WeightPair;
use cutover::sim::fault::{Fault, Lasting};

use super::calls::baking;
use super::world::{PlanOf, World, locked, plan, source};
use cutover_testbed::plan::role;

const CHANGE: &str = "ChangeResourceRecordSets";

fn service(name: &str, zone: usize) -> PlanSource {
    plan(&PlanOf {
        name,
        zones: &[(zone, 1)],
        record_type: "CNAME",
        steps: &[(10, 60), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    })
}

fn pair(world: &World, source: &PlanSource) -> WeightPair {
    let group = &source.plan.records[0];
    world.pair(&group.zone.zone, &group.name)
}

fn is_in(world: &World, name: &str, phase: Phase) -> bool {
    world.state(name).is_some_and(|state| state.phase == phase)
}

#[tokio::test(start_paused = true)]
async fn a_throttled_zone_delays_and_loses_nothing() {
    for code in ["Throttling", "PriorRequestNotComplete"] {
        let source = service("api", 0);
        let world = World::new(std::slice::from_ref(&source));
        let process = world.start("one");
        assert!(
            world
                .until(120, |world| is_in(world, "api", Phase::Baking))
                .await
        );
        let end = world.now() + Duration::from_mins(1);
        let throttle = Fault::error(400, code, "Rate exceeded");
        process
            .dns
            .with_faults(|faults| faults.add(Some(CHANGE), throttle, Lasting::Until(end)));
        world.turn("errors", AlarmState::Alarm);
        let back = |world: &World| is_in(world, "api", Phase::Reverted);
        assert!(world.until(200, back).await, "{code}");
        assert_eq!(pair(&world, &source), WeightPair::new(100, 0));
        process.task.abort();
        world.assert_unbroken();
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_step_is_not_sent_once_its_revert_is_decided() {
    let source = service("api", 0);
    let world = World::new(std::slice::from_ref(&source));
    let process = world.start("one");
    assert!(
        world
            .until(120, |world| is_in(world, "api", Phase::Baking))
            .await
    );
    process
        .dns
        .with_faults(|faults| faults.add(Some(CHANGE), Fault::throttle(), Lasting::Always));
    let second = |world: &World| world.entries("api", "weight_change_intended").len() == 2;
    assert!(world.until(120, second).await);
    world.turn("errors", AlarmState::Alarm);
    let decided = |world: &World| !world.entries("api", "revert_intended").is_empty();
    assert!(world.until(11, decided).await);
    process.dns.with_faults(cutover::sim::fault::Faults::clear);
    assert!(
        world
            .until(60, |world| is_in(world, "api", Phase::Reverted))
            .await
    );
    let full = WeightPair::new(0, 100);
    let route53 = locked(&world.route53);
    let rose = route53
        .weight_writes()
        .iter()
        .any(|write| write.pair("eks", "ecs") == Some(full));
    assert!(!rose, "the step went out after the revert was decided");
    drop(route53);
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_step_behind_a_slow_batch_is_dropped_when_a_pause_arrives() {
    let sources = [service("slow", 0), service("api", 0)];
    let mut world = World::new(&sources);
    world.interval = Duration::from_secs(2);
    let hidden = locked(&world.files.0).remove(&sources[1].path);
    let process = world.start("one");
    let slow = Fault::Delay(Duration::from_millis(9_500));
    process
        .dns
        .with_faults(|faults| faults.add(Some(CHANGE), slow, Lasting::Calls(1)));
    let begun = |world: &World| !world.entries("slow", "weight_change_intended").is_empty();
    assert!(world.until(60, begun).await);
    let file: FileReading = hidden.expect("the second plan");
    locked(&world.files.0).insert(sources[1].path.clone(), file);
    let queued = |world: &World| !world.entries("api", "weight_change_intended").is_empty();
    assert!(world.until(8, queued).await, "queued behind the slow batch");
    let pause = Event::PauseRequested { reason: None };
    assert!(world.ask("api", pause).await);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(pair(&world, &sources[1]), WeightPair::new(100, 0));
    assert_ne!(pair(&world, &sources[0]), WeightPair::new(100, 0));
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_keeps_being_throttled_is_cut_smaller() {
    let sources: Vec<PlanSource> = (0..60)
        .map(|number| service(&format!("svc{number:02}"), 0))
        .collect();
    let world = World::new(&sources);
    let process = world.start("one");
    let baking = |world: &World| {
        sources
            .iter()
            .all(|source| is_in(world, source.plan.name.as_str(), Phase::Baking))
    };
    assert!(world.until(200, baking).await);
    locked(&world.knobs).changes_max = Some(100);
    locked(&world.knobs).batches.clear();
    world.turn("errors", AlarmState::Alarm);
    let back = |world: &World| {
        sources
            .iter()
            .all(|source| pair(world, source) == WeightPair::new(100, 0))
    };
    let decided = world.now();
    assert!(world.until(60, back).await);
    let took = world.now().duration_since(decided);
    let batches = locked(&world.knobs).batches.clone();
    println_for_people(&format!(
        "240 changes, at most 100 at once: {batches:?} in {took:#}"
    ));
    assert!(batches.len() <= 9, "{batches:?}");
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_names_everybody_is_read_back_and_not_cut_to_pieces() {
    let sources: Vec<PlanSource> = (0..40)
        .map(|number| service(&format!("svc{number:02}"), 0))
        .collect();
    let world = World::new(&sources);
    let process = world.start("one");
    let all_in = |world: &World, phase: Phase| {
        sources
            .iter()
            .all(|source| is_in(world, source.plan.name.as_str(), phase))
    };
    assert!(world.until(200, |world| all_in(world, Phase::Baking)).await);
    // The revert is on its way when somebody uses the break-glass file: it arrives second, and every record has changed.
    let late = Fault::Delay(Duration::from_secs(8));
    process
        .dns
        .with_faults(|faults| faults.add(Some(CHANGE), late, Lasting::Calls(1)));
    world.turn("errors", AlarmState::Alarm);
    let decided = |world: &World| {
        let name = sources[39].plan.name.as_str();
        !world.entries(name, "revert_intended").is_empty()
    };
    assert!(world.until(30, decided).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    locked(&world.knobs).batches.clear();
    world.put_back(&sources);
    assert!(
        world
            .until(200, |world| all_in(world, Phase::Reverted))
            .await
    );
    let batches = locked(&world.knobs).batches.clone();
    assert!(batches.len() <= 3, "{} writes: {batches:?}", batches.len());
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_hangs_keeps_no_other_zones_revert_waiting() {
    let sources = [service("stuck", 0), service("api", 1)];
    let world = World::new(&sources);
    let process = world.start("one");
    let baking =
        |world: &World| is_in(world, "api", Phase::Baking) && is_in(world, "stuck", Phase::Baking);
    assert!(world.until(200, baking).await);
    let zone = world.zones["zone0.example"].clone();
    locked(&world.knobs).hanging = Some(zone);
    world.turn("errors", AlarmState::Alarm);
    let red_at = world.now();
    let back = |world: &World| pair(world, &sources[1]) == WeightPair::new(100, 0);
    assert!(world.until(60, back).await);
    let took = world.now().duration_since(red_at);
    println_for_people(&format!("beside a zone that hangs a revert took {took:#}"));
    assert!(took.as_secs() <= 11, "one interval and a second: {took:#}");
    locked(&world.knobs).hanging = None;
    let all = |world: &World| {
        is_in(world, "api", Phase::Reverted) && is_in(world, "stuck", Phase::Reverted)
    };
    assert!(world.until(200, all).await);
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_revert_waits_at_most_ten_seconds_for_its_own_write() {
    let source = service("api", 0);
    let mut world = World::new(std::slice::from_ref(&source));
    world.interval = Duration::from_secs(2);
    let process = world.start("one");
    assert!(
        world
            .until(120, |world| is_in(world, "api", Phase::Baking))
            .await
    );
    // The step's request arrives, and nobody answers.
    let lost = Fault::Delay(Duration::from_secs(12));
    process
        .dns
        .with_faults(|faults| faults.add(Some(CHANGE), lost, Lasting::Calls(1)));
    let second = |world: &World| world.entries("api", "weight_change_intended").len() == 2;
    assert!(world.until(120, second).await);
    world.turn("errors", AlarmState::Alarm);
    let decided = |world: &World| !world.entries("api", "revert_intended").is_empty();
    assert!(world.until(4, decided).await, "decided at once");
    let at = world.now();
    let back = |world: &World| pair(world, &source) == WeightPair::new(100, 0);
    assert!(world.until(60, back).await);
    let took = world.now().duration_since(at);
    assert!(took.as_secs() <= 12, "{took:#}");
    assert!(
        world
            .until(100, |world| is_in(world, "api", Phase::Reverted))
            .await
    );
    assert_eq!(
        pair(&world, &source),
        WeightPair::new(100, 0),
        "the late write too"
    );
    process.task.abort();
    world.assert_unbroken();
}

#[expect(
    clippy::print_stderr,
    reason = "a number for the reader of the test's output"
)]
pub(crate) fn println_for_people(line: &str) {
    eprintln!("{line}");
}

#[tokio::test(start_paused = true)]
async fn records_in_zones_of_two_accounts_move_together_and_back() {
    let mut moved = plan(&PlanOf {
        name: "svc",
        zones: &[(0, 1), (1, 1)],
        record_type: "CNAME",
        steps: &[(10, 86_400), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    })
    .plan;
    let theirs = role("arn:aws:iam::222222222222:role/zones");
    moved.records[1].account = Some(theirs);
    let sources = [source(moved)];
    // The model denies every call that is made in another account than the zone's.
    let world = World::new(&sources);
    let process = world.start("one");
    baking(&world, &sources).await;
    let pairs = |world: &World| {
        let route53 = locked(&world.route53);
        let writes = route53.weight_writes().iter();
        let written: Vec<_> = writes
            .filter_map(|write| write.pair("eks", "ecs"))
            .collect();
        written
    };
    let there = WeightPair::new(90, 10);
    let back = WeightPair::new(100, 0);
    let made_and_moved = [back, back, there, there];
    assert_eq!(pairs(&world), made_and_moved, "one write in each zone");
    world.turn("errors", AlarmState::Alarm);
    let is_back = |world: &World| is_in(world, "svc", Phase::Reverted);
    assert!(world.until(300, is_back).await);
    let all = [back, back, there, there, back, back];
    assert_eq!(pairs(&world), all);
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_throttled_revert_is_not_sent_once_its_cutover_is_abandoned() {
    let source = service("api", 0);
    let world = World::new(std::slice::from_ref(&source));
    let process = world.start("one");
    let bakes = |world: &World| is_in(world, "api", Phase::Baking);
    assert!(world.until(120, bakes).await);
    process
        .dns
        .with_faults(|faults| faults.add(Some(CHANGE), Fault::throttle(), Lasting::Always));
    world.turn("errors", AlarmState::Alarm);
    let decided = |world: &World| !world.entries("api", "revert_intended").is_empty();
    assert!(world.until(60, decided).await);
    let there = pair(&world, &source);
    let event = Event::Abandoned {
        reason: "the zone is handed over".to_owned(),
        left: Vec::new(),
    };
    world.ask("api", event).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    process.dns.with_faults(cutover::sim::fault::Faults::clear);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(
        pair(&world, &source),
        there,
        "what is abandoned is not written"
    );
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_first_step_that_nobody_answered_for_is_not_written_again_over_the_baseline() {
    let source = service("api", 0);
    let world = World::new(std::slice::from_ref(&source));
    let process = world.start("one");
    process
        .dns
        .with_faults(|faults| faults.add(Some(CHANGE), Fault::LoseReply, Lasting::Always));
    let there = |world: &World| pair(world, &source) == WeightPair::new(90, 10);
    assert!(world.until(60, there).await);
    process.task.abort();
    // Somebody sends the break-glass file before the next controller starts.
    world.put_back(std::slice::from_ref(&source));
    let process = world.start("two");
    tokio::time::sleep(Duration::from_mins(30)).await;
    let route53 = locked(&world.route53);
    let writes = route53.weight_writes().iter();
    let rises = writes.filter(|write| write.pair("eks", "ecs") == Some(WeightPair::new(90, 10)));
    assert_eq!(rises.count(), 1, "the first step was written again");
    drop(route53);
    let held = world
        .state("api")
        .map(|state| state.held)
        .unwrap_or_default();
    let waits = |reason: &HoldReason| matches!(reason, HoldReason::AlreadyAtBaseline { .. });
    assert!(held.iter().any(waits), "{held:?}");
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn two_controllers_that_look_at_the_same_time_do_not_stop_each_others_bakes() {
    let mut sources = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        sources.push(plan(&PlanOf {
            name,
            zones: &[(0, 1)],
            record_type: "CNAME",
            steps: &[(10, 3_600), (100, 3_600)],
            alarms: &["errors".to_owned()],
            fallbacks: &[],
        }));
    }
    let world = World::new(&sources);
    let processes = [world.start("one"), world.start("two")];
    let all = |world: &World| {
        let mut names = sources.iter().map(|source| source.plan.name.as_str());
        names.all(|name| is_in(world, name, Phase::Completed))
    };
    assert!(world.until(3 * 3_600, all).await, "a bake stands still");
    for source in &sources {
        for entry in world.entries(source.plan.name.as_str(), "bake_counted") {
            let stopped = matches!(entry.event, Event::BakeCounted { running: false, .. });
            assert!(!stopped, "{entry:?}");
        }
    }
    for process in processes {
        process.task.abort();
    }
    world.assert_unbroken();
}
