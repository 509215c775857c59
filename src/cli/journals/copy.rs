//! `cutover journal copy`: the whole history from one journal to another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::json;

use super::open::open_url;
use crate::cli::args::JournalCopy;
use crate::cli::context::Context;
use crate::cli::error::Expected;
use crate::cli::exit::Exit;
use crate::cli::status;
use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
use crate::engine::ledger::Ledger;
use crate::engine::lists;
use crate::engine::units::CutoverName;
use crate::journal::Open;
use crate::ports::{
    APPEND_EVENTS_MAX, Append, Clock, Cursor, Journal, JournalError, NewEntry, Position,
};

/// The most tries to append the same entries to the copy.
const APPEND_TRIES_MAX: u32 = 5;
/// The time between two of them.
const APPEND_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The content of a journal. Heartbeats are not part of it.
#[derive(Debug, PartialEq, Eq)]
struct JournalContents {
    entries: Vec<Envelope>,
    cursors: Vec<Cursor>,
}

impl JournalContents {
    async fn read(journal: &dyn Journal) -> Result<Self, JournalError> {
        let (entries, _) = journal.read_after(Position(0)).await?;
        let mut cursors = journal.cursors().await?;
        for cursor in &mut cursors {
            // A copy counts its revisions anew.
            cursor.revision = 1;
        }
        Ok(Self { entries, cursors })
    }
}

/// Copies a journal.
///
/// # Errors
/// A journal cannot be opened, read or written; the source is in use; the target is not empty.
pub(super) async fn run(context: &mut Context<'_>, args: &JournalCopy) -> Result<Exit> {
    if args.from == args.to {
        return Err(Expected::usage("a journal cannot be copied onto itself", None).into());
    }
    for url in [&args.from, &args.to] {
        if url == "memory:" {
            let what = "a journal in memory ends with this command, so it cannot be copied";
            let hint = "write `sqlite:PATH` or `dynamodb:TABLE`";
            return Err(Expected::usage(what, Some(hint)).into());
        }
    }
    let from = opened(&args.from, Open::ReadOnly).await?;
    let contents = JournalContents::read(from.as_ref()).await?;
    must_be_quiet(context, from.as_ref(), &contents, &args.from).await?;
    let to = opened(&args.to, Open::Create).await?;
    must_be_empty(to.as_ref(), &args.to).await?;
    write(to.as_ref(), &contents).await?;
    compare(&from, &to, &contents, args).await?;
    let mut streams: Vec<&CutoverName> = Vec::new();
    for entry in &contents.entries {
        if entry.seq == 1 {
            streams.push(&entry.cutover);
        }
    }
    let (entries, cursors) = (contents.entries.len(), contents.cursors.len());
    if context.json() {
        context.print_json(&json!({
            "from": args.from,
            "to": args.to,
            "entries": entries,
            "streams": streams.len(),
            "cursors": cursors,
        }))?;
    } else {
        context.print_line(&format!(
            "copied {entries} entries of {} streams and {cursors} cursors of channels to {}, and read them back",
            streams.len(),
            args.to
        ))?;
    }
    context.note(&format!(
        "use the copy from now on: `export CUTOVER_JOURNAL='{}'`; a controller that still uses {} would act on its own",
        args.to, args.from
    ))?;
    Ok(Exit::Done)
}

async fn opened(url: &str, mode: Open) -> Result<Arc<dyn Journal>> {
    let opened = open_url(url, mode).await;
    opened.map_err(|error| crate::cli::books::expected(error, url))
}

/// Checks that nobody uses the source.
///
/// # Errors
/// A controller has looked lately, a write is under way, or an entry cannot be read by this version.
async fn must_be_quiet(
    context: &Context<'_>,
    from: &dyn Journal,
    contents: &JournalContents,
    url: &str,
) -> Result<()> {
    let now = context.clock.now();
    for heartbeat in from.heartbeats().await? {
        if !heartbeat.ended && status::is_fresh(&heartbeat, now) {
            let (id, host) = (&heartbeat.controller, &heartbeat.host);
            return Err(in_use(format!(
                "the controller {id} on {host} uses {url}; stop it, and wait a minute"
            )));
        }
    }
    let mut ledger = Ledger::default();
    for entry in &contents.entries {
        if let Event::Unreadable { why } = &entry.event {
            let (seq, name) = (entry.seq, &entry.cutover);
            return Err(in_use(format!(
                "entry {seq} of {name} cannot be copied: {why}; copy with the version of this program that wrote it"
            )));
        }
        ledger.take(entry);
    }
    let mut busy = Vec::new();
    for state in ledger.states() {
        if state.write.is_some() {
            busy.push(state.name.to_string());
        }
    }
    if busy.is_empty() {
        return Ok(());
    }
    let names = lists::some(&busy, ", ");
    Err(in_use(format!(
        "a write is under way in {names}; run the controller until it is read back (`cutover status` shows it), stop the \
         controller, and copy then"
    )))
}

fn in_use(reason: String) -> anyhow::Error {
    let refused = Expected::DoesNotApply {
        command: "journal copy",
        name: "this journal".to_owned(),
        reason,
    };
    refused.into()
}

async fn must_be_empty(to: &dyn Journal, url: &str) -> Result<()> {
    let there = JournalContents::read(to).await?;
    let beats = to.heartbeats().await?;
    if there.entries.is_empty() && there.cursors.is_empty() && beats.is_empty() {
        return Ok(());
    }
    let entries = there.entries.len();
    Err(in_use(format!(
        "{url} is not empty: it has {entries} entries; name a journal that does not exist yet"
    )))
}

/// Appends everything to an empty journal, in the same order and under the same numbers.
async fn write(to: &dyn Journal, contents: &JournalContents) -> Result<()> {
    let mut heads: BTreeMap<CutoverName, u64> = BTreeMap::new();
    for entries in contents.entries.chunks(APPEND_EVENTS_MAX) {
        let mut append = Append {
            expect: Vec::new(),
            entries: Vec::new(),
            append_id: format!("copy-{:032x}", fastrand::u128(..)),
        };
        let mut expected = BTreeMap::new();
        for entry in entries {
            let head = heads.entry(entry.cutover.clone()).or_default();
            expected.entry(entry.cutover.clone()).or_insert(*head);
            *head += 1;
            append.entries.push(NewEntry {
                cutover: entry.cutover.clone(),
                attempt: entry.attempt,
                at: entry.at,
                actor: entry.actor.clone(),
                event: entry.event.clone(),
            });
        }
        append.expect.extend(expected);
        append_patiently(to, append).await?;
    }
    for cursor in &contents.cursors {
        if to.put_cursors(std::slice::from_ref(cursor)).await? != [true] {
            return Err(anyhow!(
                "somebody else wrote to the new journal during the copy"
            ));
        }
    }
    Ok(())
}

/// Appends, and tries again if the journal is down. An append that was written although its reply was lost is not written
/// twice.
async fn append_patiently(to: &dyn Journal, append: Append) -> Result<(), JournalError> {
    for _ in 1..APPEND_TRIES_MAX {
        match to.append(append.clone()).await {
            Err(JournalError::Down(why)) => {
                tracing::warn!("the copy goes on in a second: {why}");
                tokio::time::sleep(APPEND_AGAIN_AFTER).await;
            }
            answer => return answer.map(drop),
        }
    }
    to.append(append).await.map(drop)
}

/// Reads both journals again.
///
/// # Errors
/// The source has changed meanwhile, or the copy differs from it.
async fn compare(
    from: &Arc<dyn Journal>,
    to: &Arc<dyn Journal>,
    contents: &JournalContents,
    args: &JournalCopy,
) -> Result<()> {
    let (source, target) = (&args.from, &args.to);
    if JournalContents::read(from.as_ref()).await? != *contents {
        return Err(anyhow!(
            "{source} changed during the copy, so {target} is not complete: stop all controllers, and copy to another place"
        ));
    }
    // Opened anew, so that the copy is read from where it lies.
    let copied = opened(target, Open::ReadOnly).await?;
    drop(Arc::clone(to));
    let mut expected = Vec::new();
    for entry in &contents.entries {
        expected.push(Envelope {
            version: JOURNAL_VERSION,
            ..entry.clone()
        });
    }
    let copy = JournalContents::read(copied.as_ref()).await?;
    if copy.entries != expected || copy.cursors != contents.cursors {
        return Err(anyhow!(
            "{target} is not the same as {source}: do not use it, and copy to another place"
        ));
    }
    Ok(())
}
