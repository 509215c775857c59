//! The people of a rehearsal: they approve, pause, resume and roll back as the scenario says.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::wait::wait;
use crate::engine::commands::{self, RollbackNeed};
use crate::engine::event::{Event, RevertMode};
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::ports::{Append, Clock, Journal, NewEntry};
use crate::scenario::{FaultKind, PersonAct};
use crate::sim::stage::doors::StageJournal;
use crate::sim::stage::{SharedStage, Stage, lock};
use crate::sim::world::SimClock;

/// An action of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Pause,
    Resume,
    Rollback,
    RollbackForced,
    Approve,
}

/// An action, its cutover, and the time at which a person takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct DueAct {
    at: Timestamp,
    /// The index of the fault, or the number of the step that waits for approval.
    of: u64,
    act: Act,
    cutover: CutoverName,
}

/// Takes the actions of people when they are due. Never returns.
pub(super) async fn act<T>(
    journal: &StageJournal,
    stage: &SharedStage,
    clock: &SimClock,
    mut heard: watch::Receiver<u64>,
) -> T {
    let mut done: BTreeSet<DueAct> = BTreeSet::new();
    loop {
        let due = agenda(&lock(stage)).find(|due| !done.contains(due));
        let now = clock.now();
        match due {
            Some(due) if due.at <= now => {
                if perform(journal, stage, now, &due).await {
                    done.insert(due);
                }
            }
            due => wait(due.map(|due| due.at), clock, &mut heard).await,
        }
    }
}

/// Returns the actions that are known so far, the earliest first.
fn agenda(stage: &Stage) -> impl Iterator<Item = DueAct> + use<> {
    let mut agenda = BTreeSet::new();
    let mut patience: Option<SignedDuration> = None;
    for (of, trouble) in (0..).zip(stage.troubles()) {
        let FaultKind::Person(person) = trouble.fault.kind else {
            continue;
        };
        if let PersonAct::ApproveAfter(after) = person {
            patience = Some(patience.map_or(after, |before| before.max(after)));
        }
        let Some(act) = act_of(person) else {
            continue;
        };
        let mut acts = vec![(trouble.from, act)];
        if act == Act::Pause {
            acts.push((trouble.until, Act::Resume));
        }
        for state in stage.states().filter(|it| trouble.concerns(&it.name)) {
            for (at, act) in &acts {
                if let Some(at) = *at {
                    agenda.insert(DueAct {
                        at,
                        of,
                        act: *act,
                        cutover: state.name.clone(),
                    });
                }
            }
        }
    }
    agenda.extend(stage.states().filter_map(|state| approval(state, patience)));
    agenda.into_iter()
}

/// Returns what a person does. Approvals depend on the cutover and are left to [`approval`].
fn act_of(person: PersonAct) -> Option<Act> {
    match person {
        PersonAct::Pause => Some(Act::Pause),
        PersonAct::Resume => Some(Act::Resume),
        PersonAct::Rollback => Some(Act::Rollback),
        PersonAct::RollbackForced => Some(Act::RollbackForced),
        PersonAct::ApproveAfter(_) => None,
    }
}

/// Returns the approval of the step that waits for one, due `patience` after the wait began; `None` if no step waits.
fn approval(state: &State, patience: Option<SignedDuration>) -> Option<DueAct> {
    let mut waiting = None;
    for reason in &state.held {
        if let HoldReason::Approval { step } = reason
            && !state.is_approved(*step)
        {
            waiting = Some(*step);
            break;
        }
    }
    let step = waiting?;
    let since = state.held_at?;
    Some(DueAct {
        at: since.saturating_add(patience.unwrap_or_default()).ok()?,
        of: u64::from(step),
        act: Act::Approve,
        cutover: state.name.clone(),
    })
}

/// Takes one action. Returns false if somebody else appended first; the caller then tries again.
async fn perform(
    journal: &StageJournal,
    stage: &SharedStage,
    now: Timestamp,
    due: &DueAct,
) -> bool {
    let found = lock(stage)
        .states()
        .find(|state| state.name == due.cutover)
        .cloned();
    let Some(state) = found else {
        return true;
    };
    let reason = "rehearsed";
    let event = match due.act {
        Act::Pause => commands::pause(&state, Some(reason)).ok(),
        Act::Resume => commands::resume(&state, Some(reason)).ok(),
        Act::Approve => commands::approve(&state, None, "approved by the rehearsal").ok(),
        Act::Rollback => rollback(&state, RevertMode::Swap),
        Act::RollbackForced => rollback(&state, RevertMode::Force),
    };
    let Some(event) = event else {
        return true;
    };
    let entry = NewEntry {
        cutover: state.name.clone(),
        attempt: state.attempt,
        at: now,
        actor: "operator@rehearsal".to_owned(),
        event,
    };
    let append = Append {
        expect: vec![(state.name.clone(), state.seq)],
        append_id: format!("{:?} {} {}", due.act, state.name, state.seq),
        entries: vec![entry],
    };
    journal.append(append).await.is_ok()
}

fn rollback(state: &State, mode: RevertMode) -> Option<Event> {
    match commands::rollback(state, mode, false, Some("rehearsed")) {
        Ok(RollbackNeed::Request(event)) => Some(*event),
        Ok(RollbackNeed::UnderWay | RollbackNeed::Ended) | Err(_) => None,
    }
}
