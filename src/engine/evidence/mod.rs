//! What is seen of both sides besides alarms: metrics, requests, whether the new side is worse, what climbs.
//!
//! A gate of the plan ([`plan`]) says which series it needs ([`wanted`]); the round reads them, and each reading
//! ([`reading`]) knows which minutes it covers. [`judge`] turns them into the same verdicts that alarms give. What does
//! not fit into a window, the requests of a step and the comparison of a whole run, is counted in a [`tally`], which is
//! journaled from time to time; the minutes since then are read again. So a judgement depends on the journal and on what
//! `CloudWatch` says, never on how the minutes were cut into readings.

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

mod metrics;
mod regression;
mod traffic;
mod trend;
