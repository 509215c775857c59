//! How far a channel has been told of one stream: in memory, and in the cursor.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::engine::backoff::Backoff;
use crate::engine::notify::Notice;
use crate::engine::units::CutoverName;
use crate::ports::{Cursor, Skipped, Trouble, Undelivered};

/// The waits after failures.
const BACKOFF: Backoff = Backoff {
    first: SignedDuration::from_secs(2),
    longest: SignedDuration::from_mins(5),
};

/// The shortest wait after a failure while the journal is down, because failures are not counted then.
const UNCOUNTED_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The most characters of a failure that are kept.
const WHY_CHARS_MAX: usize = 300;

/// The most skipped messages that a cursor names.
const SKIPPED_NAMED_MAX: usize = 10;

/// How often a message is tried that its service refuses for good, before it is skipped (semantics M10).
pub(super) const REFUSALS_MAX: u32 = 5;

/// How far a channel has been told of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ToldEntries {
    /// All entries up to this one are delivered or skipped.
    pub(super) up_to: u64,
    /// Later entries that overtook others.
    pub(super) ahead: BTreeSet<u64>,
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

/// The end of a stream's part of a run before everything is delivered.
pub(super) struct Stopped {
    /// The wait before the next run.
    pub(super) wait: Duration,
    /// Another process delivers.
    pub(super) claimed: bool,
}

impl Stopped {
    pub(super) fn after(wait: Duration) -> Self {
        Self {
            wait,
            claimed: false,
        }
    }
}

/// One stream's part of a run.
pub(super) struct Leg {
    pub(super) cursor: Cursor,
    pub(super) waiting: Vec<Arc<Notice>>,
    left_behind: Option<u64>,
    pub(super) told: ToldEntries,
    patient: bool,
    pub(super) stopped: Option<Stopped>,
    /// The journal does not answer. Pages are delivered all the same, without a claim, and noted in memory only.
    pub(super) journal_down: bool,
}

impl Leg {
    pub(super) fn of(load: Load, stored: Option<Cursor>) -> Self {
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

    pub(super) fn key(&self) -> QueueKey {
        (self.cursor.stream.clone(), self.cursor.channel.clone())
    }

    /// Goes on without the journal: everything but pages waits for it.
    pub(super) fn lose_journal(&mut self) {
        self.journal_down = true;
        self.waiting.retain(|notice| notice.pages);
    }

    /// The next notice: the first; while that fails, the first urgent one.
    pub(super) fn next(&self) -> Option<&Arc<Notice>> {
        let fails = self.cursor.trouble.is_some() || !self.cursor.refusals.is_empty();
        let mut waiting = self.waiting.iter();
        if fails && let Some(urgent) = waiting.find(|notice| notice.is_urgent()) {
            return Some(urgent);
        }
        self.waiting.first()
    }

    /// How long the next notice must still wait because it failed lately; `None` if it may go.
    pub(super) fn backs_off(&self, now: Timestamp) -> Option<Duration> {
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

    pub(super) fn is_done(&self) -> bool {
        self.stopped.is_some() || self.waiting.is_empty()
    }

    /// Returns true if the cursor does not say all that this process knows.
    pub(super) fn is_behind(&self) -> bool {
        self.cursor.told != self.told.up_to || self.cursor.ahead != self.told.ahead
    }

    /// Notes that an entry is delivered or skipped.
    pub(super) fn note_told(&mut self, seq: u64) {
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
    pub(super) fn note_delivered(&mut self, seq: u64) -> bool {
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
    pub(super) fn note_refused(&mut self, notice: &Notice, why: &str, now: Timestamp) -> bool {
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
    pub(super) fn note_failed(
        &mut self,
        of: u64,
        undelivered: &Undelivered,
        now: Timestamp,
    ) -> Duration {
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

    pub(super) fn report(self) -> (QueueKey, Report) {
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

/// The time from `now` until then; `None` if that is past.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok()
}

/// The failure, cut to [`WHY_CHARS_MAX`].
pub(super) fn shortened(why: &str) -> String {
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
        assert_eq!(
            backoff(0, Some(Duration::from_hours(9))),
            BACKOFF.longest.unsigned_abs()
        );
    }
}
