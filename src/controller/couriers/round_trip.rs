//! One delivery run to one channel: claims the cursor, delivers in order, and notes how far it came.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::controller::outside::Outside;
use crate::engine::backoff::Backoff;
use crate::engine::notify::{Channel, Notice, channel_shown};
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

/// The pause before a journal that did not answer is asked again.
const JOURNAL_AGAIN_AFTER: Duration = Duration::from_secs(2);

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

/// How far a run came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// The entries that are delivered or skipped, by any process.
    pub(super) told: ToldEntries,
    /// The entries that the service never took, as far as the cursor names them.
    pub(super) skipped: BTreeSet<u64>,
    /// How long the rest must wait; `None` if it need not.
    pub(super) again_after: Option<Duration>,
    /// It waits for another process that delivers, or that died during a delivery.
    pub(super) claimed: bool,
}

/// One run: a few notices of one stream for one channel.
pub(super) struct DeliveryRun {
    pub(super) outside: Outside,
    pub(super) me: String,
    pub(super) key: QueueKey,
    pub(super) channel: Channel,
    /// The notices to deliver, in order.
    pub(super) notices: Vec<Arc<Notice>>,
    /// The first entry that waits and is not in this run.
    pub(super) left_behind: Option<u64>,
    /// The entries that this process knows to be delivered or skipped.
    pub(super) told: ToldEntries,
    /// Observes the wait that an earlier failure asked for.
    pub(super) patient: bool,
}

/// The end of a run before everything is delivered.
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

impl From<JournalError> for Stopped {
    fn from(error: JournalError) -> Self {
        tracing::debug!("a notification waits for the journal: {error}");
        Self::after(JOURNAL_AGAIN_AFTER)
    }
}

impl DeliveryRun {
    /// Delivers the notices, and reports how far it came.
    pub(super) async fn go(self) -> Report {
        let mut told = self.told.clone();
        let mut skipped = BTreeSet::new();
        let stopped = self.deliver_all(&mut told, &mut skipped).await.err();
        Report {
            told,
            skipped,
            again_after: stopped.as_ref().map(|stopped| stopped.wait),
            claimed: stopped.is_some_and(|stopped| stopped.claimed),
        }
    }

    async fn deliver_all(
        &self,
        told: &mut ToldEntries,
        skipped: &mut BTreeSet<u64>,
    ) -> Result<(), Stopped> {
        let (stream, channel) = &self.key;
        let stored = self.outside.journal.cursor(stream, channel).await?;
        let mut cursor = stored.unwrap_or_else(|| Cursor::new(stream.clone(), channel.clone()));
        skipped.extend(cursor.skipped.iter().map(|one| one.seq));
        told.merge(cursor.told, &cursor.ahead);
        let mut waiting: Vec<&Arc<Notice>> = self.notices.iter().collect();
        waiting.retain(|notice| !told.has(notice.entry.seq));
        if waiting.is_empty() && cursor.told == told.up_to && cursor.ahead == told.ahead {
            return Ok(());
        }
        self.may_claim(&cursor)?;
        if waiting.is_empty() {
            // This process has delivered all of them, and the journal does not know it yet.
            return self.advance(&mut cursor, told, true).await;
        }
        if let Some(wait) = self.backs_off(&cursor, &waiting) {
            return Err(Stopped::after(wait));
        }
        cursor.claim = Some(self.claim());
        self.put(&mut cursor).await?;
        while let Some(index) = next_up(&waiting, &cursor) {
            if let Some(wait) = self.backs_off(&cursor, &waiting) {
                // The notices that overtook the failing one are delivered, and that one still waits.
                self.advance(&mut cursor, told, true).await?;
                return Err(Stopped::after(wait));
            }
            let Some(notice) = waiting.get(index).copied() else {
                break;
            };
            match self.deliver(notice, &cursor).await {
                Ok(memo) => {
                    cursor.memo = memo;
                    waiting.remove(index);
                    self.note_delivered(&mut cursor, notice.entry.seq, &waiting);
                }
                Err(undelivered) => {
                    let given_up = undelivered.for_good
                        && self.is_refused_too_often(&mut cursor, notice, &undelivered.why);
                    if !given_up {
                        return Err(self.give_way(cursor, notice.entry.seq, undelivered).await);
                    }
                    skipped.insert(notice.entry.seq);
                    cursor.memo = undelivered.memo.or(cursor.memo);
                    waiting.remove(index);
                }
            }
            let left = waiting.iter().map(|notice| notice.entry.seq);
            told.add(notice.entry.seq, left.chain(self.left_behind).min());
            self.advance(&mut cursor, told, waiting.is_empty()).await?;
        }
        Ok(())
    }

    /// Stops the run if another process has claimed the cursor.
    fn may_claim(&self, cursor: &Cursor) -> Result<(), Stopped> {
        let Some(claim) = &cursor.claim else {
            return Ok(());
        };
        if claim.by == self.me {
            return Ok(());
        }
        let Some(wait) = self.until(claim.until) else {
            return Ok(());
        };
        // Checked again before the claim runs out: most end much earlier.
        Err(Stopped {
            wait: wait.clamp(RIVAL_AGAIN_AFTER, CLAIM_AGAIN_AFTER),
            claimed: true,
        })
    }

    /// How long the next message must still wait because it failed lately; `None` if it may go.
    fn backs_off(&self, cursor: &Cursor, waiting: &[&Arc<Notice>]) -> Option<Duration> {
        let trouble = cursor.trouble.as_ref()?;
        let next = waiting.get(next_up(waiting, cursor)?)?;
        if !self.patient || trouble.of != next.entry.seq {
            return None;
        }
        let wait = self.until(trouble.again_at)?;
        if wait.is_zero() {
            return None;
        }
        Some(wait.min(BACKOFF.longest.unsigned_abs()))
    }

    /// The time from now until then; `None` if that is past.
    fn until(&self, at: Timestamp) -> Option<Duration> {
        Duration::try_from(at.duration_since(self.now())).ok()
    }

    /// Notes that a message was delivered: trouble with earlier messages is over, unless the one that failed still
    /// waits.
    fn note_delivered(&self, cursor: &mut Cursor, seq: u64, waiting: &[&Arc<Notice>]) {
        cursor.refusals.remove(&seq);
        let Some(trouble) = &cursor.trouble else {
            return;
        };
        let mut waiting = waiting.iter();
        if waiting.any(|notice| notice.entry.seq == trouble.of) {
            return;
        }
        cursor.trouble = None;
        let (stream, channel) = &self.key;
        tracing::info!(channel = %channel_shown(channel), cutover = %stream, "notifications are delivered again");
    }

    /// Counts a refusal for good. Returns true if there were so many that the message is skipped.
    fn is_refused_too_often(&self, cursor: &mut Cursor, notice: &Notice, why: &str) -> bool {
        let seq = notice.entry.seq;
        let refusals = cursor.refusals.entry(seq).or_default();
        *refusals = refusals.saturating_add(1);
        if *refusals < REFUSALS_MAX {
            return false;
        }
        cursor.refusals.remove(&seq);
        cursor.trouble = None;
        let why = shortened(why);
        let (stream, channel) = &self.key;
        tracing::error!(
            channel = %channel_shown(channel),
            cutover = %stream,
            seq,
            page = notice.pages,
            "a notification was refused {REFUSALS_MAX} times and is skipped; later ones are still sent: {why}"
        );
        if cursor.skipped.len() >= SKIPPED_NAMED_MAX {
            cursor.skipped.remove(0);
        }
        cursor.skipped.push(Skipped {
            seq,
            page: notice.pages,
            at: self.now(),
            why,
        });
        true
    }

    async fn deliver(
        &self,
        notice: &Notice,
        cursor: &Cursor,
    ) -> Result<Option<serde_json::Value>, Undelivered> {
        let delivery = Delivery {
            channel: self.channel.clone(),
            notice: notice.clone(),
            memo: cursor.memo.clone(),
        };
        let delivered = self.outside.notifier.deliver(&delivery);
        match tokio::time::timeout(DELIVER_WITHIN + SLACK, delivered).await {
            Ok(delivered) => delivered,
            Err(_) => Err(Undelivered::because(format!(
                "no answer within {} s",
                DELIVER_WITHIN.as_secs()
            ))),
        }
    }

    /// Writes to the cursor how far it came; the claim ends with the last message.
    async fn advance(
        &self,
        cursor: &mut Cursor,
        told: &ToldEntries,
        last: bool,
    ) -> Result<(), Stopped> {
        cursor.told = told.up_to;
        cursor.ahead = told.ahead.clone();
        cursor.refusals.retain(|seq, _| !told.has(*seq));
        cursor.claim = if last { None } else { Some(self.claim()) };
        self.put(cursor).await
    }

    /// Writes the failure to the cursor, and gives up the claim so that other processes can try.
    async fn give_way(&self, mut cursor: Cursor, of: u64, undelivered: Undelivered) -> Stopped {
        let now = self.now();
        let why = shortened(&undelivered.why);
        let (since, tries) = match &cursor.trouble {
            Some(trouble) => (trouble.since, trouble.tries),
            None => (now, 0),
        };
        // A message that the service refuses for good has few tries, soon after each other.
        let failures = match cursor.refusals.get(&of) {
            Some(refusals) if undelivered.for_good => refusals.saturating_sub(1),
            Some(_) | None => tries,
        };
        let wait = backoff(failures, undelivered.again_after);
        let (stream, channel) = &self.key;
        if tries == 0 {
            tracing::warn!(
                channel = %channel_shown(channel),
                cutover = %stream,
                "a notification was not delivered and is tried again in {} s: {why}",
                wait.as_secs()
            );
        } else {
            tracing::debug!(channel = %channel_shown(channel), cutover = %stream, tries, "a notification was not delivered: {why}");
        }
        cursor.trouble = Some(Trouble {
            since,
            tries: tries.saturating_add(1),
            why,
            again_at: now.saturating_add(wait).unwrap_or(now),
            of,
        });
        cursor.claim = None;
        if undelivered.memo.is_some() {
            cursor.memo = undelivered.memo;
        }
        match self.put(&mut cursor).await {
            Ok(()) => Stopped::after(wait),
            Err(stopped) => stopped,
        }
    }

    async fn put(&self, cursor: &mut Cursor) -> Result<(), Stopped> {
        cursor.revision += 1;
        if self.outside.journal.put_cursor(cursor).await? {
            Ok(())
        } else {
            Err(Stopped {
                wait: RIVAL_AGAIN_AFTER,
                claimed: true,
            })
        }
    }

    fn claim(&self) -> Claim {
        let now = self.now();
        Claim {
            by: self.me.clone(),
            until: now.saturating_add(CLAIM_FOR).unwrap_or(now),
        }
    }

    fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }
}

/// The index of the next message: the first; while that fails, the first urgent one.
fn next_up(waiting: &[&Arc<Notice>], cursor: &Cursor) -> Option<usize> {
    if waiting.is_empty() {
        return None;
    }
    let fails = cursor.trouble.is_some() || !cursor.refusals.is_empty();
    let urgent = waiting.iter().position(|notice| notice.is_urgent());
    match urgent {
        Some(index) if fails => Some(index),
        Some(_) | None => Some(0),
    }
}

/// The failure, cut to [`WHY_CHARS_MAX`].
fn shortened(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

/// The wait after one more failure than `failures`, or as long as the channel asked for; no longer than the longest of
/// [`BACKOFF`].
fn backoff(failures: u32, asked: Option<Duration>) -> Duration {
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
