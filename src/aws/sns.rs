//! Topics of Amazon SNS. `Publish` is the only operation that is needed: 17 s of processor time for the SDK's crate would be
//! a high price for it.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::AwsClients;
use super::signed::Body;
use super::signed::Call;
use super::signed::Signed;
use crate::engine::event::FailureClass;
use crate::engine::plan::Account;
use crate::ports::CallError;
use crate::ports::Clock;
use crate::ports::Publication;
use crate::ports::Topics;
use crate::ports::Undelivered;

/// The version of the API. Source: SNS API Reference.
const VERSION: &str = "2010-03-31";

/// Publishes with the environment's own credentials: a topic in another account must allow them.
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
        // Topics live in the region that their ARN names, whichever is ours.
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

/// What SNS says where the same message may be taken later, although it is one of the 400s: it is throttled, or what it was
/// signed with has run out and is replaced by itself.
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

/// Whether SNS answered that it does not take this message, whenever it is sent.
fn is_for_good(error: &CallError) -> bool {
    let Some(status) = error.status else {
        // Nobody answered, or nothing was asked: there were no credentials.
        return false;
    };
    let code = error.code.as_deref().unwrap_or_default();
    let passes = error.class == FailureClass::Throttled || PASSING.contains(&code);
    (400..500).contains(&status) && status != 408 && status != 429 && !passes
}

/// The parameters of the call, as the Query protocol has them.
fn fields(publication: &Publication) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
    add("Action", "Publish");
    add("Version", VERSION);
    add("TopicArn", &publication.topic_arn);
    add("Subject", &publication.subject);
    add("MessageStructure", "json");
    add("Message", &publication.message);
    for (number, (name, value)) in (1..).zip(&publication.attributes) {
        let entry = format!("MessageAttributes.entry.{number}");
        add(&format!("{entry}.Name"), name);
        add(&format!("{entry}.Value.DataType"), "String");
        add(&format!("{entry}.Value.StringValue"), value);
    }
    // Topics that keep order end so, in lower case.
    let is_fifo = publication
        .topic_arn
        .rsplit_once('.')
        .is_some_and(|(_, end)| end == "fifo");
    if is_fifo {
        add("MessageGroupId", &publication.group);
        add("MessageDeduplicationId", &publication.deduplication);
    }
    fields
}
