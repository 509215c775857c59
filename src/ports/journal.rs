//! The journal: appending to it, reading it, and what is kept beside its entries.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::event::{Envelope, Event};
use crate::engine::evidence::number::Number;
use crate::engine::hold::HoldReason;
use crate::engine::units::{CutoverName, WeightPair};

/// An append to one or more streams, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The sequence number that each stream must stand at (0 for one that does not exist yet).
    pub expect: Vec<(CutoverName, u64)>,
    /// The entries, in order, at most [`APPEND_EVENTS_MAX`]; their `seq` follows from `expect`.
    pub entries: Vec<NewEntry>,
    /// Identifies this append, so that one whose reply was lost is known to have succeeded.
    pub append_id: String,
}

/// An entry that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The stream.
    pub cutover: CutoverName,
    /// The attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub event: Event,
}

/// The most entries in one append (semantics G1).
pub const APPEND_EVENTS_MAX: usize = 20;

/// A journal that cannot do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// Somebody else appended first: read again and decide again.
    #[error("stream {stream} stands at {head}, not at {expected}")]
    Conflict {
        /// The stream.
        stream: CutoverName,
        /// Where it was expected to stand.
        expected: u64,
        /// Where it stands.
        head: u64,
    },
    /// There is no journal at this place.
    #[error("no journal at {0}")]
    Missing(String),
    /// The journal was written by a newer version of this program, or is damaged. It was not touched.
    #[error("{0}")]
    Unusable(String),
    /// It cannot be reached or written now.
    #[error("the journal does not answer: {0}")]
    Down(String),
}

/// A place in the journal: everything up to it has been read. Zero is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The append-only journal.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends if every stream stands where it is expected to. Returns the entries as written. An append whose
    /// `append_id` is already stored succeeds without writing again.
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError>;

    /// All entries after `position`, of all streams, in the order they were appended, and the position after them.
    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError>;

    /// The sequence number of a stream's last entry; 0 where there is none.
    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError>;

    /// Returns when something was appended after `position`, by whomever; within a second.
    async fn changed(&self, position: Position);

    /// Stores a controller's heartbeat, replacing its earlier one and dropping those older than a day.
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError>;

    /// All heartbeats, newest first.
    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError>;

    /// How far a channel has been told of a stream; none where nobody has begun. A journal that keeps no cursors has none.
    async fn cursor(
        &self,
        _stream: &CutoverName,
        _channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        Ok(None)
    }

    /// Stores a cursor if the stored one has the revision before it ([`Cursor::revision`] less one; none is 0). False where
    /// somebody else was faster, and always where a journal keeps no cursors: then nobody may deliver.
    async fn put_cursor(&self, _cursor: &Cursor) -> Result<bool, JournalError> {
        Ok(false)
    }

    /// All cursors, by stream and channel.
    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        Ok(Vec::new())
    }
}

/// How far a channel has been told of a stream; kept beside the events, and no part of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The stream.
    pub stream: CutoverName,
    /// [`Channel::id`](crate::engine::notify::Channel::id).
    pub channel: String,
    /// Counted up at every change, from 1.
    pub revision: u64,
    /// The last entry that was delivered or passed over, with all before it; 0 for none.
    pub told: u64,
    /// Entries behind it that overtook others and were delivered or passed over.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<u64>,
    /// How often the service answered that it does not take an entry, by entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<u64, u32>,
    /// The last entries that were passed over because the service never took them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Who delivers now, if anybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// What goes wrong, since the last delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What the channel's adapter must know the next time. Holds no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<serde_json::Value>,
}

impl Cursor {
    /// The cursor of a channel that has been told nothing.
    pub fn new(stream: CutoverName, channel: String) -> Self {
        Self {
            stream,
            channel,
            revision: 0,
            told: 0,
            ahead: BTreeSet::new(),
            refusals: BTreeMap::new(),
            skipped: Vec::new(),
            claim: None,
            trouble: None,
            memo: None,
        }
    }
}

/// That one process delivers, so that two do not both deliver everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The process.
    pub by: String,
    /// Until when nobody else does.
    pub until: Timestamp,
}

/// An entry that a service never took, so that it was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The entry.
    pub seq: u64,
    /// Whether it wakes a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub page: bool,
    /// When it was passed over.
    pub at: Timestamp,
    /// What was said. Holds no secrets.
    pub why: String,
}

/// That a channel cannot be reached, or refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// What was said. Holds no secrets.
    pub why: String,
    /// When it is tried again.
    pub again_at: Timestamp,
    /// The entry that was tried last; 0 where an older version wrote this.
    #[serde(default)]
    pub of: u64,
}

/// What a controller last saw; kept beside the events, and no part of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The process.
    pub controller: String,
    /// Its machine.
    pub host: String,
    /// Its version.
    pub version: String,
    /// When its last round was.
    pub at: Timestamp,
    /// How often it looks, in seconds.
    pub interval_secs: u64,
    /// What it sees, by cutover.
    pub cutovers: BTreeMap<CutoverName, Glance>,
    /// Whether it has ended: then it does nothing more, however late this is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// The plan files that it cannot use and that no unfinished cutover came from, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
}

/// One cutover at a controller's last round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// Why nothing moves; most urgent first.
    pub because: Vec<HoldReason>,
    /// The earliest next decision.
    pub next_at: Option<Timestamp>,
    /// The weights of each group as last read, in the plan's order.
    pub weights: Vec<Option<WeightPair>>,
    /// When Route 53 or CloudWatch was last read for it.
    pub observed_at: Option<Timestamp>,
    /// The new side's share of the requests of the last hour, in percent, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_share: Option<Number>,
}
