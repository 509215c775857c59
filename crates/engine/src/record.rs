//! Record sets and weighted groups, as Route 53 has them.
//!
//! An *image* is everything that Route 53 holds about a record set or a group. A compare-and-swap must repeat it
//! exactly. So an image is never built: it is read, and only its weights are replaced.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::units::{DnsName, Weight, WeightPair, ZoneId};

/// The image of one record set, exactly as Route 53 returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// The DNS name as returned: in lower case, with the trailing dot and octal escapes.
    pub name: String,
    /// The record type, for example `A`.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The set identifier, which differs between the members of a group. Empty for a record without weight.
    pub set_identifier: String,
    /// The weight, 0 to 255; 0 for a record without weight.
    pub weight: Weight,
    /// The TTL in seconds. `None` for an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// The values, in the order returned. Empty for an alias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The target of an alias. `None` for a record with values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasTarget>,
    /// The ID of the health check without which Route 53 does not answer with the record. `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_id: Option<String>,
    /// The names of fields that this program cannot write back. A record with such a field is never changed. A record
    /// without weight and set identifier has `simple` here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
}

/// The target of an alias record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTarget {
    /// The ID of the target's hosted zone. For a load balancer, the ID that its region has.
    pub zone_id: String,
    /// The target's DNS name as returned, with `dualstack.` and the trailing dot.
    pub dns_name: String,
    /// True if Route 53 leaves the record out of its answers while the target is unhealthy.
    pub evaluate_target_health: bool,
}

impl RecordSet {
    /// Returns true if this record is a member of `group`, with any set identifier.
    pub fn is_of(&self, group: &GroupName) -> bool {
        self.record_type == group.record_type && group.name.is_written(&self.name)
    }

    /// Returns the same image with another weight.
    #[must_use]
    pub fn with_weight(&self, weight: Weight) -> Self {
        let mut image = self.clone();
        image.weight = weight;
        image
    }
}

/// The name and type of a group, unique in its zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupName {
    /// The DNS name, in the form in which names are compared.
    pub name: DnsName,
    /// The record type in upper case, for example `A`.
    #[serde(rename = "type")]
    pub record_type: String,
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}

/// The image of a group: its records, and the zone that they were read in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupImage {
    /// The hosted zone of the group.
    pub zone: ZoneId,
    /// The old cluster's record.
    pub old: RecordSet,
    /// The new cluster's record.
    pub new: RecordSet,
    /// The group's other members. At the start only those with weight 0 are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<RecordSet>,
}

impl GroupImage {
    /// Returns the weights of the old and the new member.
    pub fn pair(&self) -> WeightPair {
        WeightPair {
            old: self.old.weight,
            new: self.new.weight,
        }
    }

    /// Returns the same image with other weights of the old and the new member.
    #[must_use]
    pub fn with_pair(&self, pair: WeightPair) -> Self {
        let mut image = self.clone();
        (image.old.weight, image.new.weight) = (pair.old, pair.new);
        image
    }

    /// Returns true if traffic is split as in `other`: the weights of the old and the new member are equal, and so is
    /// the sum of the weights of all other members.
    pub fn has_shares_of(&self, other: &Self) -> bool {
        self.pair() == other.pair() && self.weight_of_others() == other.weight_of_others()
    }

    /// Returns the sum of the weights of the members other than the old and the new one.
    fn weight_of_others(&self) -> u32 {
        let others = self.others.iter();
        others.map(|member| u32::from(member.weight.0)).sum()
    }

    /// Returns true if everything is equal to `other` except the weights of the old and the new member.
    pub fn same_but_pair(&self, other: &Self) -> bool {
        self.with_pair(other.pair()) == *other
    }
}
