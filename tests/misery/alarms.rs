//! A red alarm takes the traffic back, whatever goes wrong around the program (semantics M1–M4).

use std::time::Duration;

use rustix::process::Signal;

use super::world::{Started, Stream, start};
use crate::end_to_end::scene::{GATES, NAME, PLAN, Plan, Scene};
use crate::support::program::{pause, until};
use crate::support::server::Call;

/// The longest time from a red alarm to the last change that takes the traffic back, on a quiet machine. The interval
/// is one second.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// The interval of the controllers in these tests.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most readings of the alarms before the traffic goes back: the reading that sees the red alarm, and one that was
/// on its way when the alarm changed. The number depends only on the program, not on how busy the machine is.
const LOOKS_MAX: usize = 2;

/// The access key of commands that run next to a controller, so that their calls can be told from the controller's.
pub(super) const BESIDE: &str = "beside";

/// Starts a controller in a world, and waits until its cutover bakes the first step.
pub(super) fn running(out: Stream, err: Stream, more: &[&str]) -> (Scene, Started) {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = run_in(&scene, out, err, more);
    scene.wait_for_phase(NAME, "baking");
    (scene, run)
}

/// Starts a controller in a world.
fn run_in(scene: &Scene, out: Stream, err: Stream, more: &[&str]) -> Started {
    let mut args = vec!["run", "plans", "--interval", "1s"];
    args.extend(more);
    start(scene.command(&args), out, err)
}

/// A controller in a quiet world on the same machine. Its alarm turns red at the same moment. If it is late, the
/// machine is busy, and the other controller may be late too.
pub(super) struct Quiet {
    scene: Scene,
    _run: Started,
}

impl Quiet {
    pub(super) fn new() -> Self {
        let (scene, run) = running(Stream::Kept, Stream::Kept, &[]);
        Self { scene, _run: run }
    }
}

/// How a controller reacted to an alarm that turned red.
struct Answer {
    /// The time from the red alarm to the last change that took the weights back.
    took: Duration,
    /// The number of readings of the alarms before the first of these changes.
    looks: usize,
}

/// Waits until the weights are back, and returns how that went. The alarm turned red at `began`.
fn answer(scene: &Scene, began: jiff::Timestamp) -> Answer {
    let back = until(|| {
        let weights = scene.all_weights();
        let back = weights.iter().all(|all| all.last() == Some(&(100, 0)));
        back.then_some(())
    });
    assert!(back.is_some(), "it is answered: {}", scene.everything(NAME));
    // A call appears in the list when its reply is sent, which is shortly after its effect.
    let listed = until(|| {
        let calls = scene.bed.calls().into_iter();
        let calls: Vec<_> = calls
            .filter(|call| call.at >= began && call.signer.access_key != BESIDE)
            .collect();
        let changes = calls.iter();
        let changes = changes.filter(|call| call.operation == "ChangeResourceRecordSets");
        (changes.count() >= 2).then_some(calls)
    });
    let listed = listed.expect("a change for each zone");
    let mut changes = listed.iter();
    let is_change = |call: &&Call| call.operation == "ChangeResourceRecordSets";
    let first = changes.find(is_change).expect("a change").at;
    let last = changes.rfind(is_change).expect("another one").at;
    let looks = listed.iter();
    let looks = looks.filter(|call| call.operation == "DescribeAlarms" && call.at < first);
    let took = last.duration_since(began);
    Answer {
        took: Duration::try_from(took).expect("time goes on"),
        looks: looks.count(),
    }
}

/// Turns an alarm red, and checks the time until the weights are back.
///
/// On a quiet machine the time is at most 3 s. On a busy machine the quiet world is late too, and this one may be late
/// by twice as much.
pub(super) fn assert_answered_beside(quiet: &Quiet, scene: &Scene, what: &str) {
    let began = scene.bed.now();
    scene.red(GATES[0]);
    quiet.scene.red(GATES[0]);
    let this = answer(scene, began);
    let usual = answer(&quiet.scene, began);
    let late = usual.took.saturating_sub(INTERVAL);
    let (took, looks) = (this.took, this.looks);
    assert!(
        took < ANSWERED_WITHIN + 2 * late,
        "{what}: {took:?}, and {:?} in a quiet world\n{}",
        usual.took,
        scene.everything(NAME)
    );
    assert!(
        looks <= LOOKS_MAX,
        "{what}: {looks} looks without an answer"
    );
    assert!(usual.looks <= LOOKS_MAX, "quiet: {} looks", usual.looks);
}

/// Does the same as [`assert_answered_beside`], with a new quiet world.
pub(super) fn assert_answered(scene: &Scene, what: &str) {
    assert_answered_beside(&Quiet::new(), scene, what);
}

#[test]
fn a_red_alarm_is_answered_whoever_reads_the_log() {
    let worlds = [
        (Stream::Closed, Stream::Closed, "-v"),
        (Stream::Full, Stream::Full, "-v"),
        (Stream::Kept, Stream::Unread, "-vv"),
    ];
    let all: Vec<_> = worlds
        .map(|(out, err, more)| (err, running(out, err, &[more])))
        .into();
    for (err, (scene, mut run)) in all {
        assert!(run.is_alive(), "{err:?}");
        assert_answered(&scene, &format!("{err:?}"));
        assert_eq!(run.code(), Some(20), "{err:?}");
    }
}

/// Replaces the ID of a change by one with which the SDK panics when it asks for the change.
fn endless_id(body: &str) -> String {
    let (head, rest) = body.split_once("<Id>/change/").expect("a change");
    let (_, tail) = rest.split_once("</Id>").expect("its end");
    format!("{head}<Id>/change/{}</Id>{tail}", "C".repeat(70_000))
}

#[test]
fn a_panic_of_the_sdk_and_a_log_that_nobody_reads_hold_up_no_answer() {
    for json in [false, true] {
        let mut args = vec!["run", "plans", "--interval", "1s", "-vv"];
        if json {
            args.extend(["--log-format", "json"]);
        }
        let scene = Scene::new(&Plan::resting_at_first_step());
        scene
            .bed
            .answer_oddly("ChangeResourceRecordSets", endless_id);
        let err = if json { Stream::Kept } else { Stream::Unread };
        let mut run = start(scene.command(&args), Stream::Kept, err);
        scene.wait_for_phase(NAME, "settling");
        assert_answered(&scene, "a panic");
        assert_eq!(run.code(), Some(20), "{}", run.said());
        if json {
            let said = run.said();
            assert!(said.contains("a part of the program failed"), "{said}");
            for line in said.lines().filter(|line| !line.is_empty()) {
                let parsed = serde_json::from_str::<serde_json::Value>(line);
                assert!(parsed.is_ok(), "{line}");
                assert!(line.len() < 20_000, "{} bytes", line.len());
            }
        }
    }
}

#[test]
fn a_controller_whose_log_nobody_reads_stops_when_it_is_asked() {
    for signal in [Signal::TERM, Signal::HUP] {
        let (_scene, mut run) = running(Stream::Kept, Stream::Unread, &["-vv"]);
        let before = run.age();
        run.signal(signal);
        assert_eq!(run.code(), Some(0), "{signal:?}");
        assert!(
            run.age().saturating_sub(before) < Duration::from_secs(20),
            "{signal:?}"
        );
    }
}

#[test]
fn a_controller_outlives_what_must_not_end_it() {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    run.signal(Signal::XFSZ);
    run.signal(Signal::PIPE);
    assert_answered(&scene, "signals");
    assert_eq!(run.code(), Some(20), "{}", run.said());
}

#[test]
fn files_that_are_pipes_hold_up_no_answer() {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    let glass = scene.path(".cutover/break-glass");
    let file = crate::support::program::files(&glass).remove(0);
    for path in [
        glass.join(file),
        scene.path("plans/api.yaml"),
        scene.path("plans/new.yaml"),
    ] {
        std::fs::remove_file(&path).unwrap_or_default();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
    }
    assert_answered(&scene, "pipes");
    assert_eq!(run.code(), Some(20), "{}", run.said());
}

#[test]
fn a_controller_whose_journal_is_locked_goes_back_and_stops_when_it_is_asked() {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    let journal = rusqlite::Connection::open(scene.path(".cutover/journal.db"));
    let journal = journal.expect("the journal");
    journal.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    scene.red(GATES[0]);
    let back = until(|| {
        let weights = scene.all_weights();
        let back = weights.iter().all(|all| all.last() == Some(&(100, 0)));
        back.then_some(())
    });
    assert!(back.is_some(), "{}", run.said());
    let before = run.age();
    run.signal(Signal::TERM);
    // 1: something hangs. 0: the journal reported in time that it cannot be written.
    assert!(matches!(run.code(), Some(0 | 1)), "{}", run.said());
    assert!(
        run.age().saturating_sub(before) < Duration::from_secs(20),
        "{}",
        run.said()
    );
}

#[test]
fn the_journal_is_said_to_answer_again_only_when_it_can_be_written() {
    const DOWN: &str = "the journal is down";
    const AGAIN: &str = "the journal answers again";
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    let journal = rusqlite::Connection::open(scene.path(".cutover/journal.db"));
    let journal = journal.expect("the journal");
    // The journal can still be read, so every round reads it, and then finds that it cannot write.
    journal.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let approved = scene.say(&["pause", NAME]);
    assert_eq!(approved.code, Some(1), "{approved:#?}");
    scene.red(GATES[0]);
    let back = until(|| {
        let weights = scene.all_weights();
        let back = weights.iter().all(|all| all.last() == Some(&(100, 0)));
        back.then_some(())
    });
    assert!(back.is_some(), "{}", run.said());
    let told = until(|| run.said().contains(DOWN).then_some(()));
    assert!(told.is_some(), "{}", run.said());
    pause(3 * INTERVAL);
    assert_eq!(run.said().matches(DOWN).count(), 1, "{}", run.said());
    assert!(!run.said().contains(AGAIN), "{}", run.said());
    journal.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(run.code(), Some(20), "{}", run.said());
    assert_eq!(run.said().matches(AGAIN).count(), 1, "{}", run.said());
    assert!(scene.count(NAME, "reverted") == 1);
}

/// Returns a scene whose journal hangs: SQLite opens the journal's rollback file, which is a pipe.
fn with_hanging_journal() -> Scene {
    let (scene, mut run) = running(Stream::Kept, Stream::Kept, &[]);
    run.signal(Signal::KILL);
    assert_eq!(run.code(), None);
    let pipe = scene.path(".cutover/journal.db-journal");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.expect("mkfifo").success());
    scene
}

#[test]
fn a_command_that_waits_for_its_journal_says_so() {
    let scene = with_hanging_journal();
    for args in [
        ["status", NAME].as_slice(),
        &["history", NAME],
        &["pause", NAME],
    ] {
        let command = start(scene.command(args), Stream::Kept, Stream::Kept);
        let told = until(|| {
            command
                .said()
                .contains("the journal does not answer")
                .then_some(())
        });
        assert!(told.is_some(), "{args:?}: {}", command.said());
        assert!(command.said().contains("--from"), "{}", command.said());
    }
}

#[test]
fn a_rollback_that_cannot_read_its_journal_ends_in_time_and_names_the_other_way() {
    let scene = with_hanging_journal();
    let said = scene.say(&["rollback", NAME, "--yes", "--timeout", "4s"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    for told in ["still waiting", "within `--timeout`", "rollback --from"] {
        assert!(said.stderr.contains(told), "{said:#?}");
    }
}

#[test]
fn a_rollback_outlives_its_terminal() {
    let scene = Scene::new(&Plan::resting_at_first_step());
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    let args = ["rollback", NAME, "--yes"];
    let mut back = start(scene.command(&args), Stream::Closed, Stream::Unread);
    let journaled = until(|| (scene.count(NAME, "rollback_requested") > 0).then_some(()));
    assert!(journaled.is_some());
    for signal in [Signal::HUP, Signal::PIPE, Signal::XFSZ] {
        if back.is_alive() {
            back.signal(signal);
        }
    }
    assert_eq!(back.code(), Some(0));
    scene.assert_weights(&[(100, 0), (90, 10), (100, 0)]);
}
