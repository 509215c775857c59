//! Whatever stands around the program, a red alarm is answered (RULES M1–M4).

use std::time::Duration;

use rustix::process::Signal;

use super::world::{Started, Stream, start};
use crate::end_to_end::scene::{GATES, NAME, PLAN, Plan, Scene};
use crate::support::program::until;

/// How long a red alarm may wait for its answer. The controller looks every second.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// A machine that tests share is slower than one that the program has for itself.
const SLACK: Duration = Duration::from_secs(3);

/// A controller in a world, whose cutover bakes its first step.
fn running(out: Stream, err: Stream, more: &[&str]) -> (Scene, Started) {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let mut args = vec!["run", "plans", "--interval", "1s"];
    args.extend(more);
    let run = start(scene.command(&args), out, err);
    scene.wait_for_phase(NAME, "baking");
    (scene, run)
}

/// Turns an alarm red, and measures the time until the weights are back.
pub(super) fn assert_answered(scene: &Scene, what: &str) {
    let began = scene.bed.now();
    scene.red(GATES[0]);
    let back = until(|| {
        let weights = scene.all_weights();
        let back = weights.iter().all(|all| all.last() == Some(&(100, 0)));
        back.then(|| scene.bed.now())
    });
    let took = back.expect("it is answered").duration_since(began);
    let took = Duration::try_from(took).expect("time goes on");
    assert!(took < ANSWERED_WITHIN + SLACK, "{what}: {took:?}");
}

#[test]
fn a_red_alarm_is_answered_whoever_reads_the_log() {
    let worlds = [
        (Stream::Closed, Stream::Closed, "-v"),
        (Stream::Full, Stream::Full, "-v"),
        (Stream::Kept, Stream::Unread, "-vv"),
    ];
    let all: Vec<_> = worlds
        .map(|(out, err, more)| (err, running(out, err, &[more])))
        .into();
    for (err, (scene, mut run)) in all {
        assert!(run.is_alive(), "{err:?}");
        assert_answered(&scene, &format!("{err:?}"));
        assert_eq!(run.code(), Some(20), "{err:?}");
    }
}

#[test]
fn a_controller_whose_log_nobody_reads_stops_when_it_is_asked() {
    for signal in [Signal::TERM, Signal::HUP] {
        let (_scene, mut run) = running(Stream::Kept, Stream::Unread, &["-vv"]);
        let before = run.age();
        run.signal(signal);
        assert_eq!(run.code(), Some(0), "{signal:?}");
        assert!(
            run.age().saturating_sub(before) < Duration::from_secs(20),
            "{signal:?}"
        );
    }
}

#[test]
fn a_controller_outlives_what_must_not_end_it() {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    run.signal(Signal::XFSZ);
    run.signal(Signal::PIPE);
    assert_answered(&scene, "signals");
    assert_eq!(run.code(), Some(20), "{}", run.said());
}

#[test]
fn files_that_are_pipes_hold_up_no_answer() {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    let glass = scene.path(".cutover/break-glass");
    let file = crate::support::program::files(&glass).remove(0);
    for path in [
        glass.join(file),
        scene.path("plans/api.yaml"),
        scene.path("plans/new.yaml"),
    ] {
        std::fs::remove_file(&path).unwrap_or_default();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
    }
    assert_answered(&scene, "pipes");
    assert_eq!(run.code(), Some(20), "{}", run.said());
}

#[test]
fn a_controller_whose_journal_is_locked_goes_back_and_stops_when_it_is_asked() {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    let journal = rusqlite::Connection::open(scene.path(".cutover/journal.db"));
    let journal = journal.expect("the journal");
    journal.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    scene.red(GATES[0]);
    let back = until(|| {
        let weights = scene.all_weights();
        let back = weights.iter().all(|all| all.last() == Some(&(100, 0)));
        back.then_some(())
    });
    assert!(back.is_some(), "{}", run.said());
    let before = run.age();
    run.signal(Signal::TERM);
    // 1: something hangs. 0: the journal said in time that it cannot be written.
    assert!(matches!(run.code(), Some(0 | 1)), "{}", run.said());
    assert!(
        run.age().saturating_sub(before) < Duration::from_secs(20),
        "{}",
        run.said()
    );
}

#[test]
fn a_rollback_outlives_its_terminal() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    let args = ["rollback", NAME, "--yes"];
    let mut back = start(scene.command(&args), Stream::Closed, Stream::Unread);
    let journaled = until(|| (scene.count(NAME, "rollback_requested") > 0).then_some(()));
    assert!(journaled.is_some());
    for signal in [Signal::HUP, Signal::PIPE, Signal::XFSZ] {
        if back.is_alive() {
            back.signal(signal);
        }
    }
    assert_eq!(back.code(), Some(0));
    scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
}
