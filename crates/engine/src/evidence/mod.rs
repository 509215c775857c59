//! The gates besides alarms: metrics, requests, the comparison of both sides, and trends.
//!
//! A gate of the plan ([`plan`]) tells which series it needs ([`wanted`]); the round reads them, and each reading
//! ([`reading`]) knows which minutes it covers. [`judge`] turns them into the same verdicts that alarms give. Counts
//! that do not fit into a window, the requests of a step and the comparison of a whole run, are kept in a [`tally`]. It
//! is journaled from time to time, and the minutes since then are read again. So a judgement depends only on the
//! journal and on `CloudWatch`, never on how the minutes were cut into readings.

pub mod counting;
pub mod gate;
pub mod judge;
pub mod least;
pub mod math;
pub mod number;
pub mod outlook;
pub mod plan;
pub mod reading;
pub mod sequential;
pub mod share;
pub mod tally;
pub mod wanted;

mod kinds;
mod metrics;
mod regression;
mod traffic;
mod trend;
pub(crate) mod verdict;
