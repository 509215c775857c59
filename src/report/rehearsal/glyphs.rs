//! The signs of the charts, and their replacements for terminals that have only ASCII.
//!
//! No chart crate fits (rasciigraph, textplots, lowcharts): each draws one curve on a grid of its own, with its own axis. Here
//! six and more strips of different kinds (a filled step curve with a second curve in it, bars, states, faults) share one time
//! axis, keep their meaning without colour, and must fit 80 columns. That takes some two hundred lines, and block elements,
//! which every terminal font has (unlike the Braille of textplots).

/// Cells that are filled from the bottom, from empty to full in eighths.
pub(in crate::report) const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Cells of a bar that are filled from the left, from one to seven eighths.
pub(in crate::report) const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Sign for requests beyond the share of the weights, which caches cause.
pub(in crate::report) const BEYOND: char = '▒';
/// Sign for the share of the weights that the requests do not reach (yet).
pub(in crate::report) const INTENDED: char = '─';
/// Sign for a gate that passes.
pub(in crate::report) const PASS: char = '─';
/// Sign for an alarm that is red.
pub(in crate::report) const RED: char = '█';
/// Sign for a gate that cannot be judged.
pub(in crate::report) const UNKNOWN: char = '?';
/// Sign for a gate that is not armed: before the first write and after the end.
pub(in crate::report) const UNARMED: char = '·';
/// Sign for the start of a fault.
pub(in crate::report) const FAULT: char = '×';
/// Sign for a fault that lasts.
pub(in crate::report) const LASTS: char = '━';
/// Sign for the start of a revert.
pub(in crate::report) const BACK: char = '↩';

/// Replaces the signs that this program drew by ASCII. Names from outside stay as they are.
pub fn to_ascii(text: &str) -> String {
    text.chars().map(ascii).collect()
}

/// Returns the nearest ASCII sign; a sign that this program does not draw stays as it is.
fn ascii(sign: char) -> char {
    match sign {
        '▏' | '▎' | '▍' | '▌' | '▋' | '▊' | '▉' | '█' => '#',
        '▁' => '_',
        '▂' | '·' | '…' => '.',
        '▃' => ':',
        '▄' | '─' | '━' | '→' | '–' => '-',
        '▅' => '=',
        '▆' => '+',
        '▇' => '*',
        '▒' => '%',
        '×' => 'x',
        '↩' => '<',
        '│' | '╵' => '|',
        other => other,
    }
}

/// Returns how many eighths of a cell a value fills in a column of `rows` cells, whose full height is `top`. A value
/// above zero fills at least one.
pub(in crate::report) fn eighths(value: f64, top: f64, rows: u16) -> u16 {
    let all = rows * 8;
    if value <= 0.0 || top <= 0.0 {
        return 0;
    }
    for count in (1..=all).rev() {
        if value / top * f64::from(all) >= f64::from(count) - 0.5 {
            return count;
        }
    }
    1
}

/// Returns the sign of one cell of a column. `filled` is the height in eighths of a cell; `row` counts from 0 at the
/// bottom.
pub(in crate::report) fn level(filled: u16, row: u16) -> char {
    let here = filled.saturating_sub(row * 8).min(8);
    LEVELS[usize::from(here)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_zero_shows_and_only_all_is_full() {
        assert_eq!(eighths(0.0, 1.0, 1), 0);
        assert_eq!(eighths(0.001, 1.0, 1), 1);
        assert_eq!(eighths(0.5, 1.0, 2), 8);
        assert_eq!(eighths(1.0, 1.0, 2), 16);
        assert_eq!(eighths(9.0, 1.0, 1), 8, "more than all is cut off");
        assert_eq!(level(12, 0), '█');
        assert_eq!(level(12, 1), '▄');
        assert_eq!(level(8, 1), ' ');
    }

    #[test]
    fn every_sign_of_a_chart_has_an_ascii_one() {
        let drawn: String = LEVELS
            .into_iter()
            .chain([BEYOND, INTENDED, RED, UNKNOWN, UNARMED, FAULT, LASTS, BACK])
            .collect();
        assert!(to_ascii(&drawn).is_ascii());
    }
}
