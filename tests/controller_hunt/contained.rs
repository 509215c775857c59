//! One stream is damaged while controllers run: they page, leave that cutover alone, and go on with all others.

use std::time::Duration;

use cutover::controller::Ending;
use cutover::engine::event::Event;
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::{Notify, PlanSource};
use cutover::engine::state::Phase;
use cutover::engine::units::{CutoverName, WeightPair};

use super::outside::Page;
use super::world::{PlanOf, World, locked, plan, source};

fn of(name: &str) -> PlanSource {
    let mut plan = plan(&PlanOf {
        name,
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(25, 600), (100, 600)],
        alarms: &[format!("{name}-errors")],
        fallbacks: &[],
    })
    .plan;
    plan.notify = Some(Notify {
        command: vec![format!("page-{name}")],
        channels: Vec::new(),
    });
    source(plan)
}

fn is_in(name: &'static str, phase: Phase) -> impl Fn(&World) -> bool {
    move |world| world.state(name).is_some_and(|state| state.phase == phase)
}

fn both_bake(world: &World) -> bool {
    is_in("aaa", Phase::Baking)(world) && is_in("bbb", Phase::Baking)(world)
}

/// The pages that tell that `bbb` is damaged.
fn told(world: &World) -> Vec<Page> {
    let pages = locked(&world.pages);
    let tells = |page: &&Page| matches!(&page.entry.event, Event::CutoverDamaged { of, .. } if of.as_str() == "bbb");
    pages.iter().filter(tells).cloned().collect()
}

fn pair(world: &World, source: &PlanSource) -> WeightPair {
    world.pair("zone0.example", &source.plan.records[0].name)
}

fn newer() -> Event {
    Event::Unreadable {
        why: "a newer cutover wrote it: this one does not know `teleported`".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_stream_pages_at_once_and_the_other_cutover_keeps_its_gates() {
    for event in [Event::BakeStarted { step: 7 }, newer()] {
        let sources = [of("aaa"), of("bbb")];
        let world = World::new(&sources);
        let mut process = world.start("one");
        assert!(world.until(120, both_bake).await);
        let seq = world.state("bbb").expect("it bakes").seq;
        assert!(world.append_as("another program", "bbb", event).await);
        let paged = |world: &World| !told(world).is_empty();
        assert!(world.until(5, paged).await, "it pages at once");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let command = |page: &Page| page.command.clone();
        let mut commands: Vec<_> = told(&world).iter().map(command).collect();
        commands.sort();
        assert_eq!(commands, [None, Some(vec!["page-bbb".to_owned()])]);
        world.turn("bbb-errors", AlarmState::Alarm);
        world.turn("aaa-errors", AlarmState::Alarm);
        assert!(world.until(15, is_in("aaa", Phase::Reverting)).await);
        assert!(world.until(60, is_in("aaa", Phase::Reverted)).await);
        assert_eq!(pair(&world, &sources[0]), WeightPair::new(100, 0));
        assert_eq!(pair(&world, &sources[1]), WeightPair::new(75, 25));
        tokio::time::sleep(Duration::from_hours(2)).await;
        assert!(!process.task.is_finished(), "one is not over");
        process.task.abort();
        // It is started again, and tells nobody twice.
        process = world.start("two");
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert!(!process.task.is_finished());
        process.task.abort();
        assert_eq!(world.entries("@fleet", "cutover_damaged").len(), 1);
        assert_eq!(told(&world).len(), 2, "the log and the command");
        let witness = locked(&world.witness);
        let last = witness.entries.iter().rev();
        let last = last.clone().find(|entry| entry.cutover.as_str() == "bbb");
        assert_eq!(
            last.map(|entry| entry.seq),
            Some(seq + 1),
            "nothing is written to it"
        );
        assert_eq!(witness.fleet.finished(), []);
        drop(witness);
        world.assert_unbroken();
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_cutover_goes_on_to_its_end_beside_a_damaged_one() {
    let sources = [of("aaa"), of("bbb")];
    let world = World::new(&sources);
    let one = world.start("one");
    let two = world.start("two");
    assert!(world.until(120, both_bake).await);
    assert!(world.append_as("another program", "bbb", newer()).await);
    assert!(world.until(7_200, is_in("aaa", Phase::Completed)).await);
    assert_eq!(pair(&world, &sources[0]), WeightPair::new(0, 100));
    assert_eq!(pair(&world, &sources[1]), WeightPair::new(75, 25));
    assert_eq!(
        world.entries("@fleet", "cutover_damaged").len(),
        1,
        "one of the two tells"
    );
    one.task.abort();
    two.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_for_a_damaged_cutover_is_not_written_and_facts_of_others_are_journaled() {
    let sources = [of("aaa"), of("bbb")];
    let world = World::new(&sources);
    let process = world.start("one");
    assert!(world.until(120, both_bake).await);
    // Both go back in one round, and the damage comes in between the entries and what came of the writes.
    world.turn("aaa-errors", AlarmState::Alarm);
    world.turn("bbb-errors", AlarmState::Alarm);
    let decided = |world: &World| !world.entries("bbb", "revert_intended").is_empty();
    assert!(world.until(30, decided).await);
    assert!(world.append_as("another program", "bbb", newer()).await);
    assert!(world.until(60, is_in("aaa", Phase::Reverted)).await);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let bbb = CutoverName::from("bbb");
    let state = world.state("bbb").expect("it is known");
    assert_eq!((state.name, state.phase), (bbb, Phase::Reverting));
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_cutover_that_was_over_holds_no_controller_up() {
    let sources = [of("aaa"), of("bbb")];
    let world = World::new(&sources);
    let process = world.start("one");
    let over = |world: &World| {
        is_in("aaa", Phase::Completed)(world) && is_in("bbb", Phase::Completed)(world)
    };
    assert!(world.until(7_200, over).await);
    assert!(process.task.await.is_ok());
    assert!(world.append_as("another program", "bbb", newer()).await);
    let (mut again, ..) = world.controller("two");
    let ended = again.run(std::future::pending()).await;
    assert!(matches!(ended, Ok(Ending::Finished)), "{ended:?}");
    let damaged: Vec<&str> = again.damaged().map(CutoverName::as_str).collect();
    assert_eq!(damaged, ["bbb"]);
    assert_eq!(told(&world).len(), 2, "the log and the command");
    world.assert_unbroken();
}
