//! Alarms: what turns traffic back, what holds it, and what must never advance it.

use cutover::engine::observation::AlarmState;
use cutover::sim::fault::{Fault, Lasting};
use jiff::SignedDuration;
use serde_json::json;

use super::scene::{FALLBACK, GATES, LADDER, NAME, PLAN, Plan, REGION, Scene};
use crate::support::program::{Running, until};

/// Turns a gate red, and checks that everything goes back to where it was, once.
fn goes_back_when_red(scene: &Scene, run: Running, steps_taken: usize) {
    goes_back(scene, run, steps_taken, "alarm_red", || scene.red(GATES[1]));
}

fn goes_back(
    scene: &Scene,
    mut run: Running,
    steps_taken: usize,
    cause: &str,
    trigger: impl FnOnce(),
) {
    let seen = scene.history(NAME).len();
    trigger();
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    let mut expected = LADDER[..=steps_taken].to_vec();
    expected.push(LADDER[0]);
    scene.assert_weights(&expected);

    let after = scene.history(NAME).split_off(seen);
    let events: Vec<_> = after.iter().map(|entry| &entry["event"]).collect();
    let of = |name: &'static str| events.iter().filter(move |event| event["type"] == name);
    assert_eq!(of("weight_change_intended").count(), 0, "{events:#?}");
    assert_eq!(of("revert_intended").count(), 1, "{events:#?}");
    let why = of("revert_intended").next().expect("it was counted");
    assert_eq!(why["cause"]["cause"], cause);
    assert_eq!(why["cause"]["alarm"]["name"], GATES[1]);
    let status = scene.status(NAME);
    assert_eq!(
        (&status["phase"], &status["step"]),
        (&json!("reverted"), &json!(0))
    );
    assert_eq!(status["intended_share"], 0);
    let log = run.log();
    let paged = log
        .lines()
        .any(|line| line.contains("page=true") && line.contains(GATES[1]));
    assert!(paged, "{log}");
}

#[test]
fn an_alarm_that_turns_red_while_settling_takes_everything_back() {
    let scene = Scene::new(&Plan::default());
    scene.bed.world().route53.settings.propagation = SignedDuration::from_hours(1);
    let images = scene.images();
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "settling");
    goes_back_when_red(&scene, run, 1);
    assert_eq!(scene.images(), images);
}

#[test]
fn an_alarm_that_turns_red_while_baking_takes_everything_back() {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1h", false),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let images = scene.images();
    let run = scene.run(PLAN);
    scene.wait_for("the second bake", NAME, |status| {
        status["phase"] == "baking" && status["step"] == 2
    });
    goes_back_when_red(&scene, run, 2);
    assert_eq!(scene.images(), images);
}

#[test]
fn an_alarm_that_turns_red_while_paused_takes_everything_back() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let images = scene.images();
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    scene.ok(&["pause", NAME]);
    scene.wait_for_hold(NAME, "paused");
    goes_back_when_red(&scene, run, 1);
    assert_eq!(scene.images(), images);
}

#[test]
fn an_alarm_that_turns_red_while_waiting_for_approval_takes_everything_back() {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", true),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let images = scene.images();
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "approval");
    goes_back_when_red(&scene, run, 1);
    assert_eq!(scene.images(), images);
}

#[test]
fn an_alarm_that_was_red_only_between_two_looks_takes_everything_back() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let images = scene.images();
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    goes_back(&scene, run, 1, "alarm_flapped", || {
        let now = scene.bed.now();
        // One lock over both: nobody can look in between.
        let model = &mut scene.bed.world().cloudwatch;
        model.set_state(REGION, GATES[1], AlarmState::Alarm, now);
        let soon = now + SignedDuration::from_millis(1);
        model.set_state(REGION, GATES[1], AlarmState::Ok, soon);
    });
    assert_eq!(scene.images(), images);
}

#[test]
fn when_old_and_new_are_red_a_person_decides_until_the_old_side_is_well() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let mut run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    {
        let now = scene.bed.now();
        let model = &mut scene.bed.world().cloudwatch;
        model.set_state(REGION, FALLBACK, AlarmState::Alarm, now);
        model.set_state(REGION, GATES[0], AlarmState::Alarm, now);
    }
    scene.wait_for_phase(NAME, "halted");
    scene.assert_weights(&LADDER[..2]);
    let paged = || run.log().contains("page=true").then_some(());
    until(paged).expect("the log has the page");
    let log = run.log();
    let page = log
        .lines()
        .find(|line| line.contains("page=true"))
        .unwrap_or_default();
    assert!(page.contains(GATES[0]) && page.contains(FALLBACK), "{log}");
    assert!(run.is_alive());
    let once = scene.say(&["run", PLAN, "--once"]);
    assert_eq!(once.code, Some(22), "{once:#?}");

    scene.green(FALLBACK);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn an_alarm_that_is_red_before_the_start_holds_it_until_somebody_ignores_it() {
    let scene = Scene::new(&Plan::default());
    scene.red(GATES[0]);
    let once = scene.say(&["run", PLAN, "--once"]);
    assert_eq!(once.code, Some(0), "{once:#?}");
    scene.wait_for_hold(NAME, "alarm_red");
    scene.assert_weights(&LADDER[..1]);
    let wrong = scene.say(&["ignore-alarm", NAME, FALLBACK, "--reason", "no"]);
    assert_eq!(wrong.code, Some(12), "{wrong:#?}");
    scene.ok(&[
        "ignore-alarm",
        NAME,
        GATES[0],
        "--reason",
        "known since May",
    ]);
    let run = scene.run(PLAN);
    scene.wait_for_event(NAME, "weights_verified", 1);
    // Once green it counts again.
    scene.green(GATES[0]);
    scene.wait_for_event(NAME, "alarm_armed", 1);
    drop(run);
}

#[test]
fn an_alarm_that_is_missing_holds_and_never_advances() {
    let scene = Scene::new(&Plan {
        gates: vec![GATES[0].to_owned(), "not-there".to_owned()],
        ..Plan::default()
    });
    let mut run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "alarm_missing");
    let looked = scene.calls("DescribeAlarms");
    scene.wait_for("three more looks", NAME, |_| {
        scene.calls("DescribeAlarms") >= looked + 3
    });
    scene.assert_weights(&LADDER[..1]);
    scene.add_alarm("not-there");
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    scene.assert_weights(&LADDER);
}

#[test]
fn while_cloudwatch_is_down_nothing_advances_and_a_rollback_works_without_it() {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", true),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let images = scene.images();
    let mut run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "approval");
    for operation in ["DescribeAlarms", "DescribeAlarmHistory"] {
        let down = Fault::error(500, "InternalServiceFault", "down");
        scene.bed.fault(Some(operation), down, Lasting::Always);
    }
    scene.wait_for_hold(NAME, "unknown");
    scene.ok(&["approve", NAME, "--reason", "looks fine"]);
    scene.bed.clear_faults();
    for operation in ["DescribeAlarms", "DescribeAlarmHistory"] {
        scene
            .bed
            .fault(Some(operation), Fault::DropBefore, Lasting::Always);
    }
    let looked = scene.calls("DescribeAlarms");
    scene.wait_for("three more looks", NAME, |_| {
        scene.calls("DescribeAlarms") >= looked + 9
    });
    scene.assert_weights(&LADDER[..2]);
    run.terminate();
    assert_eq!(run.exit_code(), 0, "{}", run.log());

    let asked = scene.calls("DescribeAlarms");
    scene.ok(&["rollback", NAME, "--yes"]);
    assert_eq!(scene.calls("DescribeAlarms"), asked);
    assert_eq!(scene.images(), images);
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}
