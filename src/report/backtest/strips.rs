//! A strip a gate over one time axis, and one for how the starts ended.

use anstyle::Style;
use jiff::SignedDuration;

use super::Look;
use crate::engine::backtest::Backtest;
use crate::engine::backtest::End;
use crate::engine::backtest::GatePast;
use crate::engine::observation::AlarmState;
use crate::report::rehearsal::axis::Axis;
use crate::report::rehearsal::cells::Cell;
use crate::report::rehearsal::cells::PLAIN;
use crate::report::rehearsal::cells::painted;
use crate::report::rehearsal::cells::shortened;
use crate::report::rehearsal::glyphs;
use crate::report::text;

/// The width of strips where nobody says how wide they may be, and their bounds.
const WIDTH: usize = 80;
const WIDTH_MIN: usize = 60;
const WIDTH_MAX: usize = 240;

/// Names are cut off here.
const NAME_CELLS: usize = 24;

/// A start that went through.
const THROUGH: char = '─';
/// A start that was taken back.
const TAKEN_BACK: char = glyphs::BACK;
/// A start that was stopped, and waited for a person.
const STOPPED: char = '!';
/// A start that the record cuts off.
const CUT: char = glyphs::UNARMED;

/// The strips; none where nothing was seen.
pub(super) fn to_text(test: &Backtest, look: &Look) -> Option<String> {
    let drawn = || {
        let gates = test.gates.iter();
        gates.filter(|gate| gate.sight.takes_part() && !gate.stretches.is_empty())
    };
    let longest = drawn().map(|gate| gate.id.name.chars().count()).max()?;
    let names = longest.clamp("starts".len(), NAME_CELLS);
    let width = look.width.unwrap_or(WIDTH).clamp(WIDTH_MIN, WIDTH_MAX);
    let axis = Axis {
        start: test.since,
        end: test.until,
        columns: width - names - 3,
    };
    let line = |name: &str, cells: &[Cell]| {
        let name = shortened(name, names);
        let gap = " ".repeat(names - name.chars().count());
        let border = text::styled(text::FAINT, "│");
        format!("{name}{gap} {border}{}", painted(cells))
            .trim_end()
            .to_owned()
    };
    let mut lines: Vec<String> = drawn()
        .map(|gate| line(&gate.id.name, &of_gate(gate, &axis)))
        .collect();
    lines.push(line("starts", &of_starts(test, &axis)));
    let marks: Vec<Cell> = axis
        .marks(&look.zone)
        .chars()
        .map(|sign| (sign, text::FAINT))
        .collect();
    lines.push(line("", &marks));
    let legend = format!(
        "gates: {} passes  {} red  {} cannot be judged\nstarts: {THROUGH} goes through  {TAKEN_BACK} is taken back  \
         {STOPPED} stops  {CUT} the record ends first",
        glyphs::PASS,
        glyphs::RED,
        glyphs::UNKNOWN,
    );
    let legend = legend.lines().map(|line| text::styled(text::FAINT, line));
    lines.extend(legend);
    Some(lines.join("\n"))
}

/// The worst state within each column: a minute of red shows in a column of hours.
fn of_gate(gate: &GatePast, axis: &Axis) -> Vec<Cell> {
    let mut worst = vec![None; axis.columns];
    for stretch in &gate.stretches {
        let last = stretch.until - SignedDuration::from_secs(1);
        for column in &mut worst[axis.nearest(stretch.from)..=axis.nearest(last)] {
            *column = (*column).max(Some(badness(stretch.state)));
        }
    }
    let cell = |worst: Option<u8>| match worst {
        Some(2) => (glyphs::RED, text::BAD),
        Some(1) => (glyphs::UNKNOWN, text::WARN),
        Some(_) => (glyphs::PASS, text::GOOD),
        None => (' ', PLAIN),
    };
    worst.into_iter().map(cell).collect()
}

fn badness(state: AlarmState) -> u8 {
    match state {
        AlarmState::Ok => 0,
        AlarmState::InsufficientData => 1,
        AlarmState::Alarm => 2,
    }
}

/// How the starts within each column ended, the worst of them.
fn of_starts(test: &Backtest, axis: &Axis) -> Vec<Cell> {
    let mut worst: Vec<Option<(u8, char, Style)>> = vec![None; axis.columns];
    for run in &test.runs {
        let end = match run.end {
            End::Completed { .. } => (1, THROUGH, text::GOOD),
            End::Cut { .. } => (0, CUT, text::FAINT),
            End::Halted { .. } => (2, STOPPED, text::BAD),
            End::Reverted { .. } => (3, TAKEN_BACK, text::BAD),
        };
        let column = &mut worst[axis.nearest(run.start)];
        if column.is_none_or(|known| known.0 < end.0) {
            *column = Some(end);
        }
    }
    // Where starts are farther apart than columns, a column shows the start before it.
    let mut last = (' ', PLAIN);
    let cell = |found: Option<(u8, char, Style)>| {
        if let Some((_, sign, style)) = found {
            last = (sign, style);
        }
        last
    };
    worst.into_iter().map(cell).collect()
}
