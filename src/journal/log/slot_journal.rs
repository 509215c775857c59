//! The port `Journal` over a table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::beats_and_cursors::{self, KnownBeats};
use super::body::entries_to_json;
use super::chain::LogChain;
use super::item::LogItem;
use super::layout::{APPLICATION, FORMAT, FORMAT_KEY, SlotKind, field, position_key};
use super::packs::{self, PACK_APPENDS};
use super::reader::LogReader;
use super::verify::verify;
use crate::engine::event::Envelope;
use crate::engine::units::CutoverName;
use crate::journal::mode::Open;
use crate::journal::record;
use crate::ports::{
    Append, Cursor, Heartbeat, Journal, JournalError, Position, SlotItem, Slots, StorageReport,
};

/// The most cursors that are written at the same time.
const CURSORS_AT_ONCE_MAX: usize = 16;

/// The time after which a write counts as failed: no step is taken, and reverts go out (semantics F2).
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// The time after which a read counts as failed. The first read of a large journal takes longest.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The time after which a check of everything counts as failed: it reads every append one by one.
const VERIFY_LIMIT: Duration = Duration::from_mins(10);

/// The time between two looks for appends of others. Each costs one read unit.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The time between two heartbeats. It is less than the 10 s between two rounds, so that each round may leave one. Each
/// costs a write unit for every KB.
const BEAT_INTERVAL: Duration = Duration::from_secs(9);

/// The time in which a pack must be written. Packs only save reads, so a late one is written another time.
const PACK_LIMIT: Duration = Duration::from_secs(20);

/// A journal in a table that several machines share.
///
/// Appends of one process go one after the other. Reads, heartbeats and cursors wait for nothing.
#[derive(Clone)]
pub struct SlotJournal {
    shared: Arc<SharedLog>,
}

struct SharedLog {
    slots: Arc<dyn Slots>,
    /// The journal's name within the table.
    journal: String,
    /// The journal's URL, for messages.
    place: String,
    chain: Mutex<LogChain>,
    /// Held by the append that is under way.
    append_turn: tokio::sync::Mutex<()>,
    /// Held while a pack is written.
    pack_turn: tokio::sync::Mutex<()>,
    known_beats: tokio::sync::Mutex<KnownBeats>,
    /// The time before which [`Journal::changed`] need not look again.
    poll_at: Mutex<Option<Instant>>,
    /// Counts this process's own appends, so that [`Journal::changed`] need not wait for the next look.
    appended: watch::Sender<u64>,
}

impl fmt::Debug for SlotJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotJournal")
            .field("place", &self.shared.place)
            .finish_non_exhaustive()
    }
}

/// The answer to one try to append.
enum AppendTry {
    /// It is in the log.
    Written(Vec<Envelope>),
    /// Somebody else got the position.
    Beaten,
}

impl SlotJournal {
    /// The journal with a name in a table, whether it was created or not. `place` is its URL, for messages.
    pub fn new(slots: Arc<dyn Slots>, journal: &str, place: &str) -> Self {
        let shared = SharedLog {
            slots,
            journal: journal.to_owned(),
            place: place.to_owned(),
            chain: Mutex::default(),
            append_turn: tokio::sync::Mutex::default(),
            pack_turn: tokio::sync::Mutex::default(),
            known_beats: tokio::sync::Mutex::default(),
            poll_at: Mutex::default(),
            appended: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Opens the journal with a name in a table.
    ///
    /// # Errors
    /// `Missing`: it is not there and may not be created. `Unusable`: written by a newer cutover or by another program.
    /// `Down`: the table cannot be read.
    pub async fn open(
        slots: Arc<dyn Slots>,
        journal: &str,
        place: &str,
        mode: Open,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let opened = Self::new(slots, journal, place);
        let checked = opened.shared.check_format(mode, now);
        within("a read", READ_LIMIT, place, checked).await?;
        Ok(opened)
    }
}

impl SharedLog {
    fn reader(&self) -> LogReader<'_> {
        LogReader {
            slots: self.slots.as_ref(),
            journal: &self.journal,
            place: &self.place,
            chain: &self.chain,
        }
    }

    /// Checks that this program can read the journal, and creates it if that is allowed.
    async fn check_format(&self, mode: Open, now: Timestamp) -> Result<(), JournalError> {
        let partition = SlotKind::Meta.partition(&self.journal);
        let mut stored = self.slots.get(&partition, FORMAT_KEY).await?;
        if stored.is_none() && mode == Open::Create {
            let format = SlotItem::new(partition, FORMAT_KEY)
                .with_text(field::APPLICATION, APPLICATION)
                .with_number(field::VERSION, FORMAT)
                .with_text(field::CREATED, now.to_string());
            stored = match self.slots.put_if_absent(format.clone()).await? {
                Some(other) => Some(other),
                None => Some(format),
            };
        }
        let Some(stored) = stored else {
            return Err(JournalError::Missing(self.place.clone()));
        };
        let application = stored.text(field::APPLICATION).unwrap_or_default();
        if application != APPLICATION {
            return Err(JournalError::Unusable(format!(
                "{} is another program's (`{application}`), not a cutover journal",
                self.place
            )));
        }
        match stored.number(field::VERSION) {
            Some(1..=FORMAT) => Ok(()),
            Some(version) => Err(JournalError::Unusable(format!(
                "{} was written by a newer cutover (journal format {version}; this one reads up to {FORMAT})",
                self.place
            ))),
            None => Err(JournalError::Unusable(format!(
                "{} is damaged: its format has no version",
                self.place
            ))),
        }
    }

    /// Appends, one append of this process after the other.
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        let _turn = self.append_turn.lock().await;
        let reader = self.reader();
        let mut caught_up = false;
        if append.entries.is_empty() || reader.chain().tail() == 0 {
            self.catch_up().await?;
            caught_up = true;
        }
        loop {
            match self.try_append(&append).await {
                Ok(AppendTry::Written(entries)) => return Ok(entries),
                Ok(AppendTry::Beaten) => self.catch_up().await?,
                Err(JournalError::Conflict { .. }) if !caught_up => self.catch_up().await?,
                Err(error) => return Err(error),
            }
            caught_up = true;
        }
    }

    /// Tries to get the next position for an append. The loser reads on and tries again, until the time is up.
    ///
    /// # Errors
    /// `Conflict`, as far as this process has read; `Down`; `Unusable`.
    async fn try_append(&self, append: &Append) -> Result<AppendTry, JournalError> {
        let reader = self.reader();
        reader.usable()?;
        // Also if what it expects has changed since: its caller may have read its own entries.
        if let Some(entries) = self.stored(&append.append_id).await? {
            return Ok(AppendTry::Written(entries));
        }
        let (sealed, position, previous) = {
            let chain = reader.chain();
            let mut heads = BTreeMap::new();
            for (stream, _) in &append.expect {
                let head = chain.heads().get(stream).copied().unwrap_or_default();
                heads.insert(stream.clone(), head);
            }
            let sealed = record::seal(append.clone(), heads);
            (sealed, chain.tail() + 1, chain.tail_hash())
        };
        let sealed = sealed?;
        if sealed.is_empty() {
            return Ok(AppendTry::Written(sealed));
        }
        let json = entries_to_json(&sealed).map_err(JournalError::Unusable)?;
        let item = LogItem::new(&previous, position, append.append_id.clone(), json);
        let slot = item.to_slot(self.slots.as_ref(), &self.journal).await?;
        let written = match self.slots.put_if_absent(slot).await? {
            None => {
                reader.take(&item)?;
                sealed
            }
            Some(other) => {
                let other = reader.read_item(&other).await?;
                if other.append_id != append.append_id {
                    return Ok(AppendTry::Beaten);
                }
                // The reply to our own write was lost, and it was sent again.
                reader.take(&other)?
            }
        };
        self.appended.send_modify(|count| *count += 1);
        Ok(AppendTry::Written(written))
    }

    /// The entries of an append that was read, by its id.
    async fn stored(&self, append_id: &str) -> Result<Option<Vec<Envelope>>, JournalError> {
        let reader = self.reader();
        let Some(position) = reader.chain().position_of(append_id) else {
            return Ok(None);
        };
        let read = reader.pages(position - 1, Some(1)).await?;
        let mut entries = reader.take_all(read)?;
        Ok(entries.pop().map(|(_, entries)| entries))
    }

    /// Reads what others have appended.
    async fn catch_up(&self) -> Result<(), JournalError> {
        let reader = self.reader();
        let tail = reader.chain().tail();
        reader.read_after(tail).await.map(drop)
    }

    /// Returns true if there is an append after a position. Reads one item at most.
    async fn has_after(&self, position: u64) -> Result<bool, JournalError> {
        let partition = SlotKind::Log.partition(&self.journal);
        let after = position_key(position);
        let page = self.slots.read_from(&partition, &after, Some(1)).await?;
        Ok(!page.items.is_empty())
    }

    /// Packs the next appends if there are enough of them. A failure only costs reads.
    async fn pack(&self) -> Result<(), JournalError> {
        let Ok(_turn) = self.pack_turn.try_lock() else {
            return Ok(());
        };
        let reader = self.reader();
        reader.usable()?;
        let (packed, tail) = {
            let chain = reader.chain();
            (chain.packed(), chain.tail())
        };
        let wanted = u64::try_from(PACK_APPENDS).unwrap_or(u64::MAX);
        if tail.saturating_sub(packed) < wanted {
            return Ok(());
        }
        let items = reader.pages(packed, Some(PACK_APPENDS)).await?;
        for item in &items {
            reader.take(item)?;
        }
        let pack = packs::pack(self.slots.as_ref(), &self.journal, &items).await?;
        let Some(pack) = pack else {
            return Ok(());
        };
        let other = self.slots.put_if_absent(pack.clone()).await?;
        if let Some(last) = packs::last_of(other.as_ref().unwrap_or(&pack)) {
            reader.chain().note_packed(last);
        }
        Ok(())
    }

    /// Writes all packs that are due, within their time.
    async fn pack_if_due(&self) {
        if let Err(error) = within("a pack", PACK_LIMIT, &self.place, self.pack()).await {
            tracing::debug!("appends are not packed now: {error}");
        }
    }
}

/// Does work within a time.
///
/// # Errors
/// That of the work, or `Down` if the time is up.
/// Stores cursors, some at the same time: one message about many cutovers moves the cursor of each of them.
async fn put_cursors(
    shared: &Arc<SharedLog>,
    cursors: &[Cursor],
) -> Result<Vec<bool>, JournalError> {
    let mut stored = vec![false; cursors.len()];
    let mut under_way = JoinSet::new();
    for (index, cursor) in cursors.iter().cloned().enumerate() {
        if under_way.len() >= CURSORS_AT_ONCE_MAX {
            note_cursor(under_way.join_next().await, &mut stored)?;
        }
        let shared = Arc::clone(shared);
        under_way.spawn(async move {
            let slots = shared.slots.as_ref();
            let put = beats_and_cursors::put_cursor(slots, &shared.journal, &cursor).await;
            (index, put)
        });
    }
    while !under_way.is_empty() {
        note_cursor(under_way.join_next().await, &mut stored)?;
    }
    Ok(stored)
}

/// The number of a cursor, and whether it was stored.
type CursorPut = (usize, Result<bool, JournalError>);

/// Notes whether a cursor was stored. `None` if none was under way.
fn note_cursor(
    ended: Option<Result<CursorPut, JoinError>>,
    stored: &mut [bool],
) -> Result<(), JournalError> {
    let Some(ended) = ended else {
        return Ok(());
    };
    let (index, put) = ended.map_err(|error| JournalError::Down(error.to_string()))?;
    if let Some(place) = stored.get_mut(index) {
        *place = put?;
    }
    Ok(())
}

async fn within<T>(
    what: &str,
    limit: Duration,
    place: &str,
    work: impl Future<Output = Result<T, JournalError>> + Send,
) -> Result<T, JournalError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(JournalError::Down(format!(
            "{place}: {what} took longer than {} s",
            limit.as_secs()
        ))),
    }
}

#[async_trait]
impl Journal for SlotJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        record::check(&append)?;
        let shared = &self.shared;
        within(
            "an append",
            WRITE_LIMIT,
            &shared.place,
            shared.append(append),
        )
        .await
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        let shared = &self.shared;
        let reader = shared.reader();
        let read = reader.read_after(position.0);
        let read = within("a read", READ_LIMIT, &shared.place, read).await?;
        let (mut entries, mut newest) = (Vec::new(), position);
        for (at, appended) in read {
            if Position(at) > position {
                entries.extend(appended);
                newest = newest.max(Position(at));
            }
        }
        Ok((entries, newest))
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        let shared = &self.shared;
        within("a read", READ_LIMIT, &shared.place, shared.catch_up()).await?;
        let reader = shared.reader();
        let chain = reader.chain();
        Ok(chain.heads().get(stream).map_or(0, |head| head.seq))
    }

    async fn changed(&self, position: Position) {
        let shared = &self.shared;
        let mut appended = shared.appended.subscribe();
        loop {
            let known = shared.reader().chain().tail();
            if known > position.0 {
                return;
            }
            if let Some(at) = shared.poll_at() {
                tokio::select! {
                    changed = appended.changed() => {
                        drop(changed);
                        continue;
                    }
                    () = tokio::time::sleep_until(at) => {}
                }
            }
            let found = shared.has_after(position.0);
            // While the journal is down this cannot be known; the next look may tell.
            let found = within("a read", READ_LIMIT, &shared.place, found).await;
            shared.note_polled();
            if found == Ok(true) {
                return;
            }
        }
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        let shared = &self.shared;
        let (slots, known) = (shared.slots.as_ref(), &shared.known_beats);
        let beat = beats_and_cursors::beat(slots, &shared.journal, known, heartbeat);
        let beaten = within("a heartbeat", WRITE_LIMIT, &shared.place, beat).await;
        if heartbeat.ended {
            shared.pack_if_due().await;
        } else {
            // Beside the rounds: a pack may take seconds, and nothing waits for it.
            let shared = Arc::clone(shared);
            tokio::spawn(async move { shared.pack_if_due().await });
        }
        beaten
    }

    fn beat_interval(&self) -> Duration {
        BEAT_INTERVAL
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        let shared = &self.shared;
        let read = beats_and_cursors::heartbeats(shared.slots.as_ref(), &shared.journal);
        within("a read", READ_LIMIT, &shared.place, read).await
    }

    async fn cursor(
        &self,
        stream: &CutoverName,
        channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        let shared = &self.shared;
        let read =
            beats_and_cursors::cursor(shared.slots.as_ref(), &shared.journal, stream, channel);
        within("a read", READ_LIMIT, &shared.place, read).await
    }

    async fn put_cursors(&self, cursors: &[Cursor]) -> Result<Vec<bool>, JournalError> {
        let shared = &self.shared;
        let put = put_cursors(shared, cursors);
        within("cursors", WRITE_LIMIT, &shared.place, put).await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        let shared = &self.shared;
        let read = beats_and_cursors::cursors(shared.slots.as_ref(), &shared.journal);
        within("a read", READ_LIMIT, &shared.place, read).await
    }

    async fn verify(&self) -> Result<StorageReport, JournalError> {
        let shared = &self.shared;
        let reader = shared.reader();
        within("a check", VERIFY_LIMIT, &shared.place, verify(&reader)).await
    }
}

impl SharedLog {
    fn poll_at(&self) -> Option<Instant> {
        *self.poll_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_polled(&self) {
        let mut poll_at = self.poll_at.lock().unwrap_or_else(PoisonError::into_inner);
        *poll_at = Some(Instant::now() + POLL_INTERVAL);
    }
}
