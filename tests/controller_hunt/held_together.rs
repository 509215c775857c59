//! Many that wait for a person by one cause: whoever is woken is woken once, and told how many and which.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::engine::notify::{Channel, Notify, PAGE, Via};
use cutover::engine::observation::FileReading;
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;

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

/// The messages that the log (an empty word) and each command got, each with the number of its cutovers; ends of pages
/// aside.
fn messages(world: &World) -> Vec<(String, usize)> {
    let mut messages = Vec::new();
    for page in locked(&world.pages).iter() {
        if page.settles.is_empty() {
            let command = page.command.clone().unwrap_or_default().join(" ");
            messages.push((command, page.others.len() + 1));
        }
    }
    messages.sort();
    messages
}

fn sorted(messages: &[(&str, usize)]) -> Vec<(String, usize)> {
    let mut messages: Vec<(String, usize)> = messages
        .iter()
        .map(|(command, services)| ((*command).to_owned(), *services))
        .collect();
    messages.sort();
    messages
}

/// Nobody hears of an entry twice.
fn assert_once(world: &World) {
    let mut told = BTreeSet::new();
    for page in locked(&world.pages).iter() {
        let own = (page.entry.cutover.clone(), page.entry.seq);
        for (cutover, seq) in page.others.iter().chain([&own]) {
            let one = (page.command.clone(), cutover.clone(), *seq);
            assert!(told.insert(one.clone()), "{one:?}");
        }
    }
}

async fn all_bake(world: &World, sources: &[PlanSource]) {
    let bakes = |world: &World, source: &PlanSource| {
        let state = world.state(source.plan.name.as_str());
        state.is_some_and(|state| state.phase == Phase::Baking)
    };
    let all = |world: &World| sources.iter().all(|source| bakes(world, source));
    assert!(world.until(600, all).await);
}

/// What the first message for several cutovers says that the log got.
fn words(world: &World) -> String {
    let pages = locked(&world.pages);
    let mut pages = pages.iter();
    let many = pages.find(|page| !page.others.is_empty() && page.command.is_none());
    many.expect("a message for several").words.clone()
}

/// They are held by this, and nobody else's entry says so.
fn assert_held(world: &World, sources: &[PlanSource], kind: &str) {
    world.sync();
    assert!(world.entries("@fleet", "fleet_held").is_empty());
    for source in sources {
        let state = world.state(source.plan.name.as_str()).expect("known");
        assert!(
            state.held.iter().any(|reason| reason.kind() == kind),
            "{:?}",
            state.held
        );
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
    assert_held(&world, &sources, "route53_unreadable");
    let first = [("", 25), ("sre", 24), ("search-team", 1)];
    assert_eq!(messages(&world), sorted(&first));
    let words = words(&world);
    for part in [
        "25 services (svc0-00, svc0-01, svc0-02, svc0-03, svc0-04 and 20 more) are held",
        "it looks like one cause",
        "svc0-00: Route 53 cannot be read",
        "did not answer within 5 s",
        "check the network and its proxy, the credentials",
    ] {
        assert!(words.contains(part), "{part} in: {words}");
    }
    // More of the same some minutes later is one message more, and another process tells nobody again.
    hang(1);
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_held(&world, &zone1, "route53_unreadable");
    process.task.abort();
    let process = world.start("two");
    tokio::time::sleep(Duration::from_mins(10)).await;
    let second = [&first[..], &[("", 5), ("sre", 5)]].concat();
    assert_eq!(messages(&world), sorted(&second));
    hang(2);
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_held(&world, &zone2, "route53_unreadable");
    let third = [&second[..], &[("", 4), ("sre", 4)]].concat();
    assert_eq!(messages(&world), sorted(&third));
    assert_once(&world);
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_mistake_in_the_fleets_file_wakes_once_and_so_do_two_plans_with_one_cause() {
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
    assert_held(&world, &sources, "plan_unreadable");
    let all = [("", 12), ("sre", 12)];
    assert_eq!(messages(&world), sorted(&all));
    let words = words(&world);
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
    assert_held(&world, &sources[..2], "plan_unreadable");
    let two = [&all[..], &[("", 2), ("sre", 2)]].concat();
    assert_eq!(messages(&world), sorted(&two));
    assert_once(&world);
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
    assert_held(&world, &sources, "route53_unreadable");
    let told: Vec<usize> = {
        let channels = locked(&world.channels);
        let told = channels.notices.iter();
        told.map(|told| told.notice.others.len() + 1).collect()
    };
    assert_eq!(told, [6]);
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn of_two_controllers_one_tells_of_many() {
    let sources = services(0, 12, &command("sre"));
    let world = World::new(&sources);
    let (one, two) = (world.start("one"), world.start("two"));
    for process in [&one, &two] {
        process.delays.change(|faults| {
            faults.jitter = Some(fastrand::Rng::with_seed(7));
        });
    }
    all_bake(&world, &sources).await;
    let zone = world.zones["zone0.example"].clone();
    locked(&world.knobs).hanging = Some(zone);
    tokio::time::sleep(Duration::from_mins(4)).await;
    let to = |command: &str| {
        let messages = messages(&world).into_iter();
        messages.filter(|(to, _)| to == command).collect::<Vec<_>>()
    };
    let sre = to("sre");
    let services: usize = sre.iter().map(|(_, services)| services).sum();
    assert_eq!(services, 12, "nobody is told twice: {sre:?}");
    assert!(sre.len() <= 2, "{sre:?}");
    one.task.abort();
    two.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn the_first_page_goes_out_at_once_and_those_that_follow_are_the_next_message() {
    let sources = services(0, 4, &command("sre"));
    let mut world = World::new(&sources);
    world.interval = Duration::from_secs(1);
    let process = world.start("one");
    all_bake(&world, &sources).await;
    let hold = |number: usize| {
        let reading = FileReading::Unreadable("fleet.yaml is not valid".to_owned());
        locked(&world.files.0).insert(sources[number].path.clone(), reading);
    };
    hold(0);
    let told = |world: &World| !messages(world).is_empty();
    assert!(world.until(300, told).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(messages(&world), sorted(&[("", 1), ("sre", 1)]));
    for number in [1, 2, 3] {
        hold(number);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    assert_eq!(messages(&world).len(), 2, "they are collected");
    tokio::time::sleep(Duration::from_secs(8)).await;
    let all = [("", 1), ("sre", 1), ("", 3), ("sre", 3)];
    assert_eq!(messages(&world), sorted(&all));
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_message_for_many_that_fails_is_tried_again_as_one() {
    let sources = services(0, 9, &command("sre"));
    let world = World::new(&sources);
    let process = world.start("one");
    all_bake(&world, &sources).await;
    *locked(&world.pages_fail) = true;
    let zone = world.zones["zone0.example"].clone();
    locked(&world.knobs).hanging = Some(zone);
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_held(&world, &sources, "route53_unreadable");
    assert_eq!(messages(&world), []);
    *locked(&world.pages_fail) = false;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(messages(&world), sorted(&[("", 9), ("sre", 9)]));
    assert_once(&world);
    process.task.abort();
    world.assert_unbroken();
}
