//! Did the traffic move with the weights, and is there enough of it to judge by? Holds, and never takes anything back.

use jiff::{SignedDuration, Timestamp};

use super::judge::{Said, unread};
use super::number::Number;
use super::plan::TrafficGate;
use super::reading::{Readings, SeriesReading};
use super::sequential::fixed::float;
use super::tally::{Tally, total};
use super::wanted::SHARE_OVER;
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::units::Share;
use crate::engine::verdict::Verdict;

/// The share is not judged before the bake is so old: a resolver that asked right before the change keeps its answer.
const SHARE_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The share is judged where by the weights so many requests had to come: fewer differ by half from chance alone.
const EXPECTED_MIN: f64 = 50.0;

/// Requests of both sides over some time, and the share that they make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The new side's.
    pub new_requests: u64,
    /// The old side's.
    pub old_requests: u64,
    /// The new side's share, in percent; none without any requests.
    pub share: Option<Number>,
    /// The first minute of them.
    pub from: Timestamp,
    /// The end of the last one.
    pub until: Timestamp,
}

/// The share of the requests in the last hour, or since the step's bake began; none where they were not read.
pub fn observed(state: &State, readings: &Readings) -> Option<Observed> {
    let gate = state.plan().gates.measures.traffic.as_ref()?;
    let mut ends = Vec::new();
    for query in gate.new.iter().chain(&gate.old) {
        match readings.get(query)? {
            SeriesReading::Read { until, .. } => ends.push(*until),
            SeriesReading::Unreadable(_) | SeriesReading::Denied(_) => return None,
        }
    }
    let until = ends.into_iter().min()?;
    let from = until.checked_sub(SHARE_OVER).ok()?;
    // While a step is written and settles there is no new bake yet: that is the share from the last change on.
    let since = state.measured.step_from.or(state.step_began_at);
    let from = from.max(since.unwrap_or(from)).min(until);
    let of = |queries| total(queries, readings, (from, until));
    let (new, old) = (of(&gate.new), of(&gate.old));
    let share = 100.0 * float(new) / float(new.saturating_add(old));
    Some(Observed {
        new_requests: new,
        old_requests: old,
        // Without any requests it is no number.
        share: Number::rounded(share),
        from,
        until,
    })
}

pub(super) fn judge(
    state: &State,
    readings: &Readings,
    gate: &TrafficGate,
    tally: Option<&Tally>,
    seen: Option<&Observed>,
) -> Said {
    let queries = gate.new.iter().chain(&gate.old);
    if let Some(why) = unread(queries, readings) {
        return Said::only(Verdict::Unknown(why));
    }
    let intended = state
        .plan()
        .step(state.verified_step)
        .map(|step| step.share);
    let (Some(since), Some(intended)) = (state.measured.step_from, intended) else {
        return Said::only(Verdict::Pass);
    };
    let elsewhere = seen.and_then(|seen| elsewhere(gate, seen, since, intended));
    if let Some(elsewhere) = elsewhere {
        return Said::only(Verdict::NotJudged(elsewhere));
    }
    let requests = tally.map_or(0, |tally| tally.new_requests);
    Said::only(if requests < gate.min_requests {
        Verdict::NotJudged(HoldReason::TooFewRequests {
            gate: TrafficGate::id(),
            requests,
            needed: Some(gate.min_requests),
        })
    } else {
        Verdict::Pass
    })
}

/// The traffic is not where the weights say, beyond what chance and resolvers make of it.
fn elsewhere(
    gate: &TrafficGate,
    seen: &Observed,
    since: Timestamp,
    intended: Share,
) -> Option<HoldReason> {
    let share = seen.share?;
    let wanted = intended.as_percent();
    let all = float(seen.new_requests.saturating_add(seen.old_requests));
    let early = seen.until.duration_since(since) < SHARE_AFTER;
    if early || all * wanted / 100.0 < EXPECTED_MIN {
        return None;
    }
    let off = (share.value() - wanted).abs() * 100.0 / wanted;
    (off > gate.share_within.value()).then(|| HoldReason::TrafficElsewhere {
        intended,
        observed: share,
        within: gate.share_within,
        new_requests: seen.new_requests,
        old_requests: seen.old_requests,
    })
}
