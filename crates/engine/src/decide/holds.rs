//! The holds on a cutover, and when they are journaled.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::view::View;
use super::{denied, jobs};
use crate::commands::{adoption, amend};
use crate::event::Event;
use crate::evidence::gate::GateId;
use crate::hold::{HaltReason, HoldReason, RevertCause};
use crate::observation::{FileReading, GroupReading};
use crate::plan::HoldOrRevert;
use crate::record::GroupImage;
use crate::state::State;
use crate::verdict::{GateJudgements, Unknown, Verdict};

/// The shortest time between two entries of a hold of which only the numbers changed (semantics E4).
const NUMBERS_EVERY: SignedDuration = SignedDuration::from_secs(600);

/// Returns the entry for the holds if a subject is new or gone, or if numbers changed and the last entry is old enough.
/// `None` otherwise.
pub(super) fn journal(state: &State, because: &[HoldReason], now: Timestamp) -> Option<Event> {
    if because
        .iter()
        .filter(|reason| is_journaled(reason))
        .eq(&state.held)
    {
        return None;
    }
    let unseen = because.contains(&HoldReason::JobsUnseen {});
    let mut because = because.to_vec();
    because.retain(is_journaled);
    let (wanted, known) = (subjects(&because), subjects(&state.held));
    let stale = state
        .held_at
        .is_none_or(|at| now.duration_since(at) >= NUMBERS_EVERY);
    // A hold that ended lately is not new. Otherwise two controllers that see different things, or calls that fail now
    // and then, would fill the journal. Its return is journaled soon enough that the next return still counts as the
    // same hold, which pages nobody.
    let mut new = false;
    for subject in &wanted {
        let ended_lately = match state.ended_holds.get(subject) {
            Some(ended) => now.duration_since(*ended) < NUMBERS_EVERY,
            None => false,
        };
        new |= !known.contains(subject) && !ended_lately;
    }
    let ended = wanted.len() < known.len() && wanted.is_subset(&known) && !unseen;
    if new || ended || stale {
        Some(Event::StepHeld { because })
    } else {
        None
    }
}

/// Returns false for the hold that lasts only until a process has read the jobs for the first time. That reading may
/// find again what held before.
fn is_journaled(reason: &HoldReason) -> bool {
    !matches!(reason, HoldReason::JobsUnseen {})
}

/// Returns the subjects of these holds.
fn subjects(reasons: &[HoldReason]) -> BTreeSet<HoldReason> {
    reasons.iter().map(HoldReason::subject).collect()
}

/// Returns every hold on the next step, except its bake, its approval and the phase itself.
pub(super) fn blockers(view: &View<'_>, judgement: &GateJudgements) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    reasons.extend(drift(view));
    reasons.extend(jobs::blockers(view));
    reasons.extend(gates(view, judgement));
    reasons.extend(fallbacks(view, judgement));
    reasons.extend(clock(view));
    reasons.extend(plan_file(view));
    reasons.extend(denied::holds(view));
    reasons.extend(unreadable(view));
    reasons.extend(view.fleet.holds(view.state, view.now));
    if let Some(pause) = &view.state.paused {
        reasons.push(HoldReason::Paused {
            reason: pause.reason.clone(),
        });
    }
    if let (Some(message), false) = (
        &view.observation.break_glass_error,
        view.state.has_started(),
    ) {
        reasons.push(HoldReason::BreakGlass {
            message: message.clone(),
        });
    }
    reasons
}

/// Returns the hold of drifted groups. `None` if nothing has drifted.
fn drift(view: &View<'_>) -> Option<HoldReason> {
    let drifted = view.state.drift.as_ref()?;
    let records = &view.state.plan().records;
    let (baseline, verified) = (view.state.baseline.as_ref()?, view.state.verified.as_ref()?);
    let mut all_back = true;
    for (index, (wanted, verified)) in baseline.iter().zip(verified).enumerate() {
        let image = match drifted.get(&index) {
            Some(image) => image.as_ref(),
            None => Some(verified),
        };
        all_back &= image.map(GroupImage::pair) == Some(wanted.pair());
    }
    if all_back {
        return Some(HoldReason::AlreadyAtBaseline {});
    }
    let mut groups = Vec::new();
    for index in drifted.keys() {
        groups.extend(records.get(*index).map(|group| group.name.clone()));
    }
    Some(HoldReason::Drift {
        groups,
        found: view.state.astray(),
        adoption: adoption(view.state),
    })
}

/// Returns the holds of gates that do not pass.
fn gates(view: &View<'_>, judgement: &GateJudgements) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    // The halt already says that the gate is red.
    let both_red = matches!(view.state.halt, Some(HaltReason::BothRed { .. }));
    let started = view.state.has_started();
    for (alarm, verdict) in &judgement.gates {
        let alarm = alarm.clone();
        let since = view.state.unknown.get(&alarm).copied();
        match verdict {
            Verdict::Pass => {}
            Verdict::Unknown(Unknown::Denied(_)) => {
                // The denied call is a hold of its own.
                reasons.extend(too_long(view, &alarm, since));
            }
            Verdict::Fail(_) if both_red => {}
            Verdict::Fail(RevertCause::MeasureBeyond { gate, beyond }) => {
                reasons.push(HoldReason::MeasureRed {
                    gate: gate.clone(),
                    beyond: beyond.clone(),
                    started,
                });
            }
            Verdict::Fail(_) => reasons.push(HoldReason::AlarmRed { alarm, started }),
            Verdict::NotJudged(reason) => reasons.push(reason.clone()),
            Verdict::Unknown(unknown) => {
                reasons.extend(too_long(view, &alarm, since));
                reasons.push(match unknown {
                    Unknown::Missing => HoldReason::AlarmMissing {
                        alarm,
                        fallback: false,
                        since,
                    },
                    Unknown::NoData => HoldReason::NoData { alarm, since },
                    Unknown::Denied(message) | Unknown::Other(message) => HoldReason::Unknown {
                        alarm,
                        message: message.clone(),
                        since,
                    },
                });
            }
        }
    }
    reasons.extend(judgement.weighed.near.iter().cloned());
    once(reasons)
}

/// Returns a hold if a gate has been Unknown for longer than the plan allows. `since` is the time since which.
fn too_long(view: &View<'_>, gate: &GateId, since: Option<Timestamp>) -> Option<HoldReason> {
    let since = unknown_too_long(view, since)?;
    Some(HoldReason::UnknownTooLong {
        alarm: gate.clone(),
        since,
    })
}

/// Keeps one hold of those about missing requests, the one that explains most: traffic that goes elsewhere, or else too
/// few requests at one gate.
fn once(mut reasons: Vec<HoldReason>) -> Vec<HoldReason> {
    let most = reasons.iter().filter_map(telling).max();
    let mut kept = false;
    reasons.retain(|reason| {
        let Some(mine) = telling(reason) else {
            return true;
        };
        let first = Some(mine) == most && !kept;
        kept |= first;
        first
    });
    reasons
}

/// Returns how much a hold about missing requests explains: the larger, the more. `None` for other holds.
fn telling(reason: &HoldReason) -> Option<u8> {
    if matches!(reason, HoldReason::TrafficElsewhere { .. }) {
        return Some(3);
    }
    let HoldReason::TooFewRequests { gate, .. } = reason else {
        return None;
    };
    Some(gate.gate.tells_of_requests())
}

/// Returns the time since which a gate has been Unknown. `None` unless that is longer than the plan allows.
fn unknown_too_long(view: &View<'_>, since: Option<Timestamp>) -> Option<Timestamp> {
    let allowed = view.state.plan().gates.unknown_for;
    since.filter(|since| *since < view.now && view.elapsed(*since) >= allowed)
}

/// Returns a gate that has been Unknown for too long, and the time since which. `None` if there is none, or if the plan
/// does not say `on_unknown: revert`.
pub(super) fn unknown_reverts(
    view: &View<'_>,
    judgement: &GateJudgements,
) -> Option<(GateId, Timestamp)> {
    if view.state.plan().gates.on_unknown == HoldOrRevert::Hold || !view.state.has_started() {
        return None;
    }
    for (gate, verdict) in &judgement.gates {
        if !matches!(verdict, Verdict::Unknown(_)) {
            continue;
        }
        let since = view.state.unknown.get(gate).copied();
        if let Some(since) = unknown_too_long(view, since) {
            return Some((gate.clone(), since));
        }
    }
    None
}

/// Returns the holds of fallback alarms that do not pass.
fn fallbacks(view: &View<'_>, judgement: &GateJudgements) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    for (alarm, verdict) in &judgement.fallbacks {
        let alarm = alarm.clone();
        let gate = GateId::from(&alarm);
        let since = view.state.unknown.get(&gate).copied();
        if let Verdict::Unknown(_) = verdict {
            reasons.extend(too_long(view, &gate, since));
        }
        if judgement.fallbacks_red.contains(&alarm) {
            reasons.push(HoldReason::FallbackRed { alarm });
            continue;
        }
        let message = match verdict {
            // Fallback gates are alarms, which never have too little data to be judged.
            Verdict::Pass | Verdict::NotJudged(_) | Verdict::Unknown(Unknown::Denied(_)) => {
                continue;
            }
            Verdict::Fail(_) => "it was in ALARM between the last two readings".to_owned(),
            Verdict::Unknown(Unknown::Missing) => {
                reasons.push(HoldReason::AlarmMissing {
                    alarm: gate,
                    fallback: true,
                    since,
                });
                continue;
            }
            Verdict::Unknown(Unknown::NoData) => "it is in INSUFFICIENT_DATA".to_owned(),
            Verdict::Unknown(Unknown::Other(message)) => message.clone(),
        };
        reasons.push(HoldReason::FallbackUnknown { alarm, message });
    }
    reasons
}

/// Returns a hold if this machine's clock is wrong (semantics D3).
fn clock(view: &View<'_>) -> Option<HoldReason> {
    if view.clock_went_back() {
        let message = format!(
            "this machine's clock is behind the journal's last entry ({})",
            view.now
        );
        return Some(HoldReason::Clock { message });
    }
    let skew = view.skew()?;
    let message = format!(
        "AWS's clock and this machine's differ by {} s",
        skew.as_secs()
    );
    Some(HoldReason::Clock { message })
}

/// Returns a hold if the plan file differs from the journal's plan, is gone, or cannot be read.
fn plan_file(view: &View<'_>) -> Option<HoldReason> {
    let path = view.state.source.path.clone();
    match &view.observation.file {
        FileReading::NotWatched => None,
        FileReading::Plan(source) => {
            let others = source.plan.records != view.state.plan().records;
            let records = others && view.state.baseline.is_some();
            if source.digest == view.state.source.digest {
                return None;
            }
            let refused = match amend(view.state, source, None) {
                Ok(_) => None,
                Err(reason) => Some(reason.to_string()),
            };
            Some(HoldReason::PlanChanged {
                path,
                records,
                refused,
            })
        }
        FileReading::Removed => {
            let message = "the file is gone; the journal's copy is in force".to_owned();
            Some(HoldReason::PlanUnreadable {
                path,
                message,
                gone: true,
            })
        }
        FileReading::Unreadable(message) => Some(HoldReason::PlanUnreadable {
            path,
            message: message.clone(),
            gone: false,
        }),
    }
}

/// Returns a hold for each group that cannot be read.
fn unreadable(view: &View<'_>) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    let records = &view.state.plan().records;
    for (group, reading) in records.iter().zip(&view.observation.groups) {
        // A denied call is a hold of its own.
        let GroupReading::Unreadable {
            message,
            permanent,
            denied: None,
            ..
        } = reading
        else {
            continue;
        };
        reasons.push(if *permanent && !view.state.has_started() {
            HoldReason::Preflight {
                group: Some(group.name.clone()),
                message: message.clone(),
            }
        } else {
            HoldReason::Route53Unreadable {
                group: group.name.clone(),
                message: message.clone(),
            }
        });
    }
    reasons
}
