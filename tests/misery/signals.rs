//! Commands that get signals: they go on, or they end and report how far they came (semantics M1, M4).

use std::time::Duration;

use cutover::sim::fault::{Fault, Lasting};
use rustix::process::Signal;

use super::commands::baking;
use super::world::{Started, Stream, start};
use crate::end_to_end::scene::{NAME, PLAN, Plan, Scene};
use crate::support::program::{Running, until};

/// Starts a rollback and sends a signal as soon as the rollback has a handler for `ready`. If `attended`, a controller
/// runs.
fn signalled(signal: Signal, ready: Signal, attended: bool) -> (Scene, Option<Running>, Started) {
    let (scene, run) = if attended {
        let scene = Scene::new(&Plan::resting_at_first_step());
        let run = scene.run(PLAN);
        scene.wait_for_phase(NAME, "baking");
        (scene, Some(run))
    } else {
        (baking(), None)
    };
    let mut command = scene.command(&["rollback", NAME, "--yes", "--timeout", "60s"]);
    command.env("RUST_BACKTRACE", "1");
    let mut back = start(command, Stream::Kept, Stream::Kept);
    back.wait_until_it_catches(ready);
    if back.is_alive() {
        back.signal(signal);
    }
    (scene, run, back)
}

#[test]
fn a_rollback_outlives_every_signal_that_is_not_meant_to_stop_it() {
    for attended in [false, true] {
        for signal in [Signal::HUP, Signal::PIPE, Signal::XFSZ] {
            let (scene, _run, mut back) = signalled(signal, Signal::HUP, attended);
            let what = format!("{signal:?}, with a controller: {attended}");
            assert_eq!(back.code(), Some(0), "{what}: {}", back.said());
            assert!(!back.said().contains("panicked"), "{what}: {}", back.said());
            scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
            assert_eq!(scene.status(NAME)["phase"], "reverted", "{what}");
        }
    }
}

#[test]
fn a_rollback_that_is_stopped_says_how_far_it_came_and_can_be_asked_for_again() {
    for attended in [false, true] {
        for (signal, ready) in [
            (Signal::TERM, Signal::HUP),
            (Signal::INT, Signal::HUP),
            (Signal::TERM, Signal::TERM),
            (Signal::INT, Signal::INT),
        ] {
            let (scene, _run, mut back) = signalled(signal, ready, attended);
            let (code, said) = (back.code(), back.said());
            let what =
                format!("{signal:?} from {ready:?} on, with a controller: {attended}: {said}");
            assert!(!said.contains("panicked"), "{what}");
            let asked = scene.count(NAME, "rollback_requested") > 0;
            match code {
                // Stopped before it took over. Its request may be in the journal or not, and it has written no weights.
                None => assert!(ready == Signal::HUP, "{what}"),
                Some(0) => {
                    assert!(asked, "{what}");
                    assert_eq!(scene.status(NAME)["phase"], "reverted", "{what}");
                }
                Some(21) => {
                    assert!(asked, "{what}");
                    assert!(said.contains("read back: "), "{what}");
                }
                other => panic!("{other:?}: {what}"),
            }
            if !attended && code.is_none() {
                scene.assert_weights(&[(100, 0), (90, 10)]);
            }
            scene.ok(&["rollback", NAME, "--yes"]);
            scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
        }
    }
}

#[test]
fn a_command_that_tells_ends_without_a_panic_whichever_signal_comes() {
    let scene = baking();
    // The signal arrives in the middle of calls.
    let late = Fault::Delay(Duration::from_millis(500));
    scene.bed.fault(None, late, Lasting::Always);
    for args in [
        &["preview", PLAN][..],
        &["rehearse", PLAN, "--seed", "1"],
        &["backtest", PLAN, "--since", "1h"],
        &["status", "--watch"],
    ] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::PIPE] {
            let what = format!("{args:?} {signal:?}");
            let mut command = scene.command(args);
            command.env("RUST_BACKTRACE", "1");
            let mut started = start(command, Stream::Kept, Stream::Kept);
            started.wait_until_it_catches(Signal::XFSZ);
            let watches = args.contains(&"--watch");
            if watches {
                let shown = until(|| started.said().contains(NAME).then_some(()));
                assert!(shown.is_some(), "{what}");
            }
            if started.is_alive() {
                started.signal(signal);
            }
            if signal == Signal::PIPE && watches {
                assert!(started.is_alive(), "{what}");
                started.signal(Signal::INT);
            }
            let code = started.code();
            let said = started.said();
            assert!(matches!(code, None | Some(0)), "{what}: {code:?} {said}");
            // SIGPIPE does not end these commands, so they must complete.
            if signal == Signal::PIPE {
                assert_eq!(code, Some(0), "{what}: {said}");
            }
            for bad in ["panicked", "backtrace"] {
                assert!(!said.contains(bad), "{what}: {said}");
            }
        }
    }
}

#[test]
fn a_watch_that_nobody_reads_ends_when_it_is_interrupted() {
    let scene = baking();
    for (out, err) in [
        (Stream::Unread, Stream::Kept),
        (Stream::Unread, Stream::Unread),
    ] {
        let mut watch = start(scene.command(&["status", "--watch"]), out, err);
        watch.wait_until_it_catches(Signal::INT);
        let asked = watch.age();
        watch.signal(Signal::INT);
        let code = watch.code();
        let took = watch.age().saturating_sub(asked);
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(matches!(code, None | Some(0 | 130)), "{code:?}");
    }
}
