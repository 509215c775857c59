//! The gate that compares both sides. [`super::sequential`] does the test, and this module turns its judgement into a
//! verdict.

use super::counting::came_at;
use super::plan::RegressionGate;
use super::reading::Readings;
use super::sequential::Judgement;
use super::tally::Tally;
use super::verdict::{GateResult, Verdict, unread};
use crate::hold::{HoldReason, RevertCause};
use crate::state::State;

/// Judges the comparison of both sides. `tally` has the evidence so far.
pub(super) fn judge(
    state: &State,
    readings: &Readings,
    gate: &RegressionGate,
    tally: Option<&Tally>,
) -> GateResult {
    let sides = [&gate.new, &gate.old];
    let queries = sides
        .iter()
        .flat_map(|side| side.requests.iter().chain(&side.errors));
    if let Some(why) = unread(queries, readings) {
        return GateResult::only(Verdict::Unknown(why));
    }
    let Some(run) = tally.and_then(|tally| tally.run.as_ref()) else {
        return GateResult::only(Verdict::Pass);
    };
    let id = RegressionGate::id();
    match gate.test.judge(run) {
        Judgement::Pass(_) => GateResult::only(Verdict::Pass),
        judgement @ Judgement::Fail(_) => GateResult::only(Verdict::Fail(RevertCause::Worse {
            gate: id,
            judgement: Box::new(judgement),
        })),
        // A step that was just taken has shown nothing yet, because its bake has not begun.
        Judgement::NotJudged(_) if state.measured.step_from.is_none() => {
            GateResult::only(Verdict::Pass)
        }
        // A judgement from before the old side lost its requests stays valid. Without one there will never be any.
        Judgement::NotJudged(numbers) if state.old_is_idle() => {
            GateResult::only(Verdict::NotJudged(HoldReason::NeverCompared {
                gate: id,
                requests: numbers.new.requests,
            }))
        }
        Judgement::NotJudged(numbers) => {
            let (requests, needed) = (numbers.new.requests, numbers.requests_needed);
            let mut judged_at = None;
            if let (Some(needed), Some(since)) = (needed, state.measured.step_from) {
                let missing = needed.saturating_sub(requests);
                judged_at = came_at(&gate.new.requests, readings, since, missing);
            }
            GateResult::only(Verdict::NotJudged(HoldReason::TooFewRequests {
                gate: id,
                requests,
                needed,
                over_mins: None,
                judged_at,
            }))
        }
    }
}
