//! References to secrets. The plan, the journal and the log hold only these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The place of a secret, never the secret itself: a variable of the environment, `${NAME}`, or a file, `file:/path` (which
/// may be written `${file:/path}`, as in hooks).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// The variable of this name, in the environment of the process that delivers.
    Environment(String),
    /// The file at this absolute path, on the machine of that process, without white space at its end.
    File(String),
}

/// The reason why a text is not a reference to a secret. The text is not repeated: it may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedRef {
    /// It may be the secret itself.
    #[error("neither `${{NAME}}` nor `file:/path`")]
    Literal,
    /// It begins like the name of a variable but is not one.
    #[error("not the name of a variable")]
    NotAName,
    /// The path is not absolute.
    #[error("not an absolute path")]
    NotAbsolute,
}

impl FromStr for SecretRef {
    type Err = MalformedRef;

    fn from_str(text: &str) -> Result<Self, MalformedRef> {
        let file = match in_braces(text) {
            Some(inner) if inner.starts_with("file:") => inner,
            Some(_) | None => text,
        };
        if let Some(path) = file.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.starts_with('/') && path.len() > 1 {
                return Ok(Self::File(path.to_owned()));
            }
            return Err(MalformedRef::NotAbsolute);
        }
        if !text.starts_with('$') {
            return Err(MalformedRef::Literal);
        }
        match in_braces(text) {
            Some(name) if is_variable(name) => Ok(Self::Environment(name.to_owned())),
            Some(_) | None => Err(MalformedRef::NotAName),
        }
    }
}

/// The text between `${` and `}`.
fn in_braces(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}')
}

/// Returns true if a text is the name of a variable: letters, digits and underscores, and no digit first.
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "${{{name}}}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = MalformedRef;

    fn try_from(text: String) -> Result<Self, MalformedRef> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(kept: SecretRef) -> Self {
        kept.to_string()
    }
}

/// An address that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Address {
    /// The address itself.
    Plain(String),
    /// A reference to it.
    Kept(SecretRef),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(url) => f.write_str(url),
            Self::Kept(kept) => kept.fmt(f),
        }
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        match text.parse() {
            Ok(kept) => Self::Kept(kept),
            Err(_) => Self::Plain(text),
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}
