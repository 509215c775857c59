//! Some inputs of the fuzz room in every run, and some that nobody has tried. `benches/fuzz.rs` tries more, and watches time
//! and memory.

use crate::fuzz::{Room, play, room_of};

/// So many inputs of each room in every run; where one takes long, one of so many.
const INPUTS: u64 = 60;

/// The first of them.
const FIRST: u64 = 1_000;

/// How many fresh inputs every run tries; the first seed is printed.
const FRESH: u64 = 200;

/// Whether one of its inputs takes as long as hundreds of the others.
fn is_slow(room: Room) -> bool {
    match room {
        Room::Databases | Room::Words | Room::Services | Room::Controllers => true,
        Room::Plans
        | Room::Fleets
        | Room::Scenarios
        | Room::BreakGlass
        | Room::Records
        | Room::Entries
        | Room::Route53
        | Room::CloudWatch => false,
    }
}

fn survives(seed: u64, room: Option<Room>) {
    if let Err(find) = play(seed, room) {
        panic!("{find}");
    }
}

#[test]
fn every_room_survives_these_inputs() {
    for room in Room::ALL {
        let inputs = if is_slow(room) { INPUTS / 10 } else { INPUTS };
        (FIRST..FIRST + inputs).for_each(|seed| survives(seed, Some(room)));
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "which seeds were tried")]
fn inputs_that_nobody_has_tried_are_survived() {
    let first = fastrand::u64(..1 << 48);
    println!("seeds {first} to {}", first + FRESH - 1);
    (first..first + FRESH).for_each(|seed| survives(seed, None));
}

#[test]
fn every_room_is_drawn() {
    let mut drawn: Vec<Room> = (0..2_000).map(room_of).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn, Room::ALL);
}

#[test]
fn a_seed_is_the_same_input_every_time() {
    for room in Room::ALL.into_iter().filter(|room| !is_slow(*room)) {
        let inputs = [(), ()].map(|()| crate::fuzz::input_of(FIRST, room));
        assert_eq!(inputs[0], inputs[1], "{room}");
    }
}
