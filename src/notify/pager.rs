//! The pager: every page is an ERROR line in the log, and a run of the plan's command where it has one (RULES K).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use serde::Serialize;

use super::command;
use crate::engine::event::Envelope;
use crate::engine::event::Event;
use crate::ports::Notifier;
use crate::ports::Page;

/// Words an entry for people. Given from outside, because all wording is `report`'s.
pub type Wording = Arc<dyn Fn(&Envelope) -> String + Send + Sync>;

/// How many pages are remembered as logged. A page that is tried again for longer than this many others is logged again,
/// which does no harm.
const LOGGED_MAX: usize = 1000;

/// Tells people by the log and by a command.
///
/// The log line is an ERROR with `page=true`, written once per page and process. The command is an argv, run without a
/// shell and with this process's environment; it gets one JSON object on standard input, has 10 s, and says with exit
/// code 0 that it has delivered. It may get the same page twice, with the same `idempotency_key`.
pub struct Pager {
    wording: Wording,
    /// The keys of the pages that were logged, oldest first.
    logged: Mutex<VecDeque<String>>,
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager").finish_non_exhaustive()
    }
}

/// What a command gets on standard input. Its fields only grow.
#[derive(Debug, Serialize)]
struct Delivery<'page> {
    idempotency_key: &'page str,
    cutover: &'page str,
    attempt: u32,
    seq: u64,
    at: jiff::Timestamp,
    /// The event in one sentence, so that a command need not word it again.
    message: &'page str,
    event: &'page Event,
}

impl Pager {
    /// A pager that words pages in this way.
    pub fn new(wording: Wording) -> Self {
        Self {
            wording,
            logged: Mutex::default(),
        }
    }

    /// Notes that a page is logged; false if it was before.
    fn is_first(&self, key: &str) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.iter().any(|known| known == key) {
            return false;
        }
        if logged.len() == LOGGED_MAX {
            logged.pop_front();
        }
        logged.push_back(key.to_owned());
        true
    }
}

#[async_trait]
impl Notifier for Pager {
    async fn page(&self, page: &Page) -> Result<(), String> {
        let entry = &page.entry;
        let message = (self.wording)(entry);
        if self.is_first(&page.idempotency_key) {
            tracing::error!(
                page = true,
                cutover = %entry.cutover,
                event = entry.event.label(),
                seq = entry.seq,
                idempotency_key = %page.idempotency_key,
                "{message}"
            );
        }
        let Some(argv) = &page.command else {
            return Ok(());
        };
        let delivery = Delivery {
            idempotency_key: &page.idempotency_key,
            cutover: entry.cutover.as_str(),
            attempt: entry.attempt,
            seq: entry.seq,
            at: entry.at,
            message: &message,
            event: &entry.event,
        };
        let json = serde_json::to_string(&delivery).map_err(|error| error.to_string())?;
        command::run(argv, json + "\n").await
    }
}
