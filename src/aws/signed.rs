//! Signed calls to AWS services of which few operations are needed, so that the SDK's crates for them would cost too
//! much.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_types::service_config::ServiceConfigKey;
use serde_json::Value;

use super::config::AwsClients;
use super::errors::{
    bare_code, class_of_code, class_of_status, credentials_failure, presentable, too_late,
    unescaped,
};
use super::guard::caught;
use super::partition;
use crate::engine::event::FailureClass;
use crate::engine::plan::Account;
use crate::ports::{CallError, Clock};
use crate::reach::http::{Client, Failure, Request};

/// The longest time of one call, including the time to get credentials.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// A call to an AWS service.
pub(super) struct Call<'call> {
    /// The operation, for messages.
    pub(super) operation: &'static str,
    /// The service's name in endpoints and signatures, for example `events`.
    pub(super) service: &'static str,
    /// The HTTP method: `GET`, `POST` or `PUT`.
    pub(super) method: &'static str,
    /// The path with the query, beginning with `/`.
    pub(super) path: &'call str,
    /// The header `X-Amz-Target`. `None` if the service does not use it.
    pub(super) target: Option<&'static str>,
    /// The body of the request.
    pub(super) body: Body,
}

/// The body of a call.
pub(super) enum Body {
    /// A JSON value. A null value is sent as an empty body.
    Json(Value),
    /// The fields of a form, as name and value, for services with the Query protocol.
    Form(Vec<(String, String)>),
}

impl Body {
    /// Returns the body as text.
    fn text(&self) -> String {
        match self {
            Self::Json(Value::Null) => String::new(),
            Self::Json(body) => body.to_string(),
            Self::Form(fields) => {
                let mut pairs = Vec::new();
                for (name, value) in fields {
                    pairs.push(format!("{}={}", escaped(name), escaped(value)));
                }
                pairs.join("&")
            }
        }
    }
}

/// Percent-encodes all bytes except the unreserved characters. Source: RFC 3986, section 2.
fn escaped(text: &str) -> String {
    text.bytes().map(escaped_byte).collect()
}

fn escaped_byte(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// Makes signed calls, with the credentials of an account.
#[derive(Clone)]
pub(super) struct Signed {
    clients: Arc<AwsClients>,
    clock: Arc<dyn Clock>,
    http: Client,
}

impl Signed {
    pub(super) fn new(clients: Arc<AwsClients>, clock: Arc<dyn Clock>) -> Self {
        Self {
            clients,
            clock,
            http: Client::default(),
        }
    }

    /// Makes a call once. Returns the reply's JSON. In the Query protocol, a successful reply gives no data.
    ///
    /// # Errors
    /// There are no credentials, the call failed, or it took more than 10 s. After an error of class `Transient` AWS
    /// may have carried the call out.
    pub(super) async fn call(
        &self,
        account: &Account,
        region: Option<&str>,
        call: Call<'_>,
    ) -> Result<Value, CallError> {
        let operation = call.operation;
        let sent = tokio::time::timeout(CALL_WITHIN, self.send(account, region, call));
        match sent.await {
            Ok(answer) => answer,
            Err(_) => Err(too_late(operation, CALL_WITHIN)),
        }
    }

    /// Signs and sends a call.
    async fn send(
        &self,
        account: &Account,
        region: Option<&str>,
        call: Call<'_>,
    ) -> Result<Value, CallError> {
        let operation = call.operation;
        let config = self.clients.config(account).await;
        let region = match (region, config.region()) {
            (Some(region), _) => region.to_owned(),
            (None, Some(region)) => region.as_ref().to_owned(),
            (None, None) => super::config::GLOBAL_REGION.to_owned(),
        };
        let Some(endpoint) = endpoint(&config, call.service, &region).await else {
            let message = format!("{region} is not the name of a region");
            return Err(CallError::new(operation, FailureClass::Permanent, message));
        };
        let identity = identity(&config).await;
        let identity =
            identity.map_err(|(class, message)| CallError::new(operation, class, message))?;
        let body = call.body.text();
        let mut headers: Vec<(String, String)> = Vec::new();
        if let Some(target) = call.target {
            headers.push(("content-type".into(), "application/x-amz-json-1.1".into()));
            headers.push(("x-amz-target".into(), target.into()));
        } else if matches!(call.body, Body::Form(_)) {
            let form = "application/x-www-form-urlencoded; charset=utf-8";
            headers.push(("content-type".into(), form.into()));
        } else if !body.is_empty() {
            headers.push(("content-type".into(), "application/json".into()));
        }
        let url = format!("{endpoint}{}", call.path);
        let added = self.signature(&identity, &region, &call, &url, &headers, &body);
        headers.extend(
            added.map_err(|message| CallError::new(operation, FailureClass::Permanent, message))?,
        );
        let request = Request {
            method: call.method,
            url,
            headers,
            body,
        };
        let answer = self.http.send(request, CALL_WITHIN).await;
        let answer = answer.map_err(|failure| {
            let class = match &failure {
                Failure::NotSent(_) => FailureClass::NotSent,
                Failure::NoAnswer(_) => FailureClass::Transient,
            };
            CallError::new(operation, class, failure.to_string())
        })?;
        if answer.cut {
            let message = "the reply is larger than 1 MiB, and was not read";
            return Err(CallError::new(operation, FailureClass::Transient, message));
        }
        let value = match &call.body {
            Body::Json(_) => serde_json::from_str(&answer.body).unwrap_or(Value::Null),
            Body::Form(_) => query_answer(&answer.body),
        };
        if (200..300).contains(&answer.status) {
            return Ok(value);
        }
        Err(failed(
            operation,
            answer.status,
            answer.error_type.as_deref(),
            &value,
        ))
    }

    /// Returns the headers that sign a request (Signature Version 4).
    ///
    /// # Errors
    /// The request cannot be signed, as a text.
    fn signature(
        &self,
        identity: &Identity,
        region: &str,
        call: &Call<'_>,
        url: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(region)
            .name(call.service)
            .time(SystemTime::from(self.clock.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let shown = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new(call.method, url, shown, body);
        let signable = signable.map_err(|error| error.to_string())?;
        let signed = sign(signable, &params.into()).map_err(|error| error.to_string())?;
        let (added, _) = signed.into_parts().0.into_parts();
        let pairs = added.iter();
        let pairs = pairs.map(|header| (header.name().to_owned(), header.value().to_owned()));
        Ok(pairs.collect())
    }
}

/// Returns the endpoint of a service in a region. `None` if the region is not valid.
async fn endpoint(config: &SdkConfig, service: &str, region: &str) -> Option<String> {
    if let Some(configured) = configured_endpoint(config, service) {
        return Some(configured.trim_end_matches('/').to_owned());
    }
    let domain = partition::domain(region).await?;
    Some(format!("https://{service}.{region}.{domain}"))
}

/// Returns the endpoint that the options or the environment name: the service's own (`AWS_ENDPOINT_URL_EVENTBRIDGE`,
/// `AWS_ENDPOINT_URL_SCHEDULER`, `AWS_ENDPOINT_URL_SNS`), otherwise that of all services. `None` if neither is set.
fn configured_endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let service_id = match service {
        "events" => "eventbridge",
        other => other,
    };
    let key = ServiceConfigKey::builder()
        .service_id(service_id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = key
        .ok()
        .and_then(|key| config.service_config()?.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Returns the code and the message of an error in the Query protocol. Nothing else of the reply is needed.
fn query_answer(xml: &str) -> Value {
    serde_json::json!({ "code": element(xml, "Code"), "message": element(xml, "Message") })
}

/// Returns the text of the first XML element with this tag. `None` if there is none.
fn element(xml: &str, tag: &str) -> Option<String> {
    let (_, inner) = xml.split_once(&format!("<{tag}>"))?;
    let (text, _) = inner.split_once(&format!("</{tag}>"))?;
    Some(unescaped(text))
}

/// Returns the credentials that sign a request.
///
/// # Errors
/// There are no credentials: the class of the failure and its message.
async fn identity(config: &SdkConfig) -> Result<Identity, (FailureClass, String)> {
    let Some(provider) = config.credentials_provider() else {
        let message = "there are no credentials".to_owned();
        return Err((FailureClass::Denied, message));
    };
    let Some(credentials) = caught(provider.provide_credentials()).await else {
        let message = "the AWS SDK failed while it fetched credentials".to_owned();
        return Err((FailureClass::NotSent, message));
    };
    match credentials {
        Ok(credentials) => Ok(credentials.into()),
        Err(error) => {
            let (class, message) = credentials_failure(&error);
            // The call itself was not sent, so AWS cannot have carried it out.
            let class = match class {
                FailureClass::Transient => FailureClass::NotSent,
                other => other,
            };
            Err((class, presentable(&message)))
        }
    }
}

/// Returns the failure of a call that the service refused.
fn failed(
    operation: &'static str,
    status: u16,
    error_type: Option<&str>,
    body: &Value,
) -> CallError {
    let named = body["__type"]
        .as_str()
        .or(body["code"].as_str())
        .or(error_type);
    // Examples: `com.amazonaws.events#ResourceNotFoundException`, or the name followed by a colon and an address.
    let code = bare_code(named.unwrap_or_default());
    let said = body["message"].as_str().or(body["Message"].as_str());
    // A service may repeat parts of the request, including a session token.
    let said = said.map(presentable);
    let said = said.as_deref();
    let message = match (code.as_str(), said) {
        ("", said) => format!("status {status}: {}", said.unwrap_or("no message")),
        (code, said) => format!("{code}: {}", said.unwrap_or("no message")),
    };
    let class = class_of_code(&code).unwrap_or_else(|| class_of_status(Some(status)));
    let mut error = CallError::new(operation, class, message);
    error.code = if code.is_empty() { None } else { Some(code) };
    error.status = Some(status);
    error
}
