//! The wall clock: the one place that reads it.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::secrets::variable;
use crate::ports::Clock;

/// The largest file of a time zone that is read; the largest one there is has 4 KiB.
const ZONE_BYTES_MAX: u64 = 1024 * 1024;

/// The time zone of this machine: what `TZ` says, or its settings. A device or a pipe that `TZ` names is not read: that
/// would never end.
pub fn here() -> TimeZone {
    let told = variable("TZ").unwrap_or_default();
    let path = Path::new(told.trim_start_matches(':'));
    if let Ok(metadata) = std::fs::metadata(path)
        && !metadata.is_dir()
        && (!metadata.is_file() || metadata.len() > ZONE_BYTES_MAX)
    {
        return TimeZone::UTC;
    }
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
