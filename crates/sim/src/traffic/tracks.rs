//! The tracks: variants of one world that are simulated with the same random numbers.

/// The number of tracks. In arrays "for each track", the constants below are the indices.
pub const TRACKS: usize = 3;

/// The world in which the controller acts.
pub const REAL: usize = 0;
/// The world in which the weights are never changed.
pub const UNTOUCHED: usize = 1;
/// The world without a revert: the weights stay as they were when the revert was decided.
pub const UNREVERTED: usize = 2;
