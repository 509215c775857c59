//! Whether a table can hold a journal.

use aws_sdk_dynamodb::types::{
    BillingMode, KeyType, MultiRegionConsistency, PointInTimeRecoveryStatus, ScalarAttributeType,
    TableDescription, TableStatus,
};

use super::failures::{self, NOT_FOUND};
use super::items::{PARTITION, SORT};
use super::slots::DynamoSlots;
use crate::aws::errors::call_error;
use crate::aws::guard::called;
use crate::engine::event::FailureClass;
use crate::ports::{CallError, JournalError};

/// What protects a table, and how it is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFacts {
    /// Each call is paid for; no capacity is reserved.
    pub on_demand: bool,
    /// It cannot be deleted by mistake.
    pub deletion_protection: bool,
    /// It can be restored to any second of the last 35 days. `None`: that may not be asked.
    pub point_in_time_recovery: Option<bool>,
}

impl DynamoSlots {
    /// Checks that the table is there and can hold a journal. Costs one call, `DescribeTable`.
    ///
    /// # Errors
    /// `Missing`: there is no such table. `Unusable`: it has other keys, or copies in other regions where the last writer wins,
    /// or it may not be looked at. `Down`: it cannot be reached, or is being created.
    pub async fn check(&self) -> Result<(), JournalError> {
        let described = self.describe().await?;
        let Some(table) = described else {
            return Err(JournalError::Missing(format!(
                "{} (there is no such table there for these credentials)",
                self.place()
            )));
        };
        self.fits(&table)
    }

    /// The table's description; `None` if there is no such table.
    pub(super) async fn describe(&self) -> Result<Option<TableDescription>, JournalError> {
        let request = self.client.describe_table().table_name(&self.table);
        match called(request.send()).await {
            Ok(reply) => match reply.table {
                Some(table) => Ok(Some(table)),
                None => Err(JournalError::Down(format!(
                    "{}: DescribeTable described nothing",
                    self.place()
                ))),
            },
            Err(error) => {
                let failed = call_error("DescribeTable", &error);
                if failed.code.as_deref() == Some(NOT_FOUND) {
                    return Ok(None);
                }
                Err(self.refused(&failed))
            }
        }
    }

    /// The error of a failed call on the table as a whole.
    pub(super) fn refused(&self, failed: &CallError) -> JournalError {
        let words = failures::words(&self.place(), failed);
        match failed.class {
            FailureClass::Denied | FailureClass::Permanent | FailureClass::Conflict => {
                JournalError::Unusable(words)
            }
            FailureClass::Throttled | FailureClass::Transient | FailureClass::NotSent => {
                JournalError::Down(words)
            }
        }
    }

    /// Checks a description.
    ///
    /// # Errors
    /// As [`DynamoSlots::check`].
    pub(super) fn fits(&self, table: &TableDescription) -> Result<(), JournalError> {
        let place = self.place();
        match table.table_status() {
            Some(TableStatus::Active | TableStatus::Updating) | None => {}
            Some(TableStatus::Creating) => {
                let why = format!("{place} is being created; try again in a minute");
                return Err(JournalError::Down(why));
            }
            Some(other) => {
                let why = format!("{place} cannot be used: its status is {other}");
                return Err(JournalError::Unusable(why));
            }
        }
        if !has_our_keys(table) {
            return Err(JournalError::Unusable(format!(
                "{place} is not for a journal: its keys are {}, and a journal needs the partition key `{PARTITION}` and the \
                 sort key `{SORT}`, both of type String; make a table of its own: `cutover journal create dynamodb:NAME`",
                keys_shown(table)
            )));
        }
        let is_replicated = !table.replicas().is_empty() || table.global_table_version().is_some();
        let is_strong = table.multi_region_consistency() == Some(&MultiRegionConsistency::Strong);
        if is_replicated && !is_strong {
            return Err(JournalError::Unusable(format!(
                "{place} has copies in other regions in which the last writer wins (a global table with eventual \
                 consistency), so entries could be lost; use a table in one region, or a global table with multi-Region \
                 strong consistency"
            )));
        }
        Ok(())
    }

    /// What protects the table, and how it is paid for.
    pub(super) async fn facts(&self, table: &TableDescription) -> TableFacts {
        let billing = table.billing_mode_summary();
        let mode = billing.and_then(|billing| billing.billing_mode());
        TableFacts {
            on_demand: mode == Some(&BillingMode::PayPerRequest),
            deletion_protection: table.deletion_protection_enabled() == Some(true),
            point_in_time_recovery: self.recovery().await,
        }
    }

    async fn recovery(&self) -> Option<bool> {
        let request = self
            .client
            .describe_continuous_backups()
            .table_name(&self.table);
        let reply = called(request.send()).await.ok()?;
        let backups = reply.continuous_backups_description()?;
        let recovery = backups.point_in_time_recovery_description()?;
        let status = recovery.point_in_time_recovery_status()?;
        Some(*status == PointInTimeRecoveryStatus::Enabled)
    }
}

fn has_our_keys(table: &TableDescription) -> bool {
    let mut keys = Vec::new();
    for key in table.key_schema() {
        keys.push((key.attribute_name(), key.key_type().clone()));
    }
    let wanted = [(PARTITION, KeyType::Hash), (SORT, KeyType::Range)];
    if keys != wanted {
        return false;
    }
    let mut are_texts = true;
    for attribute in table.attribute_definitions() {
        if [PARTITION, SORT].contains(&attribute.attribute_name()) {
            are_texts &= *attribute.attribute_type() == ScalarAttributeType::S;
        }
    }
    are_texts
}

/// The keys of a table, for messages.
fn keys_shown(table: &TableDescription) -> String {
    let mut shown = Vec::new();
    for key in table.key_schema() {
        let name = key.attribute_name();
        let kind = table
            .attribute_definitions()
            .iter()
            .find(|attribute| attribute.attribute_name() == name);
        let kind = kind.map_or("?", |attribute| attribute.attribute_type().as_str());
        shown.push(format!("`{name}` ({}, {kind})", key.key_type()));
    }
    if shown.is_empty() {
        return "not known".to_owned();
    }
    shown.join(" and ")
}
