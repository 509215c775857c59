//! The journal for commands: opened, read once, and folded by cutover.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::context::Context;
use super::error::Expected;
use super::journals::open::{is_remote, open_url};
use crate::engine::event::Envelope;
use crate::engine::fleet::{self, Damage, Fleet};
use crate::engine::ledger::Ledger;
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::journal::Open;
use crate::ports::{Cursor, Heartbeat, Journal, JournalError, Position};

/// How long a journal may take before a person is told what the command waits for.
const SLOW_AFTER: Duration = Duration::from_secs(3);

/// The warning about a journal that is slow.
const SLOW: &str = "the journal does not answer; still waiting. To send the traffic back without it: \
                    `cutover rollback --from .cutover/break-glass/*.json`";

/// Waits for work on the journal. Logs a warning if it takes longer than [`SLOW_AFTER`].
async fn patiently<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(SLOW_AFTER, work.as_mut()).await {
        return done;
    }
    tracing::warn!("{SLOW}");
    work.await
}

/// Opens the journal that the command line names. Logs a warning if that takes longer than `SLOW_AFTER`.
///
/// # Errors
/// [`Expected::JournalMissing`] if there is none, or the error of the journal.
pub async fn open_journal(context: &Context<'_>, mode: Open) -> Result<Arc<dyn Journal>> {
    let url = context.global.journal.as_str();
    let opened = patiently(open_url(url, mode)).await;
    opened.map_err(|error| expected(error, url))
}

/// Returns the error of a journal that cannot be opened, for a person.
pub fn expected(error: JournalError, url: &str) -> anyhow::Error {
    match error {
        JournalError::Missing(place) => {
            let in_table = is_remote(url);
            Expected::JournalMissing { place, in_table }.into()
        }
        error @ (JournalError::Conflict { .. }
        | JournalError::Unusable(_)
        | JournalError::Down(_)) => error.into(),
    }
}

/// The whole content of the journal, by cutover, folded once.
#[derive(Debug, Default)]
pub struct Books {
    /// The entries of each cutover, in order.
    pub entries: BTreeMap<CutoverName, Vec<Envelope>>,
    /// The entries of `@fleet`, in order.
    pub fleet_entries: Vec<Envelope>,
    /// All heartbeats, newest first.
    pub heartbeats: Vec<Heartbeat>,
    /// How far entries have been delivered, by stream and channel.
    pub cursors: Vec<Cursor>,
    /// How far the journal has been read.
    position: Position,
    /// The fold of all entries, which has the states of the cutovers.
    ledger: Ledger,
}

impl Books {
    /// Reads the whole journal. The number of queries does not depend on the number of cutovers.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn read(journal: &dyn Journal) -> Result<Self, JournalError> {
        patiently(async {
            let mut books = Self {
                heartbeats: journal.heartbeats().await?,
                cursors: journal.cursors().await?,
                ..Self::default()
            };
            books.refresh(journal).await?;
            Ok(books)
        })
        .await
    }

    /// Reads the entries appended since the last read; heartbeats and cursors stay as they were.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn refresh(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        let (fresh, position) = journal.read_after(self.position).await?;
        for entry in fresh {
            self.take(entry);
        }
        self.position = position;
        Ok(())
    }

    fn take(&mut self, entry: Envelope) {
        self.ledger.take(&entry);
        if fleet::is_fleet(&entry.cutover) {
            self.fleet_entries.push(entry);
            return;
        }
        let name = entry.cutover.clone();
        self.entries.entry(name).or_default().push(entry);
    }

    /// Returns the state of the fleet, which concerns all cutovers together.
    pub fn fleet(&self) -> &Fleet {
        self.ledger.fleet()
    }

    /// Returns the names of all cutovers.
    pub fn names(&self) -> Vec<CutoverName> {
        self.entries.keys().cloned().collect()
    }

    /// Returns the state of a cutover.
    ///
    /// # Errors
    /// There is no such cutover, or its stream is damaged.
    pub fn state(&self, name: &CutoverName) -> Result<State> {
        if let Some(damage) = self.fleet().damage(name) {
            return Err(Expected::JournalDamaged {
                name: name.to_string(),
                entry: damage.entry,
                why: damage.why.clone(),
            }
            .into());
        }
        match self.ledger.state(name) {
            Some(state) => Ok(state.clone()),
            None => Err(super::names::unknown(name.as_str(), &self.names()).into()),
        }
    }

    /// Returns the state of a cutover; if its stream is damaged, the state before the damage. `None` if there is no
    /// state.
    pub fn last_good(&self, name: &CutoverName) -> Option<&State> {
        self.ledger.state(name)
    }

    /// Returns the states of all cutovers whose streams are not damaged.
    pub fn whole(&self) -> impl Iterator<Item = &State> {
        self.ledger.whole()
    }

    /// Returns the states of all cutovers. If a stream is damaged, its state is the one before the damage.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.ledger.states()
    }

    /// Returns the cutovers whose streams are damaged, and why.
    pub fn damaged(&self) -> impl Iterator<Item = (&CutoverName, &Damage)> {
        self.fleet().damaged()
    }
}
