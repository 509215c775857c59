//! Measures `cutover rollback --all`: how long it takes, how many calls it makes, and how many of them are throttled.

use crate::line;
use crate::scene::{Scene, now};

/// Measures a plain and a forced rollback of fleets of these sizes.
pub(crate) fn measure(sizes: &[usize]) {
    line(
        "rollback --all | services | started in s | submitted after s | ended after s | calls | writes | throttled",
    );
    for count in sizes {
        for force in [false, true] {
            one(*count, force);
        }
    }
}

fn one(count: usize, force: bool) {
    let scene = Scene::new(count);
    let began = now();
    let run = scene.baking("10s");
    let started = began.elapsed().as_secs_f64();
    run.kill();
    scene.as_in_life();
    let (before, at) = (scene.bed.calls().len(), scene.bed.now());
    let mut args = vec!["rollback", "--all", "--yes", "--timeout", "10m"];
    args.extend(force.then_some("--force"));
    let began = now();
    let said = scene.program.say(&args);
    let took = began.elapsed().as_secs_f64();
    let cost = scene.cost(before, at);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(scene.at(100, 0), count, "all are back");
    let how = if force { "forced" } else { "plain" };
    line(&format!(
        "{how} | {count} | {started:.1} | {:.2} | {took:.1} | {} | {} | {}",
        cost.submitted, cost.calls, cost.writes, cost.throttled
    ));
}
