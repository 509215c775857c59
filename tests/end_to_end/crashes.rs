//! Controllers that die, stop, or are two.

use std::time::Duration;

use super::scene::{GATES, LADDER, NAME, PLAN, Plan, Scene};
use crate::support::program::pause;

/// How many worlds are played at once, and how many times the controller is killed in each.
const WORLDS: u64 = 5;
const KILLS: usize = 5;
/// How long a controller may live before it is killed.
const LIFE_MAX_MS: u64 = 2_500;

/// Plays all worlds at once, each with a seed of its own.
///
/// A failure says its seed. The moments are the same again with the same seed, as far as a machine's clock allows.
fn in_many_worlds(play: impl Fn(&mut fastrand::Rng, u64) + Sync) {
    let first = option_env!("CUTOVER_TEST_SEED").and_then(|text| text.parse().ok());
    let first = first.unwrap_or_else(|| fastrand::u64(..u64::MAX - WORLDS));
    std::thread::scope(|scope| {
        for seed in first..first + WORLDS {
            let play = &play;
            scope.spawn(move || play(&mut fastrand::Rng::with_seed(seed), seed));
        }
    });
}

/// Lets a controller live for a random while, and kills it.
fn live_and_die(scene: &Scene, rng: &mut fastrand::Rng) {
    let run = scene.run(PLAN);
    pause(Duration::from_millis(rng.u64(..LIFE_MAX_MS)));
    run.kill();
}

/// Weights, without those that were written twice in a row.
fn without_repetitions(mut weights: Vec<(u8, u8)>) -> Vec<(u8, u8)> {
    weights.dedup();
    weights
}

#[test]
fn a_controller_that_is_killed_again_and_again_ends_as_if_it_never_was() {
    in_many_worlds(|rng, seed| {
        let scene = Scene::new(&Plan::default());
        for _ in 0..KILLS {
            live_and_die(&scene, rng);
        }
        let code = scene.run(PLAN).exit_code();
        assert_eq!(code, 0, "seed {seed}\n{}", scene.everything(NAME));
        for weights in scene.all_weights() {
            let weights = without_repetitions(weights);
            assert_eq!(weights, LADDER, "seed {seed}\n{}", scene.everything(NAME));
        }
        let verified = scene.count(NAME, "weights_verified");
        assert_eq!(verified, 3, "seed {seed}\n{}", scene.everything(NAME));
    });
}

#[test]
fn a_revert_whose_controller_is_killed_again_and_again_ends_at_the_baseline() {
    in_many_worlds(|rng, seed| {
        let scene = Scene::new(&Plan {
            steps: vec![
                ("10%", "1s", false),
                ("50%", "1s", false),
                ("100%", "1h", false),
            ],
            ..Plan::default()
        });
        let images = scene.images();
        let first = scene.run(PLAN);
        scene.wait_for_event(NAME, "weights_verified", 1);
        first.kill();
        let red_at = rng.usize(..KILLS);
        for kill in 0..KILLS {
            if kill == red_at {
                scene.red(GATES[0]);
            }
            live_and_die(&scene, rng);
        }
        let code = scene.run(PLAN).exit_code();
        assert_eq!(code, 20, "seed {seed}\n{}", scene.everything(NAME));
        assert_eq!(scene.images(), images, "seed {seed}");
        for weights in scene.all_weights() {
            let weights = without_repetitions(weights);
            let up = weights
                .iter()
                .zip(LADDER)
                .take_while(|(was, step)| **was == *step)
                .count();
            assert_eq!(
                weights[up..],
                LADDER[..1],
                "seed {seed}\n{}",
                scene.everything(NAME)
            );
        }
        let reverts = scene.count(NAME, "revert_intended");
        assert_eq!(reverts, 1, "seed {seed}\n{}", scene.everything(NAME));
    });
}

#[test]
fn two_controllers_on_one_journal_end_as_one() {
    let scene = Scene::new(&Plan::default());
    let mut runs = [scene.run(PLAN), scene.run(PLAN)];
    for run in &mut runs {
        assert_eq!(run.exit_code(), 0, "{}", scene.everything(NAME));
    }
    scene.assert_weights(&LADDER);
    let count = |event| scene.count(NAME, event);
    // An entry of the one between the other's intent and its sending keeps it from being sent (semantics A1).
    let written = count("weight_change_intended") - count("weight_change_abandoned");
    let counted = ["plan_accepted", "weights_verified", "bake_started"].map(count);
    let ended = ["step_completed", "completed"].map(count);
    assert_eq!(
        (written, counted, ended),
        (3, [1, 3, 3], [3, 1]),
        "{}",
        scene.everything(NAME)
    );
}

#[test]
fn two_controllers_on_one_journal_take_the_traffic_back_as_one() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let images = scene.images();
    let mut runs = [scene.run(PLAN), scene.run(PLAN)];
    scene.wait_for_phase(NAME, "baking");
    scene.red(GATES[0]);
    for run in &mut runs {
        assert_eq!(run.exit_code(), 20, "{}", scene.everything(NAME));
    }
    assert_eq!(scene.images(), images);
    assert_eq!(
        scene.count(NAME, "revert_intended"),
        1,
        "{}",
        scene.everything(NAME)
    );
    for weights in scene.all_weights() {
        assert_eq!(
            without_repetitions(weights),
            [LADDER[0], LADDER[1], LADDER[0]]
        );
    }
}

#[test]
fn a_controller_that_is_asked_to_stop_leaves_a_journal_to_go_on_from() {
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "3s", false),
            ("50%", "1s", false),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let mut run = scene.run(PLAN);
    scene.wait_for_event(NAME, "bake_started", 1);
    run.terminate();
    assert_eq!(run.exit_code(), 0, "{}", run.log());
    assert_eq!(scene.status(NAME)["step"], 1);
    scene.assert_weights(&LADDER[..2]);
    assert_eq!(scene.run(PLAN).exit_code(), 0, "{}", scene.everything(NAME));
    scene.assert_weights(&LADDER);
    assert_eq!(scene.count(NAME, "bake_started"), 3);
}
