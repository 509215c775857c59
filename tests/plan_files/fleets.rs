//! `fleet.yaml`: what it gives to plans, what it asks of them, and that every message names the file that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cutover::engine::plan::Plan;
use cutover::engine::units::{CutoverName, Share};
use cutover::plan_file;
use cutover::plan_file::{Circle, Finding};
use jiff::SignedDuration;

use super::VALID;

/// A directory with a plan and a fleet's file.
struct Fleet(tempfile::TempDir);

impl Fleet {
    fn new(fleet: &str, plan: &str) -> Self {
        let folder = tempfile::tempdir().expect("a file");
        fs::create_dir(folder.path().join(".git")).expect("a file");
        let it = Self(folder);
        it.write("fleet.yaml", fleet);
        it.write("plan.yaml", plan);
        it
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file")).expect("a file");
        fs::write(path, text).expect("a file");
    }

    fn load(&self) -> Result<Plan, Vec<Finding>> {
        let loaded = plan_file::load(&self.path().join("plan.yaml"));
        loaded
            .map(|loaded| loaded.source.plan)
            .map_err(|error| error.findings)
    }

    fn digest(&self) -> String {
        plan_file::load(&self.path().join("plan.yaml"))
            .expect("a file")
            .source
            .digest
    }
}

#[test]
fn maps_merge_and_lists_and_values_are_the_plans_own() {
    let fleet = "defaults:\n  settle: 3m\n  labels: { team: a, program: b }\n  \
                 gates: { alarms: [ common ], unknown_for: 10m, both_red: revert }\n";
    let plan = format!("{VALID}  unknown_for: 20m\nlabels: {{ team: search }}\n");
    let plan = Fleet::new(fleet, &plan).load().unwrap();
    assert_eq!(plan.settle, Some(SignedDuration::from_mins(3)));
    assert_eq!(plan.gates.unknown_for, SignedDuration::from_mins(20));
    let names: Vec<_> = plan.gates.alarms.iter().map(|gate| &gate.id.name).collect();
    assert_eq!(names, ["recipe-api-5xx"], "a list is replaced");
    let labels: Vec<_> = plan
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(labels, [("program", "b"), ("team", "search")]);
}

#[test]
fn a_mistake_in_a_default_is_shown_where_it_was_written() {
    let fleet = Fleet::new("defaults:\n  settle: 3\n", VALID);
    let findings = fleet.load().unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].path.ends_with("fleet.yaml"), "{findings:#?}");
    assert_eq!((findings[0].line, findings[0].column), (Some(2), Some(11)));
    assert!(findings[0].render(false).contains("settle: 3"));
}

#[test]
fn a_plan_that_breaks_guardrails_is_told_where_and_what_to_write() {
    let fleet = "guardrails:\n  first_step_at_most: 2%\n  step_at_most: 50%\n  bake_at_least: 6h\n  \
                 alarms_at_least: 2\n  fallback_alarms_at_least: 2\n";
    let findings = Fleet::new(fleet, VALID).load().unwrap_err();
    let told: Vec<_> = findings
        .iter()
        .map(|it| {
            (
                it.line.unwrap(),
                it.message.as_str(),
                it.help.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                6,
                "the first step is 5%, but the fleet allows at most 2%",
                "put a step of `2%` or less before it"
            ),
            (
                6,
                "the bake is 4h, but the fleet requires at least 6h",
                "write `bake: 6h` or more"
            ),
            (
                7,
                "the step from 5% to 100% rises by more than the fleet allows, 50% of all traffic",
                "put a step between the two"
            ),
            (
                9,
                "the fleet requires `alarms_at_least: 2`, but the plan lists 1",
                "list 1 more under `alarms`"
            ),
            (
                10,
                "the fleet requires `fallback_alarms_at_least: 2`, but the plan lists 1",
                "list 1 more under `fallback_alarms`"
            ),
        ]
    );
    let related = findings[0].related.as_ref().unwrap();
    assert!(related.path.ends_with("fleet.yaml"));
    assert_eq!(
        (related.line, related.message.as_str()),
        (2, "the guardrail")
    );
}

#[test]
fn limits_are_no_part_of_a_plan_and_defaults_are() {
    let fleet = Fleet::new("max_in_flight: 3\nfailure_budget: 1\n", VALID);
    let before = fleet.digest();
    let read = plan_file::load_fleet(&fleet.path().join("fleet.yaml")).unwrap();
    assert_eq!(read.settings.max_in_flight, Some(3));
    assert_eq!(read.settings.failure_budget, Some(1));
    fleet.write("fleet.yaml", "max_in_flight: 5\n# more\n");
    assert_eq!(fleet.digest(), before);
    fleet.write("fleet.yaml", "defaults: { settle: 1m }\n");
    assert_ne!(fleet.digest(), before);
    let alone = plan_file::parse(VALID, "plan.yaml").unwrap();
    assert_eq!(
        alone.source.digest, before,
        "a plan without a fleet is the same plan"
    );
}

#[test]
fn the_nearest_file_applies_and_two_are_refused() {
    let fleet = Fleet::new("defaults: { settle: 1m }\n", VALID);
    fleet.write("deep/er/plan.yaml", VALID);
    let deep = fleet.path().join("deep/er/plan.yaml");
    let plan = plan_file::load(&deep).unwrap().source.plan;
    assert_eq!(plan.settle, Some(SignedDuration::from_mins(1)));
    fleet.write("deep/fleet.yml", "guardrails: {}\n");
    let error = plan_file::load(&deep).unwrap_err();
    assert!(
        error.findings[0]
            .message
            .starts_with("another fleet's file applies")
    );
}

#[test]
fn a_broken_fleets_file_refuses_its_plans_in_one_line() {
    let fleet = Fleet::new("max_in_flight: none\nbudget: 1\n", VALID);
    let findings = fleet.load().unwrap_err();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("is not valid"));
    let error = plan_file::load_fleet(&fleet.path().join("fleet.yaml")).unwrap_err();
    let messages: Vec<_> = error
        .findings
        .iter()
        .map(|it| it.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "`max_in_flight` must be a whole number of at least 1, but it is `none`",
            "unknown key `budget`"
        ]
    );
}

#[test]
fn a_fleets_file_that_is_empty_or_asks_for_what_cannot_be_is_told_where_and_what_to_write() {
    let told = |text: &str| {
        let fleet = Fleet::new(text, VALID);
        let error = plan_file::load_fleet(&fleet.path().join("fleet.yaml")).unwrap_err();
        assert_eq!(error.findings.len(), 1, "{error}");
        let first = error.findings[0].clone();
        let plans = fleet.load().unwrap_err();
        let named = plans[0].message.contains(&first.message);
        assert!(named, "its plans name it: {}", plans[0].message);
        (first.line, first.message, first.help.unwrap())
    };
    let (_, message, help) = told("# nothing yet\n");
    assert_eq!(message, "the file is empty");
    assert!(help.starts_with("start with `version: 1`"), "{help}");
    assert!(help.contains("`max_in_flight: 10`"), "{help}");
    assert!(!help.contains("example plans"), "{help}");
    let (line, message, help) = told("failure_budget: 1\nmax_in_flight: 99999999999\n");
    assert_eq!(line, Some(2));
    let most = "`max_in_flight` is `99999999999`, and 4294967295 is the most that can be counted";
    assert_eq!(message, most);
    assert_eq!(
        help,
        "write for example `max_in_flight: 10`, or leave the key out"
    );
    for key in ["step_at_most", "first_step_at_most"] {
        let (line, message, help) = told(&format!("guardrails:\n  {key}: 0%\n"));
        assert_eq!(line, Some(2));
        let none = format!("`{key}` of 0% allows no step at all, so no plan could keep to it");
        assert_eq!(message, none);
        assert!(
            help.starts_with(&format!("write for example `{key}: ")),
            "{help}"
        );
    }
}

#[test]
fn keys_of_the_fleet_are_sent_there() {
    let findings = super::findings(&format!("{VALID}max_in_flight: 3\n"));
    assert_eq!(
        findings[0].help.as_deref(),
        Some("write it in a `fleet.yaml` beside the plans")
    );
    let findings = super::findings(&format!("{VALID}after: [ recipe-api ]\n"));
    assert_eq!(
        findings[0].message,
        "`recipe-api` comes after itself, and would never start"
    );
}

#[test]
fn circles_and_unknown_names_are_found_over_all_plans() {
    let plan = |name: &str, after: &[&str]| Plan {
        name: CutoverName::from(name),
        after: after.iter().copied().map(CutoverName::from).collect(),
        ..super::load(VALID)
    };
    let plans = [
        plan("a", &["b"]),
        plan("b", &["c"]),
        plan("c", &["a"]),
        plan("d", &["a", "x", "y"]),
    ];
    let known = BTreeSet::from([CutoverName::from("x")]);
    let wrong = plan_file::order(&plans.iter().collect::<Vec<_>>(), &known);
    let circles: Vec<String> = wrong.circles.iter().map(Circle::message).collect();
    assert_eq!(
        circles,
        ["`after` forms a circle, so none of these plans would ever start: a → b → c → a"]
    );
    let unknown = (CutoverName::from("d"), vec![CutoverName::from("y")]);
    assert_eq!(wrong.unknown, BTreeMap::from([unknown]));
}

#[test]
fn the_example_fleet_loads_and_keeps_to_its_guardrails() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/microservices");
    let files = plan_file::find(&[folder]).unwrap();
    assert_eq!(files.len(), 12);
    let plans: Vec<Plan> = files
        .iter()
        .map(|file| plan_file::load(file).unwrap().source.plan)
        .collect();
    let wrong = plan_file::order(&plans.iter().collect::<Vec<_>>(), &BTreeSet::new());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(
        plans
            .iter()
            .all(|plan| plan.steps[0].share == Share::percent(1))
    );
}

#[test]
fn the_schema_of_a_fleets_file_knows_its_keys() {
    let schema = plan_file::fleet_schema();
    for key in ["max_in_flight", "failure_budget", "defaults", "guardrails"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert!(schema["properties"].get("windows").is_none());
}

#[test]
fn holidays_are_denied_beside_a_plans_own_days_and_by_its_own_clock() {
    let windows = "windows: { time_zone: Asia/Tokyo, allow: [ \"Mon-Fri 10:00-17:00\" ], deny: [ \"2026-12-24\" ] }\n";
    let fleet = "holidays: [ \"2026-12-28..2027-01-04\", \"2026-12-24\" ]\n";
    let with_windows = format!("{VALID}{windows}");
    let loaded = Fleet::new(fleet, &with_windows);
    let plan = loaded.load().unwrap();
    let denied: Vec<String> = plan
        .windows
        .expect("windows")
        .deny
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(denied, ["2026-12-24", "2026-12-28..2027-01-04"]);
    assert_ne!(
        loaded.digest(),
        Fleet::new("max_in_flight: 3\n", &with_windows).digest()
    );
    let without = Fleet::new(fleet, VALID).load().unwrap();
    assert_eq!(without.windows, None, "a plan without windows is not held");
    let defaults = format!("{fleet}defaults:\n  {windows}");
    let plan = Fleet::new(&defaults, VALID).load().unwrap();
    assert_eq!(plan.windows.expect("windows").deny.len(), 2);
}

#[test]
fn holidays_that_are_no_dates_or_leave_nothing_are_refused() {
    let fleet = Fleet::new("holidays: [ \"Sat,Sun\" ]\n", VALID);
    let found = plan_file::load_fleet(&fleet.path().join("fleet.yaml")).expect_err("it is refused");
    assert!(found.findings[0].message.contains("has no date"), "{found}");
    let windows = "windows: { time_zone: Asia/Tokyo, allow: [ \"2026-12-29\" ] }\n";
    let fleet = Fleet::new(
        "holidays: [ \"2026-12-28..2027-01-04\" ]\n",
        &format!("{VALID}{windows}"),
    );
    let found = fleet.load().unwrap_err();
    assert!(
        found[0].message.contains("are holidays of the fleet"),
        "{found:#?}"
    );
}
