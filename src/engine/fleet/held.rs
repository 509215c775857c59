//! Many cutovers that wait for a person at once: most likely it is one cause, and one page tells of it.
//!
//! A hold that pages is remembered by its cause ([`HoldReason::common`]). Where several cutovers have the same one within
//! [`WITHIN`], an entry of `@fleet` says so and pages, and their own entries need not. What begins later is news again. All
//! of it follows from the journal in its order, so that it is the same after a restart and for every controller.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::shared_fate::{SERVICES_MIN, WITHIN};
use super::{Fleet, NAMED_MAX};
use crate::engine::event::{Envelope, Event};
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::units::CutoverName;

/// Who waits for a person, and what was told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The holds that page, of each cutover as last journaled.
    holding: BTreeMap<CutoverName, Vec<HoldReason>>,
    /// Entries that page for nothing but what others may have by the same cause.
    begun: BTreeMap<CutoverName, BTreeMap<u64, Begun>>,
    /// What the fleet has paged for, by its entry.
    told: BTreeMap<u64, Told>,
}

/// A hold that began, and pages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Begun {
    at: Timestamp,
    /// What is new in it.
    reasons: Vec<HoldReason>,
    /// Whether its page is known to be delivered.
    delivered: bool,
    /// The fleet's entries that page for all of it; none where it pages by itself.
    told_by: BTreeSet<u64>,
}

/// A cause that the fleet has paged for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// The fleet's entry, which stands for theirs.
    entry: Envelope,
    cause: HoldReason,
    since: Timestamp,
    /// Who was held by it then.
    members: BTreeSet<CutoverName>,
}

impl Told {
    /// Whether a hold that began at `at` by this cause belongs to what was told.
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

/// Several cutovers that are held by what looks like one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTogether {
    /// The hold of the first of those that are named.
    pub reason: HoldReason,
    /// How many there are.
    pub services: usize,
    /// The first few, by name.
    pub named: Vec<CutoverName>,
}

impl HeldTogether {
    fn of(held: &BTreeMap<&CutoverName, &HoldReason>) -> Option<Self> {
        let first = held
            .values()
            .next()
            .filter(|_| held.len() >= SERVICES_MIN)?;
        Some(Self {
            reason: (*first).clone(),
            services: held.len(),
            named: held.keys().take(NAMED_MAX).copied().cloned().collect(),
        })
    }
}

impl Held {
    /// Takes note of a cutover's entry.
    pub(super) fn note(&mut self, entry: &Envelope, after: &State) {
        let name = &entry.cutover;
        if let Event::PageSent { of, .. } = &entry.event {
            let begun = self.begun.get_mut(name).and_then(|all| all.get_mut(of));
            if let Some(begun) = begun {
                begun.delivered = true;
            }
        }
        if let Event::StepHeld { because } = &entry.event {
            let paging = because.iter().filter(|reason| reason.pages());
            let paging: Vec<HoldReason> = paging.cloned().collect();
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
        let fresh = paging
            .iter()
            .filter(|reason| !known.contains(&reason.subject()));
        let reasons: Vec<HoldReason> = fresh.cloned().collect();
        // What is a cutover's own matter pages by itself, and says the rest with it.
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
        // What was told one by one long ago is compared with nothing any more.
        let old = |begun: &Begun| entry.at.duration_since(begun.at) > WITHIN * 2;
        of.retain(|_, begun| !(begun.delivered && begun.told_by.is_empty() && old(begun)));
        of.insert(entry.seq, begun);
    }

    /// The fleet's entries that page for all that is new in an entry.
    fn told_by(&self, begun: &Begun) -> BTreeSet<u64> {
        let told = |reason: &HoldReason| {
            let cause = reason.common()?;
            let mut told = self.told.iter();
            let found = told.find(|(_, told)| told.has(&cause, begun.at))?;
            Some(*found.0)
        };
        let all: Option<BTreeSet<u64>> = begun.reasons.iter().map(told).collect();
        all.unwrap_or_default()
    }

    /// Takes note that the fleet pages for a cause.
    pub(super) fn tell(&mut self, entry: &Envelope, reason: &HoldReason, since: Timestamp) {
        let Some(cause) = reason.common() else {
            return;
        };
        let mut told = Told {
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

    /// What the fleet is to page for: a cause that several cutovers have, one at least of which nobody was told of yet.
    pub(super) fn news(&self) -> Option<(HeldTogether, Timestamp)> {
        let mut first: BTreeMap<HoldReason, Timestamp> = BTreeMap::new();
        let open = self.begun.values().flat_map(BTreeMap::values);
        for begun in open.filter(|begun| begun.is_open()) {
            for cause in begun.reasons.iter().filter_map(HoldReason::common) {
                if !self.told.values().any(|told| told.has(&cause, begun.at)) {
                    let at = first.entry(cause).or_insert(begun.at);
                    *at = begun.at.min(*at);
                }
            }
        }
        first.into_iter().find_map(|(cause, since)| {
            let mut held = BTreeMap::new();
            for (name, begun) in &self.begun {
                let near = |begun: &&Begun| begun.at.duration_since(since).abs() <= WITHIN;
                let reason = begun
                    .values()
                    .filter(near)
                    .find_map(|begun| begun.by(&cause));
                held.extend(reason.map(|reason| (name, reason)));
            }
            Some((HeldTogether::of(&held)?, since))
        })
    }
}

impl Fleet {
    /// The entries of `@fleet` that page for all that is new in a cutover's entry; none where it pages by itself.
    pub fn paged_by(&self, name: &CutoverName, seq: u64) -> Option<&BTreeSet<u64>> {
        let begun = self.held.begun.get(name)?.get(&seq)?;
        Some(&begun.told_by).filter(|told| !told.is_empty())
    }

    /// An entry of `@fleet` that pages for cutovers.
    pub fn told(&self, seq: u64) -> Option<&Envelope> {
        Some(&self.held.told.get(&seq)?.entry)
    }

    /// The cutovers that an entry of `@fleet` told of, in the stead of their own streams.
    pub fn held_by(&self, seq: u64) -> impl Iterator<Item = &CutoverName> {
        let told = self.held.told.get(&seq);
        let together = told.into_iter().flat_map(|told| &told.members);
        together.chain(self.damage_told(seq))
    }

    /// The cutovers that now wait for a person together, by cause.
    pub fn held_together(&self) -> Vec<HeldTogether> {
        let mut causes: BTreeMap<HoldReason, BTreeMap<&CutoverName, &HoldReason>> = BTreeMap::new();
        for (name, reasons) in &self.held.holding {
            for reason in reasons {
                if let Some(cause) = reason.common() {
                    causes
                        .entry(cause)
                        .or_default()
                        .entry(name)
                        .or_insert(reason);
                }
            }
        }
        causes.values().filter_map(HeldTogether::of).collect()
    }
}
