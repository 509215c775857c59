//! A journal in memory, for rehearsals and tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::record::{self, StreamHead};
use crate::engine::event::Envelope;
use crate::engine::units::CutoverName;
use crate::ports::{Append, Cursor, Heartbeat, Journal, JournalError, Position};

/// A journal in memory. Clones share their entries, like processes that share a file.
#[derive(Debug, Clone)]
pub struct MemoryJournal {
    shared: Arc<SharedContents>,
}

#[derive(Debug)]
struct SharedContents {
    contents: Mutex<Contents>,
    /// Notified at every append. It wakes waiting tasks in the order in which they began to wait, so that rehearsals
    /// and hunts run the same way every time. A `watch` channel does not keep that order.
    appended: Notify,
}

#[derive(Debug, Default)]
struct Contents {
    entries: Vec<Envelope>,
    /// The last entry of each stream.
    heads: BTreeMap<CutoverName, StreamHead>,
    /// The indices in `entries` of each append, by its ID.
    appends: BTreeMap<String, Range<usize>>,
    /// The last heartbeat of each controller.
    heartbeats: BTreeMap<String, Heartbeat>,
    /// The cursors, by stream and channel.
    cursors: BTreeMap<(CutoverName, String), Cursor>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// Creates an empty journal.
    pub fn new() -> Self {
        let shared = SharedContents {
            contents: Mutex::default(),
            appended: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Locks the contents. A poisoned lock is usable, because no panic can leave them half changed.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        let contents = self.shared.contents.lock();
        contents.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// Appends entries, unless this append is written already. Returns the written entries.
    ///
    /// # Errors
    /// `Conflict`: a stream has other entries than expected.
    fn append(&mut self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        if let Some(range) = self.appends.get(&append.append_id) {
            return Ok(self.entries[range.clone()].to_vec());
        }
        let append_id = append.append_id.clone();
        let mut heads = BTreeMap::new();
        for (stream, _) in &append.expect {
            if let Some(head) = self.heads.get(stream) {
                heads.insert(stream.clone(), *head);
            }
        }
        let sealed = record::seal(append, heads)?;
        for entry in &sealed {
            let head = StreamHead {
                seq: entry.seq,
                at: Some(entry.at),
            };
            self.heads.insert(entry.cutover.clone(), head);
        }
        if !sealed.is_empty() {
            let start = self.entries.len();
            self.entries.extend(sealed.iter().cloned());
            self.appends.insert(append_id, start..self.entries.len());
        }
        Ok(sealed)
    }

    /// Returns the position of the newest entry.
    fn newest(&self) -> Position {
        Position(u64::try_from(self.entries.len()).expect("invariant: a length fits 64 bits"))
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        record::check(&append)?;
        let mut contents = self.contents();
        let written = contents.append(append)?;
        self.shared.appended.notify_waiters();
        Ok(written)
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        let contents = self.contents();
        let read = usize::try_from(position.0).unwrap_or(usize::MAX);
        let entries = contents.entries.get(read..).unwrap_or_default().to_vec();
        Ok((entries, contents.newest().max(position)))
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        let contents = self.contents();
        Ok(contents.heads.get(stream).map_or(0, |head| head.seq))
    }

    async fn changed(&self, position: Position) {
        loop {
            let mut appended = pin!(self.shared.appended.notified());
            appended.as_mut().enable();
            if self.contents().newest() > position {
                return;
            }
            appended.await;
        }
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        let mut contents = self.contents();
        let day = SignedDuration::from_hours(24);
        contents
            .heartbeats
            .retain(|_, other| heartbeat.at.duration_since(other.at) <= day);
        let controller = heartbeat.controller.clone();
        contents.heartbeats.insert(controller, heartbeat.clone());
        Ok(())
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        let mut heartbeats: Vec<_> = self.contents().heartbeats.values().cloned().collect();
        heartbeats.sort_by_key(|heartbeat| std::cmp::Reverse(heartbeat.at));
        Ok(heartbeats)
    }

    async fn cursor(
        &self,
        stream: &CutoverName,
        channel: &str,
    ) -> Result<Option<Cursor>, JournalError> {
        let key = (stream.clone(), channel.to_owned());
        Ok(self.contents().cursors.get(&key).cloned())
    }

    async fn put_cursors(&self, cursors: &[Cursor]) -> Result<Vec<bool>, JournalError> {
        let mut contents = self.contents();
        let mut put = Vec::new();
        for cursor in cursors {
            let key = (cursor.stream.clone(), cursor.channel.clone());
            let stored = contents.cursors.get(&key);
            let revision = stored.map_or(0, |stored| stored.revision);
            let follows = revision + 1 == cursor.revision;
            if follows {
                contents.cursors.insert(key, cursor.clone());
            }
            put.push(follows);
        }
        Ok(put)
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, JournalError> {
        Ok(self.contents().cursors.values().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::task::yield_now;

    use super::*;
    use crate::engine::event::Event;
    use crate::ports::NewEntry;

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let journal = MemoryJournal::new();
        let woken: Arc<Mutex<Vec<u32>>> = Arc::default();
        for number in 0..20 {
            let (journal, woken) = (journal.clone(), Arc::clone(&woken));
            tokio::spawn(async move {
                journal.changed(Position::default()).await;
                woken.lock().expect("nobody panics with it").push(number);
            });
        }
        yield_now().await;
        let stream = CutoverName::from("api");
        let entry = NewEntry {
            cutover: stream.clone(),
            attempt: 1,
            at: Timestamp::UNIX_EPOCH,
            actor: "ada".to_owned(),
            event: Event::PauseRequested { reason: None },
        };
        let append = Append {
            expect: vec![(stream, 0)],
            entries: vec![entry],
            append_id: "1".to_owned(),
        };
        journal.append(append).await.expect("it is written");
        yield_now().await;
        let woken = woken.lock().expect("nobody panics with it").clone();
        assert_eq!(woken, (0..20).collect::<Vec<u32>>());
    }
}
