//! Converts times of the SDK to ours and back.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

use super::guard::believed;

/// Converts a time of the SDK. `None` if it is not between 1970 and 2200.
pub(super) fn our_time(time: &DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(time.subsec_nanos()).ok()?;
    Timestamp::new(time.secs(), nanos).ok().and_then(believed)
}

/// Converts a time for the SDK, rounded down to the second.
pub(super) fn sdk_time(time: Timestamp) -> DateTime {
    // Rounding up could miss an item, and with it a short ALARM. An extra item is dropped later.
    DateTime::from_secs(time.as_second() - i64::from(time.subsec_nanosecond() < 0))
}
