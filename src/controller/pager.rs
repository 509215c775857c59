//! Delivers pages beside the rounds, each until it is known to be delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::engine::event::Envelope;
use crate::engine::notify;
use crate::engine::units::CutoverName;
use crate::ports::{Notifier, Page};

/// How long a failed delivery waits for its next try.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A delivered page: the cutover, and the entry that paged.
pub(super) type Delivered = (CutoverName, u64);

/// The pages that are being delivered.
pub(super) struct Pager {
    notifier: Arc<dyn Notifier>,
    /// Pages that are on their way, or that wait for another try until then.
    busy: BTreeMap<Delivered, Option<Instant>>,
    sender: mpsc::UnboundedSender<(Delivered, bool)>,
    receiver: mpsc::UnboundedReceiver<(Delivered, bool)>,
}

impl Pager {
    pub(super) fn new(notifier: Arc<dyn Notifier>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            notifier,
            busy: BTreeMap::new(),
            sender,
            receiver,
        }
    }

    /// Starts to deliver those pages of a stream that are not on their way.
    pub(super) fn deliver(
        &mut self,
        stream: &CutoverName,
        pages: &BTreeMap<u64, Envelope>,
        command: Option<&[String]>,
    ) {
        for (seq, entry) in pages {
            let key = (stream.clone(), *seq);
            let waits = self
                .busy
                .get(&key)
                .is_some_and(|until| until.is_none_or(|at| Instant::now() < at));
            if waits {
                continue;
            }
            self.busy.insert(key.clone(), None);
            let page = page(entry, command.map(<[String]>::to_vec));
            let (notifier, sender) = (Arc::clone(&self.notifier), self.sender.clone());
            drop(tokio::spawn(async move {
                let delivered = notifier.page(&page).await;
                if let Err(error) = &delivered {
                    tracing::warn!(cutover = %page.entry.cutover, "a page was not delivered: {error}");
                }
                sender.send((key, delivered.is_ok())).unwrap_or_default();
            }));
        }
    }

    /// Whether no page is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.values().all(Option::is_some)
    }

    /// The next delivered page; waits for one.
    pub(super) async fn next(&mut self) -> Delivered {
        loop {
            match self.receiver.recv().await {
                Some((key, true)) => return self.done(key),
                Some((key, false)) => {
                    self.busy.insert(key, Some(Instant::now() + AGAIN_AFTER));
                }
                // `sender` is ours, so the channel cannot be closed.
                None => std::future::pending().await,
            }
        }
    }

    /// The page is not sent again for a while: that it was delivered has yet to be journaled.
    fn done(&mut self, key: Delivered) -> Delivered {
        self.busy
            .insert(key.clone(), Some(Instant::now() + AGAIN_AFTER));
        key
    }
}

fn page(entry: &Envelope, command: Option<Vec<String>>) -> Page {
    Page {
        idempotency_key: notify::key(&entry.cutover, entry.seq),
        entry: entry.clone(),
        command,
    }
}
