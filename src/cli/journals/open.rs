//! Opens a journal by its URL, wherever it is.

use std::sync::Arc;

use tokio::sync::oneshot;

#[cfg(feature = "dynamodb")]
use super::table::open_table;
#[cfg(not(feature = "dynamodb"))]
use crate::journal::TableUrl;
use crate::journal::{JournalUrl, Open, open};
use crate::ports::{Journal, JournalError};

/// Opens the journal at a URL. Nothing here bounds the time: a disk may hang.
///
/// # Errors
/// As [`open`]. For a table, `Missing` also means that the table is not there.
pub async fn open_url(url: &str, mode: Open) -> Result<Arc<dyn Journal>, JournalError> {
    match JournalUrl::parse(url).map_err(JournalError::Unusable)? {
        // The SDK's futures have tens of kilobytes.
        JournalUrl::Table(place) => Box::pin(open_table(&place, mode)).await,
        JournalUrl::Sqlite(_) | JournalUrl::Memory => open_file(url, mode).await,
    }
}

/// Opens a file in a thread of its own, which is never joined, because a disk may hang.
async fn open_file(url: &str, mode: Open) -> Result<Arc<dyn Journal>, JournalError> {
    let url = url.to_owned();
    let (opened, opening) = oneshot::channel();
    std::thread::spawn(move || opened.send(open(&url, mode)));
    match opening.await {
        Ok(opened) => opened,
        Err(_) => Err(JournalError::Down("it cannot be opened".to_owned())),
    }
}

/// Returns true if the journal at this URL needs the network.
pub fn is_remote(url: &str) -> bool {
    matches!(JournalUrl::parse(url), Ok(JournalUrl::Table(_)))
}

/// Refuses journals in tables.
///
/// # Errors
/// Always.
#[cfg(not(feature = "dynamodb"))]
#[expect(clippy::unused_async, reason = "the other form of it waits for AWS")]
async fn open_table(place: &TableUrl, _: Open) -> Result<Arc<dyn Journal>, JournalError> {
    Err(JournalError::Unusable(format!(
        "{place}: this program was built without DynamoDB (cargo feature `dynamodb`); use one that has it, or write \
         `sqlite:PATH`"
    )))
}
