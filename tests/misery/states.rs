//! Commands about cutovers in other states than baking: frozen, reverted, drifted, waiting for a green alarm (semantics
//! M1).

use cutover::engine::observation::AlarmState;

use super::commands::{READERS, baking};
use super::matrix::{ENVIRONMENTS, assert_the_same_everywhere, changed, entries};
use super::world::{Started, Stream, start};
use crate::end_to_end::scene::{GATES, NAME, PLAN, Plan, Scene};

#[test]
fn what_was_stopped_goes_on_in_every_world() {
    let scene = baking();
    scene.ok(&["pause", NAME]);
    scene.ok(&["freeze", "--reason", "a"]);
    assert_the_same_everywhere(
        &scene,
        &[
            (&["resume", NAME], 0, 1),
            (&["unfreeze"], 0, 1),
            (&["unfreeze", "--reason", "a"], 0, 1),
            (&["freeze", "--reason", "b"], 12, 0),
            (&["freeze", "--until", "4h", "--reason", "b"], 0, 1),
            (&["resume", "--fleet", "--reason", "a"], 12, 0),
        ],
    );
}

#[test]
fn what_went_back_is_tried_again_in_every_world() {
    let scene = baking();
    scene.ok(&["rollback", NAME, "--yes"]);
    assert_the_same_everywhere(
        &scene,
        &[
            (&["retry", NAME, "--reason", "a"], 0, 1),
            (&["pause", NAME], 12, 0),
            (&["rollback", NAME, "--yes"], 0, 0),
        ],
    );
    scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
}

#[test]
fn what_somebody_else_changed_is_adopted_in_every_world() {
    let scene = baking();
    scene.foreign_weights(95, 5);
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "drift");
    run.kill();
    let adopt = &["adopt-drift", NAME, "--reason", "a", "--yes"][..];
    assert_the_same_everywhere(&scene, &[(adopt, 0, 1)]);
}

#[test]
fn a_red_alarm_is_ignored_before_the_start_in_every_world() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    scene.set_alarm(GATES[0], AlarmState::Alarm);
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "alarm_red");
    run.kill();
    let ignore = &["ignore-alarm", NAME, GATES[0], "--reason", "a"][..];
    assert_the_same_everywhere(
        &scene,
        &[(ignore, 0, 1), (&["rollback", NAME, "--yes"], 0, 2)],
    );
    scene.assert_weights(&[(100, 0)]);
}

#[test]
fn a_command_that_tells_ends_the_same_in_every_environment_and_writes_nothing() {
    let scene = baking();
    scene.write("plans/bad.yaml", "version: 1\nname: bad\n");
    let before = entries(&scene);
    for (args, code) in READERS {
        let quiet = scene.say(args);
        assert_eq!(quiet.code, Some(code), "{args:?}: {quiet:#?}");
        for environment in ENVIRONMENTS {
            let command = changed(scene.command(args), environment);
            let mut started = start(command, Stream::Kept, Stream::Kept);
            let ended = started.code();
            let said = started.said();
            assert_eq!(ended, Some(code), "{args:?} {environment}: {said}");
            // Some commands print times, which change. On a terminal of one column, lines are broken.
            let same = !matches!(args[0], "preview" | "status" | "check");
            if same && environment != "a terminal of one column" {
                let quiet = format!("{}{}", quiet.stdout, quiet.stderr);
                assert!(said == quiet, "{args:?} {environment}: {said}");
            }
        }
    }
    assert_eq!(entries(&scene), before);
}

#[test]
fn a_rollback_moves_the_weights_in_every_environment() {
    let scenes: Vec<Scene> = ENVIRONMENTS.iter().map(|_| baking()).collect();
    let args = ["rollback", NAME, "--yes", "--timeout", "60s"];
    let mut all: Vec<(&str, &Scene, Started)> = Vec::new();
    for (environment, scene) in ENVIRONMENTS.into_iter().zip(&scenes) {
        let command = changed(scene.command(&args), environment);
        let started = start(command, Stream::Kept, Stream::Kept);
        all.push((environment, scene, started));
    }
    for (environment, scene, mut started) in all {
        assert_eq!(started.code(), Some(0), "{environment}: {}", started.said());
        scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
        assert_eq!(scene.count(NAME, "reverted"), 1, "{environment}");
    }
}
