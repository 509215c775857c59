//! A health check, with the parts that records depend on.

use jiff::Timestamp;

/// The settings of a health check. `None` means not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthCheckConfig {
    /// The type: `HTTP`, `HTTPS`, `TCP`, `CLOUDWATCH_METRIC`, …
    pub check_type: String,
    /// The endpoint's IP address.
    pub ip_address: Option<String>,
    /// The endpoint's port.
    pub port: Option<u16>,
    /// The path that is requested from the endpoint.
    pub resource_path: Option<String>,
    /// The endpoint's domain name.
    pub domain_name: Option<String>,
    /// The seconds between two requests: 10 or 30.
    pub request_interval: Option<u32>,
    /// The number of consecutive equal results that change the status.
    pub failure_threshold: Option<u32>,
    /// True if the status is the opposite of the endpoint's health.
    pub inverted: Option<bool>,
    /// True if the check is off and always counts as healthy.
    pub disabled: Option<bool>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The identifier that Route 53 gave to the check.
    pub id: String,
    /// The caller's reference, which makes the creation idempotent.
    pub caller_reference: String,
    /// The current settings.
    pub config: HealthCheckConfig,
    /// The version: 1 after the creation, one more with each update.
    pub version: u64,
    /// True if the endpoint is healthy. The simulated world sets this.
    pub endpoint_healthy: bool,
    /// The time of the creation.
    pub created_at: Timestamp,
}

impl HealthCheck {
    /// Returns true if the check is healthy, so that its records may be returned by name servers.
    pub fn is_healthy(&self) -> bool {
        let disabled = self.config.disabled.unwrap_or(false);
        disabled || self.endpoint_healthy != self.config.inverted.unwrap_or(false)
    }
}
