//! The AWS adapters: Route 53 and `CloudWatch` behind the ports.
//!
//! [`connect`] takes region, profile, credentials and `AWS_ENDPOINT_URL` from the usual environment. There is one SDK
//! client per account and region, and one budget of calls per account.
//!
//! | file | contents |
//! |---|---|
//! | `config.rs` | options, timeouts and retries, clients |
//! | `caller.rs` | the identity under which AWS knows the person who approves |
//! | `budget.rs` | token buckets: they limit our calls and let reverts go first |
//! | `environment.rs` | checks the environment at the start |
//! | `date.rs` | AWS's clock, from the `Date` of every reply |
//! | `partition.rs` | the partition and the domain of a region |
//! | `guard.rs` | turns a panic of the SDK into a failed call |
//! | `errors.rs` | classifies failed calls and words them without secrets |
//! | `images.rs` | SDK record sets to images and back |
//! | `zone_reads.rs` | reading groups in the fewest calls |
//! | `zones.rs` | finding hosted zones |
//! | `route53.rs` | the port `Dns` |
//! | `cloudwatch.rs` | the port `Signals` |
//! | `alarm_history.rs` | the states that an alarm went into |
//! | `metrics.rs`, `series.rs` | `GetMetricData` in full calls; one that is refused is cut in half |
//! | `signed.rs` | signed calls without an SDK client |
//! | `jobs.rs` | rules and schedules for the port `Jobs` |
//! | `sns.rs` | the port `Topics` |
//! | `past.rs` | the port `Past` |

mod alarm_history;
mod budget;
mod caller;
mod cloudwatch;
mod config;
mod date;
pub mod environment;
mod errors;
mod guard;
mod images;
mod jobs;
mod metrics;
mod partition;
mod past;
mod route53;
mod series;
mod signed;
mod sns;
mod zone_reads;
mod zones;

pub use budget::Rate;
pub use caller::caller_arn;
pub use cloudwatch::CloudWatchSignals;
pub use config::Aws;
pub use config::AwsClients;
pub use config::Limits;
pub use config::Options;
pub use config::connect;
pub use errors::BatchFailure;
pub use errors::batch_failures;
pub use jobs::EventJobs;
pub use route53::Route53Dns;
pub use sns::SnsTopics;
