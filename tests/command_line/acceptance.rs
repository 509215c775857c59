//! What an acceptance audit of the rules found, each as a test.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use cutover::engine::event::Event;

use super::{Desk, ago};

#[test]
fn a_rollback_with_nothing_to_do_is_json_for_programs_all_the_same() {
    let mut desk = Desk::new();
    desk.accept("recipe-api", ago(60));
    let none = desk.says("rollback nobody --yes --format json");
    assert_eq!((none.code, none.out.as_str()), (2, ""));
    desk.write(
        "recipe-api",
        ago(50),
        vec![Event::Reverted { cancelled: true }],
    );
    let all = desk.says("rollback --all --yes --format json");
    assert_eq!((all.code, all.json()), (0, serde_json::json!([])));
    let one = desk.says("rollback recipe-api --yes --format json");
    let row = one.json()[0].clone();
    let told = (one.code, &row["name"], &row["phase"]);
    assert_eq!(told, (0, &"recipe-api".into(), &"reverted".into()));
    // Nothing could be read here, and nothing is called back that was not read (semantics L6).
    assert_eq!(row["back"], serde_json::Value::Null);
    assert_eq!(row["records"][0]["back"], serde_json::Value::Null);
}

#[test]
fn a_rollback_that_cannot_begin_says_what_else_there_is() {
    let mut desk = Desk::new();
    let bare = desk.says("rollback");
    assert_eq!(bare.code, 2);
    for way in ["NAME…", "--all", "-l KEY=VALUE", "--from FILE…"] {
        assert!(bare.err.contains(way), "{way}: {}", bare.err);
    }
    let from = "cutover rollback --from .cutover/break-glass/*.json";
    let missing = desk.says("rollback --all --yes");
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains(from), "{}", missing.err);
    for number in 0..30 {
        desk.accept(&format!("svc-{number}"), ago(60));
    }
    let near = desk.says("rollback svc-7x --yes").err;
    assert!(near.contains("did you mean `svc-7`"), "{near}");
    let far = desk.says("rollback zzz --yes").err;
    assert!(far.contains("30 cutovers: `cutover status`"), "{far}");
    assert!(
        !near.contains("svc-19") && !far.contains("svc-1"),
        "{near}{far}"
    );
    desk.journal = None;
    std::fs::write(desk.path(".cutover/journal.db"), "no database at all").expect("a file");
    let damaged = desk.says("rollback --all --yes");
    assert_eq!(damaged.code, 1, "{}", damaged.err);
    assert!(damaged.err.contains(from), "{}", damaged.err);
}

#[test]
fn a_file_that_is_named_twice_is_one_file() {
    let desk = Desk::new();
    let checked = desk.says("check . plan.yaml ./plan.yaml --format json");
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert_eq!(checked.json().as_array().map(Vec::len), Some(1));
}

#[test]
fn no_file_keeps_a_controller_from_its_unfinished_cutovers() {
    for (directory, break_it) in [
        ("plans/", "remove"),
        ("plans", "spoil"),
        ("plans", "another one"),
        ("plans", "twice"),
    ] {
        let mut desk = Desk::new();
        std::fs::create_dir(desk.path("plans")).expect("a directory");
        desk.accept_from("plans/recipe-api.yaml", "recipe-api", ago(60));
        let (file, other) = (
            desk.path("plans/recipe-api.yaml"),
            desk.path("plans/b.yaml"),
        );
        match break_it {
            "remove" => std::fs::remove_file(&file).expect("it is there"),
            "spoil" => std::fs::write(&file, "steps: [").expect("it is there"),
            "twice" => drop(std::fs::copy(&file, &other).expect("it is there")),
            _ => std::fs::write(&other, "steps: [").expect("a file"),
        }
        let strange = desk.says("run nowhere.yaml plans");
        assert_eq!(strange.code, 10, "a path that matches none");
        let command = ["run", directory];
        let mut running = desk.command(&command);
        running.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        running.envs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        running.envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
        let mut running = running.stderr(Stdio::piped()).spawn().expect("it starts");
        let said = running.stderr.take().expect("a pipe");
        // It says so once it stands, or it ends.
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let stands = lines.any(|line| line.contains("watching;"));
        running.kill().unwrap_or_default();
        running.wait().map(drop).unwrap_or_default();
        assert!(stands, "{directory} {break_it}");
    }
}

#[test]
fn a_record_that_has_no_end_is_refused_before_it_is_read() {
    let desk = Desk::new();
    std::fs::write(desk.path("plan.yaml"), super::PLAN).expect("a file");
    let said = desk.says("backtest plan.yaml --from /dev/zero");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("not a file"), "{}", said.err);
}

#[test]
fn a_usage_error_does_not_repeat_a_long_value() {
    let desk = Desk::new();
    let long = "x".repeat(100_000);
    let said = desk.says(&format!("pause nobody --reason {long}"));
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("write at most 2048") && said.err.len() < 2_000,
        "{}",
        said.err.len()
    );
}
