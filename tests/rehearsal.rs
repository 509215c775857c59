//! Rehearsals: the real controller over a world with traffic, alarms, faults and people.

use std::collections::BTreeSet;

use cutover::cli::rehearse::{LookWhen, play, play_with};
use cutover::engine::event::{Envelope, Event};
use cutover::engine::hold::{HoldReason, RevertCause};
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::plan_file;
use cutover::report::rehearsal::film::{Film, Reel};
use cutover::scenario::Scenario;
use jiff::{SignedDuration, Timestamp};

const PLAN: &str = "\
version: 1
name: recipe-api
records: [ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]
steps:
  - { weight: 5%, bake: 4h }
  - { weight: 25%, bake: 4h }
  - { weight: 50%, bake: 6h, approval: required }
  - { weight: 100%, bake: 6h }
gates:
  alarms: [ recipe-api-5xx-rate, recipe-api-p99-latency ]
  fallback_alarms: [ recipe-api-eks-errors ]
";

fn source() -> PlanSource {
    plan_file::parse(PLAN, "/plans/recipe-api.yaml")
        .expect("valid")
        .source
}

/// The same plan within an afternoon.
fn short_source() -> PlanSource {
    let text = PLAN
        .replace("bake: 4h", "bake: 90m")
        .replace("bake: 6h", "bake: 1h");
    plan_file::parse(&text, "/plans/recipe-api.yaml")
        .expect("valid")
        .source
}

fn start() -> Timestamp {
    "2026-12-01T00:00:07Z".parse().expect("valid")
}

fn scenario(faults: &[&str]) -> Scenario {
    let faults = faults
        .iter()
        .map(|line| plan_file::fault(line).expect("valid"));
    Scenario {
        faults: faults.collect(),
        ..Scenario::default()
    }
}

fn filmed<F: Future<Output = anyhow::Result<Film>>>(play: F) -> Film {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("valid");
    runtime.block_on(play).expect("valid")
}

fn film(faults: &[&str], seed: u64) -> Film {
    filmed(play(vec![source()], &scenario(faults), seed, start()))
}

fn reel(film: &Film) -> &Reel {
    assert_eq!(film.reels.len(), 1);
    &film.reels[0]
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn step_verified(reel: &Reel, wanted: u16) -> Timestamp {
    let found = reel
        .entries
        .iter()
        .find(|entry| matches!(entry.event, Event::WeightsVerified { step, .. } if step == wanted));
    found.expect("the step was taken").at
}

fn held(reel: &Reel, is: impl Fn(&HoldReason) -> bool) -> bool {
    reel.entries.iter().any(|entry| match &entry.event {
        Event::StepHeld { because } => because.iter().any(&is),
        _ => false,
    })
}

/// The film's last frame has no traffic by the weights on the new side, and the last entry says so too.
fn is_back(reel: &Reel) -> bool {
    let reverted = reel
        .entries
        .iter()
        .any(|entry| matches!(entry.event, Event::Reverted { cancelled: false }));
    reel.phase == Phase::Reverted && reverted
}

/// What happened in which order, without the numbers of holds and bakes that are written down now and then.
fn story(reel: &Reel) -> Vec<String> {
    let mut story: Vec<String> = Vec::new();
    let mut held: BTreeSet<HoldReason> = BTreeSet::new();
    for Envelope { event, .. } in &reel.entries {
        let line = match event {
            Event::BakeCounted { running: true, .. } => continue,
            Event::StepHeld { because } => {
                let subjects = because.iter().map(HoldReason::subject).collect();
                if held == subjects {
                    continue;
                }
                held = subjects;
                format!("held {held:?}")
            }
            Event::WeightChangeIntended { step, .. }
            | Event::WeightsVerified { step, .. }
            | Event::BakeStarted { step }
            | Event::StepCompleted { step } => format!("{} {step}", event.label()),
            _ => event.label().to_owned(),
        };
        story.push(line);
    }
    story
}

#[test]
fn a_healthy_plan_completes_whatever_the_seed() {
    for seed in 1..=12 {
        let film = film(&[], seed);
        let reel = reel(&film);
        assert_eq!(
            reel.phase,
            Phase::Completed,
            "seed {seed}: {:?}",
            reel.reaction
        );
        assert_eq!(reel.reaction, None);
        let tally = reel.tally;
        assert!(tally.requests > 100_000.0);
        assert!(
            tally.failed_by_cutover.abs() < 0.001 * tally.failed,
            "{tally:?}"
        );
        assert!(reel.frames.len() <= 600 && reel.frames.len() > 100);
        let last = reel.frames.last().unwrap();
        assert!(last.intended > 0.99 && last.observed > 0.9, "{last:?}");
    }
}

#[test]
fn the_same_arguments_make_the_same_film_and_another_seed_another() {
    let faults = ["new errors 20% at step 2 + 1h", "push 20x at step 1 + 1h"];
    assert_eq!(film(&faults, 3), film(&faults, 3));
    assert_ne!(film(&faults, 3), film(&faults, 4));
}

#[test]
fn errors_of_the_new_cluster_take_the_traffic_back() {
    let film = film(&["new errors 20% at step 3 + 2h"], 1);
    let reel = reel(&film);
    assert!(is_back(reel));
    let reaction = reel.reaction.expect("a revert");
    let fault_at = step_verified(reel, 3) + hours(2);
    assert_eq!(reaction.fault_at, Some(fault_at));
    let moments = [
        reaction.fault_at,
        reaction.metric_at,
        reaction.alarm_at,
        reaction.decided_at,
        reaction.written_at,
        reaction.in_sync_at,
        reaction.drained_at,
    ];
    let moments: Vec<Timestamp> = moments.into_iter().map(Option::unwrap).collect();
    assert!(moments.is_sorted(), "{moments:?}");
    let after = |index: usize| moments[index].duration_since(fault_at);
    assert!(after(3) < SignedDuration::from_mins(8), "{moments:?}");
    assert!(moments[3].duration_since(moments[2]) <= SignedDuration::from_secs(10));
    let tally = reel.tally;
    assert!(tally.failed_by_cutover > 50.0, "{tally:?}");
    assert!(
        tally.failed_without_revert > 20.0 * tally.failed_by_cutover,
        "{tally:?}"
    );
    assert_eq!(film.faults.len(), 1);
}

#[test]
fn latency_and_leaks_take_the_traffic_back() {
    let slow = film(&["new latency 6x at step 1 + 1h"], 1);
    assert!(is_back(reel(&slow)));
    let leak = film(&["new leak 9h"], 1);
    assert!(is_back(reel(&leak)));
    let first = step_verified(reel(&leak), 1);
    let decided = reel(&leak).reaction.unwrap().decided_at.unwrap();
    let took = decided.duration_since(first);
    assert!(took > hours(9) && took < hours(10), "{took}");
}

#[test]
fn a_blind_time_holds_and_then_the_plan_goes_on() {
    let blind = film(&["cloudwatch down 40m at step 2 + 1h"], 1);
    let blind = reel(&blind);
    assert_eq!(blind.phase, Phase::Completed);
    assert!(held(blind, |it| matches!(
        it,
        HoldReason::UnknownTooLong { .. }
    )));
    let calm = film(&[], 1);
    let late = blind.phase_since.duration_since(reel(&calm).phase_since);
    let off = late - SignedDuration::from_mins(40);
    assert!(off.abs() < SignedDuration::from_mins(2), "{late}");
    let down = film(&["route53 down 20m at step 2 + 1h"], 1);
    assert_eq!(reel(&down).phase, Phase::Completed);
}

#[test]
fn a_controller_that_is_killed_changes_nothing_in_the_outcome() {
    let calm = film(&[], 1);
    let killed = film(
        &[
            "controller killed at step 2",
            "controller killed at step 3 + 1h for 10m",
        ],
        1,
    );
    assert_eq!(reel(&killed).phase, Phase::Completed);
    let steps = |film: &Film| -> Vec<String> {
        let mut story = story(reel(film));
        story.retain(|line| line.starts_with("weights_verified") || line.starts_with("step_c"));
        story
    };
    assert_eq!(steps(&killed), steps(&calm));
    let errors = "new errors 30% at step 2 + 1h";
    let back = film(&[errors, "controller killed at step 2 + 1h 4m"], 1);
    assert!(is_back(reel(&back)));
}

#[test]
fn a_foreign_write_holds_as_drift_and_the_rehearsal_is_cut_off() {
    let film = film(&["foreign write 70/30 at step 2 + 1h"], 1);
    let reel = reel(&film);
    assert!(held(reel, |it| matches!(it, HoldReason::Drift { .. })));
    assert!(!reel.phase.is_final());
    assert_eq!(film.end, start() + hours(2 * 20 + 24));
    assert!((reel.frames.last().unwrap().intended - 0.3).abs() < 0.01);
}

#[test]
fn red_on_both_sides_halts() {
    let faults = [
        "old unhealthy at step 2 + 1h",
        "new errors 30% at step 2 + 2h",
    ];
    let film = film(&faults, 1);
    assert_eq!(reel(&film).phase, Phase::Halted);
    assert!(reel(&film).frames.iter().any(|frame| frame.red.len() >= 2));
}

#[test]
fn people_approve_pause_and_roll_back() {
    let calm = film(&[], 1);
    let slow = film(&["approve after 3h"], 1);
    let late = reel(&slow)
        .phase_since
        .duration_since(reel(&calm).phase_since);
    assert!(
        (late - hours(3)).abs() < SignedDuration::from_mins(1),
        "{late}"
    );
    let paused = film(&["pause 7h at step 1 + 1h"], 1);
    assert!(step_verified(reel(&paused), 2) >= step_verified(reel(&paused), 1) + hours(8));
    let back = film(&["rollback at step 2 + 1h"], 1);
    assert!(is_back(reel(&back)));
    let asked = reel(&back).entries.iter().any(|entry| {
        matches!(
            &entry.event,
            Event::RevertIntended {
                cause: RevertCause::Operator { .. },
                ..
            }
        )
    });
    assert!(asked);
}

#[test]
fn composite_alarms_follow_their_parts() {
    let text = "\
alarms:
  - { name: part, measures: errors, above: 10% }
  - { name: recipe-api-5xx-rate, rule: ALARM(part) }
faults: [ new errors 30% at step 2 + 1h ]
";
    let scenario = plan_file::parse_scenario(text, "s.yaml").unwrap();
    let film = filmed(play(vec![source()], &scenario, 1, start()));
    assert!(is_back(reel(&film)));
}

#[test]
fn looking_only_when_it_is_worth_it_makes_no_difference() {
    for faults in [
        &[][..],
        &["new errors 20% at step 2 + 30m"],
        &["cloudwatch down 40m at step 1 + 30m", "pause 2h at step 1"],
        &["alarm recipe-api-p99-latency red 3m at step 2 + 30m"],
        &[
            "route53 throttled 10m at step 2 + 30m",
            "controller killed at step 1 + 40m",
        ],
        &[
            "old unhealthy 1h at step 1 + 40m",
            "foreign write 70/30 at step 2 + 20m",
            "foreign write 75/25 at step 2 + 45m",
        ],
        &[
            "old unhealthy 1h at step 2 + 30m",
            "new errors 30% at step 2 + 45m",
        ],
    ] {
        let look = |look| {
            let scenario = scenario(faults);
            filmed(
                async move { play_with(vec![short_source()], &scenario, 1, start(), look).await },
            )
        };
        let (jumping, always) = (look(LookWhen::WorthIt), look(LookWhen::Always));
        let (jumping_reel, always_reel) = (reel(&jumping), reel(&always));
        assert_eq!(story(jumping_reel), story(always_reel), "{faults:?}");
        let apart = jumping_reel
            .phase_since
            .duration_since(always_reel.phase_since);
        // Groups are read once a minute, and when in the minute depends on the reading before.
        if faults.iter().any(|fault| fault.starts_with("foreign")) {
            assert!(
                apart.abs() <= SignedDuration::from_mins(2),
                "{faults:?}: {apart}"
            );
        } else {
            assert!(
                apart.abs() <= SignedDuration::from_secs(10),
                "{faults:?}: {apart}"
            );
            assert_eq!(jumping_reel.tally, always_reel.tally, "{faults:?}");
        }
        let reads = |film: &Film| film.calls["DescribeAlarms"];
        assert!(reads(&jumping) * 3 < reads(&always), "{faults:?}");
    }
}
