//! The journal as commands look at it: opened, read once, folded by cutover.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use super::context::Context;
use super::error::{Expected, illegal};
use crate::engine::event::Envelope;
use crate::engine::fleet::{self, Fleet};
use crate::engine::fold::{IllegalEvent, apply};
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::journal::{Open, open};
use crate::ports::{Cursor, Heartbeat, Journal, JournalError, Position};

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

/// Everything that the journal says, by cutover; folded once.
#[derive(Debug, Default)]
pub struct Books {
    /// The entries of each cutover, in order.
    pub entries: BTreeMap<CutoverName, Vec<Envelope>>,
    /// The entries of `@fleet`, in order.
    pub fleet_entries: Vec<Envelope>,
    /// All cutovers, as far as they concern each other.
    pub fleet: Fleet,
    /// All heartbeats, newest first.
    pub heartbeats: Vec<Heartbeat>,
    /// How far channels have been told, by stream and channel.
    pub cursors: Vec<Cursor>,
    /// How far the journal has been read.
    position: Position,
    states: BTreeMap<CutoverName, Option<State>>,
    damaged: BTreeMap<CutoverName, IllegalEvent>,
}

impl Books {
    /// Reads all there is: two queries, however many cutovers there are.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn read(journal: &dyn Journal) -> Result<Self, JournalError> {
        let mut books = Self {
            heartbeats: journal.heartbeats().await?,
            cursors: journal.cursors().await?,
            ..Self::default()
        };
        books.refresh(journal).await?;
        Ok(books)
    }

    /// Reads what was appended since, by whomever; heartbeats and cursors stay as they were.
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
        if fleet::is_fleet(&entry.cutover) {
            self.fleet.take(&entry);
            self.fleet_entries.push(entry);
            return;
        }
        let name = entry.cutover.clone();
        if !self.damaged.contains_key(&name) {
            let state = self.states.entry(name.clone()).or_default();
            let before = state.as_ref().map(|state| state.phase);
            match (apply(state, &entry), &state) {
                (Ok(()), Some(after)) => self.fleet.note(&entry, before, after),
                (Ok(()), None) => {}
                (Err(error), _) => drop(self.damaged.insert(name.clone(), error)),
            }
        }
        self.entries.entry(name).or_default().push(entry);
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
        if let Some(error) = self.damaged.get(name) {
            return Err(illegal(error.clone()));
        }
        let state = self.states.get(name).and_then(Option::as_ref);
        Ok(state.ok_or_else(unknown)?.clone())
    }

    /// The states of all cutovers, and what could not be folded: one damaged stream must not hide the others.
    pub fn states(&self) -> (BTreeMap<CutoverName, State>, Vec<IllegalEvent>) {
        let whole = self
            .whole()
            .map(|state| (state.name.clone(), state.clone()));
        (whole.collect(), self.damaged.values().cloned().collect())
    }

    /// The states of all cutovers that could be folded.
    pub fn whole(&self) -> impl Iterator<Item = &State> {
        let whole = |(name, state)| (!self.damaged.contains_key(name)).then_some(state);
        self.states.iter().filter_map(whole).flatten()
    }

    /// The cutovers whose entries make no sense.
    pub fn damaged(&self) -> impl Iterator<Item = &IllegalEvent> {
        self.damaged.values()
    }
}
