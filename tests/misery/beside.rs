//! A red alarm takes the traffic back as in a quiet world, whatever commands run next to the controller (semantics
//! M1–M4).

use cutover::engine::observation::AlarmState;

use super::alarms::{BESIDE, Quiet, assert_answered_beside};
use super::world::{Started, Stream, start};
use crate::end_to_end::scene::{GATES, NAME, PLAN, Plan, Scene};
use crate::support::program::until;

/// Every command except `run`, next to which they run. The cutover is paused first, so that none of them moves it.
/// Commands that end a cutover or take it back are run for other cutovers.
const COMMANDS: [&[&str]; 25] = [
    &["status", "--watch"],
    &["status", NAME],
    &["status", "--format", "json"],
    &["history", NAME],
    &["check", "plans"],
    &["preview", PLAN],
    &["rehearse", PLAN, "--seed", "1"],
    &["backtest", PLAN, "--since", "1h"],
    &["schema"],
    &["completions", "bash"],
    &["man"],
    &["pause", NAME, "--reason", "a"],
    &["resume", "web"],
    &["freeze", "--reason", "a"],
    &["unfreeze"],
    &["retry", NAME],
    &["skip-bake", NAME, "--reason", "a"],
    &["approve", NAME, "--reason", "a"],
    &["amend", PLAN],
    &["adopt-drift", NAME, "--reason", "a", "--yes"],
    &["ignore-alarm", NAME, GATES[0], "--reason", "a"],
    &["notify-test", PLAN],
    &["rollback", "nobody", "--yes"],
    &["rollback", "web", "--yes"],
    &["abandon", "shop", "--reason", "a", "--yes"],
];

/// The number of commands, from the first one, that wait for their reader.
const READERS: usize = 11;

/// Starts a controller with one cutover that bakes its first step and is paused, and two cutovers that wait for a green
/// alarm. The controller is in the same world as the commands.
fn crowded(out: Stream, err: Stream) -> (Scene, Started) {
    let scene = Scene::new(&Plan::resting_at_first_step());
    for name in ["web", "shop"] {
        let (host, gate) = (format!("{name}.example.com"), format!("{name}-5xx"));
        scene.add_group("example.com", &host, "CNAME");
        scene.add_alarm(&gate);
        scene.set_alarm(&gate, AlarmState::Alarm);
        scene.plan(&Plan {
            name: name.to_owned(),
            records: vec![("example.com".to_owned(), host, "CNAME")],
            gates: vec![gate],
            fallbacks: Vec::new(),
            ..Plan::default()
        });
    }
    let mut run = scene.command(&["run", "plans", "--interval", "1s", "-v"]);
    run.env("COLUMNS", "1").env("TZ", "/dev/zero");
    let run = start(run, out, err);
    scene.wait_for_phase(NAME, "baking");
    for name in ["web", "shop"] {
        scene.wait_for_hold(name, "alarm_red");
    }
    scene.ok(&["pause", NAME]);
    (scene, run)
}

/// Starts a command in a world, without a home directory, on a terminal of one column, with a time zone file that never
/// ends.
fn beside(scene: &Scene, args: &[&str], out: Stream, err: Stream) -> Started {
    let mut command = scene.command(args);
    command
        .env_remove("HOME")
        .env("COLUMNS", "1")
        .env("TZ", "/dev/zero")
        .env("AWS_ACCESS_KEY_ID", BESIDE);
    start(command, out, err)
}

fn is_answered_beside_every_command(worlds: &[(Stream, Stream)]) {
    for (out, err) in worlds {
        let (quiet, (scene, mut run)) = (Quiet::new(), crowded(*out, *err));
        let what = format!("{out:?} {err:?}");
        let mut all: Vec<Started> = COMMANDS
            .iter()
            .map(|args| beside(&scene, args, *out, *err))
            .collect();
        if *out == Stream::Unread {
            // Commands that act have ended, and commands that print hang.
            let (readers, others) = all.split_at_mut(READERS);
            for other in others {
                other.code().expect("an exit code");
            }
            let hanging = readers.iter_mut().take(2).all(Started::is_alive);
            assert!(hanging, "{what}: they do not wait for their reader");
        }
        assert_answered_beside(&quiet, &scene, &what);
        assert_eq!(run.code(), Some(20), "{what}: {}", run.said());
        for (args, started) in COMMANDS.iter().zip(&mut all) {
            if args.contains(&"--watch") || *out == Stream::Unread {
                continue;
            }
            let ended = until(|| (!started.is_alive()).then_some(()));
            assert!(ended.is_some(), "{what}: {args:?} does not end");
        }
    }
}

#[test]
fn no_command_whose_reader_has_gone_holds_up_an_answer() {
    is_answered_beside_every_command(&[
        (Stream::Closed, Stream::Kept),
        (Stream::Kept, Stream::Closed),
        (Stream::Closed, Stream::Closed),
    ]);
}

#[test]
fn no_command_on_a_full_disk_holds_up_an_answer() {
    is_answered_beside_every_command(&[
        (Stream::Full, Stream::Kept),
        (Stream::Kept, Stream::Full),
        (Stream::Full, Stream::Full),
    ]);
}

#[test]
fn no_command_that_nobody_reads_holds_up_an_answer() {
    is_answered_beside_every_command(&[(Stream::Unread, Stream::Unread)]);
}
