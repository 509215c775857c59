//! Failed calls on a table in words.

use crate::engine::event::FailureClass;
use crate::ports::CallError;

/// The code of a table that is not there.
pub(super) const NOT_FOUND: &str = "ResourceNotFoundException";

/// A failed call in words, with the permission that is missing if that is the cause.
pub(super) fn words(place: &str, failed: &CallError) -> String {
    let operation = failed.operation;
    let code = failed.code.as_deref().unwrap_or_default();
    if code == NOT_FOUND {
        return format!("{place} does not exist ({})", failed.message);
    }
    if failed.class == FailureClass::Denied && code.starts_with("AccessDenied") {
        return format!(
            "{place}: the permission dynamodb:{operation} is missing: {}",
            failed.message
        );
    }
    if code.starts_with("UnrecognizedClient") {
        // Also the answer of a region that the account has not enabled.
        return format!(
            "{place}: {operation}: {}; check the credentials, and that the account has enabled the region",
            failed.message
        );
    }
    format!("{place}: {failed}")
}
