//! The output of `cutover backtest`: the past of each gate as numbers and as a strip, how each start would have ended, and
//! advice for the plan.

mod json;
mod strips;
#[cfg(test)]
mod tests;

pub use super::rehearsal::Look;
pub use json::to_json;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::{SignedDuration, Timestamp};

use super::check::{indented, minimum_duration, right_align};
use super::rehearsal::cells::shortened;
use super::{holds, text};
use crate::engine::backtest::{Backtest, End, FLAP_WITHIN, GatePast, Run, Sight, Stretch};
use crate::engine::observation::AlarmState;

/// Returns a time to the minute with its weekday: `Sat 2026-11-07 17:00`.
fn weekday_minute(look: &Look, at: Timestamp) -> String {
    let zoned = at.to_zoned(look.zone.clone());
    zoned.strftime("%a %Y-%m-%d %H:%M").to_string()
}

/// Returns all backtests as text for people, one below the other.
pub fn to_text(backtests: &[Backtest], look: &Look) -> String {
    let shown: Vec<String> = backtests.iter().map(|test| one(test, look)).collect();
    shown.join("\n")
}

fn one(test: &Backtest, look: &Look) -> String {
    let mut blocks = vec![heading(test, look)];
    blocks.extend(gates(test, look));
    blocks.extend(left_out(test, look));
    if look.charts {
        blocks.extend(strips::to_text(test, look));
    }
    blocks.extend(first(test, look));
    blocks.push(ends(test, look));
    let advice = advice(test);
    if !advice.is_empty() {
        let lines: Vec<String> = advice.iter().map(|line| marked(line, look)).collect();
        blocks.push(lines.join("\n"));
    }
    let mut shown = blocks.join("\n\n");
    shown.push('\n');
    shown
}

fn heading(test: &Backtest, look: &Look) -> String {
    let zone = look.zone.iana_name().unwrap_or("UTC");
    let rest = format!(
        "{} to {} ({zone}), a start every {}",
        look.minute(test.since),
        look.minute(test.until),
        text::duration(test.every),
    );
    let name = test.source.plan.name.as_str();
    let line = text::wrap(&format!("{name}: {rest}"), 0, look.width);
    let rest = line.strip_prefix(name).unwrap_or_default();
    format!("{}{rest}", text::styled(text::TITLE, name))
}

/// Number of columns that the numbers of a gate take.
const NUMBER_CELLS: usize = 54;

/// Smallest number of columns to which the name of a gate is shortened.
const NAME_CELLS_MIN: usize = 24;

/// Returns a table with a line for each gate that takes part; `None` if no gate does.
fn gates(test: &Backtest, look: &Look) -> Option<String> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "gate", "red", "in total", "longest", "flaps", "no data", "reverted",
    ]);
    for gate in &test.gates {
        if gate.sight.takes_part() {
            let mut name = gate.id.to_string();
            if let Some(width) = look.width {
                let cells = width.saturating_sub(NUMBER_CELLS).max(NAME_CELLS_MIN);
                name = shortened(&name, cells);
            }
            table.add_row(gate_row(gate, name, test.runs.len()));
        }
    }
    if table.is_empty() {
        return None;
    }
    right_align(&mut table, &[1, 2, 3, 4, 5, 6]);
    Some(indented(&table).trim_end().to_owned())
}

fn gate_row(gate: &GatePast, name: String, starts: usize) -> Vec<String> {
    let longest = gate.visits().map(Stretch::length).max();
    let reverted = match (gate.fallback, gate.reverted) {
        (true, _) => "fallback".to_owned(),
        (false, 0) => number_or_dash(0),
        (false, reverted) => format!(
            "{} of {}",
            text::thousands(reverted),
            text::thousands(starts)
        ),
    };
    vec![
        name,
        number_or_dash(gate.visits().count()),
        length_or_dash(gate.time_in(AlarmState::Alarm)),
        length_or_dash(longest.unwrap_or_default()),
        number_or_dash(gate.flaps()),
        length_or_dash(gate.time_in(AlarmState::InsufficientData)),
        reverted,
    ]
}

fn number_or_dash(number: usize) -> String {
    if number == 0 {
        return "–".to_owned();
    }
    text::thousands(number)
}

fn length_or_dash(length: SignedDuration) -> String {
    if length.is_zero() {
        return "–".to_owned();
    }
    text::duration(length)
}

/// Returns the gates that take no part, and why; `None` if all take part.
fn left_out(test: &Backtest, look: &Look) -> Option<String> {
    let mut lines = Vec::new();
    for gate in &test.gates {
        let why = match &gate.sight {
            Sight::Seen => continue,
            Sight::NeverData => "it never had data".to_owned(),
            Sight::Missing => "CloudWatch does not know it".to_owned(),
            Sight::Unreadable(message) => format!("it could not be read: {message}"),
            Sight::NotRecorded => "it is not in the record".to_owned(),
            Sight::NotThen => "nobody moved traffic then".to_owned(),
        };
        let line = format!("{} is left out: {why}", gate.id);
        lines.push(text::wrap(&line, 0, look.width));
    }
    if lines.is_empty() {
        return None;
    }
    Some(lines.join("\n"))
}

/// Describes how the first start would have ended; `None` if there was no start.
fn first(test: &Backtest, look: &Look) -> Option<String> {
    let run = test.runs.first()?;
    let line = format!(
        "Started on {}: {}.",
        weekday_minute(look, run.start),
        ended(test, run, look)
    );
    Some(text::wrap(&line, 0, look.width))
}

/// Describes how one start would have ended, without a period.
fn ended(test: &Backtest, run: &Run, look: &Look) -> String {
    match &run.end {
        End::Completed { at } => format!("it would have completed in {}", took_until(run, *at)),
        End::Reverted { at, step, cause } => format!(
            "it would have reverted after {}, on {} at step {step}: {}",
            took_until(run, *at),
            weekday_minute(look, *at),
            holds::cause(cause)
        ),
        End::Halted { at, step, reason } => format!(
            "it would have halted after {}, on {} at step {step}: {}",
            took_until(run, *at),
            weekday_minute(look, *at),
            holds::halt_fact(reason)
        ),
        End::Cut { step, because } => {
            let held = match because.first() {
                Some(reason) => format!(
                    ": {}",
                    holds::hold(reason, &test.source.plan.name, test.until)
                ),
                None => String::new(),
            };
            match step {
                0 => format!("it would never have started{held}"),
                step => {
                    format!("it would still be under way at step {step} when the record ends{held}")
                }
            }
        }
    }
}

fn took_until(run: &Run, at: Timestamp) -> String {
    text::duration(at.duration_since(run.start))
}

/// Counts how all starts would have ended, in sentences.
fn ends(test: &Backtest, look: &Look) -> String {
    if test.runs.is_empty() {
        return text::wrap(
            "No result: no gate of this plan has data in all this time.",
            0,
            look.width,
        );
    }
    let ends = test.ends();
    let all = test.runs.len();
    let mut parts = Vec::new();
    for (number, what) in [
        (ends.completed, "completed"),
        (ends.reverted, "reverted"),
        (ends.halted, "halted for a person"),
        (ends.cut, "still under way when the record ends"),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", text::thousands(number)));
        }
    }
    let mut lines = vec![format!(
        "{}: {}.",
        text::count(all, "start"),
        parts.join(", ")
    )];
    if let Some(week) = test.week() {
        lines.push(format!(
            "Within a week of the start it would have reverted in {} of {} cases ({}).",
            text::thousands(week.reverted),
            text::thousands(week.starts),
            percent(week.reverted, week.starts),
        ));
    }
    lines.push(took(test));
    let lines: Vec<String> = lines
        .iter()
        .map(|line| text::wrap(line, 0, look.width))
        .collect();
    lines.join("\n")
}

/// Describes how long the starts took that completed.
fn took(test: &Backtest) -> String {
    let took = test.took();
    match (took.first(), took.get(took.len() / 2), took.last()) {
        (Some(least), Some(_), Some(most)) if text::duration(*least) == text::duration(*most) => {
            format!("Completing took {}.", text::duration(*least))
        }
        (Some(least), Some(middle), Some(most)) => format!(
            "Completing took {} to {}, half of the time up to {}.",
            text::duration(*least),
            text::duration(*most),
            text::duration(*middle)
        ),
        _ => format!(
            "None completed; without any hold the plan takes {}, and the record covers {}.",
            text::duration(minimum_duration(&test.source.plan)),
            text::duration(test.until.duration_since(test.since)),
        ),
    }
}

/// Returns a part in whole percent. A part above zero is never shown as 0%.
fn percent(part: usize, whole: usize) -> String {
    match (part * 200 + whole) / (2 * whole.max(1)) {
        0 if part > 0 => "under 1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// Returns warnings about gates that must be fixed before the plan can be trusted.
fn advice(test: &Backtest) -> Vec<String> {
    let mut advice = Vec::new();
    for gate in &test.gates {
        let (id, visits, flaps) = (&gate.id, gate.visits().count(), gate.flaps());
        match &gate.sight {
            Sight::Seen if flaps > 0 && !gate.fallback => advice.push(format!(
                "{id} flaps: {flaps} of {} {} over within {}, and each reverts the cutover; let it need more datapoints, \
                 or use another alarm",
                text::count(visits, "red period"),
                if visits == 1 { "was" } else { "were" },
                text::duration(FLAP_WITHIN),
            )),
            Sight::NeverData => advice.push(format!(
                "{id} never had data: after the first step it holds the cutover until it has; if no data is normal for \
                 it, set `no_data: pass`"
            )),
            Sight::Missing => advice.push(format!(
                "{id} does not exist: the cutover would not start"
            )),
            Sight::Seen
            | Sight::Unreadable(_)
            | Sight::NotRecorded
            | Sight::NotThen => {}
        }
    }
    advice
}

fn marked(line: &str, look: &Look) -> String {
    let wrapped = text::wrap(&format!("warning: {line}"), 0, look.width);
    match wrapped.strip_prefix("warning:") {
        Some(rest) => format!("{}{rest}", text::styled(text::WARN, "warning:")),
        None => wrapped,
    }
}
