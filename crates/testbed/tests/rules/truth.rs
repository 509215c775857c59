//! What may be called back, what halts the way there, and what is never written over (semantics L6, L7, M5).

use cutover_engine::commands::{self, RollbackNeed};
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::observation::AlarmState;
use cutover_engine::state::Phase;
use cutover_engine::units::{Share, Weight, WeightPair};

use super::{baking, kinds, simple};
use cutover_testbed::world::World;

fn back() -> WeightPair {
    WeightPair::new(100, 0)
}

/// Somebody adds a member of weight 25 to the first group, beside the two.
fn add_stray(world: &mut World) {
    let mut stray = world.groups[0].1[0].clone();
    "cluster-new".clone_into(&mut stray.set_identifier);
    stray.weight = Weight(25);
    stray.values = vec!["192.0.2.99".to_owned()];
    stray.alias = None;
    world.groups[0].1.push(stray);
}

#[test]
fn one_answer_that_leaves_a_group_out_halts_no_revert() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    let members = std::mem::take(&mut world.groups[0].1);
    world.tick(1);
    world.tick(1);
    assert_eq!(world.phase(), Phase::Reverting);
    world.groups[0].1 = members;
    world.run_to(Phase::Reverted);
    assert_eq!(world.count("halted"), 0);
    assert_eq!(world.pair(0), back());
}

#[test]
fn two_readings_that_agree_halt_a_revert_two_seconds_apart() {
    let mut world = baking();
    world.others_write(0, 77, 7);
    world.roll_back(RevertMode::Swap);
    world.tick(1);
    assert_eq!(world.count("foreign_weights_seen"), 1);
    let seen_at = world.now;
    while world.phase() == Phase::Reverting {
        world.tick(1);
    }
    assert_eq!(world.phase(), Phase::Halted);
    assert_eq!(world.now.duration_since(seen_at).as_secs(), 2);
    assert_eq!(world.count("foreign_weights_seen"), 1);
    assert_eq!(world.pair(0), WeightPair::new(77, 7));
}

#[test]
fn readings_that_disagree_are_first_readings_each() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    for second in 0..10 {
        world.others_write(0, 77, second);
        world.tick(1);
        assert_eq!(world.phase(), Phase::Reverting);
    }
    for _ in 0..3 {
        world.tick(1);
    }
    assert_eq!(world.phase(), Phase::Halted);
}

#[test]
fn a_reading_in_between_that_is_as_it_should_be_takes_the_first_one_back() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.tick(1);
    assert_eq!(world.pair(0), back());
    for _ in 0..2 {
        world.others_write(0, 77, 7);
        world.tick(1);
        world.others_write(0, 100, 0);
        world.tick(2);
    }
    world.run_to(Phase::Reverted);
    assert_eq!(world.count("halted"), 0);
}

#[test]
fn who_holds_weight_beside_the_baseline_is_named_with_share_and_target_and_pages() {
    let mut world = baking();
    add_stray(&mut world);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.pair(0), back());
    let strays = world.state().strays.clone();
    assert_eq!(strays.len(), 1);
    assert_eq!((strays[0].weight, strays[0].of), (Weight(25), 125));
    assert_eq!(strays[0].share(), Share::percent(20));
    assert_eq!(strays[0].target, "192.0.2.99");
    let mut found = world.journal.iter();
    let found = found.rfind(|entry| entry.event.label() == "stray_weights_found");
    let found = found.expect("it is journaled");
    assert!(found.event.pages());
    assert!(world.state().pages.contains(&found.seq));
}

#[test]
fn renamed_members_leave_their_share_with_the_new_cluster_and_it_is_said() {
    let mut world = baking();
    for (member, weight) in world.groups[0].1.iter_mut().zip([75, 25]) {
        member.set_identifier = format!("cluster-{}", member.set_identifier);
        member.weight = Weight(weight);
    }
    let renamed = world.groups[0].1.clone();
    world.roll_back(RevertMode::Force);
    world.round(0);
    // UPSERT makes the baseline's members beside the renamed ones.
    let baseline = world.state().baseline.clone().expect("it has begun")[0].clone();
    world.perform(0);
    world.groups[0].1 = [vec![baseline.old, baseline.new], renamed].concat();
    world.run_to(Phase::Reverted);
    let shares = world.state().strays.iter();
    let shares: Vec<String> = shares.map(|stray| stray.share().to_string()).collect();
    assert_eq!(shares, ["37.5%", "12.5%"]);
}

#[test]
fn force_takes_back_what_was_reverted_and_written_since() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    world.run_to(Phase::Reverted);
    world.others_write(0, 0, 100);
    let plain = commands::rollback(world.state(), RevertMode::Swap, false, None);
    assert_eq!(plain, Ok(RollbackNeed::Ended));
    let forced = commands::rollback(world.state(), RevertMode::Force, false, None);
    let Ok(RollbackNeed::Request(request)) = forced else {
        panic!("{forced:?}");
    };
    world.ask(*request);
    for _ in 0..60 {
        world.tick(1);
    }
    assert_eq!(world.pair(0), back());
    assert_eq!(world.count("reverted"), 2);
    assert_eq!(world.phase(), Phase::Reverted);
}

#[test]
fn a_first_step_that_was_accepted_and_put_back_is_not_written_again() {
    let mut world = World::new(simple());
    world.pass(10);
    world.round(0);
    world.perform(0);
    assert_eq!(world.pair(0), WeightPair::new(90, 10));
    world.others_write(0, 100, 0);
    let writes = world.changes.len();
    world.run_minutes(3);
    assert_eq!(world.pair(0), back());
    assert_eq!(kinds(&world), ["already_at_baseline"]);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.changes.len(), writes, "nothing was written");
    let reverted = world
        .journal
        .iter()
        .rfind(|entry| entry.event.label() == "reverted");
    let reverted = reverted.map(|entry| entry.event.clone());
    assert_eq!(reverted, Some(Event::Reverted { cancelled: false }));
}
