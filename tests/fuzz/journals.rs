//! Journals with entries that another program wrote. After any entry, its stream is either damaged or goes on. Every entry can
//! be reported, and no decision panics because of it.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cutover::controller::Scope;
use cutover::engine::calendar::Calendar;
use cutover::engine::commands;
use cutover::engine::decide::decide;
use cutover::engine::event::{Envelope, Event};
use cutover::engine::evidence::reading::Readings;
use cutover::engine::hold::HoldReason;
use cutover::engine::ledger::Ledger;
use cutover::engine::notify::{Notice, Standing};
use cutover::engine::observation::{
    AlarmReading, AlarmState, Beside, FileReading, GroupReading, Observation,
};
use cutover::engine::state::State;
use cutover::engine::units::{ControllerId, CutoverName};
use cutover::journal::{Open, open};
use cutover::ports::{Append, NewEntry, Position};
use cutover::report;
use cutover_testbed::check::{Checker, FleetChecker};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::Value;
use tokio::runtime::Builder;

use super::{Play, mutate, plans};
use crate::hunt::luck::Shared;
use crate::hunt::plans as hunted;
use crate::hunt::world::{JournalKind, World, locked};

/// One entry of every kind.
const FIXTURE: &str = include_str!("../fixtures/journal-v1.jsonl");

/// The number of worlds that are played to get journals.
const STORIES: u64 = 8;

/// The time for which each of them is played, in days.
const STORY_DAYS: u64 = 20;

/// Journals of controllers without faults (some with a red alarm), and the entries of the fixture.
struct Corpus {
    stories: Vec<Vec<Value>>,
    /// Single entries, to be inserted.
    entries: Vec<Value>,
}

fn corpus() -> &'static Corpus {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let lines = FIXTURE.lines();
        let entries: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let mut stories: Vec<Vec<Value>> = (0..STORIES).map(story).collect();
        stories.retain(|story| !story.is_empty());
        Corpus { stories, entries }
    })
}

/// The journal of a controller with a few plans.
fn story(seed: u64) -> Vec<Value> {
    plans::paused().block_on(async {
        let mut rng = Rng::with_seed(seed);
        let mut sources = hunted::draw(&mut rng).sources;
        sources.truncate(2);
        let world = World::new(&sources, JournalKind::Memory);
        let process = world.start(1, Scope::Files, &Arc::<Shared>::default(), rng.fork());
        let half = Duration::from_hours(STORY_DAYS * 12);
        tokio::time::sleep(half).await;
        if seed.is_multiple_of(2) {
            let alarms: Vec<String> = locked(&world.alarms).keys().cloned().collect();
            world.turn(&alarms[0], AlarmState::Alarm);
        }
        tokio::time::sleep(half).await;
        process.task.abort();
        let witness = locked(&world.witness);
        let entries = witness.entries.iter();
        entries
            .map(|(_, entry)| serde_json::to_value(entry).expect("JSON"))
            .collect()
    })
}

/// A journal in which some entries are changed.
fn broken(rng: &mut Rng) -> Vec<Value> {
    let corpus = corpus();
    let mut story = corpus.stories[rng.usize(0..corpus.stories.len())].clone();
    story.truncate(rng.usize(1..=story.len()));
    for _ in 0..1 << rng.u8(0..4) {
        let at = rng.usize(0..story.len());
        match rng.u8(0..10) {
            0 if story.len() > 1 => drop(story.remove(at)),
            1 => story.insert(at, story[at].clone()),
            2 => {
                let other = rng.usize(0..story.len());
                story.swap(at, other);
            }
            3 | 4 => {
                let mut event = corpus.entries[rng.usize(0..corpus.entries.len())]["event"].clone();
                if rng.bool() {
                    mutate::json(rng, &mut event, &corpus.entries);
                }
                if let Value::Object(entry) = &mut story[at] {
                    entry.insert("event".to_owned(), event);
                }
            }
            _ => mutate::json(rng, &mut story[at], &corpus.entries),
        }
    }
    if rng.u8(0..4) > 0 {
        renumber(&mut story);
    }
    story
}

/// Renumbers the entries of each stream, so that only the changed entries are wrong.
fn renumber(story: &mut [Value]) {
    let mut seqs: BTreeMap<String, u64> = BTreeMap::new();
    for entry in story {
        let stream = entry["cutover"].to_string();
        let seq = seqs.entry(stream).or_default();
        *seq += 1;
        if let Value::Object(entry) = entry {
            entry.insert("seq".to_owned(), Value::from(*seq));
        }
    }
}

/// Reads an entry as a journal does: an unreadable one becomes [`Event::Unreadable`].
fn read(entry: &Value, text: &str) -> Option<Envelope> {
    if let Ok(read) = serde_json::from_str::<Envelope>(text) {
        return Some(read);
    }
    Some(Envelope {
        cutover: CutoverName::from(entry["cutover"].as_str()?),
        attempt: 1,
        seq: entry["seq"].as_u64()?,
        at: plans::now(),
        actor: "somebody@host".to_owned(),
        version: 1,
        event: Event::Unreadable {
            why: "it is damaged".to_owned(),
        },
    })
}

/// Entries of the journal.
pub(super) fn entries(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    let story = broken(rng);
    let mut envelopes = Vec::new();
    let mut texts = Vec::new();
    for entry in &story {
        let mut text = entry.to_string();
        if rng.u8(0..64) == 0 {
            text = mutate::text(rng, &text, &[]);
        }
        envelopes.extend(read(entry, &text));
        texts.push(text);
    }
    play.input = texts.join("\n");
    told(&envelopes, rng);
    let ledger = judged(&envelopes)?;
    for state in ledger.states() {
        used(state, &ledger, rng);
    }
    report::fleet::lines(ledger.fleet(), plans::now());
    if rng.u8(..) == 0 {
        return run_on(&envelopes, rng);
    }
    Ok(())
}

/// Reports every entry in every form.
fn told(envelopes: &[Envelope], rng: &mut Rng) {
    let width = if rng.bool() {
        None
    } else {
        Some(rng.usize(1..200))
    };
    report::history::to_text(envelopes, width);
    report::history::to_json(envelopes);
}

/// Folds and checks every entry, and checks that its stored form is read again unchanged.
fn judged(envelopes: &[Envelope]) -> Result<Ledger, String> {
    let mut ledger = Ledger::default();
    let mut checkers: BTreeMap<CutoverName, Checker> = BTreeMap::new();
    let mut fleet = FleetChecker::new();
    for entry in envelopes {
        kept(entry)?;
        // What the ledger does not believe is no history to be checked.
        if entry.unbelievable().is_none() {
            fleet.entry(entry);
            checkers
                .entry(entry.cutover.clone())
                .or_default()
                .entry(entry);
        }
        ledger.take(entry);
        let notice = Notice {
            entry: entry.clone(),
            pages: true,
            settles: Vec::new(),
            causes: Vec::new(),
            others: Vec::new(),
            standing: ledger.state(&entry.cutover).map(Standing::of),
            test: false,
        };
        report::notice::line(&notice);
        report::notice::headline(&notice);
        if let Event::StepHeld { because } = &entry.event {
            let many = Notice {
                causes: because.iter().filter_map(HoldReason::common).collect(),
                others: vec![(entry.cutover.clone(), 1)],
                ..notice
            };
            report::notice::line(&many);
        }
    }
    Ok(ledger)
}

/// Checks that the stored form of an entry is read again unchanged. Unreadable entries are never stored.
fn kept(entry: &Envelope) -> Result<(), String> {
    if matches!(entry.event, Event::Unreadable { .. }) {
        return Ok(());
    }
    let text = serde_json::to_string(entry).map_err(|error| error.to_string())?;
    let again: Envelope =
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    if again == *entry {
        Ok(())
    } else {
        Err(format!("the stored entry is read as another one: {text}"))
    }
}

/// Asks a state that such a journal folds to for everything: a calendar, a decision, every command.
fn used(state: &State, ledger: &Ledger, rng: &mut Rng) {
    let times = [0, 1, 3_600, 100 * 86_400, -86_400];
    let later = SignedDuration::from_secs(times[rng.usize(0..times.len())]);
    let now = state.last_at.saturating_add(later).unwrap_or(plans::now());
    Calendar::of_state(state, now);
    let decision = decide(state, ledger.fleet(), &looked(state, now, rng), now);
    for reason in &decision.because {
        report::holds::hold(reason, &state.name, now);
        report::holds::because_json(reason, &state.name, now);
    }
    drop(commands::pause(state, Some("a reason")));
    drop(commands::resume(state, None));
    drop(commands::approve(state, None, "a reason"));
    drop(commands::skip_bake(state, "a reason"));
    drop(commands::retry(state, None));
    drop(commands::adopt_drift(state, "a reason"));
    drop(commands::amend(state, &state.source, None));
    commands::adoption(state);
    commands::abandon(state, "a reason").ok();
}

/// The observation of a controller that has read little: the baseline or nothing, and alarms in some state.
fn looked(state: &State, now: Timestamp, rng: &mut Rng) -> Observation {
    let images = state.baseline.iter().flatten();
    let read = images.map(|image| GroupReading::Read {
        zone: image.zone.clone(),
        members: vec![image.old.clone(), image.new.clone()],
        at: now,
    });
    let mut groups: Vec<GroupReading> = read.collect();
    groups.resize(state.plan().records.len(), GroupReading::NotRead);
    let states = [
        AlarmState::Ok,
        AlarmState::Alarm,
        AlarmState::InsufficientData,
    ];
    let found = AlarmReading::Found {
        state: states[rng.usize(0..states.len())],
        transitioned_at: Some(now),
        evaluation: None,
    };
    let alarms = state
        .plan()
        .alarms()
        .map(|gate| (gate.id.clone(), found.clone()));
    Observation {
        me: ControllerId::from("ctl-1"),
        groups,
        around: Vec::new(),
        alarms: alarms.collect(),
        histories: BTreeMap::new(),
        series: Readings::default(),
        changes: BTreeMap::new(),
        file: FileReading::NotWatched,
        in_flight: rng.bool(),
        passed_at: Some(now),
        passed_for: None,
        groups_read_at: Some(now),
        clock_skew: None,
        break_glass_error: None,
        claimed: Vec::new(),
        baseline_as_is: None,
        beside: Beside::default(),
    }
}

/// Lets a controller go on with such a journal for an hour. It must write only weights that the journal names.
fn run_on(envelopes: &[Envelope], rng: &mut Rng) -> Result<(), String> {
    plans::paused().block_on(async {
        let source = envelopes.iter().find_map(|entry| match &entry.event {
            Event::PlanAccepted { source } => Some(source.as_ref().clone()),
            _ => None,
        });
        let Some(source) = source else {
            return Ok(());
        };
        let named = serde_json::to_string(envelopes).unwrap_or_default();
        let Ok(world) = catch_unwind(AssertUnwindSafe(|| {
            World::new(&[source], JournalKind::Memory)
        })) else {
            // The simulated Route 53 may refuse such records.
            return Ok(());
        };
        for entry in envelopes {
            put(&world, entry).await;
        }
        let process = world.start(1, Scope::Files, &Arc::<Shared>::default(), rng.fork());
        for _ in 0..6 {
            world.moved();
            tokio::time::sleep(Duration::from_mins(10)).await;
        }
        if process.task.is_finished() {
            return match process.task.await {
                Ok(None | Some(Ok(_))) => Ok(()),
                Ok(Some(Err(error))) => Err(format!("the controller ended: {error}")),
                Err(error) => Err(format!("the controller panicked: {error}")),
            };
        }
        process.task.abort();
        let route53 = locked(&world.route53);
        for write in route53
            .weight_writes()
            .iter()
            .filter(|write| !write.foreign)
        {
            let Some(pair) = write.pair("eks", "ecs") else {
                continue;
            };
            let plain = format!("{{\"old\":{},\"new\":{}}}", pair.old.0, pair.new.0);
            let weights = [pair.old, pair.new].map(|weight| format!("\"weight\":{}", weight.0));
            if !named.contains(&plain) && !weights.iter().all(|weight| named.contains(weight)) {
                return Err(format!(
                    "{pair:?} was written, but no entry of the journal names it"
                ));
            }
        }
        Ok(())
    })
}

/// Appends an entry to a world's journal, as another program would.
async fn put(world: &World, entry: &Envelope) {
    let stream = entry.cutover.clone();
    let head = world.journal.head(&stream).await.unwrap_or_default();
    let append = Append {
        expect: vec![(stream.clone(), head)],
        entries: vec![NewEntry {
            cutover: stream.clone(),
            attempt: entry.attempt,
            at: entry.at,
            actor: "somebody@host".to_owned(),
            event: entry.event.clone(),
        }],
        append_id: format!("{stream} {head}"),
    };
    drop(world.journal.append(append).await);
}

/// A `SQLite` file with such entries, or with broken bytes.
pub(super) fn database(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let url = format!("sqlite:{}", path.display());
    drop(open(&url, Open::Create).map_err(|error| error.to_string())?);
    let story = broken(rng);
    write(&path, &story, rng);
    if rng.u8(0..3) == 0 {
        let bytes = fs::read(&path).expect("readable");
        let bytes = mutate::bytes(rng, &bytes);
        fs::write(&path, bytes).expect("written");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ended = runtime.block_on(async {
        for mode in [Open::ReadOnly, Open::Existing, Open::Create] {
            let Ok(journal) = open(&url, mode) else {
                continue;
            };
            let entries = journal.read_after(Position(0)).await;
            if let Ok((entries, _)) = entries {
                told(&entries, rng);
                judged(&entries)?;
            }
            drop(journal.heartbeats().await);
            drop(journal.cursors().await);
            drop(journal.head(&CutoverName::from("cut0")).await);
        }
        Ok(())
    });
    let lines: Vec<String> = story.iter().map(Value::to_string).collect();
    play.input = lines.join("\n");
    ended
}

fn text_of(entry: &Value, key: &str) -> String {
    entry[key].as_str().unwrap_or_default().to_owned()
}

fn number_of(entry: &Value, key: &str) -> i64 {
    entry[key].as_i64().unwrap_or(i64::MAX)
}

/// Writes rows that no journal would write.
fn write(path: &Path, story: &[Value], rng: &mut Rng) {
    let connection = Connection::open(path).expect("opens");
    for (number, entry) in story.iter().enumerate() {
        let mut event = entry["event"].to_string();
        if rng.u8(0..8) == 0 {
            event = mutate::text(rng, &event, &[]);
        }
        // The tables may refuse a row.
        drop(connection.execute(
            "INSERT INTO events (stream, seq, at, attempt, actor, version, append_id, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                text_of(entry, "cutover"),
                number_of(entry, "seq"),
                text_of(entry, "at"),
                number_of(entry, "attempt"),
                text_of(entry, "actor"),
                number_of(entry, "version"),
                format!("append-{number}"),
                event,
            ),
        ));
    }
    let beat = serde_json::json!({
        "controller": "ctl-1", "host": "h", "version": "0", "at": "2026-12-01T09:00:00Z", "interval_secs": 10, "cutovers": {},
    });
    let cursor = serde_json::json!({
        "stream": "cut0", "channel": "slack ${X}", "revision": 1, "told": 3, "ahead": [5], "memo": { "ts": "1.2" },
    });
    for (table, mut value) in [("heartbeats", beat), ("cursors", cursor)] {
        mutate::json(rng, &mut value, &[]);
        let statement = match table {
            "heartbeats" => "INSERT INTO heartbeats VALUES ('ctl-1', 1796115600000, ?1)",
            _ => "INSERT INTO cursors VALUES ('cut0', 'slack', 1, ?1)",
        };
        drop(connection.execute(statement, [value.to_string()]));
    }
}
