//! What keeps a cutover from advancing, and when that is journaled.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::denied;
use super::jobs;
use super::{SKEW_MAX, View};
use crate::engine::commands::{adoption, amend};
use crate::engine::event::Event;
use crate::engine::evidence::gate::{GateId, GateKind};
use crate::engine::hold::{HaltReason, HoldReason, RevertCause};
use crate::engine::observation::{FileReading, GroupReading};
use crate::engine::plan::HoldOrRevert;
use crate::engine::record::GroupImage;
use crate::engine::state::State;
use crate::engine::verdict::{Judgement, Unknown, Verdict};

/// How often the numbers of an unchanged hold are journaled at most (semantics E4).
const NUMBERS_EVERY: SignedDuration = SignedDuration::from_secs(600);

/// The hold's entry, if it is worth one: its subject changed, or its numbers did some time ago.
pub(super) fn journal(state: &State, because: &[HoldReason], now: Timestamp) -> Option<Event> {
    // It lasts for as long as the first look of a process, which may see again what held before.
    let lasting = |reason: &&HoldReason| !matches!(reason, HoldReason::JobsUnseen {});
    if because.iter().filter(lasting).eq(&state.held) {
        return None;
    }
    let looks = because.contains(&HoldReason::JobsUnseen {});
    let because: Vec<HoldReason> = because.iter().filter(lasting).cloned().collect();
    let subjects = |reasons: &[HoldReason]| -> BTreeSet<HoldReason> {
        reasons.iter().map(HoldReason::subject).collect()
    };
    let stale = state
        .held_at
        .is_none_or(|at| now.duration_since(at) >= NUMBERS_EVERY);
    let (wanted, known) = (subjects(&because), subjects(&state.held));
    // Two controllers that see different things, and calls that fail now and then, would fill the journal otherwise. That
    // it came back is journaled in time for it to be the same hold, which pages nobody, when it comes back once more.
    let quiet = |ended: &Timestamp| now.duration_since(*ended) < NUMBERS_EVERY;
    let comes_back = |subject: &HoldReason| {
        known.contains(subject) || state.ended_holds.get(subject).is_some_and(quiet)
    };
    let new = !wanted.iter().all(comes_back);
    let ended = wanted.len() < known.len() && wanted.is_subset(&known) && !looks;
    (new || ended || stale).then_some(Event::StepHeld { because })
}

/// Everything that keeps the next step from being taken, but for the bake, the approval and the phase itself.
pub(super) fn blockers(view: &View<'_>, judgement: &Judgement) -> Vec<HoldReason> {
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

fn drift(view: &View<'_>) -> Option<HoldReason> {
    let drifted = view.state.drift.as_ref()?;
    let records = &view.state.plan().records;
    let (baseline, verified) = (view.state.baseline.as_ref()?, view.state.verified.as_ref()?);
    let mut groups = baseline.iter().zip(verified).enumerate();
    let is_back = |(index, (wanted, verified)): (usize, (&GroupImage, &GroupImage))| {
        let image = match drifted.get(&index) {
            Some(image) => image.as_ref(),
            None => Some(verified),
        };
        image.map(GroupImage::pair) == Some(wanted.pair())
    };
    if groups.all(is_back) {
        return Some(HoldReason::AlreadyAtBaseline {});
    }
    let name = |index: &usize| records.get(*index).map(|group| group.name.clone());
    Some(HoldReason::Drift {
        groups: drifted.keys().filter_map(name).collect(),
        found: view.state.astray(),
        adoption: adoption(view.state),
    })
}

fn gates(view: &View<'_>, judgement: &Judgement) -> Vec<HoldReason> {
    let mut reasons = Vec::new();
    // What halted it says already that the gate is red, and that no start is being held.
    let both_red = matches!(view.state.halt, Some(HaltReason::BothRed { .. }));
    let started = view.state.has_started();
    for (alarm, verdict) in &judgement.gates {
        let alarm = alarm.clone();
        let since = view.state.unknown.get(&alarm).copied();
        match verdict {
            Verdict::Pass => {}
            Verdict::Unknown(Unknown::Denied(_)) => {
                // What is denied is a reason of its own.
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

/// That a gate has been Unknown for longer than the plan allows, if it has.
fn too_long(view: &View<'_>, gate: &GateId, since: Option<Timestamp>) -> Option<HoldReason> {
    let since = unknown_too_long(view, since)?;
    Some(HoldReason::UnknownTooLong {
        alarm: gate.clone(),
        since,
    })
}

/// That too few came is said once, of the gate that says most of it, and not at all where it is said that they go
/// elsewhere.
fn once(mut reasons: Vec<HoldReason>) -> Vec<HoldReason> {
    let weight = |reason: &HoldReason| {
        if let HoldReason::TooFewRequests { gate, .. } = reason {
            return Some(match gate.gate {
                GateKind::Traffic => 2,
                GateKind::Regression => 1,
                GateKind::Alarm | GateKind::Metric | GateKind::Trend => 0,
            });
        }
        matches!(reason, HoldReason::TrafficElsewhere { .. }).then_some(3)
    };
    let most = reasons.iter().filter_map(weight).max();
    let mut said = false;
    reasons.retain(|reason| {
        let Some(mine) = weight(reason) else {
            return true;
        };
        let first = Some(mine) == most && !said;
        said |= first;
        first
    });
    reasons
}

/// Since when a gate has been Unknown, if that is longer than the plan allows.
fn unknown_too_long(view: &View<'_>, since: Option<Timestamp>) -> Option<Timestamp> {
    let allowed = view.state.plan().gates.unknown_for;
    since.filter(|since| *since < view.now && view.elapsed(*since) >= allowed)
}

/// The gate that has been Unknown for too long in a plan that says `on_unknown: revert`, and since when.
pub(super) fn unknown_reverts(
    view: &View<'_>,
    judgement: &Judgement,
) -> Option<(GateId, Timestamp)> {
    if view.state.plan().gates.on_unknown == HoldOrRevert::Hold || !view.state.has_started() {
        return None;
    }
    judgement.gates.iter().find_map(|(alarm, verdict)| {
        let since = view.state.unknown.get(alarm).copied();
        let blind = matches!(verdict, Verdict::Unknown(_));
        unknown_too_long(view, since)
            .filter(|_| blind)
            .map(|since| (alarm.clone(), since))
    })
}

fn fallbacks(view: &View<'_>, judgement: &Judgement) -> Vec<HoldReason> {
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
            // Fallback alarms are alarms, which are never too little to judge.
            Verdict::Pass | Verdict::NotJudged(_) | Verdict::Unknown(Unknown::Denied(_)) => {
                continue;
            }
            Verdict::Fail(_) => "it was in ALARM since the last reading".to_owned(),
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

/// How far AWS's clock and ours differ, if that is too far to measure a bake with.
pub(super) fn skew(view: &View<'_>) -> Option<SignedDuration> {
    view.observation
        .clock_skew
        .filter(|skew| skew.abs() > SKEW_MAX)
}

fn clock(view: &View<'_>) -> Option<HoldReason> {
    if view.clock_went_back() {
        let message = format!(
            "this machine's clock is behind the journal's last entry ({})",
            view.now
        );
        return Some(HoldReason::Clock { message });
    }
    let skew = skew(view)?;
    let message = format!(
        "AWS's clock and this machine's differ by {} s",
        skew.as_secs()
    );
    Some(HoldReason::Clock { message })
}

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

fn unreadable(view: &View<'_>) -> Vec<HoldReason> {
    let reason = |(index, reading): (usize, &GroupReading)| match reading {
        // What is denied is a reason of its own.
        GroupReading::Unreadable {
            message,
            permanent,
            denied: None,
            ..
        } => {
            let group = view.state.plan().records.get(index)?.name.clone();
            let refused = *permanent && !view.state.has_started();
            Some(if refused {
                HoldReason::Preflight {
                    group: Some(group),
                    message: message.clone(),
                }
            } else {
                HoldReason::Route53Unreadable {
                    group,
                    message: message.clone(),
                }
            })
        }
        GroupReading::Unreadable {
            denied: Some(_), ..
        }
        | GroupReading::NotRead
        | GroupReading::Read { .. } => None,
    };
    view.observation
        .groups
        .iter()
        .enumerate()
        .filter_map(reason)
        .collect()
}
