//! People are woken at least once, and know that it is the same.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::observation::AlarmState;
use cutover::engine::state::Phase;

use super::world::{PlanOf, World, locked, plan};

#[tokio::test(start_paused = true)]
async fn a_page_outlives_its_controller_and_keeps_its_key() {
    let source = plan(&PlanOf {
        name: "api",
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(10, 600), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    });
    let world = World::new(&[source]);
    let process = world.start("one");
    let baking = |world: &World| {
        world
            .state("api")
            .is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(120, baking).await);
    *locked(&world.pages_fail) = true;
    world.turn("errors", AlarmState::Alarm);
    let decided = |world: &World| !world.entries("api", "revert_intended").is_empty();
    assert!(world.until(30, decided).await);
    process.task.abort();
    *locked(&world.pages_fail) = false;
    let process = world.start("two");
    let told = |world: &World| !locked(&world.pages).is_empty();
    assert!(world.until(60, told).await, "the next one delivers it");
    // Dies after the delivery, perhaps before that is noted: then it is delivered again, with the same key.
    process.task.abort();
    let again = world.start("three");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let of = world.entries("api", "revert_intended")[0].seq;
    let keys: BTreeSet<String> = locked(&world.pages)
        .iter()
        .filter(|page| page.entry.seq == of)
        .map(|page| page.idempotency_key.clone())
        .collect();
    assert_eq!(keys, BTreeSet::from([format!("api/{of}")]));
    again.task.abort();
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn what_an_older_version_has_paged_is_not_paged_again() {
    let source = plan(&PlanOf {
        name: "api",
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(10, 600), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    });
    let world = World::new(&[source]);
    let process = world.start("one");
    let baking = |world: &World| {
        let state = world.state("api");
        state.is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(120, baking).await);
    *locked(&world.pages_fail) = true;
    world.turn("errors", AlarmState::Alarm);
    let reverted = |world: &World| !world.entries("api", "reverted").is_empty();
    assert!(world.until(120, reverted).await);
    process.task.abort();
    assert!(locked(&world.pages).is_empty());
    let sent = Event::PageSent {
        of: world.entries("api", "revert_intended")[0].seq,
        logged_only: true,
        skipped: Vec::new(),
    };
    assert!(world.append_as("controller old", "api", sent).await);
    *locked(&world.pages_fail) = false;
    let process = world.start("two");
    assert!(process.task.await.is_ok());
    assert!(
        locked(&world.pages).is_empty(),
        "{:?}",
        locked(&world.pages)
    );
    world.assert_unbroken();
}
