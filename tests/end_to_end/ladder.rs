//! A plan from its first step to its end, with nothing going wrong.

use serde_json::json;

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::files;
use crate::support::sts_door;

#[test]
fn a_plan_completes_with_every_weight_exactly_as_planned() {
    let scene = Scene::new(&Plan {
        settle: "1s",
        ..Plan::default()
    });
    let mut run = scene.run(PLAN);
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    scene.assert_weights(&LADDER);

    let status = scene.status(NAME);
    assert_eq!(status["phase"], "completed");
    assert_eq!((&status["step"], &status["steps"]), (&json!(3), &json!(3)));
    assert_eq!(status["intended_share"], 100);
    let records = status["records"].as_array().unwrap();
    assert_eq!(records.len(), 3);
    for record in records {
        assert_eq!(
            (&record["old_weight"], &record["new_weight"]),
            (&json!(0), &json!(100))
        );
    }
    assert_eq!(status["because"], json!([]));

    let history = scene.history(NAME);
    let numbers: Vec<_> = history
        .iter()
        .map(|entry| entry["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = (1..).take(history.len()).collect();
    assert_eq!(numbers, expected);
    let times: Vec<_> = history
        .iter()
        .map(|entry| entry["at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:#?}");
    let milestones = [
        "plan_accepted",
        "weight_change_intended",
        "weights_verified",
        "bake_started",
        "step_completed",
        "completed",
    ];
    let events = scene.events(NAME).into_iter();
    let told: Vec<_> = events
        .filter(|event| milestones.contains(&event.as_str()))
        .collect();
    let step = &milestones[1..5];
    let expected = [&milestones[..1], step, step, step, &milestones[5..]].concat();
    assert_eq!(told, expected);
}

#[test]
fn the_records_of_one_zone_move_together_in_one_batch() {
    let scene = Scene::new(&Plan::default());
    assert_eq!(scene.run(PLAN).exit_code(), 0);
    let world = scene.bed.world();
    let pair = world.route53.weight_writes().iter();
    let pair = pair.filter(|write| write.group.name.as_str() == "api.example.com");
    let changes = |kind| {
        let writes = pair
            .clone()
            .filter(move |write| write.group.record_type == kind);
        // The first is the record's own creation.
        writes
            .skip(1)
            .map(|write| write.change.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(changes("A").len(), 3);
    assert_eq!(changes("A"), changes("AAAA"));
}

#[test]
fn the_way_back_without_this_program_is_kept_in_files_while_it_runs() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let folder = scene.path(".cutover/break-glass");
    let mut run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let mut expected =
        ["example.com", "example.net"].map(|zone| format!("{}-01.json", scene.zone(zone)));
    expected.sort();
    assert_eq!(files(&folder), expected);
    for file in expected {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let batch: serde_json::Value = serde_json::from_str(&text).unwrap();
        for change in batch["Changes"].as_array().unwrap() {
            let set = &change["ResourceRecordSet"];
            let weight = if set["SetIdentifier"] == "eks" {
                100
            } else {
                0
            };
            assert_eq!(
                (&change["Action"], &set["Weight"]),
                (&json!("UPSERT"), &json!(weight))
            );
        }
    }
    scene.ok(&["rollback", NAME, "--yes"]);
    assert_eq!(run.exit_code(), 20);
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn a_run_over_what_has_ended_changes_nothing_and_says_how_it_ended() {
    let scene = Scene::new(&Plan::default());
    assert_eq!(scene.run(PLAN).exit_code(), 0);
    let (images, events) = (scene.images(), scene.events(NAME));
    assert_eq!(scene.run(PLAN).exit_code(), 0);
    assert_eq!((scene.images(), scene.events(NAME)), (images, events));
}

#[test]
fn a_plan_with_a_role_is_carried_out_as_that_role() {
    let scene = Scene::new(&Plan {
        role_arn: Some("arn:aws:iam::111111111111:role/mover".to_owned()),
        ..Plan::default()
    });
    assert_eq!(scene.run(PLAN).exit_code(), 0);
    scene.assert_weights(&LADDER);
    let calls = scene.bed.calls();
    let calls = calls.iter().filter(|call| call.service != "sts");
    let mut signers: Vec<_> = calls.map(|call| call.signer.access_key.as_str()).collect();
    signers.dedup();
    assert_eq!(signers, [sts_door::access_key_of("mover")]);
    assert_eq!(scene.calls("AssumeRole"), 1);
}
