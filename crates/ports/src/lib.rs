//! The ports: traits for everything that the controller needs from outside. Adapters implement them. The controller
//! uses nothing else from outside.
//!
//! This file has the clock and the services of AWS. The other ports have files of their own and are exported here.

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

/// Reads the wall clock. To wait, code uses `tokio::time`, whose clock a rehearsal controls too.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the current time of this machine.
    fn now(&self) -> Timestamp;

    /// Waits until the next round over all cutovers is due: `interval` after the round at `last`. A simulated clock may
    /// wait longer if it knows that nothing has changed.
    ///
    /// The future may be dropped at any time, and the call repeated with the same `last`.
    async fn look_again(&self, last: Instant, interval: Duration) {
        tokio::time::sleep_until(last + interval).await;
    }
}

/// The urgency of a call when calls are rationed. Reverts go first, and part of the quota is reserved for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The call is part of a revert.
    Revert,
    /// Any other call.
    Normal,
}

/// A hosted zone, as Route 53 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// The zone's ID, without the `/hostedzone/` prefix.
    pub id: ZoneId,
    /// The zone's DNS name.
    pub name: DnsName,
    /// True for a private zone.
    pub private: bool,
    /// The number of record sets in the zone. `None` if the service did not say.
    pub record_count: Option<u64>,
}

/// One change of a change batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// The kind of change.
    pub action: ChangeAction,
    /// The whole record set, with all of its fields.
    pub record: RecordSet,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChangeAction {
    /// Creates the record set. Route 53 refuses this if it exists.
    Create,
    /// Deletes the record set. Route 53 refuses this unless all fields are equal.
    Delete,
    /// Creates or overwrites the record set.
    Upsert,
}

/// A change batch that Route 53 accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The ID of the change, for [`Dns::change_status`].
    pub change_id: ChangeId,
    /// The time in the reply's `Date` header. `None` if the reply had none.
    pub server_time: Option<Timestamp>,
}

/// The types of record sets that are read around a plan's names before the start (semantics L12).
pub const AROUND_TYPES: [&str; 7] = ["A", "AAAA", "CNAME", "HTTPS", "NS", "SVCB", "TXT"];

/// Reads the record sets of this zone that the aliases among `records` lead to. Returns them together with `records`.
/// Follows at most [`ALIASES_MAX`] aliases from one to the next.
///
/// # Errors
/// Route 53 could not be read.
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

/// The record sets of each group that was asked for, or why that group could not be read.
pub type GroupReadings = BTreeMap<GroupName, Result<Vec<RecordSet>, CallError>>;

/// DNS with weighted records: Route 53, or the simulated one. Every call ends within its own timeout.
#[async_trait]
pub trait Dns: Send + Sync {
    /// Finds a zone by its name or ID.
    ///
    /// # Errors
    /// The call failed. If the name fits no zone, or more than one, the error is permanent and its message lists the
    /// candidates.
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError>;

    /// Reads groups of one zone: every record set with each name and type. Uses as few calls as possible: single reads,
    /// or pages of the whole zone. Every group of `wanted` is a key of the result. A group that does not exist has no
    /// record sets.
    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings;

    /// Reads the record sets around the plan's own before a start: all of [`AROUND_TYPES`] for each name. Uses as few
    /// calls as [`read_groups`](Self::read_groups). The result may have other records of the zone that came in the same
    /// pages.
    ///
    /// # Errors
    /// One of the reads failed.
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

    /// Finds the account's other hosted zones of the same kind (public or private) whose names end with this zone's
    /// name. Costs one call, or a few, for pages of 100 zones.
    ///
    /// # Errors
    /// The zones could not be listed.
    async fn zones_below(&self, _account: &Account, _zone: &Zone) -> Result<Vec<Zone>, CallError> {
        Ok(Vec::new())
    }

    /// Submits one change batch in one attempt. Route 53 applies it as a whole or not at all.
    ///
    /// # Errors
    /// The batch was refused, or the reply was lost. After an error of class `Transient` the change may have been
    /// applied.
    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        urgency: Urgency,
    ) -> Result<Submitted, CallError>;

    /// Reads if a change is in sync on all of Route 53's servers.
    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading;

    /// Returns the service's clock minus this machine's, as of now: the time of the newest reply, carried forward by
    /// the monotonic clock. `None` before the first reply.
    fn clock_skew(&self) -> Option<jiff::SignedDuration>;
}

/// Returns the longest time that a read of `count` alarms of one account may take: 5 s (semantics F1), and 200 ms more
/// for every page of 100 after the first 25 pages. The service's quota allows 25 pages in 5 s. Without the additional
/// time the alarms of a large fleet would never be read.
pub fn alarms_within(count: usize) -> Duration {
    let more = count.div_ceil(100).saturating_sub(25);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    Duration::from_secs(5) + Duration::from_millis(200).saturating_mul(more)
}

/// Returns the longest time that a read of `count` series of one account may take: 5 s (semantics F1), and 100 ms more
/// for every call of 500 after the first 50 calls. The service's quota allows 50 calls in 5 s.
pub fn series_within(count: usize) -> Duration {
    let more = count.div_ceil(500).saturating_sub(50);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    Duration::from_secs(5) + Duration::from_millis(100).saturating_mul(more)
}

/// Alarms and metrics: CloudWatch, or the simulated one. Every call ends within its own timeout.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Reads alarms, metric and composite, in pages of 100 names per region, and sends each page to `told` as it
    /// arrives. Thousands of alarms take seconds under the service's quota, and a red alarm on the first page must not
    /// wait for the other pages. Every alarm of `wanted` is sent once.
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    );

    /// Reads alarms and returns all of them together. Every alarm of `wanted` is a key of the result.
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

    /// Reads series, each over its minutes of `wanted`, in calls of up to 500 queries per region. A series that is no
    /// key of the result was not read.
    async fn read_series(&self, _account: &Account, wanted: &BTreeMap<Query, Minutes>) -> Readings {
        let mut readings = Readings::new();
        for query in wanted.keys() {
            let why = "metrics cannot be read here".to_owned();
            readings.insert(query.clone(), SeriesReading::Unreadable(why));
        }
        readings
    }

    /// Returns the time span of data that each alarm evaluates before it turns red: its period times its evaluation
    /// periods. A composite alarm has the span of its slowest child. Alarms that cannot be read are left out. Called by
    /// previews and once before a start, never in rounds.
    async fn alarm_spans(
        &self,
        _account: &Account,
        _wanted: &BTreeSet<AlarmId>,
    ) -> BTreeMap<AlarmId, jiff::SignedDuration> {
        BTreeMap::new()
    }

    /// Returns the time at which the environment's credentials expire. `None` if that is not known. Called by previews,
    /// never in rounds.
    async fn credentials_expire_at(&self) -> Option<Timestamp> {
        None
    }

    /// Returns the service's clock minus this machine's, as of now: the time of the newest reply, carried forward by
    /// the monotonic clock. `None` before the first reply.
    fn clock_skew(&self) -> Option<jiff::SignedDuration>;
}

/// A page of alarms: the account that they were read in, and the reading of each.
pub type AlarmPage = (Account, Vec<(AlarmId, AlarmReading)>);

/// CloudWatch's history of alarms. Only backtests read it, never a controller.
#[async_trait]
pub trait Past: Send + Sync {
    /// Reads all changes of an alarm's state in `[since, until)`, oldest first. For an alarm with thousands of changes
    /// this takes minutes, because histories come in pages of 100, a few per second.
    ///
    /// # Errors
    /// The history could not be read.
    async fn alarm_changes(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<AlarmChange>, CallError>;
}
