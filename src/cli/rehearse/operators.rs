//! The people of a rehearsal: they approve, pause, resume and roll back as the scenario says.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::play::wait;
use crate::engine::commands::{self, RollbackNeed};
use crate::engine::event::{Event, RevertMode};
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::ports::{Append, Clock, Journal, NewEntry};
use crate::scenario::What;
use crate::sim::stage::doors::StageJournal;
use crate::sim::stage::{SharedStage, Stage, lock};
use crate::sim::world::SimClock;

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Pause,
    Resume,
    Rollback,
    RollbackForced,
    Approve,
}

/// Something that a person will do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    /// The fault's index, or the number of the entry that waits for approval.
    of: u64,
    act: Act,
    cutover: CutoverName,
}

/// Does what people do, for ever.
pub(super) async fn act<T>(
    journal: &StageJournal,
    stage: &SharedStage,
    clock: &SimClock,
    mut heard: watch::Receiver<u64>,
) -> T {
    let mut done: BTreeSet<Due> = BTreeSet::new();
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

/// What people will do as far as that is known, the next first.
fn agenda(stage: &Stage) -> impl Iterator<Item = Due> + use<> {
    let mut agenda = BTreeSet::new();
    let mut patience: Option<SignedDuration> = None;
    for (of, trouble) in (0..).zip(stage.troubles()) {
        let act = match trouble.fault.what {
            What::Pause => Act::Pause,
            What::Resume => Act::Resume,
            What::Rollback => Act::Rollback,
            What::RollbackForced => Act::RollbackForced,
            What::ApproveAfter(after) => {
                patience = Some(patience.map_or(after, |before| before.max(after)));
                continue;
            }
            _ => continue,
        };
        for state in stage.states().filter(|it| trouble.concerns(&it.name)) {
            let mut add = |at: Option<Timestamp>, act| {
                let cutover = state.name.clone();
                agenda.extend(at.map(|at| Due {
                    at,
                    of,
                    act,
                    cutover,
                }));
            };
            add(trouble.from, act);
            if act == Act::Pause {
                add(trouble.until, Act::Resume);
            }
        }
    }
    agenda.extend(stage.states().filter_map(|state| approval(state, patience)));
    agenda.into_iter()
}

/// The approval that a cutover waits for.
fn approval(state: &State, patience: Option<SignedDuration>) -> Option<Due> {
    let waits = |reason: &HoldReason| match reason {
        HoldReason::Approval { step } if !state.is_approved(*step) => Some(*step),
        _ => None,
    };
    let step = state.held.iter().find_map(waits)?;
    let since = state.held_at?;
    Some(Due {
        at: since.saturating_add(patience.unwrap_or_default()).ok()?,
        of: u64::from(step),
        act: Act::Approve,
        cutover: state.name.clone(),
    })
}

/// Does one thing. False if somebody else wrote first: then it is looked at again.
async fn perform(journal: &StageJournal, stage: &SharedStage, now: Timestamp, due: &Due) -> bool {
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
