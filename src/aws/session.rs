//! A Route 53 client with its budget of calls.

use std::sync::Arc;

use aws_sdk_route53::Client;

use super::budget::Budget;
use super::config::{NORMAL_WAIT_MAX, REVERT_WAIT_MAX};
use super::errors::no_token;
use crate::ports::{CallError, Urgency};

/// A Route 53 client of one account, and the budget of its calls.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) budget: Arc<Budget>,
}

impl Session {
    /// Waits for a token for one read: 5 s, or 10 s for a revert.
    ///
    /// # Errors
    /// No token came in that time, and the read must not be sent.
    pub(super) async fn token(
        &self,
        operation: &'static str,
        urgency: Urgency,
    ) -> Result<(), CallError> {
        let wait = match urgency {
            Urgency::Revert => REVERT_WAIT_MAX,
            Urgency::Normal => NORMAL_WAIT_MAX,
        };
        let token = self.budget.acquire(operation, urgency, wait).await;
        token.map_err(|waited| no_token(operation, waited))
    }
}
