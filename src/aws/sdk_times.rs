//! The SDK's times as ours, and ours as the SDK's.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

use super::guard::believed;

/// The time of an SDK; none if it cannot be a time of ours.
pub(super) fn our_time(time: &DateTime) -> Option<Timestamp> {
    let nanos = i32::try_from(time.subsec_nanos()).ok()?;
    Timestamp::new(time.secs(), nanos).ok().and_then(believed)
}

/// The time for the SDK, rounded down to the second.
pub(super) fn sdk_time(time: Timestamp) -> DateTime {
    // Rounded down to the second: an extra item is dropped later, but a missing one would be a flap unseen.
    DateTime::from_secs(time.as_second() - i64::from(time.subsec_nanosecond() < 0))
}
