//! A failed call to a service.

use thiserror::Error;

use cutover_engine::event::FailureClass;
use cutover_engine::record::GroupName;

/// A failed call, classified once, by the adapter that knows the service.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation}: {message}")]
pub struct CallError {
    /// The call, for example `ChangeResourceRecordSets`.
    pub operation: &'static str,
    /// The kind of failure.
    pub class: FailureClass,
    /// The service's error code, if there was one.
    pub code: Option<String>,
    /// The HTTP status of the answer, if an answer is known.
    pub status: Option<u16>,
    /// The service's message. Holds no secrets.
    pub message: String,
    /// The groups of a refused batch that the message names; empty if it names none. Without them the rest of the batch
    /// may pass.
    pub culprits: Vec<GroupName>,
}

impl CallError {
    /// A failure without a code and without named groups.
    pub fn new(operation: &'static str, class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            operation,
            class,
            code: None,
            status: None,
            message: message.into(),
            culprits: Vec::new(),
        }
    }
}
