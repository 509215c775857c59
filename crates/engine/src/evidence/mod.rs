//! The gates other than alarms: metrics, requests, the comparison of both sides, and trends.
//!
//! The plan's gates ([`plan`]) say which series they need ([`wanted`]). The round reads these series, and each reading
//! ([`reading`]) has the minutes that it covers. [`judge`] derives from them the same verdicts that alarms give. Two
//! counts do not fit into a window of minutes: the requests of a step, and the comparison of a whole attempt. They are
//! kept in a [`tally`], which is journaled from time to time; the minutes since then are read again. So a verdict
//! depends only on the journal and on `CloudWatch`, and never on how the minutes were divided into readings.

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
