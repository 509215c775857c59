//! One stream of the journal is damaged: what the program does with all others, and what works for that one.

use std::time::Duration;

use cutover::sim::fault::{Fault, Lasting};
use rusqlite::Connection;

use super::scene::{LADDER, Plan, Scene};
use crate::support::program::{Running, pause, until};

const GROUPS: [(&str, &str, &str); 2] = [
    ("example.com", "aaa.example.com", "A"),
    ("example.net", "bbb.example.net", "CNAME"),
];

/// Two cutovers that bake their first step, and the controller that watches them.
fn two_bake() -> (Scene, Running) {
    let scene = Scene::empty();
    for ((zone, record, kind), name) in GROUPS.into_iter().zip(["aaa", "bbb"]) {
        scene.add_group(zone, record, kind);
        let alarm = format!("{name}-errors");
        scene.add_alarm(&alarm);
        scene.plan(&Plan {
            name: name.to_owned(),
            gates: vec![alarm],
            fallbacks: Vec::new(),
            records: vec![(zone.to_owned(), record.to_owned(), kind)],
            ..Plan::resting_at_first_step()
        });
    }
    let run = scene.run("plans");
    scene.wait_for_phase("aaa", "baking");
    scene.wait_for_phase("bbb", "baking");
    (scene, run)
}

/// Appends an entry to the stream of `bbb` as another program would.
fn forge(scene: &Scene, event: &str) {
    let journal = Connection::open(scene.path(".cutover/journal.db")).expect("the journal");
    let wait = Duration::from_secs(5);
    journal.busy_timeout(wait).expect("it is set");
    let forged = journal.execute(
        "INSERT INTO events (stream, seq, at, attempt, actor, version, append_id, event)
         SELECT stream, seq + 1, at, attempt, 'another program', version, 'forged-' || (seq + 1), ?1
         FROM events WHERE stream = 'bbb' ORDER BY seq DESC LIMIT 1",
        [event],
    );
    assert_eq!(forged, Ok(1));
}

const CANNOT_FOLLOW: &str = r#"{"type":"bake_started","step":7}"#;
const NEWER: &str = r#"{"type":"teleported","to":"mars"}"#;

fn weights(scene: &Scene) -> [Vec<(u8, u8)>; 2] {
    GROUPS.map(|(zone, name, kind)| scene.weights(zone, name, kind))
}

#[test]
fn a_running_controller_goes_on_pages_and_answers_the_alarm_of_the_other() {
    let (scene, mut run) = two_bake();
    forge(&scene, CANNOT_FOLLOW);
    let status = scene.wait_for_hold("bbb", "journal_damaged");
    assert_eq!(status["phase"], "baking", "its last good state: {status:#}");
    assert_eq!(status["records"][0]["new_weight"], 10, "{status:#}");
    let told = || run.log().contains("`cutover rollback bbb`").then_some(());
    until(told).expect("the log has the page");
    scene.red("aaa-errors");
    scene.red("bbb-errors");
    scene.wait_for_phase("aaa", "reverted");
    assert!(run.is_alive());
    let [aaa, bbb] = weights(&scene);
    assert_eq!(aaa, [LADDER[0], LADDER[1], LADDER[0]]);
    assert_eq!(bbb, LADDER[..2]);
    let shown = scene.ok(&["status", "--needs-person"]).stdout;
    assert!(shown.contains("bbb"), "{shown}");
    assert!(shown.contains("bake_started cannot follow"), "{shown}");
    run.kill();
    // It can be started again, and is told apart by its exit code.
    let mut again = scene.run("plans");
    pause(Duration::from_secs(3));
    assert!(again.is_alive(), "{}", again.log());
    again.kill();
    let once = scene.say(&["run", "plans", "--once"]);
    assert_eq!(once.code, Some(22), "{once:#?}");
    assert_eq!(scene.count("@fleet", "cutover_damaged"), 1);
}

#[test]
fn a_rollback_of_the_other_is_as_if_the_damaged_one_were_not_there() {
    let (scene, run) = two_bake();
    run.kill();
    for event in [CANNOT_FOLLOW, NEWER] {
        forge(&scene, event);
    }
    let said = scene.ok(&["rollback", "aaa", "--yes"]);
    assert!(!said.stderr.contains("bbb"), "{said:#?}");
    let [aaa, bbb] = weights(&scene);
    assert_eq!(aaa, [LADDER[0], LADDER[1], LADDER[0]]);
    assert_eq!(bbb, LADDER[..2]);
}

#[test]
fn a_rollback_of_all_writes_the_stored_baseline_of_the_damaged_one_and_exits_22() {
    let (scene, run) = two_bake();
    run.kill();
    forge(&scene, NEWER);
    let said = scene.say(&["rollback", "--all", "--yes", "--reason", "incident 42"]);
    assert_eq!(said.code, Some(22), "{said:#?}");
    assert!(
        said.stdout.contains("bbb: its journal is damaged"),
        "{said:#?}"
    );
    assert!(said.stdout.contains("aaa: at the baseline"), "{said:#?}");
    for written in weights(&scene) {
        assert_eq!(written, [LADDER[0], LADDER[1], LADDER[0]]);
    }
    let history = scene.history("@fleet");
    let back = history
        .iter()
        .find(|entry| entry["event"]["type"] == "damaged_taken_back");
    let event = &back.expect("an entry records it")["event"];
    assert_eq!(event["of"], "bbb");
    assert_eq!((&event["back"], &event["groups"]), (&1.into(), &1.into()));
    assert_eq!(event["reason"], "incident 42");
    let last = scene.history("bbb").pop().expect("its entries");
    assert_eq!(
        last["event"]["type"], "unreadable",
        "nothing is written to it"
    );
}

#[test]
fn a_damaged_one_goes_back_by_name_and_every_other_command_is_refused_with_what_works() {
    let (scene, run) = two_bake();
    run.kill();
    forge(&scene, CANNOT_FOLLOW);
    let refused = scene.say(&["pause", "bbb"]);
    assert_eq!(refused.code, Some(12), "{refused:#?}");
    assert!(
        refused.stderr.contains("`cutover rollback bbb`"),
        "{refused:#?}"
    );
    let pattern = scene.ok(&["pause", "*"]);
    assert!(pattern.stderr.contains("bbb passed over"), "{pattern:#?}");
    let change = Some("ChangeResourceRecordSets");
    scene
        .bed
        .fault(change, Fault::throttle(), Lasting::Calls(1));
    let said = scene.say(&["rollback", "bbb", "--yes", "--format", "json"]);
    assert_eq!(said.code, Some(22), "{said:#?}");
    let rows: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(rows[0]["name"], "bbb");
    assert_eq!(rows[0]["damaged"], true);
    let [aaa, bbb] = weights(&scene);
    assert_eq!(aaa, LADDER[..2]);
    assert_eq!(bbb, [LADDER[0], LADDER[1], LADDER[0]]);
}
