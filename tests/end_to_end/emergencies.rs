//! The way back that needs nothing of ours, or nothing but files: through the real AWS command line, and `--from`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use cutover::sim::fault::{Fault, Lasting};

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::{Said, files, until};
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

/// `rollback --from` with these files of the break-glass directory.
fn from_files(scene: &Scene, kept: &[String], more: &[&str]) -> Said {
    let paths: Vec<String> = kept
        .iter()
        .map(|file| format!("{BREAK_GLASS}/{file}"))
        .collect();
    let mut args = vec!["rollback", "--yes"];
    args.extend(more);
    args.push("--from");
    args.extend(paths.iter().map(String::as_str));
    scene.say(&args)
}

#[test]
fn a_rollback_from_files_that_cannot_be_read_back_is_not_called_done() {
    let (scene, kept) = abandoned();
    let read = Some("ListResourceRecordSets");
    scene.bed.fault(read, Fault::deny(), Lasting::Always);
    let said = from_files(&scene, &kept, &[]);
    assert_eq!(said.code, Some(21), "{said:#?}");
    for name in [
        "api.example.com A",
        "api.example.com AAAA",
        "api.example.net CNAME",
    ] {
        let line = format!("{name} cannot be read back");
        assert!(said.stderr.contains(&line), "{line}: {said:#?}");
    }
    assert!(said.stderr.contains("0 of 3 groups"), "{said:#?}");
    assert!(said.stderr.contains("INSYNC"), "{said:#?}");
    assert_eq!(said.stdout, "");
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn what_went_back_is_read_back_and_awaited_also_where_the_rest_did_not() {
    let (scene, kept) = abandoned();
    let change = Some("ChangeResourceRecordSets");
    scene.bed.fault(change, Fault::deny(), Lasting::Calls(1));
    let said = from_files(&scene, &kept, &["--timeout", "1s"]);
    assert_eq!(said.code, Some(21), "{said:#?}");
    for expected in [
        "was not accepted",
        "is not back: its weights are",
        "of 3 groups at the baseline",
        "INSYNC",
        "TTL (",
    ] {
        assert!(said.stderr.contains(expected), "{expected}: {said:#?}");
    }
}

#[test]
fn a_lost_reply_hides_neither_insync_nor_how_long_caches_hold() {
    let (scene, _) = abandoned();
    let change = Some("ChangeResourceRecordSets");
    scene.bed.fault(change, Fault::LoseReply, Lasting::Calls(2));
    let said = scene.ok(&["rollback", "--all", "--yes"]);
    for expected in ["read back: 3 of 3 groups", "INSYNC", "TTL ("] {
        assert!(said.stderr.contains(expected), "{expected}: {said:#?}");
    }
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn a_new_journal_keeps_the_way_back_of_the_lost_one() {
    let (scene, before) = abandoned();
    for file in files(&scene.path(".cutover")) {
        if file.starts_with("journal.db") {
            std::fs::remove_file(scene.path(&format!(".cutover/{file}"))).expect("the journal");
        }
    }
    scene.add_group("example.com", "other.example.com", "A");
    let other = Plan {
        name: "other".to_owned(),
        records: vec![(
            "example.com".to_owned(),
            "other.example.com".to_owned(),
            "A",
        )],
        ..Plan::resting_at_first_step()
    };
    scene.plan(&other);
    // The lost one's plan is there too, and is refused: this journal has no baseline of it.
    let run = scene.run("plans");
    scene.wait_for_phase("other", "baking");
    let now = files(&scene.path(BREAK_GLASS));
    let kept: Vec<String> = now
        .iter()
        .filter(|file| file.contains(".kept-"))
        .cloned()
        .collect();
    assert_eq!((kept.len(), now.len()), (before.len(), before.len() + 1));
    assert!(run.log().contains("are kept as"), "{}", run.log());
    let current = now.iter().find(|file| !file.contains(".kept-"));
    let current = scene.path(&format!("{BREAK_GLASS}/{}", current.expect("the new one")));
    std::fs::remove_file(&current).expect("it is there");
    until(|| current.exists().then_some(())).expect("it is written again");
    run.kill();
    let said = from_files(&scene, &kept, &[]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn a_rollback_from_files_is_told_to_the_journal_that_is_at_hand() {
    let (scene, kept) = abandoned();
    let said = from_files(&scene, &kept, &[]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stderr.contains("has the rollback too, for api"),
        "{said:#?}"
    );
    for record in ["`eks` weight 100", "`ecs` weight 0"] {
        assert!(said.stderr.contains(record), "{record}: {said:#?}");
    }
    assert_eq!(scene.count(NAME, "rollback_requested"), 1);
    let mut run = scene.run(PLAN);
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    scene.assert_weights(&[LADDER[0], LADDER[1], LADDER[0]]);
}

#[test]
fn a_name_beside_the_files_takes_only_that_cutovers_groups() {
    let (scene, kept) = abandoned();
    let file = format!("{BREAK_GLASS}/{}", kept[0]);
    let said = scene.ok(&["rollback", "--yes", "--from", &file, NAME]);
    assert!(
        said.stdout.contains("at the baseline, read back"),
        "{said:#?}"
    );
    let said = scene.say(&["rollback", "--yes", "--from", &file, "other"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("cutover status"), "{said:#?}");
}

#[test]
fn a_file_that_gives_the_new_side_more_is_refused_without_force() {
    let (scene, kept) = abandoned();
    let path = scene.path(&format!("{BREAK_GLASS}/{}", kept[0]));
    let text = std::fs::read_to_string(&path).expect("it is there");
    let turned = text
        .replace("\"Weight\": 100", "\"Weight\": 1")
        .replace("\"Weight\": 0", "\"Weight\": 99");
    assert_ne!(text, turned, "{text}");
    std::fs::write(&path, turned).expect("it is written");
    let said = from_files(&scene, &kept[..1], &[]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.stderr.contains("that does not lead back"), "{said:#?}");
    scene.assert_weights(&LADDER[..2]);
}
