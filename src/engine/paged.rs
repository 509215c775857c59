//! What people were woken for, and what tells them that it is over.
//!
//! Whoever was woken for something is told its end as well. Both follow from the journal in its order, so that they are the
//! same after a restart and for every controller.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Envelope, Event};
use super::hold::HoldReason;

/// Something that somebody was woken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paged {
    /// An event with this label: a revert that began by itself, a halt, a budget that was spent.
    Event(&'static str),
    /// A hold, with the numbers that it was told with.
    Hold(HoldReason),
}

impl Paged {
    /// The words that its page went by.
    pub fn kinds(&self) -> Vec<&'static str> {
        match self {
            Self::Event(label) => vec![label],
            Self::Hold(reason) => vec![STEP_HELD, reason.kind()],
        }
    }

    /// Its own word: the event's label, or the kind of the hold.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Event(label) => label,
            Self::Hold(reason) => reason.kind(),
        }
    }
}

/// The label of an entry that says why nothing moves.
const STEP_HELD: &str = "step_held";

/// An entry by which something that woke people is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The entry.
    pub entry: Envelope,
    /// What is over.
    pub of: Vec<Paged>,
}

/// What people were woken for and is not over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenPages {
    events: BTreeSet<&'static str>,
    /// By subject.
    holds: BTreeMap<HoldReason, OpenHold>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenHold {
    reason: HoldReason,
    /// Whether a revert or a halt came after it. That it no longer holds is then no good news: the end of those is.
    outdone: bool,
}

impl OpenPages {
    /// Whether nothing that woke people is left.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.holds.is_empty()
    }

    /// Whether people were woken for a hold on this subject, and it is not over.
    pub fn has(&self, subject: &HoldReason) -> bool {
        self.holds.contains_key(subject)
    }

    /// What an event settles of it.
    pub fn settled_by(&self, event: &Event) -> Vec<Paged> {
        let over = matches!(
            event,
            Event::Reverted { .. } | Event::Completed { .. } | Event::Abandoned { .. }
        );
        if over {
            let events = self.events.iter().map(|label| Paged::Event(label));
            let holds = self.holds.values().map(|open| open.reason.clone());
            return events.chain(holds.map(Paged::Hold)).collect();
        }
        let over = self.holds.iter().filter(|(subject, open)| {
            ends(event, subject) && !(open.outdone && matches!(event, Event::StepHeld { .. }))
        });
        over.map(|(_, open)| Paged::Hold(open.reason.clone()))
            .collect()
    }

    /// Takes note of an event; `paging` are the holds in it that people are woken for, or were before they ended for a short
    /// while.
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

/// Whether a hold on this subject is over by an event, which may be known before the holds are said anew.
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
            pair: crate::engine::units::WeightPair::new(50, 50),
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
            reason: crate::engine::hold::HaltReason::Invariant {
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
