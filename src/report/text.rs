//! Small pieces of all reports: durations, times, bars, wrapped lines.

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::engine::foreign_text::one_line;
use crate::engine::units::Share;

/// The style of things that failed or need a person.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// The style of things that a person may want to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// The style of success.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// The style of headings.
pub const TITLE: Style = Style::new().bold();
/// The style of details that a reader may skip.
pub const FAINT: Style = Style::new().dimmed();

/// Returns lines in one style. Any other style in the text is escaped (semantics M6). The caller strips the style if it
/// does not write to a terminal.
pub fn styled(style: Style, text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(one_line).collect();
    format!("{style}{}{style:#}", lines.join("\n"))
}

/// Returns a length of time in its two largest units: `1d 4h`, `2h 14m`, `45s`. A negative length is shown as `0s`.
pub fn duration(length: SignedDuration) -> String {
    let mut rest = length.as_secs().max(0);
    let mut parts: Vec<String> = Vec::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            // `1d 5s` would suggest a precision that the result does not have.
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Returns a time to the minute, in UTC: `2026-11-21 14:00Z`.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// Returns a time to the second, in UTC: `2026-11-21 14:00:03Z`.
pub fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns a time to the minute in a time zone: `Mon 2026-12-07 10:00 JST`.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%a %Y-%m-%d %H:%M %Z")
        .to_string()
}

/// Returns the distance to a time: `in 2h 14m`, `5m ago`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.duration_since(now).as_secs();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", duration(SignedDuration::from_secs(seconds))),
        _ => format!("{} ago", duration(SignedDuration::from_secs(-seconds))),
    }
}

/// Returns a time with the distance to it: `2026-11-21 14:00Z (in 2h 14m)`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", minute(at), relative(at, now))
}

/// Returns a time for JSON: RFC 3339 in UTC.
pub fn rfc3339(at: Timestamp) -> String {
    at.to_string()
}

/// Returns a share for JSON: a number in percent, without a fraction if it is whole.
pub fn share_json(share: Share) -> serde_json::Value {
    match share.whole_percent() {
        Some(whole) => serde_json::Value::from(whole),
        None => serde_json::Value::from(share.as_percent()),
    }
}

/// Returns a share for people, with at most two decimals. JSON has the exact one.
pub fn share(share: Share) -> String {
    if share.whole_percent().is_some() {
        return share.to_string();
    }
    let text = format!("{:.2}", share.as_percent());
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns a share as a bar of `width` cells. A share above zero fills at least one cell, and only 100 % fills all.
pub fn bar(share: Share, width: u32) -> String {
    let full = u64::from(Share::FULL.millionths());
    let exact = u64::from(share.millionths()) * u64::from(width);
    let mut cells = u32::try_from((exact + full / 2) / full).unwrap_or(width);
    if share > Share::ZERO {
        cells = cells.max(1);
    }
    if share < Share::FULL {
        cells = cells.min(width.saturating_sub(1));
    }
    let filled = usize::try_from(cells).unwrap_or(0);
    let empty = usize::try_from(width - cells).unwrap_or(0);
    format!("{}{}", "█".repeat(filled), "░".repeat(empty))
}

/// Returns a number with commas between its thousands.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Longest reason that is shown, in bytes (semantics M8). The command line refuses a longer one, but old entries may
/// have one.
const REASON_BYTES_MAX: usize = 2_048;

/// Returns a person's reason, shortened if it is too long. JSON has it in full.
pub fn reason(reason: &str) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return reason.to_owned();
    }
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    format!("{}… (shortened)", &reason[..end])
}

/// Returns a number and its noun: `1 plan`, `3 plans`.
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Breaks text at spaces so that no line, indentation included, is longer than `width` columns. Without a width the
/// text stays in one line, for pipes. A command in backticks is one word, so that it can be pasted; a word that is too
/// long gets a line of its own. Line breaks and control characters in the text come from outside and are escaped
/// (semantics M6). Add styles afterwards.
pub fn wrap(text: &str, indent: usize, width: Option<usize>) -> String {
    let text = one_line(text);
    let margin = " ".repeat(indent);
    let Some(width) = width else {
        return format!("{margin}{text}");
    };
    let room = width.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    for word in words(&text) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            Some(_) | None => lines.push(word),
        }
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("{margin}{line}")).collect();
    lines.join("\n")
}

/// Returns the words of a text. A command in backticks is one word.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    for word in text.split(' ') {
        match words.last_mut() {
            Some(last) if quoted => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => words.push(word.to_owned()),
        }
        if word.matches('`').count() % 2 == 1 {
            quoted = !quoted;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(seconds: i64) -> String {
        duration(SignedDuration::from_secs(seconds))
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(-5), "0s");
        assert_eq!(shown(45), "45s");
        assert_eq!(shown(3_600), "1h");
        assert_eq!(shown(8_040), "2h 14m");
        assert_eq!(shown(100_800), "1d 4h");
        assert_eq!(shown(86_405), "1d");
    }

    #[test]
    fn a_time_says_how_far_away_it_is() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-21T12:14:00Z".parse().unwrap();
        assert_eq!(when(later, now), "2026-11-21 12:14Z (in 2h 14m)");
        assert_eq!(when(now, later), "2026-11-21 10:00Z (2h 14m ago)");
        assert_eq!(relative(now, now), "now");
    }

    #[test]
    fn a_bar_is_empty_only_at_zero_and_full_only_at_all() {
        assert_eq!(bar(Share::ZERO, 4), "░░░░");
        assert_eq!(bar(Share::percent(1), 4), "█░░░");
        assert_eq!(bar(Share::percent(50), 4), "██░░");
        assert_eq!(bar(Share::percent(99), 4), "███░");
        assert_eq!(bar(Share::FULL, 4), "████");
    }

    #[test]
    fn shares_are_short_for_people() {
        assert_eq!(share(Share::percent(25)), "25%");
        assert_eq!(share("33.333333%".parse().unwrap()), "33.33%");
        assert_eq!(share("0.5%".parse().unwrap()), "0.5%");
    }

    #[test]
    fn a_reason_is_shown_up_to_two_kibibytes() {
        let fits = "x".repeat(2_048);
        assert_eq!(reason(&fits), fits);
        let shown = reason(&"é".repeat(52_500));
        assert!(
            shown.len() < 2_100 && shown.ends_with("é… (shortened)"),
            "{}",
            shown.len()
        );
    }

    #[test]
    fn others_break_no_line_and_set_no_style() {
        let nasty = "a\nb\u{1b}[31mc";
        assert_eq!(wrap(nasty, 2, None), r"  a\nb\u{1b}[31mc");
        assert_eq!(
            styled(TITLE, "a\u{1b}[31mc"),
            "\u{1b}[1ma\\u{1b}[31mc\u{1b}[0m"
        );
    }

    #[test]
    fn text_is_broken_only_where_there_is_a_width() {
        let text = "somebody else changed api.example.com A";
        assert_eq!(wrap(text, 2, None), format!("  {text}"));
        assert_eq!(
            wrap(text, 2, Some(24)),
            "  somebody else changed\n  api.example.com A"
        );
        assert_eq!(
            wrap("approve: `cutover approve x --step 2`", 0, Some(30)),
            "approve:\n`cutover approve x --step 2`"
        );
    }
}
