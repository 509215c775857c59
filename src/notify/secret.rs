//! Secrets: looked up when they are needed, and never shown.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use serde::Serialize;
use serde::Serializer;

use crate::engine::notify::Address;
use crate::engine::notify::SecretRef;

/// What stands in a variable of the environment; given from outside.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The most bytes of a file that holds a secret.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Parts of a URL that are shorter than this tell nothing.
const TELLING_BYTES_MIN: usize = 6;

/// What is shown in the place of a secret.
const SHOWN: &str = "[secret]";

/// A secret. It can be used, and not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, to be sent to whom it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Secret {
    /// The text without this secret, and, where it is a URL, without what is telling of it: its path, its query, and their
    /// longer parts. Services like to repeat what they were asked.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let path = self
            .0
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'));
        let path = path.map(|(_, path)| path).unwrap_or_default();
        let long = path.split(['/', '?', '&', '=', '#']);
        let long = long.filter(|part| part.len() >= TELLING_BYTES_MIN);
        let parts = [self.0.as_str(), path].into_iter().chain(long);
        parts
            .filter(|part| !part.is_empty())
            .fold(text.to_owned(), |text, part| text.replace(part, SHOWN))
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

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

/// Looks a secret up.
///
/// # Errors
/// It is not there, cannot be read, or is empty. Names where it was looked for.
pub fn resolve(kept: &SecretRef, environment: &Lookup) -> Result<Secret, String> {
    let found = match kept {
        SecretRef::Environment(name) => {
            environment(name).ok_or_else(|| format!("the environment has no {name}"))?
        }
        SecretRef::File(path) => read(path)?,
    };
    let secret = found.trim();
    if secret.is_empty() {
        return Err(format!("{kept} is empty"));
    }
    if secret.chars().any(char::is_control) {
        return Err(format!(
            "{kept} has line breaks or control characters in it"
        ));
    }
    Ok(Secret::new(secret))
}

/// Looks an address up, which may be a secret.
///
/// # Errors
/// As [`resolve`].
pub(super) fn address(address: &Address, environment: &Lookup) -> Result<Secret, String> {
    match address {
        Address::Plain(url) => Ok(Secret::new(url.as_str())),
        Address::Kept(kept) => resolve(kept, environment),
    }
}

fn read(path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the file {path} cannot be read: {error}");
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    let mut limited = file.take(FILE_BYTES_MAX);
    limited.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Lookup {
        Arc::new(|name| (name == "HOOK").then(|| "hunter2\n".to_owned()))
    }

    #[test]
    fn a_secret_is_not_shown_by_anything_that_prints() {
        let secret = Secret::new("hunter2");
        let shown = [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{:?}", Some(secret.clone())),
            serde_json::to_string(&secret).unwrap(),
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
    fn secrets_come_from_the_environment_and_from_files() {
        let kept = |text: &str| text.parse::<SecretRef>().unwrap();
        let found = resolve(&kept("${HOOK}"), &environment());
        assert_eq!(found, Ok(Secret::new("hunter2")));
        let missing = resolve(&kept("${OTHER}"), &environment());
        assert_eq!(missing, Err("the environment has no OTHER".to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from a file\n").unwrap();
        let of = |path: &std::path::Path| kept(&format!("file:{}", path.display()));
        let found = resolve(&of(&path), &environment());
        assert_eq!(found, Ok(Secret::new("from a file")));
        std::fs::write(&path, " \n").unwrap();
        assert!(
            resolve(&of(&path), &environment())
                .unwrap_err()
                .ends_with("is empty")
        );
        std::fs::write(&path, "one\ntwo").unwrap();
        let refused = resolve(&of(&path), &environment()).unwrap_err();
        assert!(!refused.contains("two"), "{refused}");
        assert!(resolve(&of(&folder.path().join("none")), &environment()).is_err());
    }
}
