//! Commands that end with the process that started them, however it ends.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::program::{pause, until};

/// A shell that starts the command below a process of the built program, says so in `pids`, and waits.
fn attached(folder: &std::path::Path, script: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_cutover");
    let mut shell = Command::new("setsid");
    shell.current_dir(folder).stdin(Stdio::null()).args([
        "sh",
        "-c",
        &format!("setsid {program} __attached $$ end sh -c '{script}'; echo $? > code"),
    ]);
    shell
}

#[test]
fn a_command_and_what_it_started_end_with_a_parent_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let late = |name: &str| folder.path().join(name).exists();
    let script = "(sleep 3; touch grandchild) & touch began; sleep 3; touch child";
    let mut parent = attached(folder.path(), script).spawn().expect("a shell");
    let began = until(|| late("began").then_some(()));
    assert!(began.is_some(), "it never began");
    parent.kill().expect("it can be killed");
    parent.wait().expect("it is dead");
    pause(Duration::from_secs(5));
    assert!(!late("child"), "the command went on");
    assert!(!late("grandchild"), "what it started went on");
}

#[test]
fn what_a_command_leaves_behind_ends_with_it_unless_it_is_detached() {
    for (rest, goes_on) in [("end", false), ("detach", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        // One in the group, and one in a session of its own.
        let script = "(sleep 2; touch group) & setsid sh -c \"sleep 2; touch session\" & exit 0";
        let program = env!("CARGO_BIN_EXE_cutover");
        let command =
            format!("setsid {program} __attached $$ {rest} sh -c '{script}'; echo $? > code");
        let mut shell = Command::new("sh");
        shell.current_dir(folder.path()).stdin(Stdio::null());
        let ended = shell.args(["-c", &command]).status().expect("a shell");
        assert!(ended.success());
        let code = fs::read_to_string(folder.path().join("code")).expect("a code");
        assert_eq!(code.trim(), "0");
        let there = |name: &str| folder.path().join(name).exists();
        if goes_on {
            let both = until(|| (there("group") && there("session")).then_some(()));
            assert!(both.is_some(), "what was detached was ended");
        } else {
            pause(Duration::from_secs(4));
            assert!(!there("group") && !there("session"), "it went on");
        }
    }
}

#[test]
fn a_command_is_given_its_input_and_ends_as_it_would_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = |script: &str| {
        let ended = attached(folder.path(), script).status();
        assert!(ended.expect("a shell").success());
        let code = fs::read_to_string(folder.path().join("code")).expect("a code");
        code.trim().to_owned()
    };
    assert_eq!(code("exit 0"), "0");
    assert_eq!(code("exit 3"), "3");
    assert_eq!(code("kill -9 $$"), "137");
}

#[test]
fn whoever_comes_after_the_death_of_its_parent_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    let mut orphan = Command::new(env!("CARGO_BIN_EXE_cutover"));
    orphan.args(["__attached", "1", "end", "touch"]).arg(&file);
    let said = orphan.output().expect("it runs");
    assert_eq!(said.status.code(), Some(127));
    assert!(!file.exists());
}

#[test]
fn a_command_that_is_not_there_is_said_to_be_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = "version: 1\nname: api\n\
        records: [ { zone: example.com, name: a.example.com, type: A, old: eks, new: ecs } ]\n\
        steps: [ { weight: 100%, bake: 1h } ]\ngates: { alarms: [ a ] }\n\
        notify: { command: [ ./no-such-page ] }\n";
    fs::write(folder.path().join("plan.yaml"), plan).expect("a file");
    let mut test = Command::new(env!("CARGO_BIN_EXE_cutover"));
    test.current_dir(folder.path())
        .args(["notify-test", "plan.yaml"])
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let output = test.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = "`./no-such-page` cannot be started: No such file or directory";
    assert!(said.contains(wanted), "{said}");
}
