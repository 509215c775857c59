//! Calls that create, read, change and delete health checks.

use jiff::Timestamp;

use super::error::Route53Error;
use super::health::{HealthCheck, HealthCheckConfig};
use super::service::Route53;

impl Route53 {
    /// Runs `CreateHealthCheck`. The same reference with the same settings returns the same check again.
    ///
    /// # Errors
    /// `HealthCheckAlreadyExists` if the reference was used with other settings; `InvalidInput` without a type.
    pub fn create_health_check(
        &mut self,
        caller_reference: &str,
        config: HealthCheckConfig,
        now: Timestamp,
    ) -> Result<HealthCheck, Route53Error> {
        if config.check_type.is_empty() {
            return Err(Route53Error::invalid_input(
                "Invalid request: Missing field 'Type' in HealthCheckConfig",
            ));
        }
        let known = self
            .health_checks
            .values()
            .find(|check| check.caller_reference == caller_reference);
        if let Some(known) = known {
            if known.config == config {
                return Ok(known.clone());
            }
            return Err(Route53Error::new(
                409,
                "HealthCheckAlreadyExists",
                "A health check with the same caller reference but different settings already exists.",
            ));
        }
        let serial = self.next_serial();
        let check = HealthCheck {
            id: format!("{serial:08x}-0000-4000-8000-{serial:012x}"),
            caller_reference: caller_reference.to_owned(),
            config,
            version: 1,
            endpoint_healthy: true,
            created_at: now,
        };
        self.health_checks.insert(check.id.clone(), check.clone());
        Ok(check)
    }

    /// Runs `GetHealthCheck`.
    ///
    /// # Errors
    /// `NoSuchHealthCheck`.
    pub fn health_check(&self, id: &str) -> Result<&HealthCheck, Route53Error> {
        self.health_checks
            .get(id)
            .ok_or_else(|| Route53Error::no_such_health_check(id))
    }

    /// Runs `UpdateHealthCheck`: changes the given settings if the check has the version `version`. `None` changes
    /// every version. The type and the interval cannot be changed.
    ///
    /// # Errors
    /// `NoSuchHealthCheck`, `HealthCheckVersionMismatch`.
    pub fn update_health_check(
        &mut self,
        id: &str,
        version: Option<u64>,
        update: &HealthCheckConfig,
    ) -> Result<HealthCheck, Route53Error> {
        let check = self
            .health_checks
            .get_mut(id)
            .ok_or_else(|| Route53Error::no_such_health_check(id))?;
        if version.is_some_and(|version| version != check.version) {
            return Err(Route53Error::new(
                409,
                "HealthCheckVersionMismatch",
                "The value of HealthCheckVersion in the request doesn't match the health check's.",
            ));
        }
        let config = &mut check.config;
        let texts = [
            (&mut config.ip_address, &update.ip_address),
            (&mut config.resource_path, &update.resource_path),
            (&mut config.domain_name, &update.domain_name),
        ];
        for (field, value) in texts {
            if value.is_some() {
                field.clone_from(value);
            }
        }
        config.port = update.port.or(config.port);
        config.failure_threshold = update.failure_threshold.or(config.failure_threshold);
        config.inverted = update.inverted.or(config.inverted);
        config.disabled = update.disabled.or(config.disabled);
        check.version += 1;
        Ok(check.clone())
    }

    /// Runs `DeleteHealthCheck`, even if records use the check. These records then count as healthy.
    ///
    /// # Errors
    /// `NoSuchHealthCheck`.
    pub fn delete_health_check(&mut self, id: &str) -> Result<(), Route53Error> {
        match self.health_checks.remove(id) {
            Some(_) => Ok(()),
            None => Err(Route53Error::no_such_health_check(id)),
        }
    }

    /// Sets whether the check's endpoint is healthy.
    ///
    /// # Errors
    /// `NoSuchHealthCheck`.
    pub fn set_endpoint_health(&mut self, id: &str, healthy: bool) -> Result<(), Route53Error> {
        match self.health_checks.get_mut(id) {
            Some(check) => {
                check.endpoint_healthy = healthy;
                Ok(())
            }
            None => Err(Route53Error::no_such_health_check(id)),
        }
    }
}
