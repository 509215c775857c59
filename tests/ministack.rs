//! The real SDK against an emulator by others. Its alarms never see data: there it ignores their dimensions and overrides
//! what `SetAlarmState` set.

use aws_credential_types::Credentials;
use aws_sdk_cloudwatch::types::{AlarmType, ComparisonOperator, StateValue, Statistic};
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};

use crate::support::ministack::Ministack;

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

fn weighted(identifier: &str, weight: i64) -> Change {
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
        .action(ChangeAction::Create)
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
        .changes(weighted("eks", 100))
        .changes(weighted("ecs", 0))
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
