//! Shows the progress of a rollback to the person who waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::calls::counted;
use crate::cli::context::Context;
use crate::engine::event::{Envelope, Event};
use crate::engine::units::{ChangeId, CutoverName, ZoneId};

/// The shortest time between two progress messages.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The progress of a rollback so far; clones share it.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Mutex<ProgressCounts>>);

#[derive(Default)]
struct ProgressCounts {
    wanted: usize,
    /// Number of groups submitted, each counted once.
    submitted: usize,
    groups: BTreeSet<(CutoverName, usize)>,
    accepted: BTreeMap<ZoneId, BTreeSet<ChangeId>>,
    back: BTreeSet<CutoverName>,
    /// The last refusal of each cutover, until it is submitted or back.
    trouble: BTreeMap<CutoverName, String>,
}

impl Progress {
    /// Returns the progress before the first call; `wanted` groups go back.
    pub(super) fn of(wanted: usize) -> Self {
        let seen = ProgressCounts {
            wanted,
            ..ProgressCounts::default()
        };
        Self(Arc::new(Mutex::new(seen)))
    }

    /// Updates the progress with a journal entry.
    pub(super) fn see(&self, entry: &Envelope) {
        let mut seen = self.seen();
        // Other events do not change the progress.
        if let Event::WeightChangeSubmitted {
            zone,
            groups,
            change_id,
            ..
        } = &entry.event
        {
            for group in groups {
                seen.groups.insert((entry.cutover.clone(), *group));
            }
            seen.submitted = seen.groups.len();
            let changes = seen.accepted.entry(zone.clone()).or_default();
            changes.insert(change_id.clone());
            seen.trouble.remove(&entry.cutover);
        } else if let Event::WeightChangeFailed { message, .. } = &entry.event {
            seen.trouble.insert(entry.cutover.clone(), message.clone());
        } else if let Event::Reverted { .. } = &entry.event {
            seen.trouble.remove(&entry.cutover);
            seen.back.insert(entry.cutover.clone());
        }
    }

    /// Sets the counts of a rollback from files, which has no journal entries.
    pub(super) fn set(&self, submitted: usize, accepted: &BTreeMap<ZoneId, BTreeSet<ChangeId>>) {
        let mut seen = self.seen();
        seen.submitted = submitted;
        seen.accepted.clone_from(accepted);
    }

    /// Returns the IDs of the accepted changes, by zone.
    pub(super) fn accepted(&self) -> BTreeMap<ZoneId, BTreeSet<ChangeId>> {
        self.seen().accepted.clone()
    }

    /// Prints the progress when it changes, at most once per [`TELL_EVERY`]. Returns only with an error.
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

    /// Prints the progress if it differs from `told`, which is the last printed one.
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

    /// Locks the counts. A panic in another thread leaves them consistent.
    fn seen(&self) -> MutexGuard<'_, ProgressCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
