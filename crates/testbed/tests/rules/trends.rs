//! What climbs without end, judged from a day of datapoints that were made up.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_engine::evidence::gate::Unit;
use cutover_engine::evidence::judge::weigh;
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{Measures, Query};
use cutover_engine::evidence::reading::{Readings, SeriesReading, ceil};
use cutover_engine::hold::HoldReason;
use cutover_engine::state::State;
use cutover_engine::verdict::{Unknown, Verdict};
use jiff::{SignedDuration, Timestamp};

use cutover_testbed::flow::{STEPS, measured, measures, series, with_trend};
use cutover_testbed::world::World;

/// A step that has begun to bake, and the end of its warming up: from there on it is looked at.
fn baking(measures: Measures) -> (State, Timestamp) {
    let mut world = World::new(measured(&STEPS, Measures::default()));
    world.run_to_bake(1);
    let mut state = world.state().clone();
    state.source.plan.gates.measures = measures;
    let begun = ceil(state.measured.step_from.expect("the bake has begun"), 5);
    state.measured.step_from = Some(begun);
    (state, begun + SignedDuration::from_mins(15))
}

/// Datapoints of five minutes each in `[from, until)`, by the hours since `from`.
fn read(from: Timestamp, until: Timestamp, value: impl Fn(f64) -> Option<f64>) -> SeriesReading {
    let mut points = BTreeMap::new();
    let mut at = from;
    while at < until {
        let hours = at.duration_since(from).as_secs_f64() / 3_600.0;
        let value = value(hours).map(|value| Number::new(value).expect("a number"));
        points.extend(value.map(|value| (at, value)));
        at += SignedDuration::from_mins(5);
    }
    SeriesReading::Read {
        from,
        until,
        points: Arc::new(points),
    }
}

fn memory() -> Query {
    series("new memory", 5)
}

fn requests() -> Query {
    series("new requests", 5)
}

fn mins(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn verdict(state: &State, readings: &Readings) -> Verdict {
    weigh(state, readings).gates[0].1.clone()
}

/// The value, the climb an hour, and in how many minutes it ends, counted from `until`.
fn climbing(verdict: &Verdict, until: Timestamp) -> Option<(f64, f64, i64)> {
    match verdict {
        Verdict::NotJudged(HoldReason::Climbing {
            value,
            per_hour,
            limit,
            unit,
            reaches_at,
            ..
        }) => {
            assert_eq!((*limit, *unit), (Number::from(100), Unit::Percent));
            let left = reaches_at.duration_since(until).as_mins();
            Some((value.value(), per_hour.value(), left))
        }
        Verdict::Pass => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_climb_is_that_of_the_lows_and_ends_where_it_reaches_the_limit() {
    let (state, from) = baking(with_trend(true));
    let steady = |_: f64| Some(1_000.0);
    let told = |minutes: i64, memory_at: &dyn Fn(f64) -> f64| {
        let until = from + mins(minutes);
        let readings = Readings::from([
            (memory(), read(from, until, |hours| Some(memory_at(hours)))),
            (requests(), read(from, until, steady)),
        ]);
        climbing(&verdict(&state, &readings), until)
    };
    // Eight lows a quarter of an hour apart: 40, 40.75, … 45.25. The rest takes 18 hours and a quarter.
    let climb = |hours: f64| 40.0 + 3.0 * hours;
    assert_eq!(told(120, &climb), Some((45.25, 3.0, 18 * 60 + 15)));
    assert_eq!(told(115, &climb), None, "two hours are the least");
    // What is thrown away again, between the lows, is no climb and no fall.
    let saw = |hours: f64| {
        climb(hours)
            + if (hours * 12.0) % 3.0 > 0.5 {
                30.0
            } else {
                0.0
            }
    };
    assert_eq!(told(120, &saw), Some((45.25, 3.0, 18 * 60 + 15)));
    // Two percent of the limit, from the first low to the last, are the least.
    let slow = |hours: f64| 40.0 + hours * 2.0 / 1.75;
    assert!(told(120, &slow).is_some());
    assert_eq!(told(120, &|hours| 40.0 + hours * 1.99 / 1.75), None);
    assert_eq!(told(120, &|hours| 60.0 - hours), None);
    // What rises once and stays is no climb either.
    assert_eq!(
        told(120, &|hours| if hours < 0.99 { 40.0 } else { 60.0 }),
        None
    );
    // One low of the eight may be below the one before it, and two may not.
    let dip = |at: f64, depth: f64| {
        move |hours: f64| {
            if (hours - at).abs() < 0.01 {
                depth
            } else {
                0.0
            }
        }
    };
    let (first, second) = (dip(0.5, 2.0), dip(1.25, 2.0));
    assert!(told(120, &|hours| climb(hours) - first(hours)).is_some());
    assert_eq!(
        told(120, &|hours| climb(hours) - first(hours) - second(hours)),
        None
    );
}

#[test]
fn a_climb_that_reaches_its_limit_later_than_asked_is_let_be() {
    for (within, wanted) in [(18 * 60 + 15, true), (18 * 60 + 14, false)] {
        let mut measures = with_trend(true);
        measures.trends[0].within = mins(within);
        // In thousandths, of which there are as many as in percent above.
        measures.trends[0].times = Number::new(0.001).expect("a number");
        let (state, from) = baking(measures);
        let until = from + mins(120);
        let climb = |hours: f64| Some(1_000.0 * (40.0 + 3.0 * hours));
        let readings = Readings::from([
            (memory(), read(from, until, climb)),
            (requests(), read(from, until, |_| Some(1_000.0))),
        ]);
        let told = climbing(&verdict(&state, &readings), until);
        assert_eq!(told.is_some(), wanted, "within {within} minutes");
    }
}

#[test]
fn a_climb_beside_rising_requests_takes_nearly_a_day_and_one_of_unknown_load_six_hours() {
    let half_day = mins(23 * 60 + 30);
    let day = mins(24 * 60);
    // What comes in the first third, in the middle, and in the last third; none where nobody counts.
    for (loads, after, wanted) in [
        (Some([1_000.0, 5_000.0, 1_200.0]), mins(120), true),
        (Some([1_000.0, 1_000.0, 1_201.0]), mins(120), false),
        (Some([1_000.0, 0.0, 1_300.0]), half_day - mins(5), false),
        (Some([1_000.0, 0.0, 1_300.0]), half_day, true),
        (Some([1_000.0, 0.0, 1_300.0]), day, true),
        (None, mins(6 * 60 - 5), false),
        (None, mins(6 * 60), true),
    ] {
        let (state, from) = baking(with_trend(loads.is_some()));
        let until = from + after;
        let thirds = after.as_secs_f64() / 3_600.0 / 3.0;
        let load = |hours: f64| {
            let [first, middle, last] = loads?;
            Some(match hours {
                hours if hours < thirds => first,
                hours if hours < 2.0 * thirds => middle,
                _ => last,
            })
        };
        let climb = |hours: f64| Some(10.0 + 3.0 * hours);
        let readings = Readings::from([
            (memory(), read(from, until, climb)),
            (requests(), read(from, until, load)),
        ]);
        let told = climbing(&verdict(&state, &readings), until);
        assert_eq!(told.is_some(), wanted, "{loads:?} after {after}");
    }
}

#[test]
fn what_has_been_at_its_limit_for_half_an_hour_is_there_whether_or_not_it_climbs() {
    let (state, from) = baking(with_trend(true));
    for (minutes, value, wanted) in [
        (60, [100.0, 100.0], Some((100.0, 0.0, 0))),
        (60, [99.9, 100.0], None),
        (60, [100.0, 99.9], None),
        (20, [120.0, 130.0], Some((120.0, 0.0, 0))),
    ] {
        let until = from + mins(minutes);
        // The last half hour but its end, and its end.
        let end = (until - mins(5)).duration_since(from).as_secs_f64() / 3_600.0 - 0.01;
        let begin = (until - mins(30)).duration_since(from).as_secs_f64() / 3_600.0 - 0.01;
        let at = |hours: f64| match hours {
            hours if hours < begin => 1.0,
            hours if hours < end => value[0],
            _ => value[1],
        };
        let readings = Readings::from([
            (memory(), read(from, until, |hours| Some(at(hours)))),
            (requests(), read(from, until, |_| Some(1_000.0))),
        ]);
        let told = climbing(&verdict(&state, &readings), until);
        assert_eq!(told, wanted, "{value:?}");
    }
    // With a climb, it says how steep: all of the last half hour is above the limit.
    let until = from + mins(240);
    let readings = Readings::from([
        (
            memory(),
            read(from, until, |hours| Some(93.0 + 2.0 * hours)),
        ),
        (requests(), read(from, until, |_| Some(1_000.0))),
    ]);
    let told = climbing(&verdict(&state, &readings), until);
    assert_eq!(told, Some((100.0, 2.0, 0)));
}

#[test]
fn a_trend_without_a_datapoint_for_half_an_hour_is_blind_and_a_young_one_is_not() {
    let (state, from) = baking(with_trend(false));
    let no_data = Verdict::Unknown(Unknown::NoData);
    // When the last datapoint was, in minutes after the warming up, and when it is looked.
    for (last, now, wanted) in [
        (None, 25, Verdict::Pass),
        (None, 30, no_data.clone()),
        (Some(60), 90, Verdict::Pass),
        (Some(60), 95, no_data.clone()),
        (Some(0), 90, no_data.clone()),
    ] {
        let until = from + mins(now);
        let told = |hours: f64| {
            let minute = hours * 60.0;
            last.filter(|last| (minute - f64::from(*last)).abs() < 1.0)
                .map(|_| 50.0)
        };
        let readings = Readings::from([(memory(), read(from, until, told))]);
        assert_eq!(verdict(&state, &readings), wanted, "{last:?} at {now}");
    }
    let unread = SeriesReading::Unreadable("Throttling".to_owned());
    let readings = Readings::from([(memory(), unread)]);
    let why = Verdict::Unknown(Unknown::Other("Throttling".to_owned()));
    assert_eq!(verdict(&state, &readings), why);
}

#[test]
fn a_climb_with_a_hole_of_an_eighth_is_none_and_what_was_before_the_bake_does_not_count() {
    let (state, from) = baking(with_trend(true));
    let until = from + mins(120);
    let told = |value: &dyn Fn(f64) -> Option<f64>, from: Timestamp| {
        let readings = Readings::from([
            (memory(), read(from, until, value)),
            (requests(), read(from, until, |_| Some(1_000.0))),
        ]);
        climbing(&verdict(&state, &readings), until)
    };
    let hole = |hours: f64| (!(0.49..0.74).contains(&hours)).then_some(40.0 + 3.0 * hours);
    assert_eq!(told(&hole, from), None);
    let dots = |hours: f64| (!(0.51..0.74).contains(&hours)).then_some(40.0 + 3.0 * hours);
    assert_eq!(told(&dots, from), Some((45.25, 3.0, 18 * 60 + 15)));
    // Two hours more, in which it fell steeply.
    let fell = |hours: f64| {
        Some(if hours < 1.99 {
            90.0 - 20.0 * hours
        } else {
            34.0 + 3.0 * hours
        })
    };
    assert_eq!(
        told(&fell, from - mins(120)),
        Some((45.25, 3.0, 18 * 60 + 15))
    );
}

#[test]
fn all_gates_are_weighed_in_the_order_of_the_plan() {
    let (state, from) = baking(measures());
    let until = from + mins(30);
    let names = ["new requests", "old requests", "new errors", "old errors"];
    let all = names
        .iter()
        .map(|name| (series(name, 1), read(from, until, |_| Some(0.0))));
    let mut readings: Readings = all.collect();
    readings.insert(memory(), read(from, until, |_| Some(10.0)));
    readings.insert(requests(), read(from, until, |_| Some(0.0)));
    let weighed = weigh(&state, &readings);
    let gates = weighed.gates.iter().map(|(id, _)| id.to_string());
    let wanted = ["error_rate", "regression", "traffic", "memory"];
    assert_eq!(gates.collect::<Vec<_>>(), wanted);
}
