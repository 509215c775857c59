//! The journal: its entries, and the heartbeats and cursors that are kept beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use cutover_engine::event::{Envelope, Event};
use cutover_engine::evidence::number::Number;
use cutover_engine::hold::HoldReason;
use cutover_engine::units::{CutoverName, WeightPair};

/// An append to one or more streams, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The last entry that each stream must have (0 for a stream that does not exist yet).
    pub expect: Vec<(CutoverName, u64)>,
    /// The entries, in order, at most [`APPEND_EVENTS_MAX`]; their `seq` follows from `expect`.
    pub entries: Vec<NewEntry>,
    /// Identifies this append, so that it is not written again after a lost reply.
    pub append_id: String,
}

/// An entry that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The stream.
    pub cutover: CutoverName,
    /// The attempt.
    pub attempt: u32,
    /// The time.
    pub at: Timestamp,
    /// The writer.
    pub actor: String,
    /// The event.
    pub event: Event,
}

/// The most entries in one append (semantics G1).
pub const APPEND_EVENTS_MAX: usize = 20;

/// An error of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// Somebody else appended first: read again and decide again.
    #[error("the last entry of stream {stream} is {head}, not {expected}")]
    Conflict {
        /// The stream.
        stream: CutoverName,
        /// The last entry that was expected.
        expected: u64,
        /// Its last entry.
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

/// A position in the journal: everything up to it has been read. Zero is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The append-only journal.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends if the last entry of every stream is the expected one. Returns the entries as written. An append whose
    /// `append_id` is already stored succeeds without writing again.
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError>;

    /// All entries after `position`, of all streams, in the order in which they were appended, and the position after
    /// them.
    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError>;

    /// The sequence number of a stream's last entry; 0 if there is none.
    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError>;

    /// Returns about a second after anybody has appended after `position`, at the latest.
    async fn changed(&self, position: Position);

    /// Stores a controller's heartbeat. Replaces its earlier one, and removes heartbeats older than a day.
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError>;

    /// The shortest time between two heartbeats of a controller. A journal that is paid for by the byte wants them less
    /// often.
    fn beat_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// All heartbeats, newest first.
    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError>;

    /// The cursor of a channel in a stream; `None` if nothing was delivered yet, or if the journal keeps no cursors.
    async fn cursor(
        &self,
        _stream: &CutoverName,
        _channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        Ok(None)
    }

    /// Stores each cursor of which the stored one has the revision before it ([`Cursor::revision`] minus one; 0 if none
    /// is stored). Returns for each, in their order, if it was stored. It is not if another process was faster, and
    /// never if the journal keeps no cursors: then nothing may be delivered.
    async fn put_cursors(&self, cursors: &[Cursor]) -> Result<Vec<bool>, JournalError> {
        Ok(vec![false; cursors.len()])
    }

    /// All cursors, by stream and channel.
    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        Ok(Vec::new())
    }

    /// Reads everything that is stored, and checks that it is as it was written. Whether entries make sense is not asked.
    ///
    /// # Errors
    /// `Unusable`: it is not.
    async fn verify(&self) -> Result<StorageReport, JournalError> {
        Ok(StorageReport::Unchecked)
    }
}

/// What was checked of a journal's storage, and found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageReport {
    /// Nothing can be checked.
    Unchecked,
    /// The file is whole.
    File,
    /// The hash of each append follows from those before it.
    Table {
        /// The appends.
        appends: u64,
        /// The packs that hold the same as the log.
        packs: u64,
        /// The packs that do not, by their first positions. They are not used.
        spoiled_packs: Vec<u64>,
    },
}

/// How far a channel has been told of a stream. Kept beside the events, and not part of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The stream.
    pub stream: CutoverName,
    /// [`Channel::id`](cutover_engine::notify::Channel::id).
    pub channel: String,
    /// Counted up at every change, from 1.
    pub revision: u64,
    /// All entries up to this one were delivered or skipped; 0 for none.
    pub told: u64,
    /// Later entries that overtook others and were delivered or skipped.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<u64>,
    /// How often the service refused an entry for good, by entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<u64, u32>,
    /// The last entries that were skipped because the service never took them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// The process that delivers now, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The failures since the last delivery, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// A note of the channel's adapter for its next delivery. Holds no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<serde_json::Value>,
}

impl Cursor {
    /// The cursor of a channel to which nothing was delivered yet.
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

/// The claim of one process to deliver, so that two do not both deliver everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The process.
    pub by: String,
    /// The time until which no other process delivers.
    pub until: Timestamp,
}

/// An entry that was skipped because the service never took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The entry.
    pub seq: u64,
    /// It pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub page: bool,
    /// The time at which it was skipped.
    pub at: Timestamp,
    /// The service's answer. Holds no secrets.
    pub why: String,
}

/// A channel that cannot be reached, or that refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The time of the first failure.
    pub since: Timestamp,
    /// The number of tries.
    pub tries: u32,
    /// The last failure. Holds no secrets.
    pub why: String,
    /// The time of the next try.
    pub again_at: Timestamp,
    /// The entry that was tried last; 0 if an older version wrote this.
    #[serde(default)]
    pub of: u64,
}

/// The cutovers as a controller saw them in its last round. Kept beside the events, and not part of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The process.
    pub controller: String,
    /// Its machine.
    pub host: String,
    /// Its version.
    pub version: String,
    /// The time of its last round.
    pub at: Timestamp,
    /// The time between two rounds over all cutovers, in seconds.
    pub interval_secs: u64,
    /// Each cutover as it sees it.
    pub cutovers: BTreeMap<CutoverName, Glance>,
    /// It has ended and does nothing more, so a late heartbeat is no alarm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// The plan files that it cannot use and that no unfinished cutover came from, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
}

/// One cutover at a controller's last round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// Its holds; most urgent first.
    pub because: Vec<HoldReason>,
    /// The time of the earliest next decision.
    pub next_at: Option<Timestamp>,
    /// The weights of each group as last read, in the plan's order.
    pub weights: Vec<Option<WeightPair>>,
    /// The time at which Route 53 or CloudWatch was last read for it.
    pub observed_at: Option<Timestamp>,
    /// The new side's share of the requests of the last hour, in percent, if they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_share: Option<Number>,
}
