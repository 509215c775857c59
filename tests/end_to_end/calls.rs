//! How often AWS is called, counted call by call.

use std::collections::BTreeMap;

use serde_json::Value;

use super::scene::{Plan, Scene};
use crate::support::program::{PATIENCE, Running, until};

/// So many services of one zone, each with a plan, a group and two alarms of its own, all baking their first step.
fn fleet(services: usize) -> (Scene, Running) {
    let scene = Scene::empty();
    for number in 0..services {
        let name = format!("service-{number:03}");
        let host = format!("{name}.example.com");
        scene.add_group("example.com", &host, "CNAME");
        let gates = vec![format!("{name}-5xx"), format!("{name}-p99")];
        for gate in &gates {
            scene.add_alarm(gate);
        }
        scene.plan(&Plan {
            name,
            gates,
            fallbacks: Vec::new(),
            records: vec![("example.com".to_owned(), host, "CNAME")],
            ..Plan::resting_at_first_step()
        });
    }
    let run = scene.run("plans");
    let all_bake = || {
        let said = scene.ok(&["status", "--format", "json"]);
        let rows: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
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
    let (scene, run) = fleet(services);
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
    assert_eq!(new.values().sum::<usize>(), alarms + pages + sizes, "{new:?}");
}

#[test]
fn a_quiet_round_of_three_services_asks_for_all_alarms_in_one_call() {
    a_quiet_round_asks_for_alarms_only(3);
}

#[test]
fn a_quiet_round_of_sixty_services_asks_for_all_alarms_in_two_calls() {
    a_quiet_round_asks_for_alarms_only(60);
}

/// Takes back so many services at once; returns the calls that it took.
fn calls_of_a_rollback(services: usize) -> BTreeMap<String, usize> {
    let (scene, run) = fleet(services);
    run.kill();
    let before = scene.bed.counts();
    scene.ok(&["rollback", "--all", "--yes"]);
    let new = since(&scene, &before);
    for number in 0..services {
        let host = format!("service-{number:03}.example.com");
        let weights = scene.weights("example.com", &host, "CNAME");
        assert_eq!(weights, [(100, 0), (90, 10), (100, 0)]);
    }
    new
}

#[test]
fn ten_services_of_one_zone_go_back_in_one_change() {
    let calls = calls_of_a_rollback(10);
    assert_eq!(calls.get("ChangeResourceRecordSets"), Some(&1), "{calls:?}");
    assert_eq!(calls.get("DescribeAlarms"), None, "{calls:?}");
}

#[test]
fn two_hundred_and_fifty_services_of_one_zone_go_back_in_one_change() {
    let calls = calls_of_a_rollback(250);
    assert_eq!(calls.get("ChangeResourceRecordSets"), Some(&1), "{calls:?}");
    assert_eq!(calls.get("DescribeAlarms"), None, "{calls:?}");
}
