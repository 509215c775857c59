//! The writer of one zone. It packs jobs into batches, sends them, and finds the bad job when a batch is refused.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::controller::batch::{self, Size};
use crate::controller::queues::{SharedQueues, WritePlace, ZoneJob};
use crate::engine::backoff::Backoff;
use crate::engine::decide::{Part, Purpose};
use crate::engine::event::FailureClass;
use crate::engine::record::GroupName;
use crate::ports::{CallError, RecordChange, Urgency};

/// Longest comment of a batch, in characters. Source: Route 53 API Reference, `ChangeBatch$Comment`
/// (`ResourceDescription`).
const COMMENT_MAX: usize = 256;

/// Number of times that a throttled revert is sent before the failure is journaled and the next round tries again.
const REVERT_TRIES: u32 = 5;

/// The waits after throttled batches.
const BACKOFF: Backoff = Backoff {
    first: SignedDuration::from_millis(250),
    longest: SignedDuration::from_secs(4),
};

/// Number of times in a row that batches are throttled before they are made smaller. The first time, another caller may
/// be the cause.
const THROTTLED_BEFORE_HALVING: u32 = 2;

/// Smallest number of elements to which batches are cut. Calls are limited too, and a zone's revert must not become
/// hundreds of them.
const ELEMENTS_MIN: usize = 60;

/// Writes the jobs of a zone until its queue is empty.
pub(super) async fn write(shared: Arc<SharedQueues>, place: WritePlace) {
    let mut writer = Writer {
        shared,
        place,
        elements_max: batch::LIMIT.elements,
        throttled: 0,
    };
    while let Some(jobs) = writer.shared.take(&writer.place) {
        writer.write_all(jobs).await;
    }
}

struct Writer {
    shared: Arc<SharedQueues>,
    place: WritePlace,
    /// Largest number of elements of a batch now. It is halved when Route 53 throttles repeatedly, because Route 53
    /// also limits the number of changes (change-based throttling).
    elements_max: usize,
    /// Number of times in a row that Route 53 has throttled.
    throttled: u32,
}

impl Writer {
    async fn write_all(&mut self, jobs: Vec<ZoneJob>) {
        let mut batches = self.pack(jobs);
        while !batches.is_empty() {
            let urgent = batches
                .iter()
                .flatten()
                .any(|job| job.purpose == Purpose::Revert);
            if !urgent && self.shared.has_revert(&self.place) {
                self.shared
                    .put_back(&self.place, batches.into_iter().flatten().collect());
                return;
            }
            let jobs = self.sendable(batches.remove(0)).await;
            if !jobs.is_empty() {
                let retry = self.write_batch(jobs).await;
                batches.splice(0..0, retry);
            }
        }
    }

    /// Packs jobs into batches, in order. A job is never cut, unless it is a revert that is too large for one batch.
    fn pack(&self, jobs: Vec<ZoneJob>) -> Vec<Vec<ZoneJob>> {
        let mut batches: Vec<(Size, Vec<ZoneJob>)> = Vec::new();
        for job in jobs.into_iter().flat_map(|job| self.cut_if_too_large(job)) {
            let size = size(&job.parts);
            match batches.last_mut() {
                Some((total, batch)) if self.fits(total.plus(size)) => {
                    *total = total.plus(size);
                    batch.push(job);
                }
                Some(_) | None => batches.push((size, vec![job])),
            }
        }
        batches.into_iter().map(|(_, batch)| batch).collect()
    }

    /// Returns true if a batch may be this large now.
    fn fits(&self, total: Size) -> bool {
        total.fits() && total.elements <= self.elements_max
    }

    /// Cuts a revert that does not fit into one batch, because its groups need not move together. Any other job stays
    /// whole.
    fn cut_if_too_large(&self, job: ZoneJob) -> Vec<ZoneJob> {
        if job.purpose != Purpose::Revert || self.fits(size(&job.parts)) {
            return vec![job];
        }
        let (mut pieces, mut total): (Vec<ZoneJob>, Size) = (Vec::new(), Size::default());
        for part in &job.parts {
            let own = size(std::slice::from_ref(part));
            let grown = total.plus(own);
            match pieces.last_mut() {
                Some(piece) if self.fits(grown) => {
                    piece.parts.push(part.clone());
                    total = grown;
                }
                Some(_) | None => {
                    pieces.push(ZoneJob {
                        parts: vec![part.clone()],
                        ..job.clone()
                    });
                    total = own;
                }
            }
        }
        pieces
    }

    /// Returns the jobs that may still be sent. The others are reported as not sent: they are too late, or the journal
    /// has entries that this process has not seen (semantics A1).
    async fn sendable(&self, jobs: Vec<ZoneJob>) -> Vec<ZoneJob> {
        let mut sendable = Vec::new();
        for job in jobs {
            match self.stale(&job).await {
                None => sendable.push(job),
                Some(why) => self.shared.report_unsent(&self.place.1, &job, why),
            }
        }
        sendable
    }

    /// Returns why a job may no longer be sent; `None` if it may be sent.
    async fn stale(&self, job: &ZoneJob) -> Option<&'static str> {
        if self.shared.known(&job.cutover).abandoned {
            return Some("the cutover was abandoned");
        }
        if job.purpose == Purpose::Revert {
            return None;
        }
        self.shared
            .stale(&job.cutover, job.epoch, job.send_by)
            .await
    }

    /// Sends one batch. If it is refused, returns the batches to send instead.
    async fn write_batch(&mut self, jobs: Vec<ZoneJob>) -> Vec<Vec<ZoneJob>> {
        let changes: Vec<RecordChange> = jobs
            .iter()
            .flat_map(|job| &job.parts)
            .flat_map(batch::changes)
            .collect();
        let (account, zone) = &self.place;
        let urgency = urgency(&jobs);
        let sent = self
            .shared
            .dns
            .change(account, zone, &changes, &comment(&jobs), urgency)
            .await;
        let error = match sent {
            Ok(submitted) => {
                self.throttled = 0;
                self.elements_max = (self.elements_max * 2).min(batch::LIMIT.elements);
                for job in &jobs {
                    self.shared.report_submitted(zone, job, &submitted);
                }
                return Vec::new();
            }
            Err(error) => error,
        };
        match error.class {
            FailureClass::Conflict | FailureClass::Permanent => self.put_aside(jobs, &error),
            FailureClass::Throttled => self.back_off(jobs, &error).await,
            FailureClass::Transient | FailureClass::Denied | FailureClass::NotSent => {
                self.fail(&jobs, &error);
                Vec::new()
            }
        }
    }

    /// Waits after a throttled batch, and returns the jobs to send again, in batches that may be smaller. A step waits
    /// no longer than its deadline, and not at all once a revert is queued for the zone.
    async fn back_off(&mut self, jobs: Vec<ZoneJob>, error: &CallError) -> Vec<Vec<ZoneJob>> {
        self.throttled += 1;
        let wait = BACKOFF.after(self.throttled).unsigned_abs();
        if self.throttled >= THROTTLED_BEFORE_HALVING {
            let sent = size_of_all(&jobs).elements;
            let half = self.elements_max.min(sent) / 2;
            self.elements_max = half.max(ELEMENTS_MIN).min(self.elements_max);
        }
        let (mut again, mut over) = (Vec::new(), Vec::new());
        for job in jobs {
            let may_go_again = match job.send_by {
                Some(by) => Instant::now() + wait < by,
                None => job.throttled + 1 < REVERT_TRIES,
            };
            if may_go_again {
                again.push(job);
            } else {
                over.push(job);
            }
        }
        self.fail(&over, error);
        if again.is_empty() {
            return Vec::new();
        }
        for job in &mut again {
            job.throttled += 1;
        }
        if urgency(&again) == Urgency::Revert {
            tokio::time::sleep(wait).await;
        } else {
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                () = self.shared.revert_queued(&self.place) => {}
            }
        }
        self.pack(again)
    }

    /// Handles a batch that was refused because of a bad record. Jobs that the message names are sent alone, and the
    /// others together. If it names none, the batch is cut in half, between cutovers; if it names all, nothing is sent
    /// again.
    fn put_aside(&self, mut jobs: Vec<ZoneJob>, error: &CallError) -> Vec<Vec<ZoneJob>> {
        if jobs.len() == 1 {
            let Some(job) = jobs.pop() else {
                return Vec::new();
            };
            return self.put_parts_aside(job, error);
        }
        let (bad, good): (Vec<ZoneJob>, Vec<ZoneJob>) = jobs
            .into_iter()
            .partition(|job| job.parts.iter().any(|part| is_named(part, error)));
        if good.is_empty() {
            // All are named: our own write had landed, or another controller's had. If they were sent again, all would
            // be refused again. So each is read back and decided again.
            self.fail(&bad, error);
            return Vec::new();
        }
        if bad.is_empty() {
            let mut first = good;
            let second = first.split_off(first.len() / 2);
            return vec![first, second];
        }
        let mut batches = vec![good];
        for job in bad {
            batches.push(vec![job]);
        }
        batches
    }

    /// Puts the bad groups of one job aside. A step's groups in a zone move together or not at all; a revert goes on
    /// without the bad group (semantics A7).
    fn put_parts_aside(&self, job: ZoneJob, error: &CallError) -> Vec<Vec<ZoneJob>> {
        let zone = &self.place.1;
        if job.purpose != Purpose::Revert || job.parts.len() == 1 {
            self.shared.report_failed(zone, &job, &job.parts, error);
            return Vec::new();
        }
        let (bad, good): (Vec<Part>, Vec<Part>) = job
            .parts
            .iter()
            .cloned()
            .partition(|part| is_named(part, error));
        if bad.is_empty() || (good.is_empty() && have_one_name(&bad)) {
            // No group is named, or only a name without its type. Send one group at a time.
            return one_by_one(&job);
        }
        self.shared.report_failed(zone, &job, &bad, error);
        if good.is_empty() {
            return Vec::new();
        }
        vec![vec![ZoneJob { parts: good, ..job }]]
    }

    fn fail(&self, jobs: &[ZoneJob], error: &CallError) {
        for job in jobs {
            self.shared
                .report_failed(&self.place.1, job, &job.parts, error);
        }
    }
}

/// Returns the urgency of the most urgent job of a batch.
fn urgency(jobs: &[ZoneJob]) -> Urgency {
    if jobs.iter().any(|job| job.purpose == Purpose::Revert) {
        Urgency::Revert
    } else {
        Urgency::Normal
    }
}

/// Returns the groups of a revert, each in a batch of its own.
fn one_by_one(job: &ZoneJob) -> Vec<Vec<ZoneJob>> {
    let mut batches = Vec::new();
    for part in &job.parts {
        batches.push(vec![ZoneJob {
            parts: vec![part.clone()],
            ..job.clone()
        }]);
    }
    batches
}

/// Returns true if all groups have the same name, and differ only in their types.
fn have_one_name(parts: &[Part]) -> bool {
    let mut names = parts.iter().map(|part| &part.image.old.name);
    let first = names.next();
    names.all(|name| Some(name) == first)
}

fn is_named(part: &Part, error: &CallError) -> bool {
    let record = &part.image.old;
    let name = GroupName {
        name: crate::engine::units::DnsName::new(&record.name),
        record_type: record.record_type.clone(),
    };
    error.culprits.contains(&name)
}

fn size(parts: &[Part]) -> Size {
    parts
        .iter()
        .map(|part| batch::size(&batch::changes(part)))
        .fold(Size::default(), Size::plus)
}

fn size_of_all(jobs: &[ZoneJob]) -> Size {
    let sizes = jobs.iter().map(|job| size(&job.parts));
    sizes.fold(Size::default(), Size::plus)
}

/// Returns the comment of a batch: the name, step and sequence number of each job, as far as there is room.
fn comment(jobs: &[ZoneJob]) -> String {
    let labels: Vec<&str> = jobs.iter().map(|job| job.label.as_str()).collect();
    let comment = format!("cutover: {}", labels.join("; "));
    if comment.chars().count() <= COMMENT_MAX {
        return comment;
    }
    let head: String = comment.chars().take(COMMENT_MAX - 1).collect();
    format!("{head}…")
}
