//! What is read, and what is counted of it: over which minutes, from when on, and of whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_engine::evidence::counting::{count_from, is_due};
use cutover_engine::evidence::gate::{BeforeAfter, GateId, GateKind, Unit};
use cutover_engine::evidence::judge::{attribution, weigh};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{Measures, RegressionGate, TrafficGate};
use cutover_engine::evidence::reading::{Readings, SeriesReading, ceil, complete_until, floor};
use cutover_engine::evidence::sequential::Test;
use cutover_engine::evidence::tally::{Latest, MetricFacts, Tally};
use cutover_engine::evidence::wanted::wanted;
use cutover_engine::state::{Phase, State};
use cutover_engine::units::{AlarmId, Share};
use jiff::{SignedDuration, Timestamp};

use cutover_testbed::flow::{
    STEPS, error_rate, measured, measures, series, with_metric, with_regression, with_traffic,
};
use cutover_testbed::plan::alarm;
use cutover_testbed::world::World;

fn time(text: &str) -> Timestamp {
    format!("2026-11-02T{text}Z").parse().expect("a time")
}

fn mins(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// A plan with these measures that was asked to begin at 09:00:00.
fn accepted(measures: Measures) -> State {
    let mut state = World::new(measured(&STEPS, Measures::default()))
        .state()
        .clone();
    state.source.plan.gates.measures = measures;
    state
}

/// The same once this step bakes: first written at 09:00:30, and watched from 09:10 on.
fn baking(measures: Measures, step: u16) -> State {
    let mut world = World::new(measured(&STEPS, Measures::default()));
    world.run_to_bake(step);
    let mut state = world.state().clone();
    state.source.plan.gates.measures = measures;
    state.first_write = Some(time("09:00:30"));
    state.step_began_at = Some(time("09:05:00"));
    state.measured = MetricFacts {
        step_from: Some(time("09:10:00")),
        ..MetricFacts::default()
    };
    state
}

/// The same number for every minute in `[from, until)`.
fn each(from: Timestamp, until: Timestamp, value: u32) -> SeriesReading {
    let mut points = BTreeMap::new();
    let mut at = from;
    while at < until {
        points.insert(at, Number::from(value));
        at += mins(1);
    }
    SeriesReading::Read {
        from,
        until,
        points: Arc::new(points),
    }
}

/// Ten requests a minute of the new side, and ninety of the old one; one error of each.
fn flowing(from: Timestamp, until: Timestamp) -> Readings {
    let names = [
        ("new requests", 10),
        ("old requests", 90),
        ("new errors", 1),
        ("old errors", 1),
    ];
    let all = names.map(|(name, count)| (series(name, 1), each(from, until, count)));
    Readings::from(all)
}

/// A tally that was journaled at this moment.
fn journaled(until: Timestamp, new_requests: u64, old_requests: u64) -> Tally {
    Tally {
        until,
        new_requests,
        old_requests,
        run: None,
        readings: Vec::new(),
    }
}

#[test]
fn periods_begin_where_the_epoch_says_and_are_complete_two_minutes_after_their_end() {
    for (at, minutes, begins, ends) in [
        ("09:07:31", 1, "09:07:00", "09:08:00"),
        ("09:07:00", 1, "09:07:00", "09:07:00"),
        ("09:07:31", 5, "09:05:00", "09:10:00"),
        ("09:05:00", 5, "09:05:00", "09:05:00"),
        ("09:59:59", 60, "09:00:00", "10:00:00"),
        ("09:07:31", 0, "09:07:00", "09:08:00"),
    ] {
        let at = time(at);
        assert_eq!(floor(at, minutes), time(begins), "{at} of {minutes}");
        assert_eq!(ceil(at, minutes), time(ends), "{at} of {minutes}");
        assert_eq!(complete_until(at + mins(2), minutes), time(begins));
    }
    let before: Timestamp = "1969-12-31T23:58:30Z".parse().expect("a time");
    assert_eq!(floor(before, 5).to_string(), "1969-12-31T23:55:00Z");
}

/// What is wanted of the series of this name at 12:03:10, as times.
fn asked(state: &State, name: &str, period_mins: u16) -> Option<(String, String)> {
    let wanted = wanted(state, time("12:03:10"));
    let minutes = wanted.get(&series(name, period_mins))?;
    Some((minutes.from.to_string(), minutes.until.to_string()))
}

#[test]
fn before_the_start_it_is_only_asked_whether_there_is_something_to_read() {
    let state = accepted(Measures {
        metrics: Vec::new(),
        ..measures()
    });
    let glance = |until: &str, from: &str| Some((time(from).to_string(), time(until).to_string()));
    for (name, period, from, until) in [
        ("new requests", 1, "11:56:00", "12:01:00"),
        ("old requests", 1, "11:56:00", "12:01:00"),
        ("new errors", 1, "11:56:00", "12:01:00"),
        ("old errors", 1, "11:56:00", "12:01:00"),
        ("new memory", 5, "11:55:00", "12:00:00"),
        ("new requests", 5, "11:55:00", "12:00:00"),
    ] {
        assert_eq!(asked(&state, name, period), glance(until, from), "{name}");
    }
    let mut slow = with_metric(error_rate(1));
    slow.metrics[0].every_mins = 5;
    let told = asked(&accepted(slow), "new requests", 1);
    assert_eq!(told, glance("12:00:00", "11:35:00"), "five of five minutes");
}

#[test]
fn a_share_is_asked_for_an_hour_a_trend_for_a_day_and_a_comparison_from_the_day_before_the_start() {
    let span = |from: &str, until: &str| Some((from.to_owned(), until.to_owned()));
    let state = baking(measures(), 1);
    let until = "2026-11-02T12:01:00Z";
    let day_before = span("2026-11-01T09:00:00Z", until);
    assert_eq!(asked(&state, "old errors", 1), day_before);
    let trend = span("2026-11-01T12:00:00Z", "2026-11-02T12:00:00Z");
    assert_eq!(asked(&state, "new memory", 5), trend);
    let mut shares = baking(with_traffic(), 1);
    let from_start = span("2026-11-02T09:00:00Z", until);
    assert_eq!(asked(&shares, "new requests", 1), from_start);
    // What was journaled is not asked for again, but for the last hour, …
    shares.measured.tally = Some(journaled(time("11:50:00"), 0, 0));
    let hour = span("2026-11-02T11:01:00Z", until);
    assert_eq!(asked(&shares, "new requests", 1), hour);
    let mut compared = baking(with_regression(), 1);
    compared.measured.tally = Some(journaled(time("11:30:00"), 0, 0));
    let rest = span("2026-11-02T11:30:00Z", until);
    assert_eq!(asked(&compared, "new errors", 1), rest);
    // … and what is older than a day and a half is left out.
    compared.measured.tally = Some(journaled(time("11:30:00") - mins(3 * 24 * 60), 0, 0));
    let bounded = span("2026-11-01T00:01:00Z", until);
    assert_eq!(asked(&compared, "new errors", 1), bounded);
}

#[test]
fn a_steps_requests_count_from_its_bake_on_and_on_top_of_what_was_journaled() {
    let mut state = baking(with_traffic(), 1);
    let counted = |state: &State, readings: &Readings| {
        let tally = weigh(state, readings).tally.expect("it has started");
        (tally.new_requests, tally.old_requests, tally.until)
    };
    assert_eq!(count_from(&state), Some(time("09:00:00")));
    let until = time("09:30:00");
    let readings = flowing(time("09:00:00"), until);
    assert_eq!(counted(&state, &readings), (200, 1_800, until));
    state.measured.tally = Some(journaled(time("09:20:00"), 7, 70));
    assert_eq!(counted(&state, &readings), (107, 970, until));
    // Up to where all of it was read; and nothing where some of it was not.
    let mut uneven = readings.clone();
    let sooner = time("09:25:00");
    uneven.insert(
        series("old requests", 1),
        each(time("09:00:00"), sooner, 90),
    );
    assert_eq!(counted(&state, &uneven), (57, 520, sooner));
    uneven.insert(
        series("old requests", 1),
        SeriesReading::Unreadable("no".to_owned()),
    );
    assert_eq!(counted(&state, &uneven), (7, 70, time("09:20:00")));
    // What was read before is not counted twice.
    state.measured.tally = Some(journaled(until, 7, 70));
    assert_eq!(counted(&state, &readings), (7, 70, until));
    state.measured.tally = None;
    state.measured.step_from = None;
    assert_eq!(counted(&state, &readings), (0, 0, until), "it settles");
    assert_eq!(weigh(&accepted(with_traffic()), &readings).tally, None);
}

#[test]
fn a_step_that_settles_has_no_requests_of_its_own_yet() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    world.run_to_bake(1);
    assert!(world.state().measured.step_from.is_some());
    world.run_to(Phase::Settling);
    assert_eq!(world.state().verified_step, 2);
    assert_eq!(world.state().measured.step_from, None);
}

#[test]
fn several_series_of_a_side_are_added_up_and_one_without_a_datapoint_adds_nothing() {
    let mut measures = with_traffic();
    let gate = measures.traffic.as_mut().expect("a gate");
    gate.new.push(series("more requests", 1));
    let state = baking(measures, 1);
    let until = time("09:30:00");
    let mut readings = flowing(time("09:00:00"), until);
    let few = each(time("09:12:00"), time("09:15:00"), 5);
    let SeriesReading::Read { points, .. } = few else {
        panic!("it was read");
    };
    let from = time("09:00:00");
    let few = SeriesReading::Read {
        from,
        until,
        points,
    };
    readings.insert(series("more requests", 1), few);
    let weighed = weigh(&state, &readings);
    assert_eq!(weighed.tally.expect("it was counted").new_requests, 215);
    let seen = weighed.observed.expect("it was read");
    assert_eq!((seen.new_requests, seen.old_requests), (215, 1_800));
}

/// Both sides' requests and errors that were compared.
fn compared(state: &State, readings: &Readings) -> [u64; 4] {
    let run = weigh(state, readings).tally.and_then(|tally| tally.run);
    let judged = Test::default().judge(&run.expect("it is compared"));
    let numbers = judged.numbers();
    let [new, old] = [numbers.new, numbers.old];
    [new.requests, new.errors, old.requests, old.errors]
}

#[test]
fn both_sides_are_compared_from_the_first_whole_minute_after_the_first_write() {
    // A minute more is taken off the first write, for clocks that differ; it was written at 09:01:30, then.
    let state = baking(with_regression(), 1);
    let (from, until) = (time("08:30:00"), time("09:30:00"));
    let readings = flowing(from, until);
    assert_eq!(compared(&state, &readings), [280, 28, 2_520, 28]);
    assert_eq!(count_from(&state), Some(time("09:00:00") - mins(24 * 60)));
    // A minute in which one side has no datapoint of errors has none.
    let mut sparse = readings.clone();
    sparse.insert(series("new errors", 1), each(until - mins(1), until, 3));
    assert_eq!(compared(&state, &sparse), [280, 3, 2_520, 28]);
}

#[test]
fn both_sides_are_compared_until_the_old_one_loses_its_weight() {
    let state = baking(with_regression(), 2);
    assert!(state.old_is_idle());
    let readings = flowing(time("08:30:00"), time("09:30:00"));
    // The last step began at 09:05:00: three minutes from 09:02 on.
    assert_eq!(compared(&state, &readings), [30, 3, 270, 3]);
}

#[test]
fn a_tally_is_journaled_at_once_and_then_every_half_hour() {
    let mut state = baking(with_traffic(), 1);
    let due = |state: &State, until: &str| is_due(state, &journaled(time(until), 0, 0));
    assert!(!due(&state, "09:00:00"));
    assert!(due(&state, "09:01:00"));
    state.measured.tally = Some(journaled(time("09:01:00"), 0, 0));
    assert!(!due(&state, "09:30:00"));
    assert!(due(&state, "09:31:00"));
    assert!(due(&state, "09:32:00"));
}

#[test]
fn an_amended_comparison_begins_anew_only_where_something_else_is_compared() {
    let before = with_regression();
    let gate = before.regression.clone().expect("a gate");
    let amended = |change: &dyn Fn(&mut RegressionGate)| {
        let mut gate = gate.clone();
        change(&mut gate);
        let now = Measures {
            regression: Some(gate),
            ..before.clone()
        };
        let mut measured = MetricFacts {
            tally: Some(Tally {
                run: Some(Test::default().evidence()),
                ..journaled(time("09:00:00"), 5, 50)
            }),
            ..MetricFacts::default()
        };
        measured.amended(&now, &before);
        let tally = measured.tally.expect("it is kept");
        assert_eq!((tally.new_requests, tally.old_requests), (5, 50));
        tally.run.is_some()
    };
    assert!(amended(&|_| {}));
    assert!(amended(
        &|gate| gate.test = Test::new(1.25, 0.01).expect("a test")
    ));
    assert!(amended(&|gate| gate.every_mins = 5));
    assert!(!amended(
        &|gate| gate.test = Test::new(1.5, 0.001).expect("a test")
    ));
    assert!(!amended(&|gate| gate.new.errors.clear()));
    assert!(!amended(&|gate| gate.old.requests.clear()));
}

#[test]
fn what_a_metric_read_before_the_step_stands_beside_what_it_reads_now() {
    let mut state = baking(with_metric(error_rate(1)), 1);
    let latest = |name: &str, percent: u32| Latest {
        name: name.to_owned(),
        unit: Unit::Percent,
        new: Some(Number::from(percent)),
        old: None,
    };
    let readings = vec![latest("other", 7), latest("error_rate", 3)];
    state.measured.tally = Some(Tally {
        readings,
        ..journaled(time("09:20:00"), 0, 0)
    });
    state.measured.step_taken();
    let flows = flowing(time("09:00:00"), time("09:30:00"));
    let weighed = weigh(&state, &flows);
    let gate = error_rate(1).id();
    let told = attribution(&state, &weighed, Some(&gate)).expect("there are metrics");
    let wanted = BeforeAfter {
        name: "error_rate".to_owned(),
        unit: Unit::Percent,
        before: Some(Number::from(3)),
        after: Some(Number::from(10)),
        old: Number::new(1.111_11),
    };
    assert_eq!(told.readings, [wanted]);
    assert_eq!((told.gate.as_ref(), told.step), (Some(&gate), 1));
    assert_eq!((told.intended, told.observed), (Share::percent(10), None));
    assert_eq!(told.old_too, Some(true), "1.11 % is beyond 1 % as well");
    // An alarm says nothing of the old side.
    let told = attribution(&state, &weighed, Some(&alarm("errors").into()));
    assert_eq!(told.expect("there are metrics").old_too, None);
    let bare = baking(Measures::default(), 1);
    assert_eq!(attribution(&bare, &weigh(&bare, &flows), None), None);
}

#[test]
fn a_gate_is_written_as_its_name_with_a_region_where_it_has_one_and_only_alarms_are_alarms() {
    let there = AlarmId {
        region: Some("us-east-1".to_owned()),
        name: "errors".to_owned(),
    };
    let gate = GateId::from(&there);
    assert_eq!(gate.to_string(), "errors (us-east-1)");
    assert_eq!(gate.gate, GateKind::Alarm);
    assert_eq!(GateId::from(alarm("errors")).to_string(), "errors");
    for (gate, json) in [
        (alarm("errors").into(), r#"{"name":"errors"}"#),
        (TrafficGate::id(), r#"{"gate":"traffic","name":"traffic"}"#),
        (
            RegressionGate::id(),
            r#"{"gate":"regression","name":"regression"}"#,
        ),
        (
            GateId::of(GateKind::Trend, "memory"),
            r#"{"gate":"trend","name":"memory"}"#,
        ),
        (
            error_rate(1).id(),
            r#"{"gate":"metric","name":"error_rate"}"#,
        ),
    ] {
        assert_eq!(gate.gate == GateKind::Alarm, json.starts_with(r#"{"name""#));
        assert_eq!(serde_json::to_string(&gate).expect("JSON"), json);
        assert_eq!(serde_json::from_str::<GateId>(json).expect("a gate"), gate);
    }
}

#[test]
fn a_gate_that_asks_for_no_least_number_of_requests_does_not_say_so() {
    let json = |min_requests| {
        let mut gate = error_rate(1);
        gate.min_requests = min_requests;
        let json = serde_json::to_value(&gate).expect("JSON");
        json.get("min_requests").cloned()
    };
    assert_eq!(json(0), None);
    assert_eq!(json(1), Some(1.into()));
}
