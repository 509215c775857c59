//! The fleet's holds on a cutover. A revert never considers them (invariant I4).

use jiff::Timestamp;

use super::{Fleet, NAMED_MAX, as_count};
use crate::hold::HoldReason;
use crate::state::{Phase, State};

impl Fleet {
    /// Returns the fleet's holds on the next step of this cutover.
    pub fn holds(&self, state: &State, now: Timestamp) -> Vec<HoldReason> {
        let mut reasons = self.holds_all(now);
        if state.phase == Phase::Waiting {
            reasons.extend(self.dependencies(state));
            reasons.extend(self.full(state));
        }
        reasons
    }

    /// Returns the fleet's holds on the next step of every cutover.
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

    /// Returns the holds on a start by cutovers that must complete first. One that was reverted holds this start; it
    /// reverts nothing (semantics I4).
    fn dependencies(&self, state: &State) -> Vec<HoldReason> {
        let mut reasons = Vec::new();
        for on in &state.plan().after {
            let member = self.member(on);
            let phase = member.map(|member| member.phase);
            // The real state of a damaged cutover is not known.
            let damaged = self.damage(on).is_some();
            if phase == Some(Phase::Completed) && !damaged {
                continue;
            }
            reasons.push(HoldReason::Dependency {
                on: on.clone(),
                phase,
                step: member.map_or(0, |member| member.step),
                steps: member.map_or(0, |member| member.steps),
                damaged,
            });
        }
        reasons
    }

    /// Returns a hold if the largest allowed number of other cutovers is under way.
    fn full(&self, state: &State) -> Option<HoldReason> {
        let max = self.settings.max_in_flight?;
        let own = usize::from(self.in_flight.contains(&state.name));
        let in_flight = self.in_flight.len() - own;
        if in_flight < as_count(max) {
            return None;
        }
        Some(HoldReason::FleetFull { in_flight, max })
    }
}
