//! What people may ask of a cutover that is under way.

use serde_json::json;

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::Running;

fn resting() -> (Scene, Running) {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    (scene, run)
}

/// The command is refused in this state, and nothing is written.
fn does_not_apply(scene: &Scene, args: &[&str]) {
    let entries = || -> Vec<_> {
        let events = scene.events(NAME).into_iter();
        events
            .filter(|event| event.ends_with("_requested") || event.ends_with("_approved"))
            .collect()
    };
    let before = entries();
    let said = scene.say(args);
    assert_eq!(said.code, Some(12), "{args:?}: {said:#?}");
    assert_eq!(entries(), before);
}

#[test]
fn a_step_that_waits_for_approval_goes_on_once_it_is_given() {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", true),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let mut run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "approval");
    scene.assert_weights(&LADDER[..2]);
    does_not_apply(
        &scene,
        &["approve", NAME, "--step", "1", "--reason", "late"],
    );
    scene.ok(&["approve", NAME, "--reason", "looks good"]);
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    scene.assert_weights(&LADDER);
    let history = scene.history(NAME);
    let approved = history
        .iter()
        .find(|entry| entry["event"]["type"] == "step_approved");
    let approved = approved.expect("the approval is journaled");
    assert_eq!(
        approved["event"]["caller_arn"],
        "arn:aws:iam::111111111111:user/ada"
    );
    does_not_apply(&scene, &["approve", NAME, "--reason", "again"]);
}

#[test]
fn a_paused_cutover_stays_where_it_is_until_it_is_resumed() {
    let (scene, mut run) = resting();
    scene.ok(&["pause", NAME, "--reason", "lunch"]);
    assert_eq!(scene.status(NAME)["paused"], true);
    does_not_apply(&scene, &["pause", NAME]);
    scene.ok(&["skip-bake", NAME, "--reason", "drill"]);
    scene.wait_for_event(NAME, "step_completed", 1);
    let rounds = scene.calls("DescribeAlarms");
    scene.wait_for("three more looks", NAME, |_| {
        scene.calls("DescribeAlarms") >= rounds + 3
    });
    scene.assert_weights(&LADDER[..2]);
    scene.ok(&["resume", NAME]);
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    scene.assert_weights(&LADDER);
    does_not_apply(&scene, &["resume", NAME]);
}

#[test]
fn a_bake_is_skipped_only_while_there_is_one() {
    let scene = Scene::new(&Plan {
        gates: vec!["not-there".to_owned()],
        ..Plan::resting_at_first_step()
    });
    let mut run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "alarm_missing");
    does_not_apply(&scene, &["skip-bake", NAME, "--reason", "hurry"]);
    scene.add_alarm("not-there");
    scene.wait_for_phase(NAME, "baking");
    scene.ok(&["skip-bake", NAME, "--reason", "hurry"]);
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    scene.assert_weights(&LADDER);
}

#[test]
fn a_cutover_that_went_back_is_tried_again_from_its_first_step() {
    let (scene, mut run) = resting();
    does_not_apply(&scene, &["retry", NAME]);
    scene.ok(&["rollback", NAME, "--yes"]);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    scene.plan(&Plan::default());
    scene.ok(&["retry", NAME, "--reason", "mended"]);
    assert_eq!(scene.run(PLAN).exit_code(), 0, "{}", scene.everything(NAME));
    scene.assert_weights(&[&LADDER[..2], &LADDER].concat());
    assert_eq!(scene.status(NAME)["attempt"], 2);
    let history = scene.history(NAME);
    let order = |entry: &serde_json::Value| (entry["attempt"].as_u64(), entry["seq"].as_u64());
    let order: Vec<_> = history.iter().map(order).collect();
    assert!(order.is_sorted(), "{order:?}");
    let numbers: Vec<_> = order.iter().map(|(_, seq)| seq.unwrap()).collect();
    assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>());
}

#[test]
fn a_changed_plan_stops_everything_until_it_is_taken() {
    let (scene, mut run) = resting();
    scene.plan(&Plan {
        steps: vec![("20%", "1s", false), ("100%", "1s", false)],
        ..Plan::default()
    });
    scene.wait_for_hold(NAME, "plan_changed");
    let said = scene.say(&["amend", PLAN]);
    assert_eq!(said.code, Some(12), "{said:#?}");
    scene.plan(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("30%", "1s", false),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    scene.ok(&["amend", PLAN, "--reason", "slower"]);
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    scene.assert_weights(&[(100, 0), (90, 10), (70, 30), (0, 100)]);
    assert_eq!(scene.status(NAME)["steps"], json!(3));
}
