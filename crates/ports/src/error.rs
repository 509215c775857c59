//! The error of a failed call to a service.

use thiserror::Error;

use cutover_engine::event::FailureClass;
use cutover_engine::record::GroupName;

/// A failed call to a service. The adapter that knows the service assigns the class.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation}: {message}")]
pub struct CallError {
    /// The name of the call, for example `ChangeResourceRecordSets`.
    pub operation: &'static str,
    /// The class of the failure, which decides if and when the call is tried again.
    pub class: FailureClass,
    /// The service's error code, for example `AccessDenied`. `None` if the service sent none.
    pub code: Option<String>,
    /// The HTTP status of the reply. `None` if no reply came or its status is not known.
    pub status: Option<u16>,
    /// The service's message, without secrets.
    pub message: String,
    /// The groups of a refused batch that the message names. The others may succeed in a batch without these. Empty if
    /// the message names none.
    pub culprits: Vec<GroupName>,
}

impl CallError {
    /// Returns a failure without a code and a status, which names no groups.
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
