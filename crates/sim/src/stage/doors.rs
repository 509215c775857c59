//! The simulated ports of a rehearsal. Before each call, the simulated world advances to the current time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{SharedStage, lock};
use crate::dns::SimDns;
use crate::fault::{Fault, FaultHook};
use crate::scenario::{FaultKind, Route53Trouble};
use crate::signals::SimSignals;
use crate::world::SimClock;
use cutover_engine::event::Envelope;
use cutover_engine::evidence::plan::Query;
use cutover_engine::evidence::reading::Readings;
use cutover_engine::evidence::wanted::Minutes;
use cutover_engine::observation::HistoryReading;
use cutover_engine::plan::Account;
use cutover_engine::units::{AlarmId, CutoverName};
use cutover_ports::{
    AlarmPage, Append, Clock, Heartbeat, Journal, JournalError, Position, Signals,
};

/// The clock of a rehearsal. Its waits end when the controller can see something new.
#[derive(Clone)]
pub struct StageClock {
    /// The simulated clock.
    pub clock: SimClock,
    /// The simulated world.
    pub stage: SharedStage,
    /// True if waits may be longer than the controller's interval. False waits for each interval.
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

/// The simulated `CloudWatch` of a rehearsal, with the scenario's faults.
#[derive(Clone)]
pub struct StageSignals {
    /// The adapter over the model of `CloudWatch`.
    pub signals: SimSignals,
    /// The simulated world.
    pub stage: SharedStage,
    /// The simulated clock.
    pub clock: SimClock,
}

impl StageSignals {
    /// Advances the world to the current time, and applies the scenario's faults to the adapter.
    fn catch_up(&self) {
        let now = self.clock.now();
        let mut stage = lock(&self.stage);
        stage.advance(now);
        let down = if stage.is_troubled_by(&FaultKind::CloudWatchDown, now) {
            Some("ServiceUnavailable: Service is unavailable".to_owned())
        } else {
            None
        };
        self.signals.faults(|faults| faults.down = down);
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

/// Makes each call to Route 53 first advance the world to the current time, and then fail as the scenario says.
pub fn haunt(dns: &SimDns, stage: &SharedStage) {
    // The stage holds `dns`. A strong reference here would make a cycle, and neither would ever be freed.
    let stage = Arc::downgrade(stage);
    let hook: FaultHook = Box::new(move |operation, now| match stage.upgrade() {
        Some(stage) => route53_faults(&stage, operation, now),
        None => Vec::new(),
    });
    dns.with_faults(|faults| faults.set_hook(hook));
}

/// Advances the world to the current time, and returns the faults of one call to Route 53.
fn route53_faults(stage: &SharedStage, operation: &str, now: Timestamp) -> Vec<Fault> {
    let mut stage = lock(stage);
    stage.advance(now);
    let is_write = operation == "ChangeResourceRecordSets";
    let mut faults = Vec::new();
    for trouble in stage.troubles() {
        if trouble.holds_at(now)
            && let FaultKind::Route53(route53) = trouble.fault.kind
        {
            faults.extend(route53_fault(route53, is_write));
        }
    }
    faults
}

/// The fault of a call to Route 53 while the control plane is in this trouble; none if the call goes well.
fn route53_fault(trouble: Route53Trouble, is_write: bool) -> Option<Fault> {
    match trouble {
        Route53Trouble::Down => Some(Fault::unavailable()),
        Route53Trouble::Throttled => Some(Fault::throttle()),
        Route53Trouble::Busy if is_write => Some(Fault::error(
            400,
            "PriorRequestNotComplete",
            "The request was rejected because Route 53 was still processing a prior request.",
        )),
        Route53Trouble::LosesReplies if is_write => Some(Fault::LoseReply),
        Route53Trouble::Busy | Route53Trouble::LosesReplies => None,
    }
}

/// The journal of a rehearsal. It passes each new entry to the simulated world.
#[derive(Clone)]
pub struct StageJournal {
    /// The journal that keeps the entries.
    pub journal: Arc<dyn Journal>,
    /// The simulated world.
    pub stage: SharedStage,
    /// The simulated clock.
    pub clock: SimClock,
    /// The number of appends so far. A change wakes those who wait for an entry.
    pub news: watch::Sender<u64>,
}

impl StageJournal {
    /// Returns an error while the scenario says that the journal is down.
    fn check_up(&self) -> Result<(), JournalError> {
        let stage = lock(&self.stage);
        if stage.is_troubled_by(&FaultKind::JournalDown, self.clock.now()) {
            return Err(JournalError::Down("disk I/O error".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for StageJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        self.check_up()?;
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
        self.check_up()?;
        self.journal.read_after(position).await
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        self.check_up()?;
        self.journal.head(stream).await
    }

    async fn changed(&self, position: Position) {
        self.journal.changed(position).await;
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        self.check_up()?;
        self.journal.beat(heartbeat).await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        self.journal.heartbeats().await
    }
}
