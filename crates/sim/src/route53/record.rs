//! Record sets of all routing policies, as the model stores them.

use std::collections::BTreeSet;

use cutover_engine::record::{AliasTarget, GroupName, RecordSet};
use cutover_engine::units::{DnsName, Weight};

/// A record set with every field that Route 53 knows. Numbers are kept as they were sent, so that invalid ones can be
/// refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRecord {
    /// The name. In a zone it is in stored form: lower case, escaped, with a trailing dot.
    pub name: String,
    /// The record type in upper case, for example `CNAME`.
    pub record_type: String,
    /// The identifier that distinguishes the members of a group. `None` for simple routing.
    pub set_identifier: Option<String>,
    /// The weight, 0 to 255. Set for weighted routing.
    pub weight: Option<i64>,
    /// The AWS region. Set for latency routing.
    pub region: Option<String>,
    /// `PRIMARY` or `SECONDARY`. Set for failover routing.
    pub failover: Option<String>,
    /// The location of the callers. Set for geolocation routing.
    pub geo: Option<Geo>,
    /// Set for multivalue answer routing.
    pub multi_value: Option<bool>,
    /// The collection and the location. Set for IP-based routing.
    pub cidr: Option<(String, String)>,
    /// The time to live in seconds. `None` for an alias.
    pub ttl: Option<i64>,
    /// The values. Empty for an alias.
    pub values: Vec<String>,
    /// The target of an alias. `None` if the record has values.
    pub alias: Option<AliasTarget>,
    /// The health check of the record. `None` means that the record always counts as healthy.
    pub health_check_id: Option<String>,
    /// The traffic policy instance that manages the record. Such a record cannot be changed.
    pub traffic_policy_instance_id: Option<String>,
}

/// A location for geolocation routing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Geo {
    /// The continent's code, for example `EU`.
    pub continent: Option<String>,
    /// The country's code, for example `DE`. `*` matches every location without a record of its own.
    pub country: Option<String>,
    /// The code of a part of the country, for example of a state of the USA.
    pub subdivision: Option<String>,
}

/// How Route 53 chooses among a group's members. All members of a group have the same policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Routing {
    /// No choice: the only record set of its name and type, without an identifier.
    Simple,
    /// By the weights of the members.
    Weighted,
    /// By the latency between the caller and an AWS region.
    Latency,
    /// The primary member while it is healthy, otherwise the secondary one.
    Failover,
    /// By the location of the caller.
    Geolocation,
    /// Up to eight healthy members at random.
    MultiValue,
    /// By the caller's network.
    IpBased,
}

impl StoredRecord {
    /// Returns the policies of the record's fields. A valid record with an identifier has exactly one, a simple record
    /// none.
    pub(super) fn policies(&self) -> Vec<Routing> {
        let asked = [
            (self.weight.is_some(), Routing::Weighted),
            (self.region.is_some(), Routing::Latency),
            (self.failover.is_some(), Routing::Failover),
            (self.geo.is_some(), Routing::Geolocation),
            (self.multi_value.is_some(), Routing::MultiValue),
            (self.cidr.is_some(), Routing::IpBased),
        ];
        let set = asked.into_iter().filter(|(is_set, _)| *is_set);
        set.map(|(_, policy)| policy).collect()
    }

    /// Returns the policy of a valid record.
    pub fn routing(&self) -> Routing {
        self.policies().first().copied().unwrap_or(Routing::Simple)
    }

    /// Returns the record's weight. `None` if the record has none, or it is not 0 to 255.
    pub fn weight(&self) -> Option<Weight> {
        self.weight
            .and_then(|weight| u8::try_from(weight).ok())
            .map(Weight)
    }

    /// Returns the name and type, normalised.
    pub fn group(&self) -> GroupName {
        GroupName {
            name: DnsName::new(&self.name),
            record_type: self.record_type.clone(),
        }
    }

    /// Returns true if a DELETE of `self` matches the stored record set: all fields are equal, with the values in any
    /// order.
    ///
    /// Source: API Reference, `ChangeResourceRecordSets`: "you must specify all the same values".
    pub(super) fn is_same_image(&self, stored: &Self) -> bool {
        let given: BTreeSet<_> = self.values.iter().collect();
        let present: BTreeSet<_> = stored.values.iter().collect();
        let same_fields = Self {
            values: stored.values.clone(),
            ..self.clone()
        };
        given == present && self.values.len() == stored.values.len() && same_fields == *stored
    }

    /// Returns the number of record elements, and of characters in values, that count towards the limits of a batch.
    ///
    /// An alias counts as one element. Source: Developer Guide, quotas ("including alias records").
    pub fn size(&self) -> (usize, usize) {
        let characters = self.values.iter().map(|value| value.chars().count()).sum();
        (self.values.len().max(1), characters)
    }

    /// Converts the record to a record set of the engine. `unsupported` names the fields that the engine cannot write
    /// back.
    pub fn to_record_set(&self) -> RecordSet {
        let present = [
            (self.routing() == Routing::Simple, "simple"),
            (self.region.is_some(), "Region"),
            (self.failover.is_some(), "Failover"),
            (self.geo.is_some(), "GeoLocation"),
            (self.multi_value.is_some(), "MultiValueAnswer"),
            (self.cidr.is_some(), "CidrRoutingConfig"),
            (
                self.traffic_policy_instance_id.is_some(),
                "TrafficPolicyInstanceId",
            ),
        ];
        let unsupported = present.into_iter().filter(|(is_present, _)| *is_present);
        RecordSet {
            name: self.name.clone(),
            record_type: self.record_type.clone(),
            set_identifier: self.set_identifier.clone().unwrap_or_default(),
            weight: self.weight().unwrap_or(Weight(0)),
            ttl: self.ttl.and_then(|ttl| u32::try_from(ttl).ok()),
            values: self.values.clone(),
            alias: self.alias.clone(),
            health_check_id: self.health_check_id.clone(),
            unsupported: unsupported.map(|(_, field)| field.to_owned()).collect(),
        }
    }

    /// Creates a weighted record from a record set of the engine.
    pub fn from_record_set(image: &RecordSet) -> Self {
        Self {
            name: image.name.clone(),
            record_type: image.record_type.clone(),
            set_identifier: Some(image.set_identifier.clone()),
            weight: Some(i64::from(image.weight.0)),
            ttl: image.ttl.map(i64::from),
            values: image.values.clone(),
            alias: image.alias.clone(),
            health_check_id: image.health_check_id.clone(),
            ..Self::default()
        }
    }

    /// Creates a weighted record with one value and a TTL of 60 seconds, for tests and simulated worlds.
    pub fn weighted(
        name: &str,
        record_type: &str,
        identifier: &str,
        weight: u8,
        value: &str,
    ) -> Self {
        Self {
            name: name.to_owned(),
            record_type: record_type.to_owned(),
            set_identifier: Some(identifier.to_owned()),
            weight: Some(i64::from(weight)),
            ttl: Some(60),
            values: vec![value.to_owned()],
            ..Self::default()
        }
    }

    /// Creates a weighted alias that evaluates its target's health, for tests and simulated worlds.
    pub fn weighted_alias(
        name: &str,
        record_type: &str,
        identifier: &str,
        weight: u8,
        target: &str,
    ) -> Self {
        Self {
            ttl: None,
            values: Vec::new(),
            alias: Some(AliasTarget {
                zone_id: "Z35SXDOTRQ7X7K".to_owned(),
                dns_name: target.to_owned(),
                evaluate_target_health: true,
            }),
            ..Self::weighted(name, record_type, identifier, weight, "")
        }
    }
}
