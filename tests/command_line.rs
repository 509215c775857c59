//! The command line as a person or a script meets it: the built binary, its words, its exit codes, its JSON.

mod acceptance;
mod fleets;
mod journals;
mod status;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use cutover::engine::event::{Event, RevertMode, Target};
use cutover::engine::hold::{HoldReason, RevertCause};
use cutover::engine::record::{GroupImage, RecordSet};
use cutover::engine::units::{
    AlarmId, ChangeId, ControllerId, CutoverName, Weight, WeightPair, WriteId, ZoneId,
};
use cutover::journal::{Open, open};
use cutover::plan_file;
use cutover::ports::{Append, Glance, Heartbeat, Journal, NewEntry};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

const PLAN: &str = "\
version: 1
name: recipe-api
records:
  - { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }
steps:
  - { weight: 5%, bake: 4h }
  - { weight: 50%, bake: 1d, approval: required }
  - { weight: 100%, bake: 2d }
gates:
  alarms: [ recipe-api-5xx-rate ]
  fallback_alarms: [ recipe-api-eks-unhealthy-hosts ]
";

/// A directory with a plan and, once asked for, a journal; commands run in it.
struct Desk {
    dir: TempDir,
    journal: Option<Arc<dyn Journal>>,
    seqs: BTreeMap<CutoverName, u64>,
    runtime: tokio::runtime::Runtime,
}

/// What a command left behind.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON on standard output")
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Some time ago, to the second. The binary reads the real clock, so the tests' journals lie around it.
fn ago(minutes: i64) -> Timestamp {
    let now = std::fs::metadata("/proc/self")
        .and_then(|meta| meta.modified())
        .expect("the time of a directory that was just made");
    let now = Timestamp::try_from(now).expect("a time in range");
    let now = Timestamp::from_second(now.as_second()).expect("a time in range");
    now - SignedDuration::from_mins(minutes)
}

fn record(identifier: &str, weight: u8) -> RecordSet {
    RecordSet {
        name: "api.example.com.".to_owned(),
        record_type: "A".to_owned(),
        set_identifier: identifier.to_owned(),
        weight: Weight(weight),
        ttl: Some(60),
        values: vec!["192.0.2.1".to_owned()],
        alias: None,
        health_check_id: None,
        unsupported: Vec::new(),
    }
}

fn image(old: u8, new: u8) -> GroupImage {
    GroupImage {
        zone: ZoneId::from("Z1"),
        old: record("eks", old),
        new: record("ecs", new),
        others: Vec::new(),
    }
}

impl Desk {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("plan.yaml"), PLAN).expect("a file");
        Self {
            dir,
            journal: None,
            seqs: BTreeMap::new(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(line)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        command
    }

    fn says(&self, line: &str) -> Said {
        self.says_words(&line.split(' ').collect::<Vec<_>>())
    }

    fn says_words(&self, line: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(line).output().expect("the command runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said {
            code: status.code().expect("no signal"),
            out: text(stdout),
            err: text(stderr),
        }
    }

    fn journal(&mut self) -> Arc<dyn Journal> {
        let path = self.path(".cutover/journal.db");
        let open = || {
            let url = format!("sqlite:{}", path.display());
            open(&url, Open::Create).expect("a journal")
        };
        Arc::clone(self.journal.get_or_insert_with(open))
    }

    /// Appends what a controller would have, for one cutover.
    fn write(&mut self, name: &str, at: Timestamp, events: Vec<Event>) {
        let cutover = CutoverName::from(name);
        let journal = self.journal();
        for event in events {
            let seq = self.seqs.entry(cutover.clone()).or_default();
            let append = Append {
                expect: vec![(cutover.clone(), *seq)],
                entries: vec![NewEntry {
                    cutover: cutover.clone(),
                    attempt: 1,
                    at,
                    actor: "controller c1".to_owned(),
                    event,
                }],
                append_id: format!("{name}-{seq}"),
            };
            *seq += 1;
            self.runtime
                .block_on(journal.append(append))
                .expect("the append");
        }
    }

    fn accept(&mut self, name: &str, at: Timestamp) {
        self.accept_from(&format!("{name}.yaml"), name, at);
    }

    fn accept_from(&mut self, file: &str, name: &str, at: Timestamp) {
        let text = PLAN
            .replace("recipe-api", name)
            .replace("api.example.com", &format!("{name}.example.com"));
        let path = self.path(file);
        std::fs::write(&path, text).expect("a file");
        let loaded = plan_file::load(&path).expect("a valid plan");
        let source = Box::new(loaded.source);
        self.write(name, at, vec![Event::PlanAccepted { source }]);
    }

    /// A cutover whose first step bakes.
    fn bake(&mut self, name: &str, since: Timestamp) {
        self.accept(name, since);
        let write_id = WriteId::from("w1");
        let change_id = ChangeId::from("C1");
        let events = vec![
            Event::WeightChangeIntended {
                write_id: write_id.clone(),
                owner: ControllerId::from("c1"),
                perform_by: since + SignedDuration::from_secs(15),
                step: 1,
                targets: vec![Target {
                    group: 0,
                    zone: ZoneId::from("Z1"),
                    from: image(100, 0),
                    to: WeightPair::new(95, 5),
                }],
                baseline: Some(vec![image(100, 0)]),
            },
            Event::WeightChangeSubmitted {
                write_id: write_id.clone(),
                zone: ZoneId::from("Z1"),
                groups: vec![0],
                change_id: change_id.clone(),
                server_time: Some(since),
            },
            Event::WeightsVerified {
                write_id,
                step: 1,
                images: vec![image(95, 5)],
            },
            Event::ChangeInSync { change_id },
            Event::BakeStarted { step: 1 },
            Event::GatesPassed {},
        ];
        self.write(name, since, events);
    }

    /// A controller that looked at one cutover.
    fn beat(&mut self, name: &str, at: Timestamp, because: Vec<HoldReason>) {
        let glance = Glance {
            observed_share: None,
            because,
            next_at: Some(at + SignedDuration::from_hours(2)),
            weights: vec![Some(WeightPair::new(95, 5))],
            observed_at: Some(at),
        };
        let heartbeat = Heartbeat {
            refused: BTreeMap::new(),
            ended: false,
            controller: "c1".to_owned(),
            host: "host".to_owned(),
            version: "0.1.0".to_owned(),
            at,
            interval_secs: 10,
            cutovers: BTreeMap::from([(CutoverName::from(name), glance)]),
        };
        let journal = self.journal();
        self.runtime
            .block_on(journal.beat(&heartbeat))
            .expect("the heartbeat");
    }
}

fn gate() -> AlarmId {
    AlarmId {
        region: None,
        name: "recipe-api-5xx-rate".to_owned(),
    }
}

const COMMANDS: [&str; 24] = [
    "check",
    "preview",
    "rehearse",
    "run",
    "status",
    "approve",
    "pause",
    "resume",
    "retry",
    "skip-bake",
    "amend",
    "adopt-drift",
    "ignore-alarm",
    "rollback",
    "history",
    "healthy",
    "iam-policy",
    "journal",
    "journal create",
    "journal copy",
    "journal verify",
    "schema",
    "completions",
    "man",
];

#[test]
fn help_teaches_every_command() {
    let desk = Desk::new();
    let mut all = vec![desk.says("--help").out];
    for command in COMMANDS {
        let said = desk.says(&format!("{command} --help"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{command}");
        assert!(said.out.contains("Examples:"), "{command} has no example");
        all.push(format!("\n=== cutover {command}\n{}", said.out));
    }
    insta::assert_snapshot!("help", all.concat());
}

#[test]
fn help_fits_into_eighty_columns() {
    let desk = Desk::new();
    for command in COMMANDS {
        let help = desk
            .command(&command.split(' ').chain(["--help"]).collect::<Vec<_>>())
            .env("COLUMNS", "80")
            .output()
            .expect("the command runs");
        let help = String::from_utf8(help.stdout).expect("UTF-8");
        let wide: Vec<&str> = help
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(wide.is_empty(), "{command}: {wide:?}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let desk = Desk::new();
    for line in [
        "frobnicate",
        "check",
        "approve recipe-api",
        "rollback",
        "status --journal mysql:x",
        "run plan.yaml --interval 0s",
    ] {
        let said = desk.says(line);
        assert_eq!(said.code, 2, "{line}: {}", said.err);
        assert!(said.out.is_empty(), "{line} talks on standard output");
    }
}

#[test]
fn a_command_of_another_tool_is_answered_with_ours() {
    for (theirs, ours) in [
        ("apply", "run"),
        ("stop", "pause"),
        ("stop", "rollback"),
        ("undo", "rollback"),
        ("logs", "history"),
        ("plan", "preview"),
        ("rolback", "rollback"),
    ] {
        let said = Desk::new().says(theirs);
        assert_eq!(said.code, 2, "{theirs}: {}", said.err);
        let proposed = said.err.contains(&format!("'{ours}'"));
        assert!(proposed, "{theirs}: {}", said.err);
    }
}

#[test]
fn check_says_what_a_plan_amounts_to() {
    let desk = Desk::new();
    let said = desk.says("check plan.yaml");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    insta::assert_snapshot!("check_ok", said.out);
    let said = desk.says("check plan.yaml --format json");
    insta::assert_snapshot!("check_ok_json", said.out);
}

#[test]
fn check_ends_with_10_and_names_every_problem_of_every_file() {
    let desk = Desk::new();
    let broken = PLAN.replace("bake: 4h", "bake: 4").replace("5%", "5");
    std::fs::write(desk.path("broken.yaml"), broken).expect("a file");
    let said = desk.says("check plan.yaml broken.yaml gone.yaml --format json");
    assert_eq!(said.code, 10);
    let json = said.json();
    let by_path = |path: &str| {
        let all = json.as_array().expect("an array");
        let found = all.iter().find(|entry| entry["path"] == path);
        found.expect("an entry of the file").clone()
    };
    assert_eq!(by_path("plan.yaml")["ok"], true);
    assert_eq!(by_path("plan.yaml")["name"], "recipe-api");
    assert_eq!(by_path("gone.yaml")["ok"], false);
    let findings = by_path("broken.yaml")["findings"].clone();
    assert!(findings.as_array().expect("an array").len() >= 2);
}

#[test]
fn a_path_without_a_file_is_not_called_an_invalid_plan() {
    let desk = Desk::new();
    let said = desk.says("check gone.yaml");
    assert_eq!(said.code, 10);
    assert!(said.out.contains("gone.yaml: no plan file"), "{}", said.out);
    assert!(
        said.err.contains("1 of 1 path has no plan file"),
        "{}",
        said.err
    );
    assert!(!said.out.contains("not valid") && !said.err.contains("not valid"));
    std::fs::write(desk.path("broken.yaml"), "version: 1\n").expect("a file");
    let said = desk.says("check broken.yaml gone.yaml");
    assert!(
        said.err
            .contains("1 of 1 plan file is not valid; 1 of 2 paths has no plan file"),
        "{}",
        said.err
    );
    let said = desk.says("rehearse plan.yaml --scenario gone.yaml");
    assert!(
        said.err.contains("the scenario gone.yaml does not exist"),
        "{}",
        said.err
    );
    let said = desk.says("rehearse plan.yaml --scenario plan.yaml");
    assert!(
        said.err
            .contains("this is a plan, not a scenario of a rehearsal"),
        "{}",
        said.err
    );
}

#[test]
fn two_plans_with_one_name_or_one_group_are_refused() {
    let desk = Desk::new();
    std::fs::write(desk.path("same.yaml"), PLAN).expect("a file");
    let said = desk.says("check plan.yaml same.yaml");
    assert_eq!(said.code, 10);
    insta::assert_snapshot!("check_clash", said.out);
    let other = PLAN.replace("name: recipe-api", "name: other-api");
    std::fs::write(desk.path("same.yaml"), other).expect("a file");
    let said = desk.says("check plan.yaml same.yaml");
    assert_eq!(said.code, 10);
    assert!(said.out.contains("another plan moves api.example.com A"));
}

#[test]
fn without_a_journal_status_is_empty_and_all_others_name_the_place() {
    let desk = Desk::new();
    let place = desk.path(".cutover/journal.db").display().to_string();
    let said = desk.says("status --format json");
    assert_eq!((said.code, said.out.as_str()), (0, "[]\n"));
    assert!(said.err.contains(&place), "{}", said.err);
    assert_eq!(desk.says("status").out, "[]\n", "as the rule has it");
    for line in [
        "history x",
        "pause x",
        "rollback x --yes",
        "rollback --all --yes",
        "retry x",
        "amend plan.yaml",
    ] {
        let said = desk.says(line);
        assert_eq!(said.code, 2, "{line}");
        assert!(said.err.contains(&place), "{line}: {}", said.err);
    }
    assert!(
        !desk.path(".cutover").exists(),
        "only `run` makes a journal"
    );
}

#[test]
fn a_command_that_does_not_apply_ends_with_12_and_writes_nothing() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let before = desk.says("history recipe-api").out;
    for line in [
        "resume recipe-api",
        "retry recipe-api",
        "approve recipe-api --reason x",
        "approve recipe-api --step 1 --reason x",
        "approve recipe-api --step 9 --reason x",
        "adopt-drift recipe-api --reason x --yes",
        "ignore-alarm recipe-api recipe-api-5xx-rate --reason x",
        "amend recipe-api.yaml",
    ] {
        let said = desk.says(line);
        assert_eq!(said.code, 12, "{line}: {}", said.err);
        assert!(said.err.contains("does not apply"), "{line}: {}", said.err);
    }
    assert_eq!(desk.says("history recipe-api").out, before);
}

#[test]
fn approve_shows_what_is_approved_and_status_when_the_rest_can_happen() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let status = desk.says("status recipe-api").out;
    assert!(status.contains("next steps, at the earliest"), "{status}");
    let approved = desk.says("approve recipe-api --step 2 --reason checked");
    assert_eq!(approved.code, 0, "{}", approved.err);
    for words in [
        "recipe-api: step 2: 5% → 50% of the traffic (weights 50/50), then 1d of bake",
        "recipe-api: seen so far: step 1 baked",
        "none red since the first step",
    ] {
        assert!(approved.err.contains(words), "{words}: {}", approved.err);
    }
    let json = desk.says("history recipe-api --format json").json();
    let entries = json.as_array().expect("an array");
    let last = entries.last().expect("an entry");
    assert_eq!(last["event"]["type"], "step_approved");
    assert_eq!(
        last["event"].get("caller_arn"),
        None,
        "no credentials are at hand"
    );
}

#[test]
fn commands_are_journaled_with_actor_and_reason() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    for line in [
        "pause recipe-api --reason incident",
        "approve recipe-api --step 2 --reason checked",
        "skip-bake recipe-api --reason tested",
        "resume recipe-api",
    ] {
        let said = desk.says(line);
        assert_eq!(said.code, 0, "{line}: {}", said.err);
        assert!(
            said.err.contains("no controller has looked"),
            "{}",
            said.err
        );
    }
    assert_eq!(desk.says("pause recipe-api").code, 0);
    assert_eq!(desk.says("pause recipe-api").code, 12);
    let row = desk.says("status --format json").json()[0].clone();
    assert_eq!(row["paused"], true);
    let history = desk.says("history recipe-api --format json").json();
    let entries = history.as_array().expect("an array");
    let last = &entries[entries.len() - 4];
    assert_eq!(last["event"]["type"], "step_approved");
    assert_eq!(last["event"]["reason"], "checked");
    assert!(last["actor"].as_str().expect("an actor").contains('@'));
    let keys: Vec<&str> = last
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, ["seq", "at", "actor", "attempt", "event"]);
    let seqs: Vec<u64> = entries
        .iter()
        .filter_map(|entry| entry["seq"].as_u64())
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_pattern_passes_over_what_does_not_apply() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    desk.bake("recipe-web", ago(30));
    assert_eq!(desk.says("pause recipe-api").code, 0);
    let said = desk.says("pause recipe-*");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.out, "recipe-web: paused\n");
    assert!(said.err.contains("recipe-api passed over"), "{}", said.err);
    assert_eq!(desk.says("pause recipe-*").code, 12);
    assert_eq!(desk.says("resume recipe-web recipe-nothing").code, 2);
}

#[test]
fn what_must_be_confirmed_never_waits_without_a_terminal() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    let drift = Event::DriftDetected {
        groups: BTreeMap::from([(0, Some(image(98, 2)))]),
        members: BTreeMap::new(),
    };
    desk.write("recipe-api", ago(20), vec![drift]);
    let before = desk.says("history recipe-api").out;
    for line in ["rollback recipe-api", "adopt-drift recipe-api --reason x"] {
        let said = desk.says(line);
        assert_eq!(said.code, 2, "{line}: {}", said.err);
        assert!(said.err.contains("--yes"), "{line}: {}", said.err);
    }
    assert_eq!(desk.says("history recipe-api").out, before);
    let said = desk.says("adopt-drift recipe-api --reason x --yes");
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn history_is_a_timeline() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", at("2026-11-20T10:00:00Z"));
    let revert = Event::RevertIntended {
        write_id: WriteId::from("w2"),
        cause: RevertCause::AlarmRed { alarm: gate() },
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    };
    desk.write("recipe-api", at("2026-11-20T12:30:00Z"), vec![revert]);
    let said = desk.says("history recipe-api");
    let shown = said
        .out
        .replace(&desk.dir.path().display().to_string(), "DIR");
    insta::assert_snapshot!("history", shown);
}

#[test]
fn output_without_a_terminal_has_no_colours() {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    for line in ["status", "history recipe-api", "check plan.yaml", "pause x"] {
        let said = desk.says(line);
        assert!(!(said.out + &said.err).contains('\x1b'), "{line}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let desk = Desk::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_cutover"));
    for command in ["schema", "man", "completions bash", "--help"] {
        let script = format!(
            "'{}' {command} | true; echo ${{PIPESTATUS[0]}}",
            binary.display()
        );
        let said = Command::new("bash")
            .args(["-c", &script])
            .current_dir(desk.dir.path())
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "0\n", "{command}");
        assert!(said.stderr.is_empty(), "{command}");
    }
}
