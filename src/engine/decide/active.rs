//! What every unfinished phase has in common: a person's rollback, the plan file, the gates, drift.

use std::collections::BTreeMap;

use super::View;
use super::advance;
use super::holds;
use super::hooks;
use super::jobs;
use super::shifting;
use super::turn;
use super::watching;
use super::{Decision, Order};
use crate::engine::around::{self, AliasTtl, AliasTtls, AroundReading};
use crate::engine::event::{Event, RevertMode};
use crate::engine::evidence::gate::GateId;
use crate::engine::evidence::judge;
use crate::engine::hold::{HaltReason, HoldReason, RevertCause};
use crate::engine::observation::FileReading;
use crate::engine::plan::{HoldOrRevert, PlanSource};
use crate::engine::record::GroupImage;
use crate::engine::state::Phase;
use crate::engine::verdict::{self, Judgement};

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
    let intends = |event: &Event| matches!(event, Event::WeightChangeIntended { .. });
    if !view.state.has_started() && decision.events.iter().any(intends) {
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

/// The TTLs of aliases that the journal does not know yet: with the start, and when images with other aliases are there.
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
    let ttls = news.into_iter();
    let ttls = ttls.map(|((zone, target), ttl_secs)| AliasTtl {
        zone,
        target,
        ttl_secs,
    });
    Some(Event::AliasTtlsRead {
        ttls: ttls.collect(),
    })
}

/// What was counted for the gates of metrics, where something is decided by it: so that it can be judged again.
fn counted(judgement: &Judgement, learned: &[Event], decision: &Decision) -> Option<Event> {
    let told = |event: &Event| matches!(event, Event::EvidenceCounted { .. });
    let weighs = |event: &Event| {
        matches!(
            event,
            Event::WeightChangeIntended { .. }
                | Event::StepCompleted { .. }
                | Event::RevertIntended { .. }
                | Event::Halted { .. }
                | Event::Completed { .. }
        )
    };
    let tally = judgement.weighed.settled.as_ref()?;
    let wanted = decision.events.iter().any(weighs) && !learned.iter().any(told);
    wanted.then(|| Event::EvidenceCounted {
        tally: Box::new(tally.clone()),
    })
}

/// What the gates say. A revert reads no alarms (semantics F1), and where drift halts it they decide nothing: that they were
/// not read is no Unknown then.
fn judged_now(view: &View<'_>) -> Judgement {
    let people_only = matches!(view.state.halt, Some(HaltReason::Drift { .. }));
    if people_only && view.observation.alarms.is_empty() {
        return Judgement::default();
    }
    verdict::judge(view.state, view.observation)
}

/// Whether something but the groups is ready for the next move, so that only they are missing.
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

/// Whether nothing but the bake, the approval and the phase keeps the next step from being taken. Asked last: it costs
/// more than all the rest.
fn is_clear(view: &View<'_>) -> bool {
    let judgement = verdict::judge(view.state, view.observation);
    holds::blockers(view, &judgement).is_empty()
}

fn asked_back(view: &View<'_>) -> Option<Event> {
    let rollback = view.state.rollback.as_ref()?;
    // A start that was given up may have been sent all the same: only reading back tells that nothing moved.
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

/// Before the first write the file is the plan; after it, only `amend` takes a changed one.
fn accept_plan(view: &View<'_>) -> Option<Event> {
    if view.state.phase != Phase::Waiting {
        return None;
    }
    let FileReading::Plan(source) = &view.observation.file else {
        return None;
    };
    // The path alone is no news: two machines may keep the same file at different places, and would take turns.
    let told_otherwise = source.plan.notify != view.state.plan().notify;
    let changed = source.digest != view.state.source.digest || told_otherwise;
    // A baseline binds the records: it would not fit others.
    let same_records = source.plan.moves_the_groups_of(view.state.plan());
    let fits =
        source.plan.name == view.state.name && (view.state.baseline.is_none() || same_records);
    (changed && fits).then(|| Event::PlanAccepted {
        source: Box::new(PlanSource::clone(source)),
    })
}

fn judged(view: &View<'_>, judgement: &Judgement) -> Decision {
    if let Some(event) = react(view, judgement) {
        return Decision {
            events: vec![event],
            ..Decision::default()
        };
    }
    if let Some(event) = drift(view) {
        // It may have begun right after the groups were last read.
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
        && !jobs::goes_back(view.state)
        && let Some(more) = jobs::forward(view, &blockers)
    {
        decision.add(more);
    }
    decision.because.extend(blockers);
    decision.gates_pass = watching::counts(view, judgement);
    let seen = judgement.weighed.observed;
    decision.observed_share = seen.and_then(|seen| seen.share);
    let thaws = view.fleet.frozen(view.now).and_then(|freeze| freeze.until);
    let wakes = decision.wake_at.into_iter().chain(thaws);
    decision.wake_at = wakes.chain(unknown_ends(view)).min();
    decision
}

/// Reopens the step that settles or bakes if a group was verified, or adopted, at another share than the step's: a bake
/// counts only at its own share (semantics L5).
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

/// When a gate will have been Unknown for too long.
fn unknown_ends(view: &View<'_>) -> Option<jiff::Timestamp> {
    let allowed = view.state.plan().gates.unknown_for;
    let ends = view.state.unknown.values().map(|since| *since + allowed);
    ends.filter(|at| *at > view.now).min()
}

/// The answer to a failing gate, or to one that could not be seen for too long.
fn react(view: &View<'_>, judgement: &Judgement) -> Option<Event> {
    if !view.state.has_started() || matches!(view.state.halt, Some(HaltReason::Drift { .. })) {
        return None;
    }
    if let Some((alarm, cause)) = judgement.failure() {
        return automatic_revert(view, judgement, cause.clone(), Some(alarm));
    }
    let timed_out = turn::timed_out(view);
    if let Some(event) = timed_out.and_then(|cause| automatic_revert(view, judgement, cause, None))
    {
        return Some(event);
    }
    let hook_failed = hooks::reverts(view);
    let reverted = hook_failed.and_then(|cause| automatic_revert(view, judgement, cause, None));
    if let Some(event) = reverted {
        return Some(event);
    }
    let (alarm, since) = holds::unknown_reverts(view, judgement)?;
    let cause = RevertCause::UnknownTooLong {
        alarm: alarm.clone(),
        since,
    };
    automatic_revert(view, judgement, cause, Some(&alarm))
}

/// Takes everything back, unless the old cluster is burning too: then a person decides (semantics C4).
pub(super) fn automatic_revert(
    view: &View<'_>,
    judgement: &Judgement,
    cause: RevertCause,
    gate: Option<&GateId>,
) -> Option<Event> {
    let closed = view.state.plan().gates.both_red == HoldOrRevert::Hold;
    let burning = judgement.fallbacks_red.first().map(GateId::from);
    let on_both = gate.filter(|gate| judgement.fails_on_both(gate)).cloned();
    let Some(fallback) = burning.or(on_both).filter(|_| closed) else {
        let write_id = view.next_write_id();
        let shared = gate.and_then(|_| view.fleet.shared_fate_at(&view.state.name, view.now));
        return Some(Event::RevertIntended {
            write_id,
            cause,
            mode: RevertMode::Swap,
            shared,
            seen: judge::attribution(view.state, &judgement.weighed, gate).map(Box::new),
        });
    };
    let reason = match (gate, cause) {
        (Some(gate), _) => HaltReason::BothRed {
            gate: gate.clone(),
            fallback,
        },
        (None, RevertCause::StepFailed { message }) => HaltReason::StepFailed {
            message,
            verified: view.state.verified_step > 0,
        },
        (None, _) => return None,
    };
    // The alarms of a fire may take turns: that it burns on both sides has been said.
    let said = match (&view.state.halt, &reason) {
        (Some(HaltReason::BothRed { .. }), HaltReason::BothRed { .. }) => true,
        (before, reason) => before.as_ref() == Some(reason),
    };
    (!said).then_some(Event::Halted { reason })
}

/// Finds a share that nobody verified in a cutover that waits for its start and has sent a write before: that write, or
/// somebody else's, has taken effect after all (I14).
fn begun_after_all(view: &View<'_>) -> Option<Event> {
    if view.state.phase != Phase::Waiting || view.state.intended.is_empty() {
        return None;
    }
    let mut drifted: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    for (index, wanted) in view.state.baseline.iter().flatten().enumerate() {
        let seen = view.image(index);
        let same = seen
            .as_ref()
            .is_some_and(|image| image.has_shares_of(wanted));
        if view.was_read(index) && !same {
            drifted.insert(index, seen);
        }
    }
    if drifted.is_empty() {
        return None;
    }
    Some(view.drift_detected(drifted))
}

/// What changed in the groups behind our back since the last look, or no longer is.
fn drift(view: &View<'_>) -> Option<Event> {
    let (Some(verified), None) = (&view.state.verified, &view.state.write) else {
        return begun_after_all(view);
    };
    // There the groups that were taken back differ from what was verified, by our own hand.
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
        } else if let Some(known) = view
            .state
            .drift
            .as_ref()
            .and_then(|drift| drift.get(&index))
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

fn halted(view: &View<'_>) -> Decision {
    let mut decision = shifting::left_over(view).unwrap_or_default();
    if let Some(reason) = &view.state.halt {
        decision.because.push(HoldReason::Halted {
            reason: reason.clone(),
        });
    }
    decision
}

impl Decision {
    pub(super) fn of(event: Event) -> Self {
        Self {
            events: vec![event],
            ..Self::default()
        }
    }

    pub(super) fn with_order(event: Event, order: Order) -> Self {
        Self {
            events: vec![event],
            order: Some(order),
            ..Self::default()
        }
    }

    /// Takes up what another part has to say.
    pub(super) fn add(&mut self, more: Self) {
        self.events.extend(more.events);
        self.errands.extend(more.errands);
        self.because.extend(more.because);
        self.wake_at = self.wake_at.into_iter().chain(more.wake_at).min();
    }

    pub(super) fn hold(reason: HoldReason) -> Self {
        Self {
            because: vec![reason],
            ..Self::default()
        }
    }
}
