//! Many cutovers of one journal: what they are told of together, and what counts against the fleet.

use std::collections::BTreeMap;

use cutover_engine::event::{Envelope, Event, JOURNAL_VERSION, RevertMode};
use cutover_engine::evidence::gate::GateId;
use cutover_engine::fleet::{self, Fleet, FleetSettings, SharedFate, commands};
use cutover_engine::fold;
use cutover_engine::hold::{HoldReason, RevertCause};
use cutover_engine::hooks::{HookId, HookPoint};
use cutover_engine::plan::Notify;
use cutover_engine::state::State;
use cutover_engine::units::{CutoverName, WriteId};
use jiff::{SignedDuration, Timestamp};

use super::{baking, simple};
use cutover_testbed::check::FleetChecker;
use cutover_testbed::plan::{alarm, source};
use cutover_testbed::world::World;

/// A journal of many cutovers, each at its beginning or in its first bake.
struct Many {
    fleet: Fleet,
    states: BTreeMap<CutoverName, State>,
    checker: FleetChecker,
    now: Timestamp,
}

impl Many {
    /// Cutovers of these names, which wait.
    fn waiting(names: &[&str]) -> Self {
        Self::as_in(&World::new(simple()), names)
    }

    /// Cutovers of these names, which bake their first step.
    fn baking(names: &[&str]) -> Self {
        Self::as_in(&baking(), names)
    }

    fn as_in(world: &World, names: &[&str]) -> Self {
        let mut many = Self {
            fleet: Fleet::default(),
            states: BTreeMap::new(),
            checker: FleetChecker::new(),
            now: world.now,
        };
        for name in names {
            for entry in &world.journal {
                let mut entry = entry.clone();
                entry.cutover = CutoverName::from(*name);
                if let Event::PlanAccepted { source } = &mut entry.event {
                    source.plan.name = entry.cutover.clone();
                }
                many.take(&entry);
            }
        }
        many
    }

    fn take(&mut self, entry: &Envelope) {
        assert_eq!(self.checker.entry(entry), []);
        let mut state = self.states.remove(&entry.cutover);
        let before = state.as_ref().map(|state| state.phase);
        fold::apply(&mut state, entry).expect("it can follow");
        let after = state.expect("there is an entry");
        self.fleet.note(entry, before, &after);
        self.states.insert(entry.cutover.clone(), after);
    }

    fn pass(&mut self, secs: i64) {
        self.now += SignedDuration::from_secs(secs);
    }

    fn envelope(&self, cutover: CutoverName, seq: u64, event: Event) -> Envelope {
        Envelope {
            cutover,
            attempt: 1,
            seq,
            at: self.now,
            actor: "controller".to_owned(),
            version: JOURNAL_VERSION,
            event,
        }
    }

    /// A cutover's next entry; its number.
    fn says(&mut self, name: &str, event: Event) -> u64 {
        let name = CutoverName::from(name);
        let seq = self.states[&name].seq + 1;
        let entry = self.envelope(name, seq, event);
        self.take(&entry);
        seq
    }

    /// The next entry of `@fleet`.
    fn fleet_says(&mut self, event: Event) -> u64 {
        let seq = self.fleet.seq + 1;
        let entry = self.envelope(fleet::stream(), seq, event);
        self.fleet.take(&entry);
        assert_eq!(self.checker.entry(&entry), []);
        seq
    }

    fn holds(&mut self, name: &str, because: &[HoldReason]) -> u64 {
        let because = because.to_vec();
        self.says(name, Event::StepHeld { because })
    }

    /// It goes back for this cause.
    fn reverts(&mut self, name: &str, cause: RevertCause) -> u64 {
        let event = Event::RevertIntended {
            write_id: WriteId::from("1-99-ctl"),
            cause,
            mode: RevertMode::Swap,
            shared: None,
            seen: None,
        };
        self.says(name, event)
    }

    fn tell(&mut self) -> u64 {
        let news = self.fleet.news().expect("there is news");
        self.fleet_says(news)
    }
}

fn texts(names: &[CutoverName]) -> Vec<String> {
    names.iter().map(CutoverName::to_string).collect()
}

fn red(name: &str) -> HoldReason {
    HoldReason::AlarmRed {
        alarm: GateId::from(&alarm(name)),
        started: false,
    }
}

fn alarm_red() -> RevertCause {
    RevertCause::AlarmRed {
        alarm: alarm("errors"),
    }
}

#[test]
fn a_page_has_the_causes_that_others_may_have_too_unless_it_is_also_a_matter_of_its_own() {
    let mut many = Many::waiting(&["a", "b", "c"]);
    let own = HoldReason::AlreadyAtBaseline {};
    let causes = |many: &Many, because: &[HoldReason]| {
        let name = CutoverName::from("a");
        let state = &many.states[&name];
        let because = because.to_vec();
        let entry = many.envelope(name, state.seq + 1, Event::StepHeld { because });
        state.common_causes(&entry)
    };
    assert_eq!(causes(&many, &[red("errors")]), [red("errors")]);
    let two = [red("errors"), red("latency")];
    assert_eq!(causes(&many, &two), two);
    let paused = HoldReason::Paused { reason: None };
    assert_eq!(
        causes(&many, &[red("errors"), paused.clone()]),
        [red("errors")]
    );
    assert_eq!(causes(&many, &[red("errors"), own.clone()]), []);
    assert_eq!(causes(&many, &[paused]), [], "it does not page");
    // What was known before is not new with what comes later.
    many.holds("a", std::slice::from_ref(&own));
    assert_eq!(
        causes(&many, &[red("errors"), own.clone()]),
        [red("errors")]
    );
    many.holds("a", &[red("errors"), own.clone()]);
    assert_eq!(causes(&many, &[red("errors"), own]), []);
}

#[test]
fn the_page_of_an_older_version_for_many_changes_nothing() {
    let mut many = Many::waiting(&["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        many.holds(name, &[red("errors")]);
    }
    assert_eq!(
        many.fleet.news(),
        None,
        "they are told together when it is delivered"
    );
    let (mut before, since) = (many.fleet.clone(), many.now);
    let told = many.fleet_says(Event::FleetHeld {
        reason: red("errors"),
        services: 3,
        named: ["a", "b", "c"].map(CutoverName::from).to_vec(),
        since,
    });
    before.seq = told;
    before.last_at = Some(many.now);
    assert_eq!(many.fleet, before);
}

/// By cause: how many wait now, and the first reason.
fn together(many: &Many) -> Vec<(usize, HoldReason)> {
    let held = many.fleet.held_together().into_iter();
    held.map(|held| (held.services, held.reason)).collect()
}

#[test]
fn those_that_wait_together_now_are_listed_while_they_do() {
    let mut many = Many::waiting(&["a", "b", "c", "d"]);
    for name in ["a", "b", "c"] {
        many.holds(name, &[red("errors"), HoldReason::Paused { reason: None }]);
        many.pass(3_600);
    }
    assert_eq!(together(&many), [(3, red("errors"))], "however long apart");
    many.holds("d", &[red("errors")]);
    assert_eq!(together(&many), [(4, red("errors"))]);
    many.holds("a", &[]);
    assert_eq!(together(&many), [(3, red("errors"))]);
    many.says("b", Event::Reverted { cancelled: true });
    assert_eq!(together(&many), []);
}

#[test]
fn gates_of_three_services_that_fail_within_ten_minutes_are_one_fate() {
    let mut many = Many::baking(&["a", "b", "c", "d"]);
    let since = many.now;
    many.reverts("a", alarm_red());
    many.pass(600);
    many.reverts("b", alarm_red());
    let c = CutoverName::from("c");
    let fate = |names: &[&str], since: Timestamp| SharedFate {
        services: names.len(),
        named: names.iter().map(|name| CutoverName::from(*name)).collect(),
        since,
    };
    assert_eq!(many.fleet.shared_fate(), None);
    let three = Some(fate(&["a", "b", "c"], since));
    assert_eq!(many.fleet.shared_fate_at(&c, many.now), three);
    let later = many.now + SignedDuration::from_secs(1);
    assert_eq!(many.fleet.shared_fate_at(&c, later), None, "`a` is too old");
    many.reverts("c", alarm_red());
    assert_eq!(many.fleet.shared_fate(), three);
    assert_eq!(many.fleet.shared_fate_of(&c), three);
    let d = CutoverName::from("d");
    assert_eq!(many.fleet.shared_fate_of(&d), None, "it did not fail");
    many.pass(1);
    let failed = RevertCause::StepFailed {
        message: "denied".to_owned(),
    };
    many.reverts("d", failed);
    assert_eq!(many.fleet.shared_fate_of(&d), None, "that was no gate");
    assert_eq!(many.fleet.setbacks(), 4, "but it counts");
}

#[test]
fn what_goes_back_by_itself_counts_and_what_somebody_asked_for_does_not() {
    let now = baking().now;
    let hook = HookId {
        point: HookPoint::BeforeStep,
        step: 1,
        index: 1,
    };
    for (cause, counts, gate) in [
        (alarm_red(), true, true),
        (
            RevertCause::AlarmFlapped {
                alarm: alarm("errors"),
                at: now,
            },
            true,
            true,
        ),
        (
            RevertCause::UnknownTooLong {
                alarm: GateId::from(&alarm("errors")),
                since: now,
            },
            true,
            false,
        ),
        (
            RevertCause::StepFailed {
                message: "denied".to_owned(),
            },
            true,
            false,
        ),
        (
            RevertCause::ApprovalTimeout {
                step: 2,
                since: now,
            },
            true,
            false,
        ),
        (
            RevertCause::HookFailed {
                hook,
                message: "exit code 1".to_owned(),
            },
            true,
            false,
        ),
        (
            RevertCause::Operator {
                actor: "ada@desk".to_owned(),
                reason: None,
            },
            false,
            false,
        ),
        (RevertCause::LateWrite {}, false, false),
    ] {
        let mut many = Many::baking(&["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            many.reverts(name, cause.clone());
        }
        let counted = if counts { 3 } else { 0 };
        assert_eq!(many.fleet.setbacks(), counted, "{cause:?}");
        assert_eq!(many.fleet.set_back().count(), counted, "{cause:?}");
        assert_eq!(many.fleet.shared_fate().is_some(), gate, "{cause:?}");
    }
}

#[test]
fn a_person_forgives_what_went_back_up_to_an_entry_and_no_more() {
    let mut many = Many::baking(&["a", "b"]);
    let settings = FleetSettings {
        failure_budget: Some(2),
        ..FleetSettings::default()
    };
    let path = "/plans/fleet.yaml".to_owned();
    many.fleet_says(Event::FleetSettingsAccepted { settings, path });
    let a = many.reverts("a", alarm_red());
    assert_eq!(many.fleet.budget_spent(), None);
    let Ok(Event::FleetResumed { forgiven, .. }) = commands::resume(&many.fleet, "why") else {
        panic!("there is something to forgive");
    };
    assert_eq!(forgiven, [(CutoverName::from("a"), a)].into());
    many.reverts("b", alarm_red());
    assert_eq!(many.fleet.budget_spent(), Some(2));
    let reason = "why".to_owned();
    let (forgiven_a, now) = (forgiven, Some(many.now));
    let forgiven = forgiven_a.clone();
    many.fleet_says(Event::FleetResumed { reason, forgiven });
    assert_eq!((many.fleet.setbacks(), many.fleet.resumed_at), (1, now));
    let left: Vec<CutoverName> = many.fleet.set_back().cloned().collect();
    assert_eq!(texts(&left), ["b"]);
    // The same where the fleet's entry is read first: up to `a`'s revert and no further.
    for (up_to, counted) in [(a, 0), (a - 1, 1)] {
        let mut many = Many::baking(&["a"]);
        let (reason, forgiven) = ("why".to_owned(), [(CutoverName::from("a"), up_to)].into());
        many.fleet_says(Event::FleetResumed { reason, forgiven });
        many.reverts("a", alarm_red());
        assert_eq!(many.fleet.setbacks(), counted);
    }
}

#[test]
fn the_fleets_checker_forgives_what_a_person_forgave() {
    for (earlier, unpaged) in [(0, 0), (1, 1)] {
        let mut many = Many::baking(&["a"]);
        let settings = FleetSettings {
            failure_budget: Some(1),
            ..FleetSettings::default()
        };
        let path = "/plans/fleet.yaml".to_owned();
        many.fleet_says(Event::FleetSettingsAccepted { settings, path });
        let a = many.reverts("a", alarm_red());
        assert_eq!(many.checker.finished().len(), 1, "nobody was paged");
        many.tell();
        assert_eq!(many.checker.finished(), []);
        let forgiven = [(CutoverName::from("a"), a - earlier)].into();
        let reason = "why".to_owned();
        many.fleet_says(Event::FleetResumed { reason, forgiven });
        assert_eq!(many.checker.finished().len(), unpaged);
    }
}

#[test]
fn a_spent_budget_is_told_once_until_the_fleet_is_resumed() {
    let mut many = Many::baking(&["a", "b", "c"]);
    let settings = |failure_budget| FleetSettings {
        failure_budget: Some(failure_budget),
        ..FleetSettings::default()
    };
    let path = || "/plans/fleet.yaml".to_owned();
    let accepted = |budget| Event::FleetSettingsAccepted {
        settings: settings(budget),
        path: path(),
    };
    many.fleet_says(accepted(1));
    many.reverts("a", alarm_red());
    let spent = |many: &Many| match many.fleet.news() {
        Some(Event::FleetBudgetSpent { spent, budget, .. }) => Some((spent, budget)),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    assert_eq!(spent(&many), Some((1, 1)));
    let told = many.tell();
    many.fleet_says(Event::PageSent {
        of: told,
        logged_only: false,
        skipped: Vec::new(),
    });
    many.reverts("b", alarm_red());
    assert_eq!(spent(&many), None, "one more is no news");
    many.fleet_says(accepted(2));
    assert_eq!(spent(&many), Some((2, 2)), "a larger one is");
    let resumed = commands::resume(&many.fleet, "why").expect("it was spent");
    many.fleet_says(resumed);
    assert_eq!(spent(&many), None);
    many.reverts("c", alarm_red());
    many.fleet_says(accepted(1));
    assert_eq!(spent(&many), Some((1, 1)), "and so is a new one");
}

#[test]
fn a_freeze_is_over_at_the_moment_that_it_names() {
    let mut many = Many::waiting(&["a"]);
    let until = many.now + SignedDuration::from_hours(1);
    many.fleet_says(Event::FleetFrozen {
        until: Some(until),
        reason: "sale".to_owned(),
    });
    let before = until - SignedDuration::from_secs(1);
    assert!(many.fleet.frozen(before).is_some());
    assert_eq!(many.fleet.frozen(until), None);
}

#[test]
fn the_stricter_of_two_files_limits_holds() {
    let settings = |max_in_flight, failure_budget, told: bool| FleetSettings {
        max_in_flight,
        failure_budget,
        notify: told.then(Notify::default),
    };
    let one = settings(Some(3), None, false);
    let two = settings(Some(2), Some(1), true);
    assert_eq!(one.clone().strictest(two.clone()), two);
    assert_eq!(two.clone().strictest(one), two);
    let none = settings(None, None, false);
    assert_eq!(none.clone().strictest(none.clone()), none);
}

#[test]
fn slots_are_free_where_nobody_is_between_first_step_and_end() {
    let mut many = Many::baking(&["a", "b"]);
    assert_eq!(many.fleet.in_flight(), 2);
    assert!(many.fleet.free_slots() > 1_000, "nothing limits it");
    let settings = FleetSettings {
        max_in_flight: Some(3),
        ..FleetSettings::default()
    };
    let path = "/plans/fleet.yaml".to_owned();
    many.fleet_says(Event::FleetSettingsAccepted { settings, path });
    assert_eq!(many.fleet.free_slots(), 1);
    let waits = many.envelope(
        CutoverName::from("w"),
        1,
        Event::PlanAccepted {
            source: Box::new(source(cutover_engine::plan::Plan {
                name: CutoverName::from("w"),
                ..simple()
            })),
        },
    );
    many.take(&waits);
    assert_eq!(many.fleet.free_slots(), 1, "it has not begun");
    many.reverts("a", alarm_red());
    assert_eq!(many.fleet.free_slots(), 1, "it still goes back");
    many.says("a", Event::Reverted { cancelled: false });
    assert_eq!(many.fleet.free_slots(), 2);
    let member = many
        .fleet
        .member(&CutoverName::from("b"))
        .expect("it is known");
    assert_eq!((member.step, member.steps), (1, 2));
}

#[test]
fn entries_of_the_fleet_that_make_no_sense_are_trouble_and_known_ones_are_not() {
    let mut many = Many::waiting(&["a"]);
    let frozen = || Event::FleetFrozen {
        until: None,
        reason: "sale".to_owned(),
    };
    many.fleet_says(frozen());
    assert_eq!(many.fleet.last_at, Some(many.now));
    let again = many.envelope(fleet::stream(), 1, Event::FleetUnfrozen { reason: None });
    many.fleet.take(&again);
    assert!(many.fleet.freeze.is_some(), "it was taken already");
    assert_eq!((many.fleet.seq, &many.fleet.trouble), (1, &None));
    many.fleet_says(Event::FleetUnfrozen { reason: None });
    assert_eq!(many.fleet.freeze, None);
    let mut gap = many.fleet.clone();
    gap.take(&many.envelope(fleet::stream(), 4, frozen()));
    assert_eq!(gap.trouble.as_deref(), Some("entry 4 follows entry 2"));
    many.fleet_says(Event::Completed { adopted: None });
    let trouble = "entry 3 is a completed, which is a cutover's";
    assert_eq!(many.fleet.trouble.as_deref(), Some(trouble));
}
