//! Time limits of writes, readings and changes of jobs.

use jiff::SignedDuration;

/// The time within which an intended write may be sent (semantics A1).
pub const PERFORM_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// The shortest time between the two confirming readings of a revert (semantics A3).
pub const FENCE: SignedDuration = SignedDuration::from_secs(5);

/// The time after its deadline within which a lost write may still take effect (semantics A3).
pub const LATE: SignedDuration = SignedDuration::from_secs(15);

/// The time after the end of a revert in which the controller reverts a late write of its own (semantics A4).
pub const RESIDUE: SignedDuration = SignedDuration::from_secs(15 * 60);

/// The time within which a step must be verified in all zones (semantics A7), and a change must be in sync (semantics
/// A6).
pub const STEP_WITHIN: SignedDuration = SignedDuration::from_secs(10 * 60);

/// The interval at which groups are compared with the last verified images, if they are not read more often.
pub const DRIFT_CHECK_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// The time for which reads must have failed before a revert is written without them (semantics A5).
pub const BLIND_REVERT_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// The longest time that a change or a reading of a job may take. A command that takes longer is killed.
pub const JOB_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// The largest accepted difference between AWS's clock and this machine's (semantics D3).
pub(super) const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);
