//! The chart: shares, failed requests, response times, gates and faults over one time axis.

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};

use super::axis::Axis;
use super::cells::{self, Cell, PLAIN};
use super::film::{Film, Frame, Meaning, Reel};
use super::glyphs;
use super::marks::{self, Stretch};
use super::unit::Unit;
use super::{Look, title};
use crate::engine::evidence::gate::GateId;
use crate::engine::units::AlarmId;
use crate::report::text;

/// Where a chart's columns are.
struct Frames<'film> {
    film: &'film Film,
    reel: &'film Reel,
    /// The whole, or the minutes around a revert.
    scenes: &'film [Frame],
    axis: Axis,
    /// How wide names are.
    names: usize,
    /// How high the share is drawn; odd, so that one row is the middle.
    rows: u16,
    /// Whether only a part is drawn, and of that only what is not as usual.
    near: bool,
}

/// What stands at a strip's right end is no wider.
const NOTE_CELLS: usize = 13;

/// The whole rehearsal, and where traffic went back, that once more from near; none where there are no frames.
pub(super) fn to_text(film: &Film, reel: &Reel, look: &Look) -> Option<String> {
    let whole = draw(film, reel, look, film.start, film.end, false)?;
    let Some((from, to)) = near(reel) else {
        return Some(whole);
    };
    let title = title(reel, "the way back, from near");
    let near = draw(film, reel, look, from, to, true)?;
    Some(format!("{whole}\n\n{title}\n{near}"))
}

/// The minutes around the way back, from shortly before the fault until the traffic is back.
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

/// So much is shown around.
const MARGIN: SignedDuration = SignedDuration::from_mins(3);
/// Fewer frames draw no curve.
const NEAR_FRAMES_MIN: usize = 8;

fn draw(
    film: &Film,
    reel: &Reel,
    look: &Look,
    start: Timestamp,
    end: Timestamp,
    near: bool,
) -> Option<String> {
    let scenes = if near { &reel.near } else { &reel.frames };
    if scenes.is_empty() || end <= start {
        return None;
    }
    let width = look.chart_width();
    let wide = width >= 120;
    let longest = reel.plan.alarms().map(|gate| gate.id.name.chars().count());
    let longest = longest.max().unwrap_or_default().max(16);
    let names = longest.min(if wide { 44 } else { 20 });
    let frames = Frames {
        film,
        reel,
        scenes,
        axis: Axis {
            start,
            end,
            columns: width - names - NOTE_CELLS - 3,
        },
        names,
        rows: if wide { 9 } else { 5 },
        near,
    };
    let mut lines = frames.faults();
    lines.extend(frames.share());
    lines.push(frames.steps());
    lines.extend(frames.side_by_side());
    lines.extend(frames.gates());
    lines.push(frames.strip_of("", &frames.axis.marks(&look.zone), text::FAINT));
    if !near {
        lines.push(frames.legend(look));
    }
    Some(lines.join("\n"))
}

impl Frames<'_> {
    /// One line: a name, cells, a note.
    fn strip(&self, name: &str, cells: &[Cell], note: &str) -> String {
        let name = cells::shortened(name, self.names);
        let border = text::styled(text::FAINT, "│");
        let used = cells
            .iter()
            .rposition(|(sign, _)| *sign != ' ')
            .map_or(0, |last| last + 1);
        let cells = if note.is_empty() {
            &cells[..used]
        } else {
            cells
        };
        let gap = " ".repeat(self.names - name.chars().count());
        let mut line = format!("{name}{gap} {border}{}", cells::painted(cells));
        if !note.is_empty() {
            line.push(' ');
            line.push_str(&text::styled(text::FAINT, note));
        }
        line.trim_end().to_owned()
    }

    /// A line whose cells are text.
    fn strip_of(&self, name: &str, shown: &str, style: Style) -> String {
        let cells: Vec<Cell> = shown.chars().map(|sign| (sign, style)).collect();
        self.strip(name, &cells, "")
    }

    /// A strip for each of the first faults.
    fn faults(&self) -> Vec<String> {
        let axis = &self.axis;
        let within = |from: Timestamp, until: Option<Timestamp>| {
            from <= axis.end && until.is_none_or(|until| until >= axis.start)
        };
        let all: Vec<_> = self
            .film
            .faults
            .iter()
            .filter(|trouble| within(trouble.from, trouble.until))
            .collect();
        let mut lines = Vec::new();
        for trouble in all.iter().take(FAULTS_MAX) {
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
        if let Some(more) = all.len().checked_sub(FAULTS_MAX).filter(|more| *more > 0) {
            lines.push(self.strip(&format!("and {more} more"), &[], ""));
        }
        lines
    }

    /// The share that requests had, filled, and the one that the weights said where the two differ.
    fn share(&self) -> Vec<String> {
        let frames = self.scenes;
        let intended = self.axis.largest(frames, |frame| frame.intended);
        let observed = self.axis.largest(frames, |frame| frame.observed);
        let filled = |value: &Option<f64>| glyphs::eighths(value.unwrap_or(0.0), 1.0, self.rows);
        let mut lines = Vec::new();
        for row in (0..self.rows).rev() {
            let cells: Vec<Cell> = observed
                .iter()
                .zip(&intended)
                .map(|(observed, intended)| {
                    cells::share_cell(filled(observed), filled(intended), row)
                })
                .collect();
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

    /// Where steps were taken and ways back begun.
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

    /// Failed requests and response times of both sides, each on one scale.
    fn side_by_side(&self) -> Vec<String> {
        let (errors, p99) = self.bounds();
        let mut lines = self.measured(Unit::Part, errors);
        lines.extend(self.measured(Unit::Millis, p99));
        lines
    }

    /// Two strips, of the new side and of the old one. From near only where something is beyond its bound.
    fn measured(&self, unit: Unit, bound: Option<f64>) -> Vec<String> {
        let of_new = self.axis.largest(self.scenes, |frame| unit.of(&frame.new));
        let of_old = self.axis.largest(self.scenes, |frame| unit.of(&frame.old));
        let both = of_new.iter().chain(&of_old).flatten().copied();
        let highest = both.fold(0.0, f64::max);
        let bound = bound.unwrap_or(unit.usual_bound());
        if self.near && highest <= bound {
            return Vec::new();
        }
        // What is well within its bound must look low, however little noise there is.
        let top = highest.max(bound * 1.5);
        let sides = [("new", of_new), ("old", of_old)];
        let strips = sides.map(|(side, values)| {
            let peak = values.iter().flatten().copied().fold(0.0, f64::max);
            let cells: Vec<Cell> = values
                .iter()
                .map(|value| cells::bar_cell(value.unwrap_or(0.0), top, bound))
                .collect();
            let name = format!("{}, {side}", unit.name());
            self.strip(&name, &cells, &unit.note(peak))
        });
        strips.to_vec()
    }

    /// The lowest bounds of the plan's alarms on failed requests and on response times.
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

    /// A strip for each alarm.
    fn gates(&self) -> Vec<String> {
        let armed = marks::armed(self.reel);
        let unknown = marks::unknown(self.reel);
        let strips = self.reel.plan.alarms().filter_map(|gate| {
            let red = self
                .axis
                .largest(self.scenes, |frame| is_red(frame, &gate.id));
            let unknown = unknown
                .get(&GateId::from(&gate.id))
                .map_or(&[][..], Vec::as_slice);
            let cells: Vec<Cell> = red
                .iter()
                .enumerate()
                .map(|(column, red)| {
                    if red.is_some_and(|red| red > 0.0) {
                        (glyphs::RED, text::BAD)
                    } else if self.within(column, unknown) {
                        (glyphs::UNKNOWN, text::WARN)
                    } else if self.within(column, &armed) {
                        (glyphs::PASS, text::GOOD)
                    } else {
                        (glyphs::UNARMED, text::FAINT)
                    }
                })
                .collect();
            let usual = |(sign, _): &Cell| [glyphs::PASS, glyphs::UNARMED].contains(sign);
            if self.near && cells.iter().all(usual) {
                return None;
            }
            let fallback = self.reel.plan.gates.fallback_alarms.contains(gate);
            let note = if fallback { "way back" } else { "" };
            Some(self.strip(&gate.id.name, &cells, note))
        });
        strips.collect()
    }

    /// Whether a column touches one of the stretches.
    fn within(&self, column: usize, stretches: &[Stretch]) -> bool {
        let axis = &self.axis;
        stretches.iter().any(|(from, until)| {
            let until = until.unwrap_or(axis.end);
            let touches = *from <= axis.end && until >= axis.start;
            touches && (axis.nearest(*from)..=axis.nearest(until)).contains(&column)
        })
    }

    /// What the signs mean, in one line.
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

/// More faults than these would push the chart off the screen.
const FAULTS_MAX: usize = 6;

fn is_red(frame: &Frame, alarm: &AlarmId) -> f64 {
    if frame.red.contains(alarm) { 1.0 } else { 0.0 }
}
