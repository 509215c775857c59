//! Decisions to take a step.

use jiff::SignedDuration;

use super::decision::{Decision, How, Order, Part, Purpose};
use super::limits::PERFORM_WITHIN;
use super::view::View;
use super::{hooks, turn};
use crate::event::{Event, Target};
use crate::hold::HoldReason;
use crate::preflight;
use crate::record::GroupImage;

/// The pause before an abandoned step is tried again. A refusal comes back within milliseconds, and sending again at
/// that pace would itself be a reason to refuse.
const TRY_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Takes the first step, if nothing holds it. `blockers` are the holds on it.
pub(super) fn start(view: &View<'_>, blockers: &[HoldReason]) -> Decision {
    // Hundreds of cutovers may wait for the fleet. Their records are read only when the fleet no longer holds them.
    if !view.fleet.holds(view.state, view.now).is_empty() {
        return Decision::default();
    }
    let images = preflight::images(view.state, view.observation);
    if let Some(mut wait) = turn::wait(view, 1) {
        wait.because.extend(images.err().unwrap_or_default());
        wait.because.extend(turn::known_problems(view));
        return wait;
    }
    let images = match images {
        Ok(images) => images,
        Err(mut because) => {
            because.extend(turn::known_problems(view));
            return Decision {
                because,
                ..Decision::default()
            };
        }
    };
    if !blockers.is_empty() {
        return Decision::default();
    }
    if let Some(called) = hooks::before_step(view, 1) {
        return called;
    }
    let baseline = if view.state.baseline.is_none() {
        Some(images.clone())
    } else {
        None
    };
    let mut decision = intend(view, 1, &images, baseline);
    if decision.takes_a_step() && view.fleet.settings.max_in_flight.is_some() {
        let of = view.state.name.clone();
        decision.fleet.push(Event::FleetSlotTaken { of });
    }
    decision
}

/// Returns the decision to take step `number`. `images` are the images of all groups. Groups that already have the
/// step's weights are not written, except in the first step.
pub(super) fn intend(
    view: &View<'_>,
    number: u16,
    images: &[GroupImage],
    baseline: Option<Vec<GroupImage>>,
) -> Decision {
    let Some(step) = view.state.plan().step(number) else {
        return Decision::default();
    };
    let again_at = view.state.abandoned_at.map(|at| at + TRY_AGAIN_AFTER);
    if let Some(again_at) = again_at.filter(|at| *at > view.now) {
        let mut decision = Decision::hold(HoldReason::Shifting {
            step: number,
            message: Some(match &view.state.abandoned_for {
                Some(why) => format!("{why}; the write is sent again"),
                None => "the last write was abandoned; the next one follows".to_owned(),
            }),
        });
        decision.wake_at = Some(again_at);
        return decision;
    }
    let first = view.state.verified.is_none();
    let (mut targets, mut parts) = (Vec::new(), Vec::new());
    for (group, image) in images.iter().enumerate() {
        if first || image.pair() != step.pair {
            targets.push(Target {
                group,
                zone: image.zone.clone(),
                from: image.clone(),
                to: step.pair,
            });
            parts.push(Part {
                group,
                image: image.clone(),
                to: step.pair,
                how: How::Swap,
            });
        }
    }
    let write_id = view.next_write_id();
    let perform_by = view.now + PERFORM_WITHIN;
    // If all groups have these weights already, nothing is sent, and reading back verifies the step.
    let order = if parts.is_empty() {
        None
    } else {
        Some(Order {
            write_id: write_id.clone(),
            purpose: Purpose::Step,
            parts,
            send_by: Some(perform_by),
        })
    };
    let owner = view.observation.me.clone();
    let event = Event::WeightChangeIntended {
        write_id,
        owner,
        perform_by,
        step: number,
        targets,
        baseline,
    };
    Decision {
        events: vec![event],
        order,
        ..Decision::default()
    }
}
