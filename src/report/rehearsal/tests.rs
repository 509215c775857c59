//! A rehearsal as text in 80 and in 200 columns and in a pipe, and as JSON.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

use super::film::{Film, Frame, Meaning, Reaction, Reel, Side, Tally, Trouble};
use super::runs::{By, CountedRun, Ended, Runs};
use super::{Look, runs, to_ascii, to_json, to_text};
use crate::engine::event::{Envelope, Event, RevertMode};
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::plan::{AlarmGate, AwsSettings, Gates, HoldOrRevert, NoData, Plan, Step};
use crate::engine::state::Phase;
use crate::engine::units::{AlarmId, ControllerId, CutoverName, Share, WeightPair, WriteId};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

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

fn plan() -> Plan {
    Plan {
        name: CutoverName::from("recipe-api"),
        description: None,
        aws: AwsSettings::default(),
        records: Vec::new(),
        settle: None,
        steps: vec![step(5), step(50), step(100)],
        gates: Gates {
            alarms: vec![
                gate("recipe-api-ecs-5xx-rate"),
                gate("recipe-api-ecs-p99-latency"),
            ],
            fallback_alarms: vec![gate("recipe-api-eks-unhealthy-hosts")],
            unknown_for: SignedDuration::from_mins(30),
            on_unknown: HoldOrRevert::Hold,
            both_red: HoldOrRevert::Hold,
            measures: crate::engine::evidence::plan::Measures::default(),
        },
        windows: None,
        notify: None,
        hooks: Vec::new(),
        jobs: None,
        labels: BTreeMap::new(),
        after: Vec::new(),
    }
}

fn entries(events: Vec<(&str, Event)>) -> Vec<Envelope> {
    let mut entries = Vec::new();
    for (seq, (when, event)) in (1..).zip(events) {
        entries.push(Envelope {
            cutover: CutoverName::from("recipe-api"),
            attempt: 1,
            seq,
            at: at(when),
            actor: "controller rehearsal".to_owned(),
            version: 1,
            event,
        });
    }
    entries
}

fn intended(step: u16, when: &str) -> (&str, Event) {
    let event = Event::WeightChangeIntended {
        write_id: WriteId::from("w"),
        owner: ControllerId::from("rehearsal"),
        perform_by: at(when),
        step,
        targets: Vec::new(),
        baseline: None,
    };
    (when, event)
}

/// Returns the entries of a cutover with errors two hours into step 2, which revert it within minutes, and half an hour
/// without CloudWatch in step 1.
fn story() -> Vec<Envelope> {
    let unknown = HoldReason::Unknown {
        alarm: alarm("recipe-api-ecs-5xx-rate").into(),
        message: "CloudWatch did not answer".to_owned(),
        since: Some(at("2026-12-01T12:00:20Z")),
    };
    let revert = Event::RevertIntended {
        write_id: WriteId::from("r"),
        cause: RevertCause::AlarmRed {
            alarm: alarm("recipe-api-ecs-5xx-rate"),
        },
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    };
    entries(vec![
        intended(1, "2026-12-01T00:00:00Z"),
        (
            "2026-12-01T12:00:20Z",
            Event::GateUnknown {
                alarm: alarm("recipe-api-ecs-5xx-rate").into(),
                reason: "CloudWatch did not answer".to_owned(),
            },
        ),
        (
            "2026-12-01T12:00:20Z",
            Event::StepHeld {
                because: vec![unknown],
            },
        ),
        (
            "2026-12-01T18:30:20Z",
            Event::GateKnown {
                alarm: alarm("recipe-api-ecs-5xx-rate").into(),
            },
        ),
        ("2026-12-01T18:30:20Z", Event::StepHeld { because: vec![] }),
        intended(2, "2026-12-02T06:35:00Z"),
        ("2026-12-02T08:39:10Z", revert),
        ("2026-12-02T08:39:25Z", Event::Reverted { cancelled: false }),
    ])
}

fn frame(minute: i64) -> Frame {
    let start = at("2026-12-01T00:00:00Z");
    let now = start + SignedDuration::from_mins(minute);
    let (step_2, bad, back) = (1_835, 1_955, 1_959);
    let intended = match minute {
        minute if minute < step_2 => 0.05,
        minute if minute < back => 0.5,
        _ => 0.0,
    };
    let late = f64::from(u32::try_from((minute - back).clamp(0, 60)).unwrap());
    let observed = if minute < back {
        intended
    } else {
        (0.5 * (-late / 3.0).exp()).max(0.002)
    };
    let failing = (bad..back + 40).contains(&minute);
    let red = (bad + 3..back + 45).contains(&minute);
    Frame {
        at: now,
        requests: 600.0,
        intended,
        observed,
        new: Side {
            errors: if failing { 0.2 } else { 0.001 },
            p99_ms: 250.0,
        },
        old: Side {
            errors: 0.001,
            p99_ms: 260.0,
        },
        red: if red {
            BTreeSet::from([alarm("recipe-api-ecs-5xx-rate")])
        } else {
            BTreeSet::new()
        },
    }
}

fn film() -> Film {
    let reel = Reel {
        name: CutoverName::from("recipe-api"),
        plan: plan(),
        entries: story(),
        phase: Phase::Reverted,
        phase_since: at("2026-12-02T08:39:25Z"),
        frames: (0..2_040).map(frame).collect(),
        near: (1_940..2_000).map(frame).collect(),
        tally: Tally {
            requests: 1_224_000.0,
            failed: 1_640.0,
            failed_by_cutover: 412.4,
            failed_without_revert: 240_300.0,
        },
        reaction: Some(Reaction {
            fault_at: Some(at("2026-12-02T08:35:00Z")),
            metric_at: Some(at("2026-12-02T08:37:00Z")),
            alarm_at: Some(at("2026-12-02T08:39:00Z")),
            decided_at: Some(at("2026-12-02T08:39:10Z")),
            written_at: Some(at("2026-12-02T08:39:11Z")),
            in_sync_at: Some(at("2026-12-02T08:39:41Z")),
            drained_at: Some(at("2026-12-02T08:53:00Z")),
        }),
    };
    let new_errors = Meaning::Errors {
        above: 0.05,
        old_side: false,
    };
    let old_errors = Meaning::Errors {
        above: 0.05,
        old_side: true,
    };
    let latency = Meaning::Latency {
        above_ms: 1_000.0,
        old_side: false,
    };
    Film {
        seed: 1,
        start: at("2026-12-01T00:00:00Z"),
        end: at("2026-12-02T10:00:00Z"),
        assumed: [
            (alarm("recipe-api-ecs-5xx-rate"), new_errors),
            (alarm("recipe-api-ecs-p99-latency"), latency),
            (alarm("recipe-api-eks-unhealthy-hosts"), old_errors),
        ]
        .into(),
        faults: vec![Trouble {
            what: "new errors 20% at step 2 + 2h".to_owned(),
            from: at("2026-12-02T08:35:00Z"),
            until: None,
        }],
        never: Vec::new(),
        reels: vec![reel],
        calls: [("ChangeResourceRecordSets".to_owned(), 3)].into(),
    }
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
fn a_film_fits_terminals_of_80_and_of_200_columns_and_a_pipe() {
    let film = film();
    for width in [Some(80), Some(200), None] {
        let shown = plain(&to_text(&film, &look(width)));
        let name = width.map_or("film_piped".to_owned(), |width| format!("film_{width}"));
        let charts = shown.lines().filter(|line| line.contains('│'));
        let widest = charts.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.unwrap_or(80), "{widest}");
        let all = shown
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap();
        assert!(width.is_none_or(|width| all <= width), "{all}");
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn a_film_can_be_drawn_in_ascii_and_says_the_same() {
    let shown = to_ascii(&plain(&to_text(&film(), &look(Some(80)))));
    assert!(shown.is_ascii());
    insta::assert_snapshot!("film_ascii", shown);
}

#[test]
fn times_are_shown_in_the_zone_of_the_start() {
    let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
    let look = Look {
        zone: tokyo,
        charts: false,
        width: None,
    };
    let shown = plain(&to_text(&film(), &look));
    assert!(
        shown.contains("2026-12-01 09:00 to 2026-12-02 19:00 (Asia/Tokyo)"),
        "{shown}"
    );
    assert!(
        shown.contains("Wed 12-02 17:39:10 ↩ revert: alarm recipe-api-ecs-5xx-rate is red"),
        "{shown}"
    );
}

#[test]
fn everything_is_in_the_json_and_keys_that_were_there_stay() {
    let mut shown = to_json(&film());
    let cutover = &shown["cutovers"][0];
    assert_eq!(cutover["name"], "recipe-api");
    assert_eq!(cutover["phase"], "reverted");
    assert_eq!(cutover["ended_at"], "2026-12-02T08:39:25Z");
    assert_eq!(
        (&shown["writes"], &shown["alarm_reads"]),
        (&3.into(), &0.into())
    );
    assert_eq!(shown["history"].as_array().unwrap().len(), 8);
    let frames = shown["cutovers"][0]["frames"].as_array_mut().unwrap();
    assert_eq!(frames.len(), 2_040);
    frames.truncate(1);
    shown["history"].as_array_mut().unwrap().truncate(1);
    insta::assert_json_snapshot!("film_json", shown);
}

fn counted() -> Runs {
    let mut runs = Vec::new();
    for seed in 1..=20 {
        runs.push(CountedRun {
            seed,
            ended: match seed {
                7 | 19 => Ended::Reverted(By::Red(alarm("api-p99"))),
                20 => Ended::Held(Some("alarm_missing".to_owned())),
                _ => Ended::Completed,
            },
            took: SignedDuration::from_hours(200)
                + SignedDuration::from_mins(i64::try_from(seed).unwrap()),
            failed: if seed == 7 { 1_500.0 } else { 0.0 },
        });
    }
    Runs {
        cutovers: [(CutoverName::from("api"), runs)].into(),
        faulty: false,
    }
}

#[test]
fn a_distribution_says_how_often_by_what_and_with_which_seeds() {
    let shown = runs::to_text(&counted(), &look(Some(80)));
    insta::assert_snapshot!("runs", plain(&shown));
    insta::assert_json_snapshot!("runs_json", runs::to_json(&counted()));
}
