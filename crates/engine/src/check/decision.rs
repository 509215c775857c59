//! The check of a decision against the readings that it was made from, before it is journaled.

use jiff::{SignedDuration, Timestamp};

use super::armed;
use super::conditions::{
    READS_APART, approved, at_its_share, goes_on, in_its_window, zones_are_whole,
};
use super::invariant::{Invariant, Violation, violation};
use super::jobs;
use super::measures::{self, GateLook};
use crate::decide::{Decision, How, Order, Part, Purpose};
use crate::event::{Event, RevertMode, Target};
use crate::fleet::Fleet;
use crate::hold::{HaltReason, HoldReason};
use crate::observation::{
    AlarmReading, AlarmState, FileReading, GroupReading, HistoryReading, Observation,
};
use crate::plan::{AlarmGate, HoldOrRevert, NoData};
use crate::record::GroupImage;
use crate::state::{Phase, State};
use crate::units::WeightPair;

/// AWS's clock and ours may differ by this much (semantics D3).
const CLOCKS_DIFFER_BY: SignedDuration = SignedDuration::from_secs(60);

/// Reads must have failed for this long before a revert is written blindly (semantics A5).
const BLIND_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Two readings of a drift that halts a revert are this far apart (semantics M5).
const LOOKS_AGREE: SignedDuration = SignedDuration::from_secs(2);

/// Checks that a decision may be journaled and performed: I1, I2, I3, I5, I8, I9, I10, I13, I14, I15, and I11 for the live
/// loop.
///
/// # Errors
/// The first invariant that the decision would break.
pub fn decision(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    decision: &Decision,
    now: Timestamp,
) -> Result<(), Violation> {
    if fleet.damage(&state.name).is_some() {
        return is_left_alone(decision);
    }
    let now = now.max(state.last_at);
    failed_gates_are_answered(state, observation, decision)?;
    finished_is_quiet(state, decision)?;
    jobs::decision(state, observation, decision, now)?;
    armed::decision(state, observation, decision)?;
    for event in &decision.events {
        match event {
            Event::WeightChangeIntended { step, targets, .. } => {
                rise(state, observation, *step)?;
                fleet_allows(state, fleet, *step, now)?;
                window_is_open(state, *step, now)?;
                let whole = zones_are_whole(state, targets);
                claim(Invariant::I9, whole, || {
                    format!("step {step} would move a part of a zone")
                })?;
                let own = targets.iter().all(|target| is_own(state, target));
                claim(Invariant::I8, own, || {
                    format!("step {step} would move a record that the plan does not name")
                })?;
            }
            Event::StepCompleted { step } => bake_ended(state, observation, decision, *step, now)?,
            Event::GatesPassed {} | Event::BakeCounted { running: true, .. } => {
                let bakes = matches!(state.phase, Phase::Settling | Phase::Baking);
                claim(Invariant::I1, !bakes || at_its_share(state), || {
                    "a bake would count at another share than its step's".to_owned()
                })?;
            }
            Event::BakeSkipDecided { skipped: true, .. } | Event::Completed { .. } => {
                gates_are_green(state, observation)?;
            }
            Event::Reverted { cancelled: false } => {
                was_read_twice(state, observation)?;
                strays_are_named(state, observation, decision)?;
            }
            Event::Halted {
                reason: HaltReason::Drift { .. },
            } if state.phase == Phase::Reverting => drifted_twice(state, observation)?,
            _ => {}
        }
    }
    match &decision.order {
        Some(order) => parts_are_allowed(state, observation, decision, order, now),
        None => Ok(()),
    }
}

/// I15: nothing is journaled or done for a cutover whose stream cannot be followed, and the hold says so.
fn is_left_alone(decision: &Decision) -> Result<(), Violation> {
    let quiet = decision.events.is_empty()
        && decision.fleet.is_empty()
        && decision.order.is_none()
        && decision.errands.is_empty();
    claim(Invariant::I15, quiet, || {
        "a cutover with a damaged stream would be moved".to_owned()
    })?;
    let named = decision
        .because
        .iter()
        .any(|reason| matches!(reason, HoldReason::JournalDamaged { .. }));
    claim(Invariant::I15, named, || {
        "a cutover with a damaged stream would be shown as if nothing were wrong".to_owned()
    })
}

/// Returns true if a target would write the group of the plan that it names.
fn is_own(state: &State, target: &Target) -> bool {
    let Some(group) = state.plan().records.get(target.group) else {
        return false;
    };
    target.from.old.is_of(&group.name) && target.from.new.is_of(&group.name)
}

fn need(step: u16, holds: bool, what: &str) -> Result<(), Violation> {
    claim(Invariant::I1, holds, || {
        format!("step {step} would be taken {what}")
    })
}

/// I1 and I5: the present conditions of a rise.
fn rise(state: &State, observation: &Observation, step: u16) -> Result<(), Violation> {
    gates_are_green(state, observation)?;
    let goes_on = goes_on(state, step);
    let again = state.phase == Phase::Shifting && step == state.step;
    let next = state.phase == Phase::Baking && state.bake.over && step == state.verified_step + 1;
    let starts = state.phase == Phase::Waiting && step == 1;
    need(step, again || next || starts, "before its turn")?;
    need(step, state.paused.is_none(), "during a pause")?;
    need(step, state.halt.is_none(), "while halted")?;
    need(
        step,
        state.rollback.is_none(),
        "after a rollback was requested",
    )?;
    need(step, state.drift.is_none(), "over a drift")?;
    need(
        step,
        goes_on || approved(state, step),
        "without its approval",
    )?;
    let same_file = match &observation.file {
        FileReading::NotWatched => true,
        FileReading::Plan(source) => source.digest == state.source.digest,
        FileReading::Removed | FileReading::Unreadable(_) => false,
    };
    need(step, same_file, "although the plan file changed")?;
    let skew = observation.clock_skew.unwrap_or(SignedDuration::ZERO);
    need(step, skew.abs() <= CLOCKS_DIFFER_BY, "with a wrong clock")?;
    let fresh = (0..state.plan().records.len()).all(|index| was_read(observation, index));
    need(step, fresh, "without reading all groups in this round")
}

/// I1: the fleet's conditions of a rise.
fn fleet_allows(state: &State, fleet: &Fleet, step: u16, now: Timestamp) -> Result<(), Violation> {
    let thawed = match &fleet.freeze {
        Some(freeze) => freeze.until.is_some_and(|until| until <= now),
        None => true,
    };
    need(step, thawed, "while the fleet is frozen")?;
    need(step, fleet.trouble.is_none(), "without knowing the fleet")?;
    let spent = reaches(fleet.setbacks(), fleet.settings.failure_budget);
    need(step, !spent, "after the failure budget was spent")?;
    if state.phase != Phase::Waiting {
        return Ok(());
    }
    let full = reaches(fleet.in_flight(), fleet.settings.max_in_flight);
    need(step, !full, "although the most allowed are in flight")?;
    for on in &state.plan().after {
        let completed = fleet.member(on).map(|member| member.phase) == Some(Phase::Completed);
        need(
            step,
            completed,
            "before the cutover that it follows has completed",
        )?;
    }
    Ok(())
}

/// Returns true if a count has reached a limit that is set.
fn reaches(count: usize, limit: Option<u32>) -> bool {
    match limit.map(usize::try_from) {
        Some(Ok(limit)) => count >= limit,
        Some(Err(_)) | None => false,
    }
}

/// I1: the step's window is open now and, if the plan wants the whole bake inside, until the bake's end.
fn window_is_open(state: &State, step: u16, now: Timestamp) -> Result<(), Violation> {
    claim(Invariant::I1, in_its_window(state, step, now), || {
        format!("step {step} would be taken outside its window")
    })
}

/// I1: the whole bake was counted, or a person skipped it, with all gates passing now.
fn bake_ended(
    state: &State,
    observation: &Observation,
    decision: &Decision,
    step: u16,
    now: Timestamp,
) -> Result<(), Violation> {
    gates_are_green(state, observation)?;
    let skipped = decision
        .events
        .iter()
        .any(|event| matches!(event, Event::BakeSkipDecided { skipped: true, .. }));
    let running = match state.bake.running_since {
        Some(since) => ran_for(observation, since, now),
        None => SignedDuration::ZERO,
    };
    let wanted = state.plan().step(step).map(|step| step.bake);
    let counted = state.bake.counted + running;
    claim(Invariant::I1, at_its_share(state), || {
        format!("the bake of step {step} would end at another share than the step's")
    })?;
    let whole = skipped || wanted.is_some_and(|wanted| counted >= wanted);
    claim(Invariant::I1, whole, || {
        format!("the bake of step {step} would end after {counted:#}")
    })
}

/// The time that a bake has run since `since`: by the wall clock, and no longer than really passed, if this process has
/// measured that. The two clocks are never read at quite the same moment, so a second is allowed.
fn ran_for(observation: &Observation, since: Timestamp, now: Timestamp) -> SignedDuration {
    let by_wall = now.duration_since(since);
    match (observation.passed_at, observation.passed_for) {
        (Some(at), Some(really)) if since <= at => {
            let really = at.duration_since(since) + really + SignedDuration::from_secs(1);
            by_wall.min(really)
        }
        (Some(_) | None, Some(_) | None) => by_wall,
    }
}

fn gates_are_green(state: &State, observation: &Observation) -> Result<(), Violation> {
    for gate in &state.plan().gates.alarms {
        let look = look(state, observation, gate);
        let invariant = if look == GateLook::Blind {
            Invariant::I5
        } else {
            Invariant::I1
        };
        claim(invariant, look == GateLook::Green, || {
            format!("it would advance with {} {look:?}", gate.id)
        })?;
    }
    let gates = &state.plan().gates.measures;
    for gate in &gates.metrics {
        let (look, _) = measures::metric(state, &observation.series, gate);
        let invariant = if look == GateLook::Blind {
            Invariant::I5
        } else {
            Invariant::I1
        };
        claim(invariant, look == GateLook::Green, || {
            format!("it would advance with {} {look:?}", gate.name)
        })?;
    }
    let seen = measures::all_seen(state, &observation.series);
    claim(Invariant::I5, seen, || {
        "it would advance without having counted both sides".to_owned()
    })?;
    let enough = match &gates.traffic {
        Some(gate) => measures::enough_requests(state, &observation.series, gate),
        None => true,
    };
    claim(Invariant::I5, enough, || {
        "it would advance with too few requests on the new side".to_owned()
    })
}

/// I3: a failed gate is answered in the same decision, whatever else is decided.
fn failed_gates_are_answered(
    state: &State,
    observation: &Observation,
    decision: &Decision,
) -> Result<(), Violation> {
    let armed = match state.phase {
        Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => true,
        Phase::Waiting
        | Phase::Completed
        | Phase::Reverting
        | Phase::Reverted
        | Phase::Abandoned => false,
    };
    if !armed || state.first_write.is_none() {
        return Ok(());
    }
    let gates = &state.plan().gates;
    let (alone, on_both) = failed(state, observation);
    let shared = alone.is_none() && gates.both_red == HoldOrRevert::Hold;
    let Some(gate) = alone.or(on_both) else {
        return Ok(());
    };
    let burning = shared
        || gates.both_red == HoldOrRevert::Hold
            && gates.fallback_alarms.iter().any(|gate| {
                let reading = observation.alarms.get(&gate.id);
                is_alarm(reading) && !state.ignored.contains(&gate.id)
            });
    let answered = match &state.halt {
        Some(HaltReason::Drift { .. }) => true,
        Some(HaltReason::BothRed { .. }) if burning => true,
        Some(_) | None => decision.events.iter().any(|event| match event {
            Event::RevertIntended { .. } => true,
            Event::Halted { .. } => burning,
            _ => false,
        }),
    };
    claim(Invariant::I3, answered, || {
        format!("gate {gate} failed and nothing would be done")
    })
}

/// Returns the first gate that fails on the new side alone, and the first metric that fails on both sides.
fn failed(state: &State, observation: &Observation) -> (Option<String>, Option<String>) {
    let gates = &state.plan().gates;
    let (mut alone, mut on_both) = (None, None);
    for gate in &gates.alarms {
        if alone.is_none() && look(state, observation, gate) == GateLook::Red {
            alone = Some(gate.id.to_string());
        }
    }
    for gate in &gates.measures.metrics {
        let (look, old_too) = measures::metric(state, &observation.series, gate);
        if look != GateLook::Red {
            continue;
        }
        let first = if old_too { &mut on_both } else { &mut alone };
        if first.is_none() {
            *first = Some(gate.name.clone());
        }
    }
    (alone, on_both)
}

fn finished_is_quiet(state: &State, decision: &Decision) -> Result<(), Violation> {
    let over = match state.phase {
        Phase::Reverted => state.write.is_none() && state.rollback.is_none(),
        Phase::Completed => state.rollback.is_none(),
        Phase::Abandoned => true,
        Phase::Waiting
        | Phase::Shifting
        | Phase::Settling
        | Phase::Baking
        | Phase::Reverting
        | Phase::Halted => false,
    };
    let quiet =
        decision.events.is_empty() && decision.order.is_none() && decision.errands.is_empty();
    claim(Invariant::I11, quiet || !over, || {
        format!("it is over, and would still do {:?}", decision.events)
    })
}

/// Checks the parts of an order: I2, and I8 by its purpose.
fn parts_are_allowed(
    state: &State,
    observation: &Observation,
    decision: &Decision,
    order: &Order,
    now: Timestamp,
) -> Result<(), Violation> {
    for part in &order.parts {
        claim(Invariant::I2, part.to.sum() > 0, || {
            format!("group {} would be given {}", part.group, part.to)
        })?;
        match order.purpose {
            Purpose::Revert => takes_back(state, observation, part, now)?,
            Purpose::Step => {
                let intended = decision.events.iter().any(|event| {
                    matches!(event, Event::WeightChangeIntended { write_id, .. } if *write_id == order.write_id)
                });
                let again = armed::may_resend(state, observation, order, now);
                claim(Invariant::I6, intended || again, || {
                    "a step would be written that is not journaled".to_owned()
                })?;
                swaps_what_was_read(observation, part)?;
            }
            Purpose::Resubmit => {
                claim(Invariant::I1, part.to == part.image.pair(), || {
                    "a resubmission would change weights".to_owned()
                })?;
                swaps_what_was_read(observation, part)?;
            }
        }
    }
    Ok(())
}

/// I8: a revert writes the baseline's weights, over pairs of this attempt's own, or blindly, or by force.
fn takes_back(
    state: &State,
    observation: &Observation,
    part: &Part,
    now: Timestamp,
) -> Result<(), Violation> {
    let baseline = pair_of(state.baseline.as_deref(), part.group);
    claim(Invariant::I10, baseline == Some(part.to), || {
        format!("a revert would go to {}, not to the baseline", part.to)
    })?;
    let force = state
        .revert
        .as_ref()
        .is_some_and(|revert| revert.mode == RevertMode::Force);
    match part.how {
        How::Upsert => {
            let blind = matches!(
                observation.groups.get(part.group),
                Some(GroupReading::Unreadable { since, .. }) if now.duration_since(*since) >= BLIND_AFTER
            );
            claim(Invariant::I8, force || blind, || {
                format!("group {} would be overwritten unseen", part.group)
            })
        }
        How::Swap => {
            let pair = part.image.pair();
            let intended = state.intended.get(&part.group);
            let ours = intended.is_some_and(|pairs| pairs.contains(&pair))
                || pair_of(state.verified.as_deref(), part.group) == Some(pair);
            claim(Invariant::I8, ours || force, || {
                format!("group {} has somebody else's {pair}", part.group)
            })?;
            swaps_what_was_read(observation, part)
        }
    }
}

fn pair_of(images: Option<&[GroupImage]>, index: usize) -> Option<WeightPair> {
    images?.get(index).map(GroupImage::pair)
}

/// Checks that a swap repeats an image that was read in this round, both members of it.
fn swaps_what_was_read(observation: &Observation, part: &Part) -> Result<(), Violation> {
    let there = match observation.groups.get(part.group) {
        Some(GroupReading::Read { members, .. }) => {
            members.contains(&part.image.old) && members.contains(&part.image.new)
        }
        Some(GroupReading::NotRead | GroupReading::Unreadable { .. }) | None => false,
    };
    claim(Invariant::I8, there && part.how == How::Swap, || {
        format!(
            "group {} would be written from images that were not read",
            part.group
        )
    })
}

/// I10: a revert ends by a reading that was made a while after its first reading was journaled.
fn was_read_twice(state: &State, observation: &Observation) -> Result<(), Violation> {
    let seen_at = state
        .revert
        .as_ref()
        .and_then(|revert| revert.baseline_seen);
    let again = (0..state.plan().records.len()).all(|index| {
        matches!(
            observation.groups.get(index),
            Some(GroupReading::Read { at, .. })
                if seen_at.is_some_and(|seen_at| at.duration_since(seen_at) >= READS_APART)
        )
    });
    claim(Invariant::I10, again, || {
        "it would end a revert whose baseline was read only once".to_owned()
    })
}

/// I10: members beside the baseline's that get a part of the traffic are named before a revert ends.
fn strays_are_named(
    state: &State,
    observation: &Observation,
    decision: &Decision,
) -> Result<(), Violation> {
    let mut named = state.strays.as_slice();
    for event in &decision.events {
        if let Event::StrayWeightsFound { members } = event {
            named = members;
        }
    }
    for (index, group) in state.plan().records.iter().enumerate() {
        let Some(GroupReading::Read { members, .. }) = observation.groups.get(index) else {
            continue;
        };
        let baseline = state.baseline.as_ref().and_then(|all| all.get(index));
        for member in members {
            let identifier = &member.set_identifier;
            let own = *identifier == group.old || *identifier == group.new;
            let before = match baseline {
                Some(image) => image
                    .others
                    .iter()
                    .any(|it| it.set_identifier == *identifier && it.weight == member.weight),
                None => false,
            };
            let known = named
                .iter()
                .any(|stray| stray.set_identifier == *identifier && stray.group == group.name);
            claim(
                Invariant::I10,
                own || member.weight.0 == 0 || before || known,
                || {
                    format!(
                        "it would end a revert without naming `{identifier}`, which gets traffic"
                    )
                },
            )?;
        }
    }
    Ok(())
}

/// I4: one odd answer halts no revert: an earlier reading, two seconds before, found somebody else's weights too.
fn drifted_twice(state: &State, observation: &Observation) -> Result<(), Violation> {
    let mut agrees = false;
    if let Some(revert) = &state.revert
        && let Some(seen) = &revert.foreign
    {
        agrees = seen.groups.keys().any(|index| {
            matches!(
                observation.groups.get(*index),
                Some(GroupReading::Read { at, .. }) if at.duration_since(seen.read_at) >= LOOKS_AGREE
            )
        });
    }
    claim(Invariant::I4, agrees, || {
        "it would halt a revert by one reading".to_owned()
    })
}

fn was_read(observation: &Observation, index: usize) -> bool {
    matches!(
        observation.groups.get(index),
        Some(GroupReading::Read { .. })
    )
}

fn is_alarm(reading: Option<&AlarmReading>) -> bool {
    matches!(
        reading,
        Some(AlarmReading::Found {
            state: AlarmState::Alarm,
            ..
        })
    )
}

/// Reads a gate, by semantics C1 to C3 and C5.
fn look(state: &State, observation: &Observation, gate: &AlarmGate) -> GateLook {
    let Some(AlarmReading::Found {
        state: alarm,
        transitioned_at,
        evaluation,
    }) = observation.alarms.get(&gate.id)
    else {
        return GateLook::Blind;
    };
    let ignored = state.ignored.contains(&gate.id);
    if *alarm == AlarmState::Alarm {
        return if ignored {
            GateLook::Green
        } else {
            GateLook::Red
        };
    }
    let since = state.first_write.max(state.judged.get(&gate.id).copied());
    let moved = state.first_write.is_some() && *transitioned_at > since && !ignored;
    if moved {
        match observation.histories.get(&gate.id) {
            None | Some(HistoryReading::Unreadable(_) | HistoryReading::Denied(_)) => {
                return GateLook::Blind;
            }
            Some(HistoryReading::EnteredAlarm(entries)) => {
                if entries.iter().any(|entry| Some(*entry) > since) {
                    return GateLook::Red;
                }
            }
        }
    }
    let no_data = *alarm == AlarmState::InsufficientData && state.first_write.is_some();
    if evaluation.is_some() || (no_data && gate.no_data == NoData::Hold) {
        GateLook::Blind
    } else {
        GateLook::Green
    }
}

fn claim(
    invariant: Invariant,
    holds: bool,
    message: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(violation(invariant, message()))
    }
}
