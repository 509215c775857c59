//! The stage's doors to the ports: each lets the world catch up before anybody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::Instant;

use super::trouble::Trouble;
use super::{SharedStage, lock};
use crate::engine::event::Envelope;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::Readings;
use crate::engine::evidence::wanted::Minutes;
use crate::engine::observation::HistoryReading;
use crate::engine::plan::Account;
use crate::engine::units::{AlarmId, CutoverName};
use crate::ports::{AlarmPage, Append, Clock, Heartbeat, Journal, JournalError, Position, Signals};
use crate::scenario::What;
use crate::sim::dns::SimDns;
use crate::sim::fault::Fault;
use crate::sim::signals::SimSignals;
use crate::sim::world::SimClock;

/// The clock of a rehearsal, which knows when there is something new to be seen.
#[derive(Clone)]
pub struct StageClock {
    /// What it shows.
    pub clock: SimClock,
    /// Behind it.
    pub stage: SharedStage,
    /// Whether it jumps; if not, everything is looked at in each interval.
    pub jumps: bool,
}

#[async_trait]
impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn look_again(&self, last: Instant, interval: Duration) {
        let mut until = last + interval;
        if self.jumps {
            let now = self.clock.now();
            let gone = SignedDuration::try_from(last.elapsed()).unwrap_or_default();
            let then = now.saturating_sub(gone).unwrap_or(now);
            let step = SignedDuration::try_from(interval).unwrap_or_default();
            let look_at = lock(&self.stage).next_look(then, now, step);
            let wait = look_at.duration_since(then);
            until = last + Duration::try_from(wait).unwrap_or(interval).max(interval);
        }
        tokio::time::sleep_until(until).await;
    }
}

/// `CloudWatch` on the stage.
#[derive(Clone)]
pub struct StageSignals {
    /// The door without the stage.
    pub signals: SimSignals,
    /// Behind it.
    pub stage: SharedStage,
    /// The time.
    pub clock: SimClock,
}

impl StageSignals {
    /// Lets the world catch up, and brings its troubles into force.
    fn catch_up(&self) {
        let now = self.clock.now();
        let mut stage = lock(&self.stage);
        stage.advance(now);
        let is_down = |it: &Trouble| it.holds_at(now) && it.fault.what == What::CloudWatchDown;
        let down = stage.troubles().iter().any(is_down);
        self.signals.faults(|faults| {
            faults.down = down.then(|| "ServiceUnavailable: Service is unavailable".to_owned());
        });
    }
}

#[async_trait]
impl Signals for StageSignals {
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    ) {
        self.catch_up();
        let signals = &self.signals;
        signals.read_alarms_by_page(account, wanted, told).await;
    }

    async fn alarm_history(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading {
        self.catch_up();
        self.signals.alarm_history(account, alarm, since).await
    }

    async fn read_series(&self, account: &Account, wanted: &BTreeMap<Query, Minutes>) -> Readings {
        self.catch_up();
        self.signals.read_series(account, wanted).await
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        self.signals.clock_skew()
    }
}

/// Lets the world catch up at every call to Route 53, and brings its troubles into force.
pub fn haunt(dns: &SimDns, stage: &SharedStage) {
    // The stage holds the door too: a strong reference here would keep both for ever.
    let stage = Arc::downgrade(stage);
    let hook = move |operation: &str, now: Timestamp| {
        let Some(stage) = stage.upgrade() else {
            return Vec::new();
        };
        let mut stage = lock(&stage);
        stage.advance(now);
        let in_force = stage.troubles().iter().filter(|it| it.holds_at(now));
        let is_write = operation == "ChangeResourceRecordSets";
        let fault = |trouble: &Trouble| match trouble.fault.what {
            What::Route53Down => Some(Fault::unavailable()),
            What::Route53Throttled => Some(Fault::throttle()),
            What::Route53Busy if is_write => Some(Fault::error(
                400,
                "PriorRequestNotComplete",
                "The request was rejected because Route 53 was still processing a prior request.",
            )),
            What::Route53LosesReplies if is_write => Some(Fault::LoseReply),
            _ => None,
        };
        in_force.filter_map(fault).collect()
    };
    dns.with_faults(|faults| faults.set_hook(Box::new(hook)));
}

/// The journal, followed by the stage.
#[derive(Clone)]
pub struct StageJournal {
    /// What keeps the entries.
    pub journal: Arc<dyn Journal>,
    /// Told of each entry.
    pub stage: SharedStage,
    /// The time.
    pub clock: SimClock,
    /// Told that there is something new.
    pub news: watch::Sender<u64>,
}

impl StageJournal {
    /// Whether the scenario lets the journal answer now.
    fn answers(&self) -> Result<(), JournalError> {
        let stage = lock(&self.stage);
        let now = self.clock.now();
        let is_down = |it: &Trouble| it.holds_at(now) && it.fault.what == What::JournalDown;
        if stage.troubles().iter().any(is_down) {
            return Err(JournalError::Down("disk I/O error".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for StageJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        self.answers()?;
        let written = self.journal.append(append).await?;
        let mut stage = lock(&self.stage);
        for entry in &written {
            stage.note(entry);
        }
        self.news.send_modify(|count| *count += 1);
        Ok(written)
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        self.answers()?;
        self.journal.read_after(position).await
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        self.answers()?;
        self.journal.head(stream).await
    }

    async fn changed(&self, position: Position) {
        self.journal.changed(position).await;
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        self.answers()?;
        self.journal.beat(heartbeat).await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        self.journal.heartbeats().await
    }
}
