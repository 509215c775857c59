//! `cutover freeze`, `unfreeze` and `resume --fleet`: commands on the whole fleet, journaled with who gave them and why.

use anyhow::{Result, anyhow};
use jiff::Timestamp;

use super::args::{Freeze, Moment, Resume, Unfreeze};
use super::books::Books;
use super::context::{Context, block_on};
use super::error::{Expected, THE_FLEET};
use super::exit::Exit;
use super::operate::{Desk, RACES_MAX, actor, say};
use crate::engine::commands::Answer;
use crate::engine::fleet::commands;
use crate::engine::fleet::{self, Fleet};
use crate::ports::{Append, Clock, JournalError, NewEntry};

/// Freezes the fleet until a time, or until `unfreeze`.
///
/// # Errors
/// The fleet is already frozen until then, the time is past, or the journal does not exist or cannot be read or
/// written.
pub fn freeze(context: &mut Context<'_>, args: &Freeze) -> Result<Exit> {
    let now = context.clock.now();
    let until = match args.until {
        Some(Moment::At(at)) => Some(at),
        Some(Moment::In(length)) => Some(now + length),
        None => None,
    };
    give(context, "freeze", |fleet, now| {
        commands::freeze(fleet, until, &args.reason, now)
    })
}

/// Ends the freeze of the fleet.
///
/// # Errors
/// The fleet is not frozen, or the journal does not exist or cannot be read or written.
pub fn unfreeze(context: &mut Context<'_>, args: &Unfreeze) -> Result<Exit> {
    give(context, "unfreeze", |fleet, now| {
        commands::unfreeze(fleet, args.reason.as_deref(), now)
    })
}

/// Resumes the fleet after it spent its failure budget.
///
/// # Errors
/// No cutover was reverted automatically since the last `resume --fleet`, or the journal does not exist or cannot be
/// read or written.
pub fn resume(context: &mut Context<'_>, args: &Resume) -> Result<Exit> {
    let reason = args.reason.as_deref().unwrap_or_default();
    give(context, "resume --fleet", |fleet, _| {
        commands::resume(fleet, reason)
    })
}

/// Appends the event that `decide` returns to `@fleet`, on the condition that the stream has not changed since it was
/// read. If somebody else appended first, reads and decides again, at most [`RACES_MAX`] times.
fn give(
    context: &mut Context<'_>,
    command: &'static str,
    decide: impl Fn(&Fleet, Timestamp) -> Answer,
) -> Result<Exit> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let mut fleet = desk.books.fleet().clone();
        for _ in 0..=RACES_MAX {
            let now = context.clock.now();
            let event = decide(&fleet, now).map_err(|reason| Expected::DoesNotApply {
                command,
                name: THE_FLEET.to_owned(),
                reason: reason.to_string(),
            })?;
            let entry = NewEntry {
                cutover: fleet::stream(),
                attempt: 1,
                at: fleet.last_at.map_or(now, |last| last.max(now)),
                actor: actor(),
                event,
            };
            let append = Append {
                expect: vec![(fleet::stream(), fleet.seq)],
                entries: vec![entry],
                append_id: format!("{:032x}", fastrand::u128(..)),
            };
            match desk.journal.append(append).await {
                Ok(written) => {
                    say(context, &written)?;
                    return Ok(Exit::Done);
                }
                Err(JournalError::Conflict { .. }) => {
                    fleet = Books::read(desk.journal.as_ref()).await?.fleet().clone();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(anyhow!(
            "others write entries of the fleet faster than this command can; nothing was written: run it again"
        ))
    })
}
