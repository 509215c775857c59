//! Texts of a plan that a secret may stand in: it is refused where it is written out, and shown nowhere.

use crate::engine::notify::SecretRef;

use super::diagnostics::Sink;
use super::read::At;

/// What is in the names of arguments, headers and keys of a URL's query behind which there is a secret.
const TELLING: [&str; 11] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "authori",
    "authen",
    "apikey",
    "cookie",
    "credential",
    "signature",
    "session",
];

/// The same, as whole words of a name.
const TELLING_WORDS: [&str; 5] = ["key", "sig", "pass", "pwd", "auth"];

/// Whether a secret belongs behind this name.
pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let telling = TELLING.iter().any(|part| name.contains(part));
    name != "idempotency-key" && (telling || words.any(|word| TELLING_WORDS.contains(&word)))
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
    let odd = |c: char| c.is_whitespace() || c.is_control() || !c.is_ascii();
    if filled.contains(odd) || (!whole && (!is_web || host.is_empty())) {
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
    let slack = host.eq_ignore_ascii_case("hooks.slack.com");
    if slack || queries(&written).any(|(key, value)| is_telling(key) && !stands(value)) {
        sink.hide(&text.span);
        let message = "this URL holds a secret, which would be journaled with the plan";
        sink.error(&text.span, message, help);
        return None;
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

/// Warns about arguments of a command that look like secrets, and shows them nowhere.
pub(super) fn arguments(words: &[At<String>], sink: &mut Sink<'_>) {
    let mut telling = false;
    for word in words {
        let Some(text) = word.value.as_deref() else {
            continue;
        };
        let (flag, value) = text.split_once('=').unwrap_or((text, ""));
        let is_flag = flag.starts_with('-') && is_telling(flag);
        if (telling && !text.starts_with('-')) || (is_flag && !value.is_empty()) {
            sink.hide(&word.span);
            let message = "this looks like a secret, and would be journaled with the plan";
            let help = "a command has the controller's environment: let it read a variable or a file there";
            sink.warning(&word.span, message, help);
        }
        telling = is_flag && value.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whether_a_secret_belongs_behind_them() {
        let telling = [
            "Authorization",
            "x-api-key",
            "apiKey",
            "--db-password",
            "cookie",
            "sig",
            "X-Auth",
        ];
        assert!(telling.iter().all(|name| is_telling(name)));
        let harmless = [
            "content-type",
            "idempotency-key",
            "x-author",
            "design",
            "monkey",
            "signal",
        ];
        assert!(!harmless.iter().any(|name| is_telling(name)));
    }

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
