//! The `steps` of a plan.

use crate::engine::plan::{ApprovalTimeout, HoldOrRevert, Step};
use crate::engine::units::{Share, ShareError, WeightPair};

use super::at::At;
use super::diagnostics::{Sink, Span, quote};
use super::fields::{ABOVE_ZERO, choice, duration, require_all, require_in};
use super::raw::{ApprovalEntry, RawStep, ShareText};
use super::shapes::Complaint;

/// The most steps of a plan: one per percent. Finer ladders would bake for years.
const STEPS_MAX: usize = 100;

/// The steps of a plan; none if the list itself could not be read.
pub(super) fn convert(steps: At<Vec<At<RawStep>>>, sink: &mut Sink<'_>) -> Option<Vec<Step>> {
    let (span, steps) = (steps.span, steps.value?);
    let Some(last) = steps.last().map(|last| last.span.clone()) else {
        let help = "list at least one: `- { weight: 100%, bake: 1d }`";
        sink.error(&span, "no step is listed, so nothing would ever move", help);
        return Some(Vec::new());
    };
    if let Some(first_too_many) = steps.get(STEPS_MAX) {
        let message = format!("{} steps are listed; {STEPS_MAX} are the most", steps.len());
        sink.error(&first_too_many.span, message, "take larger steps");
        return None;
    }
    let (mut converted, mut shares) = (Vec::new(), Vec::<Placed>::new());
    let mut unread = false;
    for At { span, value } in steps {
        let Some(raw) = value else {
            unread = true;
            continue;
        };
        let keys = [
            ("weight", raw.weight.is_some()),
            ("bake", raw.bake.is_some()),
        ];
        require_all(
            &keys,
            "this step",
            "a step is `{ weight: 5%, bake: 4h }`",
            &span,
            sink,
        );
        let bake = raw
            .bake
            .and_then(|bake| duration::<RawStep>(&bake, "bake", &ABOVE_ZERO, sink));
        let first = shares.is_empty();
        let required = raw.approval.is_some();
        let timeout = raw
            .approval
            .and_then(|approval| timeout(approval, first, sink));
        let Some(placed) = raw.weight.and_then(|weight| placed(&weight, sink)) else {
            unread = true;
            continue;
        };
        if let Some(before) = shares.last() {
            check_rise(&placed, before, sink);
        }
        if let Some(bake) = bake {
            converted.push(Step {
                share: placed.share,
                pair: placed.pair,
                bake,
                approval: required,
                approval_timeout: timeout,
            });
        }
        shares.push(placed);
    }
    let top = shares.iter().map(|placed| placed.share).max();
    if !unread && top.is_some_and(|share| share < Share::FULL) {
        let message = "the steps do not end at 100%";
        let help = "add a last step, for example `- { weight: 100%, bake: 1d }`";
        sink.error(&last, message, help);
    }
    Some(converted)
}

/// The timeout of the step's approval, if the plan sets one.
fn timeout(
    approval: At<ApprovalEntry>,
    first: bool,
    sink: &mut Sink<'_>,
) -> Option<ApprovalTimeout> {
    let (span, raw) = (approval.span, approval.value?);
    if raw.approval.is_some() && raw.timeout.is_none() && raw.on_timeout.is_none() {
        return None;
    }
    let timeout =
        require_in::<ApprovalEntry, _>(raw.timeout, "timeout", "this `approval`", &span, sink)?;
    let after = duration::<ApprovalEntry>(&timeout, "timeout", &ABOVE_ZERO, sink)?;
    let place = raw.on_timeout.as_ref().map(|choice| choice.span.clone());
    let on_timeout = choice(raw.on_timeout);
    if first && on_timeout == HoldOrRevert::Revert {
        let message = "before the first step there is nothing to take back";
        let help = "write `on_timeout: hold`, which pages a person";
        sink.error(&place.unwrap_or(span), message, help);
    }
    Some(ApprovalTimeout { after, on_timeout })
}

/// A step's share and weights, and their place.
struct Placed {
    span: Span,
    share: Share,
    pair: WeightPair,
}

fn placed(weight: &At<ShareText>, sink: &mut Sink<'_>) -> Option<Placed> {
    match weights(weight.value.as_ref()?) {
        Ok((share, pair)) => Some(Placed {
            span: weight.span.clone(),
            share,
            pair,
        }),
        Err((message, help)) => {
            sink.error(&weight.span, message, &help);
            None
        }
    }
}

/// Reports a step that does not give the new cluster more than the one before it.
fn check_rise(step: &Placed, before: &Placed, sink: &mut Sink<'_>) {
    let place = (&before.span, "the step before");
    let (share, pair) = (step.share, step.pair);
    if share <= before.share {
        let message = format!(
            "the steps must rise, but {share} comes after {}",
            before.share
        );
        let help = "put the steps in rising order, each share once";
        sink.conflict(&step.span, message, help, place);
    } else if !pair.gives_new_more_than(before.pair) {
        let message = format!(
            "{share} and {} are the same weights, {pair} (old/new), in Route 53",
            before.share
        );
        let help = "remove one of the two; Route 53's weights are whole numbers up to 255";
        sink.conflict(&step.span, message, help, place);
    }
}

/// The share in a text, and the weights that express it.
pub(super) fn weights(text: &ShareText) -> Result<(Share, WeightPair), Complaint> {
    let share: Share = text.0.parse().map_err(|error| complaint(&error))?;
    if share == Share::ZERO {
        let message = "a step of 0% moves nothing".to_owned();
        return Err((
            message,
            "remove the step; the old cluster has 100% until the first one".to_owned(),
        ));
    }
    let pair = WeightPair::closest(share).map_err(|error| complaint(&error))?;
    Ok((share, pair))
}

fn complaint(error: &ShareError) -> Complaint {
    match error {
        ShareError::NoUnit(text) => {
            let hundredfold = match text.parse::<f64>() {
                Ok(number) if number > 0.0 && number < 1.0 => {
                    let percent = (number * 100.0 * 1e6).round() / 1e6;
                    format!(" (or `{percent}%`, if you meant a fraction of 1)")
                }
                _ => String::new(),
            };
            let message = format!("{} has no unit", quote(text));
            (message, format!("write `{text}%`{hundredfold}"))
        }
        ShareError::NotANumber(text) => {
            let message = format!("{} is not a share of the traffic", quote(text));
            (message, "write for example `5%`".to_owned())
        }
        ShareError::OutOfRange(text) => {
            let message = format!("{} is not between 0% and 100%", quote(text));
            (message, "write for example `5%`".to_owned())
        }
        ShareError::TooPrecise(text) => {
            let message = format!("{} has more than six decimals", quote(text));
            let help = "round it; Route 53's weights cannot express such a fine share";
            (message, help.to_owned())
        }
        ShareError::RoundsToZero(share) => {
            let message = format!("{share} is less than Route 53 can express, and would be 0%");
            let help = "write `0.390625%` (1 of 256, the smallest share) or more";
            (message, help.to_owned())
        }
    }
}
