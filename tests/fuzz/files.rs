//! Files that people and other programs write (break-glass files and records), and arguments of the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use clap::Parser;
use cutover::cli::args::Cli;
use cutover::cli::break_glass::BreakGlassDirectory;
use cutover::cli::rollback::stored;
use cutover::engine::backtest::{
    AlarmChange, AlarmRecord, Past, Record, SeriesPast, SeriesRecord, queries,
};
use cutover::engine::evidence::number::Number;
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::{Account, PlanSource};
use cutover::engine::record::GroupName;
use cutover::engine::units::{DnsName, Weight};
use cutover::ports::{BreakGlass, RecordKey};
use cutover::{plan_file, report};
use cutover_testbed::backtest::backtest;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Play, mutate, plans};

/// The most starts of a backtest: each start reads every minute of the record.
const STARTS_MAX: i64 = 3;

/// Longer records are only read: see [`STARTS_MAX`].
const REPLAYED_DAYS_MAX: i64 = 4;

/// A break-glass file as `run` writes it.
fn batch() -> Value {
    json!({ "Comment": "cutover break-glass: api; journal begun 2026-12-01T09:00:00Z by a", "Changes": [
        change("api.example.com.", "A", "eks", 100), change("api.example.com.", "A", "ecs", 0),
        change("\\052.example.com.", "CNAME", "eks", 255), change("\\052.example.com.", "CNAME", "ecs", 0),
        alias("eks", 100), alias("ecs", 0),
    ] })
}

fn change(name: &str, kind: &str, identifier: &str, weight: u8) -> Value {
    json!({ "Action": "UPSERT", "ResourceRecordSet": {
        "Name": name, "Type": kind, "SetIdentifier": identifier, "Weight": weight, "TTL": 60,
        "ResourceRecords": [ { "Value": "192.0.2.1" } ],
    } })
}

fn alias(identifier: &str, weight: u8) -> Value {
    json!({ "Action": "UPSERT", "ResourceRecordSet": {
        "Name": "www.example.com.", "Type": "A", "SetIdentifier": identifier, "Weight": weight,
        "AliasTarget": { "HostedZoneId": "Z1", "DNSName": "x.elb.amazonaws.com.", "EvaluateTargetHealth": true },
    } })
}

/// Break-glass files: an incomplete file is refused, and an accepted one has records with usable weights.
pub(super) fn break_glass(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    let folder = tempfile::tempdir().expect("a folder");
    let glass = folder.path().join("break-glass");
    fs::create_dir(&glass).expect("made");
    let mut value = batch();
    mutate::json(rng, &mut value, &[batch()]);
    let text = value.to_string();
    let mut bytes = match rng.u8(0..4) {
        0 => mutate::text(rng, &text, &[]).into_bytes(),
        1 => mutate::bytes(rng, text.as_bytes()),
        _ => text.into_bytes(),
    };
    bytes.truncate(mutate::BYTES_MAX);
    play.input = String::from_utf8_lossy(&bytes).into_owned();
    let names = [
        "Z0123456789ABC-01.json",
        "Z0123456789ABC-99999999999.json",
        "Z-1.json",
        "x-01.json",
    ];
    let path = glass.join(mutate::one(rng, &names));
    fs::write(&path, &bytes).expect("written");
    fs::write(glass.join("Z0123456789ABC-02.json"), batch().to_string()).expect("written");

    if let Ok(images) = stored::read_all(std::slice::from_ref(&path)) {
        if images.is_empty() {
            return Err("a file without records is accepted".to_owned());
        }
        for image in images {
            let pair = image.pair();
            if (pair.old, pair.new) == (Weight(0), Weight(0))
                || image.old.set_identifier == image.new.set_identifier
            {
                return Err(format!("a useless image is accepted: {image:?}"));
            }
        }
    }
    let directory = BreakGlassDirectory::new(glass.clone());
    let known: BTreeSet<RecordKey> = ["eks", "ecs"]
        .map(|identifier| {
            let group = GroupName {
                name: DnsName::new("api.example.com"),
                record_type: "A".to_owned(),
            };
            (group, identifier.to_owned())
        })
        .into();
    drop(directory.keep_others(&known, plans::now()));
    let files = BTreeMap::from([("Z0123456789ABC-01.json".to_owned(), batch().to_string())]);
    directory
        .store(&files)
        .map_err(|why| format!("it cannot be stored: {why}"))?;
    if !directory.are_there() {
        return Err("the stored files are missing".to_owned());
    }
    Ok(())
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A record of a plan's alarms and series.
fn recorded(source: &PlanSource) -> Value {
    let (since, until) = (at("2026-11-01T00:00:00Z"), at("2026-11-05T00:00:00Z"));
    let mut record = Record::between(since, until);
    let changes = [
        ("2026-11-02T00:00:00Z", AlarmState::Alarm),
        ("2026-11-02T00:10:00Z", AlarmState::Ok),
        ("2026-11-04T00:00:00Z", AlarmState::InsufficientData),
    ];
    let changes = changes.map(|(when, to)| AlarmChange {
        at: at(when),
        from: None,
        to,
    });
    for gate in source.plan.alarms() {
        record.alarms.push(AlarmRecord {
            account: Account::default(),
            id: gate.id.clone(),
            past: Past::Known {
                before: AlarmState::Ok,
                changes: changes.to_vec(),
            },
        });
    }
    for query in queries(&source.plan.gates.measures) {
        let minutes = (0..300).map(|minute| since + SignedDuration::from_mins(minute));
        let points = minutes
            .map(|minute| (minute, Number::from(7_u32)))
            .collect();
        record.series.push(SeriesRecord {
            account: Account::default(),
            past: SeriesPast::of(&points, query.period_mins),
            query,
        });
    }
    serde_json::to_value(record).expect("a record is JSON")
}

/// Records of backtests.
pub(super) fn record(play: &mut Play) {
    let rng = &mut play.rng;
    let texts = &plans::corpus().plans;
    let text = &texts[rng.usize(0..texts.len())];
    let Ok(loaded) = plan_file::parse(text, "plan.yaml") else {
        return;
    };
    let mut value = recorded(&loaded.source);
    let whole = value.clone();
    mutate::json(rng, &mut value, &[whole]);
    let mut text = value.to_string();
    if rng.u8(0..8) == 0 {
        text = mutate::text(rng, &text, &[]);
    }
    play.input = text;
    let Ok(record) = serde_json::from_str::<Record>(&play.input) else {
        return;
    };
    if record.check().is_err() {
        return;
    }
    let length = record.until.duration_since(record.since).as_secs();
    if length > REPLAYED_DAYS_MAX * 86_400 {
        return;
    }
    let apart = length / STARTS_MAX;
    let every = SignedDuration::from_secs(apart.max(3_600));
    let backtests = [backtest(&loaded.source, &record, every)];
    let look = report::backtest::Look {
        width: Some(rng.usize(1..200)),
        zone: TimeZone::UTC,
        charts: true,
    };
    report::backtest::to_text(&backtests, &look);
    report::backtest::to_json(&backtests);
}

const COMMANDS: [&str; 13] = [
    "rollback api --yes --from Z1-01.json",
    "approve api --step 2 --reason fine",
    "freeze --until 2026-12-24T00:00+09:00[Asia/Tokyo] --reason sale",
    "rehearse plan.yaml --start 2026-12-01T09:00+09:00 --seed 7 --runs 3 --fault x",
    "backtest plan.yaml --since 14d --until 2026-12-01 --every 6h",
    "status api --selector team=search --phase baking --watch --width 80",
    "history api --output json",
    "run plans --interval 10s --journal sqlite:x.db --once",
    "amend plan.yaml --reason x",
    "ignore-alarm api us-east-1/api-5xx --reason known",
    "rollback --all --selector team=a,b!=c --timeout 10m --force",
    "notify-test plan.yaml",
    "iam-policy plans --role break-glass --any-name --journal dynamodb:t/j?region=eu-west-1",
];

/// Arguments of the command line: understood, or refused with a message.
pub(super) fn words(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    let mut words: Vec<String> = mutate::one(rng, &COMMANDS)
        .split(' ')
        .map(str::to_owned)
        .collect();
    for _ in 0..rng.u8(1..4) {
        let at = rng.usize(0..words.len());
        words[at] = mutate::text(rng, &words[at], &[])
            .chars()
            .take(20_000)
            .collect();
    }
    play.input = words.join(" ");
    let argv = std::iter::once("cutover".to_owned()).chain(words);
    if let Err(error) = Cli::try_parse_from(argv)
        && error.render().to_string().is_empty()
    {
        return Err("it is refused without a message".to_owned());
    }
    Ok(())
}
