//! A drifted group: the expected weights, the records that were found, and the remedies that apply (semantics B5, L8).

use serde::{Deserialize, Serialize};

use super::lists;
use super::plan::Group;
use super::record::{GroupImage, GroupName, RecordSet};
use super::units::{Weight, WeightPair};

/// One group that somebody else changed since it was last verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Astray {
    /// The group's name and type.
    pub group: GroupName,
    /// The weights that were last verified.
    pub expected: WeightPair,
    /// The records that are there now.
    pub found: Found,
}

/// The records that were found instead of a verified group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Found {
    /// Both members are there.
    Both {
        /// The weights of the old and the new member.
        weights: WeightPair,
        /// The other fields that differ, for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed: Vec<String>,
    },
    /// The old member, the new one, or both are gone.
    Gone {
        /// The set identifiers of those that are gone.
        missing: Vec<String>,
        /// All members of the group that are there, with their weights.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        there: Vec<SetWeight>,
        /// True if only the old member is gone, the new one has its verified target, and no other member holds weight.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        only_old: bool,
        /// The target that gets all traffic if `--force` creates the members again: that of the old member as last
        /// verified.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        force_leads_to: String,
    },
    /// A record without weights is there: a simple one, or one of another routing policy. Route 53 allows no weighted
    /// record of the same name and type.
    Unweighted {
        /// `simple`, or the name of the field of the routing policy.
        policy: String,
        /// The record's target, for people.
        target: String,
        /// True if the record is simple and has the verified target of the new member.
        to_new: bool,
    },
}

/// A member that is there, with its weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SetWeight {
    /// The member's set identifier.
    pub set_identifier: String,
    /// The member's weight.
    pub weight: Weight,
}

/// The fields of routing policies without weights. Route 53 allows no weighted record of the same name and type.
const OTHER_POLICIES: [&str; 7] = [
    "simple",
    "Region",
    "GeoLocation",
    "Failover",
    "MultiValueAnswer",
    "CidrRoutingConfig",
    "GeoProximityLocation",
];

/// Returns the routing policy of a record without weight. `None` for a weighted record.
pub fn other_policy(record: &RecordSet) -> Option<&str> {
    let mut fields = record.unsupported.iter().map(String::as_str);
    fields.find(|field| OTHER_POLICIES.contains(field))
}

/// Returns the target of a record for people: its alias, or its values.
pub fn target(record: &RecordSet) -> String {
    match &record.alias {
        Some(alias) => format!("ALIAS {}", alias.dns_name.trim_end_matches('.')),
        None => lists::some(&record.values, ", "),
    }
}

/// Returns true if both records have the same alias or the same values.
fn have_one_target(one: &RecordSet, other: &RecordSet) -> bool {
    alias_key(one) == alias_key(other) && one.values == other.values
}

fn alias_key(record: &RecordSet) -> Option<(&str, String)> {
    let alias = record.alias.as_ref()?;
    Some((alias.zone_id.as_str(), alias.dns_name.to_ascii_lowercase()))
}

/// The effect that `adopt-drift` would have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// The command would be refused.
    #[default]
    Refused,
    /// The records that are there would become the verified ones, and the cutover would go on.
    GoesOn,
    /// The cutover would complete with the records that are there. It could not be rolled back.
    Completes,
}

impl Adoption {
    /// Returns true if the command would be refused.
    pub fn is_refused(&self) -> bool {
        *self == Self::Refused
    }
}

impl Astray {
    /// Compares the records of a group with its last `verified` image. `members` are all records there now; `image` is
    /// their image, if both members are among them.
    pub fn of(
        group: &Group,
        verified: &GroupImage,
        image: Option<&GroupImage>,
        members: &[RecordSet],
    ) -> Self {
        let found = match (image, members.iter().find_map(unweighted)) {
            (_, Some((record, policy))) => Found::Unweighted {
                policy: policy.to_owned(),
                target: target(record),
                to_new: policy == "simple" && have_one_target(record, &verified.new),
            },
            (Some(image), None) => both(verified, image),
            (None, None) => gone(group, verified, members),
        };
        Self {
            group: group.name.clone(),
            expected: verified.pair(),
            found,
        }
    }

    /// Returns true if `--force` can write the baseline over the records.
    pub fn yields_to_force(&self) -> bool {
        match self.found {
            Found::Both { .. } | Found::Gone { .. } => true,
            Found::Unweighted { .. } => false,
        }
    }

    /// Returns true if the records look like the end of the migration: only the new side is left.
    pub fn is_the_end(&self) -> bool {
        match &self.found {
            Found::Both { .. } => false,
            Found::Gone { only_old, .. } => *only_old,
            Found::Unweighted { to_new, .. } => *to_new,
        }
    }
}

/// Returns a record and its routing policy. `None` for a weighted record.
pub fn unweighted(record: &RecordSet) -> Option<(&RecordSet, &str)> {
    Some((record, other_policy(record)?))
}

/// Compares two images of a group that has both members.
fn both(verified: &GroupImage, image: &GroupImage) -> Found {
    let mut changed = Vec::new();
    for (before, now) in [(&verified.old, &image.old), (&verified.new, &image.new)] {
        let identifier = &now.set_identifier;
        let fields = [
            (
                "target",
                before.values != now.values || before.alias != now.alias,
            ),
            ("TTL", before.ttl != now.ttl),
            (
                "health check",
                before.health_check_id != now.health_check_id,
            ),
            ("other fields", before.unsupported != now.unsupported),
        ];
        for (field, differs) in fields {
            if differs {
                changed.push(format!("{field} of `{identifier}`"));
            }
        }
    }
    if verified.others != image.others {
        changed.push("other members".to_owned());
    }
    Found::Both {
        weights: image.pair(),
        changed,
    }
}

/// Describes a group that lacks the old member, the new one, or both.
fn gone(group: &Group, verified: &GroupImage, members: &[RecordSet]) -> Found {
    let (mut old, mut new) = (None, None);
    let (mut there, mut rivals) = (Vec::new(), false);
    for member in members {
        if member.set_identifier == group.new {
            new = new.or(Some(member));
        } else {
            rivals |= member.weight.0 > 0;
        }
        if member.set_identifier == group.old {
            old = old.or(Some(member));
        }
        there.push(SetWeight {
            set_identifier: member.set_identifier.clone(),
            weight: member.weight,
        });
    }
    let mut missing = Vec::new();
    for (identifier, member) in [(&group.old, old), (&group.new, new)] {
        if member.is_none() {
            missing.push(identifier.clone());
        }
    }
    let new_is_as_verified = new.is_some_and(|new| have_one_target(new, &verified.new));
    Found::Gone {
        missing,
        there,
        only_old: old.is_none() && new_is_as_verified && !rivals,
        force_leads_to: target(&verified.old),
    }
}
