//! Many cutovers that wait for a person at once: most likely there is one cause ([`HoldReason::common`]).

use std::collections::BTreeMap;

use super::shared_fate::SERVICES_MIN;
use crate::event::{Envelope, Event};
use crate::hold::HoldReason;
use crate::lists::NAMED_MAX;
use crate::state::State;
use crate::units::CutoverName;

/// The holds that page, of each cutover as last journaled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holding(BTreeMap<CutoverName, Vec<HoldReason>>);

/// Several cutovers that are held at the same time, probably by one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTogether {
    /// The hold of the first cutover in `named`.
    pub reason: HoldReason,
    /// The number of cutovers that are held.
    pub services: usize,
    /// The first of these cutovers by name, at most [`NAMED_MAX`].
    pub named: Vec<CutoverName>,
}

impl HeldTogether {
    fn of(held: &BTreeMap<&CutoverName, &HoldReason>) -> Option<Self> {
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

impl Holding {
    /// Folds a cutover's entry. `after` is the cutover's state after it.
    pub(super) fn note(&mut self, entry: &Envelope, after: &State) {
        if let Event::StepHeld { because } = &entry.event {
            let mut paging = because.clone();
            paging.retain(HoldReason::pages);
            self.0.insert(entry.cutover.clone(), paging);
        }
        if after.held.is_empty() || after.phase.is_final() {
            self.0.remove(&entry.cutover);
        }
    }

    /// The cutovers that now wait for a person together, by cause.
    pub(super) fn together(&self) -> Vec<HeldTogether> {
        let mut causes: BTreeMap<HoldReason, BTreeMap<&CutoverName, &HoldReason>> = BTreeMap::new();
        for (name, reasons) in &self.0 {
            for reason in reasons {
                if let Some(cause) = reason.common() {
                    let held = causes.entry(cause).or_default();
                    held.entry(name).or_insert(reason);
                }
            }
        }
        causes.values().filter_map(HeldTogether::of).collect()
    }
}
