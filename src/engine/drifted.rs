//! What somebody else made of a group: what was expected, what is there, and which ways out that leaves (semantics B5, L8).

use serde::{Deserialize, Serialize};

use super::lists;
use super::plan::Group;
use super::record::{GroupImage, GroupName, RecordSet};
use super::units::{Weight, WeightPair};

/// One group that is not as it was last verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Astray {
    /// The group.
    pub group: GroupName,
    /// The weights that were expected.
    pub expected: WeightPair,
    /// What is there instead.
    pub found: Found,
}

/// What is there instead of a group as it was last verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Found {
    /// Both members.
    Both {
        /// Their weights.
        weights: WeightPair,
        /// The fields besides the weights that differ, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed: Vec<String>,
    },
    /// One member, or none of the two.
    Gone {
        /// The set identifiers of the members that are gone.
        missing: Vec<String>,
        /// What is still there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        there: Vec<SetWeight>,
        /// Whether only the old member is gone, and the new one leads where it led before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        only_old: bool,
        /// Where the traffic goes if force creates the members again: the target of the old one as last verified.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        force_leads_to: String,
    },
    /// A record that no weighted record can stand beside: a simple one, or one of another routing policy.
    Unweighted {
        /// What it is: `simple`, or the field that says which policy it has.
        policy: String,
        /// Where it leads.
        target: String,
        /// Whether it leads where the new member led.
        to_new: bool,
    },
}

/// A member that is there, and its weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SetWeight {
    /// Its set identifier.
    pub set_identifier: String,
    /// Its weight.
    pub weight: Weight,
}

/// The fields that belong to another routing policy than weights: a weighted record cannot stand beside such a record.
const OTHER_POLICIES: [&str; 7] = [
    "simple",
    "Region",
    "GeoLocation",
    "Failover",
    "MultiValueAnswer",
    "CidrRoutingConfig",
    "GeoProximityLocation",
];

/// The policy of a record that is not weighted; none for a weighted one.
pub fn other_policy(record: &RecordSet) -> Option<&str> {
    let of_policy = |field: &&String| OTHER_POLICIES.contains(&field.as_str());
    record
        .unsupported
        .iter()
        .find(of_policy)
        .map(String::as_str)
}

/// Where a record leads: its alias, or its values.
pub fn target(record: &RecordSet) -> String {
    match &record.alias {
        Some(alias) => format!("ALIAS {}", alias.dns_name.trim_end_matches('.')),
        None => lists::some(&record.values, ", "),
    }
}

fn leads_where(one: &RecordSet, other: &RecordSet) -> bool {
    let place = |record: &RecordSet| {
        let alias = record.alias.as_ref();
        alias.map(|alias| (alias.zone_id.clone(), alias.dns_name.to_ascii_lowercase()))
    };
    place(one) == place(other) && one.values == other.values
}

/// What `adopt-drift` would do with what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// It is refused.
    #[default]
    Refused,
    /// What is there becomes what is verified.
    GoesOn,
    /// The cutover completes with what is there, without a way back.
    Completes,
}

impl Adoption {
    /// Whether the command is refused.
    pub fn is_refused(&self) -> bool {
        *self == Self::Refused
    }
}

impl Astray {
    /// What is to be said of a group that was `verified` and of which `members` are there now, as its `image` where both
    /// members are.
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
                to_new: policy == "simple" && leads_where(record, &verified.new),
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

    /// Whether force can write the baseline over it.
    pub fn yields_to_force(&self) -> bool {
        match self.found {
            Found::Both { .. } | Found::Gone { .. } => true,
            Found::Unweighted { .. } => false,
        }
    }

    /// Whether what is there is the end of the migration: nothing but the new side is left.
    pub fn is_the_end(&self) -> bool {
        match &self.found {
            Found::Both { .. } => false,
            Found::Gone { only_old, .. } => *only_old,
            Found::Unweighted { to_new, .. } => *to_new,
        }
    }
}

/// A record that is not weighted, and its policy.
pub fn unweighted(record: &RecordSet) -> Option<(&RecordSet, &str)> {
    Some((record, other_policy(record)?))
}

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

fn gone(group: &Group, verified: &GroupImage, members: &[RecordSet]) -> Found {
    let find = |identifier: &str| members.iter().find(|it| it.set_identifier == identifier);
    let mut missing = Vec::new();
    for identifier in [&group.old, &group.new] {
        if find(identifier).is_none() {
            missing.push(identifier.clone());
        }
    }
    let is_rival = |it: &RecordSet| it.set_identifier != group.new && it.weight.0 > 0;
    let only_old = match find(&group.new) {
        Some(new) => {
            find(&group.old).is_none()
                && leads_where(new, &verified.new)
                && !members.iter().any(is_rival)
        }
        None => false,
    };
    let there = members.iter().map(|it| SetWeight {
        set_identifier: it.set_identifier.clone(),
        weight: it.weight,
    });
    Found::Gone {
        missing,
        there: there.collect(),
        only_old,
        force_leads_to: target(&verified.old),
    }
}
