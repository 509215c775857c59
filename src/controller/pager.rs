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

/// A page on its way to one command; without one the log is enough.
type Part = (Delivered, Option<Vec<String>>);

/// How far a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is on its way.
    Sent,
    /// It failed, and waits for another try until then.
    Failed(Instant),
    /// It is delivered, which has yet to be journaled; if that takes longer, it is sent again then.
    Done(Instant),
}

/// The pages that are being delivered.
pub(super) struct Pager {
    notifier: Arc<dyn Notifier>,
    parts: BTreeMap<Part, Way>,
    sender: mpsc::UnboundedSender<(Part, bool)>,
    receiver: mpsc::UnboundedReceiver<(Part, bool)>,
}

impl Pager {
    pub(super) fn new(notifier: Arc<dyn Notifier>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            notifier,
            parts: BTreeMap::new(),
            sender,
            receiver,
        }
    }

    /// Starts to deliver a page to these commands, or to the log where there are none, as far as it is not on its way.
    pub(super) fn deliver(&mut self, of: Delivered, entry: &Envelope, commands: Vec<Vec<String>>) {
        let parts: Vec<Part> = if commands.is_empty() {
            vec![(of.clone(), None)]
        } else {
            let part = |command| (of.clone(), Some(command));
            commands.into_iter().map(part).collect()
        };
        let now = Instant::now();
        // Whoever has it waits for those who do not have it yet, however long that takes.
        let all_done = self.is_delivered(&of);
        for part in parts {
            let waits = match self.parts.get(&part) {
                None => false,
                Some(Way::Sent) => true,
                Some(Way::Failed(until)) => now < *until,
                Some(Way::Done(until)) => !all_done || now < *until,
            };
            if !waits {
                self.send(part, entry);
            }
        }
    }

    fn send(&mut self, part: Part, entry: &Envelope) {
        let page = page(entry, part.1.clone());
        self.parts.insert(part.clone(), Way::Sent);
        let (notifier, sender) = (Arc::clone(&self.notifier), self.sender.clone());
        drop(tokio::spawn(async move {
            let delivered = notifier.page(&page).await;
            if let Err(error) = &delivered {
                tracing::warn!(cutover = %page.entry.cutover, "a page was not delivered: {error}");
            }
            sender.send((part, delivered.is_ok())).unwrap_or_default();
        }));
    }

    /// Whether every part of a page is delivered.
    fn is_delivered(&self, of: &Delivered) -> bool {
        let from = self.parts.range((of.clone(), None)..);
        let mut parts = from.take_while(|((other, _), _)| other == of);
        parts.all(|(_, way)| matches!(way, Way::Done(_)))
    }

    /// Whether no page is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.parts.values().all(|way| *way != Way::Sent)
    }

    /// The next page that is delivered to all who are to get it; waits for one.
    pub(super) async fn next(&mut self) -> Delivered {
        loop {
            match self.receiver.recv().await {
                Some((part, delivered)) => {
                    let again = Instant::now() + AGAIN_AFTER;
                    let way = if delivered { Way::Done } else { Way::Failed };
                    let of = part.0.clone();
                    self.parts.insert(part, way(again));
                    if delivered && self.is_delivered(&of) {
                        return of;
                    }
                }
                // `sender` is ours, so the channel cannot be closed.
                None => std::future::pending().await,
            }
        }
    }
}

fn page(entry: &Envelope, command: Option<Vec<String>>) -> Page {
    Page {
        idempotency_key: notify::key(&entry.cutover, entry.seq),
        entry: entry.clone(),
        command,
    }
}
