//! Secrets: `${NAME}` and `${file:PATH}` in texts of a plan, put in right before a call, and taken out of what comes back.

use std::fmt;
use std::sync::Arc;

/// Reads an environment variable.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The longest secret in a file, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Puts secrets into texts, and remembers them, so that they can be taken out of others.
#[derive(Clone)]
pub struct Secrets {
    environment: Environment,
    used: Vec<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// None are known yet.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            used: Vec::new(),
        }
    }

    /// The text with everything put in that it stands for.
    ///
    /// # Errors
    /// What is not there, by its name.
    pub fn fill(&mut self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                return Err(format!("`${{` without `}}` in {before:?}"));
            };
            let value = self.value(name)?;
            filled.push_str(before);
            filled.push_str(&value);
            if !value.is_empty() {
                self.used.push(value);
            }
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&self, name: &str) -> Result<String, String> {
        let Some(path) = name.strip_prefix("file:") else {
            let value = (self.environment)(name);
            return value.ok_or_else(|| format!("the environment variable {name} is not set"));
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("the file {path} cannot be read: {error}"))?;
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("the file {path} is too large for a secret"));
        }
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// The text without any secret that was put into another one.
    pub fn redact(&self, text: &str) -> String {
        let mut used: Vec<&String> = self.used.iter().collect();
        // The longest first: one may be a part of another.
        used.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        used.into_iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(Arc::new(|name| match name {
            "TOKEN" => Some("s3cret".to_owned()),
            "LONGER" => Some("s3cret-and-more".to_owned()),
            _ => None,
        }))
    }

    #[test]
    fn secrets_are_put_in_and_taken_out_again() {
        let mut secrets = secrets();
        assert_eq!(secrets.fill("plain").unwrap(), "plain");
        assert_eq!(secrets.fill("Bearer ${TOKEN}!").unwrap(), "Bearer s3cret!");
        assert_eq!(secrets.fill("${LONGER}").unwrap(), "s3cret-and-more");
        assert_eq!(secrets.redact("s3cret-and-more s3cret"), "*** ***");
    }

    #[test]
    fn what_is_not_there_is_named_and_nothing_is_called() {
        let mut secrets = secrets();
        let missing = secrets.fill("${NO_SUCH}").unwrap_err();
        assert_eq!(missing, "the environment variable NO_SUCH is not set");
        assert!(
            secrets
                .fill("${file:/no/such/file}")
                .unwrap_err()
                .contains("/no/such/file")
        );
        assert!(secrets.fill("${TOKEN").is_err());
    }

    #[test]
    fn a_secret_in_a_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "from-a-file\n").unwrap();
        let mut secrets = secrets();
        let text = format!("${{file:{}}}", path.display());
        assert_eq!(secrets.fill(&text).unwrap(), "from-a-file");
    }
}
