//! Many that wait for a person by one cause: whoever is woken is woken once, and told how many and which.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::notify::{Channel, Notify, PAGE, Via};
use cutover::engine::observation::FileReading;
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::engine::units::CutoverName;
use cutover::report;

use super::world::{PlanOf, World, locked, plan, source};

/// Services of a zone that bake for days.
fn services(zone: usize, count: usize, notify: &Notify) -> Vec<PlanSource> {
    let service = |number: usize| {
        let mut plan = plan(&PlanOf {
            name: &name(zone, number),
            zones: &[(zone, 1)],
            record_type: "CNAME",
            steps: &[(10, 864_000), (100, 60)],
            alarms: &["errors".to_owned()],
            fallbacks: &[],
        })
        .plan;
        plan.notify = Some(notify.clone());
        source(plan)
    };
    (0..count).map(service).collect()
}

fn name(zone: usize, number: usize) -> String {
    format!("svc{zone}-{number:02}")
}

fn command(word: &str) -> Notify {
    Notify {
        command: vec![word.to_owned()],
        channels: Vec::new(),
    }
}

/// How often each command was run for each page; ends of pages aside.
fn pages(world: &World) -> BTreeMap<(String, String), usize> {
    let mut counted = BTreeMap::new();
    for page in locked(&world.pages).iter() {
        if !page.settles.is_empty() {
            continue;
        }
        let command = page.command.clone().unwrap_or_default().join(" ");
        let key = (page.idempotency_key.clone(), command);
        *counted.entry(key).or_default() += 1;
    }
    counted
}

fn once(keys: &[(&str, &str)]) -> BTreeMap<(String, String), usize> {
    let one = |(key, command): &(&str, &str)| (((*key).to_owned(), (*command).to_owned()), 1);
    keys.iter().map(one).collect()
}

async fn all_bake(world: &World, sources: &[PlanSource]) {
    let bakes = |world: &World, source: &PlanSource| {
        let state = world.state(source.plan.name.as_str());
        state.is_some_and(|state| state.phase == Phase::Baking)
    };
    let all = |world: &World| sources.iter().all(|source| bakes(world, source));
    assert!(world.until(600, all).await);
}

fn told(world: &World) -> Vec<String> {
    let entries = world.entries("@fleet", "fleet_held");
    entries
        .iter()
        .map(|entry| report::event(&entry.event))
        .collect()
}

/// No page waits for anybody, and nobody is held by more than it says.
fn assert_told(world: &World, sources: &[PlanSource], kind: &str) {
    world.sync();
    for source in sources {
        let state = world.state(source.plan.name.as_str()).expect("known");
        assert!(
            state.held.iter().any(|reason| reason.kind() == kind),
            "{:?}",
            state.held
        );
        assert!(state.pages.is_empty(), "{}: {:?}", state.name, state.pages);
    }
}

#[tokio::test(start_paused = true)]
async fn when_route_53_cannot_be_read_everybody_who_is_to_know_is_woken_once() {
    let mut sources = services(0, 25, &command("sre"));
    let zone1 = services(1, 5, &command("sre"));
    let zone2 = services(2, 4, &command("sre"));
    sources[7].plan.notify = Some(command("search-team"));
    sources[7] = source(sources[7].plan.clone());
    let all: Vec<PlanSource> = [sources.clone(), zone1.clone(), zone2.clone()].concat();
    let world = World::new(&all);
    let process = world.start("one");
    all_bake(&world, &all).await;
    let hang = |zone: usize| {
        let zone = world.zones[&format!("zone{zone}.example")].clone();
        locked(&world.knobs).hanging = Some(zone);
    };
    hang(0);
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_told(&world, &sources, "route53_unreadable");
    // Without a command of its own the fleet's page goes to the log.
    let first = [
        ("@fleet/1", ""),
        ("@fleet/1", "sre"),
        ("@fleet/1", "search-team"),
    ];
    assert_eq!(pages(&world), once(&first));
    let words = told(&world).remove(0);
    for part in [
        "25 services (svc0-00, svc0-01, svc0-02, svc0-03, svc0-04 and 20 more) are held",
        "it looks like one cause",
        "svc0-00: Route 53 cannot be read",
        "did not answer within 5 s",
        "check the network and its proxy, the credentials",
    ] {
        assert!(words.contains(part), "{part} in: {words}");
    }
    // More of the same some minutes later, and another process: nobody is woken again.
    hang(1);
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_told(&world, &zone1, "route53_unreadable");
    process.task.abort();
    let process = world.start("two");
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(pages(&world), once(&first));
    // Much later it is news.
    hang(2);
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_told(&world, &zone2, "route53_unreadable");
    let second = [&first[..], &[("@fleet/3", ""), ("@fleet/3", "sre")]].concat();
    assert_eq!(pages(&world), once(&second));
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_mistake_in_the_fleets_file_wakes_once_and_two_plans_wake_one_by_one() {
    let sources = services(0, 12, &command("sre"));
    let world = World::new(&sources);
    let process = world.start("one");
    all_bake(&world, &sources).await;
    let spoil = |sources: &[PlanSource]| {
        let mut files = locked(&world.files.0);
        for source in sources {
            let why = "the fleet's file that applies to this plan, /plans/fleet.yaml, is not valid";
            let reading = FileReading::Unreadable(why.to_owned());
            files.insert(source.path.clone(), reading);
        }
    };
    spoil(&sources);
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_told(&world, &sources, "plan_unreadable");
    let log_and_command = [("@fleet/1", ""), ("@fleet/1", "sre")];
    assert_eq!(pages(&world), once(&log_and_command));
    let words = told(&world).remove(0);
    assert!(
        words.contains("12 services") && words.contains("/plans/fleet.yaml, is not valid"),
        "{words}"
    );
    for source in &sources {
        let reading = FileReading::Plan(std::sync::Arc::new(source.clone()));
        locked(&world.files.0).insert(source.path.clone(), reading);
    }
    tokio::time::sleep(Duration::from_mins(40)).await;
    spoil(&sources[..2]);
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_told(&world, &sources[..2], "plan_unreadable");
    let keys: Vec<(String, String)> = pages(&world).into_keys().collect();
    let own = keys.iter().filter(|(key, _)| key.starts_with("svc0-"));
    assert_eq!((keys.len(), own.count()), (4, 2), "{keys:?}");
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn channels_are_told_once_too_also_where_only_the_plans_name_them() {
    let notify = Notify {
        command: Vec::new(),
        channels: vec![Channel {
            via: Via::Sns {
                topic_arn: "arn:aws:sns:us-east-1:111111111111:t".to_owned(),
            },
            on: vec![PAGE.to_owned()],
            except: Vec::new(),
        }],
    };
    let sources = services(0, 6, &notify);
    let world = World::new(&sources);
    let process = world.start("one");
    all_bake(&world, &sources).await;
    let zone = world.zones["zone0.example"].clone();
    locked(&world.knobs).hanging = Some(zone);
    tokio::time::sleep(Duration::from_mins(4)).await;
    process.task.abort();
    let process = world.start("two");
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_told(&world, &sources, "route53_unreadable");
    let streams: Vec<CutoverName> = {
        let channels = locked(&world.channels);
        let told = channels.notices.iter();
        told.map(|told| told.notice.entry.cutover.clone()).collect()
    };
    assert_eq!(streams, [CutoverName::from("@fleet")]);
    let held = world.entries("@fleet", "fleet_held").remove(0);
    let Event::FleetHeld {
        services, named, ..
    } = held.event
    else {
        panic!("{held:?}");
    };
    assert_eq!((services, named.len()), (6, 6));
    process.task.abort();
    world.assert_unbroken();
}
