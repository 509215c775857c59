//! A zone with some changes on top that are not yet applied: what a batch would make of it.

use std::collections::{BTreeMap, BTreeSet};

use super::name;
use super::record::{Routing, StoredRecord};
use super::validate::described;
use super::zone::{HostedZone, RecordKey};

/// The most members of one name and type. Source: Developer Guide, quotas.
const GROUP_MEMBERS_MAX: usize = 100;

/// The most record sets of a zone. Source: Developer Guide, quotas.
pub(super) const ZONE_RECORDS_MAX: usize = 10_000;

/// The zone as it is, and what lies over it.
pub(super) struct Draft<'a> {
    zone: &'a HostedZone,
    changed: BTreeMap<RecordKey, Option<StoredRecord>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(zone: &'a HostedZone) -> Self {
        Self {
            zone,
            changed: BTreeMap::new(),
        }
    }

    /// The record set at a key, as the draft has it.
    pub(super) fn get(&self, key: &RecordKey) -> Option<&StoredRecord> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.zone.records.get(key),
        }
    }

    /// Puts a record set there, or takes it away.
    pub(super) fn set(&mut self, key: RecordKey, record: Option<StoredRecord>) {
        self.changed.insert(key, record);
    }

    /// What lies over the zone.
    pub(super) fn into_changed(self) -> BTreeMap<RecordKey, Option<StoredRecord>> {
        self.changed
    }

    /// The rules that hold between record sets, checked on the outcome of the whole batch.
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

    /// What speaks against one changed record set beside its neighbours of the same name.
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
        let other_ttl = |other: &&StoredRecord| other.alias.is_none() && other.ttl != record.ttl;
        if routing == Routing::Weighted && record.alias.is_none() && members.iter().any(other_ttl) {
            return Some(format!(
                "{shown} cannot be created as weighted sets must contain the same TTL."
            ));
        }
        (members.len() + 1 > GROUP_MEMBERS_MAX).then(|| {
            format!(
                "{shown} cannot be created as the limit of {GROUP_MEMBERS_MAX} RRSets with the same name and type is \
                 exceeded."
            )
        })
    }

    /// The zone's own NS and SOA must stay.
    fn apex_failures(&self) -> Vec<String> {
        let apex = name::order_key(&self.zone.name);
        let gone = |record_type: &str| {
            let key = RecordKey {
                order: apex.clone(),
                record_type: record_type.to_owned(),
                identifier: None,
            };
            self.get(&key).is_none()
        };
        let rules = [
            ("SOA", "A HostedZone must contain exactly one SOA record."),
            (
                "NS",
                "A HostedZone must contain at least one NS record for the zone itself.",
            ),
        ];
        let broken = rules
            .into_iter()
            .filter(|(record_type, _)| gone(record_type));
        broken.map(|(_, failure)| failure.to_owned()).collect()
    }

    /// All record sets with a name, as the draft has them.
    fn at_name(&self, order: &str) -> Vec<&StoredRecord> {
        let first = RecordKey {
            order: order.to_owned(),
            ..RecordKey::default()
        };
        let here = |key: &&RecordKey| key.order == order;
        let old = self.zone.records.range(first.clone()..);
        let new = self.changed.range(first..);
        let keys = old.map(|(key, _)| key).take_while(here);
        let keys: BTreeSet<_> = keys
            .chain(new.map(|(key, _)| key).take_while(here))
            .collect();
        keys.into_iter().filter_map(|key| self.get(key)).collect()
    }
}

/// The policy's name in refusals.
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
