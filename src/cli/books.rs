//! The journal as commands look at it: opened, read once, folded by cutover.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use super::context::Context;
use super::error::{Expected, illegal};
use crate::engine::event::Envelope;
use crate::engine::fold::{IllegalEvent, fold};
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::journal::{Open, open};
use crate::ports::{Heartbeat, Journal, JournalError, Position};

/// Opens the journal that the command line names.
///
/// # Errors
/// [`Expected::JournalMissing`] where there is none, or what the journal says.
pub fn open_journal(context: &Context<'_>, mode: Open) -> Result<Arc<dyn Journal>> {
    open(&context.global.journal, mode).map_err(|error| match error {
        JournalError::Missing(place) => Expected::JournalMissing { place }.into(),
        error @ (JournalError::Conflict { .. }
        | JournalError::Unusable(_)
        | JournalError::Down(_)) => error.into(),
    })
}

/// Everything that the journal says, by cutover.
#[derive(Debug, Default)]
pub struct Books {
    /// The entries of each cutover, in order.
    pub entries: BTreeMap<CutoverName, Vec<Envelope>>,
    /// All heartbeats, newest first.
    pub heartbeats: Vec<Heartbeat>,
}

impl Books {
    /// Reads all there is.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn read(journal: &dyn Journal) -> Result<Self, JournalError> {
        let (all, _) = journal.read_after(Position::default()).await?;
        let mut entries: BTreeMap<CutoverName, Vec<Envelope>> = BTreeMap::new();
        for entry in all {
            // Streams that begin with `@` are about the whole fleet.
            if !entry.cutover.as_str().starts_with('@') {
                entries
                    .entry(entry.cutover.clone())
                    .or_default()
                    .push(entry);
            }
        }
        Ok(Self {
            entries,
            heartbeats: journal.heartbeats().await?,
        })
    }

    /// All cutovers.
    pub fn names(&self) -> Vec<CutoverName> {
        self.entries.keys().cloned().collect()
    }

    /// One cutover's state.
    ///
    /// # Errors
    /// There is no such cutover, or its entries make no sense.
    pub fn state(&self, name: &CutoverName) -> Result<State> {
        let unknown = || super::names::unknown(name.as_str(), &self.names());
        let entries = self.entries.get(name).ok_or_else(unknown)?;
        Ok(fold(entries).map_err(illegal)?.ok_or_else(unknown)?)
    }

    /// The states of all cutovers, and what could not be folded: one damaged stream must not hide the others.
    pub fn states(&self) -> (BTreeMap<CutoverName, State>, Vec<IllegalEvent>) {
        let mut states = BTreeMap::new();
        let mut damaged = Vec::new();
        for (name, entries) in &self.entries {
            match fold(entries) {
                Ok(Some(state)) => drop(states.insert(name.clone(), state)),
                Ok(None) => {}
                Err(error) => damaged.push(error),
            }
        }
        (states, damaged)
    }
}
