//! Jobs and hooks with the built program: EventBridge and Scheduler by an emulator, hooks that are scripts.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::scene::{GATES, LADDER, NAME, PLAN, Plan, Scene};
use crate::beside::script;
use crate::support::moto::Moto;
use crate::support::program::{pause, until};

const MAKE: &str = "
events.put_rule(Name='report-eks', ScheduleExpression='cron(0 0 1 1 ? 2199)', State='ENABLED')
scheduler.create_schedule(Name='report-ecs', State='DISABLED', ScheduleExpression='cron(0 0 1 1 ? 2199)',
    FlexibleTimeWindow={'Mode': 'OFF'},
    Target={'Arn': 'arn:aws:lambda:eu-west-1:1:function:x', 'RoleArn': 'arn:aws:iam::1:role/r'})
";
const STATES: &str = "print(events.describe_rule(Name='report-eks')['State'], scheduler.get_schedule(Name='report-ecs')['State'])";

fn with_jobs(last_bake: &'static str) -> (Scene, Moto) {
    let moto = Moto::start();
    moto.python(MAKE);
    let more = "jobs:\n  at: 50%\n  wait: 2s\n  move:\n    - name: report\n      old: { rule: report-eks, running: [ echo, 0 ] }\n      new: { schedule: report-ecs, running: [ echo, 0 ] }";
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", false),
            ("100%", last_bake, false),
        ],
        more: more.to_owned(),
        ..Plan::default()
    });
    scene.set("PATH", "/usr/bin:/bin");
    scene.set("AWS_ENDPOINT_URL_EVENTBRIDGE", &moto.endpoint());
    scene.set("AWS_ENDPOINT_URL_SCHEDULER", &moto.endpoint());
    (scene, moto)
}

#[test]
fn jobs_move_with_their_step_from_a_rule_to_a_schedule() {
    let (scene, moto) = with_jobs("1s");
    assert_eq!(moto.python(STATES), "ENABLED DISABLED");
    let code = scene.run(PLAN).exit_code();
    assert_eq!(code, 0, "{}", scene.everything(NAME));
    assert_eq!(moto.python(STATES), "DISABLED ENABLED");
    scene.assert_weights(&LADDER);
}

#[test]
fn a_revert_takes_the_jobs_back() {
    let (scene, moto) = with_jobs("1h");
    let mut run = scene.run(PLAN);
    scene.wait_for_event(NAME, "weights_verified", 3);
    assert_eq!(moto.python(STATES), "DISABLED ENABLED");
    scene.red(GATES[0]);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    assert_eq!(moto.python(STATES), "ENABLED DISABLED");
    assert_eq!(scene.cname_weights().last(), Some(&(100, 0)));
}

/// Every hook is a script that writes down its key, twice: when it begins and when it ends.
fn with_hooks() -> Scene {
    let hook = |at: &str| format!("  - {{ at: {at}, command: [ ./hook ], timeout: 3s }}\n");
    let points = ["before_start", "before_step", "after_step", "completed"];
    let hooks: String = points.into_iter().map(hook).collect();
    let scene = Scene::new(&Plan {
        more: format!("hooks:\n{hooks}"),
        ..Plan::default()
    });
    scene.set("PATH", "/usr/bin:/bin");
    let text = "read -r event\necho \"$CUTOVER_IDEMPOTENCY_KEY\" >> calls\nsleep 0.2\necho warm\n";
    script(&scene.path("hook"), text);
    scene
}

fn keys(scene: &Scene) -> Vec<String> {
    let calls = fs::read_to_string(scene.path("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

const KEYS: [&str; 8] = [
    "api/1/0/before_start/1",
    "api/1/1/before_step/2",
    "api/1/1/after_step/3",
    "api/1/2/before_step/2",
    "api/1/2/after_step/3",
    "api/1/3/before_step/2",
    "api/1/3/after_step/3",
    "api/1/0/completed/4",
];

#[test]
fn hooks_are_called_in_their_places_and_what_they_say_is_kept() {
    let scene = with_hooks();
    let code = scene.run(PLAN).exit_code();
    assert_eq!(code, 0, "{}", scene.everything(NAME));
    assert_eq!(keys(&scene), KEYS);
    let history = scene.history(NAME);
    let said = history.iter().filter(|entry| {
        entry["event"]["type"] == "hook_succeeded" && entry["event"]["output"] == "warm\n"
    });
    assert_eq!(said.count(), KEYS.len());
}

#[test]
fn a_controller_that_is_killed_calls_every_hook_at_least_once_with_one_key() {
    let scene = with_hooks();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..8 {
        let run = scene.run(PLAN);
        pause(Duration::from_millis(rng.u64(..2_000)));
        run.kill();
    }
    let code = scene.run(PLAN).exit_code();
    assert_eq!(code, 0, "seed {seed}\n{}", scene.everything(NAME));
    let called: BTreeSet<String> = keys(&scene).into_iter().collect();
    let all: BTreeSet<String> = KEYS.map(str::to_owned).into();
    assert_eq!(called, all, "seed {seed}\n{}", scene.everything(NAME));
    let mut in_order = Vec::new();
    for key in keys(&scene) {
        if !in_order.contains(&key) {
            in_order.push(key);
        }
    }
    assert_eq!(in_order, KEYS, "seed {seed}");
    for weights in scene.all_weights() {
        let mut weights = weights;
        weights.dedup();
        assert_eq!(weights, LADDER, "seed {seed}");
    }
}

#[test]
fn a_rollback_without_commands_moves_the_weights_and_leaves_the_rest_to_others() {
    let (scene, moto) = with_jobs("1h");
    let touch =
        "hooks: [ { at: after_revert, command: [ ./hook ] } ]\nnotify: { command: [ ./hook ] }\n";
    let plan = fs::read_to_string(scene.path(PLAN)).unwrap();
    fs::write(scene.path(PLAN), format!("{plan}\n{touch}")).unwrap();
    script(&scene.path("hook"), "echo called >> calls\n");
    let run = scene.run(PLAN);
    scene.wait_for_event(NAME, "weights_verified", 3);
    run.kill();
    assert_eq!(moto.python(STATES), "DISABLED ENABLED");
    fs::remove_file(scene.path("calls")).unwrap_or_default();
    let said = scene.say(&["rollback", NAME, "--yes", "--no-commands"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(scene.cname_weights().last(), Some(&(100, 0)));
    assert_eq!(moto.python(STATES), "DISABLED ENABLED", "no job was moved");
    assert!(!scene.path("calls").exists(), "nothing was called");
    for told in [
        "its weights are at the baseline, read back",
        "were not called",
    ] {
        assert!(said.stderr.contains(told), "{said:#?}");
    }
    let status = scene.say(&["status", NAME]);
    assert!(
        status.stdout.contains("jobs or hooks are due"),
        "{status:#?}"
    );
    assert!(!status.stdout.contains("is being called"), "{status:#?}");
    let said = scene.say(&["rollback", NAME, "--yes"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(moto.python(STATES), "ENABLED DISABLED");
    assert!(scene.path("calls").exists());
}

/// A plan with a hook and a job whose commands leave children behind: one in the group of the command, and one in a session of
/// its own. Each of them writes a file of its own, some seconds later.
fn leaving(detach: &str) -> Scene {
    let more = format!(
        "hooks:\n  - {{ at: before_start, command: [ ./leave, hook ]{detach} }}\n\
         jobs:\n  at: 10%\n  wait: 2s\n  move:\n    - name: report\n\
         \x20     old: {{ off: [ ./leave, job ], on: [ 'true' ], state: [ ./state, old ], running: [ echo, 0 ]{detach} }}\n\
         \x20     new: {{ off: [ 'true' ], on: [ ./leave, on ], state: [ ./state, new ], running: [ echo, 0 ]{detach} }}"
    );
    let scene = Scene::new(&Plan {
        more,
        ..Plan::resting_at_first_step()
    });
    scene.set("PATH", "/usr/bin:/bin");
    let leave = "touch \"$1-ran\"\n(sleep 4; touch \"$1-group\") &\n\
        setsid sh -c \"sleep 4; touch $1-session\" &\nexit 0\n";
    script(&scene.path("leave"), leave);
    let state = "side=old; test -e on-ran && side=new\n\
        if test \"$1\" = old && test -e job-ran; then echo off; exit; fi\n\
        if test \"$1\" = $side; then echo on; else echo off; fi\n";
    script(&scene.path("state"), state);
    scene
}

const LEFT: [&str; 6] = [
    "hook-group",
    "hook-session",
    "job-group",
    "job-session",
    "on-group",
    "on-session",
];

#[test]
fn what_a_hook_or_a_job_leaves_behind_ends_with_it() {
    let scene = leaving("");
    let _run = scene.run(PLAN);
    scene.wait_for_event(NAME, "jobs_moved", 1);
    for ran in ["hook-ran", "job-ran", "on-ran"] {
        assert!(
            scene.path(ran).exists(),
            "{ran}\n{}",
            scene.everything(NAME)
        );
    }
    // Whatever went on would have written its file by then.
    pause(Duration::from_secs(6));
    let written = LEFT.iter().filter(|left| scene.path(left).exists());
    assert_eq!(written.count(), 0);
}

#[test]
fn what_a_detached_hook_or_job_leaves_behind_goes_on_and_outlives_the_controller() {
    let scene = leaving(", detach: true");
    let run = scene.run(PLAN);
    scene.wait_for_event(NAME, "jobs_moved", 1);
    run.kill();
    for left in LEFT {
        let there = until(|| scene.path(left).exists().then_some(()));
        assert!(there.is_some(), "{left}");
    }
}
