//! The ports of one process. Each call may fail, hang, come late or return nonsense, and the witness sees each one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cutover::engine::event::{Envelope, FailureClass};
use cutover::engine::fleet::FleetSettings;
use cutover::engine::observation::{
    AlarmReading, AlarmState, ChangeReading, FileReading, HistoryReading,
};
use cutover::engine::plan::{Account, ZoneRef};
use cutover::engine::record::{GroupName, RecordSet};
use cutover::engine::units::{AlarmId, ChangeId, CutoverName, Weight, ZoneId};
use cutover::ports::{
    AlarmPage, Append, BreakGlass, CallError, Cursor, Delivery, Dns, GroupReadings, Heartbeat,
    HookAnswer, HookRequest, Hooks, Journal, JournalError, Notifier, PlanFiles, PlanFilesNow,
    Position, RecordChange, Signals, Submitted, Undelivered, Urgency, Zone,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::luck::{Fate, Luck};
use super::witness::AlarmSeen;
use super::world::{World, locked};

/// Route 53 with faults. A request that was sent still arrives if its sender dies.
pub(crate) struct FaultyDns {
    pub(crate) dns: Arc<dyn Dns>,
    pub(crate) world: World,
    pub(crate) luck: Luck,
}

#[async_trait]
impl Dns for FaultyDns {
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError> {
        self.luck.call().await;
        self.dns.find_zone(account, zone).await
    }

    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings {
        self.luck.call().await;
        let mut read = self.dns.read_groups(account, zone, wanted, urgency).await;
        for (name, members) in &mut read {
            let Ok(members) = members else {
                continue;
            };
            if let Some(kind) = self.luck.garbage() {
                spoil(members, kind);
            }
            let now = self.world.now();
            let mut witness = locked(&self.world.witness);
            witness.read(self.luck.number, zone, name, members, now);
        }
        read
    }

    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        urgency: Urgency,
    ) -> Result<Submitted, CallError> {
        self.luck.call().await;
        let now = self.world.now();
        let blind = self.luck.journal_failed_within(Duration::from_secs(20));
        locked(&self.world.witness).sent(self.luck.number, zone, changes, now, blind);
        let (dns, account, zone) = (Arc::clone(&self.dns), account.clone(), zone.clone());
        let (changes, comment) = (changes.to_vec(), comment.to_owned());
        let world = self.world.clone();
        let is_untold = self.luck.has_lost_journal();
        let overtaken = self.luck.overtaken();
        let sent = tokio::spawn(async move {
            let answer = dns
                .change(&account, &zone, &changes, &comment, urgency)
                .await;
            world.sync();
            if answer.is_ok()
                && let Some(weights) = overtaken
                && let Some(first) = changes.first()
            {
                world.overtake(&zone, &first.record, weights);
            }
            if is_untold && answer.is_ok() {
                locked(&world.witness).untold(&zone, &changes);
            }
            answer
        });
        let lost = CallError::new("ChangeResourceRecordSets", FailureClass::Transient, "lost");
        let answer = sent.await.unwrap_or(Err(lost));
        self.luck.call().await;
        answer
    }

    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading {
        self.luck.call().await;
        self.dns.change_status(account, change).await
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        Some(-self.luck.clock_offset())
    }
}

/// Spoils a reading: a field that the engine cannot represent, a third member, or a missing one.
fn spoil(members: &mut Vec<RecordSet>, kind: u8) {
    let Some(first) = members.first_mut() else {
        return;
    };
    match kind {
        0 => first.unsupported.push("CidrRoutingConfig".to_owned()),
        1 => {
            let mut stranger = first.clone();
            "stranger".clone_into(&mut stranger.set_identifier);
            stranger.weight = Weight(50);
            members.push(stranger);
        }
        2 => drop(members.pop()),
        _ => members.clear(),
    }
}

/// The alarms of `CloudWatch`, with faults.
pub(crate) struct FaultySignals {
    pub(crate) world: World,
    pub(crate) luck: Luck,
}

impl FaultySignals {
    fn look(&self, name: &str) -> AlarmReading {
        let alarms = locked(&self.world.alarms);
        let alarm = match alarms.get(name) {
            Some(alarm) if !alarm.gone => alarm,
            Some(_) | None => return AlarmReading::Missing,
        };
        let (mut evaluation, mut since) = (alarm.evaluation.clone(), Some(alarm.since));
        match self.luck.odd_alarm() {
            Some(0) => return AlarmReading::Missing,
            Some(1) => evaluation = Some("PARTIAL_DATA".to_owned()),
            Some(2) => evaluation = Some("EVALUATION_FAILURE".to_owned()),
            Some(_) => since = None,
            None => {}
        }
        AlarmReading::Found {
            state: alarm.state,
            transitioned_at: since,
            evaluation,
        }
    }

    /// Reads one page of alarms; the call may fail, hang or come late.
    async fn page<'a>(
        &self,
        wanted: impl Iterator<Item = &'a AlarmId>,
    ) -> Vec<(AlarmId, AlarmReading)> {
        self.luck.call().await;
        let (delay, fails) = self.luck.alarms();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut readings = Vec::new();
        for id in wanted {
            let reading = if fails {
                AlarmReading::Unreadable("no answer".to_owned())
            } else {
                self.look(&id.name)
            };
            let seen = seen(&reading);
            let now = self.world.now();
            locked(&self.world.witness).saw_alarm(self.luck.number, &id.name, seen, now);
            readings.push((id.clone(), reading));
        }
        readings
    }
}

/// The part of a reading that the witness judges by.
pub(crate) fn seen(reading: &AlarmReading) -> AlarmSeen {
    match reading {
        AlarmReading::Found {
            evaluation: None,
            state,
            ..
        } => match state {
            AlarmState::Ok => AlarmSeen::Green,
            AlarmState::Alarm => AlarmSeen::Red,
            AlarmState::InsufficientData => AlarmSeen::NoData,
        },
        AlarmReading::Found {
            state: AlarmState::Alarm,
            ..
        } => AlarmSeen::Red,
        AlarmReading::Found { .. }
        | AlarmReading::Missing
        | AlarmReading::Unreadable(_)
        | AlarmReading::Denied(_) => AlarmSeen::Nothing,
    }
}

#[async_trait]
impl Signals for FaultySignals {
    /// Reads the alarms in two calls.
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    ) {
        let half = wanted.len() / 2;
        for (skipped, taken) in [(0, half), (half, wanted.len() - half)] {
            if taken > 0 {
                let page = self.page(wanted.iter().skip(skipped).take(taken)).await;
                drop(told.send((account.clone(), page)));
            }
        }
    }

    async fn alarm_history(
        &self,
        _account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading {
        self.luck.call().await;
        let (delay, fails) = self.luck.alarms();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let alarms = locked(&self.world.alarms);
        match alarms.get(&alarm.name) {
            Some(alarm) if !fails => {
                let later = alarm.entered.iter().filter(|at| **at > since);
                HistoryReading::EnteredAlarm(later.copied().collect())
            }
            Some(_) | None => HistoryReading::Unreadable("no answer".to_owned()),
        }
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        Some(-self.luck.clock_offset())
    }
}

/// The journal with faults, for one process. A call that is under way goes on if the process dies.
pub(crate) struct FaultyJournal {
    pub(crate) world: World,
    pub(crate) luck: Luck,
}

/// The error of a journal that a scenario makes fail.
pub(super) fn down() -> JournalError {
    JournalError::Down("the scenario makes it fail".to_owned())
}

impl FaultyJournal {
    /// The delay of a read, and its failure if the scenario has one.
    async fn reads(&self) -> Result<(), JournalError> {
        self.luck.call().await;
        self.luck.travel().await;
        if self.luck.read_fails() {
            return Err(down());
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for FaultyJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        self.luck.call().await;
        let now = self.world.now();
        if !locked(&self.world.witness).goes_on(now) {
            self.luck.freeze();
        }
        let fate = self.luck.append();
        let arrives_after = match fate {
            Fate::Fails => return Err(down()),
            Fate::Hangs {
                arrives_after: None,
            } => std::future::pending().await,
            Fate::Hangs {
                arrives_after: Some(after),
            } => after,
            Fate::Done | Fate::ReplyLost => Duration::ZERO,
        };
        let (world, luck) = (self.world.clone(), self.luck.clone());
        let sent = tokio::spawn(async move {
            if !arrives_after.is_zero() {
                tokio::time::sleep(arrives_after).await;
            }
            luck.travel().await;
            world.sync();
            let written = world.journal.append(append).await;
            world.sync();
            luck.travel().await;
            written
        });
        let written = sent.await.unwrap_or_else(|_| Err(down()));
        self.luck.call().await;
        match fate {
            Fate::Done => written,
            Fate::ReplyLost => Err(down()),
            Fate::Fails | Fate::Hangs { .. } => std::future::pending().await,
        }
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        let now = self.world.now();
        if !locked(&self.world.witness).goes_on(now) {
            self.luck.freeze();
        }
        self.reads().await?;
        let read = self.world.journal.read_after(position).await?;
        self.world.sync();
        locked(&self.world.witness).has_read(self.luck.number, now);
        Ok(read)
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        self.reads().await?;
        let head = self.world.journal.head(stream).await?;
        locked(&self.world.witness).asked_head(self.luck.number, stream);
        self.luck.travel().await;
        Ok(head)
    }

    async fn changed(&self, position: Position) {
        if self.luck.has_lost_journal() {
            std::future::pending::<()>().await;
        }
        self.world.journal.changed(position).await;
    }

    async fn cursor(
        &self,
        stream: &CutoverName,
        channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        self.reads().await?;
        self.world.journal.cursor(stream, channel).await
    }

    async fn put_cursors(&self, cursors: &[Cursor]) -> Result<Vec<bool>, JournalError> {
        self.reads().await?;
        let put = self.world.journal.put_cursors(cursors).await;
        self.reads().await?;
        put
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        self.reads().await?;
        self.world.journal.cursors().await
    }

    /// Only fails or succeeds: a hunt reads no heartbeats.
    async fn beat(&self, _heartbeat: &Heartbeat) -> Result<(), JournalError> {
        self.reads().await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        self.world.journal.heartbeats().await
    }
}

/// The plan files and `fleet.yaml`.
#[derive(Clone, Default)]
pub(crate) struct Files {
    pub(crate) plans: Arc<Mutex<BTreeMap<String, FileReading>>>,
    pub(crate) limits: Arc<Mutex<Option<FleetSettings>>>,
}

impl PlanFiles for Files {
    fn look(&self) -> PlanFilesNow {
        let files = locked(&self.plans);
        let there = files
            .iter()
            .filter(|(_, reading)| **reading != FileReading::Removed);
        PlanFilesNow {
            roots: vec!["/plans".to_owned()],
            files: there
                .map(|(path, reading)| (path.clone(), reading.clone()))
                .collect(),
        }
    }

    fn fleet(&self) -> Option<(String, FleetSettings)> {
        let limits = locked(&self.limits).clone();
        limits.map(|limits| ("/plans/fleet.yaml".to_owned(), limits))
    }
}

/// The people who are paged; the pages are kept.
pub(crate) struct People {
    pub(crate) pages: Arc<Mutex<Vec<Delivery>>>,
    pub(crate) fail: Arc<Mutex<bool>>,
}

#[async_trait]
impl Notifier for People {
    async fn deliver(&self, delivery: &Delivery) -> Result<Option<Value>, Undelivered> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if *locked(&self.fail) {
            return Err(Undelivered::because("nobody answers"));
        }
        locked(&self.pages).push(delivery.clone());
        Ok(None)
    }
}

/// Break-glass files, which may fail to be written.
#[derive(Clone, Default)]
pub(crate) struct Glass(Arc<Mutex<bool>>);

impl Glass {
    pub(crate) fn fail(&self, fail: bool) {
        *locked(&self.0) = fail;
    }
}

impl BreakGlass for Glass {
    fn store(&self, _files: &BTreeMap<String, String>) -> Result<(), String> {
        if *locked(&self.0) {
            return Err("no space left".to_owned());
        }
        Ok(())
    }
}

/// The plans of a hunt have no hooks.
pub(crate) struct NoHooks;

#[async_trait]
impl Hooks for NoHooks {
    async fn call(&self, _request: &HookRequest) -> HookAnswer {
        HookAnswer::default()
    }
}
