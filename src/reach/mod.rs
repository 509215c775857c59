//! Calls that leave this process and are no AWS SDK's: commands, bounded in time and output, plain HTTP,
//! and the files of secrets.

pub mod command;
pub mod http;
pub mod secret_file;
