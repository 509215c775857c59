//! Sends orders, in parallel to the rounds: one writer per zone, zones in parallel, reverts first.
//!
//! Route 53 serialises writes per zone (`PriorRequestNotComplete`), so a second writer would only be refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::controller::queues::{SharedQueues, WriteOutcome, WritePlace, ZoneJob, lock};
use crate::controller::zone_writer;
use crate::engine::decide::{Order, Part, Purpose};
use crate::engine::plan::Account;
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{Dns, Journal};

/// The queues of all zones, and the results of their writers.
pub(super) struct Performer {
    shared: Arc<SharedQueues>,
    outcomes: mpsc::UnboundedReceiver<WriteOutcome>,
    /// The number of groups of each cutover that are queued or on the wire.
    under_way: BTreeMap<CutoverName, usize>,
    /// The number of groups of reverts that are queued or on the wire, by zone.
    reverting: BTreeMap<ZoneId, usize>,
    /// The writers of the zones, which end with the controller.
    writers: JoinSet<()>,
}

impl Performer {
    pub(super) fn new(dns: Arc<dyn Dns>, journal: Arc<dyn Journal>) -> Self {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let shared = SharedQueues {
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

    /// Returns the state that the writers share, for other tasks that must not act on a stale stream.
    pub(super) fn shared(&self) -> Arc<SharedQueues> {
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

    /// Tells the writers that a person has abandoned a cutover, so that nothing more is written for it.
    pub(super) fn note_abandoned(&self, cutover: &CutoverName) {
        let mut heads = lock(&self.shared.heads);
        heads.entry(cutover.clone()).or_default().abandoned = true;
    }

    /// Returns the number of times that somebody else has written to a stream.
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
            let job = ZoneJob {
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

    /// Removes the queued steps of a cutover. Steps that a writer has already taken out of its queue, in a batch that
    /// waits behind another one or was throttled, are stale from now on.
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

    /// Waits for the next result of a write.
    pub(super) async fn next(&mut self) -> WriteOutcome {
        match self.outcomes.recv().await {
            Some(outcome) => self.note(outcome),
            // `shared` holds a sender, so the channel cannot be closed.
            None => std::future::pending().await,
        }
    }

    /// Returns the next result of a write; `None` if none has arrived.
    pub(super) fn try_next(&mut self) -> Option<WriteOutcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        Some(self.note(outcome))
    }

    fn note(&mut self, outcome: WriteOutcome) -> WriteOutcome {
        count_down(&mut self.under_way, &outcome.cutover, outcome.groups);
        if let Some(zone) = &outcome.reverted_in {
            count_down(&mut self.reverting, zone, outcome.groups);
        }
        outcome
    }

    fn enqueue(&mut self, place: WritePlace, job: ZoneJob) {
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

/// Lowers a count; a key whose count reaches zero is removed.
fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K, by: usize) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(by);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn monotonic(duration: SignedDuration) -> std::time::Duration {
    duration.try_into().unwrap_or_default()
}
