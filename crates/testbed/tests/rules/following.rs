//! What can follow what in a journal: an entry that cannot have happened is refused, with its reason.

use std::collections::BTreeMap;

use cutover_engine::event::{Event, RevertMode};
use cutover_engine::evidence::tally::Tally;
use cutover_engine::fold;
use cutover_engine::hold::{HaltReason, RevertCause};
use cutover_engine::hooks::{HookId, HookPoint};
use cutover_engine::jobs::{JobSide, SwitchAt};
use cutover_engine::plan::Plan;
use cutover_engine::state::{Phase, State};
use cutover_engine::units::{CutoverName, Share};
use jiff::SignedDuration;

use super::{baking, called_off, simple};
use cutover_testbed::beside::{TurnFate, with_jobs};
use cutover_testbed::plan::{alarm, plan, source};
use cutover_testbed::world::World;

/// The state after one more entry, or why that cannot follow.
pub(super) fn after(world: &World, event: Event) -> Result<State, String> {
    let mut entry = world.journal.last().expect("a journal").clone();
    (entry.seq, entry.at, entry.event) = (entry.seq + 1, world.now.max(entry.at), event);
    let mut state = Some(world.state().clone());
    match fold::apply(&mut state, &entry) {
        Ok(()) => Ok(state.expect("it was there before")),
        Err(illegal) => {
            assert_eq!(
                state.as_ref(),
                Some(world.state()),
                "what is refused changes nothing"
            );
            Err(illegal.why)
        }
    }
}

/// None of these can follow, each for its reason.
fn refused<const N: usize>(world: &World, cases: [(Event, &str); N]) {
    for (event, why) in cases {
        let label = event.label();
        let refused = after(world, event).err();
        assert_eq!(refused.as_deref(), Some(why), "{label}");
    }
}

pub(super) fn intended(world: &World) -> Event {
    let mut entries = world.journal.iter().rev();
    let event = entries.find(|entry| entry.event.label() == "weight_change_intended");
    event.expect("a write was intended").event.clone()
}

/// The write that was intended last, for another step.
fn intended_for(world: &World, number: u16) -> Event {
    let mut event = intended(world);
    if let Event::WeightChangeIntended { step, .. } = &mut event {
        *step = number;
    }
    event
}

fn accepted(plan: Plan) -> Event {
    let source = Box::new(source(plan));
    Event::PlanAccepted { source }
}

pub(super) fn amended(plan: Plan) -> Event {
    Event::PlanAmended {
        source: Box::new(source(plan)),
        reason: None,
    }
}

fn revert(cause: RevertCause) -> Event {
    Event::RevertIntended {
        write_id: "back".into(),
        cause,
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    }
}

fn red() -> RevertCause {
    RevertCause::AlarmRed {
        alarm: alarm("errors"),
    }
}

pub(super) fn halted() -> Event {
    let message = "I1".to_owned();
    let reason = HaltReason::Invariant { message };
    Event::Halted { reason }
}

fn skip_decided(step: u16, skipped: bool) -> Event {
    Event::BakeSkipDecided { step, skipped }
}

fn lost() -> Event {
    Event::ChangeLost {
        write_id: "again".into(),
        change_id: None,
        groups: vec![0],
    }
}

fn tallied(world: &World) -> Event {
    let tally = Tally {
        until: world.now,
        new_requests: 0,
        old_requests: 0,
        run: None,
        readings: Vec::new(),
    };
    let tally = Box::new(tally);
    Event::EvidenceCounted { tally }
}

fn hook_intended(world: &World) -> Event {
    Event::HookIntended {
        hook: HookId {
            point: HookPoint::BeforeStep,
            step: 1,
            index: 1,
        },
        call_id: "call".into(),
        owner: "ctl-1".into(),
        number: 1,
        ends_by: world.now,
    }
}

#[test]
fn a_stream_begins_with_a_plan_and_leaves_no_entry_out() {
    let world = baking();
    let why = |entries: &[_]| {
        fold::fold(entries)
            .map(|_| ())
            .map_err(|illegal| illegal.why)
    };
    assert_eq!(why(&world.journal), Ok(()));
    let headless = why(&world.journal[1..]);
    assert_eq!(
        headless,
        Err("a stream begins with plan_accepted".to_owned())
    );
    let mut late = world.journal[0].clone();
    late.seq = 2;
    assert_eq!(why(&[late]), Err("a stream begins with entry 1".to_owned()));
    for left_out in [1, 2, 5] {
        let mut torn = world.journal.clone();
        torn.remove(left_out);
        let before = format!("the entry before it is {left_out}");
        assert_eq!(why(&torn), Err(before));
    }
    let mut twice = world.journal.clone();
    twice.insert(2, twice[1].clone());
    assert_eq!(why(&twice), Err("the entry before it is 2".to_owned()));
}

#[test]
fn before_the_start_nothing_of_a_step_or_a_revert_can_have_happened() {
    let world = World::new(simple());
    let baking = baking();
    let write_id = world.journal[0].actor.as_str().into();
    let verified = Event::WeightsVerified {
        write_id,
        step: 1,
        images: Vec::new(),
    };
    let baseless = match intended(&baking) {
        Event::WeightChangeIntended {
            write_id,
            owner,
            perform_by,
            step,
            targets,
            ..
        } => Event::WeightChangeIntended {
            write_id,
            owner,
            perform_by,
            step,
            targets,
            baseline: None,
        },
        other => other,
    };
    refused(
        &world,
        [
            (verified, "that write is not the unresolved one"),
            (baseless, "there is no baseline"),
            (
                intended_for(&baking, 2),
                "the step cannot be taken in this phase",
            ),
            (lost(), "nothing is settling"),
            (Event::BakeStarted { step: 0 }, "nothing is settling"),
            (Event::GatesPassed {}, "nothing is baking"),
            (Event::StepCompleted { step: 0 }, "nothing is baking"),
            (skip_decided(0, true), "that step is not baking"),
            (tallied(&world), "the cutover has not started"),
            (revert(red()), "nothing was ever written"),
            (Event::BaselineSeen { at: None }, "nothing is reverting"),
            (Event::Reverted { cancelled: false }, "nothing is reverting"),
            (
                Event::Completed { adopted: None },
                "the last bake is not over",
            ),
            (
                Event::RetryRequested { reason: None },
                "there is nothing to retry",
            ),
        ],
    );
    assert!(after(&world, intended(&baking)).is_ok());
}

#[test]
fn before_the_start_nothing_is_counted_nor_adopted_and_the_fleets_entries_are_not_ours() {
    let world = World::new(simple());
    let counted = Event::BakeCounted {
        until: world.now,
        running: false,
    };
    let adopted = Event::DriftAdopted {
        images: BTreeMap::new(),
        reason: String::new(),
    };
    let frozen = Event::FleetFrozen {
        until: None,
        reason: String::new(),
    };
    refused(
        &world,
        [
            (counted, "nothing is baking"),
            (adopted, "nothing has drifted"),
            (frozen, "it belongs to the fleet's stream"),
        ],
    );
}

#[test]
fn in_a_bake_only_its_own_step_ends_and_the_plan_keeps_its_name_and_records() {
    let world = baking();
    let mut renamed = simple();
    renamed.name = CutoverName::from("other");
    let mut moved = simple();
    moved.records[0].old = "eks-2".to_owned();
    let ignored = Event::AlarmIgnored {
        alarm: alarm("errors"),
        reason: String::new(),
    };
    refused(
        &world,
        [
            (accepted(simple()), "the cutover has started"),
            (amended(renamed), "the plan has another name"),
            (amended(moved), "the records differ"),
            (ignored, "the cutover has started"),
            (
                intended_for(&world, 2),
                "the step cannot be taken in this phase",
            ),
            (Event::StepCompleted { step: 2 }, "another step is baking"),
            (skip_decided(2, true), "that step is not baking"),
            (Event::Reverted { cancelled: true }, "nothing is reverting"),
            (
                Event::Completed { adopted: None },
                "the last bake is not over",
            ),
            (lost(), "nothing is settling"),
            (
                Event::RetryRequested { reason: None },
                "there is nothing to retry",
            ),
        ],
    );
    let passed_over = after(&world, skip_decided(2, false)).expect("it is told that it is not");
    assert!(!passed_over.bake.over);
    let skipped = after(&world, skip_decided(1, true)).expect("it bakes");
    assert!(skipped.bake.over);
}

#[test]
fn a_step_follows_the_one_before_it_when_its_bake_is_over() {
    let mut world = baking();
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(61);
    assert!(world.state().bake.over);
    assert!(after(&world, intended_for(&world, 2)).is_ok());
    let why = "the step cannot be taken in this phase";
    for number in [1, 3] {
        refused(&world, [(intended_for(&world, number), why)]);
    }
    refused(
        &world,
        [(
            Event::Completed { adopted: None },
            "the last bake is not over",
        )],
    );
}

#[test]
fn a_write_is_resolved_before_the_next_one_and_by_its_own_name() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    let other = Event::WeightChangeAbandoned {
        write_id: "other".into(),
        moved: BTreeMap::new(),
        landed: Vec::new(),
        reason: String::new(),
    };
    refused(
        &world,
        [
            (intended(&world), "another write is unresolved"),
            (other, "that write is not the unresolved one"),
        ],
    );
    // The revert has begun meanwhile: what is read back then verifies no step.
    world.perform(0);
    let write = world.state().write.clone().expect("it is not resolved");
    world.roll_back(RevertMode::Swap);
    world.round(0);
    let verified = Event::WeightsVerified {
        write_id: write.write_id,
        step: 1,
        images: Vec::new(),
    };
    refused(&world, [(verified, "nothing is shifting")]);
}

#[test]
fn what_settles_is_the_step_that_was_verified() {
    let mut world = World::new(simple());
    world.run_to(Phase::Settling);
    let why = "another step is settling";
    refused(&world, [(Event::BakeStarted { step: 2 }, why)]);
    assert!(after(&world, Event::BakeStarted { step: 1 }).is_ok());
}

#[test]
fn after_the_end_only_a_person_or_a_late_write_begins_anything() {
    let mut completed = World::new(simple());
    completed.run_to(Phase::Completed);
    let mut reverted = baking();
    reverted.roll_back(RevertMode::Swap);
    reverted.run_to(Phase::Reverted);
    for world in [&completed, &reverted] {
        let why = "the cutover is over";
        refused(
            world,
            [
                (amended(simple()), why),
                (revert(red()), why),
                (halted(), why),
                (hook_intended(world), why),
            ],
        );
        let late = revert(RevertCause::LateWrite {});
        assert!(after(world, late).is_ok());
    }
    let asked = Event::RetryRequested { reason: None };
    assert!(after(&reverted, asked.clone()).is_ok());
    refused(&completed, [(asked, "there is nothing to retry")]);
    completed.roll_back(RevertMode::Swap);
    assert!(after(&completed, revert(red())).is_ok());
}

#[test]
fn a_start_that_was_called_off_takes_no_other_plan_and_is_not_begun() {
    let world = called_off();
    let taken = "the step cannot be taken in this phase";
    refused(
        &world,
        [
            (accepted(simple()), "the cutover has started"),
            (intended(&baking()), taken),
        ],
    );
}

#[test]
fn a_halt_before_any_step_was_verified_is_not_retried() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.append("controller", halted());
    let retry = Event::RetryRequested { reason: None };
    refused(&world, [(retry, "no step was ever verified")]);
}

fn moving() -> World {
    let steps = plan(&[1], &[(10, 60, false), (100, 60, false)]);
    let at = SwitchAt::Step(Share::percent(100));
    World::new(with_jobs(steps, at, 2))
}

fn turn(world: &World, side: JobSide, on: bool, jobs: Vec<usize>) -> Event {
    Event::JobTurnIntended {
        turn_id: "turn".into(),
        owner: "ctl-1".into(),
        perform_by: world.now,
        lands_by: world.now,
        side,
        on,
        jobs,
        names: Vec::new(),
    }
}

/// Ticks of a second until an entry of this name.
fn until(world: &mut World, label: &str) {
    for _ in 0..20_000 {
        if world.count(label) > 0 {
            return;
        }
        world.tick(1);
    }
    panic!("no {label}\n{}", world.story());
}

#[test]
fn jobs_move_one_way_at_a_time_in_the_order_of_the_switch() {
    let to = |to: JobSide| Event::JobSwitchIntended { to };
    let way = "jobs do not move that way in this phase";
    let still = baking();
    refused(&still, [(to(JobSide::New), "the plan has no jobs")]);
    let mut world = moving();
    world.run_to_bake(1);
    let off = turn(&world, JobSide::Old, false, vec![0]);
    refused(
        &world,
        [
            (to(JobSide::Old), way),
            (off, "the jobs do not move"),
            (
                Event::JobsOff { side: JobSide::Old },
                "that side is not the one that is left",
            ),
            (
                Event::JobsDrained { side: JobSide::Old },
                "that side is not off",
            ),
            (
                Event::JobsMoved { to: JobSide::New },
                "the jobs do not move there",
            ),
        ],
    );
    let mut waiting = moving();
    waiting.ask(Event::PauseRequested { reason: None });
    refused(&waiting, [(to(JobSide::New), way)]);
    let mut others = world.state().plan().clone();
    others.jobs = None;
    assert!(after(&world, amended(others)).is_ok());
}

#[test]
fn the_side_that_is_left_is_off_and_drained_before_the_other_is_switched_on() {
    let to = |to: JobSide| Event::JobSwitchIntended { to };
    let way = "jobs do not move that way in this phase";
    let mut world = moving();
    world.run_to_bake(1);
    // The first try comes to nothing, so that the old side is still on.
    world.aside.turns = TurnFate::Ignored;
    until(&mut world, "job_turn_resolved");
    world.aside.turns = TurnFate::Done;
    let undrained = "the other side is not known to be off";
    refused(
        &world,
        [
            (to(JobSide::New), "the jobs already move there"),
            (to(JobSide::Old), way),
            (
                turn(&world, JobSide::Old, false, vec![2]),
                "the plan has no such job",
            ),
            (
                turn(&world, JobSide::New, false, vec![0]),
                "that side is to be on",
            ),
            (
                turn(&world, JobSide::Old, true, vec![0]),
                "that side is left",
            ),
            (turn(&world, JobSide::New, true, vec![0]), undrained),
            (
                Event::JobsDrained { side: JobSide::Old },
                "that side is not off",
            ),
            (
                Event::JobsOff { side: JobSide::New },
                "that side is not the one that is left",
            ),
            (
                Event::JobsDrained { side: JobSide::New },
                "that side is not off",
            ),
            (
                Event::JobsMoved { to: JobSide::Old },
                "the jobs do not move there",
            ),
        ],
    );
    until(&mut world, "jobs_off");
    refused(
        &world,
        [
            (turn(&world, JobSide::New, true, vec![0]), undrained),
            (
                Event::JobsDrained { side: JobSide::New },
                "that side is not off",
            ),
        ],
    );
}

#[test]
fn jobs_that_have_moved_move_no_further_and_stay_in_the_plan() {
    let mut world = moving();
    world.run_to_bake(1);
    until(&mut world, "jobs_moved");
    let mut others = world.state().plan().clone();
    others.jobs = None;
    let mut longer = world.state().plan().clone();
    longer.steps[1].bake = SignedDuration::from_hours(9);
    assert!(after(&world, amended(longer)).is_ok(), "the jobs stay");
    refused(
        &world,
        [
            (
                turn(&world, JobSide::New, true, vec![0]),
                "the jobs have moved",
            ),
            (
                Event::JobsMoved { to: JobSide::New },
                "the jobs do not move there",
            ),
            (
                Event::JobsOff { side: JobSide::Old },
                "that side is not the one that is left",
            ),
            (amended(others), "the jobs differ, and have begun to move"),
        ],
    );
}

#[test]
fn while_a_change_of_jobs_is_unresolved_nothing_else_of_them_happens() {
    let mut world = moving();
    world.run_to_bake(1);
    world.aside.turns = TurnFate::Slow;
    until(&mut world, "job_turn_intended");
    assert!(world.state().jobs.turn.is_some());
    let unresolved = "a change of jobs is unresolved";
    let resolved = Event::JobTurnResolved {
        turn_id: "other".into(),
        on: Vec::new(),
    };
    refused(
        &world,
        [
            (Event::JobSwitchIntended { to: JobSide::Old }, unresolved),
            (
                turn(&world, JobSide::Old, false, vec![0]),
                "another change of jobs is unresolved",
            ),
            (Event::JobsOff { side: JobSide::Old }, unresolved),
            (Event::JobsMoved { to: JobSide::New }, unresolved),
            (resolved, "that change of jobs is not the unresolved one"),
        ],
    );
    let before = world.state().clone();
    let other = Event::JobTurnAnswered {
        turn_id: "other".into(),
        failed: BTreeMap::new(),
    };
    let after = after(&world, other).expect("a late answer to another one");
    assert_eq!(after.jobs, before.jobs);
}
