//! EventBridge and Scheduler by an emulator of others, looked at by an SDK of others too.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use cutover::aws::{EventJobs, Options, connect};
use cutover::engine::event::FailureClass;
use cutover::engine::jobs::JobHalf;
use cutover::engine::plan::AwsSettings;
use cutover::ports::Jobs;
use cutover::sim::world::SimClock;
use serde_json::Value;

use crate::support::moto::Moto;

async fn jobs(moto: &Moto) -> EventJobs {
    let credentials = Credentials::new("testing", "testing", None, None, "a test");
    let start = "2026-11-21T09:00:00Z".parse().expect("a time");
    let options = Options {
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(moto.endpoint()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        isolated: true,
        ..Options::from_environment(Arc::new(SimClock::starting_at(start)))
    };
    connect(options).await.jobs
}

const MAKE: &str = "
events.put_rule(Name='nightly', ScheduleExpression='cron(0 3 * * ? *)', State='ENABLED')
scheduler.create_schedule_group(Name='reports')
scheduler.create_schedule(Name='nightly', GroupName='reports', State='DISABLED', Description='the whole of it',
    ScheduleExpression='cron(0 12 * * ? *)', ScheduleExpressionTimezone='Asia/Tokyo',
    StartDate='2035-01-01T00:00:00Z', EndDate='2036-01-01T00:00:00Z',
    FlexibleTimeWindow={'Mode': 'FLEXIBLE', 'MaximumWindowInMinutes': 7},
    Target={'Arn': 'arn:aws:lambda:eu-west-1:1:function:x', 'RoleArn': 'arn:aws:iam::1:role/r', 'Input': '{\"a\": 1}',
            'RetryPolicy': {'MaximumEventAgeInSeconds': 120, 'MaximumRetryAttempts': 3}})
";

const SHOW: &str = "
read = scheduler.get_schedule(Name='nightly', GroupName='reports')
for key in ['ResponseMetadata', 'LastModificationDate', 'CreationDate']:
    read.pop(key, None)
print(json.dumps(read, default=str))
";

#[tokio::test]
async fn rules_and_schedules_are_switched_and_every_field_stays() {
    let moto = Moto::start();
    moto.python(MAKE);
    let (jobs, aws) = (jobs(&moto).await, AwsSettings::default());
    let rule = JobHalf::Rule {
        name: "nightly".to_owned(),
        bus: None,
        region: None,
        running: None,
    };
    let look = jobs.look(&aws, &rule).await.expect("a rule");
    assert!(look.on);
    assert_eq!(
        look.firing.expect("a schedule").expression,
        "cron(0 3 * * ? *)"
    );
    jobs.turn(&aws, &rule, false, "k").await.expect("off");
    assert!(!jobs.look(&aws, &rule).await.expect("a rule").on);
    assert_eq!(
        moto.python("print(events.describe_rule(Name='nightly')['State'])"),
        "DISABLED"
    );
    jobs.turn(&aws, &rule, true, "k").await.expect("on");
    assert!(jobs.look(&aws, &rule).await.expect("a rule").on);

    let schedule = JobHalf::Schedule {
        name: "nightly".to_owned(),
        group: Some("reports".to_owned()),
        region: None,
        running: None,
    };
    let before: Value = serde_json::from_str(&moto.python(SHOW)).expect("JSON");
    let look = jobs.look(&aws, &schedule).await.expect("a schedule");
    assert!(!look.on);
    assert_eq!(
        look.firing.expect("a schedule").zone.as_deref(),
        Some("Asia/Tokyo")
    );
    jobs.turn(&aws, &schedule, true, "k").await.expect("on");
    assert!(jobs.look(&aws, &schedule).await.expect("a schedule").on);
    let mut after: Value = serde_json::from_str(&moto.python(SHOW)).expect("JSON");
    assert_eq!(after["State"], "ENABLED");
    after["State"] = Value::from("DISABLED");
    assert_eq!(after, before);
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let moto = Moto::start();
    let (jobs, aws) = (jobs(&moto).await, AwsSettings::default());
    let rule = JobHalf::Rule {
        name: "no-such".to_owned(),
        bus: None,
        region: None,
        running: None,
    };
    let error = jobs.look(&aws, &rule).await.expect_err("no such rule");
    assert_eq!(
        error.code.as_deref(),
        Some("ResourceNotFoundException"),
        "{error}"
    );
    assert_eq!(error.class, FailureClass::Permanent);
}
