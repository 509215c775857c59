//! Texts of a plan that a secret may stand in: it is refused where it is written out, and shown nowhere.

use crate::engine::notify::SecretRef;
use crate::engine::secret_text;
pub(super) use crate::engine::secret_text::is_telling;

use super::diagnostics::Sink;
use super::read::At;

/// The parts of a file that have to do with secrets (semantics M7).
const GUARDED: [&str; 4] = ["notify", "hooks", "jobs", "sources"];

/// Keys whose values are secrets, or hold some.
const HOLDING: [&str; 4] = ["slack", "webhook", "url", "headers"];

/// Returns true if what stands behind this key has to do with secrets.
pub(super) fn is_guarded(key: &str) -> bool {
    GUARDED.contains(&key)
}

/// Returns true if a key that is not known here, or holds something of another kind, may have a secret behind it.
pub(super) fn may_be_guarded(key: &str) -> bool {
    let key = key.trim_matches('`').to_ascii_lowercase();
    let meant = GUARDED.iter().chain(&HOLDING);
    let likeness = |meant: &&str| strsim::damerau_levenshtein(&key, meant);
    let closest = meant.map(likeness).min().unwrap_or(usize::MAX);
    closest * 3 <= key.len() || is_telling(&key)
}

/// Hides values of a text that is no YAML, so that nobody knows what they are: those in parts that have to do with secrets.
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

/// Whether a text stands for something, `${NAME}` or `${file:/path}`, all or part of it.
pub(super) fn stands(text: &str) -> bool {
    filled(text).is_ok_and(|filled| filled != text)
}

/// The text with a word in the place of everything that it stands for.
///
/// # Errors
/// What is wrong, without repeating any of it, and what to write.
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

/// A URL that is written out, but for what it stands for; `help` says how a secret is written.
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
    // All of it may stand elsewhere.
    let whole = written.starts_with("${");
    let (scheme, rest) = filled.split_once("://").unwrap_or(("", &filled));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let is_web = scheme == "https" || scheme == "http";
    // Of `user:pass/word@host` the password would be taken for a port and a path.
    let port = host.rsplit_once(':').map(|(_, port)| port);
    let plain_host = !host.ends_with(']') && !host.contains('@');
    let odd_port = plain_host && port.is_some_and(|port| port.parse::<u16>().is_err());
    let odd = |c: char| c.is_whitespace() || c.is_control() || !c.is_ascii();
    if filled.contains(odd) || (!whole && (!is_web || host.is_empty() || odd_port)) {
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
        let help = "take them out; what is posted to can be told by a secret path, by a header of a hook, or by the signature of a webhook";
        sink.error(&text.span, message, help);
        return None;
    }
    if secret_text::is_key(&written)
        || queries(&written).any(|(key, value)| is_telling(key) && !stands(value))
    {
        sink.hide(&text.span);
        let message = "this URL holds a secret, which would be journaled with the plan";
        sink.error(&text.span, message, help);
        return None;
    }
    // Of what is written out, the scheme and the host are shown.
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
        let message = "what is sent there can be read on the way";
        let help = "write `https://` if the other side can do it";
        sink.warning(&text.span, message, help);
    }
    Some(written)
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
        let help =
            "a command has the controller's environment: let it read a variable or a file there";
        if first.certain || of_word.any(|one| one.certain) {
            let message = "this holds a secret, which would be journaled with the plan";
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
