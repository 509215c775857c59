//! What small values say of themselves, and what must not be lost between them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cutover_engine::decide;
use cutover_engine::event::{Event, FailureClass, SendOutcome};
use cutover_engine::evidence::gate::GateId;
use cutover_engine::evidence::plan::Measures;
use cutover_engine::hold::HoldReason;
use cutover_engine::hooks::{HookId, HookPoint};
use cutover_engine::jobs::{HalfId, JobSide, JobTurn, JobsState};
use cutover_engine::observation::{AlarmState, FileReading};
use cutover_engine::record::{GroupImage, GroupName};
use cutover_engine::state::Phase;
use cutover_engine::units::{AlarmId, CutoverName, DnsName, Share, WeightPair};
use jiff::{SignedDuration, Timestamp};

use super::checker::decides;
use super::{baking, kinds, simple};
use cutover_testbed::beside;
use cutover_testbed::flow::{STEPS, error_rate, flow, measured, measures, with_metric};
use cutover_testbed::flow::{with_regression, with_traffic};
use cutover_testbed::plan::{alarm, record, source};
use cutover_testbed::world::World;

#[test]
fn a_phase_is_called_in_words_as_it_is_in_json() {
    for phase in Phase::ALL {
        assert_eq!(serde_json::json!(phase), phase.label());
    }
}

#[test]
fn a_group_is_its_name_and_its_type_and_a_record_is_of_it_by_both() {
    let group = GroupName {
        name: DnsName::new("API.example.com."),
        record_type: "A".to_owned(),
    };
    assert_eq!(group.to_string(), "api.example.com A");
    let other = DnsName::new("www.example.com");
    let mut member = record(&group.name, "eks", 100);
    assert!(member.is_of(&group));
    assert!(!record(&other, "eks", 100).is_of(&group));
    member.record_type = "AAAA".to_owned();
    assert!(!member.is_of(&group));
}

#[test]
fn a_gate_is_an_alarm_by_its_kind_its_region_and_its_name() {
    let here = alarm("errors");
    let there = AlarmId {
        region: Some("us-east-1".to_owned()),
        ..here.clone()
    };
    let gate = GateId::from(&here);
    assert!(gate == here);
    assert!(gate != there && gate != alarm("latency"));
    let metric = error_rate(1).id();
    assert!(
        metric != alarm("error_rate"),
        "of the same name, but no alarm"
    );
}

#[test]
fn a_plan_has_the_gates_that_it_names_and_no_others() {
    let mut gates = measured(&STEPS, measures()).gates;
    let trend = gates.measures.trends[0].id();
    for gate in [
        GateId::from(&alarm("errors")),
        GateId::from(&alarm("fallback")),
        error_rate(1).id(),
        trend,
    ] {
        assert!(gates.has(&gate), "{gate}");
    }
    assert!(!gates.has(&GateId::from(&alarm("nobody"))));
    gates.measures = Measures::default();
    assert!(!gates.has(&error_rate(1).id()));
}

#[test]
fn what_is_read_in_a_day_counts_each_metric_once_as_often_as_it_is_read() {
    let day = 24 * 60;
    // The requests and the errors of both sides, each minute.
    assert_eq!(with_metric(error_rate(1)).reads_a_day(), 4 * day);
    assert_eq!(with_regression().reads_a_day(), 4 * day);
    assert_eq!(with_traffic().reads_a_day(), 2 * day);
    let both = Measures {
        traffic: with_traffic().traffic,
        ..with_regression()
    };
    assert_eq!(both.reads_a_day(), 4 * day, "the same requests");
    let mut seldom = with_metric(error_rate(1));
    seldom.metrics[0].every_mins = 5;
    assert_eq!(seldom.reads_a_day(), 4 * day / 5);
}

#[test]
fn only_a_revert_goes_back_and_only_a_write_takes_a_step() {
    let mut world = baking();
    let (_, quiet) = decides(&mut world);
    assert!(!quiet.goes_back() && !quiet.takes_a_step());
    world.turn("errors", AlarmState::Alarm);
    world.pass(10);
    let (_, back) = decides(&mut world);
    assert!(back.goes_back() && !back.takes_a_step());
    let mut world = World::new(simple());
    let (_, step) = decides(&mut world);
    assert!(step.takes_a_step() && !step.goes_back());
}

#[test]
fn every_write_has_an_identifier_of_its_own() {
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    let ids = world.journal.iter().filter_map(|entry| match &entry.event {
        Event::WeightChangeIntended { write_id, .. } => Some(write_id.to_string()),
        _ => None,
    });
    let ids: Vec<String> = ids.collect();
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (2, 2));
    assert!(ids.iter().all(|id| id.contains("ctl-1")), "{ids:?}");
}

#[test]
fn a_group_that_another_cutover_moves_is_not_begun() {
    let mut world = World::new(simple());
    let (mut observation, free) = decides(&mut world);
    assert!(free.takes_a_step());
    observation.claimed = vec![(0, CutoverName::from("other"))];
    let held = decide::decide(world.state(), &world.fleet, &observation, world.now);
    assert!(!held.takes_a_step());
    let claimed = |reason: &HoldReason| matches!(reason, HoldReason::Claimed { by, .. } if *by == CutoverName::from("other"));
    assert!(held.because.iter().any(claimed), "{:?}", held.because);
}

#[test]
fn a_page_that_was_not_delivered_outlives_a_retry() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    let pages: Vec<u64> = world.state().pages.iter().copied().collect();
    assert!(!pages.is_empty());
    world.turn("errors", AlarmState::Ok);
    world.ask(Event::RetryRequested { reason: None });
    assert_eq!(world.state().attempt, 2);
    let after: Vec<u64> = world.state().pages.iter().copied().collect();
    assert_eq!(after, pages);
}

#[test]
fn before_the_first_write_a_changed_notification_is_taken_though_the_digest_is_the_same() {
    let mut world = World::new(simple());
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    let mut plan = simple();
    plan.notify = Some(cutover_engine::notify::Notify::default());
    let mut told = source(plan);
    told.digest = world.source.digest.clone();
    world.file = FileReading::Plan(Arc::new(told));
    world.tick(10);
    assert_eq!(world.count("plan_accepted"), 2);
}

#[test]
fn traffic_that_does_not_move_at_all_is_seen() {
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.moved = Some(0));
    world.run_to_bake(1);
    world.run_minutes(30);
    let told = world.because().iter().find_map(|reason| match reason {
        HoldReason::TrafficElsewhere { observed, .. } => Some(observed.value()),
        _ => None,
    });
    assert_eq!(told, Some(0.0), "{:?}", kinds(&world));
}

#[test]
fn an_early_comparison_waits_for_requests_and_does_not_despair() {
    let mut world = World::new(measured(&STEPS, with_regression()));
    flow(&mut world, |flow| flow.requests = 10);
    world.run_to_bake(1);
    world.run_minutes(5);
    assert_eq!(kinds(&world), ["too_few_requests", "baking"]);
}

#[test]
fn a_hook_is_called_by_its_place_in_the_plan_and_its_point() {
    let hook = |point: HookPoint, step: u16| HookId {
        point,
        step,
        index: 2,
    };
    let (start, step) = (
        hook(HookPoint::BeforeStart, 0),
        hook(HookPoint::AfterStep, 3),
    );
    assert_eq!(start.to_string(), "hook 2 (before_start)");
    assert_eq!(step.to_string(), "hook 2 (after_step, step 3)");
    let api = CutoverName::from("api");
    assert_eq!(start.key(&api, 1), "api/1/0/before_start/2");
    assert_eq!(step.key(&api, 4), "api/4/3/after_step/2");
    for (point, label, can_hold, has_step) in [
        (HookPoint::BeforeStart, "before_start", true, false),
        (HookPoint::BeforeStep, "before_step", true, true),
        (HookPoint::AfterStep, "after_step", true, true),
        (HookPoint::BeforeRevert, "before_revert", false, false),
        (HookPoint::AfterRevert, "after_revert", false, false),
        (HookPoint::Completed, "completed", false, false),
    ] {
        assert_eq!(point.to_string(), label);
        assert_eq!(serde_json::json!(point), label);
        assert_eq!((point.can_hold(), point.has_step()), (can_hold, has_step));
    }
    assert_eq!(beside::hook(HookPoint::Completed).tries(), 3);
}

#[test]
fn a_share_is_a_number_of_percent_and_whole_ones_are_known() {
    assert_eq!(Share::percent(200), Share::FULL);
    assert_eq!(Share::percent(12).millionths(), 12_000_000);
    let smallest: Share = "0.390625%".parse().expect("a share");
    assert_eq!(smallest.millionths(), 390_625);
    assert_eq!(smallest.as_percent().to_string(), "0.390625");
    assert_eq!(smallest.whole_percent(), None);
    assert_eq!(Share::percent(12).whole_percent(), Some(12));
    assert_eq!(
        "12.50%".parse::<Share>().expect("a share").to_string(),
        "12.5%"
    );
    assert_eq!(
        " 7 % ".parse::<Share>().expect("a share"),
        Share::percent(7)
    );
    for (text, said) in [
        ("5", "`5` has no unit; write `5%`"),
        ("five", "`five` is not a percentage; write for example `5%`"),
        ("100.000001%", "`100.000001%` is not between 0% and 100%"),
        ("99999999999%", "`99999999999%` is not between 0% and 100%"),
        ("-5%", "`-5%` is not between 0% and 100%"),
        ("-x%", "`-x%` is not a percentage; write for example `5%`"),
        ("0.1234567%", "`0.1234567%` has more than six decimals"),
    ] {
        assert_eq!(
            text.parse::<Share>().expect_err("no share").to_string(),
            said
        );
    }
    let quarter = WeightPair::new(3, 1);
    assert_eq!((quarter.sum(), quarter.to_string().as_str()), (4, "3/1"));
    assert_eq!(quarter.share(), "25%".parse().ok());
    assert_eq!(WeightPair::new(2, 1).share(), "33.333333%".parse().ok());
    assert_eq!(WeightPair::new(1, 2).share(), "66.666667%".parse().ok());
    assert_eq!(WeightPair::new(1, 6).share(), "85.714286%".parse().ok());
    assert_eq!(WeightPair::new(0, 0).share(), None);
    assert_eq!(WeightPair::new(0, 255).share(), Some(Share::FULL));
    for (one, other, more) in [
        ((90, 10), (91, 9), true),
        ((90, 10), (9, 1), false),
        ((9, 1), (90, 10), false),
        ((100, 0), (99, 1), false),
        ((0, 1), (1, 255), true),
    ] {
        let pair = |(old, new)| WeightPair::new(old, new);
        assert_eq!(pair(one).gives_new_more_than(pair(other)), more, "{one:?}");
    }
}

#[test]
fn a_name_is_the_same_however_it_is_written_and_lies_in_its_zone() {
    let name = DnsName::new("*.Api.example.com.");
    assert_eq!(name.to_string(), "*.api.example.com");
    for written in [
        "*.api.example.com",
        "\\052.api.example.com.",
        "*.API.example.com.",
    ] {
        assert!(name.is_written(written), "{written}");
    }
    assert!(!name.is_written("api.example.com."));
    for (zone, inside) in [
        ("example.com", true),
        ("*.api.example.com", true),
        ("ample.com", false),
        ("www.example.com", false),
    ] {
        assert_eq!(name.is_in_zone(&DnsName::new(zone)), inside, "{zone}");
    }
}

#[test]
fn a_plans_steps_are_found_by_number_and_by_share() {
    let plan = simple();
    let share = |number: u16| plan.step(number).map(|step| step.share);
    assert_eq!((share(0), share(3)), (None, None));
    assert_eq!(share(1), Some(Share::percent(10)));
    assert_eq!(plan.step_count(), 2);
    assert_eq!(plan.step_of(Share::percent(10)), Some(1));
    assert_eq!(plan.step_of(Share::FULL), Some(2));
    assert_eq!(plan.step_of(Share::percent(50)), None);
    let alarms: Vec<&str> = plan.alarms().map(|gate| gate.id.name.as_str()).collect();
    assert_eq!(alarms, ["errors", "latency", "fallback"]);
}

#[test]
fn an_image_differs_by_anything_but_its_weights() {
    let name = DnsName::new("api.example.com");
    let (old, new) = (record(&name, "eks", 90), record(&name, "ecs", 10));
    let image = GroupImage {
        zone: "Z1".into(),
        old,
        new,
        others: Vec::new(),
    };
    let mut moved = image.with_pair(WeightPair::new(1, 2));
    assert_eq!(moved.pair(), WeightPair::new(1, 2));
    assert!(image.same_but_pair(&moved));
    moved.others.push(record(&name, "third", 0));
    assert!(!image.same_but_pair(&moved), "the group has another member");
}

#[test]
fn a_change_of_jobs_is_settled_when_every_answer_is_sure_and_says_what_went_wrong() {
    let at: Timestamp = "2026-03-02T01:00:00Z".parse().expect("a timestamp");
    let lands_by = at + SignedDuration::from_mins(1);
    let refused = || SendOutcome::Refused(FailureClass::Denied, "not allowed".to_owned());
    let lost = || SendOutcome::Lost("no answer".to_owned());
    let turn = |answers: Vec<SendOutcome>, answered: bool| JobTurn {
        turn_id: "1-9-ctl".into(),
        owner: "ctl".into(),
        lands_by,
        side: JobSide::Old,
        on: false,
        jobs: vec![0, 1],
        answers: (0..).zip(answers).collect(),
        answered_at: answered.then_some(at),
    };
    for (answers, settled_at, trouble) in [
        (vec![SendOutcome::Accepted, SendOutcome::Accepted], at, None),
        (
            vec![SendOutcome::Accepted, refused()],
            at,
            Some("not allowed"),
        ),
        (
            vec![SendOutcome::Accepted, lost()],
            lands_by,
            Some("no answer"),
        ),
    ] {
        let answered = turn(answers, true);
        assert_eq!(answered.settled_at(), settled_at);
        assert_eq!(answered.trouble(), trouble);
    }
    assert_eq!(turn(Vec::new(), false).settled_at(), lands_by);
}

#[test]
fn jobs_rest_where_they_are_until_a_switch_begins_and_where_it_went_when_it_is_done() {
    let jobs = |goal: Option<JobSide>, moved: bool| JobsState {
        goal,
        moved,
        ..JobsState::default()
    };
    let (old, new) = (JobSide::Old, JobSide::New);
    for (goal, moved, are_back, rest_on) in [
        (None, false, true, Some(old)),
        (Some(new), false, false, None),
        (Some(new), true, false, Some(new)),
        (Some(old), false, false, None),
        (Some(old), true, true, Some(old)),
    ] {
        let jobs = jobs(goal, moved);
        assert_eq!((jobs.are_back(), jobs.rest_on()), (are_back, rest_on));
    }
    let mut jobs = jobs(Some(new), false);
    jobs.turned.insert(HalfId::new(3, old));
    assert!(jobs.has_turned(old) && !jobs.has_turned(new));
    assert_eq!(
        (old.to_string().as_str(), new.to_string().as_str()),
        ("old", "new")
    );
    assert_eq!((old.other(), new.other()), (new, old));
}

#[test]
fn a_hold_is_journaled_without_what_is_not_so() {
    let changed = |records: bool| {
        let path = "/plans/api.yaml".to_owned();
        serde_json::json!(HoldReason::PlanChanged {
            path,
            records,
            refused: None
        })
    };
    let plain = serde_json::json!({"kind": "plan_changed", "path": "/plans/api.yaml"});
    assert_eq!(changed(false), plain);
    assert_eq!(changed(true)["records"], true);
}

#[test]
fn to_wait_for_one_on_its_way_is_one_hold_and_for_one_that_went_back_another() {
    let on = |phase: Option<Phase>, step: u16| {
        let on = CutoverName::from("other");
        let steps = 3;
        HoldReason::Dependency {
            on,
            phase,
            step,
            steps,
            damaged: false,
        }
    };
    let waiting = on(Some(Phase::Waiting), 0).subject();
    assert_eq!(on(Some(Phase::Baking), 2).subject(), waiting);
    let reverted = on(Some(Phase::Reverted), 2).subject();
    assert_eq!(reverted, on(Some(Phase::Reverted), 1).subject());
    assert!(reverted != waiting && on(None, 0).subject() != waiting);
}
