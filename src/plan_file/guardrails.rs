//! The guardrails of a fleet's file: a plan that breaks one is not loaded.

use jiff::SignedDuration;

use crate::engine::plan::Plan;
use crate::engine::units::Share;

use super::at::At;
use super::diagnostics::{Sink, Span};
use super::fields::{ABOVE_ZERO, duration};
use super::fleet_keys::count;
use super::lint::Places;
use super::raw::{CountText, RawGuardrails, ShareText};
use super::{durations, keys, steps};

/// The guardrails of a file, each with its place in it.
#[derive(Debug, Default)]
pub(super) struct Guardrails {
    first_step_at_most: Option<(Share, Span)>,
    step_at_most: Option<(Share, Span)>,
    bake_at_least: Option<(SignedDuration, Span)>,
    alarms_at_least: Option<(u32, Span)>,
    fallback_alarms_at_least: Option<(u32, Span)>,
}

/// The label of the guardrail's own place in a finding.
const HERE: &str = "the guardrail";

/// The valid guardrails.
pub(super) fn convert(raw: RawGuardrails, sink: &mut Sink<'_>) -> Guardrails {
    let alarms_at_least = number(raw.alarms_at_least, "alarms_at_least", sink);
    let fallback = raw.fallback_alarms_at_least;
    let fallback_alarms_at_least = number(fallback, "fallback_alarms_at_least", sink);
    let bake_at_least = raw.bake_at_least.and_then(|text| {
        let bake = duration::<RawGuardrails>(&text, "bake_at_least", &ABOVE_ZERO, sink)?;
        Some((bake, text.span))
    });
    Guardrails {
        first_step_at_most: raw
            .first_step_at_most
            .and_then(|text| share(text, "first_step_at_most", sink)),
        step_at_most: raw
            .step_at_most
            .and_then(|text| share(text, "step_at_most", sink)),
        bake_at_least,
        alarms_at_least,
        fallback_alarms_at_least,
    }
}

fn number(text: Option<At<CountText>>, key: &str, sink: &mut Sink<'_>) -> Option<(u32, Span)> {
    let text = text?;
    Some((count::<RawGuardrails>(&text, key, sink)?, text.span))
}

fn share(text: At<ShareText>, key: &str, sink: &mut Sink<'_>) -> Option<(Share, Span)> {
    if text.value.as_ref()?.0.parse() == Ok(Share::ZERO) {
        let message = format!("`{key}` of 0% allows no step at all, so no plan could keep to it");
        let help = format!(
            "write for example `{}`, or leave it out",
            keys::line_of::<RawGuardrails>(key)
        );
        sink.error(&text.span, message, &help);
        return None;
    }
    match steps::weights(text.value.as_ref()?) {
        Ok((share, _)) => Some((share, text.span)),
        Err((message, help)) => {
            sink.error(&text.span, message, &help);
            None
        }
    }
}

/// Reports each guardrail that a plan breaks. The places of the fleet's file begin at `base`.
pub(super) fn check(
    plan: &Plan,
    places: &Places,
    guardrails: &Guardrails,
    base: usize,
    sink: &mut Sink<'_>,
) {
    check_steps(plan, places, guardrails, base, sink);
    let gates = &plan.gates;
    let counts = [
        (
            "alarms",
            gates.alarms.len(),
            &places.alarms,
            &guardrails.alarms_at_least,
        ),
        (
            "fallback_alarms",
            gates.fallback_alarms.len(),
            &places.fallback_alarms,
            &guardrails.fallback_alarms_at_least,
        ),
    ];
    for (key, listed, place, least) in counts {
        let Some((least, span)) = least else {
            continue;
        };
        let wanted = usize::try_from(*least).unwrap_or(usize::MAX);
        if listed < wanted {
            let message = format!(
                "the fleet requires `{key}_at_least: {least}`, but the plan lists {listed}"
            );
            let help = format!("list {} more under `{key}`", wanted - listed);
            sink.conflict(place, message, &help, (&shifted(span, base), HERE));
        }
    }
}

/// A place in the fleet's file as the sink counts it.
fn shifted(span: &Span, base: usize) -> Span {
    span.start + base..span.end + base
}

fn check_steps(
    plan: &Plan,
    places: &Places,
    guardrails: &Guardrails,
    base: usize,
    sink: &mut Sink<'_>,
) {
    let mut before = Share::ZERO;
    for (index, (step, (weight, bake))) in plan.steps.iter().zip(&places.steps).enumerate() {
        if let (0, Some((most, span))) = (index, &guardrails.first_step_at_most)
            && step.share > *most
        {
            let message = format!(
                "the first step is {}, but the fleet allows at most {most}",
                step.share
            );
            let help = format!("put a step of `{most}` or less before it");
            sink.conflict(weight, message, &help, (&shifted(span, base), HERE));
        }
        let rise = step.share.millionths().saturating_sub(before.millionths());
        if let Some((most, span)) = &guardrails.step_at_most
            && rise > most.millionths()
        {
            let message = format!(
                "the step from {before} to {} rises by more than the fleet allows, {most} of all traffic",
                step.share
            );
            let help = "put a step between the two";
            sink.conflict(weight, message, help, (&shifted(span, base), HERE));
        }
        if let Some((least, span)) = &guardrails.bake_at_least
            && step.bake < *least
        {
            let least = durations::show(*least);
            let message = format!(
                "the bake is {}, but the fleet requires at least {least}",
                durations::show(step.bake)
            );
            let help = format!("write `bake: {least}` or more");
            sink.conflict(bake, message, &help, (&shifted(span, base), HERE));
        }
        before = step.share;
    }
}
