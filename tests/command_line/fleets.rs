//! Commands over a whole fleet, and the status of many.

use super::*;

#[test]
fn a_freeze_is_journaled_with_who_and_why_and_ends_by_command() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let frozen = desk.says("freeze --until 4h --reason sale");
    assert_eq!(frozen.code, 0, "{}", frozen.err);
    let status = desk.says("status");
    assert!(
        status.out.contains("the fleet is frozen until"),
        "{}",
        status.out
    );
    assert!(
        status.out.contains("sale; go on: `cutover unfreeze`"),
        "{}",
        status.out
    );
    let history = desk.says("history @fleet --format json").json();
    assert_eq!(history[0]["event"]["type"], "fleet_frozen");
    assert_eq!(history[0]["event"]["reason"], "sale");
    assert!(
        history[0]["actor"]
            .as_str()
            .is_some_and(|actor| actor.contains('@'))
    );
    assert_eq!(desk.says("unfreeze").code, 0);
    let again = desk.says("unfreeze");
    assert_eq!(again.code, 12, "{}", again.err);
    assert_eq!(
        desk.says("freeze --until 2020-01-01T00:00:00Z --reason late")
            .code,
        12
    );
    assert_eq!(desk.says("freeze --until soon --reason sale").code, 2);
    assert_eq!(
        desk.says("freeze --until 4h").code,
        2,
        "a reason is asked for"
    );
    assert_eq!(Desk::new().says("unfreeze").code, 2, "there is no journal");
}

#[test]
fn the_fleet_is_resumed_only_after_something_went_back_by_itself() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let early = desk.says("resume --fleet --reason looked");
    assert_eq!(early.code, 12, "{}", early.err);
    assert_eq!(desk.says("resume --fleet").code, 2, "a reason is asked for");
    let revert = Event::RevertIntended {
        write_id: WriteId::from("w2"),
        cause: RevertCause::AlarmRed {
            alarm: AlarmId {
                region: None,
                name: "recipe-api-5xx-rate".to_owned(),
            },
        },
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    };
    desk.write("recipe-api", ago(10), vec![revert]);
    let resumed = desk.says("resume --fleet --reason looked");
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert!(
        resumed
            .out
            .contains("the reverts of recipe-api no longer count")
    );
    assert_eq!(desk.says("resume --fleet --reason looked").code, 12);
}

#[test]
fn the_status_of_many_leads_with_a_summary_and_is_filtered() {
    let mut desk = Desk::new();
    for number in 0..8 {
        desk.bake(&format!("bake-{number}"), ago(30));
    }
    for number in 0..4 {
        desk.accept(&format!("wait-{number}"), ago(30));
    }
    let all = desk.says("status");
    let summary = all
        .out
        .lines()
        .find(|line| line.starts_with("12 cutovers:"));
    assert_eq!(
        summary,
        Some("12 cutovers: 8 under way, 4 not started"),
        "{}",
        all.out
    );
    let names = |line: &str| {
        let rows = desk.says(line).json();
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.len()
    };
    assert_eq!(names("status --phase waiting --format json"), 4);
    assert_eq!(
        names("status --phase waiting --phase baking --format json"),
        12
    );
    assert_eq!(names("status --needs-person --format json"), 0);
    assert_eq!(names("status bake-* --phase waiting --format json"), 0);
    assert_eq!(names("status -l team=search --format json"), 0);
    assert_eq!(desk.says("status --phase resting").code, 2);
}

#[test]
fn labels_select_what_is_shown() {
    let mut desk = Desk::new();
    std::fs::create_dir(desk.path(".git")).expect("a directory");
    desk.accept("cart", ago(30));
    std::fs::write(
        desk.path("fleet.yaml"),
        "defaults: { labels: { team: search } }\n",
    )
    .expect("a file");
    desk.accept("search", ago(30));
    let rows = desk.says("status -l team=search --format json").json();
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(rows[0]["name"], "search");
    assert_eq!(rows[0]["labels"]["team"], "search");
}

#[test]
fn a_directory_is_checked_as_a_fleet() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("plans/.git")).expect("a directory");
    let plan = |name: &str, after: &str| {
        let text = PLAN
            .replace("recipe-api", name)
            .replace("api.example.com", &format!("{name}.example.com"));
        let path = desk.path(&format!("plans/{name}.yaml"));
        std::fs::write(path, format!("{text}after: [ {after} ]\n")).expect("a file");
    };
    plan("a", "b");
    plan("b", "a");
    let said = desk.says("check plans");
    assert_eq!(said.code, 10);
    assert!(said.out.contains("forms a circle"), "{}", said.out);
    assert!(said.out.contains("a → b → a"), "{}", said.out);
    plan("b", "c");
    plan("c", "");
    std::fs::write(desk.path("plans/fleet.yaml"), "max_in_flight: 2\n").expect("a file");
    let said = desk.says("check plans");
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(
        said.out.contains("fleet: at most 2 in flight"),
        "{}",
        said.out
    );
    let one = desk.says("check plans/a.yaml");
    assert_eq!(
        one.code, 0,
        "what it comes after lies beside it: {}",
        one.out
    );
    plan("c", "nobody");
    let said = desk.says("check plans");
    assert!(said.out.contains("`after` names `nobody`"), "{}", said.out);
    let guard = "guardrails: { first_step_at_most: 1% }\n";
    std::fs::write(desk.path("plans/fleet.yaml"), guard).expect("a file");
    let said = desk.says("check plans --format json");
    assert_eq!(said.code, 10);
    assert!(
        said.out.contains("the fleet allows at most 1%"),
        "{}",
        said.out
    );
}

#[test]
fn a_fleet_is_rehearsed_in_its_order() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("plans/.git")).expect("a directory");
    for (name, after) in [("first", ""), ("second", "third"), ("third", "first")] {
        let text = PLAN
            .replace("recipe-api", name)
            .replace("api.example.com", &format!("{name}.example.com"))
            .replace("4h", "5m")
            .replace("1d, approval: required", "5m")
            .replace("2d", "5m");
        let path = desk.path(&format!("plans/{name}.yaml"));
        std::fs::write(path, format!("{text}after: [ {after} ]\n")).expect("a file");
    }
    std::fs::write(desk.path("plans/fleet.yaml"), "max_in_flight: 1\n").expect("a file");
    let said = desk.says("rehearse plans --format json");
    assert_eq!(said.code, 0, "{}", said.err);
    let rehearsed = said.json();
    let cutovers = rehearsed["cutovers"].as_array().expect("a list");
    let ended = |name: &str| {
        let mut all = cutovers.iter();
        let one = all.find(|one| one["name"] == name).expect("a cutover");
        one["ended_at"].as_str().map(str::to_owned)
    };
    assert!(ended("first") < ended("third"));
    assert!(ended("third") < ended("second"));
}

#[test]
fn the_status_of_a_thousand_is_whole() {
    let mut desk = Desk::new();
    for number in 0..1000 {
        desk.accept(&format!("service-{number:04}"), ago(30));
    }
    let said = desk.says("status");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("1,000 cutovers: 1,000 not started"),
        "{}",
        &said.out[..200]
    );
}

#[test]
fn a_circle_of_many_plans_is_said_once_with_a_few_names() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("plans/.git")).expect("a directory");
    for number in 0..60 {
        let name = format!("svc-{number:02}");
        let after = format!("svc-{:02}", (number + 1) % 60);
        let text = PLAN
            .replace("recipe-api", &name)
            .replace("api.example.com", &format!("{name}.example.com"));
        let path = desk.path(&format!("plans/{name}.yaml"));
        std::fs::write(path, format!("{text}after: [ {after} ]\n")).expect("a file");
    }
    let said = desk.says("check plans");
    assert_eq!(said.code, 10);
    assert_eq!(said.out.matches("forms a circle").count(), 1);
    let line = said
        .out
        .lines()
        .find(|line| line.contains("forms a circle"));
    let line = line.expect("the circle");
    assert_eq!(line.matches("svc-").count(), 10, "{line}");
    assert!(line.contains("(51 more)"), "{line}");
    assert!(said.err.contains("60 of 60 plan files"), "{}", said.err);
    let rows = desk.says("check plans --format json").json();
    let rows = rows.as_array().expect("rows");
    let told: Vec<&Value> = rows
        .iter()
        .filter(|row| {
            row["findings"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        })
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(rows[5]["ok"], false);
    assert_eq!(rows[5]["told_at"], rows[0]["path"]);
    let said = desk.says("preview plans");
    assert_eq!(said.code, 10);
    assert_eq!(said.err.matches("forms a circle").count(), 1);
    let said = desk.says("run plans --once");
    assert_eq!(said.code, 10);
    assert_eq!(said.err.matches("forms a circle").count(), 1);
}

#[test]
fn a_rehearsal_refuses_faults_that_can_never_happen() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("plans/.git")).expect("a directory");
    std::fs::write(desk.path("plans/a.yaml"), PLAN).expect("a file");
    for (fault, why) in [
        ("new errors 20% at step 9", "there is no step 9"),
        ("alarm nope red", "no plan has an alarm `nope`"),
        ("new outage at 50000h", "is cut off"),
        ("other: new outage", "no plan is called `other`"),
    ] {
        let said = desk.says_words(&["rehearse", "plans/a.yaml", "--fault", fault]);
        assert_eq!(said.code, 2, "{fault}: {}", said.err);
        assert!(said.err.contains(why), "{fault}: {}", said.err);
    }
}
