//! Secrets. They are looked up each time they are needed, put into texts, and never printed.

use std::fmt;
use std::sync::Arc;

use super::{forms, secret_file};

/// A function that returns the value of an environment variable. `None` if it is not set.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The text that is shown in place of a secret.
const SHOWN: &str = "[secret]";

/// The least length of a part of a secret URL that is hidden by itself, in bytes. Shorter parts are not secret.
const TELLING_BYTES_MIN: usize = 6;

/// A secret. It can be used, but printing it shows `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    /// The variable is not set, is empty, or contains line breaks or control characters.
    pub fn variable(name: &str, environment: &Environment) -> Result<Self, String> {
        let found = environment(name).ok_or_else(|| format!("the environment has no {name}"))?;
        Self::found(&found, &format!("${{{name}}}"))
    }

    /// Reads a secret from a file.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or contains line breaks or control characters.
    pub fn file(path: &str) -> Result<Self, String> {
        Self::found(&secret_file::read(path)?, &format!("file:{path}"))
    }

    /// Creates a secret from the text that was found at `place`, without white space around it.
    ///
    /// # Errors
    /// The text is empty, or contains line breaks or control characters. The message names the place, but never the
    /// text.
    fn found(text: &str, place: &str) -> Result<Self, String> {
        let secret = text.trim();
        if secret.is_empty() {
            return Err(format!("{place} is empty"));
        }
        if secret.chars().any(char::is_control) {
            return Err(format!(
                "{place} has line breaks or control characters in it"
            ));
        }
        Ok(Self::new(secret))
    }

    /// Returns the secret's text, to be sent to its service.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Removes this secret from a text, in every form in which services repeat it (semantics M7). If the secret is a
    /// URL, its path, its query and their longer parts are removed too, because services often repeat parts of the
    /// request.
    pub fn hidden_in(&self, text: &str) -> String {
        let path = self
            .0
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'));
        let path = path.map(|(_, path)| path).unwrap_or_default();
        let mut shown = text.to_owned();
        for part in [self.0.as_str(), path] {
            shown = forms::hidden_in(&shown, part, SHOWN);
        }
        for part in path.split(['/', '?', '&', '=', '#']) {
            if part.len() >= TELLING_BYTES_MIN {
                shown = forms::hidden_in(&shown, part, SHOWN);
            }
        }
        shown
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

/// Puts secrets into texts, and remembers them, so that they can be removed from other texts.
#[derive(Clone)]
pub struct Secrets {
    /// Returns the values of environment variables.
    environment: Environment,
    /// The secrets that were put into texts.
    used: Vec<Secret>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Creates an empty collection. `environment` returns the values of variables.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            used: Vec::new(),
        }
    }

    /// Replaces every `${NAME}` and `${file:PATH}` in a text by its secret.
    ///
    /// # Errors
    /// A secret cannot be read, or a `${` is not closed. The message names the secret and does not repeat the text.
    pub fn fill(&mut self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').ok_or("`${` is not closed")?;
            let secret = match name.strip_prefix("file:") {
                Some(path) => Secret::file(path)?,
                None => Secret::variable(name, &self.environment)?,
            };
            filled.push_str(before);
            filled.push_str(secret.reveal());
            self.used.push(secret);
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Removes from a text every secret that [`Secrets::fill`] put into another text.
    pub fn redact(&self, text: &str) -> String {
        let mut used: Vec<&Secret> = self.used.iter().collect();
        // The longest secret is removed first, because one secret may be a part of another.
        used.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        used.into_iter()
            .fold(text.to_owned(), |text, secret| secret.hidden_in(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Arc::new(|name| match name {
            "TOKEN" => Some("s3cret\n".to_owned()),
            "LONGER" => Some("s3cret-and-more".to_owned()),
            "EMPTY" => Some(" \n".to_owned()),
            "LINES" => Some("one\ntwo".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn a_secret_is_not_shown_by_anything_that_prints() {
        let secret = Secret::new("hunter2");
        let shown = [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{:?}", Some(secret.clone())),
        ];
        assert!(
            shown.iter().all(|text| !text.contains("hunter2")),
            "{shown:?}"
        );
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn what_a_service_repeats_of_a_secret_is_hidden() {
        let url = Secret::new("https://hooks.slack.com/services/T000/B000/abcdefgh");
        for said in [
            "no such hook: https://hooks.slack.com/services/T000/B000/abcdefgh",
            "no route /services/T000/B000/abcdefgh",
            "abcdefgh is gone",
        ] {
            let shown = url.hidden_in(said);
            assert!(!shown.contains("abcdefgh"), "{shown}");
        }
        assert_eq!(
            Secret::new("xoxb-1").hidden_in("bad xoxb-1"),
            "bad [secret]"
        );
        assert_eq!(url.hidden_in("HTTP 503: busy"), "HTTP 503: busy");
    }

    #[test]
    fn a_secret_is_hidden_in_whatever_form_a_service_repeats_it() {
        let token = Secret::new("xoxb-1/hunter&2+é");
        for said in [
            "xoxb-1/hunter&2+é",
            r"xoxb-1\/hunter&2+\u00e9",
            r"\u0078\u006f\u0078\u0062-1/hunter\u00262+\u00E9",
            r"xoxb-1\\/hunter\\u00262+é",
            "xoxb-1%2Fhunter%262%2b%C3%A9",
            "%78%6f%78%62%2d1%2fhunter%262%2B%c3%a9",
            "xoxb-1%252Fhunter%25262%252B%25C3%25A9",
            "xoxb-1/hunter&amp;2+&eacute;",
            "xoxb-1&#47;hunter&#38;2&#x2B;&#233;",
            "xoxb-1/hunter\\u0026amp;2+é",
            // Base64 of the secret, of a header with it, and of a user with it as the password.
            "eG94Yi0xL2h1bnRlciYyK8Op",
            "QmVhcmVyIHhveGItMS9odW50ZXImMivDqQ==",
            "dTp4b3hiLTEvaHVudGVyJjIrw6k=",
            "dTp4b3hiLTEvaHVudGVyJjIrw6k%3D",
        ] {
            let shown = token.hidden_in(&format!("it said: {said}!"));
            assert!(
                shown.starts_with("it said: ") && shown.ends_with('!'),
                "{shown}"
            );
            assert!(shown.contains("[secret]"), "{said}: {shown}");
            let left = ["hunter", "xoxb", "hunt", "aHVudG", "h1bnRl", "odW50"];
            assert!(
                !left.iter().any(|part| shown.contains(part)),
                "{said}: {shown}"
            );
        }
    }

    #[test]
    fn a_text_without_the_secret_stays_as_it_is() {
        let token = Secret::new("xoxb-1/hunter");
        for said in [
            "100 % of it\\n &amp; more &#38; \\u0041 %41 \\",
            "",
            "%",
            "\\u12",
            "&;&#;&#x;&#xffffffff;%zz é 日本",
        ] {
            assert_eq!(token.hidden_in(said), said);
        }
        assert_eq!(Secret::new("").hidden_in("abc"), "abc");
    }

    #[test]
    fn secrets_are_put_into_texts_and_taken_out_of_others() {
        let mut secrets = Secrets::new(environment());
        assert_eq!(secrets.fill("plain").unwrap(), "plain");
        assert_eq!(secrets.fill("Bearer ${TOKEN}!").unwrap(), "Bearer s3cret!");
        assert_eq!(secrets.fill("${LONGER}").unwrap(), "s3cret-and-more");
        assert_eq!(
            secrets.redact("s3cret-and-more s3cret"),
            "[secret] [secret]"
        );
    }

    #[test]
    fn what_is_not_there_or_cannot_be_sent_is_named_and_not_shown() {
        let why = |text: &str| Secrets::new(environment()).fill(text).unwrap_err();
        assert_eq!(why("${NO_SUCH}"), "the environment has no NO_SUCH");
        assert_eq!(why("${EMPTY}"), "${EMPTY} is empty");
        assert!(why("${LINES}").contains("line breaks") && !why("${LINES}").contains("two"));
        assert!(why("${file:/no/such/file}").contains("/no/such/file"));
        assert_eq!(why("Bearer abc ${TOKEN"), "`${` is not closed");
    }

    #[test]
    fn a_secret_in_a_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "from-a-file\n").unwrap();
        let text = format!("${{file:{}}}", path.display());
        let filled = Secrets::new(environment()).fill(&text);
        assert_eq!(filled.unwrap(), "from-a-file");
    }
}
