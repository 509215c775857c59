//! The port for the journal: its entries, and the heartbeats and cursors that are stored next to them.

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

/// One append to one or more streams. It is written as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The number of the last entry that each stream must have for the append to succeed; 0 for a stream that does not
    /// exist.
    pub expect: Vec<(CutoverName, u64)>,
    /// The entries, in order, at most [`APPEND_EVENTS_MAX`]. Their numbers follow from `expect`.
    pub entries: Vec<NewEntry>,
    /// Identifies this append. An append that is tried again after a lost reply has the same one, and is not written
    /// twice.
    pub append_id: String,
}

/// An entry that is to be appended. The journal adds its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The stream to append to: a cutover's name, or `@fleet`.
    pub cutover: CutoverName,
    /// The cutover's attempt that the entry belongs to, from 1.
    pub attempt: u32,
    /// The time of the entry, at or after that of the entry before it.
    pub at: Timestamp,
    /// The author: `controller ID` or `user@host`.
    pub actor: String,
    /// The event that happened.
    pub event: Event,
}

/// The largest number of entries in one append (semantics G1).
pub const APPEND_EVENTS_MAX: usize = 20;

/// Why a call of the journal failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// Somebody else appended first. The caller reads again and decides again.
    #[error("the last entry of stream {stream} is {head}, not {expected}")]
    Conflict {
        /// The stream that has other entries than expected.
        stream: CutoverName,
        /// The number of the last entry that the append expected.
        expected: u64,
        /// The number of the last entry that the stream really has.
        head: u64,
    },
    /// There is no journal at this path.
    #[error("no journal at {0}")]
    Missing(String),
    /// A newer version of this program wrote the journal, or it is damaged. The journal was not changed.
    #[error("{0}")]
    Unusable(String),
    /// The journal cannot be reached, or cannot be written, at the moment.
    #[error("the journal does not answer: {0}")]
    Down(String),
}

/// A position in the journal over all streams. Everything up to it has been read; 0 is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The append-only journal, which several processes may use at once.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends entries if the last entry of every stream is the expected one. Returns the entries as written. An append
    /// whose `append_id` is stored already succeeds without writing again.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] if a stream has another last entry; [`JournalError::Down`] if the journal does not
    /// answer.
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError>;

    /// Returns all entries after `position`, of all streams, in the order in which they were appended, and the position
    /// after the last one.
    ///
    /// # Errors
    /// The journal does not answer or cannot be used.
    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError>;

    /// Returns the number of a stream's last entry; 0 if the stream has none.
    ///
    /// # Errors
    /// The journal does not answer or cannot be used.
    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError>;

    /// Returns about a second after anybody has appended after `position`, at the latest.
    async fn changed(&self, position: Position);

    /// Stores a controller's heartbeat in place of its earlier one. Removes all heartbeats that are more than a day
    /// older.
    ///
    /// # Errors
    /// The journal does not answer or cannot be used.
    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError>;

    /// The shortest time between two heartbeats of a controller. A journal that is paid for by the byte wants them less
    /// often.
    fn beat_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Returns the last heartbeat of every controller, newest first.
    ///
    /// # Errors
    /// The journal does not answer or cannot be used.
    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError>;

    /// Returns the cursor of a channel in a stream. `None` if nothing was delivered yet, or if this journal stores no
    /// cursors.
    ///
    /// # Errors
    /// The journal does not answer or cannot be used.
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

    /// Returns all cursors, sorted by stream and channel.
    ///
    /// # Errors
    /// The journal does not answer or cannot be used.
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

/// How far a channel has received the entries of a stream. Cursors are stored next to the entries, and are not part of
/// the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The stream whose entries are delivered.
    pub stream: CutoverName,
    /// The channel, by its [`Channel::id`](cutover_engine::notify::Channel::id).
    pub channel: String,
    /// The number of changes to this cursor: 1 when it is stored first. It makes the write of a cursor a
    /// compare-and-swap.
    pub revision: u64,
    /// The last entry up to which every entry was delivered or skipped; 0 if there is none.
    pub told: u64,
    /// Later entries that were already delivered or skipped, because a page may overtake.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<u64>,
    /// How often the service refused an entry for good, by the entry's number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<u64, u32>,
    /// The last entries that were skipped because the service refused them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// The process that delivers now. `None` if no process does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The failures since the last delivery. `None` if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// Data that the channel's adapter needs for its next delivery, for example the thread of a Slack message. Holds no
    /// secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<serde_json::Value>,
}

impl Cursor {
    /// Returns the cursor of a channel to which nothing was delivered yet.
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

/// The right of one process to deliver to a channel, so that two processes do not both deliver everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The process that has the claim.
    pub by: String,
    /// The time until which no other process delivers.
    pub until: Timestamp,
}

/// An entry that was skipped because the service refused it again and again (semantics M10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The number of the entry in its stream.
    pub seq: u64,
    /// True if the entry pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub page: bool,
    /// The time at which it was skipped.
    pub at: Timestamp,
    /// The service's last reply, without secrets.
    pub why: String,
}

/// The failures of a channel that cannot be reached, or that refuses messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The time of the first failure.
    pub since: Timestamp,
    /// The number of failed tries since then.
    pub tries: u32,
    /// The message of the last failure, without secrets.
    pub why: String,
    /// The time at which the next try is due.
    pub again_at: Timestamp,
    /// The number of the entry that was tried last; 0 if an older version of this program wrote this.
    #[serde(default)]
    pub of: u64,
}

/// A controller's report on its last round. Heartbeats are stored next to the entries, and are not part of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The controller's ID, new at every start.
    pub controller: String,
    /// The name of the machine that the controller runs on.
    pub host: String,
    /// The version of the controller's program.
    pub version: String,
    /// The time of its last round.
    pub at: Timestamp,
    /// The time between two rounds over all cutovers, in seconds.
    pub interval_secs: u64,
    /// Each cutover of this controller, as of that round.
    pub cutovers: BTreeMap<CutoverName, Glance>,
    /// True if the controller has ended. Then nobody expects a newer heartbeat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// The plan files that the controller cannot use and that belong to no unfinished cutover, by path, each with the
    /// reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
}

/// One cutover as of a controller's last round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// The cutover's holds, most urgent first.
    pub because: Vec<HoldReason>,
    /// The earliest time at which the cutover is decided again without a new reading. `None` if no such time is set.
    pub next_at: Option<Timestamp>,
    /// The weights of each group as last read, in the plan's order. `None` for a group that was never read.
    pub weights: Vec<Option<WeightPair>>,
    /// The time at which Route 53 or CloudWatch was last read for this cutover. `None` if never.
    pub observed_at: Option<Timestamp>,
    /// The new side's share of the requests of the last hour, in percent. `None` if requests are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_share: Option<Number>,
}
