//! Sends orders, in parallel to the rounds: one writer per zone, zones in parallel, reverts first.
//!
//! Route 53 serialises writes per zone (`PriorRequestNotComplete`), so a second writer would only be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::controller::zone_writer;
use crate::engine::decide::{Order, Part, Purpose};
use crate::engine::event::{Event, FailureClass};
use crate::engine::plan::Account;
use crate::engine::units::{CutoverName, WriteId, ZoneId};
use crate::ports::{CallError, Dns, Journal, Submitted};

/// A zone, and the credentials that it is written with.
pub(super) type Place = (Account, ZoneId);

/// One cutover's part of a zone's queue. Its parts go in one atomic batch.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) cutover: CutoverName,
    pub(super) write_id: WriteId,
    pub(super) purpose: Purpose,
    pub(super) parts: Vec<Part>,
    /// The last moment to send it, by the monotonic clock; `None` for a revert.
    pub(super) send_by: Option<Instant>,
    /// The epoch of the stream when the order was decided; see [`Head`].
    pub(super) epoch: u64,
    /// Its label in the batch's comment.
    pub(super) label: String,
    /// How often it was sent and throttled.
    pub(super) throttled: u32,
}

/// The result of a job, or of a part of it.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) cutover: CutoverName,
    /// To be appended to the cutover's stream.
    pub(super) event: Event,
    /// The number of its groups; they are no longer under way.
    pub(super) groups: usize,
    /// The zone, if the job was a revert.
    pub(super) reverted_in: Option<ZoneId>,
}

/// The queues of all zones.
pub(super) struct Performer {
    shared: Arc<Shared>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    /// The number of groups of each cutover that are queued or on the wire.
    under_way: BTreeMap<CutoverName, usize>,
    /// The number of groups of reverts that are queued or on the wire, by zone.
    reverting: BTreeMap<ZoneId, usize>,
    /// The zones' writers; they end with the controller.
    writers: JoinSet<()>,
}

/// State that the writers of the zones share.
pub(super) struct Shared {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) journal: Arc<dyn Journal>,
    queues: Mutex<BTreeMap<Place, Queue>>,
    heads: Mutex<BTreeMap<CutoverName, Head>>,
    /// Notified when a revert is queued in any zone.
    reverts: Notify,
    outcomes: mpsc::UnboundedSender<Outcome>,
}

/// The head of a stream as this process has seen it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    /// Its last entry.
    pub(super) seq: u64,
    /// How often somebody else has written to it. A step that was decided before is stale (semantics A1).
    pub(super) epoch: u64,
    /// A person has abandoned the cutover: nothing more is written, not even a queued revert.
    pub(super) abandoned: bool,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    has_writer: bool,
}

impl Performer {
    pub(super) fn new(dns: Arc<dyn Dns>, journal: Arc<dyn Journal>) -> Self {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let shared = Shared {
            dns,
            journal,
            queues: Mutex::default(),
            heads: Mutex::default(),
            reverts: Notify::new(),
            outcomes: sender,
        };
        Self {
            shared: Arc::new(shared),
            outcomes,
            under_way: BTreeMap::new(),
            reverting: BTreeMap::new(),
            writers: JoinSet::new(),
        }
    }

    /// The writers' shared state, for other tasks that must not act on a stale stream.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Returns true if a write of this cutover is queued or on the wire.
    pub(super) fn is_under_way(&self, cutover: &CutoverName) -> bool {
        self.under_way.contains_key(cutover)
    }

    /// Returns true while a revert in this zone is queued or on the wire.
    pub(super) fn is_reverting_in(&self, zone: &ZoneId) -> bool {
        self.reverting.contains_key(zone)
    }

    /// Returns true if nothing is queued or on the wire.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Tells the writers the last entry of a stream that this process has seen.
    pub(super) fn note_head(&self, cutover: &CutoverName, seq: u64) {
        let mut heads = lock(&self.shared.heads);
        heads.entry(cutover.clone()).or_default().seq = seq;
    }

    /// Tells the writers that the steps queued for a cutover are stale: somebody else has written to its stream.
    pub(super) fn note_foreign(&self, cutover: &CutoverName) {
        let mut heads = lock(&self.shared.heads);
        heads.entry(cutover.clone()).or_default().epoch += 1;
    }

    /// Tells the writers that a person has abandoned a cutover.
    pub(super) fn note_abandoned(&self, cutover: &CutoverName) {
        let mut heads = lock(&self.shared.heads);
        heads.entry(cutover.clone()).or_default().abandoned = true;
    }

    /// How often somebody else has written to a stream.
    pub(super) fn epoch(&self, cutover: &CutoverName) -> u64 {
        self.shared.known(cutover).epoch
    }

    /// Queues an order, split by zone. `account_of` returns the account of the zone of a part's group.
    pub(super) fn perform(
        &mut self,
        cutover: &CutoverName,
        account_of: impl Fn(usize) -> Account,
        order: &Order,
        epoch: u64,
        label: &str,
        now: Timestamp,
    ) {
        let mut zones: BTreeMap<(Account, ZoneId), Vec<Part>> = BTreeMap::new();
        for part in &order.parts {
            zones
                .entry((account_of(part.group), part.image.zone.clone()))
                .or_default()
                .push(part.clone());
        }
        for (place, parts) in zones {
            let send_by = order.send_by;
            let job = Job {
                cutover: cutover.clone(),
                write_id: order.write_id.clone(),
                purpose: order.purpose,
                parts,
                send_by: send_by.map(|by| Instant::now() + monotonic(by.duration_since(now))),
                epoch,
                label: label.to_owned(),
                throttled: 0,
            };
            *self.under_way.entry(cutover.clone()).or_default() += job.parts.len();
            self.enqueue(place, job);
        }
    }

    /// Removes the steps of a cutover from the queues. Those that a writer has taken out of its queue already, in a
    /// batch behind the one on the wire or in one that was throttled, are stale from now on.
    pub(super) fn drop_queued(&mut self, cutover: &CutoverName) {
        self.note_foreign(cutover);
        let mut dropped = Vec::new();
        for ((_, zone), queue) in lock(&self.shared.queues).iter_mut() {
            for job in std::mem::take(&mut queue.jobs) {
                if job.cutover == *cutover && job.purpose != Purpose::Revert {
                    dropped.push((zone.clone(), job));
                } else {
                    queue.jobs.push(job);
                }
            }
        }
        for (zone, job) in dropped {
            self.shared
                .report_unsent(&zone, &job, "it was stopped before it was sent");
        }
    }

    /// Waits for the next outcome.
    pub(super) async fn next(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => self.note(outcome),
            // `shared` holds a sender, so the channel cannot be closed.
            None => std::future::pending().await,
        }
    }

    /// The next outcome, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        Some(self.note(outcome))
    }

    fn note(&mut self, outcome: Outcome) -> Outcome {
        count_down(&mut self.under_way, &outcome.cutover, outcome.groups);
        if let Some(zone) = &outcome.reverted_in {
            count_down(&mut self.reverting, zone, outcome.groups);
        }
        outcome
    }

    fn enqueue(&mut self, place: Place, job: Job) {
        while self.writers.try_join_next().is_some() {}
        let reverts = job.purpose == Purpose::Revert;
        if reverts {
            *self.reverting.entry(place.1.clone()).or_default() += job.parts.len();
        }
        let mut queues = lock(&self.shared.queues);
        let queue = queues.entry(place.clone()).or_default();
        queue.jobs.push(job);
        if !queue.has_writer {
            queue.has_writer = true;
            let writer = zone_writer::write(Arc::clone(&self.shared), place);
            self.writers.spawn(writer);
        }
        drop(queues);
        if reverts {
            self.shared.reverts.notify_waiters();
        }
    }
}

impl Shared {
    /// Takes the most urgent jobs of a zone out of its queue: only reverts while there are any. Returns `None` if the
    /// queue is empty; the writer then ends.
    pub(super) fn take(&self, place: &Place) -> Option<Vec<Job>> {
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
    pub(super) fn has_revert(&self, place: &Place) -> bool {
        let queues = lock(&self.queues);
        let Some(queue) = queues.get(place) else {
            return false;
        };
        queue.jobs.iter().any(|job| job.purpose == Purpose::Revert)
    }

    /// Returns when a revert is queued for the zone.
    pub(super) async fn revert_queued(&self, place: &Place) {
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

    /// Puts jobs back, behind those that were queued meanwhile.
    pub(super) fn put_back(&self, place: &Place, jobs: Vec<Job>) {
        lock(&self.queues)
            .entry(place.clone())
            .or_default()
            .jobs
            .extend(jobs);
    }

    /// The head of a stream as this process has seen it.
    pub(super) fn known(&self, cutover: &CutoverName) -> Head {
        lock(&self.heads).get(cutover).copied().unwrap_or_default()
    }

    pub(super) fn report_submitted(&self, zone: &ZoneId, job: &Job, submitted: &Submitted) {
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
        job: &Job,
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

    pub(super) fn report_unsent(&self, zone: &ZoneId, job: &Job, why: &str) {
        let event = Event::WeightChangeFailed {
            write_id: job.write_id.clone(),
            zone: zone.clone(),
            groups: groups(&job.parts),
            class: FailureClass::NotSent,
            message: why.to_owned(),
        };
        self.report(zone, job, &job.parts, event);
    }

    fn report(&self, zone: &ZoneId, job: &Job, parts: &[Part], event: Event) {
        let reverted_in = match job.purpose {
            Purpose::Revert => Some(zone.clone()),
            Purpose::Step | Purpose::Resubmit => None,
        };
        let outcome = Outcome {
            cutover: job.cutover.clone(),
            event,
            groups: parts.len(),
            reverted_in,
        };
        // The receiver lives as long as the controller; after that nobody waits for the outcome.
        self.outcomes.send(outcome).unwrap_or_default();
    }
}

/// Lowers a count; a key whose count reaches zero is removed.
fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K, by: usize) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(by);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn groups(parts: &[Part]) -> Vec<usize> {
    let unique: BTreeSet<usize> = parts.iter().map(|part| part.group).collect();
    unique.into_iter().collect()
}

fn monotonic(duration: SignedDuration) -> std::time::Duration {
    duration.try_into().unwrap_or_default()
}

/// Locks, also if the lock is poisoned: a writer that panicked left the data whole, and the way back must stay open.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
