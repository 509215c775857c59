//! Implements the port `Dns` with Route 53.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::config::Config;
use aws_sdk_route53::operation::get_change::GetChangeError;
use aws_sdk_route53::types::{ChangeBatch, ChangeStatus};
use aws_smithy_types::retry::RetryConfig;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::budget::WaitedTooLong;
use super::config::{AwsClients, CHANGE_TIMEOUT, CHANGE_WAIT_MAX, change_timeouts};
use super::errors::{call_error, change_error, no_token, too_late};
use super::guard::called;
use super::images::sdk_change;
use super::session::Session;
use super::zone_reads::{ZoneReader, types_by_name, whole_zone_is_cheaper};
use super::zones;
use crate::engine::event::FailureClass;
use crate::engine::observation::ChangeReading;
use crate::engine::plan::{Account, ZoneRef};
use crate::engine::record::{GroupName, RecordSet};
use crate::engine::units::{ChangeId, DnsName, ZoneId};
use crate::ports::{CallError, Dns, GroupReadings, RecordChange, Submitted, Urgency, Zone};

const CHANGE: &str = "ChangeResourceRecordSets";
const STATUS: &str = "GetChange";
const READ: &str = "ListResourceRecordSets";
const FIND: &str = "GetHostedZone";
const ZONES: &str = "ListHostedZonesByName";
/// The most characters of a batch's comment. Longer ones are cut. Source: Route 53 API Reference,
/// `ResourceDescription`.
const COMMENT_CHARS_MAX: usize = 256;
/// The longest time of a whole `read_groups`. 34 pages of a zone of 10,000 record sets, at 10 pages a second, take a
/// small part of it.
const READ_GROUPS_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time of a whole `find_zone`. It makes few calls, each with its own timeout.
const FIND_ZONE_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time of a whole `change_status`, including waits for a token and for credentials.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of record sets up to which `read_around` reads the whole zone: three pages.
const SMALL_ZONE_RECORDS: u64 = 900;
/// How long a zone's remembered size is used. The size only decides how the zone is read.
const ZONE_SIZE_VALID: Duration = Duration::from_mins(10);
/// The longest wait for a zone's size. The records must still be read within a round's 5 s.
const ZONE_SIZE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most names that are read one by one without asking for the zone's size.
const NAMES_WITHOUT_SIZE: usize = 2;
/// The same for a revert: the tokens that are kept for reverts allow as many reads at once. In a process that has read
/// nothing yet, a rollback of many more names would wait for tokens, although a few pages of the zone contain all of
/// them (semantics A5).
const NAMES_WITHOUT_SIZE_IN_REVERT: usize = 5;

/// Reads and changes records with Route 53. Clones share clients, budgets and the remembered zones.
#[derive(Debug, Clone)]
pub struct Route53Dns {
    clients: Arc<AwsClients>,
    known: Arc<Mutex<KnownZones>>,
}

/// The remembered zones. Errors are not remembered.
#[derive(Debug, Default)]
struct KnownZones {
    /// The zones by account and by the plan's reference.
    zones: BTreeMap<(Account, ZoneRef), Zone>,
    /// The number of record sets in a zone, and the time at which it was read.
    sizes: BTreeMap<(Account, ZoneId), (u64, Instant)>,
}

impl Route53Dns {
    pub(super) fn new(clients: Arc<AwsClients>) -> Self {
        Self {
            clients,
            known: Arc::default(),
        }
    }

    /// Returns the client and the budget of an account.
    async fn session(&self, account: &Account) -> Session {
        Session {
            client: self.clients.route53(account).await,
            budget: self.clients.budget(account),
        }
    }

    /// Locks the remembered zones. A poisoned lock is usable, because the data behind it is plain.
    fn known(&self) -> MutexGuard<'_, KnownZones> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of record sets in the zone, if it is needed to choose how to read it. An old number is read
    /// again. A revert uses even an old number, and asks only if there is none and it must read many names. `None` if
    /// the number is not needed or cannot be read.
    async fn zone_size(
        &self,
        session: &Session,
        key: &(Account, ZoneId),
        names: usize,
        urgency: Urgency,
    ) -> Option<u64> {
        let known = self.known().sizes.get(key).copied();
        let fresh = known.is_some_and(|(_, asked_at)| asked_at.elapsed() < ZONE_SIZE_VALID);
        let enough = match urgency {
            Urgency::Revert => known.is_some() || names <= NAMES_WITHOUT_SIZE_IN_REVERT,
            Urgency::Normal => fresh || names <= NAMES_WITHOUT_SIZE,
        };
        if enough {
            return known.map(|(size, _)| size);
        }
        let asked = zones::by_id(session, &key.1, urgency);
        let zone = tokio::time::timeout(ZONE_SIZE_TIMEOUT, asked).await.ok()?;
        let size = zone.ok()?.record_count?;
        self.known()
            .sizes
            .insert(key.clone(), (size, Instant::now()));
        Some(size)
    }

    /// Reads groups one by one, or from pages of the whole zone if that takes fewer calls.
    async fn read(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings {
        let session = self.session(account).await;
        let names = types_by_name(wanted);
        let key = (account.clone(), zone.clone());
        let size = self.zone_size(&session, &key, names.len(), urgency).await;
        let reader = ZoneReader {
            session,
            zone: zone.clone(),
            urgency,
        };
        if let Some(size) = size
            && whole_zone_is_cheaper(names.len(), size)
        {
            let read = reader.read_zone(wanted, size).await;
            return readings_of(wanted, |_| Some(&read));
        }
        let read = reader.read_names(names).await;
        readings_of(wanted, |group| read.get(&group.name))
    }

    /// Finds a zone and remembers it with its size.
    async fn find(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError> {
        let session = self.session(account).await;
        let found = zones::find(&session, zone).await?;
        let mut known = self.known();
        if let Some(size) = found.record_count {
            let key = (account.clone(), found.id.clone());
            known.sizes.insert(key, (size, Instant::now()));
        }
        let key = (account.clone(), zone.clone());
        known.zones.insert(key, found.clone());
        Ok(found)
    }

    /// Forgets a zone that no longer exists. Its name may belong to another zone now.
    fn forget_if_gone(&self, zone: &ZoneId, error: &CallError) {
        if error.code.as_deref() == Some("NoSuchHostedZone") {
            let mut known = self.known();
            known.zones.retain(|_, known| known.id != *zone);
            known.sizes.retain(|(_, known), _| known != zone);
        }
    }

    /// Sends a batch once, without retries.
    async fn submit(
        &self,
        account: &Account,
        zone: &ZoneId,
        batch: ChangeBatch,
        groups: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> Result<Submitted, CallError> {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        let prepared = tokio::time::timeout(CHANGE_WAIT_MAX, async {
            let session = self.session(account).await;
            let wait = CHANGE_WAIT_MAX;
            let token = session.budget.acquire(CHANGE, urgency, wait).await;
            token.map(|()| session.client)
        });
        let client = prepared
            .await
            .unwrap_or(Err(WaitedTooLong(CHANGE_WAIT_MAX)))
            .map_err(|waited| no_token(CHANGE, waited))?;
        let left = deadline.saturating_duration_since(Instant::now());
        // If the SDK retried a change whose reply was lost, the retry would fail because of the first try (semantics
        // A1).
        let once = Config::builder()
            .retry_config(RetryConfig::standard().with_max_attempts(1))
            .timeout_config(change_timeouts(left));
        let dates = self.clients.route53_dates.fresh();
        let request = client
            .change_resource_record_sets()
            .hosted_zone_id(zone.as_str())
            .change_batch(batch)
            .customize()
            .config_override(once)
            .interceptor(dates.clone());
        let reply = called(request.send()).await.map_err(|error| {
            let failed = change_error(CHANGE, &error, groups);
            self.forget_if_gone(zone, &failed);
            failed
        })?;
        let Some(info) = reply.change_info() else {
            // The change was accepted, but without its ID it cannot be followed. That is the same as a lost reply.
            let message = "the reply has no change ID";
            return Err(CallError::new(CHANGE, FailureClass::Transient, message));
        };
        Ok(Submitted {
            change_id: ChangeId::from(info.id.trim_start_matches("/change/").to_owned()),
            server_time: dates.server_time(),
        })
    }

    /// Reads the status of a change with one call.
    async fn status(&self, account: &Account, change: &ChangeId) -> ChangeReading {
        let session = self.session(account).await;
        if let Err(error) = session.token(STATUS, Urgency::Normal).await {
            return unread(&error);
        }
        let request = session.client.get_change().id(change.as_str());
        match called(request.send()).await {
            Ok(reply) => match reply.change_info().map(|info| &info.status) {
                Some(ChangeStatus::Insync) => ChangeReading::InSync,
                Some(ChangeStatus::Pending) => ChangeReading::Pending,
                Some(other) => ChangeReading::Unreadable(format!("unknown status {other}")),
                None => ChangeReading::Unreadable("the reply has no status".to_owned()),
            },
            Err(error) => match error.as_service_error() {
                Some(GetChangeError::NoSuchChange(_)) => ChangeReading::Unknown,
                _ => unread(&call_error(STATUS, &error)),
            },
        }
    }
}

#[async_trait]
impl Dns for Route53Dns {
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError> {
        let key = (account.clone(), zone.clone());
        let known = self.known().zones.get(&key).cloned();
        if let Some(zone) = known {
            return Ok(zone);
        }
        tokio::time::timeout(FIND_ZONE_TIMEOUT, self.find(account, zone))
            .await
            .unwrap_or_else(|_| Err(too_late(FIND, FIND_ZONE_TIMEOUT)))
    }

    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings {
        if wanted.is_empty() {
            return GroupReadings::new();
        }
        let reading = self.read(account, zone, wanted, urgency);
        let Ok(readings) = tokio::time::timeout(READ_GROUPS_TIMEOUT, reading).await else {
            return readings_of(wanted, |_| None);
        };
        for error in readings.values().filter_map(|read| read.as_ref().err()) {
            self.forget_if_gone(zone, error);
        }
        readings
    }

    async fn read_around(
        &self,
        account: &Account,
        zone: &ZoneId,
        names: &BTreeSet<DnsName>,
    ) -> Result<Vec<RecordSet>, CallError> {
        let session = self.session(account).await;
        let key = (account.clone(), zone.clone());
        let urgency = Urgency::Normal;
        let size = self.zone_size(&session, &key, names.len(), urgency).await;
        let reader = ZoneReader {
            session,
            zone: zone.clone(),
            urgency,
        };
        // A zone of few pages is read as a whole, because its records may have names that nobody can guess.
        let whole = size.is_some_and(|size| {
            size <= SMALL_ZONE_RECORDS || whole_zone_is_cheaper(names.len(), size)
        });
        if whole {
            return reader.read_whole().await;
        }
        reader.read_all_types(names).await
    }

    async fn zones_below(&self, account: &Account, zone: &Zone) -> Result<Vec<Zone>, CallError> {
        let session = self.session(account).await;
        tokio::time::timeout(FIND_ZONE_TIMEOUT, zones::below(&session, zone))
            .await
            .unwrap_or_else(|_| Err(too_late(ZONES, FIND_ZONE_TIMEOUT)))
    }

    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        urgency: Urgency,
    ) -> Result<Submitted, CallError> {
        let batch = batch(changes, comment)?;
        let groups = changes.iter().map(|change| GroupName {
            name: DnsName::new(&change.record.name),
            record_type: change.record.record_type.clone(),
        });
        self.submit(account, zone, batch, &groups.collect(), urgency)
            .await
    }

    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading {
        tokio::time::timeout(STATUS_TIMEOUT, self.status(account, change))
            .await
            .unwrap_or_else(|_| {
                ChangeReading::Unreadable(too_late(STATUS, STATUS_TIMEOUT).to_string())
            })
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        self.clients.route53_dates.skew()
    }
}

/// Returns the reading of a change whose status could not be read.
fn unread(error: &CallError) -> ChangeReading {
    match error.class {
        FailureClass::Denied => ChangeReading::Denied(error.to_string()),
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Conflict
        | FailureClass::Permanent
        | FailureClass::NotSent => ChangeReading::Unreadable(error.to_string()),
    }
}

/// Returns a reading for every wanted group: its record sets (empty if it does not exist), or why it was not read.
fn readings_of<'a, F>(wanted: &BTreeSet<GroupName>, read: F) -> GroupReadings
where
    F: Fn(&GroupName) -> Option<&'a Result<super::zone_reads::FoundGroups, CallError>>,
{
    let mut readings = GroupReadings::new();
    for group in wanted {
        let reading = match read(group) {
            Some(Ok(found)) => Ok(found.get(group).cloned().unwrap_or_default()),
            Some(Err(error)) => Err(error.clone()),
            None => Err(too_late(READ, READ_GROUPS_TIMEOUT)),
        };
        readings.insert(group.clone(), reading);
    }
    readings
}

/// Converts a batch to the SDK's type. A record with fields that cannot be written back is an error.
fn batch(changes: &[RecordChange], comment: &str) -> Result<ChangeBatch, CallError> {
    let comment: String = comment.chars().take(COMMENT_CHARS_MAX).collect();
    let mut batch = ChangeBatch::builder().comment(comment);
    for change in changes {
        let record = &change.record;
        if !record.unsupported.is_empty() {
            let fields = record.unsupported.join(", ");
            let (name, kind) = (&record.name, &record.record_type);
            let message = format!("{name} {kind} cannot be written back: {fields}");
            return Err(not_sent(&message));
        }
        let change = sdk_change(change).map_err(|error| not_sent(&error.to_string()))?;
        batch = batch.changes(change);
    }
    batch.build().map_err(|error| not_sent(&error.to_string()))
}

/// Returns the failure of a change that was not sent.
fn not_sent(message: &str) -> CallError {
    let message = format!("not sent: {message}");
    CallError::new(CHANGE, FailureClass::Permanent, message)
}
