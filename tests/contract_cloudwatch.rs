//! The `CloudWatch` model, through its HTTP door, against two clients by others: boto3 and the Rust SDK.

use std::process::Command;

use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::error::ProvideErrorMetadata as _;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    AlarmType, Dimension, HistoryItemType, Metric, MetricDataQuery, MetricDatum, MetricStat,
    StateValue,
};
use cutover::engine::observation::AlarmState;
use cutover::sim::fault::{Fault, Lasting};
use jiff::SignedDuration;

use crate::support::python::python;
use crate::support::server::TestBed;

/// Probes that may disagree, with the reason; every other one must agree.
const UNCLEAR: [(&str, &str); 0] = [];

fn client(endpoint: &str, region: &'static str) -> aws_sdk_cloudwatch::Client {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(aws_sdk_cloudwatch::config::BehaviorVersion::latest())
        .region(aws_sdk_cloudwatch::config::Region::new(region))
        .credentials_provider(Credentials::new("testing", "testing", None, None, "tests"))
        .endpoint_url(endpoint)
        .build();
    aws_sdk_cloudwatch::Client::from_conf(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudwatch_probes_agree_with_the_model() {
    probes_agree("smithy-rpc-v2-cbor").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudwatch_probes_agree_with_the_model_in_json() {
    probes_agree("json").await;
}

/// Runs the probes in one of the service's protocols.
async fn probes_agree(protocol: &str) {
    let bed = TestBed::start();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let report = folder.path().join("report.json");
    let arguments = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/cw.py").to_owned(),
        "--endpoint".to_owned(),
        bed.endpoint().to_owned(),
        "--cwproto".to_owned(),
        protocol.to_owned(),
        "--json".to_owned(),
        report.display().to_string(),
    ];
    let probes = move || {
        let mut probes = Command::new(python());
        probes
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
    };
    let output = tokio::task::spawn_blocking(probes)
        .await
        .expect("the probes do not panic");
    let output = output.expect("python can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains(&format!("resolved protocol: {protocol}\n")),
        "{said}"
    );
    let report = std::fs::read_to_string(report).expect("the probes wrote a report");
    let report: Vec<serde_json::Value> = serde_json::from_str(&report).expect("the report is JSON");
    assert!(report.len() >= 56, "only {} probes ran", report.len());
    let unclear = |probe: &&serde_json::Value| UNCLEAR.iter().any(|(id, _)| probe["id"] == *id);
    let disagree: Vec<_> = report
        .iter()
        .filter(|probe| probe["ok"] == false && !unclear(probe))
        .map(|probe| {
            format!(
                "{}: expected {}, got {}",
                probe["id"], probe["aws"], probe["observed"]
            )
        })
        .collect();
    assert!(disagree.is_empty(), "{}", disagree.join("\n"));
}

#[tokio::test]
async fn the_rust_sdk_reads_alarms_and_their_history_from_the_model() {
    let bed = TestBed::start();
    let at = bed.now();
    let ago = |seconds| at - SignedDuration::from_secs(seconds);
    {
        let model = &mut bed.world().cloudwatch;
        model.set_state("eu-west-1", "red", AlarmState::Ok, ago(3));
        model.set_state("eu-west-1", "red", AlarmState::Alarm, ago(2));
        model.set_evaluation("eu-west-1", "red", Some("PARTIAL_DATA"), ago(1));
    }
    let client = client(bed.endpoint(), "eu-west-1");
    let put = client.put_composite_alarm().alarm_name("any");
    put.alarm_rule("ALARM(red)").send().await.unwrap();
    let names = ["red", "any", "gone"].map(str::to_owned).to_vec();
    let kinds = vec![AlarmType::MetricAlarm, AlarmType::CompositeAlarm];
    let ask = client.describe_alarms().set_alarm_names(Some(names));
    let answer = ask.set_alarm_types(Some(kinds)).send().await.unwrap();
    assert_eq!(answer.metric_alarms().len(), 1);
    assert_eq!(answer.composite_alarms().len(), 1);
    let alarm = &answer.metric_alarms()[0];
    assert_eq!(alarm.state_value, Some(StateValue::Alarm));
    assert!(alarm.state_transitioned_timestamp < alarm.state_updated_timestamp);
    let evaluation = alarm.evaluation_state.as_ref().unwrap();
    assert_eq!(evaluation.as_str(), "PARTIAL_DATA");

    let ask = client.describe_alarm_history().alarm_name("red");
    let ask = ask.history_item_type(HistoryItemType::StateUpdate);
    let history = ask.send().await.unwrap();
    let newest = &history.alarm_history_items()[0];
    let summary = newest.history_summary();
    assert_eq!(summary, Some("Alarm updated from OK to ALARM"));
    let data = newest.history_data().unwrap();
    assert!(
        data.contains("\"oldState\":{\"stateValue\":\"OK\""),
        "{data}"
    );
}

#[tokio::test]
async fn the_rust_sdk_knows_the_models_errors() {
    let bed = TestBed::start();
    let client = client(bed.endpoint(), "eu-west-1");
    let set = client
        .set_alarm_state()
        .alarm_name("gone")
        .state_reason("x");
    let error = set.state_value(StateValue::Ok).send().await.unwrap_err();
    assert!(error.into_service_error().is_resource_not_found());
    let ask = client.describe_alarms().next_token("made up");
    let error = ask.send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidNextToken"));
    let ask = client.describe_alarms().max_records(101);
    let error = ask.send().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationError"));
    assert!(error.message().unwrap().contains("maxRecords"));
    bed.fault(Some("DescribeAlarms"), Fault::throttle(), Lasting::Calls(3));
    let error = client.describe_alarms().send().await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Some("Throttling"), Some("Rate exceeded"))
    );
}

#[tokio::test]
async fn the_rust_sdk_puts_compressed_data_and_reads_it_in_its_own_region_only() {
    let bed = TestBed::start();
    let side = Dimension::builder().name("side").value("new").build();
    let datum = |value: i32| {
        let datum = MetricDatum::builder()
            .metric_name("requests")
            .dimensions(side.clone());
        datum.value(f64::from(value)).build()
    };
    let at = bed.now();
    let put = client(bed.endpoint(), "eu-west-1")
        .put_metric_data()
        .namespace("Shop");
    // More than 10 KiB, which the SDK sends packed.
    put.set_metric_data(Some((1..=400).map(datum).collect()))
        .send()
        .await
        .unwrap();
    let metric = Metric::builder()
        .namespace("Shop")
        .metric_name("requests")
        .dimensions(side);
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(60)
        .stat("p99")
        .build();
    let query = MetricDataQuery::builder().id("p").metric_stat(stat).build();
    let read = async |region| {
        let ask = client(bed.endpoint(), region)
            .get_metric_data()
            .metric_data_queries(query.clone());
        let ask = ask.start_time(DateTime::from_secs(at.as_second() - 120));
        let ask = ask.end_time(DateTime::from_secs(at.as_second() + 120));
        let answer = ask.send().await.unwrap();
        answer.metric_data_results()[0].values().to_vec()
    };
    assert_eq!(read("eu-west-1").await, [396.0]);
    assert_eq!(read("us-east-1").await, [0.0; 0]);
}
