//! Many cutovers of one journal: limits that hold with two controllers, and a way back that none of them delays.

use std::sync::Arc;
use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::fleet::{self, FleetSettings};
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::engine::units::{CutoverName, WeightPair};
use cutover::ports::{Append, Journal, NewEntry};
use jiff::SignedDuration;
use tokio::runtime::Builder;

use super::world::{PlanOf, World, locked, plan, source};

/// So many services of one zone, each with an alarm of its own.
fn services(count: usize, bake_secs: i64) -> Vec<PlanSource> {
    let service = |number: usize| {
        plan(&PlanOf {
            name: &name(number),
            zones: &[(0, 1)],
            record_type: "CNAME",
            steps: &[(10, bake_secs), (100, bake_secs)],
            alarms: &[alarm(number)],
            fallbacks: &[],
        })
    };
    (0..count).map(service).collect()
}

fn name(number: usize) -> String {
    format!("svc{number:02}")
}

fn alarm(number: usize) -> String {
    format!("svc{number:02}-errors")
}

/// Appends to `@fleet`; again if somebody was faster.
async fn tell(world: &World, event: Event) {
    for _ in 0..20 {
        let seq = world
            .journal
            .head(&fleet::stream())
            .await
            .expect("a journal");
        let entry = NewEntry {
            cutover: fleet::stream(),
            attempt: 1,
            at: world.now(),
            actor: "ada@desk".to_owned(),
            event: event.clone(),
        };
        let append = Append {
            expect: vec![(fleet::stream(), seq)],
            entries: vec![entry],
            append_id: format!("told {seq} {}", event.label()),
        };
        if world.journal.append(append).await.is_ok() {
            world.sync();
            return;
        }
    }
    panic!("never told");
}

async fn limit(world: &World, max_in_flight: Option<u32>, failure_budget: Option<u32>) {
    let settings = FleetSettings {
        max_in_flight,
        failure_budget,
        notify: None,
    };
    let path = "/plans/fleet.yaml".to_owned();
    tell(world, Event::FleetSettingsAccepted { settings, path }).await;
}

fn count(world: &World, sources: &[PlanSource], phase: Phase) -> usize {
    let fits = |source: &&PlanSource| {
        let state = world.state(source.plan.name.as_str());
        state.is_some_and(|state| state.phase == phase)
    };
    sources.iter().filter(fits).count()
}

fn held_by(world: &World, name: &str, kind: &str) -> bool {
    let held = world.state(name).map(|state| state.held);
    let kinds = held.into_iter().flatten().map(|reason| {
        let json = serde_json::to_value(reason).expect("a hold is JSON");
        json["kind"].as_str().expect("a kind").to_owned()
    });
    kinds.into_iter().any(|its| its == kind)
}

/// What `resume --fleet` would append now.
fn resumption(world: &World) -> Option<Event> {
    let mut fleet = fleet::Fleet::default();
    let mut states = std::collections::BTreeMap::new();
    for entry in &locked(&world.witness).entries {
        if fleet::is_fleet(&entry.cutover) {
            fleet.take(entry);
            continue;
        }
        let state = states.entry(entry.cutover.clone()).or_default();
        let before = Option::as_ref(state).map(|state: &cutover::engine::state::State| state.phase);
        cutover::engine::fold::apply(state, entry).expect("a journal that folds");
        if let Some(after) = state {
            fleet.note(entry, before, after);
        }
    }
    fleet::commands::resume(&fleet, "looked at").ok()
}

#[tokio::test(start_paused = true)]
async fn two_controllers_never_have_more_in_flight_than_may_be() {
    let sources = services(9, 60);
    let world = World::new(&sources);
    limit(&world, Some(2), None).await;
    let _one = world.start("one");
    let _two = world.start("two");
    let mut most = 0;
    for _ in 0..9 * 60 * 10 {
        world.sync();
        most = most.max(locked(&world.witness).fleet.in_flight());
        if count(&world, &sources, Phase::Completed) == sources.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.assert_unbroken();
    assert_eq!(count(&world, &sources, Phase::Completed), 9);
    assert_eq!(most, 2, "both slots were used, and no third one");
    let waited = world.entries(&name(8), "step_held");
    assert!(
        format!("{waited:?}").contains("FleetFull"),
        "who waited was told why"
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_starts_when_the_others_have_completed() {
    let mut sources = services(3, 30);
    sources[0].plan.after = vec![CutoverName::from(name(2).as_str())];
    sources[1].plan.after = vec![CutoverName::from(name(0).as_str())];
    let sources: Vec<PlanSource> = sources.into_iter().map(|it| source(it.plan)).collect();
    let world = World::new(&sources);
    let _process = world.start("one");
    let over = |world: &World| count(world, &sources, Phase::Completed) == 3;
    assert!(world.until(900, over).await, "all complete in their order");
    world.assert_unbroken();
    let when = |number: usize, label: &str| {
        let entries = world.entries(&name(number), label);
        entries.first().map(|entry| entry.at).expect("an entry")
    };
    for (first, then) in [(2, 0), (0, 1)] {
        let (ended, began) = (
            when(first, "completed"),
            when(then, "weight_change_intended"),
        );
        let gap = began.duration_since(ended).as_secs();
        assert!((0..=1).contains(&gap), "it starts at once: {gap} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_went_back_holds_what_comes_after_and_does_not_revert_it() {
    let mut sources = services(2, 3600);
    sources[1].plan.after = vec![CutoverName::from(name(0).as_str())];
    let sources: Vec<PlanSource> = sources.into_iter().map(|it| source(it.plan)).collect();
    let world = World::new(&sources);
    let _process = world.start("one");
    let first_bakes = |world: &World| count(world, &sources, Phase::Baking) == 1;
    assert!(world.until(300, first_bakes).await);
    world.turn(&alarm(0), AlarmState::Alarm);
    let back = |world: &World| count(world, &sources, Phase::Reverted) == 1;
    assert!(world.until(60, back).await);
    tokio::time::sleep(Duration::from_mins(5)).await;
    world.assert_unbroken();
    assert_eq!(count(&world, &sources, Phase::Waiting), 1);
    assert!(held_by(&world, &name(1), "dependency"));
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_holds_all_pages_once_and_ends_when_a_person_resumes() {
    let sources = services(4, 300);
    let world = World::new(&sources);
    limit(&world, None, Some(1)).await;
    let _one = world.start("one");
    let _two = world.start("two");
    let bake = |world: &World| count(world, &sources, Phase::Baking) == 4;
    assert!(world.until(300, bake).await);
    world.turn(&alarm(0), AlarmState::Alarm);
    tokio::time::sleep(Duration::from_mins(30)).await;
    world.assert_unbroken();
    assert_eq!(count(&world, &sources, Phase::Reverted), 1);
    assert_eq!(
        count(&world, &sources, Phase::Baking),
        3,
        "nothing advances"
    );
    assert!(held_by(&world, &name(1), "budget_spent"));
    assert_eq!(world.entries("@fleet", "fleet_budget_spent").len(), 1);
    let pages = |label: &str| {
        let pages = locked(&world.pages);
        let fits = pages
            .iter()
            .filter(|page| page.entry.event.label() == label);
        fits.map(|page| page.idempotency_key.clone())
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    assert_eq!((pages("fleet_budget_spent"), pages("step_held")), (1, 0));
    tell(&world, resumption(&world).expect("a revert to forgive")).await;
    let over = |world: &World| count(world, &sources, Phase::Completed) == 3;
    assert!(world.until(900, over).await, "the others go on");
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_third_service_that_fails_within_minutes_says_that_it_looks_like_one_cause() {
    let sources = services(4, 3600);
    let world = World::new(&sources);
    let _process = world.start("one");
    let bake = |world: &World| count(world, &sources, Phase::Baking) == 4;
    assert!(world.until(300, bake).await);
    for number in 0..3 {
        world.turn(&alarm(number), AlarmState::Alarm);
        tokio::time::sleep(Duration::from_mins(2)).await;
    }
    world.assert_unbroken();
    let shared = |number: usize| {
        let entries = world.entries(&name(number), "revert_intended");
        match &entries.first().expect("a revert").event {
            Event::RevertIntended { shared, .. } => shared.clone(),
            _ => None,
        }
    };
    assert_eq!(shared(0), None);
    assert_eq!(shared(1), None);
    let fate = shared(2).expect("the third one says so");
    assert_eq!(fate.services, 3);
    assert_eq!(fate.named, [0, 1, 2].map(|it| CutoverName::from(name(it))));
}

/// Frozen, budget spent, and an entry in `@fleet` that makes no sense: the way back takes as long as ever.
#[tokio::test(start_paused = true)]
async fn nothing_about_the_fleet_delays_a_revert() {
    let sources = services(3, 120);
    let world = World::new(&sources);
    let _process = world.start("one");
    let bake = |world: &World| count(world, &sources, Phase::Baking) == 3;
    assert!(world.until(300, bake).await);
    limit(&world, Some(1), Some(1)).await;
    let reason = "sale".to_owned();
    tell(
        &world,
        Event::FleetFrozen {
            until: None,
            reason,
        },
    )
    .await;
    tell(&world, Event::Completed { adopted: None }).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(
        count(&world, &sources, Phase::Baking),
        3,
        "nothing advances"
    );
    assert!(held_by(&world, &name(0), "frozen"));
    assert!(held_by(&world, &name(0), "fleet_unreadable"));
    for number in 0..3 {
        world.turn(&alarm(number), AlarmState::Alarm);
    }
    let back = |world: &World| {
        let groups = sources.iter().flat_map(|source| &source.plan.records);
        groups
            .into_iter()
            .all(|group| world.pair(&group.zone.zone, &group.name) == WeightPair::new(100, 0))
    };
    assert!(world.until(11, back).await, "back within a round");
    world.assert_unbroken();
}

/// The seeds of every run, besides a fresh one.
const SEEDS: std::ops::Range<u64> = 0..6;

#[test]
fn fleets_keep_their_limits_whatever_happens() {
    for seed in SEEDS.chain([fastrand::u64(..)]) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        println_seed(seed);
        runtime.block_on(scenario(seed));
    }
}

/// Shown by the test runner where the test fails.
#[expect(clippy::print_stdout, reason = "a failing seed is printed")]
fn println_seed(seed: u64) {
    println!("seed {seed}");
}

/// Two controllers that are restarted at any moment, gates that fail, people who freeze, resume and try again.
async fn scenario(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let number = rng.usize(4..10);
    let mut sources = services(number, rng.i64(20..120));
    for (index, it) in sources.iter_mut().enumerate().skip(1) {
        if rng.u8(..) < 60 {
            it.plan.after = vec![CutoverName::from(name(rng.usize(..index)))];
        }
    }
    let sources: Vec<PlanSource> = sources.into_iter().map(|it| source(it.plan)).collect();
    let world = World::new(&sources);
    limit(&world, Some(rng.u32(1..4)), Some(rng.u32(1..3))).await;
    let mut processes = [world.start("p0"), world.start("p1")];
    let mut born = 2;
    for _ in 0..rng.usize(20..60) {
        tokio::time::sleep(Duration::from_millis(rng.u64(100..40_000))).await;
        let index = rng.usize(..number);
        match rng.u8(..10) {
            0 | 1 => world.turn(&alarm(index), AlarmState::Alarm),
            2 | 3 => world.turn(&alarm(index), AlarmState::Ok),
            4 => {
                let which = rng.usize(..2);
                processes[which].task.abort();
                processes[which] = world.start(&format!("p{born}"));
                born += 1;
            }
            5 => {
                let until = Some(world.now() + SignedDuration::from_secs(rng.i64(1..120)));
                let reason = "sale".to_owned();
                tell(&world, Event::FleetFrozen { until, reason }).await;
            }
            6 | 7 => {
                world.sync();
                if let Some(event) = resumption(&world) {
                    tell(&world, event).await;
                }
            }
            8 => {
                let reverted = world.state(&name(index));
                let free = |state: &cutover::engine::state::State| {
                    state.phase == Phase::Reverted && state.write.is_none()
                };
                if reverted.is_some_and(|state| free(&state)) {
                    world
                        .ask(&name(index), Event::RetryRequested { reason: None })
                        .await;
                }
            }
            _ => limit(&world, Some(rng.u32(1..4)), Some(rng.u32(1..3))).await,
        }
        world.assert_unbroken();
    }
    for index in 0..number {
        world.turn(&alarm(index), AlarmState::Ok);
    }
    tokio::time::sleep(Duration::from_mins(5)).await;
    world.assert_unbroken();
    let broken = locked(&world.witness).fleet.finished();
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_changes_while_it_waits_moves_no_record_of_the_one_before() {
    let mut sources = services(2, 86_400);
    sources[1].plan.name = "other".into();
    let world = World::new(&sources);
    limit(&world, Some(0), None).await;
    let process = world.start("one");
    tokio::time::sleep(Duration::from_mins(2)).await;
    let first = &sources[0];
    assert!(held_by(&world, first.plan.name.as_str(), "fleet_full"));
    // Its file names another record now, and at the same moment it may start.
    let mut plan = first.plan.clone();
    plan.records = sources[1].plan.records.clone();
    let changed = source(plan);
    {
        let mut files = locked(&world.files.0);
        files.remove(&sources[1].path);
        files.insert(
            changed.path.clone(),
            FileReading::Plan(Arc::new(changed.clone())),
        );
    }
    limit(&world, None, None).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let pair = |source: &PlanSource| super::calls::pair(&world, source);
    assert_eq!(pair(first), WeightPair::new(100, 0), "no plan names it");
    assert_ne!(pair(&changed), WeightPair::new(100, 0), "it has started");
    process.task.abort();
}

#[tokio::test(start_paused = true)]
async fn of_two_files_with_one_name_the_one_that_came_first_stands_and_the_other_is_refused() {
    let sources = services(1, 86_400);
    let world = World::new(&sources);
    limit(&world, Some(0), None).await;
    let process = world.start("one");
    tokio::time::sleep(Duration::from_secs(30)).await;
    // In the order of the paths it comes before.
    let mut impostor = source(sources[0].plan.clone());
    impostor.plan.steps[0].bake = SignedDuration::from_secs(1);
    impostor.digest = "another".to_owned();
    impostor.path = "/plans/aaa.yaml".to_owned();
    locked(&world.files.0).insert(impostor.path.clone(), FileReading::Plan(Arc::new(impostor)));
    limit(&world, None, None).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let state = world.state(&name(0)).expect("accepted");
    assert_eq!(state.source, sources[0], "the plan that it was");
    assert_eq!(world.entries(&name(0), "plan_accepted").len(), 1);
    process.task.abort();
    world.assert_unbroken();
}

/// A service that bakes, beside so many that each wait for the next one, the last for the first.
fn beside_a_circle(count: usize) -> Vec<PlanSource> {
    let mut sources = services(count + 1, 86_400);
    for (number, waiting) in sources.iter_mut().enumerate().skip(1) {
        let next = if number == count { 1 } else { number + 1 };
        let mut plan = waiting.plan.clone();
        plan.after = vec![CutoverName::from(name(next))];
        *waiting = source(plan);
    }
    sources
}

#[tokio::test(start_paused = true)]
async fn a_large_circle_of_after_is_held_once_and_delays_no_revert() {
    let sources = beside_a_circle(400);
    let world = World::new(&sources);
    let process = world.start("one");
    let bakes = |world: &World| {
        let state = world.state(&name(0));
        state.is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(300, bakes).await);
    let entries = |world: &World| locked(&world.witness).entries.len();
    let before = entries(&world);
    tokio::time::sleep(Duration::from_mins(15)).await;
    world.sync();
    assert!(entries(&world) <= before + 2);
    for number in 1..=400 {
        let held = world.entries(&name(number), "step_held");
        assert_eq!(held.len(), 1, "{} is held", name(number));
    }
    world.turn(&alarm(0), AlarmState::Alarm);
    let red_at = world.now();
    let reverts = |world: &World| !world.entries(&name(0), "revert_intended").is_empty();
    assert!(world.until(15, reverts).await);
    let took = world.now().duration_since(red_at);
    assert!(took <= SignedDuration::from_secs(11), "{took:#}");
    process.task.abort();
    world.assert_unbroken();
}
