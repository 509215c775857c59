//! Jobs: one switch, old or new, never both; traffic waits for none of it.

use cutover_engine::decide::PERFORM_WITHIN;
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::hold::HoldReason;
use cutover_engine::hooks::HookPoint;
use cutover_engine::jobs::{Firing, JobSide, SwitchAt};
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::Plan;
use cutover_engine::state::Phase;
use cutover_engine::units::{Share, WeightPair};
use jiff::{SignedDuration, Timestamp};

use super::{kinds, windows};
use cutover_testbed::beside::{TurnFate, with_hooks, with_jobs};
use cutover_testbed::plan::plan;
use cutover_testbed::world::World;

pub(super) const OLD_ONLY: (bool, bool) = (true, false);
pub(super) const NEITHER: (bool, bool) = (false, false);
pub(super) const NEW_ONLY: (bool, bool) = (false, true);

pub(super) fn steps() -> Plan {
    plan(&[1], &[(10, 60, false), (50, 60, false), (100, 60, false)])
}

/// So many jobs, which move with the step of 50 %.
pub(super) fn at_half(count: usize) -> World {
    World::new(with_jobs(
        steps(),
        SwitchAt::Step(Share::percent(50)),
        count,
    ))
}

/// Ticks of a second until an event of this name is journaled.
pub(super) fn run_until(world: &mut World, label: &str) {
    let before = world.count(label);
    for _ in 0..20_000 {
        if world.count(label) > before {
            return;
        }
        world.tick(1);
    }
    panic!("no {label}\n{}", world.story());
}

/// A world whose one job is off on the old side and not yet on on the new one.
pub(super) fn between() -> World {
    let mut world = at_half(1);
    world.run_to_bake(1);
    run_until(&mut world, "jobs_off");
    assert_eq!(world.job(0), NEITHER);
    world
}

/// A world whose jobs have moved.
pub(super) fn moved(count: usize) -> World {
    let mut world = at_half(count);
    world.run_to_bake(1);
    run_until(&mut world, "jobs_moved");
    world
}

/// When an event of this name was journaled, each time.
pub(super) fn times(world: &World, label: &str) -> Vec<Timestamp> {
    let entries = world.journal.iter();
    let mine = entries.filter(|entry| entry.event.label() == label);
    mine.map(|entry| entry.at).collect()
}

/// The labels of the entries about jobs, from the first on.
fn about_jobs(world: &World) -> Vec<&str> {
    let labels = world.journal.iter().map(|entry| entry.event.label());
    labels.filter(|label| label.starts_with("job")).collect()
}

/// The reason that says this of the jobs, as far as it holds.
pub(super) fn held<T>(world: &World, of: impl FnMut(&HoldReason) -> Option<T>) -> Option<T> {
    world.because().iter().find_map(of)
}

#[test]
fn jobs_move_once_their_step_has_settled_and_before_its_bake() {
    let mut world = moved(2);
    let labels = world.journal.iter().map(|entry| entry.event.label());
    let of_step_2 = [
        "change_in_sync",
        "job_switch_intended",
        "jobs_moved",
        "bake_started",
    ];
    let order: Vec<&str> = labels.filter(|label| of_step_2.contains(label)).collect();
    assert_eq!(order[2..], of_step_2, "{order:?}");
    assert_eq!(
        about_jobs(&world),
        [
            "job_switch_intended",
            "job_turn_intended",
            "job_turn_answered",
            "job_turn_resolved",
            "jobs_off",
            "jobs_drained",
            "job_turn_intended",
            "job_turn_answered",
            "job_turn_resolved",
            "jobs_moved",
        ]
    );
    assert_eq!((world.job(0), world.job(1)), (NEW_ONLY, NEW_ONLY));
    world.run_to(Phase::Completed);
    assert_eq!(world.count("jobs_moved"), 1);
    assert!(world.checker.finished().is_empty());
}

#[test]
fn neither_side_runs_for_the_plans_wait_and_not_much_longer() {
    let world = moved(1);
    let gap = world.aside.turned[1]
        .0
        .duration_since(world.aside.turned[0].0);
    assert!(gap >= SignedDuration::from_mins(1), "{gap:#}");
    assert!(gap <= SignedDuration::from_secs(66), "{gap:#}");
}

#[test]
fn nothing_of_the_jobs_happens_before_their_step() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(about_jobs(&world), [""; 0]);
    assert_eq!(world.job(0), OLD_ONLY);
}

#[test]
fn jobs_of_the_end_move_after_the_last_bake() {
    let mut world = World::new(with_jobs(steps(), SwitchAt::Complete, 1));
    world.run_to_bake(3);
    run_until(&mut world, "job_switch_intended");
    assert_eq!(world.count("step_completed"), 3);
    assert_eq!(world.phase(), Phase::Baking);
    world.run_to(Phase::Completed);
    assert_eq!(world.job(0), NEW_ONLY);
}

#[test]
fn jobs_of_the_end_wait_for_the_plans_window_and_say_so() {
    let plan = Plan {
        windows: Some(windows::windows(
            "Asia/Tokyo",
            &["Mon-Fri 10:00-13:00"],
            &[],
        )),
        ..with_jobs(steps(), SwitchAt::Complete, 1)
    };
    // The world begins when the window opens; the third bake ends after it has shut.
    let mut world = World::new(plan);
    world.run_to_bake(3);
    world.run_minutes(90);
    let hold = held(&world, |reason| match reason {
        HoldReason::WindowShut {
            step,
            opens_at,
            whole_bake,
            ..
        } => Some((*step, *opens_at, *whole_bake)),
        _ => None,
    });
    let morning = "2026-03-03T01:00:00Z".parse().expect("a timestamp");
    assert_eq!(hold, Some((3, Some(morning), false)));
    assert_eq!(about_jobs(&world), [""; 0]);
    world.tick(morning.duration_since(world.now).as_secs());
    world.run_to(Phase::Completed);
    assert_eq!(times(&world, "job_switch_intended"), [morning]);
}

#[test]
fn a_revert_takes_the_jobs_back_and_its_weights_do_not_wait() {
    let mut world = moved(1);
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert_eq!(world.pair(0), WeightPair::new(100, 0));
    assert_eq!(world.phase(), Phase::Reverting);
    world.run_to(Phase::Reverted);
    assert_eq!(world.job(0), OLD_ONLY);
    let turned = world.aside.turned[2..].to_vec();
    let [(off_at, JobSide::New, false), (on_at, JobSide::Old, true)] = turned[..] else {
        panic!("{turned:?}");
    };
    assert!(on_at.duration_since(off_at) >= SignedDuration::from_mins(1));
    assert!(world.checker.finished().is_empty());
}

#[test]
fn a_revert_between_the_halves_switches_the_old_side_on_without_waiting() {
    let mut world = between();
    world.turn("errors", AlarmState::Alarm);
    let began_at = world.now;
    world.tick(1);
    while world.job(0) != OLD_ONLY {
        world.tick(1);
        let took = world.now.duration_since(began_at);
        assert!(took < SignedDuration::from_secs(20), "{}", world.story());
    }
    world.run_to(Phase::Reverted);
}

#[test]
fn what_still_runs_is_waited_for_and_somebody_is_told_after_drain() {
    let mut world = at_half(1);
    world.half(0, JobSide::Old).running = Some(3);
    world.run_to_bake(1);
    run_until(&mut world, "jobs_off");
    let runs = |world: &World| {
        held(world, |reason| match reason {
            HoldReason::JobsRunning {
                side,
                running,
                overdue,
                ..
            } => Some((*side, *running, *overdue)),
            _ => None,
        })
    };
    world.pass(9 * 60 + 58);
    world.tick(1);
    assert_eq!(runs(&world), Some((JobSide::Old, 3, false)));
    assert!(world.state().pages.is_empty());
    world.tick(1);
    assert_eq!(runs(&world), Some((JobSide::Old, 3, true)));
    assert_eq!(world.job(0), NEITHER);
    world.half(0, JobSide::Old).running = Some(0);
    run_until(&mut world, "jobs_moved");
    assert_eq!(world.job(0), NEW_ONLY);
}

#[test]
fn that_both_sides_are_off_is_said_five_minutes_after_wait() {
    let mut world = between();
    world.aside.turns = TurnFate::Refused;
    world.run_minutes(5);
    assert!(!kinds(&world).contains(&"jobs_both_off".to_owned()));
    world.run_minutes(1);
    world.tick(10);
    assert!(kinds(&world).contains(&"jobs_both_off".to_owned()));
}

#[test]
fn a_job_that_runs_on_both_sides_holds_the_start() {
    let mut world = at_half(2);
    world.switch_by_others(1, JobSide::New, true);
    world.run_minutes(10);
    assert_eq!(world.phase(), Phase::Waiting);
    let drift = held(&world, |reason| match reason {
        HoldReason::JobsDrift { jobs, both_on } => Some((jobs.clone(), both_on.clone())),
        _ => None,
    });
    let job = vec!["job-1".to_owned()];
    assert_eq!(drift, Some((job.clone(), job)));
    world.switch_by_others(1, JobSide::New, false);
    world.run_to_bake(1);
}

#[test]
fn a_job_that_is_off_on_the_old_side_holds_a_step_and_is_not_on_twice() {
    let mut world = at_half(2);
    world.run_to_bake(1);
    world.switch_by_others(0, JobSide::Old, false);
    world.run_minutes(90);
    assert_eq!(world.state().step, 1);
    let drift = held(&world, |reason| match reason {
        HoldReason::JobsDrift { jobs, both_on } => Some((jobs.clone(), both_on.clone())),
        _ => None,
    });
    assert_eq!(drift, Some((vec!["job-0".to_owned()], Vec::new())));
}

#[test]
fn what_comes_on_again_between_the_halves_is_not_written_over() {
    let mut world = between();
    world.switch_by_others(0, JobSide::Old, true);
    world.run_minutes(20);
    assert_eq!(world.job(0), OLD_ONLY);
    assert!(kinds(&world).contains(&"jobs_drift".to_owned()));
    world.switch_by_others(0, JobSide::Old, false);
    run_until(&mut world, "jobs_moved");
    assert_eq!(world.job(0), NEW_ONLY);
}

#[test]
fn only_force_switches_off_again_what_came_on_during_the_way_back() {
    for (mode, forced) in [(RevertMode::Swap, false), (RevertMode::Force, true)] {
        let mut world = moved(1);
        world.roll_back(mode);
        run_until(&mut world, "jobs_off");
        world.switch_by_others(0, JobSide::New, true);
        world.run_minutes(20);
        assert_eq!(world.phase() == Phase::Reverted, forced, "{mode:?}");
        let job = if forced { OLD_ONLY } else { NEW_ONLY };
        assert_eq!(world.job(0), job, "{mode:?}");
    }
}

#[test]
fn a_revert_is_not_over_while_a_job_is_not_as_it_was_left() {
    let plan = with_jobs(steps(), SwitchAt::Step(Share::percent(50)), 1);
    let mut world = World::new(with_hooks(plan, &[HookPoint::AfterRevert]));
    world.run_to_bake(2);
    // The last hook takes its time, and meanwhile somebody switches a job.
    world.aside.hooks_fail = None;
    world.roll_back(RevertMode::Swap);
    run_until(&mut world, "hook_intended");
    world.switch_by_others(0, JobSide::New, true);
    world.run_minutes(2);
    world.aside.hooks_fail = Some(false);
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Reverting);
    assert!(kinds(&world).contains(&"jobs_drift".to_owned()));
    world.switch_by_others(0, JobSide::New, false);
    world.run_to(Phase::Reverted);
}

#[test]
fn jobs_that_cannot_be_seen_hold_the_start_and_page_at_once() {
    let mut world = at_half(1);
    world.aside.unseen = Some("no answer".to_owned());
    world.run_minutes(2);
    assert_eq!(world.phase(), Phase::Waiting);
    assert_eq!(kinds(&world), ["jobs_unread", "jobs_unread"], "both sides");
    assert!(!world.state().pages.is_empty());
    world.aside.unseen = None;
    world.run_to_bake(1);
}

#[test]
fn on_the_way_jobs_that_cannot_be_seen_page_after_unknown_for() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.unseen = Some("no answer".to_owned());
    world.run_minutes(29);
    assert!(world.state().pages.is_empty(), "{}", world.story());
    world.run_minutes(3);
    assert!(!world.state().pages.is_empty(), "{}", world.story());
    world.run_minutes(60);
    assert_eq!(world.state().step, 1);
}

#[test]
fn what_must_not_be_switched_holds_the_start_with_its_reason() {
    let mut world = at_half(1);
    world.half(0, JobSide::New).unfit = Some("is managed by a service".to_owned());
    world.run_minutes(2);
    let stuck = held(&world, |reason| match reason {
        HoldReason::JobsStuck { job, side, message } => Some((job.clone(), *side, message.clone())),
        _ => None,
    });
    let expected = (
        "job-0".to_owned(),
        JobSide::New,
        "is managed by a service".to_owned(),
    );
    assert_eq!(stuck, Some(expected));
    assert_eq!(world.phase(), Phase::Waiting);
}

#[test]
fn a_refused_switch_is_tried_again_after_1_2_4_seconds_and_told_after_three() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.turns = TurnFate::Refused;
    let stuck = |world: &World| {
        held(world, |reason| match reason {
            HoldReason::JobsStuck { job, side, message } => {
                Some((job.clone(), *side, message.clone()))
            }
            _ => None,
        })
    };
    for _ in 0..3 {
        assert_eq!(stuck(&world), None);
        run_until(&mut world, "job_turn_resolved");
    }
    world.tick(1);
    let expected = ("job-0".to_owned(), JobSide::Old, "not allowed".to_owned());
    assert_eq!(stuck(&world), Some(expected));
    run_until(&mut world, "job_turn_intended");
    world.run_minutes(10);
    let tries = times(&world, "job_turn_intended");
    let apart: Vec<i64> = tries
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).as_secs())
        .collect();
    // Half of a minute's look and the turn of the second come on top.
    for (apart, wait) in apart.iter().zip([1, 2, 4]) {
        assert!((wait..=wait + 6).contains(apart), "{apart} for {wait}");
    }
    assert!(apart.iter().all(|apart| *apart <= 70), "{apart:?}");
    assert!(*apart.last().expect("tries") >= 60, "{apart:?}");
    world.aside.turns = TurnFate::Done;
    run_until(&mut world, "jobs_moved");
}

#[test]
fn a_lost_reply_is_read_back_when_nothing_of_it_can_land_any_more() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.turns = TurnFate::ReplyLost;
    run_until(&mut world, "job_turn_answered");
    let intended_at = times(&world, "job_turn_intended")[0];
    world.aside.turns = TurnFate::Done;
    run_until(&mut world, "job_turn_resolved");
    let took = world.now.duration_since(intended_at);
    assert!(
        took >= PERFORM_WITHIN + SignedDuration::from_secs(30),
        "{took:#}"
    );
    run_until(&mut world, "jobs_moved");
    assert_eq!(world.aside.turned.len(), 2, "it was not switched off twice");
}

#[test]
fn what_was_answered_and_did_not_come_about_is_done_again() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.turns = TurnFate::Ignored;
    run_until(&mut world, "job_turn_resolved");
    world.aside.turns = TurnFate::Done;
    run_until(&mut world, "jobs_moved");
    assert_eq!(world.job(0), NEW_ONLY);
}

#[test]
fn a_switch_that_is_under_way_is_waited_for_and_not_made_twice() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.turns = TurnFate::Slow;
    run_until(&mut world, "job_turn_intended");
    world.run_minutes(10);
    assert_eq!(world.count("job_turn_intended"), 1);
    // Its process dies: what it had to do is never done, and the next one does it.
    world.crash(0);
    world.aside.turns = TurnFate::Done;
    run_until(&mut world, "jobs_moved");
    assert_eq!(world.count("job_turn_intended"), 3);
}

#[test]
fn nothing_is_switched_while_the_journal_is_down() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.hushed = true;
    world.run_minutes(90);
    assert_eq!(about_jobs(&world), [""; 0]);
    world.aside.hushed = false;
    run_until(&mut world, "jobs_moved");
}

#[test]
fn the_switch_keeps_away_from_a_firing_on_either_side() {
    let mut undisturbed = at_half(1);
    undisturbed.run_to_bake(1);
    run_until(&mut undisturbed, "job_switch_intended");
    let due_at = undisturbed.now;
    for side in [JobSide::Old, JobSide::New] {
        let mut world = at_half(1);
        let fires_at = due_at + SignedDuration::from_secs(30);
        world.half(0, side).firing = Some(Firing {
            expression: format!("at({})", fires_at.strftime("%Y-%m-%dT%H:%M:%S")),
            zone: None,
            spread: SignedDuration::ZERO,
            catch_up: None,
        });
        world.run_to_bake(1);
        while world.now < due_at {
            world.tick(1);
        }
        let until = held(&world, |reason| match reason {
            HoldReason::JobsFiring { until, .. } => Some(*until),
            _ => None,
        });
        let free_at = fires_at + SignedDuration::from_mins(1);
        assert_eq!(until, Some(free_at));
        run_until(&mut world, "job_switch_intended");
        assert!(world.now >= free_at && world.now <= free_at + SignedDuration::from_secs(6));
    }
}

#[test]
fn an_approval_that_is_asked_for_does_not_hold_the_jobs_of_the_step_before() {
    let mut plan = with_jobs(steps(), SwitchAt::Step(Share::percent(50)), 1);
    plan.steps[2].approval = true;
    let mut world = World::new(plan);
    world.run_to_bake(2);
    assert_eq!(world.job(0), NEW_ONLY);
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(120);
    assert_eq!(world.job(0), NEW_ONLY);
}

/// Three old jobs become one, and one begins with the cutover.
fn several() -> World {
    let mut plan = with_jobs(steps(), SwitchAt::Step(Share::percent(50)), 4);
    let switch = plan.jobs.as_mut().expect("jobs");
    switch.jobs[1].new = None;
    switch.jobs[2].new = None;
    switch.jobs[3].old = None;
    World::new(plan)
}

#[test]
fn all_of_a_list_are_off_before_any_of_the_other_side_is_on() {
    let mut world = several();
    world.run_to_bake(1);
    run_until(&mut world, "jobs_moved");
    let turns: Vec<_> = world
        .aside
        .turned
        .iter()
        .map(|(_, side, on)| (*side, *on))
        .collect();
    assert_eq!(turns, [(JobSide::Old, false), (JobSide::New, true)]);
    for (job, side, on) in [
        (0, JobSide::Old, false),
        (1, JobSide::Old, false),
        (2, JobSide::Old, false),
        (0, JobSide::New, true),
        (3, JobSide::New, true),
    ] {
        assert_eq!(world.half(job, side).on, on, "{job} {side}");
    }
}

#[test]
fn one_of_a_list_that_somebody_switched_on_again_keeps_the_other_side_off() {
    let mut world = several();
    world.run_to_bake(1);
    run_until(&mut world, "jobs_off");
    world.switch_by_others(2, JobSide::Old, true);
    world.run_minutes(10);
    assert!(!world.half(0, JobSide::New).on, "{}", world.story());
    assert!(!world.half(3, JobSide::New).on, "{}", world.story());
    assert!(!world.state().pages.is_empty());
}

#[test]
fn what_can_never_fire_again_holds_the_start_and_nothing_after_it() {
    let mut world = at_half(1);
    let over = || Some("its EndDate is past".to_owned());
    world.half(0, JobSide::New).over = over();
    world.run_minutes(2);
    let stuck = held(&world, |reason| match reason {
        HoldReason::JobsStuck { side, message, .. } => Some((*side, message.clone())),
        _ => None,
    });
    assert_eq!(
        stuck,
        Some((JobSide::New, "its EndDate is past".to_owned()))
    );
    assert_eq!(world.phase(), Phase::Waiting);
    world.half(0, JobSide::New).over = None;
    world.run_to_bake(1);
    world.half(0, JobSide::Old).over = over();
    run_until(&mut world, "jobs_moved");
}
