//! Whatever happens, the invariants hold; and once nothing fails any more, everything comes to an end.

use std::sync::Arc;

use cutover_engine::commands;
use cutover_engine::event::{Event, FailureClass, RevertMode};
use cutover_engine::observation::{AlarmState, FileReading};
use cutover_engine::plan::{ApprovalTimeout, HoldOrRevert, Plan};
use cutover_engine::record::GroupImage;
use cutover_engine::state::Phase;
use cutover_engine::window::Windows;
use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use cutover_testbed::plan::{alarm, plan, source};
use cutover_testbed::world::{Fate, World};

#[derive(Debug, Clone)]
enum Act {
    Tick(i64),
    Run(i64),
    RoundOnly(usize),
    Perform(usize),
    Crash(usize),
    Alarm(usize, AlarmState),
    CloudWatch(bool),
    Histories(bool),
    Missing(usize),
    Route53(bool),
    Fates(Fate),
    ZoneFate(usize, Fate),
    Others(usize, u8, u8),
    PutBack(usize),
    LoseChanges,
    Skew(i64),
    File(bool),
    Ask(Command),
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Pause,
    Resume,
    Approve,
    Skip,
    Retry,
    RollBack,
    Force,
    Adopt,
    Amend,
    Unjournaled,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Accepted),
        1 => Just(Fate::ReplyLost),
        1 => Just(Fate::RequestLost),
        1 => (1_i64..25).prop_map(Fate::Late),
        1 => Just(Fate::Refused(FailureClass::Throttled)),
        1 => Just(Fate::Refused(FailureClass::Denied)),
        1 => Just(Fate::Refused(FailureClass::Conflict)),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => Just(Command::Pause),
        1 => Just(Command::Resume),
        4 => Just(Command::Approve),
        2 => Just(Command::Skip),
        3 => Just(Command::Retry),
        1 => Just(Command::RollBack),
        1 => Just(Command::Force),
        2 => Just(Command::Adopt),
        1 => Just(Command::Amend),
        1 => Just(Command::Unjournaled),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let states = prop_oneof![
        3 => Just(AlarmState::Ok),
        1 => Just(AlarmState::Alarm),
        1 => Just(AlarmState::InsufficientData),
    ];
    prop_oneof![
        8 => (1_i64..40).prop_map(Act::Tick),
        12 => (1_i64..30).prop_map(Act::Run),
        2 => (0_usize..2).prop_map(Act::RoundOnly),
        2 => (0_usize..2).prop_map(Act::Perform),
        2 => (0_usize..2).prop_map(Act::Crash),
        3 => (0_usize..3, states).prop_map(|(index, state)| Act::Alarm(index, state)),
        1 => any::<bool>().prop_map(Act::CloudWatch),
        1 => any::<bool>().prop_map(Act::Histories),
        1 => (0_usize..3).prop_map(Act::Missing),
        2 => any::<bool>().prop_map(Act::Route53),
        3 => fates().prop_map(Act::Fates),
        2 => (0_usize..2, fates()).prop_map(|(zone, fate)| Act::ZoneFate(zone, fate)),
        1 => (0_usize..4, 0_u8..4, 1_u8..4).prop_map(|(group, old, new)| Act::Others(group, old, new)),
        2 => (0_usize..4).prop_map(Act::PutBack),
        1 => Just(Act::LoseChanges),
        1 => (-90_i64..90).prop_map(Act::Skew),
        1 => any::<bool>().prop_map(Act::File),
        4 => commands().prop_map(Act::Ask),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let zones = prop_oneof![
        Just(vec![1]),
        Just(vec![2]),
        Just(vec![1, 1]),
        Just(vec![2, 2]),
        Just(vec![1, 3]),
    ];
    let ladder = [1_u8, 10, 50, 75, 100];
    let steps = (1_usize..=5, vec((1_i64..30, any::<bool>()), 5));
    let answer = || prop_oneof![Just(HoldOrRevert::Hold), Just(HoldOrRevert::Revert)];
    let waits = (windows(), option::of((5_i64..60, answer())));
    let all = (zones, steps, answer(), answer(), waits);
    all.prop_map(
        move |(zones, (count, rest), unknown, both, (windows, term))| {
            let shares = &ladder[ladder.len() - count..];
            let steps: Vec<(u8, i64, bool)> = shares
                .iter()
                .zip(rest)
                .map(|(share, (minutes, approval))| (*share, minutes, approval && minutes % 3 == 0))
                .collect();
            let mut plan = plan(&zones, &steps);
            plan.gates.on_unknown = unknown;
            plan.gates.both_red = both;
            plan.windows = windows;
            for (index, step) in plan.steps.iter_mut().enumerate() {
                step.approval_timeout = term.filter(|_| step.approval).map(|(minutes, answer)| {
                    let first = index == 0;
                    ApprovalTimeout {
                        after: SignedDuration::from_mins(minutes),
                        on_timeout: if first { HoldOrRevert::Hold } else { answer },
                    }
                });
            }
            plan
        },
    )
}

/// Every hour for some minutes, so that a whole ladder fits into the hours that a world has to come to an end.
fn windows() -> impl Strategy<Value = Option<Windows>> {
    let windows = (5_u8..59, any::<bool>()).prop_map(|(minutes, whole_bake)| {
        let hour = |hour: u8| {
            let entry = format!("{hour:02}:00-{hour:02}:{minutes:02}");
            entry.parse().expect("an entry")
        };
        Windows {
            time_zone: "Australia/Lord_Howe".parse().expect("a time zone"),
            allow: (0..24).map(hour).collect(),
            deny: Vec::new(),
            whole_bake,
        }
    });
    option::of(windows)
}

const ALARMS: [&str; 3] = ["errors", "latency", "fallback"];

fn act(world: &mut World, act: &Act) {
    let controller = |index: usize| index % world.controllers.len();
    let group = |index: usize| index % world.groups.len();
    match act {
        Act::Tick(secs) => world.tick(*secs),
        Act::Run(minutes) => world.run_minutes(*minutes),
        Act::RoundOnly(index) => world.round(controller(*index)),
        Act::Perform(index) => world.perform(controller(*index)),
        Act::Crash(index) => world.crash(controller(*index)),
        Act::Alarm(index, state) => world.turn(ALARMS[*index], *state),
        Act::CloudWatch(down) => world.cloudwatch_down = *down,
        Act::Histories(down) => world.histories_down = *down,
        Act::Missing(index) => {
            let id = alarm(ALARMS[*index]);
            if !world.missing.remove(&id) {
                world.missing.insert(id);
            }
        }
        Act::Route53(down) => {
            let since = world.unreadable_since.unwrap_or(world.now);
            world.unreadable_since = down.then_some(since);
        }
        Act::Fates(fate) => world.fate = *fate,
        Act::ZoneFate(zone, fate) => {
            let zones: Vec<_> = world.groups.iter().map(|(zone, _)| zone.clone()).collect();
            world
                .zone_fates
                .insert(zones[*zone % zones.len()].clone(), *fate);
        }
        Act::Others(index, old, new) => world.others_write(group(*index), *old, *new),
        Act::PutBack(index) => {
            let index = group(*index);
            let verified = world.state().verified.as_ref();
            let wanted = verified
                .and_then(|images| images.get(index))
                .map(GroupImage::pair);
            if let Some(pair) = wanted {
                world.others_write(index, pair.old.0, pair.new.0);
            }
        }
        Act::LoseChanges => {
            let known = world.changes.keys().cloned();
            world.lost_changes.extend(known);
        }
        Act::Skew(secs) => world.skew = Some(SignedDuration::from_secs(*secs)),
        Act::File(there) => {
            world.file = if *there {
                FileReading::Plan(Arc::new(world.source.clone()))
            } else {
                FileReading::Removed
            };
        }
        Act::Ask(command) => ask(world, *command),
    }
}

/// Asks as a person at the command line could: what does not apply is not journaled.
fn ask(world: &mut World, command: Command) {
    let state = world.state();
    let active = !state.phase.is_final() && state.phase != Phase::Reverting;
    match command {
        Command::Pause if active => world.ask(Event::PauseRequested { reason: None }),
        Command::Resume if state.paused.is_some() => {
            world.ask(Event::ResumeRequested { reason: None });
        }
        Command::Approve if active && state.step < state.plan().step_count() => {
            world.approve(state.step + 1);
        }
        Command::Skip if state.phase == Phase::Baking && !state.bake.over => {
            let step = state.step;
            world.ask(Event::BakeSkipRequested {
                step,
                reason: "it is well".to_owned(),
            });
        }
        Command::Retry => {
            let applies = match state.phase {
                Phase::Reverted => state.write.is_none(),
                Phase::Halted => state.verified_step > 0,
                _ => false,
            };
            if applies {
                world.ask(Event::RetryRequested { reason: None });
            }
        }
        Command::RollBack if state.phase != Phase::Reverted && state.rollback.is_none() => {
            world.roll_back(RevertMode::Swap);
        }
        Command::Force if state.phase != Phase::Reverted => world.roll_back(RevertMode::Force),
        Command::Adopt if active => adopt(world),
        Command::Amend if active => {
            let mut plan = state.plan().clone();
            if let Some(step) = plan.steps.last_mut() {
                step.bake += SignedDuration::from_secs(60);
            }
            let source = source(plan);
            world.source = source.clone();
            world.ask(Event::PlanAmended {
                source: Box::new(source),
                reason: None,
            });
        }
        Command::Unjournaled if state.has_started() => {
            let event = Event::RevertPerformedUnjournaled {
                write_id: "unjournaled".into(),
                cause: cutover_engine::hold::RevertCause::AlarmRed {
                    alarm: alarm("errors"),
                },
                decided_at: world.now,
            };
            world.ask(event);
        }
        _ => {}
    }
}

fn adopt(world: &mut World) {
    let state = world.state();
    if let Ok(event) = commands::adopt_drift(state, "on purpose") {
        world.ask(event);
    }
}

/// Nothing fails any more: in bounded time everything has ended, or waits for somebody who knows.
fn comes_to_an_end(world: &mut World) {
    world.heal();
    for _ in 0..700 {
        world.tick(30);
    }
    let broken = world.checker.finished();
    assert!(broken.is_empty(), "{broken:?}\n{}", world.story());
    world.assert_folds();
    if world.phase().is_final() {
        let entries = world.journal.len();
        world.run_minutes(10);
        assert_eq!(world.journal.len(), entries, "a finished world is quiet");
    } else {
        let (entries, pages) = (world.journal.len(), world.state().pages.len());
        world.run_minutes(60);
        let more = world.journal.len() - entries;
        assert!(
            more <= 7,
            "{more} entries in an hour of holding\n{}",
            world.story()
        );
        assert_eq!(world.state().pages.len(), pages, "a hold pages once");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_whatever_happens_and_everything_ends(plan in plans(), acts in vec(acts(), 1..60)) {
        let mut world = World::new(plan);
        for step in &acts {
            act(&mut world, step);
        }
        comes_to_an_end(&mut world);
    }

    #[test]
    fn two_controllers_keep_the_invariants_as_one_does(plan in plans(), acts in vec(acts(), 1..60)) {
        let mut world = World::new(plan);
        world.start_controller();
        for step in &acts {
            act(&mut world, step);
        }
        comes_to_an_end(&mut world);
    }
}
