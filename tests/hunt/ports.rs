//! The ports of one process: each call may fail, hang, come late or answer nonsense; and the witness sees each of them.

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
    AlarmPage, Append, BreakGlass, CallError, Dns, GroupReadings, Heartbeat, Journal, JournalError,
    Notifier, Page, PlanFiles, PlanFilesNow, Position, RecordChange, Signals, Submitted, Urgency,
    Zone,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;

use super::luck::{Fate, Luck};
use super::witness::AlarmSeen;
use super::world::{World, locked};

/// Route 53 over a wire: a request that was sent arrives although its sender died.
pub(crate) struct Wire {
    pub(crate) dns: Arc<dyn Dns>,
    pub(crate) world: World,
    pub(crate) luck: Luck,
}

#[async_trait]
impl Dns for Wire {
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
            if let (true, Some((old, new)), Some(first)) =
                (answer.is_ok(), overtaken, changes.first())
            {
                world.overtake(&zone, &first.record, (old, new));
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

/// What cannot be represented, a stranger, or a member that is missing.
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

/// `CloudWatch`, as far as alarms go.
pub(crate) struct AlarmDoor {
    pub(crate) world: World,
    pub(crate) luck: Luck,
}

impl AlarmDoor {
    fn look(&self, name: &str) -> AlarmReading {
        let alarms = locked(&self.world.alarms);
        let Some(alarm) = alarms.get(name).filter(|alarm| !alarm.gone) else {
            return AlarmReading::Missing;
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

    /// One call, which may fail, hang or come late.
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

/// What a process makes of a reading.
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
impl Signals for AlarmDoor {
    /// In two calls.
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
        let found = alarms.get(&alarm.name).filter(|_| !fails);
        found.map_or(
            HistoryReading::Unreadable("no answer".to_owned()),
            |alarm| {
                let later = alarm.entered.iter().filter(|at| **at > since);
                HistoryReading::EnteredAlarm(later.copied().collect())
            },
        )
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        Some(-self.luck.clock_offset())
    }
}

/// One process's way to the journal; what is on its way goes on when the process dies.
pub(crate) struct JournalDoor {
    pub(crate) world: World,
    pub(crate) luck: Luck,
}

impl JournalDoor {
    async fn reads(&self) -> Result<(), JournalError> {
        self.luck.call().await;
        self.luck.travel().await;
        if self.luck.read_fails() {
            return Err(JournalError::Down("it is made to fail".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for JournalDoor {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        self.luck.call().await;
        let now = self.world.now();
        if !locked(&self.world.witness).goes_on(now) {
            self.luck.freeze();
        }
        let down = || JournalError::Down("it is made to fail".to_owned());
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

    /// Nobody in a hunt asks who looks: that it arrives, or does not, is all.
    async fn beat(&self, _heartbeat: &Heartbeat) -> Result<(), JournalError> {
        self.reads().await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        self.world.journal.heartbeats().await
    }
}

/// The plan files, and the fleet's.
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

/// People, who are told everything.
pub(crate) struct People {
    pub(crate) pages: Arc<Mutex<Vec<Page>>>,
    pub(crate) fail: Arc<Mutex<bool>>,
}

#[async_trait]
impl Notifier for People {
    async fn page(&self, page: &Page) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if *locked(&self.fail) {
            return Err("nobody answers".to_owned());
        }
        locked(&self.pages).push(page.clone());
        Ok(())
    }
}

/// Break-glass files, which may not be writable.
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
