//! The AWS adapters with the real SDK over a fake HTTP client: exact calls, timeouts under a paused clock, error classes.

mod cloudwatch;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod fake;
mod route53_changes;
mod route53_reads;
mod series;
