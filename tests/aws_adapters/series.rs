//! Reading series over rpc-v2-cbor: a call that is refused must not blind what is well.

use std::collections::{BTreeMap, BTreeSet};

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
use cutover::engine::evidence::plan::Metric;
use cutover::engine::evidence::plan::{Query, Series};
use cutover::engine::evidence::reading::SeriesReading;
use cutover::engine::evidence::wanted::Minutes;
use cutover::ports::Signals;
use jiff::{SignedDuration, Timestamp};

use super::fake::{Answer, Asked, Fake, ambient};

/// One query of a request: its identifier, and what it is of.
#[derive(Debug, Default)]
struct Sent {
    id: String,
    of: String,
    period: i64,
}

fn ends(decoder: &mut Decoder<'_>) -> bool {
    let ends = decoder.datatype().expect("a valid request") == Type::Break;
    if ends {
        decoder.skip().expect("a valid request");
    }
    ends
}

/// The queries of a `GetMetricData` request, and its start.
fn sent(asked: &Asked) -> (Vec<Sent>, i64) {
    let mut decoder = Decoder::new(&asked.body);
    let (mut sent, mut start) = (Vec::new(), 0);
    assert!(decoder.map().expect("a valid request").is_none());
    while !ends(&mut decoder) {
        let key = decoder.string().expect("a valid request");
        match key.as_str() {
            "MetricDataQueries" => {
                let count = decoder.list().expect("a list").expect("its length");
                sent.extend((0..count).map(|_| one(&mut decoder)));
            }
            "StartTime" => start = decoder.timestamp().expect("a time").secs(),
            _ => decoder.skip().expect("a valid request"),
        }
    }
    (sent, start)
}

fn one(decoder: &mut Decoder<'_>) -> Sent {
    let mut sent = Sent::default();
    assert!(decoder.map().expect("a structure").is_none());
    while !ends(decoder) {
        match decoder.string().expect("a key").as_str() {
            "Id" => sent.id = decoder.string().expect("an identifier"),
            "Expression" => sent.of = decoder.string().expect("an expression"),
            "MetricStat" => {
                assert!(decoder.map().expect("a structure").is_none());
                while !ends(decoder) {
                    match decoder.string().expect("a key").as_str() {
                        "Stat" => sent.of = decoder.string().expect("a statistic"),
                        "Period" => sent.period = decoder.long().expect("a period"),
                        _ => decoder.skip().expect("a value"),
                    }
                }
            }
            _ => decoder.skip().expect("a value"),
        }
    }
    sent
}

fn refusal(code: &str, message: &str) -> Answer {
    let mut body = Encoder::new(Vec::new());
    body.map(2).str("__type").str(code);
    body.str("message").str(message);
    Answer::Reply(400, "application/cbor", body.into_writer())
}

/// Each series has one datapoint, at the call's start.
fn data(sent: &[Sent], start: i64) -> Answer {
    let mut body = Encoder::new(Vec::new());
    body.map(1).str("MetricDataResults").array(sent.len());
    for query in sent {
        body.map(4).str("Id").str(&query.id);
        body.str("StatusCode").str("Complete");
        let at = DateTime::from_secs(start);
        body.str("Timestamps").array(1).timestamp(&at);
        body.str("Values").array(1).double(1.0);
    }
    Answer::Reply(200, "application/cbor", body.into_writer())
}

/// A statistic that does not exist is how a bad series looks here.
fn series(number: usize, stat: &str, period_mins: u16) -> Query {
    let metric = Metric {
        namespace: "Test".to_owned(),
        metric: format!("metric-{number}"),
        dimensions: BTreeMap::new(),
        stat: stat.to_owned(),
    };
    Query::from(Series {
        region: None,
        account: None,
        expression: None,
        inputs: BTreeMap::from([("m".to_owned(), metric)]),
        period_mins,
    })
}

fn minutes(count: i64) -> Minutes {
    let until = Timestamp::from_second(1_800_000_000).expect("in range");
    Minutes {
        from: until - SignedDuration::from_mins(count),
        until,
    }
}

/// Refuses every call with a statistic that does not exist.
fn strict() -> Fake {
    Fake::new(|asked, _| {
        let (sent, start) = sent(asked);
        match sent.iter().find(|query| query.of == "Summ") {
            Some(bad) => refusal(
                "ValidationError",
                &format!("the statistic {} is not valid", bad.of),
            ),
            None => data(&sent, start),
        }
    })
}

fn unreadable(reading: &SeriesReading) -> Option<&str> {
    match reading {
        SeriesReading::Unreadable(why) | SeriesReading::Denied(why) => Some(why),
        SeriesReading::Read { .. } => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_series_that_is_refused_leaves_all_others_of_its_call_readable() {
    let fake = strict();
    let signals = fake.aws().await.signals;
    let bad = series(77, "Summ", 1);
    let mut wanted: BTreeMap<Query, Minutes> = (0..300)
        .map(|number| (series(number, "Sum", 1), minutes(5)))
        .collect();
    wanted.insert(bad.clone(), minutes(5));
    let read = signals.read_series(&ambient(), &wanted).await;
    let blind: BTreeSet<&Query> = read
        .iter()
        .filter(|(_, reading)| unreadable(reading).is_some())
        .map(|(query, _)| query)
        .collect();
    assert_eq!(blind, BTreeSet::from([&bad]));
    let why = unreadable(&read[&bad]).unwrap();
    assert!(why.contains("the statistic Summ is not valid"), "{why}");
    // Nine halvings of 301 series.
    assert!(fake.calls() <= 19, "{} calls", fake.calls());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_everything_is_asked_a_bounded_number_of_times() {
    let fake = Fake::new(|_, _| refusal("ValidationError", "no"));
    let signals = fake.aws().await.signals;
    let wanted: BTreeMap<Query, Minutes> = (0..500)
        .map(|number| (series(number, "Sum", 1), minutes(5)))
        .collect();
    let read = signals.read_series(&ambient(), &wanted).await;
    assert_eq!(read.len(), 500);
    assert!(read.values().all(|reading| unreadable(reading).is_some()));
    assert!(fake.calls() <= 201, "{} calls", fake.calls());
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_at_all_is_not_asked_for_in_parts() {
    let fake = Fake::new(|_, _| refusal("AccessDenied", "no"));
    let signals = fake.aws().await.signals;
    let wanted: BTreeMap<Query, Minutes> = (0..50)
        .map(|number| (series(number, "Sum", 1), minutes(5)))
        .collect();
    let read = signals.read_series(&ambient(), &wanted).await;
    let denied = |reading: &SeriesReading| matches!(reading, SeriesReading::Denied(_));
    assert!(read.values().all(denied));
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_names_somebody_elses_series_is_not_sent() {
    let fake = strict();
    let signals = fake.aws().await.signals;
    let foreign = Query::from(Series {
        expression: Some("m / m1".to_owned()),
        ..(*series(1, "Sum", 1)).clone()
    });
    let wanted = BTreeMap::from([
        (foreign.clone(), minutes(5)),
        (series(2, "Sum", 1), minutes(5)),
        (series(3, "Sum", 1), minutes(5)),
    ]);
    let read = signals.read_series(&ambient(), &wanted).await;
    let why = unreadable(&read[&foreign]).expect("it is not read");
    assert!(
        why.contains("`m1`, which is not one of its inputs"),
        "{why}"
    );
    assert_eq!(unreadable(&read[&series(2, "Sum", 1)]), None);
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_one_period_and_begins_where_one_begins() {
    let fake = strict();
    let signals = fake.aws().await.signals;
    let wanted: BTreeMap<Query, Minutes> = (0..12)
        .map(|number| {
            let period = [1, 5, 15][number % 3];
            let back = 16 + i64::try_from(number).unwrap();
            (series(number, "Sum", period), minutes(back))
        })
        .collect();
    signals.read_series(&ambient(), &wanted).await;
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    for asked in asked {
        let (sent, start) = sent(&asked);
        let periods: BTreeSet<i64> = sent.iter().map(|query| query.period).collect();
        assert_eq!(periods.len(), 1, "{sent:?}");
        assert_eq!(start % periods.first().unwrap(), 0, "{sent:?}");
    }
}
