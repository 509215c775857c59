//! A strict model of Route 53. It has every rule that AWS documents and that this program could break, and no others.
//!
//! The model is a plain value, without a clock and without randomness: each call gets `now`, and the same calls give
//! the same replies. The program uses it through the port (`sim::dns`), and tests use it over HTTP.
//!
//! Sources: the Route 53 API Reference and Developer Guide (`ChangeResourceRecordSets`, quotas, domain name format,
//! weighted routing). The texts of error messages come from messages that people quote in public issues.

mod answer;
mod apply;
mod batch;
mod draft;
mod error;
mod health;
mod health_checks;
mod name;
mod quota;
mod record;
mod service;
mod validate;
mod zone;
mod zones;

#[cfg(test)]
mod tests;

pub use answer::{DnsAnswer, MemberShare};
pub use batch::{Change, ChangeBatch};
pub use error::Route53Error;
pub use health::{HealthCheck, HealthCheckConfig};
pub use quota::{CallRate, Quotas};
pub use record::{Geo, Routing, StoredRecord};
pub use service::{ChangeInfo, Route53, Route53Settings, WeightWrite};
pub use zone::{HostedZone, NewZone, RecordListing, RecordStart, Vpc, ZonePage};
