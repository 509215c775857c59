//! The traffic gate: checks that the traffic follows the weights, and that there is enough of it. It holds steps, and
//! never reverts.

use jiff::{SignedDuration, Timestamp};

use super::counting::{came_at, covered, total};
use super::number::Number;
use super::plan::TrafficGate;
use super::reading::Readings;
use super::sequential::fixed::float;
use super::share::{Draws, Observed};
use super::tally::Tally;
use super::verdict::{GateResult, Verdict, unread};
use crate::hold::HoldReason;
use crate::state::State;
use crate::units::Share;

/// The time over which the share is observed: resolvers keep answers for minutes, so a shorter time tells little.
pub(super) const SHARE_OVER: SignedDuration = SignedDuration::from_hours(1);

/// The age of a bake at which the share is first judged. A resolver that asked right before the change keeps its answer
/// for some time.
const SHARE_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The number of requests that the new side must have had by the weights before the share is judged.
const EXPECTED_MIN: f64 = 50.0;

/// The number of minutes with uneven traffic that count as one minute. For example, push notifications bring most of an
/// hour's requests within a few minutes.
const UNEVEN: f64 = 3.0;

/// Returns the share of the requests in the last hour, or since the step's bake began if that is later. `None` if they
/// are not counted or were not read.
pub fn observed(state: &State, readings: &Readings) -> Option<Observed> {
    let gate = state.plan().gates.measures.traffic.as_ref()?;
    let until = covered(gate.new.iter().chain(&gate.old), readings)?;
    let from = until.checked_sub(SHARE_OVER).ok()?;
    // While a step is written and settles there is no new bake yet. Then this is the share since that step was first
    // intended.
    let since = state.measured.step_from.or(state.step_began_at);
    let from = from.max(since.unwrap_or(from)).min(until);
    let range = (from, until);
    let (new, old) = (
        total(&gate.new, readings, range),
        total(&gate.old, readings, range),
    );
    let share = 100.0 * float(new) / float(new.saturating_add(old));
    Some(Observed {
        new_requests: new,
        old_requests: old,
        // Without requests the share is not a number.
        share: Number::rounded(share),
        from,
        until,
    })
}

/// Judges the traffic gate. `seen` is the share of the last hour, and `tally` has the requests of the step.
pub(super) fn judge(
    state: &State,
    readings: &Readings,
    gate: &TrafficGate,
    tally: Option<&Tally>,
    seen: Option<&Observed>,
) -> GateResult {
    let queries = gate.new.iter().chain(&gate.old);
    if let Some(why) = unread(queries, readings) {
        return GateResult::only(Verdict::Unknown(why));
    }
    let intended = state
        .plan()
        .step(state.verified_step)
        .map(|step| step.share);
    let (Some(since), Some(intended)) = (state.measured.step_from, intended) else {
        return GateResult::only(Verdict::Pass);
    };
    if let Some(seen) = seen {
        let hour = Draws::of(state, readings, gate, seen);
        let step = tally.and_then(|tally| so_far(tally, hour, since));
        if let Some(elsewhere) = elsewhere(gate, seen, (hour, step), (since, intended)) {
            return GateResult::only(Verdict::NotJudged(elsewhere));
        }
    }
    let requests = tally.map_or(0, |tally| tally.new_requests);
    if requests >= gate.min_requests {
        return GateResult::only(Verdict::Pass);
    }
    let missing = gate.min_requests - requests;
    GateResult::only(Verdict::NotJudged(HoldReason::TooFewRequests {
        gate: TrafficGate::id(),
        requests,
        needed: Some(gate.min_requests),
        over_mins: None,
        judged_at: came_at(&gate.new, readings, since, missing),
    }))
}

/// Returns a hold if the traffic does not follow the weights, and neither chance nor resolvers explain it. `None`
/// otherwise.
fn elsewhere(
    gate: &TrafficGate,
    seen: &Observed,
    (hour, step): (Draws, Option<(Draws, f64)>),
    (since, intended): (Timestamp, Share),
) -> Option<HoldReason> {
    let share = seen.share?;
    let wanted = intended.as_percent();
    let age = seen.until.duration_since(since);
    if age < SHARE_AFTER {
        return None;
    }
    let after_mins = age.as_secs_f64() / 60.0;
    if !is_off(gate, share.value(), wanted) {
        return None;
    }
    // For the smallest shares an hour proves nothing, but the whole step does after some time.
    let step_proves = match step {
        Some((draws, share)) => {
            share < wanted
                && is_off(gate, share, wanted)
                && proves(draws, share, wanted, after_mins)
        }
        None => false,
    };
    if !step_proves && !proves(hour, share.value(), wanted, after_mins) {
        return None;
    }
    Some(HoldReason::TrafficElsewhere {
        intended,
        observed: share,
        within: gate.share_within,
        new_requests: seen.new_requests,
        old_requests: seen.old_requests,
    })
}

/// Returns true if a share is further from the intended one than the plan allows. Both are in percent.
fn is_off(gate: &TrafficGate, observed: f64, wanted: f64) -> bool {
    (observed - wanted).abs() * 100.0 / wanted > gate.share_within.value()
}

/// Returns true if there were enough requests, and the difference is more than chance explains. The shares are in
/// percent.
fn proves(draws: Draws, observed: f64, wanted: f64, after_mins: f64) -> bool {
    draws.requests * wanted / 100.0 >= EXPECTED_MIN
        && draws.rule_out_chance(observed / 100.0, wanted / 100.0, after_mins)
}

/// Returns the whole step so far, and the new side's share of it in percent. `None` without requests. The requests of
/// its single minutes are not stored, so only a part of the minutes count ([`UNEVEN`]).
fn so_far(tally: &Tally, hour: Draws, since: Timestamp) -> Option<(Draws, f64)> {
    let (new, old) = (float(tally.new_requests), float(tally.old_requests));
    let requests = new + old;
    if requests <= 0.0 {
        return None;
    }
    let minutes = tally.until.duration_since(since).as_secs_f64() / 60.0;
    let draws = Draws {
        requests,
        minutes: minutes.max(0.0) / UNEVEN,
        ..hour
    };
    Some((draws, 100.0 * new / requests))
}
