//! Calls that leave this process: commands, bounded in time and output; plain HTTP; the one way out to the network, which
//! the AWS SDK takes too; the files of secrets; and the file system if it may hang or belong to others.

pub mod aside;
pub mod attached;
pub mod command;
mod forms;
pub mod http;
pub mod net;
pub mod private;
pub mod regular_file;
mod secret_file;
pub mod secrets;
