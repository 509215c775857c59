//! How far a rollback has come, for whoever watches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::calls::counted;
use crate::cli::context::Context;
use crate::engine::event::{Envelope, Event};
use crate::engine::units::{ChangeId, CutoverName, ZoneId};

/// How often progress is told, if there is any.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What has been seen of a rollback so far; clones share it.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    wanted: usize,
    /// How many groups have been submitted, each counted once.
    submitted: usize,
    groups: BTreeSet<(CutoverName, usize)>,
    accepted: BTreeMap<ZoneId, BTreeSet<ChangeId>>,
    back: BTreeSet<CutoverName>,
    /// What was refused last of each cutover, until it is submitted or back.
    trouble: BTreeMap<CutoverName, String>,
}

impl Progress {
    /// Nothing has happened; so many groups are to go back.
    pub(super) fn of(wanted: usize) -> Self {
        let seen = Seen {
            wanted,
            ..Seen::default()
        };
        Self(Arc::new(Mutex::new(seen)))
    }

    /// Takes a journal entry.
    pub(super) fn see(&self, entry: &Envelope) {
        let mut seen = self.seen();
        match &entry.event {
            Event::WeightChangeSubmitted {
                zone,
                groups,
                change_id,
                ..
            } => {
                let of = |group: &usize| (entry.cutover.clone(), *group);
                seen.groups.extend(groups.iter().map(of));
                seen.submitted = seen.groups.len();
                let changes = seen.accepted.entry(zone.clone()).or_default();
                changes.insert(change_id.clone());
                seen.trouble.remove(&entry.cutover);
            }
            Event::WeightChangeFailed { message, .. } => {
                seen.trouble.insert(entry.cutover.clone(), message.clone());
            }
            Event::Reverted { .. } => {
                seen.trouble.remove(&entry.cutover);
                seen.back.insert(entry.cutover.clone());
            }
            // Nothing else says how far it has come.
            _ => {}
        }
    }

    /// Takes the numbers of a rollback from files.
    pub(super) fn set(&self, submitted: usize, accepted: &BTreeMap<ZoneId, BTreeSet<ChangeId>>) {
        let mut seen = self.seen();
        seen.submitted = submitted;
        seen.accepted.clone_from(accepted);
    }

    /// The batches that were accepted, with their zones.
    pub(super) fn accepted(&self) -> BTreeMap<ZoneId, BTreeSet<ChangeId>> {
        self.seen().accepted.clone()
    }

    /// Tells of every progress, for ever.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn tell(&self, context: &mut Context<'_>) -> Result<()> {
        let mut told = String::new();
        let mut ticks = tokio::time::interval(TELL_EVERY);
        loop {
            ticks.tick().await;
            self.tell_once(context, &mut told)?;
        }
    }

    /// Tells how far it has come, if that is news.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) fn tell_once(&self, context: &mut Context<'_>, told: &mut String) -> Result<()> {
        let now = self.line();
        if now.is_empty() || now == *told {
            return Ok(());
        }
        context.note(&now)?;
        *told = now;
        Ok(())
    }

    fn line(&self) -> String {
        let seen = self.seen();
        if seen.submitted == 0 && seen.trouble.is_empty() {
            return String::new();
        }
        let batches = seen.accepted.values().map(BTreeSet::len).sum();
        let mut line = format!(
            "{} of {} submitted: {} in {}",
            seen.submitted,
            counted(seen.wanted, "group"),
            counted(batches, "batch"),
            counted(seen.accepted.len(), "zone"),
        );
        if !seen.back.is_empty() {
            line = format!("{line}; {} back", counted(seen.back.len(), "cutover"));
        }
        if let Some((name, trouble)) = seen.trouble.first_key_value() {
            let more = match seen.trouble.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            line = format!("{line}; not accepted: {name}{more}: {trouble}");
        }
        line
    }

    /// A panic elsewhere leaves the numbers whole.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
