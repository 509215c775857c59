//! Many cutovers that wait for a person at once: most likely there is one cause, and one page tells of it.
//!
//! A hold that pages is remembered by its cause ([`HoldReason::common`]). If several cutovers have the same one within
//! [`WITHIN`], an entry of `@fleet` says so and pages, and their own entries need not. A hold that begins later is news
//! again. All of it follows from the journal in its order, so that it is the same after a restart and for every
//! controller.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::shared_fate::{SERVICES_MIN, WITHIN};
use crate::event::{Envelope, Event};
use crate::hold::HoldReason;
use crate::lists::NAMED_MAX;
use crate::state::State;
use crate::units::CutoverName;

/// The cutovers that wait for a person, and the pages for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The holds that page, of each cutover as last journaled.
    pub(super) holding: BTreeMap<CutoverName, Vec<HoldReason>>,
    /// The entries that page only for holds that other cutovers may have by the same cause.
    pub(super) begun: BTreeMap<CutoverName, BTreeMap<u64, Begun>>,
    /// The pages of the fleet, by its entry.
    pub(super) told: BTreeMap<u64, ToldCause>,
}

/// A hold that began, and pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    at: Timestamp,
    /// The new holds in it.
    reasons: Vec<HoldReason>,
    /// True if its page is known to be delivered.
    delivered: bool,
    /// The fleet's entries that page for all of it; empty if it pages by itself.
    pub(super) told_by: BTreeSet<u64>,
}

/// A cause that the fleet has paged for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToldCause {
    /// The fleet's entry, which replaces theirs.
    pub(super) entry: Envelope,
    cause: HoldReason,
    since: Timestamp,
    /// The cutovers that it held then.
    pub(super) members: BTreeSet<CutoverName>,
}

impl ToldCause {
    /// Returns true if a hold that began at `at` by this cause belongs to this page.
    fn has(&self, cause: &HoldReason, at: Timestamp) -> bool {
        let later = at.duration_since(self.since);
        self.cause == *cause && !later.is_negative() && later <= WITHIN
    }
}

impl Begun {
    fn is_open(&self) -> bool {
        !self.delivered && self.told_by.is_empty()
    }

    fn by(&self, cause: &HoldReason) -> Option<&HoldReason> {
        let mut reasons = self.reasons.iter();
        reasons.find(|reason| reason.common().as_ref() == Some(cause))
    }
}

/// Several cutovers that are probably held by one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTogether {
    /// The hold of the first named cutover.
    pub reason: HoldReason,
    /// The number of cutovers.
    pub services: usize,
    /// The first few, by name.
    pub named: Vec<CutoverName>,
}

impl HeldTogether {
    pub(super) fn of(held: &BTreeMap<&CutoverName, &HoldReason>) -> Option<Self> {
        if held.len() < SERVICES_MIN {
            return None;
        }
        let first = held.values().next()?;
        Some(Self {
            reason: (*first).clone(),
            services: held.len(),
            named: held.keys().take(NAMED_MAX).copied().cloned().collect(),
        })
    }
}

impl Held {
    /// Takes a cutover's entry.
    pub(super) fn note(&mut self, entry: &Envelope, after: &State) {
        let name = &entry.cutover;
        if let Event::PageSent { of, .. } = &entry.event
            && let Some(all) = self.begun.get_mut(name)
            && let Some(begun) = all.get_mut(of)
        {
            begun.delivered = true;
        }
        if let Event::StepHeld { because } = &entry.event {
            let mut paging = because.clone();
            paging.retain(HoldReason::pages);
            if after.pages.contains_key(&entry.seq) {
                self.begins(entry, &paging);
            }
            self.holding.insert(name.clone(), paging);
        }
        if after.held.is_empty() || after.phase.is_final() {
            self.holding.remove(name);
        }
    }

    fn begins(&mut self, entry: &Envelope, paging: &[HoldReason]) {
        let known = self.holding.get(&entry.cutover).into_iter().flatten();
        let known: BTreeSet<HoldReason> = known.map(HoldReason::subject).collect();
        let mut reasons = paging.to_vec();
        reasons.retain(|reason| !known.contains(&reason.subject()));
        // A hold that concerns only this cutover pages by its own entry, which tells of the other holds too.
        if reasons.is_empty() || reasons.iter().any(|reason| reason.common().is_none()) {
            return;
        }
        let mut begun = Begun {
            at: entry.at,
            reasons,
            delivered: false,
            told_by: BTreeSet::new(),
        };
        begun.told_by = self.told_by(&begun);
        let of = self.begun.entry(entry.cutover.clone()).or_default();
        // An old hold that paged by itself is no longer compared with others.
        of.retain(|_, begun| {
            let old = entry.at.duration_since(begun.at) > WITHIN * 2;
            !(begun.delivered && begun.told_by.is_empty() && old)
        });
        of.insert(entry.seq, begun);
    }

    /// Returns the fleet's entries that page for all new holds in an entry; empty if one of the holds has no such entry.
    fn told_by(&self, begun: &Begun) -> BTreeSet<u64> {
        let mut all = BTreeSet::new();
        for reason in &begun.reasons {
            let Some(seq) = self.told_for(reason, begun.at) else {
                return BTreeSet::new();
            };
            all.insert(seq);
        }
        all
    }

    /// Returns the fleet's entry that pages for a hold that began at `at`.
    fn told_for(&self, reason: &HoldReason, at: Timestamp) -> Option<u64> {
        let cause = reason.common()?;
        let mut told = self.told.iter();
        let (seq, _) = told.find(|(_, told)| told.has(&cause, at))?;
        Some(*seq)
    }

    /// Takes the fleet's page for a cause.
    pub(super) fn tell(&mut self, entry: &Envelope, reason: &HoldReason, since: Timestamp) {
        let Some(cause) = reason.common() else {
            return;
        };
        let mut told = ToldCause {
            entry: entry.clone(),
            cause,
            since,
            members: BTreeSet::new(),
        };
        for (name, begun) in &self.begun {
            let mut begun = begun.values();
            if begun.any(|begun| begun.by(&told.cause).is_some() && told.has(&told.cause, begun.at))
            {
                told.members.insert(name.clone());
            }
        }
        self.told.insert(entry.seq, told);
        let mut begun = std::mem::take(&mut self.begun);
        for begun in begun.values_mut().flat_map(BTreeMap::values_mut) {
            if begun.is_open() {
                begun.told_by = self.told_by(begun);
            }
        }
        self.begun = begun;
    }

    /// Returns the next page of the fleet: a cause that several cutovers have, of which at least one was not told yet.
    pub(super) fn news(&self) -> Option<(HeldTogether, Timestamp)> {
        for (cause, since) in self.untold() {
            let held = self.held_near(&cause, since);
            if let Some(together) = HeldTogether::of(&held) {
                return Some((together, since));
            }
        }
        None
    }

    /// Returns the causes of holds that were not told yet, and when the first of each began.
    fn untold(&self) -> BTreeMap<HoldReason, Timestamp> {
        let mut first: BTreeMap<HoldReason, Timestamp> = BTreeMap::new();
        for begun in self.begun.values().flat_map(BTreeMap::values) {
            if !begun.is_open() {
                continue;
            }
            for cause in begun.reasons.iter().filter_map(HoldReason::common) {
                if !self.told.values().any(|told| told.has(&cause, begun.at)) {
                    let at = first.entry(cause).or_insert(begun.at);
                    *at = begun.at.min(*at);
                }
            }
        }
        first
    }

    /// Returns the cutovers with a hold of this cause that began within [`WITHIN`] of `since`, each with the hold.
    fn held_near(
        &self,
        cause: &HoldReason,
        since: Timestamp,
    ) -> BTreeMap<&CutoverName, &HoldReason> {
        let mut held = BTreeMap::new();
        for (name, all) in &self.begun {
            for begun in all.values() {
                if begun.at.duration_since(since).abs() <= WITHIN
                    && let Some(reason) = begun.by(cause)
                {
                    held.insert(name, reason);
                    break;
                }
            }
        }
        held
    }
}
