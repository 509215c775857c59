//! The signs that charts are drawn with, and how they look where a terminal has only ASCII.
//!
//! Chart crates were looked at first (rasciigraph, textplots, lowcharts): each draws one curve on a grid of its own, with
//! its own axis. Here six and more strips of different kinds (a filled step curve with a second curve in it, bars, states,
//! faults) share one time axis, keep their meaning without colour, and must fit 80 columns; that is some two hundred lines
//! of block elements, which every terminal font has (the Braille of textplots it has not).

/// Nothing to an eighth, two eighths … a full cell.
pub(in crate::report) const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// An eighth of a bar's cell, two eighths … seven.
pub(in crate::report) const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Requests went there although the weights say less: caches.
pub(in crate::report) const BEYOND: char = '▒';
/// The weights say so, and requests do not follow (yet).
pub(in crate::report) const INTENDED: char = '─';
/// A gate that passes.
pub(in crate::report) const PASS: char = '─';
/// An alarm that is red.
pub(in crate::report) const RED: char = '█';
/// A gate that cannot be judged.
pub(in crate::report) const UNKNOWN: char = '?';
/// Before the first write and after the end nothing is watched.
pub(in crate::report) const UNARMED: char = '·';
/// A fault begins.
pub(in crate::report) const FAULT: char = '×';
/// A fault lasts.
pub(in crate::report) const LASTS: char = '━';
/// The way back begins.
pub(in crate::report) const BACK: char = '↩';

/// The text without any sign beyond ASCII that this program drew; names from outside stay as they are.
pub fn to_ascii(text: &str) -> String {
    text.chars().map(ascii).collect()
}

/// The nearest ASCII sign.
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

/// How many eighths of a column of `rows` cells a value fills. What is above zero shows.
pub(in crate::report) fn eighths(value: f64, top: f64, rows: u16) -> u16 {
    let all = rows * 8;
    if value <= 0.0 || top <= 0.0 {
        return 0;
    }
    let reached = |count: &u16| value / top * f64::from(all) >= f64::from(*count) - 0.5;
    (1..=all).rev().find(reached).unwrap_or(1)
}

/// The sign of one cell of a column: `row` counts from the bottom.
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
