//! Record sets and weighted groups, as Route 53 has them.
//!
//! An *image* is everything that Route 53 holds about one record set. A compare-and-swap must repeat it exactly, so an image
//! is never built, only read and given another weight.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::units::{DnsName, Weight, WeightPair, ZoneId};

/// The image of one weighted record set, exactly as Route 53 returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// The name as returned: lower case, with the trailing dot, octal escapes left as they are.
    pub name: String,
    /// The record type, for example `A`.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The set identifier, which differs between the members of a group.
    pub set_identifier: String,
    /// The weight, 0 to 255.
    pub weight: Weight,
    /// The TTL in seconds; none for an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// The values, in the order returned; empty for an alias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The target of an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasTarget>,
    /// The health check that decides whether the record may be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_id: Option<String>,
    /// Names of fields that were present and that this program cannot write back; such a record is never changed.
    /// A record without weight and set identifier is here as `simple`, with weight 0 and an empty set identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
}

/// The target of an alias record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTarget {
    /// The zone of the target (for a load balancer, the region's own).
    pub zone_id: String,
    /// The target's name as returned, `dualstack.` and the trailing dot included.
    pub dns_name: String,
    /// True if an unhealthy target takes the record out of the answers.
    pub evaluate_target_health: bool,
}

impl RecordSet {
    /// Returns true if it is a member of this group, with any set identifier.
    pub fn is_of(&self, group: &GroupName) -> bool {
        self.record_type == group.record_type && group.name.is_written(&self.name)
    }

    /// The same image with another weight.
    #[must_use]
    pub fn with_weight(&self, weight: Weight) -> Self {
        let mut image = self.clone();
        image.weight = weight;
        image
    }
}

/// A group's name and type, unique in a zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupName {
    /// The DNS name, normalised.
    pub name: DnsName,
    /// The record type, upper case.
    #[serde(rename = "type")]
    pub record_type: String,
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}

/// The images of a group's two members, and the zone that they were read in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupImage {
    /// The zone.
    pub zone: ZoneId,
    /// The old cluster's record.
    pub old: RecordSet,
    /// The new cluster's record.
    pub new: RecordSet,
    /// Any further members of the group (only members with weight 0 are accepted at the start).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<RecordSet>,
}

impl GroupImage {
    /// The weights of the two members.
    pub fn pair(&self) -> WeightPair {
        WeightPair {
            old: self.old.weight,
            new: self.new.weight,
        }
    }

    /// The same images with other weights.
    #[must_use]
    pub fn with_pair(&self, pair: WeightPair) -> Self {
        let mut image = self.clone();
        (image.old.weight, image.new.weight) = (pair.old, pair.new);
        image
    }

    /// Returns true if every member has the same weight as in `other`, so that traffic is split in the same way.
    pub fn has_shares_of(&self, other: &Self) -> bool {
        self.pair() == other.pair() && self.weight_of_others() == other.weight_of_others()
    }

    fn weight_of_others(&self) -> u32 {
        let others = self.others.iter();
        others.map(|member| u32::from(member.weight.0)).sum()
    }

    /// Returns true if everything but the weights of the two members is the same, including the group's other members.
    pub fn same_but_pair(&self, other: &Self) -> bool {
        self.with_pair(other.pair()) == *other
    }
}
