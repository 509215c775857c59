//! The switch of jobs to the second and to the half: what is ours and what is somebody else's, how long what is waited
//! for.

use cutover_engine::decide;
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::hold::HoldReason;
use cutover_engine::jobs::{Firing, HalfId, JobSide, SwitchAt};
use cutover_engine::observation::AlarmState;
use cutover_engine::state::Phase;
use cutover_engine::units::Share;
use jiff::{SignedDuration, Timestamp};

use super::jobs::{
    NEITHER, NEW_ONLY, OLD_ONLY, at_half, between, held, moved, run_until, steps, times,
};
use super::kinds;
use cutover_testbed::beside::{TurnFate, with_jobs};
use cutover_testbed::plan::plan;
use cutover_testbed::world::World;

fn secs(secs: i64) -> SignedDuration {
    SignedDuration::from_secs(secs)
}

/// The jobs that are not as they should be, and those of them that run twice.
fn drifted(world: &World) -> Option<(Vec<String>, Vec<String>)> {
    held(world, |reason| match reason {
        HoldReason::JobsDrift { jobs, both_on } => Some((jobs.clone(), both_on.clone())),
        _ => None,
    })
}

fn only(job: &str) -> (Vec<String>, Vec<String>) {
    (vec![job.to_owned()], Vec::new())
}

/// A world whose jobs are to be switched now, and held back by a pause.
fn due(count: usize) -> World {
    let mut world = at_half(count);
    world.run_to_bake(1);
    while world.count("weights_verified") < 2 {
        world.tick(1);
    }
    world.ask(Event::PauseRequested { reason: None });
    world.run_minutes(3);
    world
}

/// Of two jobs of a side the first is switched and the second is not.
fn half_done(world: &mut World, side: JobSide) {
    world.aside.turns = TurnFate::Slow;
    run_until(world, "job_turn_intended");
    world.switch_by_others(0, side, side == JobSide::New);
    world.aside.turns = TurnFate::Ignored;
    run_until(world, "job_turn_resolved");
}

#[test]
fn what_holds_the_step_holds_its_switch_which_is_looked_for_every_five_seconds() {
    let mut world = due(1);
    assert_eq!(kinds(&world), ["paused", "jobs_moving"]);
    let soon = Some(world.now + secs(5));
    assert_eq!(world.controllers[0].last.wake_at, soon);
    assert_eq!(world.count("job_switch_intended"), 0);
    world.ask(Event::ResumeRequested { reason: None });
    world.tick(1);
    assert_eq!(world.count("job_switch_intended"), 1);
}

#[test]
fn while_neither_side_runs_it_is_told_since_when() {
    let mut world = between();
    world.tick(1);
    let told = held(&world, |reason| match reason {
        HoldReason::JobsMoving { off_since, .. } => Some(*off_since),
        _ => None,
    });
    assert_eq!(told, Some(times(&world, "jobs_off").first().copied()));
}

#[test]
fn a_switch_is_begun_by_looks_of_the_last_forty_seconds_only() {
    for (age, begins) in [(40, true), (41, false)] {
        let mut world = due(1);
        world.ask(Event::ResumeRequested { reason: None });
        let mut observation = world.observe(0);
        for reading in observation.beside.jobs.values_mut() {
            reading.asked_at = world.now - secs(age);
        }
        let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
        let to = JobSide::New;
        let begun = decision.events.contains(&Event::JobSwitchIntended { to });
        assert_eq!(begun, begins, "{age} s old");
    }
}

#[test]
fn that_both_sides_are_off_is_said_to_the_second_and_what_runs_gives_it_longer() {
    let says = |world: &World| kinds(world).contains(&"jobs_both_off".to_owned());
    // Five minutes after `wait`, and where something runs, after `drain`.
    for (running, after) in [(None, 6 * 60), (Some(3), 15 * 60)] {
        let mut world = at_half(1);
        world.half(0, JobSide::Old).running = running;
        world.run_to_bake(1);
        run_until(&mut world, "jobs_off");
        let off_at = times(&world, "jobs_off")[0];
        world.aside.turns = TurnFate::Slow;
        world.pass(off_at.duration_since(world.now).as_secs() + after - 1);
        world.round(0);
        assert!(!says(&world), "{:?}", kinds(&world));
        world.pass(1);
        world.round(0);
        assert!(says(&world), "{:?}", kinds(&world));
    }
}

#[test]
fn that_both_sides_are_off_is_said_at_once_where_it_halts() {
    let mut world = between();
    world.turn("fallback", AlarmState::Alarm);
    world.turn("errors", AlarmState::Alarm);
    world.tick(1);
    world.tick(1);
    assert_eq!(world.phase(), Phase::Halted);
    assert!(kinds(&world).contains(&"jobs_both_off".to_owned()));
    assert_eq!(world.job(0), NEITHER);
}

#[test]
fn what_had_begun_when_it_halted_is_finished_after_a_retry_though_the_bake_begins_anew() {
    let mut world = World::new(with_jobs(steps(), SwitchAt::Complete, 1));
    world.run_to_bake(3);
    run_until(&mut world, "jobs_off");
    world.turn("fallback", AlarmState::Alarm);
    world.turn("errors", AlarmState::Alarm);
    world.tick(1);
    assert_eq!(world.phase(), Phase::Halted);
    world.turn("errors", AlarmState::Ok);
    world.turn("fallback", AlarmState::Ok);
    world.tick(1);
    world.ask(Event::RetryRequested { reason: None });
    world.run_minutes(5);
    assert_eq!(world.job(0), NEW_ONLY);
    assert!(!world.state().bake.over);
    world.run_to(Phase::Completed);
}

#[test]
fn jobs_go_back_though_somebody_elses_weights_halt_the_revert() {
    let two = plan(&[2], &[(10, 60, false), (50, 60, false), (100, 60, false)]);
    let mut world = World::new(with_jobs(two, SwitchAt::Step(Share::percent(50)), 1));
    world.run_to_bake(2);
    world.others_write(1, 30, 70);
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(5);
    assert_eq!(world.phase(), Phase::Halted);
    assert_eq!(world.job(0), OLD_ONLY);
}

#[test]
fn a_change_that_its_process_did_not_outlive_is_looked_for_when_it_can_no_longer_land() {
    let mut world = at_half(1);
    world.run_to_bake(1);
    world.aside.turns = TurnFate::Slow;
    run_until(&mut world, "job_turn_intended");
    // Fifteen seconds to be sent, thirty to be carried out, fifteen to be late.
    let lands_by = times(&world, "job_turn_intended")[0] + secs(60);
    world.round(0);
    assert_eq!(world.controllers[0].last.wake_at, None, "it will answer");
    world.crash(0);
    world.pass(1);
    world.round(0);
    assert_eq!(world.controllers[0].last.wake_at, Some(lands_by));
    world.pass(lands_by.duration_since(world.now).as_secs());
    world.aside.hushed = true;
    world.round(0);
    assert_eq!(world.count("job_turn_resolved"), 0);
    world.aside.hushed = false;
    world.round(0);
    assert_eq!(world.count("job_turn_resolved"), 1);
}

#[test]
fn the_job_that_does_not_do_what_it_is_told_is_named() {
    let stuck = |world: &World| {
        held(world, |reason| match reason {
            HoldReason::JobsStuck { job, side, message } => {
                Some((job.clone(), *side, message.clone()))
            }
            _ => None,
        })
    };
    let told = |side: JobSide| {
        let message = "the job did not change state after it was switched".to_owned();
        Some(("job-1".to_owned(), side, message))
    };
    let mut world = at_half(2);
    world.run_to_bake(1);
    for side in [JobSide::Old, JobSide::New] {
        half_done(&mut world, side);
        for _ in 0..2 {
            assert_eq!(stuck(&world), None);
            run_until(&mut world, "job_turn_resolved");
        }
        world.round(0);
        assert_eq!(stuck(&world), told(side));
        world.aside.turns = TurnFate::Done;
        let next = match side {
            JobSide::Old => "jobs_off",
            JobSide::New => "jobs_moved",
        };
        run_until(&mut world, next);
    }
    assert_eq!((world.job(0), world.job(1)), (NEW_ONLY, NEW_ONLY));
}

#[test]
fn what_was_read_off_and_is_on_again_is_somebody_elses_doing() {
    let mut world = at_half(2);
    world.run_to_bake(1);
    half_done(&mut world, JobSide::Old);
    world.aside.turns = TurnFate::Done;
    world.switch_by_others(0, JobSide::Old, true);
    world.run_minutes(5);
    assert_eq!(world.job(0), OLD_ONLY);
    assert_eq!(drifted(&world), Some(only("job-0")));
    world.switch_by_others(0, JobSide::Old, false);
    run_until(&mut world, "jobs_moved");
}

#[test]
fn what_was_read_on_and_is_off_again_is_somebody_elses_doing() {
    let mut world = at_half(2);
    world.run_to_bake(1);
    run_until(&mut world, "jobs_off");
    half_done(&mut world, JobSide::New);
    world.aside.turns = TurnFate::Done;
    world.switch_by_others(0, JobSide::New, false);
    world.run_minutes(5);
    assert_eq!(world.job(0), NEITHER);
    assert_eq!(drifted(&world), Some(only("job-0")));
    world.switch_by_others(0, JobSide::New, true);
    run_until(&mut world, "jobs_moved");
}

#[test]
fn what_is_off_before_it_was_told_to_be_is_somebody_elses_doing() {
    let mut world = due(2);
    world.switch_by_others(0, JobSide::Old, false);
    world.append("ctl-1", Event::JobSwitchIntended { to: JobSide::New });
    world.run_minutes(2);
    assert_eq!(world.count("job_turn_intended"), 0);
    assert_eq!(drifted(&world), Some(only("job-0")));
}

#[test]
fn what_somebody_switched_on_between_the_halves_is_left_on_by_all_but_force() {
    let mut world = between();
    world.switch_by_others(0, JobSide::New, true);
    world.run_minutes(3);
    assert_eq!(world.count("jobs_moved"), 0, "not ours, and not yet due");
    assert_eq!(drifted(&world), Some(only("job-0")));
    for (mode, after) in [(RevertMode::Swap, NEW_ONLY), (RevertMode::Force, OLD_ONLY)] {
        let mut world = world.clone();
        world.roll_back(mode);
        world.run_minutes(10);
        assert_eq!(world.job(0), after, "{mode:?}");
        let ended = mode == RevertMode::Force;
        assert_eq!(world.phase() == Phase::Reverted, ended, "{mode:?}");
        if !ended {
            assert_eq!(drifted(&world), Some(only("job-0")));
        }
    }
}

#[test]
fn what_runs_on_a_side_that_was_never_switched_on_is_not_waited_for() {
    let mut world = between();
    world.half(0, JobSide::New).running = Some(3);
    world.roll_back(RevertMode::Swap);
    world.tick(1);
    for _ in 0..20 {
        assert!(!kinds(&world).contains(&"jobs_running".to_owned()));
        world.tick(1);
    }
    assert_eq!(world.job(0), OLD_ONLY);
}

#[test]
fn on_the_way_back_what_runs_on_the_new_side_is_waited_for() {
    let mut world = moved(1);
    world.half(0, JobSide::New).running = Some(3);
    world.roll_back(RevertMode::Swap);
    world.run_minutes(5);
    assert_eq!(world.job(0), NEITHER);
    assert!(kinds(&world).contains(&"jobs_running".to_owned()));
    world.half(0, JobSide::New).running = Some(0);
    world.run_to(Phase::Reverted);
}

/// Half past midnight each day, and made up for until half a minute before the next: it ran half an hour before the world
/// begins.
fn nightly() -> Firing {
    Firing {
        expression: "30 0 * * *".to_owned(),
        zone: None,
        spread: SignedDuration::ZERO,
        catch_up: Some(secs(24 * 3600 - 30)),
    }
}

#[test]
fn what_would_make_up_for_what_ran_is_switched_on_when_it_would_not_any_more() {
    let mut world = at_half(1);
    world.half(0, JobSide::New).firing = Some(nightly());
    world.run_to_bake(1);
    run_until(&mut world, "jobs_drained");
    world.round(0);
    let until = held(&world, |reason| match reason {
        HoldReason::JobsFiring { until, since } => Some((*until, *since)),
        _ => None,
    });
    let tomorrow: Timestamp = "2026-03-03T00:29:31Z".parse().expect("a timestamp");
    assert_eq!(until, Some((tomorrow, None)));
    world.pass(tomorrow.duration_since(world.now).as_secs() - 1);
    world.round(0);
    assert_eq!(world.count("job_turn_intended"), 1);
    world.pass(1);
    run_until(&mut world, "jobs_moved");
    assert_eq!(times(&world, "job_turn_intended")[1], tomorrow + secs(1));
}

#[test]
fn the_way_back_waits_five_minutes_for_that_and_not_at_all_where_nothing_ran() {
    let mut world = moved(1);
    world.half(0, JobSide::Old).firing = Some(nightly());
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    let off_at = times(&world, "jobs_off")[1];
    let on_at = times(&world, "job_turn_intended")[3];
    let waited = on_at.duration_since(off_at).as_secs();
    assert!((300..=310).contains(&waited), "{waited} s");

    let mut world = between();
    world.half(0, JobSide::Old).firing = Some(nightly());
    world.roll_back(RevertMode::Swap);
    for _ in 0..20 {
        world.tick(1);
    }
    assert_eq!(world.job(0), OLD_ONLY);
}

#[test]
fn where_firings_leave_no_gap_the_switch_is_put_off_for_twice_as_long_as_one_of_them_lasts() {
    // Each is kept away from for two minutes of three, or for eighty minutes of two hours: together always.
    let cases = [
        (
            1,
            &["*/3 * * * *", "1-59/3 * * * *", "2-59/3 * * * *"][..],
            60,
        ),
        (40, &["0 */2 * * *", "0 1-23/2 * * *"], 160),
    ];
    for (away, expressions, patience) in cases {
        let at = SwitchAt::Step(Share::percent(50));
        let mut plan = with_jobs(steps(), at, expressions.len());
        let jobs = plan.jobs.as_mut().expect("it has jobs");
        jobs.away = SignedDuration::from_mins(away);
        let mut world = World::new(plan);
        for (job, expression) in expressions.iter().enumerate() {
            world.half(job, JobSide::New).firing = Some(Firing {
                expression: (*expression).to_owned(),
                catch_up: None,
                ..nightly()
            });
        }
        world.run_to_bake(1);
        while !kinds(&world).contains(&"jobs_firing".to_owned()) {
            world.tick(1);
        }
        let begins_at = world.now + SignedDuration::from_mins(patience);
        while world.now < begins_at {
            assert_eq!(world.count("job_switch_intended"), 0);
            world.pass(5);
            world.round(0);
        }
        assert_eq!(times(&world, "job_switch_intended"), [begins_at]);
    }
}

#[test]
fn jobs_that_cannot_be_seen_wake_somebody_after_exactly_unknown_for_and_on_the_way_back_at_once() {
    let overdue = |world: &World| {
        held(world, |reason| match reason {
            HoldReason::JobsUnread { overdue, since, .. } => Some((*overdue, *since)),
            _ => None,
        })
    };
    let mut world = moved(1);
    world.aside.unseen = Some("no answer".to_owned());
    while overdue(&world).is_none() {
        world.tick(1);
    }
    let since = world.now;
    assert_eq!(overdue(&world), Some((false, since)));
    let mut back = world.clone();
    world.pass(30 * 60 - 1);
    world.round(0);
    assert_eq!(overdue(&world), Some((false, since)));
    world.pass(1);
    world.round(0);
    assert_eq!(overdue(&world), Some((true, since)));
    back.roll_back(RevertMode::Swap);
    back.tick(1);
    back.tick(5);
    assert_eq!(back.phase(), Phase::Reverting);
    assert_eq!(overdue(&back).map(|(overdue, _)| overdue), Some(true));
}

#[test]
fn each_half_that_cannot_be_seen_is_told_with_its_own_time() {
    let mut world = at_half(2);
    world.run_to_bake(1);
    let mut observation = world.observe(0);
    observation.passed_for = None;
    let mut blind = Vec::new();
    for (job, side) in [(0, JobSide::Old), (0, JobSide::New), (1, JobSide::Old)] {
        world.pass(10);
        let half = HalfId::new(job, side);
        let reading = observation.beside.jobs.get_mut(&half);
        reading.expect("a job of the plan").look = Err("no answer".to_owned());
        blind.push((format!("job-{job}"), side, world.now));
        let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
        for event in decision.events {
            world.append("ctl-1", event);
        }
        let unread = world.state().held.iter().filter_map(|reason| match reason {
            HoldReason::JobsUnread {
                job, side, since, ..
            } => Some((job.clone(), *side, *since)),
            _ => None,
        });
        let unread: Vec<_> = unread.collect();
        assert_eq!(unread, blind);
    }
}
