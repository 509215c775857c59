//! The parts of a file that may contain secrets, and the references that stand for them.

use crate::engine::notify::SecretRef;
use crate::engine::secret_text::is_telling;

use super::diagnostics::Sink;
use super::slips::slips;

/// The parts of a file that may contain secrets (semantics M7).
const GUARDED: [&str; 4] = ["notify", "hooks", "jobs", "sources"];

/// Keys whose values are or contain secrets.
const HOLDING: [&str; 4] = ["slack", "webhook", "url", "headers"];

/// Returns true if the part of the file under this key may contain secrets.
pub(super) fn is_guarded(key: &str) -> bool {
    GUARDED.contains(&key)
}

/// Returns true if an unknown key, or a key with a value of the wrong kind, may contain a secret.
pub(super) fn may_be_guarded(key: &str) -> bool {
    let key = key.trim_matches('`').to_ascii_lowercase();
    for meant in GUARDED.iter().chain(&HOLDING) {
        if slips(&key, meant) * 3 <= key.len() {
            return true;
        }
    }
    is_telling(&key)
}

/// Hides values of a text that is not valid YAML: all values in parts that may contain secrets.
pub(super) fn hide_unread(text: &str, sink: &mut Sink<'_>) {
    let (mut guarded, mut at) = (false, 0);
    for line in text.split_inclusive('\n') {
        let end = at + line.trim_end().len();
        let is_key = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '"' || c == '\'');
        if is_key {
            let key = line.split(':').next().unwrap_or_default();
            let key = key.trim().trim_matches(['"', '\'']);
            guarded = key == "defaults" || may_be_guarded(key);
        }
        if guarded {
            let value = line
                .find(':')
                .or_else(|| line.find('-'))
                .map_or(0, |sign| sign + 1);
            sink.hide(&(at + value..end.max(at + value)));
        }
        at += line.len();
    }
}

/// Returns true if a text is or contains a reference, `${NAME}` or `${file:/path}`.
pub(super) fn stands(text: &str) -> bool {
    filled(text).is_ok_and(|filled| filled != text)
}

/// The text with every reference replaced by the word `reference`.
///
/// # Errors
/// A reference is not valid: the message, which repeats none of it, and the suggested fix.
pub(super) fn filled(text: &str) -> Result<String, (&'static str, &'static str)> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, behind)) = after.split_once('}') else {
            let help = "close it: `${NAME}`, or `${file:/run/secrets/name}`";
            return Err(("`${` is not closed", help));
        };
        if format!("${{{inner}}}").parse::<SecretRef>().is_err() {
            let help = "write the name of a variable, `${NAME}`, or an absolute path, `${file:/run/secrets/name}`";
            return Err(("`${…}` names neither a variable nor a file", help));
        }
        filled.push_str(before);
        filled.push_str("reference");
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_reference_stands_for_something() {
        assert!(stands("Bearer ${TOKEN}") && stands("${file:/run/x}"));
        assert!(
            !stands("Bearer abc")
                && !stands("Bearer abc ${A")
                && !stands("${file:}")
                && !stands("${a b}")
        );
        assert_eq!(
            filled("https://x/${A}?b=${C}").as_deref(),
            Ok("https://x/reference?b=reference")
        );
    }
}
