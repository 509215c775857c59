//! Reading alarms and their history over rpc-v2-cbor: pages, regions, types, and everything that is Unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
use cutover::aws::connect;
use cutover::engine::observation::{AlarmReading, AlarmState, HistoryReading};
use cutover::engine::units::AlarmId;
use cutover::ports::Signals;
use jiff::Timestamp;
use tokio::time::Instant;

use super::fake::{Answer, Asked, Fake, SECRETS, ambient};

fn cbor(status: u16, encoder: Encoder) -> Answer {
    Answer::Reply(status, "application/cbor", encoder.into_writer())
}

fn encoder() -> Encoder {
    Encoder::new(Vec::new())
}

fn cbor_error(status: u16, code: &str, message: &str) -> Answer {
    let mut body = encoder();
    body.map(2).str("__type").str(code);
    body.str("message").str(message);
    cbor(status, body)
}

/// A reply with these metric alarms in OK, and these composite ones in ALARM.
fn alarms(metric: &[String], composite: &[String], next: Option<&str>) -> Answer {
    let mut body = encoder();
    body.map(2 + usize::from(next.is_some()));
    body.str("MetricAlarms").array(metric.len());
    for name in metric {
        body.map(5).str("AlarmName").str(name);
        body.str("StateValue").str("OK");
        body.str("EvaluationState").str("PARTIAL_DATA");
        let at = DateTime::from_secs_and_nanos(1_000, 500_000_000);
        body.str("StateTransitionedTimestamp").timestamp(&at);
        body.str("StateUpdatedTimestamp")
            .timestamp(&DateTime::from_secs(2_000));
    }
    body.str("CompositeAlarms").array(composite.len());
    for name in composite {
        body.map(3).str("AlarmName").str(name);
        body.str("StateValue").str("ALARM");
        body.str("StateUpdatedTimestamp")
            .timestamp(&DateTime::from_secs(2_000));
    }
    if let Some(next) = next {
        body.str("NextToken").str(next);
    }
    cbor(200, body)
}

/// What a request says under each key: texts and lists of texts, the others as nothing.
fn fields(asked: &Asked) -> BTreeMap<String, Vec<String>> {
    let mut decoder = Decoder::new(&asked.body);
    let mut fields = BTreeMap::new();
    let ends =
        |decoder: &mut Decoder<'_>| decoder.datatype().expect("a valid request") == Type::Break;
    assert!(decoder.map().expect("a valid request").is_none());
    while !ends(&mut decoder) {
        let key = decoder.string().expect("a valid request");
        let mut values = Vec::new();
        match decoder.datatype().expect("a valid request") {
            Type::String => values.push(decoder.string().expect("a valid request")),
            Type::Array => {
                let length = decoder.list().expect("a list").expect("its length");
                values.extend((0..length).map(|_| decoder.string().expect("a valid request")));
            }
            _ => decoder.skip().expect("a valid request"),
        }
        fields.insert(key, values);
    }
    fields
}

fn names(asked: &Asked) -> Vec<String> {
    fields(asked).remove("AlarmNames").expect("a valid request")
}

fn alarm(name: &str) -> AlarmId {
    AlarmId {
        region: None,
        name: name.to_owned(),
    }
}

fn many(count: usize) -> BTreeSet<AlarmId> {
    (0..count)
        .map(|it| alarm(&format!("alarm-{it:04}")))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_and_fifty_alarms_are_three_calls_for_both_types() {
    let fake = Fake::new(|asked, _| alarms(&names(asked), &[], None));
    let signals = fake.aws().await.signals;
    let read = signals.read_alarms(&ambient(), &many(250)).await;
    assert_eq!(read.len(), 250);
    let expected = AlarmReading::Found {
        state: AlarmState::Ok,
        transitioned_at: Some(Timestamp::from_millisecond(1_000_500).unwrap()),
        evaluation: Some("PARTIAL_DATA".to_owned()),
    };
    assert!(read.values().all(|reading| *reading == expected));
    assert_eq!(fake.calls(), 3);
    for asked in fake.asked() {
        let mut fields = fields(&asked);
        let types = fields.remove("AlarmTypes").unwrap();
        assert_eq!(types, ["MetricAlarm", "CompositeAlarm"]);
        assert!(asked.uri.ends_with("/operation/DescribeAlarms"));
    }
}

#[tokio::test(start_paused = true)]
async fn each_page_is_told_when_it_is_here() {
    let fake = Fake::new(|asked, _| alarms(&names(asked), &[], None));
    let signals = fake.aws().await.signals;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (account, wanted) = (ambient(), many(250));
    let began = Instant::now();
    let reading = signals.read_alarms_by_page(&account, &wanted, &tell);
    let mut reading = std::pin::pin!(reading);
    let first = tokio::select! {
        () = &mut reading => panic!("a page is told before all of them are here"),
        first = told.recv() => first.expect("a page"),
    };
    assert_eq!(first.1.len(), 100);
    let at_first = began.elapsed();
    reading.await;
    assert!(
        began.elapsed() > at_first,
        "the quota makes the others wait"
    );
    let (mut pages, mut all) = (1, first.1);
    while let Ok((account, page)) = told.try_recv() {
        assert_eq!(account, ambient());
        pages += 1;
        all.extend(page);
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let told: Vec<_> = all.iter().map(|(alarm, _)| alarm).collect();
    assert_eq!((pages, told), (3, wanted.iter().collect()), "each once");
}

#[tokio::test(start_paused = true)]
async fn an_absent_alarm_is_missing_and_a_composite_one_is_found() {
    let fake = Fake::new(|_, _| alarms(&["there".to_owned()], &["both".to_owned()], None));
    let signals = fake.aws().await.signals;
    let wanted = ["there", "both", "There"].map(alarm);
    let read = signals
        .read_alarms(&ambient(), &BTreeSet::from(wanted.clone()))
        .await;
    assert!(matches!(read[&wanted[0]], AlarmReading::Found { .. }));
    let composite = AlarmReading::Found {
        state: AlarmState::Alarm,
        transitioned_at: Some(Timestamp::from_second(2_000).unwrap()),
        evaluation: None,
    };
    assert_eq!(read[&wanted[1]], composite);
    assert_eq!(read[&wanted[2]], AlarmReading::Missing);
    assert_eq!(signals.clock_skew().unwrap().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn each_region_is_asked_once_and_the_own_one_may_be_left_out() {
    let fake = Fake::new(|asked, _| alarms(&names(asked), &[], None));
    let signals = fake.aws().await.signals;
    let in_region = |region: &str| AlarmId {
        region: Some(region.to_owned()),
        name: "a".to_owned(),
    };
    let wanted = [
        alarm("a"),
        in_region("ap-northeast-1"),
        in_region("us-east-1"),
    ];
    let read = signals
        .read_alarms(&ambient(), &BTreeSet::from(wanted))
        .await;
    assert_eq!(read.len(), 3);
    assert!(
        read.values()
            .all(|reading| matches!(reading, AlarmReading::Found { .. }))
    );
    let asked = fake.asked();
    assert_eq!(asked.len(), 2);
    for region in ["ap-northeast-1", "us-east-1"] {
        let signed = |asked: &&Asked| asked.signature.contains(&format!("/{region}/monitoring/"));
        assert_eq!(asked.iter().filter(signed).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_page_leaves_only_its_own_names_unreadable() {
    let fake = Fake::new(|asked, _| {
        let names = names(asked);
        if names.contains(&"alarm-0150".to_owned()) {
            return cbor_error(403, "AccessDenied", "User x is not authorized");
        }
        alarms(&names, &[], None)
    });
    let signals = fake.aws().await.signals;
    let read = signals.read_alarms(&ambient(), &many(250)).await;
    let unreadable: Vec<_> = read
        .iter()
        .filter_map(|(id, reading)| match reading {
            AlarmReading::Denied(why) => Some((id.name.as_str(), why.as_str())),
            AlarmReading::Unreadable(_) | AlarmReading::Found { .. } | AlarmReading::Missing => {
                None
            }
        })
        .collect();
    assert_eq!(unreadable.len(), 100);
    assert_eq!(unreadable[0].0, "alarm-0100");
    assert!(
        unreadable[0].1.contains("AccessDenied"),
        "{}",
        unreadable[0].1
    );
    assert_eq!(fake.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn pages_of_one_call_are_followed() {
    let fake = Fake::new(|asked, _| {
        match fields(asked)
            .remove("NextToken")
            .unwrap_or_default()
            .as_slice()
        {
            [] => alarms(&["a".to_owned()], &[], Some("more")),
            [token] if token == "more" => alarms(&["b".to_owned()], &[], None),
            _ => cbor_error(400, "InvalidNextToken", "no such token"),
        }
    });
    let signals = fake.aws().await.signals;
    let wanted = BTreeSet::from(["a", "b"].map(alarm));
    let read = signals.read_alarms(&ambient(), &wanted).await;
    assert!(
        !read
            .values()
            .any(|reading| *reading == AlarmReading::Missing)
    );
    assert_eq!(fake.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_cloudwatch_is_unreadable_within_five_seconds_however_many_pages() {
    let fake = Fake::new(|_, _| Answer::Silence);
    let signals = fake.aws().await.signals;
    let start = Instant::now();
    let read = signals.read_alarms(&ambient(), &many(1_000)).await;
    assert!(start.elapsed() <= Duration::from_millis(5_010));
    assert_eq!(read.len(), 1_000);
    assert!(
        read.values()
            .all(|reading| matches!(reading, AlarmReading::Unreadable(_)))
    );
}

#[tokio::test(start_paused = true)]
async fn two_thousand_alarms_of_one_region_are_read_within_a_round() {
    let fake = Fake::new(|asked, _| alarms(&names(asked), &[], None));
    let signals = fake.aws().await.signals;
    let read = signals.read_alarms(&ambient(), &many(2_000)).await;
    assert!(
        read.values()
            .all(|reading| matches!(reading, AlarmReading::Found { .. }))
    );
    assert_eq!(fake.calls(), 20);
}

#[tokio::test(start_paused = true)]
async fn without_a_region_alarms_are_unreadable_and_the_message_says_what_to_set() {
    let fake = Fake::new(|_, _| Answer::Silence);
    let mut options = fake.options();
    options.region = None;
    let signals = connect(options).await.signals;
    let read = signals.read_alarms(&ambient(), &many(1)).await;
    let message = "no AWS region: set aws.region in the plan or AWS_REGION";
    let unreadable = AlarmReading::Unreadable(message.to_owned());
    assert_eq!(read.into_values().next(), Some(unreadable));
    let history = signals
        .alarm_history(&ambient(), &alarm("a"), Timestamp::UNIX_EPOCH)
        .await;
    assert_eq!(history, HistoryReading::Unreadable(message.to_owned()));
    assert_eq!(fake.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_not_cbor_is_unreadable_and_shows_no_secret() {
    let fake = Fake::new(|_, _| Answer::Reply(404, "text/html", b"<html>no</html>".to_vec()));
    let signals = fake.aws().await.signals;
    let read = signals.read_alarms(&ambient(), &many(1)).await;
    let shown = format!("{read:?}");
    assert!(
        shown.contains("Unreadable") && shown.contains("404"),
        "{shown}"
    );
    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)));
}

fn history(items: &[(i64, &str, &str)], next: Option<&str>) -> Answer {
    let mut body = encoder();
    body.map(1 + usize::from(next.is_some()));
    body.str("AlarmHistoryItems").array(items.len());
    for (at, before, after) in items {
        let data = format!(
            r#"{{"version":"1.0","oldState":{{"stateValue":"{before}"}},"newState":{{"stateValue":"{after}"}}}}"#
        );
        body.map(2)
            .str("Timestamp")
            .timestamp(&DateTime::from_secs(*at));
        body.str("HistoryData").str(&data);
    }
    if let Some(next) = next {
        body.str("NextToken").str(next);
    }
    cbor(200, body)
}

#[tokio::test(start_paused = true)]
async fn entries_into_alarm_since_the_first_write_are_collected_over_pages() {
    let fake = Fake::new(|asked, count| {
        let fields = fields(asked);
        assert_eq!(fields["HistoryItemType"], ["StateUpdate"]);
        assert_eq!(fields["AlarmTypes"], ["MetricAlarm", "CompositeAlarm"]);
        match count {
            0 => history(&[(900, "OK", "ALARM"), (1_010, "OK", "ALARM")], Some("t")),
            _ => history(
                &[
                    (1_020, "ALARM", "OK"),
                    (1_030, "INSUFFICIENT_DATA", "ALARM"),
                ],
                None,
            ),
        }
    });
    let signals = fake.aws().await.signals;
    let since = Timestamp::from_second(1_000).unwrap();
    let read = signals.alarm_history(&ambient(), &alarm("a"), since).await;
    let times = [1_010, 1_030].map(|at| Timestamp::from_second(at).unwrap());
    assert_eq!(read, HistoryReading::EnteredAlarm(times.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_too_long_is_unreadable_and_one_that_is_refused_denied() {
    let endless = Fake::new(|_, _| history(&[(2_000, "OK", "ALARM")], Some("more")));
    let refused = Fake::new(|_, _| cbor_error(403, "AccessDenied", "not authorized"));
    let cases = [
        (endless, "too long", 10, false),
        (refused, "AccessDenied", 1, true),
    ];
    for (fake, part, calls, is_denied) in cases {
        let signals = fake.aws().await.signals;
        let since = Timestamp::from_second(1_000).unwrap();
        let read = signals.alarm_history(&ambient(), &alarm("a"), since).await;
        let said = match &read {
            HistoryReading::Unreadable(why) => Some((why, false)),
            HistoryReading::Denied(why) => Some((why, true)),
            HistoryReading::EnteredAlarm(_) => None,
        };
        let fits = said.is_some_and(|(why, denied)| why.contains(part) && denied == is_denied);
        assert!(fits, "{read:?}");
        assert_eq!(fake.calls(), calls);
    }
}
