//! Refusals, with the codes that `CloudWatch` uses.

use thiserror::Error;

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The name of the error's shape in the service model; a CBOR reply has it in `__type`.
    pub shape: &'static str,
    /// The error code of the older query protocol, which clients still show (`x-amzn-query-error`).
    pub code: &'static str,
    /// The message.
    pub message: String,
}

impl ApiError {
    /// A request that breaks a constraint of the API.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", "ValidationError", message)
    }

    /// A value that is well formed but not allowed, or out of range.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self::new(
            "InvalidParameterValueException",
            "InvalidParameterValue",
            message,
        )
    }

    /// Parameters that exclude each other.
    pub fn combination(message: impl Into<String>) -> Self {
        Self::new(
            "InvalidParameterCombinationException",
            "InvalidParameterCombination",
            message,
        )
    }

    /// A required parameter that is missing.
    pub fn missing_parameter(name: &str) -> Self {
        let message = format!("The parameter {name} is required.");
        Self::new(
            "MissingRequiredParameterException",
            "MissingParameter",
            message,
        )
    }

    /// An alarm that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFound", "ResourceNotFound", message)
    }

    /// A page token that this service did not issue.
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

/// Refuses a text whose length is out of range, in the words that AWS uses.
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

/// Refuses a list that is too long.
pub(super) fn check_count(name: &str, count: usize, max: usize) -> Result<(), ApiError> {
    if count <= max {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value at '{name}' failed to satisfy constraint: \
         Member must have length less than or equal to {max}"
    )))
}

/// The page size that was asked for, or the default; 1 to 100.
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

/// Refuses a period that `CloudWatch` does not know.
pub(super) fn check_period(period_secs: i64) -> Result<(), ApiError> {
    let high_resolution = [1, 5, 10, 20, 30].contains(&period_secs);
    if high_resolution || (period_secs > 0 && period_secs % 60 == 0) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "Valid values for Period are 1, 5, 10, 20, 30 and any multiple of 60, not {period_secs}."
    )))
}
