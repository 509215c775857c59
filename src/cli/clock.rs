//! The wall clock, which is read only here, and the time zone of this machine.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::variables::variable;
use crate::ports::Clock;

/// The largest time zone file that is read; the largest existing one has 4 KiB.
const ZONE_BYTES_MAX: u64 = 1024 * 1024;

/// Returns the time zone of this machine: from `TZ`, or from its settings. A device or pipe named by `TZ` is not read, because
/// reading it might never end.
pub fn here() -> TimeZone {
    let tz = variable("TZ").unwrap_or_default();
    let path = Path::new(tz.trim_start_matches(':'));
    if let Ok(metadata) = std::fs::metadata(path)
        && !metadata.is_dir()
        && (!metadata.is_file() || metadata.len() > ZONE_BYTES_MAX)
    {
        return TimeZone::UTC;
    }
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// The wall clock of this machine.
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
