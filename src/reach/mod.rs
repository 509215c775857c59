//! Calls that leave this process: commands, bounded in time and output, plain HTTP, the one way out to the network that
//! the AWS SDK takes too, and the files of secrets.

pub mod attached;
pub mod command;
pub mod http;
pub mod net;
mod secret_file;
pub mod secrets;
pub mod small_file;
