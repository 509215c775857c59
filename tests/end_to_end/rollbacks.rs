//! The emergency: one command, everything back, whatever else is broken.

use cutover::sim::fault::{Fault, Lasting};

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};

/// The weights of a cutover that took one step and went back.
const ONE_STEP_AND_BACK: [(u8, u8); 3] = [LADDER[0], LADDER[1], LADDER[0]];

/// A cutover that bakes its first step, and whose controller has died.
fn abandoned() -> Scene {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    scene
}

#[test]
fn a_rollback_needs_no_controller_no_plan_file_and_no_cloudwatch() {
    let scene = abandoned();
    std::fs::remove_dir_all(scene.path("plans")).unwrap();
    scene
        .bed
        .fault(Some("DescribeAlarms"), Fault::DropBefore, Lasting::Always);
    let asked = scene.calls("DescribeAlarms");
    let said = scene.ok(&["rollback", NAME, "--yes"]);
    assert!(said.stdout.contains("api: at the baseline"), "{said:#?}");
    scene.assert_weights(&ONE_STEP_AND_BACK);
    assert_eq!(scene.status(NAME)["phase"], "reverted");
    assert_eq!(scene.calls("DescribeAlarms"), asked);
    let again = scene.ok(&["rollback", NAME, "--yes"]);
    assert!(again.stderr.contains("already"), "{again:#?}");
}

#[test]
fn a_rollback_asks_first_and_refuses_where_it_cannot() {
    let scene = abandoned();
    let said = scene.say(&["rollback", NAME]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    let unknown = scene.say(&["rollback", "apy", "--yes"]);
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    scene.assert_weights(&LADDER[..2]);
    assert_eq!(scene.count(NAME, "rollback_requested"), 0);
}

#[test]
fn a_rollback_of_what_never_started_cancels_it_without_a_write() {
    let scene = Scene::new(&Plan {
        gates: vec!["not-there".to_owned()],
        ..Plan::default()
    });
    let mut run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "alarm_missing");
    scene.ok(&["rollback", NAME, "--yes"]);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    scene.assert_weights(&LADDER[..1]);
    let reverted = scene.history(NAME).pop().unwrap();
    assert_eq!(reverted["event"]["type"], "reverted");
    assert_eq!(reverted["event"]["cancelled"], true);
    assert_eq!(scene.calls("ChangeResourceRecordSets"), 0);
}

#[test]
fn a_rollback_that_runs_out_of_time_is_finished_by_the_next_controller() {
    let scene = abandoned();
    let change = Some("ChangeResourceRecordSets");
    scene
        .bed
        .fault(change, Fault::unavailable(), Lasting::Always);
    let said = scene.say(&["rollback", NAME, "--yes", "--timeout", "2s"]);
    assert_eq!(said.code, Some(21), "{said:#?}");
    assert_eq!(scene.status(NAME)["phase"], "reverting");
    let once = scene.say(&["run", PLAN, "--once"]);
    assert_eq!(once.code, Some(21), "{once:#?}");

    let mut run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "revert_blocked");
    scene.bed.clear_faults();
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    scene.assert_weights(&ONE_STEP_AND_BACK);
}

#[test]
fn what_has_completed_goes_back_only_if_that_is_said() {
    let scene = Scene::new(&Plan::default());
    assert_eq!(scene.run(PLAN).exit_code(), 0);
    let said = scene.say(&["rollback", NAME, "--yes"]);
    assert_eq!(said.code, Some(12), "{said:#?}");
    scene.ok(&["rollback", "--all", "--yes"]);
    scene.assert_weights(&LADDER);
    scene.ok(&["rollback", NAME, "--yes", "--include-completed"]);
    scene.assert_weights(&[LADDER.as_slice(), &LADDER[..1]].concat());
}

#[test]
fn a_rollback_beside_a_controller_is_carried_out_once() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let mut run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    scene.ok(&["rollback", NAME, "--yes", "--reason", "drill"]);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    scene.assert_weights(&ONE_STEP_AND_BACK);
    for event in ["rollback_requested", "revert_intended", "reverted"] {
        assert_eq!(scene.count(NAME, event), 1, "{}", scene.everything(NAME));
    }
}

/// A cutover that took one step and went back, and whose records somebody has given to the new side since.
fn given_away() -> Scene {
    let scene = abandoned();
    scene.ok(&["rollback", NAME, "--yes"]);
    scene.foreign_weights(0, 100);
    scene
}

#[test]
fn a_reverted_cutover_is_back_only_if_it_is_read_there_now() {
    let scene = given_away();
    let said = scene.say(&["rollback", NAME, "--yes"]);
    assert_eq!(said.code, Some(22), "{said:#?}");
    assert!(said.stdout.contains("2 of 3 groups"), "{said:#?}");
    assert!(said.stdout.contains("--force"), "{said:#?}");
    let found = "api.example.net CNAME is not back: its weights are 0/100 (old/new), not 100/0";
    assert!(said.stderr.contains(found), "{said:#?}");
    let said = scene.ok(&["rollback", NAME, "--yes", "--force"]);
    assert!(said.stdout.contains("api: at the baseline"), "{said:#?}");
    assert_eq!(scene.cname_weights().last(), Some(&LADDER[0]));
    assert_eq!(scene.count(NAME, "reverted"), 2);
    let again = scene.ok(&["rollback", NAME, "--yes", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(rows[0]["back"], true, "{again:#?}");
    assert_eq!(rows[0]["records"][2]["old_weight"], 100, "{again:#?}");
}

#[test]
fn all_means_the_unfinished_ones_and_says_nothing_is_back_of_the_others() {
    let scene = given_away();
    let calls = scene.calls("ChangeResourceRecordSets");
    let said = scene.ok(&["rollback", "--all", "--force", "--yes"]);
    assert!(
        said.stderr.contains("no cutover is unfinished"),
        "{said:#?}"
    );
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(!all.contains("baseline"), "{said:#?}");
    assert_eq!(scene.calls("ChangeResourceRecordSets"), calls);
}

#[test]
fn a_changed_plan_under_the_name_of_what_has_ended_is_refused() {
    let scene = Scene::new(&Plan::default());
    assert_eq!(scene.run(PLAN).exit_code(), 0);
    let calls = scene.calls("ChangeResourceRecordSets");
    scene.plan(&Plan {
        steps: vec![("20%", "1s", false), ("100%", "1s", false)],
        ..Plan::default()
    });
    let said = scene.say(&["preview", PLAN]);
    assert_eq!(said.code, Some(11), "{said:#?}");
    let said = scene.say(&["run", PLAN]);
    assert_eq!(said.code, Some(11), "{said:#?}");
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains("another `name`"), "{said:#?}");
    assert_eq!(scene.calls("ChangeResourceRecordSets"), calls);
}

#[test]
fn a_cutover_that_waits_is_not_called_back_while_its_records_are_elsewhere() {
    let scene = given_away();
    scene.ok(&["retry", NAME]);
    let said = scene.say(&["rollback", NAME, "--yes"]);
    assert_eq!(said.code, Some(22), "{said:#?}");
    assert!(
        !said.stdout.contains("at the baseline, read back"),
        "{said:#?}"
    );
    assert!(
        said.stderr.contains("2 of 3 groups at the baseline"),
        "{said:#?}"
    );
    assert_eq!(scene.status(NAME)["phase"], "reverted");
    scene.ok(&["rollback", NAME, "--yes", "--force"]);
    assert_eq!(scene.cname_weights().last(), Some(&LADDER[0]));
}

#[test]
fn an_abandoned_cutover_writes_nothing_and_frees_its_names() {
    let scene = abandoned();
    let calls = scene.calls("ChangeResourceRecordSets");
    scene.ok(&["abandon", NAME, "--reason", "by hand", "--yes"]);
    assert_eq!(scene.status(NAME)["phase"], "abandoned");
    assert_eq!(scene.run(PLAN).exit_code(), 20, "it counts as ended");
    assert_eq!(scene.calls("ChangeResourceRecordSets"), calls);
    scene.assert_weights(&LADDER[..2]);
    let next = Plan {
        name: "next".to_owned(),
        steps: vec![("50%", "1s", false), ("100%", "1s", false)],
        ..Plan::default()
    };
    scene.plan(&next);
    let args = [
        "run",
        "plans/next.yaml",
        "--baseline-as-is",
        "--reason",
        "10 % stay",
    ];
    let mut run = scene.start(&args);
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    assert_eq!(scene.cname_weights().last(), Some(&(0, 100)));
}
