//! Makes a table for journals.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    ScalarAttributeType, TableStatus, Tag,
};

use super::fitness::TableFacts;
use super::items::{PARTITION, SORT};
use super::slots::DynamoSlots;
use crate::aws::errors::call_error;
use crate::aws::guard::called;
use crate::ports::JournalError;

/// The tag by which the table is known in bills and inventories.
const TAG: (&str, &str) = ("application", "cutover");

/// The time between two looks whether the table is ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most looks; a table is ready within seconds, rarely minutes.
const LOOKS_MAX: u32 = 300;
/// The time between two tries to switch recovery on, which a new table refuses for some seconds.
const RECOVERY_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// The most tries.
const RECOVERY_TRIES_MAX: u32 = 40;

/// What [`DynamoSlots::create`] found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedTable {
    /// It made the table. The text says why point-in-time recovery is not on, if it is not.
    Made(Option<String>),
    /// There was a table already, which can hold a journal.
    Found(TableFacts),
}

impl DynamoSlots {
    /// Makes the table if it is not there: on-demand billing, point-in-time recovery, deletion protection, and the tag
    /// `application = cutover`. Changes nothing of a table that is there.
    ///
    /// # Errors
    /// As [`DynamoSlots::check`], or the table cannot be made.
    pub async fn create(&self) -> Result<CreatedTable, JournalError> {
        if let Some(table) = self.describe().await? {
            self.fits(&table)?;
            return Ok(CreatedTable::Found(self.facts(&table).await));
        }
        self.create_table().await?;
        self.wait_until_active().await?;
        let recovery = self.switch_recovery_on().await;
        Ok(CreatedTable::Made(
            recovery.err().map(|error| error.to_string()),
        ))
    }

    async fn create_table(&self) -> Result<(), JournalError> {
        let mut request = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(true);
        for (name, kind) in [(PARTITION, KeyType::Hash), (SORT, KeyType::Range)] {
            let key = KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind);
            let definition = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            let (Ok(key), Ok(definition)) = (key.build(), definition.build()) else {
                return Err(self.unbuilt());
            };
            request = request.key_schema(key).attribute_definitions(definition);
        }
        let Ok(tag) = Tag::builder().key(TAG.0).value(TAG.1).build() else {
            return Err(self.unbuilt());
        };
        let request = request.tags(tag);
        match called(request.send()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(&call_error("CreateTable", &error))),
        }
    }

    fn unbuilt(&self) -> JournalError {
        JournalError::Unusable(format!("{} cannot be described to AWS", self.place()))
    }

    async fn wait_until_active(&self) -> Result<(), JournalError> {
        for _ in 0..LOOKS_MAX {
            if let Some(table) = self.describe().await?
                && table.table_status() == Some(&TableStatus::Active)
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(JournalError::Down(format!(
            "{} was made and is not ready yet; run the command again in a minute",
            self.place()
        )))
    }

    async fn switch_recovery_on(&self) -> Result<(), JournalError> {
        let on = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .map_err(|_| self.unbuilt())?;
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self
                .client
                .update_continuous_backups()
                .table_name(&self.table)
                .point_in_time_recovery_specification(on.clone());
            let Err(error) = called(request.send()).await else {
                return Ok(());
            };
            let failed = call_error("UpdateContinuousBackups", &error);
            let is_early = failed.code.as_deref() == Some("ContinuousBackupsUnavailableException");
            if !is_early || tries >= RECOVERY_TRIES_MAX {
                return Err(self.refused(&failed));
            }
            tokio::time::sleep(RECOVERY_AGAIN_AFTER).await;
        }
    }
}
