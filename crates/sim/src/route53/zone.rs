//! Hosted zones: creating, finding and deleting them, and listing their record sets in pages.

use std::collections::BTreeMap;
use std::ops::Bound;

use jiff::Timestamp;

use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::ZoneId;

use super::error::Route53Error;
use super::name;
use super::record::StoredRecord;
use super::service::{ChangeInfo, Route53};

/// The position of a record set in a zone's order: reversed name, type, identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordKey {
    pub(super) order: String,
    pub(super) record_type: String,
    pub(super) identifier: Option<String>,
}

impl RecordKey {
    /// The key of a record whose name is in stored form.
    pub(super) fn of(record: &StoredRecord) -> Self {
        Self {
            order: name::order_key(&record.name),
            record_type: record.record_type.clone(),
            identifier: record.set_identifier.clone(),
        }
    }
}

/// The virtual network of a private zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Its region.
    pub region: String,
    /// Its identifier.
    pub id: String,
}

/// The request for a new zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewZone {
    /// The account that owns it.
    pub account: Account,
    /// Its name.
    pub name: String,
    /// A reference that makes its creation idempotent.
    pub caller_reference: String,
    /// A comment.
    pub comment: Option<String>,
    /// The network of a private zone; none for a public one.
    pub vpc: Option<Vpc>,
}

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedZone {
    /// Its identifier, without prefix.
    pub id: ZoneId,
    /// The account that owns it.
    pub account: Account,
    /// Its name, with the trailing dot.
    pub name: String,
    /// The reference of its creation.
    pub caller_reference: String,
    /// A comment.
    pub comment: Option<String>,
    /// The network of a private zone; none for a public one.
    pub vpc: Option<Vpc>,
    pub(super) records: BTreeMap<RecordKey, StoredRecord>,
    /// The time until which Route 53 processes the last request for this zone.
    pub(super) busy_until: Timestamp,
}

/// One page of zones, and where the next one starts.
#[derive(Debug, Clone)]
pub struct ZonePage<'a> {
    /// The zones.
    pub zones: Vec<&'a HostedZone>,
    /// The first zone of the next page.
    pub next: Option<&'a HostedZone>,
}

/// The start of a page of record sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordStart {
    /// At this name.
    pub name: Option<String>,
    /// And this type; needs a name.
    pub record_type: Option<String>,
    /// And this identifier; needs a type.
    pub identifier: Option<String>,
}

/// One page of record sets, and where the next one starts.
#[derive(Debug, Clone)]
pub struct RecordPage<'a> {
    /// The record sets.
    pub records: Vec<&'a StoredRecord>,
    /// The first record set of the next page.
    pub next: Option<&'a StoredRecord>,
}

/// The most record sets in a page. Source: API Reference, `ListResourceRecordSets`.
pub(super) const PAGE_RECORDS_MAX: usize = 300;

/// The most zones in a page. Source: API Reference, `ListHostedZones`.
const PAGE_ZONES_MAX: usize = 100;

impl HostedZone {
    /// Returns true if it answers only in a private network.
    pub fn is_private(&self) -> bool {
        self.vpc.is_some()
    }

    /// The number of its record sets.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// All record sets, in the order of listings.
    pub fn records(&self) -> impl Iterator<Item = &StoredRecord> {
        self.records.values()
    }

    /// The members of a group, in the order of listings.
    pub fn group(&self, group: &GroupName) -> Vec<&StoredRecord> {
        match name::stored(group.name.as_str()) {
            Ok(stored) => self.members(&name::order_key(&stored), &group.record_type),
            Err(_) => Vec::new(),
        }
    }

    /// The record sets with a name (as an order key) and type.
    pub(super) fn members(&self, order: &str, record_type: &str) -> Vec<&StoredRecord> {
        let start = RecordKey {
            order: order.to_owned(),
            record_type: record_type.to_owned(),
            identifier: None,
        };
        let from_here = self.records.range(start..);
        from_here
            .take_while(|(key, _)| key.order == order && key.record_type == record_type)
            .map(|(_, record)| record)
            .collect()
    }

    /// The four name servers of a public zone.
    pub fn name_servers(&self) -> [String; 4] {
        [("com", 11), ("net", 22), ("org", 33), ("co.uk", 44)]
            .map(|(suffix, number)| format!("ns-{number}.awsdns-{number}.{suffix}"))
    }
}

impl Route53 {
    /// Creates a zone with its NS and SOA records. A name may be used more than once.
    ///
    /// # Errors
    /// `HostedZoneAlreadyExists` if the reference was used before; `InvalidDomainName`.
    pub fn create_zone(
        &mut self,
        new: NewZone,
        now: Timestamp,
    ) -> Result<(ZoneId, ChangeInfo), Route53Error> {
        let id = ZoneId::from(self.next_id('Z'));
        self.create_zone_as(id, new, now)
    }

    /// Creates a zone with an ID that a plan names. Route 53 itself draws the IDs.
    ///
    /// # Errors
    /// As [`Self::create_zone`].
    pub fn create_zone_as(
        &mut self,
        id: ZoneId,
        new: NewZone,
        now: Timestamp,
    ) -> Result<(ZoneId, ChangeInfo), Route53Error> {
        let stored = name::stored(&new.name)
            .map_err(|reason| Route53Error::new(400, "InvalidDomainName", reason))?;
        let taken = self.zones.values().any(|zone| {
            zone.account == new.account && zone.caller_reference == new.caller_reference
        });
        if taken {
            let message = format!(
                "A hosted zone has already been created with the specified caller reference: {}",
                new.caller_reference
            );
            return Err(Route53Error::new(409, "HostedZoneAlreadyExists", message));
        }
        let mut zone = HostedZone {
            id,
            account: new.account,
            name: stored,
            caller_reference: new.caller_reference,
            comment: new.comment,
            vpc: new.vpc,
            records: BTreeMap::new(),
            busy_until: now,
        };
        for record in apex_records(&zone) {
            zone.records.insert(RecordKey::of(&record), record);
        }
        let id = zone.id.clone();
        self.zones.insert(id.clone(), zone);
        Ok((id, self.submit(None, now)))
    }

    /// A zone of the account.
    ///
    /// # Errors
    /// `NoSuchHostedZone`, `AccessDenied`.
    pub fn zone(&self, account: &Account, id: &ZoneId) -> Result<&HostedZone, Route53Error> {
        match self.zones.get(id) {
            Some(zone) if zone.account == *account => Ok(zone),
            Some(_) => Err(Route53Error::not_authorized()),
            None => Err(Route53Error::no_such_zone(id.as_str())),
        }
    }

    /// All zones of an account, by identifier.
    pub fn zones_of(&self, account: &Account) -> impl Iterator<Item = &HostedZone> {
        self.zones
            .values()
            .filter(move |zone| zone.account == *account)
    }

    /// Deletes a zone that has no records except its NS and SOA.
    ///
    /// # Errors
    /// `HostedZoneNotEmpty`, `NoSuchHostedZone`, `AccessDenied`.
    pub fn delete_zone(
        &mut self,
        account: &Account,
        id: &ZoneId,
        now: Timestamp,
    ) -> Result<ChangeInfo, Route53Error> {
        if self.zone(account, id)?.record_count() > 2 {
            return Err(Route53Error::new(
                400,
                "HostedZoneNotEmpty",
                "The specified hosted zone contains non-required resource record sets and so cannot be deleted.",
            ));
        }
        self.zones.remove(id);
        Ok(self.submit(None, now))
    }

    /// The account's zones by identifier, at most 100, from `marker` on.
    pub fn list_zones(
        &self,
        account: &Account,
        marker: Option<&str>,
        limit: usize,
    ) -> ZonePage<'_> {
        let start = match marker {
            Some(marker) => Bound::Included(ZoneId::from(marker)),
            None => Bound::Unbounded,
        };
        let zones = self.zones.range((start, Bound::Unbounded));
        let zones = zones.map(|(_, zone)| zone);
        let zones = zones.filter(|zone| zone.account == *account).collect();
        page_of_zones(zones, limit)
    }

    /// The account's zones by reversed name, at most 100, from `start` (and among equal names `start_id`) on.
    ///
    /// # Errors
    /// `InvalidDomainName`.
    pub fn list_zones_by_name(
        &self,
        account: &Account,
        start: Option<&str>,
        start_id: Option<&ZoneId>,
        limit: usize,
    ) -> Result<ZonePage<'_>, Route53Error> {
        let start = start.map(name::stored).transpose();
        let start = start.map_err(|reason| Route53Error::new(400, "InvalidDomainName", reason))?;
        let first = start.map(|stored| (name::order_key(&stored), start_id));
        let mut zones = Vec::new();
        for zone in self.zones_of(account) {
            let key = (name::order_key(&zone.name), Some(&zone.id));
            if first.as_ref().is_none_or(|first| key >= *first) {
                zones.push((key, zone));
            }
        }
        zones.sort_by(|left, right| left.0.cmp(&right.0));
        let zones = zones.into_iter().map(|(_, zone)| zone).collect();
        Ok(page_of_zones(zones, limit))
    }

    /// The zone's record sets from `start` on, at most 300, as last written, even if not yet in sync.
    ///
    /// # Errors
    /// `InvalidInput` for a type without a name or an identifier without a type; `NoSuchHostedZone`; `AccessDenied`.
    pub fn list_records(
        &self,
        account: &Account,
        id: &ZoneId,
        start: &RecordStart,
        limit: usize,
    ) -> Result<RecordPage<'_>, Route53Error> {
        let zone = self.zone(account, id)?;
        let first = start_key(start)?;
        let limit = limit.clamp(1, PAGE_RECORDS_MAX);
        let mut from_here = zone.records.range(first..).map(|(_, record)| record);
        Ok(RecordPage {
            records: from_here.by_ref().take(limit).collect(),
            next: from_here.next(),
        })
    }
}

/// Cuts a page off.
fn page_of_zones(zones: Vec<&HostedZone>, limit: usize) -> ZonePage<'_> {
    let limit = limit.clamp(1, PAGE_ZONES_MAX);
    let next = zones.get(limit).copied();
    ZonePage {
        zones: zones.into_iter().take(limit).collect(),
        next,
    }
}

/// The key of the first record set in a page.
fn start_key(start: &RecordStart) -> Result<RecordKey, Route53Error> {
    let Some(first) = &start.name else {
        if start.record_type.is_some() || start.identifier.is_some() {
            return Err(Route53Error::invalid_input(
                "The input is not valid: StartRecordName is required with StartRecordType",
            ));
        }
        return Ok(RecordKey::default());
    };
    if start.identifier.is_some() && start.record_type.is_none() {
        return Err(Route53Error::invalid_input(
            "The input is not valid: StartRecordType is required with StartRecordIdentifier",
        ));
    }
    let stored = name::stored(first).map_err(Route53Error::invalid_input)?;
    Ok(RecordKey {
        order: name::order_key(&stored),
        record_type: start.record_type.clone().unwrap_or_default(),
        identifier: start.identifier.clone(),
    })
}

/// The two records that every zone has.
fn apex_records(zone: &HostedZone) -> [StoredRecord; 2] {
    let servers = zone.name_servers();
    let authority = format!(
        "{}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400",
        servers[0]
    );
    let servers = servers.iter().map(|server| format!("{server}."));
    [
        ("NS", 172_800, servers.collect()),
        ("SOA", 900, vec![authority]),
    ]
    .map(|(record_type, ttl, values)| StoredRecord {
        name: zone.name.clone(),
        record_type: record_type.to_owned(),
        ttl: Some(ttl),
        values,
        ..StoredRecord::default()
    })
}
