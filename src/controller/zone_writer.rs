//! One zone's writer: packs jobs into batches, sends them, and finds the bad one when a batch is refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::batch::{self, Size};
use crate::controller::perform::{Job, Place, Shared};
use crate::engine::decide::{Part, Purpose};
use crate::engine::event::FailureClass;
use crate::engine::record::GroupName;
use crate::ports::{CallError, RecordChange, Urgency};

/// The longest comment of a batch. Source: Route 53 API Reference, `ChangeBatch$Comment` (`ResourceDescription`).
const COMMENT_MAX: usize = 256;

/// How often a throttled revert is sent again here before the failure is journaled and the next round goes on.
const REVERT_TRIES: u32 = 5;

/// The first wait after a throttled batch; it doubles up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait after a throttled batch.
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// How often in a row batches are throttled before they are made smaller: the first time may be somebody else's doing.
const THROTTLED_BEFORE_HALVING: u32 = 2;

/// Batches are not made smaller than this many elements: calls are rationed too, and a zone's revert must not become
/// hundreds of them.
const ELEMENTS_MIN: usize = 60;

/// How long the journal may take to say where a stream stands (semantics F2). A step that waits for it keeps the zone.
const HEAD_WITHIN: Duration = Duration::from_secs(2);

/// Writes until the zone's queue is empty.
pub(super) async fn write(shared: Arc<Shared>, place: Place) {
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
    shared: Arc<Shared>,
    place: Place,
    /// How large a batch may be now: halved when Route 53 throttles again and again, because changes are throttled by
    /// number too (change-based throttling).
    elements_max: usize,
    /// How often in a row Route 53 throttled.
    throttled: u32,
}

impl Writer {
    async fn write_all(&mut self, jobs: Vec<Job>) {
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

    /// Packs jobs into batches, in order; a job is never cut, unless it is a revert that is too large alone.
    fn pack(&self, jobs: Vec<Job>) -> Vec<Vec<Job>> {
        let mut batches: Vec<(Size, Vec<Job>)> = Vec::new();
        let fits = |total: Size| total.fits() && total.elements <= self.elements_max;
        for job in jobs.into_iter().flat_map(|job| cut_if_too_large(job, fits)) {
            let size = size(&job.parts);
            match batches
                .last_mut()
                .filter(|(total, _)| fits(total.plus(size)))
            {
                Some((total, batch)) => {
                    *total = total.plus(size);
                    batch.push(job);
                }
                None => batches.push((size, vec![job])),
            }
        }
        batches.into_iter().map(|(_, batch)| batch).collect()
    }

    /// Leaves out what may no longer be sent: too late, or the journal has moved on (semantics A1).
    async fn sendable(&self, jobs: Vec<Job>) -> Vec<Job> {
        let mut sendable = Vec::new();
        for job in jobs {
            match self.stale(&job).await {
                None => sendable.push(job),
                Some(why) => self.shared.report_unsent(&self.place.1, &job, why),
            }
        }
        sendable
    }

    async fn stale(&self, job: &Job) -> Option<&'static str> {
        if self.shared.known(&job.cutover).abandoned {
            return Some("the cutover was abandoned");
        }
        if job.purpose == Purpose::Revert {
            return None;
        }
        let head = self.shared.journal.head(&job.cutover);
        let head = tokio::time::timeout(HEAD_WITHIN, head).await;
        // Asked after the head was read: what this process itself appended meanwhile, it knows.
        let known = self.shared.known(&job.cutover);
        match head {
            Ok(Ok(head)) if head <= known.seq && known.epoch == job.epoch => {}
            Ok(Ok(_)) => return Some("the journal has moved on"),
            Ok(Err(_)) | Err(_) => return Some("the journal cannot be read"),
        }
        let late = job.send_by.is_some_and(|by| Instant::now() >= by);
        late.then_some("its deadline has passed")
    }

    /// Sends one batch; returns the batches that are to be sent instead where it was refused.
    async fn write_batch(&mut self, jobs: Vec<Job>) -> Vec<Vec<Job>> {
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

    /// Waits, and returns what is to be sent again, in batches that may be smaller. A step waits no longer than it may
    /// be sent, and not at all once a revert wants the zone.
    async fn back_off(&mut self, jobs: Vec<Job>, error: &CallError) -> Vec<Vec<Job>> {
        let doublings = self.throttled.min(8);
        let wait = BACKOFF_FIRST
            .saturating_mul(1 << doublings)
            .min(BACKOFF_MAX);
        self.throttled += 1;
        if self.throttled >= THROTTLED_BEFORE_HALVING {
            let sent = size_of_all(&jobs).elements;
            let half = self.elements_max.min(sent) / 2;
            self.elements_max = half.max(ELEMENTS_MIN).min(self.elements_max);
        }
        let again = |job: &Job| match job.send_by {
            Some(by) => Instant::now() + wait < by,
            None => job.throttled + 1 < REVERT_TRIES,
        };
        let (mut again, over): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(again);
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

    /// One bad record fails a whole batch: those that the message names are put aside, the rest is sent again; where it
    /// names nobody, the batch is cut in half, between cutovers; where it names everybody, nothing is sent again.
    fn put_aside(&self, mut jobs: Vec<Job>, error: &CallError) -> Vec<Vec<Job>> {
        if jobs.len() == 1 {
            return jobs
                .pop()
                .map(|job| self.put_parts_aside(job, error))
                .unwrap_or_default();
        }
        let (bad, good): (Vec<Job>, Vec<Job>) = jobs
            .into_iter()
            .partition(|job| job.parts.iter().any(|part| is_named(part, error)));
        if good.is_empty() {
            // Every one is named: our own write had landed, or a rival's did. Sent again they would all be refused again;
            // each is read back and decided afresh.
            self.fail(&bad, error);
            return Vec::new();
        }
        if bad.is_empty() {
            let mut first = good;
            let second = first.split_off(first.len() / 2);
            return vec![first, second];
        }
        let alone = bad.into_iter().map(|job| vec![job]);
        std::iter::once(good).chain(alone).collect()
    }

    /// A step's groups in a zone move together or not at all; a revert goes on without the bad group (semantics A7).
    fn put_parts_aside(&self, job: Job, error: &CallError) -> Vec<Vec<Job>> {
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
            // Nobody is named, or a name of which the message says no type: one group at a time.
            return one_by_one(&job);
        }
        self.shared.report_failed(zone, &job, &bad, error);
        if good.is_empty() {
            return Vec::new();
        }
        vec![vec![Job { parts: good, ..job }]]
    }

    fn fail(&self, jobs: &[Job], error: &CallError) {
        for job in jobs {
            self.shared
                .report_failed(&self.place.1, job, &job.parts, error);
        }
    }
}

/// Reverts go before everything else.
fn urgency(jobs: &[Job]) -> Urgency {
    if jobs.iter().any(|job| job.purpose == Purpose::Revert) {
        Urgency::Revert
    } else {
        Urgency::Normal
    }
}

/// A revert's groups, each in a batch of its own.
fn one_by_one(job: &Job) -> Vec<Vec<Job>> {
    job.parts
        .iter()
        .map(|part| {
            vec![Job {
                parts: vec![part.clone()],
                ..job.clone()
            }]
        })
        .collect()
}

/// Whether all groups are of one name, and differ in their types alone.
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

fn size_of_all(jobs: &[Job]) -> Size {
    let sizes = jobs.iter().map(|job| size(&job.parts));
    sizes.fold(Size::default(), Size::plus)
}

/// A revert that does not fit one batch goes in several: its groups need not move together.
fn cut_if_too_large(job: Job, fits: impl Fn(Size) -> bool) -> Vec<Job> {
    if job.purpose != Purpose::Revert || fits(size(&job.parts)) {
        return vec![job];
    }
    let (mut pieces, mut total): (Vec<Job>, Size) = (Vec::new(), Size::default());
    for part in &job.parts {
        let grown = total.plus(size(std::slice::from_ref(part)));
        let piece = pieces.last_mut().filter(|_| fits(grown));
        if let Some(piece) = piece {
            piece.parts.push(part.clone());
            total = grown;
        } else {
            pieces.push(Job {
                parts: vec![part.clone()],
                ..job.clone()
            });
            total = size(std::slice::from_ref(part));
        }
    }
    pieces
}

/// Name, step and sequence number of what is in the batch, as far as there is room.
fn comment(jobs: &[Job]) -> String {
    let labels: Vec<&str> = jobs.iter().map(|job| job.label.as_str()).collect();
    let comment = format!("cutover: {}", labels.join("; "));
    if comment.chars().count() <= COMMENT_MAX {
        return comment;
    }
    let head: String = comment.chars().take(COMMENT_MAX - 1).collect();
    format!("{head}…")
}
