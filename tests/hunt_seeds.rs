//! Some seeds of the hunt in every run, and some that nobody has tried. `benches/hunt.rs` tries more.

use crate::hunt::{play, shrink};

/// The seeds of every run, besides fresh ones.
const SEEDS: std::ops::Range<u64> = 0..60;

/// How many fresh seeds every run tries.
const FRESH: u32 = 20;

fn hunt(seed: u64) {
    if let Err(broken) = play(seed) {
        panic!("{}", shrink(broken));
    }
}

#[test]
fn no_invariant_breaks_in_the_worlds_of_these_seeds() {
    SEEDS.for_each(hunt);
}

#[test]
fn no_invariant_breaks_in_worlds_that_nobody_has_tried() {
    (0..FRESH).for_each(|_| hunt(fastrand::u64(..)));
}

#[test]
fn a_seed_plays_the_same_every_time() {
    for seed in 0..8 {
        assert_eq!(play(seed).ok(), play(seed).ok(), "seed {seed}");
    }
}
