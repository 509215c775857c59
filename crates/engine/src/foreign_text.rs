//! Makes foreign text (reasons, names, messages of services, outputs of commands, file names) safe to show. It cannot
//! act on a terminal, hide a part of itself, or look like a line of this program (semantics M6).
//!
//! A text may be escaped several times: escaping it again changes nothing.

/// The style codes that this program itself uses: reset, bold, faint, italic, underlined and the default colour.
const STYLES: [&str; 6] = ["0", "1", "2", "3", "4", "39"];

/// Returns the text on one line. Control characters, line breaks, invisible characters and those that change the
/// direction of writing are escaped.
pub fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut shown, character);
    }
    shown
}

/// Returns the first `chars_max` characters of a text. `…` is added if the text is longer.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Escapes text of this program that may contain foreign text, as [`one_line`] does, but keeps line breaks, tabs and
/// styles.
///
/// This is only a second protection. Foreign text is first escaped with [`one_line`], when it is put into a longer
/// text.
pub fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(style) = style(rest) {
            shown.push_str(style);
            rest = &rest[style.len()..];
            continue;
        }
        match character {
            '\n' | '\t' => shown.push(character),
            _ => push(&mut shown, character),
        }
        rest = &rest[character.len_utf8()..];
    }
    shown
}

/// Returns JSON for a terminal: the same value, in which characters that a terminal would act on are JSON escapes.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_escaped(character) {
            shown.push(character);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            let escape = format!("\\u{unit:04x}");
            shown.push_str(&escape);
        }
    }
    shown
}

/// Escapes a line of a JSON log. A dangerous character stays escaped even after the JSON is parsed, because people read
/// the values.
pub fn json_log_line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut characters = line.trim_end_matches('\n').chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            push_in_json(&mut shown, character);
            continue;
        }
        match characters.next() {
            Some('n') => shown.push_str(r"\\n"),
            Some('r') => shown.push_str(r"\\r"),
            Some('t') => shown.push_str(r"\\t"),
            Some('b') => shown.push_str(r"\\u{8}"),
            Some('f') => shown.push_str(r"\\u{c}"),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                if let Some(character) = code.and_then(char::from_u32) {
                    push_in_json(&mut shown, character);
                } else {
                    shown.push_str(r"\u");
                    shown.push_str(&digits);
                }
            }
            Some(other) => {
                shown.push('\\');
                shown.push(other);
            }
            None => shown.push_str(r"\\"),
        }
    }
    shown.push('\n');
    shown
}

/// Adds a character to the inside of a JSON string. If it must not be shown as it is, its escape stays visible after
/// the JSON is parsed.
fn push_in_json(shown: &mut String, character: char) {
    if is_escaped(character) {
        shown.push('\\');
    }
    push(shown, character);
}

/// Adds a character to a text, escaped if it must not be shown as it is.
fn push(shown: &mut String, character: char) {
    match character {
        '\n' => shown.push_str(r"\n"),
        '\r' => shown.push_str(r"\r"),
        '\t' => shown.push_str(r"\t"),
        _ if is_escaped(character) => shown.extend(character.escape_unicode()),
        _ => shown.push(character),
    }
}

/// Returns true if a character acts on a terminal, is invisible, breaks a line, or changes the direction of writing.
///
/// Source: Unicode 16, general categories Cc and Cf (without the visible marks of some scripts), Zl and Zp, and letters
/// that look like a space.
fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the escape sequence at the beginning of a text, if it only sets [`STYLES`] or colours. `None` otherwise.
fn style(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let (codes, _) = rest.split_once('m')?;
    for code in codes.split(';') {
        let colour = matches!(code.as_bytes(), [b'3' | b'9', b'0'..=b'7']);
        if !colour && !STYLES.contains(&code) {
            return None;
        }
    }
    text.get(.."\u{1b}[m".len() + codes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At least one character of each kind: C0, DEL, C1, line breaks, directions, zero width.
    const NASTY: &str = "a\u{1b}[2J\u{7}\r\n\t\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}z";

    #[test]
    fn text_of_others_is_one_line_that_says_what_is_in_it() {
        let shown = one_line(NASTY);
        assert_eq!(
            shown,
            r"a\u{1b}[2J\u{7}\r\n\t\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}z"
        );
        assert_eq!(one_line(&shown), shown, "twice is once");
        assert!(!shown.chars().any(is_escaped));
    }

    #[test]
    fn letters_of_all_scripts_stay_as_they_are() {
        let text = "café – 日本語 عربى हिन्दी ⚠️ é 100 % █░ “x” `a\\b`";
        assert_eq!(one_line(text), text);
        assert_eq!(lines(text), text);
        assert_eq!(json(text), text);
    }

    #[test]
    fn lines_of_ours_keep_their_breaks_and_styles_and_nothing_else() {
        let ours = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m two\n\tlines \u{1b}[1;94m|\u{1b}[0m";
        assert_eq!(lines(ours), ours);
        let hidden = "\u{1b}[8mhidden\u{1b}[0m \u{1b}[31;7mturned \u{1b}]0;title\u{7} \u{1b}[1";
        assert_eq!(
            lines(hidden),
            "\\u{1b}[8mhidden\u{1b}[0m \\u{1b}[31;7mturned \\u{1b}]0;title\\u{7} \\u{1b}[1"
        );
    }

    #[test]
    fn json_keeps_its_value_and_has_nothing_that_acts_on_a_terminal() {
        let text = json(
            &format!("[\n  {:?}\n]", "\u{7f}\u{9b}")
                .replace("\\u{7f}\\u{9b}", "\u{7f}\u{9b}\u{202e}\u{e0041}"),
        );
        assert_eq!(text, "[\n  \"\\u007f\\u009b\\u202e\\udb40\\udc41\"\n]");
    }

    #[test]
    fn a_line_of_a_json_log_stays_json_and_its_values_stay_escaped() {
        let line = "{\"message\":\"a\\nb\\u001b[2J\\\"q\\\\n \u{202e}\\u00e9\\b\",\"n\":1}\n";
        let shown = json_log_line(line);
        assert_eq!(
            shown,
            "{\"message\":\"a\\\\nb\\\\u{1b}[2J\\\"q\\\\n \\\\u{202e}é\\\\u{8}\",\"n\":1}\n"
        );
    }
}
