//! `cutover rollback --from FILE…`: the way back without the journal, from break-glass files.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::aftermath::Aftermath;
use super::calls::{Calls, counted};
use super::progress::Progress;
use super::stored;
use crate::cli::args::Rollback;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::Exit;
use crate::cli::run::outside;
use crate::controller::emergency::Emergency;
use crate::engine::plan::Account;
use crate::engine::record::GroupImage;
use crate::journal::MemoryJournal;
use crate::ports::Clock;

/// The first wait before what was refused is sent again; it doubles up to the longest.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest wait.
const AGAIN_AFTER_MAX: Duration = Duration::from_mins(1);

/// Shows what would be written, asks, and writes it until Route 53 has all of it.
///
/// # Errors
/// A file is none of ours, or nobody confirms.
pub(super) fn run(context: &mut Context<'_>, args: &Rollback) -> Result<Exit> {
    let images = stored::read_all(&args.from)?;
    let question = Calls::of_images(&images, true).shown();
    let question = format!("{question}write the stored records over whatever is there?");
    context.confirm("rollback", args.yes, &question)?;
    if args.yes {
        context.note(Calls::of_images(&images, true).shown().trim_end())?;
    }
    block_on(write(context, args, images))
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
                context.note(&format!("{group} was not accepted: {why}"))?;
            }
            break;
        }
        let left = counted(emergency.left().count(), "group");
        context.note(&format!(
            "{left} not accepted; again in {} s",
            wait.as_secs()
        ))?;
        tokio::time::sleep_until(again).await;
        wait = (wait * 2).min(AGAIN_AFTER_MAX);
    }
    // No journal says that anything was ever read back: only what is seen now counts.
    let found = aftermath.read_back(context, dns.as_ref()).await?;
    if emergency.done() > 0 {
        let accepted = emergency.accepted();
        aftermath
            .drain(context, dns.as_ref(), accepted, until)
            .await?;
    }
    if emergency.left().next().is_none() && found.astray + found.unread == 0 {
        let written = counted(found.good, "group");
        context.print(&format!("{written}: at the baseline, read back\n"))?;
        return Ok(Exit::Done);
    }
    Ok(Exit::RevertUnfinished)
}
