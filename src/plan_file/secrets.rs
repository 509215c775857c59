//! Texts of a plan that may contain a secret: a secret that is written out is refused and never shown.

use crate::engine::notify::SecretRef;
use crate::engine::secret_text;
pub(super) use crate::engine::secret_text::is_telling;

use super::diagnostics::Sink;
use super::read::At;

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
        if strsim::damerau_levenshtein(&key, meant) * 3 <= key.len() {
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

/// A URL, which may contain references; `help` explains how a secret is written.
pub(super) fn url(text: At<String>, help: &str, sink: &mut Sink<'_>) -> Option<String> {
    let written = text.value?;
    let filled = match filled(&written) {
        Ok(filled) => filled,
        Err((message, help)) => {
            sink.hide(&text.span);
            sink.error(&text.span, message, help);
            return None;
        }
    };
    // The whole URL may be a reference.
    let whole = written.starts_with("${");
    let (scheme, rest) = filled.split_once("://").unwrap_or(("", &filled));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let is_web = scheme == "https" || scheme == "http";
    // In `user:pass/word@host` the password looks like a port and a path.
    let port = host.rsplit_once(':').map(|(_, port)| port);
    let plain_host = !host.ends_with(']') && !host.contains('@');
    let odd_port = plain_host && port.is_some_and(|port| port.parse::<u16>().is_err());
    if filled.contains(is_odd) || (!whole && (!is_web || host.is_empty() || odd_port)) {
        // Not repeated: a secret may have been meant.
        sink.hide(&text.span);
        let message = "this is not a URL that can be posted to";
        let help = "write for example `https://hooks.example.com/cutover`";
        sink.error(&text.span, message, help);
        return None;
    }
    if host.contains('@') {
        sink.hide(&text.span);
        let message =
            "a user and a password in a URL would be journaled with the plan, and are not sent";
        let help = "remove them; to authenticate, use a secret path, a header of a hook, or the signature of a webhook";
        sink.error(&text.span, message, help);
        return None;
    }
    if secret_text::is_key(&written)
        || queries(&written).any(|(key, value)| is_telling(key) && !stands(value))
    {
        sink.hide(&text.span);
        let message = "this URL contains a secret, which would be journaled with the plan";
        sink.error(&text.span, message, help);
        return None;
    }
    // Only the scheme and the host of a URL are shown.
    let shown = secret_text::url_shown(&written);
    if let Some(path) = written.strip_prefix(&shown)
        && path.len() > 1
        && !path.starts_with("/${")
    {
        sink.hide_within(&text.span, path);
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&name);
    if scheme == "http" && !local {
        let message = "requests to this URL are not encrypted";
        let help = "write `https://` if the server supports it";
        sink.warning(&text.span, message, help);
    }
    Some(written)
}

/// Returns true for characters that a URL cannot contain.
fn is_odd(c: char) -> bool {
    c.is_whitespace() || c.is_control() || !c.is_ascii()
}

/// The keys and values of a URL's query.
fn queries(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or("");
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// Refuses arguments of a command that are secrets, warns about those that may be, and shows neither anywhere.
pub(super) fn arguments(words: &[At<String>], sink: &mut Sink<'_>) {
    let texts: Vec<&str> = words
        .iter()
        .map(|word| word.value.as_deref().unwrap_or_default())
        .collect();
    let found = secret_text::find(&texts);
    for one in &found {
        if let Some(text) = texts.get(one.word) {
            sink.hide_text(&text[one.range.clone()]);
        }
    }
    for (index, word) in words.iter().enumerate() {
        let mut of_word = found.iter().filter(|one| one.word == index);
        let Some(first) = of_word.next() else {
            continue;
        };
        let help = "let the command read a variable or a file instead: it has the controller's environment";
        if first.certain || of_word.any(|one| one.certain) {
            let message = "this contains a secret, which would be journaled with the plan";
            sink.error(&word.span, message, help);
        } else {
            let message = "this looks like a secret, and would be journaled with the plan";
            sink.warning(&word.span, message, help);
        }
    }
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
