//! The journal in a shared table, for one process: each call to the table may fail, hang, arrive late or lose its answer.
//! The code between is the real one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover::engine::event::Envelope;
use cutover::engine::units::CutoverName;
use cutover::journal::SlotJournal;
use cutover::ports::{
    Append, Heartbeat, Journal, JournalError, Position, SlotItem, SlotPage, Slots, SwapAnswer,
};
use cutover::sim::slots::MemorySlots;

use super::luck::{Fate, Luck};
use super::ports::down;
use super::world::{World, locked};

/// The name of the journal in the table.
pub(crate) const JOURNAL: &str = "J";

/// The partition of its appends.
const LOG: &str = "J/log";

/// The longest time until a process looks for entries of others.
const POLL: Duration = Duration::from_secs(1);

/// The table with faults, for one process. A write that is under way goes on if the process dies.
struct FaultySlots {
    slots: MemorySlots,
    world: World,
    luck: Luck,
}

impl FaultySlots {
    /// The way of a read to the table, and its failure if the scenario has one. Nothing is waited for after the read, so that
    /// the witness knows when it was.
    async fn reads(&self) -> Result<(), JournalError> {
        self.luck.call().await;
        self.luck.travel().await;
        if self.luck.read_fails() {
            return Err(down());
        }
        Ok(())
    }

    /// Carries a write out, or fails as the scenario wants it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, JournalError>> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.luck.call().await;
        let fate = self.luck.append();
        let arrives_after = match fate {
            Fate::Fails => return Err(down()),
            Fate::Hangs {
                arrives_after: None,
            } => std::future::pending().await,
            Fate::Hangs {
                arrives_after: Some(after),
            } => after,
            Fate::Done | Fate::ReplyLost => Duration::ZERO,
        };
        let (world, luck) = (self.world.clone(), self.luck.clone());
        let sent = tokio::spawn(async move {
            if !arrives_after.is_zero() {
                tokio::time::sleep(arrives_after).await;
            }
            luck.travel().await;
            world.sync();
            let written = work.await;
            world.sync();
            world.appended.rise();
            luck.travel().await;
            written
        });
        let written = sent.await.unwrap_or_else(|_| Err(down()));
        self.luck.call().await;
        match fate {
            Fate::Done => written,
            Fate::ReplyLost => Err(down()),
            Fate::Fails | Fate::Hangs { .. } => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Slots for FaultySlots {
    async fn put_if_absent(&self, item: SlotItem) -> Result<Option<SlotItem>, JournalError> {
        let slots = self.slots.clone();
        self.write(async move { slots.put_if_absent(item).await })
            .await
    }

    async fn put(&self, item: SlotItem) -> Result<(), JournalError> {
        let slots = self.slots.clone();
        self.write(async move { slots.put(item).await }).await
    }

    async fn put_if_revision(
        &self,
        item: SlotItem,
        stored: u64,
    ) -> Result<SwapAnswer, JournalError> {
        let slots = self.slots.clone();
        self.write(async move { slots.put_if_revision(item, stored).await })
            .await
    }

    async fn remove_if_revision(
        &self,
        partition: &str,
        sort: &str,
        revision: u64,
    ) -> Result<(), JournalError> {
        let (slots, partition, sort) = (self.slots.clone(), partition.to_owned(), sort.to_owned());
        let remove = async move { slots.remove_if_revision(&partition, &sort, revision).await };
        self.write(remove).await
    }

    async fn get(&self, partition: &str, sort: &str) -> Result<Option<SlotItem>, JournalError> {
        self.reads().await?;
        self.slots.get(partition, sort).await
    }

    async fn read_from(
        &self,
        partition: &str,
        after: &str,
        limit: Option<u32>,
    ) -> Result<SlotPage, JournalError> {
        self.reads().await?;
        self.slots.read_from(partition, after, limit).await
    }
}

/// The journal of one process over that table. The witness sees its calls.
pub(crate) struct WatchedSlotJournal {
    journal: SlotJournal,
    slots: MemorySlots,
    world: World,
    luck: Luck,
}

impl WatchedSlotJournal {
    pub(crate) fn new(slots: MemorySlots, world: World, luck: Luck) -> Self {
        let faulty = FaultySlots {
            slots: slots.clone(),
            world: world.clone(),
            luck: luck.clone(),
        };
        Self {
            journal: SlotJournal::new(Arc::new(faulty), JOURNAL, "the table"),
            slots,
            world,
            luck,
        }
    }

    /// Stops everything if something is broken.
    fn watch(&self) {
        if !locked(&self.world.witness).goes_on(self.world.now()) {
            self.luck.freeze();
        }
    }
}

#[async_trait]
impl Journal for WatchedSlotJournal {
    async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
        self.watch();
        self.journal.append(append).await
    }

    async fn read_after(
        &self,
        position: Position,
    ) -> Result<(Vec<Envelope>, Position), JournalError> {
        let now = self.world.now();
        self.watch();
        let read = self.journal.read_after(position).await?;
        self.world.sync();
        locked(&self.world.witness).has_read(self.luck.number, now);
        Ok(read)
    }

    async fn head(&self, stream: &CutoverName) -> Result<u64, JournalError> {
        let head = self.journal.head(stream).await?;
        locked(&self.world.witness).asked_head(self.luck.number, stream);
        self.luck.travel().await;
        Ok(head)
    }

    /// As the real one, which looks every second, but without a look for each of the millions of seconds of a scenario.
    async fn changed(&self, position: Position) {
        if self.luck.has_lost_journal() {
            std::future::pending::<()>().await;
        }
        let next = format!("{:016}", position.0 + 1);
        loop {
            let seen = self.world.appended.now();
            let found = self.slots.get(LOG, &next).await;
            if found.is_ok_and(|item| item.is_some()) {
                return;
            }
            self.world.appended.moves_on(seen).await;
            tokio::time::sleep(POLL).await;
        }
    }

    async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
        self.journal.beat(heartbeat).await
    }

    fn beat_interval(&self) -> Duration {
        self.journal.beat_interval()
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
        self.journal.heartbeats().await
    }
}
