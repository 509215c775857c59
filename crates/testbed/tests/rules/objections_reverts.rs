//! What the invariants object to at the end of a bake, on the way back, after the end, and for the fleet's sake.

use cutover_engine::check::Invariant;
use cutover_engine::decide::{Decision, How, Part, Purpose};
use cutover_engine::event::{Event, RevertMode};
use cutover_engine::fleet::FleetSettings;
use cutover_engine::hold::HaltReason;
use cutover_engine::observation::{AlarmReading, AlarmState, GroupReading, HistoryReading};
use cutover_engine::plan::{HoldOrRevert, NoData, Plan};
use cutover_engine::state::{Phase, RequestedRollback};
use cutover_engine::units::{CutoverName, Weight, WeightPair};
use jiff::{SignedDuration, Timestamp};

use super::checker::decides;
use super::fleet::beside;
use super::objections::{Case, step_of};
use super::{baking, simple, taken_back};
use cutover_testbed::plan::{alarm, plan};
use cutover_testbed::world::{Fate, World};

/// What a world sees, and a decision that does nothing but this.
fn only(mut world: World, events: Vec<Event>) -> Case {
    let (observation, _) = decides(&mut world);
    let mut case = Case::new((world, observation, Decision::default()));
    case.decision.events = events;
    case
}

fn unread(case: &mut Case) {
    *case.alarm("errors") = AlarmReading::Missing;
}

#[test]
fn a_bake_that_ends_too_early_or_unseen_is_objected_to() {
    let mut world = baking();
    world.run_minutes(30);
    let mut case = only(world, vec![Event::StepCompleted { step: 1 }]);
    assert_eq!(case.broken(), Some(Invariant::I1));
    let counted = |secs: i64, running_secs: Option<i64>| {
        case.but(|case| {
            case.state.bake.counted = SignedDuration::from_secs(secs);
            let ago = running_secs.map(SignedDuration::from_secs);
            case.state.bake.running_since = ago.map(|ago| case.now - ago);
        })
    };
    assert_eq!(counted(3_600, None), None);
    assert_eq!(counted(3_599, None), Some(Invariant::I1));
    assert_eq!(counted(3_000, Some(600)), None);
    assert_eq!(counted(3_000, Some(599)), Some(Invariant::I1));
    for (skipped, broken) in [(true, None), (false, Some(Invariant::I1))] {
        let decided = case.but(|case| {
            let decided = Event::BakeSkipDecided { step: 1, skipped };
            case.decision.events.insert(0, decided);
        });
        assert_eq!(decided, broken);
    }
    case.state.bake.counted = SignedDuration::from_hours(1);
    let skipped = Event::BakeSkipDecided {
        step: 1,
        skipped: true,
    };
    for event in [
        Event::StepCompleted { step: 1 },
        skipped,
        Event::Completed { adopted: None },
    ] {
        case.decision.events = vec![event];
        assert_eq!(case.broken(), None);
        assert_eq!(case.but(unread), Some(Invariant::I5));
    }
    let step = 1;
    let skipped = false;
    case.decision.events = vec![Event::BakeSkipDecided { step, skipped }];
    assert_eq!(case.but(unread), None, "it goes on baking");
}

#[test]
fn a_revert_that_ends_by_one_reading_is_objected_to() {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    while world.count("baseline_seen") == 0 {
        world.round(0);
        world.perform(0);
    }
    world.pass(5);
    let case = only(world, vec![Event::Reverted { cancelled: false }]);
    assert_eq!(case.broken(), None);
    let broken = Some(Invariant::I10);
    let seen = |change: fn(&mut Option<Timestamp>)| {
        case.but(|case| {
            let revert = case.state.revert.as_mut().expect("it goes back");
            change(&mut revert.baseline_seen);
        })
    };
    assert_eq!(seen(|seen| *seen = None), broken);
    let later = |seen: &mut Option<Timestamp>| {
        *seen = seen.map(|at| at + SignedDuration::from_secs(1));
    };
    assert_eq!(seen(later), broken, "four seconds are too close");
    let unread = case.but(|case| case.observation.groups[0] = GroupReading::NotRead);
    assert_eq!(unread, broken);
    let never = case.but(|case| case.state.revert = None);
    assert_eq!(never, broken);
}

/// The decision that writes a revert, and what it was made from.
fn going_back() -> Case {
    let mut world = baking();
    world.roll_back(RevertMode::Swap);
    for _ in 0..9 {
        let (observation, decision) = decides(&mut world);
        if decision.order.is_some() {
            return Case::new((world, observation, decision));
        }
        for event in decision.events {
            world.append("controller", event);
        }
    }
    panic!("it is never written\n{}", world.story());
}

fn part(case: &mut Case) -> &mut Part {
    let order = case.decision.order.as_mut();
    &mut order.expect("it is written").parts[0]
}

fn force(case: &mut Case) {
    case.state.revert.as_mut().expect("it goes back").mode = RevertMode::Force;
}

#[test]
fn a_revert_goes_to_the_baseline_and_nowhere_else() {
    let case = going_back();
    let elsewhere = case.but(|case| part(case).to = WeightPair::new(99, 1));
    assert_eq!(elsewhere, Some(Invariant::I10));
    let unknown = case.but(|case| case.state.baseline = None);
    assert_eq!(unknown, Some(Invariant::I10));
    let forced = case.but(|case| {
        force(case);
        part(case).to = WeightPair::new(99, 1);
    });
    assert_eq!(forced, Some(Invariant::I10));
}

#[test]
fn a_revert_overwrites_its_own_weights_and_others_by_force_only() {
    let case = going_back();
    let foreign = |case: &mut Case| {
        let pair = WeightPair::new(70, 30);
        part(case).image.old.weight = pair.old;
        part(case).image.new.weight = pair.new;
        let image = part(case).image.clone();
        let GroupReading::Read { members, .. } = &mut case.observation.groups[0] else {
            panic!("it was read");
        };
        *members = vec![image.old, image.new];
    };
    assert_eq!(case.but(foreign), Some(Invariant::I8));
    let forced = case.but(|case| {
        foreign(case);
        force(case);
    });
    assert_eq!(forced, None);
    let intended = case.but(|case| {
        foreign(case);
        let pairs = case.state.intended.entry(0).or_default();
        pairs.insert(WeightPair::new(70, 30));
    });
    assert_eq!(intended, None);
    let adopted = case.but(|case| {
        foreign(case);
        let image = part(case).image.clone();
        case.state.verified.as_mut().expect("it was verified")[0] = image;
    });
    assert_eq!(adopted, None, "a person took it for the verified one");
    let unlike = case.but(|case| part(case).image.old.ttl = Some(1));
    assert_eq!(unlike, Some(Invariant::I8), "not what was read");
    let unlike = case.but(|case| part(case).image.new.ttl = Some(1));
    assert_eq!(unlike, Some(Invariant::I8));
    let unread = case.but(|case| case.observation.groups[0] = GroupReading::NotRead);
    assert_eq!(unread, Some(Invariant::I8));
}

#[test]
fn a_revert_is_written_unseen_after_ten_seconds_or_by_force() {
    let case = going_back();
    let blind = |secs: Option<i64>, forced: bool| {
        case.but(|case| {
            part(case).how = How::Upsert;
            if let Some(secs) = secs {
                case.observation.groups[0] = GroupReading::Unreadable {
                    message: "no answer".to_owned(),
                    permanent: false,
                    since: case.now - SignedDuration::from_secs(secs),
                    denied: None,
                };
            }
            if forced {
                force(case);
            }
        })
    };
    assert_eq!(blind(None, false), Some(Invariant::I8));
    assert_eq!(blind(Some(9), false), Some(Invariant::I8));
    assert_eq!(blind(Some(10), false), None);
    assert_eq!(blind(None, true), None);
}

#[test]
fn writing_once_more_what_is_there_changes_no_weights() {
    let mut case = going_back();
    case.decision.order.as_mut().expect("it is written").purpose = Purpose::Resubmit;
    assert_eq!(case.broken(), Some(Invariant::I1));
    part(&mut case).to = part(&mut case).image.pair();
    assert_eq!(case.broken(), None);
    part(&mut case).how = How::Upsert;
    assert_eq!(case.broken(), Some(Invariant::I8));
}

#[test]
fn whatever_is_done_after_a_revert_but_for_a_late_write_is_objected_to() {
    let order = going_back().decision.order;
    let event = || vec![Event::GatesPassed {}];
    let back = only(taken_back(Fate::Accepted), Vec::new());
    assert_eq!(back.broken(), None);
    let quiet = Some(Invariant::I11);
    assert_eq!(back.but(|case| case.decision.events = event()), quiet);
    assert_eq!(back.but(|case| case.decision.order = order), quiet);
    let late = only(taken_back(Fate::RequestLost), event());
    assert!(late.state.write.is_some());
    assert_eq!(late.broken(), None);
    let mut world = World::new(simple());
    world.run_to(Phase::Completed);
    let completed = only(world, event());
    assert_eq!(completed.broken(), quiet);
    let asked = completed.but(|case| {
        case.state.rollback = Some(RequestedRollback {
            actor: "ada@desk".to_owned(),
            reason: None,
            mode: RevertMode::Swap,
        });
    });
    assert_eq!(asked, None);
}

#[test]
fn a_red_gate_is_answered_by_a_revert_or_by_a_halt_where_both_sides_burn() {
    let mut world = baking();
    world.turn("errors", AlarmState::Alarm);
    let case = {
        let (observation, decision) = decides(&mut world);
        Case::new((world, observation, decision))
    };
    let burns = |case: &mut Case| {
        let AlarmReading::Found { state, .. } = case.alarm("fallback") else {
            panic!("it was found");
        };
        *state = AlarmState::Alarm;
    };
    let halts = |case: &mut Case, reason: HaltReason| {
        case.decision = Decision::default();
        case.state.halt = Some(reason);
        case.state.phase = Phase::Halted;
    };
    let gate = || (&alarm("errors")).into();
    let both = || HaltReason::BothRed {
        gate: gate(),
        fallback: gate(),
    };
    let drift = || HaltReason::Drift {
        groups: Vec::new(),
        found: Vec::new(),
    };
    let failed = || HaltReason::StepFailed {
        message: "denied".to_owned(),
        verified: false,
    };
    let silent = Some(Invariant::I3);
    assert_eq!(case.but(|case| case.decision.events.clear()), silent);
    assert_eq!(case.but(|case| halts(case, drift())), None);
    assert_eq!(case.but(|case| halts(case, failed())), silent);
    assert_eq!(case.but(|case| halts(case, both())), silent);
    let burning = case.but(|case| {
        burns(case);
        halts(case, both());
    });
    assert_eq!(burning, None);
    let ignored = case.but(|case| {
        burns(case);
        case.state.ignored = [alarm("fallback")].into();
        halts(case, both());
    });
    assert_eq!(ignored, silent, "nobody looks at it");
    let reverts = case.but(|case| {
        burns(case);
        case.state.source.plan.gates.both_red = HoldOrRevert::Revert;
        halts(case, both());
    });
    assert_eq!(reverts, silent, "the plan says revert");
    for (phase, armed) in [
        (Phase::Waiting, false),
        (Phase::Shifting, true),
        (Phase::Reverting, false),
    ] {
        let quiet = case.but(|case| {
            case.decision = Decision::default();
            case.state.phase = phase;
        });
        assert_eq!(quiet.is_some(), armed, "{phase:?}");
    }
    let unwritten = case.but(|case| {
        case.decision = Decision::default();
        case.state.first_write = None;
    });
    assert_eq!(unwritten, None);
}

#[test]
fn an_alarm_is_seen_as_the_rules_say() {
    let case = step_of(simple());
    let first = case.state.first_write.expect("step 1 was written");
    let reads = |state: AlarmState, at: Timestamp, change: fn(&mut Case)| {
        case.but(|case| {
            *case.alarm("errors") = AlarmReading::Found {
                state,
                transitioned_at: Some(at),
                evaluation: None,
            };
            change(case);
        })
    };
    let (blind, later) = (Some(Invariant::I5), first + SignedDuration::from_secs(1));
    let (ok, no_data) = (AlarmState::Ok, AlarmState::InsufficientData);
    assert_eq!(reads(ok, first, |_| ()), None, "it moved before the write");
    assert_eq!(reads(ok, later, |_| ()), blind, "nobody asked why");
    let ignored = |case: &mut Case| case.state.ignored = [alarm("errors")].into();
    assert_eq!(reads(ok, later, ignored), None);
    let judged = |case: &mut Case| {
        let at = case.state.first_write.expect("it was written") + SignedDuration::from_secs(1);
        case.state.judged = [(alarm("errors"), at)].into();
    };
    assert_eq!(reads(ok, later, judged), None, "it was judged up to then");
    let history = |case: &mut Case| {
        let quiet = HistoryReading::EnteredAlarm(Vec::new());
        case.observation.histories.insert(alarm("errors"), quiet);
    };
    assert_eq!(reads(ok, later, history), None, "it was never red");
    let lost = |case: &mut Case| {
        let lost = HistoryReading::Unreadable("no answer".to_owned());
        case.observation.histories.insert(alarm("errors"), lost);
    };
    assert_eq!(reads(ok, later, lost), blind);
    assert_eq!(reads(no_data, first, |_| ()), blind);
    let passes = |case: &mut Case| {
        case.state.source.plan.gates.alarms[0].no_data = NoData::Pass;
    };
    assert_eq!(reads(no_data, first, passes), None);
    // Before the first write the new side has no traffic, and no data.
    let mut start = World::new(simple());
    let (observation, decision) = decides(&mut start);
    let start = Case::new((start, observation, decision));
    let unseen = |state: AlarmState| {
        start.but(|case| {
            *case.alarm("errors") = AlarmReading::Found {
                state,
                transitioned_at: Some(case.now),
                evaluation: None,
            };
        })
    };
    assert_eq!(unseen(no_data), None);
    assert_eq!(unseen(ok), None);
    assert_eq!(unseen(AlarmState::Alarm), Some(Invariant::I1));
}

/// The first step of a cutover beside another one that bakes.
fn start_beside(plan: Plan) -> Case {
    let mut world = beside(&baking(), plan);
    let (observation, decision) = decides(&mut world);
    Case::new((world, observation, decision))
}

#[test]
fn a_start_against_the_fleets_limits_is_objected_to() {
    let case = start_beside(simple());
    let limited = |max_in_flight: Option<u32>, failure_budget: Option<u32>| FleetSettings {
        max_in_flight,
        failure_budget,
        notify: None,
    };
    let with = |settings: FleetSettings| case.but(|case| case.fleet.settings = settings);
    let broken = Some(Invariant::I1);
    assert_eq!(with(limited(Some(1), None)), broken, "another one is on");
    assert_eq!(with(limited(Some(2), None)), None);
    assert_eq!(with(limited(None, Some(1))), None);
    let spent = {
        let mut world = baking();
        world.turn("errors", AlarmState::Alarm);
        world.run_to(Phase::Reverted);
        let mut fleet = world.fleet;
        fleet.settings = limited(None, Some(1));
        fleet
    };
    let over = case.but(|case| case.fleet = spent.clone());
    assert_eq!(over, broken);
    let rest = case.but(|case| {
        case.fleet = spent.clone();
        case.fleet.settings = limited(None, Some(2));
    });
    assert_eq!(rest, None);
    let waits = case.but(|case| case.state.source.plan.after = vec![CutoverName::from("api")]);
    assert_eq!(waits, broken, "what it comes after still bakes");
    // What is under way takes no slot.
    let second = step_of(simple());
    let full = second.but(|case| case.fleet.settings = limited(Some(0), None));
    assert_eq!(full, None);
}

#[test]
fn a_start_is_with_the_first_step() {
    let mut world = World::new(plan(&[1], &[(10, 60, false), (100, 60, false)]));
    let (observation, decision) = decides(&mut world);
    let case = Case::new((world, observation, decision));
    let second = case.but(|case| {
        for event in &mut case.decision.events {
            if let Event::WeightChangeIntended { step, .. } = event {
                *step = 2;
            }
        }
    });
    assert_eq!(second, Some(Invariant::I1));
    let foreign = case.but(|case| {
        for event in &mut case.decision.events {
            if let Event::WeightChangeIntended { targets, .. } = event {
                targets[0].from.old.name = "elsewhere.example.".to_owned();
            }
        }
    });
    assert_eq!(foreign, Some(Invariant::I8));
    let nothing = case.but(|case| part(case).to.new = Weight(0));
    assert_eq!(
        nothing, None,
        "what the plan says is for the journal's checker"
    );
}

#[test]
fn a_step_goes_on_in_its_other_zone_though_an_approval_is_asked_for_meanwhile() {
    let mut world = World::new(plan(&[1, 1], &[(10, 60, false), (100, 60, false)]));
    let refused = Fate::Refused(cutover_engine::event::FailureClass::Throttled);
    world.zone_fates = [("Z1".into(), refused)].into();
    world.round(0);
    world.perform(0);
    let case = loop {
        world.pass(1);
        let (observation, decision) = decides(&mut world);
        if decision.takes_a_step() {
            break Case::new((world, observation, decision));
        }
        for event in decision.events {
            world.append("controller", event);
        }
        assert!(world.journal.len() < 99, "{}", world.story());
    };
    assert_eq!((case.state.phase, case.state.step), (Phase::Shifting, 1));
    let asked = case.but(|case| case.state.source.plan.steps[0].approval = true);
    assert_eq!(asked, None);
    let shut = super::windows::windows("UTC", &["22:00-23:00"], &[]);
    let shut = case.but(|case| case.state.source.plan.windows = Some(shut));
    assert_eq!(shut, None);
    let other = case.but(|case| case.state.step = 2);
    assert_eq!(other, Some(Invariant::I1));
}
