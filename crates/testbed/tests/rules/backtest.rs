//! The backtest: claims about plans that are started in a recorded past.

use cutover_engine::backtest::{
    AlarmChange, AlarmRecord, Backtest, End, Past, RECORD_VERSION, Record, RecordError, Run,
    SeriesPast, SeriesRecord, Sight, Week, replay,
};
use cutover_engine::evidence::gate::GateId;
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::observation::{AlarmReading, AlarmState};
use cutover_engine::plan::{Account, HoldOrRevert, Plan};
use cutover_engine::window::Windows;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use proptest::proptest;

use cutover_testbed::backtest::backtest;
use cutover_testbed::flow::{measures, series};
use cutover_testbed::plan::{alarm, plan, source};

use AlarmState::{Alarm, InsufficientData, Ok as Green};

fn start() -> Timestamp {
    "2026-11-02T09:00:00Z".parse().expect("a time")
}

fn at(minute: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minute)
}

fn change(minute: i64, to: AlarmState) -> AlarmChange {
    AlarmChange {
        at: at(minute),
        from: None,
        to,
    }
}

/// `errors` changed like this, the other two alarms of the plan were green; so many hours.
fn record(hours: i64, before: AlarmState, changes: Vec<AlarmChange>) -> Record {
    let green = Past::Known {
        before: Green,
        changes: Vec::new(),
    };
    let pasts = [
        ("errors", Past::Known { before, changes }),
        ("latency", green.clone()),
        ("fallback", green),
    ];
    let alarms = pasts.map(|(name, past)| AlarmRecord {
        account: Account::default(),
        id: alarm(name),
        past,
    });
    Record {
        version: RECORD_VERSION,
        since: start(),
        until: at(60 * hours),
        alarms: alarms.into(),
        series: Vec::new(),
    }
}

/// Steps of 10 % and 100 % with an hour's bake each; the second one needs an approval.
fn two_hours() -> Plan {
    plan(&[2, 1], &[(10, 60, false), (100, 60, true)])
}

fn hourly(plan: Plan, record: &Record) -> Backtest {
    backtest(&source(plan), record, SignedDuration::from_hours(1))
}

fn one(plan: Plan, record: &Record) -> Run {
    replay(&source(plan), record, start())
}

#[test]
fn a_quiet_past_completes_every_start_that_has_the_time() {
    let tested = hourly(two_hours(), &record(10, Green, Vec::new()));
    let ends = tested.ends();
    assert_eq!((ends.completed, ends.cut, ends.reverted), (8, 2, 0));
    let took = tested.took();
    // Two bakes, and for each step a minute until it is everywhere and one for the resolvers.
    assert!(
        took.iter()
            .all(|took| took.as_mins() >= 124 && took.as_mins() <= 126),
        "{took:?}"
    );
    assert_eq!(tested.week(), None);
}

#[test]
fn a_gate_that_was_red_takes_back_what_was_under_way() {
    let changes = vec![change(200, Alarm), change(205, Green)];
    let tested = hourly(two_hours(), &record(10, Green, changes));
    let reverted: Vec<&Run> = tested
        .runs
        .iter()
        .filter(|run| run.reverted_by().is_some())
        .collect();
    let starts: Vec<Timestamp> = reverted.iter().map(|run| run.start).collect();
    assert_eq!(starts, [at(120), at(180)]);
    let End::Reverted {
        at: reverted_at,
        step,
        cause,
    } = &reverted[0].end
    else {
        panic!("it was reverted");
    };
    assert_eq!((*reverted_at, *step), (at(200), 2));
    assert_eq!(
        *cause,
        RevertCause::AlarmRed {
            alarm: alarm("errors")
        }
    );
    assert_eq!(tested.gates[0].reverted, 2);
    assert_eq!(tested.gates[0].flaps(), 1);
    assert_eq!(tested.gates[1].reverted, 0);
}

#[test]
fn an_alarm_that_is_red_at_the_start_holds_it_until_it_is_green() {
    let run = one(two_hours(), &record(10, Alarm, vec![change(90, Green)]));
    assert_eq!(run.began_at, Some(at(90)));
    assert!(matches!(run.end, End::Completed { .. }), "{run:?}");
    let run = one(two_hours(), &record(10, Alarm, Vec::new()));
    let End::Cut { step: 0, because } = &run.end else {
        panic!("{run:?}");
    };
    assert_eq!(
        because[0],
        HoldReason::AlarmRed {
            alarm: alarm("errors").into(),
            started: false
        }
    );
}

#[test]
fn time_without_data_does_not_count_and_reverts_only_where_the_plan_says_so() {
    let changes = || vec![change(30, InsufficientData), change(80, Green)];
    let run = one(two_hours(), &record(10, Green, changes()));
    let took = run.took().expect("it goes through");
    assert!((174..=176).contains(&took.as_mins()), "{took:?}");
    let mut plan = two_hours();
    plan.gates.on_unknown = HoldOrRevert::Revert;
    let run = one(plan, &record(10, Green, changes()));
    let End::Reverted {
        at: reverted_at, ..
    } = run.end
    else {
        panic!("{run:?}");
    };
    assert_eq!(reverted_at, at(60));
}

#[test]
fn a_red_fallback_alarm_halts_instead() {
    let mut record = record(10, Green, vec![change(30, Alarm)]);
    record.alarms[2].past = Past::Known {
        before: Green,
        changes: vec![change(20, Alarm)],
    };
    let run = one(two_hours(), &record);
    assert!(matches!(run.end, End::Halted { at: halted_at, step: 1, .. } if halted_at == at(30)));
}

#[test]
fn what_was_never_seen_is_left_out_and_named() {
    let mut record = record(10, InsufficientData, Vec::new());
    record.alarms[1].past = Past::Missing;
    record.alarms.remove(2);
    let tested = hourly(two_hours(), &record);
    let sights: Vec<&Sight> = tested.gates.iter().map(|gate| &gate.sight).collect();
    assert_eq!(
        sights,
        [&Sight::NeverData, &Sight::Missing, &Sight::NotRecorded]
    );
    assert!(
        tested.runs.is_empty(),
        "nothing can be said about no gate at all"
    );
    record.alarms[1].past = Past::Known {
        before: Green,
        changes: vec![change(30, Alarm)],
    };
    let tested = hourly(two_hours(), &record);
    assert_eq!(
        tested.runs[0].reverted_by(),
        Some(GateId::from(alarm("latency")))
    );
}

#[test]
fn windows_hold_starts_as_they_would_today() {
    let mut plan = two_hours();
    let entries = |entries: &[&str]| {
        let parsed = entries.iter().map(|entry| entry.parse().expect("an entry"));
        parsed.collect::<Vec<_>>()
    };
    plan.windows = Some(Windows {
        time_zone: cutover_engine::window::Zone::utc(),
        allow: entries(&["Mon-Fri 14:00-15:00"]),
        deny: Vec::new(),
        whole_bake: false,
    });
    let run = one(plan, &record(48, Green, Vec::new()));
    assert_eq!(run.began_at, Some(at(5 * 60)));
    let End::Completed { at: completed_at } = run.end else {
        panic!("{run:?}");
    };
    assert_eq!(completed_at.duration_since(at(29 * 60)).as_hours(), 1);
}

#[test]
fn a_week_counts_the_starts_that_have_a_week_after_them() {
    let days: Vec<AlarmChange> = (1..9)
        .filter(|day| day % 4 == 0)
        .flat_map(|day| [change(day * 1_440, Alarm), change(day * 1_440 + 30, Green)])
        .collect();
    let long = plan(&[1], &[(10, 6 * 1_440, false), (100, 6 * 1_440, false)]);
    let tested = backtest(
        &source(long),
        &record(14 * 24, Green, days),
        SignedDuration::from_hours(24),
    );
    assert_eq!(
        tested.week(),
        Some(Week {
            starts: 8,
            reverted: 8
        })
    );
}

#[test]
fn a_record_from_a_newer_program_is_refused() {
    let mut record = record(1, Green, Vec::new());
    assert_eq!(record.check(), Ok(()));
    let text = serde_json::to_string(&record).expect("a record is JSON");
    assert_eq!(
        serde_json::from_str::<Record>(&text).expect("it reads back"),
        record
    );
    record.version = 9;
    assert_eq!(record.check(), Err(RecordError::Newer(9)));
    record.version = 1;
    record.until = record.since;
    assert!(record.check().is_err());
}

#[test]
fn the_past_is_put_together_from_now_and_then() {
    let found = |state, transitioned_at| AlarmReading::Found {
        state,
        transitioned_at,
        evaluation: None,
    };
    let known = |before, changes| Past::Known { before, changes };
    let of = |now, changes| Past::of(&now, changes, start());
    assert_eq!(of(AlarmReading::Missing, Vec::new()), Past::Missing);
    assert_eq!(
        of(found(Green, Some(at(-9))), Vec::new()),
        known(Green, Vec::new())
    );
    let entered = AlarmChange {
        from: Some(Green),
        ..change(5, Alarm)
    };
    assert_eq!(
        of(found(Alarm, Some(at(5))), vec![entered]),
        known(Green, vec![entered])
    );
    // Changed since, and no history of it: nobody can tell what it was before.
    let forgotten = known(InsufficientData, vec![change(5, Green)]);
    assert_eq!(of(found(Green, Some(at(5))), Vec::new()), forgotten);
}

fn changes() -> impl Strategy<Value = Vec<AlarmChange>> {
    let state = prop_oneof![3 => Just(Green), 2 => Just(Alarm), 1 => Just(InsufficientData)];
    vec((-30_i64..700, state), 0..12).prop_map(|changes| {
        let mut changes: Vec<_> = changes
            .into_iter()
            .map(|(minute, to)| change(minute, to))
            .collect();
        changes.sort_by_key(|change| change.at);
        changes
    })
}

use proptest::prelude::Just;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn states_cover_all_of_the_time_once(changes in changes(), red in any::<bool>()) {
        let before = if red { Alarm } else { Green };
        let past = Past::Known { before, changes };
        let stretches = past.stretches(start(), at(600));
        prop_assert_eq!(stretches[0].from, start());
        prop_assert_eq!(stretches[stretches.len() - 1].until, at(600));
        for pair in stretches.windows(2) {
            prop_assert_eq!(pair[0].until, pair[1].from);
            prop_assert!(pair[0].state != pair[1].state);
        }
        for stretch in &stretches {
            let AlarmReading::Found { state, .. } = past.reading_at(stretch.from) else {
                panic!("it is known");
            };
            prop_assert_eq!(state, stretch.state);
        }
    }

    #[test]
    fn a_start_goes_through_only_if_no_gate_was_red_meanwhile(changes in changes()) {
        let record = record(10, Green, changes);
        let past = record.alarms[0].past.clone();
        let run = one(two_hours(), &record);
        let entered = past.entered(at(600));
        let red_since = |until: Timestamp| {
            let began_at = run.began_at.expect("it began");
            entered.iter().any(|at| *at > began_at && *at <= until)
        };
        match &run.end {
            End::Completed { at } => prop_assert!(!red_since(*at)),
            End::Reverted { at, .. } => prop_assert!(red_since(*at)),
            End::Halted { .. } => prop_assert!(false, "no fallback alarm was red"),
            End::Cut { .. } => {}
        }
    }
}

#[test]
fn a_record_that_nobody_can_have_written_is_refused_and_never_panics() {
    let well = || record(48, Green, vec![change(10, Alarm), change(20, Green)]);
    assert_eq!(well().check(), Ok(()));
    let wrong = |change: &dyn Fn(&mut Record)| {
        let mut record = well();
        change(&mut record);
        record.check().expect_err("it is refused").to_string()
    };
    let said = wrong(&|record| record.version = 0);
    assert!(said.starts_with("it has version 0"), "{said}");
    for (since, until) in [
        ("-009999-01-02T02:00:00Z", "-009999-01-09T02:00:00Z"),
        ("9999-12-29T00:00:00Z", "9999-12-30T20:00:00Z"),
        ("0001-01-01T00:00:00Z", "9999-12-30T00:00:00Z"),
    ] {
        let said = wrong(&|record| {
            (record.since, record.until) = (since.parse().unwrap(), until.parse().unwrap());
        });
        assert!(said.contains("not between 1970 and 2200"), "{said}");
    }
    let said = wrong(&|record| record.until = at(60 * 24 * 1_001));
    assert!(said.contains("1000 are the most"), "{said}");
    let said = wrong(&|record| {
        let changes = vec![change(20, Green), change(10, Alarm)];
        record.alarms[0].past = Past::Known {
            before: Green,
            changes,
        };
    });
    assert!(said.starts_with("the changes of alarm errors"), "{said}");
    let said = wrong(&|record| {
        record.series.push(SeriesRecord {
            account: Account::default(),
            query: series("new requests", 60),
            past: SeriesPast::Known {
                from: Timestamp::MAX,
                values: vec![None; 3],
            },
        });
    });
    assert!(said.contains("a series begins at"), "{said}");
    // The outermost times that are taken, with gates that look back a day.
    let mut plan = two_hours();
    plan.gates.measures = measures();
    for since in ["1970-01-01T00:00:00Z", "2199-12-01T00:00:00Z"] {
        let since: Timestamp = since.parse().unwrap();
        let mut record = record(1, Green, Vec::new());
        (record.since, record.until) = (since, since + SignedDuration::from_hours(8));
        record.check().expect("it is taken");
        let told = backtest(&source(plan.clone()), &record, SignedDuration::MAX);
        assert_eq!(told.runs.len(), 1);
    }
}
