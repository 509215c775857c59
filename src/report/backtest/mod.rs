//! What `cutover backtest` says: what each gate went through, a strip of it, how each start would have ended, and what that
//! means for the plan.

mod json;
mod strips;
#[cfg(test)]
mod tests;

pub use json::to_json;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::check::indented;
use super::check::minimum_duration;
use super::check::right_align;
use super::holds;
use super::rehearsal::cells::shortened;
use super::text;
use crate::engine::backtest::Backtest;
use crate::engine::backtest::End;
use crate::engine::backtest::FLAP_WITHIN;
use crate::engine::backtest::GatePast;
use crate::engine::backtest::Run;
use crate::engine::backtest::Sight;
use crate::engine::backtest::Stretch;
use crate::engine::observation::AlarmState;

/// How a backtest is shown.
#[derive(Debug, Clone)]
pub struct Look {
    /// How wide text may be; none where a line may be as long as it is.
    pub width: Option<usize>,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// Whether the strips are drawn.
    pub charts: bool,
}

impl Look {
    /// A time to the minute, without its weekday: `2026-11-07 17:00`.
    fn day(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// A time to the minute: `Sat 2026-11-07 17:00`.
    fn minute(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%a %Y-%m-%d %H:%M").to_string()
    }
}

/// All backtests for people, one below the other.
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
        look.day(test.since),
        look.day(test.until),
        text::duration(test.every),
    );
    let name = test.source.plan.name.as_str();
    let line = text::wrap(&format!("{name}: {rest}"), 0, look.width);
    let rest = line.strip_prefix(name).unwrap_or_default();
    format!("{}{rest}", text::styled(text::TITLE, name))
}

/// So many columns the numbers of a gate take.
const NUMBER_CELLS: usize = 54;

/// Names are not cut off below this.
const NAME_CELLS_MIN: usize = 24;

/// A line for each gate that takes part; none where no gate does.
fn gates(test: &Backtest, look: &Look) -> Option<String> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "gate",
        "red",
        "in all",
        "longest",
        "flaps",
        "no data",
        "took back",
    ]);
    let cells = look.width.map(|width| width.saturating_sub(NUMBER_CELLS));
    let cells = cells.map(|cells| cells.max(NAME_CELLS_MIN));
    let seen = test.gates.iter().filter(|gate| gate.sight.takes_part());
    for gate in seen.clone() {
        let id = gate.id.to_string();
        let name = cells.map_or_else(|| id.clone(), |cells| shortened(&id, cells));
        table.add_row(gate_row(gate, name, test.runs.len()));
    }
    right_align(&mut table, &[1, 2, 3, 4, 5, 6]);
    let shown = indented(&table).trim_end().to_owned();
    (seen.count() > 0).then_some(shown)
}

fn gate_row(gate: &GatePast, name: String, starts: usize) -> Vec<String> {
    let dash = || "–".to_owned();
    let some = |number: usize| {
        if number == 0 {
            dash()
        } else {
            text::thousands(number)
        }
    };
    let time = |length: SignedDuration| {
        if length.is_zero() {
            dash()
        } else {
            text::duration(length)
        }
    };
    let longest = gate.visits().map(Stretch::length).max();
    vec![
        name,
        some(gate.visits().count()),
        time(gate.time_in(AlarmState::Alarm)),
        time(longest.unwrap_or_default()),
        some(gate.flaps()),
        time(gate.time_in(AlarmState::InsufficientData)),
        match (gate.fallback, gate.reverted) {
            (true, _) => "way back".to_owned(),
            (false, 0) => dash(),
            (false, reverted) => {
                format!(
                    "{} of {}",
                    text::thousands(reverted),
                    text::thousands(starts)
                )
            }
        },
    ]
}

/// The gates that take no part, and why.
fn left_out(test: &Backtest, look: &Look) -> Option<String> {
    let lines = test.gates.iter().filter_map(|gate| {
        let why = match &gate.sight {
            Sight::Seen => return None,
            Sight::NeverData => "it never had data".to_owned(),
            Sight::Missing => "CloudWatch does not know it".to_owned(),
            Sight::Unreadable(message) => format!("it could not be read: {message}"),
            Sight::NotRecorded => "the record has nothing of it".to_owned(),
            Sight::NotThen => "nobody moved traffic then".to_owned(),
        };
        Some(text::wrap(
            &format!("{} is left out: {why}", gate.id),
            0,
            look.width,
        ))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The first start in full.
fn first(test: &Backtest, look: &Look) -> Option<String> {
    let run = test.runs.first()?;
    let line = format!(
        "Started on {}: {}.",
        look.minute(run.start),
        ended(test, run, look)
    );
    Some(text::wrap(&line, 0, look.width))
}

/// How one start ended, without a period.
fn ended(test: &Backtest, run: &Run, look: &Look) -> String {
    let after = |at: Timestamp| text::duration(at.duration_since(run.start));
    match &run.end {
        End::Completed { at } => format!("it would have gone through in {}", after(*at)),
        End::Reverted { at, step, cause } => format!(
            "it would have been taken back after {}, on {} at step {step}: {}",
            after(*at),
            look.minute(*at),
            holds::cause(cause)
        ),
        End::Halted { at, step, reason } => format!(
            "it would have stopped after {}, on {} at step {step}: {}",
            after(*at),
            look.minute(*at),
            holds::halt_fact(reason)
        ),
        End::Cut { step, because } => {
            let held = because.first().map_or_else(String::new, |reason| {
                format!(
                    ": {}",
                    holds::hold(reason, &test.source.plan.name, test.until)
                )
            });
            match step {
                0 => format!("it would never have begun{held}"),
                step => {
                    format!("it would still be under way at step {step} when the record ends{held}")
                }
            }
        }
    }
}

/// How all starts ended.
fn ends(test: &Backtest, look: &Look) -> String {
    if test.runs.is_empty() {
        return text::wrap(
            "Nothing can be said: no gate of this plan was seen in all this time.",
            0,
            look.width,
        );
    }
    let ends = test.ends();
    let all = test.runs.len();
    let mut parts = Vec::new();
    for (number, what) in [
        (ends.completed, "went through"),
        (ends.reverted, "taken back"),
        (ends.halted, "stopped for a person"),
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
            "Within a week of the start it would have been taken back in {} of {} cases ({}).",
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

/// How long it would have taken.
fn took(test: &Backtest) -> String {
    let took = test.took();
    match (took.first(), took.get(took.len() / 2), took.last()) {
        (Some(least), Some(_), Some(most)) if text::duration(*least) == text::duration(*most) => {
            format!("Going through took {}.", text::duration(*least))
        }
        (Some(least), Some(middle), Some(most)) => format!(
            "Going through took {} to {}, half of the time up to {}.",
            text::duration(*least),
            text::duration(*most),
            text::duration(*middle)
        ),
        _ => format!(
            "None went through; without any hold the plan takes {}, and the record has {}.",
            text::duration(minimum_duration(&test.source.plan)),
            text::duration(test.until.duration_since(test.since)),
        ),
    }
}

/// A part in whole percent; what is above zero is not shown as nothing.
fn percent(part: usize, whole: usize) -> String {
    match (part * 200 + whole) / (2 * whole.max(1)) {
        0 if part > 0 => "under 1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// What to mend before the plan is trusted.
fn advice(test: &Backtest) -> Vec<String> {
    let mut advice = Vec::new();
    for gate in &test.gates {
        let (id, visits, flaps) = (&gate.id, gate.visits().count(), gate.flaps());
        match &gate.sight {
            Sight::Seen if flaps > 0 && !gate.fallback => advice.push(format!(
                "{id} flaps: {flaps} of {} {} over within {}, and each takes everything back; let it need more \
                 datapoints, or watch something else",
                text::count(visits, "visit"),
                if visits == 1 { "was" } else { "were" },
                text::duration(FLAP_WITHIN),
            )),
            Sight::NeverData => advice.push(format!(
                "{id} never had data: after the first step it holds the cutover until it has; where no data is no \
                 news, say `no_data: pass`"
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
