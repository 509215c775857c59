//! The way back: until Route 53 is read at the baseline, twice, a fence apart (semantics A3, A5, E3).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::hooks;
use super::jobs;
use super::{BLIND_REVERT_AFTER, Decision, FENCE, How, LATE, Order, Part, Purpose, RESIDUE, View};
use crate::engine::drifted::Astray;
use crate::engine::event::{Event, FailureClass, RevertMode};
use crate::engine::hold::{HaltReason, HoldReason, RevertCause};
use crate::engine::observation::GroupReading;
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, Revert};
use crate::engine::strays::strays;
use crate::engine::units::WeightPair;

/// The longest wait between two tries, in seconds (semantics E3).
const BACKOFF_MAX_SECS: i64 = 60;

/// For how long after it was decided a revert that fails in transport is tried often, and the longest wait between two such
/// tries, in seconds: with the time that a round takes they are at most five seconds apart (semantics L3).
const EAGER_FOR: SignedDuration = SignedDuration::from_mins(10);
const EAGER_BACKOFF_MAX_SECS: i64 = 4;

/// How soon a revert that is not at its end looks again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// How soon it looks when this round had no reason to read groups before it decided to revert: the way back begins
/// within a second (DESIGN section 11).
const LOOK_AT_ONCE: SignedDuration = SignedDuration::from_millis(200);

/// How far apart two readings are that must agree before somebody else's weights halt a revert (semantics M5).
const READINGS_APART: SignedDuration = SignedDuration::from_secs(2);

/// What force has overwritten for so long, and is read otherwise all the same, is told.
const STUBBORN_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// Where a group stands on the way back.
enum Place {
    /// At the baseline's weights.
    Back,
    /// At weights that this attempt intended.
    Ours(Box<GroupImage>),
    /// At somebody else's, or a member is gone, by two readings or where force overwrites it.
    Foreign,
    /// At somebody else's by one reading: one answer may be odd.
    Doubtful,
    /// Not read; since when reading fails, if it does.
    Unseen(Option<Timestamp>),
}

/// A person may take back what was completed, and once more what went back before (semantics L6).
pub(super) fn asked_again(view: &View<'_>) -> Option<Decision> {
    let rollback = view.state.rollback.as_ref()?;
    view.state.baseline.as_ref()?;
    let (actor, reason) = (rollback.actor.clone(), rollback.reason.clone());
    let cause = RevertCause::Operator { actor, reason };
    let write_id = view.next_write_id();
    Some(Decision::of(Event::RevertIntended {
        write_id,
        cause,
        mode: rollback.mode,
        shared: None,
        seen: None,
    }))
}

/// A process that was frozen before it sent may still send: for a while after a revert exactly that write is looked for
/// (semantics A4).
pub(super) fn late_write(view: &View<'_>) -> Decision {
    let (Some(write), Phase::Reverted) = (&view.state.write, view.state.phase) else {
        return Decision::default();
    };
    let ends_at = view.state.phase_since + RESIDUE;
    if view.elapsed(view.state.phase_since) > RESIDUE {
        return Decision::of(Event::WeightChangeAbandoned {
            write_id: write.write_id.clone(),
            moved: BTreeMap::new(),
            landed: Vec::new(),
            reason: "it did not land within 15 minutes after the revert".to_owned(),
        });
    }
    let landed = write.targets.iter().any(|target| {
        view.image(target.group).is_some_and(|image| {
            image == target.from.with_pair(target.to)
                && Some(image.pair()) != baseline(view, target.group)
        })
    });
    if !landed {
        return Decision {
            wake_at: Some(ends_at).filter(|at| *at > view.now),
            ..Decision::default()
        };
    }
    let write_id = view.next_write_id();
    let cause = RevertCause::LateWrite {};
    Decision::of(Event::RevertIntended {
        write_id,
        cause,
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    })
}

pub(super) fn decide(view: &View<'_>) -> Decision {
    let Some(revert) = &view.state.revert else {
        return Decision::default();
    };
    if let Some(event) = forced(view, revert) {
        return Decision::of(event);
    }
    if let Some(event) = foreign_seen(view, revert) {
        return Decision::of(event);
    }
    let places: Vec<Place> = (0..view.groups())
        .map(|index| place(view, revert, index))
        .collect();
    let back = places
        .iter()
        .filter(|place| matches!(place, Place::Back))
        .count();
    if back == places.len() {
        return confirm(view, revert);
    }
    let seen_before = revert.baseline_seen.is_some();
    let left = places
        .iter()
        .any(|place| matches!(place, Place::Ours(_) | Place::Foreign | Place::Doubtful));
    if seen_before && left {
        return Decision::of(Event::BaselineSeen { at: None });
    }
    if let Some(event) = halt(view, revert, &places) {
        return Decision::of(event);
    }
    let retry_at = retry_at(revert).filter(|at| *at > view.now);
    let unread = (0..places.len()).all(|index| !view.was_read(index))
        && places
            .iter()
            .all(|place| matches!(place, Place::Unseen(None)));
    let look = if unread && !view.observation.in_flight {
        LOOK_AT_ONCE
    } else {
        LOOK_AGAIN
    };
    let mut decision = Decision {
        because: blocked(revert, &places).into_iter().collect(),
        wake_at: retry_at.or(Some(view.now + look)),
        ..Decision::default()
    };
    decision.because.push(HoldReason::Reverting {
        back,
        groups: places.len(),
    });
    if !view.observation.in_flight && retry_at.is_none() {
        decision.order = order(view, revert, &places);
    }
    decision
}

/// A person asked for force while a gentle revert was under way.
fn forced(view: &View<'_>, revert: &Revert) -> Option<Event> {
    let rollback = view.state.rollback.as_ref()?;
    let stronger = rollback.mode == RevertMode::Force && revert.mode == RevertMode::Swap;
    let (actor, reason) = (rollback.actor.clone(), rollback.reason.clone());
    stronger.then(|| Event::RevertIntended {
        write_id: view.next_write_id(),
        cause: RevertCause::Operator { actor, reason },
        mode: RevertMode::Force,
        shared: None,
        seen: None,
    })
}

fn baseline(view: &View<'_>, index: usize) -> Option<WeightPair> {
    view.state
        .baseline
        .as_ref()?
        .get(index)
        .map(GroupImage::pair)
}

fn place(view: &View<'_>, revert: &Revert, index: usize) -> Place {
    let read_at = match view.observation.groups.get(index) {
        None | Some(GroupReading::NotRead) => return Place::Unseen(None),
        Some(GroupReading::Unreadable { since, .. }) => return Place::Unseen(Some(*since)),
        Some(GroupReading::Read { at, .. }) => *at,
    };
    match view.image(index) {
        Some(image) if Some(image.pair()) == baseline(view, index) => Place::Back,
        Some(image) if is_ours(view, index, image.pair()) => Place::Ours(Box::new(image)),
        _ if agrees(revert, index, read_at) => Place::Foreign,
        _ if defies_force(view, index) => Place::Doubtful,
        _ if revert.mode == RevertMode::Force => Place::Foreign,
        Some(_) => Place::Doubtful,
        // A member that one answer leaves out may be there all the same.
        None => Place::Unseen(None),
    }
}

/// Whether an earlier reading found the same in this group. What is read now is what was noted last.
fn agrees(revert: &Revert, index: usize, read_at: Timestamp) -> bool {
    revert.foreign.as_ref().is_some_and(|seen| {
        seen.groups.contains_key(&index) && read_at.duration_since(seen.read_at) >= READINGS_APART
    })
}

/// Notes what somebody else has in the groups, for the next reading to agree with or not; nothing if that is noted. Force
/// asks nobody, unless no weighted record can be written over what is there.
fn foreign_seen(view: &View<'_>, revert: &Revert) -> Option<Event> {
    let forces = revert.mode == RevertMode::Force;
    let noted = revert.foreign.as_ref();
    let mut groups: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    let mut read_at: Option<Timestamp> = None;
    for index in 0..view.groups() {
        let Some(GroupReading::Read { at, .. }) = view.observation.groups.get(index) else {
            if let Some(known) = noted.and_then(|noted| noted.groups.get(&index)) {
                groups.insert(index, known.clone());
            }
            continue;
        };
        read_at = read_at.max(Some(*at));
        let image = view.image(index);
        let pair = image.as_ref().map(GroupImage::pair);
        let known = pair
            .is_some_and(|pair| Some(pair) == baseline(view, index) || is_ours(view, index, pair));
        let yields = forces && !defies_force(view, index);
        if !known && !yields {
            groups.insert(index, image);
        }
    }
    let read_at = read_at?;
    let same = match noted {
        // A clock that went back makes a new first reading of it.
        Some(noted) => noted.groups == groups && read_at >= noted.read_at,
        None => groups.is_empty(),
    };
    (!same).then_some(Event::ForeignWeightsSeen { groups, read_at })
}

/// Whether this attempt intended these weights for that group, or a person adopted them (semantics B3).
fn is_ours(view: &View<'_>, index: usize, pair: WeightPair) -> bool {
    let intended = view
        .state
        .intended
        .get(&index)
        .is_some_and(|pairs| pairs.contains(&pair));
    let verified = view
        .state
        .verified
        .as_ref()
        .and_then(|images| images.get(index));
    intended || verified.is_some_and(|image| image.pair() == pair)
}

/// Everything was read at the baseline: a first time, or again after the fence.
fn confirm(view: &View<'_>, revert: &Revert) -> Decision {
    let groups = view.groups();
    let hold = Decision::hold(HoldReason::Reverting {
        back: groups,
        groups,
    });
    if view.observation.in_flight {
        return hold;
    }
    let Some(seen_at) = revert.baseline_seen else {
        return Decision::of(Event::BaselineSeen { at: Some(view.now) });
    };
    let fence = (seen_at + FENCE).max(may_land_until(view).unwrap_or(seen_at));
    match read_again(view, fence) {
        Err(look_at) => Decision {
            wake_at: Some(full_second(look_at)),
            ..hold
        },
        // The weights are back. What is left beside them is not forgotten by calling it the end.
        Ok(()) if !view.state.jobs.are_back() => hold,
        Ok(()) => {
            let astray = jobs::astray(view).map(|mut wait| {
                wait.because.extend(hold.because);
                wait
            });
            astray
                .or_else(|| hooks::after_revert(view))
                .unwrap_or_else(|| ends(view))
        }
    }
}

/// The end, and who holds weight beside the baseline: that traffic has not come back.
fn ends(view: &View<'_>) -> Decision {
    let mut members = Vec::new();
    let groups = view.state.plan().records.iter();
    let baseline = view.state.baseline.iter().flatten();
    for (index, (group, baseline)) in groups.zip(baseline).enumerate() {
        if let Some(image) = view.image(index) {
            members.extend(strays(&group.name, baseline, &image));
        }
    }
    let mut decision = Decision::default();
    if members != view.state.strays {
        decision.events.push(Event::StrayWeightsFound { members });
    }
    decision.events.push(Event::Reverted { cancelled: false });
    decision
}

/// The next full second: reverts that began within the same second share the pages of their confirming look.
fn full_second(at: Timestamp) -> Timestamp {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    if whole < at {
        whole + SignedDuration::from_secs(1)
    } else {
        at
    }
}

/// Whether all that this round knows of the groups was read behind the fence, or when to read them for that. The time of the
/// decision says nothing about it: a clock that jumps ahead after the first reading would make a second one of it.
fn read_again(view: &View<'_>, fence: Timestamp) -> Result<(), Timestamp> {
    let behind = |group: &GroupReading| match group {
        GroupReading::Read { at, .. } => *at >= fence,
        GroupReading::NotRead | GroupReading::Unreadable { .. } => false,
    };
    if view.now < fence {
        Err(fence)
    } else if view.observation.groups.iter().all(behind) {
        Ok(())
    } else {
        Err(view.now + FENCE)
    }
}

/// Until when a write of ours without all its answers may still land (semantics A3).
fn may_land_until(view: &View<'_>) -> Option<Timestamp> {
    let write = view.state.write.as_ref()?;
    (!write.is_answered()).then(|| write.perform_by + LATE)
}

/// Only drift halts a revert, and only when everything else is back.
fn halt(view: &View<'_>, revert: &Revert, places: &[Place]) -> Option<Event> {
    let landing = may_land_until(view).is_some_and(|until| view.now < until);
    if view.observation.in_flight || landing {
        return None;
    }
    let busy = places
        .iter()
        .any(|place| matches!(place, Place::Ours(_) | Place::Doubtful | Place::Unseen(_)));
    if busy {
        return None;
    }
    let (mut groups, mut found) = (Vec::new(), Vec::new());
    for (index, place) in places.iter().enumerate() {
        if let (Place::Foreign, Some(group)) = (place, view.state.plan().records.get(index)) {
            groups.push(group.name.clone());
            found.extend(astray(view, index));
        }
    }
    // Force goes on for as long as it can write; a record that no weighted one can stand beside ends that.
    if revert.mode == RevertMode::Force && found.iter().any(Astray::yields_to_force) {
        return None;
    }
    Some(Event::Halted {
        reason: HaltReason::Drift { groups, found },
    })
}

/// What somebody else made of a group, as read in this round.
fn astray(view: &View<'_>, index: usize) -> Option<Astray> {
    let group = view.state.plan().records.get(index)?;
    let verified = view.state.verified.as_ref().and_then(|all| all.get(index));
    let verified = verified.or_else(|| view.state.baseline.as_ref()?.get(index))?;
    let image = view.image(index);
    let members = view.members(index).unwrap_or_default();
    Some(Astray::of(group, verified, image.as_ref(), members))
}

/// Whether a write of weighted records is refused for as long as nobody deletes what is there.
fn defies_force(view: &View<'_>, index: usize) -> bool {
    astray(view, index).is_some_and(|astray| !astray.yields_to_force())
}

fn blocked(revert: &Revert, places: &[Place]) -> Option<HoldReason> {
    let unreadable = places
        .iter()
        .any(|place| matches!(place, Place::Unseen(Some(_))));
    let stubborn = places.iter().enumerate().any(|(index, place)| {
        let last = revert.submitted.get(&index);
        let tried = last.is_some_and(|last| last.duration_since(revert.at) >= STUBBORN_AFTER);
        revert.mode == RevertMode::Force && matches!(place, Place::Foreign) && tried
    });
    let message = match &revert.trouble {
        Some(trouble) if revert.failures > 0 => trouble,
        _ if unreadable => "Route 53 cannot be read",
        _ if stubborn => {
            "records were overwritten, and are read otherwise all the same: somebody keeps writing them"
        }
        _ => return None,
    };
    Some(HoldReason::RevertBlocked {
        message: message.to_owned(),
    })
}

/// When the next try is due after failures: 1, 2, 4 … seconds later. If only the transport fails, the waits stay short at
/// first: nothing says that Route 53 wants to be left alone.
fn retry_at(revert: &Revert) -> Option<Timestamp> {
    let failed_at = revert.failed_at?;
    let transport = revert.failed_class == Some(FailureClass::Transient);
    let longest = if transport && failed_at.duration_since(revert.at) < EAGER_FOR {
        EAGER_BACKOFF_MAX_SECS
    } else {
        BACKOFF_MAX_SECS
    };
    let doublings = revert.failures.saturating_sub(1).min(6);
    let wait = (1_i64 << doublings).min(longest);
    Some(failed_at + SignedDuration::from_secs(wait))
}

/// When force may overwrite again what it has overwritten and is read otherwise all the same: somebody else keeps writing it.
/// The waits double as those after a refusal do; a first time is due at any time.
fn overwritten_again_at(revert: &Revert, index: usize) -> Option<Timestamp> {
    let last = *revert.submitted.get(&index)?;
    let (least, most) = (1, BACKOFF_MAX_SECS);
    let wait = last.duration_since(revert.at).as_secs().clamp(least, most);
    Some(last + SignedDuration::from_secs(wait))
}

fn order(view: &View<'_>, revert: &Revert, places: &[Place]) -> Option<Order> {
    let force = revert.mode == RevertMode::Force;
    let mut parts = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let Some(to) = baseline(view, index) else {
            continue;
        };
        let blind = |since: &Option<Timestamp>| {
            since.is_some_and(|since| view.now.duration_since(since) >= BLIND_REVERT_AFTER)
        };
        let waiting = revert.submitted.contains_key(&index);
        let overwrites = force && overwritten_again_at(revert, index) <= Some(view.now);
        match place {
            Place::Ours(image) if !force => {
                parts.push(Part {
                    group: index,
                    image: (**image).clone(),
                    to,
                    how: How::Swap,
                });
            }
            Place::Ours(_) | Place::Foreign if overwrites && !defies_force(view, index) => {
                parts.extend(upsert(view, index, to));
            }
            Place::Unseen(since) if !waiting && (force || blind(since)) => {
                parts.extend(upsert(view, index, to));
            }
            Place::Back | Place::Ours(_) | Place::Foreign | Place::Doubtful | Place::Unseen(_) => {}
        }
    }
    let write_id = revert.write_id.clone();
    (!parts.is_empty()).then_some(Order {
        write_id,
        purpose: Purpose::Revert,
        parts,
        send_by: None,
    })
}

/// The last verified images with the baseline's weights.
fn upsert(view: &View<'_>, index: usize, to: WeightPair) -> Option<Part> {
    let verified = view
        .state
        .verified
        .as_ref()
        .and_then(|images| images.get(index));
    let image = verified
        .or_else(|| view.state.baseline.as_ref()?.get(index))?
        .clone();
    Some(Part {
        group: index,
        image,
        to,
        how: How::Upsert,
    })
}
