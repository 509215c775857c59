//! One example of every event, for the fixture of journals that must stay readable.

use std::collections::BTreeMap;

use cutover::engine::around::AliasTtl;
use cutover::engine::event::{Event, FailureClass, JobFailure, LeftBehind, RevertMode, Target};
use cutover::engine::evidence::gate::Unit;
use cutover::engine::evidence::number::Number;
use cutover::engine::evidence::sequential::Test;
use cutover::engine::evidence::tally::{Latest, Tally};
use cutover::engine::fleet::{FleetSettings, SharedFate};
use cutover::engine::hold::{HaltReason, HoldReason, RevertCause};
use cutover::engine::hooks::{HookId, HookPoint};
use cutover::engine::jobs::JobSide;
use cutover::engine::plan::{
    AlarmGate, AwsSettings, Gates, Group, HoldOrRevert, NoData, Notify, Plan, PlanSource, Step,
    ZoneRef,
};
use cutover::engine::record::{AliasTarget, GroupImage, GroupName, RecordSet};
use cutover::engine::strays::Stray;
use cutover::engine::units::{
    AlarmId, ChangeId, ControllerId, CutoverName, DnsName, Share, Weight, WeightPair, WriteId,
    ZoneId,
};
use cutover_testbed::plan::role;
use jiff::{SignedDuration, Timestamp};

/// One event of every kind, in the order in which the engine declares them.
pub(crate) fn events() -> Vec<Event> {
    [
        moving(),
        watching(),
        reverting(),
        asked(),
        beside(),
        of_the_fleet(),
    ]
    .concat()
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn alarm(name: &str) -> AlarmId {
    AlarmId {
        region: Some("us-east-1".to_owned()),
        name: name.to_owned(),
    }
}

fn record(set_identifier: &str, weight: u8) -> RecordSet {
    RecordSet {
        name: "api.example.com.".to_owned(),
        record_type: "A".to_owned(),
        set_identifier: set_identifier.to_owned(),
        weight: Weight(weight),
        ttl: None,
        values: Vec::new(),
        alias: Some(AliasTarget {
            zone_id: "Z35SXDOTRQ7X7K".to_owned(),
            dns_name: format!("dualstack.{set_identifier}.us-east-1.elb.amazonaws.com."),
            evaluate_target_health: true,
        }),
        health_check_id: None,
        unsupported: Vec::new(),
    }
}

fn image(old: u8, new: u8) -> GroupImage {
    let plain = RecordSet {
        ttl: Some(60),
        values: vec!["192.0.2.1".to_owned()],
        alias: None,
        health_check_id: Some("hc-1".to_owned()),
        ..record("spare", 0)
    };
    GroupImage {
        zone: ZoneId::from("Z0123456789ABC"),
        old: record("eks", old),
        new: record("ecs", new),
        others: vec![plain],
    }
}

fn group_name() -> GroupName {
    GroupName {
        name: DnsName::new("api.example.com"),
        record_type: "A".to_owned(),
    }
}

fn plan() -> Plan {
    let gate = |name: &str, no_data| AlarmGate {
        id: alarm(name),
        no_data,
    };
    let step = |percent, approval| Step {
        share: Share::percent(percent),
        pair: WeightPair::new(100 - percent, percent),
        bake: SignedDuration::from_hours(24),
        approval,
        approval_timeout: None,
    };
    Plan {
        labels: BTreeMap::new(),
        after: Vec::new(),
        name: "recipe-api".into(),
        description: Some("EKS to ECS".to_owned()),
        aws: AwsSettings {
            region: Some("ap-northeast-1".to_owned()),
            account: role("arn:aws:iam::111111111111:role/cutover"),
            others: BTreeMap::new(),
        },
        records: vec![Group {
            zone: ZoneRef {
                zone: "example.com".to_owned(),
                private: Some(false),
            },
            name: group_name(),
            old: "eks".to_owned(),
            new: "ecs".to_owned(),
            account: None,
        }],
        settle: Some(SignedDuration::from_secs(120)),
        steps: vec![step(5, false), step(100, true)],
        gates: Gates {
            alarms: vec![gate("recipe-api-5xx-rate", NoData::Hold)],
            fallback_alarms: vec![gate("recipe-api-eks-unhealthy-hosts", NoData::Pass)],
            unknown_for: SignedDuration::from_mins(30),
            on_unknown: HoldOrRevert::Hold,
            both_red: HoldOrRevert::Revert,
            measures: cutover::engine::evidence::plan::Measures::default(),
        },
        windows: None,
        notify: Some(Notify {
            command: vec!["/usr/local/bin/page".to_owned(), "--team=api".to_owned()],
            channels: Vec::new(),
        }),
        hooks: Vec::new(),
        jobs: None,
    }
}

fn source() -> Box<PlanSource> {
    Box::new(PlanSource {
        plan: plan(),
        path: "/etc/cutover/recipe-api.yaml".to_owned(),
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        text: "version: 1\nname: recipe-api  # \u{e9}\n".to_owned(),
    })
}

fn moving() -> Vec<Event> {
    let (write_id, zone) = (WriteId::from("w-1"), ZoneId::from("Z0123456789ABC"));
    let change_id = ChangeId::from("C2682N5HXP0BZ4");
    vec![
        Event::PlanAccepted { source: source() },
        Event::WeightChangeIntended {
            write_id: write_id.clone(),
            owner: ControllerId::from("controller-1"),
            perform_by: time("2026-11-21T09:00:15Z"),
            step: 1,
            targets: vec![Target {
                group: 0,
                zone: zone.clone(),
                from: image(100, 0),
                to: WeightPair::new(95, 5),
            }],
            baseline: Some(vec![image(100, 0)]),
        },
        Event::WeightChangeSubmitted {
            write_id: write_id.clone(),
            zone: zone.clone(),
            groups: vec![0],
            change_id: change_id.clone(),
            server_time: Some(time("2026-11-21T09:00:01Z")),
        },
        Event::WeightChangeFailed {
            write_id: write_id.clone(),
            zone: zone.clone(),
            groups: vec![0],
            class: FailureClass::NotSent,
            message: "the deadline had passed".to_owned(),
        },
        Event::WeightChangeAbandoned {
            write_id: write_id.clone(),
            moved: BTreeMap::from([(0, image(95, 5))]),
            landed: vec![1],
            reason: "the deadline had passed".to_owned(),
        },
        Event::WeightsVerified {
            write_id: write_id.clone(),
            step: 1,
            images: vec![image(95, 5)],
        },
        Event::ChangeLost {
            write_id,
            change_id: Some(change_id.clone()),
            groups: vec![0],
        },
        Event::ChangeInSync { change_id },
        Event::AliasTtlsRead {
            ttls: vec![AliasTtl {
                zone: ZoneId::from("Z0123456789ABCDEFGHIJ"),
                target: GroupName {
                    name: DnsName::new("new.example.com"),
                    record_type: "A".to_owned(),
                },
                ttl_secs: 3_600,
            }],
        },
        Event::BakeStarted { step: 1 },
        Event::GatesPassed {},
        Event::BakeCounted {
            until: time("2026-11-21T10:00:00.123456789Z"),
            running: true,
        },
        Event::StepReopened { step: 1 },
        Event::StepCompleted { step: 1 },
    ]
}

fn watching() -> Vec<Event> {
    let red = alarm("recipe-api-5xx-rate");
    vec![
        Event::StepHeld { because: holds() },
        Event::GateUnknown {
            alarm: red.clone().into(),
            reason: "CloudWatch did not answer".to_owned(),
        },
        Event::GateKnown {
            alarm: red.clone().into(),
        },
        Event::EvidenceCounted {
            tally: Box::new(Tally {
                until: time("2026-11-21T09:30:00Z"),
                new_requests: 1_200,
                old_requests: 22_800,
                run: Some(Test::default().evidence()),
                readings: vec![Latest {
                    name: "error_rate".to_owned(),
                    unit: Unit::Percent,
                    new: Some(Number::from(1)),
                    old: None,
                }],
            }),
        },
        Event::AlarmJudged {
            alarm: red.clone(),
            transitioned_at: time("2026-11-21T09:30:00Z"),
            red: true,
        },
        Event::AlarmIgnored {
            alarm: red.clone(),
            reason: "known, JIRA-1".to_owned(),
        },
        Event::AlarmArmed { alarm: red },
        Event::DriftDetected {
            groups: BTreeMap::from([(0, Some(image(50, 50))), (1, None)]),
            members: BTreeMap::new(),
        },
        Event::DriftCleared {},
        Event::DriftAdopted {
            images: BTreeMap::from([(0, image(97, 3))]),
            reason: "ours, by hand".to_owned(),
        },
    ]
}

pub(crate) fn holds() -> Vec<HoldReason> {
    vec![
        HoldReason::JournalDamaged {
            entry: 19,
            message: "bake_started cannot follow: that step was not verified".to_owned(),
        },
        HoldReason::Halted {
            reason: HaltReason::BothRed {
                gate: alarm("recipe-api-5xx-rate").into(),
                fallback: alarm("recipe-api-eks-unhealthy-hosts").into(),
            },
        },
        HoldReason::Drift {
            groups: vec![group_name()],
            found: Vec::new(),
            adoption: cutover::engine::drifted::Adoption::Refused,
        },
        HoldReason::AlreadyAtBaseline {},
        HoldReason::Approval { step: 2 },
        HoldReason::Baking {
            step: 1,
            until: Some(time("2026-11-22T09:00:00Z")),
            counted_secs: 600,
        },
    ]
}

fn beside() -> Vec<Event> {
    let hook = HookId {
        point: HookPoint::BeforeStep,
        step: 2,
        index: 1,
    };
    let (call_id, turn_id) = (WriteId::from("h-1"), WriteId::from("j-1"));
    vec![
        Event::HookIntended {
            hook,
            call_id: call_id.clone(),
            owner: ControllerId::from("controller-1"),
            number: 1,
            ends_by: time("2026-11-21T09:00:30Z"),
        },
        Event::HookSucceeded {
            hook,
            call_id: call_id.clone(),
            output: "warm".to_owned(),
        },
        Event::HookFailed {
            hook,
            call_id,
            message: "exit status: 3".to_owned(),
            output: "no such deployment".to_owned(),
            given_up: true,
        },
        Event::JobSwitchIntended { to: JobSide::New },
        Event::JobTurnIntended {
            turn_id: turn_id.clone(),
            owner: ControllerId::from("controller-1"),
            perform_by: time("2026-11-21T09:00:15Z"),
            lands_by: time("2026-11-21T09:01:00Z"),
            side: JobSide::Old,
            on: false,
            jobs: vec![0, 1],
            names: vec!["nightly".to_owned(), "hourly".to_owned()],
        },
        Event::JobTurnAnswered {
            turn_id: turn_id.clone(),
            failed: BTreeMap::from([(
                1,
                JobFailure {
                    class: FailureClass::Throttled,
                    message: "DisableRule: Rate exceeded".to_owned(),
                },
            )]),
        },
        Event::JobTurnResolved {
            turn_id,
            on: vec![1],
        },
        Event::JobsOff { side: JobSide::Old },
        Event::JobsDrained { side: JobSide::Old },
        Event::JobsMoved { to: JobSide::New },
    ]
}

fn reverting() -> Vec<Event> {
    vec![
        Event::RevertIntended {
            write_id: WriteId::from("w-2"),
            cause: RevertCause::AlarmFlapped {
                alarm: alarm("recipe-api-5xx-rate"),
                at: time("2026-11-21T09:29:00Z"),
            },
            mode: RevertMode::Swap,
            shared: None,
            seen: None,
        },
        Event::RevertPerformedUnjournaled {
            write_id: WriteId::from("w-3"),
            cause: RevertCause::LateWrite {},
            decided_at: time("2026-11-21T09:31:00Z"),
        },
        Event::BaselineSeen {
            at: Some(time("2026-11-21T09:32:00Z")),
        },
        Event::ForeignWeightsSeen {
            groups: BTreeMap::from([(0, None)]),
            read_at: time("2026-11-21T09:31:30Z"),
        },
        Event::StrayWeightsFound {
            members: vec![Stray {
                group: group_name(),
                set_identifier: "cluster-new".to_owned(),
                weight: Weight(25),
                of: 200,
                target: "new.example.org".to_owned(),
            }],
        },
        Event::Reverted { cancelled: false },
        Event::Halted {
            reason: HaltReason::Drift {
                groups: vec![group_name()],
                found: Vec::new(),
            },
        },
        Event::Completed { adopted: None },
        Event::Abandoned {
            reason: "terraform owns it".to_owned(),
            left: vec![LeftBehind::Revert {}],
        },
        Event::PageSent {
            of: 21,
            logged_only: true,
            skipped: vec!["slack ${SLACK}".to_owned()],
        },
    ]
}

fn asked() -> Vec<Event> {
    let reason = Some("deploy under way".to_owned());
    vec![
        Event::PauseRequested {
            reason: reason.clone(),
        },
        Event::ResumeRequested { reason: None },
        Event::StepApproved {
            step: 2,
            pair: WeightPair::new(0, 100),
            bake_secs: 86_400,
            reason: "looks good".to_owned(),
            caller_arn: None,
        },
        Event::BakeSkipRequested {
            step: 1,
            reason: "long enough".to_owned(),
        },
        Event::BakeSkipDecided {
            step: 1,
            skipped: true,
        },
        Event::RetryRequested {
            reason: reason.clone(),
        },
        Event::PlanAmended {
            source: source(),
            reason: reason.clone(),
        },
        Event::RollbackRequested {
            mode: RevertMode::Force,
            reason,
        },
    ]
}

fn of_the_fleet() -> Vec<Event> {
    let names = ["cart", "recipe-api", "search"].map(CutoverName::from);
    vec![
        Event::FleetSettingsAccepted {
            settings: FleetSettings {
                max_in_flight: Some(10),
                failure_budget: Some(1),
                notify: Some(Notify {
                    command: vec!["page".to_owned(), "sre".to_owned()],
                    channels: Vec::new(),
                }),
            },
            path: "/plans/fleet.yaml".to_owned(),
        },
        Event::FleetSlotTaken {
            of: CutoverName::from("recipe-api"),
        },
        Event::FleetBudgetSpent {
            spent: 3,
            budget: 1,
            reverted: names.to_vec(),
            shared: Some(SharedFate {
                services: 3,
                named: names.to_vec(),
                since: time("2026-11-21T09:29:00Z"),
            }),
        },
        Event::FleetHeld {
            reason: HoldReason::Route53Unreadable {
                group: group_name(),
                message: "ListResourceRecordSets: access denied".to_owned(),
            },
            services: 400,
            named: names.to_vec(),
            since: time("2026-11-21T09:29:00Z"),
        },
        Event::FleetFrozen {
            until: Some(time("2026-11-21T18:00:00Z")),
            reason: "sale".to_owned(),
        },
        Event::FleetUnfrozen {
            reason: Some("the sale is over".to_owned()),
        },
        Event::FleetResumed {
            reason: "bad image".to_owned(),
            forgiven: [(CutoverName::from("recipe-api"), 18)].into(),
        },
        Event::CutoverDamaged {
            of: CutoverName::from("recipe-api"),
            entry: 19,
            why: "bake_started cannot follow: that step was not verified".to_owned(),
        },
        Event::DamagedTakenBack {
            of: CutoverName::from("recipe-api"),
            back: 1,
            groups: 2,
            reason: Some("incident 42".to_owned()),
        },
    ]
}
