//! Everything that leaves this process or may hang: commands, HTTP, the network connections (those of the AWS SDK too),
//! files of secrets, and files that belong to others.

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
