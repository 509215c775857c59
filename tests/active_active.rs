//! Two controllers on two machines, and one journal in a table of DynamoDB: together they do what one would do.
//!
//! The program is the built one. Route 53 and CloudWatch are our test bed, and the table is in an emulator by others. A
//! proxy between the controllers and the table loses, refuses and holds up calls.
//!
//! Three variables of the environment make the runs longer than the suite's: `KILLS`, `OUTAGE_SECS` and `THROTTLED_SECS`.
//! `CUTOVER_TEST_SEED` plays the same kills and faults again, as far as the clocks of the machine allow.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::end_to_end::scene::{GATES, LADDER, NAME, PLAN, Plan, Scene};
use crate::support::fault_proxy::{FaultProxy, ProxyFault};
use crate::support::ministack::Ministack;
use crate::support::program::{Program, Running, files, pause, until};

/// The journal of all machines.
const JOURNAL: &str = "dynamodb:cutover/active";
/// Where a controller keeps its break-glass files, unless told otherwise.
const BREAK_GLASS: &str = ".cutover/break-glass";

/// How many controllers the suite kills.
const KILLS: u64 = 4;
/// The longest time between two kills.
const LIFE_MAX_MS: u64 = 2_500;
/// How long the table is gone in the suite, after the weights are back.
const OUTAGE_SECS: u64 = 15;
/// How long all calls are throttled in the suite.
const THROTTLED_SECS: u64 = 10;

/// How often a controller is started that cannot open the journal. A service manager would not stop.
const STARTS_MAX: usize = 20;

/// A world, a table, two machines, and a desk from which people look and command.
struct TwoMachines {
    // Dropped first: the programs must not outlive what they talk to.
    machines: [Program; 2],
    /// A third machine. Its calls do not pass the proxy, so it sees the table even if the controllers cannot.
    desk: Scene,
    proxy: FaultProxy,
    seed: u64,
    _ministack: Ministack,
}

impl TwoMachines {
    /// Makes the table and the journal. No controller runs yet, and the proxy has no faults.
    fn new(plan: &Plan) -> Self {
        let seed = from_environment("CUTOVER_TEST_SEED", fastrand::u64(..));
        let ministack = Ministack::start();
        let proxy = FaultProxy::start(&ministack.endpoint(), seed);
        let desk = Scene::new(plan);
        shares_the_journal(&desk, &ministack.endpoint());
        desk.ok(&["journal", "create", JOURNAL, "--yes"]);
        Self {
            machines: [machine(&desk, &proxy, plan), machine(&desk, &proxy, plan)],
            desk,
            proxy,
            seed,
            _ministack: ministack,
        }
    }

    /// Starts a controller on each machine, and waits until both watch.
    fn start(&self) -> Vec<Running> {
        self.machines.iter().map(started).collect()
    }

    /// Waits until both logs contain a text.
    fn wait_for_logs(&self, runs: &[Running], text: &str) {
        for run in runs {
            let seen = until(|| run.log().contains(text).then_some(()));
            assert!(
                seen.is_some(),
                "no controller says: {text}\n{}",
                self.everything()
            );
        }
    }

    /// Waits for the end of both controllers.
    fn assert_exit_codes(&self, runs: &mut [Running], code: i32) {
        for run in runs {
            assert_eq!(run.exit_code(), code, "{}", self.everything());
        }
    }

    /// Checks how often events are in the history.
    fn assert_counts(&self, expected: &[(&str, usize)]) {
        let events = self.desk.events(NAME);
        for (event, times) in expected {
            let found = events.iter().filter(|it| it == event).count();
            assert_eq!(found, *times, "{event}\n{}", self.everything());
        }
    }

    /// Checks that the hashes of the journal fit together, and that all of it can be folded.
    fn assert_journal_is_whole(&self) {
        let said = self.desk.say(&["journal", "verify", JOURNAL]);
        assert_eq!(said.code, Some(0), "{said:#?}\n{}", self.everything());
    }

    /// Checks that the cutover went up the ladder exactly once, and that the journal says the same.
    fn assert_completed_as_by_one(&self, ladder: &[(u8, u8)]) {
        assert_eq!(
            self.desk.status(NAME)["phase"],
            "completed",
            "{}",
            self.everything()
        );
        for weights in self.desk.all_weights() {
            assert_eq!(weights, ladder, "{}", self.everything());
        }
        let steps = ladder.len() - 1;
        self.assert_counts(&[
            ("plan_accepted", 1),
            ("weights_verified", steps),
            ("step_completed", steps),
            ("completed", 1),
            ("revert_intended", 0),
            ("revert_performed_unjournaled", 0),
        ]);
        self.assert_no_answer_is_journaled_twice();
        // No write is sent twice: each intent is sent once at most, as one batch for each of the two zones.
        let sent = self.desk.calls("ChangeResourceRecordSets");
        let intended = self.desk.count(NAME, "weight_change_intended");
        assert!(
            sent <= 2 * intended,
            "{sent} batches of {intended} intents\n{}",
            self.everything()
        );
        self.assert_journal_is_whole();
    }

    /// Checks that the answer to each write was journaled once, however often the reply of the table was lost.
    fn assert_no_answer_is_journaled_twice(&self) {
        let mut answers = BTreeSet::new();
        for entry in self.desk.history(NAME) {
            let event = &entry["event"];
            let kind = event["type"].as_str().unwrap_or_default();
            if ["weight_change_submitted", "weight_change_failed"].contains(&kind) {
                let is_new = answers.insert(event.to_string());
                assert!(is_new, "twice: {event}\n{}", self.everything());
            }
        }
    }

    /// Everything that helps to find out why a test failed.
    fn everything(&self) -> String {
        let mut texts = vec![
            format!("seed {}\n", self.seed),
            self.proxy.summary(),
            self.desk.everything(NAME),
        ];
        for (number, machine) in self.machines.iter().enumerate() {
            texts.push(format!("=== machine {number}\n{}", machine.logs()));
        }
        texts.concat()
    }
}

/// A machine with the plan in its own folder.
fn machine(desk: &Scene, proxy: &FaultProxy, plan: &Plan) -> Program {
    let machine = Program::new(desk.bed.endpoint());
    shares_the_journal(&machine, proxy.endpoint());
    machine.write(PLAN, &plan.text());
    machine
}

/// Lets a program use the journal in the table, behind this endpoint.
fn shares_the_journal(program: &Program, endpoint: &str) {
    program.set("CUTOVER_JOURNAL", JOURNAL);
    program.set("AWS_ENDPOINT_URL_DYNAMODB", endpoint);
}

/// Starts a controller and waits until it watches. It is started again if it ends before, as a service manager does:
/// without the journal, no controller begins.
fn started(machine: &Program) -> Running {
    for _ in 0..STARTS_MAX {
        let mut run = machine.run(PLAN);
        let watches = until(|| {
            // Looked at first: it may say so, and end, between the two looks.
            let has_ended = !run.is_alive();
            let watches = run.log().contains("watching");
            (watches || has_ended).then_some(watches)
        });
        if watches == Some(true) {
            return run;
        }
    }
    panic!("no controller begins\n{}", machine.logs());
}

/// A plan that takes about as long as this many kills, and its weights with the start. It has many steps instead of long
/// ones, so that kills strike writes too: a step takes about as long as two kills.
fn ladder_for(kills: u64) -> (Plan, Vec<(u8, u8)>) {
    let count = (kills / 2).clamp(3, 100);
    let (mut steps, mut ladder) = (Vec::new(), vec![(100, 0)]);
    for number in 1..=count {
        let percent = u8::try_from(100 * number / count).expect("100 at most");
        let weight: &'static str = format!("{percent}%").leak();
        steps.push((weight, "1s", false));
        ladder.push((100 - percent, percent));
    }
    let plan = Plan {
        steps,
        ..Plan::default()
    };
    (plan, ladder)
}

/// A number of the environment, for runs that are longer than the suite's; `otherwise` if it is not set.
fn from_environment(name: &str, otherwise: u64) -> u64 {
    let Some(text) = std::env::var_os(name) else {
        return otherwise;
    };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{name} is not a number: {}", text.display()))
}

#[test]
fn controllers_that_are_killed_again_and_again_end_as_one_that_never_was() {
    let kills = from_environment("KILLS", KILLS);
    let (plan, ladder) = ladder_for(kills);
    let site = TwoMachines::new(&plan);
    let mut rng = fastrand::Rng::with_seed(site.seed);
    let mut runs = site.start();
    for _ in 0..kills {
        pause(Duration::from_millis(rng.u64(..LIFE_MAX_MS)));
        let victim = rng.usize(..runs.len());
        runs.remove(victim).kill();
        // Not waited for: the next kill may strike while it begins.
        runs.insert(victim, site.machines[victim].run(PLAN));
    }
    // A kill between an intent and its write costs a minute and a half: until then, the write might still land.
    site.assert_exit_codes(&mut runs, 0);
    site.assert_completed_as_by_one(&ladder);
}

#[test]
fn lost_replies_and_throttled_calls_of_the_table_change_nothing() {
    let site = TwoMachines::new(&Plan::default());
    let faults = [ProxyFault::LostReply, ProxyFault::Throttled];
    site.proxy.set(&faults.map(|fault| (fault, 10)));
    let mut runs = site.start();
    site.assert_exit_codes(&mut runs, 0);
    for fault in faults {
        let struck = site.proxy.struck(fault);
        assert!(struck > 0, "no {fault:?}\n{}", site.everything());
    }
    site.assert_completed_as_by_one(&LADDER);
}

#[test]
fn a_revert_goes_out_while_the_table_is_gone_and_is_journaled_when_it_is_back() {
    let outage = Duration::from_secs(from_environment("OUTAGE_SECS", OUTAGE_SECS));
    let site = TwoMachines::new(&Plan::resting_at_first_step());
    let images = site.desk.images();
    let mut runs = site.start();
    site.desk.wait_for_phase(NAME, "baking");
    for machine in &site.machines {
        let folder = machine.path(BREAK_GLASS);
        let kept = until(|| (files(&folder).len() == 2).then_some(()));
        assert!(kept.is_some(), "each machine has a file for each zone");
    }
    site.proxy.set(&[(ProxyFault::Hang, 100)]);
    site.desk.red(GATES[0]);
    let back = until(|| (site.desk.images() == images).then_some(()));
    assert!(back.is_some(), "{}", site.everything());
    site.wait_for_logs(&runs, "the journal is down");
    pause(outage / 2);
    site.proxy
        .set(&[(ProxyFault::Cut, 50), (ProxyFault::ServerError, 50)]);
    pause(outage / 2);
    assert_eq!(site.desk.images(), images, "{}", site.everything());
    assert!(
        runs.iter_mut().all(Running::is_alive),
        "{}",
        site.everything()
    );
    site.assert_counts(&[
        ("revert_intended", 0),
        ("revert_performed_unjournaled", 0),
        ("reverted", 0),
    ]);
    site.proxy.set(&[]);
    site.assert_exit_codes(&mut runs, 20);
    for fault in [ProxyFault::Hang, ProxyFault::Cut, ProxyFault::ServerError] {
        let struck = site.proxy.struck(fault);
        assert!(struck > 0, "no {fault:?}\n{}", site.everything());
    }
    assert_eq!(site.desk.images(), images, "{}", site.everything());
    // Both controllers may have written the same way back, because neither could tell the other.
    for mut weights in site.desk.all_weights() {
        weights.dedup();
        assert_eq!(
            weights,
            [LADDER[0], LADDER[1], LADDER[0]],
            "{}",
            site.everything()
        );
    }
    // Each controller that wrote the way back says so, once.
    let performed = site.desk.count(NAME, "revert_performed_unjournaled");
    assert!((1..=2).contains(&performed), "{}", site.everything());
    site.assert_counts(&[("reverted", 1)]);
    site.assert_journal_is_whole();
}

#[test]
fn commands_of_a_third_machine_are_followed_by_both_controllers() {
    let site = TwoMachines::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", true),
            ("100%", "1h", false),
        ],
        ..Plan::default()
    });
    let desk = &site.desk;
    let mut runs = site.start();
    desk.wait_for_hold(NAME, "approval");
    desk.ok(&["pause", NAME, "--reason", "lunch of the third machine"]);
    site.wait_for_logs(&runs, "lunch of the third machine");
    desk.ok(&[
        "approve",
        NAME,
        "--step",
        "2",
        "--reason",
        "seen by the third machine",
    ]);
    site.wait_for_logs(&runs, "seen by the third machine");
    let looks = desk.calls("DescribeAlarms");
    desk.wait_for("more looks of both", NAME, |_| {
        desk.calls("DescribeAlarms") >= looks + 6
    });
    desk.assert_weights(&LADDER[..2]);
    assert_eq!(desk.status(NAME)["paused"], true);
    desk.ok(&["resume", NAME]);
    desk.wait_for_event(NAME, "bake_started", 3);
    desk.assert_weights(&LADDER);
    desk.ok(&["rollback", NAME, "--yes", "--reason", "a drill"]);
    site.assert_exit_codes(&mut runs, 20);
    assert_eq!(desk.status(NAME)["phase"], "reverted");
    for mut weights in desk.all_weights() {
        weights.dedup();
        let expected = [&LADDER[..], &LADDER[..1]].concat();
        assert_eq!(weights, expected, "{}", site.everything());
    }
    site.assert_counts(&[
        ("step_approved", 1),
        ("rollback_requested", 1),
        ("revert_intended", 1),
        ("reverted", 1),
    ]);
    site.assert_journal_is_whole();
}

#[test]
fn a_throttled_table_holds_steps_and_takes_nothing_back() {
    let throttled = Duration::from_secs(from_environment("THROTTLED_SECS", THROTTLED_SECS));
    let site = TwoMachines::new(&Plan {
        steps: vec![
            ("10%", "5s", false),
            ("50%", "1s", false),
            ("100%", "1s", false),
        ],
        ..Plan::default()
    });
    let mut runs = site.start();
    site.desk.wait_for_event(NAME, "bake_started", 1);
    site.proxy.set(&[(ProxyFault::Throttled, 100)]);
    site.wait_for_logs(&runs, "the journal is down");
    let before = site.desk.events(NAME);
    // Longer than the bake: by its clock the second step is due.
    pause(throttled);
    assert_eq!(site.desk.events(NAME), before, "{}", site.everything());
    let intended = site.desk.count(NAME, "weight_change_intended");
    for weights in site.desk.all_weights() {
        // A slow machine may have got to the second step before the throttling began. It never gets to one without an intent.
        assert!(weights.len() <= 1 + intended, "{}", site.everything());
        assert!(weights.len() < LADDER.len(), "{}", site.everything());
        assert_eq!(weights, LADDER[..weights.len()], "{}", site.everything());
    }
    assert!(
        runs.iter_mut().all(Running::is_alive),
        "{}",
        site.everything()
    );
    site.proxy.set(&[]);
    site.assert_exit_codes(&mut runs, 0);
    site.assert_completed_as_by_one(&LADDER);
}
