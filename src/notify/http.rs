//! POST over HTTP, with bounds: no redirects, few bytes of an answer, little time. TLS trusts what the system trusts.
//!
//! The client is the one that the AWS SDK brings: no other HTTP stack is compiled in for a handful of requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use super::secret::Secret;

/// Until a connection stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Until the body of an answer is there; the status alone says most.
const BODY_WITHIN: Duration = Duration::from_secs(2);

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts to URLs. Clones share it.
#[derive(Clone)]
pub struct Http {
    connector: Arc<Connector>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code. A redirect is an answer like any other.
    pub status: u16,
    /// How long to wait before asking again, in seconds, where the answer says so.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: String,
}

impl Answer {
    /// Whether it is of the 200s.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Default for Http {
    fn default() -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_WITHIN);
        let connector = Connector::builder()
            .connector_settings(settings.build())
            // A connection that nobody has used for minutes may be dead, and a request on it would be lost.
            .pool_max_idle_per_host(0)
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        Self {
            connector: Arc::new(connector),
        }
    }
}

impl Http {
    /// Posts a body, in one attempt, and reads the answer, all within a time.
    ///
    /// # Errors
    /// Why there is no answer, without the URL and without the headers: they may be secrets.
    pub async fn post(
        &self,
        url: &Secret,
        headers: &[(&'static str, String)],
        body: String,
        within: Duration,
    ) -> Result<Answer, String> {
        let mut request = HttpRequest::new(SdkBody::from(body.clone()));
        let odd = || "the URL or a header cannot be sent".to_owned();
        request.set_method("POST").map_err(|_| odd())?;
        request.set_uri(url.reveal()).map_err(|_| odd())?;
        let length = body.len().to_string();
        let agent = concat!("cutover/", env!("CARGO_PKG_VERSION")).to_owned();
        let common = [("content-length", length), ("user-agent", agent)];
        for (name, value) in common.iter().chain(headers) {
            let added = request.headers_mut().try_insert(*name, value.clone());
            added.map_err(|_| odd())?;
        }
        let talk = self.talk(request);
        let answered = tokio::time::timeout(within, talk).await;
        answered.unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())))
    }

    async fn talk(&self, request: HttpRequest) -> Result<Answer, String> {
        let response = self.connector.call(request).await.map_err(|error| {
            let causes = chain(&error);
            format!("no connection: {causes}")
        })?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        Ok(Answer {
            status,
            retry_after,
            body: read(ByteStream::new(response.into_body())).await,
        })
    }
}

/// The beginning of a body; what comes after it, or does not come, is not waited for.
async fn read(mut body: ByteStream) -> String {
    let mut bytes = Vec::new();
    let all = async {
        while bytes.len() < ANSWER_BYTES_MAX
            && let Some(Ok(more)) = body.next().await
        {
            bytes.extend(more);
        }
    };
    // Whatever came in time is kept.
    tokio::time::timeout(BODY_WITHIN, all).await.ok();
    bytes.truncate(ANSWER_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The causes of an error, without repetitions. None of them names a URL: hyper's errors do not.
fn chain(error: &dyn std::error::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !causes.contains(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    if causes.is_empty() {
        causes.push(error.to_string());
    }
    causes.join(": ")
}
