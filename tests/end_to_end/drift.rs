//! Somebody else changes the records: seen, told, never overwritten without a person's word.

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::Running;

/// A cutover that waits for approval of step 2, and whose CNAME group somebody has changed to 70 and 30.
fn drifted() -> (Scene, Running) {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1h", true),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "approval");
    scene.foreign_weights(70, 30);
    // A controller that starts looks at everything; one that runs, within a minute.
    run.kill();
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "drift");
    (scene, run)
}

#[test]
fn what_somebody_else_changed_is_not_overwritten_and_pages() {
    let (scene, run) = drifted();
    scene.ok(&["approve", NAME, "--reason", "go on"]);
    let rounds = scene.calls("DescribeAlarms");
    scene.wait_for("three more looks", NAME, |_| {
        scene.calls("DescribeAlarms") >= rounds + 3
    });
    assert_eq!(scene.cname_weights(), [(100, 0), (90, 10), (70, 30)]);
    assert_eq!(scene.count(NAME, "drift_detected"), 1);
    let log = run.log();
    let page = log
        .lines()
        .find(|line| line.contains("page=true") && line.contains("api.example.net"));
    assert!(page.is_some(), "{log}");

    // Repaired by hand, it goes on where it stood.
    scene.foreign_weights(90, 10);
    scene.wait_for("the second bake", NAME, |status| {
        status["phase"] == "baking" && status["step"] == 2
    });
    assert_eq!(scene.count(NAME, "drift_cleared"), 1);
    assert_eq!(scene.cname_weights().last(), Some(&LADDER[2]));
}

#[test]
fn drift_is_adopted_only_where_it_gives_the_new_side_no_more_than_its_step() {
    let (scene, mut run) = drifted();
    let said = scene.say(&["adopt-drift", NAME, "--reason", "mine", "--yes"]);
    assert_eq!(said.code, Some(12), "{said:#?}");

    scene.foreign_weights(95, 5);
    scene.wait_for_event(NAME, "drift_detected", 2);
    let unasked = scene.say(&["adopt-drift", NAME, "--reason", "mine"]);
    assert_eq!(unasked.code, Some(2), "{unasked:#?}");
    scene.ok(&["adopt-drift", NAME, "--reason", "mine", "--yes"]);
    scene.wait_for_hold(NAME, "approval");
    assert_eq!(scene.cname_weights().last(), Some(&(95, 5)));
    // Adopted, it may be taken back.
    scene.ok(&["rollback", NAME, "--yes"]);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    assert_eq!(scene.cname_weights().last(), Some(&LADDER[0]));
}

#[test]
fn a_rollback_leaves_what_somebody_else_changed_unless_it_is_forced() {
    let (scene, mut run) = drifted();
    run.terminate();
    assert_eq!(run.exit_code(), 0);
    let said = scene.say(&["rollback", NAME, "--yes"]);
    assert_eq!(said.code, Some(22), "{said:#?}\n{}", scene.everything(NAME));
    assert!(said.stderr.contains("--force"), "{said:#?}");
    assert_eq!(scene.cname_weights().last(), Some(&(70, 30)));
    for kind in ["A", "AAAA"] {
        let weights = scene.weights("example.com", "api.example.com", kind);
        assert_eq!(weights, [LADDER[0], LADDER[1], LADDER[0]]);
    }
    scene.ok(&["rollback", NAME, "--force", "--yes"]);
    assert_eq!(scene.cname_weights().last(), Some(&LADDER[0]));
    assert_eq!(scene.status(NAME)["phase"], "reverted");
}
