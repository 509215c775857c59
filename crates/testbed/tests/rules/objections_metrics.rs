//! What the invariants make of metrics: derived from the readings alone, beside the gates that decide.

use std::sync::Arc;

use cutover_engine::check::Invariant;
use cutover_engine::event::Event;
use cutover_engine::evidence::gate::{Bound, GateId};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{Measure, Measures, MetricGate, Query};
use cutover_engine::evidence::reading::SeriesReading;
use cutover_engine::evidence::tally::Tally;
use cutover_engine::hold::HaltReason;
use cutover_engine::plan::HoldOrRevert;
use cutover_engine::units::Weight;
use jiff::{SignedDuration, Timestamp};

use super::objections::{Case, step_of};
use cutover_testbed::flow::{
    STEPS, error_rate, measured, measures, series, with_metric, with_regression, with_traffic,
    with_trend,
};

/// How a step is judged that is taken over what was read: it is lawful, a red gate would be let pass, or nobody knows.
const GREEN: Option<Invariant> = None;
const RED: Option<Invariant> = Some(Invariant::I3);
const BLIND: Option<Invariant> = Some(Invariant::I5);

impl Case {
    fn gate(&mut self) -> &mut MetricGate {
        &mut self.state.source.plan.gates.measures.metrics[0]
    }

    /// The series of this name ends with these datapoints, the newest last, and has no others.
    fn reads(&mut self, name: &str, values: &[Option<f64>]) {
        for (query, reading) in &mut self.observation.series {
            let SeriesReading::Read { until, points, .. } = reading else {
                panic!("it was read");
            };
            if query.inputs["m"].metric == name {
                let ends = (0..).map(|back| *until - query.period() * (back + 1));
                let newest = values.iter().rev().zip(ends);
                let known = newest.filter_map(|(value, at)| Some((at, Number::new((*value)?)?)));
                *points = Arc::new(known.collect());
            }
        }
    }

    /// One side's requests and errors of the last minutes, after a quarter of an hour in which all was well.
    fn rates(&mut self, side: &str, minutes: &[(f64, f64)]) {
        let minutes = [[FINE; 15].as_slice(), minutes].concat();
        let requests: Vec<_> = minutes.iter().map(|(all, _)| Some(*all)).collect();
        let errors: Vec<_> = minutes.iter().map(|(_, wrong)| Some(*wrong)).collect();
        self.reads(&format!("{side} requests"), &requests);
        self.reads(&format!("{side} errors"), &errors);
    }

    fn unread(&mut self, name: &str) {
        for (query, reading) in &mut self.observation.series {
            if query.inputs["m"].metric == name {
                *reading = SeriesReading::Unreadable("no answer".to_owned());
            }
        }
    }

    /// The last complete minute's end.
    fn until(&self) -> Timestamp {
        match self.observation.series.values().next() {
            Some(SeriesReading::Read { until, .. }) => *until,
            Some(SeriesReading::Unreadable(_) | SeriesReading::Denied(_)) | None => {
                panic!("it was read")
            }
        }
    }
}

/// A step over an error rate of at most 1 %, 3 of 5.
fn rated() -> Case {
    step_of(measured(&STEPS, with_metric(error_rate(1))))
}

const FINE: (f64, f64) = (1_000.0, 0.0);
const BAD: (f64, f64) = (1_000.0, 20.0);
const NONE: (f64, f64) = (0.0, 0.0);

#[test]
fn a_rate_is_red_from_so_many_minutes_beyond_its_bound() {
    let case = rated();
    let new = |minutes: &[(f64, f64)]| case.but(|case| case.rates("new", minutes));
    assert_eq!(new(&[BAD, BAD, FINE, FINE, FINE]), GREEN);
    assert_eq!(new(&[BAD, FINE, BAD, FINE, BAD]), RED);
    // A minute ago it was three of five: what is found in the last quarter of an hour counts (semantics L13).
    assert_eq!(new(&[BAD, BAD, BAD, FINE, FINE, FINE]), RED);
    assert_eq!(new(&[BAD, BAD, FINE, FINE, FINE, BAD]), GREEN, "of five");
    assert_eq!(new(&[(1_000.0, 10.0); 5]), GREEN, "at its bound");
    assert_eq!(new(&[(10_000.0, 101.0); 5]), RED);
}

#[test]
fn minutes_without_requests_count_as_doubts_since_the_bake_began() {
    let case = rated();
    let new = |minutes: &[(f64, f64)]| case.but(|case| case.rates("new", minutes));
    assert_eq!(new(&[NONE, NONE, FINE, FINE, FINE]), GREEN);
    assert_eq!(new(&[NONE, NONE, NONE, FINE, FINE]), BLIND);
    assert_eq!(new(&[BAD, BAD, NONE, FINE, FINE]), BLIND);
    let since = |mins: i64, minutes: &[(f64, f64)]| {
        case.but(|case| {
            let from = case.until() - SignedDuration::from_mins(mins);
            case.state.measured.step_from = Some(from);
            case.rates("new", minutes);
        })
    };
    assert_eq!(since(4, &[NONE, NONE, NONE, FINE, FINE]), GREEN);
    assert_eq!(since(5, &[NONE, NONE, NONE, FINE, FINE]), BLIND);
    assert_eq!(since(0, &[NONE; 5]), BLIND, "nothing is no pass");
    let before = case.but(|case| {
        case.state.measured.step_from = None;
        case.rates("new", &[NONE; 5]);
    });
    assert_eq!(before, GREEN, "nothing is watched yet");
    for (minutes, look) in [([NONE; 5], GREEN), ([BAD, BAD, BAD, NONE, NONE], RED)] {
        let passes = case.but(|case| {
            case.gate().no_data_passes = true;
            case.rates("new", &minutes);
        });
        assert_eq!(passes, look, "where having no data is well");
    }
}

#[test]
fn few_requests_say_nothing_by_themselves_and_something_together() {
    let case = rated();
    let least = |min_requests: u64, minutes: &[(f64, f64)]| {
        case.but(|case| {
            case.gate().min_requests = min_requests;
            case.rates("new", minutes);
        })
    };
    let few = (100.0, 2.0);
    let quiet = (100.0, 0.0);
    let busy = (1_000.0, 0.0);
    assert_eq!(least(100, &[few, few, few, busy, busy]), RED);
    assert_eq!(least(101, &[few, few, few, busy, busy]), BLIND);
    assert_eq!(least(101, &[few, few, quiet, busy, busy]), GREEN);
    // Six of 500 are 1.2 % together, if 500 are enough.
    let together = [few, few, few, quiet, quiet];
    assert_eq!(least(500, &together), RED);
    assert_eq!(least(501, &together), BLIND);
    // Three of 530 are less than 1 %.
    let thin = (50.0, 1.0);
    assert_eq!(
        least(200, &[thin, thin, thin, (190.0, 0.0), (190.0, 0.0)]),
        BLIND
    );
    // One that is bad, one too few, and one without any are three doubts.
    assert_eq!(least(1_000, &[BAD, few, NONE, FINE, FINE]), BLIND);
    assert_eq!(least(1_000, &[BAD, few, FINE, FINE, FINE]), GREEN);
}

#[test]
fn what_is_as_bad_on_the_old_side_may_halt_and_what_is_not_goes_back() {
    let mut case = rated();
    let gate = GateId::from(&cutover_testbed::plan::alarm("errors"));
    let reason = HaltReason::BothRed {
        gate: gate.clone(),
        fallback: gate,
    };
    case.decision = cutover_engine::decide::Decision {
        events: vec![Event::Halted { reason }],
        ..Default::default()
    };
    case.rates("new", &[BAD; 5]);
    assert_eq!(case.broken(), RED, "the old side is well");
    let both = |change: fn(&mut Case)| {
        case.but(|case| {
            case.rates("old", &[BAD; 5]);
            change(case);
        })
    };
    assert_eq!(both(|_| ()), None);
    assert_eq!(
        both(|case| case.rates("old", &[BAD, BAD, FINE, FINE, FINE])),
        RED
    );
    assert_eq!(both(|case| case.unread("old errors")), RED);
    assert_eq!(both(|case| case.unread("old requests")), RED);
    assert_eq!(both(|case| case.gate().old = None), RED);
    let reverts = |case: &mut Case| {
        case.state.source.plan.gates.both_red = HoldOrRevert::Revert;
    };
    assert_eq!(both(reverts), RED, "the plan says revert");
    let idle = |case: &mut Case| {
        for image in case.state.verified.iter_mut().flatten() {
            image.old.weight = Weight(0);
        }
    };
    assert_eq!(both(idle), RED, "what has no weight is no measure");
    assert_eq!(both(|case| case.decision.events.clear()), RED);
    let theirs = |case: &mut Case| {
        case.rates("new", &[FINE; 5]);
        case.decision.events.clear();
    };
    assert_eq!(both(theirs), None, "what is bad on the old side only");
}

/// A step over one series with this bound, and as it is read.
fn plain(bound: Bound, times: f64, value: f64, change: fn(&mut MetricGate)) -> Option<Invariant> {
    let query = |name: &str| -> Query { series(name, 1) };
    let mut gate = error_rate(1);
    (gate.bound, gate.old) = (bound, None);
    gate.new = Measure::Series {
        query: query("new memory"),
        times: Number::new(times).expect("finite"),
    };
    change(&mut gate);
    // As the world has it, it is far from every bound.
    let mut lawful = gate.clone();
    lawful.bound = match bound {
        Bound::Max(_) => Bound::Max(Number::from(1_000_000)),
        Bound::Min(_) => Bound::Min(Number::ZERO),
    };
    let case = step_of(measured(&STEPS, with_metric(lawful)));
    case.but(|case| {
        case.gate().bound = bound;
        case.reads("new memory", &[Some(value); 5]);
    })
}

#[test]
fn a_series_is_compared_in_the_bounds_own_unit_but_for_what_was_rounded() {
    let most = |most: u32| Bound::Max(Number::from(most));
    let least = |least: u32| Bound::Min(Number::from(least));
    assert_eq!(plain(most(500), 1_000.0, 0.4, |_| ()), GREEN);
    assert_eq!(plain(most(500), 1_000.0, 0.6, |_| ()), RED);
    assert_eq!(plain(least(99), 1.0, 99.5, |_| ()), GREEN);
    assert_eq!(plain(least(99), 1.0, 98.5, |_| ()), RED);
    assert_eq!(plain(most(1_000), 1.0, 1_000.005, |_| ()), GREEN);
    assert_eq!(plain(most(1_000), 1.0, 1_000.1, |_| ()), RED);
    assert_eq!(plain(least(1_000), 1.0, 999.995, |_| ()), GREEN);
    assert_eq!(plain(least(1_000), 1.0, 999.9, |_| ()), RED);
}

#[test]
fn a_count_that_is_not_told_is_zero_while_there_are_requests_and_nothing_else_is() {
    let silent = |change: fn(&mut Case)| {
        let mut gate = error_rate(1);
        gate.old = None;
        gate.new = Measure::Series {
            query: series("new errors", 1),
            times: Number::from(1),
        };
        gate.bound = Bound::Max(Number::from(5));
        let case = step_of(measured(&STEPS, with_metric(gate)));
        case.but(|case| {
            case.reads("new errors", &[]);
            change(case);
        })
    };
    assert_eq!(silent(|_| ()), GREEN);
    assert_eq!(
        silent(|case| case.reads("new requests", &[Some(0.0); 5])),
        BLIND
    );
    assert_eq!(silent(|case| case.gate().requests.clear()), BLIND);
    assert_eq!(
        silent(|case| case.gate().bound = Bound::Min(Number::ZERO)),
        BLIND
    );
    let average = |case: &mut Case| {
        let Measure::Series { query, .. } = &mut case.gate().new else {
            panic!("it is a series");
        };
        let mut series = (**query).clone();
        for metric in series.inputs.values_mut() {
            metric.stat = "Average".to_owned();
        }
        *query = Query::from(series);
        let (query, silent) = (query.clone(), Vec::new());
        let read = SeriesReading::Read {
            from: case.until(),
            until: case.until(),
            points: Arc::new(silent.into_iter().collect()),
        };
        case.observation.series.insert(query, read);
    };
    assert_eq!(silent(average), BLIND);
}

#[test]
fn a_step_waits_for_every_series_but_the_old_side_of_a_metric() {
    let names = |measures: Measures| {
        let case = step_of(measured(&STEPS, measures));
        let mut blind = Vec::new();
        for name in [
            "new requests",
            "new errors",
            "old requests",
            "old errors",
            "new memory",
        ] {
            if case.but(|case| case.unread(name)) == BLIND {
                blind.push(name);
            }
        }
        blind
    };
    assert_eq!(
        names(with_metric(error_rate(1))),
        ["new requests", "new errors"]
    );
    let counts = ["new requests", "new errors", "old requests", "old errors"];
    assert_eq!(names(with_regression()), counts);
    assert_eq!(names(with_traffic()), ["new requests", "old requests"]);
    assert_eq!(names(with_trend(true)), ["new requests", "new memory"]);
    let all = [
        "new requests",
        "new errors",
        "old requests",
        "old errors",
        "new memory",
    ];
    assert_eq!(names(measures()), all);
    let mut known = error_rate(1);
    known.new = Measure::Series {
        query: series("new memory", 1),
        times: Number::from(0),
    };
    assert_eq!(names(with_metric(known)), ["new requests", "new memory"]);
}

#[test]
fn a_step_waits_for_the_requests_that_the_plan_wants_since_its_bake_began() {
    let case = step_of(measured(&STEPS, with_traffic()));
    let had = |before: Option<u64>, minutes: &[Option<f64>]| {
        case.but(|case| {
            let begun = case.until() - SignedDuration::from_mins(10);
            case.state.measured.step_from = Some(begun);
            let counted = begun + SignedDuration::from_mins(7);
            case.state.measured.tally = before.map(|new_requests| Tally {
                until: counted,
                new_requests,
                old_requests: 0,
                run: None,
                readings: Vec::new(),
            });
            case.reads("new requests", minutes);
        })
    };
    let each = [Some(20.0); 10];
    assert_eq!(had(None, &each), GREEN, "200, as many as are wanted");
    let fewer = [&each[..9], &[Some(19.0)]].concat();
    assert_eq!(had(None, &fewer), BLIND);
    let earlier = [&[Some(100.0)], &fewer[..]].concat();
    assert_eq!(had(None, &earlier), BLIND, "what came before its bake");
    // Of what was counted by minute seven, nothing counts twice.
    assert_eq!(had(Some(140), &each), GREEN);
    assert_eq!(had(Some(139), &each), BLIND);
    let unwatched = case.but(|case| {
        case.state.measured.step_from = None;
        case.reads("new requests", &[]);
    });
    assert_eq!(unwatched, GREEN);
}

#[test]
fn a_datapoint_is_as_long_as_its_gate_says() {
    let mut gate = error_rate(1);
    let long = |name: &str| vec![series(name, 5)];
    gate.new = Measure::Rate {
        errors: long("new errors"),
        requests: long("new requests"),
    };
    (gate.old, gate.requests) = (None, long("new requests"));
    (gate.every_mins, gate.points, gate.of) = (5, 2, 3);
    let case = step_of(measured(&STEPS, with_metric(gate)));
    let new = |minutes: &[(f64, f64)]| case.but(|case| case.rates("new", minutes));
    assert_eq!(new(&[BAD, FINE, BAD]), RED);
    assert_eq!(new(&[BAD, FINE, FINE]), GREEN);
    assert_eq!(new(&[BAD, FINE, FINE, BAD]), GREEN);
}
