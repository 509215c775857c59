//! Somebody else changes the records: seen, told, never overwritten without a person's word.

use super::scene::{GATES, LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::Running;
use crate::support::server::Oddity;

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

/// The list without what is between its ends.
fn empty(body: &str) -> String {
    let (head, rest) = body.split_once("<ResourceRecordSets>").expect("a list");
    let (_, tail) = rest.split_once("</ResourceRecordSets>").expect("its end");
    format!("{head}<ResourceRecordSets></ResourceRecordSets>{tail}")
}

/// The list without its first record set.
fn without_the_first(body: &str) -> String {
    let (head, rest) = body
        .split_once("<ResourceRecordSet>")
        .expect("a record set");
    let (_, tail) = rest.split_once("</ResourceRecordSet>").expect("its end");
    format!("{head}{tail}")
}

/// The first half of the reply.
fn cut(body: &str) -> String {
    body.chars().take(body.len() / 2).collect()
}

#[test]
fn one_odd_list_at_the_moment_of_a_revert_halts_nothing() {
    let odd: [(&str, Oddity); 3] = [
        ("empty", empty),
        ("without one", without_the_first),
        ("cut", cut),
    ];
    let mut all = Vec::new();
    for (what, change) in odd {
        let scene = Scene::new(&Plan::resting_at_first_step());
        let run = scene.run(PLAN);
        all.push((what, change, scene, run));
    }
    for (what, change, scene, mut run) in all {
        scene.wait_for_phase(NAME, "baking");
        scene.bed.answer_oddly("ListResourceRecordSets", change);
        scene.red(GATES[0]);
        assert_eq!(run.exit_code(), 20, "{what}: {}", run.log());
        assert_eq!(scene.bed.odd_replies_left(), 0, "{what}: it was given");
        assert_eq!(scene.count(NAME, "halted"), 0, "{what}");
        assert_eq!(scene.count(NAME, "drift_detected"), 0, "{what}");
        scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
    }
}

#[test]
fn one_odd_list_at_the_moment_of_a_rollback_halts_nothing() {
    let odd: [Oddity; 3] = [empty, without_the_first, cut];
    for change in odd {
        let scene = Scene::new(&Plan::resting_at_first_step());
        let run = scene.run(PLAN);
        scene.wait_for_phase(NAME, "baking");
        run.kill();
        scene.bed.answer_oddly("ListResourceRecordSets", change);
        scene.ok(&["rollback", NAME, "--yes"]);
        assert_eq!(scene.bed.odd_replies_left(), 0, "it was given");
        assert_eq!(scene.count(NAME, "halted"), 0);
        scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
    }
}
