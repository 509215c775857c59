//! The part of `cutover preview` about metric gates: when each can first judge each step, and which bakes are too
//! short.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::{check, evidence, text};
use crate::engine::evidence::outlook::{GateOutlook, Outlook};
use crate::engine::plan::Plan;

/// Returns a table with a line for each gate of each step.
pub(super) fn to_text(outlook: &Outlook, plan: &Plan) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["step", "share", "gate", "needs", "can judge"]);
    for gate in &outlook.gates {
        table.add_row([
            gate.step.to_string(),
            share(plan, gate.step),
            evidence::gate(&gate.gate),
            needs(gate),
            when(gate),
        ]);
    }
    check::right_align(&mut table, &[0, 1]);
    format!(
        "\n  gates, at {} requests a minute, as many as in the last hour\n{}",
        outlook.a_minute,
        check::indented(&table)
    )
}

/// Returns the gates of one step as a JSON array.
pub(super) fn to_json(outlook: &Outlook, step: u16) -> Value {
    let of_step = outlook.gates.iter().filter(|gate| gate.step == step);
    of_step
        .map(|gate| {
            json!({
                "gate": gate.gate,
                "requests_needed": gate.needed,
                "over_mins": gate.over_mins,
                "requests_expected": gate.expected,
                "judges_after_secs": gate.after.map(|after| after.as_secs()),
            })
        })
        .collect()
}

/// Returns a warning for each gate that cannot judge a step before its bake is over.
pub fn warnings(outlook: &Outlook, plan: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    for gate in &outlook.gates {
        if gate.is_too_late(plan) {
            warnings.extend(warning(gate, outlook, plan));
        }
    }
    warnings
}

fn warning(gate: &GateOutlook, outlook: &Outlook, plan: &Plan) -> Option<String> {
    let step = plan.step(gate.step)?;
    let of_step = format!(
        "step {} ({}, bake {})",
        gate.step,
        step.share,
        text::duration(step.bake)
    );
    let named = evidence::gate(&gate.gate);
    let rate = outlook.a_minute;
    if let (Some(needed), Some(mins), Some(expected)) = (gate.needed, gate.over_mins, gate.expected)
        && expected < needed
    {
        let shown = match gate.errors_show {
            Some(errors) => format!(
                "; until then it fails only if more than {errors} requests fail in that time"
            ),
            None => String::new(),
        };
        return Some(format!(
            "{of_step}: {named} needs {} requests of the new side in {mins} minutes, and about {} are expected, at {rate} requests \
             a minute in total{shown}: give the step a larger share, or the gate a longer `every`",
            evidence::thousands(needed),
            evidence::thousands(expected),
        ));
    }
    let Some(after) = gate.after else {
        return Some(format!(
            "{of_step}: {named} cannot judge at {rate} requests a minute: remove it from the plan, or judge the step yourself"
        ));
    };
    let Some(needed) = gate.needed else {
        return Some(format!(
            "{of_step}: the bake is over before {named} can judge, after {}: make the bake longer",
            text::duration(after)
        ));
    };
    let waits = evidence::waits(&gate.gate);
    Some(format!(
        "{of_step}: the bake is too short for {named}, which needs {} requests of the new side: about {} at {rate} requests a minute in \
         total; {waits}",
        evidence::thousands(needed),
        text::duration(after)
    ))
}

fn share(plan: &Plan, step: u16) -> String {
    match plan.step(step) {
        Some(step) => step.share.to_string(),
        None => String::new(),
    }
}

fn needs(gate: &GateOutlook) -> String {
    match (gate.needed, gate.over_mins) {
        (None, _) => String::new(),
        (Some(needed), None) => format!("{} requests", evidence::thousands(needed)),
        (Some(needed), Some(mins)) => {
            format!("{} requests in {mins}m", evidence::thousands(needed))
        }
    }
}

fn when(gate: &GateOutlook) -> String {
    match gate.after {
        None => "not at this share".to_owned(),
        Some(after) => format!("after {} of bake", text::duration(after)),
    }
}
