//! Decisions that all unfinished phases have in common: a person's rollback, the plan file, the gates and drift.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::automatic::automatic_revert;
use super::decision::Decision;
use super::view::View;
use super::{advance, holds, hooks, jobs, shifting, turn, watching};
use crate::around::{self, AliasTtl, AliasTtls, AroundReading};
use crate::event::{Event, RevertMode};
use crate::hold::{HaltReason, HoldReason, RevertCause};
use crate::observation::FileReading;
use crate::plan::PlanSource;
use crate::record::GroupImage;
use crate::state::Phase;
use crate::verdict::{self, GateJudgements};

/// Decides about a cutover that is neither over nor reverting.
pub(super) fn decide(view: &View<'_>) -> Decision {
    if let Some(event) = asked_back(view).or_else(|| accept_plan(view)) {
        return Decision {
            events: vec![event],
            ..Decision::default()
        };
    }
    let mut judgement = judged_now(view);
    let mut learned = std::mem::take(&mut judgement.events);
    let mut decision = judged(view, &judgement);
    if !view.state.has_started() && decision.takes_a_step() {
        learned.extend(verdict::seen_before_start(
            view.state,
            view.observation,
            view.now,
        ));
    }
    learned.extend(alias_ttls(view, &decision));
    if let Some(counted) = counted(&judgement, &learned, &decision) {
        learned.push(counted);
    }
    decision.events.splice(0..0, learned);
    decision
}

/// Returns the TTLs of aliases that the journal does not have yet: at the start, and when other aliases are read later.
/// `None` if there are none.
fn alias_ttls(view: &View<'_>, decision: &Decision) -> Option<Event> {
    if !view.state.has_started() && !decision.takes_a_step() {
        return None;
    }
    let mut news = AliasTtls::new();
    for (index, reading) in view.observation.around.iter().enumerate() {
        if let AroundReading::Read(around) = reading
            && let Some(image) = view.image(index)
        {
            news.extend(around::alias_ttls(&image, &around.records));
        }
    }
    news.retain(|target, ttl| view.state.alias_ttls.get(target) != Some(ttl));
    if news.is_empty() {
        return None;
    }
    let mut ttls = Vec::new();
    for ((zone, target), ttl_secs) in news {
        ttls.push(AliasTtl {
            zone,
            target,
            ttl_secs,
        });
    }
    Some(Event::AliasTtlsRead { ttls })
}

/// Returns the counts of the metric gates if something is decided by them, so that the decision can be checked later.
/// `None` otherwise.
fn counted(judgement: &GateJudgements, learned: &[Event], decision: &Decision) -> Option<Event> {
    let tally = judgement.weighed.settled.as_ref()?;
    let already = learned
        .iter()
        .any(|event| matches!(event, Event::EvidenceCounted { .. }));
    if already || !decision.events.iter().any(rests_on_counts) {
        return None;
    }
    Some(Event::EvidenceCounted {
        tally: Box::new(tally.clone()),
    })
}

/// Returns true if an event may have been decided by the counts of metric gates.
fn rests_on_counts(event: &Event) -> bool {
    matches!(
        event,
        Event::WeightChangeIntended { .. }
            | Event::StepCompleted { .. }
            | Event::RevertIntended { .. }
            | Event::Halted { .. }
            | Event::Completed { .. }
    )
}

/// Judges the gates. If drift halts the cutover, only people decide. The gates then do nothing, and alarms that are not
/// read must not count as Unknown.
fn judged_now(view: &View<'_>) -> GateJudgements {
    let people_only = matches!(view.state.halt, Some(HaltReason::Drift { .. }));
    if people_only && view.observation.alarms.is_empty() {
        return GateJudgements::default();
    }
    verdict::judge(view.state, view.observation)
}

/// Returns true if the next decision needs a reading of the groups and nothing else.
pub(super) fn wants_groups(view: &View<'_>) -> bool {
    match view.state.phase {
        Phase::Waiting => turn::wait(view, 1).is_none(),
        Phase::Settling => watching::lacks_a_change(view),
        Phase::Baking => {
            view.state.skip_requested.is_some()
                || view.state.write.is_some()
                || (watching::bake_is_over(view)
                    && !watching::waits_for_its_turn(view)
                    && is_clear(view))
        }
        Phase::Halted => view.state.write.is_some(),
        Phase::Shifting
        | Phase::Completed
        | Phase::Reverting
        | Phase::Reverted
        | Phase::Abandoned => false,
    }
}

/// Returns true if the next step is blocked only by its bake, approval or phase. Call this last, because it costs more
/// than the other checks.
fn is_clear(view: &View<'_>) -> bool {
    let judgement = verdict::judge(view.state, view.observation);
    holds::blockers(view, &judgement).is_empty()
}

/// Returns the event that a person's rollback causes: a revert, or a cancelled start. `None` if no rollback was
/// requested.
fn asked_back(view: &View<'_>) -> Option<Event> {
    let rollback = view.state.rollback.as_ref()?;
    // An abandoned start may still have been sent. Only reading back proves that nothing moved.
    let forced = rollback.mode == RevertMode::Force && view.state.baseline.is_some();
    if view.state.intended.is_empty() && !forced {
        return Some(Event::Reverted { cancelled: true });
    }
    let cause = RevertCause::Operator {
        actor: rollback.actor.clone(),
        reason: rollback.reason.clone(),
    };
    Some(Event::RevertIntended {
        write_id: view.next_write_id(),
        cause,
        mode: rollback.mode,
        shared: None,
        seen: None,
    })
}

/// Returns an event if the plan file has changed before the first write. After that only `amend` accepts a changed
/// plan.
fn accept_plan(view: &View<'_>) -> Option<Event> {
    if view.state.phase != Phase::Waiting {
        return None;
    }
    let FileReading::Plan(source) = &view.observation.file else {
        return None;
    };
    let state = view.state;
    if source.digest == state.source.digest && source.plan.notify == state.plan().notify {
        // A different path alone is no change: two machines may keep the file in two places.
        return None;
    }
    if source.plan.name != state.name {
        return None;
    }
    if state.baseline.is_some() && !source.plan.moves_the_groups_of(state.plan()) {
        // The baseline belongs to these records.
        return None;
    }
    Some(Event::PlanAccepted {
        source: Box::new(PlanSource::clone(source)),
    })
}

/// Decides by the judgement of the gates, and by the phase.
fn judged(view: &View<'_>, judgement: &GateJudgements) -> Decision {
    if let Some(event) = react(view, judgement) {
        return Decision {
            events: vec![event],
            ..Decision::default()
        };
    }
    if let Some(event) = drift(view) {
        // The drift may have begun right after the groups were last read.
        let read_at = view.observation.groups_read_at;
        let mut events = watching::stop_clock(view, view.observation.passed_at.min(read_at));
        events.push(event);
        return Decision {
            events,
            ..Decision::default()
        };
    }
    if let Some(event) = reopened(view) {
        return Decision::of(event);
    }
    let blockers = holds::blockers(view, judgement);
    let mut decision = match view.state.phase {
        Phase::Waiting => advance::start(view, &blockers),
        Phase::Shifting => shifting::decide(view, judgement, &blockers),
        Phase::Settling => watching::settle(view, judgement),
        Phase::Baking => {
            shifting::left_over(view).unwrap_or_else(|| watching::bake(view, judgement, &blockers))
        }
        Phase::Halted => halted(view),
        Phase::Completed | Phase::Reverting | Phase::Reverted | Phase::Abandoned => {
            Decision::default()
        }
    };
    if decision.events.is_empty()
        && decision.order.is_none()
        && !view.state.jobs_go_back()
        && let Some(more) = jobs::forward(view, &blockers)
    {
        decision.add(more);
    }
    decision.because.extend(blockers);
    decision.gates_pass = watching::counts(view, judgement);
    let seen = judgement.weighed.observed;
    decision.observed_share = seen.and_then(|seen| seen.share);
    if let Some(freeze) = view.fleet.frozen(view.now) {
        decision.wake_by(freeze.until);
    }
    decision.wake_by(unknown_ends(view));
    decision
}

/// Returns an event if a group was verified or adopted at another share than that of the step that settles or bakes.
/// The step is then reopened, because a bake counts only at its own share (semantics L5).
fn reopened(view: &View<'_>) -> Option<Event> {
    let watched = matches!(view.state.phase, Phase::Settling | Phase::Baking);
    let undecided = view.state.write.is_some() || view.state.drift.is_some();
    if !watched || undecided || view.state.is_at_its_share() {
        return None;
    }
    Some(Event::StepReopened {
        step: view.state.verified_step,
    })
}

/// Returns the next time at which a gate will have been Unknown for too long. `None` if no gate is Unknown, or if all
/// are overdue.
fn unknown_ends(view: &View<'_>) -> Option<Timestamp> {
    let allowed = view.state.plan().gates.unknown_for;
    let ends = view.state.unknown.values().map(|since| *since + allowed);
    ends.filter(|at| *at > view.now).min()
}

/// Returns a revert or a halt because of a failing gate, an overdue approval, a failed hook, or a gate that was Unknown
/// for too long. `None` if there is no reason for either.
fn react(view: &View<'_>, judgement: &GateJudgements) -> Option<Event> {
    if !view.state.has_started() || matches!(view.state.halt, Some(HaltReason::Drift { .. })) {
        return None;
    }
    if let Some((gate, cause)) = judgement.failure() {
        return automatic_revert(view, judgement, cause.clone(), Some(gate));
    }
    if let Some(cause) = turn::timed_out(view)
        && let Some(event) = automatic_revert(view, judgement, cause, None)
    {
        return Some(event);
    }
    if let Some(cause) = hooks::reverts(view)
        && let Some(event) = automatic_revert(view, judgement, cause, None)
    {
        return Some(event);
    }
    let (gate, since) = holds::unknown_reverts(view, judgement)?;
    let cause = RevertCause::UnknownTooLong {
        alarm: gate.clone(),
        since,
    };
    automatic_revert(view, judgement, cause, Some(&gate))
}

/// Returns the drift of a cutover that waits for its start but has sent a write earlier. A group has a share that
/// nobody verified: that write, or one by somebody else, has taken effect after all (invariant I14).
fn begun_after_all(view: &View<'_>) -> Option<Event> {
    if view.state.phase != Phase::Waiting || view.state.intended.is_empty() {
        return None;
    }
    let mut drifted: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    for (index, wanted) in view.state.baseline.iter().flatten().enumerate() {
        let seen = view.image(index);
        let same = match &seen {
            Some(image) => image.has_shares_of(wanted),
            None => false,
        };
        if view.was_read(index) && !same {
            drifted.insert(index, seen);
        }
    }
    if drifted.is_empty() {
        return None;
    }
    Some(view.drift_detected(drifted))
}

/// Returns an event if somebody else changed the groups since they were last verified, or if such a change is gone.
fn drift(view: &View<'_>) -> Option<Event> {
    let (Some(verified), None) = (&view.state.verified, &view.state.write) else {
        return begun_after_all(view);
    };
    // In a halted revert some groups differ from the verified images because this attempt took them back.
    if matches!(view.state.halt, Some(HaltReason::Drift { .. })) {
        return None;
    }
    let mut drifted: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    for (index, image) in verified.iter().enumerate() {
        if view.was_read(index) {
            let seen = view.image(index);
            if seen.as_ref() != Some(image) {
                drifted.insert(index, seen);
            }
        } else if let Some(drift) = &view.state.drift
            && let Some(known) = drift.get(&index)
        {
            drifted.insert(index, known.clone());
        }
    }
    match (&view.state.drift, drifted.is_empty()) {
        (Some(_), true) => Some(Event::DriftCleared {}),
        (None, true) => None,
        (known, false) => {
            let event = view.drift_detected(drifted);
            let same = match (&event, known) {
                (Event::DriftDetected { groups, members }, Some(known)) => {
                    groups == known && *members == view.state.found
                }
                _ => false,
            };
            if same { None } else { Some(event) }
        }
    }
}

/// Decides about a halted cutover: it only resolves a write that is left over.
fn halted(view: &View<'_>) -> Decision {
    let mut decision = shifting::left_over(view).unwrap_or_default();
    if let Some(reason) = &view.state.halt {
        decision.because.push(HoldReason::Halted {
            reason: reason.clone(),
        });
    }
    decision
}
