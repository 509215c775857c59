//! The values of a plan file that several of its parts have, as they are written. Editors show the doc comments.

use schemars::JsonSchema;
use serde::Deserialize;

/// Hold and page a person, or revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawChoice {
    /// Hold, and page a person.
    Hold,
    /// Take the traffic back.
    Revert,
}

/// The meaning of INSUFFICIENT_DATA.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawNoData {
    /// No step is taken.
    Hold,
    /// This alarm has no data if all is well.
    Pass,
}

/// Defines a text of the file with a type of its own, and its pattern for the schema.
macro_rules! text_leaf {
    ($(#[$attribute:meta])* $name:ident) => {
        #[derive(Debug, Deserialize, JsonSchema)]
        #[schemars(inline)]
        $(#[$attribute])*
        pub(super) struct $name(pub(super) String);
    };
}
pub(super) use text_leaf;

text_leaf! {
    /// A duration such as `90s`, `4h` or `1d 12h`; a day is 24 hours.
    #[schemars(extend("pattern" = super::durations::PATTERN))]
    DurationText
}

text_leaf! {
    /// Days, a time of day, or both: `Mon-Fri 10:00-17:00`, `Sat,Sun`, `2026-12-28..2027-01-04`, `22:00-02:00`. A range
    /// over midnight belongs to its first day; a range of dates includes both its days.
    #[schemars(extend("minLength" = 3))]
    WindowText
}

text_leaf! {
    /// A share such as `5%` or `0.5%`.
    #[schemars(extend("pattern" = r"^(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?) ?%$"))]
    ShareText
}

text_leaf! {
    /// Lower-case letters, digits and hyphens, a letter or digit first and last.
    #[schemars(extend("maxLength" = 64, "pattern" = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    NameText
}

text_leaf! {
    /// A whole number of at least 1.
    #[schemars(transform = super::schema_forms::count)]
    CountText
}

text_leaf! {
    /// The version of the plan format.
    #[schemars(transform = super::schema_forms::version)]
    VersionText
}
