//! Tests of the model against AWS's documentation of the API.

use super::describe::{DescribeAlarms, DescribeHistory};
use super::*;

const REGION: &str = "eu-west-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn metric(name: &str) -> MetricKey {
    MetricKey {
        namespace: "Shop".to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::from([("side".to_owned(), "new".to_owned())]),
    }
}

fn alarm(name: &str) -> PutMetricAlarm {
    PutMetricAlarm {
        head: head(name),
        metric: Some(metric("errors")),
        statistic: Some("Sum".to_owned()),
        period_secs: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(10.0),
        comparison: "GreaterThanThreshold".to_owned(),
        ..PutMetricAlarm::default()
    }
}

fn head(name: &str) -> AlarmHead {
    AlarmHead {
        name: name.to_owned(),
        ..AlarmHead::default()
    }
}

fn datum(value: f64, side: &str) -> Datum {
    Datum {
        name: "errors".to_owned(),
        dimensions: vec![("side".to_owned(), side.to_owned())],
        values: vec![(value, 1.0)],
        ..Datum::default()
    }
}

fn put_data(model: &mut CloudWatch, value: f64, now: Timestamp) {
    let region = model.region(REGION, now);
    region
        .put_metric_data("Shop", &[datum(value, "new")], now)
        .unwrap();
}

fn state(model: &mut CloudWatch, name: &str, now: Timestamp) -> AlarmState {
    model.region(REGION, now).alarm(name).unwrap().state
}

#[test]
fn the_transition_time_moves_only_when_the_state_changes() {
    let mut model = CloudWatch::new();
    model.set_state(REGION, "a", AlarmState::Alarm, at(1));
    model.set_state(REGION, "a", AlarmState::Alarm, at(2));
    model.set_evaluation(REGION, "a", Some("PARTIAL_DATA"), at(3));
    let alarm = model.region(REGION, at(4)).alarm("a").unwrap();
    assert_eq!((alarm.updated_at, alarm.transitioned_at), (at(3), at(1)));
    assert_eq!(alarm.evaluation.as_deref(), Some("PARTIAL_DATA"));
}

#[test]
fn history_tells_both_states_and_outlives_the_alarm() {
    let mut model = CloudWatch::new();
    model.set_state(REGION, "a", AlarmState::Ok, at(1));
    model.set_state(REGION, "a", AlarmState::Alarm, at(2));
    model.remove(REGION, "a", at(3));
    let ask = DescribeHistory {
        name: Some("a".to_owned()),
        kind: Some("StateUpdate".to_owned()),
        ..DescribeHistory::default()
    };
    let page = model
        .region(REGION, at(4))
        .describe_history(&ask, at(4))
        .unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(page.items[0].summary, "Alarm updated from OK to ALARM");
    assert_eq!(page.items[0].kind, HistoryKind::StateUpdate);
    let data: serde_json::Value = serde_json::from_str(&page.items[0].data).unwrap();
    assert_eq!(data["oldState"]["stateValue"], "OK");
    assert_eq!(data["newState"]["stateValue"], "ALARM");
}

#[test]
fn a_simulated_alarm_stays_as_it_was_set() {
    let mut model = CloudWatch::new();
    model.set_state(REGION, "a", AlarmState::Alarm, at(0));
    put_data(&mut model, 1.0, at(5));
    assert_eq!(state(&mut model, "a", at(86_400)), AlarmState::Alarm);
}

#[test]
fn a_state_set_by_hand_ends_with_the_next_evaluation() {
    let mut model = CloudWatch::new();
    model
        .region(REGION, at(0))
        .put_metric_alarm(&alarm("a"), at(0))
        .unwrap();
    put_data(&mut model, 1.0, at(10));
    assert_eq!(state(&mut model, "a", at(11)), AlarmState::Ok);
    let region = model.region(REGION, at(12));
    region
        .set_alarm_state("a", "ALARM", "drill", None, at(12))
        .unwrap();
    assert_eq!(state(&mut model, "a", at(71)), AlarmState::Alarm);
    assert_eq!(state(&mut model, "a", at(72)), AlarmState::Ok);
}

#[test]
fn an_alarm_goes_red_on_data_and_dark_when_data_ends() {
    let mut model = CloudWatch::new();
    model
        .region(REGION, at(0))
        .put_metric_alarm(&alarm("a"), at(0))
        .unwrap();
    put_data(&mut model, 11.0, at(5));
    assert_eq!(state(&mut model, "a", at(5)), AlarmState::Alarm);
    assert_eq!(
        state(&mut model, "a", at(3_600)),
        AlarmState::InsufficientData
    );
    let region = model.region(REGION, at(3_600));
    let changed = region.alarm("a").unwrap().transitioned_at;
    assert!(
        changed < at(600),
        "evaluated as time passed, not when it was read: {changed}"
    );
}

#[test]
fn data_of_other_dimensions_never_reaches_an_alarm() {
    let mut model = CloudWatch::new();
    let region = model.region(REGION, at(0));
    region.put_metric_alarm(&alarm("a"), at(0)).unwrap();
    region
        .put_metric_data("Shop", &[datum(99.0, "old")], at(1))
        .unwrap();
    assert_eq!(
        state(&mut model, "a", at(120)),
        AlarmState::InsufficientData
    );
    assert_eq!(model.region("us-east-1", at(120)).alarm("a"), None);
}

#[test]
fn a_composite_alarm_follows_its_children_and_keeps_what_was_set_until_one_changes() {
    let mut model = CloudWatch::new();
    model.set_state(REGION, "a", AlarmState::Ok, at(0));
    model.set_state(REGION, "b", AlarmState::Ok, at(0));
    let region = model.region(REGION, at(0));
    region
        .put_composite_alarm(&head("any"), "ALARM(a) OR ALARM(b)", at(0))
        .unwrap();
    region
        .put_composite_alarm(&head("top"), "ALARM(any)", at(0))
        .unwrap();
    assert_eq!(
        state(&mut model, "any", at(0)),
        AlarmState::InsufficientData
    );
    assert_eq!(state(&mut model, "any", at(1)), AlarmState::Ok);
    model.set_state(REGION, "b", AlarmState::Alarm, at(10));
    assert_eq!(state(&mut model, "top", at(10)), AlarmState::Alarm);
    model.set_state(REGION, "any", AlarmState::Ok, at(20));
    assert_eq!(state(&mut model, "any", at(4_000)), AlarmState::Ok);
    model.set_state(REGION, "a", AlarmState::Alarm, at(4_001));
    assert_eq!(state(&mut model, "any", at(4_001)), AlarmState::Alarm);
    let region = model.region(REGION, at(4_002));
    assert!(region.delete_alarms(&["a".to_owned()], at(4_002)).is_err());
    assert!(
        region
            .put_composite_alarm(&head("any"), "ALARM(top)", at(4_002))
            .is_err()
    );
    assert!(
        region
            .put_composite_alarm(&head("x"), "ALARM(nobody)", at(4_002))
            .is_err()
    );
}

fn names(region: &Region, ask: &DescribeAlarms) -> Vec<String> {
    let page = region.describe_alarms(ask).unwrap();
    page.items.into_iter().map(|alarm| alarm.name).collect()
}

#[test]
fn composite_alarms_are_described_only_when_asked_for() {
    let mut model = CloudWatch::new();
    model.set_state(REGION, "a", AlarmState::Ok, at(0));
    let region = model.region(REGION, at(0));
    region
        .put_composite_alarm(&head("c"), "ALARM(a)", at(0))
        .unwrap();
    let mut ask = DescribeAlarms {
        names: vec!["a".to_owned(), "c".to_owned()],
        ..DescribeAlarms::default()
    };
    assert_eq!(names(region, &ask), ["a"]);
    ask.types = vec!["CompositeAlarm".to_owned(), "MetricAlarm".to_owned()];
    assert_eq!(names(region, &ask), ["a", "c"]);
}

#[test]
fn pages_hold_fifty_alarms_unless_asked_and_a_hundred_names_are_the_most() {
    let mut model = CloudWatch::new();
    let names: Vec<String> = (0..101).map(|number| format!("a{number:03}")).collect();
    for name in &names {
        model.set_state(REGION, name, AlarmState::Ok, at(0));
    }
    let region = model.region(REGION, at(1));
    let mut ask = DescribeAlarms {
        names: names.clone(),
        ..DescribeAlarms::default()
    };
    assert!(region.describe_alarms(&ask).is_err());
    ask.names.truncate(100);
    let first = region.describe_alarms(&ask).unwrap();
    assert_eq!(first.items.len(), 50);
    ask.next_token = first.next_token;
    let second = region.describe_alarms(&ask).unwrap();
    assert_eq!((second.items.len(), second.next_token), (50, None));
    ask.next_token = Some("made up".to_owned());
    assert_eq!(
        region.describe_alarms(&ask).unwrap_err().code,
        "InvalidNextToken"
    );
}

#[test]
fn alarms_that_break_a_rule_are_refused() {
    type Spoil = fn(&mut PutMetricAlarm);
    let spoils: [(&str, Spoil); 9] = [
        ("period", |put| put.period_secs = Some(7)),
        ("no periods", |put| put.evaluation_periods = Some(0)),
        ("more than N", |put| put.datapoints_to_alarm = Some(2)),
        ("over a day", |put| put.evaluation_periods = Some(1_441)),
        ("both statistics", |put| {
            put.extended_statistic = Some("p99".to_owned());
        }),
        ("statistic", |put| put.statistic = Some("bogus".to_owned())),
        ("operator", |put| put.comparison = "Above".to_owned()),
        ("missing", |put| put.treat_missing = Some("bad".to_owned())),
        ("name", |put| put.head.name = String::new()),
    ];
    let mut model = CloudWatch::new();
    for (what, spoil) in spoils {
        let mut put = alarm("a");
        spoil(&mut put);
        assert!(
            model
                .region(REGION, at(0))
                .put_metric_alarm(&put, at(0))
                .is_err(),
            "{what}"
        );
    }
    model
        .region(REGION, at(0))
        .put_metric_alarm(&alarm("a"), at(0))
        .unwrap();
}

#[test]
fn an_alarm_on_an_expression_is_judged_by_it() {
    let mut model = CloudWatch::new();
    let errors = query::RawStat {
        metric: metric("errors"),
        period_secs: 60,
        statistic: "Sum".to_owned(),
        unit: None,
    };
    let errors = RawQuery {
        id: "e".to_owned(),
        stat: Some(errors),
        returns_data: Some(false),
        ..RawQuery::default()
    };
    let rate = RawQuery {
        id: "rate".to_owned(),
        expression: Some("e / 2".to_owned()),
        returns_data: Some(true),
        ..RawQuery::default()
    };
    let mut put = alarm("rate");
    put.metric = None;
    put.statistic = None;
    put.period_secs = None;
    put.queries = vec![rate, errors];
    model
        .region(REGION, at(0))
        .put_metric_alarm(&put, at(0))
        .unwrap();
    put_data(&mut model, 20.0, at(3));
    assert_eq!(state(&mut model, "rate", at(3)), AlarmState::Ok);
    put_data(&mut model, 2.0, at(4));
    assert_eq!(state(&mut model, "rate", at(4)), AlarmState::Alarm);
}
