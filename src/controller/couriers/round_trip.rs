//! One delivery run to one channel: claims the cursors, delivers in order, and notes how far it came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::controller::outside::Outside;
use crate::engine::backoff::Backoff;
use crate::engine::notify::{Channel, Notice, Via, channel_shown};
use crate::engine::units::CutoverName;
use crate::ports::{
    Claim, Cursor, DELIVER_WITHIN, Delivery, JournalError, Skipped, Trouble, Undelivered,
};

/// Added to the limit of a delivery, in case its adapter does not end it.
const SLACK: Duration = Duration::from_secs(1);

/// How long a claim lasts: longer than a delivery, and renewed with each. If a process is killed during a delivery, the
/// next one waits this long.
pub(in crate::controller) const CLAIM_FOR: Duration = Duration::from_secs(20);

/// The waits after failures.
const BACKOFF: Backoff = Backoff {
    first: SignedDuration::from_secs(2),
    longest: SignedDuration::from_mins(5),
};

/// The longest wait for the journal.
const JOURNAL_WITHIN: Duration = Duration::from_secs(5);

/// The shortest wait after a failure while the journal is down, because failures are not counted then.
const UNCOUNTED_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The longest pause between two looks at another process's claim.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// The pause after another process has changed the cursor.
const RIVAL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The most characters of a failure that are kept.
const WHY_CHARS_MAX: usize = 300;

/// How often a message is tried that its service refuses for good, before it is skipped (semantics M10).
const REFUSALS_MAX: u32 = 5;

/// The most skipped messages that a cursor names.
const SKIPPED_NAMED_MAX: usize = 10;

/// How far a channel has been told of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ToldEntries {
    /// All entries up to this one are delivered or skipped.
    up_to: u64,
    /// Later entries that overtook others.
    ahead: BTreeSet<u64>,
}

impl ToldEntries {
    /// Returns true if an entry is delivered or skipped.
    pub(super) fn has(&self, seq: u64) -> bool {
        seq <= self.up_to || self.ahead.contains(&seq)
    }

    /// Adds the entries that another process has delivered.
    fn merge(&mut self, up_to: u64, ahead: &BTreeSet<u64>) {
        self.ahead.extend(ahead);
        self.raise(self.up_to.max(up_to));
    }

    /// Adds the entries that a run has delivered.
    pub(super) fn absorb(&mut self, run: &Self) {
        self.merge(run.up_to, &run.ahead);
    }

    /// Adds an entry; `waiting` is the first entry that is not delivered or skipped.
    fn add(&mut self, seq: u64, waiting: Option<u64>) {
        self.ahead.insert(seq);
        let last = match waiting {
            Some(first) => self.ahead.range(..first).next_back(),
            None => self.ahead.iter().next_back(),
        };
        if let Some(last) = last {
            self.raise(self.up_to.max(*last));
        }
    }

    fn raise(&mut self, up_to: u64) {
        self.up_to = up_to;
        self.ahead.retain(|seq| *seq > up_to);
    }
}

/// The notices of one stream for a run.
pub(super) struct Load {
    pub(super) key: QueueKey,
    /// The notices to deliver, in order.
    pub(super) notices: Vec<Arc<Notice>>,
    /// The first entry that waits and is not in this run.
    pub(super) left_behind: Option<u64>,
    /// The entries that this process knows to be delivered or skipped.
    pub(super) told: ToldEntries,
    /// Observes the wait that an earlier failure asked for.
    pub(super) patient: bool,
}

/// How far a run came with one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// The entries that are delivered or skipped, by any process.
    pub(super) told: ToldEntries,
    /// How long the rest must wait; `None` if it need not.
    pub(super) again_after: Option<Duration>,
    /// It waits for another process that delivers, or that died during a delivery.
    pub(super) claimed: bool,
    /// A message was not delivered.
    pub(super) fails: bool,
    /// The journal did not answer.
    pub(super) journal_down: bool,
}

/// One run over streams of one channel.
pub(super) struct DeliveryRun {
    pub(super) outside: Outside,
    pub(super) me: String,
    pub(super) channel: Channel,
    /// Each stream has one notice, and they are one message.
    pub(super) together: bool,
}

/// The end of a stream's part of a run before everything is delivered.
struct Stopped {
    /// The wait before the next run.
    wait: Duration,
    /// Another process delivers.
    claimed: bool,
}

impl Stopped {
    fn after(wait: Duration) -> Self {
        Self {
            wait,
            claimed: false,
        }
    }
}

/// One stream's part of a run.
struct Leg {
    cursor: Cursor,
    waiting: Vec<Arc<Notice>>,
    left_behind: Option<u64>,
    told: ToldEntries,
    patient: bool,
    stopped: Option<Stopped>,
    /// The journal does not answer. Pages are delivered all the same, without a claim, and noted in memory only.
    journal_down: bool,
}

impl Leg {
    fn of(load: Load, stored: Option<Cursor>) -> Self {
        let (stream, channel) = load.key;
        let cursor = stored.unwrap_or_else(|| Cursor::new(stream, channel));
        let mut told = load.told;
        told.merge(cursor.told, &cursor.ahead);
        let mut waiting = load.notices;
        waiting.retain(|notice| !told.has(notice.entry.seq));
        Self {
            cursor,
            waiting,
            left_behind: load.left_behind,
            told,
            patient: load.patient,
            stopped: None,
            journal_down: false,
        }
    }

    fn key(&self) -> QueueKey {
        (self.cursor.stream.clone(), self.cursor.channel.clone())
    }

    /// Goes on without the journal: everything but pages waits for it.
    fn lose_journal(&mut self) {
        self.journal_down = true;
        self.waiting.retain(|notice| notice.pages);
    }

    /// The next notice: the first; while that fails, the first urgent one.
    fn next(&self) -> Option<&Arc<Notice>> {
        let fails = self.cursor.trouble.is_some() || !self.cursor.refusals.is_empty();
        let mut waiting = self.waiting.iter();
        if fails && let Some(urgent) = waiting.find(|notice| notice.is_urgent()) {
            return Some(urgent);
        }
        self.waiting.first()
    }

    /// How long the next notice must still wait because it failed lately; `None` if it may go.
    fn backs_off(&self, now: Timestamp) -> Option<Duration> {
        let trouble = self.cursor.trouble.as_ref()?;
        if !self.patient || trouble.of != self.next()?.entry.seq {
            return None;
        }
        let wait = until(trouble.again_at, now)?;
        if wait.is_zero() {
            return None;
        }
        Some(wait.min(BACKOFF.longest.unsigned_abs()))
    }

    fn is_done(&self) -> bool {
        self.stopped.is_some() || self.waiting.is_empty()
    }

    /// Returns true if the cursor does not say all that this process knows.
    fn is_behind(&self) -> bool {
        self.cursor.told != self.told.up_to || self.cursor.ahead != self.told.ahead
    }

    /// Notes that an entry is delivered or skipped.
    fn note_told(&mut self, seq: u64) {
        self.waiting.retain(|notice| notice.entry.seq != seq);
        if self.journal_down {
            // It may become another entry.
            self.told.ahead.insert(seq);
            return;
        }
        let left = self.waiting.iter().map(|notice| notice.entry.seq);
        let first = left.chain(self.left_behind).min();
        self.told.add(seq, first);
    }

    /// Notes that an entry was delivered. Returns true if trouble with earlier ones is over: the one that failed no longer
    /// waits.
    fn note_delivered(&mut self, seq: u64) -> bool {
        self.note_told(seq);
        self.cursor.refusals.remove(&seq);
        let Some(trouble) = &self.cursor.trouble else {
            return false;
        };
        let mut waiting = self.waiting.iter();
        if waiting.any(|notice| notice.entry.seq == trouble.of) {
            return false;
        }
        self.cursor.trouble = None;
        true
    }

    /// Counts a refusal for good. Returns true if there were so many that the message is skipped; then it is noted so.
    fn note_refused(&mut self, notice: &Notice, why: &str, now: Timestamp) -> bool {
        let seq = notice.entry.seq;
        let refusals = self.cursor.refusals.entry(seq).or_default();
        *refusals = refusals.saturating_add(1);
        if *refusals < REFUSALS_MAX {
            return false;
        }
        self.cursor.refusals.remove(&seq);
        self.cursor.trouble = None;
        if self.cursor.skipped.len() >= SKIPPED_NAMED_MAX {
            self.cursor.skipped.remove(0);
        }
        self.cursor.skipped.push(Skipped {
            seq,
            page: notice.pages,
            at: now,
            why: shortened(why),
        });
        self.note_told(seq);
        true
    }

    /// Notes a failure, and gives up the claim so that other processes can try. Returns the wait before the next try.
    fn note_failed(&mut self, of: u64, undelivered: &Undelivered, now: Timestamp) -> Duration {
        let (since, tries) = match &self.cursor.trouble {
            Some(trouble) => (trouble.since, trouble.tries),
            None => (now, 0),
        };
        // A message that the service refuses for good has few tries, soon after each other.
        let failures = match self.cursor.refusals.get(&of) {
            Some(refusals) if undelivered.for_good => refusals.saturating_sub(1),
            Some(_) | None => tries,
        };
        let mut wait = backoff(failures, undelivered.again_after);
        if self.journal_down {
            wait = wait.max(UNCOUNTED_AGAIN_AFTER);
        }
        self.cursor.trouble = Some(Trouble {
            since,
            tries: tries.saturating_add(1),
            why: shortened(&undelivered.why),
            again_at: now.saturating_add(wait).unwrap_or(now),
            of,
        });
        self.cursor.claim = None;
        self.stopped = Some(Stopped::after(wait));
        wait
    }

    fn report(self) -> (QueueKey, Report) {
        let key = self.key();
        let report = Report {
            told: self.told,
            again_after: self.stopped.as_ref().map(|stopped| stopped.wait),
            claimed: self.stopped.is_some_and(|stopped| stopped.claimed),
            fails: self.cursor.trouble.is_some() || !self.cursor.refusals.is_empty(),
            journal_down: self.journal_down,
        };
        (key, report)
    }
}

impl DeliveryRun {
    /// Delivers the notices, and reports how far it came with each stream.
    pub(super) async fn go(self, loads: Vec<Load>) -> Vec<(QueueKey, Report)> {
        let mut legs = self.legs(loads).await;
        self.claim_all(&mut legs).await;
        loop {
            let next = self.next_message(&legs);
            let Some(delivery) = self.delivery(&legs, &next) else {
                break;
            };
            match self.deliver(&delivery).await {
                Ok(memo) => {
                    self.note_delivered(&mut legs, &next, memo);
                    if !self.is_log() {
                        self.put(&mut legs, &next).await;
                    }
                }
                Err(undelivered) => {
                    self.note_undelivered(&mut legs, &next, &undelivered);
                    self.put(&mut legs, &next).await;
                }
            }
        }
        if self.is_log() {
            // One note is enough for many lines.
            let mut behind = Vec::new();
            for (index, leg) in legs.iter().enumerate() {
                if leg.is_behind() {
                    behind.push(index);
                }
            }
            self.put(&mut legs, &behind).await;
        }
        legs.into_iter().map(Leg::report).collect()
    }

    /// Reads the cursors.
    async fn legs(&self, loads: Vec<Load>) -> Vec<Leg> {
        let mut stored = match tokio::time::timeout(JOURNAL_WITHIN, self.stored(&loads)).await {
            Ok(Ok(stored)) => Some(stored),
            Ok(Err(error)) => {
                tracing::debug!("notifications wait for the journal: {error}");
                None
            }
            Err(_) => None,
        };
        let mut legs = Vec::new();
        for load in loads {
            let cursor = match &mut stored {
                Some(stored) => stored.remove(&load.key),
                None => None,
            };
            let mut leg = Leg::of(load, cursor);
            if stored.is_none() {
                leg.lose_journal();
            }
            legs.push(leg);
        }
        legs
    }

    async fn stored(&self, loads: &[Load]) -> Result<BTreeMap<QueueKey, Cursor>, JournalError> {
        let journal = &self.outside.journal;
        let cursors = if let [only] = loads {
            let (stream, channel) = &only.key;
            journal.cursor(stream, channel).await?.into_iter().collect()
        } else {
            journal.cursors().await?
        };
        let mut stored = BTreeMap::new();
        for cursor in cursors {
            stored.insert((cursor.stream.clone(), cursor.channel.clone()), cursor);
        }
        Ok(stored)
    }

    /// Claims the cursors of all streams that have something to deliver. A cursor that only is behind is written.
    async fn claim_all(&self, legs: &mut [Leg]) {
        let mut claimed = Vec::new();
        let several = legs.len() > 1;
        for (index, leg) in legs.iter_mut().enumerate() {
            if leg.waiting.is_empty() && !leg.is_behind() {
                continue;
            }
            if leg.journal_down {
                continue;
            }
            leg.stopped = self.claimed_by_another(&leg.cursor);
            if leg.stopped.is_none()
                && !several
                && let Some(wait) = leg.backs_off(self.now())
            {
                leg.stopped = Some(Stopped::after(wait));
            }
            // Nobody is disturbed by a line that two processes write to their logs.
            let logs = self.is_log() && !leg.waiting.is_empty();
            if leg.stopped.is_none() && !logs {
                claimed.push(index);
            }
        }
        self.put(legs, &claimed).await;
    }

    /// Returns how long to wait if another process has claimed a cursor.
    fn claimed_by_another(&self, cursor: &Cursor) -> Option<Stopped> {
        let claim = cursor.claim.as_ref()?;
        if claim.by == self.me {
            return None;
        }
        let wait = until(claim.until, self.now())?;
        // Checked again before the claim runs out: most end much earlier.
        Some(Stopped {
            wait: wait.clamp(RIVAL_AGAIN_AFTER, CLAIM_AGAIN_AFTER),
            claimed: true,
        })
    }

    /// The streams whose next notices are the next message.
    fn next_message(&self, legs: &[Leg]) -> Vec<usize> {
        let mut next = Vec::new();
        for (index, leg) in legs.iter().enumerate() {
            if !leg.is_done() && (self.together || next.is_empty()) {
                next.push(index);
            }
        }
        next
    }

    /// The message for the next notices of these streams; `None` if there are none.
    fn delivery(&self, legs: &[Leg], next: &[usize]) -> Option<Delivery> {
        let (first, others) = next.split_first()?;
        let first = legs.get(*first)?;
        let mut notice = Notice::clone(first.next()?);
        for index in others {
            let other = legs.get(*index).and_then(Leg::next);
            notice
                .others
                .extend(other.map(|other| (other.entry.cutover.clone(), other.entry.seq)));
        }
        Some(Delivery {
            channel: self.channel.clone(),
            notice,
            memo: first.cursor.memo.clone(),
        })
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<Option<serde_json::Value>, Undelivered> {
        let delivered = self.outside.notifier.deliver(delivery);
        match tokio::time::timeout(DELIVER_WITHIN + SLACK, delivered).await {
            Ok(delivered) => delivered,
            Err(_) => Err(Undelivered::because(format!(
                "no answer within {} s",
                DELIVER_WITHIN.as_secs()
            ))),
        }
    }

    /// Notes that a message was delivered. The adapter's note belongs to the first of its streams.
    fn note_delivered(
        &self,
        legs: &mut [Leg],
        next: &[usize],
        mut memo: Option<serde_json::Value>,
    ) {
        for (place, index) in next.iter().enumerate() {
            let Some(leg) = legs.get_mut(*index) else {
                continue;
            };
            let Some(seq) = leg.next().map(|notice| notice.entry.seq) else {
                continue;
            };
            if place == 0 {
                leg.cursor.memo = memo.take();
            }
            let over = leg.note_delivered(seq);
            if over && place == 0 {
                let (stream, channel) = leg.key();
                tracing::info!(channel = %channel_shown(&channel), cutover = %stream, "notifications are delivered again");
            }
            if let Some(wait) = leg.backs_off(self.now()) {
                // It has overtaken one that failed lately and still waits.
                leg.stopped = Some(Stopped::after(wait));
            }
        }
    }

    /// Notes that a message was not delivered: it is tried again, or skipped.
    fn note_undelivered(&self, legs: &mut [Leg], next: &[usize], undelivered: &Undelivered) {
        for (place, index) in next.iter().enumerate() {
            let Some(leg) = legs.get_mut(*index) else {
                continue;
            };
            let Some(notice) = leg.next().cloned() else {
                continue;
            };
            if place == 0 && undelivered.memo.is_some() {
                leg.cursor.memo.clone_from(&undelivered.memo);
            }
            let (stream, channel) = leg.key();
            let (channel, why) = (channel_shown(&channel), shortened(&undelivered.why));
            if undelivered.for_good && leg.note_refused(&notice, &undelivered.why, self.now()) {
                if place == 0 {
                    tracing::error!(
                        channel = %channel,
                        cutover = %stream,
                        seq = notice.entry.seq,
                        page = notice.pages,
                        "a notification was refused {REFUSALS_MAX} times and is skipped; later ones are still sent: {why}"
                    );
                }
                continue;
            }
            let is_new = leg.cursor.trouble.is_none();
            let wait = leg.note_failed(notice.entry.seq, undelivered, self.now());
            if place > 0 {
                continue;
            }
            if is_new {
                tracing::warn!(
                    channel = %channel,
                    cutover = %stream,
                    "a notification was not delivered and is tried again in {} s: {why}",
                    wait.as_secs()
                );
            } else {
                tracing::debug!(channel = %channel, cutover = %stream, "a notification was not delivered: {why}");
            }
        }
    }

    /// Writes to the cursors of these streams how far each came. The claim of a stream ends with its last message.
    async fn put(&self, legs: &mut [Leg], of: &[usize]) {
        let (mut places, mut cursors) = (Vec::new(), Vec::new());
        for index in of {
            let Some(leg) = legs.get_mut(*index) else {
                continue;
            };
            if leg.journal_down {
                continue;
            }
            let claims = !leg.is_done() && !self.is_log();
            leg.cursor.claim = claims.then(|| self.claim());
            leg.cursor.told = leg.told.up_to;
            leg.cursor.ahead.clone_from(&leg.told.ahead);
            let told = &leg.told;
            leg.cursor.refusals.retain(|seq, _| !told.has(*seq));
            leg.cursor.revision += 1;
            places.push(*index);
            cursors.push(leg.cursor.clone());
        }
        if cursors.is_empty() {
            return;
        }
        let put = self.outside.journal.put_cursors(&cursors);
        let put = match tokio::time::timeout(JOURNAL_WITHIN, put).await {
            Ok(Ok(put)) => Some(put),
            Ok(Err(error)) => {
                tracing::debug!("the journal did not note how far people were told: {error}");
                None
            }
            Err(_) => None,
        };
        for (place, index) in places.into_iter().enumerate() {
            let Some(leg) = legs.get_mut(index) else {
                continue;
            };
            match &put {
                Some(put) if put.get(place) == Some(&true) => {}
                Some(_) => {
                    leg.stopped = Some(Stopped {
                        wait: RIVAL_AGAIN_AFTER,
                        claimed: true,
                    });
                }
                None => leg.lose_journal(),
            }
        }
    }

    fn claim(&self) -> Claim {
        let now = self.now();
        Claim {
            by: self.me.clone(),
            until: now.saturating_add(CLAIM_FOR).unwrap_or(now),
        }
    }

    fn is_log(&self) -> bool {
        self.channel.via == Via::Log {}
    }

    fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }
}

/// The time from `now` until then; `None` if that is past.
fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok()
}

/// The failure, cut to [`WHY_CHARS_MAX`].
fn shortened(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

/// The wait after one more failure than `failures`, or as long as the channel asked for; no longer than the longest of
/// [`BACKOFF`].
pub(super) fn backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let wait = BACKOFF.after(failures.saturating_add(1)).unsigned_abs();
    let longest = BACKOFF.longest.unsigned_abs();
    wait.max(asked.unwrap_or_default()).min(longest)
}

/// A stream and a channel.
pub(super) type QueueKey = (CutoverName, String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_heed_what_the_channel_asks_for() {
        let waits = [0, 1, 2, 7, 8, 40].map(|failures| backoff(failures, None).as_secs());
        assert_eq!(waits, [2, 4, 8, 256, 300, 300]);
        assert_eq!(backoff(0, Some(Duration::from_secs(40))).as_secs(), 40);
        assert_eq!(backoff(0, Some(Duration::from_hours(9))).as_secs(), 300);
    }
}
