//! One trip to one channel: claim the cursor, deliver in order, note how far it came.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::LineKey;
use crate::controller::Outside;
use crate::engine::notify::{Channel, Notice, channel_shown};
use crate::ports::{
    Claim, Cursor, DELIVER_WITHIN, Delivery, JournalError, Skipped, Trouble, Undelivered,
};

/// How much longer a delivery is waited for: its adapter ends it; this is for one that does not.
const SLACK: Duration = Duration::from_secs(1);

/// How long a claim lasts: longer than a delivery, and renewed with each. After a process was killed while it delivered, the
/// next one waits for so long.
pub(in crate::controller) const CLAIM_FOR: Duration = Duration::from_secs(20);

/// The first wait after a failure; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_secs(2);

/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// How long a journal that did not answer is left alone.
const JOURNAL_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How often somebody else's claim is looked at.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// How long somebody else's change of the cursor is left alone.
const RIVAL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The most characters of a failure that are kept.
const WHY_CHARS_MAX: usize = 300;

/// How often a message is tried that its service answers it does not take, before it is passed over (semantics M10).
const REFUSALS_MAX: u32 = 5;

/// How many messages that were passed over a cursor names.
const SKIPPED_NAMED_MAX: usize = 10;

/// How far a channel has been told of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The last entry that is done with, as is all before it.
    up_to: u64,
    /// Entries behind it that overtook others.
    ahead: BTreeSet<u64>,
}

impl Told {
    /// Whether an entry is done with.
    pub(super) fn has(&self, seq: u64) -> bool {
        seq <= self.up_to || self.ahead.contains(&seq)
    }

    /// Takes over what somebody else knows.
    fn merge(&mut self, up_to: u64, ahead: &BTreeSet<u64>) {
        self.ahead.extend(ahead);
        self.raise(self.up_to.max(up_to));
    }

    /// Takes over what a trip knows.
    pub(super) fn absorb(&mut self, trip: &Self) {
        self.merge(trip.up_to, &trip.ahead);
    }

    /// Notes that an entry is done with; `waiting` is the first that is not.
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

/// How far a trip came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// What is done with, by whomever.
    pub(super) told: Told,
    /// The entries that the service never took, as far as they are remembered.
    pub(super) skipped: BTreeSet<u64>,
    /// How long the rest is to wait; none where it need not.
    pub(super) again_after: Option<Duration>,
    /// Whether it waits for somebody else who delivers, or has died while he did.
    pub(super) claimed: bool,
}

/// What a trip takes along.
pub(super) struct RoundTrip {
    pub(super) outside: Outside,
    pub(super) me: String,
    pub(super) key: LineKey,
    pub(super) channel: Channel,
    /// What is to be delivered, in order.
    pub(super) notices: Vec<Arc<Notice>>,
    /// The first entry that waits and was not taken along.
    pub(super) left_behind: Option<u64>,
    /// What this process knows to be done with.
    pub(super) told: Told,
    /// Whether to wait for as long as an earlier failure says.
    pub(super) patient: bool,
}

/// That a trip ends before everything is delivered.
struct Stopped {
    /// After how long the next one may begin.
    wait: Duration,
    /// Whether somebody else delivers.
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

impl RoundTrip {
    /// Goes there and back.
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
        told: &mut Told,
        skipped: &mut BTreeSet<u64>,
    ) -> Result<(), Stopped> {
        let (stream, channel) = &self.key;
        let stored = self.outside.journal.cursor(stream, channel).await?;
        let new = || Cursor::new(stream.clone(), channel.clone());
        let mut cursor = stored.unwrap_or_else(new);
        skipped.extend(cursor.skipped.iter().map(|one| one.seq));
        told.merge(cursor.told, &cursor.ahead);
        let is_waiting = |notice: &&Arc<Notice>| !told.has(notice.entry.seq);
        let mut waiting: Vec<&Arc<Notice>> = self.notices.iter().filter(is_waiting).collect();
        if waiting.is_empty() && cursor.told == told.up_to && cursor.ahead == told.ahead {
            return Ok(());
        }
        self.may_claim(&cursor)?;
        if waiting.is_empty() {
            // All of it was delivered by this process, and the journal does not know it yet.
            return self.advance(&mut cursor, told, true).await;
        }
        if let Some(wait) = self.backs_off(&cursor, &waiting) {
            return Err(Stopped::after(wait));
        }
        cursor.claim = Some(self.claim());
        self.put(&mut cursor).await?;
        while let Some(index) = next_up(&waiting, &cursor) {
            if let Some(wait) = self.backs_off(&cursor, &waiting) {
                // What overtook the one that fails is delivered, and that one still waits.
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

    /// Whether it is this process's turn.
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
        // Looked at again before it runs out: most end much earlier.
        Err(Stopped {
            wait: wait.clamp(RIVAL_AGAIN_AFTER, CLAIM_AGAIN_AFTER),
            claimed: true,
        })
    }

    /// How long the message that is next still waits, if it failed lately; none where it may go.
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
        Some(wait.min(BACKOFF_MAX))
    }

    /// How long it is until then; none where that is past.
    fn until(&self, at: Timestamp) -> Option<Duration> {
        Duration::try_from(at.duration_since(self.now())).ok()
    }

    /// Takes note that a message arrived: what failed before, unless that still waits, is over.
    fn note_delivered(&self, cursor: &mut Cursor, seq: u64, waiting: &[&Arc<Notice>]) {
        cursor.refusals.remove(&seq);
        let failed = cursor.trouble.as_ref().map(|trouble| trouble.of);
        let still = waiting
            .iter()
            .any(|notice| Some(notice.entry.seq) == failed);
        if failed.is_some() && !still {
            cursor.trouble = None;
            let (stream, channel) = &self.key;
            tracing::info!(channel = %channel_shown(channel), cutover = %stream, "notifications are delivered again");
        }
    }

    /// Counts a refusal for good; true where there were so many that the message is passed over.
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
            "a notification was refused {REFUSALS_MAX} times and is skipped; later ones follow: {why}"
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
        tokio::time::timeout(DELIVER_WITHIN + SLACK, delivered)
            .await
            .unwrap_or_else(|_| {
                let secs = DELIVER_WITHIN.as_secs();
                Err(Undelivered::because(format!("it was not done in {secs} s")))
            })
    }

    /// Notes how far it came; the claim ends with the last message.
    async fn advance(&self, cursor: &mut Cursor, told: &Told, last: bool) -> Result<(), Stopped> {
        cursor.told = told.up_to;
        cursor.ahead = told.ahead.clone();
        cursor.refusals.retain(|seq, _| !told.has(*seq));
        cursor.claim = if last { None } else { Some(self.claim()) };
        self.put(cursor).await
    }

    /// Notes what went wrong, and lets others try.
    async fn give_way(&self, mut cursor: Cursor, of: u64, undelivered: Undelivered) -> Stopped {
        let now = self.now();
        let why = shortened(&undelivered.why);
        let (since, tries) = cursor
            .trouble
            .as_ref()
            .map_or((now, 0), |trouble| (trouble.since, trouble.tries));
        // A message that the service answered it does not take has few tries, and none of them in hours.
        let failures = match cursor.refusals.get(&of) {
            Some(refusals) if undelivered.for_good => refusals.saturating_sub(1),
            Some(_) | None => tries,
        };
        let wait = backoff(failures, undelivered.again_after);
        let (stream, channel) = &self.key;
        if tries == 0 {
            tracing::warn!(channel = %channel_shown(channel), cutover = %stream, "a notification was not delivered, and is tried again: {why}");
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

/// Which message is next: the first; while that fails, the first that is urgent.
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

/// What was said, as far as it is kept.
fn shortened(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

/// How long to wait after so many failures: doubled each time, or as long as the channel asked for; never above
/// [`BACKOFF_MAX`].
fn backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << failures.min(10));
    doubled.max(asked.unwrap_or_default()).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_heed_what_the_channel_asks_for() {
        let secs = |failures| backoff(failures, None).as_secs();
        assert_eq!([0, 1, 2, 7, 8, 40].map(secs), [2, 4, 8, 256, 300, 300]);
        assert_eq!(backoff(0, Some(Duration::from_secs(40))).as_secs(), 40);
        assert_eq!(backoff(0, Some(Duration::from_hours(9))), BACKOFF_MAX);
    }
}
