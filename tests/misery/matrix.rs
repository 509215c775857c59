//! Every command in every world: it appends the same entries and ends with the same exit code as in a quiet one
//! (semantics M1).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::commands::{WORLDS, baking};
use super::world::{Started, Stream, start};
use crate::end_to_end::scene::{GATES, NAME, PLAN, Plan, Scene};

/// Commands about a cutover that bakes, each with its exit code and the number of entries that it appends.
const COMMANDS: [(&[&str], i32, i64); 16] = [
    (&["pause", NAME, "--reason", "a"], 0, 1),
    (&["resume", NAME], 12, 0),
    (&["retry", NAME], 12, 0),
    (&["approve", NAME, "--reason", "a"], 12, 0),
    (&["skip-bake", NAME, "--reason", "a"], 0, 1),
    (&["adopt-drift", NAME, "--reason", "a", "--yes"], 12, 0),
    (&["ignore-alarm", NAME, GATES[0], "--reason", "a"], 12, 0),
    (&["amend", PLAN], 12, 0),
    (&["amend", "plans/slower.yaml"], 0, 1),
    (&["freeze", "--reason", "a"], 0, 1),
    (&["unfreeze"], 12, 0),
    (&["abandon", NAME, "--reason", "a", "--yes"], 0, 1),
    (&["notify-test", PLAN], 2, 0),
    (&["rehearse", PLAN, "--seed", "1"], 0, 0),
    (&["backtest", PLAN, "--since", "1h"], 0, 0),
    (&["rollback", "nobody", "--yes"], 2, 0),
];

/// Copies the files of one folder of a scene, for example its journal, to another folder, which is replaced.
pub(super) fn copy(scene: &Scene, from: &str, to: &str) {
    let to = scene.path(to);
    fs::remove_dir_all(&to).unwrap_or_default();
    fs::create_dir(&to).expect("a folder can be made");
    for entry in fs::read_dir(scene.path(from)).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        if path.is_file() {
            fs::copy(&path, to.join(name)).expect("a file can be copied");
        }
    }
}

/// Returns the number of entries in the journal.
pub(super) fn entries(scene: &Scene) -> i64 {
    let journal = rusqlite::Connection::open(scene.path(".cutover/journal.db"));
    let journal = journal.expect("the journal");
    let count = journal.query_row("SELECT count(*) FROM events", [], |row| row.get(0));
    count.expect("a count")
}

/// The unusual environments in which commands are started.
pub(super) const ENVIRONMENTS: [&str; 3] = [
    "no HOME",
    "a terminal of one column",
    "a time zone without end",
];

pub(super) fn changed(mut command: Command, environment: &str) -> Command {
    match environment {
        "no HOME" => command.env_remove("HOME"),
        "a terminal of one column" => command.env("COLUMNS", "1"),
        "a time zone without end" => command.env("TZ", "/dev/zero"),
        other => panic!("{other} is not known"),
    };
    command
}

/// Both streams of a command, and its unusual environment, if it has one.
pub(super) type World = (Stream, Stream, Option<&'static str>);

/// Returns all worlds, the quiet one first.
pub(super) fn worlds() -> Vec<World> {
    let mut worlds = vec![(Stream::Kept, Stream::Kept, None)];
    for (out, err) in WORLDS {
        worlds.push((out, err, None));
    }
    for environment in ENVIRONMENTS {
        worlds.push((Stream::Kept, Stream::Kept, Some(environment)));
    }
    worlds
}

/// Starts a command in a world.
pub(super) fn start_in((out, err, environment): World, scene: &Scene, args: &[&str]) -> Started {
    let mut command = scene.command(args);
    if let Some(environment) = environment {
        command = changed(command, environment);
    }
    start(command, out, err)
}

/// Runs each command in every world, each time with the scene's present journal. Compares its exit code and the number
/// of entries that it appends with the expected ones.
pub(super) fn assert_the_same_everywhere(scene: &Scene, commands: &[(&[&str], i32, i64)]) {
    copy(scene, ".cutover", "kept");
    let mut wrong = Vec::new();
    for (args, code, appended) in commands {
        let reads = matches!(args[0], "rehearse" | "backtest");
        for world in worlds() {
            // These commands wait for their reader, so they would not end.
            if reads && world.0 == Stream::Unread {
                continue;
            }
            copy(scene, "kept", ".cutover");
            let before = entries(scene);
            let mut started = start_in(world, scene, args);
            let ended = started.code();
            let more = entries(scene) - before;
            if (ended, more) != (Some(*code), *appended) {
                let said = started.said();
                wrong.push(format!(
                    "{args:?} {world:?}: {ended:?}, {more} entries: {said}"
                ));
            }
        }
    }
    copy(scene, "kept", ".cutover");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_does_the_same_in_every_world() {
    let scene = baking();
    let slower = Plan {
        steps: vec![("10%", "2h", false), ("100%", "1s", false)],
        ..Plan::default()
    };
    scene.write("plans/slower.yaml", &slower.text());
    assert_the_same_everywhere(&scene, &COMMANDS);
}

#[test]
fn an_approval_is_journaled_in_every_world() {
    let scene = Scene::new(&Plan {
        steps: vec![("10%", "1h", true), ("100%", "1s", false)],
        ..Plan::default()
    });
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "approval");
    run.kill();
    let approve = (&["approve", NAME, "--reason", "a"][..], 0, 1);
    assert_the_same_everywhere(&scene, &[approve]);
}

#[test]
fn a_way_back_is_the_same_in_every_world() {
    let glass = |scene: &Scene| {
        let folder = scene.path(".cutover/break-glass");
        let names = crate::support::program::files(&folder);
        let files = names.iter();
        files
            .map(|name| format!(".cutover/break-glass/{name}"))
            .collect::<Vec<_>>()
    };
    for forced in [true, false] {
        let scenes: Vec<Scene> = WORLDS.iter().map(|_| baking()).collect();
        let mut all = Vec::new();
        for (scene, (out, err)) in scenes.iter().zip(WORLDS) {
            let files = glass(scene);
            assert!(!files.is_empty());
            let mut args = vec!["rollback", "--yes"];
            if forced {
                args.extend([NAME, "--force"]);
            } else {
                args.push("--from");
                args.extend(files.iter().map(String::as_str));
            }
            all.push(start(scene.command(&args), out, err));
        }
        for ((started, scene), world) in all.iter_mut().zip(&scenes).zip(WORLDS) {
            let code = started.code();
            assert_eq!(code, Some(0), "{forced} {world:?}: {}", started.said());
            for weights in scene.all_weights() {
                assert_eq!(weights.last(), Some(&(100, 0)), "{forced} {world:?}");
            }
        }
    }
}

#[test]
fn where_nothing_can_be_written_every_command_says_so_and_none_panics() {
    let scene = Scene::new(&Plan::default());
    let plan = scene.path(PLAN);
    let plan = plan.to_str().expect("a path");
    // Nobody can create a file there, not even the superuser.
    let nowhere = Path::new("/proc");
    for (args, code) in [
        (&["check", plan][..], Some(0)),
        (&["preview", plan], Some(0)),
        (&["rehearse", plan, "--seed", "1"], Some(0)),
        (&["status"], Some(0)),
        (&["run", plan, "--once"], None),
        (&["pause", NAME], None),
        (&["rollback", NAME, "--yes"], None),
    ] {
        let mut command = scene.command(args);
        let output = command.current_dir(nowhere).output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        let ended = output.status.code().expect("an exit code");
        match code {
            Some(code) => assert_eq!(ended, code, "{args:?}: {said}"),
            None => assert!(
                [1, 2].contains(&ended) && said.contains("journal"),
                "{args:?} ends with {ended}: {said}"
            ),
        }
    }
    scene.assert_weights(&[(100, 0)]);
}

#[test]
fn whichever_signal_ends_a_controller_the_next_one_goes_on_and_answers() {
    let plan = Plan::resting_at_first_step();
    let signals = [
        Signal::INT,
        Signal::TERM,
        Signal::HUP,
        Signal::QUIT,
        Signal::KILL,
    ];
    let mut all = Vec::new();
    for signal in signals {
        let scene = Scene::new(&plan);
        let run = start(
            scene.command(&["run", "plans", "--interval", "1s"]),
            Stream::Kept,
            Stream::Kept,
        );
        scene.wait_for_phase(NAME, "baking");
        all.push((signal, scene, run));
    }
    for (signal, scene, mut run) in all {
        let before = run.age();
        run.signal(signal);
        let code = run.code();
        let asked = matches!(signal, Signal::INT | Signal::TERM | Signal::HUP);
        assert_eq!(
            code == Some(0),
            asked,
            "{signal:?}: {code:?} {}",
            run.said()
        );
        let took = run.age().saturating_sub(before);
        assert!(took < Duration::from_secs(20), "{signal:?}: {took:?}");
        scene.assert_weights(&[(100, 0), (90, 10)]);
        let mut next = start(
            scene.command(&["run", "plans", "--interval", "1s"]),
            Stream::Kept,
            Stream::Kept,
        );
        scene.red(GATES[0]);
        assert_eq!(next.code(), Some(20), "{signal:?}: {}", next.said());
        scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
    }
}

#[test]
fn signals_that_end_nothing_delay_no_answer() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = start(
        scene.command(&["run", "plans", "--interval", "1s"]),
        Stream::Kept,
        Stream::Kept,
    );
    let mut run = run;
    scene.wait_for_phase(NAME, "baking");
    for signal in [
        Signal::WINCH,
        Signal::CONT,
        Signal::URG,
        Signal::CHILD,
        Signal::PIPE,
        Signal::XFSZ,
    ] {
        run.signal(signal);
    }
    super::alarms::assert_answered(&scene, "signals");
    assert_eq!(run.code(), Some(20), "{}", run.said());
}
