//! Draws a strip for each gate over one time axis, and one for how the starts ended.

use jiff::SignedDuration;

use crate::engine::backtest::{Backtest, End, GatePast};
use crate::engine::observation::AlarmState;
use crate::report::rehearsal::axis::Axis;
use crate::report::rehearsal::cells::{Cell, PLAIN, painted, shortened};
use crate::report::rehearsal::{Look, glyphs};
use crate::report::text;

/// Width of the lines in columns if none is given.
const WIDTH: usize = 80;
/// Smallest width of the lines, in columns.
const WIDTH_MIN: usize = 60;
/// Largest width of the lines, in columns.
const WIDTH_MAX: usize = 240;

/// Longest name of a gate, in columns. Longer names are shortened.
const NAME_CELLS: usize = 24;

/// Shown for a start that completed.
const COMPLETED: char = '─';
/// Shown for a start that reverted.
const REVERTED: char = glyphs::BACK;
/// Shown for a start that halted and waited for a person.
const HALTED: char = '!';
/// Shown for a start that was under way when the record ended.
const CUT: char = glyphs::UNARMED;

/// Returns the strips with their axis and legend; `None` if no gate has data.
pub(super) fn to_text(test: &Backtest, look: &Look) -> Option<String> {
    let drawn: Vec<&GatePast> = test.gates.iter().filter(|gate| has_strip(gate)).collect();
    let lengths = drawn.iter().map(|gate| gate.id.name.chars().count());
    let names = lengths.max()?.clamp("starts".len(), NAME_CELLS);
    let width = look.width.unwrap_or(WIDTH).clamp(WIDTH_MIN, WIDTH_MAX);
    let axis = Axis {
        start: test.since,
        end: test.until,
        columns: width - names - 3,
    };
    let mut lines = Vec::new();
    for gate in drawn {
        lines.push(strip(&gate.id.name, names, &of_gate(gate, &axis)));
    }
    lines.push(strip("starts", names, &of_starts(test, &axis)));
    let marks: Vec<Cell> = axis
        .marks(&look.zone)
        .chars()
        .map(|sign| (sign, text::FAINT))
        .collect();
    lines.push(strip("", names, &marks));
    let legend = [
        format!(
            "gates: {} passes  {} red  {} cannot be judged",
            glyphs::PASS,
            glyphs::RED,
            glyphs::UNKNOWN,
        ),
        format!(
            "starts: {COMPLETED} completes  {REVERTED} reverts  {HALTED} halts  {CUT} the record ends first"
        ),
    ];
    for line in legend {
        lines.push(text::styled(text::FAINT, &line));
    }
    Some(lines.join("\n"))
}

fn has_strip(gate: &GatePast) -> bool {
    gate.sight.takes_part() && !gate.stretches.is_empty()
}

/// Returns one line: a name in `names` columns, and the strip.
fn strip(name: &str, names: usize, cells: &[Cell]) -> String {
    let name = shortened(name, names);
    let gap = " ".repeat(names - name.chars().count());
    let border = text::styled(text::FAINT, "│");
    format!("{name}{gap} {border}{}", painted(cells))
        .trim_end()
        .to_owned()
}

/// Returns the worst state within each column, so that a minute of red is visible in a column of hours.
fn of_gate(gate: &GatePast, axis: &Axis) -> Vec<Cell> {
    let mut worst: Vec<Option<AlarmState>> = vec![None; axis.columns];
    for stretch in &gate.stretches {
        let last = stretch.until - SignedDuration::from_secs(1);
        for column in &mut worst[axis.nearest(stretch.from)..=axis.nearest(last)] {
            if column.is_none_or(|known| badness(known) < badness(stretch.state)) {
                *column = Some(stretch.state);
            }
        }
    }
    let mut cells = Vec::new();
    for state in worst {
        cells.push(match state {
            Some(AlarmState::Alarm) => (glyphs::RED, text::BAD),
            Some(AlarmState::InsufficientData) => (glyphs::UNKNOWN, text::WARN),
            Some(AlarmState::Ok) => (glyphs::PASS, text::GOOD),
            None => (' ', PLAIN),
        });
    }
    cells
}

fn badness(state: AlarmState) -> u8 {
    match state {
        AlarmState::Ok => 0,
        AlarmState::InsufficientData => 1,
        AlarmState::Alarm => 2,
    }
}

/// Returns the worst end of the starts within each column.
fn of_starts(test: &Backtest, axis: &Axis) -> Vec<Cell> {
    let mut worst: Vec<Option<(u8, Cell)>> = vec![None; axis.columns];
    for run in &test.runs {
        let end = match run.end {
            End::Cut { .. } => (0, (CUT, text::FAINT)),
            End::Completed { .. } => (1, (COMPLETED, text::GOOD)),
            End::Halted { .. } => (2, (HALTED, text::BAD)),
            End::Reverted { .. } => (3, (REVERTED, text::BAD)),
        };
        let column = &mut worst[axis.nearest(run.start)];
        if column.is_none_or(|known| known.0 < end.0) {
            *column = Some(end);
        }
    }
    // If starts are farther apart than columns, a column repeats the start before it.
    let mut cells = Vec::new();
    let mut last = (' ', PLAIN);
    for found in worst {
        if let Some((_, cell)) = found {
            last = cell;
        }
        cells.push(last);
    }
    cells
}
