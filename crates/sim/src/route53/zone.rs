//! A hosted zone and its record sets.

use std::collections::BTreeMap;

use jiff::Timestamp;

use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::ZoneId;

use super::name;
use super::record::StoredRecord;

/// The position of a record set in a zone's listing: the name's order key, then the type, then the set identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderKey {
    /// The name's order key: its labels in reverse order.
    pub(super) order: String,
    pub(super) record_type: String,
    pub(super) identifier: Option<String>,
}

impl OrderKey {
    /// Returns the key of a record whose name is in stored form.
    pub(super) fn of(record: &StoredRecord) -> Self {
        Self {
            order: name::order_key(&record.name),
            record_type: record.record_type.clone(),
            identifier: record.set_identifier.clone(),
        }
    }
}

/// The virtual network that a private zone is associated with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// The network's AWS region.
    pub region: String,
    /// The network's identifier, for example `vpc-0123456789abcdef0`.
    pub id: String,
}

/// A request that creates a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewZone {
    /// The account that will own the zone.
    pub account: Account,
    /// The zone's name, with or without the trailing dot.
    pub name: String,
    /// The caller's reference. A second zone with the same reference is refused.
    pub caller_reference: String,
    /// A comment for people. `None` if there is none.
    pub comment: Option<String>,
    /// The network of a private zone. `None` for a public zone.
    pub vpc: Option<Vpc>,
}

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedZone {
    /// The identifier, without the prefix `/hostedzone/`.
    pub id: ZoneId,
    /// The account that owns the zone.
    pub account: Account,
    /// The name in stored form, with the trailing dot.
    pub name: String,
    /// The caller's reference of the creation.
    pub caller_reference: String,
    /// A comment for people. `None` if there is none.
    pub comment: Option<String>,
    /// The network of a private zone. `None` for a public zone.
    pub vpc: Option<Vpc>,
    pub(super) records: BTreeMap<OrderKey, StoredRecord>,
    /// The time until which Route 53 processes the last change, and refuses others.
    pub(super) busy_until: Timestamp,
}

/// One page of zones, and the start of the next page.
#[derive(Debug, Clone)]
pub struct ZonePage<'a> {
    /// The zones on this page.
    pub zones: Vec<&'a HostedZone>,
    /// The first zone of the next page. `None` on the last page.
    pub next: Option<&'a HostedZone>,
}

/// The start of a page of record sets. The default is the start of the zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordStart {
    /// The first name. `None` starts at the beginning of the zone.
    pub name: Option<String>,
    /// The first type of that name. Needs `name`.
    pub record_type: Option<String>,
    /// The first set identifier of that type. Needs `record_type`.
    pub identifier: Option<String>,
}

/// One page of record sets, and the start of the next page.
#[derive(Debug, Clone)]
pub struct RecordListing<'a> {
    /// The record sets on this page.
    pub records: Vec<&'a StoredRecord>,
    /// The first record set of the next page. `None` on the last page.
    pub next: Option<&'a StoredRecord>,
}

impl HostedZone {
    /// Returns true if the zone is private: it answers only inside its network.
    pub fn is_private(&self) -> bool {
        self.vpc.is_some()
    }

    /// Returns the number of record sets, with NS and SOA.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// Returns all record sets, in the order of listings.
    pub fn records(&self) -> impl Iterator<Item = &StoredRecord> {
        self.records.values()
    }

    /// Returns the members of a group, in the order of listings. Empty if the group does not exist.
    pub fn group(&self, group: &GroupName) -> Vec<&StoredRecord> {
        match name::stored(group.name.as_str()) {
            Ok(stored) => self.members(&name::order_key(&stored), &group.record_type),
            Err(_) => Vec::new(),
        }
    }

    /// Returns the record sets of a name, given as an order key, and a type.
    pub(super) fn members(&self, order: &str, record_type: &str) -> Vec<&StoredRecord> {
        let start = OrderKey {
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

    /// Returns the zone's four name servers. In the model every zone has the same ones.
    pub fn name_servers(&self) -> [String; 4] {
        [("com", 11), ("net", 22), ("org", 33), ("co.uk", 44)]
            .map(|(suffix, number)| format!("ns-{number}.awsdns-{number}.{suffix}"))
    }
}
