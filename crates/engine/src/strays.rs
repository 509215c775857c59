//! Members of a group that hold weight beside the baseline's: a revert cannot take their traffic back (semantics L6).

use serde::{Deserialize, Serialize};

use super::lists;
use super::record::{GroupImage, GroupName, RecordSet};
use super::units::{Share, Weight};

/// A member that holds weight and that the baseline did not have with this weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stray {
    /// Its group.
    pub group: GroupName,
    /// Its set identifier.
    pub set_identifier: String,
    /// Its weight.
    pub weight: Weight,
    /// The sum of the weights of all members of the group.
    pub of: u32,
    /// The target of its alias, or its values.
    pub target: String,
}

impl Stray {
    /// Its share of the answers.
    pub fn share(&self) -> Share {
        Share::of(self.weight, self.of)
    }
}

/// Returns the members of a group that hold weight and are neither one of the baseline's two, nor were a further member
/// of it with the same weight. `image` is the group as read now.
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

fn target(member: &RecordSet) -> String {
    match &member.alias {
        Some(alias) => alias.dns_name.trim_end_matches('.').to_owned(),
        None => lists::some(&member.values, ", "),
    }
}
