//! The model of Route 53 as an implementation of the [`Dns`] port, with faults at every call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use cutover_engine::event::FailureClass;
use cutover_engine::observation::ChangeReading;
use cutover_engine::plan::{Account, ZoneRef};
use cutover_engine::record::{GroupName, RecordSet};
use cutover_engine::units::{ChangeId, DnsName, ZoneId};
use cutover_ports::{CallError, Clock, Dns, GroupReadings, RecordChange, Submitted, Urgency, Zone};

use super::fault::{Fault, Faults};
use super::route53::{Change, ChangeBatch, HostedZone, Route53, Route53Error, StoredRecord};

/// The time after which a caller gives up on a call (semantics A1).
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The most record sets that one listing returns. It decides whether groups or pages of the whole zone are read.
const PAGE_RECORDS: usize = 300;

/// A simulated Route 53. Several adapters may share one model; clones share the faults and counts too.
#[derive(Clone)]
pub struct SimDns {
    model: Arc<Mutex<Route53>>,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<AdapterState>>,
}

/// The state that belongs to the adapter, not to the model.
#[derive(Debug, Default)]
struct AdapterState {
    faults: Faults,
    /// The number of calls, by operation.
    calls: BTreeMap<&'static str, u64>,
    /// True once a reply has arrived. Before that the clock skew is unknown.
    replied: bool,
}

/// What happens to the reply of a call that takes effect.
enum ReplyFate {
    /// The caller gets the reply.
    Arrives,
    /// The reply is lost, although the call takes effect.
    Lost,
}

impl SimDns {
    /// Creates an adapter over `model` that takes the time from `clock`.
    pub fn new(model: Arc<Mutex<Route53>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            model,
            clock,
            state: Arc::default(),
        }
    }

    /// Locks the model.
    pub fn model(&self) -> MutexGuard<'_, Route53> {
        locked(&self.model)
    }

    /// Changes the active faults, and returns what `change` returns.
    pub fn with_faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut locked(&self.state).faults)
    }

    /// Returns the number of calls so far, by operation.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.state).calls.clone()
    }

    /// Begins a call: counts it, applies its faults, and consumes a quota token.
    ///
    /// A delay of [`CALL_TIMEOUT`] or more is an error once the timeout is over. `late` is called with the time at
    /// which the call arrives at the service.
    ///
    /// # Errors
    /// A fault, a used-up quota, or the timeout.
    async fn begin_call(
        &self,
        operation: &'static str,
        account: &Account,
        late: impl FnOnce(Timestamp) + Send,
    ) -> Result<ReplyFate, CallError> {
        let sent_at = self.clock.now();
        let faults = {
            let mut state = locked(&self.state);
            *state.calls.entry(operation).or_default() += 1;
            state.faults.take(operation, sent_at)
        };
        let mut reply = ReplyFate::Arrives;
        for fault in faults {
            match fault {
                Fault::Error {
                    status,
                    code,
                    message,
                } => {
                    self.note_reply();
                    let error = Route53Error::new(status, &code, message);
                    return Err(refused(operation, &error));
                }
                Fault::DropBefore => return Err(lost(operation, "connection closed")),
                Fault::LoseReply => reply = ReplyFate::Lost,
                Fault::Delay(delay) if delay < CALL_TIMEOUT => self.wait(delay).await,
                Fault::Delay(delay) => {
                    late(sent_at.saturating_add(delay).unwrap_or(sent_at));
                    self.wait(CALL_TIMEOUT).await;
                    return Err(lost(operation, "timed out"));
                }
            }
        }
        let now = self.clock.now();
        let admitted = self.model().admit(account, operation, now);
        if let Err(error) = admitted {
            self.note_reply();
            return Err(refused(operation, &error));
        }
        Ok(reply)
    }

    /// Waits on the simulated clock.
    async fn wait(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }

    /// Ends a call. Returns its outcome, or an error if the reply is lost.
    fn end_call<T>(
        &self,
        operation: &'static str,
        reply: &ReplyFate,
        outcome: Result<T, Route53Error>,
    ) -> Result<T, CallError> {
        match reply {
            ReplyFate::Lost => Err(lost(operation, "connection closed before the reply")),
            ReplyFate::Arrives => {
                self.note_reply();
                outcome.map_err(|error| refused(operation, &error))
            }
        }
    }

    /// Records that a reply arrived. From then on the clock skew is known.
    fn note_reply(&self) {
        locked(&self.state).replied = true;
    }

    /// Reads one group with one call.
    async fn read_group(
        &self,
        account: &Account,
        zone: &ZoneId,
        group: &GroupName,
    ) -> Result<Vec<RecordSet>, CallError> {
        const OPERATION: &str = "ListResourceRecordSets";
        let reply = self.begin_call(OPERATION, account, |_| {}).await?;
        let outcome = self
            .model()
            .zone(account, zone)
            .map(|zone| images(zone, group));
        self.end_call(OPERATION, &reply, outcome)
    }

    /// Reads all pages of a zone, one call each, and returns the wanted groups as they are at the last page.
    async fn read_zone(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        pages: usize,
    ) -> Result<BTreeMap<GroupName, Vec<RecordSet>>, CallError> {
        const OPERATION: &str = "ListResourceRecordSets";
        for page in 1..=pages {
            let reply = self.begin_call(OPERATION, account, |_| {}).await?;
            let outcome = match self.model().zone(account, zone) {
                Ok(zone) if page == pages => {
                    let groups = wanted
                        .iter()
                        .map(|group| (group.clone(), images(zone, group)));
                    Ok(groups.collect())
                }
                Ok(_) => Ok(BTreeMap::new()),
                Err(error) => Err(error),
            };
            let read = self.end_call(OPERATION, &reply, outcome)?;
            if page == pages {
                return Ok(read);
            }
        }
        Ok(BTreeMap::new())
    }
}

#[async_trait]
impl Dns for SimDns {
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError> {
        const OPERATION: &str = "ListHostedZonesByName";
        let reply = self.begin_call(OPERATION, account, |_| {}).await?;
        let outcome = found_zone(&self.model(), account, zone);
        self.end_call(OPERATION, &reply, outcome)
    }

    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        _urgency: Urgency,
    ) -> GroupReadings {
        let records = self
            .model()
            .zone(account, zone)
            .map(HostedZone::record_count);
        let pages = records.unwrap_or(1).div_ceil(PAGE_RECORDS);
        let mut readings = GroupReadings::new();
        if wanted.len() > pages {
            let read = self.read_zone(account, zone, wanted, pages).await;
            for group in wanted {
                let members = match &read {
                    Ok(groups) => Ok(groups.get(group).cloned().unwrap_or_default()),
                    Err(error) => Err(error.clone()),
                };
                readings.insert(group.clone(), members);
            }
            return readings;
        }
        for group in wanted {
            let members = self.read_group(account, zone, group).await;
            readings.insert(group.clone(), members);
        }
        readings
    }

    async fn read_around(
        &self,
        account: &Account,
        zone: &ZoneId,
        _names: &BTreeSet<DnsName>,
    ) -> Result<Vec<RecordSet>, CallError> {
        const OPERATION: &str = "ListResourceRecordSets";
        let mut records = Vec::new();
        let mut page = 0;
        loop {
            let reply = self.begin_call(OPERATION, account, |_| {}).await?;
            let outcome = match self.model().zone(account, zone) {
                Ok(zone) => Ok(zone
                    .records()
                    .skip(page * PAGE_RECORDS)
                    .take(PAGE_RECORDS)
                    .map(StoredRecord::to_record_set)
                    .collect::<Vec<_>>()),
                Err(error) => Err(error),
            };
            let read = self.end_call(OPERATION, &reply, outcome)?;
            let is_last = read.len() < PAGE_RECORDS;
            records.extend(read);
            if is_last {
                return Ok(records);
            }
            page += 1;
        }
    }

    async fn zones_below(&self, account: &Account, zone: &Zone) -> Result<Vec<Zone>, CallError> {
        const OPERATION: &str = "ListHostedZonesByName";
        let reply = self.begin_call(OPERATION, account, |_| {}).await?;
        let zones = self
            .model()
            .zones_of(account)
            .map(described)
            .filter(|other| is_below(other, zone))
            .collect();
        self.end_call(OPERATION, &reply, Ok(zones))
    }

    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        _urgency: Urgency,
    ) -> Result<Submitted, CallError> {
        const OPERATION: &str = "ChangeResourceRecordSets";
        let stored = changes.iter().map(|change| Change {
            action: change.action,
            record: StoredRecord::from_record_set(&change.record),
        });
        let batch = ChangeBatch {
            comment: Some(comment.to_owned()),
            changes: stored.collect(),
        };
        let reply = self
            .begin_call(OPERATION, account, |at| {
                self.model().deliver_late(at, account, zone, batch.clone());
            })
            .await?;
        let now = self.clock.now();
        let outcome = self.model().change(account, zone, &batch, now);
        let info = self
            .end_call(OPERATION, &reply, outcome)
            .map_err(|error| naming(error, changes))?;
        Ok(Submitted {
            change_id: info.id,
            server_time: Some(http_date(now)),
        })
    }

    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading {
        const OPERATION: &str = "GetChange";
        let reply = match self.begin_call(OPERATION, account, |_| {}).await {
            Ok(reply) => reply,
            Err(error) => return unread(&error),
        };
        let outcome = self.model().change_info(change, self.clock.now());
        match self.end_call(OPERATION, &reply, outcome) {
            Ok(info) if info.in_sync => ChangeReading::InSync,
            Ok(_) => ChangeReading::Pending,
            Err(error) if error.code.as_deref() == Some("NoSuchChange") => ChangeReading::Unknown,
            Err(error) => unread(&error),
        }
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        locked(&self.state).replied.then_some(SignedDuration::ZERO)
    }
}

/// Returns the reading of a change whose status could not be read.
fn unread(error: &CallError) -> ChangeReading {
    if error.class == FailureClass::Denied {
        return ChangeReading::Denied(error.to_string());
    }
    ChangeReading::Unreadable(error.to_string())
}

/// Returns the group's members as record sets of the engine.
fn images(zone: &HostedZone, group: &GroupName) -> Vec<RecordSet> {
    let members = zone.group(group).into_iter();
    members.map(StoredRecord::to_record_set).collect()
}

/// Returns the zone that `wanted` names by its identifier or its name.
///
/// # Errors
/// No zone has this name, or more than one has.
fn found_zone(model: &Route53, account: &Account, wanted: &ZoneRef) -> Result<Zone, Route53Error> {
    let id = ZoneId::from(wanted.zone.trim_start_matches("/hostedzone/"));
    if let Ok(zone) = model.zone(account, &id) {
        return Ok(described(zone));
    }
    let name = DnsName::new(&wanted.zone);
    let named = model.zones_of(account).filter(|zone| {
        let fits = wanted
            .private
            .is_none_or(|private| private == zone.is_private());
        fits && DnsName::new(&zone.name) == name
    });
    let named: Vec<_> = named.collect();
    match named.as_slice() {
        [zone] => Ok(described(zone)),
        [] => {
            let message = format!("no hosted zone {}", wanted.zone);
            Err(Route53Error::new(404, "NoSuchHostedZone", message))
        }
        several => {
            let mut list = Vec::new();
            for zone in several {
                let kind = if zone.is_private() {
                    "private"
                } else {
                    "public"
                };
                list.push(format!("{} ({kind})", zone.id));
            }
            let list = list.join(", ");
            let message = format!("more than one hosted zone {}: {list}", wanted.zone);
            Err(Route53Error::new(400, "AmbiguousZone", message))
        }
    }
}

/// Returns true if `other` lies below `zone`, and both are private or both are public.
fn is_below(other: &Zone, zone: &Zone) -> bool {
    other.name != zone.name && other.name.is_in_zone(&zone.name) && other.private == zone.private
}

/// Converts a zone of the model to a zone of the port.
fn described(zone: &HostedZone) -> Zone {
    Zone {
        id: zone.id.clone(),
        name: DnsName::new(&zone.name),
        private: zone.is_private(),
        record_count: u64::try_from(zone.record_count()).ok(),
    }
}

/// Returns the error of a call that the service refused.
fn refused(operation: &'static str, error: &Route53Error) -> CallError {
    CallError {
        operation,
        class: error.class(),
        code: Some(error.code.clone()),
        status: None,
        message: error.message.clone(),
        culprits: Vec::new(),
    }
}

/// Adds to an error the groups of the batch that its message names.
fn naming(error: CallError, changes: &[RecordChange]) -> CallError {
    let mut culprits = Vec::new();
    for RecordChange { record, .. } in changes {
        let tag = format!("name='{}', type='{}'", record.name, record.record_type);
        if error.message.contains(&tag) {
            culprits.push(GroupName {
                name: DnsName::new(&record.name),
                record_type: record.record_type.clone(),
            });
        }
    }
    CallError { culprits, ..error }
}

/// Returns the error of a call without a reply. The call may have taken effect.
fn lost(operation: &'static str, message: &str) -> CallError {
    CallError::new(operation, FailureClass::Transient, message)
}

/// The `Date` of a reply: whole seconds.
fn http_date(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Locks a mutex. A poisoned lock is usable, because no holder leaves the data half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Lasting;
    use crate::route53::NewZone;
    use cutover_engine::units::Weight;
    use cutover_ports::ChangeAction;

    /// A wall clock that follows tokio's paused clock.
    struct TestClock(tokio::time::Instant);

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            let start = Timestamp::from_second(1_700_000_000).unwrap();
            start + self.0.elapsed()
        }
    }

    const CHANGE: &str = "ChangeResourceRecordSets";

    fn group() -> GroupName {
        GroupName {
            name: DnsName::new("app.example.com"),
            record_type: "CNAME".to_owned(),
        }
    }

    /// Returns a simulated Route 53 with one zone, which has one group at 100/0.
    fn service() -> (SimDns, ZoneId) {
        let clock = Arc::new(TestClock(tokio::time::Instant::now()));
        let mut model = Route53::default();
        let new = NewZone {
            name: "example.com".to_owned(),
            ..NewZone::default()
        };
        let (zone, _) = model.create_zone(new, clock.now()).unwrap();
        let records = [("old", 100), ("new", 0)].map(|(identifier, weight)| {
            let name = "app.example.com";
            let value = "t.example.net";
            let record = StoredRecord::weighted(name, "CNAME", identifier, weight, value);
            (ChangeAction::Create, record)
        });
        let batch = ChangeBatch::of(records);
        let created = model.change(&Account::default(), &zone, &batch, clock.now());
        created.unwrap();
        (SimDns::new(Arc::new(Mutex::new(model)), clock), zone)
    }

    async fn members(dns: &SimDns, zone: &ZoneId) -> Vec<RecordSet> {
        let wanted = BTreeSet::from([group()]);
        let account = Account::default();
        let mut read = dns
            .read_groups(&account, zone, &wanted, Urgency::Normal)
            .await;
        read.remove(&group()).unwrap().unwrap()
    }

    /// Replaces the new member's image by the same image with another weight.
    async fn swap(dns: &SimDns, zone: &ZoneId, weight: u8) -> Result<Submitted, CallError> {
        let read = members(dns, zone).await;
        let from = read.iter().find(|it| it.set_identifier == "new").unwrap();
        let to = from.with_weight(Weight(weight));
        let changes = [
            (ChangeAction::Delete, from.clone()),
            (ChangeAction::Create, to),
        ];
        let changes = changes.map(|(action, record)| RecordChange { action, record });
        dns.change(&Account::default(), zone, &changes, "test", Urgency::Normal)
            .await
    }

    async fn weight(dns: &SimDns, zone: &ZoneId) -> u8 {
        let read = members(dns, zone).await;
        read.iter()
            .find(|it| it.set_identifier == "new")
            .unwrap()
            .weight
            .0
    }

    #[tokio::test(start_paused = true)]
    async fn images_round_trip_through_a_swap_and_the_change_propagates() {
        let (dns, zone) = service();
        assert_eq!(dns.clock_skew(), None);
        let submitted = swap(&dns, &zone, 1).await.unwrap();
        assert_eq!(weight(&dns, &zone).await, 1);
        let account = Account::default();
        let status = dns.change_status(&account, &submitted.change_id).await;
        assert_eq!(status, ChangeReading::Pending);
        dns.wait(Duration::from_secs(30)).await;
        let status = dns.change_status(&account, &submitted.change_id).await;
        assert_eq!(status, ChangeReading::InSync);
        let unknown = dns.change_status(&account, &ChangeId::from("C0")).await;
        assert_eq!(unknown, ChangeReading::Unknown);
        assert_eq!((dns.calls()[CHANGE], dns.calls()["GetChange"]), (1, 3));
        assert_eq!(dns.clock_skew(), Some(SignedDuration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_is_transient_and_the_weight_did_change() {
        let (dns, zone) = service();
        dns.with_faults(|faults| faults.add(Some(CHANGE), Fault::LoseReply, Lasting::Calls(1)));
        let error = swap(&dns, &zone, 1).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Transient);
        assert_eq!(weight(&dns, &zone).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_arrives_after_its_timeout_still_has_its_effect() {
        let (dns, zone) = service();
        let delay = Fault::Delay(Duration::from_secs(14));
        dns.with_faults(|faults| faults.add(Some(CHANGE), delay, Lasting::Calls(1)));
        let error = swap(&dns, &zone, 1).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Transient);
        assert_eq!(weight(&dns, &zone).await, 0);
        dns.wait(Duration::from_secs(4)).await;
        assert_eq!(weight(&dns, &zone).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_classified() {
        let (dns, zone) = service();
        let refusals = [
            (Fault::throttle(), FailureClass::Throttled),
            (Fault::deny(), FailureClass::Denied),
            (Fault::unavailable(), FailureClass::Transient),
            (Fault::DropBefore, FailureClass::Transient),
        ];
        for (fault, class) in refusals {
            dns.with_faults(|faults| faults.add(Some(CHANGE), fault, Lasting::Calls(1)));
            assert_eq!(swap(&dns, &zone, 1).await.unwrap_err().class, class);
            assert_eq!(weight(&dns, &zone).await, 0);
        }
        let stale = StoredRecord::weighted("app.example.com", "CNAME", "new", 9, "t.example.net");
        let stale = [RecordChange {
            action: ChangeAction::Delete,
            record: stale.to_record_set(),
        }];
        let account = Account::default();
        let sent = dns
            .change(&account, &zone, &stale, "", Urgency::Normal)
            .await;
        assert_eq!(sent.unwrap_err().class, FailureClass::Conflict);
    }

    #[tokio::test(start_paused = true)]
    async fn zones_are_found_by_name_or_identifier_and_an_ambiguous_name_lists_them() {
        let (dns, zone) = service();
        let find = async |zone: &str| {
            let wanted = ZoneRef {
                zone: zone.to_owned(),
                private: None,
            };
            dns.find_zone(&Account::default(), &wanted).await
        };
        assert_eq!(find("Example.com.").await.unwrap().id, zone);
        assert_eq!(
            find(zone.as_str()).await.unwrap().name.as_str(),
            "example.com"
        );
        assert_eq!(
            find("example.org").await.unwrap_err().class,
            FailureClass::Permanent
        );
        let again = NewZone {
            name: "example.com".to_owned(),
            caller_reference: "again".to_owned(),
            ..NewZone::default()
        };
        let now = dns.clock.now();
        dns.model().create_zone(again, now).unwrap();
        let error = find("example.com").await.unwrap_err();
        assert!(error.message.contains(zone.as_str()), "{error}");
    }
}
