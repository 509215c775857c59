//! Where a secret stands. The plan, the journal and the log hold only this.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a secret stands, never the secret: a variable of the environment, `${NAME}`, or a file, `file:/path` (which may be
/// written `${file:/path}`, as in hooks).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// The variable of this name, in the environment of the process that delivers.
    Environment(String),
    /// The file at this absolute path, on the machine of that process, without white space at its end.
    File(String),
}

/// Why a text names no secret. The text is not repeated: it may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedRef {
    /// It may be the secret itself.
    #[error("neither `${{NAME}}` nor `file:/path`")]
    Literal,
    /// It begins as the name of a variable, and is none.
    #[error("not the name of a variable")]
    NotAName,
    /// The path is not absolute.
    #[error("not an absolute path")]
    NotAbsolute,
}

impl FromStr for SecretRef {
    type Err = MalformedRef;

    fn from_str(text: &str) -> Result<Self, MalformedRef> {
        let inner = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        let file = inner
            .filter(|inner| inner.starts_with("file:"))
            .unwrap_or(text);
        if let Some(path) = file.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.starts_with('/') && path.len() > 1 {
                return Ok(Self::File(path.to_owned()));
            }
            return Err(MalformedRef::NotAbsolute);
        }
        let Some(rest) = text.strip_prefix('$') else {
            return Err(MalformedRef::Literal);
        };
        let name = rest
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or(MalformedRef::NotAName)?;
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let other = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.starts_with(first) && name.chars().all(other) {
            Ok(Self::Environment(name.to_owned()))
        } else {
            Err(MalformedRef::NotAName)
        }
    }
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
    /// Where it stands.
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
