//! Real pseudo-terminals: stopped with Ctrl-S, or gone, and the state in which a command leaves one (semantics M1, M2,
//! M4).

use std::time::Duration;

use rustix::process::Signal;
use rustix::termios::tcgetattr;

use super::alarms::assert_answered;
use super::world::{Started, Terminal, start_on};
use crate::end_to_end::scene::{NAME, PLAN, Plan, Scene};
use crate::support::program::until;

/// The byte that Ctrl-S sends.
const CTRL_S: &[u8] = b"\x13";

/// Starts a controller on a terminal, and waits until its cutover bakes the first step.
fn on_terminal() -> (Scene, Terminal, Started) {
    let (scene, terminal) = (Scene::new(&Plan::resting_at_first_step()), Terminal::new());
    let run = scene.command(&["run", "plans", "--interval", "1s", "-vv"]);
    let run = start_on(run, &terminal);
    scene.wait_for_phase(NAME, "baking");
    (scene, terminal, run)
}

#[test]
fn a_terminal_that_was_stopped_holds_up_no_answer() {
    let (scene, terminal, mut run) = on_terminal();
    assert!(!terminal.shown().is_empty(), "it was on a terminal");
    terminal.type_in(CTRL_S);
    assert_answered(&scene, "Ctrl-S");
    assert_eq!(run.code(), Some(20));
}

#[test]
fn a_terminal_that_was_stopped_holds_up_no_end() {
    for signal in [Signal::TERM, Signal::HUP] {
        let (scene, terminal, mut run) = on_terminal();
        terminal.type_in(CTRL_S);
        // By then, more is logged than a terminal buffers.
        let before = scene.calls("DescribeAlarms");
        let looked = until(|| (scene.calls("DescribeAlarms") >= before + 5).then_some(()));
        assert!(looked.is_some(), "it waits for its terminal");
        let asked = run.age();
        run.signal(signal);
        assert_eq!(run.code(), Some(0), "{signal:?}");
        let took = run.age().saturating_sub(asked);
        assert!(took < Duration::from_secs(20), "{signal:?}: {took:?}");
    }
}

#[test]
fn a_terminal_that_is_gone_holds_up_no_answer() {
    let (scene, terminal, mut run) = on_terminal();
    drop(terminal);
    assert_answered(&scene, "gone");
    assert_eq!(run.code(), Some(20));
}

#[test]
fn a_terminal_is_left_as_it_was_whatever_ends_a_command() {
    let scene = super::commands::baking();
    for args in [
        &["status", "--watch"][..],
        &["preview", PLAN],
        &["rehearse", PLAN, "--seed", "1"],
    ] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::PIPE] {
            let terminal = Terminal::new();
            let kept = terminal.end();
            let before = format!("{:?}", tcgetattr(&kept).expect("settings"));
            let mut command = scene.command(args);
            command.env("RUST_BACKTRACE", "1").env("TERM", "xterm");
            let mut started = start_on(command, &terminal);
            if args[0] == "status" {
                let shown = until(|| terminal.shown().contains("Ctrl-C").then_some(()));
                assert!(shown.is_some(), "{args:?}");
            } else {
                started.wait_until_it_catches(Signal::XFSZ);
            }
            if started.is_alive() {
                started.signal(signal);
            }
            // Rust programs ignore SIGPIPE, so `--watch` goes on.
            if signal == Signal::PIPE && args.contains(&"--watch") {
                let shown = until(|| terminal.shown().contains("Ctrl-C").then_some(()));
                assert!(shown.is_some(), "{args:?} {signal:?}");
                started.signal(Signal::INT);
            }
            let mut shown = String::new();
            let ended = until(|| {
                shown += &terminal.shown();
                (!started.is_alive()).then_some(())
            });
            assert!(ended.is_some(), "{args:?} {signal:?}: {shown}");
            shown += &terminal.shown();
            let code = started.code();
            assert!(
                matches!(code, None | Some(0)),
                "{args:?} {signal:?}: {code:?}"
            );
            for bad in ["panicked", "backtrace", "\u{1b}[?25l", "\u{1b}[?1049h"] {
                assert!(!shown.contains(bad), "{args:?} {signal:?}: {shown}");
            }
            let after = format!("{:?}", tcgetattr(&kept).expect("settings"));
            assert_eq!(before, after, "{args:?} {signal:?}");
        }
    }
}
