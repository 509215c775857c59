//! The ports: traits for everything that the controller needs from outside. Adapters implement them; the controller
//! knows nothing else.
//!
//! The clock and the cloud are here; the other ports are in files of their own, and re-exported here.

mod beside;
mod error;
mod files;
mod journal;
mod people;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::Instant;

use cutover_engine::around::{ALIASES_MAX, unread_targets};
use cutover_engine::backtest::AlarmChange;
use cutover_engine::evidence::plan::Query;
use cutover_engine::evidence::reading::{Readings, SeriesReading};
use cutover_engine::evidence::wanted::Minutes;
use cutover_engine::observation::{AlarmReading, ChangeReading, HistoryReading};
use cutover_engine::plan::{Account, ZoneRef};
use cutover_engine::record::{GroupName, RecordSet};
use cutover_engine::units::{AlarmId, ChangeId, DnsName, ZoneId};

pub use beside::{HookAnswer, HookRequest, Hooks, Jobs};
pub use error::CallError;
pub use files::{BreakGlass, PlanFiles, PlanFilesNow, RecordKey};
pub use journal::{
    APPEND_EVENTS_MAX, Append, Claim, Cursor, Glance, Heartbeat, Journal, JournalError, NewEntry,
    Position, Skipped, StorageReport, Trouble,
};
pub use people::{DELIVER_WITHIN, Delivery, Notifier, Publication, Topics, Undelivered};
pub use slots::{REVISION, SLOT_BYTES_MAX, SlotField, SlotItem, SlotPage, Slots, SwapAnswer};

/// Reads the wall clock. Waiting is done with `tokio::time`, which the rehearsal's clock drives too.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The current time of this machine.
    fn now(&self) -> Timestamp;

    /// Waits until the next round over all cutovers: for `interval` after the round at `last`. A simulated clock may
    /// wait longer, as long as it knows that nothing has changed.
    ///
    /// May be dropped and called again with the same `last` at any time.
    async fn look_again(&self, last: Instant, interval: Duration) {
        tokio::time::sleep_until(last + interval).await;
    }
}

/// How much a call matters when calls are rationed: reverts go first and keep headroom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Part of a revert.
    Revert,
    /// Everything else.
    Normal,
}

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its identifier, without prefix.
    pub id: ZoneId,
    /// Its name.
    pub name: DnsName,
    /// It is a private zone.
    pub private: bool,
    /// The number of record sets in it, if the service told it.
    pub record_count: Option<u64>,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// The action.
    pub action: ChangeAction,
    /// The whole record.
    pub record: RecordSet,
}

/// The action of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChangeAction {
    /// Creates the record, which must not exist yet.
    Create,
    /// Deletes the record, which must exist exactly so.
    Delete,
    /// Creates or overwrites the record.
    Upsert,
}

/// A batch that Route 53 accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The id for [`Dns::change_status`].
    pub change_id: ChangeId,
    /// The reply's `Date`.
    pub server_time: Option<Timestamp>,
}

/// The types of record sets that are read around a name.
pub const AROUND_TYPES: [&str; 7] = ["A", "AAAA", "CNAME", "HTTPS", "NS", "SVCB", "TXT"];

/// Returns these records and the record sets of this zone that their aliases lead to.
///
/// # Errors
/// A call that failed.
pub async fn follow_aliases(
    dns: &dyn Dns,
    account: &Account,
    zone: &ZoneId,
    mut records: Vec<RecordSet>,
) -> Result<Vec<RecordSet>, CallError> {
    let mut asked = BTreeSet::new();
    for _ in 0..ALIASES_MAX {
        let mut unread = unread_targets(&records, zone);
        unread.retain(|name| asked.insert(name.clone()));
        if unread.is_empty() {
            break;
        }
        records.extend(dns.read_around(account, zone, &unread).await?);
    }
    Ok(records)
}

/// The record sets of the groups that were asked for.
pub type GroupReadings = BTreeMap<GroupName, Result<Vec<RecordSet>, CallError>>;

/// DNS with weights: Route 53, or the simulated one. Every call ends within its own timeout.
#[async_trait]
pub trait Dns: Send + Sync {
    /// Finds a zone by name or id. A name that fits no zone, or more than one, is a permanent error whose message lists
    /// the candidates.
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError>;

    /// Reads groups of one zone: every record set with each name and type, in as few calls as possible (single reads,
    /// or pages of the whole zone). Every wanted group is a key of the answer; a group that does not exist has no
    /// record sets.
    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings;

    /// Reads the records around a plan's own before a start: every record set of these names that may matter, in as few
    /// calls as groups. May return other records of the zone that come in the same pages.
    async fn read_around(
        &self,
        account: &Account,
        zone: &ZoneId,
        names: &BTreeSet<DnsName>,
    ) -> Result<Vec<RecordSet>, CallError> {
        let mut wanted = BTreeSet::new();
        for name in names {
            for record_type in AROUND_TYPES {
                wanted.insert(GroupName {
                    name: name.clone(),
                    record_type: record_type.to_owned(),
                });
            }
        }
        let read = self.read_groups(account, zone, &wanted, Urgency::Normal);
        let mut records = Vec::new();
        for members in read.await.into_values() {
            records.extend(members?);
        }
        Ok(records)
    }

    /// Finds the account's other hosted zones of the same kind whose names end with this zone's name, in one page of
    /// 100 or a few.
    async fn zones_below(&self, _account: &Account, _zone: &Zone) -> Result<Vec<Zone>, CallError> {
        Ok(Vec::new())
    }

    /// Submits one batch, atomically, in one attempt. An error of class `Transient` is ambiguous: the change may have
    /// been applied.
    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        urgency: Urgency,
    ) -> Result<Submitted, CallError>;

    /// Asks if a change is in sync.
    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading;

    /// The service's clock minus ours, as of now: the time of the newest reply, carried on by the monotonic clock.
    /// `None` before the first reply.
    fn clock_skew(&self) -> Option<jiff::SignedDuration>;
}

/// The longest time for reading this many alarms of one account: 5 s (semantics F1), and 200 ms more for every page of
/// 100 beyond the 25 that the service's quota allows in that time. So a fleet of thousands is seen late rather than
/// never.
pub fn alarms_within(count: usize) -> Duration {
    let more = count.div_ceil(100).saturating_sub(25);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    Duration::from_secs(5) + Duration::from_millis(200).saturating_mul(more)
}

/// The longest time for reading this many series of one account: 5 s (semantics F1), and 100 ms more for every call of
/// 500 beyond the 50 that the service's quota allows in that time.
pub fn series_within(count: usize) -> Duration {
    let more = count.div_ceil(500).saturating_sub(50);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    Duration::from_secs(5) + Duration::from_millis(100).saturating_mul(more)
}

/// Alarms: CloudWatch, or the simulated one. Every call ends within its own timeout.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Reads alarms, metric and composite, in pages of 100 names per region, and sends each page to `told` as it
    /// arrives: thousands of alarms take seconds under the service's quota, and a red alarm on the first page must not
    /// wait for the others. Every wanted alarm is sent once.
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    );

    /// Reads alarms and returns all of them together. Every wanted alarm is a key of the answer.
    async fn read_alarms(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
    ) -> BTreeMap<AlarmId, AlarmReading> {
        let (told, mut pages) = mpsc::unbounded_channel();
        self.read_alarms_by_page(account, wanted, &told).await;
        let mut readings = BTreeMap::new();
        while let Ok((_, page)) = pages.try_recv() {
            readings.extend(page);
        }
        readings
    }

    /// Reads the times at which an alarm entered ALARM after `since`.
    async fn alarm_history(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading;

    /// Reads series over the wanted minutes of each, in calls of up to 500 queries per region. A series that is not a
    /// key of the answer was not read.
    async fn read_series(&self, _account: &Account, wanted: &BTreeMap<Query, Minutes>) -> Readings {
        let mut readings = Readings::new();
        for query in wanted.keys() {
            let why = "metrics cannot be read here".to_owned();
            readings.insert(query.clone(), SeriesReading::Unreadable(why));
        }
        readings
    }

    /// The time that each alarm looks back before it turns red: its period times its evaluation periods; for a
    /// composite alarm that of its slowest member. Alarms that cannot be read are left out. For previews, and once
    /// before a start; not asked in rounds.
    async fn alarm_spans(
        &self,
        _account: &Account,
        _wanted: &BTreeSet<AlarmId>,
    ) -> BTreeMap<AlarmId, jiff::SignedDuration> {
        BTreeMap::new()
    }

    /// The time at which the environment's credentials expire, if that is known. For previews; not asked in rounds.
    async fn credentials_expire_at(&self) -> Option<Timestamp> {
        None
    }

    /// The service's clock minus ours, as of now: the time of the newest reply, carried on by the monotonic clock.
    /// `None` before the first reply.
    fn clock_skew(&self) -> Option<jiff::SignedDuration>;
}

/// A page of an account's alarms.
pub type AlarmPage = (Account, Vec<(AlarmId, AlarmReading)>);

/// CloudWatch's history of alarms. Read only by backtests, never by a controller.
#[async_trait]
pub trait Past: Send + Sync {
    /// All changes of an alarm's state in `[since, until)`, oldest first. Takes minutes for an alarm that changed
    /// thousands of times: histories come in pages of 100, a few per second.
    async fn alarm_changes(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<AlarmChange>, CallError>;
}
