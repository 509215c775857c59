//! Topics of Amazon SNS.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::OnceCell;

use super::config::CONNECT_TIMEOUT;
use super::config::GLOBAL_REGION;
use super::config::Options;
use super::config::load;
use super::config::lock;
use super::errors::call_error;
use super::errors::too_late;
use crate::ports::Publication;
use crate::ports::Topics;

/// A call in all. Trying again is the caller's.
const PUBLISH_WITHIN: Duration = Duration::from_secs(8);

/// Publishes with the environment's own credentials: a topic in another account must allow them. Nothing is looked up
/// before the first publication.
pub struct SnsTopics {
    options: Options,
    ambient: OnceCell<aws_config::SdkConfig>,
    clients: Mutex<BTreeMap<String, Client>>,
}

impl std::fmt::Debug for SnsTopics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnsTopics").finish_non_exhaustive()
    }
}

impl SnsTopics {
    /// Connects nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            ambient: OnceCell::new(),
            clients: Mutex::default(),
        }
    }

    /// The client of a topic's region.
    async fn client(&self, topic_arn: &str) -> Client {
        let region = topic_arn.split(':').nth(3).unwrap_or(GLOBAL_REGION);
        let ambient = self.ambient.get_or_init(|| load(&self.options, None)).await;
        let mut clients = lock(&self.clients);
        let client = clients.entry(region.to_owned()).or_insert_with(|| {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_timeout(PUBLISH_WITHIN);
            let config = aws_sdk_sns::config::Builder::from(ambient)
                .region(Region::new(region.to_owned()))
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts.build());
            Client::from_conf(config.build())
        });
        client.clone()
    }
}

#[async_trait]
impl Topics for SnsTopics {
    async fn publish(&self, publication: &Publication) -> Result<(), String> {
        let mut call = self
            .client(&publication.topic_arn)
            .await
            .publish()
            .topic_arn(&publication.topic_arn)
            .subject(&publication.subject)
            .message_structure("json")
            .message(&publication.message);
        for (name, value) in &publication.attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|error| error.to_string())?;
            call = call.message_attributes(*name, value);
        }
        if publication.topic_arn.ends_with(".fifo") {
            call = call
                .message_group_id(&publication.group)
                .message_deduplication_id(&publication.deduplication);
        }
        match tokio::time::timeout(PUBLISH_WITHIN, call.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(call_error("Publish", &error).to_string()),
            Err(_) => Err(too_late("Publish", PUBLISH_WITHIN).to_string()),
        }
    }
}
