//! Finds secrets in a text by patterns (semantics M7).
//!
//! Secrets whose values are known are handled by `reach::secrets`. This module knows only the text. It looks for names
//! that a secret follows (`--token …`, `TOKEN=…`, `Authorization: …`), for keys of known services, and for URLs that
//! are a key by themselves.

use std::ops::Range;

/// Parts of names after which a secret follows. The names are those of arguments, variables, headers and keys in a
/// URL's query.
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

/// Whole words of such names after which a secret follows.
const TELLING_WORDS: [&str; 5] = ["key", "sig", "pass", "pwd", "auth"];

/// Last words of names that are followed by the location or kind of a secret, not by the secret itself.
const HARMLESS_ENDS: [&str; 17] = [
    "file", "path", "dir", "id", "ids", "name", "names", "arn", "env", "from", "mode", "type",
    "method", "ref", "url", "ttl", "timeout",
];

/// Names of arguments that are followed by a secret in some programs only.
const DOUBTFUL: [&str; 4] = ["key", "auth", "sig", "session"];

/// Prefixes of the keys of services. Sources: Slack API, token types; GitHub and GitLab, token prefixes; Standard
/// Webhooks.
const KEY_PREFIXES: [&str; 13] = [
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxe-",
    "xoxs-",
    "xapp-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "whsec_",
    "sk_live_",
];

/// Hosts for which the URL itself is the only key: the end of the host's name, and the beginning of the path.
///
/// Sources: Slack, Incoming webhooks; Discord, Webhook resource; Microsoft Teams, Incoming Webhook and Workflows;
/// `PagerDuty`, Events API v1 integration URLs; Google Chat, webhooks; Zapier; Opsgenie and Splunk On-Call, integration
/// URLs.
const KEY_HOSTS: [(&str, &str); 12] = [
    ("hooks.slack.com", "/"),
    ("hooks.slack-gov.com", "/"),
    ("discord.com", "/api/"),
    ("discordapp.com", "/api/"),
    ("webhook.office.com", "/"),
    ("outlook.office.com", "/webhook"),
    ("logic.azure.com", "/"),
    ("api.powerplatform.com", "/"),
    ("events.pagerduty.com", "/integration/"),
    ("events.eu.pagerduty.com", "/integration/"),
    ("alert.victorops.com", "/integrations/"),
    ("hooks.zapier.com", "/"),
];

/// Words that may stand between the name of a header and its secret.
const SCHEMES: [&str; 4] = ["bearer", "basic", "token", "apikey"];

/// Returns true if a secret usually follows this name.
pub fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let telling = TELLING.iter().any(|part| name.contains(part));
    name != "idempotency-key" && (telling || words.any(|word| TELLING_WORDS.contains(&word)))
}

/// Returns the scheme and the host of a URL, which are the only parts that may be shown. Returns the text itself if it
/// is not a URL.
pub fn url_shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// Returns true if a URL is a key by itself: anybody who has the URL may use it.
pub fn is_key(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    KEY_HOSTS.iter().any(|(known, begin)| {
        let its = host == *known || host.ends_with(&format!(".{known}"));
        its && path.len() > begin.len() && path.starts_with(begin)
    })
}

/// A probable secret in a list of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSecret {
    /// The index of the word that it is in.
    pub word: usize,
    /// Its location in the word, as a range of bytes.
    pub range: Range<usize>,
    /// True if it is almost certainly a secret; false if it may be one.
    pub certain: bool,
}

/// Finds probable secrets in the words of a command. For any other text, pass it as the only word.
pub fn find<T: AsRef<str>>(words: &[T]) -> Vec<FoundSecret> {
    let mut found = Vec::new();
    let mut before = ExpectedWord::Nothing;
    for (index, word) in words.iter().enumerate() {
        let word = word.as_ref();
        let mut scan = WordScan {
            word: index,
            expected: before,
            found: &mut found,
        };
        if word.contains(char::is_whitespace) {
            // A script or a header is a word with words of its own.
            scan.expected = ExpectedWord::Nothing;
            let secret = matches!(before, ExpectedWord::Doubtful | ExpectedWord::Secret);
            if secret && !word.trim_start().starts_with('-') {
                scan.push(0..word.len(), before == ExpectedWord::Secret);
            } else {
                for range in tokens(word) {
                    scan.token(word, range);
                }
            }
            before = ExpectedWord::Nothing;
        } else {
            scan.token(word, 0..word.len());
            before = scan.expected;
        }
    }
    found
}

/// Returns the words as one text, with `***` in place of each probable secret.
pub fn command_shown<T: AsRef<str>>(words: &[T]) -> String {
    let found = find(words);
    let mut shown: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let mut of_word: Vec<Range<usize>> = Vec::new();
        for one in &found {
            if one.word == index {
                of_word.push(one.range.clone());
            }
        }
        shown.push(starred(word.as_ref(), of_word, |_| "***".to_owned()));
    }
    shown.join(" ")
}

/// Returns the text with each of these parts replaced by the result of `stars`. `parts` are ranges of bytes.
pub fn starred(text: &str, mut parts: Vec<Range<usize>>, stars: impl Fn(&str) -> String) -> String {
    parts.sort_by_key(|part| part.start);
    let (mut shown, mut at) = (String::new(), 0);
    for part in parts {
        let (start, end) = (part.start.max(at), part.end.max(at));
        shown.push_str(&text[at..start]);
        if end > start {
            shown.push_str(&stars(&text[start..end]));
        }
        at = end;
    }
    shown.push_str(&text[at..]);
    shown
}

/// The meaning of the next word, by the word before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExpectedWord {
    /// Nothing special: an ordinary word.
    Nothing,
    /// It may be a secret.
    Doubtful,
    /// It is a secret.
    Secret,
    /// It is `user:password`, or a user alone.
    UserAndPassword,
}

/// The state of the search within one word.
struct WordScan<'f> {
    word: usize,
    expected: ExpectedWord,
    found: &'f mut Vec<FoundSecret>,
}

impl WordScan<'_> {
    fn push(&mut self, range: Range<usize>, certain: bool) {
        self.found.push(FoundSecret {
            word: self.word,
            range,
            certain,
        });
    }

    /// Checks one token of a word, and sets the meaning of the next one.
    fn token(&mut self, word: &str, range: Range<usize>) {
        let text = &word[range.clone()];
        let expected = std::mem::replace(&mut self.expected, ExpectedWord::Nothing);
        if expected == ExpectedWord::UserAndPassword {
            self.password(text, range);
            return;
        }
        if expected != ExpectedWord::Nothing && !text.starts_with('-') {
            if SCHEMES.contains(&text.to_ascii_lowercase().as_str()) {
                self.expected = expected;
            } else if is_literal(text) {
                self.push(range, expected == ExpectedWord::Secret);
            }
            return;
        }
        if SCHEMES[..2].contains(&text.to_ascii_lowercase().as_str()) {
            self.expected = ExpectedWord::Doubtful;
            return;
        }
        if KEY_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix) && text.len() > prefix.len() + 1)
        {
            self.push(range, true);
            return;
        }
        if text.contains("://") && !text.starts_with("--") {
            self.url(word, range);
            return;
        }
        let Some(at) = text.find(['=', ':']) else {
            // An argument such as `--token`, whose secret is the next word.
            if text.starts_with('-') {
                self.expected = expects(text);
            }
            return;
        };
        let (name, value) = (&text[..at], &text[at + 1..]);
        let expected = expects(name);
        if expected == ExpectedWord::UserAndPassword {
            self.password(value, range.start + at + 1..range.end);
            return;
        }
        if expected == ExpectedWord::Nothing {
            if value.contains("://") {
                self.url(word, range.start + at + 1..range.end);
            }
            return;
        }
        if value.is_empty() {
            // A name such as `Authorization:`, whose secret is the next word.
            self.expected = expected;
        } else if is_literal(value) {
            self.push(
                range.start + at + 1..range.end,
                expected == ExpectedWord::Secret,
            );
        }
    }

    /// Checks a text that may be `user:password`.
    fn password(&mut self, text: &str, range: Range<usize>) {
        if let Some((user, password)) = text.split_once(':')
            && is_literal(password)
        {
            self.push(range.start + user.len() + 1..range.end, true);
        }
    }

    /// Checks a URL for the password of a user, a path that is a key, and keys in the query.
    fn url(&mut self, word: &str, range: Range<usize>) {
        let url = &word[range.clone()];
        let Some((scheme, rest)) = url.split_once("://") else {
            return;
        };
        let begin = range.start + scheme.len() + "://".len();
        let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        if let Some((user, _)) = rest[..host_end].rsplit_once('@')
            && is_literal(user)
        {
            self.push(begin..begin + user.len(), true);
        }
        if is_key(url) {
            self.push(begin + host_end..range.end, true);
            return;
        }
        let Some(query) = rest.find('?') else {
            return;
        };
        let mut at = begin + query + 1;
        for pair in rest[query + 1..].split(['&', '#']) {
            if let Some((key, value)) = pair.split_once('=')
                && is_telling(key)
                && is_literal(value)
            {
                self.push(at + key.len() + 1..at + pair.len(), true);
            }
            at += pair.len() + 1;
        }
    }
}

/// Returns the meaning of the word after a name.
fn expects(name: &str) -> ExpectedWord {
    if matches!(name, "-u" | "--user" | "--proxy-user") {
        return ExpectedWord::UserAndPassword;
    }
    let bare = name.trim_start_matches('-').to_ascii_lowercase();
    if DOUBTFUL.contains(&bare.as_str()) {
        return ExpectedWord::Doubtful;
    }
    let last = bare.rsplit(|c: char| !c.is_ascii_alphanumeric()).next();
    if HARMLESS_ENDS.contains(&last.unwrap_or_default()) || !is_telling(&bare) {
        return ExpectedWord::Nothing;
    }
    ExpectedWord::Secret
}

/// Returns true if a value is meant literally, and not a variable, a path or a word like `true`.
fn is_literal(value: &str) -> bool {
    let elsewhere = ["$", "`", "@", "/", "./", "~", "file:", "arn:", "<", "{"];
    let plain = [
        "true", "false", "yes", "no", "on", "off", "none", "null", "***",
    ];
    // A text such as `$(…)secret` has a literal part after the reference.
    let more = value.starts_with("$(") && !value.ends_with(')');
    !value.is_empty()
        && (more || !elsewhere.iter().any(|begin| value.starts_with(begin)))
        && !plain.contains(&value.to_ascii_lowercase().as_str())
}

/// Returns the words of a script as ranges of bytes, without quotes, brackets and separators.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut start = None;
    let (mut inside_reference, mut in_url) = (false, false);
    for (at, character) in text.char_indices() {
        // `${NAME}` is one token, although it has braces.
        if character == '{' && text[..at].ends_with('$') {
            inside_reference = true;
        }
        let edge =
            (character.is_whitespace() || "\"';|&(),[]{}".contains(character)) && !inside_reference;
        if character == '}' {
            inside_reference = false;
        }
        // In a URL, `&` separates the parts of a query.
        let edge = edge && !(character == '&' && in_url);
        if start.is_none() {
            in_url = false;
        } else if character == '/' && text[..at].ends_with(":/") {
            in_url = true;
        }
        match (edge, start) {
            (true, Some(from)) => {
                tokens.push(from..at);
                start = None;
            }
            (false, None) => start = Some(at),
            (true, None) | (false, Some(_)) => {}
        }
    }
    if let Some(from) = start {
        tokens.push(from..text.len());
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_behind_a_user_is_found_and_a_user_alone_is_not() {
        for (words, shown) in [
            (
                &["curl", "-u", "ada:hunter22", "x"][..],
                "curl -u ada:*** x",
            ),
            (&["curl", "--user=ada:hunter22"], "curl --user=ada:***"),
            (
                &["curl", "-u", "ada:${PASSWORD}"],
                "curl -u ada:${PASSWORD}",
            ),
            (&["sudo", "-u", "ada", "x"], "sudo -u ada x"),
            (
                &["sh", "-c", "curl -u ada:hunter22 x"],
                "sh -c curl -u ada:*** x",
            ),
            (&["x", "--token", "$(echo)hunter22"], "x --token ***"),
        ] {
            assert_eq!(command_shown(words), shown);
        }
    }

    #[test]
    fn a_long_word_of_signs_is_looked_at_once() {
        let text = format!("x {}://{}", "a".repeat(200_000), "&".repeat(200_000));
        let began = text.len();
        assert_eq!(tokens(&text).len(), 2);
        assert!(began > 400_000);
    }

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
    fn a_command_is_shown_without_what_looks_like_a_secret() {
        for (words, shown) in [
            (vec!["x", "--token", "hunter22", "-v"], "x --token *** -v"),
            (vec!["x", "--password=hunter22"], "x --password=***"),
            (
                vec!["env", "API_TOKEN=hunter22", "x"],
                "env API_TOKEN=*** x",
            ),
            (
                vec!["sh", "-c", "TOKEN=hunter22 curl -s https://x.example"],
                "sh -c TOKEN=*** curl -s https://x.example",
            ),
            (
                vec!["sh", "-c", "export DB_PASSWORD='hunter22'; x"],
                "sh -c export DB_PASSWORD='hunter22'; x",
            ),
            (
                vec![
                    "curl",
                    "-H",
                    "Authorization: Bearer hunter22",
                    "https://x.example",
                ],
                "curl -H Authorization: Bearer *** https://x.example",
            ),
            (
                vec!["sh", "-c", "curl -H 'X-Api-Key: hunter22' x"],
                "sh -c curl -H 'X-Api-Key: ***' x",
            ),
            (
                vec!["curl", "-HAuthorization:hunter22"],
                "curl -HAuthorization:***",
            ),
            (vec!["x", "xoxb-1-hunter22"], "x ***"),
            (
                vec!["curl", "https://hooks.slack.com/services/T0/B0/hunter22"],
                "curl https://hooks.slack.com***",
            ),
            (
                vec![
                    "curl",
                    "https://u:hunter22@x.example/f?a=b&token=hunter22&c=d",
                ],
                "curl https://***@x.example/f?a=b&token=***&c=d",
            ),
            (vec!["x", "--key", "hunter22"], "x --key ***"),
        ] {
            let shown = shown.replace("'hunter22'", "'***'");
            assert_eq!(command_shown(&words), shown, "{words:?}");
        }
    }

    #[test]
    fn what_names_a_place_or_is_no_secret_is_shown() {
        for words in [
            vec![
                "x",
                "--token-file",
                "/run/secrets/token",
                "--secret-id",
                "prod/db",
            ],
            vec!["x", "--token", "$TOKEN", "--password=${PASSWORD}"],
            vec![
                "sh",
                "-c",
                "TOKEN=$(cat /run/token) curl -H \"Authorization: Bearer ${TOKEN}\" x",
            ],
            vec!["x", "--auth", "true", "--keyboard", "us", "name:orders"],
            vec![
                "curl",
                "https://deploys.example.com/cutover?step=2&idempotency-key=7",
            ],
            vec![
                "aws",
                "sqs",
                "purge-queue",
                "--queue-url",
                "https://sqs.eu-west-1.amazonaws.com/1/q",
            ],
        ] {
            assert_eq!(command_shown(&words), words.join(" "));
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_certain() {
        let found = |words: &[&str]| {
            find(words)
                .into_iter()
                .map(|one| one.certain)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&["x", "--key", "orders/1"]), [false]);
        assert_eq!(found(&["x", "--api-key", "hunter22"]), [true]);
        assert_eq!(found(&["x", "--token", "hunter22"]), [true]);
    }

    #[test]
    fn of_a_url_the_scheme_and_the_host_are_shown_and_some_are_keys() {
        assert_eq!(
            url_shown("https://u:p@x.example:8443/a?b#c"),
            "https://x.example:8443"
        );
        assert_eq!(url_shown("${HOOK}"), "${HOOK}");
        for url in [
            "https://hooks.slack.com/services/T/B/x",
            "https://discord.com/api/webhooks/1/x",
            "https://contoso.webhook.office.com/webhookb2/x",
            "https://prod-1.westeurope.logic.azure.com:443/workflows/x",
            "https://events.pagerduty.com/integration/x/enqueue",
        ] {
            assert!(is_key(url), "{url}");
        }
        for url in [
            "https://events.pagerduty.com/v2/enqueue",
            "https://deploys.example.com/cutover",
            "https://discord.com/",
            "https://nothooks.slack.com.example.com/x",
        ] {
            assert!(!is_key(url), "{url}");
        }
    }
}
