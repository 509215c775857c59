//! Gates of metrics over the wire: the program, the real SDK, and CloudWatch behind HTTP.

use std::collections::BTreeMap;

use cutover::sim::cloudwatch::metrics::MetricKey;
use cutover::sim::cloudwatch::query::DataStatus;
use cutover::sim::cloudwatch::statistic::Samples;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::scene::{NAME, PLAN, Plan, REGION, Scene};
use crate::support::program::Running;

/// What is told in each minute of the last two hours and the next one.
#[derive(Clone, Copy)]
struct Minute {
    requests: f64,
    errors: f64,
    seconds: f64,
}

const WELL: Minute = Minute {
    requests: 1_000.0,
    errors: 1.0,
    seconds: 0.2,
};

fn tell(scene: &Scene, side: &str, minute: Minute) {
    tell_up_to(scene, side, minute, 60);
}

/// As [`tell`], up to so many minutes from now.
fn tell_up_to(scene: &Scene, side: &str, minute: Minute, ahead: i64) {
    let now = scene.bed.now();
    let mut world = scene.bed.world();
    let region = world.cloudwatch.region(REGION, now);
    let dimensions = |grouped: bool| {
        let mut all = BTreeMap::from([("LoadBalancer".to_owned(), format!("app/{side}/1"))]);
        if grouped {
            all.insert("TargetGroup".to_owned(), format!("targetgroup/{side}/2"));
        }
        all
    };
    let mut put = |name: &str, grouped: bool, at: i64, value: f64, count: f64| {
        let key = MetricKey {
            namespace: "AWS/ApplicationELB".to_owned(),
            name: name.to_owned(),
            dimensions: dimensions(grouped),
        };
        let mut samples = Samples::default();
        samples.add(value, count);
        region.record(&key, at, &samples);
    };
    let first = now.as_second().div_euclid(60) * 60 - 120 * 60;
    for minute_at in (0..120 + ahead).map(|number| first + number * 60) {
        put("RequestCount", true, minute_at, minute.requests, 1.0);
        if minute.errors > 0.0 {
            put(
                "HTTPCode_Target_5XX_Count",
                true,
                minute_at,
                minute.errors,
                1.0,
            );
        }
        put(
            "TargetResponseTime",
            true,
            minute_at,
            minute.seconds,
            minute.requests,
        );
    }
}

fn plan(gates: &str) -> String {
    let plan = Plan {
        steps: vec![("50%", "1h", false), ("100%", "1h", false)],
        ..Plan::default()
    };
    let sides = "  sides:
    new: { alb: { load_balancer: app/ecs/1, target_group: targetgroup/ecs/2 } }
    old: { alb: { load_balancer: app/eks/1, target_group: targetgroup/eks/2 } }
";
    format!("{}{sides}{gates}", plan.text())
}

fn scene(gates: &str) -> Scene {
    let scene = Scene::new(&Plan::default());
    scene.write(PLAN, &plan(gates));
    scene
}

/// Takes step 1 while both sides are well, then goes on while the new side is like this, until all is taken back;
/// returns with what each revert was intended.
fn taken_back(gates: &str, bad: Minute) -> (Scene, Vec<Value>) {
    let scene = scene(gates);
    tell(&scene, "eks", WELL);
    tell(&scene, "ecs", WELL);
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    // What was read is not asked for again within the minute; a new process reads it.
    drop(run);
    tell(&scene, "ecs", bad);
    let mut run = scene.run(PLAN);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    let history = scene.history(NAME);
    let events = history.iter().map(|entry| &entry["event"]);
    let reverts = events.filter(|event| event["type"] == "revert_intended");
    let reverts = reverts.cloned().collect();
    (scene, reverts)
}

/// A start where `CloudWatch` answers so for response times, although both sides are well; returns with what holds it.
fn blind(answer: DataStatus) -> (Scene, Running, Value) {
    let scene = scene("  metrics: [ { measure: p99, max: 900ms } ]\n");
    tell(&scene, "eks", WELL);
    tell(&scene, "ecs", WELL);
    {
        let now: Timestamp = scene.bed.now();
        let mut world = scene.bed.world();
        let region = world.cloudwatch.region(REGION, now);
        region.set_data_status("TargetResponseTime", Some(answer));
    }
    let run = scene.run(PLAN);
    let status = scene.wait_for_hold(NAME, "unknown");
    (scene, run, status)
}

#[test]
fn an_error_rate_beyond_its_bound_takes_the_traffic_back_over_the_wire() {
    let gates = "  metrics: [ { measure: error_rate, max: 5% }, { measure: p99, max: 900ms } ]\n";
    let failing = Minute {
        errors: 200.0,
        ..WELL
    };
    let (scene, reverts) = taken_back(gates, failing);
    let back = reverts.first().expect("it went back");
    assert_eq!(back["cause"]["cause"], "measure_beyond");
    assert_eq!(back["cause"]["gate"]["name"], "error_rate");
    assert_eq!(back["seen"]["old_too"], json!(false));
    assert_eq!(back["seen"]["step"], json!(1));
    let counts = scene.bed.counts();
    assert!(counts["GetMetricData"] >= 2, "{counts:?}");
}

#[test]
fn a_metric_that_may_not_be_read_holds_the_start_with_its_reason() {
    let (scene, run, status) = blind(DataStatus::Forbidden);
    let told = status["because"].to_string();
    assert!(told.contains("Forbidden"), "{told}");
    drop(run);
    assert_eq!(scene.status(NAME)["phase"], "waiting");
}

#[test]
fn a_percentile_beyond_its_bound_takes_the_traffic_back_over_the_wire() {
    let slow = Minute {
        seconds: 2.0,
        ..WELL
    };
    let (_scene, reverts) = taken_back("  metrics: [ { measure: p99, max: 900ms } ]\n", slow);
    let gates: Vec<_> = reverts
        .iter()
        .map(|revert| &revert["cause"]["gate"]["name"])
        .collect();
    assert_eq!(gates, ["p99"]);
}

#[test]
fn data_that_are_late_are_not_judged_and_count_when_they_are_there() {
    let scene = scene("  metrics: [ { measure: p99, max: 900ms } ]\n");
    tell(&scene, "eks", WELL);
    tell_up_to(&scene, "ecs", WELL, -10);
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let status = scene.wait_for_hold(NAME, "too_few_requests");
    assert!(status["because"].to_string().contains("p99"), "{status}");
    drop(run);
    tell(&scene, "ecs", WELL);
    let _run = scene.run(PLAN);
    scene.wait_for("the bake counts", NAME, |status| {
        let because = status["because"].as_array().into_iter().flatten();
        let kinds: Vec<_> = because.map(|reason| reason["kind"].clone()).collect();
        kinds == [json!("baking")]
    });
}

#[test]
fn partial_data_are_unknown_with_their_reason() {
    let (_scene, run, status) = blind(DataStatus::Partial);
    assert!(
        status["because"].to_string().contains("PartialData"),
        "{status}"
    );
    drop(run);
}

#[test]
fn where_nobody_came_the_bake_waits_for_requests() {
    let scene = scene("  traffic: { min_requests: 200 }\n");
    tell(&scene, "eks", WELL);
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let status = scene.wait_for_hold(NAME, "too_few_requests");
    assert!(status["because"].to_string().contains("200"), "{status}");
    drop(run);
}

/// The preview as JSON, and as it is shown.
fn previewed(scene: &Scene) -> (Value, String) {
    let said = scene.say(&["preview", PLAN, "--format", "json"]);
    let all: Value = serde_json::from_str(&said.stdout).expect("a preview is JSON");
    (all[0].clone(), scene.say(&["preview", PLAN]).stdout)
}

#[test]
fn a_preview_says_which_metrics_have_no_data_and_what_may_be_wrong_with_their_names() {
    let scene = scene("  traffic: {}\n  metrics: [ { measure: running, min: 1 } ]\n");
    let misspelt = plan("  traffic: {}\n  metrics: [ { measure: running, min: 1 } ]\n")
        .replace("app/eks/1", "app/eks-typo/1")
        .replace(
            "new: { alb:",
            "new: { ecs: { cluster: shop, service: web }, alb:",
        );
    scene.write(PLAN, &misspelt);
    tell_up_to(&scene, "eks", WELL, 0);
    tell_up_to(&scene, "ecs", WELL, 0);
    let (preview, _) = previewed(&scene);
    let warnings: Vec<&str> = preview["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let said = |part: &str| {
        let found = warnings.iter().find(|warning| warning.contains(part));
        *found.unwrap_or_else(|| panic!("{part} in {warnings:#?}"))
    };
    let typo = said("LoadBalancer=app/eks-typo/1, TargetGroup=targetgroup/eks/2");
    assert!(
        typo.contains("has no data in the last hour; check the names"),
        "{typo}"
    );
    let insights = said("ECS/ContainerInsights RunningTaskCount");
    assert!(
        insights.contains("turn on Container Insights, or check the names"),
        "{insights}"
    );
    assert!(
        !warnings
            .iter()
            .any(|warning| warning.contains("app/ecs/1") && warning.contains("RequestCount"))
    );
}

#[test]
fn a_preview_foresees_when_each_gate_can_judge_and_warns_of_short_bakes() {
    let gates =
        "  metrics: [ { measure: error_rate, max: 1% } ]\n  traffic: { min_requests: 40000 }\n";
    let scene = scene(gates);
    // The old side alone has traffic: 1,000 requests a minute.
    tell_up_to(&scene, "eks", WELL, 0);
    let (preview, shown) = previewed(&scene);
    let gates = &preview["steps"][0]["gates"];
    assert_eq!(gates[0]["gate"]["name"], "error_rate", "{preview:#}");
    assert_eq!(gates[0]["judges_after_secs"], 7 * 60);
    assert_eq!(gates[1]["gate"]["name"], "traffic");
    assert_eq!(gates[1]["requests_needed"], 40_000);
    // 500 a minute of the new side: 80 minutes, within a bake of 60.
    let after = gates[1]["judges_after_secs"].as_i64().expect("a number");
    assert!((80 * 60..=86 * 60).contains(&after), "{after}");
    let warnings = preview["warnings"].to_string();
    assert!(
        warnings.contains("step 1 (50%, bake 1h): the bake is too short for the traffic, which needs 40,000 requests"),
        "{warnings}"
    );
    assert!(
        shown.contains("requests a minute, as many as in the last hour"),
        "{shown}"
    );
}
