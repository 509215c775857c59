//! The worlds that are simulated side by side.

/// The number of worlds that are simulated side by side with the same random numbers.
pub const TRACKS: usize = 3;

/// The world as it is.
pub const REAL: usize = 0;
/// The world in which the weights were never touched.
pub const UNTOUCHED: usize = 1;
/// The world in which the traffic is not taken back: the weights stay as they were when the revert was decided.
pub const UNREVERTED: usize = 2;
