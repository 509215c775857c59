//! Jobs and hooks beside real controllers: one switch, never both; hooks at least once, with one key; traffic waits for
//! neither.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::hold::HoldReason;
use cutover::engine::hooks::{Hook, HookPoint};
use cutover::engine::jobs::{JobSide, SwitchAt};
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::{HoldOrRevert, PlanSource};
use cutover::engine::state::Phase;
use cutover::engine::units::{Share, WeightPair};
use jiff::SignedDuration;
use tokio::runtime::Builder;

use super::beside::halves;
use super::world::{PlanOf, World, locked, plan, source};
use cutover_testbed::beside::{self, EVERY_POINT, hook};

/// A plan with jobs that move at `at`, and these hooks.
pub(super) fn with_jobs(at: Option<SwitchAt>, count: usize, hooks: Vec<Hook>) -> PlanSource {
    let of = PlanOf {
        name: "api",
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(10, 60), (50, 60), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    };
    let mut plan = plan(&of).plan;
    if let Some(at) = at {
        plan = beside::with_jobs(plan, at, count);
    }
    plan.hooks = hooks;
    source(plan)
}

pub(super) fn every_hook() -> Vec<Hook> {
    EVERY_POINT.map(hook).to_vec()
}

pub(super) fn at_half() -> SwitchAt {
    SwitchAt::Step(Share::percent(50))
}

pub(super) fn play<F: Future<Output = ()>>(scene: impl FnOnce() -> F) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(scene());
}

pub(super) fn phase(world: &World) -> Option<Phase> {
    world.state("api").map(|state| state.phase)
}

pub(super) fn on(world: &World, plan: &PlanSource, side: JobSide) -> usize {
    let mine = halves(&plan.plan);
    let of_side = mine.iter().filter(|(half, _)| half.side == side);
    of_side.filter(|(_, how)| world.is_on(how)).count()
}

#[test]
fn jobs_move_with_their_step_and_traffic_goes_on_behind_them() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 2, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        assert_eq!(
            (
                on(&world, &plan, JobSide::Old),
                on(&world, &plan, JobSide::New)
            ),
            (0, 2)
        );
        let moved = world.entries("api", "jobs_moved");
        let off = world.entries("api", "jobs_off");
        assert_eq!((moved.len(), off.len()), (1, 1));
        // Neither side ran for the plan's `wait`, and the bake of that step saw the jobs where they run.
        assert!(moved[0].at.duration_since(off[0].at) >= SignedDuration::from_secs(60));
        let bakes = world.entries("api", "bake_started");
        assert!(bakes[1].seq > moved[0].seq && bakes[0].seq < moved[0].seq);
    });
}

#[test]
fn jobs_of_the_end_move_after_the_last_bake_and_before_it_is_completed() {
    play(|| async {
        let plan = with_jobs(Some(SwitchAt::Complete), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let moved = world.entries("api", "jobs_moved")[0].seq;
        assert!(world.entries("api", "step_completed")[2].seq < moved);
    });
}

#[test]
fn a_revert_takes_the_jobs_back_and_its_weights_wait_for_none_of_it() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 2, every_hook());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        let moved = |world: &World| !world.entries("api", "jobs_moved").is_empty();
        assert!(world.until(3_600, moved).await);
        locked(&world.side.faults).hooks_take = Duration::from_secs(25);
        world.turn("errors", AlarmState::Alarm);
        let decided = |world: &World| phase(world) == Some(Phase::Reverting);
        assert!(world.until(30, decided).await);
        let back = |world: &World| {
            let group = &plan.plan.records[0];
            world.pair(&group.zone.zone, &group.name) == WeightPair::new(100, 0)
        };
        // Within two seconds, while a hook takes 25 s and the jobs a minute.
        assert!(world.until(2, back).await);
        assert_eq!(on(&world, &plan, JobSide::Old), 0);
        assert!(
            world
                .until(600, |world| phase(world) == Some(Phase::Reverted))
                .await
        );
        world.assert_unbroken();
        assert_eq!(
            (
                on(&world, &plan, JobSide::Old),
                on(&world, &plan, JobSide::New)
            ),
            (2, 0)
        );
        let keys = called(&world);
        assert!(keys.contains("api/1/0/before_revert/4"), "{keys:?}");
        assert!(keys.contains("api/1/0/after_revert/5"), "{keys:?}");
    });
}

#[test]
fn a_controller_that_dies_between_the_halves_leaves_both_off_and_it_is_said() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let process = world.start("one");
        let off = |world: &World| !world.entries("api", "jobs_off").is_empty();
        assert!(world.until(3_600, off).await);
        process.task.abort();
        tokio::time::sleep(Duration::from_mins(30)).await;
        assert_eq!(
            (
                on(&world, &plan, JobSide::Old),
                on(&world, &plan, JobSide::New)
            ),
            (0, 0)
        );
        let _next = world.start("two");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let loud = world.entries("api", "step_held").into_iter().any(|entry| {
            let Event::StepHeld { because } = entry.event else {
                return false;
            };
            because
                .iter()
                .any(|reason| matches!(reason, HoldReason::JobsBothOff { .. }))
        });
        assert!(loud, "nobody was told that both were off");
        assert_eq!(on(&world, &plan, JobSide::New), 1);
    });
}

#[test]
fn somebody_elses_switch_is_drift_and_is_not_written_over() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        let off = |world: &World| !world.entries("api", "jobs_off").is_empty();
        assert!(world.until(3_600, off).await);
        let old = plan.plan.jobs.as_ref().expect("jobs").jobs[0]
            .old
            .clone()
            .expect("a half");
        world.switch_by_others(&old, true);
        tokio::time::sleep(Duration::from_mins(20)).await;
        world.assert_unbroken();
        assert!(world.is_on(&old));
        assert_eq!(on(&world, &plan, JobSide::New), 0, "never both");
        let told = locked(&world.pages).len();
        assert!(told > 0, "nobody was told");
        world.switch_by_others(&old, false);
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
    });
}

#[test]
fn a_job_that_runs_on_both_sides_before_the_start_holds_it() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let new = plan.plan.jobs.as_ref().expect("jobs").jobs[0]
            .new
            .clone()
            .expect("a half");
        world.switch_by_others(&new, true);
        let _process = world.start("one");
        tokio::time::sleep(Duration::from_mins(20)).await;
        assert_eq!(phase(&world), Some(Phase::Waiting));
        let state = world.state("api").expect("a state");
        let both = |reason: &HoldReason| matches!(reason, HoldReason::JobsDrift { both_on, .. } if both_on == &["job-0"]);
        assert!(state.held.iter().any(both), "{:?}", state.held);
    });
}

#[test]
fn what_still_runs_is_waited_for() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let old = plan.plan.jobs.as_ref().expect("jobs").jobs[0]
            .old
            .clone()
            .expect("a half");
        world.side.jobs.set(&old, |look| look.running = Some(3));
        let _process = world.start("one");
        let off = |world: &World| !world.entries("api", "jobs_off").is_empty();
        assert!(world.until(3_600, off).await);
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(on(&world, &plan, JobSide::New), 0);
        assert!(locked(&world.pages).is_empty());
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(!locked(&world.pages).is_empty(), "longer than `drain`");
        world.side.jobs.set(&old, |look| look.running = Some(0));
        let moved = |world: &World| !world.entries("api", "jobs_moved").is_empty();
        assert!(world.until(60, moved).await);
        world.assert_unbroken();
    });
}

#[test]
fn every_hook_is_called_in_its_place_with_its_own_key() {
    play(|| async {
        let plan = with_jobs(None, 0, every_hook());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let keys: Vec<String> = locked(&world.side.calls)
            .iter()
            .map(|(key, _)| key.clone())
            .collect();
        assert_eq!(
            keys,
            [
                "api/1/0/before_start/1",
                "api/1/1/before_step/2",
                "api/1/1/after_step/3",
                "api/1/2/before_step/2",
                "api/1/2/after_step/3",
                "api/1/3/before_step/2",
                "api/1/3/after_step/3",
                "api/1/0/completed/6",
            ]
        );
        let (_, input) = locked(&world.side.calls)[3].clone();
        let input: serde_json::Value = serde_json::from_str(&input).expect("JSON");
        assert_eq!(input["hook"], "before_step");
        assert_eq!((&input["step"], &input["share"]), (&2.into(), &50.into()));
    });
}

#[test]
fn a_hook_that_fails_holds_and_is_tried_again_until_it_is_mended() {
    play(|| async {
        let plan = with_jobs(None, 0, vec![hook(HookPoint::AfterStep)]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_fail = true;
        let _process = world.start("one");
        tokio::time::sleep(Duration::from_mins(30)).await;
        let state = world.state("api").expect("a state");
        assert_eq!((state.phase, state.step), (Phase::Baking, 1));
        assert!(!locked(&world.pages).is_empty(), "nobody was told");
        locked(&world.side.faults).hooks_fail = false;
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Completed))
                .await
        );
        world.assert_unbroken();
        let keys = called(&world);
        assert!(keys.contains("api/1/1/after_step/1"), "{keys:?}");
    });
}

#[test]
fn a_hook_that_fails_takes_everything_back_where_the_plan_says_so() {
    play(|| async {
        let mut failing = hook(HookPoint::AfterStep);
        failing.on_failure = HoldOrRevert::Revert;
        let plan = with_jobs(None, 0, vec![failing]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_fail = true;
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| phase(world) == Some(Phase::Reverted))
                .await
        );
        world.assert_unbroken();
        assert_eq!(world.entries("api", "hook_intended").len(), 3);
    });
}

#[test]
fn a_hook_beside_a_revert_that_fails_is_told_and_holds_nothing() {
    play(|| async {
        let plan = with_jobs(None, 0, vec![hook(HookPoint::BeforeRevert)]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_fail = true;
        let _process = world.start("one");
        let baking = |world: &World| phase(world) == Some(Phase::Baking);
        assert!(world.until(3_600, baking).await);
        world.turn("errors", AlarmState::Alarm);
        assert!(
            world
                .until(300, |world| phase(world) == Some(Phase::Reverted))
                .await
        );
        world.assert_unbroken();
        let given_up = locked(&world.pages)
            .iter()
            .any(|page| matches!(page.entry.event, Event::HookFailed { given_up: true, .. }));
        assert!(given_up, "nobody was told");
    });
}

pub(super) fn called(world: &World) -> BTreeSet<String> {
    let calls = locked(&world.side.calls);
    calls.iter().map(|(key, _)| key.clone()).collect()
}
