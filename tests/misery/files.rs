//! Files that never end, or that nobody writes to, in place of files that a controller reads (semantics M3, M4).

use std::fs::{File, remove_file};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::alarms::{assert_answered, running};
use super::endless::MEMORY_MAX;
use super::world::{Started, Stream, start};
use crate::end_to_end::scene::Scene;
use crate::support::program::files;

/// The size of a sparse file: 3 GB, which use no space on the disk.
const HUGE: u64 = 3_000_000_000;

fn huge(path: &Path) {
    remove_file(path).unwrap_or_default();
    let file = File::create(path).expect("a file can be made");
    file.set_len(HUGE).expect("it can be that long");
}

fn fifo(path: &Path) {
    remove_file(path).unwrap_or_default();
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo").success());
}

/// Starts a controller and replaces its files with `put`: all files in its break-glass directory, its plan, and another
/// plan.
fn replaced(put: fn(&Path)) -> (Scene, Started) {
    let (scene, run) = running(Stream::Kept, Stream::Kept, &["-v"]);
    let glass = scene.path(".cutover/break-glass");
    for file in files(&glass) {
        put(&glass.join(file));
    }
    put(&scene.path("plans/api.yaml"));
    put(&scene.path("plans/new.yaml"));
    (scene, run)
}

#[test]
fn files_of_3_gigabytes_hold_up_no_answer_and_take_no_memory() {
    let (scene, mut run) = replaced(huge);
    let peak = run.peak_memory();
    assert_answered(&scene, "3 GB");
    assert_eq!(run.code(), Some(20), "{}", run.said());
    let peak = peak.join().expect("a number");
    assert!((1..MEMORY_MAX).contains(&peak), "{peak} MiB");
}

#[test]
fn neither_files_of_3_gigabytes_nor_pipes_hold_up_an_end() {
    let ways: [fn(&Path); 2] = [huge, fifo];
    for (what, put) in ["3 GB", "pipes"].into_iter().zip(ways) {
        let (scene, mut run) = replaced(put);
        let peak = run.peak_memory();
        // Three readings of the alarms later, the controller has checked the files.
        let before = scene.calls("DescribeAlarms");
        let looked = crate::support::program::until(|| {
            (scene.calls("DescribeAlarms") >= before + 3).then_some(())
        });
        assert!(looked.is_some(), "{what}: it looks at nothing any more");
        let asked = run.age();
        run.signal(Signal::TERM);
        assert_eq!(run.code(), Some(0), "{what}: {}", run.said());
        let took = run.age().saturating_sub(asked);
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
        let peak = peak.join().expect("a number");
        assert!((1..MEMORY_MAX).contains(&peak), "{what}: {peak} MiB");
    }
}

#[test]
fn a_command_that_is_given_3_gigabytes_refuses_them_and_takes_no_memory() {
    let (scene, run) = replaced(huge);
    drop(run);
    let glass = files(&scene.path(".cutover/break-glass")).remove(0);
    let glass = format!(".cutover/break-glass/{glass}");
    for (args, code) in [
        (&["check", "plans"][..], 10),
        (&["preview", "plans/api.yaml"], 10),
        (&["rollback", "--yes", "--from", &glass], 2),
    ] {
        let mut started = start(scene.command(args), Stream::Kept, Stream::Kept);
        let peak = started.peak_memory();
        let ended = started.code();
        assert_eq!(ended, Some(code), "{args:?}: {}", started.said());
        // A command that ends before the first measurement has a peak of 0. Reading the whole file would take seconds.
        let peak = peak.join().expect("a number");
        assert!(peak < MEMORY_MAX, "{args:?}: {peak} MiB");
    }
    scene.assert_weights(&[(100, 0), (90, 10)]);
}
