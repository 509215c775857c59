//! `cutover healthy`: whether the controller on this machine still works, for the health check of a container.

use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;

use super::books::open_journal;
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::run::host;
use super::status::is_fresh;
use crate::journal::Open;
use crate::ports::{Clock, Heartbeat};

/// How long the journal may take. Health checks of containers are ended after some seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Ends with 0 if a controller of this machine wrote a heartbeat lately, or if nobody can tell. To restart a controller
/// because its journal does not answer would only disarm its gates.
///
/// # Errors
/// The last heartbeat of this machine is too old, or there is none.
pub fn run(context: &mut Context<'_>) -> Result<Exit> {
    let read = block_on(async { Ok(timeout(ANSWERS_WITHIN, heartbeats(context)).await) })?;
    let heartbeats = match read {
        Ok(Ok(heartbeats)) => heartbeats,
        Err(_) => {
            context.note("the journal did not answer in time, so nobody can tell")?;
            return Ok(Exit::Done);
        }
        Ok(Err(error)) => {
            if let Some(Expected::JournalMissing { .. }) = error.downcast_ref::<Expected>() {
                return Err(error);
            }
            context.note(&format!(
                "the journal does not answer, so nobody can tell: {error}"
            ))?;
            return Ok(Exit::Done);
        }
    };
    let host = host();
    // Newest first. A controller that has ended says so; another one may have started since.
    let mut mine = heartbeats.iter().filter(|heartbeat| heartbeat.host == host);
    let Some(last) = mine.find(|heartbeat| !heartbeat.ended) else {
        context.note(&format!(
            "no controller of this machine ({host}) has written to the journal in the last day"
        ))?;
        return Ok(Exit::Unexpected);
    };
    let now = context.clock.now();
    let age = now.duration_since(last.at);
    let shown = format!(
        "the controller {} on {host} last worked {} s ago",
        last.controller,
        age.as_secs()
    );
    if is_fresh(last, now) {
        context.print_line(&shown)?;
        return Ok(Exit::Done);
    }
    context.note(&shown)?;
    Ok(Exit::Unexpected)
}

async fn heartbeats(context: &Context<'_>) -> Result<Vec<Heartbeat>> {
    let journal = open_journal(context, Open::ReadOnly).await?;
    Ok(journal.heartbeats().await?)
}
