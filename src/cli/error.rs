//! Errors in two tiers: expected errors, each with an exit code and hints, and all others, which exit 1.

use std::io::Write;

use thiserror::Error;

use super::exit::Exit;
use crate::engine::foreign_text::one_line;
use crate::engine::lists::NAMED_MAX;
use crate::ports::JournalError;
use crate::report::text;

/// Stands for the name of a cutover in messages about the whole fleet.
pub const THE_FLEET: &str = "the fleet";

/// An error that a person can fix.
#[derive(Debug, Error)]
pub enum Expected {
    /// The command line asks for something that cannot be done.
    #[error("{message}")]
    Usage {
        /// The fact, as a lower-case fragment.
        message: String,
        /// The remedy; `None` if the message says enough.
        hint: Option<String>,
    },
    /// No cutover of the journal has the name, or matches the pattern.
    #[error("no cutover in the journal matches `{name}`")]
    UnknownName {
        /// The name or pattern.
        name: String,
        /// Similar names, the most similar first.
        suggestions: Vec<String>,
        /// All names in the journal.
        known: Vec<String>,
    },
    /// There is no journal (semantics G2).
    #[error("no journal at {place}")]
    JournalMissing {
        /// Where the journal was expected; an absolute path if it is a file.
        place: String,
        /// True if it would be in a table.
        in_table: bool,
    },
    /// At least one plan is not valid; the problems were shown before.
    #[error("{0}")]
    PlansInvalid(String),
    /// The command does not apply in this state.
    #[error("`{command}` does not apply to {name}: {reason}")]
    DoesNotApply {
        /// Name of the command.
        command: &'static str,
        /// Name of the cutover, or [`THE_FLEET`].
        name: String,
        /// Why the command does not apply.
        reason: String,
    },
    /// An entry of the cutover's stream cannot be read, or does not fit after those before it (semantics L4).
    #[error("the journal of {name} is damaged: entry {entry} cannot be used: {why}")]
    JournalDamaged {
        /// Name of the cutover.
        name: String,
        /// Number of the first entry that cannot be used.
        entry: u64,
        /// Why the entry cannot be used.
        why: String,
    },
    /// The command needs confirmation, and nobody can be asked.
    #[error("`{0}` needs confirmation, but there is no terminal")]
    NoTerminal(&'static str),
    /// The person did not confirm.
    #[error("not confirmed; nothing was written")]
    Declined,
}

impl Expected {
    /// Returns [`Expected::Usage`] with this message and this remedy.
    pub fn usage(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// Returns the exit code with which a command ends after this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. }
            | Self::UnknownName { .. }
            | Self::JournalMissing { .. }
            | Self::NoTerminal(_)
            | Self::Declined => Exit::Usage,
            Self::PlansInvalid(_) => Exit::PlanInvalid,
            Self::DoesNotApply { .. } | Self::JournalDamaged { .. } => Exit::DoesNotApply,
        }
    }

    /// Returns what the person can do, one line each.
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } => hint.iter().cloned().collect(),
            Self::UnknownName {
                suggestions, known, ..
            } if suggestions.is_empty() => vec![known_names(known)],
            Self::UnknownName { suggestions, .. } => {
                let meant = suggestions.join("` or `");
                vec![format!("did you mean `{meant}`?")]
            }
            Self::JournalMissing { in_table: true, .. } => vec![
                "name the journal with `--journal URL` or CUTOVER_JOURNAL, with the region and the role of its table; \
                 `cutover journal create URL` makes a table with an empty journal"
                    .to_owned(),
            ],
            Self::JournalMissing { in_table: false, .. } => vec![
                "name the journal with `--journal URL` or CUTOVER_JOURNAL; only `cutover run PATH…` creates a journal, \
                 and a new one has no cutovers"
                    .to_owned(),
            ],
            Self::NoTerminal(_) => vec!["nothing was written; to do it without confirmation, add `--yes`".to_owned()],
            Self::DoesNotApply { name, .. } if name == THE_FLEET => {
                vec!["nothing was written; see `cutover status`".to_owned()]
            }
            Self::DoesNotApply { name, .. } => {
                vec![format!("nothing was written; see `cutover status {name}`")]
            }
            Self::JournalDamaged { name, .. } => vec![format!(
                "nothing was written; if a newer version of this program wrote the entry, use that version; to send the \
                 traffic back: `cutover rollback {name}`"
            )],
            Self::PlansInvalid(_) | Self::Declined => Vec::new(),
        }
    }
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() {
        return "the journal has no cutovers yet".to_owned();
    }
    if known.len() > NAMED_MAX {
        let many = known.len();
        return format!("the journal has {many} cutovers: `cutover status` shows them");
    }
    format!("the journal has {}", known.join(", "))
}

/// Writes an error with its causes and hints to `err`, and returns its exit code.
pub fn report(error: &anyhow::Error, err: &mut dyn Write) -> Exit {
    let what = one_line(&error.to_string());
    let mut lines = vec![format!("{} {what}", text::styled(text::BAD, "error:"))];
    for cause in error.chain().skip(1) {
        lines.push(format!("  caused by: {}", one_line(&cause.to_string())));
    }
    let expected = error.downcast_ref::<Expected>();
    if let Some(expected) = expected {
        let hint = text::styled(text::WARN, "hint:");
        for advice in expected.hints() {
            lines.push(format!("{hint} {}", one_line(&advice)));
        }
    }
    // A failure is ignored: standard error is the only place to report it.
    writeln!(err, "{}", lines.join("\n")).ok();
    match expected {
        Some(expected) => expected.exit(),
        None => unexpected(error),
    }
}

/// Returns the exit code of an error that is not an [`Expected`] one.
fn unexpected(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<JournalError>() {
        Some(JournalError::Missing(_)) => Exit::Usage,
        Some(JournalError::Conflict { .. } | JournalError::Unusable(_) | JournalError::Down(_))
        | None => Exit::Unexpected,
    }
}
