//! Route 53 refuses, loses replies, answers late: delays, never a lost, doubled or skipped step.

use std::time::Duration;

use cutover::sim::fault::{Fault, Lasting};
use jiff::SignedDuration;

use super::scene::{LADDER, NAME, PLAN, Plan, Scene};

const CHANGE: Option<&str> = Some("ChangeResourceRecordSets");

/// Runs the plan to its end with faults at its first writes, and checks that nothing can be seen of them in the weights.
fn completes_with(fault: &Fault, lasting: Lasting) -> Scene {
    let scene = Scene::new(&Plan::default());
    scene.bed.fault(CHANGE, fault.clone(), lasting);
    let mut run = scene.run(PLAN);
    assert_eq!(run.exit_code(), 0, "{}", scene.everything(NAME));
    scene.assert_weights(&LADDER);
    assert_eq!(
        scene.count(NAME, "weights_verified"),
        3,
        "{}",
        scene.everything(NAME)
    );
    scene
}

#[test]
fn a_reply_that_is_lost_after_the_change_was_applied_is_no_conflict() {
    let scene = completes_with(&Fault::LoseReply, Lasting::Calls(2));
    assert_eq!(scene.count(NAME, "drift_detected"), 0);
    assert_eq!(
        scene.count(NAME, "weight_change_intended"),
        3,
        "{}",
        scene.everything(NAME)
    );
}

#[test]
fn a_request_that_never_arrived_is_sent_again() {
    completes_with(&Fault::DropBefore, Lasting::Calls(2));
}

#[test]
fn a_zone_that_is_busy_with_an_earlier_request_is_tried_again() {
    let busy = Fault::error(400, "PriorRequestNotComplete", "The request was rejected");
    completes_with(&busy, Lasting::Calls(3));
}

#[test]
fn a_change_that_lands_after_nobody_waits_for_it_is_found_by_reading() {
    let scene = completes_with(&Fault::Delay(Duration::from_secs(12)), Lasting::Calls(1));
    assert_eq!(scene.count(NAME, "drift_detected"), 0);
}

#[test]
fn throttling_delays_and_loses_nothing() {
    let scene = Scene::new(&Plan::default());
    let mut run = scene.run(PLAN);
    scene.wait_for_event(NAME, "weights_verified", 1);
    let until = scene.bed.now() + SignedDuration::from_secs(20);
    scene
        .bed
        .fault(None, Fault::throttle(), Lasting::Until(until));
    assert_eq!(run.exit_code(), 0, "{}", scene.everything(NAME));
    scene.assert_weights(&LADDER);
    let refused = scene
        .bed
        .calls()
        .into_iter()
        .filter(|call| call.status == Some(400));
    assert!(refused.count() > 0);
}

#[test]
fn a_step_that_may_not_be_written_takes_back_what_moved() {
    let scene = Scene::new(&Plan::default());
    let images = scene.images();
    let mut run = scene.run(PLAN);
    scene.wait_for_event(NAME, "weights_verified", 1);
    scene.bed.fault(CHANGE, Fault::deny(), Lasting::Always);
    scene.wait_for_hold(NAME, "revert_blocked");
    scene.bed.clear_faults();
    assert_eq!(run.exit_code(), 20, "{}", run.log());
    assert_eq!(scene.images(), images);
    let history = scene.history(NAME);
    let revert = history
        .iter()
        .find(|entry| entry["event"]["type"] == "revert_intended");
    assert_eq!(revert.unwrap()["event"]["cause"]["cause"], "step_failed");
}
