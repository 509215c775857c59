//! Journals in tables of DynamoDB.

use std::sync::Arc;

use crate::aws::{DynamoSlots, Options, TableAddress};
use crate::cli::clock::SystemClock;
use crate::engine::plan::Account;
use crate::journal::{Open, SlotJournal, TableUrl};
use crate::ports::{Clock, Journal, JournalError};

/// The table of a URL. Calls nothing of the table yet.
///
/// # Errors
/// Its region is not known.
pub(super) async fn table_of(place: &TableUrl) -> Result<DynamoSlots, JournalError> {
    let account = Account::new(
        place.role_arn.clone(),
        place.external_id.clone(),
        place.region.as_deref(),
    );
    let address = TableAddress {
        table: place.table.clone(),
        region: place.region.clone(),
        account,
    };
    let options = Options::from_environment(Arc::new(SystemClock));
    DynamoSlots::connect(options, &address).await
}

/// Opens a journal in a table.
///
/// # Errors
/// As `open_url`.
pub(super) async fn open_table(
    place: &TableUrl,
    mode: Open,
) -> Result<Arc<dyn Journal>, JournalError> {
    let slots = table_of(place).await?;
    slots.check().await?;
    let (name, shown) = (place.journal.as_str(), place.to_string());
    let now = SystemClock.now();
    let journal = SlotJournal::open(Arc::new(slots), name, &shown, mode, now).await?;
    Ok(Arc::new(journal))
}
