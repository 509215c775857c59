//! The switch of jobs: a side is switched on only if the other one was read off just now (I13).

use jiff::{SignedDuration, Timestamp};

use super::invariant::{Invariant, Violation, violation};
use crate::decide::{Decision, Errand};
use crate::event::Event;
use crate::jobs::JobSide;
use crate::observation::Observation;
use crate::state::State;

/// I13: jobs are switched on only if the other side was read off just now.
pub(super) fn decision(
    state: &State,
    observation: &Observation,
    decision: &Decision,
    now: Timestamp,
) -> Result<(), Violation> {
    for errand in &decision.errands {
        let Errand::Turn(turn) = errand else {
            continue;
        };
        let intended = decision.events.iter().any(
            |event| matches!(event, Event::JobTurnIntended { turn_id, .. } if *turn_id == turn.turn_id),
        );
        let side = turn.side;
        claim(side, intended, "without an entry in the journal")?;
        claim(side, state.jobs.turn.is_none(), "during another change")?;
        claim(
            side,
            !observation.beside.hushed,
            "although the journal is down",
        )?;
        if turn.on {
            other_side_is_off(state, observation, side, now)?;
        }
    }
    Ok(())
}

fn other_side_is_off(
    state: &State,
    observation: &Observation,
    side: JobSide,
    now: Timestamp,
) -> Result<(), Violation> {
    let off_at = state.jobs.off_at.filter(|at| *at <= now);
    claim(
        side,
        off_at.is_some(),
        "on before the other side's were read off",
    )?;
    let Some(switch) = &state.plan().jobs else {
        return Ok(());
    };
    let ran = side == JobSide::New || state.jobs.has_turned(JobSide::New);
    let wait = if ran {
        switch.wait
    } else {
        SignedDuration::ZERO
    };
    let since = off_at.map(|at| at + wait);
    for (other, _) in switch.halves() {
        if other.side == side {
            continue;
        }
        let reading = observation.beside.jobs.get(&other);
        let reading = reading.filter(|reading| Some(reading.asked_at) >= since);
        let look = reading.and_then(|reading| reading.look.as_ref().ok());
        let is_off = look.is_some_and(|look| !look.on);
        claim(
            side,
            is_off,
            "on without reading the other side off, after `wait`",
        )?;
        let rests = look.is_some_and(|look| !ran || look.running.unwrap_or(0) == 0);
        claim(side, rests, "on while the other side's still run")?;
    }
    Ok(())
}

fn claim(side: JobSide, holds: bool, message: &str) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    Err(violation(
        Invariant::I13,
        format!("the {side} side's jobs would be switched {message}"),
    ))
}
