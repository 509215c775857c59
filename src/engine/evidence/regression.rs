//! Is the new side worse than the old one? The test is [`super::sequential`]'s; this is how it becomes a verdict.

use super::judge::{Said, unread};
use super::plan::RegressionGate;
use super::reading::Readings;
use super::sequential::Judgement;
use super::tally::Tally;
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::state::State;
use crate::engine::verdict::Verdict;

pub(super) fn judge(
    state: &State,
    readings: &Readings,
    gate: &RegressionGate,
    tally: Option<&Tally>,
) -> Said {
    let sides = [&gate.new, &gate.old];
    let queries = sides
        .iter()
        .flat_map(|side| side.requests.iter().chain(&side.errors));
    if let Some(why) = unread(queries, readings) {
        return Said::only(Verdict::Unknown(why));
    }
    let Some(run) = tally.and_then(|tally| tally.run.as_ref()) else {
        return Said::only(Verdict::Pass);
    };
    let id = RegressionGate::id();
    match gate.test.judge(run) {
        Judgement::Pass(_) => Said::only(Verdict::Pass),
        judgement @ Judgement::Fail(_) => Said::only(Verdict::Fail(RevertCause::Worse {
            gate: id,
            judgement: Box::new(judgement),
        })),
        // A step that has just been taken has shown nothing yet; its bake has not begun.
        Judgement::NotJudged(_) if state.measured.step_from.is_none() => Said::only(Verdict::Pass),
        // At 100 % the old side has no requests: there is nothing left to compare with, and what was seen before stands.
        Judgement::NotJudged(_) if old_is_idle(state) => Said::only(Verdict::Pass),
        Judgement::NotJudged(numbers) => {
            Said::only(Verdict::NotJudged(HoldReason::TooFewRequests {
                gate: id,
                requests: numbers.new.requests,
                needed: numbers.requests_needed,
            }))
        }
    }
}

/// Whether the old side gets nothing by the weights.
fn old_is_idle(state: &State) -> bool {
    let images = state.verified.as_ref();
    images.is_some_and(|images| images.iter().all(|image| image.pair().old.0 == 0))
}
