//! The way back that needs nothing of ours, or nothing but files: through the real AWS command line, and `--from`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::files;
use crate::support::python::python;

const BREAK_GLASS: &str = ".cutover/break-glass";

/// A cutover that bakes its first step, and whose controller has died; with its break-glass files.
fn abandoned() -> (Scene, Vec<String>) {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    let kept = files(&scene.path(BREAK_GLASS));
    assert_eq!(kept.len(), 2, "a file for each zone: {kept:?}");
    (scene, kept)
}

/// Runs `aws ARGS…` in the scene's folder.
fn aws(scene: &Scene, args: &[&str]) -> Output {
    let tool: PathBuf = python().with_file_name("aws");
    Command::new(python())
        .arg(tool)
        .args(args)
        .current_dir(scene.path("."))
        .env_clear()
        .env("HOME", scene.path("."))
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL", scene.bed.endpoint())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .output()
        .expect("the AWS command line starts")
}

#[test]
fn the_aws_command_line_takes_the_break_glass_files_as_they_are() {
    let (scene, kept) = abandoned();
    for file in &kept {
        let (zone, _) = file.rsplit_once('-').expect("ZONEID-01.json");
        let batch = format!("file://{BREAK_GLASS}/{file}");
        let said = aws(
            &scene,
            &[
                "route53",
                "change-resource-record-sets",
                "--hosted-zone-id",
                zone,
                "--change-batch",
                &batch,
            ],
        );
        assert!(said.status.success(), "{said:?}");
        let reply = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(reply.contains("PENDING"), "{reply}");
    }
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn a_rollback_from_files_needs_no_journal() {
    let (scene, kept) = abandoned();
    std::fs::remove_file(scene.path(".cutover/journal.db")).expect("the journal");
    let paths: Vec<String> = kept
        .iter()
        .map(|file| format!("{BREAK_GLASS}/{file}"))
        .collect();
    let mut args = vec!["rollback", "--yes", "--from"];
    args.extend(paths.iter().map(String::as_str));
    let said = scene.ok(&args);
    assert!(
        said.stdout.contains("3 groups: at the baseline"),
        "{said:#?}"
    );
    assert!(said.stderr.contains("2 write calls"), "{said:#?}");
    assert!(said.stderr.contains("INSYNC"), "{said:#?}");
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn a_file_that_is_no_break_glass_file_is_refused_before_anything_is_written() {
    let (scene, _) = abandoned();
    scene.write(
        "Z1-01.json",
        "{ \"Changes\": [ { \"Action\": \"DELETE\" } ] }",
    );
    let said = scene.say(&["rollback", "--yes", "--from", "Z1-01.json"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("not a break-glass file"), "{said:#?}");
    scene.assert_weights(&LADDER[..2]);
}

#[test]
fn a_rollback_shows_its_calls_and_leaves_no_stale_file() {
    let (scene, _) = abandoned();
    let said = scene.ok(&["rollback", "--all", "--yes"]);
    for expected in [
        "in all 3 groups, 2 write calls",
        "read back: 3 of 3 groups at the baseline",
        "INSYNC",
    ] {
        assert!(said.stderr.contains(expected), "{expected}: {said:#?}");
    }
    assert_eq!(files(&scene.path(BREAK_GLASS)), Vec::<String>::new());
}
