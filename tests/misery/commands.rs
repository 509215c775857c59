//! A command does the same, and ends with the same exit code, whatever happens to its output (semantics M1).

use super::world::{Stream, start};
use crate::end_to_end::scene::{NAME, PLAN, Plan, Scene};

/// The worlds in which a command that acts or judges ends by itself.
pub(super) const WORLDS: [(Stream, Stream); 7] = [
    (Stream::Closed, Stream::Kept),
    (Stream::Kept, Stream::Closed),
    (Stream::Closed, Stream::Closed),
    (Stream::Full, Stream::Kept),
    (Stream::Kept, Stream::Full),
    (Stream::Full, Stream::Full),
    (Stream::Unread, Stream::Unread),
];

/// Commands that judge or only read, with their exit codes.
pub(super) const READERS: [(&[&str], i32); 11] = [
    (&["check", PLAN], 0),
    (&["check", "plans/bad.yaml"], 10),
    (&["check", "--format", "json", "plans"], 10),
    (&["preview", PLAN], 0),
    (&["status"], 0),
    (&["status", "--format", "json"], 0),
    (&["history", NAME], 0),
    (&["history", "nobody"], 2),
    (&["schema"], 0),
    (&["completions", "bash"], 0),
    (&["man"], 0),
];

/// Commands that write, each with the event that it appends. In this order each of them applies.
const WRITERS: [(&[&str], &str); 4] = [
    (&["pause", NAME, "--reason", "a"], "pause_requested"),
    (&["resume", NAME], "resume_requested"),
    (&["skip-bake", NAME, "--reason", "b"], "bake_skip_requested"),
    (&["rollback", NAME, "--yes", "--timeout", "60s"], "reverted"),
];

/// Returns a scene with a cutover that bakes its first step. Its controller was killed.
pub(super) fn baking() -> Scene {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    scene
}

#[test]
fn a_command_that_reads_or_judges_ends_as_if_its_output_were_read() {
    let scene = baking();
    scene.write("plans/bad.yaml", "version: 1\nname: bad\n");
    // A device that never ends, in place of a time zone file.
    scene.set("TZ", "/dev/zero");
    for (out, err) in WORLDS {
        // A command that prints for a reader waits for it, and would not end.
        if out == Stream::Unread {
            continue;
        }
        let mut all: Vec<_> = READERS
            .iter()
            .map(|(args, code)| (args, *code, start(scene.command(args), out, err)))
            .collect();
        for (args, code, started) in &mut all {
            let ended = started.code();
            assert_eq!(
                ended,
                Some(*code),
                "{args:?} {out:?} {err:?}: {}",
                started.said()
            );
        }
    }
}

#[test]
fn a_link_to_what_is_no_plan_shows_nothing_of_it() {
    let scene = Scene::new(&Plan::default());
    scene.write(".aws/credentials", "aws_secret_access_key = hunter2\n");
    for (link, target) in [
        ("plans/link.yaml", "../.aws/credentials"),
        ("plans/fleet.yaml", "../.aws/credentials"),
    ] {
        std::os::unix::fs::symlink(target, scene.path(link)).expect("a link");
        let said = scene.say(&["check", "plans"]);
        assert_eq!(said.code, Some(10), "{said:?}");
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("leads out of"), "{all}");
        assert!(!all.contains("hunter2"), "{all}");
        std::fs::remove_file(scene.path(link)).expect("a link");
    }
}

#[test]
fn what_the_program_keeps_is_its_owners_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;

    let scene = Scene::new(&Plan::resting_at_first_step());
    let mut shell = std::process::Command::new("sh");
    let program = scene.command(&[]);
    shell.current_dir(scene.path(".")).env_clear();
    shell.envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let run = format!(
        "umask 000; exec {} run plans --interval 1s",
        env!("CARGO_BIN_EXE_cutover")
    );
    shell.args(["-c", &run]);
    let _run = start(shell, Stream::Kept, Stream::Kept);
    scene.wait_for_phase(NAME, "baking");
    let mode = |path: &std::path::Path| {
        let metadata = std::fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    let glass = scene.path(".cutover/break-glass");
    for folder in [scene.path(".cutover"), glass.clone()] {
        assert_eq!(mode(&folder), 0o700, "{folder:?}");
        for file in crate::support::program::files(&folder) {
            let path = folder.join(file);
            if path.is_file() {
                assert_eq!(mode(&path), 0o600, "{path:?}");
            }
        }
    }
}

#[test]
fn a_command_that_is_for_its_reader_waits_for_it_and_loses_nothing() {
    let scene = baking();
    scene.write("plans/bad.yaml", "version: 1\nname: bad\n");
    for (args, code) in READERS {
        let expected = scene.say(args);
        for (which, out, err) in [
            (0, Stream::Unread, Stream::Kept),
            (1, Stream::Kept, Stream::Unread),
        ] {
            let mut late = start(scene.command(args), out, err);
            let read = late.read_at_last(which);
            assert_eq!(late.code(), Some(code), "{args:?}");
            // These commands print times relative to now, which change.
            if matches!(args[0], "preview" | "status") {
                continue;
            }
            let expected = [&expected.stdout, &expected.stderr][which];
            let without: Vec<u8> = expected.bytes().filter(|byte| *byte != b'x').collect();
            assert!(
                read == without,
                "{args:?}: it is not what is printed otherwise"
            );
        }
    }
}

#[test]
fn a_command_that_writes_does_it_whoever_reads() {
    let scenes: Vec<Scene> = WORLDS.iter().map(|_| baking()).collect();
    for (args, event) in WRITERS {
        let started = WORLDS.iter().zip(&scenes);
        let mut started: Vec<_> = started
            .map(|((out, err), scene)| start(scene.command(args), *out, *err))
            .collect();
        for (index, started) in started.iter_mut().enumerate() {
            let (world, scene) = (WORLDS[index], &scenes[index]);
            assert_eq!(
                started.code(),
                Some(0),
                "{args:?} {world:?}: {}",
                started.said()
            );
            assert_eq!(scene.count(NAME, event), 1, "{args:?} {world:?}");
        }
    }
    for scene in &scenes {
        scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
    }
}
