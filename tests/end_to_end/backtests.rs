//! Backtests: the built program reads the past over the wire, keeps it, and reads it again without AWS.

use cutover::engine::observation::AlarmState;
use jiff::SignedDuration;
use serde_json::Value;

use super::scene::{FALLBACK, GATES, PLAN, Plan, REGION, Scene};

/// Three steps of an hour each.
fn hours() -> Plan {
    Plan {
        steps: vec![
            ("10%", "1h", false),
            ("50%", "1h", true),
            ("100%", "1h", false),
        ],
        ..Plan::default()
    }
}

/// A scene whose alarms went through these states, so many hours ago.
fn after(changes: &[(&str, i64, AlarmState)]) -> Scene {
    let scene = Scene::empty();
    scene.plan(&hours());
    for alarm in GATES.into_iter().chain([FALLBACK]) {
        set(&scene, alarm, 24 * 10, AlarmState::Ok);
    }
    for (alarm, hours, state) in changes {
        set(&scene, alarm, *hours, *state);
    }
    scene
}

fn set(scene: &Scene, alarm: &str, hours: i64, state: AlarmState) {
    let at = scene.bed.now() - SignedDuration::from_hours(hours);
    let model = &mut scene.bed.world().cloudwatch;
    model.set_state(REGION, alarm, state, at);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_backtest_reads_histories_and_writes_nothing() {
    let scene = after(&[
        (GATES[0], 50, AlarmState::Alarm),
        (GATES[0], 49, AlarmState::Ok),
    ]);
    let said = scene.ok(&["backtest", PLAN, "--since", "4d", "--format", "json"]);
    assert!(
        said.stderr.contains("reading 3 alarms since "),
        "{}",
        said.stderr
    );
    let shown = json(&said.stdout);
    let test = &shown[0];
    assert_eq!(test["starts"], 96);
    assert_eq!(test["gates"][0]["red_secs"], 3_600);
    assert_eq!(test["gates"][0]["reverted"], test["reverted"]);
    let reverted = test["reverted"].as_u64().expect("a number");
    assert!((2..=4).contains(&reverted), "{test:#}");
    assert!(test["completed"].as_u64().expect("a number") > 80);
    assert_eq!(scene.calls("DescribeAlarms"), 1);
    assert_eq!(scene.calls("DescribeAlarmHistory"), 3);
    let calls = scene.bed.counts();
    assert_eq!(calls.len(), 2, "nothing else is called: {calls:?}");
}

#[test]
fn a_past_that_was_kept_gives_the_same_answer_without_aws() {
    let scene = after(&[
        (GATES[1], 30, AlarmState::Alarm),
        (GATES[1], 29, AlarmState::Ok),
    ]);
    let format = ["--format", "json"];
    let read = scene.ok(&[
        &["backtest", PLAN, "--since", "3d", "--save", "past.json"][..],
        &format,
    ]
    .concat());
    let calls = scene.bed.counts();
    let again = scene.ok(&[&["backtest", PLAN, "--from", "past.json"][..], &format].concat());
    assert_eq!(json(&read.stdout), json(&again.stdout));
    assert_eq!(scene.bed.counts(), calls, "AWS was not asked");
    let part = scene.ok(&[
        &["backtest", PLAN, "--from", "past.json", "--since", "1d"][..],
        &format,
    ]
    .concat());
    assert_eq!(json(&part.stdout)[0]["starts"], 24);
}

#[test]
fn alarms_that_do_not_exist_or_never_had_data_are_named() {
    let scene = after(&[]);
    scene.plan(&Plan {
        gates: vec!["api-5xx".to_owned(), "api-renamed".to_owned()],
        ..hours()
    });
    let said = scene.ok(&["backtest", PLAN, "--since", "2d"]);
    assert!(
        said.stdout
            .contains("is left out: CloudWatch does not know it"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout
            .contains("api-renamed does not exist: the cutover would not start")
    );
}

#[test]
fn what_is_no_record_and_times_that_make_no_sense_are_usage_errors() {
    let scene = after(&[]);
    scene.write("no.json", "{ \"version\": 9 }");
    scene.write("newer.json", r#"{"version":9,"since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z","alarms":[]}"#);
    for (args, words) in [
        (&["--from", "none.json"][..], "cannot be used as a record"),
        (&["--from", "no.json"], "missing field"),
        (&["--from", "newer.json"], "it has version 9"),
        (&["--since", "1h", "--until", "2h"], "is not before"),
        (&["--until", "2099-01-01T00:00:00Z"], "is in the future"),
        (&["--every", "5s"], "must be `1m` or more"),
    ] {
        let said = scene.say(&[&["backtest", PLAN][..], args].concat());
        assert_eq!(said.code, Some(2), "{args:?}: {said:#?}");
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
    scene.write("plans/broken.yaml", "version: 1\n");
    assert_eq!(scene.say(&["backtest", "plans/broken.yaml"]).code, Some(10));
}

#[test]
fn an_alarm_whose_history_cannot_be_read_is_left_out_and_said() {
    use cutover::sim::fault::{Fault, Lasting};
    let scene = after(&[]);
    scene
        .bed
        .fault(Some("DescribeAlarmHistory"), Fault::deny(), Lasting::Always);
    let said = scene.ok(&["backtest", PLAN, "--since", "2d", "--format", "json"]);
    let shown = json(&said.stdout);
    assert_eq!(shown[0]["gates"][0]["sight"], "unreadable");
    assert_eq!(
        shown[0]["starts"], 0,
        "nothing is said about what was not seen"
    );
}
