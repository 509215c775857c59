//! The invariants object to what the engine would never decide: a net that lets everything through looks like a good one.

use cutover_engine::check::{self, Invariant, Violation};
use cutover_engine::decide::{Decision, Errand};
use cutover_engine::event::{Envelope, Event, JOURNAL_VERSION};
use cutover_engine::fleet::{self, Fleet, FleetSettings, Freeze};
use cutover_engine::hold::{HaltReason, RevertCause};
use cutover_engine::jobs::{HalfId, JobSide};
use cutover_engine::observation::{
    AlarmReading, AlarmState, FileReading, GroupReading, Observation,
};
use cutover_engine::plan::Plan;
use cutover_engine::state::{Pause, Phase, State};
use cutover_engine::units::{ControllerId, CutoverName, Weight, WriteId};
use jiff::{SignedDuration, Timestamp};

use super::checker::{decides, second_step};
use super::fleet::beside;
use super::jobs::{at_half, between, moved, run_until};
use super::{simple, windows};
use cutover_testbed::beside::TurnFate;
use cutover_testbed::check::FleetChecker;
use cutover_testbed::plan::alarm;
use cutover_testbed::world::World;

/// A decision, all that it was made from, and when.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) state: State,
    pub(super) fleet: Fleet,
    pub(super) observation: Observation,
    pub(super) decision: Decision,
    pub(super) now: Timestamp,
}

impl Case {
    pub(super) fn new((world, observation, decision): (World, Observation, Decision)) -> Self {
        let case = Self {
            state: world.state().clone(),
            fleet: world.fleet.clone(),
            observation,
            decision,
            now: world.now,
        };
        assert_eq!(case.broken(), None, "as it is, it is lawful");
        case
    }

    pub(super) fn broken(&self) -> Option<Invariant> {
        let (state, fleet, seen) = (&self.state, &self.fleet, &self.observation);
        let judged = check::decision(state, fleet, seen, &self.decision, self.now);
        judged.err().map(|violation| violation.invariant)
    }

    /// Which invariant it breaks when this was otherwise.
    pub(super) fn but(&self, change: impl FnOnce(&mut Self)) -> Option<Invariant> {
        let mut case = self.clone();
        change(&mut case);
        case.broken()
    }

    pub(super) fn alarm(&mut self, name: &str) -> &mut AlarmReading {
        let reading = self.observation.alarms.get_mut(&alarm(name));
        reading.expect("the plan has the alarm")
    }
}

/// A step of one cutover, at the end of the bake before it.
pub(super) fn step_of(plan: Plan) -> Case {
    Case::new(second_step(World::new(plan)))
}

#[test]
fn a_step_against_what_a_person_said_is_objected_to() {
    let case = step_of(simple());
    let pause = Pause {
        actor: "ada@desk".to_owned(),
        reason: None,
        at: case.now,
    };
    let paused = case.but(|case| case.state.paused = Some(pause));
    assert_eq!(paused, Some(Invariant::I1));
    let rollback = {
        let mut world = World::new(simple());
        world.run_to_bake(1);
        world.ask(Event::RollbackRequested {
            mode: cutover_engine::event::RevertMode::Swap,
            reason: None,
        });
        world.state().rollback.clone()
    };
    assert!(rollback.is_some());
    let rolled_back = case.but(|case| case.state.rollback = rollback);
    assert_eq!(rolled_back, Some(Invariant::I1));
    let halt = HaltReason::StepFailed {
        message: "denied".to_owned(),
        verified: false,
    };
    let halted = case.but(|case| case.state.halt = Some(halt));
    assert_eq!(halted, Some(Invariant::I1));
    let mut asks = simple();
    asks.steps[1].approval = true;
    let unapproved = case.but(|case| case.state.source.plan = asks);
    assert_eq!(unapproved, Some(Invariant::I1));
}

#[test]
fn a_step_before_its_turn_or_over_a_drift_is_objected_to() {
    let case = step_of(simple());
    let early = case.but(|case| case.state.bake.over = false);
    assert_eq!(early, Some(Invariant::I1));
    let settling = case.but(|case| case.state.phase = Phase::Settling);
    assert_eq!(settling, Some(Invariant::I1));
    let skipped = case.but(|case| case.state.verified_step = 0);
    assert_eq!(skipped, Some(Invariant::I1));
    let drifted = case.but(|case| case.state.drift = Some([(0, None)].into()));
    assert_eq!(drifted, Some(Invariant::I1));
    let shut = Plan {
        windows: Some(windows::windows("UTC", &["Sat 10:00-11:00"], &[])),
        ..simple()
    };
    let outside = case.but(|case| case.state.source.plan = shut);
    assert_eq!(outside, Some(Invariant::I1));
}

#[test]
fn a_step_over_what_was_not_seen_is_objected_to() {
    let case = step_of(simple());
    let unread = case.but(|case| case.observation.groups[0] = GroupReading::NotRead);
    assert_eq!(unread, Some(Invariant::I1));
    for reading in [
        AlarmReading::Missing,
        AlarmReading::Unreadable("no answer".to_owned()),
        AlarmReading::Found {
            state: AlarmState::InsufficientData,
            transitioned_at: None,
            evaluation: None,
        },
        AlarmReading::Found {
            state: AlarmState::Ok,
            transitioned_at: None,
            evaluation: Some("PARTIAL_DATA".to_owned()),
        },
    ] {
        let blind = case.but(|case| *case.alarm("errors") = reading.clone());
        assert_eq!(blind, Some(Invariant::I5), "{reading:?}");
    }
    for (skew, broken) in [
        (60, None),
        (61, Some(Invariant::I1)),
        (-61, Some(Invariant::I1)),
    ] {
        let skew = Some(SignedDuration::from_secs(skew));
        assert_eq!(case.but(|case| case.observation.clock_skew = skew), broken);
    }
}

#[test]
fn a_step_over_an_alarm_that_was_red_meanwhile_is_objected_to() {
    let case = step_of(simple());
    let later = case.state.first_write.expect("step 1 was written") + SignedDuration::from_mins(5);
    let flapped = AlarmReading::Found {
        state: AlarmState::Ok,
        transitioned_at: Some(later),
        evaluation: None,
    };
    let unknown = case.but(|case| *case.alarm("errors") = flapped.clone());
    assert_eq!(unknown, Some(Invariant::I5), "nobody asked for its history");
    let entered = |at: Timestamp| {
        let history = cutover_engine::observation::HistoryReading::EnteredAlarm(vec![at]);
        case.but(|case| {
            *case.alarm("errors") = flapped.clone();
            case.observation.histories.insert(alarm("errors"), history);
        })
    };
    assert_eq!(
        entered(later),
        Some(Invariant::I3),
        "and it is not answered"
    );
    let before = case.state.first_write.expect("step 1 was written");
    assert_eq!(
        entered(before),
        None,
        "an entry from before the first write"
    );
}

#[test]
fn a_step_by_a_plan_that_is_not_in_force_is_objected_to() {
    let case = step_of(simple());
    let mut other = case.state.source.clone();
    other.digest = "another".to_owned();
    let changed = FileReading::Plan(std::sync::Arc::new(other));
    for file in [
        changed,
        FileReading::Removed,
        FileReading::Unreadable("no such file".to_owned()),
    ] {
        let broken = case.but(|case| case.observation.file = file.clone());
        assert_eq!(broken, Some(Invariant::I1), "{file:?}");
    }
    let unwatched = case.but(|case| case.observation.file = FileReading::NotWatched);
    assert_eq!(unwatched, None);
}

#[test]
fn a_step_that_the_fleet_holds_is_objected_to() {
    let case = step_of(simple());
    let frozen = |until: Option<SignedDuration>| {
        case.but(|case| {
            case.fleet.freeze = Some(Freeze {
                actor: "ada@desk".to_owned(),
                reason: "sale".to_owned(),
                at: case.now,
                until: until.map(|until| case.now + until),
            });
        })
    };
    assert_eq!(frozen(None), Some(Invariant::I1));
    assert_eq!(
        frozen(Some(SignedDuration::from_secs(1))),
        Some(Invariant::I1)
    );
    assert_eq!(frozen(Some(SignedDuration::ZERO)), None);
    let unknown = case.but(|case| case.fleet.trouble = Some("an odd entry".to_owned()));
    assert_eq!(unknown, Some(Invariant::I1));
}

#[test]
fn a_step_that_is_not_journaled_or_writes_what_was_not_read_is_objected_to() {
    let case = step_of(simple());
    let unjournaled = case.but(|case| case.decision.events.clear());
    assert_eq!(unjournaled, Some(Invariant::I6));
    let unseen = case.but(|case| {
        let order = case.decision.order.as_mut().expect("a step is written");
        order.parts[0].image.old.weight = Weight(7);
    });
    assert_eq!(unseen, Some(Invariant::I8));
    let foreign = case.but(|case| {
        for event in &mut case.decision.events {
            if let Event::WeightChangeIntended { targets, .. } = event {
                targets[0].from.new.name = "elsewhere.example.".to_owned();
            }
        }
    });
    assert_eq!(foreign, Some(Invariant::I8));
}

#[test]
fn silence_about_a_red_gate_is_objected_to_in_every_armed_phase() {
    for phase in [Phase::Settling, Phase::Baking] {
        let mut world = World::new(simple());
        world.run_to(phase);
        let (observation, _) = decides(&mut world);
        let mut case = Case::new((world, observation, Decision::default()));
        let AlarmReading::Found { state, .. } = case.alarm("errors") else {
            panic!("it was found");
        };
        *state = AlarmState::Alarm;
        assert_eq!(case.broken(), Some(Invariant::I3), "{phase:?}");
        let ignored = case.but(|case| case.state.ignored = [alarm("errors")].into());
        assert_eq!(ignored, None, "a person lets it be red");
    }
}

#[test]
fn whatever_is_done_after_the_end_is_objected_to() {
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    let (observation, _) = decides(&mut world);
    let case = Case::new((world, observation, Decision::default()));
    let event = Event::GatesPassed {};
    let busy = case.but(|case| case.decision.events.push(event));
    assert_eq!(busy, Some(Invariant::I11));
}

/// The decision that switches the new side's job on, and what it was made from.
fn switching_on() -> Case {
    let mut world = between();
    for _ in 0..600 {
        let (observation, decision) = decides(&mut world);
        if !decision.errands.is_empty() {
            return Case::new((world, observation, decision));
        }
        if decision.events.is_empty() {
            world.pass(1);
        }
        for event in decision.events {
            world.append("controller", event);
        }
    }
    panic!("it is never switched on\n{}", world.story());
}

#[test]
fn a_job_that_would_be_switched_on_unseen_or_too_early_is_objected_to() {
    let case = switching_on();
    let old = HalfId::new(0, JobSide::Old);
    let look = |change: fn(&mut cutover_engine::jobs::HalfLook)| {
        case.but(|case| {
            let reading = case.observation.beside.jobs.get_mut(&old);
            let look = reading.and_then(|reading| reading.look.as_mut().ok());
            change(look.expect("it was seen"));
        })
    };
    assert_eq!(look(|_| ()), None);
    assert_eq!(look(|look| look.on = true), Some(Invariant::I13));
    assert_eq!(look(|look| look.running = Some(1)), Some(Invariant::I13));
    let unseen = case.but(|case| drop(case.observation.beside.jobs.remove(&old)));
    assert_eq!(unseen, Some(Invariant::I13));
    let stale = case.but(|case| {
        let reading = case.observation.beside.jobs.get_mut(&old);
        let reading = reading.expect("it was looked at");
        reading.asked_at = case.state.jobs.off_at.expect("it is off");
    });
    assert_eq!(
        stale,
        Some(Invariant::I13),
        "a look from before `wait` was over"
    );
    let unread = case.but(|case| case.state.jobs.off_at = None);
    assert_eq!(unread, Some(Invariant::I13));
}

#[test]
fn a_job_that_would_be_switched_unjournaled_or_during_another_switch_is_objected_to() {
    let case = switching_on();
    let unjournaled = case.but(|case| case.decision.events.clear());
    assert_eq!(unjournaled, Some(Invariant::I13));
    let hushed = case.but(|case| case.observation.beside.hushed = true);
    assert_eq!(hushed, Some(Invariant::I13));
    let mut slow = at_half(1);
    slow.aside.turns = TurnFate::Slow;
    slow.run_to_bake(1);
    run_until(&mut slow, "job_turn_intended");
    let turn = slow.state().jobs.turn.clone();
    assert!(turn.is_some());
    let during = case.but(|case| case.state.jobs.turn = turn);
    assert_eq!(during, Some(Invariant::I13));
    let Errand::Turn(_) = &case.decision.errands[0] else {
        panic!("a job is switched");
    };
}

/// What the checker says of this entry, if it came next.
pub(super) fn violations(world: &World, event: Event) -> Vec<Violation> {
    let entry = Envelope {
        cutover: world.state().name.clone(),
        attempt: world.state().attempt,
        seq: world.state().seq + 1,
        at: world.now,
        actor: "controller".to_owned(),
        version: JOURNAL_VERSION,
        event,
    };
    world.checker.clone().entry(&entry)
}

/// Whether the checker objects to this entry for the jobs' sake.
fn objects(world: &World, event: Event) -> bool {
    violations(world, event)
        .iter()
        .any(|violation| violation.invariant == Invariant::I13)
}

fn turn_on(world: &World, side: JobSide) -> Event {
    Event::JobTurnIntended {
        turn_id: WriteId::from("1-99-ctl"),
        owner: ControllerId::from("ctl"),
        perform_by: world.now,
        lands_by: world.now,
        side,
        on: true,
        jobs: vec![0],
        names: Vec::new(),
    }
}

#[test]
fn entries_that_switch_jobs_on_too_early_are_objected_to() {
    let mut world = between();
    assert!(
        objects(&world, turn_on(&world, JobSide::New)),
        "before `wait`"
    );
    world.pass(60);
    assert!(!objects(&world, turn_on(&world, JobSide::New)));
    assert!(
        objects(&world, turn_on(&world, JobSide::Old)),
        "the new side is not read off"
    );
    let moved = moved(1);
    assert!(objects(&moved, turn_on(&moved, JobSide::Old)));
    // A retry after a halt is the same attempt: what was read off is off.
    let message = "denied".to_owned();
    let reason = HaltReason::StepFailed {
        message,
        verified: false,
    };
    world.append("controller", Event::Halted { reason });
    world.ask(Event::RetryRequested { reason: None });
    assert!(!objects(&world, turn_on(&world, JobSide::New)));
}

#[test]
fn entries_that_end_a_switch_without_its_reasons_are_objected_to() {
    let (old, new) = (JobSide::Old, JobSide::New);
    let mut slow = at_half(1);
    slow.aside.turns = TurnFate::Slow;
    slow.run_to_bake(1);
    run_until(&mut slow, "job_turn_intended");
    assert!(
        objects(&slow, Event::JobsOff { side: old }),
        "a change is under way"
    );
    assert!(objects(&slow, turn_on(&slow, new)), "a change is under way");
    assert!(
        objects(&slow, Event::JobsMoved { to: new }),
        "the old side is not off"
    );
    assert!(
        objects(&slow, Event::Completed { adopted: None }),
        "the jobs have not moved"
    );
    let reverted = Event::Reverted { cancelled: false };
    assert!(objects(&slow, reverted.clone()), "the jobs are not back");
    let moved = moved(1);
    assert!(!objects(&moved, Event::Completed { adopted: None }));
    assert!(objects(&moved, reverted));
    assert!(
        objects(&moved, Event::JobsMoved { to: old }),
        "the new side is not off"
    );
    let untouched = at_half(1);
    assert!(objects(&untouched, Event::JobsMoved { to: new }));
    assert!(!objects(&untouched, Event::JobsMoved { to: old }));
    let between = between();
    assert!(!objects(&between, Event::JobsMoved { to: new }));
}

#[test]
fn another_attempt_reads_its_jobs_anew_and_remembers_what_is_on() {
    let mut world = moved(1);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    let retried = |mut world: World| {
        world.ask(Event::RetryRequested { reason: None });
        let (old, new) = (turn_on(&world, JobSide::Old), HalfId::new(0, JobSide::New));
        assert!(objects(&world, old), "the new side was read off before");
        world.checker.job_turned(new, true).len()
    };
    assert_eq!(retried(world.clone()), 1, "the old side is on");
    world.switch_by_others(0, JobSide::Old, true);
    assert_eq!(retried(world), 0, "by another's hand");
}

#[test]
fn a_job_that_is_on_twice_by_our_hand_is_objected_to_and_not_by_anothers() {
    let (old, new) = (HalfId::new(0, JobSide::Old), HalfId::new(0, JobSide::New));
    let mut world = at_half(1);
    world.run_to_bake(1);
    let mut checker = world.checker.clone();
    assert_eq!(checker.job_turned(new, true).len(), 1);
    let mut checker = world.checker.clone();
    checker.job_changed_by_others(old, true);
    assert!(checker.job_turned(new, true).is_empty());
    let mut checker = world.checker.clone();
    assert!(checker.job_turned(old, false).is_empty());
    assert!(checker.job_turned(new, true).is_empty());
}

#[test]
fn jobs_that_are_astray_at_the_end_are_objected_to_where_they_are_ours() {
    let mut world = at_half(1);
    world.run_to(Phase::Completed);
    for side in [JobSide::Old, JobSide::New] {
        let (half, on) = (HalfId::new(0, side), side == JobSide::Old);
        let mut checker = world.checker.clone();
        assert!(checker.finished().is_empty());
        checker.job_found(half, on);
        assert_eq!(checker.finished().len(), 1);
        let mut checker = world.checker.clone();
        checker.job_changed_by_others(half, on);
        assert!(checker.finished().is_empty());
    }
}

/// All entries of these journals, a cutover after the other, with `@fleet`'s in front; what the fleet's checker says first.
fn fleet_says(settings: FleetSettings, told: Vec<Event>, worlds: &[&World]) -> Option<Invariant> {
    let path = "/plans/fleet.yaml".to_owned();
    let first = Event::FleetSettingsAccepted { settings, path };
    let own = std::iter::once(first).chain(told).zip(1..);
    let own = own.map(|(event, seq)| Envelope {
        cutover: fleet::stream(),
        attempt: 1,
        seq,
        at: worlds[0].journal[0].at,
        actor: "ada@desk".to_owned(),
        version: JOURNAL_VERSION,
        event,
    });
    let entries = worlds
        .iter()
        .flat_map(|world| world.journal.iter().cloned());
    let mut checker = FleetChecker::new();
    let broken = own
        .chain(entries)
        .find_map(|entry| checker.entry(&entry).into_iter().next());
    let broken = broken.or_else(|| checker.finished().into_iter().next());
    broken.map(|violation| violation.invariant)
}

/// A cutover that bakes its first step, and another one that does so too.
fn two_baking(plan: Plan) -> (World, World) {
    let mut one = World::new(simple());
    one.run_to_bake(1);
    let mut two = beside(&one, plan);
    two.run_to_bake(1);
    (one, two)
}

#[test]
fn the_fleets_checker_counts_those_in_flight_and_sees_who_was_to_come_first() {
    let (one, two) = two_baking(simple());
    let most = |max: Option<u32>| FleetSettings {
        max_in_flight: max,
        ..FleetSettings::default()
    };
    assert_eq!(fleet_says(most(Some(2)), Vec::new(), &[&one, &two]), None);
    let full = fleet_says(most(Some(1)), Vec::new(), &[&one, &two]);
    assert_eq!(full, Some(Invariant::I1));
    let mut done = one.clone();
    done.run_to(Phase::Completed);
    assert_eq!(fleet_says(most(Some(1)), Vec::new(), &[&done, &two]), None);
    let mut later = two.clone();
    if let Event::PlanAccepted { source } = &mut later.journal[0].event {
        source.plan.after = vec![CutoverName::from("api")];
    }
    assert_eq!(
        fleet_says(most(None), Vec::new(), &[&one, &later]),
        Some(Invariant::I1)
    );
    assert_eq!(fleet_says(most(None), Vec::new(), &[&done, &later]), None);
}

#[test]
fn the_fleets_checker_sees_steps_in_a_freeze() {
    let (one, _) = two_baking(simple());
    let settings = FleetSettings::default;
    let freeze = |until: Option<Timestamp>| Event::FleetFrozen {
        until,
        reason: "sale".to_owned(),
    };
    let thaw = Event::FleetUnfrozen { reason: None };
    let broken = Some(Invariant::I1);
    assert_eq!(fleet_says(settings(), vec![freeze(None)], &[&one]), broken);
    assert_eq!(
        fleet_says(settings(), vec![freeze(None), thaw], &[&one]),
        None
    );
    let long = freeze(Some(one.now));
    assert_eq!(fleet_says(settings(), vec![long], &[&one]), broken);
    let over = freeze(Some(one.journal[0].at));
    assert_eq!(fleet_says(settings(), vec![over], &[&one]), None);
}

#[test]
fn the_fleets_checker_counts_reverts_that_nobody_asked_for() {
    let settings = FleetSettings {
        failure_budget: Some(1),
        ..FleetSettings::default()
    };
    let (mut one, two) = two_baking(simple());
    let mut asked = one.clone();
    asked.roll_back(cutover_engine::event::RevertMode::Swap);
    asked.run_to(Phase::Reverted);
    assert_eq!(
        fleet_says(settings.clone(), Vec::new(), &[&asked, &two]),
        None
    );
    one.turn("errors", AlarmState::Alarm);
    one.run_to(Phase::Reverted);
    let alone = fleet_says(settings.clone(), Vec::new(), &[&one]);
    assert_eq!(alone, Some(Invariant::I12), "nobody was paged");
    let spent = Event::FleetBudgetSpent {
        spent: 1,
        budget: 1,
        reverted: vec![CutoverName::from("api")],
        shared: None,
    };
    assert_eq!(
        fleet_says(settings.clone(), vec![spent.clone()], &[&one]),
        None
    );
    let step = fleet_says(settings, vec![spent], &[&one, &two]);
    assert_eq!(step, Some(Invariant::I1));
    assert!(matches!(super::cause(&one), RevertCause::AlarmRed { .. }));
}
