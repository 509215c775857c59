//! How often AWS is called, counted call by call.

use std::collections::BTreeMap;

use serde_json::Value;

use super::scene::{Plan, Scene};
use crate::support::program::{PATIENCE, Running, until};

/// So many services of one zone, each with a plan, groups and two alarms of its own, all baking their first step.
fn fleet(services: usize, groups_each: usize) -> (Scene, Running) {
    let scene = Scene::empty();
    for number in 0..services {
        let name = format!("service-{number:03}");
        let hosts: Vec<_> = (0..groups_each).map(|group| host(number, group)).collect();
        for host in &hosts {
            scene.add_group("example.com", host, "CNAME");
        }
        let gates = vec![format!("{name}-5xx"), format!("{name}-p99")];
        for gate in &gates {
            scene.add_alarm(gate);
        }
        let record = |host| ("example.com".to_owned(), host, "CNAME");
        scene.plan(&Plan {
            name,
            gates,
            fallbacks: Vec::new(),
            records: hosts.into_iter().map(record).collect(),
            ..Plan::resting_at_first_step()
        });
    }
    let run = scene.run("plans");
    let all_bake = || {
        let said = scene.ok(&["status", "--format", "json"]);
        let rows: Vec<Value> = serde_json::from_str(&said.stdout).expect("status is JSON");
        let baking = rows.iter().filter(|row| row["phase"] == "baking").count();
        (baking == services).then_some(())
    };
    let waited = until(all_bake);
    assert!(
        waited.is_some(),
        "not all bake after {PATIENCE:?}\n{}",
        scene.logs()
    );
    (scene, run)
}

fn host(service: usize, group: usize) -> String {
    format!("service-{service:03}-{group:02}.example.com")
}

/// The calls since `before`, by operation.
fn since(scene: &Scene, before: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let counts = scene.bed.counts().into_iter();
    let new = counts.map(|(operation, count)| {
        let old = before.get(&operation).copied().unwrap_or(0);
        (operation, count - old)
    });
    new.filter(|(_, count)| *count > 0).collect()
}

/// A round of a fleet that bakes: the alarms, and (in a process that has not looked yet) the check for drift.
fn a_quiet_round_asks_for_alarms_only(services: usize) {
    let (scene, run) = fleet(services, 1);
    let before = scene.bed.counts();
    let rounds = 5;
    let looked = until(|| {
        let new = since(&scene, &before);
        (new.get("DescribeAlarms").copied() >= Some(rounds)).then_some(())
    });
    assert!(looked.is_some(), "{}", scene.logs());
    let new = since(&scene, &before);
    let others: Vec<_> = new.keys().filter(|it| *it != "DescribeAlarms").collect();
    // Drift is looked for once a minute, in pages of the zone.
    let drift_only = others.iter().all(|it| *it == "ListResourceRecordSets");
    assert!(drift_only, "{new:?}");
    drop(run);

    let before = scene.bed.counts();
    let once = scene.say(&["run", "plans", "--once"]);
    assert_eq!(once.code, Some(0), "{once:#?}");
    let new = since(&scene, &before);
    let alarms = (2 * services).div_ceil(100);
    assert_eq!(new.get("DescribeAlarms").copied(), Some(alarms), "{new:?}");
    // A process that has not looked yet compares all groups with what was last verified: few of them one by one, many in
    // pages of 300 of their zone, whose size it asks for once.
    let pages = new.get("ListResourceRecordSets").copied().unwrap_or(0);
    assert!((1..=services.min(3)).contains(&pages), "{new:?}");
    let sizes = new.get("GetHostedZone").copied().unwrap_or(0);
    assert!(sizes <= 1, "{new:?}");
    assert_eq!(
        new.values().sum::<usize>(),
        alarms + pages + sizes,
        "{new:?}"
    );
}

#[test]
fn a_quiet_round_of_three_services_asks_for_all_alarms_in_one_call() {
    a_quiet_round_asks_for_alarms_only(3);
}

#[test]
fn a_quiet_round_of_sixty_services_asks_for_all_alarms_in_two_calls() {
    a_quiet_round_asks_for_alarms_only(60);
}

/// Takes back everything at once, and checks how many changes that takes: a group is four record sets of a batch, the
/// DELETE and CREATE of two, and a batch holds 1,000.
fn goes_back_in(changes: usize, services: usize, groups_each: usize) {
    let (scene, run) = fleet(services, groups_each);
    run.kill();
    let before = scene.bed.counts();
    scene.ok(&["rollback", "--all", "--yes"]);
    let calls = since(&scene, &before);
    for service in 0..services {
        for group in 0..groups_each {
            let weights = scene.weights("example.com", &host(service, group), "CNAME");
            assert_eq!(weights, [(100, 0), (90, 10), (100, 0)]);
        }
    }
    let count = |operation| calls.get(operation).copied().unwrap_or(0);
    assert_eq!(count("ChangeResourceRecordSets"), changes, "{calls:?}");
    assert_eq!(count("DescribeAlarms"), 0, "{calls:?}");
    // What is there is read in pages of the zone, not name by name: before, after, and once more after the fence; more
    // often where the machine is slow.
    assert!(count("ListResourceRecordSets") <= 100, "{calls:?}");
}

#[test]
fn ten_groups_of_one_zone_go_back_in_one_change() {
    goes_back_in(1, 10, 1);
}

#[test]
fn two_hundred_and_fifty_groups_of_one_zone_go_back_in_one_change() {
    goes_back_in(1, 10, 25);
}

#[test]
fn three_hundred_groups_of_one_zone_go_back_in_two_changes() {
    goes_back_in(2, 10, 30);
}
