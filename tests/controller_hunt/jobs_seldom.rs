//! Jobs that are seen seldom or not at all, that fire all the time, that run late; and single runs (`--once`), which must
//! see them too.

use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::hold::HoldReason;
use cutover::engine::hooks::HookPoint;
use cutover::engine::jobs::{Firing, JobSide};
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::engine::units::WeightPair;
use jiff::SignedDuration;

use super::jobs::{at_half, on, phase, play, with_jobs};
use super::world::{World, locked};
use cutover_testbed::beside::hook;

fn sides(world: &World, plan: &PlanSource) -> (usize, usize) {
    (on(world, plan, JobSide::Old), on(world, plan, JobSide::New))
}

fn held(world: &World, is: impl Fn(&HoldReason) -> bool) -> bool {
    let state = world.state("api");
    state.is_some_and(|state| state.held.iter().any(is))
}

fn has(world: &World, label: &str) -> bool {
    !world.entries("api", label).is_empty()
}

/// Runs once a minute, as cron does, until it is over.
async fn by_cron(world: &World, minutes: u32) {
    for _ in 0..minutes {
        let run = format!("run-{}", world.now().as_second());
        let (mut controller, ..) = world.controller(&run);
        controller.run_once().await.expect("a run");
        if phase(world).is_some_and(Phase::is_final) {
            return;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

#[test]
fn single_runs_see_the_jobs_and_move_them_there_and_back() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 2, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        by_cron(&world, 60).await;
        world.assert_unbroken();
        assert_eq!(phase(&world), Some(Phase::Completed));
        assert_eq!(sides(&world, &plan), (0, 2));
        let unsent = |event: &Event| matches!(event, Event::JobTurnAnswered { failed, .. } if !failed.is_empty());
        let answers = world.entries("api", "job_turn_answered");
        assert!(
            !answers.iter().any(|entry| unsent(&entry.event)),
            "{answers:?}"
        );
    });
    play(|| async {
        let plan = with_jobs(Some(at_half()), 2, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        while !has(&world, "jobs_moved") {
            by_cron(&world, 1).await;
        }
        world.turn("errors", AlarmState::Alarm);
        by_cron(&world, 30).await;
        world.assert_unbroken();
        assert_eq!(phase(&world), Some(Phase::Reverted));
        assert_eq!(sides(&world, &plan), (2, 0));
    });
}

#[test]
fn single_runs_tell_that_jobs_cannot_be_seen() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).blind = true;
        by_cron(&world, 3).await;
        assert_eq!(phase(&world), Some(Phase::Waiting));
        assert_eq!(locked(&world.pages).len(), 1, "told, and told once");
    });
}

#[test]
fn a_single_run_looks_at_alarms_while_it_waits_for_a_hook() {
    play(|| async {
        let mut slow = hook(HookPoint::AfterStep);
        slow.timeout = SignedDuration::from_mins(10);
        let plan = with_jobs(None, 0, vec![slow]);
        let world = World::new(std::slice::from_ref(&plan));
        locked(&world.side.faults).hooks_take = Duration::from_mins(5);
        while world.state("api").is_none_or(|state| !state.bake.over) {
            let running = world.clone();
            let run = tokio::spawn(async move { by_cron(&running, 1).await });
            tokio::time::sleep(Duration::from_mins(1)).await;
            if has(&world, "hook_intended") {
                world.turn("errors", AlarmState::Alarm);
                tokio::time::sleep(Duration::from_secs(15)).await;
                let group = &plan.plan.records[0];
                let pair = world.pair(&group.zone.zone, &group.name);
                assert_eq!(pair, WeightPair::new(100, 0));
                run.await.expect("a run");
                world.assert_unbroken();
                return;
            }
            run.await.expect("a run");
        }
        panic!("no hook was called");
    });
}

#[test]
fn jobs_that_cannot_be_seen_hold_the_next_step_and_wake_somebody_in_time() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(
            world
                .until(3_600, |world| has(world, "weights_verified"))
                .await
        );
        locked(&world.side.faults).blind = true;
        tokio::time::sleep(Duration::from_mins(4)).await;
        assert_eq!(world.state("api").expect("a state").step, 1);
        assert!(locked(&world.pages).is_empty(), "not before `unknown_for`");
        tokio::time::sleep(Duration::from_mins(4)).await;
        assert!(!locked(&world.pages).is_empty(), "nobody was told");
        locked(&world.side.faults).blind = false;
        let completed = |world: &World| phase(world) == Some(Phase::Completed);
        assert!(world.until(3_600, completed).await);
        world.assert_unbroken();
    });
}

#[test]
fn what_starts_while_neither_side_is_on_is_waited_for() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let old = plan.plan.jobs.as_ref().expect("jobs").jobs[0]
            .old
            .clone()
            .expect("a half");
        world.side.jobs.set(&old, |look| look.running = Some(0));
        let _process = world.start("one");
        assert!(world.until(3_600, |world| has(world, "jobs_off")).await);
        // Nothing ran when it was off; then what was still on its way begins.
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.side.jobs.set(&old, |look| look.running = Some(1));
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(sides(&world, &plan), (0, 0));
        let runs = |reason: &HoldReason| matches!(reason, HoldReason::JobsRunning { .. });
        assert!(held(&world, runs));
        world.side.jobs.set(&old, |look| look.running = Some(0));
        assert!(world.until(60, |world| has(world, "jobs_moved")).await);
        world.assert_unbroken();
    });
}

/// A CronJob that fires every minute, as the Kubernetes documentation's example has it.
fn every_minute() -> Firing {
    Firing {
        expression: "* * * * *".to_owned(),
        zone: None,
        spread: SignedDuration::ZERO,
        catch_up: Some(SignedDuration::from_secs(200)),
    }
}

#[test]
fn jobs_that_fire_all_the_time_move_there_and_back() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let job = plan.plan.jobs.as_ref().expect("jobs").jobs[0].clone();
        for half in job.old.iter().chain(&job.new) {
            world
                .side
                .jobs
                .set(half, |look| look.firing = Some(every_minute()));
        }
        let _process = world.start("one");
        assert!(world.until(900, |world| has(world, "jobs_moved")).await);
        world.turn("errors", AlarmState::Alarm);
        let back = |world: &World| phase(world) == Some(Phase::Reverted);
        assert!(world.until(900, back).await);
        world.assert_unbroken();
        assert_eq!(sides(&world, &plan), (1, 0));
    });
}

#[test]
fn jobs_whose_firings_leave_no_gap_together_are_moved_after_a_while() {
    play(|| async {
        let mut plan = with_jobs(Some(at_half()), 6, Vec::new());
        plan.plan.jobs.as_mut().expect("jobs").away = SignedDuration::from_mins(10);
        let plan = super::world::source(plan.plan);
        let world = World::new(std::slice::from_ref(&plan));
        for (index, job) in plan
            .plan
            .jobs
            .as_ref()
            .expect("jobs")
            .jobs
            .iter()
            .enumerate()
        {
            let firing = Firing {
                expression: format!("{} * * * *", index * 10),
                catch_up: None,
                ..every_minute()
            };
            world
                .side
                .jobs
                .set(job.old.as_ref().expect("a half"), |look| {
                    look.firing = Some(firing);
                });
        }
        let _process = world.start("one");
        let fires = |reason: &HoldReason| matches!(reason, HoldReason::JobsFiring { .. });
        assert!(world.until(3_600, |world| held(world, fires)).await);
        assert!(
            world
                .until(3_600 * 2, |world| has(world, "jobs_moved"))
                .await
        );
        world.assert_unbroken();
    });
}

#[test]
fn the_way_back_does_not_wait_for_long_for_what_would_be_made_up_for() {
    play(|| async {
        let plan = with_jobs(Some(at_half()), 1, Vec::new());
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(world.until(3_600, |world| has(world, "jobs_moved")).await);
        let job = plan.plan.jobs.as_ref().expect("jobs").jobs[0].clone();
        let daily = Firing {
            expression: "0 0 * * *".to_owned(),
            catch_up: Some(SignedDuration::from_hours(23)),
            ..every_minute()
        };
        world
            .side
            .jobs
            .set(job.old.as_ref().expect("a half"), |look| {
                look.firing = Some(daily);
            });
        world.turn("errors", AlarmState::Alarm);
        let back = |world: &World| phase(world) == Some(Phase::Reverted);
        assert!(world.until(600, back).await);
        world.assert_unbroken();
    });
}

#[test]
fn a_revert_is_not_over_while_a_job_that_it_took_back_is_on_again() {
    play(|| async {
        // Its last hook gives time between the jobs and the end.
        let plan = with_jobs(Some(at_half()), 1, vec![hook(HookPoint::AfterRevert)]);
        let world = World::new(std::slice::from_ref(&plan));
        let _process = world.start("one");
        assert!(world.until(3_600, |world| has(world, "jobs_moved")).await);
        locked(&world.side.faults).hooks_take = Duration::from_secs(20);
        world.turn("errors", AlarmState::Alarm);
        let taken_back = |world: &World| world.entries("api", "jobs_moved").len() == 2;
        assert!(world.until(600, taken_back).await);
        let new = plan.plan.jobs.as_ref().expect("jobs").jobs[0]
            .new
            .clone()
            .expect("a half");
        world.switch_by_others(&new, true);
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(phase(&world), Some(Phase::Reverting), "both sides are on");
        let told = locked(&world.pages).iter().any(|page| {
            let Event::StepHeld { because } = &page.entry.event else {
                return false;
            };
            let drift = |reason: &HoldReason| matches!(reason, HoldReason::JobsDrift { .. });
            because.iter().any(drift)
        });
        assert!(told, "nobody was told");
        world.switch_by_others(&new, false);
        let back = |world: &World| phase(world) == Some(Phase::Reverted);
        assert!(world.until(600, back).await);
        world.assert_unbroken();
    });
}
