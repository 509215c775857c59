//! Publishes to topics of Amazon SNS. Only `Publish` is needed, and building the SDK's crate for SNS would take 17 s of
//! processor time.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::AwsClients;
use super::signed::{Body, Call, Signed};
use crate::engine::event::FailureClass;
use crate::engine::plan::Account;
use crate::ports::{CallError, Clock, Publication, Topics, Undelivered};

/// The version of the SNS API. Source: SNS API Reference.
const VERSION: &str = "2010-03-31";

/// Publishes with the environment's credentials. A topic in another account must allow them.
#[derive(Clone)]
pub struct SnsTopics {
    signed: Signed,
}

impl std::fmt::Debug for SnsTopics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnsTopics").finish_non_exhaustive()
    }
}

impl SnsTopics {
    pub(super) fn new(clients: Arc<AwsClients>, clock: Arc<dyn Clock>) -> Self {
        Self {
            signed: Signed::new(clients, clock),
        }
    }
}

#[async_trait]
impl Topics for SnsTopics {
    async fn publish(&self, publication: &Publication) -> Result<(), Undelivered> {
        // The ARN names the topic's region, which may differ from ours.
        let region = publication.topic_arn.split(':').nth(3);
        let call = Call {
            operation: "Publish",
            service: "sns",
            method: "POST",
            path: "/",
            target: None,
            body: Body::Form(fields(publication)),
        };
        let published = self.signed.call(&Account::default(), region, call).await;
        published.map(drop).map_err(|error| Undelivered {
            for_good: is_for_good(&error),
            ..Undelivered::because(error.to_string())
        })
    }
}

/// SNS's error codes with a 400 status after which the same message may be accepted later: the call was throttled or
/// too late, or the credentials had expired and are renewed automatically.
///
/// Source: SNS API Reference, `Publish`, Errors and Common Errors.
const PASSING: [&str; 9] = [
    "Throttled",
    "ThrottledException",
    "KMSThrottling",
    "KMSThrottlingException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestExpired",
    "ExpiredToken",
    "ExpiredTokenException",
];

/// Returns true if SNS would refuse the same message again at any time.
fn is_for_good(error: &CallError) -> bool {
    let Some(status) = error.status else {
        // No reply came, or no call was made because there are no credentials.
        return false;
    };
    let code = error.code.as_deref().unwrap_or_default();
    let passes = error.class == FailureClass::Throttled || PASSING.contains(&code);
    (400..500).contains(&status) && status != 408 && status != 429 && !passes
}

/// Returns the parameters of `Publish` in the Query protocol.
fn fields(publication: &Publication) -> Vec<(String, String)> {
    let mut fields = vec![
        field("Action", "Publish"),
        field("Version", VERSION),
        field("TopicArn", &publication.topic_arn),
        field("Subject", &publication.subject),
        field("MessageStructure", "json"),
        field("Message", &publication.message),
    ];
    for (number, (name, value)) in (1..).zip(&publication.attributes) {
        let entry = format!("MessageAttributes.entry.{number}");
        fields.push(field(&format!("{entry}.Name"), name));
        fields.push(field(&format!("{entry}.Value.DataType"), "String"));
        fields.push(field(&format!("{entry}.Value.StringValue"), value));
    }
    // The name of a FIFO topic ends in `.fifo`, in lower case.
    let is_fifo = publication
        .topic_arn
        .rsplit_once('.')
        .is_some_and(|(_, end)| end == "fifo");
    if is_fifo {
        fields.push(field("MessageGroupId", &publication.group));
        let deduplication = &publication.deduplication;
        fields.push(field("MessageDeduplicationId", deduplication));
    }
    fields
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
