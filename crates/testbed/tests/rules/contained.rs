//! Trouble in one stream stays there (semantics L4, I15): that cutover is left alone, and all others go on.

use cutover_engine::check::{self, Invariant};
use cutover_engine::decide::{self, Decision};
use cutover_engine::event::{Envelope, Event, JOURNAL_VERSION};
use cutover_engine::fleet::{self, Fleet};
use cutover_engine::hold::HoldReason;
use cutover_engine::ledger::{Ledger, Took};
use cutover_engine::observation::AlarmState;
use cutover_engine::state::Phase;
use cutover_engine::units::CutoverName;

use super::fleet::beside;
use super::{baking, kinds, simple};
use cutover_testbed::check::FleetChecker;
use cutover_testbed::world::World;

/// The entry that comes next in a world's stream, by another program.
fn next(world: &World, event: Event) -> Envelope {
    let last = world.journal.last().expect("a journal");
    Envelope {
        seq: last.seq + 1,
        actor: "another program".to_owned(),
        event,
        ..last.clone()
    }
}

fn cannot_follow() -> Event {
    Event::BakeStarted { step: 7 }
}

fn newer() -> Event {
    Event::Unreadable {
        why: "a newer cutover wrote it".to_owned(),
    }
}

fn of_fleet(seq: u64, event: Event) -> Envelope {
    Envelope {
        cutover: fleet::stream(),
        attempt: 1,
        seq,
        at: "2026-11-21T09:00:00Z".parse().expect("a time"),
        actor: "controller one".to_owned(),
        version: JOURNAL_VERSION,
        event,
    }
}

fn ledger<'a>(entries: impl IntoIterator<Item = &'a Envelope>) -> Ledger {
    let mut ledger = Ledger::default();
    for entry in entries {
        ledger.take(entry);
    }
    ledger
}

/// The fleet of a world whose stream is damaged.
fn damaged(world: &World, event: Event) -> Fleet {
    let entry = next(world, event);
    let ledger = ledger(world.journal.iter().chain([&entry]));
    ledger.fleet().clone()
}

#[test]
fn an_entry_that_cannot_be_used_damages_its_own_stream_and_keeps_the_last_good_state() {
    for (event, why) in [
        (cannot_follow(), "bake_started cannot follow: "),
        (newer(), "a newer cutover wrote it"),
    ] {
        let one = baking();
        let other = beside(&one, simple());
        let bad = next(&one, event);
        let mut ledger = ledger(one.journal.iter().chain(&other.journal));
        assert_eq!(ledger.take(&bad), Took::Damages);
        assert_eq!(ledger.take(&bad), Took::Known);
        let behind = Envelope {
            seq: bad.seq + 1,
            event: Event::PauseRequested { reason: None },
            ..bad.clone()
        };
        assert_eq!(ledger.take(&behind), Took::Behind);
        assert_eq!(ledger.state(&bad.cutover), Some(one.state()));
        assert_eq!(ledger.seq(&bad.cutover), behind.seq);
        let whole: Vec<&str> = ledger.whole().map(|state| state.name.as_str()).collect();
        assert_eq!(whole, ["other"]);
        let damage = ledger.fleet().damage(&bad.cutover).expect("it is damaged");
        assert_eq!((damage.entry, damage.head), (bad.seq, behind.seq));
        assert!(damage.why.starts_with(why), "{}", damage.why);
        assert_eq!(ledger.fleet().in_flight(), 1, "it keeps its slot");
        let paused = next(&other, Event::PauseRequested { reason: None });
        assert_eq!(
            ledger.take(&paused),
            Took::Folded {
                before: Some(Phase::Waiting)
            }
        );
    }
}

#[test]
fn a_stream_whose_first_entry_cannot_be_used_has_no_state_and_is_damaged() {
    let world = World::new(simple());
    let first = Envelope {
        event: newer(),
        ..world.journal[0].clone()
    };
    let ledger = ledger([&first]);
    assert!(ledger.is_damaged(&first.cutover));
    assert_eq!(ledger.state(&first.cutover), None);
    assert!(ledger.fleet().news().is_some(), "somebody is told of it");
}

#[test]
fn a_damaged_cutover_is_neither_stepped_nor_reverted_and_says_why() {
    let mut world = baking();
    world.fleet = damaged(&world, cannot_follow());
    let entries = world.journal.len();
    world.turn("errors", AlarmState::Alarm);
    world.run_minutes(180);
    assert_eq!(
        (world.phase(), world.journal.len()),
        (Phase::Baking, entries)
    );
    assert_eq!(kinds(&world), ["journal_damaged"]);
    assert!(world.because()[0].pages(), "a person must do something");
}

#[test]
fn a_decision_that_moves_a_damaged_cutover_or_hides_it_is_objected_to() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    let observation = world.observe(0);
    let whole = decide::decide(world.state(), &world.fleet, &observation, world.now);
    assert!(whole.goes_back(), "as long as nothing is damaged");
    let fleet = damaged(&world, newer());
    let decision = decide::decide(world.state(), &fleet, &observation, world.now);
    let judge = |decision: &Decision| {
        let judged = check::decision(world.state(), &fleet, &observation, decision, world.now);
        judged.map_err(|violation| violation.invariant)
    };
    assert_eq!(judge(&decision), Ok(()));
    assert_eq!(judge(&whole), Err(Invariant::I15));
    assert_eq!(judge(&Decision::default()), Err(Invariant::I15));
}

#[test]
fn the_fleet_tells_of_each_damaged_stream_once_for_each_entry() {
    let world = baking();
    let bad = next(&world, cannot_follow());
    let mut ledger = ledger(world.journal.iter().chain([&bad]));
    let news = ledger.fleet().news().expect("it is news");
    assert!(news.pages());
    let Event::CutoverDamaged { of, entry, .. } = &news else {
        panic!("{news:?}");
    };
    assert_eq!((of, *entry), (&bad.cutover, bad.seq));
    ledger.take(&of_fleet(1, news));
    assert_eq!(ledger.fleet().news(), None);
    let told = ledger.fleet().damage_told(1);
    assert_eq!(told, Some(&bad.cutover), "its own people are told too");
    // Another version stumbled earlier: what it told does not count for this entry.
    let other = Event::CutoverDamaged {
        of: bad.cutover.clone(),
        entry: bad.seq - 1,
        why: String::new(),
    };
    let mut elsewhere = Ledger::default();
    for entry in world.journal.iter().chain([&bad, &of_fleet(1, other)]) {
        elsewhere.take(entry);
    }
    assert!(elsewhere.fleet().news().is_some());
}

#[test]
fn what_comes_after_a_damaged_one_is_held_also_if_that_one_had_completed() {
    let mut first = World::new(simple());
    first.run_to(Phase::Completed);
    let mut plan = simple();
    plan.after = vec![CutoverName::from("api")];
    let mut second = beside(&first, plan);
    let mut ledger = ledger(&first.journal);
    ledger.take(&next(&first, newer()));
    for entry in &second.journal {
        ledger.take(entry);
    }
    second.fleet = ledger.fleet().clone();
    second.tick(10);
    assert_eq!(second.phase(), Phase::Waiting);
    let held = HoldReason::Dependency {
        on: CutoverName::from("api"),
        phase: Some(Phase::Completed),
        step: 2,
        steps: 2,
        damaged: true,
    };
    assert_eq!(second.because(), [held]);
}

#[test]
fn an_entry_of_the_fleet_that_cannot_be_read_holds_steps_and_nothing_else() {
    let mut world = baking();
    world.fleet.take(&of_fleet(1, newer()));
    assert_eq!(
        world.fleet.trouble.as_deref(),
        Some("a newer cutover wrote it")
    );
    world.run_minutes(120);
    assert_eq!(world.phase(), Phase::Baking, "the next step is not taken");
    assert_eq!(kinds(&world), ["fleet_unreadable"]);
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
}

#[test]
fn the_checker_objects_to_whoever_else_writes_to_a_damaged_stream_and_to_nobody_being_told() {
    let world = baking();
    let mut checker = FleetChecker::new();
    for entry in &world.journal {
        assert_eq!(checker.entry(entry), []);
    }
    let bad = next(&world, cannot_follow());
    assert_eq!(checker.entry(&bad), []);
    let mut behind = Envelope {
        seq: bad.seq + 1,
        ..bad.clone()
    };
    assert_eq!(checker.entry(&behind), [], "who wrote it goes on with it");
    (behind.seq, behind.actor) = (behind.seq + 1, "controller one".to_owned());
    let objects = |broken: Vec<check::Violation>| broken[0].invariant;
    assert_eq!(objects(checker.entry(&behind)), Invariant::I15);
    assert_eq!(objects(checker.finished()), Invariant::I15);
    let told = Event::CutoverDamaged {
        of: bad.cutover.clone(),
        entry: bad.seq,
        why: String::new(),
    };
    checker.entry(&of_fleet(1, told));
    assert_eq!(checker.finished(), []);
    let mut checker = FleetChecker::new();
    for entry in &world.journal {
        checker.entry(entry);
    }
    let ours = Envelope {
        actor: "controller one".to_owned(),
        ..bad
    };
    assert_eq!(objects(checker.entry(&ours)), Invariant::I6);
}
