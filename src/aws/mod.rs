//! The AWS adapters: Route 53, `CloudWatch` and a table of DynamoDB behind the ports.
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
//! | `sdk_times.rs` | times of the SDK to ours and back |
//! | `session.rs` | a Route 53 client with its budget |
//! | `signed.rs` | signed calls without an SDK client |
//! | `jobs.rs` | rules and schedules for the port `Jobs` |
//! | `sns.rs` | the port `Topics` |
//! | `past.rs` | the port `Past` |
//! | `policy.rs` | the IAM policy that all of these calls need |
//! | `dynamodb.rs` | the port `Slots`: a table for the shared journal |

mod alarm_history;
mod budget;
mod caller;
mod cloudwatch;
mod config;
mod date;
#[cfg(feature = "dynamodb")]
mod dynamodb;
pub mod environment;
mod errors;
mod guard;
mod images;
mod jobs;
mod metrics;
mod partition;
mod past;
mod policy;
mod route53;
mod sdk_times;
mod series;
mod session;
mod signed;
mod sns;
mod zone_reads;
mod zones;

use std::sync::Arc;

pub use budget::Rate;
pub use caller::caller_arn;
pub use cloudwatch::CloudWatchSignals;
pub use config::AwsClients;
pub use config::Limits;
pub use config::Options;
#[cfg(feature = "dynamodb")]
pub use dynamodb::CreatedTable;
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoSlots;
#[cfg(feature = "dynamodb")]
pub use dynamodb::TableAddress;
#[cfg(feature = "dynamodb")]
pub use dynamodb::TableFacts;
pub use errors::BatchFailure;
pub use errors::batch_failures;
pub use jobs::EventJobs;
pub use policy::JournalTable;
pub use policy::Policy;
pub use policy::PolicyNames;
pub use policy::PolicyRole;
pub use policy::policies;
pub use route53::Route53Dns;
pub use sns::SnsTopics;

/// The AWS adapters. They share their clients.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Reads and changes records.
    pub dns: Route53Dns,
    /// Reads alarms and metrics.
    pub signals: CloudWatchSignals,
    /// Reads and switches EventBridge rules and schedules.
    pub jobs: EventJobs,
    /// Publishes to SNS topics.
    pub topics: SnsTopics,
}

/// Creates the adapters from the environment and the profile. Cannot fail, and does not fetch credentials yet. If
/// neither names a region, asks the machine's metadata service for it, for at most 2 s.
pub async fn connect(options: Options) -> Aws {
    let clock = Arc::clone(&options.clock);
    let clients = Arc::new(AwsClients::new(options).await);
    Aws {
        dns: Route53Dns::new(Arc::clone(&clients)),
        signals: CloudWatchSignals::new(Arc::clone(&clients)),
        jobs: EventJobs::new(Arc::clone(&clients), Arc::clone(&clock)),
        topics: SnsTopics::new(clients, clock),
    }
}
