//! Pages, and the entries that end them.
//!
//! People who were paged for something are told its end as well. Both follow from the journal in its order, so that they are
//! the same after a restart and for every controller.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Event;
use super::hold::HoldReason;

/// Something that people were paged for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paged {
    /// An event with this label: an automatic revert, a halt, a spent budget.
    Event(&'static str),
    /// A hold, with the numbers of its page.
    Hold(HoldReason),
}

impl Paged {
    /// The kinds of its page.
    pub fn kinds(&self) -> Vec<&'static str> {
        match self {
            Self::Event(label) => vec![label],
            Self::Hold(reason) => vec![STEP_HELD, reason.kind()],
        }
    }

    /// Its own kind: the event's label, or the kind of the hold.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Event(label) => label,
            Self::Hold(reason) => reason.kind(),
        }
    }
}

/// The label of the event that holds.
const STEP_HELD: &str = "step_held";

/// The pages whose cause is not over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenPages {
    events: BTreeSet<&'static str>,
    /// By subject.
    holds: BTreeMap<HoldReason, OpenHold>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenHold {
    reason: HoldReason,
    /// True if a revert or a halt came after it. Then the end of the hold is not told, but the end of those is.
    outdone: bool,
}

impl OpenPages {
    /// Returns true if no page is open.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.holds.is_empty()
    }

    /// Returns true if people were paged for a hold on this subject, and it is not over.
    pub fn has(&self, subject: &HoldReason) -> bool {
        self.holds.contains_key(subject)
    }

    /// Returns the open pages that an event ends.
    pub fn settled_by(&self, event: &Event) -> Vec<Paged> {
        let mut settled = Vec::new();
        if matches!(
            event,
            Event::Reverted { .. } | Event::Completed { .. } | Event::Abandoned { .. }
        ) {
            for label in &self.events {
                settled.push(Paged::Event(label));
            }
            for open in self.holds.values() {
                settled.push(Paged::Hold(open.reason.clone()));
            }
            return settled;
        }
        let held = matches!(event, Event::StepHeld { .. });
        for (subject, open) in &self.holds {
            if ends(event, subject) && !(open.outdone && held) {
                settled.push(Paged::Hold(open.reason.clone()));
            }
        }
        settled
    }

    /// Takes an event; `paging` are the holds in it that people are paged for, or were before they ended for a short while.
    pub fn take(&mut self, event: &Event, paging: &[HoldReason]) {
        for paged in self.settled_by(event) {
            match paged {
                Paged::Event(label) => drop(self.events.remove(label)),
                Paged::Hold(reason) => drop(self.holds.remove(&reason.subject())),
            }
        }
        for reason in paging {
            let open = OpenHold {
                reason: reason.clone(),
                outdone: false,
            };
            self.holds.insert(reason.subject(), open);
        }
        let turns = matches!(
            event,
            Event::RevertIntended { .. }
                | Event::RevertPerformedUnjournaled { .. }
                | Event::Halted { .. }
        );
        if turns && event.pages() {
            self.events.insert(event.label());
        }
        if turns || matches!(event, Event::RetryRequested { .. }) {
            for open in self.holds.values_mut() {
                open.outdone = turns;
            }
        }
    }
}

/// Returns true if an event ends a hold on this subject, even if the holds are journaled only later.
fn ends(event: &Event, subject: &HoldReason) -> bool {
    if let Event::StepHeld { because } = event {
        return !because.iter().any(|reason| reason.subject() == *subject);
    }
    if let Event::StepApproved { step, .. } = event {
        return subject.asks_approval() == Some(*step);
    }
    if let (Event::GateKnown { alarm: gate }, HoldReason::UnknownTooLong { alarm, .. }) =
        (event, subject)
    {
        return gate == alarm;
    }
    let drift_is_over = matches!(event, Event::DriftCleared {} | Event::DriftAdopted { .. });
    drift_is_over && matches!(subject, HoldReason::Drift { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(because: &[HoldReason]) -> Event {
        Event::StepHeld {
            because: because.to_vec(),
        }
    }

    fn kinds(settled: &[Paged]) -> Vec<&'static str> {
        settled.iter().map(Paged::kind).collect()
    }

    #[test]
    fn an_approval_that_is_given_settles_its_page_and_no_other() {
        let mut open = OpenPages::default();
        let asked = [HoldReason::Approval { step: 2 }];
        open.take(&held(&asked), &asked);
        let approved = |step| Event::StepApproved {
            step,
            pair: crate::units::WeightPair::new(50, 50),
            bake_secs: 60,
            reason: "seen".to_owned(),
            caller_arn: None,
        };
        assert!(open.settled_by(&approved(3)).is_empty());
        assert_eq!(kinds(&open.settled_by(&approved(2))), ["approval"]);
        open.take(&approved(2), &[]);
        assert!(open.is_empty());
    }

    #[test]
    fn the_end_of_a_revert_settles_all_and_what_it_outdid_is_not_said_to_be_over_before() {
        let mut open = OpenPages::default();
        let asked = [HoldReason::Approval { step: 2 }];
        open.take(&held(&asked), &asked);
        let revert = Event::Halted {
            reason: crate::hold::HaltReason::Invariant {
                message: "x".to_owned(),
            },
        };
        open.take(&revert, &[]);
        assert!(open.settled_by(&held(&[])).is_empty());
        let end = Event::Reverted { cancelled: false };
        assert_eq!(kinds(&open.settled_by(&end)), ["halted", "approval"]);
        assert_eq!(
            Paged::Hold(asked[0].clone()).kinds(),
            ["step_held", "approval"]
        );
    }
}
