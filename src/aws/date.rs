//! Knows AWS's clock from the `Date` header of every reply, including failed ones.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::guard::believed;
use crate::ports::Clock;

/// The `Date` of the newest reply. Clones share it.
#[derive(Clone)]
pub(super) struct ReplyDates {
    clock: Arc<dyn Clock>,
    newest: Arc<Mutex<Option<DatedReply>>>,
}

/// The `Date` of a reply.
#[derive(Debug, Clone, Copy)]
struct DatedReply {
    server_time: Timestamp,
    /// The time of the reply's arrival, by the monotonic clock.
    at: Instant,
}

impl ReplyDates {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            newest: Arc::default(),
        }
    }

    /// Creates an empty instance with the same clock, which sees other replies.
    pub(super) fn fresh(&self) -> Self {
        Self::new(Arc::clone(&self.clock))
    }

    /// Returns AWS's clock minus ours, as of now. `None` before the first reply. The monotonic clock adds the time
    /// since the newest reply, so that a jump of our clock is noticed before the next reply.
    pub(super) fn skew(&self) -> Option<SignedDuration> {
        let reply = self.newest()?;
        let theirs = reply.server_time.saturating_add(reply.at.elapsed()).ok()?;
        Some(theirs.duration_since(self.clock.now()))
    }

    /// Returns the `Date` of the newest reply. `None` before the first reply.
    pub(super) fn server_time(&self) -> Option<Timestamp> {
        self.newest().map(|reply| reply.server_time)
    }

    fn newest(&self) -> Option<DatedReply> {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the `Date` of a reply that has just arrived, if it can be read.
    fn note(&self, date: &str) {
        // A time outside the accepted range could overflow when durations are added.
        if let Some(server_time) = parse(date).and_then(believed) {
            let at = Instant::now();
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            *newest = Some(DatedReply { server_time, at });
        }
    }
}

/// Reads an HTTP date, whose format is a narrow form of RFC 2822's. `None` if it is not one.
fn parse(date: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(date.trim()).ok()
}

impl fmt::Debug for ReplyDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyDates")
            .field("newest", &self.newest())
            .finish_non_exhaustive()
    }
}

impl Intercept for ReplyDates {
    fn name(&self) -> &'static str {
        "ReplyDates"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _runtime_components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.note(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_read() {
        let read = parse("Sat, 21 Nov 2026 10:36:00 GMT").unwrap();
        assert_eq!(read.to_string(), "2026-11-21T10:36:00Z");
        assert_eq!(parse("yesterday"), None);
    }
}
