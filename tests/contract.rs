//! The test bed answers as AWS documents: probes through an independent client, and the faults that it can make.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aws_sdk_route53::config::{BehaviorVersion, Region};
use aws_sdk_route53::error::ProvideErrorMetadata;
use aws_sdk_route53::types;
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::Account;
use cutover::engine::units::ZoneId;
use cutover::ports::ChangeAction;
use cutover::sim::fault::{Fault, Lasting};
use cutover::sim::route53::{ChangeBatch, NewZone, StoredRecord};
use jiff::{SignedDuration, ToSpan};
use serde::Deserialize;

use crate::support::python::python;
use crate::support::server::TestBed;

/// One probe's outcome.
#[derive(Debug, Deserialize)]
struct Probe {
    id: String,
    aws: String,
    observed: String,
    ok: Option<bool>,
}

/// Runs one script of probes against the endpoint.
fn probes(script: &str, endpoint: &str) -> Vec<Probe> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let report = scratch.path().join("report.json");
    let output = Command::new(python())
        .arg(folder.join(script))
        .args(["--endpoint", endpoint, "--json"])
        .arg(&report)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", scratch.path().join("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", scratch.path().join("none"))
        .env_remove("AWS_PROFILE")
        .output()
        .expect("the probes start");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {stderr}");
    let report = std::fs::read_to_string(report).expect("the probes' report");
    serde_json::from_str(&report).expect("a report of probes")
}

#[test]
fn route53_probes_agree_with_the_model() {
    let bed = TestBed::start();
    let probes = probes("r53.py", bed.endpoint());
    let differing: Vec<_> = probes
        .iter()
        .filter(|probe| probe.ok == Some(false))
        .map(|probe| format!("{}: AWS {}; got {}", probe.id, probe.aws, probe.observed))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    let agreeing = probes.iter().filter(|probe| probe.ok == Some(true)).count();
    assert!(agreeing >= 95, "only {agreeing} probes ran");
}

/// A client as users have it, with the SDK's defaults but for the credentials.
fn client(bed: &TestBed) -> aws_sdk_route53::Client {
    let credentials = aws_credential_types::Credentials::new("test", "test", None, None, "test");
    let config = aws_sdk_route53::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials)
        .endpoint_url(bed.endpoint())
        .build();
    aws_sdk_route53::Client::from_conf(config)
}

/// A zone with one weighted group at 100/0, made in the model.
fn zone(bed: &TestBed) -> ZoneId {
    let new = NewZone {
        name: "example.com".to_owned(),
        caller_reference: "one".to_owned(),
        ..NewZone::default()
    };
    let now = bed.now();
    let model = &mut bed.world().route53;
    let (zone, _) = model.create_zone(new, now).expect("a zone");
    let records = [("old", 100), ("new", 0)];
    let batch = ChangeBatch::of(records.map(|(identifier, weight)| {
        let record = StoredRecord::weighted(NAME, "CNAME", identifier, weight, "t.example.net");
        (ChangeAction::Create, record)
    }));
    let created = model.change(&Account::default(), &zone, &batch, now);
    created.expect("a valid batch");
    zone
}

const NAME: &str = "app.example.com";

/// Swaps the new member's weight from one value to another.
async fn swap(
    client: &aws_sdk_route53::Client,
    zone: &ZoneId,
    from: i64,
    to: i64,
) -> Result<String, aws_sdk_route53::Error> {
    let change = |action: types::ChangeAction, weight: i64| {
        let value = types::ResourceRecord::builder().value("t.example.net");
        let record = types::ResourceRecordSet::builder()
            .name(NAME)
            .r#type(types::RrType::Cname)
            .set_identifier("new")
            .weight(weight)
            .ttl(60)
            .resource_records(value.build().expect("a value"));
        let change = types::Change::builder().action(action);
        let record = record.build().expect("a record set");
        change
            .resource_record_set(record)
            .build()
            .expect("a change")
    };
    let batch = types::ChangeBatch::builder()
        .changes(change(types::ChangeAction::Delete, from))
        .changes(change(types::ChangeAction::Create, to));
    let sent = client
        .change_resource_record_sets()
        .hosted_zone_id(zone.as_str())
        .change_batch(batch.build().expect("a batch"))
        .send()
        .await?;
    Ok(sent.change_info.expect("a change").id)
}

/// The new member's weights, as ever written.
fn weights(bed: &TestBed) -> Vec<u8> {
    let world = bed.world();
    let writes = world.route53.weight_writes().iter();
    writes
        .filter_map(|write| Some(write.weights.get("new")?.0))
        .collect()
}

/// How each call of one operation was answered.
fn statuses(bed: &TestBed, operation: &str) -> Vec<Option<u16>> {
    let calls = bed.calls().into_iter();
    let calls = calls.filter(|call| call.operation == operation);
    calls.map(|call| call.status).collect()
}

const CHANGE: &str = "ChangeResourceRecordSets";

#[tokio::test]
async fn a_dropped_connection_leaves_no_effect_and_the_sdk_tries_again() {
    let bed = TestBed::start();
    let (zone, client) = (zone(&bed), client(&bed));
    bed.fault(Some(CHANGE), Fault::DropBefore, Lasting::Calls(1));
    swap(&client, &zone, 0, 1).await.unwrap();
    assert_eq!(statuses(&bed, CHANGE), [None, Some(200)]);
    assert_eq!(weights(&bed), [0, 1]);
}

#[tokio::test]
async fn a_lost_reply_is_reported_as_a_conflict_although_the_weight_did_change() {
    let bed = TestBed::start();
    let (zone, client) = (zone(&bed), client(&bed));
    bed.fault(Some(CHANGE), Fault::LoseReply, Lasting::Calls(1));
    let error = swap(&client, &zone, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidChangeBatch"));
    let message = error.message().unwrap_or_default();
    assert!(
        message.contains("do not match the current values"),
        "{message}"
    );
    assert!(message.contains("but it already exists"), "{message}");
    assert_eq!(weights(&bed), [0, 1]);
}

#[tokio::test]
async fn refusals_carry_their_code_and_have_no_effect() {
    let bed = TestBed::start();
    let (zone, client) = (zone(&bed), client(&bed));
    bed.fault(None, Fault::throttle(), Lasting::Always);
    let error = swap(&client, &zone, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), Some("Throttling"));
    assert_eq!(statuses(&bed, CHANGE), [Some(400); 3]);
    bed.clear_faults();
    bed.fault(
        Some(CHANGE),
        Fault::deny(),
        Lasting::Until(bed.now() + 60.seconds()),
    );
    let error = swap(&client, &zone, 0, 1).await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));
    assert_eq!(weights(&bed), [0]);
}

#[tokio::test]
async fn a_delayed_call_has_its_effect_although_nobody_waits() {
    let bed = TestBed::start();
    let (zone, client) = (zone(&bed), client(&bed));
    let delay = Fault::Delay(Duration::from_millis(300));
    bed.fault(Some(CHANGE), delay, Lasting::Calls(1));
    let waited = tokio::time::timeout(Duration::from_millis(100), swap(&client, &zone, 0, 1));
    waited.await.unwrap_err();
    assert_eq!(weights(&bed), [0]);
    let landed = async {
        while weights(&bed) != [0, 1] {
            tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), landed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_change_goes_from_pending_to_in_sync() {
    let bed = TestBed::start();
    let (zone, client) = (zone(&bed), client(&bed));
    bed.world().route53.settings.propagation = SignedDuration::from_hours(1);
    let id = swap(&client, &zone, 0, 1).await.unwrap();
    let status = async || {
        let reply = client.get_change().id(&id).send().await.unwrap();
        reply.change_info.unwrap().status
    };
    assert_eq!(status().await, types::ChangeStatus::Pending);
    let now = bed.now();
    bed.world().route53.finish_propagation(now);
    assert_eq!(status().await, types::ChangeStatus::Insync);
}

#[test]
fn replies_carry_the_servers_date() {
    let bed = TestBed::start();
    bed.set_clock_skew(SignedDuration::from_hours(1));
    let address = bed.endpoint().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        "GET /2013-04-01/hostedzone HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let mut lines = reply.lines();
    let date = lines.find_map(|line| line.strip_prefix("date: ")).unwrap();
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(date)
        .unwrap();
    assert!(bed.now().duration_since(date).abs() < SignedDuration::from_secs(30));
}

#[tokio::test]
async fn quotas_refuse_the_51st_call_of_a_second() {
    let bed = TestBed::start();
    let (_, client) = (zone(&bed), client(&bed));
    let once = aws_sdk_route53::config::retry::RetryConfig::disabled();
    let once = client.config().to_builder().retry_config(once).build();
    let client = aws_sdk_route53::Client::from_conf(once);
    bed.throttle(true);
    let mut refused = 0;
    for _ in 0..80 {
        match client.list_hosted_zones().send().await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.code(), Some("Throttling"));
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    assert_eq!(statuses(&bed, "ListHostedZones").len(), 80);
}

/// A `CloudWatch` client for a region.
fn signals(bed: &TestBed, region: &'static str) -> aws_sdk_cloudwatch::Client {
    let credentials = aws_credential_types::Credentials::new("test", "test", None, None, "test");
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static(region))
        .credentials_provider(credentials)
        .endpoint_url(bed.endpoint())
        .build();
    aws_sdk_cloudwatch::Client::from_conf(config)
}

#[tokio::test]
async fn signals_are_answered_for_the_region_of_the_signature_and_have_the_same_faults() {
    let bed = TestBed::start();
    let now = bed.now();
    bed.world()
        .cloudwatch
        .set_state("ap-northeast-1", "api-5xx", AlarmState::Ok, now);
    let client = signals(&bed, "ap-northeast-1");
    let count = async |client: &aws_sdk_cloudwatch::Client| {
        let answer = client.describe_alarms().send().await.unwrap();
        answer.metric_alarms().len()
    };
    assert_eq!(count(&client).await, 1);
    assert_eq!(count(&signals(&bed, "eu-west-1")).await, 0);
    let regions: Vec<_> = bed
        .calls()
        .into_iter()
        .map(|call| call.signer.region)
        .collect();
    assert_eq!(regions, ["ap-northeast-1", "eu-west-1"]);

    bed.fault(Some("DescribeAlarms"), Fault::deny(), Lasting::Calls(1));
    let error = client.describe_alarms().send().await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));
    bed.fault(None, Fault::DropBefore, Lasting::Calls(1));
    assert_eq!(count(&client).await, 1);
    assert_eq!(
        statuses(&bed, "DescribeAlarms"),
        [Some(200), Some(200), Some(403), None, Some(200)]
    );
}
