//! What every journal does with entries: checking an append, numbering and dating its entries, and reading stored ones
//! with an eye on who wrote them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::engine::event::Envelope;
use crate::engine::event::Event;
use crate::engine::event::JOURNAL_VERSION;
use crate::engine::units::CutoverName;
use crate::ports::APPEND_EVENTS_MAX;
use crate::ports::Append;
use crate::ports::JournalError;

/// Where a stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of its last entry; 0 where there is none.
    pub(super) seq: u64,
    /// When its last entry was written.
    pub(super) at: Option<Timestamp>,
}

/// Refuses an append that no journal can take, wherever the streams stand.
///
/// # Errors
/// `Unusable`: more than [`APPEND_EVENTS_MAX`] entries, an entry whose stream is not expected to stand anywhere, a stream
/// that is named twice.
pub(super) fn check(append: &Append) -> Result<(), JournalError> {
    let refuse = |why: String| Err(JournalError::Unusable(why));
    if append.entries.len() > APPEND_EVENTS_MAX {
        return refuse(format!(
            "an append of {} entries; at most {APPEND_EVENTS_MAX} are written at once",
            append.entries.len()
        ));
    }
    let mut expected = BTreeSet::new();
    for (stream, _) in &append.expect {
        if !expected.insert(stream) {
            return refuse(format!("an append names stream {stream} twice"));
        }
    }
    match append
        .entries
        .iter()
        .find(|entry| !expected.contains(&entry.cutover))
    {
        Some(entry) => refuse(format!(
            "an append writes to stream {} without saying where it stands",
            entry.cutover
        )),
        None => Ok(()),
    }
}

/// Numbers and dates the entries of an append, if every stream stands where it is expected to.
///
/// An entry's `at` is never before its stream's last one (semantics D3): a clock that went back does not reorder history.
///
/// # Errors
/// `Conflict`, for the first stream that stands elsewhere.
pub(super) fn seal(
    append: Append,
    mut heads: BTreeMap<CutoverName, Head>,
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
    let number = |entry: crate::ports::NewEntry| {
        let head = heads.entry(entry.cutover.clone()).or_default();
        let at = head.at.map_or(entry.at, |last| last.max(entry.at));
        *head = Head {
            seq: head.seq + 1,
            at: Some(at),
        };
        Envelope {
            cutover: entry.cutover,
            attempt: entry.attempt,
            seq: head.seq,
            at,
            actor: entry.actor,
            version: JOURNAL_VERSION,
            event: entry.event,
        }
    };
    Ok(append.entries.into_iter().map(number).collect())
}

/// An entry as it is stored, but for its stream and its number.
pub(super) struct Stored<'a> {
    pub(super) at: &'a str,
    pub(super) attempt: i64,
    pub(super) actor: &'a str,
    pub(super) version: i64,
    /// JSON.
    pub(super) event: &'a str,
}

impl Stored<'_> {
    /// Reads the entry. What cannot be read becomes [`Event::Unreadable`] in its place, so that its stream is damaged from
    /// there on and no other one is.
    pub(super) fn read(&self, stream: CutoverName, seq: u64) -> Envelope {
        let event = self.event();
        let attempt = u32::try_from(self.attempt);
        let at = self.at.parse::<Timestamp>();
        let event = match (event, &attempt, &at) {
            (Ok(event), Ok(_), Ok(_)) => event,
            (Err(why), _, _) => Event::Unreadable { why },
            (Ok(_), Err(_), _) => Event::Unreadable {
                why: damaged(&format!("attempt {} never was", self.attempt)),
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

    /// The event, or why it cannot be read: it, or something in it, is of a newer cutover; or its text is damaged.
    fn event(&self) -> Result<Event, String> {
        let version = self.version;
        if version > i64::from(JOURNAL_VERSION) {
            return Err(format!(
                "a newer cutover wrote it (entry version {version}; this one reads up to {JOURNAL_VERSION})"
            ));
        }
        if version < 1 {
            return Err(damaged(&format!("version {version} never was")));
        }
        serde_json::from_str(self.event).map_err(|error| {
            let message = error.to_string();
            // Within one version fields and variants are only ever added, so that a variant that is not known here (of the
            // event, or of a reason inside it) was added later. The text is serde's own, `Error::unknown_variant`.
            if error.is_data() && message.starts_with("unknown variant") {
                let name = message.split('`').nth(1).unwrap_or("?");
                format!("a newer cutover wrote it: this one does not know `{name}`")
            } else {
                damaged(&message)
            }
        })
    }
}

fn damaged(why: &str) -> String {
    format!("it is damaged: {why}")
}
