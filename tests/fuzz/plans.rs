//! Plans, `fleet.yaml` files and scenarios: a refusal has a message, and everything accepted can be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cutover::cli::rehearse;
use cutover::engine::calendar::Calendar;
use cutover::engine::event::{Envelope, Event, JOURNAL_VERSION};
use cutover::engine::evidence::plan::Measures;
use cutover::engine::fold;
use cutover::engine::plan::{GROUPS_MAX, Plan, PlanSource};
use cutover::engine::units::{Share, Weight};
use cutover::plan_file::{self, Loaded, PlanFileError};
use cutover::report;
use cutover::scenario::Scenario;
use cutover_testbed::check::Checker;
use fastrand::Rng;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::{Builder, Runtime};

use super::{Play, mutate};

/// One in this many accepted plans is rehearsed, because a rehearsal takes as long as a thousand plans.
const REHEARSED_OF: u32 = 400;

/// The largest plan that is rehearsed, by records and by the days of its bakes. A plan with metric gates is not rehearsed,
/// because its rehearsal reads every minute.
const REHEARSED_GROUPS_MAX: usize = 6;
const REHEARSED_DAYS_MAX: i64 = 30;

/// The plan that scenarios are played on.
const REHEARSED: &str = "\
version: 1
name: api
records: [ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]
steps: [ { weight: 5%, bake: 4h }, { weight: 50%, bake: 6h }, { weight: 100%, bake: 6h } ]
gates: { alarms: [ api-5xx ], fallback_alarms: [ api-old-5xx ] }
";

/// The valid texts that inputs are made of.
pub(super) struct Corpus {
    pub(super) plans: Vec<String>,
    pub(super) fleets: Vec<String>,
    pub(super) scenarios: Vec<String>,
    /// All of them, for splices.
    pub(super) all: Vec<String>,
}

/// The texts of the project's files, and those below.
pub(super) fn corpus() -> &'static Corpus {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = [
            "plans",
            "plans/microservices",
            "tests/scripts",
            "tests/fixtures",
        ];
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in folders {
            let entries = fs::read_dir(root.join(folder)).expect("a folder of the project");
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        });
        // Directories are listed in any order, but a seed must always give the same input.
        files.sort();
        let (mut plans, mut fleets, mut scenarios) = (Vec::new(), Vec::new(), Vec::new());
        for path in files {
            let text = fs::read_to_string(&path).expect("a file of the project");
            let name = path.display().to_string();
            if name.ends_with("fleet.yaml") {
                fleets.push(text);
            } else if name.ends_with(".scenario.yaml") {
                scenarios.push(text);
            } else {
                plans.push(text);
            }
        }
        fleets.extend(FLEETS.map(str::to_owned));
        scenarios.extend(SCENARIOS.map(str::to_owned));
        plans.push(EVERYTHING.to_owned());
        let all = [&plans[..], &fleets, &scenarios].concat();
        Corpus {
            plans,
            fleets,
            scenarios,
            all,
        }
    })
}

/// A plan with the keys that the examples have in different files.
const EVERYTHING: &str = r#"version: 1
name: every-thing
description: &d |
  Two lines
  of text.
labels: { team: search, tier: '1' }
after: [ other, another ]
aws: { region: eu-west-1, role_arn: 'arn:aws:iam::123456789012:role/cutover' }
records:
  - { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }
  - { zone: Z0123456789ABC, name: '*.example.com', type: CNAME, old: eks, new: ecs }
settle: 5m
steps:
  - { weight: 0.390625%, bake: 30m }
  - { weight: 5%, bake: 4h }
  - { weight: 50%, bake: 6h, approval: { approval: required, timeout: 2d, on_timeout: revert } }
  - { weight: 100%, bake: 1d }
gates:
  alarms: [ api-5xx, { name: api-p99, region: us-east-1, no_data: pass } ]
  fallback_alarms: [ api-old-5xx ]
  unknown_for: 20m
  on_unknown: hold
  both_red: revert
windows:
  time_zone: Europe/Berlin
  allow: [ "Mon-Thu 09:00-17:00", "Fri 09:00-12:00" ]
  deny: [ "2026-12-24..2027-01-02" ]
notify:
  command: [ /opt/page, '--now' ]
  slack:
    - ${ONCALL}
    - { token: file:/run/secrets/slack, channel: '#deploys', on: info, except: [ approval, no_data ] }
  sns: arn:aws:sns:eu-west-1:111111111111:cutovers
  webhook: { url: "${HOOK}", secret: "${KEY}", on: [ page, completed ] }
hooks:
  - { at: before_start, command: [ /bin/warm, up ], detach: true }
  - at: before_step
    step: 100%
    http: { url: https://x.example/y, headers: { Authorization: "Bearer ${TOKEN}" } }
    timeout: 5s
    retries: 0
    on_failure: revert
"#;

const FLEETS: [&str; 2] = [
    "version: 1\nmax_in_flight: 3\nfailure_budget: 2\n",
    r#"version: 1
defaults:
  windows: { time_zone: Asia/Tokyo, allow: [ "Mon-Fri 10:00-16:00" ] }
  notify: { command: [ /opt/page ] }
holidays: [ "2026-12-24..2027-01-02" ]
guardrails: { step_at_most: 50%, bake_at_least: 30m }
"#,
];

const SCENARIOS: [&str; 3] = [
    "faults: [ new errors 20% at step 3 + 2h, cloudwatch down 40m at step 2, controller killed at step 1 ]\n",
    "traffic: { requests: 1200/min, swing: 20%, noise: 5% }\nfaults:\n  - new latency 900ms at step 2 + 1h for 3h\n",
    r"new: { capacity: 500/min, p99: 120ms, errors: 0.1% }
resolvers: { count: 200, stragglers: 1% }
alarms:
  - { name: api-5xx, measures: errors, above: 1%, watches: new, period: 1m, datapoints: 3/5, missing: breaching }
",
];

/// A runtime whose clock jumps.
pub(super) fn paused() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// The time at which every input is played.
pub(super) fn now() -> Timestamp {
    "2026-12-01T09:00:00Z".parse().expect("a time")
}

/// A broken text of one kind; in one of eight inputs, of any kind.
fn broken(rng: &mut Rng, of: &[String]) -> String {
    let all = &corpus().all;
    let base = if rng.u8(0..8) == 0 { all } else { of };
    let base = &base[rng.usize(0..base.len())];
    mutate::text(rng, base, all)
}

/// Checks that a refusal has a message in all its forms.
fn refused(error: &PlanFileError) -> Result<(), String> {
    if error.findings.is_empty() {
        return Err("it is refused without a finding".to_owned());
    }
    let (plain, styled) = (error.render(false), error.render(true));
    let json = serde_json::to_string(&error.findings).map_err(|error| error.to_string())?;
    if plain.is_empty() || styled.is_empty() || json.is_empty() {
        return Err("a finding has no text".to_owned());
    }
    Ok(())
}

/// Plan files.
pub(super) fn plan(play: &mut Play) -> Result<(), String> {
    play.input = broken(&mut play.rng, &corpus().plans);
    match plan_file::parse(&play.input, "plan.yaml") {
        Err(error) => refused(&error),
        Ok(loaded) => accepted(&mut play.rng, loaded),
    }
}

/// Checks that an accepted plan keeps the rules of plans, and that everything that shows or stores it works.
fn accepted(rng: &mut Rng, loaded: Loaded) -> Result<(), String> {
    let loaded = loaded.judged_at(now(), "plan.yaml");
    plan_file::render(&loaded.warnings, true);
    let source = loaded.source;
    lawful(&source.plan)?;
    kept(&source)?;
    shown(&source.plan);
    if is_small(&source.plan) && rng.u32(0..REHEARSED_OF) == 0 {
        rehearsed(rng, source, &Scenario::default())?;
    }
    Ok(())
}

fn is_small(plan: &Plan) -> bool {
    plan.records.len() <= REHEARSED_GROUPS_MAX
        && report::check::minimum_duration(plan)
            <= SignedDuration::from_hours(24 * REHEARSED_DAYS_MAX)
        && plan.gates.measures == Measures::default()
}

/// Checks the weights of a plan: they rise, are never all zero, and end with everything on the new side.
fn lawful(plan: &Plan) -> Result<(), String> {
    let Some(last) = plan.steps.last() else {
        return Err("it has no steps".to_owned());
    };
    if last.share != Share::FULL || last.pair.old != Weight(0) {
        return Err(format!(
            "its last step leaves {:?} on the old side",
            last.pair
        ));
    }
    let mut before = Share::ZERO;
    for step in &plan.steps {
        if step.share <= before {
            return Err(format!("step {:?} does not rise from {before}", step.share));
        }
        if step.pair.new == Weight(0) {
            return Err(format!(
                "the weights of {} give the new side nothing",
                step.share
            ));
        }
        if step.bake <= SignedDuration::ZERO {
            return Err(format!("a bake of {}", step.bake));
        }
        before = step.share;
    }
    if plan.records.is_empty() || plan.records.len() > GROUPS_MAX {
        return Err(format!("it has {} records", plan.records.len()));
    }
    for group in &plan.records {
        if group.old == group.new {
            return Err(format!("{} is both sides", group.old));
        }
    }
    let mut names = plan
        .records
        .iter()
        .flat_map(|group| [&group.old, &group.new, &group.zone.zone]);
    if let Some(name) =
        names.find(|name| name.is_empty() || name.contains(|c: char| c.is_ascii_control()))
    {
        return Err(format!("the name {name:?} is accepted"));
    }
    Ok(())
}

/// Checks that the journal stores the plan unchanged.
fn kept(source: &PlanSource) -> Result<(), String> {
    let event = Event::PlanAccepted {
        source: Box::new(source.clone()),
    };
    let text = serde_json::to_string(&event).map_err(|error| error.to_string())?;
    let read: Event = serde_json::from_str(&text)
        .map_err(|error| format!("the journal cannot read it: {error}"))?;
    if read != event {
        return Err("the journal stores another plan".to_owned());
    }
    let entry = Envelope {
        cutover: source.plan.name.clone(),
        attempt: 1,
        seq: 1,
        at: now(),
        actor: "controller ctl-1".to_owned(),
        version: JOURNAL_VERSION,
        event,
    };
    let violations = Checker::new().entry(&entry);
    if !violations.is_empty() {
        return Err(format!("it breaks {violations:?}"));
    }
    let state = fold::fold([&entry]).map_err(|error| error.to_string())?;
    match state {
        Some(state) if *state.plan() == source.plan => Ok(()),
        _ => Err("its state has another plan".to_owned()),
    }
}

/// Shows a plan in every form.
fn shown(plan: &Plan) {
    let clocks = report::calendar::Clocks::of(plan, &TimeZone::UTC);
    let calendar = Calendar::of_plan(plan, SignedDuration::from_mins(1), now());
    report::calendar::to_text(&calendar, plan, &clocks, now());
    report::calendar::to_json(&calendar, plan);
    report::check::minimum_duration(plan);
    report::errands::hooks(plan);
    report::errands::jobs(plan);
    let checked = report::check::Checked {
        missing: false,
        path: "plan.yaml".to_owned(),
        plan: Some(plan.clone()),
        ok: true,
        findings: Vec::new(),
        rendered: String::new(),
        told_at: None,
    };
    report::check::to_text(&checked);
    report::check::to_json(&[checked]);
}

/// Rehearses a plan. The rehearsal must end, with a report or with a message.
fn rehearsed(rng: &mut Rng, source: PlanSource, scenario: &Scenario) -> Result<(), String> {
    let seed = rng.u64(..);
    let played = paused().block_on(rehearse::play(vec![source], scenario, seed, now()));
    let look = report::rehearsal::Look {
        width: Some(rng.usize(1..120)),
        zone: TimeZone::UTC,
        charts: true,
    };
    match played {
        Ok(played) => {
            report::rehearsal::to_text(&played, &look);
            report::rehearsal::to_json(&played);
            Ok(())
        }
        // The simulated Route 53 may refuse the records, for example two groups of one name.
        Err(error) if error.to_string().is_empty() => {
            Err("the rehearsal ends without a message".to_owned())
        }
        Err(_) => Ok(()),
    }
}

/// `fleet.yaml` files, as bytes in a directory, with a plan below.
pub(super) fn fleet(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fleet.yaml");
    play.input = broken(rng, &corpus().fleets);
    let mut bytes = play.input.clone().into_bytes();
    if rng.u8(0..8) == 0 {
        bytes = mutate::bytes(rng, &bytes);
    }
    fs::write(&path, bytes).expect("written");
    fs::create_dir(folder.path().join(".git")).expect("made");
    if let Err(error) = plan_file::load_fleet(&path) {
        refused(&error)?;
    }
    let plan = corpus().plans[rng.usize(0..corpus().plans.len())].clone();
    let plan = if rng.bool() {
        plan
    } else {
        mutate::text(rng, &plan, &corpus().all)
    };
    let path = folder.path().join("plan.yaml");
    fs::write(&path, plan).expect("written");
    match plan_file::load(&path) {
        Err(error) => refused(&error),
        Ok(loaded) => accepted(rng, loaded),
    }
}

/// Scenarios, and faults as they are given on the command line.
pub(super) fn scenario(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    play.input = broken(rng, &corpus().scenarios);
    if rng.u8(0..4) == 0 {
        let line = play
            .input
            .lines()
            .nth(rng.usize(0..4))
            .unwrap_or(&play.input);
        if let Err(error) = plan_file::fault(line)
            && error.to_string().is_empty()
        {
            return Err("a fault is refused without a message".to_owned());
        }
        return Ok(());
    }
    match plan_file::parse_scenario(&play.input, "a.scenario.yaml") {
        Err(error) => refused(&error),
        Ok(scenario) if rng.u32(0..REHEARSED_OF) == 0 => {
            let plan = plan_file::parse(REHEARSED, "plan.yaml").expect("a plan");
            rehearsed(rng, plan.source, &scenario)
        }
        Ok(_) => Ok(()),
    }
}
