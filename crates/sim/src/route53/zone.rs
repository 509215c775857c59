//! A hosted zone and its record sets.

use std::collections::BTreeMap;

use jiff::Timestamp;

use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::ZoneId;

use super::name;
use super::record::StoredRecord;

/// The position of a record set in a zone's order: reversed name, type, identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderKey {
    pub(super) order: String,
    pub(super) record_type: String,
    pub(super) identifier: Option<String>,
}

impl OrderKey {
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
    pub(super) records: BTreeMap<OrderKey, StoredRecord>,
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
pub struct RecordListing<'a> {
    /// The record sets.
    pub records: Vec<&'a StoredRecord>,
    /// The first record set of the next page.
    pub next: Option<&'a StoredRecord>,
}

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

    /// The four name servers of a public zone.
    pub fn name_servers(&self) -> [String; 4] {
        [("com", 11), ("net", 22), ("org", 33), ("co.uk", 44)]
            .map(|(suffix, number)| format!("ns-{number}.awsdns-{number}.{suffix}"))
    }
}
