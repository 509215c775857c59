//! A health check, as far as records need it.

use jiff::Timestamp;

/// The settings of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthCheckConfig {
    /// `HTTP`, `HTTPS`, `TCP`, `CLOUDWATCH_METRIC`, …
    pub check_type: String,
    /// The endpoint's address.
    pub ip_address: Option<String>,
    /// The endpoint's port.
    pub port: Option<u16>,
    /// The path that is requested.
    pub resource_path: Option<String>,
    /// The endpoint's name.
    pub domain_name: Option<String>,
    /// Seconds between two requests: 10 or 30.
    pub request_interval: Option<u32>,
    /// The number of consecutive results that change the status.
    pub failure_threshold: Option<u32>,
    /// True if healthy and unhealthy are swapped.
    pub inverted: Option<bool>,
    /// True if it always counts as healthy.
    pub disabled: Option<bool>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Its identifier.
    pub id: String,
    /// The reference that makes its creation idempotent.
    pub caller_reference: String,
    /// Its settings.
    pub config: HealthCheckConfig,
    /// The version: 1 at first, one more with each update.
    pub version: u64,
    /// True if the endpoint is healthy; the simulated world sets it.
    pub endpoint_healthy: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

impl HealthCheck {
    /// Returns true if records with this check may be answered.
    pub fn is_healthy(&self) -> bool {
        let disabled = self.config.disabled.unwrap_or(false);
        disabled || self.endpoint_healthy != self.config.inverted.unwrap_or(false)
    }
}
