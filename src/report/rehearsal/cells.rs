//! The cells of a chart: a sign and its style for each value.

use anstyle::{AnsiColor, Style};

use super::glyphs;
use crate::report::text;

/// One sign of a chart with its style.
pub(in crate::report) type Cell = (char, Style);

/// The style of a sign without a style.
pub(in crate::report) const PLAIN: Style = Style::new();

/// Returns a cell of the curve of the share. Both heights are in eighths of a row; `row` counts from 0 at the bottom.
pub(in crate::report) fn share_cell(observed: u16, intended: u16, row: u16) -> Cell {
    // Differences of less than half a cell are noise.
    let beyond = observed > intended + 4 && row * 8 >= intended;
    let sign = glyphs::level(observed, row);
    if sign != ' ' && beyond {
        return (glyphs::BEYOND, text::WARN);
    }
    let edge = intended.saturating_sub(1) / 8;
    if sign == ' ' && intended > observed && row == edge {
        return (glyphs::INTENDED, PLAIN);
    }
    (sign, SHARE)
}

/// The style of the curve of the requests' share.
const SHARE: Style = AnsiColor::Cyan.on_default();

/// Returns a cell of a strip of bars. It is red if the value is above the bound.
pub(in crate::report) fn bar_cell(value: f64, top: f64, bound: f64) -> Cell {
    let sign = glyphs::level(glyphs::eighths(value, top, 1), 0);
    let style = if value > bound { text::BAD } else { PLAIN };
    (sign, style)
}

/// Returns cells as text. Neighbours of the same style are styled together.
pub(in crate::report) fn painted(cells: &[Cell]) -> String {
    let mut shown = String::new();
    for run in cells.chunk_by(|a, b| a.1 == b.1) {
        let signs: String = run.iter().map(|(sign, _)| *sign).collect();
        match run.first() {
            Some((_, style)) if *style != PLAIN && !signs.trim().is_empty() => {
                shown.push_str(&text::styled(*style, &signs));
            }
            _ => shown.push_str(&signs),
        }
    }
    shown
}

/// Returns a name in at most `cells` columns. A longer name loses its middle, because names differ at their ends.
pub(in crate::report) fn shortened(name: &str, cells: usize) -> String {
    let all = name.chars().count();
    if all <= cells {
        return name.to_owned();
    }
    let head = (cells - 1) / 2;
    let tail = cells - 1 - head;
    let front: String = name.chars().take(head).collect();
    let back: String = name.chars().skip(all - tail).collect();
    format!("{front}…{back}")
}

/// Returns a text in at most `cells` columns. A longer text loses its end.
pub(in crate::report) fn begun(text: &str, cells: usize) -> String {
    if text.chars().count() <= cells {
        return text.to_owned();
    }
    let front: String = text.chars().take(cells - 1).collect();
    format!("{}…", front.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_both_ends_and_texts_their_beginning() {
        assert_eq!(shortened("recipe-api-ecs-5xx-rate", 12), "recip…x-rate");
        assert_eq!(begun("new errors 20% at step 2", 12), "new errors…");
        assert_eq!(begun("short", 12), "short");
    }

    #[test]
    fn a_share_shows_what_the_weights_say_and_what_caches_keep() {
        assert_eq!(share_cell(8, 8, 0).0, '█');
        assert_eq!(share_cell(0, 16, 1).0, glyphs::INTENDED, "not there yet");
        assert_eq!(share_cell(16, 0, 1).0, glyphs::BEYOND, "still there");
        assert_eq!(share_cell(0, 0, 0).0, ' ');
    }

    #[test]
    fn a_style_is_written_once_for_all_its_cells() {
        let cells = [('a', PLAIN), ('b', text::BAD), ('c', text::BAD)];
        assert_eq!(
            painted(&cells),
            format!("a{}", text::styled(text::BAD, "bc"))
        );
    }
}
