//! Backtests as text in 80 columns and in a pipe, and as JSON.

use std::collections::BTreeMap;

use cutover_testbed::backtest::backtest;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Look, to_json, to_text};
use crate::engine::backtest::{AlarmChange, AlarmRecord, Backtest, Past, RECORD_VERSION, Record};
use crate::engine::evidence::plan::Measures;
use crate::engine::observation::AlarmState;
use crate::engine::plan::{
    Account, AlarmGate, AwsSettings, Gates, Group, HoldOrRevert, NoData, Plan, PlanSource, Step,
    ZoneRef,
};
use crate::engine::record::GroupName;
use crate::engine::units::{AlarmId, CutoverName, DnsName, Share, WeightPair};

fn alarm(name: &str) -> AlarmId {
    AlarmId {
        region: None,
        name: name.to_owned(),
    }
}

fn gate(name: &str) -> AlarmGate {
    AlarmGate {
        id: alarm(name),
        no_data: NoData::Hold,
    }
}

fn step(percent: u8) -> Step {
    Step {
        share: Share::percent(percent),
        pair: WeightPair::new(100 - percent, percent),
        bake: SignedDuration::from_hours(24),
        approval: false,
        approval_timeout: None,
    }
}

fn source() -> PlanSource {
    let plan = Plan {
        name: CutoverName::from("recipe-api"),
        description: None,
        aws: AwsSettings::default(),
        records: vec![Group {
            zone: ZoneRef {
                zone: "example.com".to_owned(),
                private: None,
            },
            name: GroupName {
                name: DnsName::new("api.example.com"),
                record_type: "A".to_owned(),
            },
            old: "eks".to_owned(),
            new: "ecs".to_owned(),
            account: None,
        }],
        settle: Some(SignedDuration::from_mins(2)),
        steps: vec![step(5), step(50), step(100)],
        gates: Gates {
            alarms: vec![
                gate("recipe-api-ecs-5xx-rate"),
                gate("recipe-api-ecs-p99-latency"),
                gate("recipe-api-synthetics"),
                gate("recipe-api-renamed"),
            ],
            fallback_alarms: vec![gate("recipe-api-eks-unhealthy-hosts")],
            unknown_for: SignedDuration::from_mins(30),
            on_unknown: HoldOrRevert::Hold,
            both_red: HoldOrRevert::Hold,
            measures: Measures::default(),
        },
        windows: None,
        notify: None,
        hooks: Vec::new(),
        jobs: None,
        labels: BTreeMap::new(),
        after: Vec::new(),
    };
    PlanSource {
        plan,
        path: "/plans/recipe-api.yaml".to_owned(),
        digest: String::new(),
        text: String::new(),
    }
}

fn since() -> Timestamp {
    "2026-11-07T17:00:00Z".parse().unwrap()
}

fn past(changes: &[(i64, AlarmState)]) -> Past {
    let mut known = Vec::new();
    for (minute, to) in changes {
        known.push(AlarmChange {
            at: since() + SignedDuration::from_mins(*minute),
            from: None,
            to: *to,
        });
    }
    Past::Known {
        before: AlarmState::Ok,
        changes: known,
    }
}

/// Returns a backtest of two weeks in which one alarm flapped twice and was red for long once, and another had no data
/// for an hour.
fn tested(hours: i64) -> Backtest {
    use AlarmState::{Alarm, InsufficientData, Ok};
    let day = 24 * 60;
    let errors = [
        (2 * day, Alarm),
        (2 * day + 4, Ok),
        (5 * day, Alarm),
        (5 * day + 42, Ok),
        (11 * day, Alarm),
        (11 * day + 3, Ok),
    ];
    let latency = [(8 * day, InsufficientData), (8 * day + 60, Ok)];
    let blind = Past::Known {
        before: InsufficientData,
        changes: Vec::new(),
    };
    let pasts = [
        ("recipe-api-ecs-5xx-rate", past(&errors)),
        ("recipe-api-ecs-p99-latency", past(&latency)),
        ("recipe-api-synthetics", blind),
        ("recipe-api-renamed", Past::Missing),
        ("recipe-api-eks-unhealthy-hosts", past(&[])),
    ];
    let alarms = pasts.map(|(name, past)| AlarmRecord {
        account: Account::default(),
        id: alarm(name),
        past,
    });
    let record = Record {
        version: RECORD_VERSION,
        since: since(),
        until: since() + SignedDuration::from_hours(hours),
        alarms: alarms.into(),
        series: Vec::new(),
    };
    backtest(&source(), &record, SignedDuration::from_hours(4))
}

fn look(width: Option<usize>) -> Look {
    Look {
        width,
        zone: TimeZone::UTC,
        charts: true,
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_backtest_fits_into_eighty_columns_and_says_what_to_mend() {
    let shown = plain(&to_text(&[tested(14 * 24)], &look(Some(80))));
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!("backtest_80", shown);
}

#[test]
fn a_short_record_says_that_nothing_could_go_through() {
    let shown = plain(&to_text(&[tested(20)], &look(None)));
    insta::assert_snapshot!("backtest_short", shown);
}

#[test]
fn a_backtest_is_json_for_programs() {
    let mut shown = to_json(&[tested(14 * 24)]);
    let runs = shown[0]["runs"].as_array_mut().unwrap();
    assert_eq!(runs.len(), 84);
    runs.truncate(2);
    insta::assert_json_snapshot!("backtest_json", shown);
}
