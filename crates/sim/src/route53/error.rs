//! Refusals, as Route 53 words them.

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
    /// The message.
    pub message: String,
}

impl Route53Error {
    /// An error with this status, code and message.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// A request that is invalid whatever the zone holds.
    pub(super) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    /// A batch that cannot be applied: one message, a bracketed, comma-joined list of all failures.
    pub(super) fn invalid_batch(failures: &[String]) -> Self {
        let list = format!("[{}]", failures.join(", "));
        Self::new(400, "InvalidChangeBatch", list)
    }

    /// A zone that does not exist.
    pub(super) fn no_such_zone(id: &str) -> Self {
        let message = format!("No hosted zone found with ID: {id}");
        Self::new(404, "NoSuchHostedZone", message)
    }

    /// A zone of another account.
    pub(super) fn not_authorized() -> Self {
        Self::new(
            403,
            "AccessDenied",
            "User is not authorized to access this resource",
        )
    }

    /// A health check that does not exist.
    pub(super) fn no_such_health_check(id: &str) -> Self {
        let message = format!("No health check exists with the specified ID {id}");
        Self::new(404, "NoSuchHealthCheck", message)
    }

    /// A change that Route 53 does not know, or no longer knows after a failover of its control plane.
    pub(super) fn no_such_change(id: &str) -> Self {
        let message = format!("Could not find resource with ID: {id}");
        Self::new(404, "NoSuchChange", message)
    }

    /// Route 53 is still processing an earlier request for the zone.
    pub(super) fn prior_request() -> Self {
        Self::new(
            400,
            "PriorRequestNotComplete",
            "The request was rejected because Route 53 was still processing a prior request.",
        )
    }

    /// Too many calls.
    pub fn throttled() -> Self {
        Self::new(400, "Throttling", "Rate exceeded")
    }

    /// The class of the failure, which decides what the caller does.
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
