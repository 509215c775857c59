//! A zone with the changes of one batch, which are checked before they are applied.

use std::collections::{BTreeMap, BTreeSet};

use super::name;
use super::record::{Routing, StoredRecord};
use super::validate::described;
use super::zone::{HostedZone, OrderKey};

/// The most members of one name and type. Source: Developer Guide, quotas.
const GROUP_MEMBERS_MAX: usize = 100;

/// The most record sets of a zone. Source: Developer Guide, quotas.
pub(super) const ZONE_RECORDS_MAX: usize = 10_000;

/// A zone and changes that are not applied yet.
pub(super) struct ZoneDraft<'a> {
    zone: &'a HostedZone,
    /// The changed record sets. `None` means deleted.
    changed: BTreeMap<OrderKey, Option<StoredRecord>>,
}

impl<'a> ZoneDraft<'a> {
    /// Creates a draft without changes.
    pub(super) fn new(zone: &'a HostedZone) -> Self {
        Self {
            zone,
            changed: BTreeMap::new(),
        }
    }

    /// Returns the record set at a key after the changes.
    pub(super) fn get(&self, key: &OrderKey) -> Option<&StoredRecord> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.zone.records.get(key),
        }
    }

    /// Sets the record set at a key. `None` deletes it.
    pub(super) fn set(&mut self, key: OrderKey, record: Option<StoredRecord>) {
        self.changed.insert(key, record);
    }

    /// Returns the changed record sets. `None` means deleted.
    pub(super) fn into_changed(self) -> BTreeMap<OrderKey, Option<StoredRecord>> {
        self.changed
    }

    /// Checks the rules between record sets on the result of the whole batch. Returns one text for each failure.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for record in self.changed.values().flatten() {
            let neighbours = self.at_name(&name::order_key(&record.name));
            failures.extend(self.conflicts(record, &neighbours));
        }
        failures.extend(self.apex_failures());
        let grown = self
            .changed
            .iter()
            .filter(|(key, record)| record.is_some() && !self.zone.records.contains_key(key));
        if self.zone.record_count() + grown.count() > ZONE_RECORDS_MAX {
            failures.push(format!(
                "The number of resource record sets in zone {} exceeds the limit of {ZONE_RECORDS_MAX}",
                self.zone.name
            ));
        }
        failures
    }

    /// Returns the first conflict of a changed record set with the record sets of the same name. `None` if there is
    /// none.
    fn conflicts(&self, record: &StoredRecord, neighbours: &[&StoredRecord]) -> Option<String> {
        let shown = described(record);
        let is_cname = record.record_type == "CNAME";
        let other_type = neighbours
            .iter()
            .find(|other| other.record_type != record.record_type);
        if is_cname && other_type.is_some() {
            return Some(format!(
                "RRSet of type CNAME with DNS name {} is not permitted as it conflicts with other records with the \
                 same DNS name in zone {}",
                record.name, self.zone.name
            ));
        }
        if other_type.is_some_and(|other| other.record_type == "CNAME") {
            return Some(format!(
                "RRSet of type {} with DNS name {} is not permitted because a conflicting RRSet of type CNAME with \
                 the same DNS name already exists in zone {}",
                record.record_type, record.name, self.zone.name
            ));
        }
        let members = neighbours.iter().filter(|other| {
            other.record_type == record.record_type && other.set_identifier != record.set_identifier
        });
        let members: Vec<_> = members.copied().collect();
        let routing = record.routing();
        if routing == Routing::Simple && !members.is_empty() {
            return Some(format!(
                "{shown} cannot be created as other RRSets exist with the same name and type."
            ));
        }
        if members.iter().any(|other| other.routing() != routing) {
            let policy = policy_name(routing);
            return Some(format!(
                "{shown} cannot be created as a non-{policy} set exists with the same name and type."
            ));
        }
        let mut with_ttl = members.iter().filter(|other| other.alias.is_none());
        let other_ttl = with_ttl.any(|other| other.ttl != record.ttl);
        if routing == Routing::Weighted && record.alias.is_none() && other_ttl {
            return Some(format!(
                "{shown} cannot be created as weighted sets must contain the same TTL."
            ));
        }
        if members.len() + 1 > GROUP_MEMBERS_MAX {
            return Some(format!(
                "{shown} cannot be created as the limit of {GROUP_MEMBERS_MAX} RRSets with the same name and type is \
                 exceeded."
            ));
        }
        None
    }

    /// Returns the failures of a batch that removes the zone's own NS or SOA.
    fn apex_failures(&self) -> Vec<String> {
        let apex = name::order_key(&self.zone.name);
        let rules = [
            ("SOA", "A HostedZone must contain exactly one SOA record."),
            (
                "NS",
                "A HostedZone must contain at least one NS record for the zone itself.",
            ),
        ];
        let mut failures = Vec::new();
        for (record_type, failure) in rules {
            let key = OrderKey {
                order: apex.clone(),
                record_type: record_type.to_owned(),
                identifier: None,
            };
            if self.get(&key).is_none() {
                failures.push(failure.to_owned());
            }
        }
        failures
    }

    /// Returns all record sets of a name after the changes. `order` is the name's order key.
    fn at_name(&self, order: &str) -> Vec<&StoredRecord> {
        let first = OrderKey {
            order: order.to_owned(),
            ..OrderKey::default()
        };
        let old = self.zone.records.range(first.clone()..);
        let old = old.take_while(|(key, _)| key.order == order);
        let new = self.changed.range(first..);
        let new = new.take_while(|(key, _)| key.order == order);
        let mut keys: BTreeSet<&OrderKey> = BTreeSet::new();
        keys.extend(old.map(|(key, _)| key));
        keys.extend(new.map(|(key, _)| key));
        keys.into_iter().filter_map(|key| self.get(key)).collect()
    }
}

/// Returns the policy's name in error messages.
fn policy_name(routing: Routing) -> &'static str {
    match routing {
        Routing::Simple => "simple",
        Routing::Weighted => "weighted",
        Routing::Latency => "latency",
        Routing::Failover => "failover",
        Routing::Geolocation => "geolocation",
        Routing::MultiValue => "multivalue",
        Routing::IpBased => "cidr",
    }
}
