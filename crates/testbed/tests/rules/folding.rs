//! What entries leave behind in the state, and what they leave alone.

use cutover_engine::event::{Envelope, Event, FailureClass, RevertMode};
use cutover_engine::hold::HoldReason;
use cutover_engine::plan::{ApprovalTimeout, HoldOrRevert};
use cutover_engine::state::Phase;
use cutover_engine::units::WriteId;
use cutover_engine::{fleet, fold};
use jiff::{SignedDuration, Timestamp};

use super::following::{after, amended, halted, intended};
use super::{baking, simple};
use cutover_testbed::plan::{alarm, plan};
use cutover_testbed::world::{Fate, World};

#[test]
fn a_write_that_was_given_up_is_the_same_try_for_two_minutes() {
    for (secs, same) in [(120, true), (121, false)] {
        let mut world = World::new(simple());
        world.fate = Fate::Refused(FailureClass::Throttled);
        world.pass(10);
        world.round(0);
        world.perform(0);
        let began_at = world.state().step_began_at;
        world.round(0);
        assert_eq!(world.state().abandoned_at, Some(world.now));
        world.pass(secs);
        let again = after(&world, intended(&world)).expect("it is tried again");
        assert_eq!(again.step_began_at == began_at, same, "after {secs} s");
    }
}

#[test]
fn a_reply_resolves_only_the_write_that_it_is_to() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    let before = world.state().clone();
    let submitted = |write_id: WriteId| Event::WeightChangeSubmitted {
        write_id,
        zone: "Z0".into(),
        groups: vec![0],
        change_id: "C9".into(),
        server_time: None,
    };
    let other = after(&world, submitted("other".into())).expect("a late reply of another write");
    assert_eq!(
        (&other.write, &other.changes),
        (&before.write, &before.changes)
    );
    let mine = before.write.expect("a write").write_id;
    let mine = after(&world, submitted(mine)).expect("its reply");
    assert!(mine.write.expect("it is not read back").is_answered());
    assert_eq!(mine.changes.len(), 1);
}

#[test]
fn the_first_write_was_a_minute_before_its_earliest_reply_by_the_clock_of_aws() {
    let two_zones = plan(&[1, 1], &[(10, 60, false), (100, 60, false)]);
    let mut world = World::new(two_zones);
    world.pass(10);
    world.round(0);
    let intended_at = world.now;
    let minute = SignedDuration::from_mins(1);
    assert_eq!(world.state().first_write, Some(intended_at - minute));
    let write_id = world.state().write.clone().expect("a write").write_id;
    for (group, after_secs, first_secs) in [(0, 8, 8), (1, 3, 3)] {
        let date = intended_at + SignedDuration::from_secs(after_secs);
        let submitted = Event::WeightChangeSubmitted {
            write_id: write_id.clone(),
            zone: format!("Z{group}").as_str().into(),
            groups: vec![group],
            change_id: format!("C{group}").as_str().into(),
            server_time: Some(date),
        };
        world.append("controller", submitted);
        let first = intended_at + SignedDuration::from_secs(first_secs) - minute;
        assert_eq!(world.state().first_write, Some(first));
    }
}

#[test]
fn an_amend_begins_the_approvals_term_anew_and_forgets_gates_that_are_gone() {
    let mut world = World::new(plan(&[1], &[(10, 60, false), (100, 60, true)]));
    world.run_to_bake(1);
    world.missing.insert(alarm("latency"));
    world.missing.insert(alarm("errors"));
    world.tick(10);
    assert_eq!(world.state().unknown.len(), 2);
    let asked = Event::StepHeld {
        because: vec![HoldReason::Approval { step: 2 }],
    };
    world.append("controller", asked);
    assert_eq!(world.state().approval_asked, Some((2, world.now)));
    let mut fewer = world.state().plan().clone();
    fewer.gates.alarms.retain(|gate| gate.id == alarm("errors"));
    let amended = after(&world, amended(fewer)).expect("the gates may change");
    assert_eq!(amended.approval_asked, None);
    let left: Vec<String> = amended.unknown.keys().map(ToString::to_string).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn an_approval_is_asked_for_since_it_was_first_said_for_that_step() {
    let mut world = World::new(plan(&[1], &[(10, 60, true), (100, 60, true)]));
    let says = |step: u16| Event::StepHeld {
        because: vec![HoldReason::Approval { step }],
    };
    let first = world.now;
    world.append("controller", says(1));
    world.pass(60);
    world.append("controller", says(1));
    assert_eq!(world.state().approval_asked, Some((1, first)));
    world.append("controller", says(2));
    assert_eq!(world.state().approval_asked, Some((2, world.now)));
}

#[test]
fn a_hold_wakes_people_once_in_twenty_minutes_and_a_halt_not_twice() {
    let missing = || HoldReason::AlarmMissing {
        alarm: (&alarm("errors")).into(),
        fallback: false,
        since: None,
    };
    let mut world = baking();
    let held = |because: Vec<HoldReason>| Event::StepHeld { because };
    let pages = |world: &World| world.state().pages.len();
    world.append("controller", held(vec![missing()]));
    world.append(
        "controller",
        held(vec![missing(), HoldReason::Paused { reason: None }]),
    );
    assert_eq!(pages(&world), 1, "it goes on");
    world.append("controller", held(Vec::new()));
    world.pass(20 * 60 - 1);
    world.append("controller", held(vec![missing()]));
    assert_eq!(pages(&world), 1, "it is the same hold");
    world.append("controller", held(Vec::new()));
    world.pass(20 * 60);
    world.append("controller", held(vec![missing()]));
    assert_eq!(pages(&world), 2, "it is another one");
    let Event::Halted { reason } = halted() else {
        panic!("it halts");
    };
    world.append("controller", halted());
    assert_eq!(pages(&world), 3);
    world.append("controller", held(vec![HoldReason::Halted { reason }]));
    assert_eq!(pages(&world), 3, "that it halted has been said");
    let first = *world.state().pages.first().expect("a page");
    world.append(
        "notifier",
        Event::PageSent {
            of: first,
            logged_only: false,
            skipped: Vec::new(),
        },
    );
    assert_eq!(pages(&world), 3, "an entry of an older version");
}

#[test]
fn an_end_leaves_nothing_that_holds_and_nobodys_wish() {
    let mut world = baking();
    world.missing.insert(alarm("latency"));
    world.run_minutes(2);
    world.ask(Event::PauseRequested { reason: None });
    world.ask(Event::BakeSkipRequested {
        step: 1,
        reason: String::new(),
    });
    assert!(!world.state().held.is_empty() && !world.state().unknown.is_empty());
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    let state = world.state();
    assert_eq!(state.held, []);
    assert!(state.unknown.is_empty() && state.ended_holds.is_empty());
    assert_eq!((&state.skip_requested, &state.paused), (&None, &None));
    assert_eq!((state.step, &state.rollback), (0, &None));
}

#[test]
fn what_an_alarm_was_judged_by_never_goes_back() {
    let mut world = baking();
    let judged = |at| Event::AlarmJudged {
        alarm: alarm("errors"),
        transitioned_at: at,
        red: false,
    };
    let (late, early) = (world.now, world.now - SignedDuration::from_secs(30));
    for at in [early, late, early] {
        world.append("controller", judged(at));
    }
    assert_eq!(world.state().judged[&alarm("errors")], late);
}

#[test]
fn since_when_a_gate_is_unknown_is_not_told_anew() {
    let mut world = baking();
    let unknown = || Event::GateUnknown {
        alarm: (&alarm("errors")).into(),
        reason: String::new(),
    };
    let first = world.now;
    world.append("controller", unknown());
    world.pass(60);
    world.append("controller", unknown());
    let since: Vec<_> = world.state().unknown.values().copied().collect();
    assert_eq!(since, [first]);
}

#[test]
fn no_entry_takes_the_time_of_the_journal_back() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    let mut entry = world.journal.last().expect("a journal").clone();
    let last_at = entry.at;
    for event in [
        Event::PauseRequested { reason: None },
        Event::RetryRequested { reason: None },
    ] {
        (entry.seq, entry.event) = (world.state().seq + 1, event);
        entry.at = last_at - SignedDuration::from_secs(30);
        let mut state = Some(world.state().clone());
        fold::apply(&mut state, &entry).expect("it can follow");
        let state = state.expect("it was there before");
        assert_eq!((state.seq, state.last_at), (entry.seq, last_at));
    }
}

#[test]
fn times_at_the_end_of_the_calendar_and_endless_lengths_damage_a_stream_and_end_no_controller() {
    let world = baking();
    let mut entry = world.journal.last().expect("a journal").clone();
    (entry.seq, entry.event) = (world.state().seq + 1, Event::GatesPassed {});
    let refused = |entry: &Envelope| {
        let mut state = Some(world.state().clone());
        let illegal = fold::apply(&mut state, entry).expect_err("it cannot be counted with");
        assert_eq!(state.as_ref(), Some(world.state()), "it changes nothing");
        illegal.why
    };
    for at in [Timestamp::MAX, Timestamp::MIN] {
        entry.at = at;
        assert_eq!(refused(&entry), format!("the time {at} cannot be right"));
    }
    entry.at = world.now;
    entry.event = Event::BakeCounted {
        until: Timestamp::MAX,
        running: true,
    };
    assert_eq!(
        refused(&entry),
        format!("the time {} cannot be right", Timestamp::MAX)
    );
    for (settle, shown) in [
        (SignedDuration::MAX, "a length of 2562047788015215h"),
        (-SignedDuration::from_secs(1), "a length of 1s ago"),
    ] {
        let mut plan = world.state().plan().clone();
        plan.settle = Some(settle);
        entry.event = amended(plan);
        let why = refused(&entry);
        assert!(
            why.starts_with(shown) && why.ends_with("cannot be right"),
            "{why}"
        );
    }
}

#[test]
fn an_entry_of_the_fleet_with_such_a_time_is_told_as_its_trouble() {
    let mut world = baking();
    let mut entry = world.journal.last().expect("a journal").clone();
    (entry.cutover, entry.seq, entry.at) = (fleet::stream(), world.fleet.seq + 1, Timestamp::MAX);
    entry.event = Event::FleetUnfrozen { reason: None };
    let last_at = world.fleet.last_at;
    world.fleet.take(&entry);
    assert!(
        world
            .fleet
            .trouble
            .as_ref()
            .is_some_and(|why| why.contains("cannot be right"))
    );
    assert_eq!(world.fleet.last_at, last_at);
}

#[test]
fn an_approval_may_be_given_until_its_term_from_when_it_was_asked_for() {
    let mut asks = plan(&[1], &[(10, 60, true), (100, 60, true)]);
    asks.steps[0].approval_timeout = Some(ApprovalTimeout {
        after: SignedDuration::from_hours(2),
        on_timeout: HoldOrRevert::Hold,
    });
    let mut world = World::new(asks);
    let term = |world: &World| [1, 2].map(|step| world.state().approval_ends_at(step));
    assert_eq!(term(&world), [None, None], "it was not asked for");
    world.tick(10);
    let ends_at = world.now + SignedDuration::from_hours(2);
    assert_eq!(term(&world), [Some(ends_at), None]);
    let because = vec![HoldReason::Approval { step: 2 }];
    world.append("controller", Event::StepHeld { because });
    assert_eq!(term(&world), [None, None], "the second step has no term");
}
