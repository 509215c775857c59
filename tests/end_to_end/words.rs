//! What others wrote, in the outputs and the log of the built program; and what people can do by hand.

use cutover::engine::plan::Account;
use cutover::ports::ChangeAction;
use cutover::sim::route53::{ChangeBatch, StoredRecord};
use rusqlite::Connection;
use serde_json::Value;

use super::scene::{GROUPS, NAME, PLAN, Plan, Scene, group_name};
use crate::support::post_door::PostDoor;
use crate::support::program::{files, until};

const NASTY: &str =
    "first\n    9  forged\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{7f}\u{202e}\u{200b}last";

fn is_clean(text: &str) -> bool {
    !text.contains(|c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c))
}

#[test]
fn a_reason_acts_on_no_terminal_and_makes_no_line_of_its_own() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let said = scene.ok(&["pause", NAME, "--reason", NASTY]);
    assert!(
        is_clean(&said.stdout) && is_clean(&said.stderr),
        "{said:#?}"
    );
    assert_eq!(said.stdout.lines().count(), 1, "{said:#?}");
    for args in [vec!["history", NAME], vec!["status"]] {
        let said = scene.ok(&args);
        assert!(is_clean(&said.stdout), "{:?}", said.stdout);
        let is_forged = |line: &&str| line.starts_with("    9  forged");
        assert_eq!(
            said.stdout.lines().filter(is_forged).count(),
            0,
            "{}",
            said.stdout
        );
        assert!(
            said.stdout.contains(r"first\n    9  forged\u{1b}[2J"),
            "{}",
            said.stdout
        );
    }
    let history = scene.history(NAME);
    let paused = history
        .iter()
        .find(|entry| entry["event"]["type"] == "pause_requested");
    assert_eq!(paused.expect("it is there")["event"]["reason"], NASTY);
    let raw = scene.ok(&["history", NAME, "--format", "json"]).stdout;
    assert!(is_clean(&raw), "{raw:?}");
    run.kill();
}

/// A scene whose plan file has a nasty name, which the log names, and what the log says in a format.
fn log_of_a_nasty_path(format: &str) -> String {
    let plan = Plan::resting_at_first_step();
    let scene = Scene::new(&plan);
    scene.write(&format!("odd/{NASTY}.yaml"), &plan.text());
    let run = scene.start(&["run", "odd", "--interval", "1s", "--log-format", format]);
    let log = || Some(run.log()).filter(|log| log.contains("plan accepted"));
    let log = until(log).expect("it is logged");
    run.kill();
    log
}

#[test]
fn a_field_of_the_log_acts_on_no_terminal_and_makes_no_line_of_its_own() {
    let log = log_of_a_nasty_path("human");
    assert!(is_clean(&log), "{log:?}");
    assert!(log.contains(r"first\n    9  forged\u{1b}[2J"), "{log}");
    let log = log_of_a_nasty_path("json");
    assert!(is_clean(&log), "{log:?}");
    let mut seen = false;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let message = line["message"].as_str().expect("a message");
        assert!(is_clean(message) && !message.contains('\n'), "{message:?}");
        seen |= message.contains(r"first\n    9  forged\u{1b}[2J");
    }
    assert!(seen, "{log}");
}

#[test]
fn a_file_name_and_an_unknown_name_act_on_no_terminal() {
    let scene = Scene::empty();
    let name = "plans/a\nb\u{1b}[31m\u{202e}.yaml";
    scene.write(name, "version: 1\n");
    for args in [
        vec!["check", "plans"],
        vec!["preview", "plans"],
        vec!["history", NASTY],
        vec!["rollback", NASTY, "--yes"],
        vec!["status", "--phase", NASTY],
    ] {
        let said = scene.say(&args);
        assert_ne!(said.code, Some(0), "{args:?}: {said:#?}");
        let all = said.stdout + &said.stderr;
        assert!(is_clean(&all), "{args:?}: {all:?}");
    }
}

#[test]
fn a_reason_of_105_kilobytes_in_the_journal_keeps_no_later_page_back() {
    let door = PostDoor::start();
    let plan = Plan::resting_at_first_step();
    let scene = Scene::new(&plan);
    let notify = format!(
        "notify:\n  webhook: {{ url: {}, on: info }}\n",
        door.url("/hook")
    );
    scene.write(PLAN, &format!("{}{notify}", plan.text()));
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let event = format!(
        r#"{{"type":"pause_requested","reason":"{}"}}"#,
        "r".repeat(105_000)
    );
    let journal = Connection::open(scene.path(".cutover/journal.db")).expect("the journal");
    journal
        .busy_timeout(std::time::Duration::from_secs(5))
        .expect("it is set");
    let appended = || {
        journal
            .execute(
                "INSERT INTO events (stream, seq, at, attempt, actor, version, append_id, event)
                 SELECT stream, seq + 1, at, attempt, 'an older program', version, 'old-' || (seq + 1), ?1
                 FROM events WHERE stream = 'api' ORDER BY seq DESC LIMIT 1",
                [&event],
            )
            .ok()
    };
    until(appended).expect("it is appended");
    scene.wait_for_hold(NAME, "paused");
    scene.ok(&["rollback", NAME, "--yes", "--reason", "enough"]);
    let told = || {
        let posted = door.posted("/hook");
        let ended = posted
            .iter()
            .any(|one| one.json()["type"] == "cutover.reverted");
        ended.then_some(posted)
    };
    let posted = until(told).expect("later pages arrive");
    let longest = posted.iter().map(|one| one.body.len()).max();
    assert!(
        longest.is_some_and(|bytes| bytes <= 64 * 1024),
        "{longest:?}"
    );
    for args in [vec!["history", NAME], vec!["status"]] {
        let said = scene.say(&args);
        assert!(
            said.stdout.len() < 16 * 1024,
            "{args:?}: {}",
            said.stdout.len()
        );
    }
    assert!(!run.log().contains("r".repeat(3_000).as_str()));
}

/// Replaces the CNAME group by a simple record.
fn make_simple(scene: &Scene) {
    let (zone, name, kind) = GROUPS[2];
    let now = scene.bed.now();
    let world = &mut scene.bed.world().route53;
    let stored = world.zone(&Account::default(), scene.zone(zone));
    let members = stored
        .expect("a zone of the scene")
        .group(&group_name(name, kind));
    let first = members.first().expect("a member");
    let simple = StoredRecord {
        weight: None,
        set_identifier: None,
        ..(*first).clone()
    };
    let mut changes: Vec<_> = members
        .into_iter()
        .map(|member| (ChangeAction::Delete, member.clone()))
        .collect();
    changes.push((ChangeAction::Create, simple));
    let changed = world.foreign_change(scene.zone(zone), &ChangeBatch::of(changes), now);
    changed.expect("a valid batch");
}

#[test]
fn files_that_meet_a_simple_record_say_what_it_is_and_how_it_is_deleted() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    make_simple(&scene);
    let folder = ".cutover/break-glass";
    let mut args = vec![
        "rollback".to_owned(),
        "--yes".to_owned(),
        "--timeout".to_owned(),
        "3s".to_owned(),
        "--from".to_owned(),
    ];
    args.extend(
        files(&scene.path(folder))
            .iter()
            .map(|file| format!("{folder}/{file}")),
    );
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = scene.say(&args);
    assert_eq!(said.code, Some(21), "{said:#?}");
    let (_, name, kind) = GROUPS[2];
    assert!(
        said.stderr
            .contains("a simple record (no weights) that leads to"),
        "{said:#?}"
    );
    let deletes = format!(
        "ResourceRecordSets[?Name=='{name}.' && Type=='{kind}'].{{Action: 'DELETE', ResourceRecordSet: @}}"
    );
    assert!(said.stderr.contains(&deletes), "{said:#?}");
}

#[test]
fn neither_a_test_of_channels_nor_status_shows_the_path_of_a_webhook() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let plan = Plan::resting_at_first_step();
    let notify = "notify:\n  webhook: http://127.0.0.1:9/T000/hunter2\n  command: [ sh, -c, exit 1, --key, hunter2 ]\n";
    scene.write(PLAN, &format!("{}{notify}", plan.text()));
    let said = scene.say(&["notify-test", PLAN]);
    let all = said.stdout + &said.stderr;
    assert!(all.contains("webhook http://127.0.0.1:9"), "{all}");
    assert!(!all.contains("hunter2"), "{all}");
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    scene.red(&plan.gates[0]);
    let failing = |row: &Value| !row["notifications"].as_array().is_none_or(Vec::is_empty);
    let row = scene.wait_for("a failing channel", NAME, failing);
    assert!(!row.to_string().contains("hunter2"), "{row}");
    let shown = scene.ok(&["status"]).stdout;
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!run.log().contains("T000"), "{}", run.log());
}
