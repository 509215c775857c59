//! The port `Slots` over a table of `DynamoDB`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::endpoint_config::AccountIdEndpointMode;

use super::failures;
use super::items::{self, PARTITION, SORT};
use crate::aws::config::{AwsClients, Options, READ_ATTEMPTS_MAX};
use crate::aws::errors::call_error;
use crate::aws::guard::called;
use crate::engine::account::Account;
use crate::ports::{JournalError, REVISION, SlotItem, SlotPage, Slots, SwapAnswer};

/// The longest time of a write, retries included. An append that takes 2 s counts as failed (semantics F2).
const WRITE_TIMEOUT: Duration = Duration::from_millis(1_900);
/// The longest time of one attempt of a write, so that a hung connection leaves time for another one.
const WRITE_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(900);
/// The longest wait for a connection for a write.
const WRITE_CONNECT_TIMEOUT: Duration = Duration::from_millis(800);
/// The wait before the second attempt, at most; the SDK doubles it for the third. `DynamoDB` throttles for fractions of a
/// second.
const BACKOFF: Duration = Duration::from_millis(50);

/// Where a table is, and as whom it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAddress {
    /// Its name.
    pub table: String,
    /// Its region; `None` means that of the environment.
    pub region: Option<String>,
    /// The account.
    pub account: Account,
}

/// A table of `DynamoDB`.
#[derive(Clone)]
pub struct DynamoSlots {
    pub(super) client: Client,
    pub(super) table: String,
    region: String,
}

impl fmt::Debug for DynamoSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoSlots")
            .field("table", &self.table)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl DynamoSlots {
    /// A client for a table. Calls nothing yet, but if neither the address nor the environment names a region, the machine's
    /// metadata is asked for it, for 2 s at most.
    ///
    /// # Errors
    /// `Unusable`: there is no region.
    pub async fn connect(
        mut options: Options,
        address: &TableAddress,
    ) -> Result<Self, JournalError> {
        if address.region.is_some() {
            options.region.clone_from(&address.region);
        }
        let clients = AwsClients::new(options).await;
        let Some(region) = clients.region().map(str::to_owned) else {
            let table = &address.table;
            return Err(JournalError::Unusable(format!(
                "the region of the table {table} is not known: write `dynamodb:{table}?region=eu-west-1`, or set AWS_REGION"
            )));
        };
        let config = clients.config(&address.account).await;
        let retries = RetryConfig::standard()
            .with_max_attempts(READ_ATTEMPTS_MAX)
            .with_initial_backoff(BACKOFF);
        // Addresses with the account's number would not pass the proxies and endpoints that people have set up.
        let builder = Builder::from(&config)
            .region(Region::new(region.clone()))
            .retry_config(retries)
            .account_id_endpoint_mode(AccountIdEndpointMode::Disabled);
        Ok(Self {
            client: Client::from_conf(builder.build()),
            table: address.table.clone(),
            region,
        })
    }

    /// The table's region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The table and its region, for messages.
    pub(super) fn place(&self) -> String {
        format!("the table {} in {}", self.table, self.region)
    }

    /// The error of a failed call on items.
    fn down<E>(&self, operation: &'static str, error: &SdkError<E, HttpResponse>) -> JournalError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let failed = call_error(operation, error);
        JournalError::Down(failures::words(&self.place(), &failed))
    }

    /// A put of an item.
    fn put_request(&self, item: SlotItem) -> PutItemFluentBuilder {
        let mut request = self.client.put_item().table_name(&self.table);
        for (name, value) in items::to_attributes(item) {
            request = request.item(name, value);
        }
        request
    }

    /// Sends a put. A condition that does not hold is an answer: the item that is in the way.
    async fn send_put(&self, request: PutItemFluentBuilder) -> Result<SwapAnswer, JournalError> {
        let request = request
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .customize()
            .config_override(in_write_time());
        match called(request.send()).await {
            Ok(_) => Ok(SwapAnswer::Stored),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    let other = match &refused.item {
                        Some(item) => Some(Box::new(self.item(item)?)),
                        None => None,
                    };
                    Ok(SwapAnswer::Refused(other))
                }
                Some(_) | None => Err(self.down("PutItem", &error)),
            },
        }
    }

    fn item<'a>(
        &self,
        attributes: impl IntoIterator<Item = (&'a String, &'a AttributeValue)>,
    ) -> Result<SlotItem, JournalError> {
        items::from_attributes(attributes).map_err(|why| {
            JournalError::Unusable(format!(
                "{} has an item that is no entry: {why}",
                self.place()
            ))
        })
    }
}

/// The timeouts of a write, which change nothing else of the client.
fn in_write_time() -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(WRITE_CONNECT_TIMEOUT)
        .operation_attempt_timeout(WRITE_ATTEMPT_TIMEOUT)
        .operation_timeout(WRITE_TIMEOUT)
        .build();
    aws_sdk_dynamodb::Config::builder().timeout_config(timeouts)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[async_trait]
impl Slots for DynamoSlots {
    async fn put_if_absent(&self, item: SlotItem) -> Result<Option<SlotItem>, JournalError> {
        let request = self
            .put_request(item)
            .condition_expression("attribute_not_exists(#p)")
            .expression_attribute_names("#p", PARTITION);
        match self.send_put(request).await? {
            SwapAnswer::Stored => Ok(None),
            SwapAnswer::Refused(Some(other)) => Ok(Some(*other)),
            // The table said that there is an item, and did not say which.
            SwapAnswer::Refused(None) => Err(JournalError::Down(format!(
                "{}: PutItem was refused without the item that is in the way",
                self.place()
            ))),
        }
    }

    async fn put(&self, item: SlotItem) -> Result<(), JournalError> {
        self.send_put(self.put_request(item)).await.map(drop)
    }

    async fn put_if_revision(
        &self,
        item: SlotItem,
        stored: u64,
    ) -> Result<SwapAnswer, JournalError> {
        let request = self.put_request(item);
        let request = if stored == 0 {
            request
                .condition_expression("attribute_not_exists(#p)")
                .expression_attribute_names("#p", PARTITION)
        } else {
            request
                .condition_expression("#r = :r")
                .expression_attribute_names("#r", REVISION)
                .expression_attribute_values(":r", AttributeValue::N(stored.to_string()))
        };
        self.send_put(request).await
    }

    async fn remove_if_revision(
        &self,
        partition: &str,
        sort: &str,
        revision: u64,
    ) -> Result<(), JournalError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(PARTITION, text(partition))
            .key(SORT, text(sort))
            .condition_expression("#r = :r")
            .expression_attribute_names("#r", REVISION)
            .expression_attribute_values(":r", AttributeValue::N(revision.to_string()))
            .customize()
            .config_override(in_write_time());
        match called(request.send()).await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                Some(_) | None => Err(self.down("DeleteItem", &error)),
            },
        }
    }

    async fn get(&self, partition: &str, sort: &str) -> Result<Option<SlotItem>, JournalError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(PARTITION, text(partition))
            .key(SORT, text(sort))
            .consistent_read(true);
        let reply = called(request.send())
            .await
            .map_err(|error| self.down("GetItem", &error))?;
        match reply.item() {
            Some(item) => self.item(item).map(Some),
            None => Ok(None),
        }
    }

    async fn read_from(
        &self,
        partition: &str,
        after: &str,
        limit: Option<u32>,
    ) -> Result<SlotPage, JournalError> {
        let limit = limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .expression_attribute_names("#p", PARTITION)
            .expression_attribute_values(":p", text(partition))
            .consistent_read(true)
            .set_limit(limit);
        // A key in a condition must not be empty.
        request = if after.is_empty() {
            request.key_condition_expression("#p = :p")
        } else {
            request
                .key_condition_expression("#p = :p AND #s > :s")
                .expression_attribute_names("#s", SORT)
                .expression_attribute_values(":s", text(after))
        };
        let reply = called(request.send())
            .await
            .map_err(|error| self.down("Query", &error))?;
        let mut page = SlotPage::default();
        for item in reply.items() {
            page.items.push(self.item(item)?);
        }
        if let Some(last) = reply.last_evaluated_key() {
            page.next_after = match last.get(SORT) {
                Some(AttributeValue::S(sort)) => Some(sort.clone()),
                Some(_) | None => None,
            };
        }
        Ok(page)
    }
}
