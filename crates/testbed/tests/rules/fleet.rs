//! What the fleet keeps one cutover from, and what it never does.

use cutover_engine::event::{Envelope, Event, JOURNAL_VERSION};
use cutover_engine::fleet::{self, FleetSettings, commands};
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::observation::AlarmState;
use cutover_engine::state::Phase;
use cutover_engine::units::CutoverName;
use jiff::SignedDuration;

use super::{baking, kinds, simple};
use cutover_testbed::plan::alarm;
use cutover_testbed::world::World;

/// Appends an entry to `@fleet`.
fn tell(world: &mut World, event: Event) {
    let entry = Envelope {
        cutover: fleet::stream(),
        attempt: 1,
        seq: world.fleet.seq + 1,
        at: world.now,
        actor: "ada@desk".to_owned(),
        version: JOURNAL_VERSION,
        event,
    };
    let text = serde_json::to_string(&entry).expect("an entry is JSON");
    let back: Envelope = serde_json::from_str(&text).expect("an entry can be read back");
    assert_eq!(back, entry, "an entry changes in the journal");
    world.fleet.take(&entry);
}

fn limit(world: &mut World, max_in_flight: Option<u32>, failure_budget: Option<u32>) {
    let settings = FleetSettings {
        max_in_flight,
        failure_budget,
        notify: None,
    };
    let path = "/plans/fleet.yaml".to_owned();
    tell(world, Event::FleetSettingsAccepted { settings, path });
}

/// Freezes the fleet, until somebody ends that.
pub(super) fn freeze(world: &mut World) {
    let frozen = commands::freeze(&world.fleet, None, "sale", world.now);
    tell(world, frozen.expect("it is not frozen"));
}

/// Another cutover of the journal, at the end of the entries of `world`; its fleet becomes this one's.
pub(super) fn beside(world: &World, mut plan: cutover_engine::plan::Plan) -> World {
    plan.name = CutoverName::from("other");
    let mut other = World::new(plan);
    other.now = world.now;
    let accepted = other.journal[0].clone();
    let state = other.state().clone();
    other.fleet = world.fleet.clone();
    other.fleet.note(&accepted, None, &state);
    other
}

#[test]
fn a_freeze_holds_a_step_until_it_is_over_and_names_its_reason() {
    let mut world = baking();
    let until = world.now + SignedDuration::from_hours(3);
    let reason = "sale".to_owned();
    let frozen = commands::freeze(&world.fleet, Some(until), &reason, world.now).unwrap();
    tell(&mut world, frozen);
    world.run_minutes(120);
    assert_eq!((world.phase(), world.state().step), (Phase::Baking, 1));
    let hold = HoldReason::Frozen {
        until: Some(until),
        reason,
    };
    assert!(world.because().contains(&hold), "{:?}", world.because());
    world.run_minutes(62);
    assert_eq!(world.state().step, 2, "it goes on by itself");
}

#[test]
fn a_freeze_delays_no_revert() {
    let mut world = baking();
    let reason = "sale".to_owned();
    tell(
        &mut world,
        Event::FleetFrozen {
            until: None,
            reason,
        },
    );
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    assert_eq!(world.phase(), Phase::Reverting);
}

#[test]
fn a_full_fleet_holds_a_start_with_numbers_and_a_start_takes_a_slot() {
    let mut first = World::new(simple());
    limit(&mut first, Some(1), None);
    let mut second = beside(&first, simple());
    first.tick(10);
    assert_eq!(first.phase(), Phase::Settling);
    let of = CutoverName::from("api");
    assert_eq!(first.fleet_entries, [Event::FleetSlotTaken { of }]);
    let waiting = second.state().clone();
    second.fleet = first.fleet.clone();
    second.tick(10);
    assert_eq!(second.phase(), waiting.phase);
    let full = HoldReason::FleetFull {
        in_flight: 1,
        max: 1,
    };
    assert_eq!(second.because(), [full]);
}

#[test]
fn an_unlimited_fleet_writes_nothing_of_its_own() {
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    assert!(world.fleet_entries.is_empty());
}

#[test]
fn a_start_waits_for_what_it_comes_after() {
    let mut first = World::new(simple());
    let mut plan = simple();
    plan.after = vec![CutoverName::from("api")];
    let mut second = beside(&first, plan.clone());
    second.tick(10);
    assert_eq!(kinds(&second), ["dependency"]);
    first.run_to(Phase::Completed);
    second.fleet = first.fleet.clone();
    second.now = first.now;
    second.tick(10);
    assert_eq!(second.phase(), Phase::Settling);

    plan.after = vec![CutoverName::from("nobody")];
    let mut third = beside(&first, plan);
    third.tick(10);
    let unknown = HoldReason::Dependency {
        on: CutoverName::from("nobody"),
        phase: None,
        step: 0,
        steps: 0,
        damaged: false,
    };
    assert_eq!(third.because(), [unknown]);
    assert_eq!(third.state().pages.len(), 1, "a person must do something");
}

#[test]
fn only_reverts_that_nobody_asked_for_count_until_they_are_forgiven() {
    let mut world = baking();
    limit(&mut world, None, Some(1));
    world.roll_back(cutover_engine::event::RevertMode::Swap);
    world.run_to(Phase::Reverted);
    assert_eq!((world.fleet.setbacks(), world.fleet.news()), (0, None));
    assert!(commands::resume(&world.fleet, "why").is_err());

    let mut world = baking();
    limit(&mut world, None, Some(1));
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    assert_eq!(world.fleet.budget_spent(), Some(1));
    let news = world.fleet.news().expect("it is announced");
    assert!(news.pages());
    tell(&mut world, news);
    assert_eq!(world.fleet.news(), None, "and announced once");
    let resumed = commands::resume(&world.fleet, "why").unwrap();
    tell(&mut world, resumed);
    assert_eq!(world.fleet.budget_spent(), None);
}

#[test]
fn the_fold_does_not_depend_on_the_order_of_streams() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    world.run_to(Phase::Reverted);
    let forgiven = [(CutoverName::from("api"), 10_000)].into();
    let reason = "why".to_owned();
    let before = world.fleet.clone();
    tell(&mut world, Event::FleetResumed { reason, forgiven });
    let mut turned = fleet::Fleet::default();
    let mut state = None;
    let resumed = Envelope {
        cutover: fleet::stream(),
        attempt: 1,
        seq: 1,
        at: world.now,
        actor: "ada@desk".to_owned(),
        version: JOURNAL_VERSION,
        event: Event::FleetResumed {
            reason: "why".to_owned(),
            forgiven: [(CutoverName::from("api"), 10_000)].into(),
        },
    };
    turned.take(&resumed);
    for entry in &world.journal {
        let phase = Option::as_ref(&state).map(|state: &cutover_engine::state::State| state.phase);
        cutover_engine::fold::apply(&mut state, entry).unwrap();
        turned.note(entry, phase, state.as_ref().unwrap());
    }
    assert_ne!(before, world.fleet);
    assert_eq!(turned, world.fleet);
}

#[test]
fn commands_say_where_they_do_not_apply() {
    let mut world = baking();
    let (now, fleet) = (world.now, world.fleet.clone());
    assert!(commands::unfreeze(&fleet, None, now).is_err());
    assert!(commands::freeze(&fleet, Some(now), "late", now).is_err());
    let frozen = commands::freeze(&fleet, None, "sale", now).unwrap();
    tell(&mut world, frozen);
    assert!(commands::freeze(&world.fleet, None, "sale", now).is_err());
    let until = now + SignedDuration::from_hours(1);
    assert!(commands::freeze(&world.fleet, Some(until), "sale", now).is_ok());
    assert!(commands::unfreeze(&world.fleet, None, now).is_ok());
}

#[test]
fn the_cause_of_a_revert_is_its_own_alarm_even_where_many_fail() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    world.tick(10);
    let cause = RevertCause::AlarmRed {
        alarm: alarm("errors"),
    };
    assert_eq!(super::cause(&world), cause);
    assert_eq!(world.fleet.shared_fate(), None, "one service is no fate");
}
