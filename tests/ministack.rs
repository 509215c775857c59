//! The real SDK against an emulator by others. Its alarms never see data: there it ignores their dimensions and overrides
//! what `SetAlarmState` set.

use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::{AlarmType, ComparisonOperator, StateValue, Statistic};
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};

use crate::support::ministack::Ministack;
use crate::support::program::Program;

fn credentials() -> Credentials {
    Credentials::new("testing", "testing", None, None, "tests")
}

fn dns(endpoint: &str) -> aws_sdk_route53::Client {
    let config = aws_sdk_route53::Config::builder()
        .behavior_version(aws_sdk_route53::config::BehaviorVersion::latest())
        .region(aws_sdk_route53::config::Region::new("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .build();
    aws_sdk_route53::Client::from_conf(config)
}

fn alarms(endpoint: &str) -> aws_sdk_cloudwatch::Client {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(aws_sdk_cloudwatch::config::BehaviorVersion::latest())
        .region(aws_sdk_cloudwatch::config::Region::new("eu-west-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .build();
    aws_sdk_cloudwatch::Client::from_conf(config)
}

fn weighted(action: &ChangeAction, identifier: &str, weight: i64) -> Change {
    let complete = "all required members are set";
    let record = ResourceRecord::builder().value("192.0.2.1").build();
    let set = ResourceRecordSet::builder()
        .name("api.example.com.")
        .r#type(RrType::A)
        .set_identifier(identifier)
        .weight(weight)
        .ttl(60)
        .resource_records(record.expect(complete));
    Change::builder()
        .action(action.clone())
        .resource_record_set(set.build().expect(complete))
        .build()
        .expect(complete)
}

#[tokio::test]
async fn ministack_keeps_weights_and_alarm_states_and_forgets_them_when_reset() {
    let ministack = Ministack::start();
    let (dns, alarms) = (dns(&ministack.endpoint()), alarms(&ministack.endpoint()));

    let zone = dns
        .create_hosted_zone()
        .name("example.com")
        .caller_reference("one");
    let zone = zone.send().await.unwrap().hosted_zone.unwrap().id;
    let batch = ChangeBatch::builder()
        .changes(weighted(&ChangeAction::Create, "eks", 100))
        .changes(weighted(&ChangeAction::Create, "ecs", 0))
        .build()
        .unwrap();
    let change = dns.change_resource_record_sets().hosted_zone_id(&zone);
    change.change_batch(batch).send().await.unwrap();
    let sets = dns.list_resource_record_sets().hosted_zone_id(&zone);
    let sets = sets.send().await.unwrap().resource_record_sets;
    let weights: Vec<_> = sets.iter().filter_map(|set| set.weight).collect();
    assert_eq!(weights.iter().sum::<i64>(), 100, "{weights:?}");

    let put = alarms
        .put_metric_alarm()
        .alarm_name("api-5xx")
        .namespace("Nobody")
        .metric_name("never")
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(1.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold);
    put.send().await.unwrap();
    let set = alarms
        .set_alarm_state()
        .alarm_name("api-5xx")
        .state_reason("drill");
    set.state_value(StateValue::Alarm).send().await.unwrap();
    let describe = || {
        let describe = alarms.describe_alarms().alarm_names("api-5xx");
        describe.alarm_types(AlarmType::MetricAlarm).send()
    };
    let states: Vec<_> = describe().await.unwrap().metric_alarms.unwrap_or_default();
    assert_eq!(states[0].state_value, Some(StateValue::Alarm));

    ministack.reset();
    assert!(
        describe()
            .await
            .unwrap()
            .metric_alarms
            .unwrap_or_default()
            .is_empty()
    );
}

/// An emulator with a weighted group and green alarms, and the program with a plan over them.
struct Drill {
    // Dropped first: the program must not outlive what it talks to.
    program: Program,
    dns: aws_sdk_route53::Client,
    alarms: aws_sdk_cloudwatch::Client,
    zone: String,
    ministack: Ministack,
}

const PLAN: &str = "
version: 1
name: drill
records:
  - { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }
settle: 0s
steps:
  - { weight: 10%,  bake: FIRST }
  - { weight: 50%,  bake: 1s }
  - { weight: 100%, bake: 1s }
gates:
  alarms: [api-5xx, api-p99]
  fallback_alarms: [old-unhealthy]
";

impl Drill {
    async fn new(first_bake: &str) -> Self {
        let ministack = Ministack::start();
        let (dns, alarms) = (dns(&ministack.endpoint()), alarms(&ministack.endpoint()));
        let zone = dns
            .create_hosted_zone()
            .name("example.com")
            .caller_reference("one");
        let zone = zone.send().await.expect("a zone").hosted_zone;
        let zone = zone.expect("a zone").id;
        let program = Program::new(&ministack.endpoint());
        program.write("plan.yaml", &PLAN.replace("FIRST", first_bake));
        let drill = Self {
            program,
            dns,
            alarms,
            zone,
            ministack,
        };
        drill.change(ChangeAction::Create, 100, 0).await;
        for name in ["api-5xx", "api-p99", "old-unhealthy"] {
            let put = drill
                .alarms
                .put_metric_alarm()
                .alarm_name(name)
                .namespace("Nobody")
                .metric_name("never")
                .statistic(Statistic::Sum)
                .period(60)
                .evaluation_periods(1)
                .threshold(1.0)
                .comparison_operator(ComparisonOperator::GreaterThanThreshold);
            put.send().await.expect("an alarm");
            drill.set_alarm(name, StateValue::Ok).await;
        }
        drill
    }

    async fn set_alarm(&self, name: &str, state: StateValue) {
        let set = self.alarms.set_alarm_state().alarm_name(name);
        let set = set.state_reason("drill").state_value(state);
        set.send().await.expect("the alarm is there");
    }

    async fn change(&self, action: ChangeAction, old: i64, new: i64) {
        let batch = ChangeBatch::builder()
            .changes(weighted(&action, "eks", old))
            .changes(weighted(&action, "ecs", new))
            .build()
            .expect("a batch");
        let change = self
            .dns
            .change_resource_record_sets()
            .hosted_zone_id(&self.zone);
        let changed = change.change_batch(batch).send().await;
        changed.expect("a valid batch");
    }

    /// The weights that are there now, old and new.
    async fn weights(&self) -> (i64, i64) {
        let sets = self
            .dns
            .list_resource_record_sets()
            .hosted_zone_id(&self.zone);
        let sets = sets.send().await.expect("records").resource_record_sets;
        let weight = |identifier: &str| {
            let mut found = sets
                .iter()
                .filter(|set| set.set_identifier.as_deref() == Some(identifier));
            found.next().and_then(|set| set.weight).unwrap_or(-1)
        };
        (weight("eks"), weight("ecs"))
    }

    /// The weights that the program read back after each step.
    fn verified(&self) -> Vec<(u64, u64)> {
        let entries = self.program.history("drill").into_iter();
        let entries = entries.filter(|entry| entry["event"]["type"] == "weights_verified");
        let weight = |value: &serde_json::Value| value["weight"].as_u64().unwrap_or(u64::MAX);
        entries
            .map(|entry| {
                let image = &entry["event"]["images"][0];
                (weight(&image["old"]), weight(&image["new"]))
            })
            .collect()
    }
}

#[tokio::test]
async fn a_plan_completes_on_an_emulator_by_others() {
    let drill = Drill::new("1s").await;
    let mut run = drill.program.run("plan.yaml");
    assert_eq!(run.exit_code(), 0, "{}", drill.program.everything("drill"));
    assert_eq!(drill.verified(), [(90, 10), (50, 50), (0, 100)]);
    assert_eq!(drill.weights().await, (0, 100));
}

#[tokio::test]
async fn an_alarm_takes_everything_back_on_an_emulator_by_others() {
    let drill = Drill::new("1h").await;
    let mut run = drill.program.run("plan.yaml");
    drill.program.wait_for_phase("drill", "baking");
    assert_eq!(drill.weights().await, (90, 10));
    drill.set_alarm("api-p99", StateValue::Alarm).await;
    assert_eq!(run.exit_code(), 20, "{}", drill.program.everything("drill"));
    assert_eq!(drill.weights().await, (100, 0));
}

#[tokio::test]
async fn what_somebody_else_changed_is_kept_on_an_emulator_by_others() {
    let drill = Drill::new("3s").await;
    let run = drill.program.run("plan.yaml");
    drill.program.wait_for_phase("drill", "baking");
    drill.change(ChangeAction::Upsert, 70, 30).await;
    drill.program.wait_for_hold("drill", "drift");
    assert_eq!(drill.weights().await, (70, 30));
    drop(run);
    let said = drill.program.say(&["rollback", "drill", "--yes"]);
    assert_eq!(said.code, Some(22), "{said:#?}");
    assert_eq!(drill.weights().await, (70, 30));
    drill.program.ok(&["rollback", "drill", "--yes", "--force"]);
    assert_eq!(drill.weights().await, (100, 0));
}

/// Where the shared journal of these tests is.
#[cfg(feature = "dynamodb")]
const SHARED: &str = "dynamodb:cutover?region=eu-west-1";

#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn a_journal_in_a_table_is_made_and_used_from_two_machines() {
    let drill = Drill::new("1h").await;
    let program = &drill.program;
    program.set("CUTOVER_JOURNAL", SHARED);
    let none = program.ok(&["status"]);
    assert_eq!(none.stdout, "[]\n");
    assert!(
        none.stderr.contains("the table cutover in eu-west-1"),
        "{none:#?}"
    );
    let refused = program.say(&["run", "plan.yaml"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(
        refused.stderr.contains("cutover journal create URL"),
        "{refused:#?}"
    );
    let unconfirmed = program.say(&["journal", "create"]);
    assert_eq!(unconfirmed.code, Some(2), "{unconfirmed:#?}");
    let made = program.ok(&["journal", "create", "--yes"]);
    assert!(
        made.stdout.contains("made the table cutover in eu-west-1"),
        "{made:#?}"
    );
    let again = program.ok(&["journal", "create", SHARED, "--yes", "--format", "json"]);
    assert!(again.stdout.contains("\"made\": false"), "{again:#?}");

    let mut run = program.run("plan.yaml");
    program.wait_for_phase("drill", "baking");
    assert_eq!(drill.weights().await, (90, 10));
    let other = Program::new(&drill.ministack.endpoint());
    other.set("CUTOVER_JOURNAL", SHARED);
    assert_eq!(other.status("drill")["phase"], "baking");
    let busy = other.say(&["journal", "copy", SHARED, "sqlite:copy.db"]);
    assert_eq!(busy.code, Some(12), "{busy:#?}");
    assert!(busy.stderr.contains("uses dynamodb:cutover"), "{busy:#?}");
    other.ok(&["pause", "drill"]);
    other.ok(&["rollback", "drill", "--yes"]);
    assert_eq!(run.exit_code(), 20, "{}", program.everything("drill"));
    assert_eq!(drill.weights().await, (100, 0));
    let verified = other.ok(&["journal", "verify"]);
    assert!(
        verified.stdout.contains("follow from each other"),
        "{verified:#?}"
    );

    let there = program.history("drill");
    program.ok(&["journal", "copy", SHARED, "sqlite:copy.db"]);
    program.ok(&["journal", "verify", "sqlite:copy.db"]);
    let back = "dynamodb:cutover/back?region=eu-west-1";
    program.ok(&["journal", "copy", "sqlite:copy.db", back]);
    let full = program.say(&["journal", "copy", "sqlite:copy.db", back]);
    assert_eq!(full.code, Some(12), "{full:#?}");
    assert!(full.stderr.contains("is not empty"), "{full:#?}");
    for copy in ["sqlite:copy.db", back] {
        program.set("CUTOVER_JOURNAL", copy);
        assert_eq!(program.history("drill"), there, "{copy}");
    }
}
