//! The queues of the zones, which the rounds fill and the writers empty, and what the writers report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::engine::decide::{Part, Purpose};
use crate::engine::event::{Event, FailureClass};
use crate::engine::plan::Account;
use crate::engine::units::{CutoverName, WriteId, ZoneId};
use crate::ports::{CallError, Dns, Journal, Submitted};

/// The longest time for reading a stream's head from the journal (semantics F2). A step that waits for it blocks the
/// zone.
const HEAD_WITHIN: Duration = Duration::from_secs(2);

/// A zone, and the credentials that it is written with.
pub(super) type WritePlace = (Account, ZoneId);

/// One cutover's job in a zone's queue. Its parts go into one atomic batch.
#[derive(Debug, Clone)]
pub(super) struct ZoneJob {
    pub(super) cutover: CutoverName,
    pub(super) write_id: WriteId,
    pub(super) purpose: Purpose,
    pub(super) parts: Vec<Part>,
    /// The last moment to send it, by the monotonic clock; `None` for a revert.
    pub(super) send_by: Option<Instant>,
    /// The epoch of the stream when the order was decided; see [`Head`].
    pub(super) epoch: u64,
    /// The name of the job in the batch's comment.
    pub(super) label: String,
    /// Number of times that it was sent and throttled.
    pub(super) throttled: u32,
}

/// The result of a job, or of a part of it.
#[derive(Debug, Clone)]
pub(super) struct WriteOutcome {
    pub(super) cutover: CutoverName,
    /// The event to append to the cutover's stream.
    pub(super) event: Event,
    /// Number of its groups, which are no longer under way.
    pub(super) groups: usize,
    /// The zone if the job was a revert; otherwise `None`.
    pub(super) reverted_in: Option<ZoneId>,
}

/// The state that the writers of all zones share.
pub(super) struct SharedQueues {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) queues: Mutex<BTreeMap<WritePlace, ZoneQueue>>,
    pub(super) heads: Mutex<BTreeMap<CutoverName, Head>>,
    /// Notified when a revert is queued in any zone.
    pub(super) reverts: Notify,
    pub(super) outcomes: mpsc::UnboundedSender<WriteOutcome>,
}

/// The head of a stream as this process has seen it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    /// Sequence number of the last entry in the stream.
    pub(super) seq: u64,
    /// Number of times that somebody else has written to the stream. A step that was decided before the last of them is
    /// stale (semantics A1).
    pub(super) epoch: u64,
    /// True if a person has abandoned the cutover. Then nothing more is written, not even a queued revert.
    pub(super) abandoned: bool,
}

#[derive(Default)]
pub(super) struct ZoneQueue {
    pub(super) jobs: Vec<ZoneJob>,
    pub(super) has_writer: bool,
}

impl SharedQueues {
    /// Removes the most urgent jobs of a zone from its queue and returns them: only reverts while there are any. `None`
    /// if the queue is empty; the writer then ends.
    pub(super) fn take(&self, place: &WritePlace) -> Option<Vec<ZoneJob>> {
        let mut queues = lock(&self.queues);
        let queue = queues.get_mut(place)?;
        if queue.jobs.is_empty() {
            queue.has_writer = false;
            return None;
        }
        let reverting = queue.jobs.iter().any(|job| job.purpose == Purpose::Revert);
        let (taken, left) = std::mem::take(&mut queue.jobs)
            .into_iter()
            .partition(|job| !reverting || job.purpose == Purpose::Revert);
        queue.jobs = left;
        Some(taken)
    }

    /// Returns true if a revert is queued for the zone.
    pub(super) fn has_revert(&self, place: &WritePlace) -> bool {
        let queues = lock(&self.queues);
        let Some(queue) = queues.get(place) else {
            return false;
        };
        queue.jobs.iter().any(|job| job.purpose == Purpose::Revert)
    }

    /// Waits until a revert is queued for the zone.
    pub(super) async fn revert_queued(&self, place: &WritePlace) {
        loop {
            let ring = self.reverts.notified();
            let mut ring = std::pin::pin!(ring);
            ring.as_mut().enable();
            if self.has_revert(place) {
                return;
            }
            ring.await;
        }
    }

    /// Puts jobs back into the queue, behind those that were queued meanwhile.
    pub(super) fn put_back(&self, place: &WritePlace, jobs: Vec<ZoneJob>) {
        lock(&self.queues)
            .entry(place.clone())
            .or_default()
            .jobs
            .extend(jobs);
    }

    /// Returns the head of a stream as this process has seen it.
    pub(super) fn known(&self, cutover: &CutoverName) -> Head {
        lock(&self.heads).get(cutover).copied().unwrap_or_default()
    }

    /// Returns why something that was decided in this epoch of a stream may no longer be sent, if so: the journal has moved
    /// on, or cannot be read, or the deadline has passed (semantics A1).
    pub(super) async fn stale(
        &self,
        cutover: &CutoverName,
        epoch: u64,
        send_by: Option<Instant>,
    ) -> Option<&'static str> {
        let head = tokio::time::timeout(HEAD_WITHIN, self.journal.head(cutover)).await;
        // Read after the head: it then includes the entries that this process appended meanwhile.
        let known = self.known(cutover);
        match head {
            Ok(Ok(head)) if head <= known.seq && known.epoch == epoch => {}
            Ok(Ok(_)) => return Some("the journal has moved on"),
            Ok(Err(_)) | Err(_) => return Some("the journal cannot be read"),
        }
        if send_by.is_some_and(|by| Instant::now() >= by) {
            return Some("its deadline has passed");
        }
        None
    }

    pub(super) fn report_submitted(&self, zone: &ZoneId, job: &ZoneJob, submitted: &Submitted) {
        let event = Event::WeightChangeSubmitted {
            write_id: job.write_id.clone(),
            zone: zone.clone(),
            groups: groups(&job.parts),
            change_id: submitted.change_id.clone(),
            server_time: submitted.server_time,
        };
        self.report(zone, job, &job.parts, event);
    }

    /// Reports that these parts of a job failed.
    pub(super) fn report_failed(
        &self,
        zone: &ZoneId,
        job: &ZoneJob,
        parts: &[Part],
        error: &CallError,
    ) {
        let event = Event::WeightChangeFailed {
            write_id: job.write_id.clone(),
            zone: zone.clone(),
            groups: groups(parts),
            class: error.class,
            message: error.to_string(),
        };
        self.report(zone, job, parts, event);
    }

    pub(super) fn report_unsent(&self, zone: &ZoneId, job: &ZoneJob, why: &str) {
        let event = Event::WeightChangeFailed {
            write_id: job.write_id.clone(),
            zone: zone.clone(),
            groups: groups(&job.parts),
            class: FailureClass::NotSent,
            message: why.to_owned(),
        };
        self.report(zone, job, &job.parts, event);
    }

    fn report(&self, zone: &ZoneId, job: &ZoneJob, parts: &[Part], event: Event) {
        let reverted_in = match job.purpose {
            Purpose::Revert => Some(zone.clone()),
            Purpose::Step | Purpose::Resubmit => None,
        };
        let outcome = WriteOutcome {
            cutover: job.cutover.clone(),
            event,
            groups: parts.len(),
            reverted_in,
        };
        // The receiver lives as long as the controller; after that nobody waits for the result.
        self.outcomes.send(outcome).unwrap_or_default();
    }
}

pub(super) fn groups(parts: &[Part]) -> Vec<usize> {
    let unique: BTreeSet<usize> = parts.iter().map(|part| part.group).collect();
    unique.into_iter().collect()
}

/// Locks a mutex even if it is poisoned. A writer that panicked left the data consistent, and the way back must stay
/// open.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
