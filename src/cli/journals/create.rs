//! `cutover journal create`: a table of DynamoDB, and a journal in it.

use anyhow::Result;

#[cfg(feature = "dynamodb")]
use super::make::make;
use crate::cli::args::JournalCreate;
use crate::cli::context::Context;
use crate::cli::error::Expected;
use crate::cli::exit::Exit;
use crate::journal::JournalUrl;
#[cfg(not(feature = "dynamodb"))]
use crate::journal::TableUrl;

/// Makes the table and the journal.
///
/// # Errors
/// The URL is not that of a table, nobody confirmed, or AWS refuses.
pub(super) async fn run(context: &mut Context<'_>, args: &JournalCreate) -> Result<Exit> {
    let url = args.url.as_ref().unwrap_or(&context.global.journal).clone();
    let place = match JournalUrl::parse(&url) {
        Ok(JournalUrl::Table(place)) => place,
        Ok(JournalUrl::Sqlite(_) | JournalUrl::Memory) => {
            let hint = "a journal in a file is created by `cutover run PATH…`; for a table write \
                        `cutover journal create dynamodb:TABLE`";
            return Err(Expected::usage(format!("`{url}` is not a table"), Some(hint)).into());
        }
        Err(why) => return Err(Expected::usage(why, None).into()),
    };
    make(context, &place, args.yes).await
}

#[cfg(not(feature = "dynamodb"))]
#[expect(clippy::unused_async, reason = "the other form of it waits for AWS")]
async fn make(_: &mut Context<'_>, place: &TableUrl, _: bool) -> Result<Exit> {
    let hint = "use a program that was built with the cargo feature `dynamodb`";
    let what = format!("{place}: this program was built without DynamoDB");
    Err(Expected::usage(what, Some(hint)).into())
}
