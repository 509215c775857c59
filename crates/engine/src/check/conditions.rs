//! The conditions of a step and of a bake, asked of decisions before and of entries after they are journaled.

use jiff::{SignedDuration, Timestamp};

use crate::decide;
use crate::event::Target;
use crate::state::{Phase, State};

/// The two reads that end a revert are at least this far apart (semantics A3).
pub const READS_APART: SignedDuration = SignedDuration::from_secs(5);

/// The interval at which a window that must stay open is checked. Calendar entries and plans are no finer than minutes.
const LOOKS_APART: SignedDuration = SignedDuration::from_mins(15);

/// Returns true if every group of a touched zone is moved, or has the step's weights already.
pub fn zones_are_whole(state: &State, targets: &[Target]) -> bool {
    let Some(images) = state.verified.as_ref().or(state.baseline.as_ref()) else {
        return targets.len() == state.plan().records.len();
    };
    let Some(to) = targets.first().map(|target| target.to) else {
        return true;
    };
    for (index, image) in images.iter().enumerate() {
        let touched = targets.iter().any(|target| target.zone == image.zone);
        let moved = targets.iter().any(|target| target.group == index);
        if touched && !moved && image.pair() != to {
            return false;
        }
    }
    true
}

/// Returns true if a step is under way: some group has its weights, so that the others may follow at any time.
pub fn goes_on(state: &State, step: u16) -> bool {
    let pair = state.plan().step(step).map(|step| step.pair);
    let mut images = state.verified.iter().flatten();
    let moved = images.any(|image| Some(image.pair()) == pair);
    state.phase == Phase::Shifting && step == state.step && moved
}

/// I1: a bake counts only while every group was verified at the step's own weights.
pub(super) fn at_its_share(state: &State) -> bool {
    let pair = state.plan().step(state.verified_step).map(|step| step.pair);
    let mut images = state.verified.iter().flatten();
    images.all(|image| Some(image.pair()) == pair)
}

/// Returns true if a step needs no approval, or has one that was given for the step as it is now.
pub fn approved(state: &State, number: u16) -> bool {
    let Some(step) = state.plan().step(number) else {
        return false;
    };
    let given = state.approvals.get(&number);
    let fits =
        given.map(|given| (given.pair, given.bake_secs)) == Some((step.pair, step.bake.as_secs()));
    !step.approval || fits
}

/// Returns true if the window is open for step `number`, checked by the local time of day. A step that was begun inside its
/// window is finished in all its zones.
pub fn in_its_window(state: &State, number: u16, at: Timestamp) -> bool {
    let Some(windows) = &state.plan().windows else {
        return true;
    };
    let goes_on = goes_on(state, number);
    if goes_on || !windows.whole_bake {
        return goes_on || windows.is_open(at);
    }
    let over = at + decide::watched(state, number);
    let mut look = at;
    while look < over {
        if !windows.is_open(look) {
            return false;
        }
        look += LOOKS_APART;
    }
    true
}
