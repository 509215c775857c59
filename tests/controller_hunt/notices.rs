//! Channels are told of everything that they want: at least once, in order, and beside the rounds.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::engine::event::Envelope;
use cutover::engine::notify::{Channel, Notify, Via};
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::PlanSource;
use cutover::engine::state::Phase;
use cutover::ports::{Cursor, Journal};

use super::world::{PlanOf, World, locked, plan, source};

/// A plan that tells one channel everything of note.
fn told_plan(on: &[&str]) -> PlanSource {
    let mut plan = plan(&PlanOf {
        name: "api",
        zones: &[(0, 1)],
        record_type: "CNAME",
        steps: &[(10, 60), (50, 60), (100, 60)],
        alarms: &["errors".to_owned()],
        fallbacks: &[],
    })
    .plan;
    plan.notify = Some(Notify {
        command: Vec::new(),
        channels: vec![Channel {
            via: Via::Sns {
                topic_arn: "arn:aws:sns:us-east-1:111111111111:t".to_owned(),
            },
            on: on.iter().map(|word| (*word).to_owned()).collect(),
            except: Vec::new(),
        }],
    });
    source(plan)
}

/// The entries that a channel is told of, by the world's own journal, as far as their labels say it.
fn noteworthy(world: &World) -> Vec<u64> {
    let labels = [
        "plan_accepted",
        "weights_verified",
        "step_completed",
        "completed",
        "revert_intended",
        "reverted",
    ];
    let mut entries: Vec<Envelope> = labels
        .iter()
        .flat_map(|label| world.entries("api", label))
        .collect();
    entries.sort_by_key(|entry| entry.seq);
    entries.iter().map(|entry| entry.seq).collect()
}

fn told(world: &World) -> Vec<u64> {
    let channels = locked(&world.channels);
    let notices = channels.notices.iter();
    notices.map(|told| told.notice.entry.seq).collect()
}

/// How far the channel has been told; the log aside.
async fn cursor(world: &World) -> Cursor {
    let mut cursors = world.journal.cursors().await.expect("it can be read");
    cursors.retain(|cursor| cursor.channel.starts_with("sns "));
    cursors.remove(0)
}

/// What was told, each the first time only.
fn first_times(told: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    told.iter()
        .copied()
        .filter(|seq| seen.insert(*seq))
        .collect()
}

fn is_over(world: &World) -> bool {
    world
        .state("api")
        .is_some_and(|state| state.phase.is_final())
}

#[tokio::test(start_paused = true)]
async fn a_channel_hears_of_everything_once_and_in_order_while_nothing_fails() {
    let world = World::new(&[told_plan(&["info"])]);
    let process = world.start("one");
    assert!(world.until(600, is_over).await);
    assert!(process.task.await.is_ok());
    let heard = told(&world);
    assert_eq!(heard, noteworthy(&world));
    assert!(heard.len() >= 8, "{heard:?}");
    let memos: Vec<_> = locked(&world.channels)
        .notices
        .iter()
        .map(|told| told.memo.clone())
        .collect();
    assert_eq!(memos[0], None);
    assert_eq!(memos[1], Some(heard[0].into()), "what it noted comes back");
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_time_everything_is_told_in_order_under_one_key() {
    for seed in 0..40 {
        fastrand::seed(seed);
        let world = World::new(&[told_plan(&["info"])]);
        {
            let mut channels = locked(&world.channels);
            channels.takes = Duration::from_millis(fastrand::u64(0..4_000));
        }
        for life in 0..40 {
            let process = world.start(&format!("life-{life}"));
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..30_000))).await;
            process.task.abort();
            locked(&world.channels).mute = fastrand::u8(0..4) == 0;
            if is_over(&world) {
                break;
            }
        }
        locked(&world.channels).mute = false;
        let process = world.start("last");
        assert!(world.until(3_600, is_over).await, "seed {seed}");
        assert!(process.task.await.is_ok(), "seed {seed}");
        // What was on its way when a process died may have been told after what the next one told.
        let heard = told(&world);
        let every: BTreeSet<u64> = heard.iter().copied().collect();
        let wanted: BTreeSet<u64> = noteworthy(&world).into_iter().collect();
        let missing: Vec<_> = wanted.difference(&every).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} of {wanted:?}");
        let first = first_times(&heard);
        assert!(first.is_sorted(), "seed {seed}: {heard:?}");
        for told in &locked(&world.channels).notices {
            let key = format!("api/{}", told.notice.entry.seq);
            assert_eq!(told.notice.idempotency_key(), key);
        }
        world.assert_unbroken();
    }
}

#[tokio::test(start_paused = true)]
async fn killed_while_it_tells_of_the_end_the_next_one_waits_for_its_claim_and_tells_it() {
    let world = World::new(&[told_plan(&["info"])]);
    locked(&world.channels).takes = Duration::from_secs(4);
    let process = world.start("one");
    assert!(world.until(900, is_over).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    process.task.abort();
    let end = world.entries("api", "completed")[0].seq;
    assert!(!told(&world).contains(&end), "it was killed too late");
    let last = world.start("last");
    assert!(last.task.await.is_ok());
    assert_eq!(first_times(&told(&world)), noteworthy(&world));
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_dead_channel_delays_no_round_and_hears_of_everything_when_it_is_back() {
    let world = World::new(&[told_plan(&["info"])]);
    {
        let mut channels = locked(&world.channels);
        channels.dead = true;
        channels.takes = Duration::from_secs(9);
    }
    let process = world.start("one");
    let baking = |world: &World| {
        world
            .state("api")
            .is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(60, baking).await);
    world.turn("errors", AlarmState::Alarm);
    let red_at = world.now();
    let decided = |world: &World| !world.entries("api", "revert_intended").is_empty();
    assert!(
        world.until(15, decided).await,
        "a round later at the latest"
    );
    let after = world.entries("api", "revert_intended")[0].at;
    assert!(after.duration_since(red_at).as_secs() <= 11);
    assert!(told(&world).is_empty());
    let trouble = cursor(&world).await.trouble;
    assert_eq!(trouble.expect("it is known to fail").why, "nobody answers");
    // Ends although nobody could be told; the next one tells it.
    assert!(world.until(600, is_over).await);
    assert!(process.task.await.is_ok());
    let tries = locked(&world.channels).tries;
    assert!(tries < 20, "{tries} tries");
    locked(&world.channels).dead = false;
    locked(&world.channels).takes = Duration::ZERO;
    assert!(world.start("two").task.await.is_ok());
    let mut heard = told(&world);
    let page = world.entries("api", "revert_intended")[0].seq;
    assert_eq!(heard[0], page, "a page overtakes what fails before it");
    heard.sort_unstable();
    assert_eq!(heard, noteworthy(&world), "nothing twice, nothing lost");
    let cursor = cursor(&world).await;
    assert_eq!((cursor.trouble, cursor.claim), (None, None));
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn waits_between_tries_grow_and_a_new_process_tries_at_once() {
    let world = World::new(&[told_plan(&["info"])]);
    locked(&world.channels).dead = true;
    let process = world.start("one");
    tokio::time::sleep(Duration::from_secs(100)).await;
    let tries = locked(&world.channels).tries;
    // After 0, 2, 6, 14, 30, 62 s.
    assert!((5..=7).contains(&tries), "{tries} tries");
    process.task.abort();
    let again = world.start("two");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(locked(&world.channels).tries > tries);
    again.task.abort();
}

#[tokio::test(start_paused = true)]
async fn two_controllers_tell_everything_once() {
    let world = World::new(&[told_plan(&["info"])]);
    locked(&world.channels).takes = Duration::from_millis(300);
    let (one, two) = (world.start("one"), world.start("two"));
    assert!(world.until(900, is_over).await);
    assert!(one.task.await.is_ok() && two.task.await.is_ok());
    let heard = told(&world);
    assert_eq!(first_times(&heard), heard, "twice");
    assert!(heard.is_sorted());
    let every: BTreeSet<u64> = heard.into_iter().collect();
    assert!(noteworthy(&world).iter().all(|seq| every.contains(seq)));
    world.assert_unbroken();
}

#[tokio::test(start_paused = true)]
async fn a_page_waits_for_a_channel_that_is_dead_and_the_log_has_it_once() {
    let world = World::new(&[told_plan(&["page"])]);
    locked(&world.channels).dead = true;
    let process = world.start("one");
    let baking = |world: &World| {
        world
            .state("api")
            .is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(60, baking).await);
    world.turn("errors", AlarmState::Alarm);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.entries("api", "revert_intended").len(), 1);
    assert!(told(&world).is_empty());
    assert_eq!(locked(&world.pages).len(), 1, "the log has it, once");
    process.task.abort();
    locked(&world.channels).dead = false;
    let process = world.start("two");
    assert!(process.task.await.is_ok());
    let reverts = world.entries("api", "revert_intended");
    let ends = world.entries("api", "reverted");
    // Whoever was woken is told the end, too (semantics L10).
    assert_eq!(told(&world), [reverts[0].seq, ends[0].seq]);
    let two = world.start("three");
    assert!(two.task.await.is_ok());
    assert_eq!(told(&world).len(), 2, "nothing twice");
    assert_eq!(locked(&world.pages).len(), 1, "nor in the log");
}

/// A world whose only cutover has a red gate while it bakes, and whose channels are as `mood` makes them.
async fn reverting(on: &[&str], mood: impl FnOnce(&World)) -> World {
    let world = World::new(&[told_plan(on)]);
    mood(&world);
    let baking = |world: &World| {
        let state = world.state("api");
        state.is_some_and(|state| state.phase == Phase::Baking)
    };
    let process = world.start("first");
    assert!(world.until(60, baking).await);
    process.task.abort();
    world.turn("errors", AlarmState::Alarm);
    world
}

#[tokio::test(start_paused = true)]
async fn a_run_does_not_end_before_its_pages_are_delivered() {
    let world = reverting(&["page"], |world| locked(&world.channels).dead = true).await;
    let process = world.start("one");
    assert!(world.until(120, is_over).await);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(!process.task.is_finished(), "it owes a page");
    locked(&world.channels).dead = false;
    assert!(process.task.await.is_ok());
    assert_eq!(told(&world).len(), 2, "the page, and its end");
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_a_quarter_of_an_hour_for_its_pages_and_no_longer() {
    let world = reverting(&["page"], |world| locked(&world.channels).dead = true).await;
    let process = world.start("one");
    assert!(world.until(120, is_over).await);
    let over = tokio::time::Instant::now();
    assert!(process.task.await.is_ok());
    let waited = over.elapsed();
    let bounds = Duration::from_mins(14)..=Duration::from_mins(15) + Duration::from_secs(5);
    assert!(bounds.contains(&waited), "{waited:?}");
    assert!(told(&world).is_empty());
    let beats = world.journal.heartbeats().await.unwrap();
    assert!(beats[0].ended, "`status` can tell that nobody tries again");
}

#[tokio::test(start_paused = true)]
async fn what_a_service_refuses_for_good_is_tried_five_times_and_later_ones_follow() {
    let refuse = |world: &World| locked(&world.channels).refuses = vec!["plan_accepted"];
    let world = reverting(&["info"], refuse).await;
    let process = world.start("one");
    assert!(process.task.await.is_ok());
    let refused = locked(&world.channels).refused.clone();
    assert_eq!(refused, [1; 5]);
    let heard = told(&world);
    let end = world.entries("api", "reverted")[0].seq;
    assert!(heard.contains(&end), "{heard:?}");
    let cursor = cursor(&world).await;
    let skipped: Vec<u64> = cursor.skipped.iter().map(|one| one.seq).collect();
    assert_eq!(skipped, [1]);
    assert_eq!(cursor.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_page_overtakes_what_is_refused_before_it() {
    let world = World::new(&[told_plan(&["info"])]);
    locked(&world.channels).refuses = vec!["weights_verified"];
    let process = world.start("one");
    let verified = |world: &World| !world.entries("api", "weights_verified").is_empty();
    assert!(world.until(60, verified).await);
    world.turn("errors", AlarmState::Alarm);
    let paged = |world: &World| {
        let reverts = world.entries("api", "revert_intended");
        reverts
            .first()
            .is_some_and(|revert| told(world).contains(&revert.seq))
    };
    assert!(world.until(30, paged).await, "{:?}", told(&world));
    let tries = locked(&world.channels).refused.len();
    assert!(
        (1..5).contains(&tries),
        "refused {tries} times, and not skipped"
    );
    assert!(process.task.await.is_ok());
    let heard = told(&world);
    assert_eq!(
        heard.len(),
        first_times(&heard).len(),
        "nothing twice: {heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_single_run_waits_a_minute_for_its_pages_and_no_longer() {
    let world = reverting(&["page"], |world| locked(&world.channels).dead = true).await;
    let process = world.start("one");
    assert!(world.until(120, is_over).await);
    process.task.abort();
    let (mut controller, ..) = world.controller("two");
    let began = tokio::time::Instant::now();
    controller.run_once().await.expect("a run");
    let waited = began.elapsed();
    let bounds = Duration::from_secs(40)..=Duration::from_secs(65);
    assert!(bounds.contains(&waited), "{waited:?}");
    assert_eq!(controller.owed().len(), 1);
    assert!(told(&world).is_empty());
    locked(&world.channels).dead = false;
    let (mut controller, ..) = world.controller("three");
    controller.run_once().await.expect("a run");
    assert!(controller.owed().is_empty());
    assert_eq!(told(&world).len(), 2, "the page, and its end");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_refused_for_good_is_not_called_delivered() {
    let refuse = |world: &World| locked(&world.channels).refuses = vec!["revert_intended"];
    let world = reverting(&["page"], refuse).await;
    let process = world.start("one");
    assert!(process.task.await.is_ok());
    let revert = world.entries("api", "revert_intended")[0].seq;
    let skipped = cursor(&world).await.skipped;
    let skipped: Vec<_> = skipped.iter().map(|one| (one.seq, one.page)).collect();
    assert_eq!(skipped, [(revert, true)]);
    let ends = world.entries("api", "reverted");
    assert_eq!(told(&world), [ends[0].seq]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_comes_later_hears_of_nothing_before_it() {
    let mut silent = told_plan(&["info"]).plan;
    let notify = silent.notify.take();
    let world = World::new(&[source(silent.clone())]);
    let process = world.start("one");
    let baking = |world: &World| {
        world
            .state("api")
            .is_some_and(|state| state.phase == Phase::Baking)
    };
    assert!(world.until(60, baking).await);
    let loud = source(cutover::engine::plan::Plan { notify, ..silent });
    let amended = cutover::engine::event::Event::PlanAmended {
        source: Box::new(loud),
        reason: None,
    };
    assert!(world.ask("api", amended).await);
    assert!(world.until(900, |world| !told(world).is_empty()).await);
    process.task.abort();
    let amended = world.entries("api", "plan_amended")[0].seq;
    assert_eq!(told(&world)[0], amended);
}
