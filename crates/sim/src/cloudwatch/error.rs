//! Errors of refused calls, with `CloudWatch`'s codes.

use thiserror::Error;

/// The error of a refused call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The name of the error's shape in the service model. A CBOR reply carries it in `__type`.
    pub shape: &'static str,
    /// The error code of the older query protocol. Clients still show it (`x-amzn-query-error`).
    pub code: &'static str,
    /// The message for people.
    pub message: String,
}

impl ApiError {
    /// Returns the error of a request that breaks a constraint of the API.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", "ValidationError", message)
    }

    /// Returns the error of a value that is well-formed but not allowed, or out of range.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self::new(
            "InvalidParameterValueException",
            "InvalidParameterValue",
            message,
        )
    }

    /// Returns the error of parameters that exclude each other.
    pub fn combination(message: impl Into<String>) -> Self {
        Self::new(
            "InvalidParameterCombinationException",
            "InvalidParameterCombination",
            message,
        )
    }

    /// Returns the error of a required parameter that was not sent.
    pub fn missing_parameter(name: &str) -> Self {
        let message = format!("The parameter {name} is required.");
        Self::new(
            "MissingRequiredParameterException",
            "MissingParameter",
            message,
        )
    }

    /// Returns the error of a call that names an alarm which does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFound", "ResourceNotFound", message)
    }

    /// Returns the error of a page token that this service did not issue.
    pub fn bad_token() -> Self {
        let message = "The next token specified is invalid.";
        Self::new("InvalidNextToken", "InvalidNextToken", message)
    }

    fn new(shape: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            shape,
            code,
            message: message.into(),
        }
    }
}

/// Refuses a text whose length in characters is out of range, with AWS's message.
pub(super) fn check_length(
    name: &str,
    text: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), ApiError> {
    if range.contains(&text.chars().count()) {
        return Ok(());
    }
    let (min, max) = (range.start(), range.end());
    Err(ApiError::validation(format!(
        "1 validation error detected: Value at '{name}' failed to satisfy constraint: \
         Member must have length between {min} and {max}"
    )))
}

/// Refuses a list of more than `max` items, with AWS's message.
pub(super) fn check_count(name: &str, count: usize, max: usize) -> Result<(), ApiError> {
    if count <= max {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value at '{name}' failed to satisfy constraint: \
         Member must have length less than or equal to {max}"
    )))
}

/// Returns the page size that was asked for, or the default. Refuses sizes other than 1 to 100.
pub(super) fn page_size(asked: Option<i64>, default: usize) -> Result<usize, ApiError> {
    let Some(asked) = asked else {
        return Ok(default);
    };
    match usize::try_from(asked) {
        Ok(size) if (1..=100).contains(&size) => Ok(size),
        Ok(_) | Err(_) => Err(ApiError::validation(
            "1 validation error detected: Value at 'maxRecords' failed to satisfy constraint: \
             Member must have value between 1 and 100",
        )),
    }
}

/// Refuses a period, in seconds, that `CloudWatch` does not accept.
pub(super) fn check_period(period_secs: i64) -> Result<(), ApiError> {
    let high_resolution = [1, 5, 10, 20, 30].contains(&period_secs);
    if high_resolution || (period_secs > 0 && period_secs % 60 == 0) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "Valid values for Period are 1, 5, 10, 20, 30 and any multiple of 60, not {period_secs}."
    )))
}
