//! `cutover rollback --from FILE…`: rollback from break-glass files, without the journal.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use tokio::time::Instant;

use super::aftermath::Aftermath;
use super::calls::{Calls, counted};
use super::journaled::{self, JournalTold, Telling};
use super::progress::Progress;
use super::stored;
use crate::cli::args::Rollback;
use crate::cli::context::{Context, block_on};
use crate::cli::error::Expected;
use crate::cli::exit::Exit;
use crate::cli::run::outside;
use crate::controller::emergency::Emergency;
use crate::engine::backoff::Backoff;
use crate::engine::foreign_text::one_line;
use crate::engine::lists;
use crate::engine::plan::Account;
use crate::engine::record::GroupImage;
use crate::engine::units::CutoverName;
use crate::journal::MemoryJournal;
use crate::ports::Clock;
use crate::report::holds;

/// Shows what will be written, asks, and writes until Route 53 has accepted everything.
///
/// # Errors
/// A file is not a break-glass file or gives the new side more than the old one, nobody confirms, or a cutover is named
/// and the journal does not know its groups.
pub(super) fn run(context: &mut Context<'_>, args: &Rollback) -> Result<Exit> {
    let (files, names) = files_and_names(args);
    let images = stored::read_all(&files)?;
    block_on(async {
        let images = only_of(context, images, &names).await?;
        let records = records_shown(&images);
        if !args.force
            && let Some(rise) = rise(&images)
        {
            context.note_lines(records.trim_end())?;
            return Err(rise.into());
        }
        let calls = Calls::of_images(&images, true).shown();
        let question = format!("{records}{calls}write these records over whatever is there?");
        context.confirm("rollback", args.yes, &question)?;
        if args.yes {
            context.note_lines(format!("{records}{calls}").trim_end())?;
        }
        write(context, args, images).await
    })
}

/// Separates files from names. `--from` takes all arguments after it, so an argument that is not a file and does not
/// look like a path is the name of a cutover.
fn files_and_names(args: &Rollback) -> (Vec<PathBuf>, Vec<String>) {
    let (mut files, mut names) = (Vec::new(), args.names.clone());
    for path in &args.from {
        let text = path.to_string_lossy();
        let is_file = text.contains(".json") || text.contains('/') || path.exists();
        if is_file {
            files.push(path.clone());
        } else {
            names.push(text.into_owned());
        }
    }
    (files, names)
}

/// Returns the images of the groups of the named cutovers; all images if no cutover is named.
/// # Errors
/// The journal cannot be read, or the files hold no group of the named cutovers.
async fn only_of(
    context: &Context<'_>,
    images: Vec<GroupImage>,
    names: &[String],
) -> Result<Vec<GroupImage>> {
    if names.is_empty() {
        return Ok(images);
    }
    let named = lists::some(names, ", ");
    let all = "`cutover status` shows the names if the journal can be read; without a name, all groups of the files are written, of every cutover in them";
    let Some(groups) = journaled::groups_of(&context.global.journal, names).await else {
        let why = format!(
            "break-glass files do not name cutovers, and the journal at {} cannot be read to find the groups of {named}",
            context.global.journal
        );
        return Err(Expected::usage(why, Some(all)).into());
    };
    let mut own = images;
    own.retain(|image| groups.contains(&journaled::zone_group(image)));
    if own.is_empty() {
        let why = format!("the files have no group that the journal knows for {named}");
        return Err(Expected::usage(why, Some(all)).into());
    }
    Ok(own)
}

/// Returns every record that would be written, with its weight, one line each (semantics M9).
fn records_shown(images: &[GroupImage]) -> String {
    let mut lines = String::new();
    for image in images {
        for record in [&image.old, &image.new] {
            let line = format!(
                "zone {}: {} {} `{}` weight {}",
                image.zone, record.name, record.record_type, record.set_identifier, record.weight.0
            );
            lines.push_str(&one_line(&line));
            lines.push('\n');
        }
    }
    lines
}

/// Returns the error if a group gives the old side less than the new one (semantics M9); `None` if all groups lead
/// back.
fn rise(images: &[GroupImage]) -> Option<Expected> {
    let image = images
        .iter()
        .find(|image| image.old.weight < image.new.weight)?;
    let why = format!(
        "{} {} would give the old side (`{}`) {} and the new side (`{}`) {}: that does not lead back",
        image.old.name,
        image.old.record_type,
        image.old.set_identifier,
        image.old.weight.0,
        image.new.set_identifier,
        image.new.weight.0
    );
    Some(Expected::usage(
        why,
        Some("nothing was written; correct the file, or write it anyway with `--force`"),
    ))
}

/// Prints whether the journal, if there is one, has the rollback too.
async fn tell_of_journal(context: &mut Context<'_>, telling: Telling) -> Result<()> {
    let journal = context.global.journal.clone();
    match telling.end().await {
        JournalTold::NoJournal => Ok(()),
        JournalTold::Cutovers(names) if names.is_empty() => Ok(()),
        JournalTold::Cutovers(names) => {
            let names: Vec<&str> = names.iter().map(CutoverName::as_str).collect();
            let names = lists::some(&names, ", ");
            context.note(&format!(
                "the journal at {journal} has the rollback too, for {names}: its controllers end these cutovers"
            ))
        }
        JournalTold::Failed(why) => context.note(&format!(
            "the journal at {journal} does not have the rollback ({why}): stop its controllers, or they may take the next \
             step; when it answers again: `cutover rollback NAME`"
        )),
    }
}

async fn write(
    context: &mut Context<'_>,
    args: &Rollback,
    images: Vec<GroupImage>,
) -> Result<Exit> {
    let until = Instant::now() + args.timeout.try_into().unwrap_or_default();
    let journal = Arc::new(MemoryJournal::new());
    let dns = outside(context, journal.clone()).await.dns;
    let now = context.clock.now();
    let reason = args.reason.as_deref();
    let telling = Telling::begin(&context.global.journal, &images, reason, now);
    let mut aftermath = Aftermath::default();
    let mut placed = Vec::new();
    for image in images {
        placed.push((Account::default(), image));
    }
    aftermath.add(placed.iter().cloned());
    let progress = Progress::of(placed.len());
    let mut emergency = Emergency::new(Arc::clone(&dns), journal, placed);
    let (mut told, mut tries) = (String::new(), 0);
    let mut explained = false;
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
        tries += 1;
        let wait = Backoff::TRIES.after(tries);
        let again = Instant::now() + wait.unsigned_abs();
        if again >= until {
            for (group, why) in emergency.left() {
                context.note(&format!("{group} was not accepted: {why}"))?;
            }
            break;
        }
        if !explained {
            explained = true;
            aftermath.tell_obstacles(context, dns.as_ref()).await?;
        }
        let left = counted(emergency.left().count(), "group");
        context.note(&format!(
            "{left} not accepted; next try in {} s",
            wait.as_secs()
        ))?;
        tokio::time::sleep_until(again).await;
    }
    // Without a journal, only this reading shows what is back.
    let found = aftermath.read_back(context, dns.as_ref()).await?;
    if emergency.done() > 0 {
        let accepted = emergency.accepted();
        aftermath
            .drain(context, dns.as_ref(), accepted, until)
            .await?;
    }
    tell_of_journal(context, telling).await?;
    if !found.strays.is_empty() {
        context.print_line(&holds::strays(&found.strays))?;
        return Ok(Exit::Halted);
    }
    if emergency.left().next().is_none() && found.astray + found.unread == 0 {
        let written = counted(found.good, "group");
        context.print_line(&format!("{written}: at the baseline, read back"))?;
        return Ok(Exit::Done);
    }
    Ok(Exit::RevertUnfinished)
}
