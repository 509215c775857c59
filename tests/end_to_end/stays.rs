//! A controller that a service manager runs: it is there before the first plan, and after the last cutover has ended.

use std::fs;

use super::scene::{GATES, NAME, PLAN, Plan, Scene};
use crate::support::program::until;

/// How a service manager starts it.
const STAYING: [&str; 5] = ["run", "plans", "--stay", "--interval", "1s"];

#[test]
fn a_controller_that_stays_takes_plans_and_retries_as_they_come() {
    let scene = Scene::new(&Plan::default());
    let text = fs::read_to_string(scene.path(PLAN)).expect("the plan");
    fs::remove_file(scene.path(PLAN)).expect("taken away");
    let mut run = scene.start(&STAYING);
    let watching = until(|| run.log().contains("watching").then_some(()));
    assert!(watching.is_some(), "{}", run.log());
    scene.red(GATES[0]);
    scene.write(PLAN, &text);
    scene.wait_for_hold(NAME, "alarm_red");
    scene.green(GATES[0]);
    scene.wait_for_event(NAME, "bake_started", 1);
    scene.ok(&["rollback", NAME, "--yes", "--reason", "a drill"]);
    scene.wait_for_phase(NAME, "reverted");
    assert!(run.is_alive(), "{}", run.log());
    assert!(scene.ok(&["healthy"]).stdout.contains("last worked"));
    scene.ok(&["retry", NAME]);
    scene.wait_for_phase(NAME, "completed");
    assert!(run.is_alive(), "{}", run.log());
    run.terminate();
    assert_eq!(run.exit_code(), 0, "{}", run.log());
}

#[test]
fn a_bad_plan_does_not_end_a_controller_that_stays_but_a_path_that_is_missing_does() {
    let scene = Scene::new(&Plan::default());
    let text = fs::read_to_string(scene.path(PLAN)).expect("the plan");
    let mut absent = scene.start(&["run", "no-such-folder", "--stay"]);
    assert_eq!(absent.exit_code(), 10, "{}", absent.log());
    scene.write(PLAN, "version: 1\nname: api\nsteps: 3\n");
    let mut run = scene.start(&STAYING);
    let said = until(|| run.log().contains("watching").then_some(()));
    assert!(said.is_some(), "{}", run.log());
    assert!(run.log().contains("steps"), "{}", run.log());
    scene.write(PLAN, &text);
    scene.wait_for_phase(NAME, "completed");
    assert!(run.is_alive(), "{}", run.log());
    run.terminate();
    assert_eq!(run.exit_code(), 0, "{}", run.log());
}

#[test]
fn a_container_is_healthy_while_its_controller_works_or_nobody_can_tell() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    assert_eq!(scene.say(&["healthy"]).code, Some(2), "there is no journal");
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    scene.ok(&["healthy"]);
    run.kill();
    let journal = rusqlite::Connection::open(scene.path(".cutover/journal.db"));
    let journal = journal.expect("the journal");
    // As if it had hung an hour ago, and as if it had run on another machine.
    for (column, value) in [("at", "'2020-01-01T00:00:00Z'"), ("host", "'another'")] {
        let changed = journal.execute_batch(&format!(
            "UPDATE heartbeats SET heartbeat = json_set(heartbeat, '$.{column}', {value})"
        ));
        changed.expect("changed");
        assert_eq!(scene.say(&["healthy"]).code, Some(1), "{column}");
    }
    journal
        .execute_batch("DROP TABLE heartbeats")
        .expect("damaged");
    let said = scene.ok(&["healthy"]);
    assert!(said.stderr.contains("nobody can tell"), "{said:#?}");
}
