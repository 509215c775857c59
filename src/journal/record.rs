//! The code that all journals share. It checks an append, numbers and dates its entries, and reads stored entries of
//! older and newer versions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
use crate::engine::units::CutoverName;
use crate::ports::{APPEND_EVENTS_MAX, Append, JournalError};

/// The last entry of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StreamHead {
    /// The number of the last entry; 0 if there is none.
    pub(super) seq: u64,
    /// The time of the last entry. `None` if there is none, or if the time cannot be read.
    pub(super) at: Option<Timestamp>,
}

/// Refuses an append that no journal can accept, whatever entries there are.
///
/// # Errors
/// `Unusable`: there are more than [`APPEND_EVENTS_MAX`] entries, an entry's stream is not in `expect`, or a stream is
/// in it twice.
pub(super) fn check(append: &Append) -> Result<(), JournalError> {
    if append.entries.len() > APPEND_EVENTS_MAX {
        return Err(JournalError::Unusable(format!(
            "an append of {} entries; at most {APPEND_EVENTS_MAX} are written at once",
            append.entries.len()
        )));
    }
    let mut expected = BTreeSet::new();
    for (stream, _) in &append.expect {
        if !expected.insert(stream) {
            return Err(JournalError::Unusable(format!(
                "an append names stream {stream} twice"
            )));
        }
    }
    for entry in &append.entries {
        if !expected.contains(&entry.cutover) {
            return Err(JournalError::Unusable(format!(
                "an append writes to stream {} without its expected last entry",
                entry.cutover
            )));
        }
    }
    Ok(())
}

/// Numbers and dates the entries of an append, if every stream has the expected last entry.
///
/// An entry's `at` is never before that of the preceding entry in its stream (semantics D3), so a clock that goes back
/// does not reorder the history.
///
/// # Errors
/// `Conflict`: a stream has another last entry. The error is about the first such stream.
pub(super) fn seal(
    append: Append,
    mut heads: BTreeMap<CutoverName, StreamHead>,
) -> Result<Vec<Envelope>, JournalError> {
    for (stream, expected) in &append.expect {
        let head = heads.get(stream).copied().unwrap_or_default().seq;
        if head != *expected {
            return Err(JournalError::Conflict {
                stream: stream.clone(),
                expected: *expected,
                head,
            });
        }
    }
    let mut sealed = Vec::new();
    for entry in append.entries {
        let head = heads.entry(entry.cutover.clone()).or_default();
        let at = head.at.map_or(entry.at, |last| last.max(entry.at));
        *head = StreamHead {
            seq: head.seq + 1,
            at: Some(at),
        };
        sealed.push(Envelope {
            cutover: entry.cutover,
            attempt: entry.attempt,
            seq: head.seq,
            at,
            actor: entry.actor,
            version: JOURNAL_VERSION,
            event: entry.event,
        });
    }
    Ok(sealed)
}

/// An entry as it is stored, without its stream and number.
pub(super) struct StoredEntry<'a> {
    /// The time of the entry, as RFC 3339.
    pub(super) at: &'a str,
    pub(super) attempt: i64,
    /// The author of the entry.
    pub(super) actor: &'a str,
    /// The version of the entry's format.
    pub(super) version: i64,
    /// The event as JSON.
    pub(super) event: &'a str,
}

impl StoredEntry<'_> {
    /// Reads the entry. An entry that cannot be read becomes [`Event::Unreadable`], so that only its own stream is
    /// damaged from there on.
    pub(super) fn read(&self, stream: CutoverName, seq: u64) -> Envelope {
        let event = self.event();
        let attempt = u32::try_from(self.attempt);
        let at = self.at.parse::<Timestamp>();
        let event = match (event, &attempt, &at) {
            (Ok(event), Ok(_), Ok(_)) => event,
            (Err(why), _, _) => Event::Unreadable { why },
            (Ok(_), Err(_), _) => Event::Unreadable {
                why: damaged(&format!("there is no attempt {}", self.attempt)),
            },
            (Ok(_), Ok(_), Err(error)) => Event::Unreadable {
                why: damaged(&error.to_string()),
            },
        };
        Envelope {
            cutover: stream,
            attempt: attempt.unwrap_or_default(),
            seq,
            at: at.unwrap_or(Timestamp::UNIX_EPOCH),
            actor: self.actor.to_owned(),
            version: u32::try_from(self.version).unwrap_or_default(),
            event,
        }
    }

    /// Reads the event.
    ///
    /// # Errors
    /// A newer cutover wrote the event or a part of it, or its text is damaged.
    fn event(&self) -> Result<Event, String> {
        let version = self.version;
        if version > i64::from(JOURNAL_VERSION) {
            return Err(format!(
                "a newer cutover wrote it (entry version {version}; this one reads up to {JOURNAL_VERSION})"
            ));
        }
        if version < 1 {
            return Err(damaged(&format!("there is no entry version {version}")));
        }
        serde_json::from_str(self.event).map_err(|error| {
            let message = error.to_string();
            // Within one version, fields and variants are only added. So an unknown variant, of the event or of a
            // reason inside it, was added later. The text is from serde's `Error::unknown_variant`.
            if error.is_data() && message.starts_with("unknown variant") {
                let name = message.split('`').nth(1).unwrap_or("?");
                format!("a newer cutover wrote it: this one does not know `{name}`")
            } else {
                damaged(&message)
            }
        })
    }
}

/// Returns the reason for an entry that is damaged.
fn damaged(why: &str) -> String {
    format!("it is damaged: {why}")
}
