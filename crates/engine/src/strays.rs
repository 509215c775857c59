//! Members of a group, other than the old and the new one, that hold weight after a revert. The revert cannot take
//! their traffic back (semantics L6).

use serde::{Deserialize, Serialize};

use super::lists;
use super::record::{GroupImage, GroupName, RecordSet};
use super::units::{Share, Weight};

/// A member with a weight above 0 that the baseline did not have, or had with another weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stray {
    /// The member's group.
    pub group: GroupName,
    /// The member's set identifier.
    pub set_identifier: String,
    /// The member's weight, 1 to 255.
    pub weight: Weight,
    /// The sum of the weights of all members of the group.
    pub of: u32,
    /// The target of the member's alias, or its values, for people.
    pub target: String,
}

impl Stray {
    /// Returns the member's share of the group's answers.
    pub fn share(&self) -> Share {
        Share::of(self.weight, self.of)
    }
}

/// Returns the members of a group that hold weight and are neither its old nor its new one, and that the baseline did
/// not have with the same weight. `image` is the group as read now.
pub fn strays(group: &GroupName, baseline: &GroupImage, image: &GroupImage) -> Vec<Stray> {
    let members = [&image.old, &image.new].into_iter().chain(&image.others);
    let of = members.map(|member| u32::from(member.weight.0)).sum();
    let mut strays = Vec::new();
    for member in &image.others {
        let as_before = baseline.others.iter().any(|before| {
            before.set_identifier == member.set_identifier && before.weight == member.weight
        });
        if member.weight.0 == 0 || as_before {
            continue;
        }
        strays.push(Stray {
            group: group.clone(),
            set_identifier: member.set_identifier.clone(),
            weight: member.weight,
            of,
            target: target(member),
        });
    }
    strays
}

/// Returns the target of a member's alias, or its values, for people.
fn target(member: &RecordSet) -> String {
    match &member.alias {
        Some(alias) => alias.dns_name.trim_end_matches('.').to_owned(),
        None => lists::some(&member.values, ", "),
    }
}
