//! Many services that fail at once: most likely it is one cause, and none of them is to blame.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Fleet, NAMED_MAX, Setback};
use crate::engine::units::CutoverName;

/// How close together failures must be to look like one cause.
pub(super) const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// How many services must fail.
pub(super) const SERVICES_MIN: usize = 3;

/// Gates of several services failed within ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedFate {
    /// How many.
    pub services: usize,
    /// Which; the first few by name.
    pub named: Vec<CutoverName>,
    /// When the first of them failed.
    pub since: Timestamp,
}

impl Fleet {
    /// Whether a gate of `name` that fails at `at` looks like the same cause as others'.
    pub fn shared_fate_at(&self, name: &CutoverName, at: Timestamp) -> Option<SharedFate> {
        let near =
            |setback: &Setback| setback.gate && at.duration_since(setback.at).abs() <= WITHIN;
        let mut named = BTreeSet::from([name]);
        let mut since = at;
        for (other, setbacks) in &self.setbacks {
            for setback in setbacks.values().filter(|setback| near(setback)) {
                named.insert(other);
                since = since.min(setback.at);
            }
        }
        (named.len() >= SERVICES_MIN).then(|| SharedFate {
            services: named.len(),
            named: named.into_iter().take(NAMED_MAX).cloned().collect(),
            since,
        })
    }

    /// Whether the last failed gate of `name` looks like the same cause as others'.
    pub fn shared_fate_of(&self, name: &CutoverName) -> Option<SharedFate> {
        let setbacks = self.setbacks.get(name)?;
        let last = setbacks.values().rev().find(|setback| setback.gate)?;
        self.shared_fate_at(name, last.at)
    }

    /// The largest group of failures that look like one cause, since a person last resumed the fleet.
    pub fn shared_fate(&self) -> Option<SharedFate> {
        let fates = self
            .setbacks
            .keys()
            .filter_map(|name| self.shared_fate_of(name));
        fates.max_by_key(|fate| fate.services)
    }
}
