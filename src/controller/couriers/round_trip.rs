//! One delivery run to one channel: claims the cursors, delivers in order, and notes how far it came.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::leg::{Leg, Load, QueueKey, REFUSALS_MAX, Report, Stopped, shortened, until};
use crate::controller::outside::Outside;
use crate::engine::notify::{Channel, Notice, Via, channel_shown};
use crate::ports::{Claim, Cursor, DELIVER_WITHIN, Delivery, JournalError, Undelivered};

/// Added to the limit of a delivery, in case its adapter does not end it.
const SLACK: Duration = Duration::from_secs(1);

/// How long a claim lasts: longer than a delivery, and renewed with each. If a process is killed during a delivery, the
/// next one waits this long.
pub(in crate::controller) const CLAIM_FOR: Duration = Duration::from_secs(20);

/// The longest wait for the journal.
const JOURNAL_WITHIN: Duration = Duration::from_secs(5);

/// The longest pause between two looks at another process's claim.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// The pause after another process has changed the cursor.
const RIVAL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One run over streams of one channel.
pub(super) struct DeliveryRun {
    pub(super) outside: Outside,
    pub(super) me: String,
    pub(super) channel: Channel,
    /// Each stream has one notice, and they are one message.
    pub(super) together: bool,
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
