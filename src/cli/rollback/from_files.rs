//! `cutover rollback --from FILE…`: the way back without the journal, from break-glass files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use tokio::time::Instant;

use super::aftermath::Aftermath;
use super::calls::{Calls, counted};
use super::progress::Progress;
use crate::cli::args::Rollback;
use crate::cli::context::{Context, runtime};
use crate::cli::error::Expected;
use crate::cli::exit::Exit;
use crate::cli::run::outside;
use crate::controller::emergency::Emergency;
use crate::engine::plan::Account;
use crate::engine::record::{AliasTarget, GroupImage, RecordSet};
use crate::engine::units::{Weight, ZoneId};
use crate::journal::MemoryJournal;
use crate::ports::Clock;

/// The first wait before what was refused is sent again; it doubles up to the longest.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest wait.
const AGAIN_AFTER_MAX: Duration = Duration::from_mins(1);

/// A change batch as the AWS command line takes it, as far as ours have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Batch {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Change {
    action: String,
    resource_record_set: Set,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Set {
    name: String,
    #[serde(rename = "Type")]
    record_type: String,
    #[serde(rename = "SetIdentifier")]
    identifier: String,
    weight: u8,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    #[serde(default)]
    resource_records: Vec<ValueOf>,
    alias_target: Option<Alias>,
    health_check_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ValueOf {
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    #[serde(rename = "HostedZoneId")]
    zone_id: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "EvaluateTargetHealth")]
    evaluate_target_health: bool,
}

/// Shows what would be written, asks, and writes it until Route 53 has all of it.
///
/// # Errors
/// A file is none of ours, or nobody confirms.
pub(super) fn run(context: &mut Context<'_>, args: &Rollback) -> Result<Exit> {
    let mut images = Vec::new();
    for path in &args.from {
        images.extend(read(path)?);
    }
    let question = Calls::of_images(&images, true).shown();
    let question = format!("{question}write the stored records over whatever is there?");
    context.confirm("rollback", args.yes, &question)?;
    if args.yes {
        context.note(Calls::of_images(&images, true).shown().trim_end())?;
    }
    runtime()?.block_on(write(context, args, images))
}

async fn write(
    context: &mut Context<'_>,
    args: &Rollback,
    images: Vec<GroupImage>,
) -> Result<Exit> {
    let until = Instant::now() + args.timeout.try_into().unwrap_or_default();
    let account = Account::default();
    let journal = Arc::new(MemoryJournal::new());
    let dns = outside(context, journal.clone()).await.dns;
    let mut aftermath = Aftermath::default();
    aftermath.add(&account, images.iter().cloned());
    let progress = Progress::of(images.len());
    let mut emergency = Emergency::new(Arc::clone(&dns), journal, account, images);
    let (mut told, mut wait) = (String::new(), AGAIN_AFTER);
    loop {
        let now = context.clock.now();
        let sending = emergency.send(now, |so_far| progress.set(so_far.done(), so_far.accepted()));
        tokio::select! {
            () = sending => {}
            told = progress.tell(context) => told?,
            () = tokio::time::sleep_until(until) => {}
        }
        progress.tell_once(context, &mut told)?;
        if emergency.left().next().is_none() {
            break;
        }
        let again = Instant::now() + wait;
        if again >= until {
            for (group, why) in emergency.left() {
                context.note(&format!("{group} is not back: {why}"))?;
            }
            return Ok(Exit::RevertUnfinished);
        }
        let left = counted(emergency.left().count(), "group");
        context.note(&format!(
            "{left} not accepted; again in {} s",
            wait.as_secs()
        ))?;
        tokio::time::sleep_until(again).await;
        wait = (wait * 2).min(AGAIN_AFTER_MAX);
    }
    let back = aftermath.read_back(context, dns.as_ref()).await?;
    let accepted = emergency.accepted();
    aftermath
        .drain(context, dns.as_ref(), accepted, until)
        .await?;
    if back {
        let written = counted(emergency.done(), "group");
        context.print(&format!("{written}: at the baseline, read back\n"))?;
        return Ok(Exit::Done);
    }
    Ok(Exit::RevertUnfinished)
}

/// The groups of one file: `ZONEID-01.json`, pairs of records that belong together.
fn read(path: &Path) -> Result<Vec<GroupImage>, Expected> {
    let refuse = |why: &str| {
        let hint = "name the files as they lie in the break-glass directory, for example Z0123456789ABC-01.json";
        Expected::usage(format!("{}: {why}", path.display()), Some(hint))
    };
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let zone = stem.and_then(|stem| stem.rsplit_once('-'));
    let Some((zone, _)) = zone.filter(|(zone, _)| !zone.is_empty()) else {
        return Err(refuse("its name does not begin with a hosted zone's ID"));
    };
    let zone = ZoneId(zone.to_owned());
    let text = std::fs::read_to_string(path).map_err(|error| refuse(&error.to_string()))?;
    let batch: Batch = serde_json::from_str(&text)
        .map_err(|error| refuse(&format!("it is not a break-glass file: {error}")))?;
    if batch.changes.iter().any(|change| change.action != "UPSERT") {
        return Err(refuse("it does more than UPSERT"));
    }
    let mut records = batch.changes.into_iter().map(record).peekable();
    let mut images = Vec::new();
    while let (Some(old), Some(new)) = (records.next(), records.next()) {
        if (&old.name, &old.record_type) != (&new.name, &new.record_type) {
            return Err(refuse(&format!(
                "{} {} stands alone",
                old.name, old.record_type
            )));
        }
        let zone = zone.clone();
        images.push(GroupImage {
            zone,
            old,
            new,
            others: Vec::new(),
        });
    }
    Ok(images)
}

fn record(change: Change) -> RecordSet {
    let set = change.resource_record_set;
    let values = set.resource_records.into_iter().map(|value| value.value);
    RecordSet {
        name: set.name,
        record_type: set.record_type,
        set_identifier: set.identifier,
        weight: Weight(set.weight),
        ttl: set.ttl,
        values: values.collect(),
        alias: set.alias_target.map(|alias| AliasTarget {
            zone_id: alias.zone_id,
            dns_name: alias.dns_name,
            evaluate_target_health: alias.evaluate_target_health,
        }),
        health_check_id: set.health_check_id,
        unsupported: Vec::new(),
    }
}
