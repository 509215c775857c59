//! `after` across plans: names that nobody has, and circles in which nothing would ever start.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::plan::Plan;
use crate::engine::units::CutoverName;

/// Why a plan can never start beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misordered {
    /// It comes after a cutover that nobody knows.
    Unknown(CutoverName),
    /// It comes after itself, by way of these, itself first and last.
    Circle(Vec<CutoverName>),
}

impl Misordered {
    /// What is wrong.
    pub fn message(&self) -> String {
        match self {
            Self::Unknown(name) => format!("`after` names `{name}`, and there is no such cutover"),
            Self::Circle(names) => {
                let names: Vec<&str> = names.iter().map(CutoverName::as_str).collect();
                let way = names.join(" → ");
                format!(
                    "`after` goes round in a circle, so that none of them would ever start: {way}"
                )
            }
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unknown(_) => {
                "correct the name, or name that plan's file too; a cutover that the journal knows need not be named"
            }
            Self::Circle(_) => "take one of them out of another one's `after`",
        }
    }
}

/// What is wrong with the order of some plans; `known` are the cutovers beyond them that may be waited for.
pub fn order(
    plans: &[&Plan],
    known: &BTreeSet<CutoverName>,
) -> BTreeMap<CutoverName, Vec<Misordered>> {
    let after: BTreeMap<&CutoverName, &[CutoverName]> = plans
        .iter()
        .map(|plan| (&plan.name, plan.after.as_slice()))
        .collect();
    let mut wrong: BTreeMap<CutoverName, Vec<Misordered>> = BTreeMap::new();
    for (name, names) in &after {
        for other in *names {
            if !after.contains_key(other) && !known.contains(other) {
                let list = wrong.entry((*name).clone()).or_default();
                list.push(Misordered::Unknown(other.clone()));
            }
        }
        if let Some(way) = circle(name, &after) {
            let list = wrong.entry((*name).clone()).or_default();
            list.push(Misordered::Circle(way));
        }
    }
    wrong
}

/// The shortest way from a cutover back to itself.
fn circle(
    start: &CutoverName,
    after: &BTreeMap<&CutoverName, &[CutoverName]>,
) -> Option<Vec<CutoverName>> {
    let mut came_from: BTreeMap<&CutoverName, &CutoverName> = BTreeMap::new();
    let mut front: Vec<&CutoverName> = vec![start];
    while !front.is_empty() {
        let mut next = Vec::new();
        for name in front {
            for other in after.get(name).copied().unwrap_or_default() {
                if other == start {
                    let mut way = vec![start.clone(), name.clone()];
                    let mut at = name;
                    while at != start {
                        at = came_from.get(at)?;
                        way.push(at.clone());
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(other) {
                    came_from.insert(other, name);
                    next.push(other);
                }
            }
        }
        front = next;
    }
    None
}
