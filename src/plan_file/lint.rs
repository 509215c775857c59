//! Warnings about plans that load, but that people may regret.

use crate::engine::plan::{HoldOrRevert, Plan};
use crate::engine::units::Share;

use super::at::At;
use super::diagnostics::{Sink, Span};
use super::raw::{RawPlan, RawStep};
use super::windows;

/// The places in the file that a warning may be about.
pub(super) struct Places {
    gates: Span,
    on_unknown: Span,
    both_red: Span,
    first_weight: Span,
    /// The weight and the bake of each step.
    pub(super) steps: Vec<(Span, Span)>,
    pub(super) alarms: Span,
    pub(super) fallback_alarms: Span,
    whole_bake: Span,
    pub(super) windows: Span,
}

/// The largest first step without a warning.
const FIRST_STEP_PERCENT_MAX: u8 = 10;

impl Places {
    /// Collects the places before the model is converted.
    pub(super) fn of(raw: &RawPlan) -> Self {
        let gates = raw.gates.as_ref().and_then(|gates| gates.value.as_ref());
        let windows = raw.windows.as_ref();
        let windows = windows.and_then(|windows| windows.value.as_ref());
        let steps = raw.steps.as_ref().and_then(|steps| steps.value.as_ref());
        let first = steps.and_then(|steps| steps.first()?.value.as_ref());
        Self {
            gates: place(raw.gates.as_ref()),
            on_unknown: place(gates.and_then(|gates| gates.on_unknown.as_ref())),
            both_red: place(gates.and_then(|gates| gates.both_red.as_ref())),
            windows: place(raw.windows.as_ref()),
            whole_bake: place(windows.and_then(|windows| windows.whole_bake.as_ref())),
            first_weight: place(first.and_then(|step| step.weight.as_ref())),
            steps: steps.into_iter().flatten().map(step_places).collect(),
            alarms: within(
                raw.gates.as_ref(),
                gates.and_then(|gates| gates.alarms.as_ref()),
            ),
            fallback_alarms: within(
                raw.gates.as_ref(),
                gates.and_then(|gates| gates.fallback_alarms.as_ref()),
            ),
        }
    }
}

fn step_places(step: &At<RawStep>) -> (Span, Span) {
    let raw = step.value.as_ref();
    (
        within(Some(step), raw.and_then(|step| step.weight.as_ref())),
        within(Some(step), raw.and_then(|step| step.bake.as_ref())),
    )
}

/// The place of a part, or of the whole if there is no such part.
fn within<W, T>(whole: Option<&At<W>>, part: Option<&At<T>>) -> Span {
    part.map_or_else(|| place(whole), |part| part.span.clone())
}

fn place<T>(at: Option<&At<T>>) -> Span {
    at.map_or(0..0, |at| at.span.clone())
}

/// Warns about a plan, and refuses steps for which no window is long enough.
pub(super) fn lint(plan: &Plan, places: &Places, sink: &mut Sink<'_>) {
    windows::bakes_fit(plan, &places.whole_bake, sink);
    if plan.gates.on_unknown == HoldOrRevert::Revert {
        sink.warning(
            &places.on_unknown,
            "an outage of CloudWatch would take all traffic back to the old cluster",
            "write `on_unknown: hold`, which pages a person instead, unless this is what you want",
        );
    }
    if plan.gates.both_red == HoldOrRevert::Revert {
        sink.warning(
            &places.both_red,
            "traffic would go back to an old cluster that is red itself",
            "write `both_red: hold`, which pages a person instead, unless this is what you want",
        );
    }
    if plan.gates.fallback_alarms.is_empty() {
        sink.warning(
            &places.gates,
            "no fallback alarm is listed, so cutover cannot tell whether the old cluster can take the traffic back",
            "list an alarm of the old cluster: `fallback_alarms: [ recipe-api-old-unhealthy-hosts ]`",
        );
    }
    let all_at_once = plan
        .steps
        .iter()
        .all(|step| step.share == Share::percent(100));
    if plan.gates.measures.regression.is_some() && all_at_once {
        sink.warning(
            &places.gates,
            "`regression` has nothing to compare: the first step leaves the old cluster no traffic",
            "add a step before it, for example `{ weight: 10%, bake: 4h }`",
        );
    }
    if let Some(first) = plan.steps.first()
        && first.share > Share::percent(FIRST_STEP_PERCENT_MAX)
    {
        let share = first.share;
        sink.warning(
            &places.first_weight,
            format!("the first step gives the new cluster {share} of the traffic at once"),
            "begin with 1% to 10%, so that a broken cluster is seen by few",
        );
    }
}
