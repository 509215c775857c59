//! Many services that fail at once: most likely there is one cause, and none of them is to blame.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Fleet, NAMED_MAX};
use crate::units::CutoverName;

/// The time within which failures are taken to have one cause.
pub(super) const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The number of services that must fail for that.
pub(super) const SERVICES_MIN: usize = 3;

/// Gates of several services failed within ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedFate {
    /// The number of services.
    pub services: usize,
    /// The first few, by name.
    pub named: Vec<CutoverName>,
    /// The time at which the first of them failed.
    pub since: Timestamp,
}

impl Fleet {
    /// Returns the services whose gates failed about `at`, with `name`, if they are enough to suggest one cause.
    pub fn shared_fate_at(&self, name: &CutoverName, at: Timestamp) -> Option<SharedFate> {
        let mut named = BTreeSet::from([name]);
        let mut since = at;
        for (other, setbacks) in &self.setbacks {
            for setback in setbacks.values() {
                if setback.gate && at.duration_since(setback.at).abs() <= WITHIN {
                    named.insert(other);
                    since = since.min(setback.at);
                }
            }
        }
        if named.len() < SERVICES_MIN {
            return None;
        }
        Some(SharedFate {
            services: named.len(),
            named: named.into_iter().take(NAMED_MAX).cloned().collect(),
            since,
        })
    }

    /// Returns the services whose gates failed about the time of the last failed gate of `name`, if they suggest one cause.
    pub fn shared_fate_of(&self, name: &CutoverName) -> Option<SharedFate> {
        let setbacks = self.setbacks.get(name)?;
        let last = setbacks.values().rev().find(|setback| setback.gate)?;
        self.shared_fate_at(name, last.at)
    }

    /// The largest group of failures that suggest one cause, since a person last resumed the fleet.
    pub fn shared_fate(&self) -> Option<SharedFate> {
        let fates = self
            .setbacks
            .keys()
            .filter_map(|name| self.shared_fate_of(name));
        fates.max_by_key(|fate| fate.services)
    }
}
