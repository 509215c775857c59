//! Record sets of all routing policies, as the model stores them.

use std::collections::BTreeSet;

use cutover_engine::record::{AliasTarget, GroupName, RecordSet};
use cutover_engine::units::{DnsName, Weight};

/// A record set with every field that Route 53 knows. Numbers are kept as sent, so that invalid ones can be refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRecord {
    /// The name; stored in lower case, escaped, with the trailing dot.
    pub name: String,
    /// The type, upper case.
    pub record_type: String,
    /// Distinguishes the members of a group; none for simple routing.
    pub set_identifier: Option<String>,
    /// Weighted routing, 0 to 255.
    pub weight: Option<i64>,
    /// Latency routing.
    pub region: Option<String>,
    /// Failover routing: `PRIMARY` or `SECONDARY`.
    pub failover: Option<String>,
    /// Geolocation routing.
    pub geo: Option<Geo>,
    /// Multivalue answer routing.
    pub multi_value: Option<bool>,
    /// IP-based routing: collection and location.
    pub cidr: Option<(String, String)>,
    /// Seconds; none for an alias.
    pub ttl: Option<i64>,
    /// The values; none for an alias.
    pub values: Vec<String>,
    /// Where an alias points.
    pub alias: Option<AliasTarget>,
    /// The health check that decides whether the record may be answered.
    pub health_check_id: Option<String>,
    /// Set on records that a traffic policy made; they cannot be changed.
    pub traffic_policy_instance_id: Option<String>,
}

/// A place, for geolocation routing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Geo {
    /// The continent's code.
    pub continent: Option<String>,
    /// The country's code; `*` is everywhere else.
    pub country: Option<String>,
    /// The subdivision's code.
    pub subdivision: Option<String>,
}

/// How a group's members share the queries. All members of a group have the same policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Routing {
    /// One record set, no identifier.
    Simple,
    /// By weight.
    Weighted,
    /// By latency to a region.
    Latency,
    /// Primary and secondary.
    Failover,
    /// By the location of the caller.
    Geolocation,
    /// Up to eight healthy values at random.
    MultiValue,
    /// By the network of the caller.
    IpBased,
}

impl StoredRecord {
    /// The policies of the record's fields; exactly one in a valid record with an identifier, none in a simple one.
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

    /// The policy of a valid record.
    pub fn routing(&self) -> Routing {
        self.policies().first().copied().unwrap_or(Routing::Simple)
    }

    /// The weight of a weighted record.
    pub fn weight(&self) -> Option<Weight> {
        self.weight
            .and_then(|weight| u8::try_from(weight).ok())
            .map(Weight)
    }

    /// Name and type, normalised.
    pub fn group(&self) -> GroupName {
        GroupName {
            name: DnsName::new(&self.name),
            record_type: self.record_type.clone(),
        }
    }

    /// Returns true if a DELETE of `self` matches the stored record set: every field, with the values in any order.
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

    /// The record elements and the characters of values that it counts for in the limits of a batch.
    ///
    /// An alias counts as one element. Source: Developer Guide, quotas ("including alias records").
    pub fn size(&self) -> (usize, usize) {
        let characters = self.values.iter().map(|value| value.chars().count()).sum();
        (self.values.len().max(1), characters)
    }

    /// The engine's record set. Fields that the engine cannot write back are named in `unsupported`.
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

    /// A weighted record from the engine's record set.
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

    /// A weighted record with one value, for tests and simulated worlds.
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

    /// A weighted alias that follows its target's health, for tests and simulated worlds.
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
