//! `cutover iam-policy`: its documents, and whether they are enough for whole runs and no more than that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::end_to_end::scene::{GROUPS, NAME, PLAN, Plan, Scene};
use crate::support::iam::{
    Authorization, RECORD_ACTIONS, RECORD_NAMES, RECORD_TYPES, allows, asked, texts,
};
use crate::support::program::Program;
use crate::support::server::Call;
use crate::support::sts_door::access_key_of;

const ROLE: &str = "arn:aws:iam::111111111111:role/mover";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111111111111:cutovers";
const CHANGE: &str = "route53:ChangeResourceRecordSets";

/// Jobs of both kinds, and a topic.
const JOBS_AND_TOPIC: &str = "jobs:
  at: 50%
  wait: 2s
  move:
    - name: report
      old: { rule: report-eks, running: [ echo, 0 ] }
      new: { schedule: report-ecs, running: [ echo, 0 ] }
notify:
  sns: { topic_arn: 'arn:aws:sns:eu-west-1:111111111111:cutovers', on: info }";

/// A gate of a metric, as the rest of `gates`.
const METRICS: &str = "  sides:
    new: { alb: { load_balancer: app/ecs/1, target_group: targetgroup/ecs/2 } }
    old: { alb: { load_balancer: app/eks/1, target_group: targetgroup/eks/2 } }
  metrics: [ { measure: p99, max: 900ms } ]";

/// A folder without AWS.
fn offline() -> Program {
    Program::new("http://127.0.0.1:9")
}

/// A plan with these records, and this at its beginning.
fn plan(name: &str, head: &str, records: &[&str]) -> String {
    let mut lines = vec!["version: 1".to_owned(), format!("name: {name}")];
    lines.push(format!("{head}records:"));
    for record in records {
        lines.push(format!("  - {{ {record}, old: eks, new: ecs }}"));
    }
    lines.push("steps: [ { weight: 100%, bake: 1h } ]".to_owned());
    lines.push(format!("gates: {{ alarms: [ {name}-5xx ] }}"));
    lines.join("\n") + "\n"
}

/// What `iam-policy` prints.
fn printed(program: &Program, args: &[&str]) -> Value {
    let said = program.ok(&[&["iam-policy"][..], args].concat());
    serde_json::from_str(&said.stdout).expect("a document")
}

fn statement<'policy>(policy: &'policy Value, sid: &str) -> &'policy Value {
    let all = policy["Statement"].as_array().expect("statements");
    let found = all.iter().find(|statement| statement["Sid"] == sid);
    found.unwrap_or_else(|| panic!("no {sid} in {policy:#}"))
}

fn sids(policy: &Value) -> Vec<&str> {
    let all = policy["Statement"].as_array().expect("statements");
    all.iter().filter_map(|one| one["Sid"].as_str()).collect()
}

/// The values that a statement demands of a condition key.
fn demanded<'policy>(statement: &'policy Value, operator: &str, key: &str) -> Vec<&'policy str> {
    texts(&statement["Condition"][operator][key])
}

/// The policies for the scene's plan, by the credentials that they are for.
fn policies(scene: &Scene, role: &str) -> BTreeMap<String, Value> {
    let mut by_holder = BTreeMap::new();
    let rows = printed(scene, &[PLAN, "--role", role, "--format", "json"]);
    for row in rows.as_array().expect("rows") {
        assert_eq!(row["role"], role);
        let holder = row["for"].as_str().expect("a name");
        by_holder.insert(holder.to_owned(), row["policy"].clone());
    }
    by_holder
}

/// What policies granted, and what calls asked for: actions, resources and values of conditions.
#[derive(Default)]
struct Ledger {
    granted: BTreeSet<String>,
    asked: BTreeSet<String>,
}

impl Ledger {
    /// Checks that each call is allowed by the policy of the credentials that signed it.
    fn audit(&mut self, scene: &Scene, role: &str, calls: &[Call]) {
        let policies = policies(scene, role);
        for policy in policies.values() {
            self.note_granted(policy);
        }
        assert!(!calls.is_empty(), "{role} called nothing");
        for call in calls {
            let assumed = call.signer.access_key == access_key_of("mover");
            let holder = if assumed { ROLE } else { "environment" };
            for authorization in asked(call) {
                let policy = &policies[holder];
                assert!(
                    allows(policy, &authorization),
                    "{role}, {holder}: {authorization:#?}\n{policy:#}"
                );
                self.note_asked(&authorization);
            }
        }
    }

    fn note_granted(&mut self, policy: &Value) {
        let mut granted = Vec::new();
        for statement in policy["Statement"].as_array().expect("statements") {
            granted.extend(texts(&statement["Action"]));
            granted.extend(texts(&statement["Resource"]));
            let conditions = statement["Condition"].as_object().into_iter().flatten();
            for (operator, keys) in conditions {
                if operator != "Null" {
                    for values in keys.as_object().expect("keys").values() {
                        granted.extend(texts(values));
                    }
                }
            }
        }
        for text in granted {
            self.granted.insert(text.to_owned());
        }
    }

    fn note_asked(&mut self, asked: &Authorization) {
        self.asked.insert(asked.action.clone());
        self.asked.insert(asked.resource.clone());
        self.asked.extend(asked.keys.values().flatten().cloned());
    }

    /// What was granted and never asked for. Patterns are left out.
    fn unneeded(&self) -> Vec<&String> {
        let unneeded = self.granted.difference(&self.asked);
        unneeded.filter(|text| !text.contains('*')).collect()
    }
}

/// Zones by name, jobs and a topic: a preview, a run to the last step, and a forced rollback, each with its own credentials.
fn with_zones_by_name(ledger: &mut Ledger) {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", false),
            ("100%", "1h", false),
        ],
        more: JOBS_AND_TOPIC.to_owned(),
        ..Plan::default()
    });
    scene.set("PATH", "/usr/bin:/bin");
    {
        let switches = &mut scene.bed.world().switches;
        switches.add_rule("report-eks");
        switches.add_schedule("report-ecs", "arn:aws:iam::111111111111:role/report");
    }
    scene.set("AWS_ACCESS_KEY_ID", "read-only");
    scene.ok(&["preview", PLAN]);
    scene.set("AWS_ACCESS_KEY_ID", "controller");
    let mut run = scene.run(PLAN);
    scene.wait_for_event(NAME, "weights_verified", 3);
    run.terminate();
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    let moved = ["DISABLED", "ENABLED"];
    assert_eq!(scene.bed.world().switches.states(), moved);
    scene.set("AWS_ACCESS_KEY_ID", "break-glass");
    scene.ok(&["rollback", NAME, "--force", "--yes"]);
    let back = ["ENABLED", "DISABLED"];
    assert_eq!(scene.bed.world().switches.states(), back);
    for role in ["read-only", "controller", "break-glass"] {
        let mut calls = scene.bed.calls();
        calls.retain(|call| call.signer.access_key == role);
        ledger.audit(&scene, role, &calls);
    }
}

/// Zones by ID and a role: a preview with metrics, and a run.
fn with_zones_by_id(ledger: &mut Ledger) {
    let scene = Scene::new(&Plan::default());
    let by_id = GROUPS.map(|(zone, name, kind)| {
        let id = scene.zone(zone).as_str().to_owned();
        (id, name.to_owned(), kind)
    });
    let plan = Plan {
        role_arn: Some(ROLE.to_owned()),
        records: by_id.to_vec(),
        ..Plan::resting_at_first_step()
    };
    scene.plan(&Plan {
        more: METRICS.to_owned(),
        ..plan.clone()
    });
    // The metrics have no data. What the preview says of that is of no matter here.
    scene.say(&["preview", PLAN]);
    let previewed = scene.bed.calls();
    ledger.audit(&scene, "read-only", &previewed);
    scene.plan(&plan);
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    drop(run);
    let calls = scene.bed.calls();
    ledger.audit(&scene, "controller", &calls[previewed.len()..]);
}

#[test]
fn every_call_is_allowed_by_its_policy_and_nothing_is_allowed_that_no_call_needs() {
    let mut ledger = Ledger::default();
    with_zones_by_name(&mut ledger);
    with_zones_by_id(&mut ledger);
    assert_eq!(ledger.unneeded(), [""; 0]);
    for action in ["sts:AssumeRole", "iam:PassRole", "sns:Publish"] {
        assert!(ledger.asked.contains(action), "{action}");
    }
}

#[test]
fn what_the_plans_do_not_name_is_denied() {
    let scene = Scene::new(&Plan::default());
    let policy = printed(&scene, &[PLAN]);
    let zone = "arn:aws:route53:::hostedzone/Z1";
    let own = Authorization::new(CHANGE, zone)
        .with(RECORD_NAMES, "api.example.com")
        .with(RECORD_TYPES, "A")
        .with(RECORD_ACTIONS, "UPSERT");
    assert!(allows(&policy, &own));
    let both = own.clone().with(RECORD_TYPES, "AAAA");
    assert!(allows(&policy, &both));
    for denied in [
        own.clone().with(RECORD_NAMES, "www.example.com"),
        own.clone().with(RECORD_TYPES, "MX"),
        own.clone().with(RECORD_TYPES, "CNAME"),
        // A request without the keys would satisfy `ForAllValues` alone.
        Authorization::new(CHANGE, zone),
        Authorization::new("route53:DeleteHostedZone", zone),
        Authorization::new("cloudwatch:SetAlarmState", "*"),
        Authorization::new("sts:AssumeRole", ROLE),
    ] {
        assert!(!allows(&policy, &denied), "{denied:#?}");
    }
}

#[test]
fn names_types_and_zones_become_conditions_and_arns() {
    let program = offline();
    let records = [
        "zone: Z0123456789ABC, name: '*.Example.com.', type: A",
        "zone: Z0123456789ABC, name: api.example.com, type: AAAA",
        "zone: example.net, name: api.example.net, type: A",
    ];
    program.write("plan.yaml", &plan("api", "", &records));
    let policy = printed(&program, &["plan.yaml"]);
    assert_eq!(policy["Version"], "2012-10-17");
    let by_id = statement(&policy, "WriteWeights1");
    assert_eq!(
        by_id["Resource"],
        "arn:aws:route53:::hostedzone/Z0123456789ABC"
    );
    let equal = "ForAllValues:StringEquals";
    assert_eq!(
        demanded(by_id, equal, RECORD_NAMES),
        ["\\052.example.com", "api.example.com"]
    );
    assert_eq!(demanded(by_id, equal, RECORD_TYPES), ["A", "AAAA"]);
    let by_name = statement(&policy, "WriteWeights2");
    assert_eq!(by_name["Resource"], "arn:aws:route53:::hostedzone/*");
    assert_eq!(demanded(by_name, equal, RECORD_NAMES), ["api.example.net"]);
    let keys = by_name["Condition"]["Null"].as_object().expect("keys");
    assert_eq!(keys.len(), 3, "{keys:?}");
    // Without gates of metrics, metrics need not be read.
    assert!(!sids(&policy).contains(&"ReadMetrics"), "{policy:#}");
}

#[test]
fn a_zone_that_plans_name_in_both_ways_has_one_statement_for_all_of_its_groups() {
    let program = offline();
    let by_name = ["zone: example.com, name: a.example.com, type: A"];
    let by_id = ["zone: Z0123456789ABC, name: b.example.com, type: CNAME"];
    program.write("plans/a.yaml", &plan("a", "", &by_name));
    program.write("plans/b.yaml", &plan("b", "", &by_id));
    let policy = printed(&program, &["plans"]);
    let batch = Authorization::new(CHANGE, "arn:aws:route53:::hostedzone/Z0123456789ABC")
        .with(RECORD_NAMES, "a.example.com")
        .with(RECORD_NAMES, "b.example.com")
        .with(RECORD_TYPES, "A")
        .with(RECORD_TYPES, "CNAME")
        .with(RECORD_ACTIONS, "DELETE")
        .with(RECORD_ACTIONS, "CREATE");
    assert!(allows(&policy, &batch), "{policy:#}");
}

#[test]
fn each_role_of_the_plans_has_a_policy_and_somebody_must_say_which() {
    let program = offline();
    let zones = "arn:aws-cn:iam::222222222222:role/zones";
    let own = format!("aws: {{ region: cn-north-1, role_arn: '{zones}' }}\n");
    let record = ["zone: example.com, name: api.example.com, type: A"];
    program.write("plan.yaml", &plan("api", &own, &record));
    let said = program.say(&["iam-policy", "plan.yaml"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(2), ""),
        "{said:#?}"
    );
    for option in ["--for environment".to_owned(), format!("--for {zones}")] {
        assert!(said.stderr.contains(&option), "{option}: {said:#?}");
    }
    let base = printed(&program, &["plan.yaml", "--for", "environment"]);
    assert_eq!(sids(&base), ["AssumeRoles"]);
    assert_eq!(statement(&base, "AssumeRoles")["Resource"], zones);
    let role = printed(&program, &["plan.yaml", "--for", zones]);
    let changes = statement(&role, "FollowChanges");
    assert_eq!(changes["Resource"], "arn:aws-cn:route53:::change/*");
    let said = program.say(&["iam-policy", "plan.yaml", "--for", ROLE]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    let rows = printed(&program, &["plan.yaml", "--format", "json"]);
    let holders: Vec<&Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["for"])
        .collect();
    assert_eq!(holders, [&json!("environment"), &json!(zones)]);
}

#[test]
fn jobs_and_topics_are_exact_as_far_as_plans_name_their_places() {
    let program = offline();
    let record = ["zone: example.com, name: api.example.com, type: A"];
    let head = format!("aws: {{ region: eu-west-1, role_arn: '{ROLE}' }}\n");
    let jobs = JOBS_AND_TOPIC.replace("at: 50%", "at: complete");
    let text = plan("api", &head, &record) + &jobs + "\n";
    program.write("plan.yaml", &text);
    let said = program.ok(&["iam-policy", "plan.yaml", "--for", ROLE]);
    let role: Value = serde_json::from_str(&said.stdout).expect("a document");
    let rules = statement(&role, "SwitchRules");
    let place = "eu-west-1:111111111111";
    assert_eq!(
        rules["Resource"],
        format!("arn:aws:events:{place}:rule/report-eks")
    );
    let schedules = statement(&role, "SwitchSchedules");
    assert_eq!(
        schedules["Resource"],
        format!("arn:aws:scheduler:{place}:schedule/default/report-ecs")
    );
    let pass = statement(&role, "PassScheduleRoles");
    assert_eq!(pass["Resource"], "arn:aws:iam::111111111111:role/*");
    assert!(said.stderr.contains("PassScheduleRoles"), "{said:#?}");
    let base = printed(&program, &["plan.yaml", "--for", "environment"]);
    assert_eq!(statement(&base, "Publish")["Resource"], TOPIC);

    program.write("plan.yaml", &text.replace(&head, ""));
    let said = program.ok(&["iam-policy", "plan.yaml"]);
    let open: Value = serde_json::from_str(&said.stdout).expect("a document");
    let rules = statement(&open, "SwitchRules");
    assert_eq!(rules["Resource"], "arn:aws:events:*:*:rule/report-eks");
    assert!(said.stderr.contains("`aws.region`"), "{said:#?}");
}

#[test]
fn a_role_may_only_do_its_own_work() {
    let program = offline();
    let record = ["zone: example.com, name: api.example.com, type: A"];
    let text = plan("api", "", &record) + METRICS;
    program.write(
        "plan.yaml",
        &text.replace(
            "gates: { alarms: [ api-5xx ] }",
            "gates:\n  alarms: [ api-5xx ]",
        ),
    );
    let reads = printed(&program, &["plan.yaml", "--role", "read-only"]);
    let expected = [
        "ReadZones",
        "FindZones",
        "FollowChanges",
        "ReadAlarms",
        "ReadMetrics",
    ];
    assert_eq!(sids(&reads), expected);
    let rolls_back = printed(&program, &["plan.yaml", "--role", "break-glass"]);
    let expected = ["WriteWeights", "ReadZones", "FindZones", "FollowChanges"];
    assert_eq!(sids(&rolls_back), expected);
    for wrong in [
        &["--role", "create"][..],
        &["plan.yaml", "--role", "admin"],
        &["--role", "controller"],
    ] {
        let said = program.say(&[&["iam-policy"][..], wrong].concat());
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(2), ""),
            "{said:#?}"
        );
    }
    program.write("wrong.yaml", "version: 1\n");
    let said = program.say(&["iam-policy", "wrong.yaml"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(10), ""),
        "{said:#?}"
    );
}

#[test]
fn a_journal_in_dynamodb_is_one_table_and_its_own_keys() {
    let program = offline();
    let record = ["zone: example.com, name: api.example.com, type: A"];
    program.write("plan.yaml", &plan("api", "", &record));
    program.set("CUTOVER_JOURNAL", "dynamodb:cutovers/prod?region=eu-west-1");
    let arn = "arn:aws:dynamodb:eu-west-1:*:table/cutovers";
    let policy = printed(&program, &["plan.yaml"]);
    let items = statement(&policy, "UseJournal");
    assert_eq!(items["Resource"], arn);
    let actions = [
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
    ];
    assert_eq!(texts(&items["Action"]), actions);
    let like = "ForAllValues:StringLike";
    assert_eq!(demanded(items, like, "dynamodb:LeadingKeys"), ["prod/*"]);
    let reads = printed(&program, &["plan.yaml", "--role", "read-only"]);
    let actions = texts(&statement(&reads, "UseJournal")["Action"]);
    assert_eq!(actions, ["dynamodb:GetItem", "dynamodb:Query"]);
    let create = printed(&program, &["--role", "create"]);
    assert_eq!(sids(&create), ["CreateJournal"]);
    assert_eq!(statement(&create, "CreateJournal")["Resource"], arn);

    let url = format!("dynamodb:cutovers?role_arn={ROLE}");
    program.set("CUTOVER_JOURNAL", &url);
    let role = printed(&program, &["plan.yaml", "--for", ROLE]);
    assert_eq!(sids(&role), ["UseJournal", "DescribeJournal"]);
    let base = printed(&program, &["plan.yaml", "--for", "environment"]);
    assert_eq!(statement(&base, "AssumeRoles")["Resource"], ROLE);
    program.set("CUTOVER_JOURNAL", "dynamodb:*");
    let said = program.say(&["iam-policy", "plan.yaml"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
}

#[test]
fn a_policy_that_is_too_long_is_noted_and_can_be_shortened() {
    let program = offline();
    for number in 0..3 {
        let mut records = Vec::new();
        for record in 0..100 {
            let name = format!("service-{number}-{record:02}-of-a-fleet.example.com");
            records.push(format!("zone: example.com, name: {name}, type: CNAME"));
        }
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let name = format!("fleet-{number}");
        program.write(&format!("plans/{name}.yaml"), &plan(&name, "", &records));
    }
    let said = program.ok(&["iam-policy", "plans"]);
    for words in ["6,144", "10,240", "--any-name"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let again = program.ok(&["iam-policy", "plans"]);
    assert_eq!(said.stdout, again.stdout);
    let short = program.ok(&["iam-policy", "plans", "--any-name"]);
    assert_eq!(short.stderr, "");
    let policy: Value = serde_json::from_str(&short.stdout).expect("a document");
    let write = statement(&policy, "WriteWeights");
    let names = demanded(write, "ForAllValues:StringLike", RECORD_NAMES);
    assert_eq!(names, ["*.example.com", "example.com"]);
}
