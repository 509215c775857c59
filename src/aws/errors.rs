//! Classifies failed calls, by the error code first, and describes them without secrets.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::budget::WaitedTooLong;
use crate::engine::event::FailureClass;
use crate::engine::foreign_text::cut;
use crate::engine::record::GroupName;
use crate::engine::units::DnsName;
use crate::ports::CallError;
use crate::reach::net;

/// The most characters of a message that are kept. A batch of hundreds of changes can fail in hundreds of ways.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// The most characters of an error code and of a request ID that are kept. AWS's longest code has about 50.
const CODE_CHARS_MAX: usize = 100;
/// The most causes of an error that are followed.
const CAUSES_MAX: usize = 16;

/// One failure from Route 53's message about a refused batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFailure {
    /// The name of the record set. `None` if the text does not contain it.
    pub name: Option<DnsName>,
    /// The type of the record set, in upper case. `None` if the text does not contain it.
    pub record_type: Option<String>,
    /// Route 53's text of this failure.
    pub text: String,
}

impl BatchFailure {
    /// Returns true if the failure is about this group. A failure without a type is about all types of its name.
    fn names(&self, group: &GroupName) -> bool {
        let kind = self.record_type.as_ref();
        self.name.as_ref() == Some(&group.name)
            && kind.is_none_or(|kind| *kind == group.record_type)
    }
}

/// Splits the message of an `InvalidChangeBatch` error into its failures.
///
/// Route 53 joins the failures with commas, inside one pair of brackets. Record sets are in further brackets. Commas
/// also occur within a failure (`RRSet with DNS name x., type A, SetIdentifier y cannot …`), but only a new failure
/// begins with a capital letter, apart from `SetIdentifier`.
pub fn batch_failures(message: &str) -> Vec<BatchFailure> {
    let trimmed = message.trim();
    let inner = trimmed
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(trimmed);
    let mut failures = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in inner.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 && begins_failure(&inner[at + 1..]) => {
                failures.push(batch_failure(&inner[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    failures.push(batch_failure(&inner[start..]));
    failures.retain(|failure| !failure.text.is_empty());
    failures
}

/// Returns true if the text after a comma begins a new failure.
fn begins_failure(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.starts_with(|first: char| first.is_ascii_uppercase()) && !rest.starts_with("SetIdentifier")
}

/// Reads the name and type of the record set from the text of one failure.
fn batch_failure(text: &str) -> BatchFailure {
    let text = text.trim();
    let (name, record_type) = if text.contains("[name='") {
        (quoted(text, "[name='"), quoted(text, "type='"))
    } else if let Some((_, rest)) = text.split_once("RRSet with DNS name ") {
        let name = rest.split([',', ' ']).next();
        let kind = rest.split_once("type ").map(|(_, kind)| kind);
        (name, kind.and_then(|kind| kind.split([',', ' ']).next()))
    } else {
        (None, None)
    };
    BatchFailure {
        name: name.filter(|name| !name.is_empty()).map(DnsName::new),
        record_type: record_type.map(str::to_ascii_uppercase),
        text: text.to_owned(),
    }
}

/// Returns the text between `key` and the next single quote. `None` if there is none.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(key)?;
    rest.split_once('\'').map(|(value, _)| value)
}

/// Returns the groups of a batch that its failures are about.
pub(super) fn culprits<'a>(
    failures: &[BatchFailure],
    groups: impl IntoIterator<Item = &'a GroupName>,
) -> Vec<GroupName> {
    let mut culprits = Vec::new();
    for group in groups {
        if failures.iter().any(|failure| failure.names(group)) {
            culprits.push(group.clone());
        }
    }
    culprits
}

/// Returns the failure of a change, with the groups of the batch that it is about.
pub(super) fn change_error<'a>(
    operation: &'static str,
    error: &SdkError<ChangeResourceRecordSetsError, HttpResponse>,
    groups: impl IntoIterator<Item = &'a GroupName>,
) -> CallError {
    let mut failed = call_error(operation, error);
    let texts = match error.as_service_error() {
        Some(ChangeResourceRecordSetsError::InvalidChangeBatch(batch)) => {
            let listed = batch.messages().iter();
            listed.chain(&batch.message).cloned().collect()
        }
        Some(_) if failed.code.is_none() => unwrapped_messages(error.raw_response()),
        _ => Vec::new(),
    };
    if texts.is_empty() {
        return failed;
    }
    let failures: Vec<_> = texts.iter().flat_map(|text| batch_failures(text)).collect();
    failed.culprits = culprits(&failures, groups);
    failed.class = FailureClass::Conflict;
    failed.code = Some("InvalidChangeBatch".to_owned());
    failed.message = format!("InvalidChangeBatch: {}", presentable(&texts.join(", ")));
    failed
}

/// Returns the messages of an `InvalidChangeBatch` that is not wrapped like other errors. The SDK cannot read it.
///
/// Route 53 answered in this form until 2024. Its service model still describes it, and other implementations still use
/// it.
fn unwrapped_messages(response: Option<&HttpResponse>) -> Vec<String> {
    let body = response.and_then(|response| response.body().bytes());
    let body = String::from_utf8_lossy(body.unwrap_or_default());
    let Some((_, inner)) = body.split_once("<InvalidChangeBatch") else {
        return Vec::new();
    };
    let texts = inner.split("<Message>").skip(1);
    let texts = texts.filter_map(|text| text.split_once("</Message>"));
    texts.map(|(text, _)| unescaped(text)).collect()
}

/// Replaces the five entities of XML, and `&#39;`, which Route 53 writes, by their characters.
pub(super) fn unescaped(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    let mut text = text.to_owned();
    for (entity, character) in entities {
        text = text.replace(entity, character);
    }
    text
}

/// Returns the failure of a call that got no token in time. The call was not sent.
pub(super) fn no_token(operation: &'static str, waited: WaitedTooLong) -> CallError {
    let secs = waited.0.as_secs();
    let message = format!("not sent: our own budget of calls was used up for {secs} s");
    CallError::new(operation, FailureClass::Throttled, message)
}

/// Returns the failure of an operation that took too long as a whole. AWS may have carried it out.
pub(super) fn too_late(operation: &'static str, limit: Duration) -> CallError {
    let message = format!("no answer within {} s", limit.as_secs());
    CallError::new(operation, FailureClass::Transient, message)
}

/// Classifies a failed call and describes it.
pub(super) fn call_error<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(service) = error.as_service_error() {
        return service_failure(operation, service, error.raw_response());
    }
    let (class, message) = unanswered(error);
    CallError::new(operation, class, presentable(&message))
}

/// Returns the failure of a call to which the service replied with an error.
fn service_failure<E: ProvideErrorMetadata>(
    operation: &'static str,
    service: &E,
    response: Option<&HttpResponse>,
) -> CallError {
    let status = response.map(|response| response.status().as_u16());
    let meta = service.meta();
    let code = meta.code().map(bare_code);
    let class = code
        .as_deref()
        .and_then(class_of_code)
        .unwrap_or_else(|| class_of_status(status));
    let said = match (meta.message(), status) {
        (Some(message), _) if !message.is_empty() => presentable(message),
        (_, Some(status)) => format!("HTTP status {status} without a message"),
        (_, None) => "no message".to_owned(),
    };
    let shown = match code.as_deref() {
        Some(code) if class == FailureClass::Denied => denial(code, &said),
        Some(code) => format!("{code}: {said}"),
        None => said,
    };
    let message = match meta.extra("aws_request_id") {
        Some(id) => {
            let id: String = id.chars().take(CODE_CHARS_MAX).collect();
            format!("{shown} (request {id})")
        }
        None => shown,
    };
    CallError {
        code,
        ..CallError::new(operation, class, message)
    }
}

/// Returns an error code without the namespace or suffix that some protocols add, at most [`CODE_CHARS_MAX`]
/// characters.
pub(super) fn bare_code(code: &str) -> String {
    let local = code.rsplit_once('#').map_or(code, |(_, local)| local);
    let bare = local.split(':').next().unwrap_or(local);
    bare.chars().take(CODE_CHARS_MAX).collect()
}

/// Returns the class of an error code. `None` if the code alone does not decide it.
pub(super) fn class_of_code(code: &str) -> Option<FailureClass> {
    let class = match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "PriorRequestNotComplete"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "BandwidthLimitExceeded"
        | "SlowDown" => FailureClass::Throttled,
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "UnrecognizedClient"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "AuthFailure"
        | "UnauthorizedOperation"
        | "NotAuthorized"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "OptInRequired" => FailureClass::Denied,
        _ if code.starts_with("AccessDenied") || code.starts_with("ExpiredToken") => {
            FailureClass::Denied
        }
        "InvalidChangeBatch" | "ConcurrentModificationException" | "ConflictException" => {
            FailureClass::Conflict
        }
        "NoSuchHostedZone"
        | "NoSuchHealthCheck"
        | "NoSuchChange"
        | "InvalidInput"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "InvalidDomainName"
        | "InvalidNextToken"
        | "ValidationError"
        | "ValidationException" => FailureClass::Permanent,
        "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "InternalServiceError"
        | "InternalServiceFault"
        | "ServiceUnavailable"
        // A table that several regions share, strongly consistent: another region was writing the same item.
        | "ReplicatedWriteConflictException"
        | "RequestTimeout"
        | "RequestTimeoutException" => FailureClass::Transient,
        _ => return None,
    };
    Some(class)
}

/// Returns the class of an HTTP status, for errors whose code does not decide it.
pub(super) fn class_of_status(status: Option<u16>) -> FailureClass {
    match status {
        Some(401 | 403) => FailureClass::Denied,
        Some(429) => FailureClass::Throttled,
        Some(408) => FailureClass::Transient,
        Some(400..=499) => FailureClass::Permanent,
        _ => FailureClass::Transient,
    }
}

/// Returns a text that names the problem with the credentials, followed by the service's own message.
fn denial(code: &str, said: &str) -> String {
    let problem = if code.starts_with("ExpiredToken") {
        "the AWS credentials have expired"
    } else if code.starts_with("AccessDenied") || code.starts_with("Unauthorized") {
        "these AWS credentials may not do this"
    } else if matches!(code, "RequestExpired" | "RequestTimeTooSkewed") {
        "this machine's clock is off"
    } else {
        "AWS does not accept the credentials"
    };
    // If the signature is wrong, the rest of the message repeats the request, including a session token.
    let said = said.split("The Canonical String").next().unwrap_or(said);
    format!("{problem} ({code}: {})", said.trim())
}

/// Returns the class and the message of a call without a reply, or with a reply that cannot be read.
fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> (FailureClass, String)
where
    E: Error + 'static,
{
    if let Some(credentials) = find_cause::<CredentialsError>(error) {
        return credentials_failure(credentials);
    }
    match error {
        SdkError::TimeoutError(_) => (FailureClass::Transient, "timed out".to_owned()),
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_)
            if causes(error).contains("no identity resolver") =>
        {
            (FailureClass::Denied, NO_CREDENTIALS.to_owned())
        }
        SdkError::DispatchFailure(failure) => {
            let said = format!("cannot be reached: {}", causes(error));
            if failure.is_user() {
                (FailureClass::Permanent, said)
            } else {
                (FailureClass::Transient, said)
            }
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            // AWS may have applied the change, although its reply could not be read.
            let said = format!("HTTP status {status}, {}", causes(error));
            (class_of_status(Some(status)), said)
        }
        SdkError::ConstructionFailure(_) => (FailureClass::Permanent, causes(error)),
        _ => (FailureClass::Transient, causes(error)),
    }
}

/// The message if no credentials were found anywhere. The SDK's own text lists every place in hundreds of characters.
const NO_CREDENTIALS: &str = "no AWS credentials were found in the environment, a profile, or a role of this machine: set \
                              AWS_PROFILE, log in (for example `aws sso login`), or attach a role";

/// Returns true if the error was caused by a provider that found no credentials.
fn has_none(error: &CredentialsError) -> bool {
    let below = error.source().and_then(find_cause::<CredentialsError>);
    matches!(below, Some(CredentialsError::CredentialsNotLoaded(_)))
}

/// Returns the class and the message of a failure to get credentials. The class is `Transient` only if a provider did
/// not answer or could not be reached.
pub(super) fn credentials_failure(error: &CredentialsError) -> (FailureClass, String) {
    if let Some(refused) = find_cause::<AssumeRoleError>(error) {
        let reply = find_cause::<SdkError<AssumeRoleError, HttpResponse>>(error);
        let status = reply.and_then(SdkError::raw_response);
        return role_failure(refused, status.map(|reply| reply.status().as_u16()));
    }
    let why = error
        .source()
        .map_or_else(String::new, |source| format!(": {}", causes(source)));
    let unreached = find_cause::<ConnectorError>(error).is_some();
    if why.contains("AWS_CA_BUNDLE") {
        // The certificates are the problem, not the credentials.
        let message = format!("AWS's credentials service cannot be reached{why}");
        return (FailureClass::Transient, message);
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            (FailureClass::Denied, NO_CREDENTIALS.to_owned())
        }
        CredentialsError::ProviderTimedOut(_) => (
            FailureClass::Transient,
            "the provider of AWS credentials did not answer in time".to_owned(),
        ),
        CredentialsError::InvalidConfiguration(_) => (
            FailureClass::Denied,
            format!("the configuration of AWS credentials is not valid{why}"),
        ),
        // There are no credentials with which STS could be asked for a role. The connection error only wraps that.
        _ if unreached && has_none(error) => (FailureClass::Transient, NO_CREDENTIALS.to_owned()),
        _ if unreached => (
            FailureClass::Transient,
            format!("the provider of AWS credentials cannot be reached{why}"),
        ),
        _ => (
            FailureClass::Denied,
            format!("no AWS credentials: the provider refused or failed{why}"),
        ),
    }
}

/// Returns the class and the message if STS refuses to give credentials for a role. STS's message names the principal
/// and the role.
fn role_failure(refused: &AssumeRoleError, status: Option<u16>) -> (FailureClass, String) {
    let Some(code) = refused.meta().code() else {
        // STS always sends a code. A proxy or a load balancer answered in its place.
        let status = status.map_or_else(String::new, |status| format!(" (HTTP status {status})"));
        let what = format!("the role cannot be assumed: the reply is not one of STS{status}");
        return (FailureClass::Transient, what);
    };
    let said = presentable(refused.meta().message().unwrap_or_default());
    let class = match class_of_code(code) {
        Some(class) => class,
        None if status.is_some_and(|status| status >= 500) => FailureClass::Transient,
        None => FailureClass::Denied,
    };
    if !code.starts_with("AccessDenied") {
        return (class, format!("the role cannot be assumed: {code}: {said}"));
    }
    let role = match word_after(&said, "on resource: ") {
        Some(role) => format!("the role {role}"),
        None => "the role of the plan (`role_arn`)".to_owned(),
    };
    let principal = word_after(&said, "User: ").unwrap_or("the present credentials");
    let what = format!(
        "{role} cannot be assumed by {principal} ({code}): check that the role exists, that its trust policy names that \
         principal (and the plan's external ID, if it asks for one), and that a policy of the principal allows \
         sts:AssumeRole on the role"
    );
    (class, what)
}

/// Returns the word that follows `mark` in a text. `None` if there is none.
fn word_after<'text>(text: &'text str, mark: &str) -> Option<&'text str> {
    let (_, rest) = text.split_once(mark)?;
    rest.split_whitespace().next()
}

/// Returns the first error of type `T` among an error and its causes.
fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// Returns an error and its causes, outermost first, at most [`CAUSES_MAX`].
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    let causes = std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    });
    causes.take(CAUSES_MAX)
}

/// Joins the texts of an error and its causes, without repetitions. `Debug` is never used, because it would print
/// requests and replies.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in chain(error) {
        let text = cause.to_string();
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
    }
    net::explained(said.join(": "))
}

/// Returns a message on one line, at most [`MESSAGE_CHARS_MAX`] characters, without access keys and session tokens.
pub(super) fn presentable(message: &str) -> String {
    let without_request = message.split("The Canonical String").next();
    let words = without_request.unwrap_or(message).split_whitespace();
    let kept: Vec<_> = words
        .map(|word| if is_secret(word) { "[hidden]" } else { word })
        .collect();
    cut(&kept.join(" "), MESSAGE_CHARS_MAX)
}

/// Returns true if a word contains the ID of an access key, or seems to be a secret key or token.
fn is_secret(word: &str) -> bool {
    for prefix in ["AKIA", "ASIA"] {
        for (start, _) in word.match_indices(prefix) {
            let rest = word[start + prefix.len()..].bytes();
            let rest = rest.take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            if rest.count() >= 12 {
                return true;
            }
        }
    }
    let lower = word.to_ascii_lowercase();
    let marked = ["security-token", "secretaccesskey", "sessiontoken"];
    marked.iter().any(|mark| lower.contains(mark)) || is_long_base64(word)
}

/// Returns true if a word has at least 100 base64 characters in a row, like a session token. DNS names have dots in
/// between.
fn is_long_base64(word: &str) -> bool {
    let mut runs = word.as_bytes().split(|byte| !is_base64(*byte));
    runs.any(|run| run.len() >= 100)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

#[cfg(test)]
mod tests;

/// Returns the failure of a call whose pages do not end.
pub(super) fn endless(operation: &'static str) -> CallError {
    CallError::new(
        operation,
        FailureClass::Permanent,
        "too long: the pages do not end",
    )
}
