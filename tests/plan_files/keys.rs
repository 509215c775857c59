//! What messages say of keys: examples, places, proposals. All of it is made from the one description of each key.

use cutover::plan_file::{self, Finding};
use serde_json::Value;

use super::{VALID, findings, one_mistake, with};

/// All maps of a schema, with their names.
fn maps(schema: &Value) -> Vec<(String, Value)> {
    let mut maps = vec![("the file".to_owned(), schema.clone())];
    for (name, map) in schema["$defs"].as_object().expect("definitions") {
        maps.push((name.clone(), map.clone()));
        for choice in map["anyOf"].as_array().into_iter().flatten() {
            maps.push((name.clone(), choice.clone()));
        }
    }
    maps
}

/// Calls `check` with each key of plans and fleets: its map's name, its name, its schema, and if it is required.
fn each_key(mut check: impl FnMut(&str, &str, &Value, bool)) {
    let mut count = 0;
    for schema in [plan_file::schema(), plan_file::fleet_schema()] {
        for (map, shape) in maps(&schema) {
            for (key, value) in shape["properties"].as_object().into_iter().flatten() {
                let mut required = shape["required"].as_array().into_iter().flatten();
                check(&map, key, value, required.any(|name| name == key));
                count += 1;
            }
        }
    }
    assert!(count > 150, "only {count} keys");
}

#[test]
fn every_key_has_an_example_and_says_what_it_is() {
    each_key(|map, key, schema, _| {
        assert!(schema["description"].is_string(), "{map}.{key}");
        let of_plan = map == "RawDefaults";
        assert!(of_plan || schema["examples"].is_array(), "{map}.{key}");
    });
}

#[test]
fn a_required_key_names_no_default() {
    each_key(|map, key, schema, required| {
        let description = schema["description"].as_str().unwrap_or_default();
        let named = description.to_lowercase().contains("by default");
        assert!(!(required && named), "{map}.{key}: {description}");
    });
}

#[test]
fn a_misplaced_key_is_sent_where_it_belongs() {
    let of = |old: &str, new: &str| {
        let found = findings(&with(old, new));
        let unknown = found
            .iter()
            .find(|one| one.message.starts_with("unknown key"));
        unknown.expect("an unknown key").help.clone().unwrap()
    };
    let top = |line: &str| of("version: 1", &format!("version: 1\n{line}"));
    let in_step = |key: &str| of("bake: 4h", &format!("bake: 4h, {key}"));
    let cases = [
        (top("time_zone: UTC"), "write it under `windows:`"),
        (top("alarms: [ a ]"), "write it under `gates:`"),
        (top("role_arn: x"), "write it under `aws:`"),
        (
            top("zone: example.com"),
            "write it in an entry of `records:`",
        ),
        (top("bake: 4h"), "write it in an entry of `steps:`"),
        (top("move: []"), "write it under `jobs:`"),
        (top("bake_at_least: 1h"), "write it under `guardrails:`"),
        (
            top("holidays: []"),
            "write it in a `fleet.yaml` beside the plans",
        ),
        (top("metric: x"), "write it in an entry of `metrics:`"),
        (in_step("timeout: 2d"), "write it under `approval:`"),
        (
            in_step("settle: 2m"),
            "write it at the top level of the plan",
        ),
        (
            in_step("wait: 2m"),
            "how long a step is watched is `bake: 4h`",
        ),
        (
            in_step("percent: 5"),
            "the share of the new cluster is `weight: 5%`",
        ),
        (in_step("weigth: 5%"), "did you mean `weight`?"),
        (top("step: 5%"), "did you mean `steps`?"),
    ];
    for (help, expected) in cases {
        assert_eq!(help, expected);
    }
    let error = plan_file::parse_scenario("traffic: { capacity: 5/min }\n", "s.yaml").unwrap_err();
    let help = error.findings[0].help.as_deref();
    assert_eq!(help, Some("write it under `new:`"));
}

#[test]
fn a_key_of_many_maps_has_the_example_of_its_own_map() {
    let cases = [
        (
            "hooks: [ { at: completed, command: x } ]",
            "write for example `command: [ /usr/local/bin/warm-up ]`",
        ),
        (
            "notify: { command: x }",
            "write for example `command: [ /usr/local/bin/page, sre ]`",
        ),
        (
            "notify: { sns: { topic_arn: 'arn:aws:sns:eu-west-1:111111111111:x', on: [] } }",
            "write for example `on: [ page, completed ]`, or remove the line",
        ),
        (
            "jobs: { at: complete, move: [ { name: n, old: { rule: r, running: [ x ] }, new: { state: x } } ] }",
            "write for example `state: [ /usr/local/bin/consumers, state, orders ]`",
        ),
    ];
    for (line, help) in cases {
        let found = findings(&format!("{VALID}{line}\n"));
        let helps: Vec<&str> = found.iter().filter_map(|one| one.help.as_deref()).collect();
        assert!(helps.contains(&help), "{line}: {helps:?}");
    }
}

#[test]
fn an_approval_that_is_no_word_of_it_is_told_all_that_it_takes() {
    let help = "write `approval: required` or `approval: { timeout: 2d }`, or remove the line";
    for word in ["yes", "true", "manual"] {
        let message = format!("`approval` cannot be `{word}`");
        let step = format!("bake: 4h, approval: {word}");
        one_mistake("bake: 4h", &step, (6, 39), &message, help);
    }
    let found = findings(&with("bake: 4h", "bake: 4h, approval: [ required ]"));
    assert_eq!(
        found[0].message,
        "`approval` must be an approval, or a map, but it is a list"
    );
}

/// All proposals for a duration in a help: words in code that begin with a digit, or such a word behind `key: `.
fn proposed(finding: &Finding) -> Vec<String> {
    let help = finding.help.as_deref().unwrap_or_default();
    let mut proposed = Vec::new();
    for (index, code) in help.split('`').enumerate() {
        let value = code.rsplit(": ").next().unwrap_or(code);
        if index % 2 == 1 && value.starts_with(|first: char| first.is_ascii_digit()) {
            proposed.push(value.to_owned());
        }
    }
    proposed
}

#[test]
fn no_duration_is_proposed_that_is_then_refused() {
    let sides = "  sides: { new: { alb: { load_balancer: app/a/1 }, ecs: { cluster: c, service: s } }, \
                 old: { alb: { load_balancer: app/b/1 } }, every: 1m }\n";
    let job = "move: [ { name: n, old: { cron_job: a }, new: { cron_job: b } } ]";
    let plans = [
        with("bake: 4h", "bake: LENGTH"),
        with("bake: 4h", "bake: 4h, approval: { timeout: LENGTH }"),
        format!("{VALID}  unknown_for: LENGTH\n"),
        format!("{VALID}settle: LENGTH\n"),
        format!("{VALID}hooks: [ {{ at: completed, command: [ x ], timeout: LENGTH }} ]\n"),
        format!("{VALID}jobs: {{ at: complete, wait: LENGTH, {job} }}\n"),
        format!("{VALID}jobs: {{ at: complete, away: LENGTH, {job} }}\n"),
        format!("{VALID}jobs: {{ at: complete, drain: LENGTH, {job} }}\n"),
        format!("{VALID}{}", sides.replace("every: 1m", "every: LENGTH")),
        format!("{VALID}{sides}  metrics: [ {{ measure: cpu, max: 80%, every: LENGTH }} ]\n"),
        format!("{VALID}{sides}  metrics: [ {{ measure: cpu, max: 80%, delay: LENGTH }} ]\n"),
        format!("{VALID}{sides}  trend: [ {{ measure: memory, within: LENGTH }} ]\n"),
    ];
    let wrong = [
        "0", "4", "7", "90", "5000", "0s", "91d", "2w", "20 weeks", "1.5h", "90 s", "4 hours",
        "soon", "PT10M",
    ];
    let mut checked = 0;
    for plan in plans {
        for value in wrong {
            let Err(error) = plan_file::parse(&plan.replace("LENGTH", value), "p.yaml") else {
                continue;
            };
            for finding in &error.findings {
                let proposed = proposed(finding);
                assert!(!proposed.is_empty(), "{value}: {error}");
                for length in proposed {
                    checked += 1;
                    let told = plan_file::parse(&plan.replace("LENGTH", &length), "p.yaml");
                    assert!(told.is_ok(), "{value} → {length} in {plan}: {told:?}");
                }
            }
        }
    }
    assert!(checked > 200, "only {checked} proposals");
}

#[test]
fn a_bake_of_nothing_is_told_a_bake() {
    let help = "write for example `bake: 4h`";
    one_mistake("4h", "0", (6, 25), "`0` has no unit", help);
    let found = findings(&format!("{VALID}settle: 0\n"));
    assert_eq!(found[0].help.as_deref(), Some("write `0s`"));
}
