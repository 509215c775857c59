//! What is asked of a group before the start, and what its image says (semantics B2, DESIGN section 7).

use cutover_engine::event::RevertMode;
use cutover_engine::hold::HoldReason;
use cutover_engine::record::RecordSet;
use cutover_engine::state::Phase;
use cutover_engine::units::{Weight, WeightPair, ZoneId};
use cutover_engine::{decide, preflight};

use super::{baking, kinds, simple};
use cutover_testbed::plan::plan;
use cutover_testbed::world::World;

/// What is said of the group before the start, where somebody changed its members so.
fn told(change: impl FnOnce(&mut Vec<RecordSet>)) -> Vec<String> {
    let mut world = World::new(simple());
    change(&mut world.groups[0].1);
    world.round(0);
    let message = |reason: &HoldReason| match reason {
        HoldReason::Preflight { message, .. } => Some(message.clone()),
        _ => None,
    };
    world.because().iter().filter_map(message).collect()
}

/// One refusal, which says this.
fn refused(told: &[String], words: &[&str]) {
    let [message] = told else {
        panic!("{told:?}");
    };
    let missing = words.iter().find(|word| !message.contains(**word));
    assert_eq!(missing, None, "{message}");
}

#[test]
fn a_third_member_is_refused_where_it_has_weight() {
    let third = |weight: u8| {
        move |members: &mut Vec<RecordSet>| {
            let mut third = members[0].clone();
            (third.set_identifier, third.weight) = ("third".to_owned(), Weight(weight));
            members.push(third);
        }
    };
    assert_eq!(told(third(0)), [""; 0]);
    refused(&told(third(1)), &["`third`", "weight 1"]);
}

#[test]
fn members_that_cannot_be_written_back_or_differ_in_their_ttl_are_refused() {
    let written = |members: &mut Vec<RecordSet>| {
        members[1].unsupported = vec!["GeoLocation".to_owned()];
    };
    refused(&told(written), &["`eks`", "GeoLocation"]);
    refused(
        &told(|members| members[0].ttl = Some(300)),
        &["TTLs differ"],
    );
}

#[test]
fn a_member_that_is_missing_is_named_with_what_is_there() {
    let nothing = told(Vec::clear);
    refused(&nothing, &["there is no record set", "`eks`", "`ecs`"]);
    let other = told(|members| members[0].set_identifier = "blue".to_owned());
    refused(
        &other,
        &["needs members `eks` and `ecs`", "holds `blue`, `eks`"],
    );
    let plain = told(|members| {
        members.truncate(1);
        members[0].set_identifier.clear();
    });
    refused(&plain, &["holds a record without a set identifier"]);
}

#[test]
fn a_member_that_differs_only_in_case_is_told_how_to_write_it() {
    let other = told(|members| members[1].set_identifier = "EKS".to_owned());
    refused(
        &other,
        &["set identifiers are case-sensitive: write `old: EKS` in the plan"],
    );
}

#[test]
fn two_entries_of_the_plan_that_are_one_group_are_refused() {
    let mut two = plan(&[1, 1], &[(10, 60, false), (100, 60, false)]);
    let name = two.records[0].name.clone();
    two.records[1].name = name;
    let world_of = |zone: &str| {
        let mut world = World::new(two.clone());
        world.groups[1].0 = ZoneId::from(zone);
        world.round(0);
        world
    };
    let elsewhere = world_of("Z1");
    assert_eq!(
        elsewhere.phase(),
        Phase::Shifting,
        "the same name in two zones"
    );
    let twice = world_of("Z0");
    assert_eq!(kinds(&twice), ["preflight"]);
    let groups = twice.because().iter().filter_map(|reason| match reason {
        HoldReason::Preflight { message, .. } => Some(message.as_str()),
        _ => None,
    });
    let messages: Vec<&str> = groups.collect();
    assert_eq!(
        messages,
        ["is in the plan twice (zone Z0); remove one entry"]
    );
}

#[test]
fn what_was_read_for_other_records_says_nothing() {
    let mut world = World::new(simple());
    let mut observation = world.observe(0);
    let group = &world.state().plan().records[0];
    assert!(preflight::read_image(group, &observation.groups[0]).is_ok());
    let mut other = group.clone();
    other.name.record_type = "AAAA".to_owned();
    assert_eq!(
        preflight::read_image(&other, &observation.groups[0]),
        Err(None)
    );
    // One group of two is not enough to begin with.
    observation.groups.clear();
    let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
    assert!(!decision.takes_a_step());
}

#[test]
fn the_weights_that_are_meant_are_the_steps_or_on_the_way_back_the_baselines() {
    let (old, tenth) = (WeightPair::new(100, 0), WeightPair::new(90, 10));
    let mut world = World::new(simple());
    assert_eq!(world.state().intended_pair(0), None, "nothing was written");
    world.pass(10);
    world.round(0);
    assert_eq!(world.state().intended_pair(0), Some(tenth));
    assert_eq!(world.pair(0), old, "and is not there yet");
    let mut world = baking();
    assert_eq!(world.state().intended_pair(0), Some(tenth));
    world.roll_back(RevertMode::Swap);
    world.round(0);
    assert_eq!(world.phase(), Phase::Reverting);
    assert_eq!(world.state().intended_pair(0), Some(old));
    assert_eq!(
        world.state().intended_pair(1),
        None,
        "there is no such group"
    );
    world.run_to(Phase::Reverted);
    assert_eq!(world.state().intended_pair(0), Some(old));
}

#[test]
fn images_are_the_same_but_for_their_weights_only_where_nothing_else_differs() {
    let world = baking();
    let image = world.state().verified.as_ref().expect("it was verified")[0].clone();
    assert!(image.same_but_pair(&image.with_pair(WeightPair::new(1, 2))));
    let mut other = image.clone();
    other.new.ttl = Some(30);
    assert!(!image.same_but_pair(&other));
    let mut other = image.clone();
    other.others.push(image.old.clone());
    assert!(!image.same_but_pair(&other));
}
