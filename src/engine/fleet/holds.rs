//! What the fleet keeps a cutover from. None of it is ever asked by a revert (I4).

use jiff::Timestamp;

use super::{Fleet, NAMED_MAX};
use crate::engine::hold::HoldReason;
use crate::engine::state::{Phase, State};

impl Fleet {
    /// Everything about the fleet that keeps this cutover from its next step.
    pub fn holds(&self, state: &State, now: Timestamp) -> Vec<HoldReason> {
        let mut reasons = self.holds_all(now);
        if state.phase == Phase::Waiting {
            reasons.extend(self.dependencies(state));
            reasons.extend(self.full(state));
        }
        reasons
    }

    /// Everything that keeps every cutover from its next step.
    pub fn holds_all(&self, now: Timestamp) -> Vec<HoldReason> {
        let mut reasons = Vec::new();
        if let Some(message) = &self.trouble {
            reasons.push(HoldReason::FleetUnreadable {
                message: message.clone(),
            });
        }
        if let Some(budget) = self.budget_spent() {
            reasons.push(HoldReason::BudgetSpent {
                spent: self.setbacks(),
                budget,
                since: self.resumed_at,
                reverted: self.set_back().take(NAMED_MAX).cloned().collect(),
                one_cause: self.shared_fate().is_some(),
            });
        }
        if let Some(freeze) = self.frozen(now) {
            reasons.push(HoldReason::Frozen {
                until: freeze.until,
                reason: freeze.reason.clone(),
            });
        }
        reasons
    }

    /// What a start waits for. A dependency that went back holds its dependents; it does not revert them (semantics I).
    fn dependencies(&self, state: &State) -> impl Iterator<Item = HoldReason> {
        state.plan().after.iter().filter_map(|on| {
            let member = self.member(on);
            let phase = member.map(|member| member.phase);
            // Where a damaged one stands now nobody knows.
            let damaged = self.damage(on).is_some();
            if phase == Some(Phase::Completed) && !damaged {
                return None;
            }
            Some(HoldReason::Dependency {
                on: on.clone(),
                phase,
                step: member.map_or(0, |member| member.step),
                steps: member.map_or(0, |member| member.steps),
                damaged,
            })
        })
    }

    fn full(&self, state: &State) -> Option<HoldReason> {
        let max = self.settings.max_in_flight?;
        let own = usize::from(self.in_flight.contains(&state.name));
        let in_flight = self.in_flight.len() - own;
        (in_flight >= usize::try_from(max).unwrap_or(usize::MAX))
            .then_some(HoldReason::FleetFull { in_flight, max })
    }
}
