//! What the controller needs from outside. Adapters implement these traits; the controller knows nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::Instant;

use crate::engine::backtest::Change;
use crate::engine::event::{Envelope, Event, FailureClass};
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::{Readings, SeriesReading};
use crate::engine::evidence::wanted::Minutes;
use crate::engine::fleet::FleetSettings;
use crate::engine::hooks::HookAction;
use crate::engine::jobs::{HalfLook, JobHalf};
use crate::engine::notify::{Channel, Notice};
use crate::engine::observation::{AlarmReading, ChangeReading, FileReading, HistoryReading};
use crate::engine::plan::{Account, AwsSettings, ZoneRef};
use crate::engine::record::{GroupName, RecordSet};
use crate::engine::units::{AlarmId, ChangeId, CutoverName, DnsName, ZoneId};

/// Reads the wall clock. Waiting is done with `tokio::time`, which the rehearsal's clock drives too.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, by this machine.
    fn now(&self) -> Timestamp;

    /// Waits until everything is to be looked at again, after a look at `last`: for `interval`. A simulated clock may wait
    /// longer, for as long as it knows that there is nothing new to be seen.
    ///
    /// May be dropped and called again with the same `last` at any time.
    async fn look_again(&self, last: Instant, interval: Duration) {
        tokio::time::sleep_until(last + interval).await;
    }
}

/// How much a call matters when calls are rationed: reverts go first and keep headroom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Part of a revert.
    Revert,
    /// Everything else.
    Normal,
}

/// A failed call, classified once, by the adapter that knows the service.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation}: {message}")]
pub struct CallError {
    /// The call, for example `ChangeResourceRecordSets`.
    pub operation: &'static str,
    /// What kind of failure.
    pub class: FailureClass,
    /// The service's error code, where there was one.
    pub code: Option<String>,
    /// What was said. Holds no secrets.
    pub message: String,
    /// The groups of a refused batch that the message names; empty where it names none. Without them the rest of the
    /// batch may pass.
    pub culprits: Vec<GroupName>,
}

impl CallError {
    /// A failure that names no code and no groups.
    pub fn new(operation: &'static str, class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            operation,
            class,
            code: None,
            message: message.into(),
            culprits: Vec::new(),
        }
    }
}

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its identifier, without prefix.
    pub id: ZoneId,
    /// Its name.
    pub name: DnsName,
    /// Whether it is a private zone.
    pub private: bool,
    /// How many record sets it holds, where the service said so.
    pub record_count: Option<u64>,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// What is done.
    pub action: ChangeAction,
    /// The whole image.
    pub record: RecordSet,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChangeAction {
    /// Must not exist yet.
    Create,
    /// Must exist exactly so.
    Delete,
    /// Creates or overwrites.
    Upsert,
}

/// A batch that Route 53 accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// What to ask `change_status` for.
    pub change_id: ChangeId,
    /// The reply's `Date`.
    pub server_time: Option<Timestamp>,
}

/// The record sets of the groups that were asked for.
pub type GroupReadings = BTreeMap<GroupName, Result<Vec<RecordSet>, CallError>>;

/// DNS with weights: Route 53, or the simulated one. Every call ends within its own timeout.
#[async_trait]
pub trait Dns: Send + Sync {
    /// Finds a zone by name or identifier. A name that fits no zone, or more than one, is a permanent error whose
    /// message lists the candidates.
    async fn find_zone(&self, account: &Account, zone: &ZoneRef) -> Result<Zone, CallError>;

    /// Reads groups of one zone: every record set with each name and type, in fewest calls (single reads, or pages of
    /// the whole zone). Every wanted group is a key of the answer; a group that is not there has no record sets.
    async fn read_groups(
        &self,
        account: &Account,
        zone: &ZoneId,
        wanted: &BTreeSet<GroupName>,
        urgency: Urgency,
    ) -> GroupReadings;

    /// Submits one batch, atomically, in one attempt. An error of class `Transient` is ambiguous: the change may have
    /// been applied.
    async fn change(
        &self,
        account: &Account,
        zone: &ZoneId,
        changes: &[RecordChange],
        comment: &str,
        urgency: Urgency,
    ) -> Result<Submitted, CallError>;

    /// Asks how far a change has come.
    async fn change_status(&self, account: &Account, change: &ChangeId) -> ChangeReading;

    /// The service's clock minus ours, as of now: the newest reply's time, carried on by the monotonic clock. None before
    /// the first reply.
    fn clock_skew(&self) -> Option<jiff::SignedDuration>;
}

/// How long reading so many alarms of one account may take: 5 s (RULES F1), and 200 ms more for every page of 100 beyond
/// the 25 that the service's quota lets through in that time. A fleet of thousands is then seen late rather than never.
pub fn alarms_within(count: usize) -> Duration {
    let more = count.div_ceil(100).saturating_sub(25);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    Duration::from_secs(5) + Duration::from_millis(200).saturating_mul(more)
}

/// How long reading so many series of one account may take: 5 s (RULES F1), and 100 ms more for every call of 500 beyond
/// the 50 that the service's quota lets through in that time.
pub fn series_within(count: usize) -> Duration {
    let more = count.div_ceil(500).saturating_sub(50);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    Duration::from_secs(5) + Duration::from_millis(100).saturating_mul(more)
}

/// Alarms: CloudWatch, or the simulated one. Every call ends within its own timeout.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Reads alarms, metric and composite, in pages of 100 names per region, and tells of each page when it is here: the
    /// service's quota lets thousands of alarms through in seconds, and what is red on the first page waits for none of
    /// them. Every wanted alarm is told once.
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    );

    /// Reads alarms, all of them. Every wanted alarm is a key of the answer.
    async fn read_alarms(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
    ) -> BTreeMap<AlarmId, AlarmReading> {
        let (told, mut pages) = mpsc::unbounded_channel();
        self.read_alarms_by_page(account, wanted, &told).await;
        let mut readings = BTreeMap::new();
        while let Ok((_, page)) = pages.try_recv() {
            readings.extend(page);
        }
        readings
    }

    /// Reads when an alarm entered ALARM after `since`.
    async fn alarm_history(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading;

    /// Reads series over the minutes that are wanted of each, in calls of up to 500 queries per region. What is not a key
    /// of the answer was not read.
    async fn read_series(&self, _account: &Account, wanted: &BTreeMap<Query, Minutes>) -> Readings {
        let why = "metrics cannot be read here";
        let unread = |query: &Query| (query.clone(), SeriesReading::Unreadable(why.to_owned()));
        wanted.keys().map(unread).collect()
    }

    /// How long each alarm looks back before it turns red: its period times its evaluation periods. Composite alarms,
    /// and alarms that cannot be read, have no such time and are left out. For previews; not asked in rounds.
    async fn alarm_spans(
        &self,
        _account: &Account,
        _wanted: &BTreeSet<AlarmId>,
    ) -> BTreeMap<AlarmId, jiff::SignedDuration> {
        BTreeMap::new()
    }

    /// When the environment's credentials expire, where they do and say so. For previews; not asked in rounds.
    async fn credentials_expire_at(&self) -> Option<Timestamp> {
        None
    }

    /// The service's clock minus ours, as of now: the newest reply's time, carried on by the monotonic clock. None before
    /// the first reply.
    fn clock_skew(&self) -> Option<jiff::SignedDuration>;
}

/// Some of an account's alarms, as they were read.
pub type AlarmPage = (Account, Vec<(AlarmId, AlarmReading)>);

/// What was: CloudWatch's memory. Read by backtests only, never by a controller.
#[async_trait]
pub trait Past: Send + Sync {
    /// All changes of an alarm's state in `[since, until)`, oldest first. May take minutes for an alarm that changed
    /// thousands of times: histories come in pages of 100, a few a second.
    async fn alarm_changes(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Change>, CallError>;
}

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

/// The most entries in one append (RULES G1).
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
    /// [`Channel::id`].
    pub channel: String,
    /// Counted up at every change, from 1.
    pub revision: u64,
    /// The last entry that was delivered; 0 for none.
    pub told: u64,
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
    /// The plan files that it cannot use and that no unfinished cutover came from, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
}

/// One cutover at a controller's last round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// Why nothing moves; most urgent first.
    pub because: Vec<crate::engine::hold::HoldReason>,
    /// The earliest next decision.
    pub next_at: Option<Timestamp>,
    /// The weights of each group as last read, in the plan's order.
    pub weights: Vec<Option<crate::engine::units::WeightPair>>,
    /// When Route 53 or CloudWatch was last read for it.
    pub observed_at: Option<Timestamp>,
    /// The new side's share of the requests of the last hour, in percent, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_share: Option<crate::engine::evidence::number::Number>,
}

/// Batch jobs and consumers that are switched off on one side and on on the other. Every call ends within
/// [`JOB_WITHIN`](crate::engine::decide::JOB_WITHIN), and so does whatever it started.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Looks at one half. `aws` is the plan's, for where and as whom AWS is called.
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError>;

    /// Switches one half on or off; it may be so already. An error of class `Transient` is ambiguous: it may have been
    /// done. `key` is the same for this change alone.
    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        key: &str,
    ) -> Result<(), CallError>;
}

/// A hook to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// What is called; its texts may stand in for secrets, which are put in right before the call.
    pub action: HookAction,
    /// How long it may take.
    pub timeout: Duration,
    /// The idempotency key.
    pub key: String,
    /// The event, as JSON.
    pub input: String,
}

/// What came of a call of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookAnswer {
    /// The beginning of what it said, without secrets.
    pub output: String,
    /// Why it failed, if it did. Holds no secrets.
    pub failure: Option<String>,
}

/// Calls hooks.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Calls one, once. Ends within its timeout, together with all that it started.
    async fn call(&self, request: &HookRequest) -> HookAnswer;
}

/// Something that a person is woken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entry that pages.
    pub entry: Envelope,
    /// Stable over retries: the same entry always has the same key.
    pub idempotency_key: String,
    /// The command of the plan's `notify`, if it has one.
    pub command: Option<Vec<String>>,
}

/// What a channel is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The channel.
    pub channel: Channel,
    /// What it is about.
    pub notice: Notice,
    /// What the channel's adapter noted after the delivery before.
    pub memo: Option<serde_json::Value>,
}

/// Why something was not delivered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Undelivered {
    /// What was said. Holds no secrets.
    pub why: String,
    /// When the channel wants to be asked again, if it said so.
    pub again_after: Option<Duration>,
    /// What is to be noted all the same, where a part of it was done.
    pub memo: Option<serde_json::Value>,
}

impl Undelivered {
    /// That nothing was done, and why.
    pub fn because(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ..Self::default()
        }
    }
}

/// How long one delivery to a channel may take.
pub const DELIVER_WITHIN: Duration = Duration::from_secs(17);

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers a page to the log and the plan's command; an error means that it is tried again.
    async fn page(&self, page: &Page) -> Result<(), String>;

    /// Whether it reaches channels at all; those of a rehearsal are told nothing.
    fn has_channels(&self) -> bool {
        false
    }

    /// Tells a channel. Returns what its adapter must know the next time, in the same stream. It ends within
    /// [`DELIVER_WITHIN`], so that what was done of it by then is known; an error means that it is tried again.
    async fn deliver(&self, delivery: &Delivery) -> Result<Option<serde_json::Value>, Undelivered> {
        let service = delivery.channel.via.service();
        Err(Undelivered::because(format!(
            "{service} is not reached from here"
        )))
    }
}

/// A message for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic_arn: String,
    /// ASCII without line breaks, at most 99 characters.
    pub subject: String,
    /// A JSON object with a text for each protocol.
    pub message: String,
    /// What subscriptions can filter by.
    pub attributes: BTreeMap<&'static str, String>,
    /// For FIFO topics: what stays in order.
    pub group: String,
    /// For FIFO topics: what is the same.
    pub deduplication: String,
}

/// Publishes to topics: Amazon SNS.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Publishes a message, within its own timeout.
    ///
    /// # Errors
    /// What SNS said, or why there is no answer.
    async fn publish(&self, publication: &Publication) -> Result<(), String>;
}

/// The plan files that a controller was started with, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFilesNow {
    /// The paths that were given, absolute; a cutover whose file lies there belongs to this controller.
    pub roots: Vec<String>,
    /// Each file found there, absolute, and what it holds.
    pub files: Vec<(String, FileReading)>,
}

/// Looks at the plan files.
pub trait PlanFiles: Send + Sync {
    /// Reads what has changed since the last look; cheap when nothing has.
    fn look(&self) -> PlanFilesNow;

    /// What the fleet's file says about all cutovers together, as of the last look, and its absolute path; none where
    /// there is no such file, or none that can be read.
    fn fleet(&self) -> Option<(String, FleetSettings)> {
        None
    }
}

/// A record of a group: the group's name and type, and the record's set identifier.
pub type RecordKey = (GroupName, String);

/// Keeps the break-glass files: change batches that work without this program.
pub trait BreakGlass: Send + Sync {
    /// Puts every stored file aside that has a record which is not `known`, under a name that nothing here touches: it is
    /// the way back of somebody whom this journal does not know. Returns where they are now. Asked once, before the first
    /// [`store`](Self::store).
    ///
    /// # Errors
    /// What went wrong, with the path.
    fn keep_others(
        &self,
        known: &BTreeSet<RecordKey>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let _: (&BTreeSet<RecordKey>, Timestamp) = (known, now);
        Ok(Vec::new())
    }

    /// Whether all that was stored last is still there; cheap.
    fn are_there(&self) -> bool {
        true
    }

    /// Makes the stored files exactly these (name and content), each replaced atomically.
    ///
    /// # Errors
    /// What went wrong, with the path.
    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String>;
}
