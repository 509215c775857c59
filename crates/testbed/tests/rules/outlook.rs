//! When gates could judge, as `preview` foresees it from the traffic before the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::outlook::{Outlook, outlook};
use cutover_engine::evidence::plan::{Measures, MetricGate};
use cutover_engine::evidence::reading::{Readings, SeriesReading};
use cutover_engine::plan::Plan;
use jiff::{SignedDuration, Timestamp};

use cutover_testbed::flow::{error_rate, measured, measures, series, with_traffic};

/// An hour of the old side, with so many requests and errors in each minute.
fn hour(requests: u32, errors: u32) -> Readings {
    let from: Timestamp = "2026-11-30T09:00:00Z".parse().expect("a time");
    let until = from + SignedDuration::from_hours(1);
    let points = |value: u32| {
        let minutes = (0..60).map(|minute| from + SignedDuration::from_mins(minute));
        let points: BTreeMap<Timestamp, Number> = minutes
            .filter(|_| value > 0)
            .map(|at| (at, Number::from(value)))
            .collect();
        SeriesReading::Read {
            from,
            until,
            points: Arc::new(points),
        }
    };
    Readings::from([
        (series("new requests", 1), points(0)),
        (series("new errors", 1), points(0)),
        (series("old requests", 1), points(requests)),
        (series("old errors", 1), points(errors)),
    ])
}

/// Steps of 10 % and 100 % with bakes of an hour.
fn plan(measures: Measures) -> Plan {
    measured(&[(10, 60, false), (100, 60, false)], measures)
}

fn all() -> Measures {
    let mut all = measures();
    all.metrics = vec![MetricGate {
        min_requests: 1_000,
        ..error_rate(1)
    }];
    all
}

/// Step, gate, requests needed, minutes after which it can judge.
fn rows(outlook: &Outlook) -> Vec<(u16, String, Option<u64>, Option<i64>)> {
    let gates = outlook.gates.iter();
    gates
        .map(|gate| {
            let after = gate.after.map(|after| after.as_mins());
            (gate.step, gate.gate.to_string(), gate.needed, after)
        })
        .collect()
}

#[test]
fn each_gate_of_each_step_has_a_time() {
    let seen = outlook(&plan(all()), &hour(1_000, 1)).expect("the old side is counted");
    assert_eq!(seen.a_minute, Number::from(1_000));
    let rows = rows(&seen);
    let row = |step, gate: &str, needed, after| (step, gate.to_owned(), needed, after);
    // 500 requests in five minutes are fewer than 1,000; all of them are more.
    assert!(
        rows.contains(&row(1, "error_rate", Some(1_000), None)),
        "{rows:?}"
    );
    assert!(
        rows.contains(&row(2, "error_rate", Some(1_000), Some(7))),
        "{rows:?}"
    );
    // 200 requests at 100 a minute, and two minutes until they can be read.
    assert!(
        rows.contains(&row(1, "traffic", Some(200), Some(4))),
        "{rows:?}"
    );
    assert!(
        rows.contains(&row(2, "traffic", Some(200), Some(3))),
        "{rows:?}"
    );
    assert!(
        rows.contains(&row(1, "memory", None, Some(122))),
        "{rows:?}"
    );
    let compared: Vec<_> = rows.iter().filter(|row| row.1 == "regression").collect();
    let [(1, _, Some(needed), Some(after))] = compared.as_slice() else {
        panic!("{compared:?}");
    };
    assert!((2_000..40_000).contains(needed), "{needed}");
    let minutes = i64::try_from(needed.div_ceil(100)).expect("small") + 2;
    assert_eq!(*after, minutes);
}

#[test]
fn a_bake_that_is_over_before_is_too_short() {
    let late = |requests: u32, measures: Measures| -> Vec<(u16, String)> {
        let plan = plan(measures);
        let seen = outlook(&plan, &hour(requests, 0)).expect("the old side is counted");
        let gates = seen.gates.iter().filter(|gate| gate.is_too_late(&plan));
        gates
            .map(|gate| (gate.step, gate.gate.to_string()))
            .collect()
    };
    // 200 requests take 58 minutes and 2, or 60 and 2.
    assert_eq!(late(35, with_traffic()), []);
    assert_eq!(late(33, with_traffic()), [(1, "traffic".to_owned())]);
    let rate = |requests| {
        late(
            requests,
            Measures {
                metrics: all().metrics,
                ..Measures::default()
            },
        )
    };
    assert_eq!(rate(2_000), []);
    assert_eq!(rate(1_998), [(1, "error_rate".to_owned())]);
}

#[test]
fn without_traffic_nothing_is_foreseen() {
    assert_eq!(outlook(&plan(all()), &hour(0, 0)), None);
    assert_eq!(outlook(&plan(all()), &Readings::new()), None);
    assert_eq!(outlook(&plan(Measures::default()), &hour(10, 0)), None);
}
