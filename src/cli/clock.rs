//! The wall clock: the one place that reads it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::ports::Clock;

/// The time zone of this machine: what `TZ` says, or its settings.
pub fn here() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// This machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
