//! Is the new side worse than the old one? The test is [`super::sequential`]'s; this is how it becomes a verdict.

use super::judge::{Said, unread};
use super::plan::RegressionGate;
use super::reading::Readings;
use super::sequential::Judgement;
use super::tally::{Tally, came_at};
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
        // What was judged before the old side lost its requests stands; what was not never will be.
        Judgement::NotJudged(numbers) if state.old_is_idle() => {
            Said::only(Verdict::NotJudged(HoldReason::NeverCompared {
                gate: id,
                requests: numbers.new.requests,
            }))
        }
        Judgement::NotJudged(numbers) => {
            let (requests, needed) = (numbers.new.requests, numbers.requests_needed);
            let missing = needed.map(|needed| needed.saturating_sub(requests));
            let since = state.measured.step_from;
            let judged_at = missing
                .zip(since)
                .and_then(|(missing, since)| came_at(&gate.new.requests, readings, since, missing));
            Said::only(Verdict::NotJudged(HoldReason::TooFewRequests {
                gate: id,
                requests,
                needed,
                over_mins: None,
                judged_at,
            }))
        }
    }
}
