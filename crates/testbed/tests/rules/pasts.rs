//! What a record keeps, and what the gates of metrics said in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_engine::backtest::{
    AlarmChange, AlarmRecord, Backtest, End, Ends, GatePast, Past, Prepared, Record, Run,
    SeriesPast, SeriesRecord, Sight, Stretch, queries, replay,
};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{Measures, Query};
use cutover_engine::evidence::reading::SeriesReading;
use cutover_engine::evidence::wanted::Minutes;
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::observation::{AlarmReading, AlarmState};
use cutover_engine::plan::{Account, Plan};
use jiff::{SignedDuration, Timestamp};

use cutover_testbed::backtest::backtest;
use cutover_testbed::flow::{STEPS, error_rate, measured, measures, series, with_metric};
use cutover_testbed::plan::{alarm, plan, role, source};

use AlarmState::{Alarm, InsufficientData, Ok as Green};

fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-11-02T09:00:00Z".parse().expect("a time");
    start + SignedDuration::from_mins(minute)
}

fn some(values: &[u32]) -> Vec<Option<Number>> {
    values
        .iter()
        .map(|value| Some(Number::from(*value)))
        .collect()
}

fn known(from: Timestamp, values: Vec<Option<Number>>) -> SeriesPast {
    SeriesPast::Known { from, values }
}

fn kept(query: Query, past: SeriesPast) -> SeriesRecord {
    SeriesRecord {
        account: Account::default(),
        query,
        past,
    }
}

/// So many hours of a plan's three alarms, which were green but for the changes of `errors`.
fn record(hours: i64, changes: Vec<AlarmChange>) -> Record {
    let mut record = Record::between(at(0), at(60 * hours));
    for (name, changes) in [
        ("errors", changes),
        ("latency", vec![]),
        ("fallback", vec![]),
    ] {
        record.alarms.push(AlarmRecord {
            account: Account::default(),
            id: alarm(name),
            past: Past::Known {
                before: Green,
                changes,
            },
        });
    }
    record
}

fn change(minute: i64, to: AlarmState) -> AlarmChange {
    AlarmChange {
        at: at(minute),
        from: None,
        to,
    }
}

/// Ten hours in which both sides had a thousand requests a minute and no errors, and memory stood still. The new side
/// failed 5 % of them for ten minutes, from 200 on.
fn ten_hours() -> Record {
    let mut record = record(10, Vec::new());
    let mut errors = [0; 600];
    errors[200..210].fill(50);
    for (name, period, values) in [
        ("new requests", 1, vec![1_000; 600]),
        ("old requests", 1, vec![1_000; 600]),
        ("new errors", 1, errors.to_vec()),
        ("old errors", 1, vec![0; 600]),
        ("new memory", 5, vec![40; 120]),
        ("new requests", 5, vec![5_000; 120]),
    ] {
        let past = known(at(0), some(&values));
        record.series.push(kept(series(name, period), past));
    }
    record
}

fn hourly(plan: Plan, record: &Record) -> Backtest {
    backtest(&source(plan), record, SignedDuration::from_hours(1))
}

/// The gates of metrics, without any start.
fn gates(plan: Plan, record: &Record) -> Vec<GatePast> {
    let source = source(plan);
    let prepared = Prepared::new(&source, record, SignedDuration::from_hours(1));
    prepared.gather(Vec::new()).gates.split_off(3)
}

/// The stretches, by the minutes at which they begin and end.
fn minutes(stretches: &[Stretch]) -> Vec<(AlarmState, i64, i64)> {
    let minute = |time: Timestamp| time.duration_since(at(0)).as_mins();
    let told = |it: &Stretch| (it.state, minute(it.from), minute(it.until));
    stretches.iter().map(told).collect()
}

#[test]
fn datapoints_are_kept_one_a_period_and_come_back_as_they_were_read() {
    let points = |minutes: &[(i64, u32)]| -> BTreeMap<Timestamp, Number> {
        let point = |(minute, value): &(i64, u32)| (at(*minute), Number::from(*value));
        minutes.iter().map(point).collect()
    };
    let all = points(&[(0, 1), (1, 2), (4, 5)]);
    let one = |value: u32| Some(Number::from(value));
    let past = SeriesPast::of(&all, 1);
    let values = vec![one(1), one(2), None, None, one(5)];
    assert_eq!(past, known(at(0), values));
    let read = |past: &SeriesPast, query: &Query, from: i64, until: i64| {
        let (from, until) = (at(from), at(until));
        match past.reading(query, Minutes { from, until }) {
            SeriesReading::Read {
                from: read_from,
                until: read_until,
                points,
            } => {
                assert_eq!((read_from, read_until), (from, until));
                Arc::unwrap_or_clone(points)
            }
            SeriesReading::Unreadable(why) | SeriesReading::Denied(why) => panic!("{why}"),
        }
    };
    let query = series("new errors", 1);
    for (from, until, wanted) in [
        (-60, 60, &[(0, 1), (1, 2), (4, 5)][..]),
        (0, 5, &[(0, 1), (1, 2), (4, 5)]),
        (0, 4, &[(0, 1), (1, 2)]),
        (1, 2, &[(1, 2)]),
        (2, 4, &[]),
        (5, 90, &[]),
        (-60, 0, &[]),
    ] {
        assert_eq!(read(&past, &query, from, until), points(wanted), "{from}");
    }
    let slow = series("new memory", 5);
    let past = SeriesPast::of(&points(&[(0, 1), (5, 2), (20, 5)]), 5);
    assert_eq!(past, known(at(0), vec![one(1), one(2), None, None, one(5)]));
    assert_eq!(read(&past, &slow, 3, 25), points(&[(5, 2), (20, 5)]));
    assert_eq!(read(&past, &slow, 20, 21), points(&[(20, 5)]));
    let unreadable = SeriesPast::Unreadable("Throttling".to_owned());
    let (from, until) = (at(0), at(1));
    assert_eq!(
        unreadable.reading(&query, Minutes { from, until }),
        SeriesReading::Unreadable("Throttling".to_owned())
    );
    assert!(past.has_data() && !unreadable.has_data());
    assert!(!known(at(0), vec![None, None]).has_data());
    assert!(!SeriesPast::of(&BTreeMap::new(), 1).has_data());
}

#[test]
fn a_past_is_found_by_account_and_by_name() {
    let here = Account::default();
    let there = role("there");
    let mut record = ten_hours();
    let query = series("new errors", 1);
    assert!(record.series(&here, &query).is_some());
    assert_eq!(record.series(&there, &query), None);
    assert_eq!(record.series(&here, &series("new errors", 5)), None);
    assert!(record.past(&here, &alarm("errors")).is_some());
    assert_eq!(record.past(&there, &alarm("errors")), None);
    assert_eq!(record.past(&here, &alarm("nobody")), None);
    // Of two accounts, each its own.
    record.series[0].account = there.clone();
    let first = record.series[0].query.clone();
    assert_eq!(record.series(&here, &first), None);
    assert!(record.series(&there, &first).is_some());
}

#[test]
fn a_thousand_days_are_a_record_and_a_series_ends_before_2200_as_well() {
    let mut long = Record::between(at(0), at(1_000 * 24 * 60 + 23 * 60));
    assert_eq!(long.check(), Ok(()));
    long.until = at(1_001 * 24 * 60);
    assert!(long.check().is_err());
    let twice = vec![change(5, Alarm), change(5, Green)];
    assert_eq!(record(1, twice).check(), Ok(()), "both in one second");
    let late: Timestamp = "2199-12-31T23:00:00Z".parse().expect("a time");
    for (count, fits) in [(59, true), (60, false)] {
        let mut record = record(1, Vec::new());
        let past = known(late, vec![None; count]);
        record.series.push(kept(series("new errors", 1), past));
        let checked = record.check();
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
    }
}

#[test]
fn an_alarm_that_turned_at_the_very_beginning_was_so_all_the_time() {
    let now = AlarmReading::Found {
        state: Alarm,
        transitioned_at: Some(at(0)),
        evaluation: None,
    };
    let past = Past::of(&now, Vec::new(), at(0));
    let wanted = Past::Known {
        before: Alarm,
        changes: Vec::new(),
    };
    assert_eq!(past, wanted);
}

#[test]
fn red_times_are_added_up_and_those_of_ten_minutes_or_less_are_flaps() {
    let changes = vec![
        change(60, Alarm),
        change(70, Green),
        change(100, Alarm),
        change(111, Green),
        change(200, Alarm),
        change(201, Green),
        change(300, InsufficientData),
        change(330, Green),
    ];
    let tested = hourly(plan(&[1], &STEPS), &record(10, changes));
    let gate = &tested.gates[0];
    assert_eq!((gate.visits().count(), gate.flaps()), (3, 2));
    let time_in = |state| gate.time_in(state).as_mins();
    assert_eq!([Alarm, InsufficientData, Green].map(time_in), [22, 30, 548]);
    assert_eq!(tested.gates[1].flaps(), 0);
}

#[test]
fn every_start_ends_in_one_of_four_ways() {
    let mut past = record(10, vec![change(150, Alarm), change(152, Green)]);
    past.alarms[2].past = Past::Known {
        before: Green,
        changes: vec![change(150, Alarm), change(160, Green)],
    };
    let tested = hourly(plan(&[1], &STEPS), &past);
    // Under way are those from 60 and 120; 480 and 540 do not come to their ends.
    let halted = Ends {
        completed: 6,
        reverted: 0,
        halted: 2,
        cut: 2,
    };
    assert_eq!(tested.ends(), halted);
    assert_eq!(tested.took().len(), 6);
    past.alarms[2].past = past.alarms[1].past.clone();
    let reverted = Ends {
        reverted: 2,
        halted: 0,
        ..halted
    };
    assert_eq!(hourly(plan(&[1], &STEPS), &past).ends(), reverted);
}

/// Only the rate of errors.
fn rate() -> Plan {
    let mut gate = error_rate(1);
    gate.old = None;
    measured(&STEPS, with_metric(gate))
}

#[test]
fn a_metric_beyond_its_bound_takes_back_what_was_under_way_in_the_minute_in_which_it_shows() {
    let tested = hourly(rate(), &ten_hours());
    let gate = &tested.gates[3];
    assert_eq!((&gate.sight, gate.fallback), (&Sight::Seen, false));
    // A minute is read two minutes after its end, and three of five must be bad: 200 to 202 show at 205, and of 210 to
    // 214 there are fewer than three left at 215. In the first five minutes too few are there to tell.
    let wanted = [
        (InsufficientData, 0, 5),
        (Green, 5, 205),
        (Alarm, 205, 215),
        (Green, 215, 600),
    ];
    assert_eq!(minutes(&gate.stretches), wanted);
    let reverted: Vec<&Run> = tested
        .runs
        .iter()
        .filter(|run| run.reverted_by().is_some())
        .collect();
    let told = reverted.iter().map(|run| match &run.end {
        End::Reverted { at, step, cause } => {
            assert!(
                matches!(cause, RevertCause::MeasureBeyond { .. }),
                "{cause:?}"
            );
            (run.start, *at, *step)
        }
        other => panic!("{other:?}"),
    });
    let wanted = [(at(120), at(205), 2), (at(180), at(205), 1)];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
    assert_eq!(gate.reverted, 2);
    let ends = tested.ends();
    assert_eq!((ends.completed, ends.cut, ends.halted), (6, 2, 0));
}

#[test]
fn nobody_asks_a_past_whether_its_traffic_followed_the_weights() {
    let mut plan = rate();
    plan.gates.measures.traffic = measures().traffic;
    let source = source(plan);
    let past = ten_hours();
    let prepared = Prepared::new(&source, &past, SignedDuration::from_hours(1));
    // Half of it went to the new side all the time.
    let run = prepared.replay(at(240));
    assert!(matches!(run.end, End::Completed { .. }), "{run:?}");
}

#[test]
fn a_gate_of_five_minutes_is_asked_every_five_minutes() {
    let mut plan = rate();
    let gate = &mut plan.gates.measures.metrics[0];
    (gate.every_mins, gate.points, gate.of) = (5, 1, 1);
    // The periods of 200 and 205 are read at 207 and 212, and drawn at the next look.
    let tested = hourly(plan.clone(), &ten_hours());
    let wanted = [
        (InsufficientData, 0, 10),
        (Green, 10, 210),
        (Alarm, 210, 220),
        (Green, 220, 600),
    ];
    assert_eq!(minutes(&tested.gates[3].stretches), wanted);
    let run = replay(&source(plan), &ten_hours(), at(150));
    let End::Reverted {
        at: reverted_at, ..
    } = run.end
    else {
        panic!("{run:?}");
    };
    assert_eq!(reverted_at, at(207));
}

/// The sights of the gates of metrics in the first hour, in the plan's order.
fn sights(record: &Record) -> Vec<Sight> {
    let record = Record {
        until: at(60),
        ..record.clone()
    };
    let gates = gates(measured(&STEPS, measures()), &record).into_iter();
    gates.map(|gate| gate.sight).collect()
}

#[test]
fn what_could_be_seen_of_each_gate_of_metrics_is_told_apart() {
    use Sight::{NeverData, NotRecorded, NotThen, Seen};
    let all = ten_hours();
    assert_eq!(sights(&all), [Seen, Seen, NotThen, Seen]);
    let set = |name: &str, period: u16, past: SeriesPast| {
        let mut record = all.clone();
        let query = series(name, period);
        let mut kept = record.series.iter_mut();
        kept.find(|it| it.query == query).expect("it is there").past = past;
        record
    };
    let never = || known(at(0), vec![None; 600]);
    let none = set("new requests", 1, never());
    assert_eq!(sights(&none), [NeverData, NeverData, NotThen, Seen]);
    let none = set("old requests", 1, never());
    assert_eq!(sights(&none), [Seen, NeverData, NotThen, Seen]);
    let none = set("new memory", 5, never());
    assert_eq!(sights(&none), [Seen, Seen, NotThen, NeverData]);
    let why = || "Throttling".to_owned();
    let down = set("old requests", 1, SeriesPast::Unreadable(why()));
    assert_eq!(
        sights(&down),
        [Seen, Sight::Unreadable(why()), NotThen, Seen]
    );
    let mut nothing = all.clone();
    nothing.series.clear();
    let wanted = [NotRecorded, NotRecorded, NotThen, NotRecorded];
    assert_eq!(sights(&nothing), wanted);
}

#[test]
fn only_what_has_a_state_at_a_moment_is_drawn_and_only_what_was_seen() {
    let plan = || measured(&STEPS, measures());
    let short = |mut record: Record| {
        record.until = at(220);
        record
    };
    let seen = gates(plan(), &short(ten_hours()));
    let drawn = |gates: &[GatePast]| {
        gates
            .iter()
            .map(|it| it.stretches.len())
            .collect::<Vec<_>>()
    };
    // The metric as above; the comparison and the traffic have none. The first five minutes of memory are there at 7.
    assert_eq!(drawn(&seen), [4, 0, 0, 2]);
    let memory = [(InsufficientData, 0, 7), (Green, 7, 220)];
    assert_eq!(minutes(&seen[3].stretches), memory);
    let mut blind = ten_hours();
    blind
        .series
        .retain(|it| it.query != series("new memory", 5));
    assert_eq!(drawn(&gates(plan(), &short(blind))), [4, 0, 0, 0]);
}

#[test]
fn a_comparison_of_which_one_side_was_never_seen_takes_no_part_and_one_that_was_takes_back() {
    let mut only = measures();
    (only.metrics, only.trends) = (Vec::new(), Vec::new());
    let plan = measured(&STEPS, only);
    let reverted = |record: &Record| {
        let source = source(plan.clone());
        let prepared = Prepared::new(&source, record, SignedDuration::from_hours(1));
        let run = prepared.replay(at(180));
        run.reverted_by().map(|gate| gate.to_string())
    };
    // 5 % of the new side's requests and none of the old one's, once it has begun.
    assert_eq!(reverted(&ten_hours()), Some("regression".to_owned()));
    let mut one_side = ten_hours();
    one_side
        .series
        .retain(|it| it.query != series("old requests", 1));
    assert_eq!(reverted(&one_side), None);
    let run = replay(&source(plan.clone()), &one_side, at(180));
    let End::Cut { step: 0, because } = &run.end else {
        panic!("{run:?}");
    };
    let unread = |reason: &HoldReason| matches!(reason, HoldReason::Unknown { message, .. } if message == "it was not recorded");
    assert!(because.iter().any(unread), "{because:?}");
}

#[test]
fn the_series_of_a_plan_are_named_once_each() {
    let names = |measures: &Measures| -> Vec<(String, u16)> {
        let all = queries(measures).into_iter();
        all.map(|query| (query.inputs["m"].metric.clone(), query.period_mins))
            .collect()
    };
    let told = |names: &[(&str, u16)]| -> Vec<(String, u16)> {
        names
            .iter()
            .map(|(name, mins)| ((*name).to_owned(), *mins))
            .collect()
    };
    let wanted = [
        ("new errors", 1),
        ("new memory", 5),
        ("new requests", 1),
        ("new requests", 5),
        ("old errors", 1),
        ("old requests", 1),
    ];
    assert_eq!(names(&measures()), told(&wanted));
    assert_eq!(names(&with_metric(error_rate(1))).len(), 4);
    assert_eq!(names(&Measures::default()), told(&[]));
}
