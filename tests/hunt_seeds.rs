//! Some seeds of the hunt in every run, and some that nobody has tried. `benches/hunt.rs` tries more.

use crate::hunt::{play, shrink};

/// The seeds of every run, besides fresh ones.
const SEEDS: std::ops::Range<u64> = 0..24;

/// Seeds of fleets: 35 and 18 cutovers.
const FLEETS: [u64; 2] = [117, 93];

/// How many fresh seeds every run tries; each is printed before it is played.
const FRESH: u32 = 6;

fn hunt(seed: u64) {
    if let Err(broken) = play(seed) {
        panic!("{}", shrink(&broken));
    }
}

#[test]
fn no_invariant_breaks_in_the_worlds_of_these_seeds() {
    SEEDS.for_each(hunt);
}

#[test]
fn no_invariant_breaks_in_these_fleets() {
    FLEETS.into_iter().for_each(hunt);
}

#[test]
#[expect(clippy::print_stdout, reason = "which seeds were tried")]
fn no_invariant_breaks_in_worlds_that_nobody_has_tried() {
    for _ in 0..FRESH {
        let seed = fastrand::u64(..1 << 48);
        println!("seed {seed}");
        hunt(seed);
    }
}

#[test]
fn a_seed_plays_the_same_every_time() {
    for seed in [3, 5, 9, 93] {
        assert_eq!(play(seed).ok(), play(seed).ok(), "seed {seed}");
    }
}
