//! Calls that leave this process and are no AWS SDK's: commands, bounded in time and output, and plain HTTP.

pub mod command;
pub mod http;
