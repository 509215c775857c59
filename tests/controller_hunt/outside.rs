//! The controllers' doors to the world, each of which may fail on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cutover::engine::event::{Envelope, FailureClass};
use cutover::engine::notify::Via;
use cutover::engine::observation::{ChangeReading, FileReading};
use cutover::engine::paged::Paged;
use cutover::engine::plan::{Account, ZoneRef};
use cutover::engine::record::GroupName;
use cutover::engine::units::{ChangeId, CutoverName, ZoneId};
use cutover::ports::{
    Append, BreakGlass, CallError, Cursor, Delivery, Dns, GroupReadings, Heartbeat, Journal,
    JournalError, Notifier, PlanFiles, PlanFilesNow, Position, RecordChange, Submitted,
    Undelivered, Urgency, Zone,
};
use cutover::sim::dns::SimDns;
use jiff::SignedDuration;
use serde_json::Value;

use super::world::{World, locked};

/// What Route 53 does besides its rules.
#[derive(Default)]
pub(crate) struct Knobs {
    /// A refusal names no record.
    pub(crate) names_nobody: bool,
    /// Larger batches are throttled.
    pub(crate) changes_max: Option<usize>,
    /// The zone whose calls are never answered.
    pub(crate) hanging: Option<ZoneId>,
    /// How many changes each batch had that arrived.
    pub(crate) batches: Vec<usize>,
}

/// How one process reaches the journal.
#[derive(Clone, Default)]
pub(crate) struct Delays(Arc<Mutex<JournalFaults>>);

/// What goes wrong between one process and the journal.
#[derive(Default)]
pub(crate) struct JournalFaults {
    pub(crate) appends_fail: bool,
    pub(crate) replies_lost: bool,
    pub(crate) reads_fail: bool,
    /// Every call takes this long.
    pub(crate) takes: Duration,
    /// Calls take up to a few milliseconds, drawn from this.
    pub(crate) jitter: Option<fastrand::Rng>,
}

impl Delays {
    pub(crate) fn change(&self, change: impl FnOnce(&mut JournalFaults)) {
        change(&mut locked(&self.0));
    }

    /// Waits as long as the call takes its way.
    async fn travel(&self) {
        let takes = {
            let mut faults = locked(&self.0);
            let takes = faults.takes;
            let jitter = faults.jitter.as_mut().map_or(0, |rng| rng.u64(0..4));
            takes + Duration::from_millis(jitter)
        };
        if takes.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(takes).await;
        }
    }

    fn fails(&self, fault: impl Fn(&JournalFaults) -> bool) -> Result<(), JournalError> {
        if fault(&locked(&self.0)) {
            return Err(JournalError::Down("it is made to fail".to_owned()));
        }
        Ok(())
    }
}

/// One process's journal; what is on its way goes on when the process dies.
pub(crate) struct WatchedJournal {
    pub(crate) world: World,
    pub(crate) delays: Delays,
}

#[async_trait]
impl Journal for WatchedJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        let now = self.world.now();
        locked(&self.world.witness).count_call(now);
        self.delays.fails(|faults| faults.appends_fail)?;
        let (world, delays) = (self.world.clone(), self.delays.clone());
        let sent = tokio::spawn(async move {
            delays.travel().await;
            world.sync();
            let written = world.journal.append(append).await;
            world.sync();
            delays.travel().await;
            written
        });
        let written = sent.await.expect("an append does not panic");
        self.delays.fails(|faults| faults.replies_lost)?;
        written
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        let now = self.world.now();
        locked(&self.world.witness).count_call(now);
        self.delays.travel().await;
        self.delays.fails(|faults| faults.reads_fail)?;
        self.world.journal.read_after(position).await
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        self.delays.travel().await;
        self.delays.fails(|faults| faults.reads_fail)?;
        self.world.journal.head(stream).await
    }

    async fn changed(&self, position: Position) {
        self.world.journal.changed(position).await;
    }

    async fn cursor(
        &self,
        stream: &CutoverName,
        channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        self.delays.travel().await;
        self.delays.fails(|faults| faults.reads_fail)?;
        self.world.journal.cursor(stream, channel).await
    }

    async fn put_cursors(&self, cursors: &[Cursor]) -> Result<Vec<bool>, JournalError> {
        self.delays.travel().await;
        self.delays.fails(|faults| faults.appends_fail)?;
        let put = self.world.journal.put_cursors(cursors).await;
        self.delays.fails(|faults| faults.replies_lost)?;
        put
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        self.delays.travel().await;
        self.delays.fails(|faults| faults.reads_fail)?;
        self.world.journal.cursors().await
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        self.delays.travel().await;
        self.delays.fails(|faults| faults.appends_fail)?;
        self.world.journal.beat(heartbeat).await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        self.world.journal.heartbeats().await
    }
}

/// Route 53 over a wire: a request that was sent arrives although its sender died.
pub(crate) struct Wire(pub(crate) SimDns, pub(crate) Arc<Mutex<Knobs>>);

impl Wire {
    /// Waits in vain where the zone hangs.
    async fn answers(&self, zone: &ZoneId) -> Result<(), CallError> {
        let hangs = locked(&self.1).hanging.as_ref() == Some(zone);
        if hangs {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let class = FailureClass::Transient;
            return Err(CallError::new("Route53", class, "timed out"));
        }
        Ok(())
    }
}

#[async_trait]
impl Dns for Wire {
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError> {
        self.0.find_zone(account, zone).await
    }

    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings {
        if let Err(error) = self.answers(zone).await {
            let failed = |name: &GroupName| (name.clone(), Err(error.clone()));
            return wanted.iter().map(failed).collect();
        }
        self.0.read_groups(account, zone, wanted, urgency).await
    }

    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        urgency: Urgency,
    ) -> Result<Submitted, CallError> {
        self.answers(zone).await?;
        let names_nobody = {
            let mut knobs = locked(&self.1);
            knobs.batches.push(changes.len());
            if knobs.changes_max.is_some_and(|most| changes.len() > most) {
                let (call, class) = ("ChangeResourceRecordSets", FailureClass::Throttled);
                return Err(CallError::new(call, class, "Rate exceeded"));
            }
            knobs.names_nobody
        };
        let (dns, account, zone) = (self.0.clone(), account.clone(), zone.clone());
        let (changes, comment) = (changes.to_vec(), comment.to_owned());
        let sent = tokio::spawn(async move {
            dns.change(&account, &zone, &changes, &comment, urgency)
                .await
        });
        let lost = CallError::new("ChangeResourceRecordSets", FailureClass::Transient, "lost");
        let mut answer = sent.await.unwrap_or(Err(lost));
        if let (Err(error), true) = (&mut answer, names_nobody) {
            error.culprits.clear();
        }
        answer
    }

    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading {
        self.0.change_status(account, change).await
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        self.0.clock_skew()
    }
}

/// The plan files.
#[derive(Clone, Default)]
pub(crate) struct Files(pub(crate) Arc<Mutex<BTreeMap<String, FileReading>>>);

impl PlanFiles for Files {
    fn look(&self) -> PlanFilesNow {
        let files = locked(&self.0);
        let there = files
            .iter()
            .filter(|(_, reading)| **reading != FileReading::Removed);
        PlanFilesNow {
            roots: files.keys().cloned().collect(),
            files: there
                .map(|(path, reading)| (path.clone(), reading.clone()))
                .collect(),
        }
    }
}

/// A page, or the end of one, as the log or a command got it.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) entry: Envelope,
    pub(crate) idempotency_key: String,
    pub(crate) settles: Vec<Paged>,
    /// The entries of other cutovers that it is also for.
    pub(crate) others: Vec<(CutoverName, u64)>,
    /// What it says.
    pub(crate) words: String,
    /// None for the log.
    pub(crate) command: Option<Vec<String>>,
}

/// People, who are told everything.
pub(crate) struct People {
    pub(crate) pages: Arc<Mutex<Vec<Page>>>,
    pub(crate) fail: Arc<Mutex<bool>>,
    pub(crate) channels: Arc<Mutex<Told>>,
}

/// What channels were told, and how they are.
#[derive(Default)]
pub(crate) struct Told {
    /// What arrived, whether or not the answer did.
    pub(crate) notices: Vec<Delivery>,
    /// How long an answer takes.
    pub(crate) takes: Duration,
    /// Nothing arrives.
    pub(crate) dead: bool,
    /// The entries that were, each time.
    pub(crate) refused: Vec<u64>,
    /// Types of events that are refused for good.
    pub(crate) refuses: Vec<&'static str>,
    /// What arrives is not answered.
    pub(crate) mute: bool,
    /// How often it was tried.
    pub(crate) tries: usize,
}

#[async_trait]
impl Notifier for People {
    async fn deliver(&self, delivery: &Delivery) -> Result<Option<Value>, Undelivered> {
        let command = match &delivery.channel.via {
            Via::Log {} => None,
            Via::Command { argv } => Some(argv.clone()),
            _ => return self.tell(delivery).await,
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        if *locked(&self.fail) {
            return Err(Undelivered::because("nobody answers"));
        }
        let notice = &delivery.notice;
        locked(&self.pages).push(Page {
            entry: notice.entry.clone(),
            idempotency_key: notice.idempotency_key(),
            settles: notice.settles.clone(),
            others: notice.others.clone(),
            words: cutover::report::notice::line(notice),
            command,
        });
        Ok(None)
    }
}

impl People {
    /// Tells a service.
    async fn tell(&self, delivery: &Delivery) -> Result<Option<Value>, Undelivered> {
        let takes = {
            let mut channels = locked(&self.channels);
            channels.tries += 1;
            channels.takes
        };
        tokio::time::sleep(takes / 2).await;
        let mute = {
            let mut channels = locked(&self.channels);
            if channels.dead {
                return Err(Undelivered::because("nobody answers"));
            }
            if channels.refuses.contains(&delivery.notice.kind()) {
                channels.refused.push(delivery.notice.entry.seq);
                return Err(Undelivered {
                    for_good: true,
                    ..Undelivered::because("HTTP 413")
                });
            }
            channels.notices.push(delivery.clone());
            channels.mute
        };
        tokio::time::sleep(takes / 2).await;
        if mute {
            return Err(Undelivered::because("the answer was lost"));
        }
        Ok(Some(Value::from(delivery.notice.entry.seq)))
    }
}

/// Break-glass files in memory.
#[derive(Clone, Default)]
pub(crate) struct Glass(Arc<Mutex<(BTreeMap<String, String>, bool)>>);

impl Glass {
    pub(crate) fn fail(&self, fail: bool) {
        locked(&self.0).1 = fail;
    }

    pub(crate) fn text(&self) -> String {
        let glass = locked(&self.0);
        glass.0.values().cloned().collect()
    }
}

impl BreakGlass for Glass {
    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String> {
        let mut glass = locked(&self.0);
        if glass.1 {
            return Err("no space left".to_owned());
        }
        glass.0.clone_from(files);
        Ok(())
    }
}
