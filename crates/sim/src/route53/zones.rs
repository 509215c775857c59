//! Calls that create, find and delete hosted zones, and that list their record sets in pages.

use std::collections::BTreeMap;
use std::ops::Bound;

use jiff::Timestamp;

use cutover_engine::plan::Account;
use cutover_engine::units::ZoneId;

use super::error::Route53Error;
use super::name;
use super::record::StoredRecord;
use super::service::{ChangeInfo, Route53};
use super::zone::{HostedZone, NewZone, OrderKey, RecordListing, RecordStart, ZonePage};

/// The most record sets on a page. Source: API Reference, `ListResourceRecordSets`.
pub(super) const PAGE_RECORDS_MAX: usize = 300;

/// The most zones on a page. Source: API Reference, `ListHostedZones`.
const PAGE_ZONES_MAX: usize = 100;

impl Route53 {
    /// Runs `CreateHostedZone`. The zone gets NS and SOA records. Several zones may have the same name.
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

    /// Creates a zone with a given identifier, for example one that a plan names. Route 53 itself chooses identifiers.
    ///
    /// # Errors
    /// The same as [`Self::create_zone`].
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
            zone.records.insert(OrderKey::of(&record), record);
        }
        let id = zone.id.clone();
        self.zones.insert(id.clone(), zone);
        Ok((id, self.submit(None, now)))
    }

    /// Returns a zone of the account.
    ///
    /// # Errors
    /// `NoSuchHostedZone`; `AccessDenied` if another account owns the zone.
    pub fn zone(&self, account: &Account, id: &ZoneId) -> Result<&HostedZone, Route53Error> {
        match self.zones.get(id) {
            Some(zone) if zone.account == *account => Ok(zone),
            Some(_) => Err(Route53Error::not_authorized()),
            None => Err(Route53Error::no_such_zone(id.as_str())),
        }
    }

    /// Returns all zones of an account, in the order of their identifiers.
    pub fn zones_of(&self, account: &Account) -> impl Iterator<Item = &HostedZone> {
        self.zones
            .values()
            .filter(move |zone| zone.account == *account)
    }

    /// Runs `DeleteHostedZone`. The zone must have no records except its NS and SOA.
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

    /// Runs `ListHostedZones`: returns the account's zones in the order of identifiers, from `marker` on. A page has
    /// `limit` zones, at least 1 and at most 100.
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

    /// Runs `ListHostedZonesByName`: returns the account's zones in the order of reversed names, from `start` on, and
    /// from `start_id` on among zones of that name. A page has `limit` zones, at least 1 and at most 100.
    ///
    /// # Errors
    /// `InvalidDomainName` if `start` is not a domain name.
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

    /// Runs `ListResourceRecordSets`: returns the zone's record sets as last written, even if they are not INSYNC yet.
    /// A page has `limit` record sets, at least 1 and at most 300.
    ///
    /// # Errors
    /// `InvalidInput` for a type without a name or an identifier without a type; `NoSuchHostedZone`; `AccessDenied`.
    pub fn list_records(
        &self,
        account: &Account,
        id: &ZoneId,
        start: &RecordStart,
        limit: usize,
    ) -> Result<RecordListing<'_>, Route53Error> {
        let zone = self.zone(account, id)?;
        let first = start_key(start)?;
        let limit = limit.clamp(1, PAGE_RECORDS_MAX);
        let mut from_here = zone.records.range(first..).map(|(_, record)| record);
        Ok(RecordListing {
            records: from_here.by_ref().take(limit).collect(),
            next: from_here.next(),
        })
    }
}

/// Returns the first `limit` zones as a page, at least 1 and at most 100.
fn page_of_zones(zones: Vec<&HostedZone>, limit: usize) -> ZonePage<'_> {
    let limit = limit.clamp(1, PAGE_ZONES_MAX);
    let next = zones.get(limit).copied();
    ZonePage {
        zones: zones.into_iter().take(limit).collect(),
        next,
    }
}

/// Returns the key of the first record set on a page.
///
/// # Errors
/// `InvalidInput` for a type without a name, an identifier without a type, or an invalid name.
fn start_key(start: &RecordStart) -> Result<OrderKey, Route53Error> {
    let Some(first) = &start.name else {
        if start.record_type.is_some() || start.identifier.is_some() {
            return Err(Route53Error::invalid_input(
                "The input is not valid: StartRecordName is required with StartRecordType",
            ));
        }
        return Ok(OrderKey::default());
    };
    if start.identifier.is_some() && start.record_type.is_none() {
        return Err(Route53Error::invalid_input(
            "The input is not valid: StartRecordType is required with StartRecordIdentifier",
        ));
    }
    let stored = name::stored(first).map_err(Route53Error::invalid_input)?;
    Ok(OrderKey {
        order: name::order_key(&stored),
        record_type: start.record_type.clone().unwrap_or_default(),
        identifier: start.identifier.clone(),
    })
}

/// Returns the NS and SOA records that every zone has.
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
