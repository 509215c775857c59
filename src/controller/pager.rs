//! Delivers pages beside the rounds, each until it is known to be delivered.

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

/// How long a failed delivery waits for its next try.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A delivered page: the cutover, and the entry that paged.
pub(super) type Delivered = (CutoverName, u64);

/// A page on its way to one command; without one the log is enough.
type Part = (Delivered, Option<Vec<String>>);

/// How far a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is on its way.
    Sent,
    /// It failed, and waits for another try until then.
    Failed(Instant),
    /// It is delivered.
    Done,
}

/// The pages that are being delivered.
pub(super) struct Pager {
    notifier: Arc<dyn Notifier>,
    parts: BTreeMap<Part, Way>,
    /// What is on its way. It ends with the controller.
    deliveries: JoinSet<(Part, bool)>,
}

impl Pager {
    pub(super) fn new(notifier: Arc<dyn Notifier>) -> Self {
        Self {
            notifier,
            parts: BTreeMap::new(),
            deliveries: JoinSet::new(),
        }
    }

    /// Says whether an entry is delivered to a command, or to the log where there is none; starts to where it is not and
    /// `send` says so. One process delivers it once, however many pages it stands for.
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
            Some(Way::Done) => return true,
            Some(Way::Sent) => return false,
            Some(Way::Failed(until)) if Instant::now() < *until => return false,
            Some(Way::Failed(_)) | None if !send => return false,
            Some(Way::Failed(_)) | None => {}
        }
        let page = Page {
            idempotency_key: notify::key(&entry.cutover, entry.seq),
            entry: entry.clone(),
            settles: settles.to_vec(),
            command: part.1.clone(),
        };
        self.parts.insert(part.clone(), Way::Sent);
        let notifier = Arc::clone(&self.notifier);
        self.deliveries.spawn(async move {
            let delivered = notifier.page(&page).await;
            if let Err(error) = &delivered {
                tracing::warn!(cutover = %page.entry.cutover, "a page was not delivered: {error}");
            }
            (part, delivered.is_ok())
        });
        false
    }

    /// Whether no page is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.parts.values().all(|way| *way != Way::Sent)
    }

    /// Returns when something was delivered; [`Pager::deliver`] then says so. What has come by then comes together: a
    /// thousand pages are no thousand rounds.
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

    /// Notes what came of a part; whether it was delivered.
    fn came_back(&mut self, joined: Result<(Part, bool), JoinError>) -> bool {
        // A delivery does not panic, and only the end of the controller cuts one short.
        let Ok((part, delivered)) = joined else {
            return false;
        };
        let way = if delivered {
            Way::Done
        } else {
            Way::Failed(Instant::now() + AGAIN_AFTER)
        };
        self.parts.insert(part, way);
        delivered
    }
}
