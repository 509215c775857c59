//! A film, printed.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::engine::event::{Envelope, Event};
use crate::engine::state::Phase;
use crate::report;
use crate::report::rehearsal::film::{Film, Reel};
use crate::report::text;

/// How the rehearsal ended, as `run` would say it: the gravest of its cutovers' ends.
pub(super) fn exit(film: &Film) -> Exit {
    let exits = film.reels.iter().map(|reel| match reel.phase {
        Phase::Completed => Exit::Done,
        Phase::Reverted => Exit::Reverted,
        Phase::Reverting => Exit::RevertUnfinished,
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => {
            Exit::Halted
        }
    });
    exits.max().unwrap_or(Exit::Done)
}

pub(super) fn to_json(film: &Film) -> Value {
    let cutover = |reel: &Reel| {
        json!({
            "name": reel.name,
            "phase": reel.phase.label(),
            "ended_at": text::rfc3339(reel.phase_since),
            "tally": reel.tally,
            "reaction": reel.reaction,
        })
    };
    let mut entries: Vec<Envelope> = film
        .reels
        .iter()
        .flat_map(|reel| reel.entries.iter().cloned())
        .collect();
    entries.sort_by_key(|entry| entry.at);
    json!({
        "cutovers": film.reels.iter().map(cutover).collect::<Vec<_>>(),
        "writes": calls(&film.calls, "ChangeResourceRecordSets"),
        "alarm_reads": calls(&film.calls, "DescribeAlarms"),
        "faults": film.faults,
        "history": report::history::to_json(&entries),
    })
}

fn calls(calls: &BTreeMap<String, u64>, operation: &str) -> u64 {
    calls.get(operation).copied().unwrap_or_default()
}

pub(super) fn print(context: &mut Context<'_>, film: &Film) -> Result<()> {
    let out = &mut context.out;
    for reel in &film.reels {
        let steps = text::count(reel.plan.steps.len(), "step");
        writeln!(out, "{}, {steps}:", reel.name)?;
        for entry in &reel.entries {
            if is_worth_a_line(&entry.event) {
                let at = text::minute(entry.at);
                writeln!(out, "  {at}  {}", report::event(&entry.event))?;
            }
        }
        let took = text::duration(reel.phase_since.duration_since(film.start));
        let whole = text::duration(film.end.duration_since(film.start));
        let verdict = match reel.phase {
            Phase::Completed => format!("completed after {took}"),
            Phase::Reverted => format!("reverted after {took}"),
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted => format!("still {} after {whole}", reel.phase.label()),
        };
        writeln!(out, "{}: {verdict}\n", reel.name)?;
    }
    let writes = calls(&film.calls, "ChangeResourceRecordSets");
    writeln!(
        out,
        "{} written to the simulated Route 53; alarms were read {} times.",
        text::count(usize::try_from(writes).unwrap_or(usize::MAX), "change"),
        calls(&film.calls, "DescribeAlarms"),
    )?;
    Ok(())
}

/// What a reader of the timeline wants to see; the rest is in the JSON.
fn is_worth_a_line(event: &Event) -> bool {
    matches!(
        event,
        Event::WeightChangeIntended { .. }
            | Event::WeightsVerified { .. }
            | Event::BakeStarted { .. }
            | Event::StepCompleted { .. }
            | Event::StepApproved { .. }
            | Event::RevertIntended { .. }
            | Event::Reverted { .. }
            | Event::Halted { .. }
            | Event::Completed {}
    )
}
