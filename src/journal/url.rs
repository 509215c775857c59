//! The URL of a journal.

use std::fmt;

/// The journal's name in a table if the URL names none.
pub const DEFAULT_JOURNAL: &str = "main";

/// Where a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalUrl {
    /// A file, by its path.
    Sqlite(String),
    /// The memory of this process.
    Memory,
    /// A table of DynamoDB.
    Table(TableUrl),
}

/// A journal in a table of DynamoDB: `dynamodb:TABLE[/JOURNAL][?region=…&role_arn=…&external_id=…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUrl {
    /// The table's name.
    pub table: String,
    /// The journal's name within the table.
    pub journal: String,
    /// The table's region; `None` means that of the environment.
    pub region: Option<String>,
    /// The role that is assumed; `None` means the environment's own credentials.
    pub role_arn: Option<String>,
    /// The external ID that the role's trust policy asks for.
    pub external_id: Option<String>,
}

/// Reminds of the form of the URL of a table.
const TABLE_FORM: &str =
    "`dynamodb:TABLE`, `dynamodb:TABLE/JOURNAL` or `dynamodb:TABLE?region=eu-west-1`";

/// The most letters of a table's name. Source: `DynamoDB` Developer Guide, naming rules.
const TABLE_CHARS_MAX: usize = 255;
/// The fewest letters of a table's name.
const TABLE_CHARS_MIN: usize = 3;
/// The most letters of a journal's name.
const JOURNAL_CHARS_MAX: usize = 100;

impl JournalUrl {
    /// Reads a URL. The journal itself is not looked for.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(url: &str) -> Result<Self, String> {
        match url.split_once(':') {
            Some(("sqlite", "")) => Err(format!("`{url}` names no file; write `sqlite:PATH`")),
            Some(("sqlite", path)) if path.starts_with("//") && !path.starts_with("///") => Err(
                format!("`{url}` has a host, and a file has none; write `sqlite:PATH`"),
            ),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.to_owned())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("dynamodb", place)) => TableUrl::parse(url, place).map(Self::Table),
            Some(_) | None => Err(format!(
                "`{url}` is not the URL of a journal; write `sqlite:PATH` or `dynamodb:TABLE`"
            )),
        }
    }
}

impl TableUrl {
    fn parse(url: &str, place: &str) -> Result<Self, String> {
        let (names, query) = place.split_once('?').unwrap_or((place, ""));
        let names = names.strip_prefix("//").unwrap_or(names);
        let (table, journal) = names.split_once('/').unwrap_or((names, DEFAULT_JOURNAL));
        if table.starts_with("arn:") {
            return Err(format!(
                "`{url}` has the table's ARN; write its name: {TABLE_FORM}"
            ));
        }
        let length = table.chars().count();
        if !(TABLE_CHARS_MIN..=TABLE_CHARS_MAX).contains(&length) || !table.chars().all(is_plain) {
            return Err(format!(
                "`{url}` names no table: its name has {TABLE_CHARS_MIN} to {TABLE_CHARS_MAX} letters, digits, `-`, `_` \
                 and `.`; write {TABLE_FORM}"
            ));
        }
        let is_short = (1..=JOURNAL_CHARS_MAX).contains(&journal.chars().count());
        if !is_short || !journal.chars().all(is_plain) {
            return Err(format!(
                "`{url}` names no journal: after the `/` stand 1 to {JOURNAL_CHARS_MAX} letters, digits, `-`, `_` and \
                 `.`; write {TABLE_FORM}"
            ));
        }
        let mut parsed = Self {
            table: table.to_owned(),
            journal: journal.to_owned(),
            region: None,
            role_arn: None,
            external_id: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            parsed.set(url, pair)?;
        }
        if parsed.external_id.is_some() && parsed.role_arn.is_none() {
            return Err(format!(
                "`{url}` has an `external_id` without a role; add `role_arn=arn:aws:iam::ACCOUNT:role/NAME`"
            ));
        }
        Ok(parsed)
    }

    /// Takes one `key=value` of the query.
    fn set(&mut self, url: &str, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (place, example) = match key {
            "region" => (&mut self.region, "region=eu-west-1"),
            "role_arn" => (
                &mut self.role_arn,
                "role_arn=arn:aws:iam::123456789012:role/cutover",
            ),
            "external_id" => (&mut self.external_id, "external_id=TEXT"),
            other => {
                return Err(format!(
                    "`{url}` has `{other}`, which a journal does not know; the options are `region`, `role_arn` and \
                     `external_id`"
                ));
            }
        };
        let fits = match key {
            "region" => value
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '-'),
            "role_arn" => value.starts_with("arn:") && value.contains(":role/"),
            _ => true,
        };
        let is_plain = value.chars().all(|letter| letter.is_ascii_graphic());
        if value.is_empty() || !fits || !is_plain || value.contains('%') {
            return Err(format!(
                "`{key}` of `{url}` is not valid; write for example `{example}`, unescaped"
            ));
        }
        if place.is_some() {
            return Err(format!("`{url}` has `{key}` twice"));
        }
        *place = Some(value.to_owned());
        Ok(())
    }
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.".contains(letter)
}

impl fmt::Display for TableUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb:{}/{}", self.table, self.journal)?;
        let options = [
            ("region", &self.region),
            ("role_arn", &self.role_arn),
            ("external_id", &self.external_id),
        ];
        let mut mark = '?';
        for (key, value) in options {
            if let Some(value) = value {
                write!(f, "{mark}{key}={value}")?;
                mark = '&';
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(url: &str) -> TableUrl {
        match JournalUrl::parse(url) {
            Ok(JournalUrl::Table(table)) => table,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_table_may_be_named_alone_or_with_a_journal_and_options() {
        let plain = table("dynamodb:cutover-journal");
        assert_eq!(
            (plain.table.as_str(), plain.journal.as_str()),
            ("cutover-journal", "main")
        );
        let url = "dynamodb:t.1/eu_prod?region=eu-west-1&role_arn=arn:aws:iam::1:role/a&external_id=x/y=z";
        let full = table(url);
        assert_eq!(full.journal, "eu_prod");
        assert_eq!(full.region.as_deref(), Some("eu-west-1"));
        assert_eq!(full.role_arn.as_deref(), Some("arn:aws:iam::1:role/a"));
        assert_eq!(full.external_id.as_deref(), Some("x/y=z"));
        assert_eq!(full.to_string(), url);
        assert_eq!(plain.to_string(), "dynamodb:cutover-journal/main");
        assert_eq!(table(&plain.to_string()), plain);
    }

    #[test]
    fn files_and_the_memory_are_known() {
        let file = JournalUrl::Sqlite(".cutover/journal.db".to_owned());
        assert_eq!(JournalUrl::parse("sqlite:.cutover/journal.db"), Ok(file));
        assert_eq!(JournalUrl::parse("memory:"), Ok(JournalUrl::Memory));
    }

    #[test]
    fn a_wrong_url_is_told_what_to_write() {
        for (url, says) in [
            ("journal.db", "write `sqlite:PATH` or `dynamodb:TABLE`"),
            ("sqlite:", "write `sqlite:PATH`"),
            ("sqlite://host/x", "a file has none"),
            ("dynamodb:", "write `dynamodb:TABLE`"),
            ("dynamodb:ab", "3 to 255"),
            (
                "dynamodb:arn:aws:dynamodb:eu-west-1:1:table/t",
                "write its name",
            ),
            ("dynamodb:table/", "after the `/` stand"),
            ("dynamodb:table/a/b", "after the `/` stand"),
            ("dynamodb:my table", "names no table"),
            ("dynamodb:table?regoin=eu-west-1", "has `regoin`"),
            ("dynamodb:table?region=", "region=eu-west-1"),
            ("dynamodb:table?region=a&region=b", "twice"),
            ("dynamodb:table?role_arn=cutover", "role_arn=arn:aws:iam::"),
            ("dynamodb:table?role_arn=arn%3Aaws", "unescaped"),
            ("dynamodb:table?external_id=x", "without a role"),
        ] {
            let why = JournalUrl::parse(url).expect_err(url);
            assert!(why.contains(says), "{url}: {why}");
        }
    }
}
