//! The files that work without this program.

use std::time::Duration;

use cutover::engine::event::{Event, RevertMode};
use cutover::engine::hold::HoldReason;
use cutover::engine::state::Phase;

use super::world::{PlanOf, World, plan};

fn service(name: &str) -> cutover::engine::plan::PlanSource {
    plan(&PlanOf {
        name,
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(10, 60), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    })
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_holds_the_first_step_and_no_later_one() {
    let sources = [service("first"), service("second")];
    let world = World::new(&sources);
    // The second plan comes when the first is under way.
    let second = "/plans/second.yaml".to_owned();
    let reading = super::world::locked(&world.files.0).remove(&second);
    let process = world.start("one");
    let baking = |world: &World| {
        world
            .state("first")
            .is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(120, baking).await);
    world.glass.fail(true);
    super::world::locked(&world.files.0).insert(second, reading.expect("the second plan"));
    let held = |world: &World| {
        let state = world.state("second");
        state.is_some_and(|state| {
            let glass = |reason: &HoldReason| matches!(reason, HoldReason::BreakGlass { .. });
            state.held.iter().any(glass)
        })
    };
    assert!(world.until(60, held).await, "step 1 holds");
    let intents = |world: &World, name: &str| world.entries(name, "weight_change_intended").len();
    assert!(
        world.until(200, |world| intents(world, "first") == 2).await,
        "later steps do not"
    );
    assert_eq!(intents(&world, "second"), 0);
    world.glass.fail(false);
    assert!(
        world.until(25, |world| intents(world, "second") == 1).await,
        "a store that works again lets it start, whatever the others do"
    );
    assert!(!world.state("first").expect("known").phase.is_final());
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn the_files_list_exactly_what_is_between_first_write_and_end() {
    let sources = [service("first"), service("second")];
    let world = World::new(&sources);
    let pause = Event::PauseRequested { reason: None };
    let process = world.start("one");
    let known = |world: &World| world.state("second").is_some();
    assert!(world.until(5, known).await);
    assert!(world.ask("second", pause).await);
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for name in ["first", "second"] {
            let state = world.state(name).expect("it is known");
            let under_way = state.has_started() && !state.phase.is_final();
            let listed = world
                .glass
                .text()
                .contains(&format!("{name}-0.zone0.example"));
            assert_eq!(listed, under_way, "{name} in {}", state.phase.label());
        }
        if world.now().as_second() % 97 == 0 {
            let rollback = Event::RollbackRequested {
                mode: RevertMode::Swap,
                reason: None,
            };
            world.ask("second", rollback).await;
        }
    }
    assert!(world.state("first").expect("known").phase.is_final());
    process.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_cannot_read_its_journal_yet_leaves_the_files_alone() {
    let world = World::new(&[service("first")]);
    let process = world.start("one");
    let baking = |world: &World| {
        let state = world.state("first");
        state.is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(120, baking).await);
    process.task.abort();
    let before = world.glass.text();
    assert!(before.contains("first-0.zone0.example"));
    let (mut controller, _, _, delays) = world.controller("two");
    delays.change(|faults| faults.reads_fail = true);
    let task = tokio::spawn(async move { controller.run(std::future::pending()).await });
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(world.glass.text(), before, "nobody seems to be under way");
    task.abort();
    world.assert_unbroken();
}
