//! Calls that leave this process and are no AWS SDK's: commands, bounded in time and output, plain HTTP,
//! and the files of secrets.

pub mod attached;
pub mod command;
pub mod http;
mod secret_file;
pub mod secrets;
