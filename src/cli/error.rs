//! Errors in two tiers: expected ones, each with its exit code and hints; and all others, which end with 1.

use std::io::Write;

use thiserror::Error;

use super::exit::Exit;
use crate::engine::foreign_text::one_line;
use crate::engine::lists::NAMED_MAX;
use crate::ports::JournalError;
use crate::report::text;

/// What stands for a name where a command is about the fleet as a whole.
pub const THE_FLEET: &str = "the fleet";

/// An error that a person can do something about.
#[derive(Debug, Error)]
pub enum Expected {
    /// The command line asks for something that makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// No cutover of the journal fits.
    #[error("no cutover in the journal matches `{name}`")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What was probably meant, the likeliest first.
        suggestions: Vec<String>,
        /// All names that there are.
        known: Vec<String>,
    },
    /// There is no journal (semantics G2).
    #[error("no journal at {place}")]
    JournalMissing {
        /// Where it was looked for; an absolute path if it is a file.
        place: String,
    },
    /// At least one plan is not valid; the problems have been shown.
    #[error("{0}")]
    PlansInvalid(String),
    /// The command does not apply in this state.
    #[error("`{command}` does not apply to {name}: {reason}")]
    DoesNotApply {
        /// The command.
        command: &'static str,
        /// The cutover.
        name: String,
        /// Why not.
        reason: String,
    },
    /// An entry of the cutover's stream cannot be read or cannot follow (semantics L4).
    #[error("the journal of {name} is damaged: entry {entry} cannot be used: {why}")]
    JournalDamaged {
        /// The cutover.
        name: String,
        /// The first entry that cannot be used.
        entry: u64,
        /// Why not.
        why: String,
    },
    /// It asks first, and cannot.
    #[error("`{0}` asks before it acts, and there is no terminal to ask on")]
    NoTerminal(&'static str),
    /// The person said no.
    #[error("not confirmed; nothing was written")]
    Declined,
}

impl Expected {
    /// A mistake in the command line.
    pub fn usage(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// The exit code.
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

    /// What the person can do, a line each.
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } => hint.iter().cloned().collect(),
            Self::UnknownName {
                suggestions, known, ..
            } => {
                let meant: Vec<String> =
                    suggestions.iter().map(|name| format!("`{name}`")).collect();
                vec![if meant.is_empty() {
                    known_names(known)
                } else {
                    format!("did you mean {}?", meant.join(" or "))
                }]
            }
            Self::JournalMissing { .. } => vec![
                "name the journal with `--journal URL` or CUTOVER_JOURNAL; only `cutover run PATH…` makes a new one, and \
                 a new one knows no cutover"
                    .to_owned(),
            ],
            Self::NoTerminal(_) => vec!["add `--yes` if that is meant".to_owned()],
            Self::DoesNotApply { name, .. } if name == THE_FLEET => {
                vec!["nothing was written; see `cutover status`".to_owned()]
            }
            Self::DoesNotApply { name, .. } => {
                vec![format!("nothing was written; see `cutover status {name}`")]
            }
            Self::JournalDamaged { name, .. } => vec![format!(
                "nothing was written; if a newer cutover wrote the entry, run that version; to send the traffic back: \
                 `cutover rollback {name}`"
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

/// Says on `err` what went wrong, with its causes and hints, and returns the exit code.
pub fn report(error: &anyhow::Error, err: &mut dyn Write) -> Exit {
    let what = one_line(&error.to_string());
    let mut lines = vec![format!("{} {what}", text::styled(text::BAD, "error:"))];
    for cause in error.chain().skip(1) {
        lines.push(format!("  caused by: {}", one_line(&cause.to_string())));
    }
    let expected = error.downcast_ref::<Expected>();
    let hints = expected.map(Expected::hints).unwrap_or_default();
    let hint = text::styled(text::WARN, "hint:");
    for advice in &hints {
        lines.push(format!("{hint} {}", one_line(advice)));
    }
    // Nothing is left to tell a person who closed standard error.
    writeln!(err, "{}", lines.join("\n")).ok();
    expected.map_or_else(|| unforeseen(error), Expected::exit)
}

/// The exit code of an error from below the command line.
fn unforeseen(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<JournalError>() {
        Some(JournalError::Missing(_)) => Exit::Usage,
        Some(JournalError::Conflict { .. } | JournalError::Unusable(_) | JournalError::Down(_))
        | None => Exit::Unexpected,
    }
}
