//! Metrics with bounds and the observed share, judged from readings that were made up datapoint by datapoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_engine::evidence::gate::{Beyond, Bound, Unit};
use cutover_engine::evidence::judge::{Observed, observed, weigh};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{Measure, Measures, MetricGate, Query};
use cutover_engine::evidence::reading::{Readings, SeriesReading};
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::state::State;
use cutover_engine::units::Share;
use cutover_engine::verdict::{Unknown, Verdict};
use jiff::{SignedDuration, Timestamp};

use cutover_testbed::flow::{
    STEPS, error_rate, measured, series, with_metric, with_regression, with_traffic,
};
use cutover_testbed::world::World;

/// A step of 10 % that has begun to bake.
fn baking(measures: Measures) -> State {
    let mut world = World::new(measured(&STEPS, Measures::default()));
    world.run_to_bake(1);
    let mut state = world.state().clone();
    state.source.plan.gates.measures = measures;
    state
}

/// From which minute on the step is watched.
fn begun(state: &State) -> Timestamp {
    state.measured.step_from.expect("the bake has begun")
}

fn number(value: f64) -> Number {
    Number::new(value).expect("a number")
}

/// A reading up to a moment, whose last datapoints these are, a minute each.
fn read(until: Timestamp, values: &[Option<f64>]) -> SeriesReading {
    let count = i64::try_from(values.len()).expect("few");
    let from = until - SignedDuration::from_mins(count);
    let mut points = BTreeMap::new();
    for (minute, value) in (0..).zip(values) {
        let at = from + SignedDuration::from_mins(minute);
        points.extend(value.map(|value| (at, number(value))));
    }
    SeriesReading::Read {
        from,
        until,
        points: Arc::new(points),
    }
}

/// The last five minutes of the new side's requests and of what is measured, twenty minutes into the bake.
fn last(state: &State, all: [Option<f64>; 5], measured: (&Query, [Option<f64>; 5])) -> Readings {
    let until = begun(state) + SignedDuration::from_mins(20);
    Readings::from([
        (series("new requests", 1), read(until, &all)),
        (measured.0.clone(), read(until, &measured.1)),
    ])
}

fn verdict(state: &State, readings: &Readings) -> Verdict {
    weigh(state, readings).gates[0].1.clone()
}

/// Errors in percent of the new side's requests: at most 1 %, three of five, each of at least 100 requests.
fn rate() -> MetricGate {
    MetricGate {
        old: None,
        min_requests: 100,
        ..error_rate(1)
    }
}

/// Something that is measured and not counted, such as a latency: at most 50, three of five.
fn level() -> MetricGate {
    let mut bare = (*series("new latency", 1)).clone();
    for metric in bare.inputs.values_mut() {
        "Average".clone_into(&mut metric.stat);
    }
    MetricGate {
        new: Measure::Series {
            query: Query::from(bare),
            times: Number::from(1),
        },
        bound: Bound::Max(Number::from(50)),
        min_requests: 0,
        ..rate()
    }
}

/// How a verdict is called, with the number that it tells.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Fail(RevertCause::MeasureBeyond { beyond, .. }) => {
            format!("{} in {} of {}", beyond.value, beyond.points, beyond.of)
        }
        Verdict::NotJudged(HoldReason::TooFewRequests {
            requests, needed, ..
        }) => format!("{requests} requests of {}", needed.unwrap_or(0)),
        Verdict::Unknown(Unknown::NoData) => "no data".to_owned(),
        Verdict::Unknown(Unknown::Other(why)) => why.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_rate_fails_where_enough_of_its_minutes_are_beyond_the_bound_or_may_be() {
    let state = baking(with_metric(rate()));
    let errors = series("new errors", 1);
    let some =
        |values: [i32; 5]| values.map(|value| Some(f64::from(value)).filter(|it| *it >= 0.0));
    // Requests and errors of five minutes; -1 where there is no datapoint.
    for (requests, wrong, wanted) in [
        ([1_000; 5], [10; 5], "pass"),
        ([1_000; 5], [0, 0, 0, 11, 30], "pass"),
        ([1_000; 5], [0, 11, 0, 11, 30], "3 in 3 of 5"),
        ([1_000; 5], [11, 40, 11, 11, 30], "4 in 5 of 5"),
        // Errors that are not told are none.
        ([1_000; 5], [-1, -1, -1, 11, 11], "pass"),
        // A hundred requests are enough.
        ([100; 5], [0, 0, 2, 2, 2], "2 in 3 of 5"),
        // Too few in one minute: it counts where all five together are beyond the bound.
        (
            [1_000, 1_000, 1_000, 99, 1_000],
            [0, 0, 11, 2, 30],
            "3 in 3 of 5",
        ),
        (
            [1_000, 1_000, 1_000, 99, 1_000],
            [0, 0, 11, 2, 11],
            "4099 requests of 0",
        ),
        ([99; 5], [0, 0, 2, 2, 2], "2.02 in 3 of 5"),
        ([20, 20, 20, 20, 20], [0, 0, 2, 1, 2], "10 in 3 of 5"),
        ([20, 20, 20, 20, 19], [0, 0, 2, 1, 2], "99 requests of 500"),
        // No requests: such minutes may make it fail, and say so where they would.
        (
            [1_000, 1_000, 1_000, 1_000, -1],
            [0, 0, 11, 11, -1],
            "4000 requests of 0",
        ),
        (
            [1_000, 1_000, 1_000, 1_000, 0],
            [0, 0, 11, 11, 0],
            "4000 requests of 0",
        ),
        ([1_000, 1_000, 1_000, 1_000, -1], [0, 0, 0, 11, -1], "pass"),
        ([1_000, 1_000, 1_000, -1, -1], [0, 0, 0, -1, -1], "pass"),
        (
            [1_000, 1_000, -1, -1, -1],
            [0, 0, -1, -1, -1],
            "2000 requests of 0",
        ),
        (
            [250, 250, -1, -1, -1],
            [0, 0, -1, -1, -1],
            "500 requests of 0",
        ),
        (
            [50, 50, -1, -1, -1],
            [0, 0, -1, -1, -1],
            "100 requests of 500",
        ),
        ([-1; 5], [-1; 5], "0 requests of 500"),
    ] {
        let readings = last(&state, some(requests), (&errors, some(wrong)));
        let told = said(&verdict(&state, &readings));
        assert_eq!(told, wanted, "{requests:?} {wrong:?}");
    }
}

#[test]
fn a_level_that_is_missing_where_requests_were_seen_makes_it_unknown() {
    let gate = level();
    let query = gate.new.queries().next().expect("one").clone();
    let state = baking(with_metric(gate));
    let some =
        |values: [i32; 5]| values.map(|value| Some(f64::from(value)).filter(|it| *it >= 0.0));
    let four = "only 4 of its last 5 datapoints are there";
    for (requests, level, wanted) in [
        ([1_000; 5], [50; 5], "pass"),
        ([1_000; 5], [51, 0, 70, 0, 60], "70 in 3 of 5"),
        ([1_000; 5], [0, 0, 51, 51, -1], four),
        ([1_000; 5], [0, 0, 0, 51, -1], "pass"),
        (
            [1_000, 1_000, 1_000, 1_000, 0],
            [0, 0, 51, 51, -1],
            "4000 requests of 0",
        ),
        (
            [1_000, 1_000, 1_000, 1_000, 0],
            [0, 0, 51, -1, -1],
            "only 3 of its last 5 datapoints are there",
        ),
        (
            [1_000; 5],
            [0, 0, -1, -1, -1],
            "only 2 of its last 5 datapoints are there",
        ),
        ([1_000; 5], [0, 0, 0, -1, -1], "pass"),
        ([1_000; 5], [-1; 5], "no data"),
        ([0; 5], [-1; 5], "0 requests of 0"),
    ] {
        let readings = last(&state, some(requests), (&query, some(level)));
        let told = said(&verdict(&state, &readings));
        assert_eq!(told, wanted, "{requests:?} {level:?}");
    }
}

#[test]
fn only_a_count_that_must_not_be_large_is_zero_where_nothing_is_told() {
    let none = [None; 5];
    let asked = [Some(1_000.0), Some(1_000.0), Some(1_000.0), Some(0.0), None];
    let count = |bound| MetricGate {
        new: Measure::Series {
            query: series("new errors", 1),
            times: Number::from(1),
        },
        bound,
        min_requests: 0,
        ..rate()
    };
    let expression = {
        let mut bare = (*series("new errors", 1)).clone();
        bare.expression = Some("m / 2".to_owned());
        MetricGate {
            new: Measure::Series {
                query: Query::from(bare),
                times: Number::from(1),
            },
            min_requests: 0,
            ..rate()
        }
    };
    let most = Bound::Max(Number::from(5));
    for (gate, asked, wanted) in [
        (count(most), [Some(1_000.0); 5], "pass"),
        // Without requests nobody knows.
        (count(most), asked, "pass"),
        (count(most), [Some(0.0); 5], "0 requests of 0"),
        (count(Bound::Min(Number::from(5))), asked, "no data"),
        (level(), asked, "no data"),
        (expression, asked, "no data"),
    ] {
        let query = gate.new.queries().next().expect("one").clone();
        let state = baking(with_metric(gate));
        let readings = last(&state, asked, (&query, none));
        assert_eq!(said(&verdict(&state, &readings)), wanted, "{query:?}");
    }
    // Two of five minutes had no requests: they count neither as zero nor as lost.
    let state = baking(with_metric(count(most)));
    let told = [None, Some(9.0), Some(9.0), None, None];
    let readings = last(&state, asked, (&series("new errors", 1), told));
    assert_eq!(said(&verdict(&state, &readings)), "3000 requests of 0");
}

#[test]
fn what_fails_says_what_it_read_in_the_units_of_the_bound_on_both_sides() {
    let gate = |side: &str| Measure::Series {
        query: series(&format!("{side} seconds"), 1),
        times: Number::from(1_000),
    };
    let state = baking(with_metric(MetricGate {
        new: gate("new"),
        old: Some(gate("old")),
        requests: Vec::new(),
        bound: Bound::Max(Number::from(500)),
        unit: Unit::Millis,
        min_requests: 0,
        ..rate()
    }));
    let until = begun(&state) + SignedDuration::from_mins(20);
    let mut readings = Readings::from([
        // The first of them is older than five minutes.
        (
            series("new seconds", 1),
            read(until, &[9.0, 0.1, 0.1, 0.6, 0.7, 0.51].map(Some)),
        ),
        (
            series("old seconds", 1),
            read(until, &[8.0, 0.2, 0.6, 0.6, 0.3, 0.4].map(Some)),
        ),
    ]);
    let said = weigh(&state, &readings);
    let Verdict::Fail(RevertCause::MeasureBeyond { beyond, .. }) = &said.gates[0].1 else {
        panic!("{said:?}");
    };
    let wanted = Beyond {
        value: Number::from(700),
        bound: Bound::Max(Number::from(500)),
        unit: Unit::Millis,
        points: 3,
        of: 5,
        old: Some(Number::from(600)),
    };
    assert_eq!(*beyond, wanted);
    assert!(said.old_too.is_empty(), "two of five are none");
    let latest = &said.tally.expect("it has started").readings[0];
    assert_eq!(
        (latest.new, latest.old),
        (Some(Number::from(510)), Some(Number::from(400)))
    );
    // An old side that cannot be read takes no part; a new one makes it unknown.
    let down = SeriesReading::Unreadable("Throttling".to_owned());
    readings.insert(series("old seconds", 1), down.clone());
    let said = weigh(&state, &readings);
    let Verdict::Fail(RevertCause::MeasureBeyond { beyond, .. }) = &said.gates[0].1 else {
        panic!("{said:?}");
    };
    assert_eq!(beyond.old, None);
    readings.insert(series("new seconds", 1), down);
    let unknown = |why: &str| Verdict::Unknown(Unknown::Other(why.to_owned()));
    assert_eq!(verdict(&state, &readings), unknown("Throttling"));
    readings.remove(&series("new seconds", 1));
    assert_eq!(verdict(&state, &readings), unknown("it was not read"));
}

#[test]
fn the_new_sides_requests_say_nothing_of_a_count_of_the_old_side() {
    let count = |side: &str| Measure::Series {
        query: series(&format!("{side} errors"), 1),
        times: Number::from(1),
    };
    let state = baking(with_metric(MetricGate {
        new: count("new"),
        old: Some(count("old")),
        min_requests: 0,
        ..rate()
    }));
    let told = [None, None, Some(7.0), None, None];
    let query = series("new errors", 1);
    let mut readings = last(&state, [Some(1_000.0); 5], (&query, told));
    let until = begun(&state) + SignedDuration::from_mins(20);
    readings.insert(series("old errors", 1), read(until, &told));
    let tally = weigh(&state, &readings).tally.expect("it has started");
    let latest = &tally.readings[0];
    let wanted = (Some(Number::ZERO), Some(Number::from(7)));
    assert_eq!((latest.new, latest.old), wanted);
}

#[test]
fn a_step_that_settles_is_not_held_for_what_was_compared_so_far() {
    let mut state = baking(with_regression());
    let until = begun(&state) + SignedDuration::from_mins(20);
    let names = ["new requests", "new errors", "old requests", "old errors"];
    let all = names.map(|name| (series(name, 1), read(until, &[Some(1.0); 10])));
    let readings = Readings::from(all);
    assert_eq!(said(&verdict(&state, &readings)), "10 requests of 0");
    state.measured.step_from = None;
    assert_eq!(verdict(&state, &readings), Verdict::Pass);
}

#[test]
fn minutes_before_the_bake_may_be_missing_and_those_after_it_may_not() {
    let state = baking(with_metric(MetricGate {
        requests: Vec::new(),
        ..level()
    }));
    let MetricGate { new, .. } = level();
    let query = new.queries().next().expect("one").clone();
    // One datapoint, the newest.
    let values = [None, None, None, None, Some(10.0)];
    for (minutes, wanted) in [
        (1, "pass"),
        (3, "pass"),
        (4, "only 1 of its last 5 datapoints are there"),
    ] {
        let until = begun(&state) + SignedDuration::from_mins(minutes);
        let readings = Readings::from([(query.clone(), read(until, &values))]);
        let told = said(&verdict(&state, &readings));
        assert_eq!(told, wanted, "{minutes} minutes");
    }
}

/// So many requests of both sides in the last minute before a moment.
fn both(until: Timestamp, new: f64, old: f64) -> Readings {
    Readings::from([
        (series("new requests", 1), read(until, &[Some(new)])),
        (series("old requests", 1), read(until, &[Some(old)])),
    ])
}

#[test]
fn the_observed_share_is_that_of_the_last_hour_or_since_the_bake_began() {
    let state = baking(with_traffic());
    let since = begun(&state);
    let hours = |new: &[f64], old: &[f64], until: Timestamp| {
        let some =
            |values: &[f64]| read(until, &values.iter().copied().map(Some).collect::<Vec<_>>());
        Readings::from([
            (series("new requests", 1), some(new)),
            (series("old requests", 1), some(old)),
        ])
    };
    let until = since + SignedDuration::from_mins(2);
    let early = hours(&[50.0, 4.0, 6.0], &[0.0, 40.0, 30.0], until);
    let wanted = Observed {
        new_requests: 10,
        old_requests: 70,
        share: Some(number(12.5)),
        from: since,
        until,
    };
    assert_eq!(observed(&state, &early), Some(wanted));
    let until = since + SignedDuration::from_hours(3);
    let mut new = [1.0; 61];
    new[0] = 99.0;
    let late = observed(&state, &hours(&new, &[3.0; 61], until)).expect("it was read");
    assert_eq!((late.new_requests, late.old_requests), (60, 180));
    assert_eq!(late.share, Some(Number::from(25)));
    assert_eq!(late.from, until - SignedDuration::from_hours(1));
    let none = observed(&state, &both(until, 0.0, 0.0)).expect("it was read");
    assert_eq!(none.share, None);
    // Both sides up to where both were read.
    let mut uneven = both(until, 10.0, 10.0);
    let sooner = until - SignedDuration::from_mins(1);
    uneven.insert(series("old requests", 1), read(sooner, &[Some(30.0)]));
    let seen = observed(&state, &uneven).expect("it was read");
    assert_eq!(
        (seen.new_requests, seen.old_requests, seen.until),
        (0, 30, sooner)
    );
    uneven.insert(
        series("old requests", 1),
        SeriesReading::Unreadable("no".to_owned()),
    );
    assert_eq!(observed(&state, &uneven), None);
}

#[test]
fn traffic_is_elsewhere_beyond_the_tolerance_once_there_is_enough_of_it_and_resolvers_had_time() {
    let state = baking(with_traffic());
    // Ten percent are intended, give or take half of it; fifty requests of the new side had to come.
    for (minutes, new, old, wanted) in [
        (10, 250.0, 4_750.0, "pass"),
        (10, 249.0, 4_751.0, "4.98"),
        (9, 249.0, 4_751.0, "pass"),
        (10, 750.0, 4_250.0, "pass"),
        // Above by half is chance for a little longer than below.
        (10, 751.0, 4_249.0, "pass"),
        (30, 751.0, 4_249.0, "15.02"),
        (10, 200.0, 299.0, "pass"),
        (10, 200.0, 300.0, "40"),
        (10, 0.0, 499.0, "0 requests of 200"),
        (10, 0.0, 500.0, "0"),
        (10, 199.0, 1_800.0, "199 requests of 200"),
        (10, 200.0, 1_800.0, "pass"),
    ] {
        let until = begun(&state) + SignedDuration::from_mins(minutes);
        let each = |all: f64| {
            let share = all / f64::from(i32::try_from(minutes).expect("few"));
            let count = usize::try_from(minutes).expect("few");
            read(until, &vec![Some(share); count])
        };
        let readings = Readings::from([
            (series("new requests", 1), each(new)),
            (series("old requests", 1), each(old)),
        ]);
        let told = match verdict(&state, &readings) {
            Verdict::NotJudged(HoldReason::TrafficElsewhere {
                intended,
                observed,
                within,
                new_requests,
                old_requests,
            }) => {
                assert_eq!((intended, within), (Share::percent(10), Number::from(50)));
                let counted = [new_requests, old_requests].map(|it| it.to_string());
                assert_eq!(counted, [new, old].map(|it| it.to_string()));
                observed.value().to_string()
            }
            other => said(&other),
        };
        assert_eq!(told, wanted, "{new} and {old} after {minutes} minutes");
    }
}

#[test]
fn what_is_compared_or_counted_must_all_have_been_read() {
    let unknown = |why: &str| Verdict::Unknown(Unknown::Other(why.to_owned()));
    for (measures, names) in [
        (with_traffic(), vec!["new requests", "old requests"]),
        (
            with_regression(),
            vec!["new requests", "new errors", "old requests", "old errors"],
        ),
    ] {
        let state = baking(measures);
        let until = begun(&state) + SignedDuration::from_mins(20);
        let minutes = [Some(500.0); 20];
        let all = names
            .iter()
            .map(|name| (series(name, 1), read(until, &minutes)));
        let all: Readings = all.collect();
        assert!(!matches!(verdict(&state, &all), Verdict::Unknown(_)));
        for name in names {
            let mut but_one = all.clone();
            but_one.remove(&series(name, 1));
            let told = verdict(&state, &but_one);
            assert_eq!(told, unknown("it was not read"), "{name}");
        }
    }
}

/// Twenty minutes of a thousand requests each, of which the last one is the newest; errors by the minute.
fn twenty(state: &State, errors: [u32; 20]) -> Readings {
    let until = state.measured.step_from.expect("a bake") + SignedDuration::from_mins(30);
    let points = |value: &dyn Fn(usize) -> u32| SeriesReading::Read {
        from: until - SignedDuration::from_mins(20),
        until,
        points: Arc::new(
            (0..20)
                .map(|index| {
                    let ago = SignedDuration::from_mins(20 - i64::try_from(index).expect("small"));
                    (until - ago, Number::from(value(index)))
                })
                .collect(),
        ),
    };
    BTreeMap::from([
        (series("new requests", 1), points(&|_| 1_000)),
        (series("new errors", 1), points(&|index| errors[index])),
    ])
}

fn errors_at(minutes: &[usize]) -> [u32; 20] {
    let mut errors = [0; 20];
    for minute in minutes {
        errors[*minute] = 60;
    }
    errors
}

#[test]
fn a_violation_that_is_found_afterwards_fails_the_gate_although_the_newest_datapoints_are_fine() {
    let state = baking(with_metric(rate()));
    for (minutes, wanted) in [
        (vec![17, 18, 19], "6 in 3 of 5"),
        // Three of five, ten minutes ago.
        (vec![6, 8, 10], "6 in 3 of 5"),
        (vec![6, 8, 11], "pass"),
        // Its window ended more than a quarter of an hour ago.
        (vec![0, 1, 2], "pass"),
    ] {
        let readings = twenty(&state, errors_at(&minutes));
        assert_eq!(said(&verdict(&state, &readings)), wanted, "{minutes:?}");
    }
}

#[test]
fn a_metric_that_comes_late_is_judged_without_its_newest_minutes() {
    let late = MetricGate {
        delay_mins: 8,
        ..rate()
    };
    let state = baking(with_metric(late));
    // The last eight minutes are not complete.
    let readings = twenty(&state, errors_at(&[12, 13, 14, 15, 16, 17, 18, 19]));
    assert_eq!(said(&verdict(&state, &readings)), "pass");
    let readings = twenty(&state, errors_at(&[9, 10, 11]));
    assert_eq!(said(&verdict(&state, &readings)), "6 in 3 of 5");
}

#[test]
fn a_violation_that_is_not_yet_m_of_n_lets_the_gate_pass_and_holds_the_step() {
    let state = baking(with_metric(rate()));
    let weighed = weigh(&state, &twenty(&state, errors_at(&[19])));
    assert_eq!(weighed.gates[0].1, Verdict::Pass);
    let [HoldReason::MeasureNear { beyond, needed, .. }] = weighed.near.as_slice() else {
        panic!("{:?}", weighed.near);
    };
    assert_eq!(
        (beyond.value, beyond.points, *needed),
        (Number::from(6), 1, 3)
    );
    // It is over when it is out of the window.
    let weighed = weigh(&state, &twenty(&state, errors_at(&[14])));
    assert!(weighed.near.is_empty(), "{:?}", weighed.near);
}

#[test]
fn a_window_of_too_few_requests_fails_by_more_errors_than_enough_requests_would_allow() {
    let state = baking(with_metric(MetricGate {
        min_requests: 1_000,
        ..rate()
    }));
    let errors = series("new errors", 1);
    let some = |values: [i32; 5]| values.map(|value| Some(f64::from(value)));
    for (requests, wrong, wanted) in [
        // Ten errors are 1 % of a thousand requests.
        ([60; 5], [2; 5], "300 requests of 5000"),
        ([60; 5], [2, 2, 2, 2, 3], "5 in 5 of 5"),
        ([60; 5], [12; 5], "20 in 5 of 5"),
        ([5; 5], [5; 5], "100 in 5 of 5"),
        // Fewer than three minutes are not three of five.
        ([60; 5], [0, 0, 0, 20, 20], "pass"),
    ] {
        let readings = last(&state, some(requests), (&errors, some(wrong)));
        let told = said(&verdict(&state, &readings));
        assert_eq!(told, wanted, "{requests:?} {wrong:?}");
    }
}

#[test]
fn how_long_it_takes_until_enough_came_is_estimated_from_what_comes() {
    let state = baking(with_traffic());
    let until = begun(&state) + SignedDuration::from_mins(40);
    let told = |new: f64| {
        let minutes = vec![Some(new); 40];
        let readings = Readings::from([
            (series("new requests", 1), read(until, &minutes)),
            (series("old requests", 1), read(until, &[Some(9.0); 40])),
        ]);
        match verdict(&state, &readings) {
            Verdict::NotJudged(HoldReason::TooFewRequests {
                requests,
                needed,
                over_mins,
                judged_at,
                ..
            }) => (requests, needed, over_mins, judged_at),
            other => panic!("{other:?}"),
        }
    };
    let later = until + SignedDuration::from_mins(160);
    assert_eq!(told(1.0), (40, Some(200), None, Some(later)));
    let later = until + SignedDuration::from_mins(27);
    assert_eq!(told(3.0), (120, Some(200), None, Some(later)));
    assert_eq!(told(0.0), (0, Some(200), None, None));
}
