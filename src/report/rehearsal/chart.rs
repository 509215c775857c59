//! Draws the chart of a rehearsal: shares, failed requests, response times, gates and faults over one time axis.

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};

use super::axis::Axis;
use super::cells::{self, Cell, PLAIN};
use super::film::{Film, Frame, Meaning, Reel};
use super::glyphs;
use super::look::{Look, title};
use super::marks::{self, MarkedStretch};
use super::unit::StripUnit;
use crate::engine::evidence::gate::GateId;
use crate::engine::units::AlarmId;
use crate::report::text;

/// The chart of one cutover.
struct Chart<'film> {
    film: &'film Film,
    reel: &'film Reel,
    /// The frames to draw: of the whole rehearsal, or of the minutes around a revert.
    frames: &'film [Frame],
    axis: Axis,
    /// Width of the names, in columns.
    names: usize,
    /// Height of the curve of the share, in rows. It is odd, so that one row is the middle.
    rows: u16,
    /// True if it is the close-up of a revert, which leaves out strips that show nothing unusual.
    near: bool,
}

/// Width of the widest note at the right end of a strip, in columns.
const NOTE_CELLS: usize = 13;

/// Returns the chart of the whole rehearsal, with a close-up of the revert if there was one; `None` if there are no
/// frames.
pub(super) fn to_text(film: &Film, reel: &Reel, look: &Look) -> Option<String> {
    let whole = draw(film, reel, look, film.start, film.end, false)?;
    let Some((from, to)) = near(reel) else {
        return Some(whole);
    };
    let title = title(reel, "the revert, close up");
    let near = draw(film, reel, look, from, to, true)?;
    Some(format!("{whole}\n\n{title}\n{near}"))
}

/// Returns the start and the end of the close-up: from shortly before the fault until the traffic is back. `None` if
/// there are too few frames.
fn near(reel: &Reel) -> Option<(Timestamp, Timestamp)> {
    if reel.near.len() < NEAR_FRAMES_MIN {
        return None;
    }
    let (first, last) = (reel.near.first()?.at, reel.near.last()?.at);
    let reaction = reel.reaction.unwrap_or_default();
    let fault = reaction.fault_at.map_or(first, |at| at - MARGIN);
    let drained = reaction.drained_at.map_or(last, |at| at + MARGIN);
    Some((fault.max(first), drained.min(last)))
}

/// Time that a close-up shows before the fault and after the revert.
const MARGIN: SignedDuration = SignedDuration::from_mins(3);
/// Smallest number of frames in a close-up. Fewer make no curve.
const NEAR_FRAMES_MIN: usize = 8;

fn draw(
    film: &Film,
    reel: &Reel,
    look: &Look,
    start: Timestamp,
    end: Timestamp,
    near: bool,
) -> Option<String> {
    let frames = if near { &reel.near } else { &reel.frames };
    if frames.is_empty() || end <= start {
        return None;
    }
    let width = look.chart_width();
    let wide = width >= 120;
    let longest = reel.plan.alarms().map(|gate| gate.id.name.chars().count());
    let longest = longest.max().unwrap_or(0).max(16);
    let names = longest.min(if wide { 44 } else { 20 });
    let chart = Chart {
        film,
        reel,
        frames,
        axis: Axis {
            start,
            end,
            columns: width - names - NOTE_CELLS - 3,
        },
        names,
        rows: if wide { 9 } else { 5 },
        near,
    };
    let mut lines = chart.faults();
    lines.extend(chart.share());
    lines.push(chart.steps());
    lines.extend(chart.side_by_side());
    lines.extend(chart.gates());
    lines.push(chart.strip_of("", &chart.axis.marks(&look.zone), text::FAINT));
    if !near {
        lines.push(chart.legend(look));
    }
    Some(lines.join("\n"))
}

impl Chart<'_> {
    /// Returns one line: a name, cells, and a note at the right end.
    fn strip(&self, name: &str, cells: &[Cell], note: &str) -> String {
        let name = cells::shortened(name, self.names);
        let border = text::styled(text::FAINT, "│");
        let last = cells.iter().rposition(|(sign, _)| *sign != ' ');
        let cells = match last {
            Some(last) if note.is_empty() => &cells[..=last],
            None if note.is_empty() => &[],
            Some(_) | None => cells,
        };
        let gap = " ".repeat(self.names - name.chars().count());
        let mut line = format!("{name}{gap} {border}{}", cells::painted(cells));
        if !note.is_empty() {
            line.push(' ');
            line.push_str(&text::styled(text::FAINT, note));
        }
        line.trim_end().to_owned()
    }

    /// Returns a line whose cells are the characters of a text.
    fn strip_of(&self, name: &str, shown: &str, style: Style) -> String {
        let cells: Vec<Cell> = shown.chars().map(|sign| (sign, style)).collect();
        self.strip(name, &cells, "")
    }

    /// Returns a strip for each of the first [`FAULTS_MAX`] faults.
    fn faults(&self) -> Vec<String> {
        let axis = &self.axis;
        let mut lines = Vec::new();
        let mut more = 0;
        for trouble in &self.film.faults {
            let over = trouble.until.is_some_and(|until| until < axis.start);
            if over || trouble.from > axis.end {
                continue;
            }
            if lines.len() == FAULTS_MAX {
                more += 1;
                continue;
            }
            let mut cells: Vec<Cell> = vec![(' ', PLAIN); axis.columns];
            let until = trouble.until.unwrap_or(axis.end).min(axis.end);
            let (from, to) = (axis.nearest(trouble.from), axis.nearest(until));
            for cell in &mut cells[from..=to] {
                *cell = (glyphs::LASTS, text::WARN);
            }
            if axis.column(trouble.from).is_some() {
                cells[from] = (glyphs::FAULT, text::WARN);
            }
            let name = cells::begun(&trouble.what, self.names);
            lines.push(self.strip(&name, &cells, ""));
        }
        if more > 0 {
            lines.push(self.strip(&format!("and {more} more"), &[], ""));
        }
        lines
    }

    /// Returns the curve of the share: filled for the requests, and a line for the weights where the two differ.
    fn share(&self) -> Vec<String> {
        let intended = self.share_heights(|frame| frame.intended);
        let observed = self.share_heights(|frame| frame.observed);
        let mut lines = Vec::new();
        for row in (0..self.rows).rev() {
            let mut cells = Vec::new();
            for (observed, intended) in observed.iter().zip(&intended) {
                cells.push(cells::share_cell(*observed, *intended, row));
            }
            let note = match row {
                0 => "0%",
                row if row == self.rows - 1 => "100%",
                row if row == self.rows / 2 => "50%",
                _ => "",
            };
            let name = if row == self.rows - 1 {
                "new side's share"
            } else {
                ""
            };
            lines.push(self.strip(name, &cells, note));
        }
        lines
    }

    /// Returns the height of a share in each column, in eighths of a row.
    fn share_heights(&self, value: impl Fn(&Frame) -> f64) -> Vec<u16> {
        let mut heights = Vec::new();
        for value in self.axis.largest(self.frames, value) {
            heights.push(glyphs::eighths(value.unwrap_or(0.0), 1.0, self.rows));
        }
        heights
    }

    /// Returns the strip with the steps and reverts.
    fn steps(&self) -> String {
        let mut cells: Vec<Cell> = vec![(' ', PLAIN); self.axis.columns];
        for (at, step) in marks::steps(self.reel) {
            let Some(column) = self.axis.column(at) else {
                continue;
            };
            let (shown, style) = match step {
                Some(step) => (step.to_string(), PLAIN),
                None => (glyphs::BACK.to_string(), text::WARN),
            };
            for (cell, sign) in cells[column..].iter_mut().zip(shown.chars()) {
                *cell = (sign, style);
            }
        }
        self.strip("step", &cells, "")
    }

    /// Returns the strips for failed requests and response times. Both sides have the same scale.
    fn side_by_side(&self) -> Vec<String> {
        let (errors, p99) = self.bounds();
        let mut lines = self.measured(StripUnit::Part, errors);
        lines.extend(self.measured(StripUnit::Millis, p99));
        lines
    }

    /// Returns two strips, one for the new side and one for the old. A close-up has them only if a value is beyond its
    /// bound.
    fn measured(&self, unit: StripUnit, bound: Option<f64>) -> Vec<String> {
        let of_new = self.axis.largest(self.frames, |frame| unit.of(&frame.new));
        let of_old = self.axis.largest(self.frames, |frame| unit.of(&frame.old));
        let peak = highest(&of_new).max(highest(&of_old));
        let bound = bound.unwrap_or(unit.usual_bound());
        if self.near && peak <= bound {
            return Vec::new();
        }
        // A value well within its bound must look low, however little noise there is.
        let top = peak.max(bound * 1.5);
        let mut strips = Vec::new();
        for (side, values) in [("new", of_new), ("old", of_old)] {
            let cells: Vec<Cell> = values
                .iter()
                .map(|value| cells::bar_cell(value.unwrap_or(0.0), top, bound))
                .collect();
            let name = format!("{}, {side}", unit.name());
            strips.push(self.strip(&name, &cells, &unit.note(highest(&values))));
        }
        strips
    }

    /// Returns the lowest bounds of the plan's alarms on failed requests and on response times; `None` if no alarm has
    /// such a bound.
    fn bounds(&self) -> (Option<f64>, Option<f64>) {
        let (mut errors, mut p99) = (None::<f64>, None::<f64>);
        for gate in self.reel.plan.alarms() {
            match self.film.assumed.get(&gate.id) {
                Some(Meaning::Errors { above, .. }) => {
                    errors = Some(errors.map_or(*above, |other| other.min(*above)));
                }
                Some(Meaning::Latency { above_ms, .. }) => {
                    p99 = Some(p99.map_or(*above_ms, |other| other.min(*above_ms)));
                }
                None => {}
            }
        }
        (errors, p99)
    }

    /// Returns a strip for each alarm. A close-up has only alarms that were red or could not be judged.
    fn gates(&self) -> Vec<String> {
        let armed = marks::armed(self.reel);
        let unknown = marks::unknown(self.reel);
        let mut strips = Vec::new();
        for gate in self.reel.plan.alarms() {
            let unknown = match unknown.get(&GateId::from(&gate.id)) {
                Some(stretches) => stretches.as_slice(),
                None => &[],
            };
            let cells = self.gate_cells(&gate.id, unknown, &armed);
            if self.near && cells.iter().all(is_usual) {
                continue;
            }
            let fallback = self.reel.plan.gates.fallback_alarms.contains(gate);
            let note = if fallback { "fallback" } else { "" };
            strips.push(self.strip(&gate.id.name, &cells, note));
        }
        strips
    }

    fn gate_cells(
        &self,
        alarm: &AlarmId,
        unknown: &[MarkedStretch],
        armed: &[MarkedStretch],
    ) -> Vec<Cell> {
        let red = self.axis.largest(self.frames, |frame| is_red(frame, alarm));
        let mut cells = Vec::new();
        for (column, red) in red.into_iter().enumerate() {
            cells.push(if red.is_some_and(|red| red > 0.0) {
                (glyphs::RED, text::BAD)
            } else if self.within(column, unknown) {
                (glyphs::UNKNOWN, text::WARN)
            } else if self.within(column, armed) {
                (glyphs::PASS, text::GOOD)
            } else {
                (glyphs::UNARMED, text::FAINT)
            });
        }
        cells
    }

    /// Returns true if one of the periods touches a column.
    fn within(&self, column: usize, stretches: &[MarkedStretch]) -> bool {
        let axis = &self.axis;
        for (from, until) in stretches {
            let until = until.unwrap_or(axis.end);
            let touches = *from <= axis.end && until >= axis.start;
            if touches && (axis.nearest(*from)..=axis.nearest(until)).contains(&column) {
                return true;
            }
        }
        false
    }

    /// Returns the meaning of the signs, in one line.
    fn legend(&self, look: &Look) -> String {
        let words = "share: █ requests ─ weights ▒ caches; gates: ─ pass █ red ? unknown · off";
        let indent = if look.chart_width() >= 120 {
            self.names + 2
        } else {
            0
        };
        text::styled(
            text::FAINT,
            &text::wrap(words, indent, Some(look.chart_width())),
        )
    }
}

/// Largest number of faults that are drawn. More would push the chart off the screen.
const FAULTS_MAX: usize = 6;

/// Returns the highest value; 0 if there is none.
fn highest(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().fold(0.0, f64::max)
}

/// Returns true if the cell is neither red nor unknown.
fn is_usual(cell: &Cell) -> bool {
    [glyphs::PASS, glyphs::UNARMED].contains(&cell.0)
}

/// Returns 1 if the alarm was red, otherwise 0.
fn is_red(frame: &Frame, alarm: &AlarmId) -> f64 {
    if frame.red.contains(alarm) { 1.0 } else { 0.0 }
}
