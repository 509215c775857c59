//! The output of `cutover rehearse`: the decisions and their reasons, a chart, and the verdict.
//!
//! The most important part comes last, because a reader sees the end of a terminal's output first: the assumptions, the
//! timeline, the chart, the revert, the verdict.

mod assumed;
pub(super) mod axis;
pub(super) mod cells;
mod chart;
pub mod film;
pub(super) mod glyphs;
mod json;
mod look;
mod marks;
mod names;
mod reaction;
pub mod runs;
#[cfg(test)]
mod tests;
mod timeline;
mod unit;
mod verdict;

pub use glyphs::to_ascii;
pub use json::to_json;
pub use look::Look;

use super::text;
use film::Film;

/// Returns a whole rehearsal as text for people.
pub fn to_text(film: &Film, look: &Look) -> String {
    let mut blocks = vec![heading(film, look)];
    blocks.extend(assumed::to_text(film, look));
    for reel in &film.reels {
        blocks.push(timeline::to_text(film, reel, look));
        if look.charts {
            blocks.extend(chart::to_text(film, reel, look));
        }
        blocks.extend(reaction::to_text(reel));
        blocks.push(verdict::to_text(film, reel, look));
    }
    for fault in &film.never {
        blocks.push(format!(
            "{}: {fault} (everything had ended before its moment; choose an earlier one)",
            text::styled(text::BAD, "never happened")
        ));
    }
    let mut shown = blocks.join("\n\n");
    shown.push('\n');
    shown
}

/// Returns the first line: the names, the times, the time zone and the seed.
fn heading(film: &Film, look: &Look) -> String {
    let names: Vec<&str> = film.reels.iter().map(|reel| reel.name.as_str()).collect();
    let rehearsed = match names.as_slice() {
        [one] => (*one).to_owned(),
        many => text::count(many.len(), "cutover"),
    };
    let rest = format!(
        "{} to {} ({}), seed {}",
        look.minute(film.start),
        look.minute(film.end),
        look.zone_name(film.start),
        film.seed
    );
    let first = format!("{rehearsed}, rehearsed: ");
    format!("{}{rest}", text::styled(text::TITLE, &first))
}
