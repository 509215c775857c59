//! Submitting a batch: one attempt, and every way that it can fail.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use cutover::aws::{Rate, connect};
use cutover::engine::event::FailureClass;
use cutover::engine::plan::Account;
use cutover::engine::record::{AliasTarget, RecordSet};
use cutover::engine::units::{Weight, ZoneId};
use cutover::ports::{CallError, ChangeAction, Dns, RecordChange, Submitted, Urgency};
use tokio::time::Instant;

use super::fake::{Answer, Fake, SECRETS, ambient, xml, xml_error};

fn alias(name: &str, set: &str, weight: u8) -> RecordSet {
    RecordSet {
        name: name.to_owned(),
        record_type: "A".to_owned(),
        set_identifier: set.to_owned(),
        weight: Weight(weight),
        ttl: None,
        values: Vec::new(),
        alias: Some(AliasTarget {
            zone_id: "Z14GRHDCWA56QT".to_owned(),
            dns_name: "dualstack.lb.elb.amazonaws.com.".to_owned(),
            evaluate_target_health: true,
        }),
        health_check_id: None,
        unsupported: Vec::new(),
    }
}

fn change(action: ChangeAction, record: RecordSet) -> RecordChange {
    RecordChange { action, record }
}

fn swap(name: &str) -> Vec<RecordChange> {
    vec![
        change(ChangeAction::Delete, alias(name, "ecs", 0)),
        change(ChangeAction::Create, alias(name, "ecs", 1)),
    ]
}

fn accepted() -> Answer {
    let info = "<ChangeInfo><Id>/change/C2682N5HXP0BZ4</Id><Status>PENDING</Status>\
                <SubmittedAt>2026-11-21T10:00:00.000Z</SubmittedAt></ChangeInfo>";
    xml("ChangeResourceRecordSetsResponse", info)
}

async fn submit(fake: &Fake, changes: &[RecordChange]) -> Result<Submitted, CallError> {
    let dns = fake.aws().await.dns;
    let zone = ZoneId::from("Z1");
    dns.change(&ambient(), &zone, changes, "step 1", Urgency::Normal)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_sent_to_the_letter_and_comes_back_with_id_and_date() {
    let fake = Fake::new(|_, _| accepted());
    let dns = fake.aws().await.dns;
    let zone = ZoneId::from("Z1");
    let comment = "c".repeat(300);
    let changes = swap("\\052.api.example.com.");
    let submitted = dns
        .change(&ambient(), &zone, &changes, &comment, Urgency::Normal)
        .await
        .unwrap();
    assert_eq!(submitted.change_id.as_str(), "C2682N5HXP0BZ4");
    let date = submitted.server_time.unwrap().to_string();
    assert_eq!(date, "2026-11-21T10:00:05Z");
    let asked = &fake.asked()[0];
    assert_eq!(asked.method, "POST");
    let body = asked.text();
    let record = |weight: u8| {
        format!(
            "<ResourceRecordSet><Name>\\052.api.example.com.</Name><Type>A</Type><SetIdentifier>ecs</SetIdentifier>\
             <Weight>{weight}</Weight><AliasTarget><HostedZoneId>Z14GRHDCWA56QT</HostedZoneId>\
             <DNSName>dualstack.lb.elb.amazonaws.com.</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth>\
             </AliasTarget></ResourceRecordSet>"
        )
    };
    let wanted = format!(
        "<Change><Action>DELETE</Action>{}</Change><Change><Action>CREATE</Action>{}</Change>",
        record(0),
        record(1)
    );
    assert!(body.contains(&wanted), "{body}");
    assert!(body.contains(&format!("<Comment>{}</Comment>", "c".repeat(256))));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_attempted_once_whatever_comes_of_it() {
    let cases: [(fn() -> Answer, FailureClass); 6] = [
        (|| Answer::Lost, FailureClass::Transient),
        (
            || xml_error(500, "InternalError", "try again"),
            FailureClass::Transient,
        ),
        (
            || Answer::Reply(503, "text/html", b"<html>busy</html>".to_vec()),
            FailureClass::Transient,
        ),
        (
            || Answer::Reply(200, "text/xml", b"<cut".to_vec()),
            FailureClass::Transient,
        ),
        (
            || xml_error(400, "Throttling", "Rate exceeded"),
            FailureClass::Throttled,
        ),
        (
            || xml_error(400, "PriorRequestNotComplete", "The request was rejected"),
            FailureClass::Throttled,
        ),
    ];
    for (answer, class) in cases {
        let fake = Fake::new(move |_, _| answer());
        let error = submit(&fake, &swap("a.example.com.")).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert_eq!(fake.calls(), 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_without_an_answer_ends_after_ten_seconds() {
    let fake = Fake::new(|_, _| Answer::Silence);
    let start = Instant::now();
    let error = submit(&fake, &swap("a.example.com.")).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Transient);
    let waited = start.elapsed().as_secs_f64();
    assert!((9.9..10.1).contains(&waited), "{waited}");
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waits_for_a_token_too_long_is_not_sent() {
    let fake = Fake::new(|_, _| accepted());
    let mut options = fake.options();
    // One call a second: of seven at once, one goes and five more get a token within 5 s.
    options.limits.route53_overall = Rate {
        per_sec: 1,
        burst: 1,
    };
    let dns = connect(options).await.dns;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let dns = dns.clone();
        calls.spawn(async move {
            let zone = ZoneId::from("Z1");
            let changes = swap("a.example.com.");
            let urgency = Urgency::Normal;
            dns.change(&ambient(), &zone, &changes, "", urgency).await
        });
    }
    let start = Instant::now();
    let results = calls.join_all().await;
    assert!(start.elapsed() < Duration::from_millis(5_100));
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty());
    for error in &refused {
        assert_eq!(error.class, FailureClass::Throttled);
        assert!(error.message.starts_with("not sent"), "{error}");
    }
    assert_eq!(fake.calls() + refused.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn both_forms_of_a_refused_batch_name_its_culprits() {
    let list = "Tried to delete resource record set [name='b.example.com.', type='A'] but the values provided do not \
                match the current values, Tried to create resource record set [name='b.example.com.', type='A'] but \
                it already exists";
    let standard = format!("[{list}]");
    let older = format!(
        "<?xml version=\"1.0\"?><InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Messages>\
         <Message>{list}</Message></Messages><RequestId>r</RequestId></InvalidChangeBatch>"
    );
    let forms: [Box<dyn Fn() -> Answer + Send + Sync>; 2] = [
        Box::new(move || xml_error(400, "InvalidChangeBatch", &standard)),
        Box::new(move || Answer::Reply(400, "text/xml", older.clone().into_bytes())),
    ];
    for form in forms {
        let fake = Fake::new(move |_, _| form());
        let changes = [swap("a.example.com."), swap("b.example.com.")].concat();
        let error = submit(&fake, &changes).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Conflict, "{error}");
        let culprits: Vec<_> = error.culprits.iter().map(ToString::to_string).collect();
        assert_eq!(culprits, ["b.example.com A"], "{error}");
        assert!(error.message.contains("do not match"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_about_credentials_are_denied_and_show_none_of_them() {
    let [key_id, key, token] = SECRETS;
    let signature = format!(
        "The request signature we calculated does not match.\n\nThe Canonical String for this request should have \
         been\n'POST\nx-amz-security-token:{token}\n{key}'"
    );
    let cases = [
        (
            "ExpiredToken",
            "The security token included in the request is expired".to_owned(),
        ),
        (
            "AccessDenied",
            format!("User: arn:aws:iam::1:user/x ({key_id}) is not authorized"),
        ),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid".to_owned(),
        ),
        ("SignatureDoesNotMatch", signature),
    ];
    for (code, message) in cases {
        let fake = Fake::new(move |_, _| xml_error(403, code, &message));
        let error = submit(&fake, &swap("a.example.com.")).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Denied, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(code), "{shown}");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_credentials_a_call_is_denied_and_not_sent() {
    let fake = Fake::new(|_, _| accepted());
    let mut options = fake.options();
    options.credentials = None;
    let dns = connect(options).await.dns;
    let changes = swap("a.example.com.");
    let error = dns
        .change(
            &ambient(),
            &ZoneId::from("Z1"),
            &changes,
            "",
            Urgency::Revert,
        )
        .await
        .unwrap_err();
    assert_eq!(error.class, FailureClass::Denied, "{error}");
    assert!(error.message.contains("no AWS credentials"), "{error}");
    assert_eq!(fake.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_back_is_not_sent() {
    let fake = Fake::new(|_, _| accepted());
    let mut changes = swap("a.example.com.");
    changes[0].record.unsupported.push("Region".to_owned());
    let error = submit(&fake, &changes).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Permanent);
    assert_eq!(fake.calls(), 0);
}

fn role() -> Account {
    cutover_testbed::plan::role("arn:aws:iam::111111111111:role/cutover")
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_once_and_signs_the_calls() {
    let fake = Fake::new(|asked, _| {
        if !asked.text().contains("Action=AssumeRole") {
            return accepted();
        }
        assert!(asked.text().contains("RoleSessionName=cutover"));
        let body = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
            <Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t\
            </SessionToken><Expiration>2096-11-21T11:00:00Z</Expiration></Credentials><AssumedRoleUser>\
            <Arn>arn:aws:sts::111111111111:assumed-role/cutover/cutover</Arn><AssumedRoleId>A:cutover</AssumedRoleId>\
            </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>";
        Answer::Reply(200, "text/xml", body.as_bytes().to_vec())
    });
    let dns = fake.aws().await.dns;
    let zone = ZoneId::from("Z1");
    for _ in 0..2 {
        dns.change(&role(), &zone, &swap("a."), "", Urgency::Normal)
            .await
            .unwrap();
    }
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].signature.contains(SECRETS[0]));
    assert!(asked[1].signature.contains("ASIAROLE"));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_be_assumed_is_denied_and_an_absent_sts_is_transient() {
    let cases: [(fn() -> Answer, FailureClass); 2] = [
        (
            || {
                let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                    <Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>\
                    <RequestId>r</RequestId></ErrorResponse>";
                Answer::Reply(403, "text/xml", body.as_bytes().to_vec())
            },
            FailureClass::Denied,
        ),
        (|| Answer::Lost, FailureClass::Transient),
    ];
    for (answer, class) in cases {
        let fake = Fake::new(move |_, _| answer());
        let dns = fake.aws().await.dns;
        let zone = ZoneId::from("Z1");
        let changes = swap("a.example.com.");
        let error = dns
            .change(&role(), &zone, &changes, "", Urgency::Normal)
            .await
            .unwrap_err();
        assert_eq!(error.class, class, "{error}");
        let wants = class == FailureClass::Denied;
        assert_eq!(error.message.contains("sts:AssumeRole"), wants, "{error}");
    }
}

/// Credentials that cannot be had.
#[derive(Debug)]
struct Unavailable(fn() -> CredentialsError);

impl ProvideCredentials for Unavailable {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err((self.0)()))
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_provider_of_credentials_that_does_not_answer_is_worth_another_try() {
    let cases: [(fn() -> CredentialsError, FailureClass); 4] = [
        (
            || CredentialsError::not_loaded("no providers in chain provided credentials"),
            FailureClass::Denied,
        ),
        (
            || CredentialsError::invalid_configuration("role_arn without source_profile"),
            FailureClass::Denied,
        ),
        (
            || CredentialsError::provider_error("the SSO session has expired"),
            FailureClass::Denied,
        ),
        (
            || CredentialsError::provider_timed_out(Duration::from_secs(5)),
            FailureClass::Transient,
        ),
    ];
    for (failure, class) in cases {
        let fake = Fake::new(|_, _| accepted());
        let mut options = fake.options();
        options.credentials = Some(SharedCredentialsProvider::new(Unavailable(failure)));
        let dns = connect(options).await.dns;
        let zone = ZoneId::from("Z1");
        let changes = swap("a.example.com.");
        let error = dns
            .change(&ambient(), &zone, &changes, "", Urgency::Normal)
            .await
            .unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.message.contains("AWS credentials"), "{error}");
        assert_eq!(fake.calls(), 0);
    }
}
