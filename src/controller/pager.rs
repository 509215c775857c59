//! Delivers pages in parallel to the rounds, each until it is known to be delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::engine::event::Envelope;
use crate::engine::notify;
use crate::engine::paged::Paged;
use crate::engine::units::CutoverName;
use crate::ports::{Notifier, Page};

/// The wait between two tries of a delivery.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A delivered page: the cutover, and the entry that paged.
pub(super) type Delivered = (CutoverName, u64);

/// A page for one command; without a command it goes only to the log.
type PagePart = (Delivered, Option<Vec<String>>);

/// How far the delivery of a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageProgress {
    /// It is under way.
    Sent,
    /// It failed, and is not tried again before then.
    Failed(Instant),
    /// It is delivered.
    Done,
}

/// The pages that are being delivered.
pub(super) struct PageDeliveries {
    notifier: Arc<dyn Notifier>,
    parts: BTreeMap<PagePart, PageProgress>,
    /// Deliveries under way. They end with the controller.
    deliveries: JoinSet<(PagePart, bool)>,
}

impl PageDeliveries {
    pub(super) fn new(notifier: Arc<dyn Notifier>) -> Self {
        Self {
            notifier,
            parts: BTreeMap::new(),
            deliveries: JoinSet::new(),
        }
    }

    /// Returns true if an entry is delivered to a command, or to the log if there is no command. If it is not, and
    /// `send` is set, starts the delivery. One process delivers an entry once, however many pages it stands for.
    pub(super) fn deliver(
        &mut self,
        entry: &Envelope,
        settles: &[Paged],
        command: Option<&[String]>,
        send: bool,
    ) -> bool {
        let part = (
            (entry.cutover.clone(), entry.seq),
            command.map(<[String]>::to_vec),
        );
        match self.parts.get(&part) {
            Some(PageProgress::Done) => return true,
            Some(PageProgress::Sent) => return false,
            Some(PageProgress::Failed(until)) if Instant::now() < *until => return false,
            Some(PageProgress::Failed(_)) | None if !send => return false,
            Some(PageProgress::Failed(_)) | None => {}
        }
        let page = Page {
            idempotency_key: notify::key(&entry.cutover, entry.seq),
            entry: entry.clone(),
            settles: settles.to_vec(),
            command: part.1.clone(),
        };
        self.parts.insert(part.clone(), PageProgress::Sent);
        let notifier = Arc::clone(&self.notifier);
        self.deliveries.spawn(async move {
            let delivered = notifier.page(&page).await;
            if let Err(error) = &delivered {
                tracing::warn!(
                    cutover = %page.entry.cutover,
                    "a page was not delivered and is tried again in {} s: {error}",
                    AGAIN_AFTER.as_secs()
                );
            }
            (part, delivered.is_ok())
        });
        false
    }

    /// Returns true if no delivery is under way.
    pub(super) fn is_idle(&self) -> bool {
        let mut parts = self.parts.values();
        parts.all(|progress| *progress != PageProgress::Sent)
    }

    /// Returns when a page was delivered; [`PageDeliveries::deliver`] then returns true for it. Deliveries that have ended by
    /// then are taken together, so that a thousand pages do not cause a thousand rounds.
    pub(super) async fn next(&mut self) {
        loop {
            let Some(first) = self.deliveries.join_next().await else {
                return std::future::pending().await;
            };
            let mut delivered = self.came_back(first);
            while let Some(more) = self.deliveries.try_join_next() {
                delivered |= self.came_back(more);
            }
            if delivered {
                return;
            }
        }
    }

    /// Notes the end of a delivery. Returns true if the page was delivered.
    fn came_back(&mut self, joined: Result<(PagePart, bool), JoinError>) -> bool {
        // A delivery does not panic, and only the end of the controller cuts one short.
        let Ok((part, delivered)) = joined else {
            return false;
        };
        let progress = if delivered {
            PageProgress::Done
        } else {
            PageProgress::Failed(Instant::now() + AGAIN_AFTER)
        };
        self.parts.insert(part, progress);
        delivered
    }
}
