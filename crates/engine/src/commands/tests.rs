//! Which commands apply in which state: a small stream for each phase, and every command on it.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::event::{Envelope, JOURNAL_VERSION, Target};
use crate::fold::fold;
use crate::hold::{HoldReason, RevertCause};
use crate::jobs::{JobSide, JobSwitch, SwitchAt};
use crate::plan::{
    Account, AlarmGate, AwsSettings, Gates, Group, HoldOrRevert, NoData, Plan, Step, ZoneRef,
};
use crate::record::{GroupName, RecordSet};
use crate::units::{ChangeId, ControllerId, CutoverName, DnsName, Share, Weight, WriteId, ZoneId};

fn alarm(name: &str) -> AlarmId {
    AlarmId {
        region: None,
        name: name.to_owned(),
    }
}

fn gates(name: &str) -> Vec<AlarmGate> {
    vec![AlarmGate {
        id: alarm(name),
        no_data: NoData::Hold,
    }]
}

fn step(percent: u8, approval: bool) -> Step {
    Step {
        share: Share::percent(percent),
        pair: WeightPair::new(100 - percent, percent),
        bake: SignedDuration::from_hours(1),
        approval,
        approval_timeout: None,
    }
}

fn source() -> PlanSource {
    let records = vec![Group {
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
    }];
    PlanSource {
        plan: Plan {
            labels: BTreeMap::new(),
            after: Vec::new(),
            name: CutoverName::from("api"),
            description: None,
            aws: AwsSettings {
                region: None,
                account: Account::default(),
                others: BTreeMap::new(),
            },
            records,
            settle: None,
            steps: vec![step(5, false), step(50, true), step(100, false)],
            gates: Gates {
                alarms: gates("gate"),
                fallback_alarms: gates("fallback"),
                unknown_for: SignedDuration::from_mins(30),
                on_unknown: HoldOrRevert::Hold,
                both_red: HoldOrRevert::Hold,
                measures: crate::evidence::plan::Measures::default(),
            },
            windows: None,
            notify: None,
            hooks: Vec::new(),
            jobs: None,
        },
        path: "/plans/api.yaml".to_owned(),
        digest: "d1".to_owned(),
        text: String::new(),
    }
}

fn image(old: u8, new: u8) -> GroupImage {
    let record = |identifier: &str, weight| RecordSet {
        name: "api.example.com.".to_owned(),
        record_type: "A".to_owned(),
        set_identifier: identifier.to_owned(),
        weight: Weight(weight),
        ttl: Some(60),
        values: vec!["192.0.2.1".to_owned()],
        alias: None,
        health_check_id: None,
        unsupported: Vec::new(),
    };
    GroupImage {
        zone: ZoneId::from("Z1"),
        old: record("eks", old),
        new: record("ecs", new),
        others: Vec::new(),
    }
}

/// Returns the state after the plan was accepted and then these events happened, a minute apart.
fn after(events: Vec<Event>) -> State {
    let accepted = Event::PlanAccepted {
        source: Box::new(source()),
    };
    let start: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    let entries: Vec<Envelope> = std::iter::once(accepted)
        .chain(events)
        .zip(1_i64..)
        .map(|(event, seq)| Envelope {
            cutover: CutoverName::from("api"),
            attempt: 1,
            seq: u64::try_from(seq).unwrap(),
            at: start + SignedDuration::from_mins(seq),
            actor: "controller c1".to_owned(),
            version: JOURNAL_VERSION,
            event,
        })
        .collect();
    fold(&entries).unwrap().unwrap()
}

fn shifting() -> Vec<Event> {
    vec![Event::WeightChangeIntended {
        write_id: WriteId::from("w1"),
        owner: ControllerId::from("c1"),
        perform_by: "2026-11-20T10:02:15Z".parse().unwrap(),
        step: 1,
        targets: vec![Target {
            group: 0,
            zone: ZoneId::from("Z1"),
            from: image(100, 0),
            to: WeightPair::new(95, 5),
        }],
        baseline: Some(vec![image(100, 0)]),
    }]
}

fn baking() -> Vec<Event> {
    let mut events = shifting();
    events.extend([
        Event::WeightChangeSubmitted {
            write_id: WriteId::from("w1"),
            zone: ZoneId::from("Z1"),
            groups: vec![0],
            change_id: ChangeId::from("C1"),
            server_time: None,
        },
        Event::WeightsVerified {
            write_id: WriteId::from("w1"),
            step: 1,
            images: vec![image(95, 5)],
        },
        Event::ChangeInSync {
            change_id: ChangeId::from("C1"),
        },
        Event::BakeStarted { step: 1 },
    ]);
    events
}

fn baking_and(more: impl IntoIterator<Item = Event>) -> State {
    let mut events = baking();
    events.extend(more);
    after(events)
}

fn revert() -> Event {
    Event::RevertIntended {
        write_id: WriteId::from("w2"),
        cause: RevertCause::AlarmRed {
            alarm: alarm("gate"),
        },
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    }
}

fn reverted() -> State {
    baking_and([revert(), Event::Reverted { cancelled: false }])
}

fn halted() -> State {
    let reason = HaltReason::BothRed {
        gate: alarm("gate").into(),
        fallback: alarm("fallback").into(),
    };
    baking_and([Event::Halted { reason }])
}

fn drifted(old: u8, new: u8) -> State {
    let groups = BTreeMap::from([(0, Some(image(old, new)))]);
    baking_and([Event::DriftDetected {
        groups,
        members: BTreeMap::new(),
    }])
}

#[test]
fn a_pause_is_for_what_is_under_way_and_not_for_reverts() {
    assert!(pause(&after(vec![]), None).is_ok());
    assert!(pause(&after(shifting()), None).is_ok());
    assert!(pause(&halted(), None).is_ok());
    assert!(pause(&baking_and([revert()]), None).is_err());
    assert!(pause(&reverted(), None).is_err());
    let paused = baking_and([Event::PauseRequested { reason: None }]);
    assert!(pause(&paused, None).is_err());
    assert!(resume(&paused, None).is_ok());
    assert!(resume(&after(baking()), None).is_err());
}

#[test]
fn an_approval_is_bound_to_the_step_as_it_is() {
    let state = after(baking());
    let event = approve(&state, Some(2), "checked").unwrap();
    let expected = Event::StepApproved {
        step: 2,
        pair: WeightPair::new(50, 50),
        bake_secs: 3_600,
        reason: "checked".to_owned(),
        caller_arn: None,
    };
    assert_eq!(event, expected);
    assert!(approve(&baking_and([event]), Some(2), "again").is_err());
}

#[test]
fn without_a_number_only_the_step_that_waits_is_approved() {
    let refused = approve(&after(baking()), None, "x").unwrap_err();
    assert!(refused.0.contains("--step 2"), "{refused}");
    let because = vec![HoldReason::Approval { step: 2 }];
    let waiting = baking_and([Event::StepHeld { because }]);
    assert!(matches!(
        approve(&waiting, None, "x"),
        Ok(Event::StepApproved { step: 2, .. })
    ));
}

#[test]
fn steps_that_need_no_approval_or_are_taken_or_do_not_exist_are_not_approved() {
    for number in [0, 1, 3, 4] {
        assert!(
            approve(&after(baking()), Some(number), "x").is_err(),
            "{number}"
        );
    }
    assert!(approve(&reverted(), Some(2), "x").is_err());
}

#[test]
fn only_a_bake_is_skipped_and_only_once() {
    assert!(skip_bake(&after(shifting()), "x").is_err());
    assert!(
        skip_bake(&after(baking()), "x").is_err(),
        "its clock is stopped"
    );
    let event = skip_bake(&baking_and([Event::GatesPassed {}]), "x").unwrap();
    assert!(skip_bake(&baking_and([Event::GatesPassed {}, event]), "x").is_err());
}

#[test]
fn retry_is_for_reverted_and_halted() {
    assert!(retry(&reverted(), None).is_ok());
    assert!(retry(&halted(), None).is_ok());
    for state in [after(vec![]), after(shifting()), baking_and([revert()])] {
        assert!(retry(&state, None).is_err(), "{}", state.phase.label());
    }
}

#[test]
fn retry_waits_until_the_old_write_is_resolved() {
    let mut state = reverted();
    state.write = after(shifting()).write;
    assert!(retry(&state, None).is_err());
}

#[test]
fn an_amend_leaves_name_records_and_taken_steps_alone() {
    let state = after(baking());
    let changed = |change: &dyn Fn(&mut PlanSource)| {
        let mut source = source();
        source.digest = "d2".to_owned();
        change(&mut source);
        amend(&state, &source, None)
    };
    assert!(changed(&|source| source.plan.steps[1] = step(60, true)).is_ok());
    assert!(changed(&|source| source.plan.steps[0].bake = SignedDuration::from_hours(9)).is_ok());
    assert!(changed(&|source| source.plan.steps[0] = step(10, false)).is_err());
    assert!(changed(&|source| source.plan.name = CutoverName::from("other")).is_err());
    assert!(changed(&|source| source.plan.records[0].old = "x".to_owned()).is_err());
    assert!(amend(&state, &source(), None).is_err(), "nothing changed");
    assert!(changed(&|_| {}).is_ok(), "what it stands for changed");
    let described = changed(&|source| {
        source.digest = "d1".to_owned();
        source.plan.description = Some("more words".to_owned());
    });
    assert!(described.is_ok(), "no part of the digest");
    assert!(amend(&reverted(), &source(), None).is_err());
}

#[test]
fn jobs_are_amended_until_they_have_begun_to_move() {
    let jobs = |at| JobSwitch {
        at,
        wait: SignedDuration::ZERO,
        away: SignedDuration::ZERO,
        drain: SignedDuration::ZERO,
        jobs: Vec::new(),
    };
    let mut state = after(baking());
    state.source.plan.jobs = Some(jobs(SwitchAt::Complete));
    let mut others = state.source.clone();
    others.plan.jobs = Some(jobs(SwitchAt::Step(Share::percent(50))));
    let mut bakes = state.source.clone();
    bakes.plan.steps[1].bake = SignedDuration::from_hours(9);
    assert!(amend(&state, &others, None).is_ok());
    state.jobs.goal = Some(JobSide::New);
    assert!(amend(&state, &others, None).is_err());
    assert!(
        amend(&state, &bakes, None).is_ok(),
        "they stay as they were"
    );
}

#[test]
fn a_third_member_with_weight_is_not_adopted_and_one_without_is() {
    for (weight, adopted) in [(0, true), (1, false)] {
        let mut image = image(97, 3);
        let third = image.new.with_weight(Weight(weight));
        image.others.push(third);
        let groups = BTreeMap::from([(0, Some(image))]);
        let state = baking_and([Event::DriftDetected {
            groups,
            members: BTreeMap::new(),
        }]);
        assert_eq!(adopt_drift(&state, "x").is_ok(), adopted, "{weight}");
    }
}

#[test]
fn a_step_that_was_taken_is_not_to_be_approved_ahead() {
    // An amended plan may ask for the approval of a step that was taken already.
    let mut state = after(baking());
    state.source.plan.steps[0].approval = true;
    let refused = approve(&state, None, "x").unwrap_err();
    assert!(refused.0.contains("--step 2"), "{refused}");
}

#[test]
fn drift_is_adopted_only_if_the_new_side_gets_no_more() {
    assert!(adopt_drift(&drifted(97, 3), "x").is_ok());
    assert!(adopt_drift(&drifted(19, 1), "the same share in other numbers").is_ok());
    assert!(adopt_drift(&drifted(90, 10), "x").is_err());
    assert!(adopt_drift(&drifted(0, 0), "x").is_err());
    assert!(adopt_drift(&after(baking()), "x").is_err());
    let gone = baking_and([Event::DriftDetected {
        groups: BTreeMap::from([(0, None)]),
        members: BTreeMap::new(),
    }]);
    assert!(adopt_drift(&gone, "x").is_err());
}

#[test]
fn an_alarm_is_ignored_only_before_the_first_write() {
    let waiting = after(vec![]);
    let event = ignore_alarm(&waiting, &alarm("gate"), "x").unwrap();
    assert!(ignore_alarm(&after(vec![event]), &alarm("gate"), "x").is_err());
    assert!(ignore_alarm(&waiting, &alarm("fallback"), "x").is_err());
    assert!(ignore_alarm(&waiting, &alarm("other"), "x").is_err());
    assert!(ignore_alarm(&after(shifting()), &alarm("gate"), "x").is_err());
}

#[test]
fn a_rollback_is_asked_for_once_and_force_adds_to_it() {
    let ask = |state: &State, mode| rollback(state, mode, false, None).unwrap();
    for state in [after(vec![]), after(shifting()), after(baking()), halted()] {
        let need = ask(&state, RevertMode::Swap);
        assert!(
            matches!(need, RollbackNeed::Request(_)),
            "{}",
            state.phase.label()
        );
    }
    let asked = baking_and([Event::RollbackRequested {
        mode: RevertMode::Swap,
        reason: None,
    }]);
    for state in [asked, baking_and([revert()])] {
        assert_eq!(ask(&state, RevertMode::Swap), RollbackNeed::UnderWay);
        assert!(matches!(
            ask(&state, RevertMode::Force),
            RollbackNeed::Request(_)
        ));
    }
    // Only a reading of Route 53 shows if the records are at the baseline. Force writes the baseline once more.
    assert_eq!(ask(&reverted(), RevertMode::Swap), RollbackNeed::Ended);
    assert!(matches!(
        ask(&reverted(), RevertMode::Force),
        RollbackNeed::Request(_)
    ));
    let mut never_started = reverted();
    never_started.baseline = None;
    assert_eq!(ask(&never_started, RevertMode::Force), RollbackNeed::Ended);
}

#[test]
fn a_completed_cutover_is_taken_back_only_if_that_is_said() {
    let mut state = after(baking());
    state.phase = Phase::Completed;
    assert!(rollback(&state, RevertMode::Swap, false, None).is_err());
    assert!(rollback(&state, RevertMode::Swap, true, None).is_ok());
    state.baseline = None;
    assert!(rollback(&state, RevertMode::Swap, true, None).is_err());
}
