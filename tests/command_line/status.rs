//! `status`: exactly the documented fields, and what leads.

use super::*;

#[test]
fn status_has_exactly_the_documented_fields() {
    let mut desk = Desk::new();
    let since = ago(30);
    desk.bake("recipe-api", since);
    let until = ago(0) + SignedDuration::from_hours(3);
    let baking = HoldReason::Baking {
        step: 1,
        until: Some(until),
        counted_secs: 1_800,
    };
    desk.beat("recipe-api", ago(0), vec![baking]);
    let said = desk.says("status --format json");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let json = said.json();
    let row = json[0].as_object().expect("an object");
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "name",
            "attempt",
            "phase",
            "paused",
            "step",
            "steps",
            "intended_share",
            "records",
            "because",
            "since",
            "next_at",
            "observed_at",
            "labels",
            "approval",
            "coming",
            "notifications",
            "notifications_skipped"
        ]
    );
    assert_eq!(row["phase"], "baking");
    assert_eq!(row["paused"], false);
    assert_eq!((&row["step"], &row["steps"]), (&1.into(), &3.into()));
    assert_eq!(row["intended_share"], 5);
    assert_eq!(row["since"], since.to_string());
    assert_eq!(
        row["records"],
        serde_json::json!([{
            "zone": "example.com",
            "name": "recipe-api.example.com",
            "type": "A",
            "old_weight": 95,
            "new_weight": 5,
        }])
    );
    assert_eq!(row["because"][0]["kind"], "baking");
    assert_eq!(row["because"][0]["until"], until.to_string());
    let message = row["because"][0]["message"].as_str().expect("a message");
    assert!(message.starts_with("baking step 1 until "), "{message}");
}

#[test]
fn status_before_the_first_write_knows_no_weights() {
    let mut desk = Desk::new();
    desk.accept("recipe-api", ago(5));
    let row = desk.says("status --format json").json()[0].clone();
    assert_eq!(row["phase"], "waiting");
    assert_eq!(
        (&row["step"], &row["intended_share"]),
        (&0.into(), &0.into())
    );
    assert_eq!(row["records"][0]["old_weight"], Value::Null);
    assert_eq!(row["because"], serde_json::json!([]));
    assert_eq!(
        (&row["next_at"], &row["observed_at"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn status_after_a_revert_shows_the_baseline() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let revert = Event::RevertIntended {
        write_id: WriteId::from("w2"),
        cause: RevertCause::AlarmRed { alarm: gate() },
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    };
    desk.write("recipe-api", ago(20), vec![revert]);
    let row = desk.says("status --format json").json()[0].clone();
    assert_eq!(
        (&row["phase"], &row["step"]),
        (&"reverting".into(), &1.into())
    );
    assert_eq!(row["intended_share"], 0);
    assert_eq!(row["because"][0]["kind"], "reverting");
    desk.write(
        "recipe-api",
        ago(19),
        vec![Event::Reverted { cancelled: false }],
    );
    let row = desk.says("status --format json").json()[0].clone();
    assert_eq!(
        (&row["phase"], &row["step"]),
        (&"reverted".into(), &0.into())
    );
    // It says why it went back, and from which share.
    assert_eq!(row["because"][0]["kind"], "reverted");
    assert_eq!(row["because"].as_array().map(Vec::len), Some(1));
    assert_eq!(row["records"][0]["old_weight"], 100);
}

#[test]
fn status_leads_with_nobody_watching() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(120));
    desk.beat("recipe-api", ago(90), Vec::new());
    let said = desk.says("status");
    assert!(
        said.out.starts_with("no controller has looked since "),
        "{}",
        said.out
    );
    let json = desk.says("status --format json");
    assert!(json.err.contains("no controller has looked since "));
    assert!(json.json().is_array(), "and only on standard error");
    desk.beat("recipe-api", ago(0), Vec::new());
    let said = desk.says("status");
    assert!(!said.out.contains("no controller"), "{}", said.out);
}

#[test]
fn status_of_an_unknown_name_suggests_the_right_one() {
    let mut desk = Desk::new();
    desk.accept("recipe-api", ago(5));
    let said = desk.says("status recipe-ap");
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("did you mean `recipe-api`?"),
        "{}",
        said.err
    );
    assert_eq!(desk.says("status recipe-*").code, 0);
}

#[test]
fn a_blocked_revert_prints_a_command_that_names_its_hosted_zone() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let revert = Event::RevertIntended {
        write_id: WriteId::from("w2"),
        cause: RevertCause::StepFailed {
            message: "denied".to_owned(),
        },
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    };
    let message = "Route 53 does not answer".to_owned();
    let because = vec![HoldReason::RevertBlocked { message }];
    desk.write(
        "recipe-api",
        ago(2),
        vec![revert, Event::StepHeld { because }],
    );
    let command = "--hosted-zone-id Z1 --change-batch file://Z1-01.json";
    for line in ["status", "status --format json"] {
        let shown = desk.says(line).out;
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert!(words.join(" ").contains(command), "{line}: {shown}");
        assert!(!shown.contains("ZONE"), "{line}: {shown}");
    }
}
