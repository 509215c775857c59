//! URLs and arguments of a plan that may contain a secret: a secret that is written out is refused and never shown.

use crate::engine::secret_text::{self, is_telling};

use super::at::At;
use super::diagnostics::Sink;
use super::guarded::{filled, stands};

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
        if let (Some(text), Some(word)) = (texts.get(one.word), words.get(one.word)) {
            let part = &text[one.range.clone()];
            sink.hide_text(part);
            sink.hide_within(&word.span, part);
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
