//! Errors of refused calls, with Route 53's codes and messages.

use thiserror::Error;

use cutover_engine::event::FailureClass;

/// A refused call: the HTTP status, the service's code, and its message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct Route53Error {
    /// The HTTP status.
    pub status: u16,
    /// The error code, for example `InvalidChangeBatch`.
    pub code: String,
    /// The service's message.
    pub message: String,
}

impl Route53Error {
    /// Creates an error with this HTTP status, code and message.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// Returns the error of a request that is invalid for every zone.
    pub(super) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    /// Returns the error of a batch that cannot be applied. Its message lists all failures in brackets, joined by
    /// commas.
    pub(super) fn invalid_batch(failures: &[String]) -> Self {
        let list = format!("[{}]", failures.join(", "));
        Self::new(400, "InvalidChangeBatch", list)
    }

    /// Returns the error of a zone that does not exist.
    pub(super) fn no_such_zone(id: &str) -> Self {
        let message = format!("No hosted zone found with ID: {id}");
        Self::new(404, "NoSuchHostedZone", message)
    }

    /// Returns the error of a zone that belongs to another account.
    pub(super) fn not_authorized() -> Self {
        Self::new(
            403,
            "AccessDenied",
            "User is not authorized to access this resource",
        )
    }

    /// Returns the error of a health check that does not exist.
    pub(super) fn no_such_health_check(id: &str) -> Self {
        let message = format!("No health check exists with the specified ID {id}");
        Self::new(404, "NoSuchHealthCheck", message)
    }

    /// Returns the error of a change that Route 53 does not know. It forgets changes if its control plane fails over.
    pub(super) fn no_such_change(id: &str) -> Self {
        let message = format!("Could not find resource with ID: {id}");
        Self::new(404, "NoSuchChange", message)
    }

    /// Returns the error of a request that arrives while Route 53 is processing an earlier one for the zone.
    pub(super) fn prior_request() -> Self {
        Self::new(
            400,
            "PriorRequestNotComplete",
            "The request was rejected because Route 53 was still processing a prior request.",
        )
    }

    /// Returns the error of a call beyond the quotas.
    pub fn throttled() -> Self {
        Self::new(400, "Throttling", "Rate exceeded")
    }

    /// Returns the class of the failure, which decides what the caller does.
    pub fn class(&self) -> FailureClass {
        let denied = [
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredToken",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
        ];
        match self.code.as_str() {
            "Throttling" | "ThrottlingException" | "PriorRequestNotComplete" => {
                FailureClass::Throttled
            }
            code if denied.contains(&code) => FailureClass::Denied,
            "InvalidChangeBatch" if self.is_stale() => FailureClass::Conflict,
            _ if self.status >= 500 => FailureClass::Transient,
            _ => FailureClass::Permanent,
        }
    }

    /// Returns true if the batch failed because the records changed since the caller read them.
    fn is_stale(&self) -> bool {
        let stale = [
            "do not match the current values",
            "but it already exists",
            "but it was not found",
        ];
        stale.iter().any(|text| self.message.contains(text))
    }
}
