//! A directory of plans with a `fleet.yaml`, over HTTP: limits, order, and a file that is broken.

use std::process::Command;

use serde_json::Value;

use super::scene::{Plan, Scene};
use crate::support::program::until;

/// A service with one group and one alarm.
fn service(scene: &Scene, name: &str) {
    service_with(scene, name, Plan::default());
}

/// A service that takes its steps as this plan does.
fn service_with(scene: &Scene, name: &str, like: Plan) {
    let host = format!("{name}.example.com");
    scene.add_group("example.com", &host, "CNAME");
    let gate = format!("{name}-5xx");
    scene.add_alarm(&gate);
    scene.plan(&Plan {
        name: name.to_owned(),
        gates: vec![gate],
        fallbacks: Vec::new(),
        records: vec![("example.com".to_owned(), host, "CNAME")],
        ..like
    });
}

#[test]
fn a_directory_runs_in_its_order_within_its_limits_beside_a_broken_file() {
    let scene = Scene::empty();
    for name in ["first", "second", "third"] {
        service(&scene, name);
    }
    let third = scene.path("plans/third.yaml");
    let text = std::fs::read_to_string(&third).unwrap();
    scene.write(
        "plans/third.yaml",
        &format!("{text}after: [ first, second ]\n"),
    );
    scene.write("plans/fleet.yaml", "max_in_flight: 1\nfailure_budget: 1\n");
    scene.write("plans/broken.yaml", "version: 1\n");
    let mut run = scene.run("plans");
    let refused = || {
        let said = scene.say(&["status"]);
        said.stdout.contains("refused: ").then_some(())
    };
    assert!(until(refused).is_some(), "{}", run.log());
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    let status: Vec<Value> =
        serde_json::from_str(&scene.ok(&["status", "--format", "json"]).stdout).unwrap();
    assert!(
        status.iter().all(|row| row["phase"] == "completed"),
        "{status:#?}"
    );
    let said = scene.ok(&["history", "@fleet", "--format", "json"]);
    let fleet: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let taken: Vec<&str> = fleet
        .iter()
        .filter(|entry| entry["event"]["type"] == "fleet_slot_taken")
        .filter_map(|entry| entry["event"]["of"].as_str())
        .collect();
    assert_eq!(taken, ["first", "second", "third"]);
    assert_eq!(fleet[0]["event"]["type"], "fleet_settings_accepted");
}

#[test]
fn plans_and_limits_that_come_change_and_go_are_followed_while_it_runs() {
    let scene = Scene::empty();
    service_with(&scene, "first", Plan::resting_at_first_step());
    scene.write("plans/fleet.yaml", "max_in_flight: 1\n");
    let mut run = scene.run("plans");
    scene.wait_for_phase("first", "baking");

    service(&scene, "second");
    scene.wait_for_hold("second", "fleet_full");
    scene.write("plans/fleet.yaml", "max_in_flight: 20\n");
    scene.wait_for_phase("second", "completed");

    let path = scene.path("plans/first.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    scene.wait_for_hold("first", "plan_unreadable");
    scene.ok(&["skip-bake", "first", "--reason", "drill"]);
    scene.wait_for_event("first", "step_completed", 1);
    scene.red("first-5xx");
    scene.wait_for_phase("first", "reverted");
    assert_eq!(
        scene.weights("example.com", "first.example.com", "CNAME"),
        [(100, 0), (90, 10), (100, 0)],
        "what is gone advances no more, and stays guarded"
    );
    scene.green("first-5xx");
    scene.write("plans/first.yaml", &text);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
}

/// How long `check` computes for a chain of so many plans, each of which comes after the one before: the processor's time, which
/// does not depend on what else the machine does.
fn check_takes(plans: usize) -> f64 {
    let scene = Scene::empty();
    for number in 0..plans {
        let host = format!("chain-{number:05}.example.com");
        let more = match number {
            0 => String::new(),
            _ => format!("after: [ chain-{:05} ]", number - 1),
        };
        scene.plan(&Plan {
            name: format!("chain-{number:05}"),
            records: vec![("example.com".to_owned(), host, "CNAME")],
            more,
            ..Plan::default()
        });
    }
    let mut shell = Command::new("sh");
    let script = "\"$0\" check plans >check.out 2>&1; echo $?; times";
    let program = env!("CARGO_BIN_EXE_cutover");
    shell.current_dir(scene.path("."));
    let said = shell.args(["-c", script, program]).output();
    let said = String::from_utf8(said.expect("a shell").stdout).expect("text");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.first(), Some(&"0"), "{said}");
    // Of the shell, and of what it ran: in itself, and in the kernel.
    let times = lines.get(2).expect("the times of what was run");
    let (user, _) = times.split_once(' ').expect("two times");
    let (minutes, seconds) = user.split_once('m').expect("minutes and seconds");
    let number = |text: &str| text.parse::<f64>().expect("a number");
    number(minutes) * 60.0 + number(seconds.trim_end_matches('s'))
}

#[test]
fn a_chain_of_plans_that_is_twice_as_long_takes_check_twice_as_long() {
    let (short, long) = (check_takes(1_500), check_takes(3_000));
    assert!(short > 0.0);
    // What grows with the square takes four times as long.
    assert!(long < 3.0 * short, "{short} s, then {long} s");
}
