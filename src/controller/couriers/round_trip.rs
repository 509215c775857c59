//! One trip to one channel: claim the cursor, deliver in order, note how far it came.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::LineKey;
use crate::controller::Outside;
use crate::engine::notify::{Channel, Notice};
use crate::ports::{Claim, Cursor, DELIVER_WITHIN, Delivery, JournalError, Trouble, Undelivered};

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

/// How far a trip came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// The last entry that was delivered, by whomever.
    pub(super) told: u64,
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
    /// The last entry that this process has delivered.
    pub(super) told: u64,
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
        let mut told = self.told;
        let stopped = self.deliver_all(&mut told).await.err();
        Report {
            told,
            again_after: stopped.as_ref().map(|stopped| stopped.wait),
            claimed: stopped.is_some_and(|stopped| stopped.claimed),
        }
    }

    async fn deliver_all(&self, told: &mut u64) -> Result<(), Stopped> {
        let (stream, channel) = &self.key;
        let stored = self.outside.journal.cursor(stream, channel).await?;
        let new = || Cursor::new(stream.clone(), channel.clone());
        let mut cursor = stored.unwrap_or_else(new);
        *told = (*told).max(cursor.told);
        let last = self.notices.last().map_or(0, |notice| notice.entry.seq);
        if last <= cursor.told {
            return Ok(());
        }
        self.may_go(&cursor)?;
        let due = |notice: &&Arc<Notice>| notice.entry.seq > *told;
        let mut waiting: Vec<&Arc<Notice>> = self.notices.iter().rev().filter(due).collect();
        if waiting.is_empty() {
            // All of it was delivered by this process, and the journal does not know it yet.
            return self.advance(&mut cursor, *told, true).await;
        }
        cursor.claim = Some(self.claim());
        self.put(&mut cursor).await?;
        while let Some(notice) = waiting.pop() {
            match self.deliver(notice, &cursor).await {
                Ok(memo) => {
                    *told = notice.entry.seq;
                    cursor.memo = memo;
                    if cursor.trouble.take().is_some() {
                        tracing::info!(channel = %channel, cutover = %stream, "notifications are delivered again");
                    }
                    self.advance(&mut cursor, *told, waiting.is_empty()).await?;
                }
                Err(undelivered) => return Err(self.give_way(cursor, undelivered).await),
            }
        }
        Ok(())
    }

    /// Whether it is this process's turn.
    fn may_go(&self, cursor: &Cursor) -> Result<(), Stopped> {
        let now = self.now();
        let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).ok();
        let claimed = cursor.claim.as_ref().filter(|claim| claim.by != self.me);
        if let Some(wait) = claimed.and_then(|claim| until(claim.until)) {
            // Looked at again before it runs out: most end much earlier.
            return Err(Stopped {
                wait: wait.clamp(RIVAL_AGAIN_AFTER, CLAIM_AGAIN_AFTER),
                claimed: true,
            });
        }
        let trouble = cursor.trouble.as_ref().filter(|_| self.patient);
        match trouble.and_then(|trouble| until(trouble.again_at)) {
            Some(wait) if !wait.is_zero() => Err(Stopped::after(wait.min(BACKOFF_MAX))),
            _ => Ok(()),
        }
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
    async fn advance(&self, cursor: &mut Cursor, told: u64, last: bool) -> Result<(), Stopped> {
        cursor.told = told;
        cursor.claim = (!last).then(|| self.claim());
        self.put(cursor).await
    }

    /// Notes what went wrong, and lets others try.
    async fn give_way(&self, mut cursor: Cursor, undelivered: Undelivered) -> Stopped {
        let now = self.now();
        let why: String = undelivered.why.chars().take(WHY_CHARS_MAX).collect();
        let (since, tries) = cursor
            .trouble
            .as_ref()
            .map_or((now, 0), |trouble| (trouble.since, trouble.tries));
        let wait = backoff(tries, undelivered.again_after);
        let (stream, channel) = &self.key;
        if tries == 0 {
            tracing::warn!(channel = %channel, cutover = %stream, "a notification was not delivered, and is tried again: {why}");
        } else {
            tracing::debug!(channel = %channel, cutover = %stream, tries, "a notification was not delivered: {why}");
        }
        cursor.trouble = Some(Trouble {
            since,
            tries: tries.saturating_add(1),
            why,
            again_at: now.saturating_add(wait).unwrap_or(now),
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
