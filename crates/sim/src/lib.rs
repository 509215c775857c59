//! The simulated world: strict models of Route 53, CloudWatch and a table of DynamoDB, with a clock that jumps.

pub mod beside;
pub mod cloudwatch;
pub mod dns;
pub mod fault;
pub mod route53;
pub mod scenario;
pub mod signals;
pub mod slots;
pub mod stage;
pub mod traffic;
pub mod world;
